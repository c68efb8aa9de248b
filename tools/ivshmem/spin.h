/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When to go on looking, when to sleep, and when to stop listening to doorbells:
 * for loops that are woken by peers.
 */
#ifndef SPIN_H
#define SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* Where nobody rings, or rings too often, we look so often */
#define NAP_MS		2U

/**
 * struct spin - looking before going to sleep
 * @most_ns:  how long at most
 * @spin_ns:  how long next time
 * @idle_at:  since when there was nothing to do; 0 while there is
 * @spin_at:  since when we look
 * @spinning: looking
 */
struct spin {
	uint64_t most_ns;
	uint64_t spin_ns;
	uint64_t idle_at;
	uint64_t spin_at;
	bool spinning;
};

/** spin_init() - look for @us microseconds at most */
void spin_init(struct spin *spin, unsigned int us);

/**
 * spin_again() - whether to look once more before going to sleep
 * @useful: the last look was not in vain
 *
 * Longer where that pays.
 */
bool spin_again(struct spin *spin, bool useful);

/**
 * struct hearing - a peer that rings all the time does not make us look all the time
 * @window_at: when the window began in which the following are counted
 * @useful:    rounds in which something was done
 * @vain:      doorbells after which nothing was
 * @rung:      a doorbell was the reason for this round
 * @resting:   doorbells are not to be waited for until the window ends
 */
struct hearing {
	uint32_t window_at;
	unsigned int useful;
	unsigned int vain;
	bool rung;
	bool resting;
};

/** hearing_count() - a round is over; @now in milliseconds; sets @resting */
void hearing_count(struct hearing *hearing, bool useful, uint32_t now);

#endif /* SPIN_H */
