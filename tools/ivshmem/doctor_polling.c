// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at what polling costs: each look at the memory is a sleep
 * that ends.
 */
#include <time.h>

#include "doctor.h"

/* As channels sleep between two looks: the first, and when nothing happens */
#define NAP_FIRST_US	50L
#define NAP_LAST_US	2000L
#define NAPS		100

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void examine_polling(struct findings *findings, const struct attachment *at)
{
	const struct timespec nap = { .tv_nsec = NAP_FIRST_US * 1000 };
	double begin = seconds(CLOCK_MONOTONIC);
	double used = seconds(CLOCK_PROCESS_CPUTIME_ID);
	double took, idle;
	int i;

	for (i = 0; i < NAPS; i++)
		nanosleep(&nap, NULL);
	took = (seconds(CLOCK_MONOTONIC) - begin) / NAPS * 1e6;
	used = (seconds(CLOCK_PROCESS_CPUTIME_ID) - used) / NAPS * 1e6;
	idle = used / (NAP_LAST_US + used) * 100;
	found(findings, VERDICT_WARN, "polling", at->address,
	      "wait by doorbells where either can be had",
	      "a look after %ld us takes %.0f us and %.1f us of processor time "
	      "here; an idle channel looks every %ld ms, which is %.1f %% of a "
	      "processor, and answers so much later", NAP_FIRST_US, took, used,
	      NAP_LAST_US / 1000, idle);
}
