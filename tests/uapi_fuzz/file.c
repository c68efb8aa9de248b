// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls on descriptors: of nodes, dma-bufs and eventfds, one's own or a mate's.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEVICES	4

/* Descriptors of a sort; now and then of a mate, or of another sort */
static _Atomic int *some_files(struct fuzzer *f, enum sort which)
{
	struct chance *chance = &f->chance;
	struct fuzzer *owner = f;

	if (one_in(chance, 8))
		owner = &f->mates[below(chance, f->shared->options.threads)];
	if (one_in(chance, 32))
		which = below(chance, SORTS);
	return owner->files[which];
}

/* A descriptor that somebody may close at any moment */
int file(struct fuzzer *f, enum sort which)
{
	_Atomic int *files = some_files(f, which);
	unsigned int start = below(&f->chance, SLOTS), i;
	int fd;

	for (i = 0; i < SLOTS; i++) {
		fd = atomic_load(&files[(start + i) % SLOTS]);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

/* In the place of an older one */
void keep(struct fuzzer *f, enum sort which, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = atomic_exchange(&some_files(f, which)[below(&f->chance, SLOTS)], fd);
	if (old >= 0)
		close(old);
}

void files_drop(struct fuzzer *f)
{
	unsigned int sort, i;
	int old;

	for (sort = 0; sort < SORTS; sort++) {
		for (i = 0; i < SLOTS; i++) {
			old = atomic_exchange(&f->files[sort][i], -1);
			if (old >= 0)
				close(old);
		}
	}
}

long call_open(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	uint64_t number = below(chance, one_in(chance, 4) ? DEVICES : 1);
	int flags = O_RDWR, fd;
	char path[64];

	if (one_in(chance, 4))
		snprintf(path, sizeof(path), "/dev/ivshmem%u.%s", (unsigned int)number,
			 section_names[below(chance, nr_section_names)]);
	else
		snprintf(path, sizeof(path), "/dev/ivshmem%u", (unsigned int)number);
	if (one_in(chance, 4))
		flags = below(chance, 4);
	if (!one_in(chance, 4))
		flags |= O_NONBLOCK;
	/* Nothing is created */
	if (one_in(chance, 16))
		flags |= draw(chance) & ~(O_CREAT | O_ACCMODE | O_TMPFILE);
	fd = open(path, flags | O_CLOEXEC);
	keep(f, DEVICE, fd);
	return fd;
}

long call_close(struct fuzzer *f)
{
	_Atomic int *files = some_files(f, below(&f->chance, SORTS));
	int fd = atomic_exchange(&files[below(&f->chance, SLOTS)], -1);

	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	return close(fd);
}

/* Another descriptor of the same file, or another file of the same node */
long call_dup(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	enum sort sort = below(chance, SORTS);
	int old = file(f, sort), fd;
	char path[64];

	if (one_in(chance, 4)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", old);
		fd = open(path, (below(chance, 3)) | O_CLOEXEC | O_NONBLOCK);
	} else {
		fd = fcntl(old, F_DUPFD_CLOEXEC, 3);
	}
	keep(f, sort, fd);
	return fd;
}

long call_fcntl(struct fuzzer *f)
{
	static const int flags[] = { 0, O_NONBLOCK, O_ASYNC, O_NONBLOCK | O_ASYNC, O_APPEND,
				     O_DIRECT, O_NOATIME };
	static const int commands[] = { F_GETFL, F_GETFD, F_GETOWN, F_GETLEASE, F_GETPIPE_SZ,
					F_GET_SEALS };
	struct chance *chance = &f->chance;
	int fd = file(f, below(chance, SORTS));

	switch (below(chance, 8)) {
	case 0:
		return fcntl(fd, F_SETOWN, getpid());
	case 1:
		return fcntl(fd, F_SETLEASE, below(chance, 3));
	case 2:
		return flock(fd, below(chance, 16) | LOCK_NB);
	case 3:
		return fcntl(fd, commands[below(chance, ARRAY_SIZE(commands))], 0);
	case 4:
		return posix_fadvise(fd, boundary(f), boundary(f), below(chance, 8)) ? -1 : 0;
	default:
		return fcntl(fd, F_SETFL, flags[below(chance, ARRAY_SIZE(flags))]);
	}
}

static size_t some_length(struct fuzzer *f)
{
	struct chance *chance = &f->chance;

	if (one_in(chance, 8))
		return boundary(f);
	return below(chance, 2) ? 16UL << below(chance, 6) : below(chance, 2 * PAGE);
}

/* Vectors of a call, in the first @count of @parts */
static int some_parts(struct fuzzer *f, struct iovec *parts, int count)
{
	int used = 1 + (int)below(&f->chance, count), i;

	for (i = 0; i < used; i++)
		parts[i] = (struct iovec) { place(f, NULL, 64), some_length(f) };
	return used;
}

long call_read(struct fuzzer *f)
{
	static const int flags[] = { 0, RWF_NOWAIT, RWF_HIPRI, RWF_NOWAIT | RWF_HIPRI, ~0 };
	struct chance *chance = &f->chance;
	int fd = file(f, below(chance, 8) ? DEVICE : EVENTFD), used;
	struct iovec parts[4];

	switch (below(chance, 8)) {
	case 0:
		return pread(fd, place(f, NULL, 64), some_length(f), boundary(f));
	case 1:
		used = some_parts(f, parts, ARRAY_SIZE(parts));
		return readv(fd, parts, used);
	case 2:
		used = some_parts(f, parts, ARRAY_SIZE(parts));
		return preadv2(fd, parts, used, one_in(chance, 4) ? (off_t)boundary(f) : -1,
			       flags[below(chance, ARRAY_SIZE(flags))]);
	default:
		return read(fd, place(f, NULL, 64), some_length(f));
	}
}

long call_write(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	int fd = file(f, below(chance, SORTS));

	if (one_in(chance, 4))
		return pwrite(fd, place(f, NULL, 64), some_length(f), boundary(f));
	return write(fd, place(f, NULL, 64), one_in(chance, 2) ? 8 : some_length(f));
}

long call_seek(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	int fd = file(f, below(chance, SORTS));

	if (one_in(chance, 4))
		return ftruncate(fd, boundary(f));
	return lseek(fd, boundary(f), below(chance, 6));
}

long call_poll(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	struct pollfd polls[4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(polls); i++)
		polls[i] = (struct pollfd) {
			.fd = file(f, below(chance, SORTS)),
			.events = below(chance, 4) ? POLLIN | POLLPRI : draw(chance),
		};
	return poll(polls, ARRAY_SIZE(polls), one_in(chance, 16) ? 20 : 0);
}

long call_epoll(struct fuzzer *f)
{
	static const int operations[] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL };
	static const uint32_t modes[] = { 0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE };
	struct chance *chance = &f->chance;
	struct epoll_event events[4] = { { 0 } };

	if (one_in(chance, 3))
		return epoll_wait(f->epoll, events, ARRAY_SIZE(events),
				  one_in(chance, 16) ? 20 : 0);
	events[0].events = EPOLLIN | EPOLLPRI | modes[below(chance, ARRAY_SIZE(modes))];
	return epoll_ctl(f->epoll, operations[below(chance, ARRAY_SIZE(operations))],
			 file(f, below(chance, SORTS)), events);
}

/* From a file to a pipe or socket, or back */
long call_splice(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	int fd = file(f, DEVICE), ends[2];
	long ret;

	if (one_in(chance, 3))
		return sendfile(f->shared->sockets[0], fd, NULL, some_length(f));
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
		return -1;
	if (one_in(chance, 2))
		ret = splice(fd, NULL, ends[1], NULL, some_length(f), SPLICE_F_NONBLOCK);
	else
		ret = splice(ends[0], NULL, fd, NULL, some_length(f), SPLICE_F_NONBLOCK);
	close(ends[0]);
	close(ends[1]);
	return ret;
}

long call_eventfd(struct fuzzer *f)
{
	int flags = one_in(&f->chance, 4) ? EFD_SEMAPHORE : 0;
	int fd = eventfd(below(&f->chance, 2), flags | EFD_CLOEXEC | EFD_NONBLOCK);

	keep(f, EVENTFD, fd);
	return fd;
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(4 * sizeof(int))];
};

/* Descriptors to any process, which are in nobody's table meanwhile */
long call_send(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	size_t count = 1 + below(chance, 4), i;
	uint8_t sort = below(chance, SORTS);
	struct iovec part = { &sort, sizeof(sort) };
	union control control = { 0 };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	int fds[4];

	for (i = 0; i < count; i++)
		fds[i] = file(f, sort);
	control.header = (struct cmsghdr) {
		.cmsg_len = CMSG_LEN(count * sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	return sendmsg(f->shared->sockets[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

long call_receive(struct fuzzer *f)
{
	uint8_t sort = 0;
	struct iovec part = { &sort, sizeof(sort) };
	union control control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	size_t count = 0, i;
	int fds[4];
	long ret;

	ret = recvmsg(f->shared->sockets[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (ret < 0)
		return ret;
	if (CMSG_FIRSTHDR(&message))
		count = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(&control.header), count * sizeof(int));
	for (i = 0; i < count; i++)
		keep(f, sort % SORTS, fds[i]);
	return ret;
}

static void prepare(struct fuzzer *f, struct io_uring_sqe *sqe)
{
	struct chance *chance = &f->chance;
	int fd = file(f, below(chance, 8) ? DEVICE : EVENTFD);

	switch (below(chance, 8)) {
	case 0:
		io_uring_prep_poll_add(sqe, fd, POLLIN | POLLPRI);
		break;
	case 1:
		io_uring_prep_poll_multishot(sqe, fd, POLLIN);
		break;
	case 2:
		io_uring_prep_cancel(sqe, (void *)(uintptr_t)below(chance, 4), 0);
		break;
	case 3:
		io_uring_prep_write(sqe, fd, place(f, NULL, 64), 8, 0);
		break;
	case 4:
		io_uring_prep_fsync(sqe, fd, 0);
		break;
	default:
		io_uring_prep_read(sqe, fd, place(f, NULL, 64), 16 << below(chance, 6),
				   one_in(chance, 4) ? boundary(f) : 0);
		break;
	}
	io_uring_sqe_set_data64(sqe, below(chance, 4));
	sqe->flags |= one_in(chance, 8) ? IOSQE_ASYNC : 0;
}

/* Some requests at once; what does not come back soon is still under way later */
long call_uring(struct fuzzer *f)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	unsigned int count;
	long ret;

	/* Of a child it would be the parent's, too */
	if (f->is_child)
		return 0;
	if (!f->has_ring) {
		ret = io_uring_queue_init(8, &f->ring, 0);
		if (ret)
			goto out;
		f->has_ring = true;
	}
	for (count = 1 + below(&f->chance, 4); count; count--) {
		sqe = io_uring_get_sqe(&f->ring);
		if (sqe)
			prepare(f, sqe);
	}
	ret = io_uring_submit(&f->ring);
	while (!io_uring_peek_cqe(&f->ring, &cqe))
		io_uring_cqe_seen(&f->ring, cqe);
out:
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}
