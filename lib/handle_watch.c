// SPDX-License-Identifier: BSD-3-Clause
/*
 * What channels need where own vectors arrive at eventfds: each has a view of its
 * own of these, which it never reads, since others wait for them, too; and of one
 * that tells when somebody else has read them.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "handle.h"

static int add_edge(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int ivshmem_handle_watch(struct ivshmem *ivs,
			 const struct ivshmem_section *section)
{
	int fd, ret, doorbell, rung;

	rung = ivshmem_handle_rung(ivs);
	if (rung < 0)
		return rung;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	doorbell = ivshmem_handle_doorbell(ivs, section->vector);
	ret = add_edge(fd, rung);
	/* Without any it never becomes readable, and there is nothing to do. */
	if (!ret && doorbell >= 0)
		ret = add_edge(fd, doorbell);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int ivshmem_handle_settle(int fd)
{
	struct epoll_event events[2];

	epoll_wait(fd, events, 2, 0);
	return 0;
}

/* A slot has one process, and each handle a slot, or a device, of its own. */
int ivshmem_handle_claim(struct ivshmem *ivs, int fd, uint64_t offset)
{
	(void)ivs;
	(void)fd;
	(void)offset;
	return 0;
}
