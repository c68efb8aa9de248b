// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions: the auxiliary devices that network and block drivers bind to, and
 * what these drivers call.  ivshmem.h describes the interface.
 */
#include <linux/auxiliary_bus.h>
#include <linux/idr.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>

#include "core.h"
#include "ivshmem.h"
#include "trace.h"

/**
 * struct ivshmem_function - a NET or BLK section in use
 * @auxdev: what a driver binds to; its release frees this structure
 * @rcu: frees it after the last interrupt that may have seen it
 * @ivd: the device, referenced; its registers and memory stay while a driver is
 *	 bound
 * @format: the format, referenced
 * @section: the section
 * @slot: own slot
 * @vector: own vector that is rung for the section
 * @lock: held while @ops->peer is called, and by who changes @ops
 * @ops: whom to tell, or NULL; RCU, changed under @lock
 * @priv: for them; changes only while @ops is NULL and no interrupt sees it
 */
struct ivshmem_function {
	struct auxiliary_device auxdev;
	struct rcu_head rcu;
	struct ivshmem_device *ivd;
	struct ivshmem_format *format;
	const struct ivregion_section *section;
	u32 slot;
	u32 vector;
	struct mutex lock;
	const struct ivshmem_function_ops __rcu *ops;
	void *priv;
};

/* For the names of devices of both types, which count from 0 */
static struct ida ivshmem_function_idas[] = {
	IDA_INIT(ivshmem_function_idas[0]),
	IDA_INIT(ivshmem_function_idas[1]),
};

static const char * const ivshmem_function_names[] = { "net", "blk" };

static unsigned int ivshmem_function_kind(const struct ivregion_section *section)
{
	return section->type == IVREGION_NET ? 0 : 1;
}

struct ivshmem_function *ivshmem_function_of(struct auxiliary_device *auxdev)
{
	return container_of(auxdev, struct ivshmem_function, auxdev);
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_of, IVSHMEM_NS);

int ivshmem_function_open(struct ivshmem_function *function,
			  const struct ivshmem_function_ops *ops, void *priv)
{
	int ret = 0;

	mutex_lock(&function->lock);
	if (rcu_access_pointer(function->ops)) {
		ret = -EBUSY;
	} else {
		function->priv = priv;
		rcu_assign_pointer(function->ops, ops);
	}
	mutex_unlock(&function->lock);

	return ret;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_open, IVSHMEM_NS);

void ivshmem_function_close(struct ivshmem_function *function)
{
	mutex_lock(&function->lock);
	RCU_INIT_POINTER(function->ops, NULL);
	/* An interrupt may still call it; the next one that opens may wait */
	synchronize_rcu();
	mutex_unlock(&function->lock);
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_close, IVSHMEM_NS);

const struct ivregion *
ivshmem_function_region(const struct ivshmem_function *function)
{
	return &function->format->region;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_region, IVSHMEM_NS);

const struct ivregion_section *
ivshmem_function_section(const struct ivshmem_function *function)
{
	return function->section;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_section, IVSHMEM_NS);

u32 ivshmem_function_slot(const struct ivshmem_function *function)
{
	return function->slot;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_slot, IVSHMEM_NS);

bool ivshmem_function_is_rung(const struct ivshmem_function *function)
{
	return function->ivd->nr_vectors;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_is_rung, IVSHMEM_NS);

bool ivshmem_function_intact(const struct ivshmem_function *function)
{
	return !READ_ONCE(function->format->gone);
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_intact, IVSHMEM_NS);

bool ivshmem_function_peer(struct ivshmem_function *function, u32 slot,
			   struct ivpeer *peer)
{
	if (slot >= function->format->region.slots)
		return false;

	ivshmem_peer_copy(function->format, slot, peer);
	return true;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_peer, IVSHMEM_NS);

void ivshmem_function_kick(struct ivshmem_function *function, u32 slot)
{
	struct ivshmem_device *ivd = function->ivd;
	u32 vectors;

	if (slot >= function->format->region.slots || !ivd->has_doorbell)
		return;
	vectors = READ_ONCE(function->format->vectors[slot]);
	if (vectors)
		ivshmem_doorbell_write(ivd, slot, min(function->section->vector,
						      vectors - 1));
}
EXPORT_SYMBOL_NS_GPL(ivshmem_function_kick, IVSHMEM_NS);

int ivshmem_link_init(struct ivshmem_function *function, u32 slot,
		      struct ivlink *link, struct ivlink_queue *queues)
{
	const struct ivregion *region = &function->format->region;

	if (slot >= region->slots || slot == function->slot)
		return -EINVAL;

	ivlink_init(link, function->ivd->mem, region, function->section,
		    function->slot, slot, queues);
	return 0;
}
EXPORT_SYMBOL_NS_GPL(ivshmem_link_init, IVSHMEM_NS);

void ivshmem_link_stop(struct ivshmem_function *function, u32 slot,
		       struct ivlink *link)
{
	const struct ivregion_superblock __ivshmem *there;

	there = (struct ivregion_superblock __ivshmem *)function->ivd->mem;
	/* The words of the link are others' by now, seen so or not yet */
	if (!ivshmem_function_intact(function) ||
	    !ivregion_intact(there, &function->format->region))
		link->state = IVLINK_DOWN;
	else if (ivlink_stop(link) & IVLINK_KICK)
		ivshmem_function_kick(function, slot);
}
EXPORT_SYMBOL_NS_GPL(ivshmem_link_stop, IVSHMEM_NS);

/**
 * ivshmem_functions_event() - a vector was rung
 * @ivd: the device
 * @vector: the vector
 *
 * Context: Any, within an RCU read-side critical section.
 */
void ivshmem_functions_event(struct ivshmem_device *ivd, u32 vector)
{
	const struct ivshmem_function_ops *ops;
	struct ivshmem_function *function;
	struct ivshmem_format *format;
	u32 i;

	format = rcu_dereference(ivd->format);
	for (i = 0; format && i < format->region.nr_sections; i++) {
		function = rcu_dereference(format->functions[i]);
		if (!function || function->vector != vector)
			continue;
		ops = rcu_dereference(function->ops);
		if (ops && ops->event)
			ops->event(function->priv);
	}
}

static struct ivshmem_function *
ivshmem_function_at(const struct ivshmem_format *format, u32 section)
{
	/* Changed by nobody else: the region's lock is held */
	return rcu_dereference_protected(format->functions[section], true);
}

static void ivshmem_function_tell(struct ivshmem_function *function)
{
	const struct ivshmem_format *format = function->format;
	const struct ivshmem_function_ops *ops;
	u32 slot;

	mutex_lock(&function->lock);
	ops = rcu_dereference_protected(function->ops,
					lockdep_is_held(&function->lock));
	for (slot = 0; ops && ops->peer && slot < format->region.slots; slot++) {
		if (format->events[slot])
			ops->peer(function->priv, slot, format->events[slot]);
	}
	mutex_unlock(&function->lock);
}

/**
 * ivshmem_functions_tell() - tell all functions what the last look has shown
 * @format: the format
 *
 * Context: Process context, with the region's lock only.
 */
void ivshmem_functions_tell(struct ivshmem_format *format)
{
	struct ivshmem_function *function;
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		function = ivshmem_function_at(format, i);
		if (function)
			ivshmem_function_tell(function);
	}
}

/* ivshmem_functions_exist() - whether somebody may use the memory; any format */
bool ivshmem_functions_exist(const struct ivshmem_format *format)
{
	u32 i;

	for (i = 0; format && i < format->region.nr_sections; i++) {
		if (rcu_access_pointer(format->functions[i]))
			return true;
	}

	return false;
}

static void ivshmem_function_release(struct device *dev)
{
	struct ivshmem_function *function;
	unsigned int kind;

	function = ivshmem_function_of(to_auxiliary_dev(dev));
	kind = ivshmem_function_kind(function->section);
	ida_free(&ivshmem_function_idas[kind], function->auxdev.id);
	put_device(&function->ivd->dev);
	ivshmem_format_put(function->format);
	kfree_rcu(function, rcu);
}

/* What auxiliary_device_init() needs; a number is taken, nothing referenced */
static struct ivshmem_function *
ivshmem_function_alloc(struct ivshmem_device *ivd,
		       const struct ivregion_section *section)
{
	unsigned int kind = ivshmem_function_kind(section);
	struct ivshmem_function *function;
	int id;

	function = kzalloc(sizeof(*function), GFP_KERNEL);
	if (!function)
		return NULL;

	id = ida_alloc(&ivshmem_function_idas[kind], GFP_KERNEL);
	if (id < 0)
		goto err_free;

	function->auxdev.name = ivshmem_function_names[kind];
	function->auxdev.id = id;
	function->auxdev.dev.parent = &ivd->pdev->dev;
	function->auxdev.dev.release = ivshmem_function_release;
	if (auxiliary_device_init(&function->auxdev))
		goto err_ida;

	return function;

err_ida:
	ida_free(&ivshmem_function_idas[kind], id);
err_free:
	kfree(function);
	return NULL;
}

static int ivshmem_function_add(struct ivshmem_device *ivd,
				struct ivshmem_format *format, u32 index)
{
	const struct ivregion_section *section = &format->region.sections[index];
	struct ivshmem_function *function;
	int ret;

	function = ivshmem_function_alloc(ivd, section);
	if (!function)
		return -ENOMEM;

	get_device(&ivd->dev);
	kref_get(&format->ref);
	function->ivd = ivd;
	function->format = format;
	function->section = section;
	function->slot = ivd->self.slot;
	function->vector = ivd->nr_vectors ?
			   min(section->vector, ivd->nr_vectors - 1) : 0;
	mutex_init(&function->lock);

	/* A driver that binds at once wants interrupts */
	rcu_assign_pointer(format->functions[index], function);
	ret = auxiliary_device_add(&function->auxdev);
	if (!ret)
		return 0;

	RCU_INIT_POINTER(format->functions[index], NULL);
	auxiliary_device_uninit(&function->auxdev);
	return ret;
}

/**
 * ivshmem_functions_add() - make a device for each section that is not for programs
 * @ivd: the device, joined
 * @format: its format
 *
 * A section that none can be made for is reported, and left out.
 *
 * Context: Process context, with the region's lock only: drivers bind.
 */
void ivshmem_functions_add(struct ivshmem_device *ivd,
			   struct ivshmem_format *format)
{
	const struct ivregion_section *section;
	int ret;
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		section = &format->region.sections[i];
		if (!section->usable || format->programs & BIT(i))
			continue;
		ret = ivshmem_function_add(ivd, format, i);
		if (ret && __ratelimit(&ivd->refusal_limit))
			dev_err(&ivd->dev, "no device for section %s (%d)\n",
				section->name, ret);
	}
}

static void ivshmem_functions_remove_some(struct ivshmem_format *format,
					  bool disks)
{
	struct ivshmem_function *function;
	bool disk;
	u32 i;

	for (i = 0; i < format->region.nr_sections; i++) {
		disk = format->region.sections[i].type == IVREGION_BLK;
		function = ivshmem_function_at(format, i);
		if (!function || disk != disks)
			continue;
		auxiliary_device_delete(&function->auxdev);
		RCU_INIT_POINTER(format->functions[i], NULL);
		auxiliary_device_uninit(&function->auxdev);
	}
}

/**
 * ivshmem_functions_remove() - remove all devices of a format
 * @format: the format
 *
 * Disks first: who holds the RTNL, which a card waits for, may be waiting in a
 * page fault for what a disk has to read.
 *
 * Context: Process context, with the region's lock only: drivers unbind.
 */
void ivshmem_functions_remove(struct ivshmem_format *format)
{
	ivshmem_functions_remove_some(format, true);
	ivshmem_functions_remove_some(format, false);
}

void ivshmem_functions_unregister(void)
{
	unsigned int i;

	/* All that was freed by RCU */
	rcu_barrier();
	for (i = 0; i < ARRAY_SIZE(ivshmem_function_idas); i++)
		ida_destroy(&ivshmem_function_idas[i]);
}
