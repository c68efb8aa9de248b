// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shared memory, BAR 2, as the kernel maps it, and how it is cached.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#ifdef CONFIG_X86
#include <asm/pgtable.h>
#endif

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

#ifdef CONFIG_X86
/*
 * The page tables have the last word: a write-back request over a range that
 * the firmware's MTRRs call uncached, or that somebody else has mapped
 * otherwise, is granted as something slower.
 */
static u32 ivshmem_cache_lookup(struct ivshmem_device *ivd)
{
	static const struct {
		enum page_cache_mode pcm;
		u32 mode;
	} modes[] = {
		{ _PAGE_CACHE_MODE_WB, IVSHMEM_CACHE_WB },
		{ _PAGE_CACHE_MODE_WC, IVSHMEM_CACHE_WC },
		{ _PAGE_CACHE_MODE_UC_MINUS, IVSHMEM_CACHE_UC },
		{ _PAGE_CACHE_MODE_UC, IVSHMEM_CACHE_UC },
		{ _PAGE_CACHE_MODE_WT, IVSHMEM_CACHE_WT },
	};
	unsigned int level, i;
	unsigned long bits;
	pgprot_t prot;
	pte_t *pte;

	pte = lookup_address((unsigned long)ivd->mem, &level);
	if (!pte)
		return IVSHMEM_CACHE_UNKNOWN;

	prot = __pgprot(pte_val(*pte));
	if (level != PG_LEVEL_4K)
		prot = pgprot_large_2_4k(prot);
	bits = pgprot_val(prot) & _PAGE_CACHE_MASK;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (bits == cachemode2protval(modes[i].pcm))
			return modes[i].mode;

	return IVSHMEM_CACHE_UNKNOWN;
}
#else
static u32 ivshmem_cache_lookup(struct ivshmem_device *ivd)
{
	/* arm64 has no range types that could overrule the request */
	return IS_ENABLED(CONFIG_ARM64) ? ivd->cache_mode :
					  IVSHMEM_CACHE_UNKNOWN;
}
#endif

/**
 * ivshmem_cache_effective() - how the memory really is cached
 * @ivd: the device
 *
 * That is what this kernel sees; a hypervisor may still overrule it.
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

/*
 * The PAT code grants a write-back request only where the firmware's MTRRs do
 * not say uncached, and they do say so of the PCI windows.  But no hypervisor
 * lets a guest's MTRRs govern its memory, while AMD's nested paging and arm64
 * honour the page tables: what that code grants, uncached, is what a program
 * really gets there, 10 to 100 times slower.  So the pages are mapped past it,
 * as i915 does with its apertures.  Where MTRRs do govern, a write-back entry
 * is harmless: uncached wins.  Nobody else can map the BAR another way, since
 * it is claimed exclusively.
 */
#if defined(CONFIG_X86) && defined(CONFIG_VMAP_PFN)
static void *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
{
	unsigned long first = PHYS_PFN(ivd->mem_start);
	unsigned long nr = ivd->mem_size >> PAGE_SHIFT;
	unsigned long *pfns, i;
	void *mem;

	/* Beside RAM, in one memory section with it: vmap_pfn() would warn */
	if (pfn_valid(first) || pfn_valid(first + nr - 1))
		return NULL;

	pfns = kvmalloc_array(nr, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		return NULL;
	for (i = 0; i < nr; i++)
		pfns[i] = first + i;

	mem = vmap_pfn(pfns, nr, pgprot_decrypted(PAGE_KERNEL));
	kvfree(pfns);
	return mem;
}
#else
static void *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
{
	return NULL;
}
#endif

static void ivshmem_memory_unmap(struct ivshmem_device *ivd)
{
	if (ivd->untracked)
		vunmap(ivd->mem);
	else if (ivd->mem)
		memunmap(ivd->mem);
	ivd->mem = NULL;
	ivd->untracked = false;
}

static void ivshmem_memory_map_wb(struct ivshmem_device *ivd)
{
	ivd->mem = memremap(ivd->mem_start, ivd->mem_size, MEMREMAP_WB);
	if (!ivd->mem || ivshmem_cache_lookup(ivd) != IVSHMEM_CACHE_UC)
		return;

	/* Its reservation of the range as uncached has to go first */
	memunmap(ivd->mem);
	ivd->mem = ivshmem_vmap_untracked(ivd);
	if (ivd->mem)
		ivd->untracked = true;
	else
		ivd->mem = memremap(ivd->mem_start, ivd->mem_size, MEMREMAP_WB);
}

static int ivshmem_memory_map(struct ivshmem_device *ivd, u32 mode)
{
	ivd->cache_mode = mode;

	switch (mode) {
	case IVSHMEM_CACHE_WB:
		ivshmem_memory_map_wb(ivd);
		break;
	case IVSHMEM_CACHE_WC:
		ivd->mem = memremap(ivd->mem_start, ivd->mem_size,
				    MEMREMAP_WC);
		break;
	default:
		ivd->mem = (__force void *)ioremap(ivd->mem_start,
						   ivd->mem_size);
	}

	return ivd->mem ? 0 : -ENOMEM;
}

/* Called with ivd->lock held for writing */
static int ivshmem_memory_remap(struct ivshmem_device *ivd, u32 mode)
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
 * Return: 0, -EBUSY (somebody has it mapped), -ENODEV (device gone), -ENOMEM.
 */
int ivshmem_cache_set(struct ivshmem_device *ivd, u32 mode)
{
	int ret = 0;

	down_write(&ivd->lock);
	if (ivd->dead)
		ret = -ENODEV;
	else if (atomic_read(&ivd->mappings))
		ret = -EBUSY;
	else if (mode != ivd->cache_mode || !ivd->mem)
		ret = ivshmem_memory_remap(ivd, mode);
	up_write(&ivd->lock);

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
			 "shared memory is mapped %s, not write-back, and will be slow: the kernel lacks CONFIG_VMAP_PFN, or BAR 2 lies beside RAM\n",
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
