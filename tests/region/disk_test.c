// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hellos and requests of disks with one thing wrong each, and what is made of those
 * that are right.
 */
#include "region.h"

#include <ivshmem/blk.h>

#define QUEUES	4U
#define BUFFERS	0x10000U
/* In sectors; of 4 KiB each eight make a block */
#define SECTORS	0x100000008ULL
#define ALL	(IVBLK_FLUSH | IVBLK_FUA | IVBLK_DISCARD | IVBLK_ZEROES)

static struct ivblk_hello good(void)
{
	struct ivblk_hello hello;

	memset(&hello, 0, sizeof(hello));
	hello.role = ivshmem_to_le32(IVBLK_BACK_END);
	hello.features = ivshmem_to_le32(ALL);
	hello.queues = ivshmem_to_le32(2);
	hello.block_size = ivshmem_to_le32(4096);
	hello.physical_block_size = ivshmem_to_le32(8192);
	hello.max_length = ivshmem_to_le32(0x8000);
	hello.max_extent = ivshmem_to_le32(0x100000);
	hello.sectors_low = ivshmem_to_le32((__u32)SECTORS);
	hello.sectors_high = ivshmem_to_le32((__u32)(SECTORS >> 32));
	memset(hello.serial, 0, sizeof(hello.serial));
	memcpy(hello.serial, "disk 7", 6);
	hello.cache_low = ivshmem_to_le32(0x9abcdef0);
	hello.cache_high = ivshmem_to_le32(0x12345678);
	return hello;
}

static bool taken(const struct ivblk_hello *hello)
{
	struct ivblk_disk disk;

	return ivblk_parse_hello(&disk, hello, sizeof(*hello), QUEUES);
}

static struct ivblk_disk the_disk(void)
{
	struct ivblk_hello hello = good();
	struct ivblk_disk disk;

	assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello), QUEUES));
	return disk;
}

static void what_is_said_is_taken(void **state)
{
	struct ivblk_disk disk = the_disk();

	(void)state;
	assert_int_equal(disk.role, IVBLK_BACK_END);
	assert_int_equal(disk.features, ALL);
	assert_int_equal(disk.queues, 2);
	assert_int_equal(disk.block_size, 4096);
	assert_int_equal(disk.physical_block_size, 8192);
	assert_int_equal(disk.max_length, 0x8000);
	assert_int_equal(disk.max_extent, 0x100000);
	assert_true(disk.sectors == SECTORS);
	assert_string_equal(disk.serial, "disk 7");
	assert_int_equal(disk.cache, 0x123456789abcdef0);
}

static void it_may_be_longer_but_not_shorter(void **state)
{
	struct ivblk_hello hello = good();
	struct ivblk_disk disk;
	__u32 length;

	(void)state;
	for (length = 0; length < sizeof(hello); length++)
		assert_false(ivblk_parse_hello(&disk, &hello, length, QUEUES));
	assert_true(ivblk_parse_hello(&disk, &hello, 65, QUEUES));
	assert_true(ivblk_parse_hello(&disk, &hello, 0xffffffff, QUEUES));
}

static void of_a_front_end_only_the_start_is_read(void **state)
{
	struct ivblk_hello hello;
	struct ivblk_disk disk;

	(void)state;
	memset(&hello, 0xff, sizeof(hello));
	hello.role = ivshmem_to_le32(IVBLK_FRONT_END);
	hello.queues = ivshmem_to_le32(QUEUES);
	assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello), QUEUES));
	assert_int_equal(disk.role, IVBLK_FRONT_END);
	assert_int_equal(disk.features, IVBLK_READ_ONLY);
	assert_int_equal(disk.queues, QUEUES);
	assert_int_equal(disk.block_size + disk.max_length + disk.sectors, 0);
	hello.role = ivshmem_to_le32(3);
	assert_false(taken(&hello));
	hello.role = 0;
	assert_false(taken(&hello));
}

static void features_that_make_no_sense_are_left_out(void **state)
{
	static const __u32 said[][2] = {
		{ 0, 0 },
		{ 0xffffffffU, IVBLK_READ_ONLY },
		{ 0xfffffffeU, ALL },
		{ IVBLK_FUA, 0 },
		{ IVBLK_FUA | IVBLK_DISCARD, IVBLK_DISCARD },
		{ IVBLK_FLUSH, IVBLK_FLUSH },
	};
	struct ivblk_hello hello = good();
	struct ivblk_disk disk;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		hello.features = ivshmem_to_le32(said[i][0]);
		assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello),
					      QUEUES));
		assert_int_equal(disk.features, said[i][1]);
		assert_int_equal(disk.max_extent, disk.features &
				 (IVBLK_DISCARD | IVBLK_ZEROES) ? 0x100000 : 0);
	}
}

/* One word of a hello, by its place, with values that cannot be */
static void assert_refused(size_t place, const __u32 *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ivblk_hello hello = good();
		__le32 word = ivshmem_to_le32(values[i]);

		memcpy((char *)&hello + place, &word, sizeof(word));
		if (taken(&hello))
			fail_msg("word at %zu: 0x%x was taken", place, values[i]);
	}
}

#define REFUSED(word, ...)						\
	do {								\
		static const __u32 values[] = { __VA_ARGS__ };		\
		assert_refused(offsetof(struct ivblk_hello, word),	\
			       values, ARRAY_SIZE(values));		\
	} while (0)

static void numbers_have_limits(void **state)
{
	struct ivblk_hello hello;

	(void)state;
	REFUSED(queues, 0, QUEUES + 1, 0x80000001, 0xffffffff);
	REFUSED(block_size, 0, 1, 256, 513, 1536, 3072, 8192, 0x80000000, 0xffffffff);
	REFUSED(physical_block_size, 0, 512, 2048, 4097, 12288, 131072, 0xffffffff);
	REFUSED(max_length, 0, 512, 4095, 4097, 0xffffffff);
	REFUSED(max_extent, 0, 512, 4097, 0xffffffff);
	REFUSED(sectors_low, 1, 7, 0xffffffff);
	REFUSED(sectors_high, IVBLK_SECTORS_HIGH_MAX + 1, 0xffffffff);

	hello = good();
	hello.block_size = ivshmem_to_le32(512);
	hello.physical_block_size = ivshmem_to_le32(512);
	hello.max_length = ivshmem_to_le32(0xfffffe00);
	hello.sectors_low = ivshmem_to_le32(0xffffffff);
	hello.sectors_high = ivshmem_to_le32(IVBLK_SECTORS_HIGH_MAX);
	assert_true(taken(&hello));
	hello.sectors_low = 0;
	hello.sectors_high = 0;
	assert_true(taken(&hello));
}

static void a_serial_is_printable(void **state)
{
	struct ivblk_hello hello = good();
	struct ivblk_disk disk;

	(void)state;
	memset(hello.serial, '~', sizeof(hello.serial));
	assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello), QUEUES));
	assert_string_equal(disk.serial, "~~~~~~~~~~~~~~~~~~~~");
	hello.serial[3] = 0x1b;
	assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello), QUEUES));
	assert_string_equal(disk.serial, "~~~");
	hello.serial[0] = 0x7f;
	assert_true(ivblk_parse_hello(&disk, &hello, sizeof(hello), QUEUES));
	assert_string_equal(disk.serial, "");
}

/* What is answered to a request */
struct asked {
	__u32 features;
	__u32 operation;
	__u32 flags;
	__u32 length;
	__u64 sector;
	__u32 buffer;
	__u32 status;
};

static const struct asked requests[] = {
	{ ALL, IVBLK_OP_READ, 0, 4096, 0, 0, IVBLK_OK },
	{ ALL, IVBLK_OP_READ, 0, 4096, SECTORS - 8, BUFFERS - 4096, IVBLK_OK },
	{ ALL, IVBLK_OP_READ, 0, 0x8000, 8, 512, IVBLK_OK },
	{ ALL, IVBLK_OP_READ, 0, 0, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 0x9000, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 512, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4097, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 0xfffff000, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 1, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, SECTORS, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, SECTORS + 8, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 8192, SECTORS - 8, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 0xfffffffffffffff8ULL, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 0, 1, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 0, BUFFERS - 3584, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 0, BUFFERS, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 0, 4096, 0, 0xfffff000, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, IVBLK_REQUEST_FUA, 4096, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, IVBLK_REQUEST_KEEP, 4096, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_READ, 4, 4096, 0, 0, IVBLK_UNSUPPORTED },
	{ ALL, IVBLK_OP_WRITE, 0, 4096, 0, 0, IVBLK_OK },
	{ ALL, IVBLK_OP_WRITE, IVBLK_REQUEST_FUA, 4096, 0, 0, IVBLK_OK },
	{ IVBLK_FLUSH, IVBLK_OP_WRITE, IVBLK_REQUEST_FUA, 4096, 0, 0,
	  IVBLK_UNSUPPORTED },
	{ ALL, IVBLK_OP_WRITE, IVBLK_REQUEST_KEEP, 4096, 0, 0, IVBLK_INVALID },
	{ IVBLK_READ_ONLY, IVBLK_OP_WRITE, 0, 4096, 0, 0, IVBLK_UNSUPPORTED },
	{ IVBLK_READ_ONLY, IVBLK_OP_READ, 0, 4096, 0, 0, IVBLK_OK },
	{ ALL, IVBLK_OP_FLUSH, 0, 0, 0, 0, IVBLK_OK },
	{ 0, IVBLK_OP_FLUSH, 0, 0, 99, 99, IVBLK_OK },
	{ ALL, IVBLK_OP_FLUSH, 0, 4096, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_FLUSH, IVBLK_REQUEST_FUA, 0, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_DISCARD, 0, 0x100000, 0, 99, IVBLK_OK },
	{ ALL, IVBLK_OP_DISCARD, 0, 0x101000, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_DISCARD, 0, 0, 0, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_DISCARD, 0, 4096, SECTORS, 0, IVBLK_INVALID },
	{ ALL, IVBLK_OP_DISCARD, IVBLK_REQUEST_KEEP, 4096, 0, 0, IVBLK_INVALID },
	{ IVBLK_ZEROES, IVBLK_OP_DISCARD, 0, 4096, 0, 0, IVBLK_UNSUPPORTED },
	{ ALL, IVBLK_OP_ZEROES, IVBLK_REQUEST_KNOWN, 0x100000, 8, 0, IVBLK_OK },
	{ IVBLK_ZEROES, IVBLK_OP_ZEROES, IVBLK_REQUEST_KEEP, 4096, 0, 0, IVBLK_OK },
	{ IVBLK_DISCARD, IVBLK_OP_ZEROES, 0, 4096, 0, 0, IVBLK_UNSUPPORTED },
	{ ALL, IVBLK_OP_ZEROES, 0, 0x101000, 0, 0, IVBLK_INVALID },
	{ ALL, 5, 0, 4096, 0, 0, IVBLK_UNSUPPORTED },
	{ ALL, 0xffffffff, 0, 0, 0, 0, IVBLK_UNSUPPORTED },
};

static void requests_are_what_they_should_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct asked *asked = &requests[i];
		struct ivblk_disk disk = the_disk();
		struct ivblk_request request;
		struct ivblk_io io;
		__u32 status;

		memset(&request, 0xff, sizeof(request));
		request.id = ivshmem_to_le32(0x80000000U + (__u32)i);
		request.operation = ivshmem_to_le32(asked->operation);
		request.flags = ivshmem_to_le32(asked->flags);
		request.length = ivshmem_to_le32(asked->length);
		request.sector_low = ivshmem_to_le32((__u32)asked->sector);
		request.sector_high =
			ivshmem_to_le32((__u32)(asked->sector >> 32));
		request.buffer = ivshmem_to_le32(asked->buffer);
		disk.features = asked->features;
		status = ivblk_parse_request(&io, &request, &disk, BUFFERS);
		if (status != asked->status)
			fail_msg("request %zu: %u instead of %u", i, status,
				 asked->status);
		/* Whatever it is, it can be answered */
		assert_int_equal(io.id, 0x80000000U + i);
		if (status == IVBLK_OK) {
			assert_int_equal(io.length, asked->length);
			assert_true(io.sector == asked->sector);
			assert_int_equal(io.buffer, asked->buffer);
		}
	}
}

static void buffers_are_behind_the_ring(void **state)
{
	struct ivregion_section section = { .type = IVREGION_BLK };

	(void)state;
	for (__u32 size = IVRING_SIZE_MIN; size <= IVRING_SIZE_MAX / 2; size *= 2) {
		__u32 records;

		section.ring_size = size;
		records = ivregion_records_size(&section);
		assert_int_equal(records, size < 65536 ? 4096 : size / 16);
		assert_int_equal(records + ivregion_buffers_size(&section), size);
		section.type = IVREGION_NET;
		assert_int_equal(ivregion_records_size(&section), size);
		assert_int_equal(ivregion_buffers_size(&section), 0);
		section.type = IVREGION_BLK;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_taken),
		cmocka_unit_test(it_may_be_longer_but_not_shorter),
		cmocka_unit_test(of_a_front_end_only_the_start_is_read),
		cmocka_unit_test(features_that_make_no_sense_are_left_out),
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(a_serial_is_printable),
		cmocka_unit_test(requests_are_what_they_should_be),
		cmocka_unit_test(buffers_are_behind_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
