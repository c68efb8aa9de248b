/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link: how two peers of a section agree on a session, and notice its end.
 * Documentation/wire-format.rst specifies it; proof/link.pml is the model that
 * was searched, and the marks [A1] to [U2] are the same in all three.
 *
 *	DOWN --start--> ANNOUNCE --> WAIT --> UP
 *	                   ^          |       |
 *	                   +----------+-------+  the session is over
 *
 * Each side publishes an epoch of its own and the epoch of the peer that it has
 * seen.  A session lasts while both see each other's current one.  Whoever
 * begins anew takes a new epoch, so that nothing of an old session can be
 * taken for the new one's.
 *
 * Nothing here waits, allocates or logs, and it needs no doorbell: one that is
 * lost costs time until the next step.  Times are milliseconds of any clock
 * that does not stop, modulo 2^32.
 */
#ifndef IVSHMEM_LINK_H
#define IVSHMEM_LINK_H

#include "peer.h"

/* In ANNOUNCE and WAIT a step is due after this, whether kicked or not */
#define IVLINK_STEP_MS		50U
/*
 * How long a link rests after a fault, doubled each time up to the most, and
 * after a session that the peer ends sooner than this
 */
#define IVLINK_REST_MS		100U
#define IVLINK_REST_MAX_MS	30000U
/*
 * The directory may be seen later than the link: what it says for so long after a
 * session has begun is of the peer of that session
 */
#define IVLINK_SETTLE_MS	(2U * IVPEER_BEAT_MS)
/* A link that was up for so long has no faults any more */
#define IVLINK_GOOD_MS		60000U

enum ivlink_state {
	IVLINK_DOWN,		/* not wanted */
	IVLINK_ANNOUNCE,	/* about to begin anew, once it has rested */
	IVLINK_WAIT,		/* for the peer to see our epoch */
	IVLINK_UP,
};

/* What a step has done, any of these */
enum ivlink_event {
	IVLINK_KICK = 1,	/* the peer should look */
	IVLINK_WENT_UP = 2,	/* the rings may be used */
	IVLINK_WENT_DOWN = 4,	/* they may not, not even by those who did */
};

/**
 * struct ivlink_queue - a pair of rings
 * @tx: what is sent
 * @rx: what is received
 */
struct ivlink_queue {
	struct ivring_producer tx;
	struct ivring_consumer rx;
};

/**
 * struct ivlink - one side of a link: private memory
 * @own: own line
 * @peer: the peer's
 * @queues: the rings, owned by the caller
 * @nr_queues: how many pairs
 * @state: where it stands
 * @epoch: own, as published; 0 while there is none
 * @last_epoch: the one before
 * @ack: the peer's epoch, as published
 * @faults: times that it had to rest, since it was last good
 * @rest_until: when it may announce, while it rests
 * @up_since: when it came up
 * @life: the peer's epoch in the directory that goes with the session, or 0
 * @sessions: times that it came up
 * @reason: why the last session ended
 *
 * ivlink_start(), ivlink_step(), ivlink_end() and ivlink_stop() are called by
 * one thread at a time.  The rings may be used by others while it is up: before
 * a step after one that said IVLINK_WENT_DOWN, these have to have stopped.
 */
struct ivlink {
	struct ivlink_line __ivshmem *own;
	const struct ivlink_line __ivshmem *peer;
	struct ivlink_queue *queues;
	__u32 nr_queues;
	enum ivlink_state state;
	__u32 epoch;
	__u32 last_epoch;
	__u32 ack;
	__u32 faults;
	__u32 rest_until;
	__u32 up_since;
	__u32 life;
	__u32 sessions;
	enum ivring_fault reason;
};

/**
 * ivlink_init() - set up a link that is down; touches nothing shared
 * @link: the link
 * @memory: the region
 * @region: its layout
 * @section: the section, with a ring_size
 * @slot: own slot, below the number of slots
 * @peer: slot of the peer, another one
 * @queues: one for each queue of the section
 */
static inline void ivlink_init(struct ivlink *link, __u8 __ivshmem *memory,
			       const struct ivregion *region,
			       const struct ivregion_section *section,
			       __u32 slot, __u32 peer,
			       struct ivlink_queue *queues)
{
	__u32 size = ivregion_records_size(section);
	struct ivlink_queue *queue;
	__u32 i;

	link->own = (struct ivlink_line __ivshmem *)
		(memory + ivregion_link_offset(region, section, slot, peer));
	link->peer = (const struct ivlink_line __ivshmem *)
		(memory + ivregion_link_offset(region, section, peer, slot));
	link->queues = queues;
	link->nr_queues = section->queues;
	link->state = IVLINK_DOWN;
	link->epoch = 0;
	link->last_epoch = 0;
	link->ack = 0;
	link->faults = 0;
	link->rest_until = 0;
	link->up_since = 0;
	link->life = 0;
	link->sessions = 0;
	link->reason = IVRING_OK;

	for (i = 0; i < section->queues; i++) {
		queue = &queues[i];
		queue->tx.data = memory + ivregion_data_offset(region, section,
							       slot, peer, i);
		queue->tx.own = (struct ivring_tx __ivshmem *)
			(memory + ivregion_tx_offset(region, section, slot,
						     peer, i));
		queue->tx.peer = (const struct ivring_rx __ivshmem *)
			(memory + ivregion_rx_offset(region, section, slot,
						     peer, i));
		queue->tx.size = size;
		queue->rx.data = memory + ivregion_data_offset(region, section,
							       peer, slot, i);
		queue->rx.own = (struct ivring_rx __ivshmem *)
			(memory + ivregion_rx_offset(region, section, peer,
						     slot, i));
		queue->rx.peer = (const struct ivring_tx __ivshmem *)
			(memory + ivregion_tx_offset(region, section, peer,
						     slot, i));
		queue->rx.size = size;
	}
}

/* Own words of the rings, as they are in every session's first moment */
static inline void ivlink_reset_rings(struct ivlink *link)
{
	struct ivring_producer *tx;
	struct ivring_consumer *rx;
	__u32 i;

	for (i = 0; i < link->nr_queues; i++) {
		tx = &link->queues[i].tx;
		rx = &link->queues[i].rx;
		ivring_producer_init(tx, tx->data, tx->size, tx->own, tx->peer);
		ivring_consumer_init(rx, rx->data, rx->size, rx->own, rx->peer);
	}
}

/* The session is over for the peer, too; what it sends now nobody reads */
static inline void ivlink_withdraw(struct ivlink *link)
{
	ivshmem_store32(&link->own->epoch, 0);		/* [A1] */
	/*
	 * Gone before any index is set to 0, so that an index that cannot be
	 * comes with an epoch that has changed.  Pairs with ivring_session().
	 */
	ivshmem_mb();
	if (link->epoch)
		link->last_epoch = link->epoch;
	link->epoch = 0;
}

static inline void ivlink_announce(struct ivlink *link, __u32 random)
{
	ivlink_withdraw(link);				/* [A1] */
	ivlink_reset_rings(link);			/* [A2] */
	ivshmem_store32(&link->own->ack, 0);		/* [A2] */
	link->ack = 0;
	link->epoch = ivpeer_fresh_epoch(random, link->last_epoch);
	/* Indices before epoch; pairs with ivlink_look() */
	ivshmem_store_release32(&link->own->epoch, link->epoch);	/* [A3] */
	link->state = IVLINK_WAIT;
}

static inline void ivlink_go_up(struct ivlink *link, __u32 now)
{
	__u32 i;

	for (i = 0; i < link->nr_queues; i++) {
		ivring_producer_bind(&link->queues[i].tx, &link->peer->epoch,
				     link->ack);
		ivring_consumer_bind(&link->queues[i].rx, &link->peer->epoch,
				     link->ack);
		ivring_producer_live(&link->queues[i].tx, &link->own->epoch,
				     link->epoch);
		ivring_consumer_live(&link->queues[i].rx, &link->own->epoch,
				     link->epoch);
	}
	link->state = IVLINK_UP;
	link->up_since = now;
	link->life = 0;
	link->sessions++;
}

/* One look at the peer, in WAIT */
static inline unsigned int ivlink_look(struct ivlink *link, __u32 now)
{
	/*
	 * What it has seen of us first: if it is of our epoch, the peer's epoch
	 * that is read next is not older than it.  Pairs with [W3], and the
	 * second with [A3] in ivlink_announce().
	 */
	__u32 ack = ivshmem_load_acquire32(&link->peer->ack);		/* [W1] */
	__u32 epoch = ivshmem_load_acquire32(&link->peer->epoch);	/* [W2] */

	if (!epoch)
		return 0;
	if (epoch != link->ack) {
		link->ack = epoch;
		/* Pairs with [W1] */
		ivshmem_store_release32(&link->own->ack, epoch);	/* [W3] */
		return IVLINK_KICK;
	}
	if (ack != link->epoch)
		return 0;
	ivlink_go_up(link, now);					/* [W4] */
	return IVLINK_WENT_UP;
}

/*
 * Whether own words are what was published: not those of another life, after a
 * snapshot was restored, nor somebody else's
 */
static inline bool ivlink_own_words(const struct ivlink *link)
{
	return ivshmem_load32(&link->own->epoch) == link->epoch &&
	       ivshmem_load32(&link->own->ack) == link->ack;
}

/* Who has just acknowledged may find that it was the last thing missing */
static inline unsigned int ivlink_wait(struct ivlink *link, __u32 now)
{
	unsigned int events = ivlink_look(link, now);

	if (events == IVLINK_KICK)
		events |= ivlink_look(link, now);
	return events;
}

/**
 * ivlink_check_words() - whether the session goes on, as far as the lines tell
 * @link: a link that is up
 *
 * Unlike ivlink_check() it does not look at the rings, which others may use
 * meanwhile.
 *
 * Return: IVRING_OK, IVRING_STALE (the peer has begun anew, or left), or
 * IVRING_TAMPERED (own words were changed).
 */
static inline enum ivring_fault ivlink_check_words(const struct ivlink *link)
{
	if (ivshmem_load32(&link->peer->epoch) != link->ack)	/* [U1] */
		return IVRING_STALE;
	if (!ivlink_own_words(link))				/* [U2] */
		return IVRING_TAMPERED;
	return IVRING_OK;
}

/**
 * ivlink_check() - whether the session goes on
 * @link: a link that is up
 *
 * The rings find out by themselves when they look at an index; this is for
 * those who do not.
 *
 * Return: IVRING_OK, IVRING_STALE (the peer has begun anew, or left),
 * IVRING_TAMPERED (own words were changed), or what broke a ring.
 */
static inline enum ivring_fault ivlink_check(const struct ivlink *link)
{
	enum ivring_fault fault = ivlink_check_words(link);
	const struct ivlink_queue *queue;
	__u32 i;

	for (i = 0; !fault && i < link->nr_queues; i++) {
		queue = &link->queues[i];
		fault = queue->tx.fault ? queue->tx.fault : queue->rx.fault;
	}

	return fault;
}

/**
 * ivlink_is_orphan() - whether the session is of an earlier life of the peer
 * @link: the link
 * @life: the epoch in the directory of the peer, which is alive
 * @now: the time
 *
 * A peer that has begun anew, and does not want the link any more, leaves words of
 * its earlier life in it: the link alone does not tell.
 *
 * Return: true if the session has to end, with reason IVRING_STALE.
 */
static inline bool ivlink_is_orphan(struct ivlink *link, __u32 life, __u32 now)
{
	if (link->state != IVLINK_UP)
		return false;
	if (link->life && now - link->up_since > IVLINK_SETTLE_MS)
		return life != link->life;

	link->life = life;
	return false;
}

/**
 * ivlink_start() - want the link
 * @link: a link that is down
 *
 * The next step announces it.
 */
static inline void ivlink_start(struct ivlink *link)
{
	if (link->state == IVLINK_DOWN)
		link->state = IVLINK_ANNOUNCE;
}

/**
 * ivlink_end() - end the session, or the wait for it
 * @link: the link
 * @reason: why.  IVRING_STALE: the peer is not there any more, or somebody
 *	    says so; the link may come up again at once, if it was not up or was
 *	    for IVLINK_REST_MS.  After a shorter session, which costs this side
 *	    more than the peer, it rests as after a first fault.  Anything else
 *	    is a fault: it rests, longer each time
 * @now: the time
 *
 * Return: IVLINK_KICK, and IVLINK_WENT_DOWN if it was up; 0 if it was down or
 * had not begun anew since the last end.
 */
static inline unsigned int ivlink_end(struct ivlink *link,
				      enum ivring_fault reason, __u32 now)
{
	unsigned int events = IVLINK_KICK;
	__u32 rest = IVLINK_REST_MS;
	__u32 i;

	if (link->state == IVLINK_DOWN || link->state == IVLINK_ANNOUNCE)
		return 0;
	if (link->state == IVLINK_UP) {
		events |= IVLINK_WENT_DOWN;
		if (now - link->up_since > IVLINK_GOOD_MS)
			link->faults = 0;
	}
	ivlink_withdraw(link);
	link->state = IVLINK_ANNOUNCE;
	link->reason = reason;
	link->rest_until = now;
	if (reason == IVRING_STALE && (!(events & IVLINK_WENT_DOWN) ||
				       now - link->up_since >= IVLINK_REST_MS))
		return events;

	/* Short sessions may be honest: they always cost the same */
	if (reason == IVRING_STALE) {
		link->rest_until += rest;
		if (!link->faults)
			link->faults = 1;
		return events;
	}

	for (i = 0; i < link->faults && rest < IVLINK_REST_MAX_MS; i++)
		rest *= 2;
	link->rest_until += rest < IVLINK_REST_MAX_MS ? rest :
							IVLINK_REST_MAX_MS;
	link->faults++;
	return events;
}

/**
 * ivlink_resting() - for how long the link still rests
 * @link: the link
 * @now: the time
 *
 * Return: milliseconds, 0 if it does not rest.
 */
static inline __u32 ivlink_resting(const struct ivlink *link, __u32 now)
{
	__u32 left = link->rest_until - now;

	if (link->state != IVLINK_ANNOUNCE || !link->faults ||
	    left > IVLINK_REST_MAX_MS)
		return 0;
	return left;
}

/**
 * ivlink_step() - do what is due
 * @link: the link
 * @now: the time
 * @random: a number that nobody can guess, for the epoch
 *
 * To be called when kicked, and in any case IVLINK_STEP_MS after the last step
 * unless it is down or up, and IVPEER_BEAT_MS if it is up.
 *
 * Return: enum ivlink_event, any of them.
 */
static inline unsigned int ivlink_step(struct ivlink *link, __u32 now,
				       __u32 random)
{
	enum ivring_fault fault;

	switch (link->state) {
	case IVLINK_ANNOUNCE:
		if (ivlink_resting(link, now))
			return 0;
		ivlink_announce(link, random);
		return IVLINK_KICK | ivlink_wait(link, now);
	case IVLINK_WAIT:
		if (!ivlink_own_words(link))				/* [W0] */
			return ivlink_end(link, IVRING_TAMPERED, now);
		return ivlink_wait(link, now);
	case IVLINK_UP:
		fault = ivlink_check(link);
		return fault ? ivlink_end(link, fault, now) : 0;
	default:
		return 0;
	}
}

/**
 * ivlink_stop() - do not want the link any more
 * @link: the link, whose rings nobody uses
 *
 * Return: IVLINK_KICK if the peer should look; IVLINK_WENT_DOWN if it was up.
 */
static inline unsigned int ivlink_stop(struct ivlink *link)
{
	enum ivlink_state before = link->state;

	if (before == IVLINK_DOWN)
		return 0;
	ivlink_withdraw(link);
	link->state = IVLINK_DOWN;
	return before == IVLINK_UP ? IVLINK_KICK | IVLINK_WENT_DOWN :
				     IVLINK_KICK;
}

#endif /* IVSHMEM_LINK_H */
