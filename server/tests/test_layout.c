/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptions of a region and what becomes of them: places, names, vectors,
 * shares, and the words of each refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "layout.h"

#define K	1024ULL
#define M	(1024 * K)
#define G	(1024 * M)

static struct ivregion_superblock superblock;
static struct ivregion region;
static char error[256];

static int make(const char *description, uint64_t memory_size, uint32_t slots,
		uint32_t vectors)
{
	struct ivshmem_layout_options options = {
		.memory_size = memory_size,
		.slots = slots,
		.vectors = vectors,
	};

	error[0] = '\0';
	return ivshmem_layout_make(description, &options, &superblock, &region,
				   error, sizeof(error));
}

static const char *describe(void)
{
	static char text[IVSHMEM_LAYOUT_TEXT];

	assert_true(ivshmem_layout_describe(&region, text, sizeof(text)) <
		    sizeof(text));
	return text;
}

struct good {
	const char *description;
	uint64_t size;
	uint32_t slots;
	uint32_t vectors;
	const char *layout;
};

static const struct good good[] = {
	/* Sizes are taken as they are, vectors are handed out from 1 on. */
	{ "net:128M,blk:64M,raw=lab:32M", 256 * M, 8, 4,
	  "net:128M:vector=1,blk:64M:vector=2,raw=lab:32M:vector=3" },
	{ "raw:4K,raw:8K,raw:12288", 1 * M, 2, 3,
	  "raw:4K:vector=1,raw=raw1:8K:vector=2,raw=raw2:12K:vector=1" },
	{ "raw:4K,raw:4K", 1 * M, 2, 1,
	  "raw:4K:vector=0,raw=raw1:4K:vector=0" },
	{ "raw:4k,raw:1m", 4 * M, 2, 0,
	  "raw:4K:vector=0,raw=raw1:1M:vector=0" },
	/* Names that were given keep away from defaults that come earlier. */
	{ "net:1M,raw=net:4K,net:1M,raw=net1:4K", 8 * M, 2, 2,
	  "net=net2:1M:vector=1,raw=net:4K:vector=1,net=net3:1M:vector=1,"
	  "raw=net1:4K:vector=1" },
	{ "raw=A-b_c.9:4K", 64 * K, 2, 1, "raw=A-b_c.9:4K:vector=0" },
	{ "raw=abcdefghijklmnopqrstuvwxyz012345:4K", 64 * K, 2, 1,
	  "raw=abcdefghijklmnopqrstuvwxyz012345:4K:vector=0" },
	{ "net:4M:queues=2:vector=0,blk:vector=3", 16 * M, 2, 4,
	  "net:4M:vector=0:queues=2,blk:10M:vector=3" },
	/* The rest, whole and in equal parts, with and without alignment. */
	{ "raw", 64 * K, 2, 1, "raw:48K:vector=0" },
	{ "raw,raw", 64 * K, 2, 1, "raw:24K:vector=0,raw=raw1:24K:vector=0" },
	{ "raw,raw,raw", 64 * K, 2, 1,
	  "raw:16K:vector=0,raw=raw1:16K:vector=0,raw=raw2:16K:vector=0" },
	{ "raw", 4 * M, 8, 4, "raw:2M:vector=1" },
	{ "raw,raw:1M", 8 * M, 8, 4, "raw:5M:vector=1,raw=raw1:1M:vector=2" },
	{ "raw,raw:2M", 4 * M, 8, 4,
	  "raw:2008K:vector=1,raw=raw1:2M:vector=2" },
	{ "net,raw", 16 * M, 8, 4, "net:6M:vector=1,raw:6M:vector=2" },
	/* The largest there is. */
	{ "raw:1024G", 1ULL << 47, 64, 256, "raw:1024G:vector=1" },
	{ "raw,raw:16777214M", 1ULL << 47, 2, 1,
	  "raw:16777214M:vector=0,raw=raw1:16777214M:vector=0" },
	{ "raw:4096", 32 * K, 2, 1, "raw:4K:vector=0" },
	/* Small regions are left whole, large ones get a network and a disk. */
	{ "auto", 64 * K, 8, 4, "raw=shared:24K:vector=1" },
	{ "auto", 4 * M, 8, 4, "raw=shared:2M:vector=1" },
	{ "auto", 8 * M, 8, 4, "raw=shared:6M:vector=1" },
	{ "auto", 16 * M, 2, 4,
	  "net:6M:vector=1,blk:4M:vector=2,raw=shared:4M:vector=3" },
	{ "auto", 16 * M, 8, 4,
	  "net:8M:vector=1,blk:4M:vector=2,raw=shared:2M:vector=3" },
	{ "auto", 256 * M, 8, 4,
	  "net:114M:vector=1,blk:58M:vector=2,raw=shared:82M:vector=3" },
	{ "auto", 1 * G, 2, 1,
	  "net:10M:vector=0,blk:10M:vector=0,raw=shared:1002M:vector=0" },
	/* Many slots: rings would be too small for a frame, then for a block. */
	{ "auto", 256 * M, 64, 4, "blk:64M:vector=1,raw=shared:190M:vector=2" },
	{ "auto", 64 * M, 64, 4, "raw=shared:62M:vector=1" },
};

/* What it is now, it is also after a second time. */
static void check_good(const struct good *want)
{
	struct ivregion first;
	char text[IVSHMEM_LAYOUT_TEXT];

	if (make(want->description, want->size, want->slots, want->vectors))
		fail_msg("%s: %s", want->description, error);
	assert_string_equal(describe(), want->layout);
	assert_int_equal(ivregion_parse(&superblock, want->size, &first),
			 IVREGION_OK);
	strcpy(text, describe());
	assert_int_equal(make(text, want->size, want->slots, want->vectors),
			 0);
	assert_true(ivshmem_layout_same(&first, &region));
	assert_int_not_equal(first.instance, region.instance);
	assert_memory_not_equal(first.uuid, region.uuid, sizeof(first.uuid));
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		check_good(&good[i]);
}

static const struct {
	const char *description;
	uint64_t size;
	uint32_t slots;
	int error;
	const char *why;
} refused[] = {
	{ "", 4 * M, 8, -EINVAL,
	  "there is no section: expected TYPE[=NAME][:SIZE][:KEY=VALUE]... "
	  "with the type raw, net or blk, separated by commas, or auto" },
	{ "raw,,net", 4 * M, 8, -EINVAL,
	  "section 2 is empty: expected TYPE[=NAME][:SIZE][:KEY=VALUE]... "
	  "with the type raw, net or blk" },
	{ "raw:1M,", 4 * M, 8, -EINVAL,
	  "section 2 is empty: expected TYPE[=NAME][:SIZE][:KEY=VALUE]... "
	  "with the type raw, net or blk" },
	{ "disk:1M", 4 * M, 8, -EINVAL,
	  "section \"disk:1M\": expected TYPE[=NAME][:SIZE][:KEY=VALUE]... "
	  "with the type raw, net or blk" },
	{ "RAW", 4 * M, 8, -EINVAL, NULL },
	{ "auto,raw", 4 * M, 8, -EINVAL, NULL },
	{ " raw", 4 * M, 8, -EINVAL, NULL },
	{ "raw=", 4 * M, 8, -EINVAL,
	  "section \"raw=\": its name has to have 1 to 32 letters, digits, "
	  "\"-\", \"_\" or \".\", and no \".\" at the start" },
	{ "raw=.a", 4 * M, 8, -EINVAL, NULL },
	{ "raw=a/b", 4 * M, 8, -EINVAL, NULL },
	{ "raw=a b", 4 * M, 8, -EINVAL, NULL },
	{ "raw=abcdefghijklmnopqrstuvwxyz0123456", 4 * M, 8, -EINVAL, NULL },
	{ "raw=a,net=a", 4 * M, 8, -EINVAL,
	  "section \"net=a\": another one has that name" },
	{ "raw:1Q", 4 * M, 8, -EINVAL,
	  "section \"raw:1Q\": \"1Q\" is neither a size, such as 64K, 32M or "
	  "1G, nor KEY=VALUE" },
	{ "raw:", 4 * M, 8, -EINVAL, NULL },
	{ "raw:-4096", 4 * M, 8, -EINVAL, NULL },
	{ "raw:1MB", 4 * M, 8, -EINVAL, NULL },
	{ "raw:1T", 4 * M, 8, -EINVAL, NULL },
	{ "raw:0x1000", 4 * M, 8, -EINVAL, NULL },
	{ "raw:99999999999999999999", 4 * M, 8, -EINVAL, NULL },
	{ "raw:5000", 4 * M, 8, -EINVAL,
	  "section \"raw:5000\": a size of 5000 is not a multiple of 4096; "
	  "use 4K or 8K" },
	{ "raw:0", 4 * M, 8, -EINVAL,
	  "section \"raw:0\": a size of 0 is less than a page; use 4K" },
	{ "raw:18446744073709551615", 4 * M, 8, -ENOSPC,
	  "section \"raw:18446744073709551615\": 18446744073709551615 is "
	  "larger than a section can be; use 16777214M or less" },
	{ "raw:17179869184G", 4 * M, 8, -ENOSPC, NULL },
	{ "raw:16384G", 4 * M, 8, -ENOSPC, NULL },
	{ "raw:8192G,raw:8192G", 4 * M, 8, -ENOSPC,
	  "the sections need 16777218M with directory and alignment, the "
	  "region has 4M; lower their sizes, or take a region of 32768G" },
	{ "raw:1M:2M", 4 * M, 8, -EINVAL,
	  "section \"raw:1M:2M\": \"2M\": expected KEY=VALUE; a size comes "
	  "first" },
	{ "raw:vector=1:2M", 4 * M, 8, -EINVAL, NULL },
	{ "raw:colour=red", 4 * M, 8, -EINVAL,
	  "section \"raw:colour=red\": unknown key \"colour\"; a section has "
	  "vector and queues" },
	{ "raw:vector=1:vector=1", 4 * M, 8, -EINVAL,
	  "section \"raw:vector=1:vector=1\": vector is set twice; remove "
	  "one" },
	{ "raw:queues=1:queues=2", 4 * M, 8, -EINVAL, NULL },
	{ "raw:vector=4", 4 * M, 8, -EINVAL,
	  "section \"raw:vector=4\": vector=4: peers have the vectors 0 to "
	  "3" },
	{ "raw:vector=256", 4 * M, 8, -EINVAL,
	  "section \"raw:vector=256\": vector=256: expected a number from 0 "
	  "to 255" },
	{ "raw:vector=", 4 * M, 8, -EINVAL, NULL },
	{ "raw:vector=x", 4 * M, 8, -EINVAL, NULL },
	{ "raw:queues=0", 4 * M, 8, -EINVAL,
	  "section \"raw:queues=0\": queues=0: expected a number from 1 to "
	  "16" },
	{ "raw:queues=17", 4 * M, 8, -EINVAL, NULL },
	{ "net:8M", 64 * M, 64, -ENOSPC,
	  "section net: 8M is too small for 64 slots with 1 queue: rings of "
	  "64K or more need 253M; give it more, or lower the number of "
	  "slots" },
	{ "blk:64K:queues=2", 4 * M, 8, -ENOSPC,
	  "section blk: 64K is too small for 8 slots with 2 queues: rings of "
	  "16K or more need 2M; give it more, or lower the number of slots" },
	{ "net,net", 4 * M, 8, -ENOSPC,
	  "section net: 2028K is too small for 8 slots with 1 queue: rings of "
	  "64K or more need 4M; give it more, or lower the number of slots" },
	{ "net:96M,blk:64M", 128 * M, 8, -ENOSPC,
	  "the sections need 162M with directory and alignment, the region "
	  "has 128M; lower their sizes, or take a region of 256M" },
	{ "raw:4M", 4 * M, 8, -ENOSPC,
	  "the sections need 6M with directory and alignment, the region has "
	  "4M; lower their sizes, or take a region of 8M" },
	{ "raw", 4 * K, 8, -ENOSPC,
	  "the sections need 44K with directory and alignment, the region "
	  "has 4K; lower their sizes, or take a region of 64K" },
	{ "auto", 32 * K, 8, -ENOSPC, NULL },
	{ "raw", 4 * M, 1, -EINVAL, "1 slots: expected 2 to 64" },
	{ "raw", 4 * M, 65, -EINVAL, NULL },
	{ "raw", 3 * M, 8, -EINVAL,
	  "the region has 3145728 bytes: expected a power of two from 2^12 to "
	  "2^47" },
	{ "raw", 2 * K, 8, -EINVAL, NULL },
	{ "raw", 1ULL << 48, 8, -EINVAL, NULL },
	{ "raw", 0, 8, -EINVAL, NULL },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		int result = make(refused[i].description, refused[i].size,
				  refused[i].slots, 4);

		if (result != refused[i].error)
			fail_msg("\"%s\": %d, %s", refused[i].description,
				 result, error);
		assert_string_not_equal(error, "");
		if (refused[i].why)
			assert_string_equal(error, refused[i].why);
	}
}

/* One that is refused for its size is accepted with what the message says. */
static void test_advice_is_right(void **state)
{
	(void)state;
	assert_int_equal(make("net:253M", 512 * M, 64, 4), 0);
	assert_int_equal(make("net:252M", 512 * M, 64, 4), -ENOSPC);
	assert_int_equal(make("net:96M,blk:64M", 256 * M, 8, 4), 0);
	assert_int_equal(make("raw", 64 * K, 8, 4), 0);
	assert_int_equal(region.sections[0].ring_size, 0);
}

static void test_number_of_sections(void **state)
{
	char description[256] = "raw";

	(void)state;
	for (int i = 1; i < 32; i++)
		strcat(description, ",raw");
	assert_int_equal(make(description, 4 * M, 8, 256), 0);
	assert_int_equal(region.nr_sections, 32);
	assert_string_equal(region.sections[31].name, "raw31");
	assert_int_equal(region.sections[31].vector, 32);
	strcat(description, ",raw");
	assert_int_equal(make(description, 4 * M, 8, 256), -EINVAL);
	assert_string_equal(error, "there are more than 32 sections");
}

static void test_uuid(void **state)
{
	static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	struct ivshmem_layout_options options = {
		.memory_size = 4 * M,
		.slots = 8,
		.uuid = uuid,
	};

	(void)state;
	assert_int_equal(ivshmem_layout_make("raw", &options, &superblock,
					     &region, error, sizeof(error)), 0);
	assert_memory_equal(region.uuid, uuid, sizeof(uuid));
	assert_int_equal(make("raw", 4 * M, 8, 4), 0);
	assert_int_equal(region.uuid[6] & 0xf0, 0x40);
	assert_int_equal(region.uuid[8] & 0xc0, 0x80);
}

/* A buffer that is too small is filled, and nothing behind it. */
static void test_describe_cuts_off(void **state)
{
	const char *whole = "raw=a:4K:vector=1,raw=b:4K:vector=2";
	char buffer[64];

	(void)state;
	assert_int_equal(make("raw=a:4K,raw=b:4K", 4 * M, 8, 4), 0);
	for (size_t size = 0; size <= strlen(whole) + 1; size++) {
		memset(buffer, '!', sizeof(buffer));
		assert_int_equal(ivshmem_layout_describe(&region, buffer, size),
				 strlen(whole));
		assert_int_equal(buffer[size], '!');
		if (!size)
			continue;
		assert_int_equal(strlen(buffer), size - 1);
		assert_memory_equal(buffer, whole, size - 1);
	}
}

/* As a program of a newer version might have formatted it. */
static void test_describe_unknown_type(void **state)
{
	(void)state;
	assert_int_equal(make("raw=new:4K", 4 * M, 8, 4), 0);
	superblock.minor = ivshmem_to_le32(IVREGION_MINOR + 1);
	superblock.section[0].type = ivshmem_to_le32(77);
	superblock.checksum = ivshmem_to_le32(ivregion_checksum(&superblock));
	assert_int_equal(ivregion_parse(&superblock, 4 * M, &region),
			 IVREGION_OK);
	assert_string_equal(describe(), "type77=new:4K:vector=1");
}

static void test_same(void **state)
{
	static const char * const others[] = {
		"raw=b:1M,net:2M", "raw=a:2M,net:2M", "raw=a:1M,net:2M,raw:4K",
		"raw=a:1M,net:2M:vector=0", "raw=a:1M:queues=2,net:2M",
		"net=a:1M,net:2M", "raw=a:1M",
	};
	struct ivregion first;

	(void)state;
	assert_int_equal(make("raw=a:1M,net:2M", 8 * M, 2, 4), 0);
	first = region;
	assert_true(ivshmem_layout_same(&first, &region));
	assert_int_equal(make("raw=a:1M,net:2M", 16 * M, 2, 4), 0);
	assert_false(ivshmem_layout_same(&first, &region));
	assert_int_equal(make("raw=a:1M,net:2M", 8 * M, 3, 4), 0);
	assert_false(ivshmem_layout_same(&first, &region));
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_int_equal(make(others[i], 8 * M, 2, 4), 0);
		assert_false(ivshmem_layout_same(&first, &region));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_advice_is_right),
		cmocka_unit_test(test_number_of_sections),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_describe_cuts_off),
		cmocka_unit_test(test_describe_unknown_type),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
