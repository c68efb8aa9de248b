// SPDX-License-Identifier: BSD-3-Clause
/*
 * Opens the device through the files of its BARs in sysfs.  There are no
 * interrupts this way: one can ring, but is rung in vain.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci.h"

/* Whatever driver it is, it does not expect us. */
static int check_driver(const struct pci *pci)
{
	char driver[NAME_MAX + 1];
	int ret;

	ret = pci_link(pci, "driver", driver);
	if (!ret)
		return -EBUSY;
	return ret == -ENOENT ? 0 : ret;
}

static int open_file(const struct pci *pci, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	pci_path(pci, name, path);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd;
}

/* "1" counts one more user of the device, "0" one less. */
static int count_user(const struct pci *pci, char digit)
{
	int fd, ret = 0;

	fd = open_file(pci, "enable", O_WRONLY);
	if (fd < 0)
		return fd;
	if (write(fd, &digit, 1) != 1)
		ret = -errno;
	close(fd);
	return ret;
}

static bool is_enabled(const struct pci *pci)
{
	char digit = '0';
	int fd;

	fd = open_file(pci, "enable", O_RDONLY);
	if (fd < 0)
		return false;
	if (read(fd, &digit, 1) != 1)
		digit = '0';
	close(fd);
	return digit != '0';
}

/* Only root may, but it may have done so for others. */
static int enable_device(struct pci *pci)
{
	int ret = count_user(pci, '1');

	pci->enabled = !ret;
	return ret && is_enabled(pci) ? 0 : ret;
}

static int way_flags(const struct pci *pci)
{
	return pci->handle.ivs.flags & IVSHMEM_RDONLY ? O_RDONLY : O_RDWR;
}

/* They need not be on a page of their own. */
static int map_registers(struct pci *pci)
{
	uint64_t start, size, page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd, ret, prot = PROT_READ;
	void *mapped;

	ret = pci_bar(pci, PCI_BAR_REGISTERS, &start, &size);
	if (ret)
		return ret;
	if (!size)
		return -ENXIO;
	fd = open_file(pci, "resource0", way_flags(pci));
	if (fd < 0)
		return fd;
	if (way_flags(pci) == O_RDWR)
		prot |= PROT_WRITE;
	mapped = mmap(NULL, page, prot, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED) {
		ret = -errno;
	} else {
		pci->mapped = mapped;
		pci->mapped_size = page;
		pci->registers = (volatile uint32_t *)
			((char *)mapped + (start & (page - 1)));
	}
	close(fd);
	return ret;
}

/*
 * Not "resource2_wc": stores to write-combining memory may become visible in
 * another order than they were made in, which no peer expects.
 *
 * The peer id is the device's: two processes that both write under it would
 * spoil all.
 */
static int open_memory(struct pci *pci)
{
	uint64_t start, size;
	int fd, ret;

	ret = pci_bar(pci, PCI_BAR_MEMORY, &start, &size);
	if (ret)
		return ret;
	if (!size)
		return -ENXIO;
	fd = open_file(pci, "resource2", way_flags(pci));
	if (fd < 0)
		return fd;
	if (way_flags(pci) == O_RDWR && flock(fd, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		close(fd);
		return ret;
	}
	ivshmem_memory_init(&pci->handle.ivs, fd, size);
	return 0;
}

static int sysfs_open(struct pci *pci)
{
	int ret;

	ret = check_driver(pci);
	if (!ret)
		ret = enable_device(pci);
	if (!ret)
		ret = map_registers(pci);
	if (!ret)
		ret = open_memory(pci);
	return ret;
}

/* Another one may have been plugged in its place, or been given to a driver. */
static int sysfs_present(struct pci *pci)
{
	struct stat opened, present;
	char path[PATH_MAX];

	pci_path(pci, "driver", path);
	if (!access(path, F_OK))
		return -ENODEV;
	pci_path(pci, "resource2", path);
	if (fstat(pci->handle.ivs.memory_fd, &opened) || stat(path, &present))
		return -ENODEV;
	return opened.st_dev == present.st_dev &&
	       opened.st_ino == present.st_ino ? 0 : -ENODEV;
}

static void sysfs_release(struct pci *pci)
{
	int memory = pci->handle.ivs.memory_fd;

	if (pci->enabled && (memory < 0 || !sysfs_present(pci)))
		count_user(pci, '0');
	if (memory >= 0)
		close(memory);
}

const struct pci_way pci_way_sysfs = {
	.backend = IVSHMEM_BACKEND_PCI,
	.open = sysfs_open,
	.release = sysfs_release,
	.present = sysfs_present,
};
