/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop of an export: everything that it waits for comes out of one io_uring,
 * I/O and doorbells alike, and what is submitted goes in with the call that waits.
 */
#ifndef LOOP_H
#define LOOP_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* Of memory that the kernel keeps: two of each peer */
#define LOOP_PIECES	128U

/**
 * struct event - something that io_uring will report
 * @ready:  called with the result of the operation, a negative errno value if it
 *          failed
 * @next:   posted after it
 * @result: what was posted
 *
 * Embedded in whatever waits for it, which must not go away meanwhile.
 */
struct event {
	void (*ready)(struct event *event, int result);
	struct event *next;
	int result;
};

/** event_of() - the structure that an event is embedded in */
#define event_of(event, type, member) \
	((type *)((char *)(event) - offsetof(type, member)))

/**
 * struct loop - the loop
 * @ring:   the io_uring
 * @keeps:  it can keep memory
 * @posted: operations that have ended without it, the first one
 * @last:   where the next one is to be put
 */
struct loop {
	struct io_uring ring;
	bool keeps;
	struct event *posted;
	struct event **last;
};

/** loop_open() - set it up; returns 0 or a negative errno value */
int loop_open(struct loop *loop);
/** loop_close() - no I/O may be in flight; what is polled for is forgotten */
void loop_close(struct loop *loop);

/**
 * loop_sqe() - an entry for an operation, to be prepared by the caller
 *
 * Submits others if there is no room.
 */
struct io_uring_sqe *loop_sqe(struct loop *loop, struct event *event);

/**
 * loop_keep() - let the kernel keep a piece of memory, so that I/O costs less
 * @index: of the place where it is remembered, below LOOP_PIECES
 *
 * What cannot be kept is used as it is.  Nothing there may be in flight.
 *
 * Return: whether it is kept.
 */
bool loop_keep(struct loop *loop, unsigned int index, void *memory,
	       size_t size);
/** loop_release() - it need not be kept any more */
void loop_release(struct loop *loop, unsigned int index);

/** loop_poll() - be told once when a descriptor is ready for @events, of poll(2) */
void loop_poll(struct loop *loop, int fd, unsigned int events,
	       struct event *event);

/** loop_post() - report @result of something that was done without io_uring */
void loop_post(struct loop *loop, struct event *event, int result);

/** loop_submit() - let the kernel begin with all that was prepared */
void loop_submit(struct loop *loop);

/** loop_reap() - report what has ended, without waiting; returns how many */
unsigned int loop_reap(struct loop *loop);

/** loop_wait() - submit, then wait until something has ended, or the time is over */
void loop_wait(struct loop *loop, uint32_t ms);

#endif /* LOOP_H */
