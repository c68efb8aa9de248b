// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shared memory, BAR 2: the kernel's mapping and how it is cached, user
 * mappings, and taking those away when the device goes.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#ifdef CONFIG_X86
#include <asm/pgtable.h>
#endif

#include "core.h"
#include "trace.h"

#define IVSHMEM_FS_MAGIC	0x69767368	/* "ivsh" */

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

/* --- the kernel's mapping ------------------------------------------------ */

static void *ivshmem_memory_map(struct ivshmem_device *ivd, u32 mode)
{
	resource_size_t start = ivd->mem_start;
	resource_size_t size = ivd->mem_size;

	switch (mode) {
	case IVSHMEM_CACHE_WB:
		return memremap(start, size, MEMREMAP_WB);
	case IVSHMEM_CACHE_WC:
		return memremap(start, size, MEMREMAP_WC);
	default:
		return (__force void *)ioremap(start, size);
	}
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

static int ivshmem_cache_remap(struct ivshmem_device *ivd, u32 mode)
{
	/* Two mappings of different types must not exist at once */
	if (ivd->mem)
		memunmap(ivd->mem);

	ivd->mem = ivshmem_memory_map(ivd, mode);
	if (ivd->mem) {
		ivd->cache_mode = mode;
		return 0;
	}

	ivd->mem = ivshmem_memory_map(ivd, ivd->cache_mode);
	return -ENOMEM;
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
		ret = ivshmem_cache_remap(ivd, mode);
	up_write(&ivd->lock);

	return ret;
}

/**
 * ivshmem_memory_init() - map the shared memory write-back
 * @ivd: the device, whose BARs are claimed
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_memory_unmap().
 */
int ivshmem_memory_init(struct ivshmem_device *ivd)
{
	struct pci_dev *pdev = ivd->pdev;
	u32 effective;

	ivd->mem_start = pci_resource_start(pdev, IVSHMEM_BAR_MEMORY);
	ivd->mem_size = pci_resource_len(pdev, IVSHMEM_BAR_MEMORY);
	ivd->cache_mode = IVSHMEM_CACHE_WB;

	ivd->mem = ivshmem_memory_map(ivd, IVSHMEM_CACHE_WB);
	if (!ivd->mem)
		return dev_err_probe(&pdev->dev, -ENOMEM,
				     "cannot map the shared memory\n");

	effective = ivshmem_cache_effective(ivd);
	if (effective != IVSHMEM_CACHE_WB && effective)
		dev_warn(&pdev->dev,
			 "shared memory is mapped %s, not write-back, and will be slow: let the firmware place BAR 2 outside of uncached MTRR ranges\n",
			 ivshmem_cache_name(effective));
	return 0;
}

/**
 * ivshmem_memory_unmap() - undo ivshmem_memory_init()
 * @ivd: the device, dead or never published
 */
void ivshmem_memory_unmap(struct ivshmem_device *ivd)
{
	down_write(&ivd->lock);
	if (ivd->mem)
		memunmap(ivd->mem);
	ivd->mem = NULL;
	up_write(&ivd->lock);
}

/* --- one address space for all mappings ---------------------------------- */

/*
 * Each device node, and there may be several of one device, has an address
 * space of its own.  For one call to find every mapping, files are given that
 * of an inode which nobody else sees.
 */
static int ivshmem_fs_init_context(struct fs_context *fc)
{
	return init_pseudo(fc, IVSHMEM_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type ivshmem_fs_type = {
	.name = "ivshmem",
	.owner = THIS_MODULE,
	.init_fs_context = ivshmem_fs_init_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *ivshmem_fs_mount;
static int ivshmem_fs_count;

static int ivshmem_inode_alloc(struct ivshmem_device *ivd)
{
	struct inode *inode;
	int ret;

	ret = simple_pin_fs(&ivshmem_fs_type, &ivshmem_fs_mount,
			    &ivshmem_fs_count);
	if (ret)
		return ret;

	inode = alloc_anon_inode(ivshmem_fs_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&ivshmem_fs_mount, &ivshmem_fs_count);
		return PTR_ERR(inode);
	}

	ivd->inode = inode;
	return 0;
}

/**
 * ivshmem_memory_open() - let a file map the memory
 * @ivd: the device
 * @filp: the file; gets the device's address space
 *
 * The inode lives only while files are open: it pins the module, which is what
 * an open file does anyway, but a bound device must not.
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_memory_close().
 */
int ivshmem_memory_open(struct ivshmem_device *ivd, struct file *filp)
{
	int ret = 0;

	mutex_lock(&ivd->inode_lock);
	if (!ivd->inode)
		ret = ivshmem_inode_alloc(ivd);
	if (!ret) {
		ivd->inode_users++;
		filp->f_mapping = ivd->inode->i_mapping;
	}
	mutex_unlock(&ivd->inode_lock);

	return ret;
}

/**
 * ivshmem_memory_close() - undo ivshmem_memory_open()
 * @ivd: the device
 *
 * A mapping holds its file open, so the last user has none.
 */
void ivshmem_memory_close(struct ivshmem_device *ivd)
{
	mutex_lock(&ivd->inode_lock);
	if (!--ivd->inode_users) {
		iput(ivd->inode);
		ivd->inode = NULL;
		simple_release_fs(&ivshmem_fs_mount, &ivshmem_fs_count);
	}
	mutex_unlock(&ivd->inode_lock);
}

/**
 * ivshmem_memory_revoke() - unmap the memory from all processes
 * @ivd: the device, dead, so that no fault maps it again
 */
void ivshmem_memory_revoke(struct ivshmem_device *ivd)
{
	mutex_lock(&ivd->inode_lock);
	if (ivd->inode)
		unmap_mapping_range(ivd->inode->i_mapping, 0, 0, 1);
	mutex_unlock(&ivd->inode_lock);
}

/* --- user mappings ------------------------------------------------------- */

static void ivshmem_vm_open(struct vm_area_struct *vma)
{
	struct ivshmem_device *ivd = vma->vm_private_data;

	atomic_inc(&ivd->mappings);
}

static void ivshmem_vm_close(struct vm_area_struct *vma)
{
	struct ivshmem_device *ivd = vma->vm_private_data;

	atomic_dec(&ivd->mappings);
}

static vm_fault_t ivshmem_insert_pfn(struct vm_fault *vmf, unsigned long addr,
				     unsigned long pfn, unsigned int order)
{
	if (!order)
		return vmf_insert_pfn(vmf->vma, addr, pfn);
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	if (order == PMD_ORDER)
		return vmf_insert_pfn_pmd(vmf, pfn, false);
#endif
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
	if (order == PUD_ORDER)
		return vmf_insert_pfn_pud(vmf, pfn, false);
#endif
	return VM_FAULT_FALLBACK;
}

static vm_fault_t ivshmem_vm_huge_fault(struct vm_fault *vmf,
					unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ivshmem_device *ivd = vma->vm_private_data;
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);
	vm_fault_t ret = VM_FAULT_SIGBUS;
	unsigned long pfn;

	if (addr < vma->vm_start || size > vma->vm_end - addr)
		return VM_FAULT_FALLBACK;

	/* Within the memory: checked at mmap, and VM_DONTEXPAND since */
	pfn = PHYS_PFN(ivd->mem_start) + vma->vm_pgoff +
	      ((addr - vma->vm_start) >> PAGE_SHIFT);
	if (!IS_ALIGNED(pfn, 1UL << order))
		return VM_FAULT_FALLBACK;

	down_read(&ivd->lock);
	if (!ivd->dead)
		ret = ivshmem_insert_pfn(vmf, addr, pfn, order);
	up_read(&ivd->lock);

	return ret;
}

static vm_fault_t ivshmem_vm_fault(struct vm_fault *vmf)
{
	return ivshmem_vm_huge_fault(vmf, 0);
}

static const struct vm_operations_struct ivshmem_vm_ops = {
	.open = ivshmem_vm_open,
	.close = ivshmem_vm_close,
	.fault = ivshmem_vm_fault,
	/*
	 * Before page table entries could be marked special above the lowest
	 * level, get_user_pages_fast() would have followed a huge one to a
	 * struct page that does not exist.
	 */
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	.huge_fault = ivshmem_vm_huge_fault,
#endif
#ifdef CONFIG_HAVE_IOREMAP_PROT
	.access = generic_access_phys,	/* debuggers */
#endif
};

static pgprot_t ivshmem_vm_prot(struct ivshmem_device *ivd, pgprot_t prot)
{
	/* The host shares these pages: never encrypted with the guest's key */
	prot = pgprot_decrypted(prot);

	switch (ivd->cache_mode) {
	case IVSHMEM_CACHE_WC:
		return pgprot_writecombine(prot);
	case IVSHMEM_CACHE_UC:
		return pgprot_noncached(prot);
	default:
		return prot;
	}
}

static int ivshmem_vm_check(struct ivshmem_device *ivd,
			    struct vm_area_struct *vma)
{
	unsigned long pages = ivd->mem_size >> PAGE_SHIFT;

	/*
	 * A private copy of a live ring is a silent bug.  A shared mapping of a
	 * file that is open for reading has VM_MAYSHARE, but not VM_SHARED.
	 */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;

	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;

	if (vma->vm_flags & VM_EXEC)
		return -EPERM;

	return 0;
}

/**
 * ivshmem_memory_mmap() - map a part of the memory into a process
 * @ivd: the device
 * @vma: where, and which part
 *
 * Context: Process context with mmap_lock held for writing.
 * Return: 0, -EINVAL (private, or out of range), -EPERM (executable), -ENODEV
 * (device gone), -ENOMEM (the kernel itself could not map it as asked).
 */
int ivshmem_memory_mmap(struct ivshmem_device *ivd, struct vm_area_struct *vma)
{
	int ret;

	ret = ivshmem_vm_check(ivd, vma);
	if (ret)
		return ret;

	down_read(&ivd->lock);
	if (ivd->dead) {
		ret = -ENODEV;
	} else if (!ivd->mem) {
		ret = -ENOMEM;
	} else {
		vma->vm_page_prot = ivshmem_vm_prot(ivd, vma->vm_page_prot);
		atomic_inc(&ivd->mappings);
	}
	up_read(&ivd->lock);
	if (ret)
		return ret;

	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_ops = &ivshmem_vm_ops;
	vma->vm_private_data = ivd;

	trace_ivshmem_map(ivd->id, (u64)vma->vm_pgoff << PAGE_SHIFT,
			  vma->vm_end - vma->vm_start,
			  !!(vma->vm_flags & VM_WRITE));
	return 0;
}
