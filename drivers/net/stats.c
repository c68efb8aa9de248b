// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the card and of each queue, as the stack asks for them.  A frame to all
 * peers counts once; ethtool.c shows how many copies there were.
 */
#include <linux/netdevice.h>
#include IVSHMEM_QUEUES_HEADER

#include "ivnet.h"

/**
 * ivnet_count_frame() - a transmit queue has sent a frame
 * @net: the card
 * @queue: number of the transmit queue among those of @slot
 * @slot: whose transmit queue it is
 * @length: bytes of the frame
 *
 * Context: Bottom halves are off, the transmit queue's lock is held.
 */
void ivnet_count_frame(struct ivnet *net, u32 queue, u32 slot, u32 length)
{
	struct ivnet_sent *sent = &net->links[slot].rings[queue].sent;

	u64_stats_update_begin(&sent->sync);
	u64_stats_inc(&sent->packets);
	u64_stats_add(&sent->bytes, length);
	u64_stats_update_end(&sent->sync);
}

static void ivnet_add_tx(const struct ivnet *net, u32 index,
			 struct netdev_queue_stats_tx *sum)
{
	const struct ivnet_link *link = &net->links[index / net->nr_queues];
	const struct ivnet_sent *sent = &link->rings[index % net->nr_queues].sent;
	u64 packets, bytes;
	unsigned int start;

	do {
		start = u64_stats_fetch_begin(&sent->sync);
		packets = u64_stats_read(&sent->packets);
		bytes = u64_stats_read(&sent->bytes);
	} while (u64_stats_fetch_retry(&sent->sync, start));

	sum->packets += packets;
	sum->bytes += bytes;
}

/* Of all peers; of the own slot there is nothing */
static void ivnet_add_rx(const struct ivnet *net, u32 queue,
			 struct netdev_queue_stats_rx *sum)
{
	const struct ivnet_counters *counters;
	u64 packets, bytes, dropped;
	unsigned int start;
	u32 slot;

	for (slot = 0; slot < net->nr_links; slot++) {
		counters = &net->links[slot].rings[queue].counters;
		do {
			start = u64_stats_fetch_begin(&counters->rx_sync);
			packets = u64_stats_read(&counters->rx_packets);
			bytes = u64_stats_read(&counters->rx_bytes);
			dropped = u64_stats_read(&counters->rx_dropped);
		} while (u64_stats_fetch_retry(&counters->rx_sync, start));

		sum->packets += packets;
		sum->bytes += bytes;
		sum->alloc_fail += dropped;
	}
}

/**
 * ivnet_get_stats64() - ndo_get_stats64
 * @dev: the network device
 * @stats: filled
 *
 * Context: Any.
 */
void ivnet_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct netdev_queue_stats_tx tx = { };
	struct ivnet *net = netdev_priv(dev);
	u32 i;

	for (i = 0; i < dev->num_tx_queues; i++)
		ivnet_add_tx(net, i, &tx);
	/* What was received, and what programs have sent */
	dev_fetch_sw_netstats(stats, dev->tstats);
	stats->tx_packets += tx.packets;
	stats->tx_bytes += tx.bytes;
	stats->rx_errors = atomic_long_read(&net->rx_errors);
	stats->rx_dropped = atomic_long_read(&net->rx_dropped);
	stats->tx_dropped = atomic_long_read(&net->tx_dropped);
}

static void ivnet_get_queue_stats_rx(struct net_device *dev, int index,
				     struct netdev_queue_stats_rx *stats)
{
	stats->packets = 0;
	stats->bytes = 0;
	stats->alloc_fail = 0;
	ivnet_add_rx(netdev_priv(dev), index, stats);
}

static void ivnet_get_queue_stats_tx(struct net_device *dev, int index,
				     struct netdev_queue_stats_tx *stats)
{
	stats->packets = 0;
	stats->bytes = 0;
	ivnet_add_tx(netdev_priv(dev), index, stats);
}

/* What belongs to no queue that is used */
static void ivnet_get_base_stats(struct net_device *dev,
				 struct netdev_queue_stats_rx *rx,
				 struct netdev_queue_stats_tx *tx)
{
	struct rtnl_link_stats64 programs = { };
	struct ivnet *net = netdev_priv(dev);
	u32 i;

	dev_fetch_sw_netstats(&programs, dev->tstats);
	tx->packets = programs.tx_packets;
	tx->bytes = programs.tx_bytes;

	rx->packets = 0;
	rx->bytes = 0;
	rx->alloc_fail = 0;
	for (i = dev->real_num_rx_queues; i < net->nr_queues; i++)
		ivnet_add_rx(net, i, rx);
}

const struct netdev_stat_ops ivnet_stat_ops = {
	.get_queue_stats_rx = ivnet_get_queue_stats_rx,
	.get_queue_stats_tx = ivnet_get_queue_stats_tx,
	.get_base_stats = ivnet_get_base_stats,
};
