/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A lane: the place in the shared memory where two programs, in one VM or two,
 * meet and number what they say to each other.
 */
#ifndef TESTS_UAPI_LANE_H
#define TESTS_UAPI_LANE_H

#include "device.h"

/* What one side writes and the other one reads. */
struct side {
	uint32_t session;	/* which run this is; 0 never */
	uint32_t peer;		/* own id */
	uint32_t sequence;	/* number of the latest message */
	uint32_t finished;	/* the side waits for nothing any more */
	uint32_t unused[12];	/* a cache line each */
};

struct lane {
	int fd;
	uint32_t vector;
	volatile struct side *own, *other;
	uint64_t counted;	/* interrupts that the device has told of */
};

/*
 * Opens the device, subscribes to @vector and waits, a minute at most, until
 * the other side of the session is there, too.  @number tells the sides (0 and
 * 1) of the lane (0 to 63) apart.
 */
void lane_meet(struct lane *lane, unsigned int number, unsigned int side,
	       uint32_t vector, uint32_t session);

/* Writes @sequence for the other side to see, and rings it. */
void lane_say(struct lane *lane, uint32_t sequence);

/* The latest that the other side has said. */
uint32_t lane_heard(const struct lane *lane);

/* Waits for a doorbell; its count.  Says and exits when none comes in time. */
uint64_t lane_wait(struct lane *lane);

/* Ends the meeting: waits, a minute at most, for the other side to do so. */
void lane_part(struct lane *lane);

/* Says what is wrong and exits with status 1. */
__attribute__((format(printf, 1, 2), noreturn))
void give_up(const char *format, ...);

#endif /* TESTS_UAPI_LANE_H */
