// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames from a TAP device into the rings to the peers, and out of theirs.
 * Each is copied into private memory before anything of it is looked at.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "segment.h"

/* What was committed, and what was released, is shown at this share of a ring */
#define BATCH_SHARE	4
/* For so long a TAP device may take nothing, until frames are dropped */
#define BLOCKED_MS	1000

static struct ivring_producer *producer(struct segment *seg, uint32_t slot)
{
	return &seg->base.links[slot].queues[SEGMENT_QUEUE].tx;
}

static struct ivring_consumer *consumer(struct segment *seg, uint32_t slot)
{
	return &seg->base.links[slot].queues[SEGMENT_QUEUE].rx;
}

void segment_greet(struct segment *seg, uint32_t slot)
{
	struct ivring_producer *p = producer(seg, slot);
	struct ivnet_hello hello = {
		.features = ivshmem_to_le32(seg->tap.accepts),
		.max_frame = ivshmem_to_le32(seg->max_frame),
		.queues = ivshmem_to_le32(1),
	};
	void *payload;

	memcpy(hello.address, seg->tap.address, sizeof(hello.address));
	if (ivring_reserve(p, sizeof(hello), &payload)) {
		links_end(&seg->base, slot, p->fault);
		return;
	}
	ivshmem_copy_out(payload, &hello, sizeof(hello));
	ivring_commit(p, sizeof(hello), IVNET_KIND_HELLO);
	seg->dirty |= 1ULL << slot;
}

void segment_agree(struct segment *seg)
{
	uint32_t features = seg->tap.accepts, max_frame = FRAME_MAX;
	const struct segment_link *l;
	uint64_t set = seg->base.up;
	bool any = false;

	while (set) {
		l = &seg->links[next_slot(&set)];
		if (!l->greeted)
			continue;
		any = true;
		features &= l->limits.features;
		if (l->limits.max_frame < max_frame)
			max_frame = l->limits.max_frame;
	}
	tap_offload(&seg->tap, features, max_frame);
	tap_carrier(&seg->tap, any);
}

/* The address of a hello is the peer's, unless it is somebody else's. */
static void take_address(struct segment *seg, uint32_t slot)
{
	struct segment_link *l = &seg->links[slot];
	uint64_t key = frame_key(l->limits.address);
	char text[18];

	if (key != frame_key(seg->tap.address) &&
	    stations_claim(&seg->stations, key, slot))
		return;
	l->counters.conflicts++;
	if (links_may_say(&seg->base))
		complain("%s: peer %" PRIu32 " has the address %s of another "
			 "one; give it an address of its own", seg->tap.name,
			 slot, frame_address_text(l->limits.address, text));
}

/* Frames that fit the interface but not the peer are lost. */
static void compare_mtu(struct segment *seg, uint32_t slot)
{
	uint32_t most = seg->links[slot].limits.max_frame - IVNET_FRAME_MIN;

	if (tap_mtu(&seg->tap) > most && links_may_say(&seg->base))
		complain("%s: peer %" PRIu32 " does not take packets of more "
			 "than %" PRIu32 " bytes; lower the MTU: ip link set %s "
			 "mtu %" PRIu32, seg->tap.name, slot, most,
			 seg->tap.name, most);
}

/* Return: whether it can be. */
static bool take_hello(struct segment *seg, uint32_t slot, const void *payload,
		       uint32_t length)
{
	struct segment_link *l = &seg->links[slot];
	struct ivnet_hello hello;

	memset(&hello, 0, sizeof(hello));
	if (length >= sizeof(hello))
		ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (!ivnet_parse_hello(&l->limits, &hello, length,
			       seg->base.section.queues))
		return false;
	if (l->limits.max_frame > seg->max_frame)
		l->limits.max_frame = seg->max_frame;
	l->greeted = true;
	take_address(seg, slot);
	compare_mtu(seg, slot);
	segment_agree(seg);
	return true;
}

/* False if the sender is nobody who can be there. */
static bool learn(struct segment *seg, uint32_t slot, const uint8_t *frame)
{
	const uint8_t *source = frame + FRAME_ADDRESS;
	uint64_t key = frame_key(source);

	if (frame_is_group(source) || key == frame_key(seg->tap.address))
		return false;
	stations_learn(&seg->stations, key, slot, seg->base.now);
	return true;
}

/* False if the TAP device takes nothing more now, and there is time to wait. */
static bool deliver(struct segment *seg, struct segment_link *l,
		    uint32_t length)
{
	int ret = tap_write(&seg->tap, &seg->rx, length);

	if (ret == -EAGAIN) {
		if (!seg->blocked)
			seg->blocked_at = seg->base.now;
		seg->blocked = true;
		if (seg->base.now - seg->blocked_at < BLOCKED_MS)
			return false;
	} else {
		seg->blocked = false;
	}
	if (ret) {
		l->counters.rx_refused++;
	} else {
		l->counters.rx_frames++;
		l->counters.rx_bytes += length;
	}
	return true;
}

/* False if the frame has to wait. */
static bool take_frame(struct segment *seg, uint32_t slot, const void *payload,
		       uint32_t length)
{
	struct segment_link *l = &seg->links[slot];
	uint32_t needs;

	if (length < FRAME_HEADER + IVNET_FRAME_MIN ||
	    length > FRAME_HEADER + seg->max_frame) {
		l->counters.rx_bad++;
		return true;
	}
	ivshmem_copy_in(&seg->rx, payload, length);
	length -= FRAME_HEADER;
	if (!frame_check(&seg->rx.header, length, &needs) ||
	    (needs & ~seg->tap.accepts) ||
	    !learn(seg, slot, seg->rx.frame)) {
		l->counters.rx_bad++;
		return true;
	}
	return deliver(seg, l, length);
}

/* Shows the peer that there is space again; see segment_flush(). */
static void give_back(struct segment *seg, uint32_t slot, bool all)
{
	struct ivring_consumer *c = consumer(seg, slot);

	if ((all || c->next - c->cons >= c->size / BATCH_SHARE) &&
	    ivring_release(c))
		seg->base.links[slot].kick = true;
}

/* The next record; false if there is none, or it has to wait. */
static bool receive_one(struct segment *seg, uint32_t slot)
{
	struct ivring_consumer *c = consumer(seg, slot);
	bool hello, greeted = seg->links[slot].greeted;
	uint32_t length, kind;
	const void *payload;
	int ret;

	ret = ivring_peek(c, &payload, &length, &kind);
	if (ret == -EAGAIN)
		return false;
	if (ret) {
		links_end(&seg->base, slot, c->fault);
		return false;
	}
	/* A hello comes first, and only then. */
	hello = kind == IVNET_KIND_HELLO;
	if (hello == greeted ||
	    (!greeted && !take_hello(seg, slot, payload, length))) {
		links_end(&seg->base, slot, IVRING_BAD_RECORD);
		return false;
	}
	if (kind == IVNET_KIND_FRAME &&
	    !take_frame(seg, slot, payload, length))
		return false;
	ivring_advance(c);
	seg->dirty |= 1ULL << slot;
	give_back(seg, slot, false);
	return true;
}

static unsigned int receive_from(struct segment *seg, uint32_t slot)
{
	unsigned int n = 0;

	while (n < SEGMENT_BATCH && seg->base.up >> slot & 1 &&
	       receive_one(seg, slot))
		n++;
	return n;
}

unsigned int segment_receive(struct segment *seg)
{
	/* Another one is first each time, in case the TAP device is slow. */
	uint64_t later = seg->base.up & ((1ULL << seg->turn) - 1);
	uint64_t first = seg->base.up & ~later;
	unsigned int n = 0;

	seg->turn = (seg->turn + 1) % IVREGION_SLOTS_MAX;
	while (first)
		n += receive_from(seg, next_slot(&first));
	while (later)
		n += receive_from(seg, next_slot(&later));
	return n;
}

/* In the middle of a batch: the peer can begin while we go on. */
static void publish_early(struct segment *seg, uint32_t slot)
{
	if (ivring_publish(producer(seg, slot)))
		links_kick(&seg->base, slot);
}

/* Into one ring.  One that is full does not stop what is for others. */
static void send_to(struct segment *seg, uint32_t slot, uint32_t length,
		    uint32_t needs)
{
	struct ivring_producer *p = producer(seg, slot);
	struct segment_link *l = &seg->links[slot];
	void *payload;
	int ret;

	if (!frame_fits(&l->limits, length, needs)) {
		l->counters.tx_unfit++;
		return;
	}
	ret = ivring_reserve(p, FRAME_HEADER + length, &payload);
	if (ret == -EAGAIN) {
		publish_early(seg, slot);
		l->counters.tx_full++;
		return;
	}
	if (ret) {
		links_end(&seg->base, slot, p->fault);
		return;
	}
	ivshmem_copy_out(payload, &seg->tx, FRAME_HEADER + length);
	ivring_commit(p, FRAME_HEADER + length, IVNET_KIND_FRAME);
	seg->dirty |= 1ULL << slot;
	l->counters.tx_frames++;
	l->counters.tx_bytes += length;
	if (p->next - p->prod >= p->size / BATCH_SHARE)
		publish_early(seg, slot);
}

/* The peers that a frame from the TAP device is for. */
static uint64_t receivers(struct segment *seg)
{
	int slot = -1;

	if (!frame_is_group(seg->tx.frame))
		slot = stations_find(&seg->stations, frame_key(seg->tx.frame),
				     seg->base.now);
	if (slot >= 0)
		return seg->base.up & 1ULL << slot;
	seg->flooded++;
	return seg->base.up;
}

static void send_one(struct segment *seg, uint32_t length)
{
	bool sent = false;
	uint32_t slot, needs;
	uint64_t set;

	if (!frame_check(&seg->tx.header, length, &needs)) {
		seg->malformed++;
		return;
	}
	set = receivers(seg);
	while (set) {
		slot = next_slot(&set);
		if (!seg->links[slot].greeted)
			continue;
		send_to(seg, slot, length, needs);
		sent = true;
	}
	if (!sent)
		seg->nobody++;
}

int segment_send(struct segment *seg)
{
	int n, ret;

	for (n = 0; n < SEGMENT_BATCH; n++) {
		ret = tap_read(&seg->tap, &seg->tx);
		if (ret == -EAGAIN || ret == -EINTR)
			break;
		if (ret >= 0)
			send_one(seg, (uint32_t)ret);
		else if (ret == -EMSGSIZE)
			seg->malformed++;
		else
			return -1;
	}
	return n;
}

void segment_flush(struct segment *seg)
{
	uint64_t set = seg->dirty;
	struct peer_link *l;
	uint32_t slot;

	seg->dirty = 0;
	while (set) {
		slot = next_slot(&set);
		l = &seg->base.links[slot];
		if (ivring_publish(producer(seg, slot)))
			l->kick = true;
		give_back(seg, slot, true);
		if (l->kick)
			links_kick(&seg->base, slot);
	}
}

bool segment_arm(struct segment *seg)
{
	uint64_t set = seg->base.up;
	bool more = false;

	while (set)
		if (ivring_want_data(consumer(seg, next_slot(&set))))
			more = true;
	return more;
}
