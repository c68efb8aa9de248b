/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The links of a peer of the host in one section of a region: one to every other
 * peer, brought up and down as these come and go.  What is sent over them is up to
 * the owner.
 *
 * Nothing here is for more than one thread.
 */
#ifndef LINKS_H
#define LINKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <ivshmem/link.h>

#include "attach.h"

struct links;

/**
 * struct links_owner - whom the links are for
 * @type:    of its section, enum ivshmem_section_type
 * @speech:  "it does not speak as ...", of a peer that sends what cannot be
 * @guest:   why a guest's device is refused, and what to do instead; NULL if it is
 *           not
 * @entered: a section was joined, @section and @memory are those of it; returns 0,
 *           or a negative errno value to refuse it: -ENOSPC if it is too small.
 *           May be NULL
 * @up:      a session has begun
 * @down:    it is over; may also come of a link that was not up
 * @busy:    whether somebody else still uses the memory; NULL for never
 */
struct links_owner {
	uint32_t type;
	const char *speech;
	const char *guest;
	int (*entered)(struct links *ls);
	void (*up)(struct links *ls, uint32_t slot);
	void (*down)(struct links *ls, uint32_t slot);
	bool (*busy)(const struct links *ls);
};

/**
 * struct peer_link - the link to one peer
 * @link:    the link
 * @queues:  its rings
 * @vectors: on how many it can be rung
 * @kick:    it is to be rung, see links_kick()
 * @faults:  sessions that ended by a fault
 * @kicks:   doorbells rung
 */
struct peer_link {
	struct ivlink link;
	struct ivlink_queue queues[IVREGION_QUEUES_MAX];
	uint32_t vectors;
	bool kick;
	uint64_t faults;
	uint64_t kicks;
};

/**
 * struct links - all of them
 * @owner:      whom they are for
 * @at:         the link of the server
 * @wanted:     name of the section, or NULL for the only one
 * @name:       own name for others, or NULL for the host's
 * @who:        for messages about peers
 * @alarm:      wakes up who sleeps in a doorbell that was made to block
 * @attached:   the section is mapped, and this is a peer
 * @lost:       a session has ended when the region was another one, or seemed to be
 * @leaving:    the region is another one; the memory is unmapped once it may be
 * @section:    the section
 * @region:     of the region: slots and instance
 * @slot:       own slot
 * @memory:     the section
 * @superblock: of the region
 * @up:         links that are up, a bit for each slot
 * @links:      by slot; the own one's is not used
 * @now:        milliseconds, as of the last links_clock()
 * @words:      messages that may be said at once, see links_may_say()
 * @words_at:   when it last grew
 * @clock:      when something is due, see links_tend()
 */
struct links {
	const struct links_owner *owner;
	struct attachment at;
	const char *wanted;
	const char *name;
	const char *who;
	timer_t alarm;
	bool attached;
	bool lost;
	bool leaving;
	struct ivshmem_section section;
	struct ivregion region;
	uint32_t slot;
	void *memory;
	void *superblock;
	uint64_t up;
	struct peer_link links[IVREGION_SLOTS_MAX];
	uint32_t now;
	unsigned int words;
	uint32_t words_at;
	struct {
		uint32_t step_at;
		uint32_t look_at;
		uint32_t looked_at;
	} clock;
};

/**
 * links_open() - join a section
 * @address: of the server's link; NULL for the default
 *
 * With @owner, @wanted, @name and @who set, and the rest 0.  Until links_close() the
 * calling thread gets SIGALRM each second, which is caught.
 *
 * Return: 0, or -1 after a message.
 */
int links_open(struct links *ls, const char *address);
/** links_close() - end all links, and be no peer any more */
void links_close(struct links *ls);

/** links_clock() - set @now; returns it */
uint32_t links_clock(struct links *ls);

/**
 * links_tend() - do what is due by the clock
 *
 * Looks at the region and who is there, and steps all links; takes part again once
 * a region that was formatted anew can be used.
 */
void links_tend(struct links *ls);

/** links_take_doorbells() - look whether anybody has rung, and why */
bool links_take_doorbells(struct links *ls);

/** links_due_ms() - when links_tend() is due, in milliseconds */
uint32_t links_due_ms(const struct links *ls);

/** links_end() - end a session, for a reason that a ring has found */
void links_end(struct links *ls, uint32_t slot, enum ivring_fault reason);

/** links_kick() - the peer should look */
void links_kick(struct links *ls, uint32_t slot);

/**
 * links_may_say() - whether there may be one more message
 *
 * Of those that a peer can cause; some at once, then one in two seconds.
 */
bool links_may_say(struct links *ls);

/** links_intact() - whether the region is still the one that was joined */
bool links_intact(const struct links *ls);

/** links_wake() - whether others can ring us */
static inline bool links_wake(const struct links *ls)
{
	return ls->at.info.vectors;
}

/** next_slot() - take the lowest slot out of a set */
static inline uint32_t next_slot(uint64_t *set)
{
	uint32_t slot = (uint32_t)__builtin_ctzll(*set);

	*set &= *set - 1;
	return slot;
}

/** past() - whether a time has come, of clocks modulo 2^32 */
static inline bool past(uint32_t now, uint32_t time)
{
	return (int32_t)(now - time) >= 0;
}

#endif /* LINKS_H */
