// SPDX-License-Identifier: GPL-2.0-only
/*
 * User mappings of the shared memory, and taking them away when the device
 * goes.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "core.h"
#include "trace.h"

#define IVSHMEM_FS_MAGIC	0x69767368	/* "ivsh" */
#define IVSHMEM_FAULT_AROUND	(16 * PAGE_SIZE)

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
 * ivshmem_mmap_open() - let a file map the memory
 * @ivd: the device
 * @filp: the file; gets the device's address space
 *
 * The inode lives only while files are open: it pins the module, which is what
 * an open file does anyway, but a bound device must not.
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_mmap_close().
 */
int ivshmem_mmap_open(struct ivshmem_device *ivd, struct file *filp)
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
 * ivshmem_mmap_close() - undo ivshmem_mmap_open()
 * @ivd: the device
 *
 * A mapping holds its file open, so the last user has none.
 */
void ivshmem_mmap_close(struct ivshmem_device *ivd)
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
 * ivshmem_mmap_revoke() - unmap the memory from all processes
 * @ivd: the device, dead, so that no fault maps it again
 */
void ivshmem_mmap_revoke(struct ivshmem_device *ivd)
{
	mutex_lock(&ivd->inode_lock);
	if (ivd->inode)
		unmap_mapping_range(ivd->inode->i_mapping, 0, 0, 1);
	mutex_unlock(&ivd->inode_lock);
}

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

/**
 * ivshmem_vma_pfn() - which page of the memory belongs at an address
 * @vma: a mapping of the memory
 * @addr: address within it
 *
 * Return: page frame number; within the memory, since that was checked at mmap
 * and VM_DONTEXPAND keeps it so.
 */
unsigned long ivshmem_vma_pfn(struct vm_area_struct *vma, unsigned long addr)
{
	struct ivshmem_device *ivd = vma->vm_private_data;

	return PHYS_PFN(ivd->mem_start) + vma->vm_pgoff +
	       ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/* Maps the page, and its neighbours while at it, as page caches do */
static vm_fault_t ivshmem_insert_around(struct vm_area_struct *vma,
					unsigned long fault)
{
	unsigned long start = ALIGN_DOWN(fault, IVSHMEM_FAULT_AROUND);
	unsigned long end = min(start + IVSHMEM_FAULT_AROUND, vma->vm_end);
	struct ivshmem_device *ivd = vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_NOPAGE;
	unsigned long addr;

	start = max(start, vma->vm_start);
	if (ivd->untracked)
		return ivshmem_insert_untracked(vma, start, end - start);

	for (addr = start; addr < end && ret == VM_FAULT_NOPAGE;
	     addr += PAGE_SIZE)
		ret = vmf_insert_pfn(vma, addr, ivshmem_vma_pfn(vma, addr));

	return ret;
}

static vm_fault_t ivshmem_insert_huge(struct vm_fault *vmf, unsigned long addr,
				      unsigned int order)
{
	struct ivshmem_device *ivd = vmf->vma->vm_private_data;
	unsigned long pfn = ivshmem_vma_pfn(vmf->vma, addr);
	bool __maybe_unused write = vmf->flags & FAULT_FLAG_WRITE;

	if (ivd->untracked || !IS_ALIGNED(pfn, 1UL << order))
		return VM_FAULT_FALLBACK;
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	if (order == PMD_ORDER)
		return vmf_insert_pfn_pmd(vmf, pfn, write);
#endif
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
	if (order == PUD_ORDER)
		return vmf_insert_pfn_pud(vmf, pfn, write);
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
	vm_fault_t ret;

	if (addr < vma->vm_start || size > vma->vm_end - addr)
		return VM_FAULT_FALLBACK;

	down_read(&ivd->lock);
	if (ivd->dead)
		ret = VM_FAULT_SIGBUS;
	else if (order)
		ret = ivshmem_insert_huge(vmf, addr, order);
	else
		ret = ivshmem_insert_around(vma, addr);
	up_read(&ivd->lock);

	return ret;
}

static vm_fault_t ivshmem_vm_fault(struct vm_fault *vmf)
{
	return ivshmem_vm_huge_fault(vmf, 0);
}

/* For debuggers, through the mapping that is cached as everybody's is */
static int ivshmem_vm_access(struct vm_area_struct *vma, unsigned long addr,
			     void *buf, int len, int write)
{
	struct ivshmem_device *ivd = vma->vm_private_data;
	void *mem;
	int ret = -ENODEV;

	if (write && !(vma->vm_flags & VM_WRITE))
		return -EACCES;

	/* The caller asks for all that it wants, whatever is mapped here */
	len = min_t(unsigned long, len, vma->vm_end - addr);

	down_read(&ivd->lock);
	if (!ivd->dead && ivd->mem) {
		mem = ivd->mem + (vma->vm_pgoff << PAGE_SHIFT) +
		      (addr - vma->vm_start);
		if (write)
			memcpy(mem, buf, len);
		else
			memcpy(buf, mem, len);
		ret = len;
	}
	up_read(&ivd->lock);

	return ret;
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
	.access = ivshmem_vm_access,
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
 * ivshmem_mmap() - map a part of the memory into a process
 * @ivd: the device
 * @vma: where, and which part
 *
 * Context: Process context with mmap_lock held for writing.
 * Return: 0, -EINVAL (private, or out of range), -EPERM (executable), -ENODEV
 * (device gone), -ENOMEM (the kernel itself could not map it as asked).
 */
int ivshmem_mmap(struct ivshmem_device *ivd, struct vm_area_struct *vma)
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
