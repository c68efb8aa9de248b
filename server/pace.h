/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often a user may connect to a link, so that one who does it without end
 * leaves the server's time to others.
 */
#ifndef IVSHMEMD_PACE_H
#define IVSHMEMD_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Users whose pace is kept; more of them at the same time share. */
#define PACE_USERS	16

/**
 * struct pace_user - a user
 * @uid: who
 * @due: when all that has come so far would have come at an even pace,
 *       microseconds
 */
struct pace_user {
	uint32_t uid;
	uint64_t due;
};

/** struct pace - the pace of all users of a link; zeroes are a good start */
struct pace {
	struct pace_user users[PACE_USERS];
};

/**
 * struct pace_limit - what is allowed
 * @per_second: connections of one user, at least 1
 * @burst:      of these, how many at once after a time without any
 */
struct pace_limit {
	unsigned int per_second;
	unsigned int burst;
};

/**
 * pace_take() - take the turn of a connection, if there is one
 * @now: monotonic milliseconds
 *
 * Users take no turns from each other, unless there are more than PACE_USERS
 * who are all too fast.
 *
 * Return: @now; or when there will be one, if nobody else takes it.
 */
uint64_t pace_take(struct pace *pace, const struct pace_limit *limit,
		   uint32_t uid, uint64_t now);

#endif /* IVSHMEMD_PACE_H */
