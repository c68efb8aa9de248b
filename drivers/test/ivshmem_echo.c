// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for the tests of links: binds to every function, brings up a link
 * with every peer, and sends each record back, its kind one larger.
 */
#include <linux/auxiliary_bus.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "ivshmem.h"

/* Records of a queue in one go; others want their turn */
#define ECHO_BATCH	64
#define ECHO_CHUNK	4096

/**
 * struct echo_link - the link to one peer
 * @link: the link
 * @queues: its rings
 * @echoed: records sent back
 */
struct echo_link {
	struct ivlink link;
	struct ivlink_queue *queues;
	u64 echoed;
};

/**
 * struct echo - one function
 * @function: the function
 * @work: does all there is to do, one run at a time
 * @lock: guards @links against who shows them
 * @closing: @work shall not come back
 * @bounce: private memory through which records pass
 * @slot: own slot
 * @nr_links: slots; the own one's link is not used
 * @links: one for each slot
 */
struct echo {
	struct ivshmem_function *function;
	struct delayed_work work;
	struct mutex lock;
	bool closing;
	void *bounce;
	u32 slot;
	u32 nr_links;
	struct echo_link links[];
};

static u32 echo_now(void)
{
	return ktime_to_ms(ktime_get());
}

/* From shared memory to shared memory, through private memory */
static void echo_copy(struct echo *echo, u8 __ivshmem *to,
		      const u8 __ivshmem *from, u32 length)
{
	u32 n;

	for (; length; length -= n, to += n, from += n) {
		n = min_t(u32, length, ECHO_CHUNK);
		ivshmem_copy_in(echo->bounce, from, n);
		ivshmem_copy_out(to, echo->bounce, n);
	}
}

/* One record; 0, or why there is none, or no room for its echo */
static int echo_record(struct echo *echo, struct ivlink_queue *queue)
{
	const void __ivshmem *payload;
	void __ivshmem *copy;
	u32 length, kind;
	int ret;

	ret = ivring_peek(&queue->rx, &payload, &length, &kind);
	if (ret)
		return ret;
	ret = ivring_reserve(&queue->tx, length, &copy);
	if (ret == -EAGAIN && ivring_want_space(&queue->tx, length))
		ret = ivring_reserve(&queue->tx, length, &copy);
	if (ret)
		return ret;

	echo_copy(echo, copy, payload, length);
	/* The largest kind is padding's */
	ivring_commit(&queue->tx, length,
		      kind + 1 == IVRING_KIND_PAD ? 0 : kind + 1);
	ivring_advance(&queue->rx);
	return 0;
}

/* Whether the peer is to be kicked; *again: there is more */
static bool echo_queue(struct echo *echo, struct echo_link *link,
		       struct ivlink_queue *queue, bool *again)
{
	unsigned int n;
	bool kick;
	int ret = 0;

	for (n = 0; n < ECHO_BATCH && !ret; n++) {
		ret = echo_record(echo, queue);
		if (!ret)
			link->echoed++;
	}

	kick = ivring_publish(&queue->tx);
	kick |= ivring_release(&queue->rx);
	if (!ret)
		*again = true;
	else if (ret == -EAGAIN && !queue->rx.total && !queue->rx.fault)
		*again |= ivring_want_data(&queue->rx) && !queue->rx.fault;
	return kick;
}

static void echo_serve(struct echo *echo, u32 slot, bool *again)
{
	struct echo_link *link = &echo->links[slot];
	bool kick = false;
	u32 i;

	for (i = 0; i < link->link.nr_queues; i++)
		kick |= echo_queue(echo, link, &link->queues[i], again);
	if (kick)
		ivshmem_function_kick(echo->function, slot);
}

/* Does what is due for a link; returns when to come back, in milliseconds */
static u32 echo_step(struct echo *echo, u32 slot)
{
	struct ivlink *link = &echo->links[slot].link;
	bool again = false;
	unsigned int events;
	struct ivpeer peer;

	ivshmem_function_peer(echo->function, slot, &peer);
	if (peer.state == IVPEER_ABSENT)
		ivshmem_link_stop(echo->function, slot, link);
	else if (peer.state == IVPEER_ALIVE)
		ivlink_start(link);

	events = ivlink_step(link, echo_now(), get_random_u32());
	if (events & IVLINK_KICK)
		ivshmem_function_kick(echo->function, slot);
	if (link->state == IVLINK_UP)
		echo_serve(echo, slot, &again);

	if (again)
		return 0;
	if (link->state == IVLINK_DOWN)
		return IVPEER_BEAT_MS;
	if (link->state == IVLINK_UP &&
	    ivshmem_function_is_rung(echo->function))
		return IVPEER_BEAT_MS;
	return IVLINK_STEP_MS;
}

static void echo_work(struct work_struct *work)
{
	struct echo *echo = container_of(to_delayed_work(work), struct echo,
					 work);
	u32 slot, next = IVPEER_BEAT_MS;

	mutex_lock(&echo->lock);
	for (slot = 0; slot < echo->nr_links; slot++) {
		/* What is there belongs to others by now */
		if (!ivshmem_function_intact(echo->function))
			break;
		if (slot != echo->slot)
			next = min(next, echo_step(echo, slot));
	}
	if (!echo->closing)
		schedule_delayed_work(&echo->work, msecs_to_jiffies(next));
	mutex_unlock(&echo->lock);
}

static void echo_event(void *priv)
{
	struct echo *echo = priv;

	mod_delayed_work(system_wq, &echo->work, 0);
}

static void echo_peer(void *priv, u32 slot, enum ivpeer_event event)
{
	echo_event(priv);
}

static const struct ivshmem_function_ops echo_ops = {
	.event = echo_event,
	.peer = echo_peer,
};

static ssize_t links_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	static const char * const states[] = {
		[IVLINK_DOWN] = "down", [IVLINK_ANNOUNCE] = "announce",
		[IVLINK_WAIT] = "wait", [IVLINK_UP] = "up",
	};
	struct echo *echo = dev_get_drvdata(dev);
	struct echo_link *link;
	int len = 0;
	u32 slot;

	mutex_lock(&echo->lock);
	for (slot = 0; slot < echo->nr_links; slot++) {
		link = &echo->links[slot];
		if (slot != echo->slot)
			len += sysfs_emit_at(buf, len, "%u %s %u %llu %d\n",
					     slot, states[link->link.state],
					     link->link.sessions, link->echoed,
					     link->link.reason);
	}
	mutex_unlock(&echo->lock);

	return len;
}
static DEVICE_ATTR_RO(links);

static struct attribute *echo_attrs[] = {
	&dev_attr_links.attr,
	NULL
};
ATTRIBUTE_GROUPS(echo);

static void echo_free(struct echo *echo)
{
	u32 slot;

	for (slot = 0; slot < echo->nr_links; slot++)
		kfree(echo->links[slot].queues);
	kfree(echo->bounce);
	kfree(echo);
}

static struct echo *echo_alloc(struct ivshmem_function *function)
{
	u32 nr = ivshmem_function_region(function)->slots;
	u32 queues = ivshmem_function_section(function)->queues;
	struct echo_link *link;
	struct echo *echo;
	u32 slot;

	echo = kzalloc(struct_size(echo, links, nr), GFP_KERNEL);
	if (!echo)
		return NULL;

	echo->function = function;
	echo->slot = ivshmem_function_slot(function);
	echo->nr_links = nr;
	mutex_init(&echo->lock);
	INIT_DELAYED_WORK(&echo->work, echo_work);
	echo->bounce = kmalloc(ECHO_CHUNK, GFP_KERNEL);
	if (!echo->bounce)
		goto err_free;

	for (slot = 0; slot < nr; slot++) {
		link = &echo->links[slot];
		if (slot == echo->slot)
			continue;
		link->queues = kcalloc(queues, sizeof(*link->queues),
				       GFP_KERNEL);
		if (!link->queues)
			goto err_free;
		ivshmem_link_init(function, slot, &link->link, link->queues);
	}

	return echo;

err_free:
	echo_free(echo);
	return NULL;
}

static int echo_probe(struct auxiliary_device *auxdev,
		      const struct auxiliary_device_id *id)
{
	struct ivshmem_function *function = ivshmem_function_of(auxdev);
	struct echo *echo = echo_alloc(function);
	int ret;

	if (!echo)
		return -ENOMEM;

	auxiliary_set_drvdata(auxdev, echo);
	ret = ivshmem_function_open(function, &echo_ops, echo);
	if (ret) {
		echo_free(echo);
		return ret;
	}

	/* Peers and records of before */
	echo_event(echo);
	return 0;
}

static void echo_remove(struct auxiliary_device *auxdev)
{
	struct echo *echo = auxiliary_get_drvdata(auxdev);
	u32 slot;

	ivshmem_function_close(echo->function);
	mutex_lock(&echo->lock);
	echo->closing = true;
	mutex_unlock(&echo->lock);
	cancel_delayed_work_sync(&echo->work);

	for (slot = 0; slot < echo->nr_links; slot++) {
		if (slot != echo->slot)
			ivshmem_link_stop(echo->function, slot,
					  &echo->links[slot].link);
	}
	echo_free(echo);
}

static const struct auxiliary_device_id echo_ids[] = {
	{ .name = "ivshmem.net" },
	{ .name = "ivshmem.blk" },
	{ }
};
MODULE_DEVICE_TABLE(auxiliary, echo_ids);

static struct auxiliary_driver echo_driver = {
	.name = "echo",
	.id_table = echo_ids,
	.probe = echo_probe,
	.remove = echo_remove,
	.driver.dev_groups = echo_groups,
};
module_auxiliary_driver(echo_driver);

MODULE_DESCRIPTION("ivshmem: sends back what peers send, for tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(IVSHMEM_NS);
