// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/ivshmemN and the nodes of sections: files, their events, and the ioctls
 * of doorbells.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "core.h"
#include "trace.h"

static dev_t ivshmem_devt;
/* Minors: below IVSHMEM_MAX_DEVICES the numbers of devices */
static DEFINE_IDA(ivshmem_ida);

static struct class ivshmem_class = {
	.name = "ivshmem",
};

/* Events that are copied to user space at a time */
#define IVSHMEM_BATCH	16

static u64 ivshmem_file_unseen(struct ivshmem_file *file, u32 vector)
{
	/* Without the lock a cursor may be torn on 32 bits: one look too many */
	return atomic64_read(&file->ivd->vectors[vector].count) -
	       READ_ONCE(file->vectors[vector].seen);
}

static bool ivshmem_file_pending(struct ivshmem_file *file)
{
	unsigned int v;

	for_each_set_bit(v, file->subscribed, file->ivd->nr_vectors) {
		if (ivshmem_file_unseen(file, v))
			return true;
	}

	return false;
}

/* Consumes up to @max events, of vector @first on; returns how many */
static unsigned int ivshmem_file_take(struct ivshmem_file *file,
				      struct ivshmem_event_record *recs,
				      unsigned int max, unsigned int first)
{
	unsigned int n = 0, v = first;
	u64 count;

	spin_lock(&file->lock);
	for_each_set_bit_from(v, file->subscribed, file->ivd->nr_vectors) {
		count = ivshmem_file_unseen(file, v);
		if (!count)
			continue;
		if (n == max)
			break;
		recs[n++] = (struct ivshmem_event_record) {
			.vector = v,
			.count = count,
		};
		WRITE_ONCE(file->vectors[v].seen,
			   file->vectors[v].seen + count);
	}
	spin_unlock(&file->lock);

	return n;
}

/* Events that could not be delivered are pending again */
static void ivshmem_file_put_back(struct ivshmem_file *file,
				  const struct ivshmem_event_record *recs,
				  unsigned int n)
{
	struct ivshmem_cursor *cursor;

	spin_lock(&file->lock);
	while (n--) {
		cursor = &file->vectors[recs[n].vector];
		WRITE_ONCE(cursor->seen, cursor->seen - recs[n].count);
	}
	spin_unlock(&file->lock);
}

/* Returns bytes, 0 when nothing is pending */
static ssize_t ivshmem_file_drain(struct ivshmem_file *file,
				  struct iov_iter *to)
{
	struct ivshmem_event_record recs[IVSHMEM_BATCH];
	size_t room, copied;
	unsigned int n, done, first = 0;
	ssize_t total = 0;

	do {
		room = iov_iter_count(to) / sizeof(recs[0]);
		n = ivshmem_file_take(file, recs,
				      min_t(size_t, room, IVSHMEM_BATCH), first);
		/* Each vector once, whatever is rung meanwhile */
		first = n ? recs[n - 1].vector + 1 : first;
		copied = copy_to_iter(recs, n * sizeof(recs[0]), to);
		done = copied / sizeof(recs[0]);
		total += done * sizeof(recs[0]);
		if (done < n) {
			ivshmem_file_put_back(file, recs + done, n - done);
			return total ?: -EFAULT;
		}
	} while (n == IVSHMEM_BATCH);

	return total;
}

static ssize_t ivshmem_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct ivshmem_file *file = iocb->ki_filp->private_data;
	struct ivshmem_device *ivd = file->ivd;
	ssize_t ret;

	if (!ivd->nr_vectors)
		return ivshmem_file_dead(file) ? -ENODEV : -EOPNOTSUPP;
	if (iov_iter_count(to) < sizeof(struct ivshmem_event_record))
		return -EINVAL;

	for (;;) {
		if (ivshmem_file_dead(file))
			return -ENODEV;
		ret = ivshmem_file_drain(file, to);
		if (ret)
			return ret;
		if ((iocb->ki_flags & IOCB_NOWAIT) ||
		    (iocb->ki_filp->f_flags & O_NONBLOCK))
			return -EAGAIN;

		ret = wait_event_interruptible(file->wait,
					       ivshmem_file_dead(file) ||
					       ivshmem_file_pending(file));
		trace_ivshmem_wait(ivd->id, ret);
		if (ret)
			return ret;
	}
}

static __poll_t ivshmem_poll(struct file *filp, poll_table *wait)
{
	struct ivshmem_file *file = filp->private_data;
	__poll_t ready = 0;

	poll_wait(filp, &file->wait, wait);

	if (ivshmem_file_dead(file))
		return EPOLLERR | EPOLLHUP;
	if (ivshmem_file_pending(file))
		ready |= EPOLLIN | EPOLLRDNORM;
	/* Pairs with the full barrier in ivshmem_region_changed() */
	if (atomic64_read(&file->changes) != atomic64_read(&file->ivd->changes))
		ready |= EPOLLPRI;

	return ready;
}

/**
 * ivshmem_copy_arg() - copy an argument that begins with its size
 * @arg: where to
 * @ksize: its size as this kernel knows it
 * @min: bytes that the caller gives at least
 * @uarg: where from
 * @usize: the size that the caller gave
 *
 * Return: 0, -EFAULT, -EINVAL (too short), -E2BIG (longer than a page, or what
 * this kernel does not know is not zero).
 */
int ivshmem_copy_arg(void *arg, size_t ksize, size_t min, void __user *uarg,
		     u32 *usize)
{
	if (get_user(*usize, (u32 __user *)uarg))
		return -EFAULT;
	if (*usize < min)
		return -EINVAL;
	if (*usize > PAGE_SIZE)
		return -E2BIG;

	return copy_struct_from_user(arg, ksize, uarg, *usize);
}

static int ivshmem_ioctl_info(struct ivshmem_file *file, void __user *uarg)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_ioc_info info;
	u32 usize, peer_id;
	int ret;

	ret = ivshmem_copy_arg(&info, sizeof(info), sizeof(info), uarg, &usize);
	if (ret)
		return ret;
	if (info.flags || info.reserved)
		return -EINVAL;

	ret = ivshmem_device_peer_id(ivd, &peer_id);
	if (ret)
		return ret;

	info = (struct ivshmem_ioc_info) {
		.size = sizeof(info),
		.memory_size = file->section_node ?
			       file->section_node->section->size :
			       ivd->mem_size,
		.features = ivd->has_doorbell ? IVSHMEM_FEATURE_DOORBELL : 0,
		.peer_id = peer_id,
		.vectors = ivd->nr_vectors,
		.cache_mode = ivshmem_cache_effective(ivd),
		.revision = ivd->revision,
	};

	/* Gone in between: the cache mode could not be told any more */
	if (ivshmem_file_dead(file))
		return -ENODEV;

	return copy_to_user(uarg, &info, sizeof(info)) ? -EFAULT : 0;
}

/* A vector that is added starts without pending events */
static void ivshmem_file_subscribe(struct ivshmem_file *file,
				   const unsigned long *vectors)
{
	struct ivshmem_device *ivd = file->ivd;
	unsigned int v;

	spin_lock(&file->lock);
	for (v = 0; v < ivd->nr_vectors; v++) {
		if (!test_bit(v, vectors)) {
			clear_bit(v, file->subscribed);
		} else if (!test_bit(v, file->subscribed)) {
			WRITE_ONCE(file->vectors[v].seen,
				   atomic64_read(&ivd->vectors[v].count));
			set_bit(v, file->subscribed);
		}
	}
	spin_unlock(&file->lock);

	/*
	 * An interrupt in between has counted, but has not seen the bit and so
	 * has woken nobody.  Pairs with atomic64_inc_return() in
	 * ivshmem_vector_fire().
	 */
	smp_mb();
	if (ivshmem_file_pending(file))
		wake_up_interruptible_poll(&file->wait,
					   EPOLLIN | EPOLLRDNORM);
}

static int ivshmem_ioctl_subscribe(struct ivshmem_file *file,
				   void __user *uarg)
{
	DECLARE_BITMAP(vectors, IVSHMEM_MAX_VECTORS);
	struct ivshmem_ioc_subscribe arg;
	u32 usize;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;
	if (!file->ivd->nr_vectors)
		return -EOPNOTSUPP;

	bitmap_from_arr64(vectors, arg.vectors, IVSHMEM_MAX_VECTORS);
	if (find_next_bit(vectors, IVSHMEM_MAX_VECTORS,
			  file->ivd->nr_vectors) < IVSHMEM_MAX_VECTORS)
		return -EINVAL;

	ivshmem_file_subscribe(file, vectors);
	return 0;
}

static int ivshmem_ioctl_eventfd(struct ivshmem_file *file, void __user *uarg)
{
	struct ivshmem_ioc_eventfd arg;
	u32 usize;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;
	if (!file->ivd->nr_vectors)
		return -EOPNOTSUPP;
	if (arg.vector >= file->ivd->nr_vectors)
		return -EINVAL;

	return ivshmem_eventfd_bind(file,
				    array_index_nospec(arg.vector,
						       file->ivd->nr_vectors),
				    arg.fd);
}

/* Waits until the rate limit lets the caller ring */
static int ivshmem_ring_throttle(struct ivshmem_device *ivd, bool nonblock)
{
	u64 wait, turn;
	int ret;

	ret = ivshmem_doorbell_admit(ivd, nonblock, &wait, &turn);
	if (ret || !wait)
		return ret;

	ret = wait_event_interruptible_hrtimeout(ivd->gone_wait,
						 READ_ONCE(ivd->dead),
						 ns_to_ktime(wait));
	if (!ret)
		return -ENODEV;
	if (ret == -ETIME)
		return 0;

	ivshmem_doorbell_forgo(ivd, turn);
	return ret;
}

static int ivshmem_ioctl_ring(struct ivshmem_file *file, void __user *uarg,
			      bool nonblock)
{
	struct ivshmem_ioc_ring arg;
	u32 usize;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;
	if (!file->ivd->has_doorbell)
		return -EOPNOTSUPP;
	if (arg.peer >= IVSHMEM_MAX_PEERS || arg.vector >= IVSHMEM_MAX_VECTORS)
		return -EINVAL;

	if (!file->privileged) {
		ret = ivshmem_ring_throttle(file->ivd, nonblock);
		if (ret)
			return ret;
	}

	return ivshmem_doorbell_ring(file->ivd, arg.peer, arg.vector);
}

static long ivshmem_ioctl(struct file *filp, unsigned int cmd,
			  unsigned long arg)
{
	struct ivshmem_file *file = filp->private_data;
	void __user *uarg = (void __user *)arg;

	if (ivshmem_file_dead(file))
		return -ENODEV;

	switch (cmd) {
	case IVSHMEM_IOC_INFO:
		return ivshmem_ioctl_info(file, uarg);
	case IVSHMEM_IOC_SUBSCRIBE:
		if (!(filp->f_mode & FMODE_READ))
			return -EBADF;
		return ivshmem_ioctl_subscribe(file, uarg);
	case IVSHMEM_IOC_EVENTFD:
		if (!(filp->f_mode & FMODE_READ))
			return -EBADF;
		return ivshmem_ioctl_eventfd(file, uarg);
	case IVSHMEM_IOC_RING:
		if (!(filp->f_mode & FMODE_WRITE))
			return -EBADF;
		return ivshmem_ioctl_ring(file, uarg,
					  filp->f_flags & O_NONBLOCK);
	case IVSHMEM_IOC_REGION:
		return ivshmem_ioctl_region(file, uarg);
	case IVSHMEM_IOC_SECTION:
		return ivshmem_ioctl_section(file, uarg);
	case IVSHMEM_IOC_PEER:
		return ivshmem_ioctl_peer(file, uarg);
	case IVSHMEM_IOC_FORMAT:
		if (!(filp->f_mode & FMODE_WRITE))
			return -EBADF;
		return ivshmem_ioctl_format(file, uarg);
	case IVSHMEM_IOC_DMABUF:
		return ivshmem_ioctl_dmabuf(file, filp->f_mode, uarg);
	default:
		return ivshmem_ioctl_kvmfr(file, filp->f_mode, cmd, uarg);
	}
}

static struct ivshmem_file *ivshmem_file_alloc(struct ivshmem_device *ivd)
{
	struct ivshmem_file *file;
	u32 v;

	file = kzalloc(struct_size(file, vectors, ivd->nr_vectors),
		       GFP_KERNEL_ACCOUNT);
	if (!file)
		return NULL;

	file->ivd = ivd;
	init_waitqueue_head(&file->wait);
	spin_lock_init(&file->lock);
	file->privileged = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
	atomic64_set(&file->changes, atomic64_read(&ivd->changes));
	bitmap_fill(file->subscribed, ivd->nr_vectors);
	for (v = 0; v < ivd->nr_vectors; v++)
		file->vectors[v].seen = atomic64_read(&ivd->vectors[v].count);

	return file;
}

/* Fails when too many files are open */
static int ivshmem_file_publish(struct ivshmem_file *file)
{
	struct ivshmem_device *ivd = file->ivd;
	int ret = 0;

	spin_lock(&ivd->files_lock);
	if (ivd->nr_files < IVSHMEM_MAX_FILES) {
		ivd->nr_files++;
		list_add_tail_rcu(&file->node, &ivd->files);
	} else {
		ret = -EUSERS;
	}
	spin_unlock(&ivd->files_lock);

	return ret;
}

/* @node is that of a section, or NULL */
static int ivshmem_file_open(struct ivshmem_device *ivd,
			     struct ivshmem_node *node, struct inode *inode,
			     struct file *filp)
{
	struct ivshmem_file *file;
	int ret;

	file = ivshmem_file_alloc(ivd);
	if (!file)
		return -ENOMEM;

	file->section_node = node;
	ret = -ENODEV;
	if (ivshmem_file_dead(file))
		goto err_free;

	ret = ivshmem_mmap_open(ivd, filp);
	if (ret)
		goto err_free;

	ret = ivshmem_file_publish(file);
	if (ret)
		goto err_mmap;

	filp->private_data = file;
	/* io_uring polls instead of blocking a worker */
	filp->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, filp);

err_mmap:
	ivshmem_mmap_close(ivd);
err_free:
	kfree(file);
	return ret;
}

static int ivshmem_open(struct inode *inode, struct file *filp)
{
	struct ivshmem_device *ivd;
	int ret;

	ivd = container_of(inode->i_cdev, struct ivshmem_device, cdev);
	ret = ivshmem_region_wait(ivd);
	return ret ? ret : ivshmem_file_open(ivd, NULL, inode, filp);
}

static int ivshmem_node_open(struct inode *inode, struct file *filp)
{
	struct ivshmem_node *node;

	node = container_of(inode->i_cdev, struct ivshmem_node, cdev);
	return ivshmem_file_open(node->ivd, node, inode, filp);
}

static int ivshmem_release(struct inode *inode, struct file *filp)
{
	struct ivshmem_file *file = filp->private_data;
	struct ivshmem_device *ivd = file->ivd;

	ivshmem_eventfd_release(file);

	spin_lock(&ivd->files_lock);
	list_del_rcu(&file->node);
	ivd->nr_files--;
	spin_unlock(&ivd->files_lock);

	ivshmem_mmap_close(ivd);
	kfree_rcu(file, rcu);
	return 0;
}

static int ivshmem_file_mmap(struct file *filp, struct vm_area_struct *vma)
{
	return ivshmem_mmap(vma);
}

static const struct file_operations ivshmem_fops = {
	.owner = THIS_MODULE,
	.open = ivshmem_open,
	.release = ivshmem_release,
	.read_iter = ivshmem_read_iter,
	.poll = ivshmem_poll,
	.unlocked_ioctl = ivshmem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = ivshmem_file_mmap,
	/* Aligns large mappings, so that huge pages fit */
	.get_unmapped_area = thp_get_unmapped_area,
};

static const struct file_operations ivshmem_node_fops = {
	.owner = THIS_MODULE,
	.open = ivshmem_node_open,
	.release = ivshmem_release,
	.read_iter = ivshmem_read_iter,
	.poll = ivshmem_poll,
	.unlocked_ioctl = ivshmem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = ivshmem_file_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
};

static void ivshmem_device_release(struct device *dev)
{
	struct ivshmem_device *ivd;

	ivd = container_of(dev, struct ivshmem_device, dev);
	ida_free(&ivshmem_ida, ivd->id);
	ivshmem_region_free(ivd);
	kfree(ivd->vectors);
	kfree(ivd);
}

/**
 * ivshmem_chardev_init() - number a new device and start its reference count
 * @ivd: the device
 *
 * Return: 0; from then on put_device(&ivd->dev) frees it.  A negative error:
 * there is no number left.
 */
int ivshmem_chardev_init(struct ivshmem_device *ivd)
{
	ivd->id = ida_alloc_max(&ivshmem_ida, IVSHMEM_MAX_DEVICES - 1,
				GFP_KERNEL);
	if (ivd->id < 0)
		return ivd->id;

	device_initialize(&ivd->dev);
	ivd->dev.class = &ivshmem_class;
	ivd->dev.groups = ivshmem_groups;
	ivd->dev.parent = &ivd->pdev->dev;
	ivd->dev.devt = MKDEV(MAJOR(ivshmem_devt), ivd->id);
	ivd->dev.release = ivshmem_device_release;

	cdev_init(&ivd->cdev, &ivshmem_fops);
	ivd->cdev.owner = THIS_MODULE;
	return 0;
}

/**
 * ivshmem_chardev_add() - publish /dev/ivshmemN
 * @ivd: the device, ready for use
 *
 * Return: 0 or a negative error; undone by cdev_device_del().
 */
int ivshmem_chardev_add(struct ivshmem_device *ivd)
{
	int ret;

	ret = dev_set_name(&ivd->dev, "ivshmem%d", ivd->id);
	if (ret)
		return ret;

	return cdev_device_add(&ivd->cdev, &ivd->dev);
}

/**
 * ivshmem_chardev_node() - prepare the node of a section
 * @node: the node, whose @dev.release is set
 *
 * Return: 0; from then on put_device(&node->dev) frees it, and its release
 * calls ivshmem_chardev_node_release().  A negative error: there is no minor
 * left.
 */
int ivshmem_chardev_node(struct ivshmem_node *node)
{
	int minor;

	minor = ida_alloc_range(&ivshmem_ida, IVSHMEM_MAX_DEVICES, MINORMASK,
				GFP_KERNEL);
	if (minor < 0)
		return minor;

	device_initialize(&node->dev);
	node->dev.class = &ivshmem_class;
	node->dev.groups = ivshmem_node_groups;
	node->dev.parent = &node->ivd->pdev->dev;
	node->dev.devt = MKDEV(MAJOR(ivshmem_devt), minor);

	cdev_init(&node->cdev, &ivshmem_node_fops);
	node->cdev.owner = THIS_MODULE;
	return 0;
}

/* ivshmem_chardev_node_release() - give a node's minor back */
void ivshmem_chardev_node_release(struct ivshmem_node *node)
{
	ida_free(&ivshmem_ida, MINOR(node->dev.devt));
}

int ivshmem_chardev_register(void)
{
	int ret;

	ret = alloc_chrdev_region(&ivshmem_devt, 0, MINORMASK + 1, "ivshmem");
	if (ret)
		return ret;

	ret = class_register(&ivshmem_class);
	if (ret)
		unregister_chrdev_region(ivshmem_devt, MINORMASK + 1);

	return ret;
}

void ivshmem_chardev_unregister(void)
{
	class_unregister(&ivshmem_class);
	unregister_chrdev_region(ivshmem_devt, MINORMASK + 1);
}
