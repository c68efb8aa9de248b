// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where things lie, by brute force: everything inside of what it belongs to,
 * aligned, and nothing on top of anything else.
 */
#include "region.h"

#include <stdio.h>

struct piece {
	__u64 begin;
	__u64 end;
};

static struct piece *pieces;
static size_t nr_pieces;

/* Lies at @offset, within the outbox that @slot writes */
static void add(const struct ivregion *region,
		const struct ivregion_section *section, __u32 slot,
		__u64 offset, __u64 size, __u64 align)
{
	__u64 outbox = ivregion_outbox_offset(region, section, slot);
	__u64 end = outbox + ivregion_outbox_size(region->slots,
						  section->queues,
						  section->ring_size);

	if (offset % align || offset < outbox || offset + size > end ||
	    end > section->offset + section->size || outbox < section->offset)
		fail_msg("slot %u: %llu + %llu", slot,
			 (unsigned long long)offset, (unsigned long long)size);
	pieces[nr_pieces].begin = offset;
	pieces[nr_pieces++].end = offset + size;
}

static int by_begin(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static void assert_disjoint(void)
{
	qsort(pieces, nr_pieces, sizeof(*pieces), by_begin);
	for (size_t i = 1; i < nr_pieces; i++)
		assert_true(pieces[i - 1].end <= pieces[i].begin);
	nr_pieces = 0;
}

/* All that lies in a section with links */
static void add_section(const struct ivregion *region,
			const struct ivregion_section *section)
{
	for (__u32 s = 0; s < region->slots; s++) {
		for (__u32 p = 0; p < region->slots; p++) {
			if (s == p)
				continue;
			add(region, section, s,
			    ivregion_link_offset(region, section, s, p),
			    sizeof(struct ivlink_line), 64);
			for (__u32 q = 0; q < section->queues; q++) {
				add(region, section, s,
				    ivregion_tx_offset(region, section, s, p, q),
				    sizeof(struct ivring_tx), 64);
				/* What it consumes is written by it, too */
				add(region, section, s,
				    ivregion_rx_offset(region, section, p, s, q),
				    sizeof(struct ivring_rx), 64);
				add(region, section, s,
				    ivregion_data_offset(region, section, s, p, q),
				    section->ring_size, IVREGION_PAGE);
			}
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	pieces = calloc(64 * 64 * (1 + 3 * 16), sizeof(*pieces));
	return pieces ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(pieces);
	return 0;
}

static void the_directory_is_disjoint(void **state)
{
	(void)state;
	for (__u32 slots = IVREGION_SLOTS_MIN; slots <= IVREGION_SLOTS_MAX; slots++) {
		__u64 end = ivregion_control_size(slots);

		pieces[nr_pieces++] = (struct piece){ 0, IVREGION_PAGE };
		for (__u32 s = 0; s < slots; s++) {
			__u64 line = ivregion_server_offset(s);
			__u64 page = ivregion_peer_offset(s);

			pieces[nr_pieces++] = (struct piece){ line, line + 64 };
			pieces[nr_pieces++] = (struct piece){
				page, page + IVREGION_PAGE };
			assert_true(page + IVREGION_PAGE <= end);
			assert_int_equal(line % 64 + page % IVREGION_PAGE, 0);
		}
		assert_disjoint();
	}
}

/* Of these pages, and with a link for each pair */
static void check_section(__u32 slots, __u32 queues, __u32 pages)
{
	static struct ivregion_superblock s;
	static struct ivregion region;
	const struct ivregion_section *section = &region.sections[1];
	__u64 unit = slots * (__u64)(slots - 1) * queues;

	make_superblock(&s, 44, slots);
	s.sections = ivshmem_to_le32(3);
	set_entry(&s, 0, IVREGION_RAW, 1, 1, "before");
	set_entry(&s, 1, IVREGION_NET, pages, queues, "it");
	set_entry(&s, 2, IVREGION_RAW, 1, 1, "behind");
	assert_int_equal(parse(&s, (__u64)1 << 44, &region), IVREGION_OK);
	add_section(&region, section);
	pieces[nr_pieces++] = (struct piece){ 0, ivregion_control_size(slots) };
	for (__u32 i = 0; i < 3; i += 2)
		pieces[nr_pieces++] = (struct piece){
			region.sections[i].offset,
			region.sections[i].offset + IVREGION_PAGE };
	assert_disjoint();
	/* The largest that there is room for */
	assert_true(section->ring_size == IVRING_SIZE_MAX ||
		    unit * section->ring_size * 2 +
		    slots * ivregion_blocks_size(slots, queues) > section->size);
}

static void everything_in_a_section_is_disjoint(void **state)
{
	static const __u32 queues[] = { 1, 2, 3, 7, 16 };

	(void)state;
	for (__u32 slots = IVREGION_SLOTS_MIN; slots <= IVREGION_SLOTS_MAX; slots++) {
		for (size_t q = 0; q < ARRAY_SIZE(queues); q++) {
			/* The least that it takes, some more, much more */
			__u64 outbox = ivregion_outbox_size(slots, queues[q],
							    IVRING_SIZE_MIN);
			__u32 least = (__u32)(slots * outbox / IVREGION_PAGE);

			check_section(slots, queues[q], least);
			if (slots > 17 && slots % 16)
				continue;
			check_section(slots, queues[q], least + 1);
			check_section(slots, queues[q], 3 * least - 1);
			check_section(slots, queues[q], 0x7fffffff);
		}
	}
}

static void the_least_size_is_the_least(void **state)
{
	(void)state;
	for (__u32 slots = IVREGION_SLOTS_MIN; slots <= IVREGION_SLOTS_MAX; slots++) {
		for (__u32 q = 1; q <= IVREGION_QUEUES_MAX; q++) {
			for (__u32 ring = IVRING_SIZE_MIN; ring; ring *= 2) {
				__u64 size = slots *
					ivregion_outbox_size(slots, q, ring);

				assert_int_equal(ivregion_ring_size(size, slots, q),
						 ring);
				assert_int_equal(ivregion_ring_size(size - 1,
								    slots, q),
						 ring == IVRING_SIZE_MIN ? 0 :
						 ring / 2);
			}
		}
	}
	assert_int_equal(ivregion_ring_size(0, 2, 1), 0);
	assert_int_equal(ivregion_ring_size(~(__u64)0 >> 1, 2, 1), IVRING_SIZE_MAX);
}

static void sections_are_disjoint_and_aligned(void **state)
{
	static struct ivregion_superblock s;
	static struct ivregion region;
	unsigned int fitted = 0;

	(void)state;
	srandom(20240229);
	for (unsigned int round = 0; round < 20000; round++) {
		__u32 count = (__u32)random() % (IVREGION_SECTIONS_MAX + 1);
		__u64 size = (__u64)1 << (20 + random() % 12);
		enum ivregion_error error;
		char name[8];

		make_superblock(&s, (__u32)__builtin_ctzll(size),
				2 + (__u32)random() % 63);
		s.sections = ivshmem_to_le32(count);
		for (__u32 i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "s%u", i);
			set_entry(&s, i, IVREGION_RAW, 1 + (__u32)random() %
				  (__u32)(size / 4096 * 2 / count), 1, name);
		}
		error = parse(&s, size, &region);
		assert_true(error == IVREGION_OK || error == IVREGION_NO_ROOM);
		if (error)
			continue;
		fitted++;
		pieces[nr_pieces++] = (struct piece){
			0, ivregion_control_size(region.slots) };
		for (__u32 i = 0; i < count; i++) {
			const struct ivregion_section *x = &region.sections[i];

			assert_int_equal(x->offset % (x->size >= IVREGION_LARGE ?
						      IVREGION_LARGE :
						      IVREGION_PAGE), 0);
			assert_true(x->offset + x->size <= size);
			pieces[nr_pieces++] = (struct piece){
				x->offset, x->offset + x->size };
		}
		assert_disjoint();
	}
	assert_true(fitted > 1000);
}

/* Formatting has to make these bytes 0 */
static void mark(__u8 *may, __u64 begin, __u64 size)
{
	memset(may + begin, 1, size);
}

static void formatting_writes_what_it_must_and_nothing_else(void **state)
{
	static struct ivregion_superblock s, copy;
	static struct ivregion region, again;
	const __u32 size = 1 << 20;
	__u8 *memory = malloc(size), *may = calloc(1, size);

	(void)state;
	assert_true(memory && may);
	memset(memory, 0xa5, size);
	make_superblock(&s, 20, 3);
	s.sections = ivshmem_to_le32(3);
	set_entry(&s, 0, IVREGION_NET, 100, 2, "net0");
	set_entry(&s, 1, IVREGION_RAW, 2, 1, "small");
	set_entry(&s, 2, IVREGION_RAW, 30, 1, "lab");
	assert_int_equal(parse(&s, size, &region), IVREGION_OK);
	assert_int_equal(region.sections[1].ring_size, 0);
	ivregion_write(memory, &s, &region);

	mark(may, 0, ivregion_control_size(3));
	for (__u32 i = 0; i < 3; i += 2) {
		for (__u32 slot = 0; slot < 3; slot++)
			mark(may, ivregion_outbox_offset(&region,
							 &region.sections[i], slot),
			     ivregion_blocks_size(3, region.sections[i].queues));
	}
	for (__u32 i = 0; i < size; i++) {
		if (i >= IVREGION_PAGE)
			assert_int_equal(memory[i], may[i] ? 0 : 0xa5);
	}
	ivregion_read((void *)memory, &copy);
	assert_memory_equal(&copy, &s, sizeof(s));
	assert_int_equal(ivregion_parse(&copy, size, &again), IVREGION_OK);
	assert_int_equal(again.sections[2].offset, region.sections[2].offset);
	free(memory);
	free(may);
}

static void a_region_that_is_formatted_anew_is_not_intact(void **state)
{
	static struct ivregion_superblock s;
	static struct ivregion region, other;
	const __u32 size = 1 << 20;
	__u8 *memory = calloc(1, size);
	struct ivregion_superblock *there = (void *)memory;

	(void)state;
	assert_non_null(memory);
	make_superblock(&s, 20, 3);
	assert_int_equal(parse(&s, size, &region), IVREGION_OK);
	assert_false(ivregion_intact(there, &region));
	ivregion_write(memory, &s, &region);
	assert_true(ivregion_intact(there, &region));
	ivregion_erase(there);
	assert_false(ivregion_intact(there, &region));
	assert_int_equal(there->instance, s.instance);
	/* Under another instance it is another region, if all else is the same */
	s.instance = ivshmem_to_le32(0x12345679);
	assert_int_equal(parse(&s, size, &other), IVREGION_OK);
	ivregion_write(memory, &s, &other);
	assert_false(ivregion_intact(there, &region));
	assert_true(ivregion_intact(there, &other));
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_directory_is_disjoint),
		cmocka_unit_test(everything_in_a_section_is_disjoint),
		cmocka_unit_test(the_least_size_is_the_least),
		cmocka_unit_test(sections_are_disjoint_and_aligned),
		cmocka_unit_test(formatting_writes_what_it_must_and_nothing_else),
		cmocka_unit_test(a_region_that_is_formatted_anew_is_not_intact),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
