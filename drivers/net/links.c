// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links to the other peers: brings them up and down, says hello, and finds out who
 * does not empty its rings.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>

#include "ivnet.h"

static u32 ivnet_now(void)
{
	return ktime_to_ms(ktime_get());
}

/**
 * ivnet_features() - what this side accepts, for the hello
 * @net: the card
 * @prog: the program that runs on what arrives, or NULL
 *
 * Context: Any.
 * Return: IVNET_CSUM and others.
 */
u32 ivnet_features(const struct ivnet *net, const struct bpf_prog *prog)
{
	u32 features = IVNET_CSUM | IVNET_TSO4 | IVNET_TSO6 | IVNET_ECN;

	/* A program sees frames as they would be on a wire */
	if (prog ||
	    !(net->dev->features & NETIF_F_RXCSUM))
		return 0;
#ifdef VIRTIO_NET_HDR_GSO_UDP_L4
	features |= IVNET_USO;
#endif
	return features;
}

/**
 * ivnet_max_frame() - bytes of the longest frame that this side accepts
 * @net: the card
 * @prog: the program that runs on what arrives, or NULL
 *
 * Context: Any.
 * Return: bytes, with all headers.
 */
u32 ivnet_max_frame(const struct ivnet *net, const struct bpf_prog *prog)
{
	if (prog)
		return min_t(u32, net->max_record, IVNET_XDP_MAX);
	/* The kernel cuts nothing that is longer */
	return min3(net->max_record, (u32)IVNET_RX_MAX,
		    (u32)(GSO_MAX_SIZE + ETH_HLEN + VLAN_HLEN));
}

/**
 * ivnet_napi_schedule() - let all queues be looked at
 * @net: the card
 *
 * Context: Any.
 */
void ivnet_napi_schedule(struct ivnet *net)
{
	u32 i;

	for (i = 0; i < READ_ONCE(net->used_queues); i++)
		napi_schedule(&net->queues[i].napi);
}

/**
 * ivnet_link_lost() - a ring of the link is broken, or its session over
 * @net: the card
 * @slot: of the peer
 *
 * Context: Softirq.  The bits of the link are not set any more afterwards.
 */
void ivnet_link_lost(struct ivnet *net, u32 slot)
{
	bool first = test_and_clear_bit(slot, net->ready);

	if (test_and_clear_bit(slot, net->up) || first)
		mod_delayed_work(system_percpu_wq, &net->work, 0);
}

/*
 * Afterwards nobody but the caller touches the rings of slots from @first to @last,
 * until a link is up again.
 */
static void ivnet_quiesce(struct ivnet *net, u32 first, u32 last)
{
	bool quiet = true, again = false;
	u32 slot;

	for (slot = first; slot <= last; slot++) {
		clear_bit(slot, net->ready);
		clear_bit(slot, net->up);
		quiet &= net->links[slot].quiet;
	}
	if (quiet)
		return;

	/* Whoever saw the bits runs with bottom halves off */
	synchronize_net();
	/* A hello was just being taken; nobody takes another */
	for (slot = first; slot <= last; slot++)
		again |= test_and_clear_bit(slot, net->ready);
	if (again)
		synchronize_net();
	for (slot = first; slot <= last; slot++)
		net->links[slot].quiet = true;
}

static void ivnet_carrier(struct ivnet *net)
{
	if (net->open && !bitmap_empty(net->ready, net->nr_links))
		netif_carrier_on(net->dev);
	else
		netif_carrier_off(net->dev);
}

/* The session is over: what waits for it need not any more */
static void ivnet_link_down(struct ivnet *net, u32 slot)
{
	ivnet_quiesce(net, slot, slot);
	ivnet_fdb_forget(net, slot);
	ivnet_queues_reset(net, slot);
}

static void ivnet_count_fault(struct ivnet *net, u32 slot)
{
	struct ivnet_link *link = &net->links[slot];

	if (link->link.reason == IVRING_STALE)
		return;
	link->faults++;
	if (net_ratelimit())
		netdev_warn(net->dev, "peer in slot %u: link is broken (%d)\n",
			    slot, link->link.reason);
}

static void ivnet_link_up(struct ivnet *net, u32 slot)
{
	struct ivnet_link *link = &net->links[slot];
	u32 i;

	for (i = 0; i < net->nr_queues; i++)
		link->rings[i].armed = false;
	if (!ivnet_send_hello(net, slot))
		return;
	ivnet_queues_reset(net, slot);

	link->quiet = false;
	/* All of the above before; pairs with ivnet_may_poll() */
	smp_mb__before_atomic();
	set_bit(slot, net->up);
	/* The peer may have said hello already */
	local_bh_disable();
	ivnet_napi_schedule(net);
	local_bh_enable();
}

static void ivnet_link_stop(struct ivnet *net, u32 slot)
{
	struct ivlink *link = &net->links[slot].link;

	if (link->state == IVLINK_DOWN)
		return;
	ivnet_link_down(net, slot);
	ivshmem_link_stop(net->function, slot, link);
}

/* Why the session has to end, before anything else is done */
static enum ivring_fault ivnet_link_verdict(struct ivnet_link *link,
					    const struct ivpeer *peer)
{
	if (link->link.state != IVLINK_UP)
		return IVRING_OK;
	if (link->restart || (peer->state == IVPEER_ALIVE &&
			      ivlink_is_orphan(&link->link, peer->epoch,
					       ivnet_now())))
		return IVRING_STALE;
	return ivlink_check(&link->link);
}

/* Does what is due for a link; returns when to come back, in milliseconds */
static u32 ivnet_link_step(struct ivnet *net, u32 slot)
{
	struct ivnet_link *link = &net->links[slot];
	enum ivring_fault reason;
	unsigned int events = 0;
	struct ivpeer peer;

	ivshmem_function_peer(net->function, slot, &peer);
	if (peer.state == IVPEER_ABSENT)
		ivnet_link_stop(net, slot);
	else if (peer.state == IVPEER_ALIVE)
		ivlink_start(&link->link);
	assign_bit(slot, net->silent, peer.state == IVPEER_SILENT);

	reason = ivnet_link_verdict(link, &peer);
	if (reason) {
		ivnet_quiesce(net, slot, slot);
		/* Another look could find all well again, and nobody to use it */
		events = ivlink_end(&link->link, reason, ivnet_now());
	}
	link->restart = false;

	events |= ivlink_step(&link->link, ivnet_now(), get_random_u32());
	if (events & IVLINK_WENT_DOWN) {
		ivnet_link_down(net, slot);
		ivnet_count_fault(net, slot);
	}
	if (events & IVLINK_WENT_UP)
		ivnet_link_up(net, slot);
	if (events & IVLINK_KICK)
		ivshmem_function_kick(net->function, slot);

	if (link->link.state == IVLINK_UP)
		ivnet_look_for_stalls(net, slot);
	if (link->link.state == IVLINK_DOWN ||
	    (link->link.state == IVLINK_UP &&
	     ivshmem_function_is_rung(net->function)))
		return IVNET_STALL_MS;
	return IVLINK_STEP_MS;
}

static bool ivnet_is_unsettled(const struct ivnet_link *link)
{
	return link->link.state == IVLINK_ANNOUNCE ||
	       link->link.state == IVLINK_WAIT;
}

/**
 * ivnet_links_work() - step all links
 * @work: of a card
 *
 * Runs when something has happened, and from time to time.
 *
 * Context: Process.
 */
void ivnet_links_work(struct work_struct *work)
{
	struct ivnet *net = container_of(to_delayed_work(work), struct ivnet,
					 work);
	u32 slot, next = IVNET_STALL_MS;
	bool unsettled = false;

	mutex_lock(&net->lock);
	for (slot = 0; net->open && slot < net->nr_links; slot++) {
		/* What is there belongs to others by now */
		if (!ivshmem_function_intact(net->function))
			break;
		if (slot == net->slot)
			continue;
		next = min(next, ivnet_link_step(net, slot));
		unsettled |= ivnet_is_unsettled(&net->links[slot]);
	}
	WRITE_ONCE(net->unsettled, unsettled);
	ivnet_carrier(net);
	if (net->open) {
		/* A doorbell may be lost */
		local_bh_disable();
		ivnet_napi_schedule(net);
		local_bh_enable();
		ivnet_fdb_age(net);
		queue_delayed_work(system_percpu_wq, &net->work,
				   msecs_to_jiffies(next));
	}
	mutex_unlock(&net->lock);
}

/**
 * ivnet_links_restart() - begin anew with all peers, and a new hello
 * @net: the card
 *
 * Context: Process; may sleep.
 */
void ivnet_links_restart(struct ivnet *net)
{
	u32 slot;

	mutex_lock(&net->lock);
	for (slot = 0; slot < net->nr_links; slot++)
		net->links[slot].restart = true;
	mutex_unlock(&net->lock);
	mod_delayed_work(system_percpu_wq, &net->work, 0);
}

/**
 * ivnet_links_stop() - end all links, until the interface is up again
 * @net: the card
 *
 * Context: Process; may sleep.
 */
void ivnet_links_stop(struct ivnet *net)
{
	u32 slot;

	mutex_lock(&net->lock);
	net->open = false;
	ivnet_quiesce(net, 0, net->nr_links - 1);
	for (slot = 0; slot < net->nr_links; slot++)
		if (slot != net->slot)
			ivnet_link_stop(net, slot);
	ivnet_carrier(net);
	mutex_unlock(&net->lock);
}
