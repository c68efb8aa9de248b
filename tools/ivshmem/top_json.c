// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what ivshmem top has seen as JSON.
 */
#include <time.h>

#include "output.h"
#include "top_text.h"

/* A number that is not known is null, so that all objects have the same keys. */
static void add_count(struct json_object *object, const char *key,
		      const char *rate_key, const struct top_count *count)
{
	if (count->known)
		add_number(object, key, count->value);
	else
		add_null(object, key);
	if (count->rated)
		add_real(object, rate_key, count->rate);
	else
		add_null(object, rate_key);
}

static void add_fill(struct json_object *object, const char *key,
		     const struct top_row *row)
{
	if (row->filled)
		add_number(object, key, row->fill);
	else
		add_null(object, key);
}

static void add_peer(struct json_object *object, const struct top_row *row)
{
	add_number(object, "slot", row->from);
	add_string(object, "name", row->name);
	add_string(object, "state", row->state);
	add_number(object, "vectors", row->size);
}

static void add_link(struct json_object *object, const struct top_row *row)
{
	add_string(object, "name", row->name);
	add_number(object, "from", row->from);
	add_number(object, "to", row->to);
	add_string(object, "state", row->state);
	add_count(object, "bytes", "bytes_per_second",
		  &row->counts[TOP_BYTES]);
	add_count(object, "frames", "frames_per_second",
		  &row->counts[TOP_RECORDS]);
	add_fill(object, "fill", row);
	add_number(object, "ring_bytes", row->size);
}

static void add_card(struct json_object *object, const struct top_row *row)
{
	add_string(object, "name", row->name);
	add_string(object, "state", row->state);
	add_count(object, "rx_bytes", "rx_bytes_per_second",
		  &row->counts[TOP_IN_BYTES]);
	add_count(object, "tx_bytes", "tx_bytes_per_second",
		  &row->counts[TOP_OUT_BYTES]);
	add_count(object, "rx_frames", "rx_frames_per_second",
		  &row->counts[TOP_IN]);
	add_count(object, "tx_frames", "tx_frames_per_second",
		  &row->counts[TOP_OUT]);
	add_count(object, "tx_dropped", "tx_dropped_per_second",
		  &row->counts[TOP_DROPPED]);
}

static void add_disk(struct json_object *object, const struct top_row *row)
{
	add_string(object, "name", row->name);
	add_string(object, "state", row->state);
	add_count(object, "read_bytes", "read_bytes_per_second",
		  &row->counts[TOP_IN_BYTES]);
	add_count(object, "written_bytes", "written_bytes_per_second",
		  &row->counts[TOP_OUT_BYTES]);
	add_count(object, "reads", "reads_per_second", &row->counts[TOP_IN]);
	add_count(object, "writes", "writes_per_second",
		  &row->counts[TOP_OUT]);
	add_fill(object, "busy", row);
	add_number(object, "depth", row->size);
}

static const struct {
	const char *key;
	void (*add)(struct json_object *object, const struct top_row *row);
} kinds[] = {
	[TOP_PEER] = { "peers", add_peer },
	[TOP_LINK] = { "links", add_link },
	[TOP_CARD] = { "cards", add_card },
	[TOP_DISK] = { "disks", add_disk },
};

static struct json_object *rows_json(const struct top_device *device,
				     enum top_kind kind)
{
	struct json_object *rows = json_object_new_array();
	struct json_object *object;
	size_t i;

	for (i = 0; i < device->count; i++) {
		if (device->rows[i].kind != kind)
			continue;
		object = json_object_new_object();
		kinds[kind].add(object, &device->rows[i]);
		json_object_array_add(rows, object);
	}
	return rows;
}

static struct json_object *device_json(const struct top_device *device)
{
	struct json_object *object = json_object_new_object();
	enum top_kind kind;

	add_string(object, "device", device->address);
	add_number(object, "memory_size", device->memory);
	add_string(object, "region", device->region);
	add_number(object, "vectors", device->vectors);
	add_number(object, "slots", device->slots);
	if (device->slot >= 0)
		add_number(object, "slot", (uint64_t)device->slot);
	else
		add_null(object, "slot");
	add_count(object, "received", "received_per_second",
		  &device->counts[TOP_RECEIVED]);
	add_count(object, "rung", "rung_per_second",
		  &device->counts[TOP_RUNG]);
	for (kind = 0; kind < TOP_KINDS; kind++)
		json_object_object_add(object, kinds[kind].key,
				       rows_json(device, kind));
	add_flag(object, "cut", device->cut);
	if (*device->lacks)
		add_string(object, "lacks", device->lacks);
	else
		add_null(object, "lacks");
	return object;
}

void top_print_json(const struct top_sample *sample)
{
	struct json_object *object = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	struct timespec ts;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &ts);
	add_real(object, "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	for (i = 0; i < sample->count; i++)
		json_object_array_add(devices,
				      device_json(&sample->devices[i]));
	json_object_object_add(object, "devices", devices);
	print_json_line(object);
}
