// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what ivshmem top has seen as tables, of 80 columns.
 */
#include <inttypes.h>
#include <string.h>

#include "output.h"
#include "progress.h"
#include "top_text.h"

#define ADDRESS_WIDTH	26

struct number {
	char text[32];
};

/* Of a counter: how much in a second, "-" if that is not known. */
static const char *per_second(const struct top_count *count,
			      struct number *number)
{
	if (count->rated)
		snprintf(number->text, sizeof(number->text), "%.0f",
			 count->rate);
	else
		snprintf(number->text, sizeof(number->text), "-");
	return number->text;
}

static const char *bytes_per_second(const struct top_count *count,
				    struct number *number)
{
	if (count->rated)
		return format_bytes(count->rate, number->text);
	return per_second(count, number);
}

static const char *fill(const struct top_row *row, struct number *number)
{
	if (row->filled && row->size)
		snprintf(number->text, sizeof(number->text), "%.0f %%",
			 100.0 * (double)row->fill / (double)row->size);
	else
		snprintf(number->text, sizeof(number->text), "-");
	return number->text;
}

static unsigned int count_rows(const struct top_device *device,
			       enum top_kind kind)
{
	unsigned int found = 0;
	size_t i;

	for (i = 0; i < device->count; i++)
		found += device->rows[i].kind == kind;
	return found;
}

/* Devices are told apart by the end of their names. */
static void print_address(FILE *out, const char *address)
{
	size_t length = strlen(address);

	if (length > ADDRESS_WIDTH)
		fprintf(out, "...%s ", address + length - ADDRESS_WIDTH + 3);
	else
		fprintf(out, "%-*s ", ADDRESS_WIDTH, address);
}

static void print_slot(FILE *out, const struct top_device *device)
{
	if (device->slot >= 0)
		fprintf(out, "%4" PRId32, device->slot);
	else
		fprintf(out, "%4s", "-");
}

void top_print_devices(FILE *out, const struct top_sample *sample)
{
	const struct top_device *device;
	struct number received, rung;
	char size[32];
	size_t i;

	fprintf(out, "%-26s %8s %-11s %4s %5s %5s %7s %7s\n", "DEVICE",
		"MEMORY", "REGION", "SLOT", "PEERS", "LINKS", "RECVD/s",
		"RUNG/s");
	for (i = 0; i < sample->count; i++) {
		device = &sample->devices[i];
		print_address(out, device->address);
		fprintf(out, "%8s %-11s ", device->memory ?
			format_size(device->memory, size) : "-",
			*device->region ? device->region : "-");
		print_slot(out, device);
		fprintf(out, " %5u %5u %7s %7s\n",
			count_rows(device, TOP_PEER),
			count_rows(device, TOP_LINK),
			per_second(&device->counts[TOP_RECEIVED], &received),
			per_second(&device->counts[TOP_RUNG], &rung));
	}
}

static void print_peer(FILE *out, const struct top_device *device,
		       const struct top_row *row)
{
	fprintf(out, "%6" PRIu32 " %-8s %7" PRIu64 "  %s%s\n", row->from,
		row->state, row->size, row->name,
		device->slot == (int32_t)row->from ? " (own)" : "");
}

static void print_link(FILE *out, const struct top_device *device,
		       const struct top_row *row)
{
	struct number bytes, records, full;

	(void)device;
	fprintf(out, "%-16s %4" PRIu32 " %4" PRIu32 "  %-8s %11s %10s %6s\n",
		row->name, row->from, row->to, row->state,
		bytes_per_second(&row->counts[TOP_BYTES], &bytes),
		per_second(&row->counts[TOP_RECORDS], &records),
		fill(row, &full));
}

/* Of a card or a disk, with what only one of them has as the @last column. */
static void print_throughput(FILE *out, const struct top_row *row,
			     const char *last)
{
	struct number in_bytes, out_bytes, in, sent;

	fprintf(out, "%-16s %-8s %11s %11s %10s %10s %7s\n", row->name,
		row->state,
		bytes_per_second(&row->counts[TOP_IN_BYTES], &in_bytes),
		bytes_per_second(&row->counts[TOP_OUT_BYTES], &out_bytes),
		per_second(&row->counts[TOP_IN], &in),
		per_second(&row->counts[TOP_OUT], &sent), last);
}

static void print_card(FILE *out, const struct top_device *device,
		       const struct top_row *row)
{
	struct number dropped;

	(void)device;
	print_throughput(out, row,
			 per_second(&row->counts[TOP_DROPPED], &dropped));
}

static void print_disk(FILE *out, const struct top_device *device,
		       const struct top_row *row)
{
	struct number full;

	(void)device;
	print_throughput(out, row, fill(row, &full));
}

static void print_heading(FILE *out, enum top_kind kind)
{
	switch (kind) {
	case TOP_PEER:
		fprintf(out, "%6s %-8s %7s  %s\n", "PEER", "STATE", "VECTORS",
			"NAME");
		break;
	case TOP_LINK:
		fprintf(out, "%-16s %4s %4s  %-8s %11s %10s %6s\n", "LINK",
			"FROM", "TO", "STATE", "BYTES/s", "FRAMES/s", "FILL");
		break;
	case TOP_CARD:
		fprintf(out, "%-16s %-8s %11s %11s %10s %10s %7s\n", "CARD",
			"STATE", "RECEIVED/s", "SENT/s", "FRAMES/s",
			"FRAMES/s", "DROPS/s");
		break;
	default:
		fprintf(out, "%-16s %-8s %11s %11s %10s %10s %7s\n", "DISK",
			"STATE", "READ/s", "WRITTEN/s", "READS/s", "WRITES/s",
			"BUSY");
		break;
	}
}

void top_print_device(FILE *out, const struct top_device *device)
{
	static void (*const prints[])(FILE *out,
				      const struct top_device *device,
				      const struct top_row *row) = {
		[TOP_PEER] = print_peer,
		[TOP_LINK] = print_link,
		[TOP_CARD] = print_card,
		[TOP_DISK] = print_disk,
	};
	enum top_kind kind;
	size_t i;

	for (kind = 0; kind < TOP_KINDS; kind++) {
		if (!count_rows(device, kind))
			continue;
		fputc('\n', out);
		print_heading(out, kind);
		for (i = 0; i < device->count; i++)
			if (device->rows[i].kind == kind)
				prints[kind](out, device, &device->rows[i]);
	}
	if (*device->lacks)
		fprintf(out, "\nnot shown: %s\n", device->lacks);
	if (device->cut)
		fprintf(out, "\nthere is more than %d lines\n", TOP_ROWS_MAX);
}
