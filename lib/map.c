// SPDX-License-Identifier: BSD-3-Clause
/*
 * Maps parts of the shared memory, also where it consists of huge pages, whose
 * mappings must begin and end on a huge page.
 */
#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend.h"

/* A mapping that is larger than what the caller was given. */
struct widened {
	struct widened *next;
	void *addr;
	void *base;
	size_t length;
};

/* Guards widened_list: ivshmem_unmap() has no handle to keep it in. */
static pthread_mutex_t widened_lock = PTHREAD_MUTEX_INITIALIZER;
static struct widened *widened_list;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void lock_list(void)
{
	pthread_mutex_lock(&widened_lock);
}

static void unlock_list(void)
{
	pthread_mutex_unlock(&widened_lock);
}

/* A child of fork(2) must find the list whole, and its lock free. */
static void prepare_for_fork(void)
{
	pthread_atfork(lock_list, unlock_list, unlock_list);
}

void ivshmem_memory_init(struct ivshmem *ivs, int fd, uint64_t size)
{
	struct statfs fs;

	ivs->memory_fd = fd;
	ivs->memory_size = size;
	ivs->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC &&
	    (uint64_t)fs.f_bsize > ivs->page_size)
		ivs->page_size = (uint64_t)fs.f_bsize;
}

static int map_widened(struct ivshmem *ivs, uint64_t offset, size_t length,
		       int prot, void **addr)
{
	uint64_t begin = offset & ~(ivs->page_size - 1);
	uint64_t end = (offset + length + ivs->page_size - 1) &
		       ~(ivs->page_size - 1);
	struct widened *w;
	void *base;

	pthread_once(&fork_once, prepare_for_fork);
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	base = mmap(NULL, end - begin, prot, MAP_SHARED, ivs->memory_fd,
		    (off_t)(ivs->memory_at + begin));
	if (base == MAP_FAILED) {
		free(w);
		return -errno;
	}
	w->addr = (char *)base + (offset - begin);
	w->base = base;
	w->length = end - begin;
	*addr = w->addr;

	pthread_mutex_lock(&widened_lock);
	w->next = widened_list;
	widened_list = w;
	pthread_mutex_unlock(&widened_lock);
	return 0;
}

int ivshmem_map_range(struct ivshmem *ivs, uint64_t offset, size_t length,
		      int prot, void **addr)
{
	uint64_t system_page = (uint64_t)sysconf(_SC_PAGESIZE);
	void *p;

	if (ivs->page_size > system_page || offset % system_page)
		return map_widened(ivs, offset, length, prot, addr);
	p = mmap(NULL, length, prot, MAP_SHARED, ivs->memory_fd,
		 (off_t)(ivs->memory_at + offset));
	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

/* Whether a part may be asked for; a length of 0 becomes what is left. */
static int check_part(const struct ivshmem *ivs, uint64_t offset,
		      size_t *length, int prot)
{
	uint64_t system_page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (prot != PROT_READ && prot != (PROT_READ | PROT_WRITE))
		return -EINVAL;
	if (offset % system_page || offset >= ivs->memory_size)
		return -EINVAL;
	if (!*length)
		*length = ivs->memory_size - offset;
	if (*length > ivs->memory_size - offset)
		return -EINVAL;
	if ((prot & PROT_WRITE) && (ivs->flags & IVSHMEM_RDONLY))
		return -EACCES;
	return 0;
}

int ivshmem_map(struct ivshmem *ivs, uint64_t offset, size_t length, int prot,
		void **addr)
{
	int ret;

	if (!ivs || !addr)
		return -EINVAL;
	ret = check_part(ivs, offset, &length, prot);
	return ret ? ret : ivshmem_map_range(ivs, offset, length, prot, addr);
}

int ivshmem_export_dmabuf(struct ivshmem *ivs, uint64_t offset, size_t length,
			  int prot)
{
	int ret;

	if (!ivs)
		return -EINVAL;
	ret = check_part(ivs, offset, &length, prot);
	if (ret)
		return ret;
	if (length % (uint64_t)sysconf(_SC_PAGESIZE))
		return -EINVAL;
	if (!ivs->ops->export_dmabuf)
		return -EOPNOTSUPP;
	return ivs->ops->export_dmabuf(ivs, offset, length, prot);
}

static struct widened *take_widened(void *addr)
{
	struct widened **link, *found;

	pthread_once(&fork_once, prepare_for_fork);
	pthread_mutex_lock(&widened_lock);
	for (link = &widened_list; *link; link = &(*link)->next)
		if ((*link)->addr == addr)
			break;
	found = *link;
	if (found)
		*link = found->next;
	pthread_mutex_unlock(&widened_lock);
	return found;
}

int ivshmem_unmap(void *addr, size_t length)
{
	struct widened *w;
	int ret;

	if (!addr || !length)
		return -EINVAL;
	w = take_widened(addr);
	if (w) {
		addr = w->base;
		length = w->length;
		free(w);
	}
	ret = munmap(addr, length);
	return ret ? -errno : 0;
}
