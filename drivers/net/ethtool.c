// SPDX-License-Identifier: GPL-2.0-only
/* What ethtool shows and changes. */
#include <linux/ethtool.h>
#include <linux/netdevice.h>

#include "ivnet.h"

/* Of each peer: numbers of the link, then sums over its queues */
enum {
	PEER_STATE,
	PEER_READY,
	PEER_SESSIONS,
	PEER_FAULTS,
	PEER_REASON,
	PEER_TX_PENDING,
	PEER_RX_PENDING,
	PEER_TX_PACKETS,
	PEER_TX_BYTES,
	PEER_TX_DROPPED,
	PEER_TX_KICKS,
	PEER_TX_STOPS,
	PEER_RX_PACKETS,
	PEER_RX_BYTES,
	PEER_RX_ERRORS,
	PEER_RX_DROPPED,
	PEER_RX_KICKS,
	PEER_STATS
};

static const char * const ivnet_peer_stats[PEER_STATS] = {
	[PEER_STATE] = "state",
	[PEER_READY] = "ready",
	[PEER_SESSIONS] = "sessions",
	[PEER_FAULTS] = "faults",
	[PEER_REASON] = "last_reason",
	[PEER_TX_PENDING] = "tx_pending",
	[PEER_RX_PENDING] = "rx_pending",
	[PEER_TX_PACKETS] = "tx_packets",
	[PEER_TX_BYTES] = "tx_bytes",
	[PEER_TX_DROPPED] = "tx_dropped",
	[PEER_TX_KICKS] = "tx_kicks",
	[PEER_TX_STOPS] = "tx_stops",
	[PEER_RX_PACKETS] = "rx_packets",
	[PEER_RX_BYTES] = "rx_bytes",
	[PEER_RX_ERRORS] = "rx_errors",
	[PEER_RX_DROPPED] = "rx_dropped",
	[PEER_RX_KICKS] = "rx_kicks",
};

/* Of each queue: sums over all peers, of what has them */
#define QUEUE_STATS	(PEER_STATS - PEER_TX_PACKETS)
#define ivnet_queue_stats	(ivnet_peer_stats + PEER_TX_PACKETS)

/* Of each queue, too: what XDP programs have done with what came on it */
static const char * const ivnet_xdp_stats[] = {
	"xdp_packets",
	"xdp_tx",
	"xdp_redirects",
	"xdp_drops",
};

#define XDP_STATS	ARRAY_SIZE(ivnet_xdp_stats)

static void ivnet_get_drvinfo(struct net_device *dev,
			      struct ethtool_drvinfo *info)
{
	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	strscpy(info->bus_info, dev_name(dev->dev.parent),
		sizeof(info->bus_info));
}

static int ivnet_get_sset_count(struct net_device *dev, int set)
{
	struct ivnet *net = netdev_priv(dev);

	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return 1 + net->nr_queues * (QUEUE_STATS + XDP_STATS) +
	       (net->nr_links - 1) * PEER_STATS;
}

static void ivnet_get_strings(struct net_device *dev, u32 set, u8 *data)
{
	struct ivnet *net = netdev_priv(dev);
	u32 i, n;

	if (set != ETH_SS_STATS)
		return;

	ethtool_sprintf(&data, "%s", "tx_flooded");
	for (n = 0; n < net->nr_queues; n++) {
		for (i = 0; i < QUEUE_STATS; i++)
			ethtool_sprintf(&data, "queue%u_%s", n,
					ivnet_queue_stats[i]);
		for (i = 0; i < XDP_STATS; i++)
			ethtool_sprintf(&data, "queue%u_%s", n,
					ivnet_xdp_stats[i]);
	}
	for (n = 0; n < net->nr_links; n++)
		for (i = 0; n != net->slot && i < PEER_STATS; i++)
			ethtool_sprintf(&data, "peer%u_%s", n,
					ivnet_peer_stats[i]);
}

/* Adds what a pair of rings has counted to QUEUE_STATS numbers */
static void ivnet_add_counters(const struct ivnet_counters *counters, u64 *sum)
{
	u64 tx[5], rx[5];
	unsigned int start, i;

	do {
		start = u64_stats_fetch_begin(&counters->tx_sync);
		tx[0] = u64_stats_read(&counters->tx_packets);
		tx[1] = u64_stats_read(&counters->tx_bytes);
		tx[2] = u64_stats_read(&counters->tx_dropped);
		tx[3] = u64_stats_read(&counters->tx_kicks);
		tx[4] = u64_stats_read(&counters->tx_stops);
	} while (u64_stats_fetch_retry(&counters->tx_sync, start));
	do {
		start = u64_stats_fetch_begin(&counters->rx_sync);
		rx[0] = u64_stats_read(&counters->rx_packets);
		rx[1] = u64_stats_read(&counters->rx_bytes);
		rx[2] = u64_stats_read(&counters->rx_errors);
		rx[3] = u64_stats_read(&counters->rx_dropped);
		rx[4] = u64_stats_read(&counters->rx_kicks);
	} while (u64_stats_fetch_retry(&counters->rx_sync, start));

	BUILD_BUG_ON(ARRAY_SIZE(tx) + ARRAY_SIZE(rx) != QUEUE_STATS);
	for (i = 0; i < ARRAY_SIZE(tx); i++) {
		sum[i] += tx[i];
		sum[i + ARRAY_SIZE(tx)] += rx[i];
	}
}

static u64 *ivnet_fill_queue(struct ivnet *net, u32 queue, u64 *data)
{
	const struct ivnet_xdp_counters *xdp = &net->queues[queue].xdp;
	unsigned int start;
	u32 slot;

	memset(data, 0, QUEUE_STATS * sizeof(*data));
	for (slot = 0; slot < net->nr_links; slot++)
		if (slot != net->slot)
			ivnet_add_counters(&net->links[slot].rings[queue].counters,
					   data);
	data += QUEUE_STATS;

	do {
		start = u64_stats_fetch_begin(&xdp->sync);
		data[0] = u64_stats_read(&xdp->packets);
		data[1] = u64_stats_read(&xdp->tx);
		data[2] = u64_stats_read(&xdp->redirects);
		data[3] = u64_stats_read(&xdp->drops);
	} while (u64_stats_fetch_retry(&xdp->sync, start));
	return data + XDP_STATS;
}

/* Bytes in all rings of a link that whoever receives has not taken yet */
static void ivnet_add_pending(struct ivnet *net, struct ivnet_link *link,
			      u64 *tx, u64 *rx)
{
	struct ivlink_queue *queue;
	u32 i, prod, cons;

	*tx = 0;
	*rx = 0;
	if (link->link.state != IVLINK_UP)
		return;
	/* All peers can write to all of these words: hence the bounds */
	for (i = 0; i < net->nr_queues; i++) {
		queue = &link->queues[i];
		cons = ivshmem_load32(&queue->tx.peer->cons);
		prod = ivshmem_load32(&queue->tx.own->prod);
		*tx += min(prod - cons, queue->tx.size);
		cons = ivshmem_load32(&queue->rx.own->cons);
		prod = ivshmem_load32(&queue->rx.peer->prod);
		*rx += min(prod - cons, queue->rx.size);
	}
}

static u64 *ivnet_fill_peer(struct ivnet *net, u32 slot, u64 *data)
{
	struct ivnet_link *link = &net->links[slot];
	u32 i;

	data[PEER_STATE] = link->link.state;
	data[PEER_READY] = test_bit(slot, net->ready);
	data[PEER_SESSIONS] = link->link.sessions;
	data[PEER_FAULTS] = link->faults;
	data[PEER_REASON] = link->link.reason;
	ivnet_add_pending(net, link, &data[PEER_TX_PENDING],
			  &data[PEER_RX_PENDING]);
	memset(data + PEER_TX_PACKETS, 0, QUEUE_STATS * sizeof(*data));
	for (i = 0; i < net->nr_queues; i++)
		ivnet_add_counters(&link->rings[i].counters,
				   data + PEER_TX_PACKETS);
	return data + PEER_STATS;
}

static void ivnet_get_ethtool_stats(struct net_device *dev,
				    struct ethtool_stats *stats, u64 *data)
{
	struct ivnet *net = netdev_priv(dev);
	u32 i, slot;

	*data++ = atomic_long_read(&net->tx_flooded);
	for (i = 0; i < net->nr_queues; i++)
		data = ivnet_fill_queue(net, i, data);

	mutex_lock(&net->lock);
	for (slot = 0; slot < net->nr_links; slot++)
		if (slot != net->slot)
			data = ivnet_fill_peer(net, slot, data);
	mutex_unlock(&net->lock);
}

static void ivnet_get_channels(struct net_device *dev,
			       struct ethtool_channels *channels)
{
	struct ivnet *net = netdev_priv(dev);

	channels->max_combined = net->nr_queues;
	channels->combined_count = net->used_queues;
}

/* Afterwards no queue from @first on receives, or is received on */
static void ivnet_end_queues(struct ivnet *net, u32 first)
{
	u32 i;

	/* Whoever schedules them has read their number before */
	synchronize_net();
	for (i = first; netif_running(net->dev) && i < net->nr_queues; i++)
		napi_synchronize(&net->queues[i].napi);
}

static int ivnet_set_channels(struct net_device *dev,
			      struct ethtool_channels *channels)
{
	struct ivnet *net = netdev_priv(dev);
	u32 count = channels->combined_count;
	int ret;

	/* The core has checked it against the most */
	if (!count)
		return -EINVAL;
	if (count == net->used_queues)
		return 0;

	/* A frame must not come from a queue that the stack does not know */
	if (count < net->used_queues) {
		WRITE_ONCE(net->used_queues, count);
		ivnet_end_queues(net, count);
	}
	ret = netif_set_real_num_rx_queues(dev, count);
	if (ret)
		return ret;
	WRITE_ONCE(net->used_queues, count);
	ivnet_links_restart(net);
	return 0;
}

/* Bytes; the format of the region has decided */
static void ivnet_get_ringparam(struct net_device *dev,
				struct ethtool_ringparam *ring,
				struct kernel_ethtool_ringparam *kernel_ring,
				struct netlink_ext_ack *extack)
{
	struct ivnet *net = netdev_priv(dev);
	u32 size = ivshmem_function_section(net->function)->ring_size;

	ring->rx_max_pending = size;
	ring->tx_max_pending = size;
	ring->rx_pending = size;
	ring->tx_pending = size;
}

static int ivnet_get_coalesce(struct net_device *dev,
			      struct ethtool_coalesce *coalesce,
			      struct kernel_ethtool_coalesce *kernel_coalesce,
			      struct netlink_ext_ack *extack)
{
	struct ivnet *net = netdev_priv(dev);

	coalesce->rx_coalesce_usecs = net->poll_usecs;
	return 0;
}

static int ivnet_set_coalesce(struct net_device *dev,
			      struct ethtool_coalesce *coalesce,
			      struct kernel_ethtool_coalesce *kernel_coalesce,
			      struct netlink_ext_ack *extack)
{
	struct ivnet *net = netdev_priv(dev);

	if (coalesce->rx_coalesce_usecs > IVNET_POLL_USECS_MAX) {
		NL_SET_ERR_MSG_MOD(extack,
				   "rx-usecs is how long to look for frames before waiting for an interrupt: at most 1000");
		return -ERANGE;
	}
	WRITE_ONCE(net->poll_usecs, coalesce->rx_coalesce_usecs);
	return 0;
}

static int ivnet_get_link_ksettings(struct net_device *dev,
				    struct ethtool_link_ksettings *settings)
{
	ethtool_link_ksettings_zero_link_mode(settings, supported);
	settings->base.speed = SPEED_UNKNOWN;
	settings->base.duplex = DUPLEX_FULL;
	settings->base.port = PORT_OTHER;
	settings->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

const struct ethtool_ops ivnet_ethtool_ops = {
	.supported_coalesce_params = ETHTOOL_COALESCE_RX_USECS,
	.get_drvinfo = ivnet_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_sset_count = ivnet_get_sset_count,
	.get_strings = ivnet_get_strings,
	.get_ethtool_stats = ivnet_get_ethtool_stats,
	.get_channels = ivnet_get_channels,
	.set_channels = ivnet_set_channels,
	.get_ringparam = ivnet_get_ringparam,
	.get_coalesce = ivnet_get_coalesce,
	.set_coalesce = ivnet_set_coalesce,
	.get_link_ksettings = ivnet_get_link_ksettings,
	.get_ts_info = ethtool_op_get_ts_info,
};
