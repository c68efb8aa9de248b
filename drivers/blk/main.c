// SPDX-License-Identifier: GPL-2.0-only
/* A disk for each BLK section whose back end comes. */
#include <linux/auxiliary_bus.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/pm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "ivblk.h"

unsigned int ivblk_poll_queues;
module_param_named(poll_queues, ivblk_poll_queues, uint, 0444);
MODULE_PARM_DESC(poll_queues, "queues of each disk for polled I/O, beside those with interrupts (default: 0)");

static unsigned int ivblk_reconnect_timeout = IVBLK_RECONNECT_SECONDS;
module_param_named(reconnect_timeout, ivblk_reconnect_timeout, uint, 0444);
MODULE_PARM_DESC(reconnect_timeout, "seconds that requests wait for a back end before they fail, 0 for ever (default: 60)");

/* What brings a disk back must not wait for memory that is to be written to it */
struct workqueue_struct *ivblk_wq;

/**
 * ivblk_run() - step the links soon
 * @ivblk: the disk
 *
 * Context: Any.
 */
void ivblk_run(struct ivblk *ivblk)
{
	mod_delayed_work(ivblk_wq, &ivblk->work, 0);
}

static void ivblk_look(struct ivblk *ivblk)
{
	struct ivblk_queue *queue;
	unsigned int i;

	/* On queue 0 the back end also says how large the disk is */
	for (i = 0; i < ivblk->max_queues; i++) {
		queue = &ivblk->queues[i];
		if (!queue->polled && (!i || READ_ONCE(queue->busy)))
			irq_poll_sched(&queue->iop);
	}
}

/* The section was rung; hard interrupt */
static void ivblk_event(void *priv)
{
	struct ivblk *ivblk = priv;

	atomic64_inc(&ivblk->doorbells);
	ivblk_look(ivblk);
	/* As often as time passes, however often peers ring */
	if (READ_ONCE(ivblk->unsettled) &&
	    time_after(jiffies, READ_ONCE(ivblk->kicked_at))) {
		WRITE_ONCE(ivblk->kicked_at, jiffies);
		ivblk_run(ivblk);
	}
}

static void ivblk_peer(void *priv, u32 slot, enum ivpeer_event event)
{
	ivblk_run(priv);
}

static const struct ivshmem_function_ops ivblk_function_ops = {
	.event = ivblk_event,
	.peer = ivblk_peer,
};

/* Where nobody can ring */
static void ivblk_timer(struct timer_list *timer)
{
	struct ivblk *ivblk = container_of(timer, struct ivblk, timer);

	ivblk_look(ivblk);
	mod_timer(&ivblk->timer, jiffies + 1);
}

/* The smallest ring with buffers for a page */
static u32 ivblk_least_ring(void)
{
	u32 size = 2 * IVRING_SIZE_MIN;

	while (size - max_t(u32, size / 16, IVRING_SIZE_MIN) < PAGE_SIZE)
		size *= 2;
	return size;
}

/* Whether the section has room for a disk; says what it would take if not */
static int ivblk_check_section(struct device *dev,
			       struct ivshmem_function *function)
{
	const struct ivregion_section *section =
		ivshmem_function_section(function);
	u32 slots = ivshmem_function_region(function)->slots;
	u64 least;

	if (section->ring_size >= ivblk_least_ring())
		return 0;
	least = slots * ivregion_outbox_size(slots, section->queues,
					     ivblk_least_ring());
	dev_err(dev, "section %s is too small for a disk with %u queues and %u slots: format it with %llu KiB or more, or with fewer of these\n",
		section->name, section->queues, slots,
		DIV_ROUND_UP_ULL(least, SZ_1K));
	return -ENOSPC;
}

static void ivblk_free(struct ivblk *ivblk)
{
	u32 slot;

	for (slot = 0; ivblk->links && slot < ivblk->nr_links; slot++)
		kvfree(ivblk->links[slot].queues);
	kvfree(ivblk->links);
	kvfree(ivblk->queues);
	kfree(ivblk);
}

static int ivblk_alloc_link(struct ivblk *ivblk, u32 slot)
{
	struct ivblk_link *link = &ivblk->links[slot];

	if (slot == ivblk->slot)
		return 0;
	link->queues = kvcalloc(ivshmem_function_section(ivblk->function)->queues,
				sizeof(*link->queues), GFP_KERNEL);
	if (!link->queues)
		return -ENOMEM;
	return ivshmem_link_init(ivblk->function, slot, &link->link,
				 link->queues);
}

static int ivblk_alloc_links(struct ivblk *ivblk)
{
	u32 slot;
	int ret = 0;

	ivblk->links = kvcalloc(ivblk->nr_links, sizeof(*ivblk->links),
				GFP_KERNEL);
	if (!ivblk->links)
		return -ENOMEM;
	for (slot = 0; !ret && slot < ivblk->nr_links; slot++)
		ret = ivblk_alloc_link(ivblk, slot);
	return ret;
}

static int ivblk_init_queues(struct ivblk *ivblk)
{
	struct ivblk_queue *queue;
	unsigned int i;

	ivblk->queues = kvcalloc(ivblk->max_queues, sizeof(*ivblk->queues),
				 GFP_KERNEL);
	if (!ivblk->queues)
		return -ENOMEM;
	for (i = 0; i < ivblk->max_queues; i++) {
		queue = &ivblk->queues[i];
		queue->ivblk = ivblk;
		queue->index = i;
		spin_lock_init(&queue->lock);
		irq_poll_init(&queue->iop, IVBLK_BUDGET, ivblk_irq_poll);
	}
	return 0;
}

static struct ivblk *ivblk_alloc(struct device *dev,
				 struct ivshmem_function *function)
{
	const struct ivregion_section *section =
		ivshmem_function_section(function);
	struct ivblk *ivblk;

	ivblk = kzalloc(sizeof(*ivblk), GFP_KERNEL);
	if (!ivblk)
		return NULL;

	ivblk->dev = dev;
	ivblk->function = function;
	ivblk->slot = ivshmem_function_slot(function);
	ivblk->nr_links = ivshmem_function_region(function)->slots;
	ivblk->buffers = ivregion_buffers_size(section);
	ivblk->max_queues = min_t(u64, section->queues,
				  (u64)num_possible_cpus() + ivblk_poll_queues);
	ivblk->kicked_at = jiffies;
	ivblk->news_at = jiffies;
	ivblk->poll_usecs = IVBLK_POLL_USECS;
	ivblk->reconnect_timeout = min_t(unsigned int, ivblk_reconnect_timeout,
					 IVBLK_RECONNECT_MAX);
	mutex_init(&ivblk->lock);
	INIT_DELAYED_WORK(&ivblk->work, ivblk_links_work);
	INIT_WORK(&ivblk->add, ivblk_add_work);
	timer_setup(&ivblk->timer, ivblk_timer, 0);
	if (ivblk_init_queues(ivblk) || ivblk_alloc_links(ivblk)) {
		ivblk_free(ivblk);
		return NULL;
	}
	return ivblk;
}

static void ivblk_start(struct ivblk *ivblk)
{
	ivblk_run(ivblk);
	if (!ivshmem_function_is_rung(ivblk->function))
		mod_timer(&ivblk->timer, jiffies + 1);
}

static int ivblk_probe(struct auxiliary_device *auxdev,
		       const struct auxiliary_device_id *id)
{
	struct ivshmem_function *function = ivshmem_function_of(auxdev);
	struct ivblk *ivblk;
	int ret;

	ret = ivblk_check_section(&auxdev->dev, function);
	if (ret)
		return ret;
	ivblk = ivblk_alloc(&auxdev->dev, function);
	if (!ivblk)
		return -ENOMEM;

	ivblk->id = auxdev->id;
	auxiliary_set_drvdata(auxdev, ivblk);
	ret = ivshmem_function_open(function, &ivblk_function_ops, ivblk);
	if (ret) {
		ivblk_free(ivblk);
		return ret;
	}
	ivblk_debugfs_add(ivblk);
	ivblk_start(ivblk);
	return 0;
}

/* Nothing of this waits for a peer */
static void ivblk_remove(struct auxiliary_device *auxdev)
{
	struct ivblk *ivblk = auxiliary_get_drvdata(auxdev);
	unsigned int i;

	ivshmem_function_close(ivblk->function);
	timer_delete_sync(&ivblk->timer);
	ivblk_debugfs_remove(ivblk);
	/* From here on all requests fail, those of the work that adds the disk too */
	ivblk_links_stop(ivblk);
	cancel_work_sync(&ivblk->add);
	ivblk_disk_remove(ivblk);
	/* Requests of the block layer may have asked for it until now */
	cancel_delayed_work_sync(&ivblk->work);
	for (i = 0; i < ivblk->max_queues; i++)
		irq_poll_disable(&ivblk->queues[i].iop);
	/* Who polled has said that it is done before it was: a softirq is a reader */
	synchronize_rcu();
	ivblk_free(ivblk);
}

/*
 * The memory stays, and so do sessions; peers take this kernel for silent.  The
 * core rings all vectors when the machine wakes up.
 */
static int ivblk_suspend(struct device *dev)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);

	mutex_lock(&ivblk->lock);
	ivblk->asleep = true;
	ivblk_disk_pause(ivblk, true);
	mutex_unlock(&ivblk->lock);
	timer_delete_sync(&ivblk->timer);
	cancel_delayed_work_sync(&ivblk->work);
	return 0;
}

static int ivblk_resume(struct device *dev)
{
	struct ivblk *ivblk = dev_get_drvdata(dev);

	mutex_lock(&ivblk->lock);
	ivblk->asleep = false;
	ivblk_disk_pause(ivblk, false);
	mutex_unlock(&ivblk->lock);
	ivblk_start(ivblk);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(ivblk_pm_ops, ivblk_suspend, ivblk_resume);

static const struct auxiliary_device_id ivblk_ids[] = {
	{ .name = "ivshmem.blk" },
	{ }
};
MODULE_DEVICE_TABLE(auxiliary, ivblk_ids);

static struct auxiliary_driver ivblk_driver = {
	.name = "blk",
	.id_table = ivblk_ids,
	.probe = ivblk_probe,
	.remove = ivblk_remove,
	.driver = {
		.dev_groups = ivblk_groups,
		.pm = pm_sleep_ptr(&ivblk_pm_ops),
	},
};

static int __init ivblk_init(void)
{
	int ret;

	ivblk_wq = alloc_workqueue("ivshmem-blk", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!ivblk_wq)
		return -ENOMEM;
	ivblk_debugfs_register();
	ret = auxiliary_driver_register(&ivblk_driver);
	if (ret)
		goto err_debugfs;
	return 0;

err_debugfs:
	ivblk_debugfs_unregister();
	destroy_workqueue(ivblk_wq);
	return ret;
}

static void __exit ivblk_exit(void)
{
	auxiliary_driver_unregister(&ivblk_driver);
	ivblk_debugfs_unregister();
	destroy_workqueue(ivblk_wq);
}

module_init(ivblk_init);
module_exit(ivblk_exit);

MODULE_DESCRIPTION("ivshmem: disks over shared memory");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(IVSHMEM_NS);
