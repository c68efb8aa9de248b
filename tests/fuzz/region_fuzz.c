// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads a superblock that the input has made, each load of it fresh, and uses
 * all that follows from it: every offset has to lie where it may.
 */
#include "input.h"

/* The largest region that is really there, to be formatted */
#define SMALL_LOG2	18U

static struct ivregion_superblock *there;
static __u8 *memory;
static size_t memory_size;
static unsigned int loads, copies;
static __u32 first_magic, seen_magic, seen_instance;

void hostile_check_read(const void *ptr, size_t n)
{
	CHECK(within(ptr, n, there, sizeof(*there)));
	if (n == sizeof(__u32))
		loads++;
	else
		copies++;
}

void hostile_check_write(const void *ptr, size_t n)
{
	CHECK(within(ptr, n, memory, memory_size));
}

void hostile_stored(const __le32 *ptr, __u32 v)
{
	(void)ptr;
	(void)v;
}

/* Mostly what is there */
__u32 hostile_word(const __le32 *ptr)
{
	__u32 value = take(1) % 16 ? *ptr : take(4);

	if (ptr == &there->magic && loads == 1)
		first_magic = value;
	if (ptr == &there->magic)
		seen_magic = value;
	if (ptr == &there->instance)
		seen_instance = value;
	return value;
}

/* By then each byte may be another one, too */
void hostile_bytes(void *to, const void *from, size_t n)
{
	__u32 changes = take(1) % 4 ? 0 : take(1) % 8;

	memcpy(to, from, n);
	while (changes--)
		((__u8 *)to)[take(2) % n] = (__u8)take(1);
}

/* Numbers that are right, at a limit, next to one, or any */
static __u32 number(__u32 lowest, __u32 highest)
{
	switch (take(1) % 8) {
	case 0:
		return take(4);
	case 1:
		return highest + 1;
	case 2:
		return lowest - 1;
	case 3:
		return highest;
	default:
		return lowest + take(2) % (highest - lowest + 1);
	}
}

static void make_entry(struct ivregion_entry *entry, __u32 size_log2, __u32 i)
{
	__u32 what = take(1);
	__u32 length = take(1);

	entry->type = number(IVREGION_RAW, IVREGION_BLK);
	/* So that several fit, or just do not */
	entry->pages = what & 7 ? 1 + take(1) % ((1U << (size_log2 - 12) % 20) / 2 + 1) :
				  take(4);
	entry->vector = number(0, IVREGION_VECTORS_MAX - 1);
	entry->queues = what & 8 ? 1 : number(1, IVREGION_QUEUES_MAX);
	entry->features = what & 0x30 ? 0 : take(4);
	entry->reserved[i % 3] = what & 0xc0 ? 0 : take(4);
	entry->name[0] = (__u8)('a' + (length % 16 ? i : 0));
	for (__u32 n = 1; n < length % (IVREGION_SECTION_NAME + 1); n++)
		entry->name[n] = length < 192 ? 'x' : (__u8)take(1);
}

/* All entries are used, or one more */
static void make_many(struct ivregion_superblock *s)
{
	s->sections = IVREGION_SECTIONS_MAX + take(1) % 2;
	for (__u32 i = 0; i < IVREGION_SECTIONS_MAX; i++) {
		s->section[i].type = IVREGION_RAW;
		s->section[i].pages = 1;
		s->section[i].queues = 1;
		s->section[i].name[0] = (__u8)('A' + i % 26);
		s->section[i].name[1] = (__u8)('0' + i / 26);
	}
}

static __u32 make_superblock(struct ivregion_superblock *s)
{
	__u32 count, size_log2 = take(1) % 2 ? SMALL_LOG2 :
					       number(IVREGION_SIZE_LOG2_MIN,
						      IVREGION_SIZE_LOG2_MAX);

	memset(s, 0, sizeof(*s));
	s->magic = IVREGION_MAGIC;
	s->major = IVREGION_MAJOR;
	s->minor = take(1) % 4 ? 0 : take(4);
	s->compat = take(1) % 4 ? 0 : take(4);
	s->ro_compat = take(1) % 4 ? 0 : take(4);
	s->incompat = take(1) % 16 ? 0 : take(4);
	s->instance = take(4);
	s->size_log2 = size_log2;
	s->slots = take(1) % 2 ? 2 + take(1) % 4 :
				 number(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	count = take(1) % 8;
	s->sections = take(1) % 16 ? count : number(0, IVREGION_SECTIONS_MAX);
	for (__u32 i = 0; i < count; i++)
		make_entry(&s->section[i], size_log2, i);
	if (!count && take(1) % 2)
		make_many(s);
	return size_log2;
}

/* A word that lies in the outbox of @slot, whole */
static void check_piece(const struct ivregion *region,
			const struct ivregion_section *section, __u32 slot,
			__u64 offset, __u64 size)
{
	__u64 outbox = ivregion_outbox_offset(region, section, slot);
	__u64 end = outbox + ivregion_outbox_size(region->slots, section->queues,
						  section->ring_size);

	CHECK(offset % IVRING_ALIGN == 0);
	CHECK(offset >= outbox && size <= end - offset && offset <= end);
	CHECK(outbox >= section->offset);
	CHECK(end <= section->offset + section->size);
}

static void check_rings(const struct ivregion *region,
			const struct ivregion_section *section)
{
	__u32 from = take(1) % region->slots;
	__u32 to = (from + 1 + take(1) % (region->slots - 1)) % region->slots;
	__u32 queue = take(1) % section->queues;
	__u64 blocks = ivregion_outbox_offset(region, section, from) +
		       ivregion_blocks_size(region->slots, section->queues);
	__u64 link = ivregion_link_offset(region, section, from, to);
	__u64 tx = ivregion_tx_offset(region, section, from, to, queue);

	CHECK(section->ring_size >= IVRING_SIZE_MIN);
	CHECK((section->ring_size & (section->ring_size - 1)) == 0);
	check_piece(region, section, from, link, sizeof(struct ivlink_line));
	check_piece(region, section, from, tx, sizeof(struct ivring_tx));
	check_piece(region, section, to,
		    ivregion_rx_offset(region, section, from, to, queue),
		    sizeof(struct ivring_rx));
	check_piece(region, section, from,
		    ivregion_data_offset(region, section, from, to, queue),
		    section->ring_size);
	/* Lines before data */
	CHECK(tx > link && tx + sizeof(struct ivring_tx) <= blocks);
	CHECK(ivregion_data_offset(region, section, from, to, queue) >= blocks);
}

static bool all_letters(const char *name)
{
	return name[0] && name[0] != '.' &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")];
}

/* What the section says, and what the entry does */
static void check_section(const struct ivregion *region,
			  const struct ivregion_section *section,
			  const struct ivregion_entry *entry)
{
	bool known = entry->type >= IVREGION_RAW && entry->type <= IVREGION_BLK;

	CHECK(section->type == entry->type && section->vector == entry->vector);
	CHECK(section->size == (__u64)entry->pages * IVREGION_PAGE);
	CHECK(section->vector < 256);
	CHECK(section->queues >= 1 && section->queues <= 16);
	CHECK(section->usable == (known && !entry->features));
	CHECK(section->usable || region->minor > IVREGION_MINOR);
	CHECK(section->usable || !section->ring_size);
	CHECK(memchr(section->name, 0, sizeof(section->name)));
	CHECK(all_letters(section->name));
	if (section->ring_size)
		check_rings(region, section);
}

static void check_region(const struct ivregion *region,
			 const struct ivregion_superblock *copy, __u64 size)
{
	__u64 end = ivregion_control_size(region->slots);

	CHECK(region->size == size);
	CHECK(region->slots >= 2 && region->slots <= 64);
	CHECK(ivregion_server_offset(region->slots) <= 2 * IVREGION_PAGE);
	CHECK(region->nr_sections <= IVREGION_SECTIONS_MAX);
	CHECK(region->read_only == (region->ro_compat != 0));
	CHECK(!region->incompat);
	for (__u32 i = 0; i < region->nr_sections; i++) {
		const struct ivregion_section *section = &region->sections[i];

		CHECK(section->offset >= end && section->size);
		CHECK(section->offset % IVREGION_PAGE == 0);
		CHECK(section->size < IVREGION_LARGE ||
		      section->offset % IVREGION_LARGE == 0);
		CHECK(section->size <= size);
		end = section->offset + section->size;
		check_section(region, section, &copy->section[i]);
		for (__u32 j = 0; j < i; j++)
			CHECK(strcmp(section->name, region->sections[j].name));
	}
	CHECK(end <= size);
}

/* Formatting writes within the memory, and what is read back is the same */
static void check_write(const struct ivregion_superblock *s,
			const struct ivregion *region)
{
	static struct ivregion again;

	memory_size = (size_t)1 << SMALL_LOG2;
	memory = malloc(memory_size);
	CHECK(memory);
	memset(memory, 0xa5, memory_size);
	ivregion_write(memory, s, region);
	memset(&again, 0xa5, sizeof(again));
	CHECK(ivregion_parse((void *)memory, memory_size, &again) == IVREGION_OK);
	CHECK(!memcmp(&again, region, offsetof(struct ivregion, sections)));
	for (__u32 i = 0; i < region->nr_sections; i++) {
		const struct ivregion_section *x = &region->sections[i];

		/* What was there stays, but for the words of links and rings */
		CHECK(memory[x->offset + x->size - 1] == 0xa5);
		CHECK(memory[x->offset] == (x->ring_size ? 0 : 0xa5));
	}
	free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct ivregion_superblock copy;
	static struct ivregion region;
	enum ivregion_error error;
	__u32 size_log2;
	bool intact;
	__u64 length;

	input = bytes;
	input_end = bytes + size;
	loads = 0;
	copies = 0;
	there = malloc(sizeof(*there));
	CHECK(there);
	size_log2 = make_superblock(there);
	ivregion_read(there, &copy);
	CHECK(loads == 1 && copies == 1);
	CHECK(copy.magic == first_magic);
	/* Else the checksum would hide all that is behind it */
	if (take(1) % 16)
		copy.checksum = ivregion_checksum(&copy);
	length = size_log2 < 64 ? (__u64)1 << size_log2 : take(4);
	memset(&region, 0xa5, sizeof(region));
	error = ivregion_parse(&copy, length, &region);
	CHECK(strlen(ivregion_error_text(error)) > 5);
	CHECK(region.failed < IVREGION_SECTIONS_MAX);
	if (!error) {
		CHECK(first_magic == IVREGION_MAGIC);
		check_region(&region, &copy, length);
		if (size_log2 == SMALL_LOG2)
			check_write(&copy, &region);
		loads = 0;
		seen_magic = 0;
		seen_instance = ~region.instance;
		intact = ivregion_intact(there, &region);
		CHECK(loads <= 2);
		CHECK(intact == (seen_magic == IVREGION_MAGIC &&
				 seen_instance == region.instance));
	}
	free(there);
	return 0;
}
