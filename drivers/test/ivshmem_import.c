// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for the tests of dma-bufs: imports one for QEMU's device "edu", whose
 * engine then reads and writes it by DMA.  import.h has its ioctls.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "import.h"

MODULE_IMPORT_NS(IVSHMEM_DMABUF_NS);

#define EDU_VENDOR_ID	0x1234
#define EDU_DEVICE_ID	0x11e8

/* Registers of 64 bits, and the buffer of the engine in its own addresses */
#define EDU_DMA_SOURCE	0x80
#define EDU_DMA_TARGET	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_COMMAND	0x98
#define EDU_DMA_RUN	BIT(0)
#define EDU_DMA_OUT	BIT(1)
#define EDU_BUFFER	0x40000

/**
 * struct edu - the device
 * @misc: its node
 * @pdev: its PCI function
 * @regs: BAR 0
 * @bounce: a page that it reaches by DMA
 * @bounce_addr: where
 * @lock: guards the engine and @bounce
 */
struct edu {
	struct miscdevice misc;
	struct pci_dev *pdev;
	void __iomem *regs;
	void *bounce;
	dma_addr_t bounce_addr;
	struct mutex lock;
};

/**
 * struct import - an open file, which has imported one buffer at most
 * @edu: the device
 * @lock: guards @attach against other calls
 * @attach: the buffer, or NULL
 * @sgt: as it is mapped, or NULL; under the buffer's reservation lock
 * @dir: how; likewise
 * @told: times that the exporter wanted it back; likewise
 */
struct import {
	struct edu *edu;
	struct mutex lock;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	enum dma_data_direction dir;
	unsigned int told;
};

/* Called with the reservation lock */
static void import_unmap(struct import *import)
{
	if (!import->sgt)
		return;

	dma_buf_unmap_attachment(import->attach, import->sgt, import->dir);
	import->sgt = NULL;
}

static void import_invalidate(struct dma_buf_attachment *attach)
{
	struct import *import = attach->importer_priv;

	import->told++;
	import_unmap(import);
}

static const struct dma_buf_attach_ops import_attach_ops = {
	.allow_peer2peer = true,
	.IVSHMEM_INVALIDATE = import_invalidate,
};

static int import_attach(struct import *import, int fd,
			 const struct dma_buf_attach_ops *ops)
{
	struct device *dev = &import->edu->pdev->dev;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;

	if (import->attach)
		return -EBUSY;

	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	attach = dma_buf_dynamic_attach(dmabuf, dev, ops, import);
	if (IS_ERR(attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(attach);
	}

	import->attach = attach;
	return 0;
}

/* Called with the reservation lock */
static int import_map(struct import *import, unsigned long dir)
{
	struct sg_table *sgt;

	if (dir > DMA_FROM_DEVICE)
		return -EINVAL;

	import_unmap(import);
	sgt = dma_buf_map_attachment(import->attach, dir);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);

	import->sgt = sgt;
	import->dir = dir;
	return 0;
}

/* Called with the reservation lock */
static int import_vmap(struct import *import)
{
	struct dma_buf *dmabuf = import->attach->dmabuf;
	struct iosys_map map;
	int ret;

	ret = dma_buf_vmap(dmabuf, &map);
	if (!ret)
		dma_buf_vunmap(dmabuf, &map);
	return ret;
}

static int edu_copy(struct edu *edu, u64 from, u64 to, u32 length, u64 command)
{
	u64 busy;

	writeq(from, edu->regs + EDU_DMA_SOURCE);
	writeq(to, edu->regs + EDU_DMA_TARGET);
	writeq(length, edu->regs + EDU_DMA_COUNT);
	writeq(command | EDU_DMA_RUN, edu->regs + EDU_DMA_COMMAND);
	return readq_poll_timeout(edu->regs + EDU_DMA_COMMAND, busy,
				  !(busy & EDU_DMA_RUN), USEC_PER_MSEC,
				  10 * USEC_PER_SEC);
}

/* From anywhere to anywhere, both reached by DMA; called with the device's lock */
static int edu_move(struct edu *edu, dma_addr_t from, dma_addr_t to, u32 length)
{
	int ret;

	ret = edu_copy(edu, from, EDU_BUFFER, length, 0);
	return ret ?: edu_copy(edu, EDU_BUFFER, to, length, EDU_DMA_OUT);
}

/* Called with the reservation lock: what is mapped stays so */
static int import_move(struct import *import, struct import_dma *arg,
		       bool write)
{
	struct edu *edu = import->edu;
	dma_addr_t there;
	int ret;

	if (!import->sgt)
		return -ENXIO;

	there = sg_dma_address(import->sgt->sgl) + arg->offset;
	mutex_lock(&edu->lock);
	if (write)
		memcpy(edu->bounce, arg->bytes, arg->length);
	ret = write ?
	      edu_move(edu, edu->bounce_addr, there, arg->length) :
	      edu_move(edu, there, edu->bounce_addr, arg->length);
	if (!ret && !write)
		memcpy(arg->bytes, edu->bounce, arg->length);
	mutex_unlock(&edu->lock);

	return ret;
}

static int import_dma(struct import *import, void __user *uarg, bool write)
{
	struct import_dma arg;
	size_t size = import->attach->dmabuf->size;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.length > sizeof(arg.bytes) || arg.offset > size ||
	    arg.length > size - arg.offset)
		return -EINVAL;

	dma_resv_lock(import->attach->dmabuf->resv, NULL);
	ret = import_move(import, &arg, write);
	dma_resv_unlock(import->attach->dmabuf->resv);

	if (ret)
		return ret;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

/* What needs the reservation lock and no memory of the caller */
static int import_reserved(struct import *import, unsigned int cmd,
			   unsigned long arg)
{
	int ret;

	dma_resv_lock(import->attach->dmabuf->resv, NULL);
	switch (cmd) {
	case IMPORT_MAP:
		ret = import_map(import, arg);
		break;
	case IMPORT_VMAP:
		ret = import_vmap(import);
		break;
	case IMPORT_TOLD:
		ret = import->told;
		break;
	default:
		ret = -ENOTTY;
	}
	dma_resv_unlock(import->attach->dmabuf->resv);

	return ret;
}

static int import_call(struct import *import, unsigned int cmd,
		       unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	if (cmd == IMPORT_ATTACH)
		return import_attach(import, arg, &import_attach_ops);
	if (cmd == IMPORT_ATTACH_STATIC)
		return import_attach(import, arg, NULL);
	if (!import->attach)
		return -ENXIO;
	if (cmd == IMPORT_READ || cmd == IMPORT_WRITE)
		return import_dma(import, uarg, cmd == IMPORT_WRITE);

	return import_reserved(import, cmd, arg);
}

static long import_ioctl(struct file *filp, unsigned int cmd,
			 unsigned long arg)
{
	struct import *import = filp->private_data;
	int ret;

	mutex_lock(&import->lock);
	ret = import_call(import, cmd, arg);
	mutex_unlock(&import->lock);

	return ret;
}

static int import_open(struct inode *inode, struct file *filp)
{
	struct import *import;

	import = kzalloc(sizeof(*import), GFP_KERNEL);
	if (!import)
		return -ENOMEM;

	mutex_init(&import->lock);
	import->edu = container_of(filp->private_data, struct edu, misc);
	filp->private_data = import;
	return 0;
}

static int import_release(struct inode *inode, struct file *filp)
{
	struct import *import = filp->private_data;
	struct dma_buf *dmabuf;

	if (import->attach) {
		dmabuf = import->attach->dmabuf;
		dma_resv_lock(dmabuf->resv, NULL);
		import_unmap(import);
		dma_resv_unlock(dmabuf->resv);
		dma_buf_detach(dmabuf, import->attach);
		dma_buf_put(dmabuf);
	}
	kfree(import);
	return 0;
}

static const struct file_operations import_fops = {
	.owner = THIS_MODULE,
	.open = import_open,
	.release = import_release,
	.unlocked_ioctl = import_ioctl,
};

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	int ret;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	edu->bounce = dmam_alloc_coherent(&pdev->dev, PAGE_SIZE,
					  &edu->bounce_addr, GFP_KERNEL);
	if (!edu->bounce)
		return -ENOMEM;

	pci_set_master(pdev);
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = "ivshmem_import";
	edu->misc.fops = &import_fops;
	pci_set_drvdata(pdev, edu);
	return misc_register(&edu->misc);
}

/* The tests leave the device where it is while they use it */
static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	misc_deregister(&edu->misc);
}

static const struct pci_device_id edu_pci_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR_ID, EDU_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_pci_ids);

static struct pci_driver edu_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_pci_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};
module_pci_driver(edu_pci_driver);

MODULE_DESCRIPTION("Imports dma-bufs, for tests");
MODULE_LICENSE("GPL");
