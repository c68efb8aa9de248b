// SPDX-License-Identifier: BSD-3-Clause
/*
 * Own vectors that arrive at eventfds: chooses those that are waited for, waits,
 * and consumes what was rung.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "handle.h"

int ivshmem_handle_init(struct handle *handle,
			const struct ivshmem_backend_ops *ops,
			unsigned int flags)
{
	pthread_mutex_init(&handle->lock, NULL);
	ivshmem_host_init(&handle->region);
	handle->ivs.ops = ops;
	handle->ivs.flags = flags;
	handle->ivs.memory_fd = -1;
	handle->rung = -1;
	handle->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return handle->epoll_fd < 0 ? -errno : 0;
}

void ivshmem_handle_release(struct handle *handle)
{
	if (handle->epoll_fd >= 0)
		close(handle->epoll_fd);
	if (handle->rung >= 0)
		close(handle->rung);
	pthread_mutex_destroy(&handle->lock);
}

static bool in_set(const uint64_t set[4], unsigned int vector)
{
	return set[vector / 64] >> (vector % 64) & 1;
}

/*
 * RWF_NOWAIT, since others may hold the same eventfd: they may have been
 * faster, and whether it is non-blocking is theirs to decide as well.
 */
int64_t ivshmem_handle_consume(int eventfd)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	struct pollfd pfd = { .fd = eventfd, .events = POLLIN };
	ssize_t n;

	n = preadv2(eventfd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP && poll(&pfd, 1, 0) > 0)
		n = read(eventfd, &count, sizeof(count));
	if (n == sizeof(count))
		return count > INT64_MAX ? INT64_MAX : (int64_t)count;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPROTO;
}

/*
 * The same for an own vector.  What was taken away was for those, too, who watch
 * the same eventfd and may not have looked yet: epoll drops what it finds to be
 * not ready any more.
 */
static int64_t take_doorbell(struct handle *handle, unsigned int vector)
{
	int64_t count = ivshmem_handle_consume(handle->eventfds[vector]);
	uint64_t one = 1;

	if (count <= 0)
		return count;
	if (!vector)
		ivshmem_host_nudge(&handle->region);
	/* It takes 2^64 doorbells to fill it. */
	if (handle->rung >= 0 && write(handle->rung, &one, sizeof(one)) < 0)
		return count;
	return count;
}

static int watch(struct handle *handle, int fd, uint32_t tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = tag };

	if (epoll_ctl(handle->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return errno == ENOMEM || errno == ENOSPC ? -errno : -EPROTO;
	return 0;
}

static void unwatch(struct handle *handle, int fd)
{
	epoll_ctl(handle->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int ivshmem_handle_add_other(struct handle *handle, int fd)
{
	return watch(handle, fd, HANDLE_TAG_OTHER);
}

void ivshmem_handle_remove_other(struct handle *handle, int fd)
{
	unwatch(handle, fd);
}

int ivshmem_handle_add_vector(struct handle *handle, int fd)
{
	unsigned int vector = handle->vectors;
	int ret;

	handle->eventfds[vector] = fd;
	handle->vectors = vector + 1;
	if (handle->chosen)
		return 0;
	ret = watch(handle, fd, vector);
	if (!ret)
		handle->subscribed[vector / 64] |= 1ULL << (vector % 64);
	return ret;
}

static int follow(struct handle *handle)
{
	return handle->follow ? handle->follow(handle) : 0;
}

int ivshmem_handle_follow(struct ivshmem *ivs)
{
	struct handle *handle = to_handle(ivs);
	int ret;

	pthread_mutex_lock(&handle->lock);
	ret = follow(handle);
	pthread_mutex_unlock(&handle->lock);
	return ret;
}

int ivshmem_handle_doorbell(struct ivshmem *ivs, uint32_t vector)
{
	struct handle *handle = to_handle(ivs);
	int fd = -1;

	pthread_mutex_lock(&handle->lock);
	if (handle->vectors) {
		vector = ivshmem_listen_vector(vector, handle->vectors);
		fd = handle->eventfds[vector];
	}
	pthread_mutex_unlock(&handle->lock);
	return fd;
}

int ivshmem_handle_rung(struct ivshmem *ivs)
{
	struct handle *handle = to_handle(ivs);
	int fd;

	pthread_mutex_lock(&handle->lock);
	if (handle->rung < 0)
		handle->rung = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fd = handle->rung < 0 ? -errno : handle->rung;
	pthread_mutex_unlock(&handle->lock);
	return fd;
}

/* Brings the epoll set in line with the vectors wanted, one by one. */
static int change_subscription(struct handle *handle, const uint64_t wanted[4])
{
	unsigned int v;
	int ret;

	for (v = 0; v < LIBIVSHMEM_MAX_VECTORS; v++)
		if (in_set(wanted, v) && v >= handle->vectors)
			return -EINVAL;
	for (v = 0; v < handle->vectors; v++) {
		if (in_set(wanted, v) == in_set(handle->subscribed, v))
			continue;
		if (in_set(wanted, v)) {
			take_doorbell(handle, v);
			ret = watch(handle, handle->eventfds[v], v);
			if (ret)
				return ret;
		} else {
			unwatch(handle, handle->eventfds[v]);
		}
		handle->subscribed[v / 64] ^= 1ULL << (v % 64);
	}
	handle->chosen = true;
	return 0;
}

int ivshmem_handle_subscribe(struct ivshmem *ivs, const uint64_t vectors[4])
{
	struct handle *handle = to_handle(ivs);
	int ret;

	pthread_mutex_lock(&handle->lock);
	ret = follow(handle);
	if (!ret)
		ret = handle->vectors ? change_subscription(handle, vectors) :
					-EOPNOTSUPP;
	pthread_mutex_unlock(&handle->lock);
	return ret;
}

/* Consumes a vector; whether that has filled in @event. */
static bool take_event(struct handle *handle, uint32_t vector,
		       struct ivshmem_event *event)
{
	int64_t count;

	/* Another thread may have changed the subscription meanwhile. */
	if (!in_set(handle->subscribed, vector))
		return false;
	count = take_doorbell(handle, vector);
	if (count < 0) {
		/* It was no eventfd: never to be seen again. */
		unwatch(handle, handle->eventfds[vector]);
		handle->subscribed[vector / 64] &= ~(1ULL << (vector % 64));
	}
	if (count <= 0)
		return false;
	event->vector = vector;
	event->count = (uint64_t)count;
	return true;
}

/* Consumes what epoll has found; the number of events, or -ENODEV. */
static int take(struct handle *handle, const struct epoll_event *ready, int n,
		struct ivshmem_event *events)
{
	int i, found = 0, ret = 0;

	pthread_mutex_lock(&handle->lock);
	for (i = 0; i < n; i++) {
		if (ready[i].data.u32 == HANDLE_TAG_OTHER)
			ret = follow(handle);
		else if (take_event(handle, ready[i].data.u32, &events[found]))
			found++;
	}
	pthread_mutex_unlock(&handle->lock);
	return found ? found : ret;
}

/*
 * epoll moves what it reports to the end of its queue, so that with a small @max
 * each vector has its turn.
 */
int ivshmem_handle_wait(struct ivshmem *ivs, struct ivshmem_event *events,
			unsigned int max, int timeout_ms)
{
	struct epoll_event ready[LIBIVSHMEM_MAX_VECTORS];
	int64_t deadline = ivshmem_deadline(timeout_ms);
	struct handle *handle = to_handle(ivs);
	int n, ret;

	/* It may be that they have come, and nobody has looked. */
	if (ivshmem_handle_doorbell(ivs, 0) < 0) {
		ret = ivshmem_handle_follow(ivs);
		if (ret)
			return ret;
		if (ivshmem_handle_doorbell(ivs, 0) < 0)
			return -EOPNOTSUPP;
	}
	do {
		n = epoll_wait(handle->epoll_fd, ready, (int)max,
			       ivshmem_time_left(deadline));
		if (n <= 0)
			return n ? -errno : 0;
		ret = take(handle, ready, n, events);
	} while (!ret);
	return ret;
}

int ivshmem_handle_fd(struct ivshmem *ivs)
{
	return to_handle(ivs)->epoll_fd;
}
