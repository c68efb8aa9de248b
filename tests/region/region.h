/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A superblock that is right, for tests that make it wrong.
 */
#ifndef TESTS_REGION_REGION_H
#define TESTS_REGION_REGION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ivshmem/link.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define REGION_LOG2	26U
#define REGION_SIZE	((__u64)1 << REGION_LOG2)

static inline void set_entry(struct ivregion_superblock *s, __u32 i, __u32 type,
			     __u32 pages, __u32 queues, const char *name)
{
	struct ivregion_entry *entry = &s->section[i];

	memset(entry, 0, sizeof(*entry));
	entry->type = ivshmem_to_le32(type);
	entry->pages = ivshmem_to_le32(pages);
	entry->vector = ivshmem_to_le32(i + 1);
	entry->queues = ivshmem_to_le32(queues);
	memcpy(entry->name, name, strlen(name));
}

/* The checksum is missing: see seal() */
static inline void make_superblock(struct ivregion_superblock *s, __u32 size_log2,
				   __u32 slots)
{
	memset(s, 0, sizeof(*s));
	s->magic = ivshmem_to_le32(IVREGION_MAGIC);
	s->major = ivshmem_to_le32(IVREGION_MAJOR);
	s->minor = ivshmem_to_le32(IVREGION_MINOR);
	s->instance = ivshmem_to_le32(0x12345678);
	memcpy(s->uuid, "0123456789abcdef", sizeof(s->uuid));
	s->size_log2 = ivshmem_to_le32(size_log2);
	s->slots = ivshmem_to_le32(slots);
}

/* With a section of each type */
static inline void make_example(struct ivregion_superblock *s)
{
	make_superblock(s, REGION_LOG2, 4);
	s->sections = ivshmem_to_le32(3);
	set_entry(s, 0, IVREGION_NET, 2048, 2, "net0");
	set_entry(s, 1, IVREGION_RAW, 16, 1, "lab");
	set_entry(s, 2, IVREGION_BLK, 2048, 1, "disk.0_a-Z");
}

static inline void seal(struct ivregion_superblock *s)
{
	s->checksum = ivshmem_to_le32(ivregion_checksum(s));
}

/* Seals and parses; the region is not looked at before it was overwritten */
static inline enum ivregion_error parse(struct ivregion_superblock *s,
					__u64 memory_size,
					struct ivregion *region)
{
	memset(region, 0xa5, sizeof(*region));
	seal(s);
	return ivregion_parse(s, memory_size, region);
}

#endif /* TESTS_REGION_REGION_H */
