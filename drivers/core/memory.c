// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shared memory, BAR 2, as the kernel maps it, and how it is cached.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/vmalloc.h>

#include "core.h"

static const char * const ivshmem_cache_names[] = {
	[IVSHMEM_CACHE_UNKNOWN] = "unknown",
	[IVSHMEM_CACHE_WB] = "wb",
	[IVSHMEM_CACHE_WT] = "wt",
	[IVSHMEM_CACHE_WC] = "wc",
	[IVSHMEM_CACHE_UC] = "uc",
};

const char *ivshmem_cache_name(u32 mode)
{
	return ivshmem_cache_names[mode];
}

/**
 * ivshmem_cache_effective() - how the memory really is cached
 * @ivd: the device
 *
 * That is how this kernel maps it; MTRRs or a hypervisor may still overrule it.
 *
 * Context: Process context; may sleep.
 * Return: IVSHMEM_CACHE_*.
 */
u32 ivshmem_cache_effective(struct ivshmem_device *ivd)
{
	u32 mode = IVSHMEM_CACHE_UNKNOWN;

	down_read(&ivd->lock);
	if (!ivd->dead && ivd->mem)
		mode = ivshmem_cache_lookup(ivd);
	up_read(&ivd->lock);

	return mode;
}

/**
 * ivshmem_cache_is_ordered() - whether barriers order what is in the memory
 * @ivd: the device
 *
 * On x86 those of the region's protocols are none, or the compiler's, where
 * stores and loads of write-back and uncached memory have an order by
 * themselves.  Those of write-combining memory have none.
 *
 * Context: Process context, with the region's lock or @ivd->lock.
 * Return: whether they do.
 */
bool ivshmem_cache_is_ordered(const struct ivshmem_device *ivd)
{
	return ivd->cache_mode != IVSHMEM_CACHE_WC;
}

/* memremap(), in the address space that only accessors touch */
u8 __ivshmem *ivshmem_memory_remap(struct ivshmem_device *ivd,
				   unsigned long flags)
{
	return (__force u8 __ivshmem *)memremap(ivd->mem_start, ivd->mem_size,
						flags);
}

/**
 * ivshmem_memory_get() - keep the memory where it is, to look at it
 * @ivd: the device
 *
 * Context: Process context; may sleep.  Nothing that takes @ivd->lock may be
 * called up to ivshmem_memory_put().
 * Return: whether it is there.
 */
bool ivshmem_memory_get(struct ivshmem_device *ivd)
{
	down_read(&ivd->lock);
	if (!ivd->dead && ivd->mem)
		return true;
	up_read(&ivd->lock);
	return false;
}

/* ivshmem_memory_put() - undo ivshmem_memory_get() that has returned true */
void ivshmem_memory_put(struct ivshmem_device *ivd)
{
	up_read(&ivd->lock);
}

static void ivshmem_memory_unmap(struct ivshmem_device *ivd)
{
	if (ivd->untracked)
		vunmap((__force void *)ivd->mem);
	else if (ivd->mem)
		memunmap((__force void *)ivd->mem);
	ivd->mem = NULL;
	ivd->untracked = false;
}

static void ivshmem_memory_map_wb(struct ivshmem_device *ivd)
{
	ivd->mem = ivshmem_memory_remap(ivd, MEMREMAP_WB);
	if (!ivd->mem || ivshmem_cache_lookup(ivd) != IVSHMEM_CACHE_UC)
		return;

	/* Its reservation of the range as uncached has to go first */
	memunmap((__force void *)ivd->mem);
	ivd->mem = ivshmem_vmap_untracked(ivd);
	if (ivd->mem)
		ivd->untracked = true;
	else
		ivd->mem = ivshmem_memory_remap(ivd, MEMREMAP_WB);
}

static int ivshmem_memory_map(struct ivshmem_device *ivd, u32 mode)
{
	ivd->cache_mode = mode;

	switch (mode) {
	case IVSHMEM_CACHE_WB:
		ivshmem_memory_map_wb(ivd);
		break;
	case IVSHMEM_CACHE_WC:
		ivd->mem = ivshmem_memory_remap(ivd, MEMREMAP_WC);
		break;
	default:
		ivd->mem = (__force u8 __ivshmem *)ioremap(ivd->mem_start,
							   ivd->mem_size);
	}

	return ivd->mem ? 0 : -ENOMEM;
}

/* Called with ivd->lock held for writing */
static int ivshmem_memory_change(struct ivshmem_device *ivd, u32 mode)
{
	u32 old = ivd->cache_mode;
	int ret;

	/* Two mappings of different types must not exist at once */
	ivshmem_memory_unmap(ivd);
	ret = ivshmem_memory_map(ivd, mode);
	if (ret)
		ivshmem_memory_map(ivd, old);

	return ret;
}

/**
 * ivshmem_cache_set() - map the memory otherwise, for kernel and users alike
 * @ivd: the device
 * @mode: IVSHMEM_CACHE_WB, IVSHMEM_CACHE_WC or IVSHMEM_CACHE_UC
 *
 * Context: Process context; may sleep.
 * Write-combining stores and loads pass each other, so that none of the region's
 * protocols hold: there is no slot then.
 *
 * Return: 0, -EBUSY (somebody has it mapped, or functions use it; or this kernel
 * has a slot, and @mode is IVSHMEM_CACHE_WC), -EOPNOTSUPP (uncached memory of this
 * architecture takes no memcpy() of all lengths), -ENODEV (device gone), -ENOMEM
 * (it stays, or is again, as it was).
 */
int ivshmem_cache_set(struct ivshmem_device *ivd, u32 mode)
{
	bool was_ordered, joined;
	int ret = 0;

	mutex_lock(&ivd->region_lock);
	down_write(&ivd->lock);
	was_ordered = ivshmem_cache_is_ordered(ivd);
	joined = ivd->self.place != IVSHMEM_NO_SLOT;
	if (ivd->dead)
		ret = -ENODEV;
	else if (atomic_read(&ivd->mappings) ||
		 (mode == IVSHMEM_CACHE_WC && joined) ||
		 ivshmem_functions_exist(ivshmem_format(ivd)))
		ret = -EBUSY;
	else if (mode == IVSHMEM_CACHE_UC && !IS_ENABLED(CONFIG_X86))
		ret = -EOPNOTSUPP;
	else if (mode != ivd->cache_mode || !ivd->mem)
		ret = ivshmem_memory_change(ivd, mode);
	up_write(&ivd->lock);
	/* There may be a slot now, or none any more to choose */
	if (was_ordered != ivshmem_cache_is_ordered(ivd))
		ivshmem_region_reenter(ivd);
	mutex_unlock(&ivd->region_lock);

	return ret;
}

/**
 * ivshmem_memory_init() - map the shared memory write-back
 * @ivd: the device, whose BARs are claimed
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_memory_exit().
 */
int ivshmem_memory_init(struct ivshmem_device *ivd)
{
	struct pci_dev *pdev = ivd->pdev;
	u32 effective;

	ivd->mem_start = pci_resource_start(pdev, IVSHMEM_BAR_MEMORY);
	ivd->mem_size = pci_resource_len(pdev, IVSHMEM_BAR_MEMORY);

	if (ivshmem_memory_map(ivd, IVSHMEM_CACHE_WB))
		return dev_err_probe(&pdev->dev, -ENOMEM,
				     "cannot map the shared memory\n");

	effective = ivshmem_cache_effective(ivd);
	if (effective && effective != IVSHMEM_CACHE_WB)
		dev_warn(&pdev->dev,
			 "shared memory is mapped %s, not write-back, and will be slow: a program maps BAR 2 through sysfs, or the firmware's MTRRs call it uncached and this kernel lacks CONFIG_VMAP_PFN\n",
			 ivshmem_cache_name(effective));
	return 0;
}

/**
 * ivshmem_memory_exit() - undo ivshmem_memory_init()
 * @ivd: the device, dead or never published
 */
void ivshmem_memory_exit(struct ivshmem_device *ivd)
{
	down_write(&ivd->lock);
	ivshmem_memory_unmap(ivd);
	up_write(&ivd->lock);
}
