// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses all of the shared format, for compilers only: as C, as C++ and as a
 * module.
 */
#include "every_call.h"

#ifdef __KERNEL__
#include <linux/module.h>

MODULE_DESCRIPTION("compiles the shared format");
MODULE_LICENSE("GPL");
#endif

int every_call(struct ivring_producer *p, struct ivring_consumer *c,
	       void __ivshmem *memory, struct ivring_tx __ivshmem *tx,
	       struct ivring_rx __ivshmem *rx)
{
	void __ivshmem *to;
	const void __ivshmem *from;
	__u32 length, kind;
	char text[8] = "payload";
	int ret;

	ivring_producer_init(p, memory, IVRING_SIZE_MIN, tx, rx);
	ivring_consumer_init(c, memory, IVRING_SIZE_MIN, rx, tx);
	ret = ivring_reserve(p, sizeof(text), &to);
	if (ret)
		return ivring_want_space(p, sizeof(text)) ? ret : -EAGAIN;
	ivshmem_copy_out(to, text, sizeof(text));
	ivring_commit(p, sizeof(text), 1);
	if (ivring_publish(p))
		return 1;
	ret = ivring_peek(c, &from, &length, &kind);
	if (ret)
		return ivring_want_data(c) ? ret : -EAGAIN;
	ivshmem_prefetch(from);
	ivshmem_copy_in(text, from, sizeof(text));
	ivring_advance(c);
	return ivring_release(c) ? text[0] : 0;
}

/* Reads a superblock, and writes it again */
int every_call_of_wire(__u8 __ivshmem *memory, struct ivregion_superblock *copy,
		       struct ivregion *region)
{
	struct ivregion_superblock __ivshmem *there;
	enum ivregion_error error;

	there = (struct ivregion_superblock __ivshmem *)memory;
	ivregion_read(there, copy);
	error = ivregion_parse(copy, 1U << 20, region);
	if (error)
		return ivregion_error_text(error)[0];
	if (!ivregion_intact(there, region))
		return -EAGAIN;
	ivregion_erase(there);
	copy->checksum = ivshmem_to_le32(ivregion_checksum(copy));
	ivregion_write(memory, copy, region);
	return 0;
}

/* Joins, looks at itself, and leaves */
int every_call_of_peer(__u8 __ivshmem *memory, struct ivpeer *peer, __u32 slot)
{
	static const char name[IVREGION_PEER_NAME] = "name";
	struct ivregion_peer_line __ivshmem *line;
	struct ivregion_server_line __ivshmem *server;
	enum ivpeer_event event;

	line = (struct ivregion_peer_line __ivshmem *)
	       (memory + ivregion_peer_offset(slot));
	server = (struct ivregion_server_line __ivshmem *)
		 (memory + ivregion_server_offset(slot));
	ivpeer_init(peer);
	ivpeer_join(line, ivpeer_fresh_epoch(1, peer->epoch), 1, name);
	event = ivpeer_look(peer, line, server, IVPEER_BEAT_MS);
	ivpeer_leave(line);
	return (int)event;
}

/* Claims a slot, and settles there */
int every_call_of_slot(__u8 __ivshmem *memory, struct ivslot_seen *seen,
		       const struct ivpeer *peer)
{
	struct ivregion_peer_line __ivshmem *line;
	struct ivregion_server_line __ivshmem *server;
	struct ivslot_claim claim;

	line = (struct ivregion_peer_line __ivshmem *)
	       (memory + ivregion_peer_offset(0));
	server = (struct ivregion_server_line __ivshmem *)
		 (memory + ivregion_server_offset(0));
	ivslot_forget(seen);
	ivslot_see(seen, peer, ivslot_is_served(server), 0);
	if (ivslot_choose(seen, 1, IVSLOT_NONE, IVSLOT_NONE, 0) == IVSLOT_NONE ||
	    !ivslot_unchanged(seen, line))
		return -EAGAIN;
	ivslot_claimed(&claim, 0, 0);
	return ivslot_settled(&claim, IVSLOT_CLAIM_MS);
}

/* Begins a link with the next slot, and ends it */
int every_call_of_link(__u8 __ivshmem *memory, const struct ivregion *region,
		       struct ivlink *link, struct ivlink_queue *queues)
{
	unsigned int events;

	ivlink_init(link, memory, region, &region->sections[0], 0, 1, queues);
	ivlink_start(link);
	events = ivlink_step(link, 0, 1);
	if (ivlink_check(link))
		events |= ivlink_end(link, IVRING_TAMPERED, 0);
	if (ivlink_resting(link, 0))
		return -EAGAIN;
	return (int)(events | ivlink_stop(link));
}

/* Takes what a peer says of itself */
int every_call_of_net(struct ivnet_limits *limits, const struct ivnet_hello *hello)
{
	if (!ivnet_parse_hello(limits, hello, sizeof(*hello), 1))
		return -EPROTO;
	return (int)limits->features;
}
