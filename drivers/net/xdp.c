// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP: programs that see frames before the stack does.
 *
 * With a program this side's hello asks for frames that fit into a page and need
 * nothing; one that does not is dropped.
 */
#include <linux/bpf_trace.h>
#include <linux/etherdevice.h>
#include <linux/filter.h>
#include IVSHMEM_PAGE_POOL_HEADER

#include "ivnet.h"

static struct sk_buff *ivnet_xdp_pass(struct ivnet_queue *queue,
				      struct xdp_buff *xdp)
{
	u32 meta = xdp->data - xdp->data_meta;
	struct sk_buff *skb;

	skb = napi_build_skb(xdp->data_hard_start, PAGE_SIZE);
	if (!skb)
		return NULL;
	skb_reserve(skb, xdp->data - xdp->data_hard_start);
	__skb_put(skb, xdp->data_end - xdp->data);
	if (meta)
		skb_metadata_set(skb, meta);
	skb_mark_for_recycle(skb);
	skb->dev = queue->net->dev;
	return skb;
}

static bool ivnet_xdp_tx(struct ivnet_queue *queue, const struct xdp_buff *xdp)
{
	struct ivnet *net = queue->net;
	u32 length = xdp->data_end - xdp->data;

	if (!ivnet_send_flat(net, queue->index, xdp->data, length))
		return false;
	dev_sw_netstats_tx_add(net->dev, 1, length);
	return true;
}

/* What became of a frame that is not the stack's */
static void ivnet_xdp_count(struct ivnet_queue *queue, u32 act)
{
	struct ivnet_xdp_counters *counters = &queue->xdp;

	u64_stats_update_begin(&counters->sync);
	u64_stats_inc(&counters->packets);
	if (act == XDP_TX)
		u64_stats_inc(&counters->tx);
	else if (act == XDP_REDIRECT)
		u64_stats_inc(&counters->redirects);
	else if (act != XDP_PASS)
		u64_stats_inc(&counters->drops);
	u64_stats_update_end(&counters->sync);
}

/*
 * Does what the program wants, and returns what became of the frame: XDP_PASS,
 * XDP_REDIRECT (its page is somebody else's), XDP_TX or XDP_DROP.
 */
static u32 ivnet_xdp_act(struct ivnet_queue *queue, struct bpf_prog *prog,
			 struct xdp_buff *xdp)
{
	struct net_device *dev = queue->net->dev;
	u32 act = bpf_prog_run_xdp(prog, xdp);

	switch (act) {
	case XDP_PASS:
	case XDP_DROP:
		return act;
	case XDP_TX:
		if (ivnet_xdp_tx(queue, xdp))
			return act;
		break;
	case XDP_REDIRECT:
		if (!xdp_do_redirect(dev, xdp, prog)) {
			queue->redirected = true;
			return act;
		}
		break;
	case XDP_ABORTED:
		break;
	default:
		bpf_warn_invalid_xdp_action(dev, prog, act);
	}
	trace_xdp_exception(dev, prog, act);
	return XDP_DROP;
}

/**
 * ivnet_xdp_run() - let a program see a frame
 * @queue: that it came on
 * @prog: the program
 * @frame: the frame
 * @length: its bytes, at most IVNET_XDP_MAX
 *
 * Context: Softirq.
 * Return: a private copy for the stack, NULL (the program has taken it), or
 * -ENOMEM.
 */
struct sk_buff *ivnet_xdp_run(struct ivnet_queue *queue, struct bpf_prog *prog,
			      const void __ivshmem *frame, u32 length)
{
	struct page *page = page_pool_dev_alloc_pages(queue->small);
	struct xdp_buff xdp;
	struct sk_buff *skb;
	void *start;
	u32 act;

	if (!page)
		return ERR_PTR(-ENOMEM);

	start = page_address(page);
	ivshmem_copy_in(start + XDP_PACKET_HEADROOM, frame, length);
	xdp_init_buff(&xdp, PAGE_SIZE, &queue->xdp_rxq);
	xdp_prepare_buff(&xdp, start, XDP_PACKET_HEADROOM, length, true);
	act = ivnet_xdp_act(queue, prog, &xdp);
	ivnet_xdp_count(queue, act);
	if (act == XDP_REDIRECT)
		return NULL;
	skb = act == XDP_PASS ? ivnet_xdp_pass(queue, &xdp) : NULL;
	if (skb)
		return skb;
	page_pool_recycle_direct(queue->small, page);
	return act == XDP_PASS ? ERR_PTR(-ENOMEM) : NULL;
}

/**
 * ivnet_xdp_flush() - let others have what programs redirected
 * @queue: that the frames came on
 *
 * Context: Softirq.
 */
void ivnet_xdp_flush(struct ivnet_queue *queue)
{
	queue->redirected = false;
	xdp_do_flush();
}

static int ivnet_xdp_setup(struct ivnet *net, struct bpf_prog *prog,
			   struct netlink_ext_ack *extack)
{
	struct bpf_prog *old = rtnl_dereference(net->xdp_prog);

	if (prog && net->dev->mtu > IVNET_XDP_MAX - ETH_HLEN - VLAN_HLEN) {
		NL_SET_ERR_MSG_MOD(extack,
				   "MTU is too large for a program: 3500 is not");
		return -EOPNOTSUPP;
	}

	rcu_assign_pointer(net->xdp_prog, prog);
	if (old)
		bpf_prog_put(old);
	/* Others are told what this side accepts now */
	if (!old != !prog)
		ivnet_links_restart(net);
	return 0;
}

/**
 * ivnet_xdp() - ndo_bpf
 * @dev: the network device
 * @bpf: what to do
 *
 * Context: Process, with RTNL.
 * Return: 0, -EOPNOTSUPP (the MTU is too large), -EINVAL (another command).
 */
int ivnet_xdp(struct net_device *dev, struct netdev_bpf *bpf)
{
	switch (bpf->command) {
	case XDP_SETUP_PROG:
		return ivnet_xdp_setup(netdev_priv(dev), bpf->prog, bpf->extack);
	default:
		return -EINVAL;
	}
}

/**
 * ivnet_xdp_xmit() - ndo_xdp_xmit: frames that programs of others redirect here
 * @dev: the network device
 * @n: how many
 * @frames: the frames
 * @flags: XDP_XMIT_FLUSH or 0
 *
 * Context: Softirq.
 * Return: how many were sent, from the first on; -EINVAL (unknown flags),
 * -ENETDOWN (the interface is down).
 */
int ivnet_xdp_xmit(struct net_device *dev, int n, struct xdp_frame **frames,
		   u32 flags)
{
	struct ivnet *net = netdev_priv(dev);
	u32 queue = smp_processor_id() % READ_ONCE(net->used_queues);
	struct xdp_frame *frame;
	int i;

	if (flags & ~XDP_XMIT_FLAGS_MASK)
		return -EINVAL;
	if (!netif_running(dev))
		return -ENETDOWN;

	for (i = 0; i < n; i++) {
		frame = frames[i];
		if (xdp_frame_has_frags(frame) || frame->len < ETH_HLEN ||
		    !ivnet_send_flat(net, queue, frame->data, frame->len))
			break;
		dev_sw_netstats_tx_add(dev, 1, frame->len);
		xdp_return_frame_rx_napi(frame);
	}
	return i;
}
