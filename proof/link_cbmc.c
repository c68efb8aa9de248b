// SPDX-License-Identifier: GPL-2.0-only
/*
 * The link, for every state that it can be in and every value of shared memory:
 * it stays in such a state, writes its own words only, and in the order that
 * the session depends on.
 */
#include <ivshmem/link.h>

unsigned int shared_loads;
struct watched watched[4];

/*
 * Nothing that is done to a pair of rings depends on another pair but for which
 * fault is told, so that two say it for all.
 */
#define QUEUES	2U

/* All that this side writes, and all that it reads of the peer */
struct words {
	struct ivlink_line line;
	struct {
		struct ivring_tx tx;
		struct ivring_rx rx;
	} queue[QUEUES];
};

static struct words *own, *peer;
static struct ivlink_queue queues[QUEUES];
/* The words of the own line as they are published, and the last epoch */
static __u32 epoch_published, ack_published, epoch_before;
static unsigned int rings_reset;

static _Bool is_index(size_t offset)
{
	return offset >= sizeof(own->line) &&
	       offset % 64 == offsetof(struct ivring_tx, prod);
}

void see_store(const void *p, size_t n, __u32 v)
{
	size_t offset = __CPROVER_POINTER_OFFSET(p);

	__CPROVER_assert(own && __CPROVER_same_object(p, own),
			 "only own words are written");
	if (offset == offsetof(struct ivlink_line, epoch)) {
		if (v) {
			__CPROVER_assert(epoch_published == 0,
					 "withdrawn before it begins anew");
			__CPROVER_assert(v != epoch_before,
					 "never the last epoch again");
			__CPROVER_assert(ack_published == 0,
					 "nothing is acknowledged yet");
			epoch_before = v;
		} else {
			rings_reset = 0;
		}
		epoch_published = v;
	} else if (offset == offsetof(struct ivlink_line, ack)) {
		__CPROVER_assert(v || epoch_published == 0,
				 "taken back while nothing is announced");
		ack_published = v;
	} else {
		__CPROVER_assert(epoch_published == 0 && v == 0,
				 "rings are set up before the epoch");
		if (is_index(offset))
			rings_reset++;
	}
}

static _Bool bound(const struct ivlink *link, __u32 i)
{
	const struct ivlink_queue *queue = &link->queues[i];

	return queue->tx.session == &peer->line.epoch &&
	       queue->tx.epoch == link->ack &&
	       queue->rx.session == &peer->line.epoch &&
	       queue->rx.epoch == link->ack &&
	       queue->tx.life.word == &own->line.epoch &&
	       queue->tx.life.epoch == link->epoch &&
	       queue->rx.life.word == &own->line.epoch &&
	       queue->rx.life.epoch == link->epoch;
}

static _Bool consistent(const struct ivlink *link)
{
	__u32 i = any_of(0, QUEUES - 1);

	if (link->state > IVLINK_UP || link->own != &own->line ||
	    link->peer != &peer->line || link->queues != queues)
		return 0;
	if (link->epoch != epoch_published)
		return 0;
	if (link->state == IVLINK_DOWN || link->state == IVLINK_ANNOUNCE)
		return link->epoch == 0;
	if (!link->epoch || link->epoch == link->last_epoch ||
	    link->ack != ack_published)
		return 0;
	return link->state != IVLINK_UP ||
	       (link->ack && (i >= link->nr_queues || bound(link, i)));
}

static struct ivlink any_link(void)
{
	struct ivlink link;
	__u32 i;

	own = memory(sizeof(*own));
	peer = memory(sizeof(*peer));
	link.own = &own->line;
	link.peer = &peer->line;
	link.queues = queues;
	/* One every IVLINK_REST_MAX_MS: the number does not get large */
	__CPROVER_assume(link.faults < 0xffffffff);
	link.nr_queues = any_of(1, QUEUES);
	link.state = (enum ivlink_state)any_of(0, 3);
	for (i = 0; i < QUEUES; i++) {
		queues[i].tx.own = &own->queue[i].tx;
		queues[i].tx.peer = &peer->queue[i].rx;
		queues[i].tx.size = IVRING_SIZE_MIN;
		queues[i].tx.fault = (enum ivring_fault)any_of(0, 6);
		queues[i].tx.session = &peer->line.epoch;
		queues[i].tx.epoch = link.ack;
		queues[i].tx.life.word = &own->line.epoch;
		queues[i].tx.life.epoch = link.epoch;
		queues[i].rx.own = &own->queue[i].rx;
		queues[i].rx.peer = &peer->queue[i].tx;
		queues[i].rx.size = IVRING_SIZE_MIN;
		queues[i].rx.fault = (enum ivring_fault)any_of(0, 6);
		queues[i].rx.session = &peer->line.epoch;
		queues[i].rx.epoch = link.ack;
		queues[i].rx.life.word = &own->line.epoch;
		queues[i].rx.life.epoch = link.epoch;
	}
	if (link.state == IVLINK_DOWN || link.state == IVLINK_ANNOUNCE)
		link.epoch = 0;
	epoch_published = link.epoch;
	ack_published = link.ack;
	/* What announcing has to avoid: the current one, or the last */
	epoch_before = link.epoch ? link.epoch : link.last_epoch;
	__CPROVER_assume(consistent(&link));
	watched[0].word = &peer->line.ack;
	watched[1].word = &peer->line.epoch;
	watched[2].word = &own->line.epoch;
	return link;
}

void prove_link_step(void)
{
	struct ivlink link = any_link(), before = link;
	__u32 now = nondet_word();
	unsigned int events;

	events = ivlink_step(&link, now, nondet_word());
	__CPROVER_assert(consistent(&link), "a state that can be");
	__CPROVER_assert(shared_loads <= 6, "two looks at the peer, no more");
	__CPROVER_assert((link.state == IVLINK_DOWN) ==
			 (before.state == IVLINK_DOWN), "wanted as before");
	__CPROVER_assert(!(events & IVLINK_WENT_UP) ==
			 (link.state != IVLINK_UP ||
			  before.state == IVLINK_UP), "coming up is told");
	__CPROVER_assert(!(events & IVLINK_WENT_DOWN) ==
			 (before.state != IVLINK_UP ||
			  link.state == IVLINK_UP), "going down is told");
	__CPROVER_assert(link.sessions - before.sessions ==
			 !!(events & IVLINK_WENT_UP), "sessions are counted");
	if (events & IVLINK_WENT_UP) {
		__CPROVER_assert(watched[0].value == link.epoch &&
				 watched[1].value == link.ack,
				 "both have seen each other's current one");
		__CPROVER_assert(watched[0].when < watched[1].when,
				 "what it has seen is read before its epoch");
	}
	if (before.state == IVLINK_UP && watched[1].value != before.ack)
		__CPROVER_assert(link.state == IVLINK_ANNOUNCE &&
				 link.reason == IVRING_STALE,
				 "the end of a session is noticed");
	if (before.state >= IVLINK_WAIT && watched[2].loads &&
	    watched[2].value != before.epoch)
		__CPROVER_assert(link.state == IVLINK_ANNOUNCE &&
				 link.reason == IVRING_TAMPERED,
				 "changes of own words are noticed");
	if (before.state == IVLINK_ANNOUNCE && link.state != IVLINK_ANNOUNCE)
		__CPROVER_assert(rings_reset == 2 * link.nr_queues,
				 "all rings are set up anew");
	if (before.state == IVLINK_ANNOUNCE && link.state == IVLINK_ANNOUNCE)
		__CPROVER_assert(ivlink_resting(&before, now), "it rests");
}

void prove_link_end(void)
{
	struct ivlink link = any_link(), before = link;
	enum ivring_fault reason = (enum ivring_fault)any_of(1, 6);
	__u32 now = nondet_word(), later = nondet_word(), rest;
	unsigned int events;
	_Bool fault;

	events = ivlink_end(&link, reason, now);
	__CPROVER_assert(consistent(&link) && shared_loads == 0,
			 "a state that can be");
	if (before.state < IVLINK_WAIT) {
		__CPROVER_assert(events == 0 && link.state == before.state,
				 "nothing to end");
		return;
	}
	__CPROVER_assert(epoch_published == 0, "withdrawn");
	__CPROVER_assert(link.state == IVLINK_ANNOUNCE &&
			 link.last_epoch == before.epoch, "to begin anew");
	__CPROVER_assert(!!(events & IVLINK_WENT_DOWN) ==
			 (before.state == IVLINK_UP), "going down is told");
	rest = ivlink_resting(&link, now);
	__CPROVER_assert(rest <= IVLINK_REST_MAX_MS, "rests for a bounded time");
	/* A session that was too short for its cost is a fault, too */
	fault = reason != IVRING_STALE ||
		(before.state == IVLINK_UP &&
		 now - before.up_since < IVLINK_REST_MS);
	__CPROVER_assert(fault == (rest != 0), "after a fault, and only then");
	__CPROVER_assert(!fault || rest >= IVLINK_REST_MS, "long enough");
	__CPROVER_assert(ivlink_resting(&link, later) <= IVLINK_REST_MAX_MS,
			 "whenever it is asked");
}

void prove_link_start_stop(void)
{
	struct ivlink link = any_link(), before = link;
	unsigned int events;

	ivlink_start(&link);
	__CPROVER_assert(consistent(&link) && link.state != IVLINK_DOWN,
			 "wanted");
	__CPROVER_assert(before.state == IVLINK_DOWN ||
			 link.state == before.state, "as it was, if it was");
	events = ivlink_stop(&link);
	__CPROVER_assert(consistent(&link) && link.state == IVLINK_DOWN &&
			 epoch_published == 0, "down, and withdrawn");
	__CPROVER_assert(!!(events & IVLINK_WENT_DOWN) ==
			 (before.state == IVLINK_UP), "going down is told");
	__CPROVER_assert(ivlink_stop(&link) == 0 && shared_loads == 0,
			 "and stays so");
}

void prove_link_check(void)
{
	struct ivlink link = any_link(), before = link;
	enum ivring_fault fault;

	__CPROVER_assume(link.state == IVLINK_UP);
	fault = ivlink_check(&link);
	__CPROVER_assert(fault <= IVRING_BAD_PAD, "a reason that is known");
	__CPROVER_assert((watched[1].value != before.ack) ==
			 (fault == IVRING_STALE && shared_loads == 1) ||
			 fault == IVRING_STALE, "the peer's epoch first");
	__CPROVER_assert(fault != IVRING_OK || (watched[1].value == link.ack &&
						watched[2].value == link.epoch),
			 "good only if all is as it was");
}
