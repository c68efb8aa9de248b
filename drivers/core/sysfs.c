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
	struct ivshmem_device *ivd = to_ivd(dev);
	ssize_t ret;

	ret = ivshmem_rate_store(&ivd->ring_rate, buf, count);
	if (ret > 0)
		ivshmem_doorbell_forget(ivd);
	return ret;
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

/* Called with @ivd->lock held */
static int ivshmem_emit_region(struct ivshmem_device *ivd, char *buf)
{
	const struct ivshmem_format *format = ivshmem_format(ivd);
	u32 slot = READ_ONCE(ivd->self.slot);
	const char *choice;
	char text[160];
	int len;

	if (!format)
		return sysfs_emit(buf, "%s\n",
				  ivd->settled ? "unformatted" : "unsettled");
	if (format->error) {
		ivshmem_region_explain(format, text, sizeof(text));
		return sysfs_emit(buf, "refused: %s\n", text);
	}

	len = sysfs_emit(buf, "attached %u.%u instance 0x%08x slots %u slot ",
			 format->major, format->region.minor,
			 format->region.instance, format->region.slots);
	choice = ivshmem_choice_text(ivd);
	if (slot == IVSHMEM_NO_SLOT)
		len += sysfs_emit_at(buf, len, "none%s%s", choice ? " " : "",
				     choice ?: "");
	else
		len += sysfs_emit_at(buf, len, "%u", slot);
	if (format->region.read_only)
		len += sysfs_emit_at(buf, len, " read-only");
	return len + sysfs_emit_at(buf, len, "\n");
}

static ssize_t region_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	int len;

	down_read(&ivd->lock);
	len = ivshmem_emit_region(ivd, buf);
	up_read(&ivd->lock);

	return len;
}
static DEVICE_ATTR_RO(region);

static int ivshmem_emit_peer(struct ivshmem_format *format, u32 slot, char *buf,
			     int at)
{
	static const char * const states[] = {
		[IVPEER_ABSENT] = "absent",
		[IVPEER_ALIVE] = "alive",
		[IVPEER_SILENT] = "silent",
	};
	struct ivpeer peer;

	ivshmem_peer_copy(format, slot, &peer);
	if (peer.state == IVPEER_ABSENT)
		return 0;

	/* 64 lines of the longest fit into a page */
	return sysfs_emit_at(buf, at, "%u %s %08x %u %.39s\n", slot,
			     states[peer.state], peer.epoch, peer.vectors,
			     peer.name);
}

static ssize_t peers_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	struct ivshmem_format *format;
	int len = 0;
	u32 slot;

	down_read(&ivd->lock);
	format = ivshmem_format(ivd);
	if (format && !format->error) {
		for (slot = 0; slot < format->region.slots; slot++)
			len += ivshmem_emit_peer(format, slot, buf, len);
	}
	up_read(&ivd->lock);

	return len;
}
static DEVICE_ATTR_RO(peers);

static int ivshmem_emit_section(const struct ivregion_section *section,
				char *buf, int at)
{
	static const char * const types[] = {
		[IVREGION_RAW] = "raw",
		[IVREGION_NET] = "net",
		[IVREGION_BLK] = "blk",
	};

	return sysfs_emit_at(buf, at, "%s %s %llu %llu %u %u %u\n",
			     section->name,
			     section->usable ? types[section->type] : "unknown",
			     section->offset, section->size, section->vector,
			     section->queues, section->ring_size);
}

static ssize_t sections_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	const struct ivshmem_format *format;
	int len = 0;
	u32 i;

	down_read(&ivd->lock);
	format = ivshmem_format(ivd);
	if (format && !format->error) {
		for (i = 0; i < format->region.nr_sections; i++)
			len += ivshmem_emit_section(&format->region.sections[i],
						    buf, len);
	}
	up_read(&ivd->lock);

	return len;
}
static DEVICE_ATTR_RO(sections);

static ssize_t slot_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	u32 slot = ivd->has_doorbell ? READ_ONCE(ivd->self.slot) :
				       READ_ONCE(ivd->self.wanted);

	if (slot == IVSHMEM_NO_SLOT)
		return sysfs_emit(buf, "none\n");
	if (slot == IVSHMEM_AUTO_SLOT)
		return sysfs_emit(buf, "auto\n");
	return sysfs_emit(buf, "%u\n", slot);
}

static ssize_t slot_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	u32 slot = IVSHMEM_NO_SLOT;
	int ret;

	/* The server's word, not the administrator's */
	if (to_ivd(dev)->has_doorbell)
		return -EOPNOTSUPP;
	if (sysfs_streq(buf, "auto")) {
		slot = IVSHMEM_AUTO_SLOT;
	} else if (!sysfs_streq(buf, "none")) {
		ret = kstrtou32(buf, 0, &slot);
		if (ret)
			return ret;
		if (slot >= IVREGION_SLOTS_MAX)
			return -EINVAL;
	}

	ivshmem_region_set_slot(to_ivd(dev), slot);
	return count;
}
static DEVICE_ATTR_RW(slot);

static ssize_t programs_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	int len;

	mutex_lock(&ivd->region_lock);
	len = sysfs_emit(buf, "%s\n", ivd->programs);
	mutex_unlock(&ivd->region_lock);

	return len;
}

/* Any white space separates names: a single space is what is kept */
static ssize_t programs_store(struct device *dev, struct device_attribute *attr,
			      const char *buf, size_t count)
{
	char *rest, *word, *copy, *names;
	int ret;

	copy = kstrndup(buf, count, GFP_KERNEL);
	names = kzalloc(count + 1, GFP_KERNEL);
	ret = copy && names ? 0 : -ENOMEM;
	for (rest = copy; !ret && (word = strsep(&rest, " \t\n")); ) {
		if (!*word)
			continue;
		if (*names)
			strcat(names, " ");
		strcat(names, word);
	}
	if (!ret)
		ret = ivshmem_region_set_programs(to_ivd(dev), names);
	kfree(names);
	kfree(copy);

	return ret ?: count;
}
static DEVICE_ATTR_RW(programs);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct ivshmem_device *ivd = to_ivd(dev);
	int len;

	mutex_lock(&ivd->region_lock);
	len = sysfs_emit(buf, "%s\n", ivd->self.given_name);
	mutex_unlock(&ivd->region_lock);

	return len;
}

static ssize_t name_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	size_t length = count;
	int ret;

	if (length && buf[length - 1] == '\n')
		length--;
	ret = ivshmem_peer_set_name(to_ivd(dev), buf, length);

	return ret ?: count;
}
static DEVICE_ATTR_RW(name);

static struct attribute *ivshmem_attrs[] = {
	&dev_attr_peer_id.attr,
	&dev_attr_vectors.attr,
	&dev_attr_memory_size.attr,
	&dev_attr_revision.attr,
	&dev_attr_cache_mode.attr,
	&dev_attr_ring_rate.attr,
	&dev_attr_irq_rate.attr,
	&dev_attr_region.attr,
	&dev_attr_peers.attr,
	&dev_attr_sections.attr,
	&dev_attr_slot.attr,
	&dev_attr_name.attr,
	&dev_attr_programs.attr,
	NULL
};

static const struct attribute_group ivshmem_group = {
	.attrs = ivshmem_attrs,
};

const struct attribute_group *ivshmem_groups[] = {
	&ivshmem_group,
	NULL
};

/* Constant for the life of a node, so that no lock is needed */
static const struct ivregion_section *to_section(struct device *dev)
{
	return container_of(dev, struct ivshmem_node, dev)->section;
}

static ssize_t section_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%s\n", to_section(dev)->name);
}
static DEVICE_ATTR_RO(section);

static ssize_t offset_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%llu\n", to_section(dev)->offset);
}
static DEVICE_ATTR_RO(offset);

static ssize_t size_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%llu\n", to_section(dev)->size);
}
static DEVICE_ATTR_RO(size);

static ssize_t vector_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%u\n", to_section(dev)->vector);
}
static DEVICE_ATTR_RO(vector);

static struct attribute *ivshmem_node_attrs[] = {
	&dev_attr_section.attr,
	&dev_attr_offset.attr,
	&dev_attr_size.attr,
	&dev_attr_vector.attr,
	NULL
};

static const struct attribute_group ivshmem_node_group = {
	.attrs = ivshmem_node_attrs,
};

const struct attribute_group *ivshmem_node_groups[] = {
	&ivshmem_node_group,
	NULL
};
