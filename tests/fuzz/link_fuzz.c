// SPDX-License-Identifier: GPL-2.0-only
/*
 * Both sides of a link.  In the hostile form one of them loads what the input
 * says.  In the honest form both load what is there, and the input decides at
 * each access whether the other side acts first, or this one dies: then no
 * record of another session may arrive, and nobody may look hostile.
 */
#include "input.h"

#include <setjmp.h>

#define WORLD_CHECK(condition)	CHECK(condition)
#include "../region/world.h"

/* Of one call: steps look twice, and own words once */
#define LOADS_MAX	24U

static __u8 *memory;
static struct world w, saved;
static bool honest, rollback, calm;
static unsigned int loads;
/* Whose turn it is, and whose within it */
static unsigned int depth;
static __u32 actor;
static jmp_buf death;
static bool mortal;
/* What [W1] and [W2] have seen last */
static __u32 seen_ack, seen_epoch;

static void act(__u32 i);

/* The blocks of an outbox, or its data */
static bool within_outbox(const void *ptr, size_t n, __u32 slot)
{
	const struct ivregion_section *section = &w.region.sections[0];

	return within(ptr, n, w.memory + ivregion_outbox_offset(&w.region, section,
								 slot),
		      ivregion_outbox_size(2, section->queues, section->ring_size));
}

/* Between any two accesses: the other side acts, or this one is no more */
static void meanwhile(void)
{
	__u32 i = actor;

	if (!honest || calm || !mortal || depth > 1)
		return;
	switch (take(1) % 32) {
	case 1:
	case 2:
	case 3:
		act(1 - i);
		actor = i;
		break;
	case 4:
		if (depth == 1)
			longjmp(death, 1);
		break;
	default:
		break;
	}
}

void hostile_check_read(const void *ptr, size_t n)
{
	CHECK(honest || ++loads <= LOADS_MAX);
	CHECK(within_outbox(ptr, n, 0) || within_outbox(ptr, n, 1));
	meanwhile();
}

/* A word has one writer */
void hostile_check_write(const void *ptr, size_t n)
{
	CHECK(within_outbox(ptr, n, actor));
	meanwhile();
}

/* Each epoch comes after indices of 0, and no index changes before it is gone */
void hostile_stored(const __le32 *ptr, __u32 v)
{
	const struct side *side = &w.side[actor];

	if (ptr == &side->link.own->epoch && v) {
		CHECK(side->link.own->ack == 0);
		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			CHECK(side->queues[q].tx.own->prod == 0);
			CHECK(side->queues[q].rx.own->cons == 0);
		}
	} else if (ptr != &side->link.own->epoch &&
		   side->link.state == IVLINK_ANNOUNCE) {
		CHECK(side->link.own->epoch == 0);
	}
}

__u32 hostile_word(const __le32 *ptr)
{
	const struct ivlink *link = &w.side[0].link;
	__u32 value = *ptr;

	CHECK((uintptr_t)ptr % sizeof(*ptr) == 0);
	if (honest)
		return value;
	switch (take(1) % 16) {
	case 0:
		value = take(4);
		break;
	case 1:
		value = link->epoch;
		break;
	case 2:
		value = take(1) * IVRING_ALIGN;
		break;
	case 3:
		value = 0;
		break;
	default:
		break;
	}
	if (ptr == &link->peer->ack)
		seen_ack = value;
	if (ptr == &link->peer->epoch)
		seen_epoch = value;
	return value;
}

void hostile_bytes(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	for (size_t i = 0; !honest && i < n && i < 8; i++)
		((__u8 *)to)[i] = (__u8)take(1);
}

static void check_private(__u32 i)
{
	const struct ivlink *link = &w.side[i].link;

	CHECK(link->state <= IVLINK_UP);
	CHECK(!link->epoch == (link->state < IVLINK_WAIT));
	CHECK(link->state != IVLINK_UP || link->ack);
	CHECK(ivlink_resting(link, w.now) <= IVLINK_REST_MAX_MS);
	for (__u32 q = 0; q < WORLD_QUEUES; q++) {
		const struct ivring_producer *tx = &w.side[i].queues[q].tx;
		const struct ivring_consumer *rx = &w.side[i].queues[q].rx;

		if (link->state != IVLINK_UP)
			continue;
		CHECK(tx->session == &link->peer->epoch && tx->epoch == link->ack);
		CHECK(rx->session == &link->peer->epoch && rx->epoch == link->ack);
		CHECK(tx->next - tx->cons <= tx->size);
		CHECK(rx->prod - rx->cons <= rx->size);
	}
}

static void step(__u32 i)
{
	unsigned int events;

	loads = 0;
	events = world_step(&w, i);
	if (!honest && events & IVLINK_WENT_UP)
		CHECK(seen_ack == w.side[i].link.epoch &&
		      seen_epoch == w.side[i].link.ack);
}

/* Something that side @i does */
static void act(__u32 i)
{
	unsigned int what = take(1);
	__u32 q = what / 128;

	depth++;
	actor = i;
	loads = 0;
	switch (what % 16) {
	case 0:
	case 1:
		/* A few of the longest rests are over in one go */
		w.now += 128 * take(1);
		step(i);
		break;
	case 2:
		ivlink_start(&w.side[i].link);
		step(i);
		break;
	case 3:
		ivlink_stop(&w.side[i].link);
		break;
	case 4:
		world_restart(&w, i);
		break;
	case 5:
		ivlink_end(&w.side[i].link, IVRING_STALE, w.now);
		break;
	case 6:
	case 7:
	case 8:
		world_send(&w, i, q, calm ? 64 : take(2) % 2000);
		break;
	case 9:
		if (world_up(&w, i))
			ivring_want_data(&w.side[i].queues[q].rx);
		break;
	default:
		world_receive(&w, i, q);
		break;
	}
	depth--;
}

/* The ring from side @i stands at @index; not by stores of either of them */
static void shift_ring(__u32 i, __u32 q, __u32 index)
{
	struct ivring_producer *tx = &w.side[i].queues[q].tx;
	struct ivring_consumer *rx = &w.side[1 - i].queues[q].rx;

	tx->next = index;
	tx->prod = index;
	tx->cons = index;
	tx->own->prod = index;
	tx->own->space_event = index;
	rx->next = index;
	rx->prod = index;
	rx->cons = index;
	rx->own->cons = index;
	rx->own->data_event = index;
}

static void drain(void)
{
	for (actor = 0; actor < 2; actor++) {
		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			while (world_receive(&w, actor, q))
				;
		}
	}
}

/* Only here both stand still */
static void shift(void)
{
	__u32 index = 0 - IVRING_ALIGN * take(1);

	mortal = false;
	if (world_agrees(&w))
		drain();
	for (__u32 n = 0; world_agrees(&w) && n < 2 * WORLD_QUEUES; n++)
		shift_ring(n % 2, n / 2, index);
	mortal = true;
}

/* A snapshot of one side's private memory comes back */
static void restore(__u32 i)
{
	w.side[i] = saved.side[i];
	w.dishonest = true;
}

/* Both live, and nothing else happens: they agree, after the longest rest */
static void agree(void)
{
	for (unsigned int i = 0; i < 2000 && !world_agrees(&w); i++) {
		actor = i % 2;
		ivlink_start(&w.side[actor].link);
		loads = 0;
		world_step(&w, actor);
		w.now += IVLINK_STEP_MS;
	}
	CHECK(world_agrees(&w));
}

static void settle(void)
{
	mortal = false;
	agree();
	drain();
	/* Whatever was, a session that begins now is right */
	for (actor = 0; actor < 2; actor++)
		ivlink_end(&w.side[actor].link, IVRING_STALE, w.now);
	w.dishonest = false;
	agree();
	actor = 0;
	CHECK(world_send(&w, 0, 1, 100));
	actor = 1;
	CHECK(world_receive(&w, 1, 1));
}

/* Somebody writes into the line of @i, who finds out in the next step */
static void tamper(__u32 i)
{
	struct ivlink *link = &w.side[i].link;
	bool noticed = link->state == IVLINK_WAIT || link->state == IVLINK_UP;
	__u32 bits = 1U << take(1) % 32;

	/* Not a store of either of them */
	if (take(1) % 2)
		link->own->epoch ^= bits;
	else
		link->own->ack ^= bits;
	/* A second change can undo an earlier one: then nothing is wrong */
	noticed = noticed && (link->own->epoch != link->epoch ||
			      link->own->ack != link->ack);
	w.dishonest = true;
	mortal = false;
	actor = i;
	step(i);
	/* Unless the peer has begun anew, which is looked at first */
	if (noticed)
		CHECK(link->state == IVLINK_ANNOUNCE &&
		      (link->faults || link->reason == IVRING_STALE));
}

/* What no honest peer would do, nor have to fear of another */
static void break_rules(void)
{
	__u32 what = take(1);

	if (what % 4 == 0)
		tamper(what / 128);
	else
		restore(what / 128);
}

static void run_honest(void)
{
	while (input < input_end) {
		unsigned int what = take(1);

		mortal = true;
		depth = 0;
		if (setjmp(death)) {
			/* Without a word; what it did before stays */
			mortal = false;
			world_restart(&w, actor);
		} else if (what == 0xff) {
			shift();
		} else if (what >= 0xf8 && rollback) {
			break_rules();
		} else if (what >= 0xf0 && rollback) {
			saved = w;
		} else {
			act(what % 2);
		}
		check_private(0);
		check_private(1);
	}
	settle();
}

static void run_hostile(void)
{
	w.dishonest = true;
	w.hostile = true;
	ivlink_start(&w.side[0].link);
	while (input < input_end) {
		act(0);
		check_private(0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	input = bytes;
	input_end = bytes + size;
	memory = aligned_alloc(IVREGION_PAGE, WORLD_SIZE);
	CHECK(memory);
	memset(memory, 0, WORLD_SIZE);
	honest = take(1) % 4 != 0;
	rollback = take(1) % 4 == 0;
	calm = take(1) % 4 == 0;
	mortal = false;
	depth = 0;
	world_begin(&w, memory, take(1) % 2 ? take(4) : 0 - take(2));
	saved = w;
	if (honest)
		run_honest();
	else
		run_hostile();
	free(memory);
	return 0;
}
