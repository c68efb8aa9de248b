/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IVSHMEM_IOC_SUBSCRIBE: which vectors a file is told of.
 */
#include "device.h"

#include <poll.h>

#define WORDS (IVSHMEM_MAX_VECTORS / 64)

static void set_bit(uint64_t set[WORDS], unsigned int bit)
{
	set[bit / 64] |= 1ULL << bit % 64;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void expect_nothing_pending(int fd)
{
	struct ivshmem_event_record record;

	assert_false(readable(fd));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_fails(read(fd, &record, sizeof(record)), EAGAIN);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* A new file is subscribed to every vector of the device. */
static void test_new_file_hears_all(void **state)
{
	int fd = device_open(O_RDONLY);
	uint32_t v;

	(void)state;
	for (v = 0; v < device_facts.vectors; v++)
		ring_self(fd, v);
	close(fd);
}

/* A file is told of the vectors in its set and of no other. */
static void test_only_the_set(void **state)
{
	int all = device_open(O_RDONLY), some = device_open(O_RDONLY);
	uint64_t counts[IVSHMEM_MAX_VECTORS] = { 0 };
	uint64_t set[WORDS] = { 0 };
	uint32_t v;

	(void)state;
	need_vectors(2);
	for (v = 1; v < device_facts.vectors; v += 2)
		set_bit(set, v);
	assert_int_equal(device_subscribe(some, set), 0);
	for (v = 0; v < device_facts.vectors; v++)
		ring_self(all, v);
	take_pending(some, counts);
	for (v = 0; v < device_facts.vectors; v++)
		assert_int_equal(counts[v], v % 2);
	close(all);
	close(some);
}

/* The set may be empty: nothing is ever pending. */
static void test_empty_set(void **state)
{
	int all = device_open(O_RDONLY), none = device_open(O_RDONLY);
	const uint64_t set[WORDS] = { 0 };

	(void)state;
	assert_int_equal(device_subscribe(none, set), 0);
	ring_self_through(all, 0);
	expect_nothing_pending(none);
	close(all);
	close(none);
}

/*
 * EINVAL (a vector that the device does not have), for each such bit; a
 * refused set leaves the old one, and what is pending, as it was.
 */
static void test_vectors_out_of_range(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	uint64_t set[WORDS];
	uint32_t v;

	(void)state;
	ring_self(observer, 0);
	for (v = device_facts.vectors; v < IVSHMEM_MAX_VECTORS; v++) {
		memset(set, 0, sizeof(set));
		set_bit(set, v);
		assert_fails(device_subscribe(fd, set), EINVAL);
		set_bit(set, device_facts.vectors - 1);
		assert_fails(device_subscribe(fd, set), EINVAL);
	}
	memset(set, 0xff, sizeof(set));
	if (device_facts.vectors < IVSHMEM_MAX_VECTORS)
		assert_fails(device_subscribe(fd, set), EINVAL);

	assert_int_equal(take(fd, 0, 1), 1);
	ring_self(fd, device_facts.vectors - 1);
	close(fd);
	close(observer);
}

/* A vector that was subscribed before keeps its pending events. */
static void test_old_vector_keeps_pending(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);

	(void)state;
	ring_self(observer, 0);
	ring_self(observer, 0);
	subscribe_to(fd, 0);
	subscribe_to(fd, 0);
	assert_true(readable(fd));
	assert_int_equal(take(fd, 0, 1), 2);
	close(fd);
	close(observer);
}

/* A new vector starts with none, whatever has been rung on it before. */
static void test_new_vector_starts_empty(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	const uint64_t nothing[WORDS] = { 0 };

	(void)state;
	assert_int_equal(device_subscribe(fd, nothing), 0);
	ring_self(observer, 0);
	subscribe_to(fd, 0);
	expect_nothing_pending(fd);
	ring_self(fd, 0);
	take(observer, 0, 1);

	/* also one that was given up while it had events */
	ring_self(observer, 0);
	assert_true(readable(fd));
	assert_int_equal(device_subscribe(fd, nothing), 0);
	expect_nothing_pending(fd);
	subscribe_to(fd, 0);
	expect_nothing_pending(fd);
	close(fd);
	close(observer);
}

/* The whole set is replaced: the old vectors are not added to. */
static void test_set_is_replaced(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);

	(void)state;
	need_vectors(2);
	subscribe_to(fd, 0);
	subscribe_to(fd, 1);
	ring_self(observer, 0);
	ring_self_through(observer, 0);
	expect_nothing_pending(fd);
	ring_self(fd, 1);
	close(fd);
	close(observer);
}

/* Subscriptions are the file's own. */
static void test_files_are_independent(void **state)
{
	int one = device_open(O_RDONLY), two = device_open(O_RDONLY);
	const uint64_t nothing[WORDS] = { 0 };

	(void)state;
	assert_int_equal(device_subscribe(one, nothing), 0);
	ring_self(two, 0);
	expect_nothing_pending(one);
	close(one);
	close(two);
}

/* A reader that already waits is woken by a vector that is added meanwhile. */
static void test_waiting_reader_hears_new_vector(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	const uint64_t nothing[WORDS] = { 0 };
	struct blocked_read r;

	(void)state;
	assert_int_equal(device_subscribe(fd, nothing), 0);
	blocked_read_start(&r, fd);
	subscribe_to(fd, 0);
	ring_self(observer, 0);
	blocked_read_join(&r);
	assert_int_equal(r.result, RECORD_SIZE);
	assert_int_equal(r.record.vector, 0);
	assert_int_equal(r.record.count, 1);
	close(fd);
	close(observer);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_new_file_hears_all, settle),
		cmocka_unit_test_setup(test_only_the_set, settle),
		cmocka_unit_test_setup(test_empty_set, settle),
		cmocka_unit_test_setup(test_vectors_out_of_range, settle),
		cmocka_unit_test_setup(test_old_vector_keeps_pending, settle),
		cmocka_unit_test_setup(test_new_vector_starts_empty, settle),
		cmocka_unit_test_setup(test_set_is_replaced, settle),
		cmocka_unit_test_setup(test_files_are_independent, settle),
		cmocka_unit_test_setup(test_waiting_reader_hears_new_vector,
				       settle),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
