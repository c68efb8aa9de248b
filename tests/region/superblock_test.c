// SPDX-License-Identifier: GPL-2.0-only
/*
 * Superblocks with one wrong word each: every one is refused, with the reason
 * that is its own.  The checksum is made right again, so that it hides nothing.
 */
#include "region.h"

#include <stdio.h>

#define FIELD(name)	offsetof(struct ivregion_superblock, name)
#define ENTRY(i, name)							\
	(FIELD(section) + (i) * sizeof(struct ivregion_entry) +		\
	 offsetof(struct ivregion_entry, name))
#define ANY		0xffffU

/* What is wrong with the word at @offset, for each of the values */
struct bad {
	size_t offset;
	enum ivregion_error reason;
	__u32 failed;
	__u32 count;
	__u32 values[14];
};

#define BAD(offset, reason, failed, ...)				\
	{ offset, IVREGION_ ## reason, failed,				\
	  sizeof((__u32[]){ __VA_ARGS__ }) / sizeof(__u32), { __VA_ARGS__ } }
#define BAD_SECTION(i)							\
	BAD(ENTRY(i, type), BAD_TYPE, i, 0, 4, 5, 0x100, 0x10001, 0x01000000, \
	    0x80000001, 0xffffffff),					\
	BAD(ENTRY(i, vector), BAD_VECTOR, i, 256, 257, 0x10000, 0x10001, \
	    0x80000001, 0xffffffff),					\
	BAD(ENTRY(i, queues), BAD_QUEUES, i, 0, 17, 18, 256, 0x10001,	\
	    0x80000001, 0xffffffff),					\
	BAD(ENTRY(i, features), BAD_RESERVED, i, 1, 0x100, 0x80000000,	\
	    0xffffffff),						\
	BAD(ENTRY(i, reserved[0]), BAD_RESERVED, i, 1, 0x80000000),	\
	BAD(ENTRY(i, reserved[1]), BAD_RESERVED, i, 1, 0x80000000),	\
	BAD(ENTRY(i, reserved[2]), BAD_RESERVED, i, 1, 0x80000000),	\
	BAD(ENTRY(i, pages), BAD_PAGES, i, 0),				\
	BAD(ENTRY(i, pages), NO_ROOM, ANY, 16384, 0x7fffffff, 0x80000000, \
	    0x80000800, 0xffffffff)

static const struct bad bad[] = {
	BAD(FIELD(magic), NO_MAGIC, 0, 0, 1, 0x48535648, 0x4853564a, 0x49565348,
	    0x08535649, 0xffffffff),
	BAD(FIELD(major), BAD_MAJOR, 0, 0, 2, 3, 0x100, 0x101, 0x01000000,
	    0x80000001, 0xffffffff),
	BAD(FIELD(incompat), BAD_INCOMPAT, 0, 1, 2, 3, 4, 0x80, 0x100, 0xff00,
	    0x8000, 0x10000, 0x01000000, 0x40000000, 0x80000000, 0x7fffffff,
	    0xffffffff),
	BAD(FIELD(size_log2), BAD_SIZE, 0, 0, 1, 11, 12, 25, 27, 47, 48, 58, 63, 64,
	    0x1a000000, 0x10001a, 0xffffffff),
	BAD(FIELD(slots), BAD_SLOTS, 0, 0, 1, 65, 66, 128, 255, 256, 260, 0x10004,
	    0x04000000, 0x7fffffff, 0x80000000, 0x80000004, 0xffffffff),
	BAD(FIELD(sections), BAD_SECTIONS, 0, 33, 34, 64, 255, 256, 259, 0x10003,
	    0x03000000, 0x80000000, 0x80000003, 0xffffffff),
	/* Fewer than are there */
	BAD(FIELD(sections), BAD_RESERVED, 0, 0, 1, 2),
	/* More than are there */
	BAD(FIELD(sections), BAD_TYPE, 3, 4, 5, 31, 32),
	BAD(FIELD(reserved), BAD_RESERVED, 0, 1, 0x100, 0x80000000, 0xffffffff),
	BAD(FIELD(unused), BAD_RESERVED, 0, 1, 0x80000000),
	BAD(FIELD(unused) + 4, BAD_RESERVED, 0, 1),
	BAD(FIELD(unused) + 1024, BAD_RESERVED, 0, 1),
	BAD(FIELD(unused) + 1980, BAD_RESERVED, 0, 1, 0x80000000),
	BAD_SECTION(0),
	BAD_SECTION(1),
	BAD_SECTION(2),
	/* One page less than its rings need */
	BAD(ENTRY(0, pages), BAD_PAGES, 0, 1, 2, 4, 26, 27),
	BAD(ENTRY(2, pages), BAD_PAGES, 2, 1, 4, 15),
};

static const char * const bad_names[] = {
	"", ".", "..", ".a", "a/b", "/", "a b", " a", "a ", "a\nb", "a\tb", "a:b",
	"a,b", "a=b", "a%b", "a+b", "a@b", "a[b", "a`b", "a{b", "a\x7f", "a\x80",
	"\xc3\xa4", "\xff", "a\001", "0123456789012345678901234567890/",
};

static void expect(struct ivregion_superblock *s, __u64 size,
		   enum ivregion_error reason, __u32 failed)
{
	struct ivregion region;
	enum ivregion_error found = parse(s, size, &region);

	if (found != reason || (failed != ANY && region.failed != failed))
		fail_msg("found: %s (section %u); expected: %s (section %u)",
			 ivregion_error_text(found), region.failed,
			 ivregion_error_text(reason), failed);
}

static void the_example_is_right(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	make_example(&s);
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	assert_int_equal(region.size, REGION_SIZE);
	assert_int_equal(region.minor, IVREGION_MINOR);
	assert_int_equal(region.instance, 0x12345678);
	assert_int_equal(region.slots, 4);
	assert_int_equal(region.nr_sections, 3);
	assert_false(region.read_only);
	assert_memory_equal(region.uuid, "0123456789abcdef", 16);
	assert_string_equal(region.sections[0].name, "net0");
	assert_int_equal(region.sections[0].type, IVREGION_NET);
	assert_int_equal(region.sections[0].vector, 1);
	assert_int_equal(region.sections[0].queues, 2);
	assert_int_equal(region.sections[0].size, 2048 * 4096);
	assert_int_equal(region.sections[0].offset, IVREGION_LARGE);
	assert_true(region.sections[0].usable);
	assert_string_equal(region.sections[2].name, "disk.0_a-Z");
}

static void one_wrong_word_is_found(void **state)
{
	struct ivregion_superblock s;
	unsigned int count = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (__u32 v = 0; v < bad[i].count; v++) {
			__le32 value = ivshmem_to_le32(bad[i].values[v]);

			make_example(&s);
			memcpy((char *)&s + bad[i].offset, &value, sizeof(value));
			expect(&s, REGION_SIZE, bad[i].reason, bad[i].failed);
			count++;
		}
	}
	assert_true(count > 200);
}

static void each_byte_that_is_not_used_is_0(void **state)
{
	struct ivregion_superblock s;

	(void)state;
	for (size_t i = ENTRY(3, type); i < sizeof(s); i++) {
		make_example(&s);
		((__u8 *)&s)[i] = 1U << i % 8;
		expect(&s, REGION_SIZE, IVREGION_BAD_RESERVED, 0);
	}
}

static void each_unknown_incompatible_bit_is_refused(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	for (__u32 bit = 0; bit < 32; bit++) {
		make_example(&s);
		s.minor = ivshmem_to_le32(7);
		s.incompat = ivshmem_to_le32(1U << bit);
		expect(&s, REGION_SIZE, IVREGION_BAD_INCOMPAT, 0);
		/* Says which version would do, and for what */
		parse(&s, REGION_SIZE, &region);
		assert_int_equal(region.minor, 7);
		assert_int_equal(region.incompat, 1U << bit);
	}
}

static void each_flipped_bit_breaks_the_checksum(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	make_example(&s);
	seal(&s);
	for (size_t i = FIELD(checksum) * 8; i < sizeof(s) * 8; i++) {
		enum ivregion_error found;

		((__u8 *)&s)[i / 8] ^= 1U << i % 8;
		found = ivregion_parse(&s, REGION_SIZE, &region);
		/* The version is looked at first: it says what the sum is of */
		assert_int_equal(found, i / 32 == FIELD(major) / 4 ?
				 IVREGION_BAD_MAJOR : IVREGION_BAD_CHECKSUM);
		((__u8 *)&s)[i / 8] ^= 1U << i % 8;
	}
	assert_int_equal(ivregion_parse(&s, REGION_SIZE, &region), IVREGION_OK);
}

static void bad_names_are_refused(void **state)
{
	struct ivregion_superblock s;

	(void)state;
	for (__u32 i = 0; i < 3; i++) {
		for (size_t n = 0; n < ARRAY_SIZE(bad_names); n++) {
			make_example(&s);
			memset(s.section[i].name, 0, IVREGION_SECTION_NAME);
			memcpy(s.section[i].name, bad_names[n],
			       strlen(bad_names[n]));
			expect(&s, REGION_SIZE, IVREGION_BAD_NAME, i);
		}
		/* Something behind the end */
		for (__u32 at = 0; at < IVREGION_SECTION_NAME; at++) {
			make_example(&s);
			memset(s.section[i].name, 'x', IVREGION_SECTION_NAME);
			s.section[i].name[at] = 0;
			if (at < IVREGION_SECTION_NAME - 1)
				expect(&s, REGION_SIZE, IVREGION_BAD_NAME, i);
			else
				expect(&s, REGION_SIZE, IVREGION_OK, ANY);
		}
	}
}

static void a_name_may_fill_its_place(void **state)
{
	static const char longest[] = "abcdefghijklmnopqrstuvwxyz012345";
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	make_example(&s);
	memcpy(s.section[1].name, longest, IVREGION_SECTION_NAME);
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	assert_string_equal(region.sections[1].name, longest);
	/* That differs in its last letter only is another */
	memcpy(s.section[2].name, longest, IVREGION_SECTION_NAME - 1);
	s.section[2].name[IVREGION_SECTION_NAME - 1] = '6';
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	s.section[2].name[IVREGION_SECTION_NAME - 1] = '5';
	expect(&s, REGION_SIZE, IVREGION_SAME_NAME, 2);
}

static void two_sections_do_not_have_one_name(void **state)
{
	struct ivregion_superblock s;

	(void)state;
	for (__u32 i = 0; i < 3; i++) {
		for (__u32 j = 0; j < i; j++) {
			make_example(&s);
			memcpy(s.section[i].name, s.section[j].name,
			       IVREGION_SECTION_NAME);
			expect(&s, REGION_SIZE, IVREGION_SAME_NAME, i);
		}
	}
	/* The beginning of another name is a name */
	make_example(&s);
	memset(s.section[1].name, 0, IVREGION_SECTION_NAME);
	memcpy(s.section[1].name, "net", 3);
	expect(&s, REGION_SIZE, IVREGION_OK, ANY);
}

static void only_memory_of_its_size_is_right(void **state)
{
	static const __u64 sizes[] = { 0, 1, 4096, REGION_SIZE / 2, REGION_SIZE - 1,
				       REGION_SIZE + 1, REGION_SIZE + 4096,
				       REGION_SIZE * 2, REGION_SIZE << 32,
				       ~(__u64)0, (__u64)1 << 63 };
	struct ivregion_superblock s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		make_example(&s);
		expect(&s, sizes[i], IVREGION_BAD_SIZE, 0);
	}
	/* Every size that there is, and one beyond at either end */
	for (__u32 log2 = 11; log2 <= 48; log2++) {
		make_superblock(&s, log2, 2);
		if (log2 == 11 || log2 == 48)
			expect(&s, (__u64)1 << log2, IVREGION_BAD_SIZE, 0);
		else
			expect(&s, (__u64)1 << log2, log2 < 14 ?
			       IVREGION_NO_ROOM : IVREGION_OK, ANY);
	}
}

static void the_limits_themselves_are_right(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;
	char name[8];

	(void)state;
	for (__u32 slots = IVREGION_SLOTS_MIN; slots <= IVREGION_SLOTS_MAX; slots++) {
		make_superblock(&s, REGION_LOG2, slots);
		expect(&s, REGION_SIZE, IVREGION_OK, ANY);
	}
	make_superblock(&s, REGION_LOG2, 2);
	s.sections = ivshmem_to_le32(IVREGION_SECTIONS_MAX);
	for (__u32 i = 0; i < IVREGION_SECTIONS_MAX; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		set_entry(&s, i, IVREGION_RAW, 1, 1 + i % IVREGION_QUEUES_MAX, name);
		s.section[i].vector = ivshmem_to_le32(i % 2 ? 255 : 0);
	}
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	assert_int_equal(region.nr_sections, IVREGION_SECTIONS_MAX);
	assert_string_equal(region.sections[31].name, "s31");
}

static void sections_may_fill_the_region_but_not_more(void **state)
{
	struct ivregion_superblock s;
	__u32 pages = (__u32)(REGION_SIZE / 4096);

	(void)state;
	make_superblock(&s, REGION_LOG2, 4);
	s.sections = ivshmem_to_le32(1);
	/* Large ones begin at 2 MiB */
	set_entry(&s, 0, IVREGION_RAW, pages - 512, 1, "all");
	expect(&s, REGION_SIZE, IVREGION_OK, ANY);
	set_entry(&s, 0, IVREGION_RAW, pages - 511, 1, "all");
	expect(&s, REGION_SIZE, IVREGION_NO_ROOM, 0);
	/* Small ones behind the directory */
	make_superblock(&s, 20, 4);
	s.sections = ivshmem_to_le32(1);
	set_entry(&s, 0, IVREGION_NET, 256 - 6, 1, "all");
	expect(&s, 1 << 20, IVREGION_OK, ANY);
	set_entry(&s, 0, IVREGION_NET, 256 - 5, 1, "all");
	expect(&s, 1 << 20, IVREGION_NO_ROOM, 0);
	/* Each fits, but not all of them */
	make_example(&s);
	s.sections = ivshmem_to_le32(4);
	set_entry(&s, 3, IVREGION_RAW, pages - 512, 1, "more");
	expect(&s, REGION_SIZE, IVREGION_NO_ROOM, 3);
	/* No sections, but no room for the directory either */
	make_superblock(&s, 18, 62);
	expect(&s, 1 << 18, IVREGION_OK, ANY);
	make_superblock(&s, 18, 63);
	expect(&s, 1 << 18, IVREGION_NO_ROOM, 0);
}

static void rings_need_so_many_pages_and_no_more(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	/* 4 outboxes: a page of blocks, 3 * 2 rings of a page */
	make_example(&s);
	s.section[0].pages = ivshmem_to_le32(28);
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	assert_int_equal(region.sections[0].ring_size, IVRING_SIZE_MIN);
	s.section[0].pages = ivshmem_to_le32(27);
	expect(&s, REGION_SIZE, IVREGION_BAD_PAGES, 0);
	/* What is for programs may be too small for links */
	s.section[0].type = ivshmem_to_le32(IVREGION_RAW);
	assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
	assert_int_equal(region.sections[0].ring_size, 0);
	assert_true(region.sections[0].usable);
}

static void a_newer_minor_version_is_used_as_far_as_it_is_known(void **state)
{
	static const __u32 minors[] = { IVREGION_MINOR + 1, 1000, 0x80000000,
					0xffffffff };
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		make_example(&s);
		s.minor = ivshmem_to_le32(minors[i]);
		s.compat = ivshmem_to_le32(0xffffffff);
		s.reserved = ivshmem_to_le32(1);
		memset(s.unused, 0xff, sizeof(s.unused));
		memset(&s.section[3], 0xff, 29 * sizeof(s.section[3]));
		s.section[0].features = ivshmem_to_le32(0x80000000);
		s.section[1].reserved[2] = ivshmem_to_le32(5);
		s.section[2].type = ivshmem_to_le32(4);
		assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
		assert_int_equal(region.minor, minors[i]);
		assert_int_equal(region.compat, 0xffffffff);
		assert_false(region.read_only);
		assert_int_equal(region.nr_sections, 3);
		/* Listed with its place, but not used */
		assert_false(region.sections[0].usable);
		assert_int_equal(region.sections[0].ring_size, 0);
		assert_int_equal(region.sections[0].offset, IVREGION_LARGE);
		assert_true(region.sections[1].usable);
		assert_int_equal(region.sections[1].ring_size, IVRING_SIZE_MIN);
		assert_false(region.sections[2].usable);
		assert_int_equal(region.sections[2].type, 4);
		assert_int_equal(region.sections[2].offset,
				 IVREGION_LARGE + (2048 + 512) * 4096);
	}
}

static void a_newer_minor_version_keeps_all_other_rules(void **state)
{
	struct ivregion_superblock s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		enum ivregion_error reason = bad[i].reason;

		/* Less is said of what is not known */
		if (reason == IVREGION_BAD_RESERVED ||
		    reason == IVREGION_BAD_TYPE)
			continue;
		for (__u32 v = 0; v < bad[i].count; v++) {
			__le32 value = ivshmem_to_le32(bad[i].values[v]);

			make_example(&s);
			s.minor = ivshmem_to_le32(IVREGION_MINOR + 1);
			memcpy((char *)&s + bad[i].offset, &value, sizeof(value));
			expect(&s, REGION_SIZE, reason, bad[i].failed);
		}
	}
}

static void unknown_features_forbid_writing_or_nothing(void **state)
{
	struct ivregion_superblock s;
	struct ivregion region;

	(void)state;
	for (__u32 bit = 0; bit < 32; bit++) {
		make_example(&s);
		s.compat = ivshmem_to_le32(1U << bit);
		assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
		assert_false(region.read_only);
		s.ro_compat = ivshmem_to_le32(1U << bit);
		assert_int_equal(parse(&s, REGION_SIZE, &region), IVREGION_OK);
		assert_true(region.read_only);
		assert_int_equal(region.ro_compat, 1U << bit);
	}
}

static void every_reason_has_its_text(void **state)
{
	(void)state;
	for (unsigned int i = IVREGION_OK; i <= IVREGION_NO_ROOM; i++) {
		for (unsigned int j = IVREGION_OK; j < i; j++)
			assert_string_not_equal(ivregion_error_text(i),
						ivregion_error_text(j));
		assert_string_not_equal(ivregion_error_text(i),
					ivregion_error_text(IVREGION_NO_ROOM + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_right),
		cmocka_unit_test(one_wrong_word_is_found),
		cmocka_unit_test(each_byte_that_is_not_used_is_0),
		cmocka_unit_test(each_unknown_incompatible_bit_is_refused),
		cmocka_unit_test(each_flipped_bit_breaks_the_checksum),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(a_name_may_fill_its_place),
		cmocka_unit_test(two_sections_do_not_have_one_name),
		cmocka_unit_test(only_memory_of_its_size_is_right),
		cmocka_unit_test(the_limits_themselves_are_right),
		cmocka_unit_test(sections_may_fill_the_region_but_not_more),
		cmocka_unit_test(rings_need_so_many_pages_and_no_more),
		cmocka_unit_test(a_newer_minor_version_is_used_as_far_as_it_is_known),
		cmocka_unit_test(a_newer_minor_version_keeps_all_other_rules),
		cmocka_unit_test(unknown_features_forbid_writing_or_nothing),
		cmocka_unit_test(every_reason_has_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
