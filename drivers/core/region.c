// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the memory is formatted: finding a superblock, attaching to what it
 * describes, and noticing that it is no longer there.
 *
 * A superblock is copied and checked as a whole; only the copy is used.  Any
 * peer can rewrite it at any moment, so what follows from it is limited in
 * rate: devices and nodes that come and go, and lines in the log.
 */
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/poll.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "core.h"
#include "trace.h"

/* Looks because vector 0 was rung are at least this far apart */
#define IVSHMEM_LOOK_MS		10
/* Formats that are attached in a minute at most; those that one asks for aside */
#define IVSHMEM_ATTACH_BURST	16
/* Lines about refused formats in a minute */
#define IVSHMEM_REFUSAL_BURST	5

static struct workqueue_struct *ivshmem_region_wq;

static void ivshmem_format_release(struct kref *ref)
{
	struct ivshmem_format *format;

	format = container_of(ref, struct ivshmem_format, ref);
	kfree_rcu(format, rcu);
}

/* ivshmem_format_put() - give up a reference; any context */
void ivshmem_format_put(struct ivshmem_format *format)
{
	kref_put(&format->ref, ivshmem_format_release);
}

static struct ivshmem_format *ivshmem_format_alloc(void)
{
	struct ivshmem_format *format;
	u32 i;

	format = kzalloc(sizeof(*format), GFP_KERNEL);
	if (!format)
		return NULL;

	kref_init(&format->ref);
	spin_lock_init(&format->peers_lock);
	for (i = 0; i < IVREGION_SLOTS_MAX; i++)
		ivpeer_init(&format->peers[i]);

	return format;
}

/**
 * ivshmem_region_changed() - tell who asks for changes of region and peers
 * @ivd: the device
 *
 * Context: Process context; may sleep.
 */
void ivshmem_region_changed(struct ivshmem_device *ivd)
{
	struct ivshmem_file *file;

	/* Fully ordered; pairs with poll_wait(), who queues and looks then */
	atomic64_inc_return(&ivd->changes);

	rcu_read_lock();
	list_for_each_entry_rcu(file, &ivd->files, node) {
		if (wq_has_sleeper(&file->wait))
			wake_up_interruptible_poll(&file->wait, EPOLLPRI);
	}
	rcu_read_unlock();

	sysfs_notify(&ivd->dev.kobj, NULL, "region");
	sysfs_notify(&ivd->dev.kobj, NULL, "peers");
}

/* Whether the words of a section are what is wrong */
static bool ivshmem_error_has_section(enum ivregion_error error)
{
	switch (error) {
	case IVREGION_BAD_TYPE:
	case IVREGION_BAD_PAGES:
	case IVREGION_BAD_VECTOR:
	case IVREGION_BAD_QUEUES:
	case IVREGION_BAD_NAME:
	case IVREGION_SAME_NAME:
	case IVREGION_NO_ROOM:
		return true;
	default:
		return false;
	}
}

/**
 * ivshmem_region_explain() - why a format is refused, for people
 * @format: a format that is refused
 * @text: filled in, without a full stop
 * @size: its size
 */
void ivshmem_region_explain(const struct ivshmem_format *format, char *text,
			    size_t size)
{
	const char *what = ivregion_error_text(format->error);
	const struct ivregion *region = &format->region;

	if (format->error == IVREGION_BAD_MAJOR)
		snprintf(text, size, "%s (%u.%u, this driver knows %u.%u)",
			 what, format->major, region->minor, IVREGION_MAJOR,
			 IVREGION_MINOR);
	else if (format->error == IVREGION_BAD_INCOMPAT)
		snprintf(text, size,
			 "%s (bits 0x%x; version %u.%u has it, this driver knows %u.%u)",
			 what, region->incompat & ~IVREGION_INCOMPAT_KNOWN,
			 format->major, region->minor, IVREGION_MAJOR,
			 IVREGION_MINOR);
	else if (ivshmem_error_has_section(format->error) &&
		 region->nr_sections)
		snprintf(text, size, "%s (section %u)", what, region->failed);
	else
		snprintf(text, size, "%s", what);
}

/*
 * Looks for a superblock.  Returns what it says, right or wrong, with the
 * caller's reference; NULL if there is none; -ENOMEM if that is not known, or
 * -EAGAIN, since it is just being written.
 */
static struct ivshmem_format *ivshmem_region_read(struct ivshmem_device *ivd)
{
	struct ivregion_superblock __ivshmem *there = ivshmem_superblock(ivd);
	struct ivregion_superblock *copy = ivd->superblock;
	struct ivshmem_format *format = ivd->spare;
	unsigned int tries;

	if (ivshmem_load32(&there->magic) != IVREGION_MAGIC)
		return NULL;

	ivd->spare = NULL;
	if (!format)
		format = ivshmem_format_alloc();
	if (!format)
		return ERR_PTR(-ENOMEM);

	/* Who wrote a new one over it while it was copied has finished by then */
	for (tries = 0; tries < 2; tries++) {
		ivregion_read(there, copy);
		memset(&format->region, 0, sizeof(format->region));
		format->error = ivregion_parse(copy, ivd->mem_size,
					       &format->region);
		if (format->error != IVREGION_BAD_CHECKSUM)
			break;
	}
	format->major = ivshmem_from_le32(copy->major);

	if (format->error != IVREGION_NO_MAGIC &&
	    ivregion_intact(there, &format->region))
		return format;

	ivd->spare = format;
	return ivshmem_load32(&there->magic) == IVREGION_MAGIC ?
	       ERR_PTR(-EAGAIN) : NULL;
}

/*
 * Without @format programs get all of the memory, but only if it is @settled
 * that it has none.  The one who holds the reference to the old one drops it.
 */
static void ivshmem_region_publish(struct ivshmem_device *ivd,
				   struct ivshmem_format *format, bool settled)
{
	down_write(&ivd->lock);
	rcu_assign_pointer(ivd->format, format);
	WRITE_ONCE(ivd->settled, settled);
	ivd->revocations++;
	up_write(&ivd->lock);

	/* Faults of before may have mapped what is not for programs now */
	ivshmem_mmap_revoke(ivd);
	ivshmem_buffers_revoke(ivd);
	/* The section may be somebody else's now; the heartbeat waits, too */
	ivshmem_buffers_drain(ivd, IVSHMEM_DRAIN_FORMAT_MS);
	ivshmem_region_changed(ivd);
}

/**
 * ivshmem_region_empty() - no format is in force any more
 * @ivd: the device, not attached
 * @settled: there is none; otherwise perhaps one that is not attached
 *
 * Context: Process context, with the region's lock; may sleep.
 */
void ivshmem_region_empty(struct ivshmem_device *ivd, bool settled)
{
	if (ivshmem_format(ivd) || ivd->settled != settled)
		ivshmem_region_publish(ivd, NULL, settled);
}

/* Becomes a peer, and lets functions work; called with @region_lock */
static void ivshmem_region_enter(struct ivshmem_device *ivd,
				 struct ivshmem_format *format)
{
	u32 slot = ivshmem_choice_slot(ivd, &format->region);

	if (!ivshmem_memory_get(ivd))
		return;
	/* Nodes were made meanwhile: it may be another's; the next look begins anew */
	if (!ivregion_intact(ivshmem_superblock(ivd), &format->region)) {
		ivshmem_memory_put(ivd);
		return;
	}
	format->entered = true;
	if (slot == IVSHMEM_AUTO_SLOT)
		ivshmem_choice_begin(ivd);
	ivshmem_peers_look(ivd, format);
	if (slot < IVREGION_SLOTS_MAX)
		ivshmem_peer_join(ivd, format, slot);
	ivshmem_memory_put(ivd);

	/* One that is chosen has them once it is one's own */
	if (slot < IVREGION_SLOTS_MAX)
		ivshmem_functions_add(ivd, format);
}

/* The reverse, while the format is in force */
static void ivshmem_region_leave(struct ivshmem_device *ivd,
				 struct ivshmem_format *format)
{
	ivshmem_functions_remove(format);
	format->entered = false;
	if (!ivshmem_memory_get(ivd))
		return;
	if (ivregion_intact(ivshmem_superblock(ivd), &format->region)) {
		ivshmem_peer_leave(ivd);
		ivshmem_peers_ring(ivd, format);
	}
	ivshmem_memory_put(ivd);
	ivshmem_peer_forget(ivd);
}

static void ivshmem_region_attach(struct ivshmem_device *ivd,
				  struct ivshmem_format *format)
{
	format->programs = ivshmem_programs(ivd, &format->region);
	atomic64_inc(&ivd->attaches);
	trace_ivshmem_attach(ivd->id, format->region.instance,
			     format->region.slots, format->region.nr_sections);
	if (format->region.read_only && __ratelimit(&ivd->refusal_limit))
		dev_warn(&ivd->dev,
			 "region can only be read: features 0x%x of version %u.%u, this driver knows %u.%u\n",
			 format->region.ro_compat & ~IVREGION_RO_KNOWN,
			 format->major, format->region.minor, IVREGION_MAJOR,
			 IVREGION_MINOR);

	ivshmem_region_publish(ivd, format, true);
	ivshmem_nodes_add(ivd, format);
	ivshmem_region_enter(ivd, format);
	ivshmem_region_changed(ivd);
}

/**
 * ivshmem_region_detach() - a format is not in force any more
 * @ivd: the device
 * @format: what it is attached to; the reference of those who attached is given up
 * @leave: it is still there: leave it
 *
 * Once it is gone nothing is written in its name but one word: where no magic
 * is, nobody uses the place of the own epoch, and who formats waits for it.
 *
 * Context: Process context, with the region's lock; may sleep.
 */
void ivshmem_region_detach(struct ivshmem_device *ivd,
			   struct ivshmem_format *format, bool leave)
{
	struct ivregion_superblock __ivshmem *there;

	if (leave)
		ivshmem_region_leave(ivd, format);

	trace_ivshmem_detach(ivd->id, format->region.instance);
	WRITE_ONCE(format->gone, true);
	ivshmem_region_publish(ivd, NULL, false);
	ivshmem_doorbell_hangup(ivd, format);
	ivshmem_functions_remove(format);

	if (ivshmem_memory_get(ivd)) {
		there = ivshmem_superblock(ivd);
		if (!ivshmem_load32(&there->magic))
			ivshmem_peer_leave(ivd);
		ivshmem_memory_put(ivd);
	}
	ivshmem_peer_forget(ivd);
	ivshmem_nodes_remove(format);
	ivshmem_format_put(format);
}

static void ivshmem_region_refuse(struct ivshmem_device *ivd,
				  struct ivshmem_format *format)
{
	struct ivshmem_format *old = ivshmem_format(ivd);
	char why[160];

	if (old && old->error == format->error &&
	    old->major == format->major &&
	    !memcmp(&old->region, &format->region, sizeof(format->region))) {
		ivd->spare = format;
		return;
	}

	ivshmem_region_publish(ivd, format, true);
	if (old)
		ivshmem_format_put(old);

	if (!__ratelimit(&ivd->refusal_limit))
		return;
	ivshmem_region_explain(format, why, sizeof(why));
	dev_warn(&ivd->dev, "region is refused: %s; format it anew\n", why);
}

/* Not attached: is there something to attach to?  @asked for: no limit */
static void ivshmem_region_find(struct ivshmem_device *ivd, bool asked)
{
	struct ivshmem_format *old = ivshmem_format(ivd);
	struct ivshmem_format *format;
	bool settled;

	if (!ivshmem_memory_get(ivd))
		return;
	format = ivshmem_region_read(ivd);
	ivshmem_memory_put(ivd);
	if (IS_ERR(format)) {
		/* One that is refused stays so */
		if (!old)
			ivshmem_region_empty(ivd, false);
		return;
	}
	settled = !format;

	if (format && format->error) {
		ivshmem_region_refuse(ivd, format);
		return;
	}
	/* Somebody formats again and again: wait and see */
	if (format && !asked && !__ratelimit(&ivd->attach_limit)) {
		ivd->spare = format;
		format = NULL;
	}

	if (format)
		ivshmem_region_attach(ivd, format);
	else
		ivshmem_region_empty(ivd, settled);
	if (old)
		ivshmem_format_put(old);
}

/*
 * Whether the server still gives the id that it gave when the format was joined.
 * After hibernation or migration it may give another one: the old slot is another
 * machine's then, and the new one may be the first that the region has.  True if
 * the device does not answer: it is dead then.
 */
static bool ivshmem_region_is_own_slot(struct ivshmem_device *ivd)
{
	u32 id;

	return !ivd->has_doorbell || ivd->self.given == IVSHMEM_NO_SLOT ||
	       ivshmem_device_peer_id(ivd, &id) || id == ivd->self.given;
}

/*
 * False if the superblock is right, and another one of the same instance: others have
 * read that, ours was there for a moment only.  One that is wrong changes nothing.
 */
static bool ivshmem_region_is_same(struct ivshmem_device *ivd,
				   const struct ivshmem_format *attached)
{
	struct ivshmem_format *format;
	bool same;

	if (ivregion_unchanged(ivshmem_superblock(ivd), ivd->superblock))
		return true;
	format = ivshmem_region_read(ivd);
	if (IS_ERR_OR_NULL(format)) {
		/* Not judged: the next look does not find it unchanged */
		ivd->superblock->magic = 0;
		return true;
	}

	same = format->error || !memcmp(&format->region, &attached->region,
					sizeof(format->region));
	ivd->spare = format;
	return same;
}

/* Attached: looks at superblock and peers; false if it is not in force */
static bool ivshmem_region_watch(struct ivshmem_device *ivd,
				 struct ivshmem_format *format)
{
	u32 before = ivd->self.slot;
	bool changed = false, intact;

	/* Nothing is written in the old slot; attached anew it has the right one */
	if (!ivshmem_region_is_own_slot(ivd))
		return false;
	/* Whoever kills the device takes functions and nodes away */
	if (!ivshmem_memory_get(ivd))
		return !READ_ONCE(ivd->dead);
	/* What could not be joined when it was attached is attached anew */
	intact = format->entered &&
		 ivregion_intact(ivshmem_superblock(ivd), &format->region) &&
		 ivshmem_region_is_same(ivd, format);
	if (intact)
		changed = ivshmem_peers_look(ivd, format);
	ivshmem_memory_put(ivd);

	/* Chosen, but another one's now: as if it had never been our own */
	if (before != IVSHMEM_NO_SLOT && ivd->self.place == IVSHMEM_NO_SLOT)
		return false;
	if (before == IVSHMEM_NO_SLOT && ivd->self.slot != IVSHMEM_NO_SLOT)
		ivshmem_functions_add(ivd, format);
	if (changed) {
		/* No lock is held that a client driver's could meet */
		ivshmem_functions_tell(format);
		ivshmem_region_changed(ivd);
	}

	return intact;
}

/**
 * ivshmem_region_look() - is the format still what it was, is there another one?
 * @ivd: the device
 * @asked: one is expected: attached however often they came and went
 *
 * Context: Process context, with the region's lock; may sleep.
 */
void ivshmem_region_look(struct ivshmem_device *ivd, bool asked)
{
	struct ivshmem_format *format = ivshmem_format(ivd);

	if (ivd->stopped)
		return;

	WRITE_ONCE(ivd->looked_at, jiffies);
	if (format && !format->error) {
		if (ivshmem_region_watch(ivd, format))
			return;
		ivshmem_region_detach(ivd, format, false);
	}
	ivshmem_region_find(ivd, asked);
}

static void ivshmem_region_beat(struct work_struct *work)
{
	struct ivshmem_device *ivd;
	unsigned int noio;

	ivd = container_of(to_delayed_work(work), struct ivshmem_device, beat);

	clear_bit(0, &ivd->beat_soon);
	/*
	 * Whoever rings from now on wants another look.  Pairs with the full
	 * barrier of test_and_set_bit() in ivshmem_region_rung().
	 */
	smp_mb__after_atomic();

	/* Reclaim may wait for a disk whose back end is noticed nowhere else */
	noio = memalloc_noio_save();
	mutex_lock(&ivd->region_lock);
	ivshmem_region_look(ivd, false);
	if (!ivd->stopped)
		queue_delayed_work(ivshmem_region_wq, &ivd->beat,
				   msecs_to_jiffies(IVPEER_BEAT_MS));
	mutex_unlock(&ivd->region_lock);
	memalloc_noio_restore(noio);
}

/**
 * ivshmem_region_rung() - somebody says that directory or format have changed
 * @ivd: the device
 *
 * Context: Any.  Any peer can call for it at any rate.
 */
void ivshmem_region_rung(struct ivshmem_device *ivd)
{
	unsigned long due, now = jiffies;

	if (test_and_set_bit(0, &ivd->beat_soon))
		return;

	due = READ_ONCE(ivd->looked_at) + msecs_to_jiffies(IVSHMEM_LOOK_MS);
	mod_delayed_work(ivshmem_region_wq, &ivd->beat,
			 time_before(now, due) ? due - now : 0);
}

/**
 * ivshmem_region_pause() - leave, until ivshmem_region_reenter()
 * @ivd: the device, attached or not
 *
 * Functions are gone; nodes of sections stay.  The region's lock is not given
 * back before it is joined again.
 *
 * Context: Process context, with the region's lock only; may sleep.
 */
void ivshmem_region_pause(struct ivshmem_device *ivd)
{
	struct ivshmem_format *format = ivshmem_format(ivd);

	if (format && !format->error && !ivd->stopped)
		ivshmem_region_leave(ivd, format);
}

/**
 * ivshmem_region_reenter() - leave, and join again if that may be
 * @ivd: the device, attached or not
 *
 * Context: Process context, with the region's lock only; may sleep.
 */
void ivshmem_region_reenter(struct ivshmem_device *ivd)
{
	struct ivshmem_format *format = ivshmem_format(ivd);

	if (!format || format->error || ivd->stopped)
		return;
	ivshmem_region_leave(ivd, format);
	ivshmem_region_enter(ivd, format);
	ivshmem_region_changed(ivd);
}

/**
 * ivshmem_region_reattach() - leave, and look at the region as if it were a new one
 * @ivd: the device, attached or not
 *
 * Nodes of sections go, too.
 *
 * Context: Process context, with the region's lock only; may sleep.
 */
void ivshmem_region_reattach(struct ivshmem_device *ivd)
{
	struct ivshmem_format *format = ivshmem_format(ivd);

	if (!format || format->error || ivd->stopped)
		return;
	ivshmem_region_detach(ivd, format, true);
	ivshmem_region_find(ivd, true);
}

/**
 * ivshmem_region_wait() - wait for a look that settles what programs may map
 * @ivd: the device
 *
 * Whoever opens the device as soon as it appears can then map it.  It may still
 * be unsettled afterwards, for as long as formats come and go.
 *
 * Context: Process context; may sleep, for seconds while it is formatted.
 * Return: 0 or -ERESTARTSYS.
 */
int ivshmem_region_wait(struct ivshmem_device *ivd)
{
	if (READ_ONCE(ivd->settled))
		return 0;
	if (mutex_lock_interruptible(&ivd->region_lock))
		return -ERESTARTSYS;
	mutex_unlock(&ivd->region_lock);
	return 0;
}

/**
 * ivshmem_region_start() - look at the memory, from now on
 * @ivd: the device, published
 *
 * Context: Process context, with the region's lock, held since before it was
 * published.
 */
void ivshmem_region_start(struct ivshmem_device *ivd)
{
	clear_bit(0, &ivd->beat_soon);
	/* Whoever rings from now on wants another look; pairs as in the beat */
	smp_mb__after_atomic();
	ivshmem_region_look(ivd, false);
	queue_delayed_work(ivshmem_region_wq, &ivd->beat,
			   msecs_to_jiffies(IVPEER_BEAT_MS));
}

/**
 * ivshmem_region_stop() - leave, and use the memory no more
 * @ivd: the device, whose registers, memory and interrupts are still there
 *
 * Functions and nodes of sections are gone when it returns.  May be called more
 * than once.
 */
void ivshmem_region_stop(struct ivshmem_device *ivd)
{
	struct ivshmem_format *format;

	mutex_lock(&ivd->region_lock);
	/* Not formatted any more it is nobody's: no fault maps it */
	down_write(&ivd->lock);
	ivd->stopped = true;
	up_write(&ivd->lock);

	format = ivshmem_format(ivd);
	if (format && !format->error)
		ivshmem_region_detach(ivd, format, true);
	mutex_unlock(&ivd->region_lock);
}

/**
 * ivshmem_region_exit() - end what ivshmem_region_rung() may have begun
 * @ivd: the device, whose interrupts are gone; it is stopped if it was not
 */
void ivshmem_region_exit(struct ivshmem_device *ivd)
{
	ivshmem_region_stop(ivd);
	cancel_delayed_work_sync(&ivd->beat);
}

/**
 * ivshmem_region_init() - prepare a new device
 * @ivd: the device
 *
 * Return: 0 or -ENOMEM; undone by ivshmem_region_free().
 */
int ivshmem_region_init(struct ivshmem_device *ivd)
{
	mutex_init(&ivd->region_lock);
	INIT_DELAYED_WORK(&ivd->beat, ivshmem_region_beat);
	/* Nobody looks before ivshmem_region_start(), however often it is rung */
	set_bit(0, &ivd->beat_soon);
	ivd->looked_at = jiffies;
	ivshmem_choice_init(ivd);
	ratelimit_state_init(&ivd->attach_limit, 60 * HZ, IVSHMEM_ATTACH_BURST);
	ratelimit_state_init(&ivd->refusal_limit, 60 * HZ,
			     IVSHMEM_REFUSAL_BURST);
	/* Lines that were left out are not worth a line */
	ratelimit_set_flags(&ivd->attach_limit, RATELIMIT_MSG_ON_RELEASE);
	ratelimit_set_flags(&ivd->refusal_limit, RATELIMIT_MSG_ON_RELEASE);

	ivd->superblock = kmalloc(sizeof(*ivd->superblock), GFP_KERNEL);
	return ivd->superblock ? 0 : -ENOMEM;
}

/**
 * ivshmem_region_free() - undo ivshmem_region_init()
 * @ivd: the device, which nobody uses any more
 */
void ivshmem_region_free(struct ivshmem_device *ivd)
{
	struct ivshmem_format *format;

	/* One that was refused, at most */
	format = rcu_dereference_protected(ivd->format, true);
	if (format)
		ivshmem_format_put(format);
	kfree(ivd->spare);
	kfree(ivd->superblock);
}

int ivshmem_region_register(void)
{
	/* Sleeps with the machine: the memory is not there then */
	ivshmem_region_wq = alloc_workqueue("ivshmem-region",
					    WQ_UNBOUND | WQ_FREEZABLE, 0);

	return ivshmem_region_wq ? 0 : -ENOMEM;
}

void ivshmem_region_unregister(void)
{
	destroy_workqueue(ivshmem_region_wq);
	ivshmem_functions_unregister();
}
