/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Choosing a slot where no server gives one: which are free, and whether the one
 * that was claimed is one's own.  Documentation/wire-format.rst specifies it.
 *
 * There is no lock, and nothing is written but the line of the slot that is
 * claimed, as who joins writes it.  Two who claim the same one both find that
 * out, but for the one who wrote last: it alone finds its words as it wrote
 * them, and stays.  Nothing bounds for how long a machine can be stopped
 * between the look that shows a slot free and its store.  Who has settled there
 * meanwhile is overwritten, sees that at its next look, and chooses another
 * one; until then two write to one outbox, which ends the links in it, as any
 * foreign word in a link does.
 *
 * Nothing here waits, allocates or logs.  Times are milliseconds of a clock that
 * does not stop while the machine sleeps, modulo 2^32.
 */
#ifndef IVSHMEM_SLOT_H
#define IVSHMEM_SLOT_H

#include "peer.h"

/*
 * After so long without a sign of life a peer's slot is another one's.  More than
 * IVPEER_SILENT_MS: who is only paused, or moved to another host, keeps it.
 */
#define IVSLOT_SILENT_MS	30000U
/*
 * Looks without a change that are needed, too: where all machines were stopped
 * together the clock alone says nothing.
 */
#define IVSLOT_LOOKS		31U
/*
 * How long a claim stands before it is settled, and a random time of up to this
 * more: several times of what a look and a store take, or two looks are apart.
 */
#define IVSLOT_CLAIM_MS		2000U
/* Who was away for longer while its claim stood begins to wait anew */
#define IVSLOT_GAP_MS		2000U
/* No slot */
#define IVSLOT_NONE		0xffffffffU

enum ivslot_use {
	IVSLOT_TAKEN,		/* a server's, or somebody lives in it, or may */
	IVSLOT_SILENT,		/* whoever was in it shows no life any more */
	IVSLOT_EMPTY,		/* it says that nobody is in it */
};

/**
 * struct ivslot_seen - a slot, as last seen by who chooses: private memory
 * @use: what it is
 * @looks: without a change; 0 if it was not looked at
 * @epoch: its word
 * @heartbeat: likewise
 * @changed_at: when these were last seen to change
 * @looked_at: when a look was last counted
 */
struct ivslot_seen {
	enum ivslot_use use;
	__u32 looks;
	__u32 epoch;
	__u32 heartbeat;
	__u32 changed_at;
	__u32 looked_at;
};

/**
 * struct ivslot_claim - a claim that stands: private memory
 * @since: when it was written, or its author was back
 * @wait: for how long it has to stand
 * @looked_at: when it was last found as it was written
 */
struct ivslot_claim {
	__u32 since;
	__u32 wait;
	__u32 looked_at;
};

/* ivslot_forget() - the slot was not looked at yet */
static inline void ivslot_forget(struct ivslot_seen *seen)
{
	seen->use = IVSLOT_TAKEN;
	seen->looks = 0;
	seen->epoch = 0;
	seen->heartbeat = 0;
	seen->changed_at = 0;
	seen->looked_at = 0;
}

/**
 * ivslot_is_served() - whether a server keeps the slot
 * @server: the server's line for it
 *
 * Return: whether it does.  Such a slot is not to be chosen, and one that was
 * chosen is to be left.
 */
static inline bool
ivslot_is_served(const struct ivregion_server_line __ivshmem *server)
{
	__u32 status = ivshmem_load32(&server->status);

	return status == IVREGION_VACANT || status == IVREGION_CONNECTED;
}

/**
 * ivslot_see() - what a look at a slot says to who chooses
 * @seen: the slot, as seen before
 * @peer: what ivpeer_look() has just read
 * @served: whether a server keeps it
 * @now: the time
 */
static inline void ivslot_see(struct ivslot_seen *seen,
			      const struct ivpeer *peer, bool served, __u32 now)
{
	if (!seen->looks || peer->epoch != seen->epoch ||
	    peer->heartbeat != seen->heartbeat) {
		seen->looks = 1;
		seen->epoch = peer->epoch;
		seen->heartbeat = peer->heartbeat;
		seen->changed_at = now;
		seen->looked_at = now;
	} else if (seen->looks < IVSLOT_LOOKS &&
		   now - seen->looked_at >= IVPEER_BEAT_MS / 2) {
		seen->looks++;
		seen->looked_at = now;
	}

	seen->use = IVSLOT_TAKEN;
	if (served)
		return;
	if (!peer->epoch)
		seen->use = IVSLOT_EMPTY;
	else if (seen->looks >= IVSLOT_LOOKS &&
		 now - seen->changed_at > IVSLOT_SILENT_MS)
		seen->use = IVSLOT_SILENT;
}

/**
 * ivslot_choose() - which slot to claim
 * @seen: all slots, looked at just now
 * @slots: how many
 * @prefer: one that is taken if it is empty, or IVSLOT_NONE
 * @avoid: one that is taken only if there is no other, or IVSLOT_NONE
 * @random: any number, another one each time
 *
 * Empty ones come before silent ones, whose peers may only have been stopped.
 *
 * Return: the slot, or IVSLOT_NONE if none is free.
 */
static inline __u32 ivslot_choose(const struct ivslot_seen *seen, __u32 slots,
				  __u32 prefer, __u32 avoid, __u32 random)
{
	__u32 slot, count[IVSLOT_EMPTY + 1] = { 0 };
	enum ivslot_use use;

	if (prefer < slots && prefer != avoid &&
	    seen[prefer].use == IVSLOT_EMPTY)
		return prefer;

	for (slot = 0; slot < slots; slot++) {
		if (slot != avoid)
			count[seen[slot].use]++;
	}
	use = count[IVSLOT_EMPTY] ? IVSLOT_EMPTY : IVSLOT_SILENT;
	if (!count[use])
		return avoid < slots && seen[avoid].use != IVSLOT_TAKEN ?
		       avoid : IVSLOT_NONE;

	random %= count[use];
	for (slot = 0; slot < slots; slot++) {
		if (slot != avoid && seen[slot].use == use && !random--)
			return slot;
	}
	return IVSLOT_NONE;
}

/**
 * ivslot_unchanged() - whether a slot still says what the last look has shown
 * @seen: the slot
 * @line: its line
 *
 * To be asked right before a claim is written with ivpeer_join(), under a fresh
 * epoch: the less time lies between, the less often two claim one slot.
 *
 * Return: whether it does.
 */
static inline bool
ivslot_unchanged(const struct ivslot_seen *seen,
		 const struct ivregion_peer_line __ivshmem *line)
{
	return ivshmem_load32(&line->epoch) == seen->epoch &&
	       ivshmem_load32(&line->heartbeat) == seen->heartbeat;
}

/**
 * ivslot_claimed() - a claim has been written
 * @claim: filled in
 * @random: any number, another one each time
 * @now: the time after it was written
 */
static inline void ivslot_claimed(struct ivslot_claim *claim, __u32 random,
				  __u32 now)
{
	claim->since = now;
	claim->wait = IVSLOT_CLAIM_MS + random % IVSLOT_CLAIM_MS;
	claim->looked_at = now;
}

/**
 * ivslot_settled() - whether a claim has stood for long enough
 * @claim: a claim, each word of which was found as it was written just now
 * @now: the time before that
 *
 * To be asked every IVPEER_BEAT_MS.  The heart beats meanwhile, so that others
 * do not take the slot for silent; but nothing else of the slot is used yet.
 *
 * Return: whether it has.
 */
static inline bool ivslot_settled(struct ivslot_claim *claim, __u32 now)
{
	if (now - claim->looked_at > IVSLOT_GAP_MS)
		claim->since = now;
	claim->looked_at = now;
	return now - claim->since >= claim->wait;
}

#endif /* IVSHMEM_SLOT_H */
