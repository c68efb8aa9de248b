// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86: how the memory is really cached, and mapping it write-back where the
 * PAT code would not.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "core.h"

/**
 * ivshmem_cache_lookup() - read the cache mode back from the page tables
 * @ivd: the device; its lock is held, or it is not published
 *
 * They have the last word: a request is granted as something slower where the
 * firmware's MTRRs say uncached, or where somebody else maps the range so.
 *
 * Return: IVSHMEM_CACHE_*.
 */
u32 ivshmem_cache_lookup(struct ivshmem_device *ivd)
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

	pte = lookup_address((__force unsigned long)ivd->mem, &level);
	if (!pte)
		return IVSHMEM_CACHE_UNKNOWN;

	prot = __pgprot(pte_val(*pte));
	if (level != PG_LEVEL_4K)
		prot = pgprot_large_2_4k(prot);
	bits = pgprot_val(prot) & _PAGE_CACHE_MASK;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (bits == cachemode2protval(modes[i].pcm))
			return modes[i].mode;
	}

	return IVSHMEM_CACHE_UNKNOWN;
}

#ifdef CONFIG_VMAP_PFN
/*
 * A foreign reservation would have turned this request, too, into what it has.
 * (MTRRs are not asked for anything but write-back.)
 */
static bool ivshmem_range_is_free(struct ivshmem_device *ivd)
{
	bool granted;

	ivd->mem = ivshmem_memory_remap(ivd, MEMREMAP_WC);
	if (!ivd->mem)
		return false;

	granted = ivshmem_cache_lookup(ivd) == IVSHMEM_CACHE_WC;
	memunmap((__force void *)ivd->mem);
	ivd->mem = NULL;

	return granted;
}

/**
 * ivshmem_vmap_untracked() - map the memory write-back past the PAT code
 * @ivd: the device, whose memory nothing of this driver maps
 *
 * The PAT code grants a write-back request only where the firmware's MTRRs do
 * not say uncached, and firmware says so of the PCI windows.  But hypervisors
 * do not let a guest's MTRRs govern memory that they share with it (KVM on
 * Intel does when a device with non-coherent DMA is assigned), while AMD's
 * nested paging honours the guest's page tables: uncached is what programs
 * would really get there, 10 to 100 times slower.  Where MTRRs do govern, a
 * write-back entry is harmless: uncached wins.
 *
 * So no reservation is made, and the pages are mapped without asking for one:
 * here, and for programs in ivshmem_insert_untracked().  All of these mappings
 * are write-back; the BAR is claimed exclusively, and a mapping that somebody
 * made before is noticed above.
 *
 * Return: the address, for vunmap(), or NULL when it cannot be done.
 */
u8 __ivshmem *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
{
	unsigned long first = PHYS_PFN(ivd->mem_start);
	unsigned long nr = ivd->mem_size >> PAGE_SHIFT;
	unsigned long *pfns, i;
	void *mem;

	/* Beside RAM, in one memory section with it: vmap_pfn() would warn */
	if (pfn_valid(first) || pfn_valid(first + nr - 1))
		return NULL;

	if (!ivshmem_range_is_free(ivd))
		return NULL;

	pfns = kvmalloc_array(nr, sizeof(*pfns), GFP_KERNEL | __GFP_NOWARN);
	if (!pfns)
		return NULL;
	for (i = 0; i < nr; i++)
		pfns[i] = first + i;

	mem = vmap_pfn(pfns, nr, pgprot_decrypted(PAGE_KERNEL));
	kvfree(pfns);
	return (__force u8 __ivshmem *)mem;
}
#else
u8 __ivshmem *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
{
	return NULL;
}
#endif

static int ivshmem_set_pte(pte_t *pte, unsigned long addr, void *data)
{
	struct vm_area_struct *vma = data;
	unsigned long pfn = ivshmem_vma_pfn(vma, addr);

	/* Another thread may have faulted here, and more may be known since */
	if (pte_none(ptep_get(pte)))
		set_pte_at(vma->vm_mm, addr, pte,
			   pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot)));
	return 0;
}

/**
 * ivshmem_insert_untracked() - map pages into a process past the PAT code
 * @vma: VM_PFNMAP mapping of a device whose memory is untracked
 * @addr: first address
 * @size: bytes, within @vma
 *
 * vmf_insert_pfn() would look for a reservation, and map uncached without one.
 *
 * Context: Page fault of @vma.
 * Return: VM_FAULT_NOPAGE or VM_FAULT_OOM.
 */
vm_fault_t ivshmem_insert_untracked(struct vm_area_struct *vma,
				    unsigned long addr, unsigned long size)
{
	return apply_to_page_range(vma->vm_mm, addr, size, ivshmem_set_pte,
				   vma) ? VM_FAULT_OOM : VM_FAULT_NOPAGE;
}
