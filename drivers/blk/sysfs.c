// SPDX-License-Identifier: GPL-2.0-only
/* Attributes of the section's device and of the disk; Documentation/ABI has them. */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/sysfs.h>

#include "ivblk.h"

static const char * const ivblk_state_names[] = {
	[IVBLK_NO_DISK] = "no-disk",
	[IVBLK_WAITING] = "waiting",
	[IVBLK_READY] = "ready",
	[IVBLK_FAILED] = "failed",
};

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);
	enum ivblk_state state;

	mutex_lock(&ivblk->lock);
	state = ivblk->state;
	mutex_unlock(&ivblk->lock);
	return sysfs_emit(buf, "%s\n", ivblk_state_names[state]);
}
static DEVICE_ATTR_RO(state);

static ssize_t back_end_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);
	int slot = -1;

	mutex_lock(&ivblk->lock);
	if (ivblk->active)
		slot = ivblk_link_slot(ivblk, ivblk->active);
	mutex_unlock(&ivblk->lock);
	return sysfs_emit(buf, "%d\n", slot);
}
static DEVICE_ATTR_RO(back_end);

static ssize_t reconnect_timeout_show(struct device *dev,
				      struct device_attribute *attr, char *buf)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(ivblk->reconnect_timeout));
}

static ssize_t reconnect_timeout_store(struct device *dev,
				       struct device_attribute *attr,
				       const char *buf, size_t count)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);
	unsigned int seconds;
	int ret;

	ret = kstrtouint(buf, 0, &seconds);
	if (ret)
		return ret;
	if (seconds > IVBLK_RECONNECT_MAX)
		return -ERANGE;

	mutex_lock(&ivblk->lock);
	WRITE_ONCE(ivblk->reconnect_timeout, seconds);
	if (ivblk->disk)
		blk_queue_rq_timeout(ivblk->disk->queue,
				     ivblk_request_timeout(ivblk));
	mutex_unlock(&ivblk->lock);
	return count;
}
static DEVICE_ATTR_RW(reconnect_timeout);

static ssize_t poll_usecs_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(ivblk->poll_usecs));
}

static ssize_t poll_usecs_store(struct device *dev,
				struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);
	unsigned int usecs;
	int ret;

	ret = kstrtouint(buf, 0, &usecs);
	if (ret)
		return ret;
	if (usecs > IVBLK_POLL_USECS_MAX)
		return -ERANGE;
	WRITE_ONCE(ivblk->poll_usecs, usecs);
	return count;
}
static DEVICE_ATTR_RW(poll_usecs);

static struct attribute *ivblk_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_back_end.attr,
	&dev_attr_reconnect_timeout.attr,
	&dev_attr_poll_usecs.attr,
	NULL
};

static const struct attribute_group ivblk_group = { .attrs = ivblk_attrs };

const struct attribute_group *ivblk_groups[] = { &ivblk_group, NULL };

/* Constant once there is a disk */
static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct ivblk *ivblk = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", ivblk->info.serial);
}
static DEVICE_ATTR_RO(serial);

static struct attribute *ivblk_disk_attrs[] = {
	&dev_attr_serial.attr,
	NULL
};

static const struct attribute_group ivblk_disk_group = {
	.attrs = ivblk_disk_attrs,
};

const struct attribute_group *ivblk_disk_groups[] = { &ivblk_disk_group, NULL };
