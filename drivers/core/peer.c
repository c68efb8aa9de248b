// SPDX-License-Identifier: GPL-2.0-only
/*
 * This kernel as a peer of the region, and the directory of all others.
 *
 * All words are in the memory that others can write: those of others are read
 * once each and judged by ivpeer_look(), own ones are only compared with what
 * was published.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "core.h"
#include "trace.h"

/* Who finds its words changed again rests, twice as long each time */
#define IVSHMEM_REST_MS		500
#define IVSHMEM_REST_MAX_MS	30000
/* Who was left alone for so long has no rest to fear */
#define IVSHMEM_GOOD_MS		60000

/* Longest own name: others may keep it in so many bytes with a 0 */
#define IVSHMEM_NAME_MAX	(IVREGION_PEER_NAME - 1)

static bool ivshmem_name_printable(char letter)
{
	return letter > 0x20 && letter < 0x7f;
}

/* The name that was given, else the host's; the rest of @name is 0 */
static void ivshmem_self_name(struct ivshmem_device *ivd,
			      char name[IVREGION_PEER_NAME])
{
	const char *from = ivd->self.given_name;
	unsigned int i;

	/* May change at any time, but always ends */
	if (!*from)
		from = init_utsname()->nodename;

	memset(name, 0, IVREGION_PEER_NAME);
	for (i = 0; i < IVSHMEM_NAME_MAX && from[i]; i++)
		name[i] = ivshmem_name_printable(from[i]) ? from[i] : '?';
}

/**
 * ivshmem_peer_set_name() - by what others shall know this kernel
 * @ivd: the device
 * @name: printable letters; none for the name of the host
 * @length: how many
 *
 * It is in the directory after the next look.
 *
 * Context: Process context; may sleep.
 * Return: 0 or -EINVAL (too long, or not printable).
 */
int ivshmem_peer_set_name(struct ivshmem_device *ivd, const char *name,
			  size_t length)
{
	size_t i;

	if (length > IVSHMEM_NAME_MAX)
		return -EINVAL;
	for (i = 0; i < length; i++) {
		if (!ivshmem_name_printable(name[i]))
			return -EINVAL;
	}

	mutex_lock(&ivd->region_lock);
	memset(ivd->self.given_name, 0, sizeof(ivd->self.given_name));
	memcpy(ivd->self.given_name, name, length);
	mutex_unlock(&ivd->region_lock);

	ivshmem_region_rung(ivd);
	return 0;
}

/**
 * ivshmem_self_show() - what others see of this kernel it knows itself
 * @ivd: the device
 * @format: its format
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 */
void ivshmem_self_show(struct ivshmem_device *ivd,
		       struct ivshmem_format *format)
{
	struct ivshmem_self *self = &ivd->self;
	struct ivregion_server_line __ivshmem *server;
	struct ivpeer *peer;

	/* A claim is nobody yet */
	if (self->slot == IVSHMEM_NO_SLOT)
		return;
	peer = &format->peers[self->slot];
	server = ivshmem_server_line(ivd, self->slot);

	spin_lock_bh(&format->peers_lock);
	if (self->epoch && self->epoch != peer->epoch)
		peer->joins++;
	peer->state = self->epoch ? IVPEER_ALIVE : IVPEER_ABSENT;
	peer->epoch = self->epoch;
	peer->generation = ivshmem_load32(&server->generation);
	peer->vectors = self->vectors;
	memcpy(peer->name, self->name, sizeof(self->name));
	spin_unlock_bh(&format->peers_lock);
}

/**
 * ivshmem_self_publish() - write who this kernel is into its place
 * @ivd: the device
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 */
void ivshmem_self_publish(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;
	u32 epoch = ivpeer_fresh_epoch(get_random_u32(), self->last_epoch);

	self->vectors = ivd->nr_vectors;
	self->heartbeat = 0;
	self->last_epoch = epoch;
	self->joined_at = jiffies;
	ivshmem_self_name(ivd, self->name);
	ivpeer_join(ivshmem_peer_line(ivd, self->place), epoch, self->vectors,
		    self->name);
	WRITE_ONCE(self->epoch, epoch);
}

/**
 * ivshmem_peer_join() - become a peer
 * @ivd: the device
 * @format: its format, which can be written to
 * @slot: a slot of it
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 */
void ivshmem_peer_join(struct ivshmem_device *ivd,
		       struct ivshmem_format *format, u32 slot)
{
	ivd->self.place = slot;
	WRITE_ONCE(ivd->self.slot, slot);
	ivd->self.rest = 0;
	ivd->self.rest_until = jiffies;
	ivshmem_self_publish(ivd);
	ivshmem_self_show(ivd, format);
	ivshmem_peers_ring(ivd, format);
}

/**
 * ivshmem_peer_leave() - say that this kernel is no longer there
 * @ivd: the device, whose format is intact, or whose memory has none
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 */
void ivshmem_peer_leave(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;

	/* Once they were changed the words are perhaps another one's */
	if (self->place != IVSHMEM_NO_SLOT && self->epoch &&
	    ivshmem_peer_epoch(ivd, self->place) == self->epoch)
		ivpeer_leave(ivshmem_peer_line(ivd, self->place));
	WRITE_ONCE(ivd->self.epoch, 0);
}

/* ivshmem_peer_forget() - not in any directory; with the region's lock */
void ivshmem_peer_forget(struct ivshmem_device *ivd)
{
	WRITE_ONCE(ivd->self.epoch, 0);
	WRITE_ONCE(ivd->self.slot, IVSHMEM_NO_SLOT);
	ivd->self.place = IVSHMEM_NO_SLOT;
	WRITE_ONCE(ivd->self.choice, IVSHMEM_CHOICE_NONE);
}

/* ivshmem_peer_epoch() - what a peer's line says; the memory is gotten */
u32 ivshmem_peer_epoch(struct ivshmem_device *ivd, u32 slot)
{
	return ivshmem_load32(&ivshmem_peer_line(ivd, slot)->epoch);
}

/**
 * ivshmem_self_intact() - whether own words are what was published
 * @ivd: the device, which has published them
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 * Return: whether they are, and the server does not hold this one for dead.
 * Otherwise somebody else has the slot, or a snapshot was restored.
 */
bool ivshmem_self_intact(struct ivshmem_device *ivd)
{
	const struct ivshmem_self *self = &ivd->self;
	struct ivregion_peer_line __ivshmem *line;
	struct ivregion_server_line __ivshmem *server;

	line = ivshmem_peer_line(ivd, self->place);
	server = ivshmem_server_line(ivd, self->place);
	return ivshmem_load32(&line->epoch) == self->epoch &&
	       ivshmem_load32(&line->heartbeat) == self->heartbeat &&
	       ivshmem_load32(&line->vectors) == self->vectors &&
	       !ivshmem_load32(&line->features) &&
	       (ivshmem_load32(&server->status) == IVREGION_UNTRACKED ||
		ivshmem_load32(&server->gone_epoch) != self->epoch);
}

/**
 * ivshmem_self_withdraw() - give up words that somebody else has changed
 * @ivd: the device
 *
 * Nothing is written.  Rests for the longer the more often this happens.
 *
 * Context: Process context, with the region's lock.
 */
void ivshmem_self_withdraw(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;

	if (time_after(jiffies, self->joined_at +
		       msecs_to_jiffies(IVSHMEM_GOOD_MS)))
		self->rest = 0;
	WRITE_ONCE(self->epoch, 0);
	self->rest_until = jiffies + msecs_to_jiffies(self->rest);
	self->rest = clamp(2 * self->rest, IVSHMEM_REST_MS, IVSHMEM_REST_MAX_MS);
	atomic64_inc(&self->rejoins);
}

/*
 * Not in the directory for a while, and no heart beats.  Functions go on with
 * the links that they have, until peers, who see the slot empty, end these.
 */
static void ivshmem_self_rest(struct ivshmem_device *ivd)
{
	ivshmem_self_withdraw(ivd);
	if (__ratelimit(&ivd->refusal_limit))
		dev_warn(&ivd->dev,
			 "somebody else writes what slot %u says of itself: does another peer have this slot? joining again\n",
			 ivd->self.slot);
}

/* The name can change while one is there: it is for people only */
static bool ivshmem_self_rename(struct ivshmem_device *ivd)
{
	char name[IVREGION_PEER_NAME];

	ivshmem_self_name(ivd, name);
	if (!memcmp(name, ivd->self.name, sizeof(name)))
		return false;

	memcpy(ivd->self.name, name, sizeof(name));
	ivshmem_copy_out(ivshmem_peer_line(ivd, ivd->self.place)->name, name,
			 sizeof(name));
	return true;
}

/* Own heart beats, as long as it is one's own; whether something changed */
static bool ivshmem_self_beat(struct ivshmem_device *ivd,
			      struct ivshmem_format *format)
{
	struct ivshmem_self *self = &ivd->self;
	bool changed = false;

	if (self->place == IVSHMEM_NO_SLOT)
		return false;

	if (!ivshmem_choice_stands(ivd)) {
		ivshmem_choice_lose(ivd);
		return true;
	}
	if (self->epoch && !ivshmem_self_intact(ivd)) {
		ivshmem_self_rest(ivd);
		changed = true;
	}
	if (!self->epoch) {
		if (time_before(jiffies, self->rest_until))
			goto out;
		ivshmem_self_publish(ivd);
		ivshmem_peers_ring(ivd, format);
		changed = true;
		goto out;
	}

	self->heartbeat++;
	ivshmem_store32(&ivshmem_peer_line(ivd, self->place)->heartbeat,
			self->heartbeat);
	/* Each word of a claim stays as it is */
	if (self->slot != IVSHMEM_NO_SLOT)
		changed |= ivshmem_self_rename(ivd);
out:
	ivshmem_self_show(ivd, format);
	return changed;
}

/* Looks at another's slot; whether something changed */
static bool ivshmem_peer_look(struct ivshmem_device *ivd,
			      struct ivshmem_format *format, u32 slot, u32 now)
{
	struct ivpeer *peer = &format->peers[slot];
	enum ivpeer_event event;
	u32 vectors, generation;
	char name[sizeof(peer->name)];
	bool changed;

	spin_lock_bh(&format->peers_lock);
	vectors = peer->vectors;
	generation = peer->generation;
	memcpy(name, peer->name, sizeof(name));
	event = ivpeer_look(peer, ivshmem_peer_line(ivd, slot),
			    ivshmem_server_line(ivd, slot), now);
	changed = event || vectors != peer->vectors ||
		  generation != peer->generation || strcmp(name, peer->name);
	spin_unlock_bh(&format->peers_lock);

	/* Who is absent may be about to join: ringing it costs nothing */
	WRITE_ONCE(format->vectors[slot], peer->epoch ? peer->vectors : 0);
	format->events[slot] = event;
	if (event)
		trace_ivshmem_peer(ivd->id, slot, event, peer->epoch);
	return changed;
}

/**
 * ivshmem_peers_look() - look at the directory, and let the own heart beat
 * @ivd: the device
 * @format: its format, intact; nothing is written to one that can only be read,
 *	    since there is no own slot then
 *
 * What has happened is in @format->events afterwards.
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 * Return: whether anything is otherwise than before.
 */
bool ivshmem_peers_look(struct ivshmem_device *ivd,
			struct ivshmem_format *format)
{
	u32 slot, now = ktime_to_ms(ktime_get());
	u32 began = ivshmem_choice_clock();
	bool changed;

	changed = ivshmem_self_beat(ivd, format);
	for (slot = 0; slot < format->region.slots; slot++) {
		format->events[slot] = IVPEER_NOTHING;
		if (slot != ivd->self.place)
			changed |= ivshmem_peer_look(ivd, format, slot, now);
	}

	return ivshmem_choice_step(ivd, format, began) || changed;
}

/**
 * ivshmem_peers_ring() - have all others look at directory and superblock
 * @ivd: the device
 * @format: the format in which they were seen
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 */
void ivshmem_peers_ring(struct ivshmem_device *ivd,
			struct ivshmem_format *format)
{
	u32 slot;

	if (!ivd->has_doorbell)
		return;
	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++) {
		if (format->vectors[slot] && slot != ivd->self.slot)
			ivshmem_doorbell_write(ivd, slot, 0);
	}
}

/**
 * ivshmem_peer_copy() - what is known of a slot
 * @format: a format
 * @slot: a slot of it
 * @peer: filled in
 *
 * Context: Process context or softirq.
 */
void ivshmem_peer_copy(struct ivshmem_format *format, u32 slot,
		       struct ivpeer *peer)
{
	spin_lock_bh(&format->peers_lock);
	*peer = format->peers[slot];
	spin_unlock_bh(&format->peers_lock);
}
