/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two programs answer each other: one message and one doorbell at a time, so
 * that each doorbell must wake, and count as exactly one.
 */
#include "lane.h"

#include <stdlib.h>

static void ping(struct lane *lane, uint32_t rounds)
{
	uint32_t i;

	for (i = 1; i <= rounds; i++) {
		lane_say(lane, i);
		if (lane_wait(lane) != 1)
			give_up("answer %u was counted more than once", i);
		if (lane_heard(lane) != i)
			give_up("answer %u found %u in the memory", i,
				lane_heard(lane));
	}
}

static void pong(struct lane *lane, uint32_t rounds)
{
	uint32_t i;

	for (i = 1; i <= rounds; i++) {
		if (lane_wait(lane) != 1)
			give_up("message %u was counted more than once", i);
		if (lane_heard(lane) != i)
			give_up("message %u found %u in the memory", i,
				lane_heard(lane));
		lane_say(lane, i);
	}
}

int main(int argc, char **argv)
{
	struct lane lane;
	uint32_t rounds;
	bool first;

	if (argc != 7) {
		fprintf(stderr,
			"usage: %s /dev/ivshmemN ping|pong LANE VECTOR SESSION ROUNDS\n",
			argv[0]);
		return 2;
	}
	first = !strcmp(argv[2], "ping");
	rounds = strtoul(argv[6], NULL, 0);
	device_setup(2, argv);
	lane_meet(&lane, strtoul(argv[3], NULL, 0), !first,
		  strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	if (first)
		ping(&lane, rounds);
	else
		pong(&lane, rounds);
	printf("%llu doorbells counted\n", (unsigned long long)lane.counted);
	lane_part(&lane);
	return lane.counted != rounds;
}
