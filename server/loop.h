/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for descriptors: what is watched, and the clock that timeouts use.
 */
#ifndef IVSHMEMD_LOOP_H
#define IVSHMEMD_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

/**
 * struct watch - a descriptor that is waited for
 * @fd:     the descriptor
 * @events: epoll events that are waited for
 * @ready:  called when one of them came
 *
 * Embedded in whatever owns the descriptor.
 */
struct watch {
	int fd;
	uint32_t events;
	void (*ready)(struct watch *watch, uint32_t events);
};

/** watch_of() - the structure that a watch is embedded in. */
#define watch_of(watch, type, member) \
	((type *)((char *)(watch) - offsetof(type, member)))

/** watch_add() - begin to wait; returns 0 or a negative errno. */
int watch_add(int epoll, struct watch *watch, uint32_t events);

/** watch_change() - wait for other events; returns 0 or a negative errno. */
int watch_change(int epoll, struct watch *watch, uint32_t events);

/** watch_remove() - wait no more; the descriptor stays open. */
void watch_remove(int epoll, struct watch *watch);

/**
 * watch_wait() - wait once and call everything that is ready
 * @timeout: milliseconds, -1 for ever
 * @now:     set to clock_now() before anything is called
 *
 * What a watch is embedded in must not be freed while this runs.
 *
 * Return: 0 or a negative errno.
 */
int watch_wait(int epoll, int timeout, uint64_t *now);

/** clock_now() - monotonic time in milliseconds. */
uint64_t clock_now(void);

#endif /* IVSHMEMD_LOOP_H */
