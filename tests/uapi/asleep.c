/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine sleeps and wakes while the device is in use.
 *
 * Prints "ready" when it is; then the machine is to be put to sleep, and
 * woken.  Everything that is touched afterwards is locked in memory before,
 * for the file system may not be back so soon.
 */
#include "device.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

/* Whoever puts the machine to sleep is outside: it may take its time. */
#define SLEEP_SECONDS 120

static int fd, observer, efd;
static volatile uint64_t *memory;
static size_t words;
static struct blocked_read reader;

static int use_over_sleep(void **state)
{
	struct timespec end;
	size_t i;

	settle(state);
	fd = device_open(O_RDWR);
	observer = device_open(O_RDONLY);
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	memory = device_map(fd, device_facts.memory_size, 0,
			    PROT_READ | PROT_WRITE);
	words = device_facts.memory_size / sizeof(*memory);
	for (i = 0; i < words; i++)
		memory[i] = i * 0x9e3779b97f4a7c15ULL;
	blocked_read_start(&reader, fd);

	printf("ready\n");
	fflush(stdout);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += SLEEP_SECONDS;
	if (pthread_timedjoin_np(reader.thread, NULL, &end)) {
		print_error("the blocked reader was never woken\n");
		return -1;
	}
	return 0;
}

/* After system sleep every vector counts one event: a blocked reader wakes. */
static void test_reader_is_woken(void **state)
{
	(void)state;
	assert_int_equal(reader.result, RECORD_SIZE);
	assert_int_equal(reader.record.vector, 0);
	assert_int_equal(reader.record.count, 1);
}

/* Each vector counts one event, in every open file. */
static void test_every_vector_counts_one(void **state)
{
	uint64_t seen[IVSHMEM_MAX_VECTORS] = { 0 };
	uint64_t rest[IVSHMEM_MAX_VECTORS] = { 0 };
	uint32_t v;

	(void)state;
	take_pending(observer, seen);
	take_pending(fd, rest);
	for (v = 0; v < device_facts.vectors; v++) {
		assert_int_equal(seen[v], 1);
		assert_int_equal(rest[v], v > 0);
	}
}

/* A mapping from before the sleep shows what it showed. */
static void test_memory_is_kept(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < words; i++)
		if (memory[i] != i * 0x9e3779b97f4a7c15ULL)
			fail_msg("word %zu is %#llx", i,
				 (unsigned long long)memory[i]);
}

/* It is still writable, and still shared with a new one. */
static void test_memory_is_shared(void **state)
{
	volatile uint64_t *other = device_map(fd, 4096, 0, PROT_READ);

	(void)state;
	memory[1] = 4711;
	assert_int_equal(other[1], 4711);
}

/* Doorbells work on every vector, for files from before the sleep, too. */
static void test_doorbells(void **state)
{
	uint32_t v;

	(void)state;
	for (v = 0; v < device_facts.vectors; v++) {
		ring_self(observer, v);
		take(fd, v, 1);
	}
}

/* So does an eventfd that was bound before. */
static void test_eventfd(void **state)
{
	eventfd_t value;

	(void)state;
	eventfd_read(efd, &value);
	ring_self(observer, 0);
	wait_for(efd, POLLIN);
}

/* The device answers as before. */
static void test_info(void **state)
{
	struct ivshmem_ioc_info info;

	(void)state;
	assert_int_equal(device_info(fd, &info), 0);
	assert_memory_equal(&info, &device_facts, sizeof(info));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_is_woken),
		cmocka_unit_test(test_every_vector_counts_one),
		cmocka_unit_test(test_memory_is_kept),
		cmocka_unit_test(test_memory_is_shared),
		cmocka_unit_test(test_doorbells),
		cmocka_unit_test(test_eventfd),
		cmocka_unit_test(test_info),
	};

	device_setup(argc, argv);
	if (mlockall(MCL_CURRENT)) {
		perror("mlockall");
		return 1;
	}
	return cmocka_run_group_tests(tests, use_over_sleep, NULL) != 0;
}
