/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling the service manager how things are, without ever waiting for it.
 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* For a manager that is busy. */
#define PATIENCE_USEC	2000000

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

/* Returns the length, 0 if there is no manager that is reached this way. */
static socklen_t manager_address(struct sockaddr_un *address)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (!length || length >= sizeof(address->sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return 0;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

uint64_t notify_watchdog_period(void)
{
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	/* A patience of less than that could not be met anyway. */
	return usec / 2000 ? usec / 2000 : 1;
}

static uint64_t monotonic_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int send_to(int fd, struct sockaddr_un *address, socklen_t length,
		   const char *lines, int attached)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec iov = {
		.iov_base = (char *)lines,
		.iov_len = strlen(lines),
	};
	struct msghdr message = {
		.msg_name = address,
		.msg_namelen = length,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	if (attached >= 0) {
		memcpy(CMSG_DATA(&control.header), &attached,
		       sizeof(attached));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno
								     : 0;
}

/* Too many descriptors in flight: it has not read them yet. */
static bool is_busy(int error)
{
	return error == -EAGAIN || error == -ETOOMANYREFS ||
	       error == -ENOBUFS || error == -ENOMEM;
}

int notify_send_fd(const char *lines, int attached, bool wait)
{
	uint64_t end = monotonic_usec() + (wait ? PATIENCE_USEC : 0);
	struct timespec pause = { .tv_nsec = 2000000 };
	struct sockaddr_un address;
	socklen_t length = manager_address(&address);
	int result;
	int fd;

	if (!length)
		return 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	for (;;) {
		result = send_to(fd, &address, length, lines, attached);
		if (!is_busy(result) || monotonic_usec() >= end)
			break;
		nanosleep(&pause, NULL);
	}
	close(fd);
	return is_busy(result) ? -EAGAIN : result;
}

int notify_send(const char *lines)
{
	int error = notify_send_fd(lines, -1, false);

	/* Without a descriptor it can be told later.  Else there is nobody to tell. */
	return error == -EAGAIN || error == -EMFILE || error == -ENFILE ?
	       -EAGAIN : 0;
}

void notify_reloading(void)
{
	char lines[64];

	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 monotonic_usec());
	notify_send(lines);
}
