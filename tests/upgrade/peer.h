/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A peer that speaks version 1.0 of the format, or claims to be of a newer one.
 */
#ifndef UPGRADE_PEER_H
#define UPGRADE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/blk.h>
#include <ivshmem/link.h>
#include <ivshmem/net.h>

/* What a newer peer puts behind the payloads that are known */
#define MORE	32U

/**
 * struct speech - one link, and what is said there
 * @link:    the link
 * @queues:  its rings
 * @region:  the layout
 * @section: where the link is
 * @memory:  all of the region
 * @slot:    own one
 * @peer:    the other end's
 * @newer:   it claims to be of a newer version
 * @disk:    the contents of the disk, if this is a BLK section
 * @disk_size: bytes of it
 */
struct speech {
	struct ivlink link;
	struct ivlink_queue queues[IVREGION_QUEUES_MAX];
	const struct ivregion *region;
	const struct ivregion_section *section;
	uint8_t *memory;
	uint32_t slot;
	uint32_t peer;
	bool newer;
	uint8_t *disk;
	uint64_t disk_size;
};

/** speech_begin() - the first words of a session; not yet published */
void speech_begin(struct speech *s);

/** speech_take() - answer a record, which is a private copy */
void speech_take(struct speech *s, uint32_t queue, uint32_t kind,
		 const void *payload, uint32_t length);

#endif /* UPGRADE_PEER_H */
