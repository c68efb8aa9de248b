/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network card: an Ethernet segment in a NET section.
 *
 * main.c makes a network device of a function, links.c brings links to the other
 * peers up and down, fdb.c knows behind which peer a station is, tx.c copies frames
 * into rings, rx.c out of them into pages.c's, xdp.c runs programs on what arrives.
 * ethtool.c and stats.c show what was counted.
 *
 * Each peer has transmit queues of its own, so that one who does not empty its
 * rings stops nobody else's traffic.  Those of the own slot are for what goes to
 * all peers, and never stop.
 *
 * Locks: @lock of struct ivnet is held by who changes the state of a link, a mutex;
 * @lock of struct ivnet_ring by who sends, inside of it or of a transmit queue's
 * lock.  Receiving is a NAPI instance's own business.  Bits in @up and @ready let
 * both touch the rings; who clears them waits for an RCU grace period before the
 * rings are anybody's.
 */
#ifndef _IVNET_H
#define _IVNET_H

#include <linux/bitmap.h>
#include <linux/if_ether.h>
#include <linux/if_vlan.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/u64_stats_sync.h>
#include <linux/virtio_net.h>
#include <linux/workqueue.h>
#include <net/xdp.h>

#include <ivshmem/net.h>

#include "ivshmem.h"

#define IVNET_MTU_MAX		65500
/* Linear part of a large frame: all headers that matter */
#define IVNET_RX_HEAD		256
/* The rest is in pages; up to here in small ones, else in large if there are any */
#define IVNET_RX_SMALL		(3 * PAGE_SIZE)
/* Of each kind, what a queue keeps for the next frames */
#define IVNET_POOL_PAGES	64
#define IVNET_RX_MAX		(MAX_SKB_FRAGS * \
				 (PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER))
/* Up to here a frame is linear as a whole */
#define IVNET_RX_LINEAR		2048
/* Microseconds of looking before waiting for an interrupt */
#define IVNET_POLL_USECS	50
#define IVNET_POLL_USECS_MAX	1000
/* A ring that has no room for so long stops nobody any more */
#define IVNET_STALL_MS		IVPEER_BEAT_MS
#define IVNET_FDB_LOG2		10
#define IVNET_FDB_WAYS		4
#define IVNET_FDB_AGE		(300 * HZ)
/* Of a page, what a program may get to see */
#define IVNET_XDP_MAX		(PAGE_SIZE - XDP_PACKET_HEADROOM - \
				 SKB_DATA_ALIGN(sizeof(struct skb_shared_info)))

struct ivnet;
struct page_pool;

/**
 * struct ivnet_counters - of one pair of rings; each half has one writer
 * @tx_sync: for readers of @tx_packets to @tx_stops, written under the ring's lock
 * @tx_packets: frames sent
 * @tx_bytes: in them
 * @tx_dropped: frames that did not fit, or that the peer does not take
 * @tx_kicks: doorbells rung
 * @tx_stops: times that the queue had to wait for the peer
 * @rx_sync: for readers of the rest, written by NAPI
 * @rx_packets: frames received
 * @rx_bytes: in them
 * @rx_errors: frames dropped, for what the peer said of them
 * @rx_dropped: frames dropped, for want of memory
 * @rx_kicks: doorbells rung because there is space again
 */
struct ivnet_counters {
	struct u64_stats_sync tx_sync;
	u64_stats_t tx_packets;
	u64_stats_t tx_bytes;
	u64_stats_t tx_dropped;
	u64_stats_t tx_kicks;
	u64_stats_t tx_stops;
	struct u64_stats_sync rx_sync;
	u64_stats_t rx_packets;
	u64_stats_t rx_bytes;
	u64_stats_t rx_errors;
	u64_stats_t rx_dropped;
	u64_stats_t rx_kicks;
};

/**
 * struct ivnet_xdp_counters - of the programs of a queue, written by NAPI
 * @sync: for readers
 * @packets: frames that a program has seen
 * @tx: that it sent back
 * @redirects: that it sent elsewhere
 * @drops: that nobody got, by its wish or for want of space
 */
struct ivnet_xdp_counters {
	struct u64_stats_sync sync;
	u64_stats_t packets;
	u64_stats_t tx;
	u64_stats_t redirects;
	u64_stats_t drops;
};

/**
 * struct ivnet_sent - what a transmit queue has sent, each frame once
 * @sync: for readers; written under the lock of the transmit queue
 * @packets: frames
 * @bytes: in them
 */
struct ivnet_sent {
	struct u64_stats_sync sync;
	u64_stats_t packets;
	u64_stats_t bytes;
};

/**
 * struct ivnet_ring - what belongs to a pair of rings, beside these
 * @lock: of the producer; taken with bottom halves off
 * @queued: index of the producer, as the transmit queue's limit knows it
 * @completed: likewise, of the consumer
 * @waiting: the transmit queue is stopped until the peer has consumed
 * @stalled: the peer does not empty the ring: frames that do not fit are dropped
 * @stalls_at: jiffies when it is no longer waited for the peer
 * @armed: a kick is wanted for what follows @armed_at; NAPI only
 * @armed_at: index of the consumer then
 * @arm_again: jiffies when it is asked for again in any case
 * @counters: statistics
 * @sent: of the transmit queue that has the ring's number
 */
struct ivnet_ring {
	spinlock_t lock;
	u32 queued;
	u32 completed;
	bool waiting;
	bool stalled;
	unsigned long stalls_at;
	bool armed;
	u32 armed_at;
	unsigned long arm_again;
	struct ivnet_counters counters;
	struct ivnet_sent sent;
};

/**
 * struct ivnet_link - the link to one peer
 * @link: the link, under &ivnet.lock
 * @queues: its rings
 * @rings: what else belongs to them
 * @limits: what the peer accepts; stays while the bit in @ready is set
 * @said: ring 0 begins with @hello, at which nobody has looked since the peer took
 *	  it; under that ring's lock, as far as others use the ring
 * @quiet: nobody else uses the rings, and nobody will
 * @restart: begin anew at the next step
 * @faults: times that the peer was at fault
 * @hello: what this side has said
 */
struct ivnet_link {
	struct ivlink link;
	struct ivlink_queue *queues;
	struct ivnet_ring *rings;
	struct ivnet_limits limits;
	bool said;
	bool quiet;
	bool restart;
	u64 faults;
	struct ivnet_hello hello;
};

/**
 * struct ivnet_queue - one queue of all links, received by one NAPI instance
 * @net: the card
 * @napi: looks at the rings
 * @index: number of the queue
 * @turn: slot whose turn is first
 * @small: pages of order 0, which programs see
 * @large: of PAGE_ALLOC_COSTLY_ORDER
 * @xdp_rxq: where a program's frames come from
 * @until: local_clock() until when to look for more
 * @redirected: a program has redirected a frame
 * @xdp: what programs have done
 */
struct ivnet_queue {
	struct ivnet *net;
	struct napi_struct napi;
	unsigned int index;
	unsigned int turn;
	struct page_pool *small;
	struct page_pool *large;
	struct xdp_rxq_info xdp_rxq;
	u64 until;
	bool redirected;
	struct ivnet_xdp_counters xdp;
};

/**
 * struct ivnet_station - a station's entry in the forwarding table
 * @where: address, slot and whether it may move: see fdb.c
 * @seen: jiffies when a frame from it came last
 *
 * Read without a lock.  On machines of 32 bits a reader may see half of an entry:
 * a frame to the wrong peer, which drops it.
 */
struct ivnet_station {
	u64 where;
	unsigned long seen;
};

/**
 * struct ivnet - a network card
 * @dev: the network device
 * @function: the section
 * @slot: own slot
 * @nr_links: slots
 * @nr_queues: queues of the section
 * @used_queues: queues that are used, at most @nr_queues; under RTNL
 * @max_record: bytes of the longest frame that a ring takes
 * @poll_usecs: how long to look before waiting for an interrupt
 * @lock: held while a link's state changes
 * @work: steps the links, one run at a time
 * @timer: looks at the rings where nobody can ring
 * @unsettled: some link waits for its peer, whose kick @work has to see
 * @kicked_at: jiffies when it was last told of one
 * @open: the interface is up: @work does something
 * @up: links whose rings may be used, a bit for each slot
 * @ready: links of @up that have said hello
 * @silent: peers whose heart stands still
 * @links: for each slot; the own one's is not used
 * @queues: for each queue
 * @xdp_prog: runs on what arrives
 * @fdb_lock: guards changes of the two below
 * @fdb: the forwarding table
 * @fdb_count: entries of each slot
 * @fdb_aged: jiffies when old entries were last removed
 * @rx_errors: frames dropped, for what peers said of them
 * @rx_dropped: frames dropped, for want of memory
 * @tx_dropped: frames that nobody got
 * @tx_flooded: frames that went to all peers
 */
struct ivnet {
	struct net_device *dev;
	struct ivshmem_function *function;
	u32 slot;
	u32 nr_links;
	u32 nr_queues;
	u32 used_queues;
	u32 max_record;
	u32 poll_usecs;
	struct mutex lock;
	struct delayed_work work;
	struct timer_list timer;
	bool unsettled;
	unsigned long kicked_at;
	bool open;
	DECLARE_BITMAP(up, IVREGION_SLOTS_MAX);
	DECLARE_BITMAP(ready, IVREGION_SLOTS_MAX);
	DECLARE_BITMAP(silent, IVREGION_SLOTS_MAX);
	struct ivnet_link *links;
	struct ivnet_queue *queues;
	struct bpf_prog __rcu *xdp_prog;
	spinlock_t fdb_lock;
	struct ivnet_station fdb[1 << IVNET_FDB_LOG2];
	u32 fdb_count[IVREGION_SLOTS_MAX];
	unsigned long fdb_aged;
	atomic_long_t rx_errors;
	atomic_long_t rx_dropped;
	atomic_long_t tx_dropped;
	atomic_long_t tx_flooded;
};

/* links.c */
void ivnet_links_work(struct work_struct *work);
void ivnet_links_restart(struct ivnet *net);
void ivnet_links_stop(struct ivnet *net);
void ivnet_link_lost(struct ivnet *net, u32 slot);
void ivnet_napi_schedule(struct ivnet *net);
u32 ivnet_features(const struct ivnet *net, const struct bpf_prog *prog);
u32 ivnet_max_frame(const struct ivnet *net, const struct bpf_prog *prog);

/* fdb.c */
int ivnet_fdb_find(struct ivnet *net, const u8 *address);
void ivnet_fdb_learn(struct ivnet *net, const u8 *address, u32 slot, bool fixed);
void ivnet_fdb_forget(struct ivnet *net, u32 slot);
void ivnet_fdb_age(struct ivnet *net);

/* tx.c */
netdev_tx_t ivnet_start_xmit(struct sk_buff *skb, struct net_device *dev);
u16 ivnet_select_queue(struct net_device *dev, struct sk_buff *skb,
		       struct net_device *sb_dev);
bool ivnet_send_hello(struct ivnet *net, u32 slot);
bool ivnet_send_flat(struct ivnet *net, u32 queue, const void *data, u32 length);
void ivnet_publish(struct ivnet *net, u32 queue, u32 slot);
void ivnet_wake(struct ivnet *net, u32 queue, u32 slot);
void ivnet_queues_reset(struct ivnet *net, u32 slot);
void ivnet_look_for_stalls(struct ivnet *net, u32 slot);

/* rx.c */
int ivnet_poll(struct napi_struct *napi, int budget);

/* pages.c */
int ivnet_pages_create(struct ivnet_queue *queue);
void ivnet_pages_destroy(struct ivnet_queue *queue);
bool ivnet_add_pages(struct ivnet_queue *queue, struct sk_buff *skb,
		     const u8 __ivshmem *from, u32 length);

/* xdp.c */
struct sk_buff *ivnet_xdp_run(struct ivnet_queue *queue, struct bpf_prog *prog,
			      const void __ivshmem *frame, u32 length);
void ivnet_xdp_flush(struct ivnet_queue *queue);
int ivnet_xdp(struct net_device *dev, struct netdev_bpf *bpf);
int ivnet_xdp_xmit(struct net_device *dev, int n, struct xdp_frame **frames,
		   u32 flags);

/* ethtool.c */
extern const struct ethtool_ops ivnet_ethtool_ops;

/* stats.c */
extern const struct netdev_stat_ops ivnet_stat_ops;
void ivnet_count_frame(struct ivnet *net, u32 queue, u32 slot, u32 length);
void ivnet_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *stats);

#endif /* _IVNET_H */
