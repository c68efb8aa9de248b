/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often a user may connect to a link, so that one who does it without end
 * leaves the server's time to others.
 */
#include "pace.h"

#include <stddef.h>

#define SECOND	1000000ULL

/* The user, or else the one who is the least ahead. */
static struct pace_user *find(struct pace *pace, uint32_t uid)
{
	struct pace_user *slowest = &pace->users[0];

	for (size_t i = 0; i < PACE_USERS; i++) {
		struct pace_user *user = &pace->users[i];

		if (user->due && user->uid == uid)
			return user;
		if (user->due < slowest->due)
			slowest = user;
	}
	return slowest;
}

uint64_t pace_take(struct pace *pace, const struct pace_limit *limit,
		   uint32_t uid, uint64_t now)
{
	struct pace_user *user = find(pace, uid);
	uint64_t step = SECOND / limit->per_second;
	uint64_t ahead = step * limit->burst;
	uint64_t present = now * 1000;

	/* Who is not ahead of time makes room for another. */
	if (user->due < present) {
		user->uid = uid;
		user->due = present;
	}
	/* Rounded up: not before it is there. */
	if (user->due + step > present + ahead)
		return (user->due + step - ahead + 999) / 1000;
	user->due += step;
	return now;
}
