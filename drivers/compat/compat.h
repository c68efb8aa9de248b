/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes an older kernel look like the newest one, for whose API the rest of
 * the tree is written.  Oldest change first: raising the floor deletes from the
 * top.
 */
#ifndef _IVSHMEM_COMPAT_H
#define _IVSHMEM_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "ivshmem needs Linux 6.1 or newer"
#endif

/* Any: modules of a kernel's tree have its version, others their own */
#ifdef IVSHMEM_VERSION
#include <linux/module.h>
#undef MODULE_DESCRIPTION
#define MODULE_DESCRIPTION(_description) \
	MODULE_INFO(description, _description); \
	MODULE_VERSION(__stringify(IVSHMEM_VERSION))
#endif

/* 6.3: vma->vm_flags became read-only */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#include <linux/mm.h>
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* 6.3: devices say what they can do with XDP */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define NETDEV_XDP_ACT_BASIC	0
#define NETDEV_XDP_ACT_REDIRECT	0
#define NETDEV_XDP_ACT_NDO_XMIT	0
#define xdp_set_features_flag(dev, features) \
	((void)(dev), (void)(features))
#endif

/* 6.5: what cuts packets has a header of its own */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define IVSHMEM_GSO_HEADER	"net/gso.h"
#else
#define IVSHMEM_GSO_HEADER	"linux/netdevice.h"
#endif

/* 6.6: pools of pages have a folder of headers */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define IVSHMEM_PAGE_POOL_HEADER	"net/page_pool/helpers.h"
#else
#define IVSHMEM_PAGE_POOL_HEADER	"net/page_pool.h"
#endif

/* 6.8: eventfd_signal() lost its counter argument */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#include <linux/eventfd.h>
#define eventfd_signal(ctx)	eventfd_signal(ctx, 1)
#endif

/* 6.9: devices tell what each of their queues has counted */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
#include <linux/types.h>
#define IVSHMEM_QUEUES_HEADER	"linux/netdevice.h"
struct net_device;
struct netdev_queue_stats_rx {
	u64 bytes;
	u64 packets;
	u64 alloc_fail;
};

struct netdev_queue_stats_tx {
	u64 bytes;
	u64 packets;
};

struct netdev_stat_ops {
	void (*get_queue_stats_rx)(struct net_device *dev, int idx,
				   struct netdev_queue_stats_rx *stats);
	void (*get_queue_stats_tx)(struct net_device *dev, int idx,
				   struct netdev_queue_stats_tx *stats);
	void (*get_base_stats)(struct net_device *dev,
			       struct netdev_queue_stats_rx *rx,
			       struct netdev_queue_stats_tx *tx);
};

#define netdev_set_stat_ops(dev, ops) \
	((void)(dev), (void)(ops))
#else
#define IVSHMEM_QUEUES_HEADER	"net/netdev_queues.h"
#define netdev_set_stat_ops(dev, ops)	((dev)->stat_ops = (ops))
#endif

/* 6.9: disks are made with their limits; 6.11: with all that they can do */
#ifdef CONFIG_BLOCK
#include <linux/blk-mq.h>
static inline struct gendisk *
ivshmem_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *limits,
		   bool cache, bool fua, void *data)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	if (cache)
		limits->features |= BLK_FEAT_WRITE_CACHE;
	if (fua)
		limits->features |= BLK_FEAT_FUA;
	return blk_mq_alloc_disk(set, limits, data);
#else
	struct request_queue *q;
	struct gendisk *disk;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	disk = blk_mq_alloc_disk(set, limits, data);
#else
	disk = blk_mq_alloc_disk(set, data);
#endif
	if (IS_ERR(disk))
		return disk;

	q = disk->queue;
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_write_cache(q, cache, fua);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	blk_queue_logical_block_size(q, limits->logical_block_size);
	blk_queue_physical_block_size(q, limits->physical_block_size);
	blk_queue_io_min(q, limits->io_min);
	blk_queue_max_hw_sectors(q, limits->max_hw_sectors);
	blk_queue_max_segments(q, limits->max_segments);
	blk_queue_max_segment_size(q, limits->max_segment_size);
	blk_queue_max_discard_sectors(q, limits->max_hw_discard_sectors);
	blk_queue_max_write_zeroes_sectors(q, limits->max_write_zeroes_sectors);
	q->limits.discard_granularity = limits->discard_granularity;
#endif
	return disk;
#endif
}
#endif /* CONFIG_BLOCK */

/* 6.12 to 6.16: huge PFN mappings exist and take a pfn_t */
#if defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/mm.h>
#include <linux/pfn_t.h>
#define vmf_insert_pfn_pmd(vmf, pfn, write) \
	vmf_insert_pfn_pmd(vmf, __pfn_to_pfn_t(pfn, PFN_DEV), write)
#define vmf_insert_pfn_pud(vmf, pfn, write) \
	vmf_insert_pfn_pud(vmf, __pfn_to_pfn_t(pfn, PFN_DEV), write)
#endif

/* 6.13: namespaces of symbols are strings */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define IVSHMEM_NS	IVSHMEM
#define IVSHMEM_DMABUF_NS	DMA_BUF
#else
#define IVSHMEM_NS	"IVSHMEM"
#define IVSHMEM_DMABUF_NS	"DMA_BUF"
#endif

/* 6.14: bios are merged into requests unless one says otherwise */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define IVSHMEM_MQ_MERGE	BLK_MQ_F_SHOULD_MERGE
#else
#define IVSHMEM_MQ_MERGE	0
#endif

/* 6.17: queues of works say where they run */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/workqueue.h>
#define system_percpu_wq	system_wq
#endif

/*
 * 7.1: who maps a dma-buf is told when it goes, and the call is named for that;
 * kernels of before may have been built to pin what is mapped
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 1, 0)
#define dma_buf_invalidate_mappings	dma_buf_move_notify
#define IVSHMEM_INVALIDATE		move_notify
#define IVSHMEM_DMABUF_PINS		(!IS_ENABLED(CONFIG_DMABUF_MOVE_NOTIFY))
#else
#define IVSHMEM_INVALIDATE		invalidate_mappings
#define IVSHMEM_DMABUF_PINS		false
#endif

#endif /* _IVSHMEM_COMPAT_H */
