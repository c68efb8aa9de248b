// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: vectors and their interrupts, who is told of them, and ringing
 * peers.
 */
#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "core.h"
#include "trace.h"

/* Length of the windows over which the rate of interrupts is looked at */
#define IVSHMEM_IRQ_WINDOW	max(HZ / 100, 1)

static struct workqueue_struct *ivshmem_wq;

static void ivshmem_file_fire(struct ivshmem_file *file, u32 vector)
{
	struct ivshmem_eventfd *binding;

	/*
	 * The full barrier in wq_has_sleeper() pairs with the one in
	 * set_current_state() of a reader, or in poll_wait() of a poller, that
	 * queues itself first and looks at the count then.
	 */
	if (test_bit(vector, file->subscribed) && wq_has_sleeper(&file->wait))
		wake_up_interruptible_poll(&file->wait, EPOLLIN | EPOLLRDNORM);

	binding = rcu_dereference(file->vectors[vector].eventfd);
	if (binding)
		eventfd_signal(binding->ctx);
}

static void ivshmem_vector_fire(struct ivshmem_vector *vec)
{
	struct ivshmem_device *ivd = vec->ivd;
	struct ivshmem_file *file;
	u64 count;

	/* Counted before anybody is woken; fully ordered */
	count = atomic64_inc_return(&vec->count);
	trace_ivshmem_irq(ivd->id, vec->index, count);

	rcu_read_lock();
	list_for_each_entry_rcu(file, &ivd->files, node)
		ivshmem_file_fire(file, vec->index);
	ivshmem_functions_event(ivd, vec->index);
	rcu_read_unlock();

	/* The directory has changed, or the whole format */
	if (!vec->index)
		ivshmem_region_rung(ivd);
}

/*
 * A peer that rings without end would keep this CPU in the handler.  What
 * arrives while the vector is off is delivered, as one, when it is on again.
 */
static void ivshmem_vector_limit(struct ivshmem_vector *vec)
{
	unsigned int rate = READ_ONCE(vec->ivd->irq_rate);

	if (time_after_eq(jiffies, vec->window + IVSHMEM_IRQ_WINDOW)) {
		vec->window = jiffies;
		vec->burst = 0;
	}

	if (!rate || ++vec->burst <= rate / (HZ / IVSHMEM_IRQ_WINDOW))
		return;

	atomic64_inc(&vec->ivd->storms);
	disable_irq_nosync(vec->irq);
	queue_delayed_work(ivshmem_wq, &vec->unmask, IVSHMEM_IRQ_WINDOW);
}

static void ivshmem_vector_unmask(struct work_struct *work)
{
	struct ivshmem_vector *vec;

	vec = container_of(to_delayed_work(work), struct ivshmem_vector,
			   unmask);
	enable_irq(vec->irq);
}

/* Any peer can ring at any rate and for no reason: only count and tell */
static irqreturn_t ivshmem_irq(int irq, void *data)
{
	struct ivshmem_vector *vec = data;

	ivshmem_vector_fire(vec);
	ivshmem_vector_limit(vec);
	return IRQ_HANDLED;
}

/**
 * ivshmem_doorbell_fire_all() - make everybody look at the memory
 * @ivd: the device
 *
 * Counts one event on each vector, as if each had been rung.
 *
 * Context: Process context.
 */
void ivshmem_doorbell_fire_all(struct ivshmem_device *ivd)
{
	u32 i;

	/* Functions schedule softirqs, which would wait for the next interrupt */
	local_bh_disable();
	for (i = 0; i < ivd->nr_vectors; i++)
		ivshmem_vector_fire(&ivd->vectors[i]);
	local_bh_enable();
}

static void ivshmem_file_hangup(struct ivshmem_file *file)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_eventfd *binding;
	u32 i;

	wake_up_all(&file->wait);

	for (i = 0; i < ivd->nr_vectors; i++) {
		binding = rcu_dereference_protected(file->vectors[i].eventfd,
						    lockdep_is_held(&ivd->files_lock));
		if (binding)
			eventfd_signal(binding->ctx);
	}
}

/**
 * ivshmem_doorbell_hangup() - wake everybody whose file is dead
 * @ivd: the device
 * @format: the format that has gone, or NULL: the device has
 *
 * The lock orders it against ivshmem_eventfd_bind(), which either is seen here
 * or sees that the file is dead.
 */
void ivshmem_doorbell_hangup(struct ivshmem_device *ivd,
			     const struct ivshmem_format *format)
{
	struct ivshmem_file *file;

	wake_up_all(&ivd->gone_wait);

	spin_lock(&ivd->files_lock);
	list_for_each_entry(file, &ivd->files, node) {
		if (!format || (file->section_node &&
				file->section_node->format == format))
			ivshmem_file_hangup(file);
	}
	spin_unlock(&ivd->files_lock);
}

static int ivshmem_request_irq(struct ivshmem_device *ivd, u32 index)
{
	struct ivshmem_vector *vec = &ivd->vectors[index];

	vec->ivd = ivd;
	vec->index = index;
	vec->window = jiffies;
	vec->irq = pci_irq_vector(ivd->pdev, index);
	INIT_DELAYED_WORK(&vec->unmask, ivshmem_vector_unmask);
	snprintf(vec->name, sizeof(vec->name), "ivshmem%d-%u", ivd->id, index);

	return request_irq(vec->irq, ivshmem_irq, 0, vec->name, vec);
}

/*
 * A CPU has some 200 interrupts to give, and only now they are really taken.
 * With fewer than the device has, peers can ring fewer vectors.
 */
static void ivshmem_request_irqs(struct ivshmem_device *ivd, u32 nr)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		ret = ivshmem_request_irq(ivd, i);
		if (ret)
			break;
	}

	if (ret)
		dev_warn(&ivd->pdev->dev,
			 "only %u of %u interrupts are available (%d): have peers use fewer vectors, or add a CPU\n",
			 i, nr, ret);

	ivd->nr_vectors = i;
	ivd->nr_irqs = i;
}

/**
 * ivshmem_doorbell_init() - get the vectors of a device that has doorbells
 * @ivd: the device
 *
 * Whether there are doorbells is decided by the MSI-X capability: an id of 0
 * means nothing.  Without any free interrupt the device works by polling.
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_doorbell_exit().
 */
int ivshmem_doorbell_init(struct ivshmem_device *ivd)
{
	struct pci_dev *pdev = ivd->pdev;
	int nr;

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

	ivshmem_request_irqs(ivd, nr);
	return 0;
}

/**
 * ivshmem_doorbell_exit() - give the interrupts back
 * @ivd: the device
 *
 * Once it returns no handler runs.  The vectors themselves stay with the
 * device, because open files look at them.  May be called more than once.
 */
void ivshmem_doorbell_exit(struct ivshmem_device *ivd)
{
	struct ivshmem_vector *vec;

	while (ivd->nr_irqs) {
		vec = &ivd->vectors[--ivd->nr_irqs];
		/* The handler may not begin another pause behind our back */
		disable_irq(vec->irq);
		cancel_delayed_work_sync(&vec->unmask);
		free_irq(vec->irq, vec);
	}
	pci_free_irq_vectors(ivd->pdev);
}

static void ivshmem_eventfd_free(struct ivshmem_eventfd *binding)
{
	eventfd_ctx_put(binding->ctx);
	kfree(binding);
}

static void ivshmem_eventfd_free_rcu(struct rcu_head *rcu)
{
	ivshmem_eventfd_free(container_of(rcu, struct ivshmem_eventfd, rcu));
}

static struct ivshmem_eventfd *ivshmem_eventfd_alloc(int fd)
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

	binding->ctx = ctx;
	return binding;
}

/* An interrupt may still stand on the old one */
static struct ivshmem_eventfd *
ivshmem_eventfd_replace(struct ivshmem_file *file, u32 vector,
			struct ivshmem_eventfd *binding)
{
	struct ivshmem_eventfd *old;

	old = rcu_replace_pointer(file->vectors[vector].eventfd, binding,
				  lockdep_is_held(&file->ivd->files_lock));
	if (old)
		call_rcu(&old->rcu, ivshmem_eventfd_free_rcu);

	return old;
}

/**
 * ivshmem_eventfd_bind() - bind, replace or (fd -1) unbind an eventfd
 * @file: whose binding it is
 * @vector: a vector that the device has
 * @fd: an eventfd, or -1
 *
 * Context: Process context; may sleep.
 * Return: 0, -ENOENT (nothing to unbind), -EBADF, -EINVAL (not an eventfd),
 * -ENOMEM, -ENODEV (device or section gone).
 */
int ivshmem_eventfd_bind(struct ivshmem_file *file, u32 vector, int fd)
{
	struct ivshmem_eventfd *binding = NULL, *old = NULL;
	struct ivshmem_device *ivd = file->ivd;
	bool dead;

	if (fd != -1) {
		binding = ivshmem_eventfd_alloc(fd);
		if (IS_ERR(binding))
			return PTR_ERR(binding);
	}

	spin_lock(&ivd->files_lock);
	dead = ivshmem_file_dead(file);
	if (!dead)
		old = ivshmem_eventfd_replace(file, vector, binding);
	spin_unlock(&ivd->files_lock);

	if (dead) {
		if (binding)
			ivshmem_eventfd_free(binding);
		return -ENODEV;
	}

	return old || binding ? 0 : -ENOENT;
}

/**
 * ivshmem_eventfd_release() - end all bindings of a file that is being closed
 * @file: the file
 */
void ivshmem_eventfd_release(struct ivshmem_file *file)
{
	struct ivshmem_device *ivd = file->ivd;
	u32 i;

	spin_lock(&ivd->files_lock);
	for (i = 0; i < ivd->nr_vectors; i++)
		ivshmem_eventfd_replace(file, i, NULL);
	spin_unlock(&ivd->files_lock);
}

/**
 * ivshmem_doorbell_write() - interrupt a peer, without a question
 * @ivd: the device, which has doorbells and whose registers stay
 * @peer: id of the peer, below IVSHMEM_MAX_PEERS
 * @vector: its vector, below IVSHMEM_MAX_VECTORS
 *
 * Context: Any.
 */
void ivshmem_doorbell_write(struct ivshmem_device *ivd, u32 peer, u32 vector)
{
	/*
	 * writel() orders the caller's earlier stores before the doorbell; the
	 * peer's interrupt entry is the other half.
	 */
	writel(peer << 16 | vector, ivd->regs + IVSHMEM_REG_DOORBELL);
	atomic64_inc(&ivd->rung);
	trace_ivshmem_ring(ivd->id, peer, vector);
}

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
		ivshmem_doorbell_write(ivd, peer, vector);
	up_read(&ivd->lock);

	return ret;
}

/**
 * ivshmem_doorbell_admit() - when may an unprivileged caller ring?
 * @ivd: the device, which has one limit for all of them
 * @nonblock: the caller will not wait
 * @wait: for how many nanoseconds the caller has to wait first
 * @turn: what the turn takes, for who gives it back: see ivshmem_doorbell_forgo()
 *
 * The virtual scheduling form of a token bucket: @ring_due runs ahead of the
 * clock by one interval for each doorbell, and by 10 ms before anybody waits.
 * Who waits has its turn already, so that nobody can starve it.
 *
 * Return: 0, or -EAGAIN when @nonblock and there is no turn now.
 */
int ivshmem_doorbell_admit(struct ivshmem_device *ivd, bool nonblock,
			   u64 *wait, u64 *turn)
{
	const u64 burst = 10 * NSEC_PER_MSEC;
	u64 now = ktime_get_ns();
	unsigned int rate = READ_ONCE(ivd->ring_rate);
	int ret = 0;

	*wait = 0;
	*turn = 0;
	if (!rate)
		return 0;

	spin_lock(&ivd->ring_lock);
	ivd->ring_due = max(ivd->ring_due, now);
	if (ivd->ring_due - now > burst)
		*wait = ivd->ring_due - now - burst;
	if (*wait && nonblock)
		ret = -EAGAIN;
	else
		*turn = NSEC_PER_SEC / rate;
	ivd->ring_due += *turn;
	spin_unlock(&ivd->ring_lock);

	if (*wait)
		atomic64_inc(&ivd->throttled);
	return ret;
}

/**
 * ivshmem_doorbell_forgo() - give back a turn that was not used
 * @ivd: the device
 * @turn: as ivshmem_doorbell_admit() said
 *
 * Who is interrupted while it waits would take another one with each try, and
 * others would wait for all of them.
 */
void ivshmem_doorbell_forgo(struct ivshmem_device *ivd, u64 turn)
{
	spin_lock(&ivd->ring_lock);
	/* The limit may have been changed meanwhile */
	ivd->ring_due -= min(turn, ivd->ring_due);
	spin_unlock(&ivd->ring_lock);
}

/**
 * ivshmem_doorbell_forget() - nobody waits for turns of before
 * @ivd: the device, whose limit is another one now
 */
void ivshmem_doorbell_forget(struct ivshmem_device *ivd)
{
	spin_lock(&ivd->ring_lock);
	ivd->ring_due = 0;
	spin_unlock(&ivd->ring_lock);
}

int ivshmem_doorbell_register(void)
{
	ivshmem_wq = alloc_workqueue("ivshmem", WQ_UNBOUND, 0);

	return ivshmem_wq ? 0 : -ENOMEM;
}

void ivshmem_doorbell_unregister(void)
{
	destroy_workqueue(ivshmem_wq);
	/* Eventfds that were unbound last may still be on their way */
	rcu_barrier();
}
