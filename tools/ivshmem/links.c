// SPDX-License-Identifier: GPL-2.0-only
/*
 * Joins a section, brings links to all peers up and down, and notices when the
 * region is another one.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "layout.h"
#include "links.h"
#include "region.h"

/* Messages about peers: so many at once, then one in so many milliseconds */
#define WORDS		10
#define WORD_MS		2000
/* A signal does not keep a peer from being rung. */
#define KICK_TRIES	3
/* Between two looks at the directory that doorbells ask for */
#define LOOK_REST_MS	10U

static const char *fault_text(enum ivring_fault fault)
{
	static const char *const texts[] = {
		[IVRING_TAMPERED] = "somebody has overwritten our own words",
		[IVRING_BAD_PROD] = "it claims to have sent what has no room",
		[IVRING_BAD_CONS] = "it claims to have got what was not sent",
		[IVRING_BAD_LENGTH] = "a record claims an impossible length",
		[IVRING_BAD_PAD] = "there is padding where none can be",
		[IVRING_BAD_RECORD] = "it does not speak as ",
	};

	if ((size_t)fault >= sizeof(texts) / sizeof(texts[0]) || !texts[fault])
		return "its ring is broken";
	return texts[fault];
}

uint32_t links_clock(struct links *ls)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ls->now = (uint32_t)((uint64_t)ts.tv_sec * 1000 +
			     (uint64_t)ts.tv_nsec / 1000000);
	return ls->now;
}

bool links_may_say(struct links *ls)
{
	uint32_t grown = (ls->now - ls->words_at) / WORD_MS;

	if (grown) {
		ls->words = grown < WORDS - ls->words ? ls->words + grown :
							WORDS;
		ls->words_at = ls->now;
	}
	if (!ls->words)
		return false;
	ls->words--;
	return true;
}

static uint32_t random_word(const struct links *ls)
{
	uint32_t word = 0;

	/* It fails before the kernel has entropy only. */
	if (getrandom(&word, sizeof(word), 0) != sizeof(word))
		word = ls->now;
	return word;
}

/* -EMEDIUMTYPE, -EROFS, or 0 if links can be had there. */
static int check_section(const struct links *ls,
			 const struct ivshmem_section *section)
{
	if (section->type != ls->owner->type)
		return -EMEDIUMTYPE;
	return section->usable && section->ring_size ? 0 : -EROFS;
}

/* -ENOENT (named), -ENOMSG (there is none), -ENOTUNIQ, or as above. */
static int find_section(struct links *ls)
{
	struct ivshmem_section section;
	unsigned int found = 0;
	uint32_t index;
	int ret;

	if (ls->wanted) {
		ret = ivshmem_find_section(ls->at.ivs, ls->wanted,
					   &ls->section);
		return ret ? ret : check_section(ls, &ls->section);
	}
	for (index = 0; index < SECTIONS_MAX; index++) {
		if (ivshmem_get_section(ls->at.ivs, index, &section))
			break;
		if (check_section(ls, &section))
			continue;
		ls->section = section;
		found++;
	}
	if (!found)
		return -ENOMSG;
	return found == 1 ? 0 : -ENOTUNIQ;
}

static void explain(const struct links *ls, int error)
{
	const char *name = ls->wanted ? ls->wanted : "its section";
	const char *type = ivshmem_layout_type(ls->owner->type);
	const char *address = ls->at.address;

	switch (error) {
	case -ENOENT:
		complain("%s: there is no section %s; `ivshmem info` lists "
			 "them", address, name);
		break;
	case -ENOMSG:
		complain("%s: there is no section of type %s; `ivshmem "
			 "format` with %s: makes one", address, type, type);
		break;
	case -ENOTUNIQ:
		complain("%s: several sections are of type %s; name one by "
			 "--section, `ivshmem info` lists them", address, type);
		break;
	case -EMEDIUMTYPE:
		complain("%s: section %s is not of type %s", address, name,
			 type);
		break;
	case -ENOSPC:
		complain("%s: section %s is too small for its peers and "
			 "queues; `ivshmem format` with a larger one, or fewer "
			 "of them", address, name);
		break;
	case -EINVAL:
		if (ls->at.info.backend == IVSHMEM_BACKEND_DEVICE) {
			complain("%s: section %s is a driver's; give it to "
				 "programs by the attribute \"programs\" of the "
				 "device, see ivshmem-blk-server(8)", address,
				 ls->section.name);
			break;
		}
		/* fallthrough */
	default:
		complain("%s: section %s: %s", address, name,
			 region_error(error));
	}
}

/* Offsets count from the start of the section, which is what is mapped. */
static void init_links(struct links *ls)
{
	struct ivregion_section section = {
		.type = ls->section.type,
		.queues = ls->section.queues,
		.ring_size = ls->section.ring_size,
		.size = ls->section.size,
	};
	struct peer_link *l;
	uint32_t slot;

	ls->up = 0;
	for (slot = 0; slot < ls->region.slots; slot++) {
		l = &ls->links[slot];
		l->kick = false;
		if (slot != ls->slot)
			ivlink_init(&l->link, ls->memory, &ls->region,
				    &section, ls->slot, slot, l->queues);
	}
}

bool links_intact(const struct links *ls)
{
	/* A guest's driver takes the memory away when it is another's. */
	return !ls->superblock || ivregion_intact(ls->superblock, &ls->region);
}

static int map_memory(struct links *ls)
{
	int ret;

	ret = ivshmem_map_section(ls->at.ivs, &ls->section,
				  PROT_READ | PROT_WRITE, &ls->memory);
	if (ret)
		return ret;
	if (ls->at.info.backend == IVSHMEM_BACKEND_DEVICE)
		return 0;
	ret = ivshmem_map(ls->at.ivs, 0, IVREGION_PAGE, PROT_READ,
			  &ls->superblock);
	/* All that was asked for is of one and the same region. */
	if (!ret && !links_intact(ls))
		ret = -ESTALE;
	return ret;
}

static void unmap_memory(struct links *ls)
{
	if (ls->memory)
		ivshmem_unmap(ls->memory, ls->section.size);
	if (ls->superblock)
		ivshmem_unmap(ls->superblock, IVREGION_PAGE);
	ls->memory = NULL;
	ls->superblock = NULL;
}

/* Vector 0, and the one where the section's kicks arrive. */
static int choose_vectors(struct links *ls)
{
	uint64_t vectors[4] = { 1 };
	uint32_t vector = ls->section.vector;

	if (!links_wake(ls))
		return 0;
	if (vector >= ls->at.info.vectors)
		vector = ls->at.info.vectors - 1;
	vectors[vector / 64] |= 1ULL << (vector % 64);
	return ivshmem_subscribe(ls->at.ivs, vectors);
}

static int join(struct links *ls, struct ivshmem_region *region)
{
	int ret;

	ret = ivshmem_join(ls->at.ivs, ls->name);
	if (ret && ret != -EALREADY)
		return ret;
	ret = ivshmem_get_region(ls->at.ivs, region);
	if (ret)
		return ret;
	if (region->state != IVSHMEM_ATTACHED || !region->epoch ||
	    region->slot < 0)
		return -ESTALE;
	return 0;
}

/* Takes part in the region as it is now. */
static int enter(struct links *ls)
{
	struct ivshmem_region region;
	int ret;

	ret = join(ls, &region);
	if (!ret)
		ret = find_section(ls);
	if (ret)
		return ret;
	memset(&ls->region, 0, sizeof(ls->region));
	ls->region.slots = region.slots;
	ls->region.instance = region.instance;
	ls->slot = (uint32_t)region.slot;
	ret = map_memory(ls);
	if (!ret)
		ret = choose_vectors(ls);
	if (!ret && ls->owner->entered)
		ret = ls->owner->entered(ls);
	if (ret) {
		unmap_memory(ls);
		return ret;
	}
	init_links(ls);
	ls->attached = true;
	ls->lost = false;
	return 0;
}

static void note_nothing(int number)
{
	(void)number;
}

/*
 * Whoever holds a doorbell of a peer can fill it up and make it block, between a look
 * at it and the write that rings: a signal each second ends that.
 */
static int start_alarm(timer_t *alarm)
{
	struct sigaction action = { .sa_handler = note_nothing };
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGALRM,
	};
	struct itimerspec second = {
		.it_interval.tv_sec = 1,
		.it_value.tv_sec = 1,
	};

	sigaction(SIGALRM, &action, NULL);
	/* The C library has no other name for it. */
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, alarm)) {
		complain("a timer: %s", strerror(errno));
		return -1;
	}
	timer_settime(*alarm, 0, &second, NULL);
	return 0;
}

static int open_section(struct links *ls, const char *address)
{
	int ret;

	links_clock(ls);
	ls->words = WORDS;
	ls->words_at = ls->now;
	ls->clock.look_at = ls->now;
	ls->clock.step_at = ls->now;
	ls->clock.looked_at = ls->now;
	if (attach(&ls->at, address, 0))
		return -1;
	if (ls->owner->guest && ls->at.info.backend == IVSHMEM_BACKEND_DEVICE) {
		complain("%s: %s", ls->at.address, ls->owner->guest);
		detach(&ls->at);
		return -1;
	}
	ret = enter(ls);
	if (!ret)
		return 0;
	explain(ls, ret);
	detach(&ls->at);
	return -1;
}

int links_open(struct links *ls, const char *address)
{
	if (start_alarm(&ls->alarm))
		return -1;
	if (!open_section(ls, address))
		return 0;
	timer_delete(ls->alarm);
	return -1;
}

void links_kick(struct links *ls, uint32_t slot)
{
	struct peer_link *l = &ls->links[slot];
	uint32_t vector = ls->section.vector;
	int tries;

	l->kick = false;
	/* Who has none looks by himself. */
	if (!l->vectors)
		return;
	if (vector >= l->vectors)
		vector = l->vectors - 1;
	l->kicks++;
	for (tries = 0; tries < KICK_TRIES; tries++)
		if (ivshmem_ring(ls->at.ivs, slot, vector) != -EINTR)
			break;
}

/* The session is over: nothing that was said in it holds any more. */
static void forget(struct links *ls, uint32_t slot)
{
	ls->up &= ~(1ULL << slot);
	ls->owner->down(ls, slot);
}

static void say_fault(struct links *ls, uint32_t slot)
{
	const struct ivlink *link = &ls->links[slot].link;

	if (links_may_say(ls))
		complain("%s: peer %" PRIu32 ": %s%s; its link rests for %"
			 PRIu32 " ms", ls->who, slot, fault_text(link->reason),
			 link->reason == IVRING_BAD_RECORD ?
			 ls->owner->speech : "", ivlink_resting(link, ls->now));
}

/* What a step, or an end, has done to a link that was in state @before. */
static void take_events(struct links *ls, uint32_t slot,
			enum ivlink_state before, unsigned int events)
{
	struct peer_link *l = &ls->links[slot];

	if (before > IVLINK_ANNOUNCE && l->link.state == IVLINK_ANNOUNCE &&
	    l->link.reason != IVRING_STALE) {
		l->faults++;
		say_fault(ls, slot);
	}
	if (events & IVLINK_WENT_DOWN)
		forget(ls, slot);
	if (events & IVLINK_WENT_UP) {
		ls->up |= 1ULL << slot;
		ls->owner->up(ls, slot);
	}
	if (events & IVLINK_KICK)
		links_kick(ls, slot);
}

void links_end(struct links *ls, uint32_t slot, enum ivring_fault reason)
{
	struct ivlink *link = &ls->links[slot].link;
	enum ivlink_state before = link->state;

	/*
	 * What is there may belong to others by now.  If not, the peer would not
	 * learn that its session is over: all begin anew.
	 */
	if (!links_intact(ls)) {
		forget(ls, slot);
		ls->lost = true;
		ls->clock.look_at = ls->now;
		return;
	}
	take_events(ls, slot, before, ivlink_end(link, reason, ls->now));
}

static void step_one(struct links *ls, uint32_t slot)
{
	struct ivlink *link = &ls->links[slot].link;
	enum ivlink_state before = link->state;
	uint32_t random = 0;

	if (before == IVLINK_DOWN)
		return;
	if (before == IVLINK_ANNOUNCE && !ivlink_resting(link, ls->now))
		random = random_word(ls);
	take_events(ls, slot, before, ivlink_step(link, ls->now, random));
}

static void step(struct links *ls)
{
	uint32_t slot;

	for (slot = 0; ls->attached && slot < ls->region.slots; slot++)
		if (slot != ls->slot && links_intact(ls))
			step_one(ls, slot);
}

static uint32_t step_due_ms(const struct links *ls)
{
	uint32_t slot, resting, due = IVPEER_BEAT_MS;
	const struct ivlink *link;

	for (slot = 0; ls->attached && slot < ls->region.slots; slot++) {
		link = &ls->links[slot].link;
		if (slot == ls->slot || link->state == IVLINK_DOWN ||
		    link->state == IVLINK_UP)
			continue;
		resting = ivlink_resting(link, ls->now);
		if (resting < IVLINK_STEP_MS)
			resting = IVLINK_STEP_MS;
		if (resting < due)
			due = resting;
	}
	return due;
}

/* A link for whoever is there; a peer that is silent may come back. */
static void look_at_peer(struct links *ls, uint32_t slot)
{
	struct peer_link *l = &ls->links[slot];
	struct ivshmem_peer peer;

	if (ivshmem_get_peer(ls->at.ivs, slot, &peer) || !links_intact(ls))
		return;
	l->vectors = peer.vectors;
	if (peer.state == IVSHMEM_ALIVE) {
		ivlink_start(&l->link);
		if (ivlink_is_orphan(&l->link, peer.epoch, ls->now))
			links_end(ls, slot, IVRING_STALE);
	}
	if (peer.state != IVSHMEM_ABSENT || l->link.state == IVLINK_DOWN)
		return;
	/* The owner may have kept something for its return, also if it was not up. */
	ivlink_stop(&l->link);
	forget(ls, slot);
}

/* Nothing may be written there any more. */
static void lose(struct links *ls)
{
	uint32_t slot;

	if (links_may_say(ls))
		complain("%s: the region was formatted anew; waiting for a "
			 "section of type %s", ls->at.address,
			 ivshmem_layout_type(ls->owner->type));
	ls->attached = false;
	ls->leaving = true;
	for (slot = 0; slot < ls->region.slots; slot++) {
		ls->links[slot].link.state = IVLINK_DOWN;
		forget(ls, slot);
	}
}

static bool same_region(struct links *ls)
{
	struct ivshmem_region region;

	return !ivshmem_get_region(ls->at.ivs, &region) &&
	       region.state == IVSHMEM_ATTACHED && region.epoch &&
	       region.instance == ls->region.instance &&
	       region.slot == (int32_t)ls->slot && links_intact(ls);
}

static bool may_enter(struct links *ls)
{
	if (ls->leaving && ls->owner->busy && ls->owner->busy(ls))
		return false;
	if (ls->leaving)
		unmap_memory(ls);
	ls->leaving = false;
	return true;
}

static void look(struct links *ls)
{
	uint32_t slot;

	if (ls->attached && (ls->lost || !same_region(ls)))
		lose(ls);
	if (!ls->attached && (!may_enter(ls) || enter(ls)))
		return;
	for (slot = 0; slot < ls->region.slots; slot++)
		if (slot != ls->slot)
			look_at_peer(ls, slot);
	step(ls);
}

void links_tend(struct links *ls)
{
	uint32_t now = links_clock(ls);

	if (past(now, ls->clock.look_at)) {
		look(ls);
		ls->clock.looked_at = now;
		ls->clock.look_at = now + IVPEER_BEAT_MS;
		ls->clock.step_at = now + step_due_ms(ls);
	} else if (past(now, ls->clock.step_at)) {
		step(ls);
		ls->clock.step_at = now + step_due_ms(ls);
	}
}

bool links_take_doorbells(struct links *ls)
{
	struct ivshmem_event events[2];
	uint32_t look_at;
	int i, n;

	n = ivshmem_wait(ls->at.ivs, events, 2, 0);
	if (n <= 0)
		return false;
	ls->clock.step_at = ls->now;
	for (i = 0; i < n; i++) {
		look_at = ls->clock.looked_at + LOOK_REST_MS;
		if (!events[i].vector && past(ls->clock.look_at, look_at))
			ls->clock.look_at = look_at;
	}
	return true;
}

uint32_t links_due_ms(const struct links *ls)
{
	uint32_t until = ls->clock.step_at;

	if (past(until, ls->clock.look_at))
		until = ls->clock.look_at;
	return past(ls->now, until) ? 0 : until - ls->now;
}

void links_close(struct links *ls)
{
	uint32_t slot;

	for (slot = 0; ls->attached && slot < ls->region.slots; slot++)
		if (slot != ls->slot && links_intact(ls) &&
		    ivlink_stop(&ls->links[slot].link) & IVLINK_KICK)
			links_kick(ls, slot);
	unmap_memory(ls);
	ls->attached = false;
	detach(&ls->at);
	timer_delete(ls->alarm);
}
