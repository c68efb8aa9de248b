// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI function: probe, remove, sleep, and noticing that it is gone.
 */
#include <linux/iopoll.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "core.h"
#include "trace.h"

#define IVSHMEM_VENDOR_ID	PCI_VENDOR_ID_REDHAT_QUMRANET
#define IVSHMEM_DEVICE_ID	0x1110

/* What a bus answers when nobody is there */
#define IVSHMEM_ALL_ONES	(~0U)

/**
 * ivshmem_device_kill() - take the device away from everybody who uses it
 * @ivd: the device
 *
 * From the return on no mapping, file or doorbell reaches the hardware.
 * Readers and pollers wake with an error; page faults raise SIGBUS; devices that
 * use the memory by DMA are told to stop.
 *
 * Context: Process context; may sleep.  May be called more than once, also at
 * the same time: each call returns only when it is done.
 */
void ivshmem_device_kill(struct ivshmem_device *ivd)
{
	mutex_lock(&ivd->kill_lock);
	if (!ivd->dead) {
		down_write(&ivd->lock);
		WRITE_ONCE(ivd->dead, true);
		up_write(&ivd->lock);

		/* No fault inserts a page any more: none is left behind */
		ivshmem_mmap_revoke(ivd);
		ivshmem_buffers_revoke(ivd);
		ivshmem_doorbell_hangup(ivd, NULL);
	}
	mutex_unlock(&ivd->kill_lock);
}

/**
 * ivshmem_device_peer_id() - ask the device for its own peer id
 * @ivd: the device
 * @peer_id: filled in
 *
 * A device that answers all ones has been pulled out (a valid id has 16 bits):
 * it is then dead.
 *
 * Context: Process context; may sleep.
 * Return: 0, or -ENODEV when the device is gone.
 */
int ivshmem_device_peer_id(struct ivshmem_device *ivd, u32 *peer_id)
{
	u32 id = IVSHMEM_ALL_ONES;
	bool gone_now = false;

	down_read(&ivd->lock);
	if (!ivd->dead) {
		id = readl(ivd->regs + IVSHMEM_REG_IVPOSITION);
		gone_now = id == IVSHMEM_ALL_ONES;
	}
	up_read(&ivd->lock);

	if (gone_now) {
		dev_err(&ivd->dev,
			"device does not answer (removed?); remove it from the bus or rebind the driver\n");
		ivshmem_device_kill(ivd);
	}
	if (id == IVSHMEM_ALL_ONES)
		return -ENODEV;

	*peer_id = id & 0xffff;
	return 0;
}

/* Revision 0 (QEMU before 2.6) has no id until its server has answered */
static int ivshmem_wait_ready(struct ivshmem_device *ivd)
{
	u32 id;

	if (ivd->revision)
		return readl(ivd->regs + IVSHMEM_REG_IVPOSITION) ==
		       IVSHMEM_ALL_ONES ? -ENODEV : 0;

	return readl_poll_timeout(ivd->regs + IVSHMEM_REG_IVPOSITION, id,
				  id != IVSHMEM_ALL_ONES, 10 * USEC_PER_MSEC,
				  USEC_PER_SEC);
}

static int ivshmem_check_bars(struct pci_dev *pdev)
{
	resource_size_t size = pci_resource_len(pdev, IVSHMEM_BAR_MEMORY);

	if (!(pci_resource_flags(pdev, IVSHMEM_BAR_REGS) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, IVSHMEM_BAR_REGS) < IVSHMEM_REGS_SIZE)
		return dev_err_probe(&pdev->dev, -EINVAL,
				     "BAR 0 is not a register page\n");

	if (!(pci_resource_flags(pdev, IVSHMEM_BAR_MEMORY) & IORESOURCE_MEM) ||
	    !size)
		return dev_err_probe(&pdev->dev, -EINVAL,
				     "no shared memory in BAR 2: does the PCI window have room for it?\n");

	if (size < PAGE_SIZE || !is_power_of_2(size) ||
	    !PAGE_ALIGNED(pci_resource_start(pdev, IVSHMEM_BAR_MEMORY)))
		return dev_err_probe(&pdev->dev, -EINVAL,
				     "shared memory %pR is smaller than a page or not aligned; enlarge it\n",
				     &pdev->resource[IVSHMEM_BAR_MEMORY]);

	return 0;
}

static struct ivshmem_device *ivshmem_device_alloc(struct pci_dev *pdev)
{
	struct ivshmem_device *ivd;
	int ret;

	ivd = kzalloc(sizeof(*ivd), GFP_KERNEL);
	if (!ivd)
		return ERR_PTR(-ENOMEM);

	ivd->pdev = pdev;
	ivd->revision = pdev->revision;
	init_rwsem(&ivd->lock);
	mutex_init(&ivd->kill_lock);
	mutex_init(&ivd->inode_lock);
	INIT_LIST_HEAD(&ivd->buffers);
	mutex_init(&ivd->buffers_lock);
	init_waitqueue_head(&ivd->gone_wait);
	INIT_LIST_HEAD(&ivd->files);
	spin_lock_init(&ivd->files_lock);
	spin_lock_init(&ivd->ring_lock);
	ivd->ring_rate = IVSHMEM_RATE_DEFAULT;
	ivd->irq_rate = IVSHMEM_RATE_DEFAULT;
	ret = ivshmem_region_init(ivd);
	if (ret)
		goto err_free;

	ret = ivshmem_chardev_init(ivd);
	if (ret)
		goto err_region;

	return ivd;

err_region:
	ivshmem_region_free(ivd);
err_free:
	kfree(ivd);
	return ERR_PTR(ret);
}

static int ivshmem_bars(struct pci_dev *pdev)
{
	return pci_select_bars(pdev, IORESOURCE_MEM);
}

/*
 * Claims all BARs exclusively, so that the files in sysfs cannot be mapped
 * past the driver: neither the registers nor the MSI-X table (whoever writes
 * that chooses what is interrupted) nor the memory after an unplug.
 */
static int ivshmem_enable(struct pci_dev *pdev)
{
	int ret;

	if (pdev->revision > 1)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "revision %u is not known to this driver\n",
				     pdev->revision);

	ret = ivshmem_check_bars(pdev);
	if (ret)
		return ret;

	ret = pci_enable_device_mem(pdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "cannot be enabled\n");

	ret = pci_request_selected_regions_exclusive(pdev, ivshmem_bars(pdev),
						     KBUILD_MODNAME);
	if (ret) {
		pci_disable_device(pdev);
		return dev_err_probe(&pdev->dev, ret,
				     "BARs are in use, by a program or by another driver\n");
	}

	return 0;
}

static void ivshmem_disable(struct pci_dev *pdev)
{
	pci_release_selected_regions(pdev, ivshmem_bars(pdev));
	pci_disable_device(pdev);
}

static int ivshmem_map_regs(struct ivshmem_device *ivd)
{
	int ret;

	ivd->regs = pci_iomap(ivd->pdev, IVSHMEM_BAR_REGS, 0);
	if (!ivd->regs)
		return dev_err_probe(&ivd->pdev->dev, -ENOMEM,
				     "cannot map the registers\n");

	ret = ivshmem_wait_ready(ivd);
	if (ret) {
		pci_iounmap(ivd->pdev, ivd->regs);
		return dev_err_probe(&ivd->pdev->dev, ret,
				     "does not answer: is its server running?\n");
	}

	return 0;
}

static int ivshmem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ivshmem_device *ivd;
	u32 peer_id;
	int ret;

	ret = ivshmem_enable(pdev);
	if (ret)
		return ret;

	ivd = ivshmem_device_alloc(pdev);
	if (IS_ERR(ivd)) {
		ret = PTR_ERR(ivd);
		goto err_disable;
	}

	ret = ivshmem_map_regs(ivd);
	if (ret)
		goto err_put;

	ret = ivshmem_memory_init(ivd);
	if (ret)
		goto err_regs;

	ret = ivshmem_doorbell_init(ivd);
	if (ret)
		goto err_memory;

	pci_set_drvdata(pdev, ivd);
	/* Who opens it at once waits for the first look */
	mutex_lock(&ivd->region_lock);
	ret = ivshmem_chardev_add(ivd);
	if (ret)
		goto err_doorbell;

	ivshmem_debugfs_add(ivd);
	if (!ivshmem_device_peer_id(ivd, &peer_id))
		trace_ivshmem_probe(ivd->id, peer_id, ivd->nr_vectors,
				    ivd->mem_size);
	ivshmem_region_start(ivd);
	mutex_unlock(&ivd->region_lock);
	return 0;

err_doorbell:
	mutex_unlock(&ivd->region_lock);
	/* A node made beforehand may have been opened for a moment */
	ivshmem_device_kill(ivd);
	ivshmem_doorbell_exit(ivd);
	ivshmem_region_exit(ivd);
err_memory:
	ivshmem_memory_exit(ivd);
err_regs:
	pci_iounmap(pdev, ivd->regs);
err_put:
	put_device(&ivd->dev);
err_disable:
	ivshmem_disable(pdev);
	return ret;
}

static void ivshmem_remove(struct pci_dev *pdev)
{
	struct ivshmem_device *ivd = pci_get_drvdata(pdev);

	/* Tells who waits on the attributes, so before these go */
	ivshmem_region_stop(ivd);
	ivshmem_debugfs_remove(ivd);
	cdev_device_del(&ivd->cdev, &ivd->dev);
	ivshmem_device_kill(ivd);
	ivshmem_buffers_drain(ivd, IVSHMEM_DRAIN_MS);
	ivshmem_doorbell_exit(ivd);
	ivshmem_region_exit(ivd);
	ivshmem_memory_exit(ivd);
	pci_iounmap(pdev, ivd->regs);
	put_device(&ivd->dev);
	ivshmem_disable(pdev);
}

/* A new kernel may boot from here: no interrupt may reach it */
static void ivshmem_shutdown(struct pci_dev *pdev)
{
	struct ivshmem_device *ivd = pci_get_drvdata(pdev);

	ivshmem_region_stop(ivd);
	ivshmem_device_kill(ivd);
	ivshmem_doorbell_exit(ivd);
	ivshmem_region_exit(ivd);
	pci_clear_master(pdev);
}

/*
 * The PCI core has restored the BARs and MSI-X.  Doorbells may have been lost
 * while interrupts were off, so everybody looks at the memory once.
 */
static int ivshmem_resume(struct device *dev)
{
	struct ivshmem_device *ivd = dev_get_drvdata(dev);
	u32 peer_id;
	int ret;

	ret = ivshmem_device_peer_id(ivd, &peer_id);
	if (ret)
		return ret;

	ivshmem_doorbell_fire_all(ivd);
	ivshmem_region_rung(ivd);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(ivshmem_pm_ops, NULL, ivshmem_resume);

/*
 * While the function is reset its registers and its memory read all ones, which
 * must not be taken for its removal, nor for what others have written: whoever
 * wants the hardware waits, page faults too, and functions, which do not ask, are
 * gone meanwhile.  Nor do devices ask that use the memory by DMA: what they have
 * imported is revoked for good.
 */
static void ivshmem_reset_prepare(struct pci_dev *pdev)
{
	struct ivshmem_device *ivd = pci_get_drvdata(pdev);

	mutex_lock(&ivd->region_lock);
	ivshmem_region_pause(ivd);
	down_write(&ivd->lock);
	ivd->revocations++;
	up_write(&ivd->lock);
	ivshmem_buffers_revoke(ivd);

	down_write(&ivd->lock);
	ivshmem_mmap_revoke(ivd);
}

static void ivshmem_reset_done(struct pci_dev *pdev)
{
	struct ivshmem_device *ivd = pci_get_drvdata(pdev);

	up_write(&ivd->lock);
	ivshmem_region_reenter(ivd);
	mutex_unlock(&ivd->region_lock);
	ivshmem_doorbell_fire_all(ivd);
	ivshmem_region_rung(ivd);
}

static const struct pci_error_handlers ivshmem_err_handlers = {
	.reset_prepare = ivshmem_reset_prepare,
	.reset_done = ivshmem_reset_done,
};

static const struct pci_device_id ivshmem_pci_ids[] = {
	{ PCI_DEVICE(IVSHMEM_VENDOR_ID, IVSHMEM_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ivshmem_pci_ids);

static struct pci_driver ivshmem_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = ivshmem_pci_ids,
	.probe = ivshmem_probe,
	.remove = ivshmem_remove,
	.shutdown = ivshmem_shutdown,
	.err_handler = &ivshmem_err_handlers,
	.driver.pm = pm_sleep_ptr(&ivshmem_pm_ops),
};

int ivshmem_pci_register(void)
{
	return pci_register_driver(&ivshmem_pci_driver);
}

void ivshmem_pci_unregister(void)
{
	pci_unregister_driver(&ivshmem_pci_driver);
}
