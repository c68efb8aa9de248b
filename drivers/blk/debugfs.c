// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/ivshmem_blk/ivblkN/state: for people who debug; not an ABI.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "ivblk.h"

static struct dentry *ivblk_debugfs_root;

static void ivblk_show_queue(struct seq_file *m, struct ivblk_queue *queue)
{
	struct ivblk_counters counters;
	unsigned int busy;

	spin_lock_bh(&queue->lock);
	counters = queue->counters;
	busy = queue->busy;
	spin_unlock_bh(&queue->lock);

	seq_printf(m, "queue %u: polled %d depth %u busy %u requests %llu responses %llu kicks %llu looks %llu replays %llu starved %llu spins %llu hits %llu\n",
		   queue->index, queue->polled, queue->depth, busy,
		   counters.requests, counters.responses, counters.kicks,
		   counters.looks, counters.replays, counters.starved,
		   counters.spins, counters.hits);
}

static int state_show(struct seq_file *m, void *unused)
{
	struct ivblk *ivblk = m->private;
	unsigned int i;

	mutex_lock(&ivblk->lock);
	seq_printf(m, "doorbells %lld\n", (s64)atomic64_read(&ivblk->doorbells));
	seq_printf(m, "sessions %llu\n", ivblk->sessions);
	seq_printf(m, "faults %llu\n", ivblk->faults);
	seq_printf(m, "failures %llu\n", ivblk->failures);
	if (ivblk->disk)
		for (i = 0; i < ivblk->nr_queues; i++)
			ivblk_show_queue(m, &ivblk->queues[i]);
	mutex_unlock(&ivblk->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

void ivblk_debugfs_add(struct ivblk *ivblk)
{
	char name[DISK_NAME_LEN];

	snprintf(name, sizeof(name), "ivblk%u", ivblk->id);
	ivblk->debugfs = debugfs_create_dir(name, ivblk_debugfs_root);
	debugfs_create_file("state", 0400, ivblk->debugfs, ivblk, &state_fops);
}

void ivblk_debugfs_remove(struct ivblk *ivblk)
{
	debugfs_remove(ivblk->debugfs);
}

void ivblk_debugfs_register(void)
{
	ivblk_debugfs_root = debugfs_create_dir("ivshmem_blk", NULL);
}

void ivblk_debugfs_unregister(void)
{
	debugfs_remove(ivblk_debugfs_root);
}
