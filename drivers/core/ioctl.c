// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of the region: its format, its sections, its peers, and formatting
 * it.
 */
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "core.h"

static_assert((int)IVPEER_ABSENT == IVSHMEM_PEER_ABSENT);
static_assert((int)IVPEER_ALIVE == IVSHMEM_PEER_ALIVE);
static_assert((int)IVPEER_SILENT == IVSHMEM_PEER_SILENT);

/* Called with @ivd->lock held */
static void ivshmem_fill_region(struct ivshmem_device *ivd,
				struct ivshmem_ioc_region *arg)
{
	const struct ivshmem_format *format = ivshmem_format(ivd);
	const struct ivregion *region;

	arg->slot = IVSHMEM_NO_SLOT;
	if (!format) {
		arg->state = ivd->settled ? IVSHMEM_REGION_UNFORMATTED :
					    IVSHMEM_REGION_UNSETTLED;
		return;
	}

	region = &format->region;
	arg->state = IVSHMEM_REGION_REFUSED;
	arg->error = format->error;
	arg->failed = format->error ? region->failed : 0;
	arg->major = format->major;
	arg->minor = region->minor;
	arg->compat = region->compat;
	arg->ro_compat = region->ro_compat;
	arg->incompat = region->incompat;
	arg->instance = region->instance;
	arg->slots = region->slots;
	arg->sections = region->nr_sections;
	memcpy(arg->uuid, region->uuid, sizeof(arg->uuid));
	if (format->error)
		return;

	arg->state = IVSHMEM_REGION_ATTACHED;
	arg->attributes = region->read_only ? IVSHMEM_REGION_READ_ONLY : 0;
	arg->slot = READ_ONCE(ivd->self.slot);
	/* The one of a claim is nobody's yet */
	if (arg->slot != IVSHMEM_NO_SLOT)
		arg->epoch = READ_ONCE(ivd->self.epoch);
}

int ivshmem_ioctl_region(struct ivshmem_file *file, void __user *uarg)
{
	struct ivshmem_device *ivd = file->ivd;
	struct ivshmem_ioc_region arg;
	u32 usize;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	/* First: what changes meanwhile is a change that was not seen */
	arg.changes = atomic64_read(&ivd->changes);
	down_read(&ivd->lock);
	ivshmem_fill_region(ivd, &arg);
	up_read(&ivd->lock);

	if (copy_to_user(uarg, &arg, sizeof(arg)))
		return -EFAULT;
	atomic64_set(&file->changes, arg.changes);
	return 0;
}

/* Called with @ivd->lock held */
static int ivshmem_fill_section(struct ivshmem_file *file,
				struct ivshmem_ioc_section *arg)
{
	const struct ivshmem_format *format = ivshmem_format(file->ivd);
	const struct ivregion_section *section;

	if (!format || format->error ||
	    arg->index >= format->region.nr_sections)
		return -ENOENT;

	arg->index = array_index_nospec(arg->index, format->region.nr_sections);
	section = &format->region.sections[arg->index];
	arg->type = section->type;
	arg->offset = section->offset;
	arg->length = section->size;
	arg->vector = section->vector;
	arg->queues = section->queues;
	arg->ring_size = section->ring_size;
	if (section->usable)
		arg->attributes |= IVSHMEM_SECTION_USABLE;
	if (file->section_node && file->section_node->section == section)
		arg->attributes |= IVSHMEM_SECTION_NODE;
	strscpy(arg->name, section->name, sizeof(arg->name));
	return 0;
}

int ivshmem_ioctl_section(struct ivshmem_file *file, void __user *uarg)
{
	struct ivshmem_ioc_section arg;
	u32 usize, index;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;

	index = arg.index;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.index = index;
	down_read(&file->ivd->lock);
	ret = ivshmem_fill_section(file, &arg);
	up_read(&file->ivd->lock);
	if (ret)
		return ret;

	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

/* Called with @ivd->lock held */
static int ivshmem_fill_peer(struct ivshmem_file *file,
			     struct ivshmem_ioc_peer *arg)
{
	struct ivshmem_format *format = ivshmem_format(file->ivd);
	struct ivpeer peer;

	if (!format || format->error || arg->slot >= format->region.slots)
		return -ENOENT;

	arg->slot = array_index_nospec(arg->slot, format->region.slots);
	ivshmem_peer_copy(format, arg->slot, &peer);
	arg->state = peer.state;
	arg->epoch = peer.epoch;
	arg->generation = peer.generation;
	arg->vectors = peer.vectors;
	arg->features = peer.features;
	arg->joins = peer.joins;
	strscpy(arg->name, peer.name, sizeof(arg->name));
	return 0;
}

int ivshmem_ioctl_peer(struct ivshmem_file *file, void __user *uarg)
{
	struct ivshmem_ioc_peer arg;
	u32 usize, slot;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags || arg.reserved)
		return -EINVAL;

	slot = arg.slot;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.slot = slot;
	down_read(&file->ivd->lock);
	ret = ivshmem_fill_peer(file, &arg);
	up_read(&file->ivd->lock);
	if (ret)
		return ret;

	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

int ivshmem_ioctl_format(struct ivshmem_file *file, void __user *uarg)
{
	struct ivregion_superblock *superblock = NULL;
	struct ivshmem_ioc_format arg;
	bool erase;
	u32 usize;
	int ret;

	ret = ivshmem_copy_arg(&arg, sizeof(arg), sizeof(arg), uarg, &usize);
	if (ret)
		return ret;
	if (arg.flags & ~(IVSHMEM_FORMAT_FORCE | IVSHMEM_FORMAT_ERASE) ||
	    arg.error || arg.failed)
		return -EINVAL;
	erase = arg.flags & IVSHMEM_FORMAT_ERASE;
	if (erase && arg.superblock)
		return -EINVAL;
	if (file->section_node)
		return -EOPNOTSUPP;

	if (!erase) {
		superblock = memdup_user(u64_to_user_ptr(arg.superblock),
					 sizeof(*superblock));
		if (IS_ERR(superblock))
			return PTR_ERR(superblock);
	}
	ret = ivshmem_region_format(file, &arg, superblock);
	kfree(superblock);
	/* What is wrong is told, too */
	if (ret && !arg.error)
		return ret;

	arg.size = sizeof(arg);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : ret;
}
