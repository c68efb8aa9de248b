// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes below /sys/class/ivshmem/ivshmemN; described in
 * Documentation/ABI/testing/sysfs-class-ivshmem.
 */
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>
#include <linux/time64.h>

#include "core.h"

static struct ivshmem_device *to_ivd(struct device *dev)
{
	return container_of(dev, struct ivshmem_device, dev);
}

static ssize_t peer_id_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	u32 peer_id;
	int ret;

	ret = ivshmem_device_peer_id(to_ivd(dev), &peer_id);
	if (ret)
		return ret;

	return sysfs_emit(buf, "%u\n", peer_id);
}
static DEVICE_ATTR_RO(peer_id);

static ssize_t vectors_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%u\n", to_ivd(dev)->nr_vectors);
}
static DEVICE_ATTR_RO(vectors);

static ssize_t memory_size_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", (u64)to_ivd(dev)->mem_size);
}
static DEVICE_ATTR_RO(memory_size);

static ssize_t revision_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%u\n", to_ivd(dev)->revision);
}
static DEVICE_ATTR_RO(revision);

static ssize_t cache_mode_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	u32 mode = ivshmem_cache_effective(to_ivd(dev));

	return sysfs_emit(buf, "%s\n", ivshmem_cache_name(mode));
}

static ssize_t cache_mode_store(struct device *dev,
				struct device_attribute *attr, const char *buf,
				size_t count)
{
	static const u32 modes[] = {
		IVSHMEM_CACHE_WB, IVSHMEM_CACHE_WC, IVSHMEM_CACHE_UC,
	};
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!sysfs_streq(buf, ivshmem_cache_name(modes[i])))
			continue;
		ret = ivshmem_cache_set(to_ivd(dev), modes[i]);
		return ret ?: count;
	}

	return -EINVAL;
}
static DEVICE_ATTR_RW(cache_mode);

static ssize_t ivshmem_rate_store(unsigned int *rate, const char *buf,
				  size_t count)
{
	unsigned int new;
	int ret;

	ret = kstrtouint(buf, 0, &new);
	if (ret)
		return ret;
	if (new > NSEC_PER_SEC)
		return -EINVAL;

	WRITE_ONCE(*rate, new);
	return count;
}

static ssize_t ring_rate_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_ivd(dev)->ring_rate));
}

static ssize_t ring_rate_store(struct device *dev,
			       struct device_attribute *attr, const char *buf,
			       size_t count)
{
	return ivshmem_rate_store(&to_ivd(dev)->ring_rate, buf, count);
}
static DEVICE_ATTR_RW(ring_rate);

static ssize_t irq_rate_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_ivd(dev)->irq_rate));
}

static ssize_t irq_rate_store(struct device *dev,
			      struct device_attribute *attr, const char *buf,
			      size_t count)
{
	return ivshmem_rate_store(&to_ivd(dev)->irq_rate, buf, count);
}
static DEVICE_ATTR_RW(irq_rate);

static struct attribute *ivshmem_attrs[] = {
	&dev_attr_peer_id.attr,
	&dev_attr_vectors.attr,
	&dev_attr_memory_size.attr,
	&dev_attr_revision.attr,
	&dev_attr_cache_mode.attr,
	&dev_attr_ring_rate.attr,
	&dev_attr_irq_rate.attr,
	NULL
};

static const struct attribute_group ivshmem_group = {
	.attrs = ivshmem_attrs,
};

const struct attribute_group *ivshmem_groups[] = {
	&ivshmem_group,
	NULL
};
