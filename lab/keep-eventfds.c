/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preloaded into QEMU: an eventfd that is closed leaves its number occupied,
 * by an eventfd on which nothing ever happens.
 *
 * Without KVM, QEMU (7.2 at least) forgets its handlers for the doorbells of an
 * ivshmem device that is unplugged, and closes their descriptors. Whatever is
 * opened next gets such a number, seems to ring, and QEMU crashes in the freed
 * device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_eventfd(int fd)
{
	char name[32], target[32];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	length = readlink(name, target, sizeof(target));
	return length == (ssize_t)strlen("anon_inode:[eventfd]") &&
	       !memcmp(target, "anon_inode:[eventfd]", (size_t)length);
}

int close(int fd)
{
	int saved = errno;
	int inert;

	if (!is_eventfd(fd)) {
		errno = saved;
		return (int)syscall(SYS_close, fd);
	}
	inert = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (inert < 0)
		return (int)syscall(SYS_close, fd);
	dup3(inert, fd, O_CLOEXEC);
	syscall(SYS_close, inert);
	errno = saved;
	return 0;
}
