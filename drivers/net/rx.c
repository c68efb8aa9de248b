// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving: one NAPI instance a queue looks at the rings of all peers, copies what
 * is there into private memory, and only then looks at it.
 */
#include <linux/etherdevice.h>
#include <linux/filter.h>
#include <linux/interrupt.h>
#include <linux/sched/clock.h>

#include "ivnet.h"

/* What a look at a ring found */
enum ivnet_found {
	IVNET_NOTHING,
	IVNET_SOMETHING,
	IVNET_BROKEN,
};

/* A private copy of a frame */
static struct sk_buff *ivnet_copy_frame(struct ivnet_queue *queue,
					const u8 __ivshmem *frame, u32 length)
{
	u32 head = length <= IVNET_RX_LINEAR ? length : IVNET_RX_HEAD;
	struct sk_buff *skb = napi_alloc_skb(&queue->napi, head);

	if (!skb)
		return NULL;
	ivshmem_copy_in(__skb_put(skb, head), frame, head);
	if (ivnet_add_pages(queue, skb, frame + head, length - head))
		return skb;
	dev_kfree_skb_any(skb);
	return NULL;
}

/* Whether a frame needs no more than @features, and says so itself */
static bool ivnet_is_agreed(u32 features, const struct virtio_net_hdr *header)
{
	u32 needed = 0;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		needed |= IVNET_CSUM;
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needed |= IVNET_ECN;

	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		/* ECN says something of segments */
		if (header->gso_type || header->gso_size)
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needed |= IVNET_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needed |= IVNET_TSO6;
		break;
#ifdef VIRTIO_NET_HDR_GSO_UDP_L4
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		needed |= IVNET_USO;
		break;
#endif
	default:
		return false;
	}
	/* Who cuts needs to know where the checksum is */
	return (features & needed) == needed &&
	       (!header->gso_type || needed & IVNET_CSUM);
}

/* Whether what is to be cut is of the protocol that is said */
static bool ivnet_is_protocol(const struct sk_buff *skb,
			      const struct virtio_net_hdr *header)
{
	const struct ethhdr *eth = (const struct ethhdr *)skb->data;
	__be16 protocol;

	if (!header->gso_type)
		return true;
	protocol = __vlan_get_protocol(skb, eth->h_proto, NULL);
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return protocol == htons(ETH_P_IP);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return protocol == htons(ETH_P_IPV6);
	default:
		return protocol == htons(ETH_P_IP) ||
		       protocol == htons(ETH_P_IPV6);
	}
}

/* Gives a frame to the stack; false if it is not one */
static bool ivnet_receive(struct ivnet_queue *queue, u32 slot,
			  struct sk_buff *skb,
			  const struct virtio_net_hdr *header)
{
	struct ivnet *net = queue->net;
	struct ethhdr *eth = (struct ethhdr *)skb->data;

	if (is_multicast_ether_addr(eth->h_source) ||
	    ether_addr_equal(eth->h_source, net->dev->dev_addr) ||
	    !ivnet_is_protocol(skb, header))
		return false;
	if (header->flags & VIRTIO_NET_HDR_F_DATA_VALID &&
	    net->dev->features & NETIF_F_RXCSUM)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (virtio_net_hdr_to_skb(skb, header, true))
		return false;

	ivnet_fdb_learn(net, eth->h_source, slot, false);
	skb_record_rx_queue(skb, queue->index);
	skb->protocol = eth_type_trans(skb, net->dev);
	napi_gro_receive(&queue->napi, skb);
	return true;
}

static void ivnet_count_received(struct ivnet *net, struct ivnet_ring *ring,
				 int ret, u32 length)
{
	struct ivnet_counters *counters = &ring->counters;

	u64_stats_update_begin(&counters->rx_sync);
	if (!ret) {
		u64_stats_inc(&counters->rx_packets);
		u64_stats_add(&counters->rx_bytes, length);
	} else if (ret == -ENOMEM) {
		u64_stats_inc(&counters->rx_dropped);
	} else {
		u64_stats_inc(&counters->rx_errors);
	}
	u64_stats_update_end(&counters->rx_sync);

	if (!ret)
		dev_sw_netstats_rx_add(net->dev, length);
	else if (ret == -ENOMEM)
		atomic_long_inc(&net->rx_dropped);
	else
		atomic_long_inc(&net->rx_errors);
}

/* One frame with its header; 0, -EINVAL (not a frame), -ENOMEM */
static int ivnet_take_frame(struct ivnet_queue *queue, u32 slot,
			    const u8 __ivshmem *payload, u32 length)
{
	struct ivnet *net = queue->net;
	struct virtio_net_hdr header;
	struct ivnet_frame copy;
	struct bpf_prog *prog = rcu_dereference_bh(net->xdp_prog);
	struct sk_buff *skb;

	if (length < sizeof(copy) + IVNET_FRAME_MIN)
		return -EINVAL;
	ivshmem_copy_in(&copy, payload, sizeof(copy));
	payload += sizeof(copy);
	length -= sizeof(copy);
	memcpy(&header, &copy, sizeof(header));
	/* A program may be new: what is in the ring was sent without it */
	if (length > ivnet_max_frame(net, prog) ||
	    !ivnet_is_agreed(ivnet_features(net, prog), &header))
		return -EINVAL;

	if (prog) {
		/* What was said of the frame says nothing of the program's */
		memset(&header, 0, sizeof(header));
		skb = ivnet_xdp_run(queue, prog, payload, length);
		/* The program has taken it */
		if (!skb)
			return 0;
	} else {
		skb = ivnet_copy_frame(queue, payload, length);
		if (!skb)
			return -ENOMEM;
	}
	if (IS_ERR(skb))
		return PTR_ERR(skb);

	if (skb->len < ETH_HLEN || !ivnet_receive(queue, slot, skb, &header)) {
		dev_kfree_skb_any(skb);
		return -EINVAL;
	}
	return 0;
}

/* What another slot has by default is nobody else's for good */
static bool ivnet_is_others(const struct ivnet *net, const u8 *address,
			    u32 slot)
{
	u8 last = address[ETH_ALEN - 1];

	return !memcmp(address, net->dev->perm_addr, ETH_ALEN - 1) &&
	       last < net->nr_links && last != slot;
}

/* The peer's hello, which must be the first record */
static bool ivnet_take_hello(struct ivnet *net, u32 slot,
			     const void __ivshmem *payload, u32 length)
{
	struct ivnet_link *link = &net->links[slot];
	struct ivnet_hello hello;

	if (length < sizeof(hello) || test_bit(slot, net->ready))
		return false;
	ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (!ivnet_parse_hello(&link->limits, &hello, length, net->nr_queues))
		return false;

	ivnet_fdb_learn(net, link->limits.address, slot,
			!ivnet_is_others(net, link->limits.address, slot));
	/* Limits before the bit; pairs with test_bit_acquire() by who sends */
	smp_mb__before_atomic();
	set_bit(slot, net->ready);
	/* Carrier, and the queues that had to wait for this */
	mod_delayed_work(system_percpu_wq, &net->work, 0);
	ivnet_napi_schedule(net);
	return true;
}

static enum ivnet_found ivnet_take_record(struct ivnet_queue *queue, u32 slot,
					  struct ivring_consumer *rx)
{
	struct ivnet *net = queue->net;
	const void __ivshmem *payload;
	u32 length, kind;
	int ret;

	ret = ivring_peek(rx, &payload, &length, &kind);
	if (ret == -EAGAIN)
		return IVNET_NOTHING;
	if (ret)
		return IVNET_BROKEN;

	if (kind == IVNET_KIND_HELLO) {
		if (queue->index ||
		    !ivnet_take_hello(net, slot, payload, length)) {
			rx->fault = IVRING_BAD_RECORD;
			return IVNET_BROKEN;
		}
	} else if (!test_bit(slot, net->ready)) {
		rx->fault = IVRING_BAD_RECORD;
		return IVNET_BROKEN;
	} else if (kind == IVNET_KIND_FRAME) {
		ret = ivnet_take_frame(queue, slot, payload, length);
		ivnet_count_received(net, &net->links[slot].rings[queue->index],
				     ret, length - sizeof(struct ivnet_frame));
	}
	ivring_advance(rx);
	return IVNET_SOMETHING;
}

/* Whether the rings may be used; frames on other queues come after the hello */
static bool ivnet_may_poll(const struct ivnet_queue *queue, u32 slot)
{
	const struct ivnet *net = queue->net;

	/* Pairs with ivnet_link_up(), and with ivnet_take_hello() */
	return test_bit_acquire(slot, net->up) &&
	       (!queue->index || test_bit_acquire(slot, net->ready));
}

/* Up to @quota records of one peer; how many there were */
static int ivnet_poll_link(struct ivnet_queue *queue, u32 slot, int quota)
{
	struct ivnet *net = queue->net;
	struct ivnet_ring *ring = &net->links[slot].rings[queue->index];
	struct ivring_consumer *rx =
		&net->links[slot].queues[queue->index].rx;
	enum ivnet_found found = IVNET_SOMETHING;
	int done = 0;

	if (!ivnet_may_poll(queue, slot))
		return 0;

	while (done < quota) {
		found = ivnet_take_record(queue, slot, rx);
		if (found != IVNET_SOMETHING)
			break;
		done++;
	}

	if (found == IVNET_BROKEN) {
		ivnet_link_lost(net, slot);
		return done;
	}
	if (done && ivring_release(rx)) {
		u64_stats_update_begin(&ring->counters.rx_sync);
		u64_stats_inc(&ring->counters.rx_kicks);
		u64_stats_update_end(&ring->counters.rx_sync);
		ivshmem_function_kick(net->function, slot);
	}
	ivnet_wake(net, queue->index, slot);
	return done;
}

/* All peers in turn, each a share of the budget, until nobody has anything */
static int ivnet_poll_links(struct ivnet_queue *queue, int budget)
{
	struct ivnet *net = queue->net;
	int done = 0, before, share;
	u32 n, slot = queue->turn;

	share = budget / max(bitmap_weight(net->up, net->nr_links), 1U);
	do {
		before = done;
		for (n = 0; n < net->nr_links && done < budget; n++) {
			slot = slot + 1 < net->nr_links ? slot + 1 : 0;
			done += ivnet_poll_link(queue, slot,
						clamp(share, 1, budget - done));
		}
	} while (done < budget && done != before);

	queue->turn = slot;
	return done;
}

/* Looks for a while whether something comes: cheaper than an interrupt */
static bool ivnet_wait(struct ivnet_queue *queue)
{
	struct ivnet *net = queue->net;
	struct ivring_consumer *rx;
	u32 slot;

	while (local_clock() < queue->until && !need_resched() &&
	       !local_softirq_pending()) {
		for_each_set_bit(slot, net->up, net->nr_links) {
			if (!ivnet_may_poll(queue, slot))
				continue;
			rx = &net->links[slot].queues[queue->index].rx;
			if (ivshmem_load32(&rx->peer->prod) != rx->prod)
				return true;
		}
		cpu_relax();
	}
	return false;
}

/* Asks all peers to ring; false if there is something already */
static bool ivnet_arm(struct ivnet_queue *queue)
{
	struct ivnet *net = queue->net;
	struct ivring_consumer *rx;
	struct ivnet_ring *ring;
	bool idle = true;
	u32 slot;

	for_each_set_bit(slot, net->up, net->nr_links) {
		if (!ivnet_may_poll(queue, slot))
			continue;
		rx = &net->links[slot].queues[queue->index].rx;
		ring = &net->links[slot].rings[queue->index];
		/*
		 * What was asked for once holds until it comes, unless the word
		 * is overwritten or the doorbell lost
		 */
		if (ring->armed && ring->armed_at == rx->next &&
		    time_before(jiffies, ring->arm_again))
			continue;
		ring->armed = true;
		ring->armed_at = rx->next;
		ring->arm_again = jiffies + msecs_to_jiffies(IVNET_STALL_MS) / 2;
		if (ivring_want_data(rx))
			idle = false;
	}
	return idle;
}

/**
 * ivnet_poll() - receive
 * @napi: of a queue
 * @budget: most frames
 *
 * Context: Softirq.
 * Return: frames received.
 */
int ivnet_poll(struct napi_struct *napi, int budget)
{
	struct ivnet_queue *queue = container_of(napi, struct ivnet_queue, napi);
	struct ivnet *net = queue->net;
	int done = 0;

	/* Only sent frames are to be looked at: there is nothing to do for them */
	if (!budget)
		return 0;
	/* There have just become fewer queues */
	if (queue->index >= READ_ONCE(net->used_queues)) {
		napi_complete_done(napi, 0);
		return 0;
	}
	if (ivshmem_function_intact(net->function))
		done = ivnet_poll_links(queue, budget);
	if (queue->redirected)
		ivnet_xdp_flush(queue);
	if (done >= budget)
		return budget;
	if (done && READ_ONCE(net->poll_usecs)) {
		/* The stack gets the frames when this returns: look on then */
		queue->until = local_clock() +
			       READ_ONCE(net->poll_usecs) * NSEC_PER_USEC;
		return budget;
	}
	if (!done && ivnet_wait(queue))
		return budget;

	/* Who rings from here on is remembered until it is complete */
	if (ivshmem_function_intact(net->function) && !ivnet_arm(queue))
		return budget;
	napi_complete_done(napi, done);
	return done;
}
