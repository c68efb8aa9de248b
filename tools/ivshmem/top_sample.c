// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps what ivshmem top has seen, and compares it with what it saw before.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "top_sample.h"

#define FIRST_ROOM	16

void top_set(struct top_count *count, uint64_t value, unsigned int bits)
{
	count->value = bits < 64 ? value & ((1ULL << bits) - 1) : value;
	count->bits = bits;
	count->known = true;
	count->rated = false;
}

void top_lack(struct top_device *device, const char *format, ...)
{
	size_t length = strlen(device->lacks);
	char text[sizeof(device->lacks)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	clean_text(device->lacks + length, sizeof(device->lacks) - length,
		   length ? "; " : "");
	length = strlen(device->lacks);
	clean_text(device->lacks + length, sizeof(device->lacks) - length, text);
}

struct top_device *top_add_device(struct top_sample *sample,
				  const char *address)
{
	struct top_device *devices, *device;

	devices = realloc(sample->devices,
			  (sample->count + 1) * sizeof(*devices));
	if (!devices)
		return NULL;
	sample->devices = devices;
	device = &devices[sample->count++];
	memset(device, 0, sizeof(*device));
	clean_text(device->address, sizeof(device->address), address);
	device->slot = -1;
	return device;
}

struct top_row *top_add_row(struct top_device *device, enum top_kind kind,
			    const char *name)
{
	size_t room = device->room ? device->room * 2 : FIRST_ROOM;
	struct top_row *rows;

	if (device->count == TOP_ROWS_MAX) {
		device->cut = true;
		return NULL;
	}
	if (device->count == device->room) {
		rows = realloc(device->rows, room * sizeof(*rows));
		if (!rows) {
			device->cut = true;
			return NULL;
		}
		device->rows = rows;
		device->room = room;
	}
	rows = &device->rows[device->count++];
	memset(rows, 0, sizeof(*rows));
	rows->kind = kind;
	clean_text(rows->name, sizeof(rows->name), name);
	return rows;
}

static void rate_counts(struct top_count *now, const struct top_count *before,
			double seconds)
{
	uint64_t grown;
	size_t i;

	for (i = 0; i < TOP_COUNTS; i++) {
		if (!now[i].known || !before[i].known || seconds <= 0)
			continue;
		/* A wide counter does not wrap: it has begun anew. */
		if (now[i].bits >= 64 && now[i].value < before[i].value)
			continue;
		grown = now[i].value - before[i].value;
		if (now[i].bits < 64)
			grown &= (1ULL << now[i].bits) - 1;
		now[i].rate = (double)grown / seconds;
		now[i].rated = true;
	}
}

static int by_name(const void *first, const void *second)
{
	const struct top_row *a = first, *b = second;
	int names = strcmp(a->name, b->name);

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	/* Peers are known by their slots. */
	if (names && a->kind != TOP_PEER)
		return names;
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return (a->session > b->session) - (a->session < b->session);
}

static const struct top_device *find_device(const struct top_sample *sample,
					    const char *address)
{
	size_t i;

	for (i = 0; i < sample->count; i++)
		if (!strcmp(sample->devices[i].address, address))
			return &sample->devices[i];
	return NULL;
}

/* What was @before is sorted by name. */
static void rate_rows(struct top_device *device, const struct top_device *before,
		      double seconds)
{
	const struct top_row *row;
	size_t i;

	for (i = 0; before->count && i < device->count; i++) {
		row = bsearch(&device->rows[i], before->rows, before->count,
			      sizeof(*row), by_name);
		if (row)
			rate_counts(device->rows[i].counts, row->counts,
				    seconds);
	}
}

void top_rate(struct top_sample *now, struct top_sample *before)
{
	double seconds = now->seconds - before->seconds;
	const struct top_device *was;
	size_t i;

	top_sort(before, TOP_BY_NAME);
	for (i = 0; i < now->count; i++) {
		was = find_device(before, now->devices[i].address);
		if (!was)
			continue;
		rate_counts(now->devices[i].counts, was->counts, seconds);
		rate_rows(&now->devices[i], was, seconds);
	}
}

double top_speed(const struct top_row *row)
{
	double speed = row->counts[TOP_BYTES].rate;

	return row->kind == TOP_LINK ? speed :
	       speed + row->counts[TOP_OUT_BYTES].rate;
}

static double share(const struct top_row *row)
{
	return row->filled && row->size ?
	       (double)row->fill / (double)row->size : 0;
}

static int by_rate(const void *first, const void *second)
{
	const struct top_row *a = first, *b = second;

	if (a->kind != b->kind || top_speed(a) == top_speed(b))
		return by_name(a, b);
	return top_speed(a) > top_speed(b) ? -1 : 1;
}

static int by_fill(const void *first, const void *second)
{
	const struct top_row *a = first, *b = second;

	if (a->kind != b->kind || share(a) == share(b))
		return by_name(a, b);
	return share(a) > share(b) ? -1 : 1;
}

void top_sort(struct top_sample *sample, enum top_order order)
{
	int (*const orders[])(const void *a, const void *b) = {
		[TOP_BY_NAME] = by_name,
		[TOP_BY_RATE] = by_rate,
		[TOP_BY_FILL] = by_fill,
	};
	struct top_device *device;
	size_t i;

	for (i = 0; i < sample->count; i++) {
		device = &sample->devices[i];
		if (device->count)
			qsort(device->rows, device->count,
			      sizeof(*device->rows), orders[order]);
	}
}

void top_release(struct top_sample *sample)
{
	size_t i;

	for (i = 0; i < sample->count; i++)
		free(sample->devices[i].rows);
	free(sample->devices);
	memset(sample, 0, sizeof(*sample));
}
