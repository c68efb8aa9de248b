/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a region is formatted, as text and as JSON, and what to do if it cannot
 * be used.
 */
#ifndef REGION_H
#define REGION_H

#include <stdbool.h>
#include <stdint.h>

#include <libivshmem.h>

struct json_object;

#define SECTIONS_MAX	32
#define SLOTS_MAX	64

/**
 * struct layout - a region and its sections
 * @memory_size: bytes of the memory
 * @region:      the rest of what is known of it
 * @sections:    as many as @region says
 */
struct layout {
	uint64_t memory_size;
	struct ivshmem_region region;
	struct ivshmem_section sections[SECTIONS_MAX];
};

/**
 * layout_read() - ask a device or link
 *
 * Return: 0, or a negative errno value: -EOPNOTSUPP if the driver is older
 * than the format.
 */
int layout_read(struct ivshmem *ivs, uint64_t memory_size,
		struct layout *layout);

/** layout_unused() - bytes in no section; -1 if the node is that of one */
int64_t layout_unused(const struct layout *layout);

/** print_sections() - a table; nothing if there are none */
void print_sections(const struct layout *layout);

/** layout_json() - all of it */
struct json_object *layout_json(const struct layout *layout);

/** format_uuid() - in the usual form of 36 characters */
const char *format_uuid(const uint8_t uuid[16], char text[37]);

/** refusal() - why a region was refused: "section 1: queues ..." */
const char *refusal(const struct ivshmem_region *region, char text[160]);
/** refusal_remedy() - what to do about it */
const char *refusal_remedy(const struct ivshmem_region *region);

enum no_slot {
	NO_SLOT_GIVEN,		/* or the driver does not say */
	NO_SLOT_YET,		/* it is being chosen */
	NO_SLOT_FREE,		/* all are taken */
};

/** why_no_slot() - why a plain device with our driver, at @address, has none */
enum no_slot why_no_slot(const char *address);

/** region_error() - what an error of a call about the region means */
const char *region_error(int error);

/** peer_state_name() - "absent", "alive", "silent" */
const char *peer_state_name(uint32_t state);

/**
 * read_peers() - who is there
 * @ivs:   the handle
 * @slots: of the region
 * @peers: filled in, one for each slot
 *
 * Where no server tells, it takes up to a second to see who is alive.
 *
 * Return: 0, or a negative errno value: -ENOENT if the region is another by
 * now.
 */
int read_peers(struct ivshmem *ivs, uint32_t slots,
	       struct ivshmem_peer peers[SLOTS_MAX]);

#endif /* REGION_H */
