// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links to the other peers: brings them up and down, says hello, and hears who of
 * them has a disk.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/sched/mm.h>

#include "ivblk.h"

static u32 ivblk_now(void)
{
	return ktime_to_ms(ktime_get());
}

static u32 ivblk_section_queues(const struct ivblk *ivblk)
{
	return ivshmem_function_section(ivblk->function)->queues;
}

/* The first record of a session; if that is over, the next step sees it */
static void ivblk_send_hello(struct ivblk *ivblk, struct ivblk_link *link)
{
	struct ivring_producer *tx = &link->queues[0].tx;
	struct ivblk_hello hello = {
		.role = ivshmem_to_le32(IVBLK_FRONT_END),
		.queues = ivshmem_to_le32(ivblk->max_queues),
	};
	void __ivshmem *payload;

	/* Others may write then */
	if (ivblk->info.features & IVBLK_READ_ONLY)
		hello.features = ivshmem_to_le32(IVBLK_READ_ONLY);
	if (ivring_reserve(tx, sizeof(hello), &payload))
		return;
	ivshmem_copy_out(payload, &hello, sizeof(hello));
	ivring_commit(tx, sizeof(hello), IVBLK_KIND_HELLO);
	if (ivring_publish(tx))
		ivshmem_function_kick(ivblk->function,
				      ivblk_link_slot(ivblk, link));
}

/* The peer's hello, which must be the first record; what follows is not read here */
static bool ivblk_take_first(struct ivblk *ivblk, struct ivblk_link *link,
			     const void __ivshmem *payload, u32 length, u32 kind)
{
	struct ivblk_hello hello;

	if (kind != IVBLK_KIND_HELLO || length < sizeof(hello))
		return false;
	ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (ivblk_parse_hello(&link->disk, &hello, length,
			      ivblk_section_queues(ivblk)))
		return true;
	dev_warn_ratelimited(ivblk->dev,
			     "peer in slot %u: its hello is none of this version (role %u, %u queues, blocks of %u and %u bytes, requests of %u): run programs of one version\n",
			     ivblk_link_slot(ivblk, link),
			     ivshmem_from_le32(hello.role),
			     ivshmem_from_le32(hello.queues),
			     ivshmem_from_le32(hello.block_size),
			     ivshmem_from_le32(hello.physical_block_size),
			     ivshmem_from_le32(hello.max_length));
	return false;
}

/* Looks for the hello of a peer whose link is up */
static void ivblk_listen(struct ivblk *ivblk, struct ivblk_link *link)
{
	struct ivring_consumer *rx = &link->queues[0].rx;
	const void __ivshmem *payload;
	u32 length, kind;
	int ret;

	ret = ivring_peek(rx, &payload, &length, &kind);
	if (ret == -EAGAIN && ivring_want_data(rx))
		ret = ivring_peek(rx, &payload, &length, &kind);
	/* A broken ring the next step sees */
	if (ret)
		return;
	if (!ivblk_take_first(ivblk, link, payload, length, kind)) {
		rx->fault = IVRING_BAD_RECORD;
		return;
	}
	link->said = true;
	ivring_advance(rx);
	if (ivring_release(rx))
		ivshmem_function_kick(ivblk->function,
				      ivblk_link_slot(ivblk, link));
}

/* Why a back end is of no use, said once; NULL: it is */
static const char *ivblk_objection(struct ivblk *ivblk,
				   const struct ivblk_link *link)
{
	if (ivblk->active)
		return "there is another back end: stop one of them";
	if (ivblk->state != IVBLK_NO_DISK &&
	    !ivblk_is_same(&ivblk->info, &link->disk))
		return "its disk is not the one that was here: start that, or unbind the driver";
	if (link->disk.max_length < PAGE_SIZE)
		return "it does not take a page of this machine at once";
	return NULL;
}

/* A peer has said that it has a disk */
static void ivblk_meet(struct ivblk *ivblk, struct ivblk_link *link)
{
	const char *objection;

	if (ivblk->active == link)
		return;
	objection = ivblk_objection(ivblk, link);
	if (objection && objection != link->objection)
		dev_warn_ratelimited(ivblk->dev,
				     "back end in slot %u is not used: %s\n",
				     ivblk_link_slot(ivblk, link), objection);
	link->objection = objection;
	if (objection)
		return;

	if (ivblk->disk) {
		ivblk_session_begin(ivblk, link);
	} else if (ivblk->state == IVBLK_NO_DISK) {
		ivblk->info = link->disk;
		ivblk->state = IVBLK_WAITING;
		ivblk_disk_choose(ivblk);
		queue_work(system_long_wq, &ivblk->add);
	}
}

/* The rings are nobody's: the next session begins with a hello */
static void ivblk_link_down(struct ivblk *ivblk, struct ivblk_link *link)
{
	if (ivblk->active == link)
		ivblk_session_end(ivblk);
	link->said = false;
}

static void ivblk_link_stop(struct ivblk *ivblk, struct ivblk_link *link)
{
	if (link->link.state == IVLINK_DOWN)
		return;
	ivblk_link_down(ivblk, link);
	link->objection = NULL;
	link->ask_ms = 0;
	ivshmem_link_stop(ivblk->function, ivblk_link_slot(ivblk, link),
			  &link->link);
}

static void ivblk_link_up(struct ivblk *ivblk, struct ivblk_link *link)
{
	link->ask_ms = clamp(2 * link->ask_ms, IVBLK_ASK_MS, IVBLK_ASK_MAX_MS);
	link->ask_at = jiffies + msecs_to_jiffies(link->ask_ms);
	ivblk_send_hello(ivblk, link);
}

/*
 * Nobody has the disk, and a peer has said nothing that helps.  Others can write its
 * hello, too, so that it may have been another one: begins anew with it.  It has broken
 * no rule, so the link does not rest.
 */
static unsigned int ivblk_ask_again(struct ivblk *ivblk, struct ivblk_link *link)
{
	/* A disk that is being made has its back end */
	bool lacking = ivblk->disk ? !ivblk->active :
				     ivblk->state == IVBLK_NO_DISK;

	if (!lacking || link->link.state != IVLINK_UP ||
	    time_before(jiffies, link->ask_at))
		return 0;
	ivblk_link_down(ivblk, link);
	return ivlink_end(&link->link, IVRING_STALE, ivblk_now());
}

/*
 * Steps the link of the back end in use, whose rings are under other locks: not
 * before it is known that they are used no more.
 */
static unsigned int ivblk_active_step(struct ivblk *ivblk,
				      struct ivblk_link *link, bool orphan)
{
	bool restart = orphan || READ_ONCE(ivblk->restart);
	enum ivring_fault reason;

	if (!restart && !READ_ONCE(ivblk->lost) &&
	    !ivlink_check_words(&link->link)) {
		ivblk_session_news(ivblk);
		ivblk_session_look(ivblk);
		return 0;
	}
	ivblk_link_down(ivblk, link);
	/* A ring that is broken is worse than a peer that does not answer */
	reason = ivlink_check(&link->link);
	return ivlink_end(&link->link, reason ?: IVRING_STALE, ivblk_now());
}

/* Does what is due for a link; returns when to come back, in milliseconds */
static u32 ivblk_link_step(struct ivblk *ivblk, u32 slot)
{
	struct ivblk_link *link = &ivblk->links[slot];
	unsigned int events;
	struct ivpeer peer;
	bool orphan;

	ivshmem_function_peer(ivblk->function, slot, &peer);
	if (peer.state == IVPEER_ABSENT)
		ivblk_link_stop(ivblk, link);
	else if (peer.state == IVPEER_ALIVE)
		ivlink_start(&link->link);
	orphan = peer.state == IVPEER_ALIVE &&
		 ivlink_is_orphan(&link->link, peer.epoch, ivblk_now());

	if (ivblk->active == link)
		events = ivblk_active_step(ivblk, link, orphan);
	else if (orphan)
		events = ivlink_end(&link->link, IVRING_STALE, ivblk_now());
	else
		events = ivlink_step(&link->link, ivblk_now(),
				     get_random_u32());
	if (events & IVLINK_WENT_DOWN)
		ivblk_link_down(ivblk, link);
	if (events & IVLINK_WENT_UP)
		ivblk_link_up(ivblk, link);

	if (link->link.state == IVLINK_UP && !link->said)
		ivblk_listen(ivblk, link);
	if (link->link.state == IVLINK_UP && link->said &&
	    link->disk.role == IVBLK_BACK_END)
		ivblk_meet(ivblk, link);
	events |= ivblk_ask_again(ivblk, link);
	if (events & IVLINK_KICK)
		ivshmem_function_kick(ivblk->function, slot);

	if (link->link.state == IVLINK_DOWN ||
	    (link->link.state == IVLINK_UP &&
	     ivshmem_function_is_rung(ivblk->function)))
		return IVBLK_LOOK_MS;
	return IVLINK_STEP_MS;
}

static bool ivblk_is_unsettled(const struct ivblk_link *link)
{
	return link->link.state == IVLINK_ANNOUNCE ||
	       link->link.state == IVLINK_WAIT ||
	       (link->link.state == IVLINK_UP && !link->said);
}

/* Nobody has the disk: fails what waits when it has waited for long enough */
static void ivblk_look_for_end(struct ivblk *ivblk)
{
	unsigned long limit = ivblk->reconnect_timeout * HZ;

	if (!ivblk->disk || ivblk->state != IVBLK_WAITING || !limit ||
	    time_before(jiffies, ivblk->lost_at + limit))
		return;
	dev_err_ratelimited(ivblk->dev,
			    "no back end with the disk for %u seconds: failing its requests until there is one\n",
			    ivblk->reconnect_timeout);
	ivblk_give_up(ivblk);
}

/*
 * The region is no more, and nobody answers.  Whom the core waits for before it removes
 * this function may wait for a request: all fail before that.
 */
static void ivblk_lose_region(struct ivblk *ivblk)
{
	ivblk_session_end(ivblk);
	if (ivblk->disk)
		ivblk_give_up(ivblk);
}

/**
 * ivblk_links_work() - step all links
 * @work: of a disk
 *
 * Runs when something has happened, and from time to time.
 *
 * Context: Process.
 */
void ivblk_links_work(struct work_struct *work)
{
	struct ivblk *ivblk = container_of(to_delayed_work(work), struct ivblk,
					   work);
	u32 slot, next = IVBLK_LOOK_MS;
	bool unsettled = false;
	unsigned int noio;

	/* Uevents and the log allocate; what they would wait for may wait for this */
	noio = memalloc_noio_save();
	mutex_lock(&ivblk->lock);
	if (ivblk->dying || ivblk->asleep)
		goto out;
	if (!ivshmem_function_intact(ivblk->function)) {
		ivblk_lose_region(ivblk);
		goto out;
	}
	for (slot = 0; slot < ivblk->nr_links; slot++) {
		/* What is there belongs to others by now */
		if (!ivshmem_function_intact(ivblk->function))
			break;
		if (slot == ivblk->slot)
			continue;
		next = min(next, ivblk_link_step(ivblk, slot));
		unsettled |= ivblk_is_unsettled(&ivblk->links[slot]);
	}
	WRITE_ONCE(ivblk->unsettled, unsettled);
	ivblk_look_for_end(ivblk);
	queue_delayed_work(ivblk_wq, &ivblk->work, msecs_to_jiffies(next));
out:
	mutex_unlock(&ivblk->lock);
	memalloc_noio_restore(noio);
}

/**
 * ivblk_links_stop() - end all links, and fail all requests
 * @ivblk: the disk, which is dying
 *
 * Context: Process; may sleep.
 */
void ivblk_links_stop(struct ivblk *ivblk)
{
	u32 slot;

	mutex_lock(&ivblk->lock);
	ivblk->dying = true;
	ivblk_disk_pause(ivblk, false);
	for (slot = 0; slot < ivblk->nr_links; slot++)
		if (slot != ivblk->slot)
			ivblk_link_stop(ivblk, &ivblk->links[slot]);
	ivblk_give_up(ivblk);
	mutex_unlock(&ivblk->lock);
}
