/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for descriptors: what is watched, and the clock that timeouts use.
 */
#include "loop.h"

#include <errno.h>
#include <time.h>

#define EVENTS_AT_ONCE 32

static int control(int epoll, int operation, struct watch *watch,
		   uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(epoll, operation, watch->fd, &event))
		return -errno;
	watch->events = events;
	return 0;
}

int watch_add(int epoll, struct watch *watch, uint32_t events)
{
	return control(epoll, EPOLL_CTL_ADD, watch, events);
}

int watch_change(int epoll, struct watch *watch, uint32_t events)
{
	if (watch->events == events)
		return 0;
	return control(epoll, EPOLL_CTL_MOD, watch, events);
}

void watch_remove(int epoll, struct watch *watch)
{
	epoll_ctl(epoll, EPOLL_CTL_DEL, watch->fd, NULL);
}

int watch_wait(int epoll, int timeout, uint64_t *now)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, timeout);

	*now = clock_now();
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		struct watch *watch = events[i].data.ptr;

		watch->ready(watch, events[i].events);
	}
	return 0;
}

uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
