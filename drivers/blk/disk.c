// SPDX-License-Identifier: GPL-2.0-only
/* The block device that is made of what a back end says. */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "ivblk.h"

static const struct block_device_operations ivblk_fops = {
	.owner = THIS_MODULE,
};

static int ivblk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data,
			   unsigned int index)
{
	struct ivblk *ivblk = data;

	hctx->driver_data = &ivblk->queues[index];
	return 0;
}

static void ivblk_map_queues(struct blk_mq_tag_set *set)
{
	struct ivblk *ivblk = set->driver_data;
	unsigned int interrupts = ivblk->nr_queues - ivblk->nr_polled;

	set->map[HCTX_TYPE_DEFAULT].nr_queues = interrupts;
	blk_mq_map_queues(&set->map[HCTX_TYPE_DEFAULT]);
	if (!ivblk->nr_polled)
		return;
	set->map[HCTX_TYPE_READ].nr_queues = 0;
	set->map[HCTX_TYPE_POLL].nr_queues = ivblk->nr_polled;
	set->map[HCTX_TYPE_POLL].queue_offset = interrupts;
	blk_mq_map_queues(&set->map[HCTX_TYPE_POLL]);
}

static const struct blk_mq_ops ivblk_mq_ops = {
	.queue_rq = ivblk_queue_rq,
	.commit_rqs = ivblk_commit_rqs,
	.complete = ivblk_complete,
	.timeout = ivblk_timeout,
	.poll = ivblk_poll,
	.init_hctx = ivblk_init_hctx,
	.map_queues = ivblk_map_queues,
};

/* What is still there of the buffers when some requests are as long as can be */
static u32 ivblk_max_length(const struct ivblk *ivblk)
{
	u32 shared = ivblk_buffers_shared(ivblk);
	u32 good = max_t(u32, shared / 4,
			 min_t(u32, shared, IVBLK_LENGTH_GOOD));

	return round_down(min(ivblk->info.max_length, good), IVBLK_GRANULE);
}

/**
 * ivblk_depth() - how many requests of a queue may be without an answer
 * @ivblk: the disk
 *
 * Each has room in its ring, and each response.
 *
 * Context: Any.
 * Return: how many.
 */
unsigned int ivblk_depth(const struct ivblk *ivblk)
{
	const struct ivregion_section *section =
		ivshmem_function_section(ivblk->function);
	u32 room = ivregion_records_size(section) - IVBLK_RING_RESERVE;

	BUILD_BUG_ON(IVRING_SIZE_MIN <= 2 * IVBLK_RING_RESERVE);
	BUILD_BUG_ON(IVBLK_DEPTH_MAX > IVBLK_TAG_MASK);
	return min_t(u32, IVBLK_DEPTH_MAX,
		     room / ivring_total(sizeof(struct ivblk_request)));
}

static void ivblk_free_queue(struct ivblk_queue *queue)
{
	queue->depth = 0;
	kvfree(queue->table);
	queue->table = NULL;
	ivblk_buffers_destroy(queue);
}

static void ivblk_free_queues(struct ivblk *ivblk)
{
	unsigned int i;

	for (i = 0; i < ivblk->nr_queues; i++)
		ivblk_free_queue(&ivblk->queues[i]);
}

static int ivblk_alloc_queue(struct ivblk *ivblk, struct ivblk_queue *queue)
{
	unsigned int depth = ivblk_depth(ivblk);
	int ret;

	queue->polled = queue->index >= ivblk->nr_queues - ivblk->nr_polled;
	queue->table = kvcalloc(depth, sizeof(*queue->table), GFP_KERNEL);
	if (!queue->table)
		return -ENOMEM;
	ret = ivblk_buffers_create(queue);

	/* From here on the table is looked at */
	spin_lock_bh(&queue->lock);
	queue->depth = depth;
	spin_unlock_bh(&queue->lock);
	return ret;
}

static int ivblk_alloc_queues(struct ivblk *ivblk)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < ivblk->nr_queues; i++)
		ret = ivblk_alloc_queue(ivblk, &ivblk->queues[i]);
	return ret;
}

static int ivblk_alloc_tags(struct ivblk *ivblk)
{
	struct blk_mq_tag_set *tags = &ivblk->tags;

	tags->ops = &ivblk_mq_ops;
	tags->nr_hw_queues = ivblk->nr_queues;
	tags->nr_maps = ivblk->nr_polled ? HCTX_MAX_TYPES : 1;
	tags->queue_depth = ivblk_depth(ivblk);
	tags->numa_node = NUMA_NO_NODE;
	tags->cmd_size = sizeof(struct ivblk_command);
	tags->timeout = ivblk_request_timeout(ivblk);
	/* There is no seek to save, and who batches need not sort */
	tags->flags = IVSHMEM_MQ_MERGE | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	tags->driver_data = ivblk;
	return blk_mq_alloc_tag_set(tags);
}

static struct gendisk *ivblk_alloc_disk(struct ivblk *ivblk)
{
	const struct ivblk_disk *info = &ivblk->info;
	u32 extent = info->max_extent >> SECTOR_SHIFT;
	struct queue_limits limits = {
		.logical_block_size = info->block_size,
		.physical_block_size = info->physical_block_size,
		.io_min = info->physical_block_size,
		.max_hw_sectors = info->max_length >> SECTOR_SHIFT,
		/* They are copied, however many there are */
		.max_segments = USHRT_MAX,
		.max_segment_size = UINT_MAX,
	};
	struct gendisk *disk;

	if (info->features & IVBLK_DISCARD) {
		limits.max_hw_discard_sectors = extent;
		limits.discard_granularity = info->physical_block_size;
	}
	if (info->features & IVBLK_ZEROES)
		limits.max_write_zeroes_sectors = extent;

	disk = ivshmem_alloc_disk(&ivblk->tags, &limits,
				  info->features & IVBLK_FLUSH,
				  info->features & IVBLK_FUA, ivblk);
	if (IS_ERR(disk))
		return disk;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "ivblk%u", ivblk->id);
	disk->fops = &ivblk_fops;
	disk->private_data = ivblk;
	set_disk_ro(disk, info->features & IVBLK_READ_ONLY);
	set_capacity(disk, info->sectors);
	return disk;
}

/**
 * ivblk_disk_choose() - limit what a back end offers to what can be used
 * @ivblk: the disk, of which the block layer does not know yet
 *
 * Context: Process, with &ivblk.lock.
 */
void ivblk_disk_choose(struct ivblk *ivblk)
{
	struct ivblk_disk *info = &ivblk->info;

	info->max_length = ivblk_max_length(ivblk);
	info->queues = min(info->queues, ivblk->max_queues);
	ivblk->nr_queues = info->queues;
	ivblk->nr_polled = min(ivblk_poll_queues, ivblk->nr_queues - 1);
	if (ivblk->nr_polled < ivblk_poll_queues)
		dev_warn(ivblk->dev,
			 "%u instead of %u queues are polled: there are %u, and one is not; format the section with more\n",
			 ivblk->nr_polled, ivblk_poll_queues, ivblk->nr_queues);
}

/**
 * ivblk_disk_hold() - let nothing be submitted
 * @ivblk: the disk
 *
 * Nobody runs in ivblk_queue_rq() afterwards.
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_disk_hold(struct ivblk *ivblk)
{
	if (!ivblk->disk || ivblk->held)
		return;
	ivblk->held = true;
	blk_mq_quiesce_queue(ivblk->disk->queue);
}

/**
 * ivblk_disk_release() - the reverse
 * @ivblk: the disk
 *
 * Context: Process, with &ivblk.lock.
 */
void ivblk_disk_release(struct ivblk *ivblk)
{
	if (!ivblk->held)
		return;
	ivblk->held = false;
	blk_mq_unquiesce_queue(ivblk->disk->queue);
}

/**
 * ivblk_disk_pause() - let nothing be submitted, or let it again
 * @ivblk: the disk
 * @pause: whether the machine goes to sleep
 *
 * Beside ivblk_disk_hold().  What was submitted may be answered meanwhile.
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_disk_pause(struct ivblk *ivblk, bool pause)
{
	if (!ivblk->disk || ivblk->paused == pause)
		return;
	ivblk->paused = pause;
	if (pause)
		blk_mq_quiesce_queue(ivblk->disk->queue);
	else
		blk_mq_unquiesce_queue(ivblk->disk->queue);
}

/**
 * ivblk_disk_resize() - the size is perhaps another one
 * @ivblk: the disk
 * @sectors: its size
 *
 * Context: Process, with &ivblk.lock; may sleep.
 */
void ivblk_disk_resize(struct ivblk *ivblk, u64 sectors)
{
	/* That it is larger may be a lie, which is to keep no true one away */
	ivblk->info.sectors = min(ivblk->info.sectors, sectors);
	ivblk->sized_at = jiffies;
	set_capacity_and_notify(ivblk->disk, sectors);
}

/**
 * ivblk_request_timeout() - after how long a back end has to have answered
 * @ivblk: the disk
 *
 * Context: Any.
 * Return: jiffies; if requests wait for ever they say only how often it is looked.
 */
unsigned int ivblk_request_timeout(const struct ivblk *ivblk)
{
	unsigned int seconds = READ_ONCE(ivblk->reconnect_timeout);

	return (seconds ?: IVBLK_RECONNECT_SECONDS) * HZ;
}

/* All that there is before it can be seen; the caller undoes what was done */
static int ivblk_make_disk(struct ivblk *ivblk)
{
	struct gendisk *disk;
	int ret;

	ret = ivblk_alloc_queues(ivblk);
	if (ret)
		return ret;
	ret = ivblk_alloc_tags(ivblk);
	if (ret)
		return ret;
	disk = ivblk_alloc_disk(ivblk);
	if (IS_ERR(disk)) {
		blk_mq_free_tag_set(&ivblk->tags);
		return PTR_ERR(disk);
	}

	mutex_lock(&ivblk->lock);
	ivblk->disk = disk;
	ivblk->lost_at = jiffies;
	/* Until a session begins */
	if (!ivblk->dying)
		ivblk_disk_hold(ivblk);
	mutex_unlock(&ivblk->lock);
	ivblk_run(ivblk);
	return 0;
}

/**
 * ivblk_add_work() - make a block device
 * @work: of a disk, whose back end has come
 *
 * Adding it reads it, which may take as long as a back end does.
 *
 * Context: Process.
 */
void ivblk_add_work(struct work_struct *work)
{
	struct ivblk *ivblk = container_of(work, struct ivblk, add);
	int ret;

	ret = ivblk_make_disk(ivblk);
	if (!ret) {
		ret = device_add_disk(ivblk->dev, ivblk->disk,
				      ivblk_disk_groups);
		ivblk->added = !ret;
	}
	if (ret)
		dev_err(ivblk->dev,
			"no block device (%d): bind the driver again\n", ret);
}

/**
 * ivblk_disk_remove() - remove the block device, for good
 * @ivblk: the disk, all of whose requests fail, and whose works have ended
 *
 * Context: Process; may sleep.
 */
void ivblk_disk_remove(struct ivblk *ivblk)
{
	if (ivblk->added) {
		/* Who has it open or mounted hears of it; nothing is written back */
		blk_mark_disk_dead(ivblk->disk);
		del_gendisk(ivblk->disk);
	}
	if (ivblk->disk) {
		put_disk(ivblk->disk);
		blk_mq_free_tag_set(&ivblk->tags);
	}
	ivblk_free_queues(ivblk);
}
