// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sending: frames are copied into the ring to the peer behind which their station
 * is, or into the rings to all peers.
 */
#include <linux/etherdevice.h>
#include <linux/highmem.h>
#include IVSHMEM_GSO_HEADER

#include "ivnet.h"

/* Pieces of a frame, in private memory */
struct ivnet_source {
	struct ivnet_frame header;
	const struct sk_buff *skb;
	const void *flat;
	u32 length;
};

static struct ivlink_queue *ivnet_pair(struct ivnet *net, u32 queue, u32 slot)
{
	return &net->links[slot].queues[queue];
}

static struct netdev_queue *ivnet_txq(struct ivnet *net, u32 queue, u32 slot)
{
	return netdev_get_tx_queue(net->dev, slot * net->nr_queues + queue);
}

static struct ivnet_ring *ivnet_ring(struct ivnet *net, u32 queue, u32 slot)
{
	return &net->links[slot].rings[queue];
}

/* A longest frame of now fits: the queue need not stop */
static u32 ivnet_reserve_length(const struct ivnet *net, u32 slot)
{
	u32 longest = max(READ_ONCE(net->dev->gso_max_size),
			  READ_ONCE(net->dev->mtu)) + ETH_HLEN + VLAN_HLEN;

	return min3(longest, net->links[slot].limits.max_frame,
		    net->max_record) + sizeof(struct ivnet_frame);
}

static void ivnet_copy_skb(u8 __ivshmem *to, const struct sk_buff *skb)
{
	u32 offset, length, done;
	struct page *page;
	skb_frag_t *frag;
	const u8 *from;
	int i;

	ivshmem_copy_out(to, skb->data, skb_headlen(skb));
	to += skb_headlen(skb);

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		frag = &skb_shinfo(skb)->frags[i];
		skb_frag_foreach_page(frag, skb_frag_off(frag),
				      skb_frag_size(frag), page, offset, length,
				      done) {
			from = kmap_local_page(page);
			ivshmem_copy_out(to + done, from + offset, length);
			kunmap_local(from);
		}
		to += skb_frag_size(frag);
	}
}

static void ivnet_copy(u8 __ivshmem *to, const struct ivnet_source *source)
{
	ivshmem_copy_out(to, &source->header, sizeof(source->header));
	to += sizeof(source->header);
	if (source->skb)
		ivnet_copy_skb(to, source->skb);
	else
		ivshmem_copy_out(to, source->flat, source->length);
}

/* Of the ring's lock: *kick if the peer wants to be told */
static int ivnet_reserve(struct ivlink_queue *pair, u32 length,
			 void __ivshmem **payload, bool *kick)
{
	int ret = ivring_reserve(&pair->tx, length, payload);

	if (ret != -EAGAIN)
		return ret;
	/* The peer cannot give back what it was not shown */
	*kick |= ivring_publish(&pair->tx);
	if (!ivring_want_space(&pair->tx, length))
		return ret;
	return ivring_reserve(&pair->tx, length, payload);
}

static void ivnet_count_sent(struct ivnet_ring *ring, int ret, u32 length,
			     bool kick)
{
	struct ivnet_counters *counters = &ring->counters;

	u64_stats_update_begin(&counters->tx_sync);
	if (ret) {
		u64_stats_inc(&counters->tx_dropped);
	} else {
		u64_stats_inc(&counters->tx_packets);
		u64_stats_add(&counters->tx_bytes, length);
	}
	if (kick)
		u64_stats_inc(&counters->tx_kicks);
	u64_stats_update_end(&counters->tx_sync);
}

/* Tells the queue's limit what was sent; of the ring's lock */
static void ivnet_account(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	u32 next = ivnet_pair(net, queue, slot)->tx.next;
	u32 bytes = next - ring->queued;

	WRITE_ONCE(ring->queued, next);
	if (!ring->stalled)
		netdev_tx_sent_queue(ivnet_txq(net, queue, slot), bytes);
}

/* Tells it what the peer has consumed, as far as is known; of the ring's lock */
static void ivnet_complete(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	u32 cons = ivnet_pair(net, queue, slot)->tx.cons;
	u32 bytes = cons - ring->completed;

	/* Not yet what was there when it stalled */
	if (bytes > ring->queued - ring->completed)
		return;
	if (ring->stalled) {
		ring->stalled = false;
		WRITE_ONCE(ring->completed, ring->queued);
		return;
	}
	WRITE_ONCE(ring->completed, cons);
	netdev_tx_completed_queue(ivnet_txq(net, queue, slot), 0, bytes);
}

/* Bytes that may be in the ring when a longest frame is to fit */
static u32 ivnet_left_for_longest(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivring_producer *tx = &ivnet_pair(net, queue, slot)->tx;
	u32 total = ivring_total(ivnet_reserve_length(net, slot));

	return tx->size - ivring_cost(tx, total);
}

/*
 * Whether the queue of a ring has to stay stopped, for want of space or by its
 * limit.  If so, the peer has been asked to ring when there is space, and half of
 * what the limit waits for is consumed.  Of the ring's lock.
 */
static bool ivnet_must_wait(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivring_producer *tx = &ivnet_pair(net, queue, slot)->tx;
	struct netdev_queue *txq = ivnet_txq(net, queue, slot);
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	u32 left;

	do {
		ivnet_complete(net, queue, slot);
		left = ivnet_left_for_longest(net, queue, slot);
		if (netif_tx_queue_stopped(txq) && tx->next - tx->cons <= left)
			netif_tx_wake_queue(txq);
		/* Nobody waits for a broken ring */
		if (tx->fault || !netif_xmit_stopped(txq))
			return false;
		if (!netif_tx_queue_stopped(txq))
			left = min(left, (ring->queued - ring->completed) / 2);
	} while (ivring_want_consumed(tx, left));
	return true;
}

/* Stops the queue of a ring that has no room for a longest frame, or enough in it */
static void ivnet_stop_early(struct ivnet *net, u32 queue, u32 slot,
			     bool may_stop, bool *kick)
{
	struct ivring_producer *tx = &ivnet_pair(net, queue, slot)->tx;
	struct netdev_queue *txq = ivnet_txq(net, queue, slot);
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);

	ivnet_complete(net, queue, slot);
	if (ring->stalled)
		return;
	if (may_stop && tx->next - tx->cons >
			ivnet_left_for_longest(net, queue, slot))
		netif_tx_stop_queue(txq);
	if (!netif_xmit_stopped(txq))
		return;

	*kick |= ivring_publish(tx);
	if (!ring->waiting)
		ring->stalls_at = jiffies + msecs_to_jiffies(IVNET_STALL_MS);
	/* Before it is asked for: whoever is kicked sees it */
	WRITE_ONCE(ring->waiting, true);
	if (!ivnet_must_wait(net, queue, slot)) {
		WRITE_ONCE(ring->waiting, false);
		return;
	}
	u64_stats_update_begin(&ring->counters.tx_sync);
	u64_stats_inc(&ring->counters.tx_stops);
	u64_stats_update_end(&ring->counters.tx_sync);
}

/*
 * Looks whether the peer has taken the hello as it was said; 0, or -EPROTO.  One that
 * somebody else has changed in the ring would be believed for as long as the session
 * lasts.  Of ring 0's lock; between a reservation, which may be in the same place, and
 * what is written there.
 */
static int ivnet_look_at_hello(struct ivnet *net, u32 slot)
{
	struct ivring_producer *tx = &ivnet_pair(net, 0, slot)->tx;
	struct ivnet_link *link = &net->links[slot];
	struct ivnet_hello there;

	/* Rings begin at 0 */
	if (!tx->cons)
		return 0;
	link->said = false;
	ivshmem_copy_in(&there, tx->data + IVRING_HEADER, sizeof(there));
	if (!memcmp(&there, &link->hello, sizeof(there)))
		return 0;
	tx->fault = IVRING_TAMPERED;
	return -EPROTO;
}

/*
 * Puts a frame into a ring; 0, or why not.  With @publish the peer sees it, else it
 * does after ivnet_publish().  Bottom halves are off.
 */
static int ivnet_send(struct ivnet *net, u32 queue, u32 slot,
		      const struct ivnet_source *source, bool publish,
		      bool may_stop)
{
	u32 length = source->length + sizeof(source->header);
	struct ivlink_queue *pair = ivnet_pair(net, queue, slot);
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	bool kick = false, lost;
	void __ivshmem *payload;
	int ret;

	spin_lock(&ring->lock);
	/* Pairs with ivnet_take_hello() */
	if (!test_bit_acquire(slot, net->ready))
		ret = -ENOTCONN;
	else if (source->length > net->links[slot].limits.max_frame)
		ret = -EMSGSIZE;
	else
		ret = ivnet_reserve(pair, length, &payload, &kick);
	if (!ret && !queue && unlikely(net->links[slot].said))
		ret = ivnet_look_at_hello(net, slot);
	if (!ret) {
		ivnet_copy((u8 __ivshmem *)payload, source);
		ivring_commit(&pair->tx, length, IVNET_KIND_FRAME);
		if (publish)
			kick |= ivring_publish(&pair->tx);
		ivnet_account(net, queue, slot);
		ivnet_stop_early(net, queue, slot, may_stop, &kick);
	}
	ivnet_count_sent(ring, ret, source->length, kick);
	lost = ret != -ENOTCONN && pair->tx.fault;
	spin_unlock(&ring->lock);

	if (kick)
		ivshmem_function_kick(net->function, slot);
	if (lost)
		ivnet_link_lost(net, slot);
	return ret;
}

/**
 * ivnet_publish() - show a peer what was sent without
 * @net: the card
 * @queue: of the ring
 * @slot: of the peer
 *
 * Context: Bottom halves are off.
 */
void ivnet_publish(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	bool kick = false;

	spin_lock(&ring->lock);
	if (test_bit_acquire(slot, net->ready) &&
	    ivshmem_function_intact(net->function))
		kick = ivring_publish(&ivnet_pair(net, queue, slot)->tx);
	if (kick) {
		u64_stats_update_begin(&ring->counters.tx_sync);
		u64_stats_inc(&ring->counters.tx_kicks);
		u64_stats_update_end(&ring->counters.tx_sync);
	}
	spin_unlock(&ring->lock);

	if (kick)
		ivshmem_function_kick(net->function, slot);
}

/**
 * ivnet_wake() - look at what the peer has consumed, and go on if it is enough
 * @net: the card
 * @queue: of the ring
 * @slot: of the peer
 *
 * Context: Bottom halves are off.
 */
void ivnet_wake(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivring_producer *tx = &ivnet_pair(net, queue, slot)->tx;
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	bool lost;

	/* At the end of a stall it may wait although all is accounted for */
	if (!READ_ONCE(ring->waiting) &&
	    READ_ONCE(ring->queued) == READ_ONCE(ring->completed))
		return;

	spin_lock(&ring->lock);
	if (ring->waiting)
		WRITE_ONCE(ring->waiting, ivnet_must_wait(net, queue, slot));
	else if (!tx->fault && ivring_refresh_cons(tx))
		ivnet_complete(net, queue, slot);
	lost = tx->fault;
	spin_unlock(&ring->lock);

	if (lost)
		ivnet_link_lost(net, slot);
}

/* Nobody waits for the peer any more; of the ring's lock */
static void ivnet_give_up(struct ivnet *net, u32 queue, u32 slot)
{
	struct ivnet_ring *ring = ivnet_ring(net, queue, slot);
	struct netdev_queue *txq = ivnet_txq(net, queue, slot);

	netdev_tx_reset_queue(txq);
	WRITE_ONCE(ring->completed, ring->queued);
	WRITE_ONCE(ring->waiting, false);
	/* Whichever stopped it */
	netif_tx_start_queue(txq);
	netif_schedule_queue(txq);
}

/**
 * ivnet_queues_reset() - begin anew with the queues to a peer
 * @net: the card
 * @slot: of the peer, whose rings nobody uses
 *
 * Context: Process.
 */
void ivnet_queues_reset(struct ivnet *net, u32 slot)
{
	struct ivnet_ring *ring;
	u32 i;

	for (i = 0; i < net->nr_queues; i++) {
		ring = ivnet_ring(net, i, slot);
		spin_lock_bh(&ring->lock);
		ring->stalled = false;
		WRITE_ONCE(ring->queued, ivnet_pair(net, i, slot)->tx.next);
		ivnet_give_up(net, i, slot);
		spin_unlock_bh(&ring->lock);
	}
}

/**
 * ivnet_look_for_stalls() - do not wait for a peer that does not empty its rings
 * @net: the card
 * @slot: of the peer
 *
 * To be called at least every IVNET_STALL_MS: who has not made a queue go on for so
 * long is not waited for until all that was in the ring then is consumed.
 *
 * Context: Process.
 */
void ivnet_look_for_stalls(struct ivnet *net, u32 slot)
{
	struct ivring_producer *tx;
	struct ivnet_ring *ring;
	bool lost;
	u32 i;

	for (i = 0; i < net->nr_queues; i++) {
		ring = ivnet_ring(net, i, slot);
		tx = &ivnet_pair(net, i, slot)->tx;
		/* A kick may be lost */
		local_bh_disable();
		ivnet_wake(net, i, slot);
		spin_lock(&ring->lock);
		if (ring->waiting && time_after(jiffies, ring->stalls_at)) {
			ring->stalled = true;
			ivnet_give_up(net, i, slot);
		}
		if (!i && net->links[slot].said && !tx->fault &&
		    ivring_refresh_cons(tx))
			ivnet_look_at_hello(net, slot);
		lost = tx->fault;
		spin_unlock(&ring->lock);
		if (lost)
			ivnet_link_lost(net, slot);
		local_bh_enable();
	}
}

/**
 * ivnet_send_hello() - the first record of a session
 * @net: the card
 * @slot: of the peer, whose link has just come up
 *
 * Context: Process.  Nobody else uses the rings yet.
 * Return: whether it was sent.
 */
bool ivnet_send_hello(struct ivnet *net, u32 slot)
{
	struct ivlink_queue *pair = ivnet_pair(net, 0, slot);
	const struct bpf_prog *prog = rcu_access_pointer(net->xdp_prog);
	struct ivnet_link *link = &net->links[slot];
	struct ivnet_hello hello = {
		.features = ivshmem_to_le32(ivnet_features(net, prog)),
		.max_frame = ivshmem_to_le32(ivnet_max_frame(net, prog)),
		.queues = ivshmem_to_le32(READ_ONCE(net->used_queues)),
	};
	void __ivshmem *payload;

	ether_addr_copy(hello.address, net->dev->dev_addr);
	link->hello = hello;
	link->said = true;
	/* The session may be over already: the next step sees it */
	if (ivring_reserve(&pair->tx, sizeof(hello), &payload))
		return false;
	ivshmem_copy_out(payload, &hello, sizeof(hello));
	ivring_commit(&pair->tx, sizeof(hello), IVNET_KIND_HELLO);
	if (ivring_publish(&pair->tx))
		ivshmem_function_kick(net->function, slot);
	return true;
}

/* The ring of a queue: a peer may use fewer than this side */
static u32 ivnet_used_ring(struct ivnet *net, u32 queue, u32 slot)
{
	return queue % max(READ_ONCE(net->links[slot].limits.queues), 1U);
}

/* A frame to one peer, or with a negative @slot to all; false if nobody got it */
static bool ivnet_deliver(struct ivnet *net, u32 queue, int slot,
			  const struct ivnet_source *source, bool publish)
{
	bool sent = false;
	u32 to;

	if (slot >= 0)
		return !ivnet_send(net, ivnet_used_ring(net, queue, slot), slot,
				   source, publish, true);

	for_each_set_bit(to, net->ready, net->nr_links)
		sent |= !ivnet_send(net, ivnet_used_ring(net, queue, to), to,
				    source, true, false);
	return sent;
}

/* What all who get a frame accept of one that is @length long */
static u32 ivnet_accepted(struct ivnet *net, int slot, u32 length)
{
	u32 features = IVNET_FEATURES_KNOWN;
	const struct ivnet_limits *limits;
	u32 to;

	for_each_set_bit(to, net->ready, net->nr_links) {
		limits = &net->links[to].limits;
		if (slot >= 0 && to != slot)
			continue;
		features &= limits->features;
		/* It may be cut */
		if (length > limits->max_frame)
			features &= IVNET_CSUM;
	}
	return features;
}

static netdev_features_t ivnet_offloads(u32 accepted)
{
	netdev_features_t features = NETIF_F_SG;

	if (accepted & IVNET_CSUM)
		features |= NETIF_F_HW_CSUM;
	if (accepted & IVNET_TSO4)
		features |= NETIF_F_TSO;
	if (accepted & IVNET_TSO6)
		features |= NETIF_F_TSO6;
	if (accepted & IVNET_ECN)
		features |= NETIF_F_TSO_ECN;
	if (accepted & IVNET_USO)
		features |= NETIF_F_GSO_UDP_L4;
	/* Who receives looks at headers in any case */
	return features | NETIF_F_GSO_ROBUST;
}

/* One frame that needs no more than @accepted; 0, or -ENOMEM and others */
static int ivnet_xmit_one(struct ivnet *net, u32 queue, int slot,
			  struct sk_buff *skb, u32 accepted, bool publish)
{
	struct ivnet_source source = { .skb = skb };
	struct virtio_net_hdr header;
	int ret;

	if (skb->ip_summed == CHECKSUM_PARTIAL && !(accepted & IVNET_CSUM)) {
		ret = skb_checksum_help(skb);
		if (ret)
			return ret;
	}
	ret = virtio_net_hdr_from_skb(skb, &header, true, true, 0);
	if (ret)
		return ret;
	BUILD_BUG_ON(sizeof(header) > sizeof(source.header));
	memcpy(&source.header, &header, sizeof(header));
	source.length = skb->len;
	return ivnet_deliver(net, queue, slot, &source, publish) ? 0 : -ENOBUFS;
}

/* Cuts what the peers do not accept as one */
static int ivnet_xmit_cut(struct ivnet *net, u32 queue, int slot,
			  struct sk_buff *skb, u32 accepted)
{
	struct sk_buff *segments, *segment, *next;
	int ret = 0;

	segments = skb_gso_segment(skb, ivnet_offloads(accepted) &
					~NETIF_F_GSO_MASK);
	if (IS_ERR_OR_NULL(segments))
		return segments ? PTR_ERR(segments) : -EINVAL;

	skb_list_walk_safe(segments, segment, next) {
		skb_mark_not_on_list(segment);
		ret = ivnet_xmit_one(net, queue, slot, segment, accepted, true) ?:
		      ret;
		dev_kfree_skb_any(segment);
	}
	return ret;
}

static bool ivnet_is_accepted(const struct sk_buff *skb, u32 accepted)
{
	return !skb_is_gso(skb) ||
	       net_gso_ok(ivnet_offloads(accepted), skb_shinfo(skb)->gso_type);
}

/* The peer whose queue this is, if the frame is for the peer alone; -ENOENT: all */
static int ivnet_receiver(struct ivnet *net, const struct sk_buff *skb)
{
	const struct ethhdr *eth = (const struct ethhdr *)skb->data;

	if (skb_headlen(skb) < ETH_HLEN || is_multicast_ether_addr(eth->h_dest))
		return -ENOENT;
	return ivnet_fdb_find(net, eth->h_dest);
}

/**
 * ivnet_select_queue() - each peer's frames have queues of their own
 * @dev: the network device
 * @skb: the frame
 * @sb_dev: not used
 *
 * Context: Bottom halves are off.
 * Return: the transmit queue.
 */
u16 ivnet_select_queue(struct net_device *dev, struct sk_buff *skb,
		       struct net_device *sb_dev)
{
	struct ivnet *net = netdev_priv(dev);
	u32 used = READ_ONCE(net->used_queues);
	int slot = ivnet_receiver(net, skb);
	u32 queue = 0;

	if (slot >= 0)
		used = clamp(net->links[slot].limits.queues, 1U, used);
	if (used > 1)
		queue = reciprocal_scale(skb_get_hash(skb), used);
	return (slot >= 0 ? slot : net->slot) * net->nr_queues + queue;
}

/**
 * ivnet_start_xmit() - send a frame
 * @skb: the frame
 * @dev: the network device
 *
 * Frames of a batch are shown to the peer together, but for those to another peer
 * than the queue's: its station was learned after the queue was chosen.
 *
 * Context: Bottom halves are off, the transmit queue's lock is held.
 * Return: NETDEV_TX_OK.
 */
netdev_tx_t ivnet_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct ivnet *net = netdev_priv(dev);
	u32 index = skb_get_queue_mapping(skb);
	u32 queue = index % net->nr_queues;
	int slot = ivnet_receiver(net, skb);
	u32 own = index / net->nr_queues;
	bool more = netdev_xmit_more();
	u32 length = skb->len;
	u32 accepted;
	int ret;

	skb_tx_timestamp(skb);
	accepted = ivnet_accepted(net, slot, length);
	if (skb_headlen(skb) < ETH_HLEN ||
	    !ivshmem_function_intact(net->function))
		ret = -EINVAL;
	else if (ivnet_is_accepted(skb, accepted))
		ret = ivnet_xmit_one(net, queue, slot, skb, accepted,
				     !more || slot != own);
	else
		ret = ivnet_xmit_cut(net, queue, slot, skb, accepted);

	/* The batch ends with a frame that did not show what came before */
	if (!more && own != net->slot && (ret || slot != own))
		ivnet_publish(net, ivnet_used_ring(net, queue, own), own);

	if (slot < 0)
		atomic_long_inc(&net->tx_flooded);
	if (ret) {
		atomic_long_inc(&net->tx_dropped);
		dev_kfree_skb_any(skb);
	} else {
		ivnet_count_frame(net, queue, own, length);
		dev_consume_skb_any(skb);
	}
	return NETDEV_TX_OK;
}

/**
 * ivnet_send_flat() - send a frame that is in one piece, and needs nothing
 * @net: the card
 * @queue: of the rings
 * @data: the frame
 * @length: its bytes, ETH_HLEN or more
 *
 * Context: Softirq.
 * Return: whether somebody gets it.
 */
bool ivnet_send_flat(struct ivnet *net, u32 queue, const void *data, u32 length)
{
	struct ivnet_source source = { .flat = data, .length = length };
	const struct ethhdr *eth = data;
	int slot = -ENOENT;

	if (!ivshmem_function_intact(net->function))
		return false;
	if (!is_multicast_ether_addr(eth->h_dest))
		slot = ivnet_fdb_find(net, eth->h_dest);
	return ivnet_deliver(net, queue, slot, &source, true);
}
