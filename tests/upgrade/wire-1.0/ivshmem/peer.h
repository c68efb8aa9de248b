/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who else is there: reads a slot of the directory and tells what became of the
 * peer in it.  Documentation/wire-format.rst specifies it.
 *
 * A peer is known to be alive by the server's word or by its heartbeat.  The
 * server's word can only make its death known sooner: a peer whose heart stands
 * still is silent, whatever the server says.
 *
 * Nothing here waits, allocates or logs.  Times are milliseconds of any clock
 * that does not stop, modulo 2^32.
 */
#ifndef IVSHMEM_PEER_H
#define IVSHMEM_PEER_H

#include "wire.h"

/* A peer changes its heartbeat as often as this, and looks at all others */
#define IVPEER_BEAT_MS		500U
/* One whose heartbeat did not change for so long is silent */
#define IVPEER_SILENT_MS	5000U

enum ivpeer_state {
	IVPEER_ABSENT,		/* nobody, or not known to be alive yet */
	IVPEER_ALIVE,
	IVPEER_SILENT,		/* stopped, crashed unseen, or very slow */
};

/* What a look at a slot has shown */
enum ivpeer_event {
	IVPEER_NOTHING,		/* as before */
	IVPEER_JOINED,
	IVPEER_LEFT,		/* it said so itself */
	IVPEER_DIED,		/* the server saw it go, without a word */
	IVPEER_FELL_SILENT,
	IVPEER_RETURNED,	/* under a new epoch: it has begun anew */
	IVPEER_RESUMED,		/* under the old one: it had only stopped */
};

/**
 * struct ivpeer - a slot, as last seen: private memory
 * @state: whether somebody is there
 * @seen: it was looked at before
 * @epoch: of the peer, or 0
 * @heartbeat: of the peer
 * @beat_at: when the heartbeat was last seen to change
 * @generation: the server's count of those who connected
 * @vectors: on how many it can be rung, 0 to 256
 * @features: what it can do
 * @joins: times that it was seen to join or return
 * @name: printable, ends with 0
 */
struct ivpeer {
	enum ivpeer_state state;
	bool seen;
	__u32 epoch;
	__u32 heartbeat;
	__u32 beat_at;
	__u32 generation;
	__u32 vectors;
	__u32 features;
	__u32 joins;
	char name[IVREGION_PEER_NAME + 1];
};

/* ivpeer_init() - forget the slot */
static inline void ivpeer_init(struct ivpeer *peer)
{
	peer->state = IVPEER_ABSENT;
	peer->seen = false;
	peer->epoch = 0;
	peer->heartbeat = 0;
	peer->beat_at = 0;
	peer->generation = 0;
	peer->vectors = 0;
	peer->features = 0;
	peer->joins = 0;
	peer->name[0] = 0;
}

/* Any bytes become a name that is safe to print */
static inline void ivpeer_take_name(struct ivpeer *peer,
				    const __u8 __ivshmem *name)
{
	__u8 copy[IVREGION_PEER_NAME];
	__u32 i;

	ivshmem_copy_in(copy, name, sizeof(copy));
	for (i = 0; i < IVREGION_PEER_NAME && copy[i]; i++)
		peer->name[i] = copy[i] > 0x20 && copy[i] < 0x7f ?
				(char)copy[i] : '?';
	peer->name[i] = 0;
}

static inline enum ivpeer_event ivpeer_gone(struct ivpeer *peer, bool said_so)
{
	bool was_there = peer->state != IVPEER_ABSENT;

	peer->state = IVPEER_ABSENT;
	if (!was_there)
		return IVPEER_NOTHING;
	return said_so ? IVPEER_LEFT : IVPEER_DIED;
}

static inline enum ivpeer_event ivpeer_alive(struct ivpeer *peer, __u32 now,
					     bool new_epoch)
{
	enum ivpeer_state before = peer->state;

	peer->state = IVPEER_ALIVE;
	peer->beat_at = now;
	if (before == IVPEER_ALIVE && !new_epoch)
		return IVPEER_NOTHING;
	if (before == IVPEER_SILENT && !new_epoch)
		return IVPEER_RESUMED;
	peer->joins++;
	return before == IVPEER_ABSENT ? IVPEER_JOINED : IVPEER_RETURNED;
}

/* No sign of life came; how long is that now? */
static inline enum ivpeer_event ivpeer_quiet(struct ivpeer *peer, __u32 now)
{
	if (peer->state != IVPEER_ALIVE ||
	    now - peer->beat_at <= IVPEER_SILENT_MS)
		return IVPEER_NOTHING;

	peer->state = IVPEER_SILENT;
	return IVPEER_FELL_SILENT;
}

/**
 * ivpeer_look() - look at a slot, once in IVPEER_BEAT_MS or when rung
 * @peer: the slot, as seen before
 * @line: the peer's line
 * @server: the server's line for the slot
 * @now: the time
 *
 * One that is seen for the first time, in a region that nobody watches over, is
 * alive only once its heartbeat moves: its words may be older than itself.
 *
 * Return: what has happened.
 */
static inline enum ivpeer_event
ivpeer_look(struct ivpeer *peer,
	    const struct ivregion_peer_line __ivshmem *line,
	    const struct ivregion_server_line __ivshmem *server, __u32 now)
{
	/* The server writes it last; pairs with its release store */
	__u32 status = ivshmem_load_acquire32(&server->status);
	__u32 gone_epoch = ivshmem_load32(&server->gone_epoch);
	/* Written last by who joins; pairs with ivpeer_join() */
	__u32 epoch = ivshmem_load_acquire32(&line->epoch);
	__u32 heartbeat = ivshmem_load32(&line->heartbeat);
	__u32 vectors = ivshmem_load32(&line->vectors);
	bool watched = status == IVREGION_VACANT ||
		       status == IVREGION_CONNECTED;
	bool new_epoch = epoch != peer->epoch;
	bool beats = peer->seen && heartbeat != peer->heartbeat;
	bool first = !peer->seen;

	peer->seen = true;
	peer->epoch = epoch;
	peer->heartbeat = heartbeat;
	peer->generation = ivshmem_load32(&server->generation);
	peer->vectors = vectors <= IVREGION_VECTORS_MAX ? vectors : 0;
	peer->features = ivshmem_load32(&line->features);
	ivpeer_take_name(peer, line->name);

	if (!epoch)
		return ivpeer_gone(peer, true);
	if (watched && (status == IVREGION_VACANT || epoch == gone_epoch))
		return ivpeer_gone(peer, false);
	if (beats || (new_epoch && !first) ||
	    (first && status == IVREGION_CONNECTED))
		return ivpeer_alive(peer, now, new_epoch);
	return ivpeer_quiet(peer, now);
}

/**
 * ivpeer_join() - say that one is there
 * @line: own line
 * @epoch: random, not 0, not the one before
 * @vectors: on how many one can be rung, 0 to 256
 * @name: for others to print; the rest 0
 *
 * From then on @heartbeat has to change every IVPEER_BEAT_MS.
 */
static inline void
ivpeer_join(struct ivregion_peer_line __ivshmem *line, __u32 epoch,
	    __u32 vectors, const char name[IVREGION_PEER_NAME])
{
	ivshmem_store32(&line->epoch, 0);
	/* Gone before anything changes; pairs with ivpeer_look() */
	ivshmem_mb();
	ivshmem_store32(&line->heartbeat, 0);
	ivshmem_store32(&line->vectors, vectors);
	ivshmem_store32(&line->features, 0);
	ivshmem_copy_out(line->name, name, IVREGION_PEER_NAME);
	/* All else before the epoch; pairs with ivpeer_look() */
	ivshmem_store_release32(&line->epoch, epoch);
}

/* ivpeer_leave() - say that one is no longer there */
static inline void ivpeer_leave(struct ivregion_peer_line __ivshmem *line)
{
	/* Whatever was done before; pairs with ivpeer_look() */
	ivshmem_store_release32(&line->epoch, 0);
}

/* ivpeer_fresh_epoch() - one that differs from 0 and from the one before */
static inline __u32 ivpeer_fresh_epoch(__u32 random, __u32 before)
{
	while (!random || random == before)
		random++;
	return random;
}

#endif /* IVSHMEM_PEER_H */
