// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions: a disk is used as long as a link to its back end is up.  Between two of
 * them nothing is submitted; what has no answer is kept for the next one, or fails
 * when the back end does not return in time.
 */
#include <linux/jiffies.h>
#include <linux/sysfs.h>

#include "ivblk.h"
#include "trace.h"

static void ivblk_set_state(struct ivblk *ivblk, enum ivblk_state state)
{
	ivblk->state = state;
	sysfs_notify(&ivblk->dev->kobj, NULL, "state");
}

/* Whether nothing is asked for that the disk does not do, and all that it needs is */
static bool ivblk_does_all(u32 was, u32 is)
{
	/* A disk that can be written to meanwhile is not: see ivblk_send_hello() */
	if (was & IVBLK_READ_ONLY)
		return true;
	return !(is & IVBLK_READ_ONLY) && (is & was) == was &&
	       (is & IVBLK_FLUSH) == (was & IVBLK_FLUSH);
}

/**
 * ivblk_is_same() - whether a disk can take the place of one that is in use
 * @was: the disk, as the block layer knows it
 * @is: what a back end says
 *
 * Context: Any.
 * Return: whether all that was promised holds.
 */
bool ivblk_is_same(const struct ivblk_disk *was, const struct ivblk_disk *is)
{
	return is->block_size == was->block_size &&
	       is->sectors >= was->sectors &&
	       is->queues >= was->queues &&
	       is->max_length >= was->max_length &&
	       is->max_extent >= was->max_extent &&
	       ivblk_does_all(was->features, is->features) &&
	       !strcmp(is->serial, was->serial);
}

/**
 * ivblk_session_lost() - the session is over, or has to end
 * @ivblk: the disk
 *
 * Context: Any.
 */
void ivblk_session_lost(struct ivblk *ivblk)
{
	WRITE_ONCE(ivblk->lost, true);
	ivblk_run(ivblk);
}

/**
 * ivblk_session_restart() - begin anew with the back end
 * @ivblk: the disk
 *
 * Context: Any.
 */
void ivblk_session_restart(struct ivblk *ivblk)
{
	WRITE_ONCE(ivblk->restart, true);
	ivblk_run(ivblk);
}

/**
 * ivblk_written() - count the writes that may be in a cache
 * @ivblk: the disk
 *
 * Context: Any.
 * Return: a number that is another one if others have been answered since.
 */
unsigned long ivblk_written(const struct ivblk *ivblk)
{
	unsigned long written = 0;
	unsigned int i;

	for (i = 0; i < ivblk->nr_queues; i++)
		written += READ_ONCE(ivblk->queues[i].written);
	return written;
}

/*
 * The back end has another cache than before: what was not flushed may be lost.  Who
 * flushes next is told, for nobody else asks.
 */
static void ivblk_cache_changed(struct ivblk *ivblk)
{
	unsigned int i;

	if (!(ivblk->info.features & IVBLK_FLUSH) ||
	    ivblk_written(ivblk) == READ_ONCE(ivblk->flushed))
		return;
	dev_err(ivblk->dev,
		"back end has lost what it had not flushed: the next flush fails\n");
	set_bit(0, &ivblk->cache_lost);
	/* Told once, unless more is written */
	WRITE_ONCE(ivblk->flushed, ivblk_written(ivblk));
	for (i = 0; i < ivblk->nr_queues; i++)
		ivblk_queue_doom(&ivblk->queues[i]);
}

/**
 * ivblk_session_begin() - use a back end, and send what has no answer again
 * @ivblk: the disk, which has no session
 * @link: to a back end with this disk
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_session_begin(struct ivblk *ivblk, struct ivblk_link *link)
{
	u32 slot = ivblk_link_slot(ivblk, link);
	bool kick = false;
	unsigned int i;

	trace_ivblk_session_begin(ivblk, slot);
	ivblk_disk_hold(ivblk);
	WRITE_ONCE(ivblk->lost, false);
	WRITE_ONCE(ivblk->restart, false);
	WRITE_ONCE(ivblk->has_news, false);
	link->ask_ms = 0;
	if (link->disk.cache != ivblk->info.cache)
		ivblk_cache_changed(ivblk);
	ivblk->info.cache = link->disk.cache;
	for (i = 0; i < ivblk->nr_queues; i++) {
		ivblk->failures += ivblk_queue_fail(&ivblk->queues[i],
						    IVBLK_TRIES);
		kick |= ivblk_queue_begin(&ivblk->queues[i], link);
	}

	if (ivblk->sessions++)
		dev_info_ratelimited(ivblk->dev, "back end is back, in slot %u\n",
				     slot);
	ivblk->active = link;
	ivblk_set_state(ivblk, IVBLK_READY);
	ivblk_disk_resize(ivblk, link->disk.sectors);
	ivblk_disk_release(ivblk);
	if (kick)
		ivshmem_function_kick(ivblk->function, slot);
	ivblk_session_look(ivblk);
}

static void ivblk_say_end(struct ivblk *ivblk, u32 slot, enum ivring_fault reason)
{
	if (reason != IVRING_OK && reason != IVRING_STALE) {
		ivblk->faults++;
		dev_warn_ratelimited(ivblk->dev,
				     "back end in slot %u is at fault (%d): ending its session\n",
				     slot, reason);
	} else if (!ivshmem_function_intact(ivblk->function)) {
		dev_info_ratelimited(ivblk->dev,
				     "region is no more: requests fail\n");
	} else if (!ivblk->dying) {
		dev_info_ratelimited(ivblk->dev,
				     "back end in slot %u is gone: requests wait for it\n",
				     slot);
	}
}

/**
 * ivblk_session_end() - the back end is used no more
 * @ivblk: the disk
 *
 * Afterwards nobody but the caller touches the rings.
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_session_end(struct ivblk *ivblk)
{
	struct ivblk_link *link = ivblk->active;
	struct ivblk_queue *queue;
	enum ivring_fault reason;
	unsigned int i;

	if (!link)
		return;
	for (i = 0; i < ivblk->nr_queues; i++) {
		queue = &ivblk->queues[i];
		spin_lock_bh(&queue->lock);
		WRITE_ONCE(queue->mode, IVBLK_HOLD);
		spin_unlock_bh(&queue->lock);
	}
	ivblk->active = NULL;
	ivblk_set_state(ivblk, IVBLK_WAITING);
	ivblk->lost_at = jiffies;
	ivblk_disk_hold(ivblk);

	/* What is there may belong to others by now */
	reason = ivshmem_function_intact(ivblk->function) ?
		 ivlink_check(&link->link) : IVRING_STALE;
	trace_ivblk_session_end(ivblk, ivblk_link_slot(ivblk, link), reason);
	ivblk_say_end(ivblk, ivblk_link_slot(ivblk, link), reason);
}

/* A ring that has had no room for so long gets none */
static bool ivblk_is_stuck(struct ivblk *ivblk, struct ivblk_queue *queue)
{
	unsigned long limit = ivblk->reconnect_timeout * HZ;
	bool stuck;

	spin_lock_bh(&queue->lock);
	stuck = limit && queue->full &&
		time_after(jiffies, queue->full_since + limit);
	spin_unlock_bh(&queue->lock);
	return stuck;
}

/*
 * Others can overwrite what this side has sent, the hello among it.  Who sends notices
 * it, but perhaps nothing is to be sent, or in other queues only.
 */
static void ivblk_look_sent(struct ivblk_queue *queue)
{
	struct ivring_producer *tx;

	spin_lock_bh(&queue->lock);
	if (queue->mode == IVBLK_SEND &&
	    ivshmem_function_intact(queue->ivblk->function)) {
		tx = &queue->pair->tx;
		if (tx->fault || !ivring_refresh_cons(tx)) {
			WRITE_ONCE(queue->mode, IVBLK_HOLD);
			ivblk_session_lost(queue->ivblk);
		}
	}
	spin_unlock_bh(&queue->lock);
}

/**
 * ivblk_session_look() - look at all rings: a doorbell may be lost
 * @ivblk: the disk
 *
 * Context: Process, with &ivblk.lock.
 */
void ivblk_session_look(struct ivblk *ivblk)
{
	unsigned int i;

	/* A size that has lasted is what a back end has to have from now on */
	if (time_after(jiffies, ivblk->sized_at + msecs_to_jiffies(IVLINK_GOOD_MS)))
		ivblk->info.sectors = get_capacity(ivblk->disk);
	for (i = 0; i < ivblk->nr_queues; i++) {
		ivblk_look_sent(&ivblk->queues[i]);
		if (ivblk->queues[i].polled)
			ivblk_look_polled(&ivblk->queues[i]);
		else
			irq_poll_sched(&ivblk->queues[i].iop);
		if (ivblk_is_stuck(ivblk, &ivblk->queues[i]))
			ivblk_session_restart(ivblk);
	}
}

/* Takes what the back end has said since; false if it is not about the size */
static bool ivblk_take_news(struct ivblk *ivblk)
{
	struct ivblk_disk *news = &ivblk->news;
	bool same;
	u64 sectors;

	spin_lock_bh(&ivblk->queues[0].lock);
	sectors = news->sectors;
	/* It may shrink */
	news->sectors = max(sectors, ivblk->info.sectors);
	same = ivblk_is_same(&ivblk->info, news);
	ivblk->has_news = false;
	spin_unlock_bh(&ivblk->queues[0].lock);

	if (same)
		ivblk_disk_resize(ivblk, sectors);
	return same;
}

/**
 * ivblk_session_news() - see whether the size of the disk has changed
 * @ivblk: the disk
 *
 * However often the back end says so, people and programs are told at most each
 * IVBLK_LOOK_MS.
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_session_news(struct ivblk *ivblk)
{
	if (!READ_ONCE(ivblk->has_news) || !ivblk->active ||
	    time_before(jiffies, ivblk->news_at +
			msecs_to_jiffies(IVBLK_LOOK_MS)))
		return;
	ivblk->news_at = jiffies;
	if (ivblk_take_news(ivblk))
		return;
	dev_warn_ratelimited(ivblk->dev,
			     "back end in slot %u says that its disk is another one\n",
			     ivblk_link_slot(ivblk, ivblk->active));
	ivblk_session_restart(ivblk);
}

/**
 * ivblk_give_up() - fail what has no answer, and all that comes
 * @ivblk: the disk, which has no session
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_give_up(struct ivblk *ivblk)
{
	unsigned int i, n = 0;

	for (i = 0; i < ivblk->nr_queues; i++)
		n += ivblk_queue_fail(&ivblk->queues[i], 0);
	trace_ivblk_give_up(ivblk, n);
	ivblk->failures += n;
	ivblk_set_state(ivblk, IVBLK_FAILED);
	/* What waited to be submitted fails now */
	ivblk_disk_release(ivblk);
}
