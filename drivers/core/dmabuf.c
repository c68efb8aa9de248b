// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parts of the memory as dma-bufs: for devices of other drivers, and for programs
 * that are to get one part of it.
 *
 * A buffer is freed by the release of its dma-buf, which comes when nobody has a
 * descriptor, a mapping or an attachment any more.  Until then it keeps the module
 * (which the dma-buf does for its owner) and &struct ivshmem_device, but neither the
 * PCI function nor the file that it was exported by: the driver can be unbound and
 * the device unplugged at any time.
 *
 * All buffers are revoked then, and when what programs may use changes.  First,
 * under &ivshmem_device.lock, @revocations grows or @dead is set: page faults and
 * mmap() that come later fail.  Then ivshmem_buffers_revoke() visits each buffer:
 * its mappings are zapped and, under the reservation lock, it is marked, so that no
 * device maps it any more, and those that do are told.  They unmap it when they can;
 * that works without the memory, since it undoes what was done for their device.
 * Before the memory is given back, or to others, ivshmem_buffers_drain() waits for
 * the work that they have announced by fences.  A revoked buffer stays so.
 *
 * That is why only importers that can be told are let in, and why there is no
 * vmap(): who has a kernel address can be told nothing, and would go on using it
 * when the address of the BAR is another device's.
 */
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "core.h"

MODULE_IMPORT_NS(IVSHMEM_DMABUF_NS);

static bool kvmfr;
module_param(kvmfr, bool, 0644);
MODULE_PARM_DESC(kvmfr, "answer the ioctls of Looking Glass's module kvmfr, too (default: off)");

/* The ioctls of Looking Glass's module kvmfr */
struct kvmfr_dmabuf_create {
	__u8 flags;
	__u64 offset;
	__u64 size;
};

#define KVMFR_DMABUF_FLAG_CLOEXEC	0x1
#define KVMFR_DMABUF_CREATE	_IOW('u', 0x42, struct kvmfr_dmabuf_create)
#define KVMFR_DMABUF_GETSIZE	_IO('u', 0x44)

/* Lengths in a scatterlist have 32 bits */
#define IVSHMEM_SG_MAX		SZ_2G

static int ivshmem_buffer_attach(struct dma_buf *dmabuf,
				 struct dma_buf_attachment *attach)
{
	/* Others look for struct pages, or cannot be told */
	return attach->peer2peer ? 0 : -EOPNOTSUPP;
}

/*
 * Who pins does not want to be told.  But a kernel that was built without
 * telling pins whatever is mapped, once, and importers are told all the same.
 * Who pins by himself does so a second time when he maps it: that fails.
 * Called with the reservation lock.
 */
static int ivshmem_buffer_pin(struct dma_buf_attachment *attach)
{
	if (!IVSHMEM_DMABUF_PINS || attach->priv)
		return -EOPNOTSUPP;

	attach->priv = attach;
	return 0;
}

static void ivshmem_buffer_unpin(struct dma_buf_attachment *attach)
{
	attach->priv = NULL;
}

static struct sg_table *ivshmem_sg_alloc(size_t size, dma_addr_t addr)
{
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i, part;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return NULL;
	if (sg_alloc_table(sgt, DIV_ROUND_UP(size, IVSHMEM_SG_MAX),
			   GFP_KERNEL)) {
		kfree(sgt);
		return NULL;
	}

	for_each_sgtable_sg(sgt, sg, i) {
		part = min_t(size_t, size, IVSHMEM_SG_MAX);
		sg_set_page(sg, NULL, part, 0);
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = part;
		addr += part;
		size -= part;
	}

	return sgt;
}

/* Called with the reservation lock */
static struct sg_table *ivshmem_buffer_map(struct dma_buf_attachment *attach,
					   enum dma_data_direction dir)
{
	struct ivshmem_buffer *buffer = attach->dmabuf->priv;
	size_t size = attach->dmabuf->size;
	struct sg_table *sgt;
	dma_addr_t addr;
	int ret;

	if (buffer->revoked)
		return ERR_PTR(-ENODEV);
	if (!buffer->write && dir != DMA_TO_DEVICE)
		return ERR_PTR(-EACCES);

	/* RAM of the host: every device reaches it, wherever it is plugged */
	addr = dma_map_resource(attach->dev,
				buffer->ivd->mem_start + buffer->offset, size,
				dir, DMA_ATTR_SKIP_CPU_SYNC);
	ret = dma_mapping_error(attach->dev, addr);
	if (ret)
		return ERR_PTR(ret);

	sgt = ivshmem_sg_alloc(size, addr);
	if (!sgt) {
		dma_unmap_resource(attach->dev, addr, size, dir,
				   DMA_ATTR_SKIP_CPU_SYNC);
		return ERR_PTR(-ENOMEM);
	}

	return sgt;
}

/* Called with the reservation lock; the device may be gone */
static void ivshmem_buffer_unmap(struct dma_buf_attachment *attach,
				 struct sg_table *sgt,
				 enum dma_data_direction dir)
{
	dma_unmap_resource(attach->dev, sg_dma_address(sgt->sgl),
			   attach->dmabuf->size, dir, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(sgt);
	kfree(sgt);
}

static int ivshmem_buffer_mmap(struct dma_buf *dmabuf,
			       struct vm_area_struct *vma)
{
	return ivshmem_mmap_buffer(dmabuf->priv, vma);
}

static void ivshmem_buffer_release(struct dma_buf *dmabuf)
{
	struct ivshmem_buffer *buffer = dmabuf->priv;
	struct ivshmem_device *ivd = buffer->ivd;

	mutex_lock(&ivd->buffers_lock);
	if (!list_empty(&buffer->node)) {
		list_del(&buffer->node);
		ivd->nr_buffers--;
	}
	mutex_unlock(&ivd->buffers_lock);

	iput(buffer->inode);
	kfree(buffer);
	put_device(&ivd->dev);
}

static const struct dma_buf_ops ivshmem_buffer_ops = {
	.attach = ivshmem_buffer_attach,
	.pin = ivshmem_buffer_pin,
	.unpin = ivshmem_buffer_unpin,
	.map_dma_buf = ivshmem_buffer_map,
	.unmap_dma_buf = ivshmem_buffer_unmap,
	.mmap = ivshmem_buffer_mmap,
	.release = ivshmem_buffer_release,
};

/**
 * ivshmem_buffers_revoke() - take the memory away from those who have buffers
 * @ivd: the device, dead or with another number of revocations
 *
 * From the return on no buffer of before is mapped by a process, nor can a
 * device map it; those that have mapped it were told.
 *
 * Context: Process context; may sleep.  @ivd->lock is not held, since drivers are
 * called that have imported a buffer.  No buffer of before may be under way to
 * be published: either @ivd->region_lock is held or @ivd is dead.
 */
void ivshmem_buffers_revoke(struct ivshmem_device *ivd)
{
	struct ivshmem_buffer *buffer;

	mutex_lock(&ivd->buffers_lock);
	/* Release takes the lock, too: each dma-buf is there */
	list_for_each_entry(buffer, &ivd->buffers, node) {
		/* For good: written here only */
		if (buffer->revoked)
			continue;
		unmap_mapping_range(buffer->inode->i_mapping, 0, 0, 1);
		dma_resv_lock(buffer->dmabuf->resv, NULL);
		buffer->revoked = true;
		dma_buf_invalidate_mappings(buffer->dmabuf);
		dma_resv_unlock(buffer->dmabuf->resv);
	}
	mutex_unlock(&ivd->buffers_lock);
}

/* What devices have announced to do with a buffer that was not asked yet */
static struct dma_fence *ivshmem_buffers_next_fence(struct ivshmem_device *ivd)
{
	struct dma_fence *fence = NULL;
	struct ivshmem_buffer *buffer;
	struct dma_resv *resv;

	mutex_lock(&ivd->buffers_lock);
	list_for_each_entry(buffer, &ivd->buffers, node) {
		if (!buffer->revoked || buffer->drained)
			continue;
		buffer->drained = true;
		resv = buffer->dmabuf->resv;
		dma_resv_lock(resv, NULL);
		if (dma_resv_get_singleton(resv, DMA_RESV_USAGE_BOOKKEEP,
					   &fence))
			fence = NULL;
		dma_resv_unlock(resv);
		if (fence)
			break;
	}
	mutex_unlock(&ivd->buffers_lock);

	return fence;
}

/**
 * ivshmem_buffers_drain() - wait for devices that still use revoked buffers
 * @ivd: the device
 * @ms: for how long, all buffers together
 *
 * No longer: programs can announce work that never ends.  Nothing is locked
 * meanwhile that the release of a buffer needs.
 *
 * Context: Process context; may sleep.
 */
void ivshmem_buffers_drain(struct ivshmem_device *ivd, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	struct dma_fence *fence;
	bool late = false;
	long left;

	while ((fence = ivshmem_buffers_next_fence(ivd))) {
		left = max_t(long, end - jiffies, 0);
		if (dma_fence_wait_timeout(fence, false, left) <= 0)
			late = true;
		dma_fence_put(fence);
	}
	if (late)
		dev_warn(&ivd->dev,
			 "a device still uses an exported part of the memory after %u ms; reset it before you give this part to somebody else\n",
			 ms);
}

static struct ivshmem_buffer *
ivshmem_buffer_alloc(struct ivshmem_device *ivd, size_t size, int open_flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct ivshmem_buffer *buffer;
	struct dma_buf *dmabuf;

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return ERR_PTR(-ENOMEM);

	info.ops = &ivshmem_buffer_ops;
	info.size = size;
	info.flags = open_flags;
	info.priv = buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kfree(buffer);
		return ERR_CAST(dmabuf);
	}

	get_device(&ivd->dev);
	buffer->ivd = ivd;
	buffer->dmabuf = dmabuf;
	buffer->inode = file_inode(dmabuf->file);
	ihold(buffer->inode);
	INIT_LIST_HEAD(&buffer->node);
	buffer->write = (open_flags & O_ACCMODE) == O_RDWR;
	return buffer;
}

/*
 * Called with the region's lock, so that of what revokes only the end of the device
 * can come in between.
 */
static int ivshmem_buffer_publish(struct ivshmem_buffer *buffer,
				  const struct ivshmem_file *file, u64 offset)
{
	struct ivshmem_device *ivd = buffer->ivd;
	int ret;

	down_read(&ivd->lock);
	buffer->revocations = ivd->revocations;
	ret = ivshmem_mmap_place(file, offset, buffer->dmabuf->size,
				 buffer->write, &buffer->offset);
	up_read(&ivd->lock);
	if (ret)
		return ret;

	mutex_lock(&ivd->buffers_lock);
	if (ivd->nr_buffers < IVSHMEM_MAX_BUFFERS) {
		ivd->nr_buffers++;
		list_add_tail(&buffer->node, &ivd->buffers);
	} else {
		ret = -EUSERS;
	}
	mutex_unlock(&ivd->buffers_lock);
	if (ret)
		return ret;

	/* If it has died before that, nobody has revoked this one */
	return READ_ONCE(ivd->dead) ? -ENODEV : 0;
}

/* Returns a descriptor */
static int ivshmem_buffer_export(const struct ivshmem_file *file, u64 offset,
				 u64 length, int open_flags)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_buffer *buffer;
	struct dma_buf *dmabuf;
	size_t size = length;
	int ret;

	if (!length || size != length || !IS_ALIGNED(offset | length, PAGE_SIZE))
		return -EINVAL;

	buffer = ivshmem_buffer_alloc(ivd, size, open_flags);
	if (IS_ERR(buffer))
		return PTR_ERR(buffer);

	dmabuf = buffer->dmabuf;
	ret = mutex_lock_interruptible(&ivd->region_lock);
	if (!ret) {
		ret = ivshmem_buffer_publish(buffer, file, offset);
		mutex_unlock(&ivd->region_lock);
	}
	if (!ret)
		ret = dma_buf_fd(dmabuf, open_flags & O_CLOEXEC);
	if (ret < 0)
		dma_buf_put(dmabuf);

	return ret;
}

int ivshmem_ioctl_dmabuf(struct ivshmem_file *file, fmode_t mode,
			 void __user *uarg)
{
	struct ivshmem_ioc_dmabuf arg;
	u32 usize, access;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags || arg.reserved ||
	    arg.open_flags & ~(O_ACCMODE | O_CLOEXEC))
		return -EINVAL;

	access = arg.open_flags & O_ACCMODE;
	if (access != O_RDONLY && access != O_RDWR)
		return -EINVAL;
	if (!(mode & FMODE_READ) ||
	    (access == O_RDWR && !(mode & FMODE_WRITE)))
		return -EACCES;

	return ivshmem_buffer_export(file, arg.offset, arg.length,
				     arg.open_flags);
}

/* As large as what the file shows; whoever asks takes it for an int */
static int ivshmem_kvmfr_size(const struct ivshmem_file *file)
{
	u64 size = file->section_node ? file->section_node->section->size :
					file->ivd->mem_size;

	return size <= INT_MAX ? size : -EOVERFLOW;
}

static int ivshmem_kvmfr_create(struct ivshmem_file *file, fmode_t mode,
				void __user *uarg)
{
	struct kvmfr_dmabuf_create arg;
	int open_flags;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.flags & ~KVMFR_DMABUF_FLAG_CLOEXEC)
		return -EINVAL;
	if (!(mode & FMODE_READ))
		return -EACCES;

	/* It has no field for that */
	open_flags = mode & FMODE_WRITE ? O_RDWR : O_RDONLY;
	if (arg.flags & KVMFR_DMABUF_FLAG_CLOEXEC)
		open_flags |= O_CLOEXEC;
	return ivshmem_buffer_export(file, arg.offset, arg.size, open_flags);
}

long ivshmem_ioctl_kvmfr(struct ivshmem_file *file, fmode_t mode,
			 unsigned int cmd, void __user *uarg)
{
	if (!READ_ONCE(kvmfr))
		return -ENOTTY;

	switch (cmd) {
	case KVMFR_DMABUF_GETSIZE:
		return ivshmem_kvmfr_size(file);
	case KVMFR_DMABUF_CREATE:
		return ivshmem_kvmfr_create(file, mode, uarg);
	default:
		return -ENOTTY;
	}
}
