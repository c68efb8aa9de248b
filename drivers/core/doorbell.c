// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: vectors and their interrupts, who is told of them, and ringing
 * peers.
 */
#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "core.h"
#include "trace.h"

/* --- being rung ---------------------------------------------------------- */

static void ivshmem_vector_fire(struct ivshmem_vector *vec)
{
	struct ivshmem_device *ivd = vec->ivd;
	struct ivshmem_eventfd *binding;
	struct ivshmem_file *file;
	u64 count;

	/*
	 * The count is raised before anybody is woken; the full barrier in
	 * wq_has_sleeper() pairs with the one in set_current_state() (or in
	 * poll_wait()) of a reader that queues itself, then looks at the count.
	 */
	count = atomic64_inc_return(&vec->count);
	trace_ivshmem_irq(ivd->id, vec->index, count);

	rcu_read_lock();
	list_for_each_entry_rcu(file, &ivd->files, node)
		if (test_bit(vec->index, file->subscribed) &&
		    wq_has_sleeper(&file->wait))
			wake_up_interruptible_poll(&file->wait,
						   EPOLLIN | EPOLLRDNORM);

	list_for_each_entry_rcu(binding, &vec->eventfds, node)
		eventfd_signal(binding->ctx);
	rcu_read_unlock();
}

/* Any peer can ring at any rate and for no reason: only count and wake */
static irqreturn_t ivshmem_irq(int irq, void *data)
{
	ivshmem_vector_fire(data);
	return IRQ_HANDLED;
}

/**
 * ivshmem_doorbell_fire_all() - make everybody look at the memory
 * @ivd: the device
 *
 * Counts one event on each vector, as if each had been rung.
 */
void ivshmem_doorbell_fire_all(struct ivshmem_device *ivd)
{
	u32 i;

	for (i = 0; i < ivd->nr_vectors; i++)
		ivshmem_vector_fire(&ivd->vectors[i]);
}

/**
 * ivshmem_doorbell_hangup() - wake everybody, the device is dead
 * @ivd: the device
 */
void ivshmem_doorbell_hangup(struct ivshmem_device *ivd)
{
	struct ivshmem_eventfd *binding;
	struct ivshmem_file *file;
	u32 i;

	wake_up_all(&ivd->gone_wait);

	rcu_read_lock();
	list_for_each_entry_rcu(file, &ivd->files, node)
		wake_up_poll(&file->wait, EPOLLERR | EPOLLHUP);

	for (i = 0; i < ivd->nr_vectors; i++)
		list_for_each_entry_rcu(binding, &ivd->vectors[i].eventfds,
					node)
			eventfd_signal(binding->ctx);
	rcu_read_unlock();
}

static void ivshmem_free_irqs(struct ivshmem_device *ivd, u32 nr)
{
	while (nr--)
		free_irq(ivd->vectors[nr].irq, &ivd->vectors[nr]);
	pci_free_irq_vectors(ivd->pdev);
}

static int ivshmem_request_irqs(struct ivshmem_device *ivd, u32 nr)
{
	struct ivshmem_vector *vec;
	u32 i;
	int ret;

	for (i = 0; i < nr; i++) {
		vec = &ivd->vectors[i];
		vec->ivd = ivd;
		vec->index = i;
		INIT_LIST_HEAD(&vec->eventfds);
		snprintf(vec->name, sizeof(vec->name), "ivshmem%d-%u", ivd->id,
			 i);
		vec->irq = pci_irq_vector(ivd->pdev, i);
		ret = request_irq(vec->irq, ivshmem_irq, 0, vec->name, vec);
		if (ret) {
			ivshmem_free_irqs(ivd, i);
			return dev_err_probe(&ivd->pdev->dev, ret,
					     "cannot get interrupt of vector %u\n",
					     i);
		}
	}

	return 0;
}

/**
 * ivshmem_doorbell_init() - get the vectors of a device that has doorbells
 * @ivd: the device
 *
 * Whether there are doorbells is decided by the MSI-X capability: an id of 0
 * means nothing.  Without any free interrupt the device works by polling.
 *
 * Return: 0 or a negative error; undone by ivshmem_doorbell_exit().
 */
int ivshmem_doorbell_init(struct ivshmem_device *ivd)
{
	struct pci_dev *pdev = ivd->pdev;
	int nr, ret;

	nr = pci_msix_vec_count(pdev);
	if (nr <= 0)
		return 0;
	ivd->has_doorbell = true;

	pci_set_master(pdev);
	nr = pci_alloc_irq_vectors(pdev, 1, min(nr, IVSHMEM_MAX_VECTORS),
				   PCI_IRQ_MSIX);
	if (nr < 0) {
		dev_warn(&pdev->dev,
			 "no MSI-X interrupts (%d): peers can be rung, but this side must poll\n",
			 nr);
		return 0;
	}

	ivd->vectors = kcalloc(nr, sizeof(*ivd->vectors), GFP_KERNEL);
	if (!ivd->vectors) {
		pci_free_irq_vectors(pdev);
		return -ENOMEM;
	}

	ret = ivshmem_request_irqs(ivd, nr);
	if (ret)
		return ret;

	ivd->nr_vectors = nr;
	return 0;
}

/**
 * ivshmem_doorbell_exit() - give the interrupts back
 * @ivd: the device
 *
 * Once it returns no handler runs.  The vectors themselves stay with the
 * device, because open files look at them.
 */
void ivshmem_doorbell_exit(struct ivshmem_device *ivd)
{
	if (ivd->nr_vectors)
		ivshmem_free_irqs(ivd, ivd->nr_vectors);
}

/* --- eventfds ------------------------------------------------------------ */

static struct ivshmem_eventfd *
ivshmem_eventfd_find(struct ivshmem_file *file, struct ivshmem_vector *vec)
{
	struct ivshmem_eventfd *binding;

	lockdep_assert_held(&file->ivd->files_lock);

	list_for_each_entry(binding, &vec->eventfds, node)
		if (binding->owner == file)
			return binding;

	return NULL;
}

static void ivshmem_eventfd_free(struct rcu_head *rcu)
{
	struct ivshmem_eventfd *binding;

	binding = container_of(rcu, struct ivshmem_eventfd, rcu);
	eventfd_ctx_put(binding->ctx);
	kfree(binding);
}

/* Called with files_lock held; an interrupt may still stand on the binding */
static void ivshmem_eventfd_unlink(struct ivshmem_eventfd *binding)
{
	list_del_rcu(&binding->node);
	call_rcu(&binding->rcu, ivshmem_eventfd_free);
}

static struct ivshmem_eventfd *ivshmem_eventfd_alloc(struct ivshmem_file *file,
						     int fd)
{
	struct ivshmem_eventfd *binding;
	struct eventfd_ctx *ctx;

	ctx = eventfd_ctx_fdget(fd);
	if (IS_ERR(ctx))
		return ERR_CAST(ctx);

	binding = kzalloc(sizeof(*binding), GFP_KERNEL_ACCOUNT);
	if (!binding) {
		eventfd_ctx_put(ctx);
		return ERR_PTR(-ENOMEM);
	}

	binding->owner = file;
	binding->ctx = ctx;
	return binding;
}

/**
 * ivshmem_eventfd_bind() - bind, replace or (fd -1) unbind an eventfd
 * @file: whose binding it is
 * @vector: a vector that the device has
 * @fd: an eventfd, or -1
 *
 * Context: Process context; may sleep.
 * Return: 0, -ENOENT (nothing to unbind), -EBADF, -EINVAL (not an eventfd),
 * -ENOMEM.
 */
int ivshmem_eventfd_bind(struct ivshmem_file *file, u32 vector, int fd)
{
	struct ivshmem_eventfd *binding = NULL, *old;
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_vector *vec = &ivd->vectors[vector];

	if (fd != -1) {
		binding = ivshmem_eventfd_alloc(file, fd);
		if (IS_ERR(binding))
			return PTR_ERR(binding);
	}

	spin_lock(&ivd->files_lock);
	old = ivshmem_eventfd_find(file, vec);
	if (old)
		ivshmem_eventfd_unlink(old);
	if (binding)
		list_add_tail_rcu(&binding->node, &vec->eventfds);
	spin_unlock(&ivd->files_lock);

	return old || binding ? 0 : -ENOENT;
}

/**
 * ivshmem_eventfd_release() - end all bindings of a file that is being closed
 * @file: the file
 */
void ivshmem_eventfd_release(struct ivshmem_file *file)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_eventfd *binding;
	u32 i;

	spin_lock(&ivd->files_lock);
	for (i = 0; i < ivd->nr_vectors; i++) {
		binding = ivshmem_eventfd_find(file, &ivd->vectors[i]);
		if (binding)
			ivshmem_eventfd_unlink(binding);
	}
	spin_unlock(&ivd->files_lock);
}

/* --- ringing peers ------------------------------------------------------- */

/**
 * ivshmem_doorbell_ring() - interrupt a peer
 * @ivd: the device
 * @peer: id of the peer, below IVSHMEM_MAX_PEERS
 * @vector: its vector, below IVSHMEM_MAX_VECTORS
 *
 * Context: Process context; may sleep.
 * Return: 0, -EOPNOTSUPP (no doorbells), -ENODEV (device gone).
 */
int ivshmem_doorbell_ring(struct ivshmem_device *ivd, u32 peer, u32 vector)
{
	int ret = 0;

	down_read(&ivd->lock);
	if (ivd->dead)
		ret = -ENODEV;
	else if (!ivd->has_doorbell)
		ret = -EOPNOTSUPP;
	else
		/*
		 * writel() orders the caller's earlier stores before the
		 * doorbell; the peer's interrupt entry is the other half.
		 */
		writel(peer << 16 | vector, ivd->regs + IVSHMEM_REG_DOORBELL);
	up_read(&ivd->lock);
	if (ret)
		return ret;

	atomic64_inc(&ivd->rung);
	trace_ivshmem_ring(ivd->id, peer, vector);
	return 0;
}

/**
 * ivshmem_doorbell_admit() - may an unprivileged caller ring now?
 * @ivd: the device, which has one limit for all of them
 *
 * The virtual scheduling form of a token bucket: @ring_due runs ahead of the
 * clock by one interval for each doorbell, and by 10 ms at most.
 *
 * Return: 0 when admitted, else for how many nanoseconds to wait before asking
 * again.
 */
u64 ivshmem_doorbell_admit(struct ivshmem_device *ivd)
{
	const u64 burst = 10 * NSEC_PER_MSEC;
	u64 now = ktime_get_ns();
	unsigned int rate = READ_ONCE(ivd->ring_rate);
	u64 wait = 0;

	if (!rate)
		return 0;

	spin_lock(&ivd->ring_lock);
	ivd->ring_due = max(ivd->ring_due, now);
	if (ivd->ring_due - now > burst)
		wait = ivd->ring_due - now - burst;
	else
		ivd->ring_due += div_u64(NSEC_PER_SEC, rate);
	spin_unlock(&ivd->ring_lock);

	if (wait)
		atomic64_inc(&ivd->throttled);
	return wait;
}
