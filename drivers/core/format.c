// SPDX-License-Identifier: GPL-2.0-only
/*
 * Formatting: writing a superblock, or erasing the one that is there.
 *
 * A format that is taken away has users, in this kernel and in others.  Unless
 * that is forced, nothing is written while others are there; if it is, they are
 * given time to leave.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "core.h"

/* After this a look at the directory has shown who is there */
#define IVSHMEM_KNOWN_MS	(3 * IVPEER_BEAT_MS)
/* How long peers are given to leave a format that is taken away */
#define IVSHMEM_LEAVE_MS	2000
#define IVSHMEM_LEAVE_STEP_MS	20

enum ivshmem_others {
	IVSHMEM_ALONE,
	IVSHMEM_PERHAPS,	/* somebody's words are there; do they change? */
	IVSHMEM_THERE,
};

/* Called with @region_lock, the format attached */
static enum ivshmem_others
ivshmem_region_others(struct ivshmem_device *ivd,
		      const struct ivshmem_format *format)
{
	enum ivshmem_others others = IVSHMEM_ALONE;
	const struct ivpeer *peer;
	u32 slot;

	for (slot = 0; slot < format->region.slots; slot++) {
		peer = &format->peers[slot];
		if (slot == ivd->self.place)
			continue;
		if (peer->state != IVPEER_ABSENT)
			return IVSHMEM_THERE;
		if (peer->epoch)
			others = IVSHMEM_PERHAPS;
	}

	return others;
}

/* Refused because it is newer than this driver: others may well use it */
static bool ivshmem_format_is_foreign(const struct ivshmem_format *format)
{
	return format->error == IVREGION_BAD_MAJOR ||
	       format->error == IVREGION_BAD_INCOMPAT;
}

/*
 * May the region be formatted?  -EAGAIN: it will be known soon.  Called with
 * @region_lock.
 */
static int ivshmem_format_admit(struct ivshmem_file *file, u32 flags,
				unsigned long since)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_format *format;

	if (ivd->stopped)
		return -ENODEV;
	/* The limit of formats that come and go is not lifted for just anybody */
	ivshmem_region_look(ivd, file->privileged);
	format = ivshmem_format(ivd);
	if (!format)
		return ivd->settled || file->privileged ? 0 : -EPERM;
	if (!file->privileged)
		return -EPERM;
	if (flags & IVSHMEM_FORMAT_FORCE)
		return 0;
	if (format->error)
		return ivshmem_format_is_foreign(format) ? -EBUSY : 0;

	switch (ivshmem_region_others(ivd, format)) {
	case IVSHMEM_THERE:
		return -EBUSY;
	case IVSHMEM_PERHAPS:
		return time_after(jiffies, since +
				  msecs_to_jiffies(IVSHMEM_KNOWN_MS)) ?
		       0 : -EAGAIN;
	default:
		return 0;
	}
}

/* Until nobody is in the old directory, or for long enough */
static int ivshmem_format_wait(struct ivshmem_device *ivd, u32 slots)
{
	unsigned int tries;
	bool there;
	u32 slot;

	for (tries = 0; tries < IVSHMEM_LEAVE_MS / IVSHMEM_LEAVE_STEP_MS;
	     tries++) {
		if (!ivshmem_memory_get(ivd))
			return -ENODEV;
		there = !slots;
		for (slot = 0; slot < slots && !there; slot++)
			there = ivshmem_peer_epoch(ivd, slot);
		ivshmem_memory_put(ivd);
		if (!there)
			return 0;
		if (msleep_interruptible(IVSHMEM_LEAVE_STEP_MS))
			return -EINTR;
	}

	return 0;
}

/* The old format goes, for all; called with @region_lock */
static int ivshmem_format_erase(struct ivshmem_device *ivd, bool force)
{
	struct ivshmem_format *old = ivshmem_format(ivd);
	bool wait = false;
	u32 slots = 0;
	int ret = 0;

	if (old) {
		kref_get(&old->ref);
		if (!old->error) {
			slots = old->region.slots;
			wait = ivshmem_region_others(ivd, old);
			ivshmem_region_detach(ivd, old, true);
		} else {
			/* Somebody may use it who understands it */
			wait = force;
		}
	} else {
		/* Programs have had all of it */
		ivshmem_region_empty(ivd, false);
	}

	if (ivshmem_memory_get(ivd)) {
		ivregion_erase(ivshmem_superblock(ivd));
		if (old)
			ivshmem_peers_ring(ivd, old);
		ivshmem_memory_put(ivd);
	} else {
		ret = -ENODEV;
	}

	if (!ret && wait && force)
		ret = ivshmem_format_wait(ivd, slots);
	if (old)
		ivshmem_format_put(old);
	return ret;
}

/* Called with @region_lock */
static int ivshmem_format_write(struct ivshmem_device *ivd,
				const struct ivregion_superblock *superblock,
				const struct ivregion *region)
{
	if (!ivshmem_memory_get(ivd))
		return -ENODEV;
	ivregion_write(ivd->mem, superblock, region);
	ivshmem_memory_put(ivd);
	return 0;
}

/* Called with @region_lock */
static bool ivshmem_format_is_attached(struct ivshmem_device *ivd,
				       const struct ivregion *region)
{
	const struct ivshmem_format *format = ivshmem_format(ivd);

	return format && !format->error &&
	       format->region.instance == region->instance;
}

/* Waits until it is known who is there; returns 0 with @region_lock held */
static int ivshmem_format_lock(struct ivshmem_file *file, u32 flags)
{
	struct ivshmem_device *ivd = file->ivd;
	unsigned long since = jiffies;
	int ret;

	for (;;) {
		if (mutex_lock_interruptible(&ivd->region_lock))
			return -EINTR;
		ret = ivshmem_format_admit(file, flags, since);
		if (!ret)
			return 0;
		mutex_unlock(&ivd->region_lock);
		if (ret != -EAGAIN)
			return ret;
		if (msleep_interruptible(IVPEER_BEAT_MS / 4))
			return -EINTR;
	}
}

/**
 * ivshmem_region_format() - format the region, or erase its format
 * @file: who asks
 * @arg: flags; filled in with what is wrong with the superblock
 * @superblock: private memory; NULL to erase
 *
 * After -EINTR or -ENODEV the region may be left unformatted.
 *
 * Context: Process context; may sleep, for seconds.
 * Return: 0, -EINVAL (the superblock is wrong, see @arg; or its instance is
 * that of the present format), -EPERM (there is a format, or may be, and the
 * caller has no right to change it), -EBUSY (others are there, or may be: the format is a
 * newer one), -EINTR, -ENODEV (device
 * gone), -EIO (it was written, but is not attached: somebody else has changed
 * it, or memory was short), -EOPNOTSUPP (mapped write-combining), -ENOMEM.
 */
int ivshmem_region_format(struct ivshmem_file *file,
			  struct ivshmem_ioc_format *arg,
			  struct ivregion_superblock *superblock)
{
	bool force = arg->flags & IVSHMEM_FORMAT_FORCE;
	struct ivshmem_device *ivd = file->ivd;
	struct ivregion *region = NULL;
	struct ivshmem_format *old;
	int ret = 0;

	if (superblock) {
		region = kzalloc(sizeof(*region), GFP_KERNEL);
		if (!region)
			return -ENOMEM;
		superblock->magic = ivshmem_to_le32(IVREGION_MAGIC);
		arg->error = ivregion_parse(superblock, ivd->mem_size, region);
		arg->failed = arg->error ? region->failed : 0;
		ret = arg->error ? -EINVAL : 0;
	}
	if (!ret)
		ret = ivshmem_format_lock(file, arg->flags);
	if (ret)
		goto out_free;

	/* The magic would not be sure to be written last */
	if (!ivshmem_cache_is_ordered(ivd))
		ret = -EOPNOTSUPP;
	/* By its instance peers see that it is another one */
	old = ivshmem_format(ivd);
	if (!ret && region && old && old->region.instance == region->instance)
		ret = -EINVAL;
	if (!ret)
		ret = ivshmem_format_erase(ivd, force);
	if (!ret && region)
		ret = ivshmem_format_write(ivd, superblock, region);
	ivshmem_region_look(ivd, true);
	if (!ret && region && !ivshmem_format_is_attached(ivd, region))
		ret = -EIO;
	mutex_unlock(&ivd->region_lock);

out_free:
	kfree(region);
	return ret;
}
