/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program rings as fast as it can, the other one listens: doorbells may
 * run together, but the last message is always told of.
 */
#include "lane.h"

#include <stdlib.h>

static void sender(struct lane *lane, uint32_t doorbells)
{
	uint32_t i;

	for (i = 1; i <= doorbells; i++)
		lane_say(lane, i);
}

/* Looks into the memory only when a doorbell told it to. */
static void receiver(struct lane *lane, uint32_t doorbells)
{
	uint32_t heard, before = 0;

	do {
		lane_wait(lane);
		heard = lane_heard(lane);
		if (heard < before)
			give_up("message %u came after %u", heard, before);
		before = heard;
	} while (heard < doorbells);
	if (lane->counted > doorbells)
		give_up("%llu interrupts of %u doorbells",
			(unsigned long long)lane->counted, doorbells);
}

int main(int argc, char **argv)
{
	struct lane lane;
	uint32_t doorbells;
	bool sends;

	if (argc != 7) {
		fprintf(stderr,
			"usage: %s /dev/ivshmemN send|receive LANE VECTOR SESSION DOORBELLS\n",
			argv[0]);
		return 2;
	}
	sends = !strcmp(argv[2], "send");
	doorbells = strtoul(argv[6], NULL, 0);
	device_setup(2, argv);
	lane_meet(&lane, strtoul(argv[3], NULL, 0), !sends,
		  strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	if (sends) {
		sender(&lane, doorbells);
		printf("%u doorbells rung\n", doorbells);
	} else {
		receiver(&lane, doorbells);
		printf("%llu interrupts counted\n",
		       (unsigned long long)lane.counted);
	}
	lane_part(&lane);
	return 0;
}
