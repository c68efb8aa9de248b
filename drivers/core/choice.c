// SPDX-License-Identifier: GPL-2.0-only
/*
 * The own slot: the server's word on a device with doorbells, the
 * administrator's on a plain one, or else one that this kernel chooses.
 *
 * How it is chosen is in <ivshmem/slot.h>; here is who looks, and when.  Until a
 * claim is settled nothing but its line is written, and no function is there.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/string.h>

#include "core.h"

/* Who took longer for a look writes no claim after it, but looks again */
#define IVSHMEM_LOOK_MAX_MS	100
/* No rest is longer */
#define IVSHMEM_REST_BOUND	(60 * HZ)
/* After this it is known of each slot whether somebody lives there */
#define IVSHMEM_FULL_MS		(IVPEER_SILENT_MS + 2 * IVPEER_BEAT_MS)

/**
 * ivshmem_choice_slot() - the slot that this kernel should have
 * @ivd: the device
 * @region: what it is formatted as
 *
 * Context: Process context, with the region's lock.
 * Return: a slot of the region, IVSHMEM_AUTO_SLOT, or IVSHMEM_NO_SLOT.
 */
u32 ivshmem_choice_slot(struct ivshmem_device *ivd,
			const struct ivregion *region)
{
	u32 slot = ivd->self.wanted;

	ivd->self.given = IVSHMEM_NO_SLOT;
	if (region->read_only)
		return IVSHMEM_NO_SLOT;
	if (ivd->has_doorbell) {
		if (ivshmem_device_peer_id(ivd, &slot))
			return IVSHMEM_NO_SLOT;
		ivd->self.given = slot;
	}
	if (slot == IVSHMEM_NO_SLOT)
		return slot;
	if (!ivshmem_cache_is_ordered(ivd)) {
		if (__ratelimit(&ivd->refusal_limit))
			dev_warn(&ivd->dev,
				 "memory is mapped write-combining, and so without order: no functions; set cache_mode to wb\n");
		return IVSHMEM_NO_SLOT;
	}
	if (slot < region->slots || slot == IVSHMEM_AUTO_SLOT)
		return slot;

	if (__ratelimit(&ivd->refusal_limit))
		dev_warn(&ivd->dev,
			 "region has %u slots, and so none for slot %u: no functions; format it with more, or give another slot, or auto\n",
			 region->slots, slot);
	return IVSHMEM_NO_SLOT;
}

/**
 * ivshmem_choice_init() - prepare a new device
 * @ivd: the device
 */
void ivshmem_choice_init(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;

	self->wanted = ivd->has_doorbell ? IVSHMEM_NO_SLOT : IVSHMEM_AUTO_SLOT;
	self->given = IVSHMEM_NO_SLOT;
	self->slot = IVSHMEM_NO_SLOT;
	self->place = IVSHMEM_NO_SLOT;
	self->prefer = IVSLOT_NONE;
	self->avoid = IVSLOT_NONE;
	self->rest_until = jiffies;
}

static void ivshmem_choice_set(struct ivshmem_device *ivd,
			       enum ivshmem_choice choice)
{
	/* Who reads it without the lock only prints it */
	WRITE_ONCE(ivd->self.choice, choice);
}

/**
 * ivshmem_choice_begin() - look for a slot from the next look on
 * @ivd: the device, which has none
 *
 * Context: Process context, with the region's lock.
 */
void ivshmem_choice_begin(struct ivshmem_device *ivd)
{
	u32 slot;

	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		ivslot_forget(&ivd->self.seen[slot]);
	ivd->self.begun_at = jiffies;
	/* One of long ago may lie ahead again, where jiffies have 32 bits */
	if (time_after(ivd->self.rest_until, jiffies + IVSHMEM_REST_BOUND))
		ivd->self.rest_until = jiffies;
	ivshmem_choice_set(ivd, IVSHMEM_CHOICE_LOOK);
}

/* What was written of the name, too: who claims with us may be half done */
static bool ivshmem_choice_has_name(struct ivshmem_device *ivd)
{
	char name[IVREGION_PEER_NAME];

	ivshmem_copy_in(name, ivshmem_peer_line(ivd, ivd->self.place)->name,
			sizeof(name));
	return !memcmp(name, ivd->self.name, sizeof(name));
}

/**
 * ivshmem_choice_stands() - whether nobody else has the slot that was chosen
 * @ivd: the device, whose words are somewhere
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 * Return: whether it is still its own; true if it was not chosen, but given.
 */
bool ivshmem_choice_stands(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;

	if (self->choice == IVSHMEM_CHOICE_NONE)
		return true;
	return ivshmem_self_intact(ivd) &&
	       !ivslot_is_served(ivshmem_server_line(ivd, self->place)) &&
	       (self->choice == IVSHMEM_CHOICE_MADE ||
		ivshmem_choice_has_name(ivd));
}

/**
 * ivshmem_choice_lose() - give up the slot that was chosen, and look for another
 * @ivd: the device, whose claim, or slot, is another one's
 *
 * Whatever is in the slot's line stays.  A slot that was its own already stays in
 * @self.slot, until functions are gone.
 *
 * Context: Process context, with the region's lock.
 */
void ivshmem_choice_lose(struct ivshmem_device *ivd)
{
	struct ivshmem_self *self = &ivd->self;

	ivshmem_self_withdraw(ivd);
	/* Those who have met here do not meet again in the next */
	self->rest_until += msecs_to_jiffies(get_random_u32() % IVPEER_BEAT_MS);
	self->avoid = self->place;
	self->prefer = IVSLOT_NONE;
	if (self->choice == IVSHMEM_CHOICE_MADE &&
	    __ratelimit(&ivd->refusal_limit))
		dev_warn(&ivd->dev,
			 "somebody else has taken slot %u: functions begin anew in another one\n",
			 self->place);
	ivslot_forget(&self->seen[self->place]);
	self->place = IVSHMEM_NO_SLOT;
	ivshmem_choice_set(ivd, IVSHMEM_CHOICE_LOOK);
}

static void ivshmem_choice_see(struct ivshmem_device *ivd,
			       struct ivshmem_format *format, u32 now)
{
	u32 slot;

	for (slot = 0; slot < format->region.slots; slot++) {
		if (slot == ivd->self.place)
			continue;
		ivslot_see(&ivd->self.seen[slot], &format->peers[slot],
			   ivslot_is_served(ivshmem_server_line(ivd, slot)),
			   now);
	}
}

static void ivshmem_choice_claim(struct ivshmem_device *ivd,
				 struct ivshmem_format *format, u32 slot)
{
	struct ivshmem_self *self = &ivd->self;

	/* Whoever was there is no more; should it be back, that is to be seen */
	spin_lock_bh(&format->peers_lock);
	ivpeer_init(&format->peers[slot]);
	spin_unlock_bh(&format->peers_lock);
	WRITE_ONCE(format->vectors[slot], 0);

	self->place = slot;
	ivshmem_self_publish(ivd);
	ivslot_claimed(&self->claim, get_random_u32(), ivshmem_choice_clock());
	ivshmem_choice_set(ivd, IVSHMEM_CHOICE_CLAIM);
}

/* None is free: known once those who are silent had the time to be seen so */
static bool ivshmem_choice_wait(struct ivshmem_device *ivd, u32 slots)
{
	struct ivshmem_self *self = &ivd->self;

	if (self->choice == IVSHMEM_CHOICE_FULL ||
	    time_before(jiffies, self->begun_at +
			msecs_to_jiffies(IVSHMEM_FULL_MS)))
		return false;

	ivshmem_choice_set(ivd, IVSHMEM_CHOICE_FULL);
	if (__ratelimit(&ivd->refusal_limit))
		dev_warn(&ivd->dev,
			 "all %u slots are taken, by others or by a server: no functions until one is free; have a machine leave, or format the region with more\n",
			 slots);
	return true;
}

/* Nothing is claimed: may something be?  @now: before the look */
static bool ivshmem_choice_try(struct ivshmem_device *ivd,
			       struct ivshmem_format *format, u32 now)
{
	struct ivshmem_self *self = &ivd->self;
	u32 slot, slots = format->region.slots;

	if (time_before(jiffies, self->rest_until) ||
	    !ivshmem_cache_is_ordered(ivd))
		return false;
	slot = ivslot_choose(self->seen, slots, self->prefer, self->avoid,
			     get_random_u32());
	if (slot == IVSLOT_NONE)
		return ivshmem_choice_wait(ivd, slots);
	if (ivshmem_choice_clock() - now > IVSHMEM_LOOK_MAX_MS ||
	    !ivregion_intact(ivshmem_superblock(ivd), &format->region) ||
	    !ivslot_unchanged(&self->seen[slot], ivshmem_peer_line(ivd, slot)))
		return false;
	ivshmem_choice_claim(ivd, format, slot);
	return true;
}

/* The claim stands: for long enough?  @now: before that was seen */
static bool ivshmem_choice_settle(struct ivshmem_device *ivd,
				  struct ivshmem_format *format, u32 now)
{
	struct ivshmem_self *self = &ivd->self;

	if (!ivslot_settled(&self->claim, now))
		return false;
	self->prefer = self->place;
	self->avoid = IVSLOT_NONE;
	ivshmem_choice_set(ivd, IVSHMEM_CHOICE_MADE);
	WRITE_ONCE(self->slot, self->place);
	ivshmem_self_show(ivd, format);
	return true;
}

/**
 * ivshmem_choice_clock() - the time by which slots are chosen
 *
 * It goes on while the machine sleeps.
 *
 * Context: Any.
 * Return: milliseconds, modulo 2^32.
 */
u32 ivshmem_choice_clock(void)
{
	return ktime_to_ms(ktime_get_boottime());
}

/**
 * ivshmem_choice_step() - go on with choosing, after a look
 * @ivd: the device, whose own claim was found to stand, if there is one
 * @format: its format, each slot of which was looked at
 * @now: the time before the look, of ivshmem_choice_clock()
 *
 * When it has brought a slot, @self.slot is no longer IVSHMEM_NO_SLOT.
 *
 * Context: Process context, with the region's lock, and the memory gotten.
 * Return: whether anything is otherwise than before.
 */
bool ivshmem_choice_step(struct ivshmem_device *ivd,
			 struct ivshmem_format *format, u32 now)
{
	switch (ivd->self.choice) {
	case IVSHMEM_CHOICE_LOOK:
	case IVSHMEM_CHOICE_FULL:
		/* Functions are in the one that was lost: they go first */
		if (ivd->self.slot != IVSHMEM_NO_SLOT)
			return false;
		ivshmem_choice_see(ivd, format, now);
		return ivshmem_choice_try(ivd, format, now);
	case IVSHMEM_CHOICE_CLAIM:
		ivshmem_choice_see(ivd, format, now);
		return ivshmem_choice_settle(ivd, format, now);
	default:
		return false;
	}
}

/**
 * ivshmem_choice_text() - why there is no slot, though one is to be chosen
 * @ivd: the device
 *
 * Context: Any.
 * Return: a word, or NULL.
 */
const char *ivshmem_choice_text(const struct ivshmem_device *ivd)
{
	switch (READ_ONCE(ivd->self.choice)) {
	case IVSHMEM_CHOICE_LOOK:
	case IVSHMEM_CHOICE_CLAIM:
		return "choosing";
	case IVSHMEM_CHOICE_FULL:
		return "full";
	default:
		return NULL;
	}
}
