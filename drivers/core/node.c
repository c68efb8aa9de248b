// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nodes of sections of programs, /dev/ivshmemN.NAME: they come and go with
 * a format.
 */
#include <linux/ratelimit.h>
#include <linux/slab.h>

#include "core.h"

static void ivshmem_node_release(struct device *dev)
{
	struct ivshmem_node *node = container_of(dev, struct ivshmem_node, dev);

	ivshmem_chardev_node_release(node);
	put_device(&node->ivd->dev);
	ivshmem_format_put(node->format);
	kfree(node);
}

static struct ivshmem_node *ivshmem_node_alloc(struct ivshmem_device *ivd)
{
	struct ivshmem_node *node;

	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return NULL;

	node->ivd = ivd;
	node->dev.release = ivshmem_node_release;
	if (ivshmem_chardev_node(node)) {
		kfree(node);
		return NULL;
	}

	return node;
}

static int ivshmem_node_add(struct ivshmem_device *ivd,
			    struct ivshmem_format *format, u32 index)
{
	struct ivshmem_node *node = ivshmem_node_alloc(ivd);
	int ret;

	if (!node)
		return -ENOMEM;

	get_device(&ivd->dev);
	kref_get(&format->ref);
	node->format = format;
	node->section = &format->region.sections[index];
	ret = dev_set_name(&node->dev, "ivshmem%d.%s", ivd->id,
			   node->section->name);
	if (!ret)
		ret = cdev_device_add(&node->cdev, &node->dev);
	if (ret) {
		put_device(&node->dev);
		return ret;
	}

	format->nodes[index] = node;
	return 0;
}

/**
 * ivshmem_nodes_add() - make a node for each section of programs
 * @ivd: the device
 * @format: its format, in force
 *
 * A section that none can be made for is reported, and left out.
 *
 * Context: Process context, with the region's lock only.
 */
void ivshmem_nodes_add(struct ivshmem_device *ivd,
		       struct ivshmem_format *format)
{
	const struct ivregion_section *section;
	int ret;
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		section = &format->region.sections[i];
		if (!(format->programs & BIT(i)))
			continue;
		ret = ivshmem_node_add(ivd, format, i);
		if (ret && __ratelimit(&ivd->refusal_limit))
			dev_err(&ivd->dev, "no node for section %s (%d)\n",
				section->name, ret);
	}
}

/**
 * ivshmem_nodes_remove() - remove all nodes of a format
 * @format: the format
 *
 * Their open files stay, and are dead.
 *
 * Context: Process context, with the region's lock only.
 */
void ivshmem_nodes_remove(struct ivshmem_format *format)
{
	struct ivshmem_node *node;
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		node = format->nodes[i];
		if (!node)
			continue;
		format->nodes[i] = NULL;
		cdev_device_del(&node->cdev, &node->dev);
		put_device(&node->dev);
	}
}
