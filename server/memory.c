/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shared memory of a link: a sealed memfd, huge pages or a file.
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "nodes.h"

#define MEMORY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int refuse(const struct link_config *config, const char *why)
{
	char size[32];

	log_error("link %s: size=%s: %s", config->name,
		  config_format_size(config->size, size), why);
	return -1;
}

static int resize(const struct link_config *config, int fd)
{
	if (!ftruncate(fd, (off_t)config->size))
		return 0;
	if (errno == EFBIG)
		return refuse(config, "larger than this process may make a "
			      "file; lower size= or raise the limit "
			      "(LimitFSIZE= in the unit, ulimit -f in a shell)");
	return refuse(config, strerror(errno));
}

/*
 * Without the seals each client could shrink the memory, and whoever touches
 * it then is killed by SIGBUS.
 */
static int seal(const struct link_config *config, int fd)
{
	if (!fcntl(fd, F_ADD_SEALS, MEMORY_SEALS))
		return 0;
	return refuse(config, "the memory cannot be sealed");
}

/* Not from /proc/meminfo, which the unit hides. */
uint64_t memory_huge_page(void)
{
	int fd = memfd_create("ivshmem", MFD_CLOEXEC | MFD_HUGETLB);
	uint64_t page = 0;
	struct stat st;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &st))
		page = (uint64_t)st.st_blksize;
	close(fd);
	return page;
}

static int refuse_huge_pages(const struct link_config *config)
{
	uint64_t page = config->huge_page;
	char page_text[32], size[32];

	if (!page)
		page = memory_huge_page();
	if (!page) {
		log_error("link %s: memory=hugetlb: this kernel has no huge "
			  "pages; use memory=memfd", config->name);
		return -1;
	}
	config_format_size(page, page_text);
	log_error("link %s: memory=hugetlb: there are not enough free huge "
		  "pages of %s for size=%s; reserve %" PRIu64 " of them in "
		  "/sys/kernel/mm/hugepages/hugepages-%" PRIu64
		  "kB/nr_hugepages, or use memory=memfd", config->name,
		  page_text, config_format_size(config->size, size),
		  config->size / page, page >> 10);
	return -1;
}

/*
 * Huge pages are counted off when the memory is mapped, not when its size is
 * set.  Mapping it once makes the lack of them show here, and not in QEMU,
 * and keeps them for this link; the guests still choose the NUMA node.
 */
static int reserve_huge_pages(const struct link_config *config, int fd)
{
	void *mapping = mmap(NULL, config->size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);

	if (mapping == MAP_FAILED)
		return refuse_huge_pages(config);
	munmap(mapping, config->size);
	return 0;
}

static int refuse_numa(const struct link_config *config, int error)
{
	log_error("link %s: numa=%s: %s: %s", config->name, config->numa,
		  config->memory == MEMORY_HUGETLB ?
		  "there are not enough free huge pages on these nodes" :
		  "the memory cannot be bound", strerror(error));
	return -1;
}

/*
 * What huge pages a node has is only known when they are taken; a client that found
 * none would be killed.
 */
static int bind_to_nodes(const struct link_config *config, int fd)
{
	void *mapping = mmap(NULL, config->size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	int error;

	if (mapping == MAP_FAILED)
		return refuse_numa(config, errno);
	error = -nodes_bind(config->numa, mapping, config->size);
	if (!error && config->memory == MEMORY_HUGETLB &&
	    madvise(mapping, config->size, MADV_POPULATE_WRITE))
		error = errno;
	munmap(mapping, config->size);
	return error ? refuse_numa(config, error) : 0;
}

static unsigned int huge_page_flags(const struct link_config *config)
{
	unsigned int flags = MFD_HUGETLB;

	if (config->huge_page)
		flags |= (unsigned int)__builtin_ctzll(config->huge_page)
			 << MFD_HUGE_SHIFT;
	return flags;
}

static int open_anonymous(const struct link_config *config)
{
	bool huge = config->memory == MEMORY_HUGETLB;
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	char name[LINK_NAME_LENGTH + 16];
	int fd;

	if (huge)
		flags |= huge_page_flags(config);
	snprintf(name, sizeof(name), "ivshmem-%s", config->name);
	fd = memfd_create(name, flags);
	if (fd < 0 && huge)
		return refuse_huge_pages(config);
	if (fd < 0)
		return refuse(config, strerror(errno));
	if (resize(config, fd) || seal(config, fd) ||
	    (huge && reserve_huge_pages(config, fd)) ||
	    (config->numa && bind_to_nodes(config, fd))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int refuse_file(const struct link_config *config, const char *why)
{
	log_error("link %s: memory=file:%s: %s", config->name, config->file,
		  why);
	return -1;
}

/* Space is allocated now: a full file system is SIGBUS for a guest later. */
static int fill_new_file(const struct link_config *config, int fd)
{
	char why[160];

	if (!fallocate(fd, 0, 0, (off_t)config->size))
		return 0;
	if (errno == EOPNOTSUPP)
		return resize(config, fd);
	snprintf(why, sizeof(why), "cannot allocate its space: %s; make room, "
		 "lower size= or use another place", strerror(errno));
	return refuse_file(config, why);
}

static int create_file(const struct link_config *config)
{
	int fd = open(config->file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
		      O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	if (!fill_new_file(config, fd))
		return fd;
	unlink(config->file);
	close(fd);
	errno = 0;
	return -1;
}

static int check_file(const struct link_config *config, int fd)
{
	char why[192], size[32];
	struct stat st;

	if (fstat(fd, &st))
		return refuse_file(config, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse_file(config, "not a regular file; name another");
	if ((uint64_t)st.st_size == config->size)
		return 0;
	snprintf(why, sizeof(why), "exists and has %jd bytes, but size=%s; "
		 "set size= to that of the file, or remove the file (it is "
		 "never resized, virtual machines may be using it)",
		 (intmax_t)st.st_size, config_format_size(config->size, size));
	return refuse_file(config, why);
}

static int open_existing_file(const struct link_config *config)
{
	/* Not blocking, for a FIFO or a device that somebody put there. */
	int fd = open(config->file, O_RDWR | O_NOFOLLOW | O_NONBLOCK |
		      O_CLOEXEC);

	if (fd < 0 && errno == ELOOP)
		return refuse_file(config, "a symbolic link is not followed; "
				   "name the file itself");
	if (fd < 0)
		return refuse_file(config, strerror(errno));
	if (!check_file(config, fd))
		return fd;
	close(fd);
	return -1;
}

static int open_file(const struct link_config *config, bool *existed)
{
	int fd = create_file(config);
	char why[160];

	if (fd >= 0)
		return fd;
	*existed = errno == EEXIST;
	if (*existed)
		return open_existing_file(config);
	if (errno) {
		snprintf(why, sizeof(why), "cannot create: %s; the directory "
			 "must exist and this process must be able to write "
			 "to it", strerror(errno));
		refuse_file(config, why);
	}
	return -1;
}

int memory_open(const struct link_config *config, bool *existed)
{
	*existed = false;
	if (config->memory == MEMORY_FILE)
		return open_file(config, existed);
	return open_anonymous(config);
}
