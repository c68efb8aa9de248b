// SPDX-License-Identifier: GPL-2.0-only
/*
 * Performs the steps of a test on a listening socket.
 */
#include "scripted_server.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_FDS	6

int open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int keep(struct scripted_server *server, int fd)
{
	if (server->count < sizeof(server->eventfds) / sizeof(int))
		server->eventfds[server->count++] = fd;
	return fd;
}

static int make_memory(off_t size)
{
	int fd = memfd_create("scripted", MFD_CLOEXEC);

	if (ftruncate(fd, size))
		abort();
	return fd;
}

/* Fills in the descriptors to attach; *owned of them are closed once sent. */
static int attach(struct scripted_server *server, enum attached what,
		  int fds[MOST_FDS], int *owned)
{
	int i, n = 1, ends[2];

	*owned = 0;
	switch (what) {
	case NOTHING:
		return 0;
	case MEMORY:
		if (server->memory >= 0)
			close(server->memory);
		server->memory = make_memory(MEMORY_SIZE);
		fds[0] = server->memory;
		return 1;
	case EMPTY_MEMORY:
		fds[0] = make_memory(0);
		break;
	case EVENTFD:
		fds[0] = keep(server, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
		return 1;
	case RUNG_EVENTFD:
		fds[0] = keep(server, eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC));
		return 1;
	case BLOCKING_EVENTFD:
		fds[0] = keep(server, eventfd(0, EFD_CLOEXEC));
		return 1;
	case PIPE:
		if (pipe2(ends, O_CLOEXEC))
			abort();
		close(ends[0]);
		fds[0] = ends[1];
		break;
	case DIRECTORY:
		fds[0] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	default:
		n = what == TWO_EVENTFDS ? 2 : MOST_FDS;
		for (i = 0; i < n; i++)
			fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	*owned = n;
	return n;
}

/* Errors are the client's right: it may have hung up. */
void send_step(struct scripted_server *server, struct step step)
{
	union {
		char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	uint64_t wire = htole64((uint64_t)step.value);
	struct iovec iov = {
		.iov_base = &wire,
		.iov_len = step.bytes ? step.bytes : sizeof(wire),
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int i, n, owned, fds[MOST_FDS];
	struct cmsghdr *cmsg;

	n = attach(server, step.what, fds, &owned);
	if (n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, (size_t)n * sizeof(int));
	}
	sendmsg(server->client, &msg, MSG_NOSIGNAL);
	for (i = 0; i < owned; i++)
		close(fds[i]);
}

static void *perform(void *argument)
{
	struct scripted_server *server = argument;
	struct pollfd pfd = { .fd = server->listener, .events = POLLIN };
	unsigned int i;

	/* shutdown() of the listener in stop_serving() ends this, too. */
	if (poll(&pfd, 1, 60000) <= 0 || pfd.revents & POLLHUP)
		return NULL;
	server->client = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	for (i = 0; i < server->step_count; i++)
		send_step(server, server->steps[i]);
	if (server->closes)
		hang_up(server);
	return NULL;
}

void serve(struct scripted_server *server, const struct step *steps,
	   unsigned int count, int closes)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	pthread_t thread;

	memset(server, 0, sizeof(*server));
	server->waiting_fds = open_fds();
	server->client = -1;
	server->memory = -1;
	server->steps = steps;
	server->step_count = count;
	server->closes = closes;
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/tmp/ivs-lib-test-%d.sock", (int)getpid());
	snprintf(server->address, sizeof(server->address), "unix:%s",
		 address.sun_path);
	unlink(address.sun_path);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(server->listener, (struct sockaddr *)&address,
				sizeof(address)), errno);
	assert_return_code(listen(server->listener, 8), errno);
	assert_int_equal(pthread_create(&thread, NULL, perform, server), 0);
	server->thread = thread;
}

void performed(struct scripted_server *server)
{
	if (server->thread)
		pthread_join(server->thread, NULL);
	server->thread = 0;
}

void hang_up(struct scripted_server *server)
{
	if (server->client >= 0)
		close(server->client);
	server->client = -1;
}

void stop_serving(struct scripted_server *server)
{
	unsigned int i;

	shutdown(server->listener, SHUT_RDWR);
	performed(server);
	hang_up(server);
	close(server->listener);
	unlink(server->address + strlen("unix:"));
	if (server->memory >= 0)
		close(server->memory);
	for (i = 0; i < server->count; i++)
		close(server->eventfds[i]);
	assert_int_equal(open_fds(), server->waiting_fds);
}

int open_scripted(const struct step *steps, unsigned int count, int closes)
{
	struct scripted_server server;
	struct ivshmem *ivs = NULL;
	int ret;

	serve(&server, steps, count, closes);
	ret = ivshmem_open(server.address, 0, &ivs);
	if (ret)
		assert_null(ivs);
	ivshmem_close(ivs);
	stop_serving(&server);
	return ret;
}

uint64_t rung(int eventfd)
{
	uint64_t count = 0;

	return read(eventfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

void ring_it(int eventfd, uint64_t times)
{
	assert_int_equal(write(eventfd, &times, sizeof(times)), sizeof(times));
}
