// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hellos with one thing wrong each, and what is made of those that are right.
 */
#include "region.h"

#include <ivshmem/net.h>

#define QUEUES	4U

static const __u8 address[6] = { 0x02, 0x12, 0x34, 0x56, 0x78, 0x9a };

static struct ivnet_hello good(void)
{
	struct ivnet_hello hello;

	/* What is reserved is not read. */
	memset(&hello, 0xff, sizeof(hello));
	hello.features = ivshmem_to_le32(IVNET_CSUM | IVNET_TSO4);
	hello.max_frame = ivshmem_to_le32(1514);
	hello.queues = ivshmem_to_le32(2);
	memcpy(hello.address, address, sizeof(address));
	return hello;
}

static bool taken(const struct ivnet_hello *hello)
{
	struct ivnet_limits limits;

	return ivnet_parse_hello(&limits, hello, sizeof(*hello), QUEUES);
}

static void what_is_said_is_taken(void **state)
{
	struct ivnet_hello hello = good();
	struct ivnet_limits limits;

	(void)state;
	assert_true(ivnet_parse_hello(&limits, &hello, sizeof(hello), QUEUES));
	assert_int_equal(limits.features, IVNET_CSUM | IVNET_TSO4);
	assert_int_equal(limits.max_frame, 1514);
	assert_int_equal(limits.queues, 2);
	assert_memory_equal(limits.address, address, sizeof(address));
}

static void it_may_be_longer_but_not_shorter(void **state)
{
	struct ivnet_hello hello = good();
	struct ivnet_limits limits;
	__u32 length;

	(void)state;
	for (length = 0; length < sizeof(hello); length++)
		assert_false(ivnet_parse_hello(&limits, &hello, length,
					       QUEUES));
	assert_true(ivnet_parse_hello(&limits, &hello, 33, QUEUES));
	assert_true(ivnet_parse_hello(&limits, &hello, 0xffffffff, QUEUES));
}

static void unknown_features_are_ignored(void **state)
{
	struct ivnet_hello hello = good();
	struct ivnet_limits limits;

	(void)state;
	hello.features = ivshmem_to_le32(0xffffffff);
	assert_true(ivnet_parse_hello(&limits, &hello, sizeof(hello), QUEUES));
	assert_int_equal(limits.features, 31);
}

static void without_checksums_there_are_no_segments(void **state)
{
	struct ivnet_hello hello = good();
	struct ivnet_limits limits;

	(void)state;
	hello.features = ivshmem_to_le32(0xffffffff & ~IVNET_CSUM);
	assert_true(ivnet_parse_hello(&limits, &hello, sizeof(hello), QUEUES));
	assert_int_equal(limits.features, 0);
}

static void numbers_have_limits(void **state)
{
	static const __u32 frames[] = { 0, 1, 14, 85 };
	static const __u32 queues[] = { 0, QUEUES + 1, 256, 0x80000001,
					0xffffffff };
	struct ivnet_hello hello;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(frames); i++) {
		hello = good();
		hello.max_frame = ivshmem_to_le32(frames[i]);
		assert_false(taken(&hello));
	}
	for (i = 0; i < ARRAY_SIZE(queues); i++) {
		hello = good();
		hello.queues = ivshmem_to_le32(queues[i]);
		assert_false(taken(&hello));
	}
	hello = good();
	hello.max_frame = ivshmem_to_le32(86);
	hello.queues = ivshmem_to_le32(QUEUES);
	assert_true(taken(&hello));
	hello.max_frame = ivshmem_to_le32(0xffffffff);
	hello.queues = ivshmem_to_le32(1);
	assert_true(taken(&hello));
}

static void the_address_is_that_of_one_station(void **state)
{
	struct ivnet_hello hello = good();
	unsigned int i;

	(void)state;
	memset(hello.address, 0, sizeof(hello.address));
	assert_false(taken(&hello));
	/* Each byte counts, and of the first one not its lowest bit. */
	for (i = 0; i < 6; i++) {
		memset(hello.address, 0, sizeof(hello.address));
		hello.address[i] = 1;
		assert_int_equal(taken(&hello), i != 0);
		hello.address[i] = 2;
		assert_true(taken(&hello));
	}
	memset(hello.address, 0xff, sizeof(hello.address));
	assert_false(taken(&hello));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_taken),
		cmocka_unit_test(it_may_be_longer_but_not_shorter),
		cmocka_unit_test(unknown_features_are_ignored),
		cmocka_unit_test(without_checksums_there_are_no_segments),
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(the_address_is_that_of_one_station),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
