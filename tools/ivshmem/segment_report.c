// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what has happened to a segment's links and frames.
 */
#include <inttypes.h>
#include <stdio.h>

#include "output.h"
#include "segment.h"

static const char *const states[] = {
	[IVLINK_DOWN] = "down",
	[IVLINK_ANNOUNCE] = "resting",
	[IVLINK_WAIT] = "waiting",
	[IVLINK_UP] = "up",
};

static const struct {
	uint32_t feature;
	const char *name;
} features[] = {
	{ IVNET_CSUM, "csum" },
	{ IVNET_TSO4, "tso4" },
	{ IVNET_TSO6, "tso6" },
	{ IVNET_ECN, "ecn" },
	{ IVNET_USO, "uso" },
};

static const char *const reasons[] = {
	[IVRING_OK] = "none",
	[IVRING_STALE] = "stale",
	[IVRING_TAMPERED] = "tampered",
	[IVRING_BAD_PROD] = "bad_prod",
	[IVRING_BAD_CONS] = "bad_cons",
	[IVRING_BAD_LENGTH] = "bad_length",
	[IVRING_BAD_PAD] = "bad_pad",
	[IVRING_BAD_RECORD] = "bad_record",
};

const char *frame_address_text(const uint8_t address[FRAME_ADDRESS],
			       char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", address[0],
		 address[1], address[2], address[3], address[4], address[5]);
	return text;
}

static void add_counters(struct json_object *object,
			 const struct segment_counters *c)
{
	add_number(object, "rx_frames", c->rx_frames);
	add_number(object, "rx_bytes", c->rx_bytes);
	add_number(object, "rx_bad", c->rx_bad);
	add_number(object, "rx_refused", c->rx_refused);
	add_number(object, "tx_frames", c->tx_frames);
	add_number(object, "tx_bytes", c->tx_bytes);
	add_number(object, "tx_full", c->tx_full);
	add_number(object, "tx_unfit", c->tx_unfit);
	add_number(object, "conflicts", c->conflicts);
}

static struct json_object *limits_json(const struct ivnet_limits *limits)
{
	struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *name;
	char text[18];
	size_t i;

	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (!(limits->features & features[i].feature))
			continue;
		name = json_object_new_string(features[i].name);
		json_object_array_add(list, name);
	}
	add_string(object, "address", frame_address_text(limits->address,
							 text));
	add_number(object, "max_frame", limits->max_frame);
	json_object_object_add(object, "features", list);
	return object;
}

static struct json_object *link_json(const struct segment *seg, uint32_t slot)
{
	struct json_object *object = json_object_new_object();
	const struct peer_link *base = &seg->base.links[slot];
	const struct segment_link *l = &seg->links[slot];

	add_number(object, "slot", slot);
	add_string(object, "state", states[base->link.state]);
	if (l->greeted)
		json_object_object_add(object, "accepts",
				       limits_json(&l->limits));
	else
		add_null(object, "accepts");
	add_number(object, "sessions", base->link.sessions);
	add_number(object, "faults", base->faults);
	add_string(object, "reason", reasons[base->link.reason]);
	add_number(object, "kicks", base->kicks);
	add_counters(object, &l->counters);
	return object;
}

/* Whether there is anything to say of a slot. */
static bool known(const struct segment *seg, uint32_t slot)
{
	const struct ivlink *link = &seg->base.links[slot].link;

	return slot != seg->base.slot && (link->state != IVLINK_DOWN ||
				     link->sessions);
}

static void report_json(const struct segment *seg)
{
	struct json_object *object = json_object_new_object();
	struct json_object *peers = json_object_new_array();
	struct json_object *peer;
	char text[18];
	uint32_t slot;

	add_string(object, "tap", seg->tap.name);
	add_string(object, "address", frame_address_text(seg->tap.address,
							 text));
	add_flag(object, "attached", seg->base.attached);
	add_string(object, "section", seg->base.section.name);
	add_number(object, "slot", seg->base.slot);
	add_flag(object, "carrier", seg->tap.carrier == 1);
	add_number(object, "offloads", seg->tap.offloads);
	add_number(object, "flooded", seg->flooded);
	add_number(object, "nobody", seg->nobody);
	add_number(object, "malformed", seg->malformed);
	for (slot = 0; slot < seg->base.region.slots; slot++) {
		if (!known(seg, slot))
			continue;
		peer = link_json(seg, slot);
		json_object_array_add(peers, peer);
	}
	json_object_object_add(object, "peers", peers);
	print_json_line(object);
}

static void print_link(const struct segment *seg, uint32_t slot)
{
	const struct peer_link *base = &seg->base.links[slot];
	const struct segment_link *l = &seg->links[slot];
	const struct segment_counters *c = &l->counters;
	char text[18] = "-";

	if (l->greeted)
		frame_address_text(l->limits.address, text);
	printf("%-4" PRIu32 " %-7s %-17s %-8" PRIu32 " %-6" PRIu64 " %-12"
	       PRIu64 " %-12" PRIu64 " %" PRIu64 "\n", slot,
	       states[base->link.state], text, base->link.sessions, base->faults,
	       c->rx_frames, c->tx_frames, c->rx_bad + c->rx_refused +
	       c->tx_full + c->tx_unfit);
}

static void report_text(const struct segment *seg)
{
	char text[18];
	uint32_t slot;

	printf("%s: address %s, slot %" PRIu32 " of section %s\n",
	       seg->tap.name, frame_address_text(seg->tap.address, text),
	       seg->base.slot, seg->base.section.name);
	for (slot = 0; slot < seg->base.region.slots; slot++)
		if (known(seg, slot))
			break;
	if (slot < seg->base.region.slots)
		printf("%-4s %-7s %-17s %-8s %-6s %-12s %-12s %s\n", "SLOT",
		       "STATE", "ADDRESS", "SESSIONS", "FAULTS", "RECEIVED",
		       "SENT", "DROPPED");
	for (; slot < seg->base.region.slots; slot++)
		if (known(seg, slot))
			print_link(seg, slot);
	fflush(stdout);
}

void segment_report(const struct segment *seg, bool json)
{
	if (json)
		report_json(seg);
	else
		report_text(seg);
}
