// SPDX-License-Identifier: GPL-2.0-only
/*
 * Joins a NET section, and learns of links that come up and go down.
 */
#include <string.h>
#include <sys/random.h>

#include "segment.h"

static struct segment *segment_of(struct links *ls)
{
	return (struct segment *)((char *)ls - offsetof(struct segment, base));
}

static int entered(struct links *ls)
{
	struct segment *seg = segment_of(ls);
	uint64_t seed = 0;
	uint32_t slot;

	/* It fails before the kernel has entropy only. */
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = ls->now;
	stations_init(&seg->stations, seed);
	seg->dirty = 0;
	for (slot = 0; slot < ls->region.slots; slot++)
		seg->links[slot].greeted = false;
	seg->max_frame = ivring_max_length(ls->section.ring_size) -
			 FRAME_HEADER;
	if (seg->max_frame > FRAME_MAX)
		seg->max_frame = FRAME_MAX;
	return 0;
}

static void link_up(struct links *ls, uint32_t slot)
{
	segment_greet(segment_of(ls), slot);
}

static void link_down(struct links *ls, uint32_t slot)
{
	struct segment *seg = segment_of(ls);

	seg->dirty &= ~(1ULL << slot);
	seg->links[slot].greeted = false;
	stations_forget(&seg->stations, slot);
	/* The frame that the device did not take may have been its */
	seg->blocked = false;
	segment_agree(seg);
}

static const struct links_owner owner = {
	.type = IVSHMEM_NET,
	.speech = "a network card",
	.guest = "in a guest the driver is the peer, and makes a network card "
		 "of each section of type net: modprobe ivshmem_net",
	.entered = entered,
	.up = link_up,
	.down = link_down,
};

int segment_open(struct segment *seg, const char *address)
{
	seg->base.owner = &owner;
	seg->base.who = seg->tap.name;
	return links_open(&seg->base, address);
}

void segment_restart(struct segment *seg)
{
	uint64_t set = seg->base.up;

	while (set)
		links_end(&seg->base, next_slot(&set), IVRING_STALE);
}
