// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/ivshmem/ivshmemN/state: for people who debug; not an ABI.
 */
#include <linux/debugfs.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>

#include "core.h"

static struct dentry *ivshmem_debugfs_root;

static void ivshmem_show_files(struct seq_file *m, struct ivshmem_device *ivd)
{
	struct ivshmem_file *file;

	rcu_read_lock();
	list_for_each_entry_rcu(file, &ivd->files, node)
		seq_printf(m, "file: privileged %d subscribed %*pbl\n",
			   file->privileged, (int)ivd->nr_vectors,
			   file->subscribed);
	rcu_read_unlock();
}

static void ivshmem_show_vectors(struct seq_file *m,
				 struct ivshmem_device *ivd)
{
	struct ivshmem_vector *vec;
	struct ivshmem_file *file;
	unsigned int bound;
	u32 i;

	for (i = 0; i < ivd->nr_vectors; i++) {
		vec = &ivd->vectors[i];
		bound = 0;
		rcu_read_lock();
		list_for_each_entry_rcu(file, &ivd->files, node)
			bound += !!rcu_access_pointer(file->vectors[i].eventfd);
		rcu_read_unlock();
		seq_printf(m, "vector %u: irq %d count %lld eventfds %u\n", i,
			   vec->irq, (s64)atomic64_read(&vec->count), bound);
	}
}

static void ivshmem_show_region(struct seq_file *m, struct ivshmem_device *ivd)
{
	struct ivshmem_format *format;

	mutex_lock(&ivd->region_lock);
	format = ivshmem_format(ivd);
	seq_printf(m, "format: %s functions %d attaches %lld changes %lld\n",
		   format ? ivregion_error_text(format->error) : "none",
		   ivshmem_functions_exist(format),
		   (s64)atomic64_read(&ivd->attaches),
		   (s64)atomic64_read(&ivd->changes));
	seq_printf(m, "choice: %d place %d prefer %d avoid %d\n",
		   ivd->self.choice, (int)ivd->self.place,
		   (int)ivd->self.prefer, (int)ivd->self.avoid);
	seq_printf(m, "self: slot %d epoch %08x heartbeat %u rejoins %lld rest %u ms\n",
		   (int)ivd->self.slot, ivd->self.epoch, ivd->self.heartbeat,
		   (s64)atomic64_read(&ivd->self.rejoins), ivd->self.rest);
	mutex_unlock(&ivd->region_lock);
}

static int state_show(struct seq_file *m, void *unused)
{
	struct ivshmem_device *ivd = m->private;

	seq_printf(m, "dead: %d\n", READ_ONCE(ivd->dead));
	seq_printf(m, "doorbell: %d\n", ivd->has_doorbell);
	seq_printf(m, "memory: %llu bytes at %pa, asked for %s, mapped %s\n",
		   (u64)ivd->mem_size, &ivd->mem_start,
		   ivshmem_cache_name(READ_ONCE(ivd->cache_mode)),
		   ivshmem_cache_name(ivshmem_cache_effective(ivd)));
	seq_printf(m, "mappings: %d\n", atomic_read(&ivd->mappings));
	seq_printf(m, "rung: %lld\n", (s64)atomic64_read(&ivd->rung));
	seq_printf(m, "throttled: %lld\n", (s64)atomic64_read(&ivd->throttled));
	seq_printf(m, "storms: %lld\n", (s64)atomic64_read(&ivd->storms));
	ivshmem_show_region(m, ivd);
	ivshmem_show_vectors(m, ivd);
	ivshmem_show_files(m, ivd);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

void ivshmem_debugfs_add(struct ivshmem_device *ivd)
{
	ivd->debugfs = debugfs_create_dir(dev_name(&ivd->dev),
					  ivshmem_debugfs_root);
	debugfs_create_file("state", 0400, ivd->debugfs, ivd, &state_fops);
}

void ivshmem_debugfs_remove(struct ivshmem_device *ivd)
{
	debugfs_remove(ivd->debugfs);
}

void ivshmem_debugfs_register(void)
{
	ivshmem_debugfs_root = debugfs_create_dir("ivshmem", NULL);
}

void ivshmem_debugfs_unregister(void)
{
	debugfs_remove(ivshmem_debugfs_root);
}
