/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ivshmem top shows: devices at one moment, what belongs to each, and how
 * fast their counters grow.
 */
#ifndef TOP_SAMPLE_H
#define TOP_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_COUNTS	5
/* Of a device, whatever its region claims to have */
#define TOP_ROWS_MAX	4096

/**
 * struct top_count - a counter
 * @value: what it says
 * @rate:  by how much it grew in a second, if @rated
 * @bits:  it wraps beyond these, 32 or 64
 * @known: there is a value
 * @rated: there is a rate
 */
struct top_count {
	uint64_t value;
	double rate;
	unsigned int bits;
	bool known;
	bool rated;
};

enum top_kind {
	TOP_PEER,
	TOP_LINK,
	TOP_CARD,
	TOP_DISK,
	TOP_KINDS
};

/* Counters of a device, */
enum { TOP_RECEIVED, TOP_RUNG };
/* of a link, */
enum { TOP_BYTES, TOP_RECORDS };
/* and of cards and disks: received or read, sent or written */
enum { TOP_IN_BYTES, TOP_OUT_BYTES, TOP_IN, TOP_OUT, TOP_DROPPED };

/**
 * struct top_row - what belongs to a device
 * @kind:    what it is
 * @name:    of a peer, a section or card, a disk; printable
 * @state:   a word
 * @from:    of a link: who sends; of a peer: its slot
 * @to:      of a link: who receives
 * @session: another number when counters began anew
 * @size:    what @fill is of: bytes of rings, requests of a disk; of a peer its
 *           vectors
 * @fill:    how much of it is in use, if @filled
 * @counts:  see above
 */
struct top_row {
	enum top_kind kind;
	char name[64];
	char state[16];
	uint32_t from;
	uint32_t to;
	uint64_t session;
	uint64_t size;
	uint64_t fill;
	bool filled;
	struct top_count counts[TOP_COUNTS];
};

/**
 * struct top_device - a device or link
 * @address: as others name it; printable
 * @region:  how it is formatted, a word
 * @lacks:   what cannot be shown, and why; "" if nothing
 * @memory:  bytes
 * @vectors: on which it can be rung
 * @slots:   of the region
 * @slot:    own one, or -1
 * @counts:  see above
 * @rows:    @count of them, @room are allocated
 * @cut:     there are more rows than are shown
 */
struct top_device {
	char address[128];
	char region[16];
	char lacks[256];
	uint64_t memory;
	uint32_t vectors;
	uint32_t slots;
	int32_t slot;
	struct top_count counts[TOP_COUNTS];
	struct top_row *rows;
	size_t count;
	size_t room;
	bool cut;
};

/**
 * struct top_sample - all of it at one moment
 * @seconds: of a clock that does not jump
 * @devices: @count of them
 */
struct top_sample {
	double seconds;
	struct top_device *devices;
	size_t count;
};

enum top_order { TOP_BY_NAME, TOP_BY_RATE, TOP_BY_FILL, TOP_ORDERS };

/** top_set() - a counter that wraps beyond @bits has this @value */
void top_set(struct top_count *count, uint64_t value, unsigned int bits);

/** top_lack() - say what cannot be shown; what was said before stays */
void top_lack(struct top_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** top_add_device() - NULL if there is no memory */
struct top_device *top_add_device(struct top_sample *sample,
				  const char *address);

/** top_add_row() - NULL if there is no memory, or no more rows are shown */
struct top_row *top_add_row(struct top_device *device, enum top_kind kind,
			    const char *name);

/** top_rate() - compute all rates, from what was @before; sorts that by name */
void top_rate(struct top_sample *now, struct top_sample *before);

/** top_speed() - bytes a second of a row, both directions; 0 if not known */
double top_speed(const struct top_row *row);

/** top_sort() - the rows of all devices; kinds stay together */
void top_sort(struct top_sample *sample, enum top_order order);

void top_release(struct top_sample *sample);

#endif /* TOP_SAMPLE_H */
