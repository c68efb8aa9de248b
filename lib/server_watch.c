// SPDX-License-Identifier: BSD-3-Clause
/*
 * What channels need of a server connection: each has a view of its own of the
 * own eventfds, which it never reads, since others wait for them, too.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "region.h"

int ivshmem_server_watch(struct ivshmem *ivs,
			 const struct ivshmem_section *section)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd, ret, doorbell;

	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	doorbell = ivshmem_server_doorbell(ivs, section->vector);
	/* Without any it never becomes readable, and there is nothing to do. */
	if (doorbell >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, doorbell, &event)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

int ivshmem_server_settle(int fd)
{
	struct epoll_event event;

	epoll_wait(fd, &event, 1, 0);
	return 0;
}

/* A slot has one process, and each handle a slot of its own. */
int ivshmem_server_claim(struct ivshmem *ivs, int fd, uint64_t offset)
{
	(void)ivs;
	(void)fd;
	(void)offset;
	return 0;
}
