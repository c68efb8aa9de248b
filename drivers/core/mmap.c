// SPDX-License-Identifier: GPL-2.0-only
/*
 * User mappings of the shared memory: what may be mapped, and taking it away
 * when the device goes or the region is formatted otherwise.
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
 * @ivd: the device
 *
 * Faults map again what may be mapped now: nothing, if the device is dead.
 */
void ivshmem_mmap_revoke(struct ivshmem_device *ivd)
{
	mutex_lock(&ivd->inode_lock);
	if (ivd->inode)
		unmap_mapping_range(ivd->inode->i_mapping, 0, 0, 1);
	mutex_unlock(&ivd->inode_lock);
}

/* Pages of the memory, from @first up to @end */
struct ivshmem_pages {
	unsigned long first;
	unsigned long end;
};

/* Whose memory somebody maps, and what he may map of it */
struct ivshmem_view {
	struct ivshmem_device *ivd;
	const struct ivshmem_node *node;	/* of a section, or NULL */
	const struct ivshmem_buffer *buffer;	/* a dma-buf, or NULL */
};

static struct ivshmem_view ivshmem_file_view(const struct ivshmem_file *file)
{
	return (struct ivshmem_view) {
		.ivd = file->ivd,
		.node = file->section_node,
	};
}

static struct ivshmem_view ivshmem_vma_view(const struct vm_area_struct *vma)
{
	const struct ivshmem_buffer *buffer = vma->vm_private_data;

	if (!buffer)
		return ivshmem_file_view(vma->vm_file->private_data);

	return (struct ivshmem_view) {
		.ivd = buffer->ivd,
		.buffer = buffer,
	};
}

static struct ivshmem_device *ivshmem_vma_device(struct vm_area_struct *vma)
{
	return ivshmem_vma_view(vma).ivd;
}

/* Whole pages only: with large ones, neighbours may share the first and last */
static struct ivshmem_pages
ivshmem_section_pages(const struct ivregion_section *section)
{
	return (struct ivshmem_pages) {
		.first = DIV_ROUND_UP_ULL(section->offset, PAGE_SIZE),
		.end = (section->offset + section->size) >> PAGE_SHIFT,
	};
}

/* The section of programs that @page lies in, if there is one */
static bool ivshmem_find_section(const struct ivshmem_format *format,
				 unsigned long page,
				 struct ivshmem_pages *pages)
{
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		if (!(format->programs & BIT(i)))
			continue;
		*pages = ivshmem_section_pages(&format->region.sections[i]);
		if (page >= pages->first && page < pages->end)
			return true;
	}

	return false;
}

/* What is to be mapped is no more; @ivd->lock is held */
static bool ivshmem_view_dead(const struct ivshmem_view *view)
{
	return view->ivd->dead || view->ivd->stopped ||
	       (view->node && READ_ONCE(view->node->format->gone)) ||
	       (view->buffer &&
		view->buffer->revocations != view->ivd->revocations);
}

/*
 * The pages that may be mapped around @page, at this moment: all of a region
 * that is known to be unformatted, one section of a formatted one.  @ivd->lock is held.
 */
static bool ivshmem_mappable(const struct ivshmem_view *view,
			     unsigned long page, struct ivshmem_pages *pages)
{
	const struct ivshmem_node *node = view->node;
	struct ivshmem_device *ivd = view->ivd;
	const struct ivshmem_format *format = ivshmem_format(ivd);

	if (ivshmem_view_dead(view))
		return false;
	if (node) {
		/* A section of the same name in a new format is another one */
		if (node->format != format)
			return false;
		*pages = ivshmem_section_pages(node->section);
	} else if (!format) {
		if (!ivd->settled)
			return false;
		pages->first = 0;
		pages->end = ivd->mem_size >> PAGE_SHIFT;
	} else if (format->error ||
		   !ivshmem_find_section(format, page, pages)) {
		return false;
	}

	return page >= pages->first && page < pages->end;
}

/* Likewise, as addresses of a mapping that faults at @addr */
static bool ivshmem_vm_mappable(struct vm_area_struct *vma, unsigned long addr,
				unsigned long *start, unsigned long *end)
{
	unsigned long page = vma->vm_pgoff +
			     ((addr - vma->vm_start) >> PAGE_SHIFT);
	struct ivshmem_view view = ivshmem_vma_view(vma);
	const struct ivshmem_format *format;
	struct ivshmem_pages pages;

	if (!ivshmem_mappable(&view, page, &pages))
		return false;
	/* Made when it could be written, and may become writable any time */
	format = ivshmem_format(view.ivd);
	if (format && format->region.read_only && (vma->vm_flags & VM_MAYWRITE))
		return false;

	*start = vma->vm_start;
	if (pages.first > vma->vm_pgoff)
		*start += (pages.first - vma->vm_pgoff) << PAGE_SHIFT;
	*end = vma->vm_end;
	if (pages.end - vma->vm_pgoff < vma_pages(vma))
		*end = vma->vm_start +
		       ((pages.end - vma->vm_pgoff) << PAGE_SHIFT);
	return true;
}

static void ivshmem_vm_open(struct vm_area_struct *vma)
{
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);

	atomic_inc(&ivd->mappings);
}

static void ivshmem_vm_close(struct vm_area_struct *vma)
{
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);

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
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);

	return PHYS_PFN(ivd->mem_start) + vma->vm_pgoff +
	       ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/*
 * Maps the page, and its neighbours from @first to @last while at it, as page
 * caches do
 */
static vm_fault_t ivshmem_insert_around(struct vm_area_struct *vma,
					unsigned long fault,
					unsigned long first, unsigned long last)
{
	unsigned long start = ALIGN_DOWN(fault, IVSHMEM_FAULT_AROUND);
	unsigned long end = min(start + IVSHMEM_FAULT_AROUND, last);
	vm_fault_t ret = VM_FAULT_NOPAGE;
	unsigned long addr;

	start = max(start, first);
	if (ivshmem_vma_device(vma)->untracked)
		return ivshmem_insert_untracked(vma, start, end - start);

	for (addr = start; addr < end && ret == VM_FAULT_NOPAGE;
	     addr += PAGE_SIZE)
		ret = vmf_insert_pfn(vma, addr, ivshmem_vma_pfn(vma, addr));

	return ret;
}

static vm_fault_t ivshmem_insert_huge(struct vm_fault *vmf, unsigned long addr,
				      unsigned int order)
{
	unsigned long pfn = ivshmem_vma_pfn(vmf->vma, addr);
	bool __maybe_unused write = vmf->flags & FAULT_FLAG_WRITE;

	if (ivshmem_vma_device(vmf->vma)->untracked || !IS_ALIGNED(pfn, 1UL << order))
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
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);
	unsigned long start, end;
	vm_fault_t ret;

	if (addr < vma->vm_start || size > vma->vm_end - addr)
		return VM_FAULT_FALLBACK;

	down_read(&ivd->lock);
	if (!ivshmem_vm_mappable(vma, vmf->address, &start, &end))
		ret = VM_FAULT_SIGBUS;
	else if (!order)
		ret = ivshmem_insert_around(vma, addr, start, end);
	else if (addr < start || size > end - addr)
		ret = VM_FAULT_FALLBACK;
	else
		ret = ivshmem_insert_huge(vmf, addr, order);
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
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);
	unsigned long start, end;
	void __ivshmem *mem;
	int ret = -ENODEV;

	if (write && !(vma->vm_flags & VM_WRITE))
		return -EACCES;
	if (!ivshmem_memory_get(ivd))
		return -ENODEV;

	if (ivshmem_vm_mappable(vma, addr, &start, &end)) {
		/* The caller asks for all that it wants, whatever is mapped */
		ret = min_t(unsigned long, len, end - addr);
		mem = ivd->mem + ((u64)vma->vm_pgoff << PAGE_SHIFT) +
		      (addr - vma->vm_start);
		if (write)
			ivshmem_copy_out(mem, buf, ret);
		else
			ivshmem_copy_in(buf, mem, ret);
	}
	ivshmem_memory_put(ivd);

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

static int ivshmem_vm_check(const struct vm_area_struct *vma)
{
	/*
	 * A private copy of a live ring is a silent bug.  A shared mapping of a
	 * file that is open for reading has VM_MAYSHARE, but not VM_SHARED.
	 */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;

	if (vma->vm_flags & VM_EXEC)
		return -EPERM;

	return 0;
}

/* Where in the memory the first byte that can be mapped is */
static u64 ivshmem_view_base(const struct ivshmem_view *view)
{
	if (view->buffer)
		return view->buffer->offset;

	return view->node ? view->node->section->offset : 0;
}

/*
 * Which page of the memory is meant by @pgoff, if all @count pages from there
 * on may be mapped.  @ivd->lock is held.
 */
static int ivshmem_view_place(const struct ivshmem_view *view,
			      unsigned long pgoff, unsigned long count,
			      unsigned long *page)
{
	u64 base = ivshmem_view_base(view);
	struct ivshmem_pages pages;

	/* With pages larger than those of the format it may begin within one */
	if (!PAGE_ALIGNED(base) || pgoff >= view->ivd->mem_size >> PAGE_SHIFT)
		return -EINVAL;

	*page = (base >> PAGE_SHIFT) + pgoff;
	if (!ivshmem_mappable(view, *page, &pages) ||
	    count > pages.end - *page)
		return -EINVAL;

	return 0;
}

/* Likewise, and why not.  @ivd->lock is held */
static int ivshmem_view_admit(const struct ivshmem_view *view,
			      unsigned long pgoff, unsigned long count,
			      bool write, unsigned long *page)
{
	struct ivshmem_device *ivd = view->ivd;
	const struct ivshmem_format *format = ivshmem_format(ivd);
	int ret;

	if (ivshmem_view_dead(view))
		return -ENODEV;
	if (!format && !ivd->settled)
		return -EAGAIN;
	ret = ivshmem_view_place(view, pgoff, count, page);
	if (ret)
		return ret;
	if (!ivd->mem)
		return -ENOMEM;
	if (write && format && format->region.read_only)
		return -EROFS;

	return 0;
}

/* Called with @ivd->lock held */
static int ivshmem_vm_admit(struct vm_area_struct *vma)
{
	struct ivshmem_view view = ivshmem_vma_view(vma);
	struct ivshmem_device *ivd = view.ivd;
	const struct ivshmem_format *format = ivshmem_format(ivd);
	unsigned long page;
	int ret;

	ret = ivshmem_view_admit(&view, vma->vm_pgoff, vma_pages(vma),
				 vma->vm_flags & VM_WRITE, &page);
	if (ret)
		return ret;
	if (format && format->region.read_only)
		vm_flags_clear(vma, VM_MAYWRITE);

	/* Of the memory, whatever the node, so that revoking finds it */
	vma->vm_pgoff = page;
	vma->vm_page_prot = ivshmem_vm_prot(ivd, vma->vm_page_prot);
	atomic_inc(&ivd->mappings);
	return 0;
}

/**
 * ivshmem_mmap_place() - whether a file may map a part of the memory
 * @file: the file
 * @offset: where the part begins in what the file shows, a multiple of the page
 *	    size
 * @length: its size, likewise, not 0
 * @write: whether it is to be written
 * @start: where it begins in the memory
 *
 * Context: Process context with @file->ivd->lock held.
 * Return: 0, or as ivshmem_mmap().
 */
int ivshmem_mmap_place(const struct ivshmem_file *file, u64 offset,
		       u64 length, bool write, u64 *start)
{
	struct ivshmem_view view = ivshmem_file_view(file);
	u64 size = view.ivd->mem_size;
	unsigned long page;
	int ret;

	/* Numbers of pages fit their type from here on */
	if (offset >= size || length > size - offset)
		return -EINVAL;
	ret = ivshmem_view_admit(&view, offset >> PAGE_SHIFT,
				 length >> PAGE_SHIFT, write, &page);
	if (ret)
		return ret;

	*start = (u64)page << PAGE_SHIFT;
	return 0;
}

static int ivshmem_vm_map(struct vm_area_struct *vma)
{
	struct ivshmem_device *ivd = ivshmem_vma_device(vma);
	int ret;

	ret = ivshmem_vm_check(vma);
	if (ret)
		return ret;

	down_read(&ivd->lock);
	ret = ivshmem_vm_admit(vma);
	up_read(&ivd->lock);
	if (ret)
		return ret;

	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_ops = &ivshmem_vm_ops;

	trace_ivshmem_map(ivd->id, (u64)vma->vm_pgoff << PAGE_SHIFT,
			  vma->vm_end - vma->vm_start,
			  !!(vma->vm_flags & VM_WRITE));
	return 0;
}

/**
 * ivshmem_mmap() - map a part of the memory into a process
 * @vma: where, and which part, of a file of this driver
 *
 * Context: Process context with mmap_lock held for writing.
 * Return: 0, -EINVAL (private, or not within what may be mapped), -EPERM
 * (executable), -EROFS (writable, and the region may only be read), -EAGAIN (it
 * is being formatted, or was so often that it is not attached yet), -ENODEV
 * (device or section gone), -ENOMEM (the kernel itself could not map it as
 * asked).
 */
int ivshmem_mmap(struct vm_area_struct *vma)
{
	vma->vm_private_data = NULL;
	return ivshmem_vm_map(vma);
}

/**
 * ivshmem_mmap_buffer() - map a part of a dma-buf into a process
 * @buffer: the buffer, which stays as long as the mapping's file
 * @vma: where, and which part, within the buffer
 *
 * Context: Process context with mmap_lock held for writing.
 * Return: 0, or as ivshmem_mmap(); -ENODEV also if it was revoked, -EACCES
 * (writable, of a buffer that is only for reading).
 */
int ivshmem_mmap_buffer(struct ivshmem_buffer *buffer,
			struct vm_area_struct *vma)
{
	/* Of an importer's own file it may be asked to be more */
	if (!buffer->write) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	vma->vm_private_data = buffer;
	return ivshmem_vm_map(vma);
}
