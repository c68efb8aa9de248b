// SPDX-License-Identifier: GPL-2.0-only
/*
 * Joins a NET section, brings links to all peers up and down, and notices when
 * the region is another one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "command.h"
#include "region.h"
#include "segment.h"

/* Messages about peers: so many at once, then one in so many milliseconds */
#define WORDS		10
#define WORD_MS		2000
/* A signal does not keep a peer from being rung. */
#define KICK_TRIES	3

static const char *fault_text(enum ivring_fault fault)
{
	static const char *const texts[] = {
		[IVRING_TAMPERED] = "somebody has overwritten our own words",
		[IVRING_BAD_PROD] = "it claims to have sent what has no room",
		[IVRING_BAD_CONS] = "it claims to have got what was not sent",
		[IVRING_BAD_LENGTH] = "a record claims an impossible length",
		[IVRING_BAD_PAD] = "there is padding where none can be",
		[IVRING_BAD_RECORD] = "it does not speak as a network card",
	};

	if ((size_t)fault >= sizeof(texts) / sizeof(texts[0]) || !texts[fault])
		return "its ring is broken";
	return texts[fault];
}

uint32_t segment_clock(struct segment *seg)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	seg->now = (uint32_t)((uint64_t)ts.tv_sec * 1000 +
			      (uint64_t)ts.tv_nsec / 1000000);
	return seg->now;
}

bool segment_may_say(struct segment *seg)
{
	uint32_t grown = (seg->now - seg->words_at) / WORD_MS;

	if (grown) {
		seg->words = grown < WORDS - seg->words ? seg->words + grown :
							  WORDS;
		seg->words_at = seg->now;
	}
	if (!seg->words)
		return false;
	seg->words--;
	return true;
}

static uint32_t random_word(const struct segment *seg)
{
	uint32_t word = 0;

	/* It fails before the kernel has entropy only. */
	if (getrandom(&word, sizeof(word), 0) != sizeof(word))
		word = seg->now;
	return word;
}

/* -EMEDIUMTYPE, -EROFS, or 0 if links can be had there. */
static int check_section(const struct ivshmem_section *section)
{
	if (section->type != IVSHMEM_NET)
		return -EMEDIUMTYPE;
	return section->usable && section->ring_size ? 0 : -EROFS;
}

/* -ENOENT (named), -ENOMSG (there is none), -ENOTUNIQ, or as above. */
static int find_section(struct segment *seg)
{
	struct ivshmem_section section;
	unsigned int found = 0;
	uint32_t index;
	int ret;

	if (seg->wanted) {
		ret = ivshmem_find_section(seg->at.ivs, seg->wanted,
					   &seg->section);
		return ret ? ret : check_section(&seg->section);
	}
	for (index = 0; index < SECTIONS_MAX; index++) {
		if (ivshmem_get_section(seg->at.ivs, index, &section))
			break;
		if (check_section(&section))
			continue;
		seg->section = section;
		found++;
	}
	if (!found)
		return -ENOMSG;
	return found == 1 ? 0 : -ENOTUNIQ;
}

static void explain(const struct segment *seg, int error)
{
	const char *name = seg->wanted ? seg->wanted : "its section";
	const char *address = seg->at.address;

	switch (error) {
	case -ENOENT:
		complain("%s: there is no section %s; `ivshmem info` lists "
			 "them", address, name);
		break;
	case -ENOMSG:
		complain("%s: there is no section of type net; `ivshmem "
			 "format` with net: makes one", address);
		break;
	case -ENOTUNIQ:
		complain("%s: several sections are of type net; name one by "
			 "--section, `ivshmem info` lists them", address);
		break;
	case -EMEDIUMTYPE:
		complain("%s: section %s is not of type net", address, name);
		break;
	default:
		complain("%s: section %s: %s", address, name,
			 region_error(error));
	}
}

/* Offsets count from the start of the section, which is what is mapped. */
static void init_links(struct segment *seg)
{
	struct ivregion_section section = {
		.type = seg->section.type,
		.queues = seg->section.queues,
		.ring_size = seg->section.ring_size,
		.size = seg->section.size,
	};
	struct segment_link *l;
	uint32_t slot;

	seg->up = 0;
	seg->dirty = 0;
	seg->max_frame = ivring_max_length(seg->section.ring_size) -
			 FRAME_HEADER;
	if (seg->max_frame > FRAME_MAX)
		seg->max_frame = FRAME_MAX;
	for (slot = 0; slot < seg->region.slots; slot++) {
		l = &seg->links[slot];
		l->greeted = false;
		l->kick = false;
		if (slot != seg->slot)
			ivlink_init(&l->link, seg->memory, &seg->region,
				    &section, seg->slot, slot, l->queues);
	}
}

static bool intact(const struct segment *seg)
{
	return ivregion_intact(seg->superblock, &seg->region);
}

static int map_memory(struct segment *seg)
{
	int ret;

	ret = ivshmem_map_section(seg->at.ivs, &seg->section,
				  PROT_READ | PROT_WRITE, &seg->memory);
	if (ret)
		return ret;
	ret = ivshmem_map(seg->at.ivs, 0, IVREGION_PAGE, PROT_READ,
			  &seg->superblock);
	/* All that was asked for is of one and the same region. */
	if (!ret && !intact(seg))
		ret = -ESTALE;
	return ret;
}

static void unmap_memory(struct segment *seg)
{
	if (seg->memory)
		ivshmem_unmap(seg->memory, seg->section.size);
	if (seg->superblock)
		ivshmem_unmap(seg->superblock, IVREGION_PAGE);
	seg->memory = NULL;
	seg->superblock = NULL;
}

/* Vector 0, and the one where the section's kicks arrive. */
static int choose_vectors(struct segment *seg)
{
	uint64_t vectors[4] = { 1 };
	uint32_t vector = seg->section.vector;

	if (!segment_wakes(seg))
		return 0;
	if (vector >= seg->at.info.vectors)
		vector = seg->at.info.vectors - 1;
	vectors[vector / 64] |= 1ULL << (vector % 64);
	return ivshmem_subscribe(seg->at.ivs, vectors);
}

static int join(struct segment *seg, struct ivshmem_region *region)
{
	int ret;

	ret = ivshmem_join(seg->at.ivs, seg->name);
	if (ret && ret != -EALREADY)
		return ret;
	ret = ivshmem_get_region(seg->at.ivs, region);
	if (ret)
		return ret;
	if (region->state != IVSHMEM_ATTACHED || !region->epoch ||
	    region->slot < 0)
		return -ESTALE;
	return 0;
}

/* Takes part in the region as it is now. */
static int enter(struct segment *seg)
{
	struct ivshmem_region region;
	int ret;

	ret = join(seg, &region);
	if (!ret)
		ret = find_section(seg);
	if (ret)
		return ret;
	memset(&seg->region, 0, sizeof(seg->region));
	seg->region.slots = region.slots;
	seg->region.instance = region.instance;
	seg->slot = (uint32_t)region.slot;
	ret = map_memory(seg);
	if (!ret)
		ret = choose_vectors(seg);
	if (ret) {
		unmap_memory(seg);
		return ret;
	}
	init_links(seg);
	stations_init(&seg->stations, (uint64_t)random_word(seg) << 32 |
				      random_word(seg));
	seg->attached = true;
	return 0;
}

int segment_open(struct segment *seg, const char *address)
{
	int ret;

	segment_clock(seg);
	seg->words = WORDS;
	seg->words_at = seg->now;
	if (attach(&seg->at, address, 0))
		return -1;
	if (seg->at.info.backend == IVSHMEM_BACKEND_DEVICE) {
		complain("%s: in a guest the driver is the peer, and makes a "
			 "network card of each section of type net: modprobe "
			 "ivshmem_net", seg->at.address);
		detach(&seg->at);
		return -1;
	}
	ret = enter(seg);
	if (!ret)
		return 0;
	explain(seg, ret);
	detach(&seg->at);
	return -1;
}

void segment_kick(struct segment *seg, uint32_t slot)
{
	struct segment_link *l = &seg->links[slot];
	uint32_t vector = seg->section.vector;
	int tries;

	l->kick = false;
	/* Who has none looks by himself. */
	if (!l->vectors)
		return;
	if (vector >= l->vectors)
		vector = l->vectors - 1;
	l->counters.kicks++;
	for (tries = 0; tries < KICK_TRIES; tries++)
		if (ivshmem_ring(seg->at.ivs, slot, vector) != -EINTR)
			break;
}

/* The session is over: nothing that was said in it holds any more. */
static void forget(struct segment *seg, uint32_t slot)
{
	struct segment_link *l = &seg->links[slot];

	seg->up &= ~(1ULL << slot);
	seg->dirty &= ~(1ULL << slot);
	l->greeted = false;
	stations_forget(&seg->stations, slot);
	segment_agree(seg);
}

/* What a step, or an end, has done to a link that was in state @before. */
static void take_events(struct segment *seg, uint32_t slot,
			enum ivlink_state before, unsigned int events)
{
	struct segment_link *l = &seg->links[slot];

	if (before > IVLINK_ANNOUNCE && l->link.state == IVLINK_ANNOUNCE &&
	    l->link.reason != IVRING_STALE) {
		l->faults++;
		if (segment_may_say(seg))
			complain("%s: peer %" PRIu32 ": %s; its link rests for "
				 "%" PRIu32 " ms", seg->tap.name, slot,
				 fault_text(l->link.reason),
				 ivlink_resting(&l->link, seg->now));
	}
	if (events & IVLINK_WENT_DOWN)
		forget(seg, slot);
	if (events & IVLINK_WENT_UP) {
		seg->up |= 1ULL << slot;
		segment_greet(seg, slot);
	}
	if (events & IVLINK_KICK)
		segment_kick(seg, slot);
}

void segment_end(struct segment *seg, uint32_t slot, enum ivring_fault reason)
{
	struct ivlink *link = &seg->links[slot].link;
	enum ivlink_state before = link->state;

	/* What is there may belong to others by now: the next look says. */
	if (!intact(seg)) {
		seg->up &= ~(1ULL << slot);
		seg->dirty &= ~(1ULL << slot);
		return;
	}
	take_events(seg, slot, before, ivlink_end(link, reason, seg->now));
}

void segment_restart(struct segment *seg)
{
	uint32_t slot;

	for (slot = 0; slot < seg->region.slots; slot++)
		if (seg->up >> slot & 1)
			segment_end(seg, slot, IVRING_STALE);
}

static void step_one(struct segment *seg, uint32_t slot)
{
	struct ivlink *link = &seg->links[slot].link;
	enum ivlink_state before = link->state;
	uint32_t random = 0;

	if (before == IVLINK_DOWN)
		return;
	if (before == IVLINK_ANNOUNCE && !ivlink_resting(link, seg->now))
		random = random_word(seg);
	take_events(seg, slot, before, ivlink_step(link, seg->now, random));
}

void segment_step(struct segment *seg)
{
	uint32_t slot;

	for (slot = 0; seg->attached && slot < seg->region.slots; slot++)
		if (slot != seg->slot && intact(seg))
			step_one(seg, slot);
}

uint32_t segment_due_ms(const struct segment *seg)
{
	uint32_t slot, resting, due = IVPEER_BEAT_MS;
	const struct ivlink *link;

	for (slot = 0; seg->attached && slot < seg->region.slots; slot++) {
		link = &seg->links[slot].link;
		if (slot == seg->slot || link->state == IVLINK_DOWN ||
		    link->state == IVLINK_UP)
			continue;
		resting = ivlink_resting(link, seg->now);
		if (resting < IVLINK_STEP_MS)
			resting = IVLINK_STEP_MS;
		if (resting < due)
			due = resting;
	}
	return due;
}

/* A link for whoever is there; a peer that is silent may come back. */
static void look_at_peer(struct segment *seg, uint32_t slot)
{
	struct segment_link *l = &seg->links[slot];
	struct ivshmem_peer peer;
	unsigned int events;

	if (ivshmem_get_peer(seg->at.ivs, slot, &peer) || !intact(seg))
		return;
	l->vectors = peer.vectors;
	if (peer.state == IVSHMEM_ALIVE)
		ivlink_start(&l->link);
	if (peer.state != IVSHMEM_ABSENT)
		return;
	events = ivlink_stop(&l->link);
	if (events & IVLINK_WENT_DOWN)
		forget(seg, slot);
}

/* Nothing may be written there any more. */
static void lose(struct segment *seg)
{
	uint32_t slot;

	if (segment_may_say(seg))
		complain("%s: the region was formatted anew; waiting for a "
			 "section of type net", seg->at.address);
	seg->attached = false;
	for (slot = 0; slot < seg->region.slots; slot++) {
		seg->links[slot].link.state = IVLINK_DOWN;
		forget(seg, slot);
	}
	unmap_memory(seg);
}

static bool same_region(struct segment *seg)
{
	struct ivshmem_region region;

	return !ivshmem_get_region(seg->at.ivs, &region) &&
	       region.state == IVSHMEM_ATTACHED && region.epoch &&
	       region.instance == seg->region.instance &&
	       region.slot == (int32_t)seg->slot && intact(seg);
}

void segment_look(struct segment *seg)
{
	uint32_t slot;

	if (seg->attached && !same_region(seg))
		lose(seg);
	if (!seg->attached && enter(seg))
		return;
	for (slot = 0; slot < seg->region.slots; slot++)
		if (slot != seg->slot)
			look_at_peer(seg, slot);
	segment_step(seg);
}

void segment_close(struct segment *seg)
{
	uint32_t slot;

	for (slot = 0; seg->attached && slot < seg->region.slots; slot++)
		if (slot != seg->slot && intact(seg) &&
		    ivlink_stop(&seg->links[slot].link) & IVLINK_KICK)
			segment_kick(seg, slot);
	unmap_memory(seg);
	seg->attached = false;
	detach(&seg->at);
}
