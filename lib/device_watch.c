// SPDX-License-Identifier: BSD-3-Clause
/*
 * What channels need of the driver in a guest: a file of the section's own node,
 * which sees doorbells independently of all others, and holds the lock that
 * keeps other processes of this machine out.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/ivshmem.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device.h"

/* What is locked: the line of a link */
#define CLAIM_BYTES	64

/* The name in /dev of what a descriptor is open on: "ivshmem0". */
static int node_name(int fd, char *name, size_t size)
{
	char path[64], target[PATH_MAX];
	const char *base;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	target[n] = 0;
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	strcpy(name, base);
	return 0;
}

/*
 * The device has one node, and each RAW section another.  All that use a
 * channel meet at the section's, for a lock is one of a node.
 */
static int open_section(struct ivshmem *ivs,
			const struct ivshmem_section *section)
{
	char name[128], path[256];
	uint64_t offset;
	int fd, ret;

	ret = ivs->ops->section_offset(ivs, section, &offset);
	if (!ret)
		ret = node_name(ivs->memory_fd, name, sizeof(name));
	if (ret)
		return ret;
	if (offset)
		snprintf(path, sizeof(path), "/dev/%s.%s", name, section->name);
	else
		snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	return fd;
}

/* The node that was found by its name could be that of another device. */
static int check_node(struct ivshmem *ivs, int fd,
		      const struct ivshmem_section *section)
{
	struct ivshmem_ioc_section there = {
		.size = sizeof(there),
		.index = section->index,
	};
	struct ivshmem_ioc_region region = { .size = sizeof(region) };
	struct ivshmem_region own;
	int ret;

	if (ioctl(fd, IVSHMEM_IOC_SECTION, &there) ||
	    ioctl(fd, IVSHMEM_IOC_REGION, &region))
		return errno == ENOENT ? -ESTALE : -errno;
	ret = ivshmem_get_region(ivs, &own);
	if (ret)
		return ret;
	return (there.attributes & IVSHMEM_SECTION_NODE) &&
	       region.instance == own.instance ? 0 : -ESTALE;
}

static int choose_vector(struct ivshmem *ivs, int fd, uint32_t vector)
{
	struct ivshmem_ioc_subscribe arg = { .size = sizeof(arg) };
	struct ivshmem_info info;
	int ret;

	ret = ivshmem_get_info(ivs, &info);
	if (ret || !info.vectors)
		return ret;
	vector = ivshmem_listen_vector(vector, info.vectors);
	arg.vectors[vector / 64] = 1ULL << (vector % 64);
	return ioctl(fd, IVSHMEM_IOC_SUBSCRIBE, &arg) ? -errno : 0;
}

int ivshmem_device_watch(struct ivshmem *ivs,
			 const struct ivshmem_section *section)
{
	int fd, ret;

	fd = open_section(ivs, section);
	if (fd < 0)
		return fd;
	ret = check_node(ivs, fd, section);
	if (!ret)
		ret = choose_vector(ivs, fd, section->vector);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int ivshmem_device_settle(int fd)
{
	struct ivshmem_event_record records[4];

	if (read(fd, records, sizeof(records)) >= 0)
		return 0;
	return errno == ENODEV ? -ENODEV : 0;
}

int ivshmem_device_claim(struct ivshmem *ivs, int fd, uint64_t offset)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)offset,
		.l_len = CLAIM_BYTES,
	};

	(void)ivs;
	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}
