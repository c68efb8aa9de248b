// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP programs that the tests load.  They act on UDP over IPv4 to
 * one port each and let everything else pass.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define SWAP_PORT 7

/* Where the program with an interface of its own redirects to */
#ifndef TARGET
#define TARGET 0
#endif

struct packet {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

static long (*const redirect)(__u32 ifindex, __u64 flags) =
	(void *)BPF_FUNC_redirect;
static long (*const adjust_head)(struct xdp_md *context, int delta) =
	(void *)BPF_FUNC_xdp_adjust_head;

static inline struct packet *wanted(struct xdp_md *context)
{
	struct packet *packet = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;

	if ((void *)(packet + 1) > end ||
	    packet->eth.h_proto != __builtin_bswap16(ETH_P_IP) ||
	    packet->ip.ihl != 5 || packet->ip.protocol != IPPROTO_UDP ||
	    packet->udp.dest != __builtin_bswap16(SWAP_PORT))
		return NULL;
	return packet;
}

/* Back to where it came from; the sums of checksums stay as they are */
static inline void turn(struct packet *packet)
{
	unsigned char station[ETH_ALEN];
	__be32 address;
	__be16 port;

	__builtin_memcpy(station, packet->eth.h_dest, ETH_ALEN);
	__builtin_memcpy(packet->eth.h_dest, packet->eth.h_source, ETH_ALEN);
	__builtin_memcpy(packet->eth.h_source, station, ETH_ALEN);
	address = packet->ip.daddr;
	packet->ip.daddr = packet->ip.saddr;
	packet->ip.saddr = address;
	port = packet->udp.dest;
	packet->udp.dest = packet->udp.source;
	packet->udp.source = port;
}

SEC("xdp") int xdp_pass(struct xdp_md *context)
{
	return XDP_PASS;
}

SEC("xdp") int xdp_drop(struct xdp_md *context)
{
	return wanted(context) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int xdp_abort(struct xdp_md *context)
{
	return wanted(context) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp") int xdp_unknown(struct xdp_md *context)
{
	return wanted(context) ? 77 : XDP_PASS;
}

SEC("xdp") int xdp_tx(struct xdp_md *context)
{
	struct packet *packet = wanted(context);

	if (!packet)
		return XDP_PASS;
	turn(packet);
	return XDP_TX;
}

/* Out of the interface that it came in by */
SEC("xdp") int xdp_back(struct xdp_md *context)
{
	struct packet *packet = wanted(context);

	if (!packet)
		return XDP_PASS;
	turn(packet);
	return redirect(context->ingress_ifindex, 0);
}

SEC("xdp") int xdp_away(struct xdp_md *context)
{
	return wanted(context) ? redirect(TARGET, 0) : XDP_PASS;
}

/* Moves the start of the frame to and fro, which needs room before it */
SEC("xdp") int xdp_moved(struct xdp_md *context)
{
	struct packet *packet;

	if (!wanted(context))
		return XDP_PASS;
	if (adjust_head(context, -64) || adjust_head(context, 64))
		return XDP_DROP;
	packet = wanted(context);
	if (!packet)
		return XDP_DROP;
	turn(packet);
	return XDP_TX;
}

SEC("license") char licence[] = "GPL";
