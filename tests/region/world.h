/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two peers and the link between them, each with a private memory that it can
 * lose.  What is sent says of which session it is; whoever receives holds it to
 * that.  The user of this file defines WORLD_CHECK(condition).
 */
#ifndef TESTS_REGION_WORLD_H
#define TESTS_REGION_WORLD_H

#include <stdlib.h>
#include <string.h>

#include <ivshmem/link.h>

#define WORLD_LOG2	16U
#define WORLD_SIZE	(1U << WORLD_LOG2)
#define WORLD_QUEUES	2U

/* One peer's private memory */
struct side {
	struct ivlink link;
	struct ivlink_queue queues[WORLD_QUEUES];
	__u32 sent[WORLD_QUEUES];
	__u32 received[WORLD_QUEUES];
};

struct world {
	__u8 *memory;
	struct ivregion region;
	struct side side[2];
	__u32 now;
	__u32 random;
	/* Words were changed, or memory came back from a snapshot: faults may come */
	bool dishonest;
	/* By somebody who may write anything: so may be received */
	bool hostile;
	unsigned long delivered;
};

/* What a record says of itself */
struct message {
	__u32 from;
	__u32 to;
	__u32 number;
	__u32 queue;
};

static inline void world_begin(struct world *w, __u8 *memory, __u32 now)
{
	struct ivregion_superblock s;

	memset(w, 0, sizeof(*w));
	memset(&s, 0, sizeof(s));
	s.magic = ivshmem_to_le32(IVREGION_MAGIC);
	s.major = ivshmem_to_le32(IVREGION_MAJOR);
	s.size_log2 = ivshmem_to_le32(WORLD_LOG2);
	s.slots = ivshmem_to_le32(2);
	s.sections = ivshmem_to_le32(1);
	s.section[0].type = ivshmem_to_le32(IVREGION_NET);
	s.section[0].pages = ivshmem_to_le32(2 * (1 + WORLD_QUEUES));
	s.section[0].queues = ivshmem_to_le32(WORLD_QUEUES);
	s.section[0].name[0] = 'n';
	s.checksum = ivshmem_to_le32(ivregion_checksum(&s));
	WORLD_CHECK(ivregion_parse(&s, WORLD_SIZE, &w->region) == IVREGION_OK);
	WORLD_CHECK(w->region.sections[0].ring_size == IVRING_SIZE_MIN);
	w->memory = memory;
	w->now = now;
	w->random = 1000;
	for (__u32 i = 0; i < 2; i++)
		ivlink_init(&w->side[i].link, memory, &w->region,
			    &w->region.sections[0], i, 1 - i,
			    w->side[i].queues);
}

static inline bool world_up(const struct world *w, __u32 i)
{
	return w->side[i].link.state == IVLINK_UP;
}

/* Both are up, and of one mind */
static inline bool world_agrees(const struct world *w)
{
	const struct ivlink *a = &w->side[0].link, *b = &w->side[1].link;

	return world_up(w, 0) && world_up(w, 1) && a->ack == b->epoch &&
	       b->ack == a->epoch;
}

/* Why a session ended: honest peers never look hostile to each other */
static inline void world_ended(const struct world *w, enum ivring_fault reason)
{
	WORLD_CHECK(reason == IVRING_STALE || w->dishonest);
}

static inline unsigned int world_step(struct world *w, __u32 i)
{
	struct side *side = &w->side[i];
	unsigned int events = ivlink_step(&side->link, w->now, w->random++);

	if (events & IVLINK_WENT_UP) {
		memset(side->sent, 0, sizeof(side->sent));
		memset(side->received, 0, sizeof(side->received));
		WORLD_CHECK(side->link.epoch && side->link.ack);
	}
	if (events & IVLINK_WENT_DOWN)
		world_ended(w, side->link.reason);
	return events;
}

/* A ring says that it cannot go on */
static inline void world_broken(struct world *w, __u32 i, enum ivring_fault fault)
{
	WORLD_CHECK(fault);
	world_ended(w, fault);
	ivlink_end(&w->side[i].link, fault, w->now);
}

/* Sends one record of @length bytes or more; whether it could */
static inline bool world_send(struct world *w, __u32 i, __u32 q, __u32 length)
{
	struct side *side = &w->side[i];
	struct ivring_producer *tx = &side->queues[q].tx;
	struct message message = { side->link.epoch, side->link.ack,
				   side->sent[q], q };
	void *payload = NULL;
	int ret;

	if (!world_up(w, i))
		return false;
	if (length < sizeof(message))
		length = sizeof(message);
	ret = ivring_reserve(tx, length, &payload);
	if (ret == -EPIPE || ret == -EPROTO)
		world_broken(w, i, tx->fault);
	if (ret)
		return false;
	ivshmem_copy_out(payload, &message, sizeof(message));
	ivring_commit(tx, length, q);
	side->sent[q]++;
	ivring_publish(tx);
	return true;
}

/*
 * Nothing of another session arrives, and what arrives does so in order.  Who
 * came back from a snapshot of a session that the other side never knew to be
 * over (it was in WAIT, and kept its epoch) finds out in its next step only.
 */
static inline void world_hold(const struct world *w, __u32 i, __u32 q,
			      const struct message *message)
{
	const struct side *side = &w->side[i];
	bool from = message->from == side->link.ack;
	bool to = message->to == side->link.epoch;

	WORLD_CHECK(message->queue == q);
	WORLD_CHECK(from || to);
	if (w->dishonest)
		return;
	WORLD_CHECK(from && to);
	WORLD_CHECK(message->number == side->received[q]);
}

/* Receives one record, and holds it to its session; whether there was one */
static inline bool world_receive(struct world *w, __u32 i, __u32 q)
{
	struct side *side = &w->side[i];
	struct ivring_consumer *rx = &side->queues[q].rx;
	const void *payload = NULL;
	__u32 length = 0, kind = 0;
	struct message message;
	int ret;

	if (!world_up(w, i))
		return false;
	ret = ivring_peek(rx, &payload, &length, &kind);
	if (ret == -EPIPE || ret == -EPROTO)
		world_broken(w, i, rx->fault);
	if (ret)
		return false;
	WORLD_CHECK(w->hostile || (length >= sizeof(message) && kind == q));
	ivshmem_copy_in(&message, payload, sizeof(message));
	if (!w->hostile)
		world_hold(w, i, q, &message);
	side->received[q]++;
	w->delivered++;
	ivring_advance(rx);
	ivring_release(rx);
	return true;
}

/* Loses its memory, and begins anew */
static inline void world_restart(struct world *w, __u32 i)
{
	struct side *side = &w->side[i];

	memset(side, 0x5a, sizeof(*side));
	ivlink_init(&side->link, w->memory, &w->region, &w->region.sections[0], i,
		    1 - i, side->queues);
	ivlink_start(&side->link);
}

/* Where all indices stand in a session that has gone on for long; empty rings */
static inline void world_shift(struct world *w, __u32 index)
{
	for (__u32 i = 0; i < 2; i++) {
		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			struct ivring_producer *tx = &w->side[i].queues[q].tx;
			struct ivring_consumer *rx = &w->side[1 - i].queues[q].rx;

			WORLD_CHECK(tx->prod == rx->cons);
			tx->next = index;
			tx->prod = index;
			tx->cons = index;
			rx->next = index;
			rx->prod = index;
			rx->cons = index;
			ivshmem_store32(&tx->own->prod, index);
			ivshmem_store32(&tx->own->space_event, index);
			ivshmem_store32(&rx->own->cons, index);
			ivshmem_store32(&rx->own->data_event, index);
		}
	}
}

/* All that is on its way arrives */
static inline void world_drain(struct world *w)
{
	for (__u32 i = 0; i < 2; i++) {
		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			while (world_receive(w, i, q))
				;
		}
	}
}

/* Nothing happens to them any more: they have to agree, and all arrives */
static inline void world_settle(struct world *w)
{
	unsigned int i;

	/* The longest rest, and some steps */
	for (i = 0; i < 1000 && !world_agrees(w); i++) {
		ivlink_start(&w->side[0].link);
		ivlink_start(&w->side[1].link);
		world_step(w, i % 2);
		world_step(w, 1 - i % 2);
		w->now += IVLINK_STEP_MS;
	}
	WORLD_CHECK(world_agrees(w));
}

/* What is sent between two that agree arrives, in both directions */
static inline void world_prove(struct world *w)
{
	for (__u32 i = 0; i < 2; i++) {
		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			unsigned long before;

			world_drain(w);
			before = w->delivered;
			WORLD_CHECK(world_send(w, i, q, 100));
			WORLD_CHECK(world_receive(w, 1 - i, q));
			WORLD_CHECK(w->delivered == before + 1);
		}
	}
}

#endif /* TESTS_REGION_WORLD_H */
