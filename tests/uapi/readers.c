/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many threads that read one file, many files, and a file that nobody reads
 * while 100,000 doorbells come in.
 */
#include "device.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>

#define THREADS 16
#define DOORBELLS 2000
#define FLOOD 100000

/* Threads that read one file until they are told to end. */
static struct {
	int fd;
	bool end;
	uint64_t counted;
	unsigned int failures;
	sem_t progress, ended;
} crowd;

static void *crowd_member(void *arg)
{
	struct ivshmem_event_record record;

	(void)arg;
	while (!__atomic_load_n(&crowd.end, __ATOMIC_ACQUIRE)) {
		if (read(crowd.fd, &record, sizeof(record)) !=
		    (ssize_t)sizeof(record)) {
			__atomic_add_fetch(&crowd.failures, 1,
					   __ATOMIC_RELAXED);
			break;
		}
		__atomic_add_fetch(&crowd.counted, record.count,
				   __ATOMIC_RELAXED);
		sem_post(&crowd.progress);
	}
	sem_post(&crowd.ended);
	return NULL;
}

/* Waits for a semaphore, with the bound of every wait. */
static void await(sem_t *semaphore, const char *what)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_MS / 1000;
	if (sem_timedwait(semaphore, &end))
		fail_msg("%s did not come within %d ms", what, WAIT_MS);
}

static void ring_vector(int fd, uint32_t vector)
{
	assert_int_equal(device_ring(fd, device_facts.peer_id, vector), 0);
}

/*
 * Each doorbell is counted once by one of the threads that read a file, and
 * wakes one of them: none is lost, none is told twice.
 */
static void test_many_threads_one_file(void **state)
{
	int writer = device_open(O_RDWR);
	pthread_t threads[THREADS];
	unsigned int i;

	(void)state;
	crowd.fd = device_open(O_RDONLY);
	sem_init(&crowd.progress, 0, 0);
	sem_init(&crowd.ended, 0, 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member,
						NULL), 0);
	for (i = 0; i < DOORBELLS; i++) {
		ring_vector(writer, i % device_facts.vectors);
		await(&crowd.progress, "the reader of a doorbell");
	}
	assert_int_equal(crowd.counted, DOORBELLS);
	__atomic_store_n(&crowd.end, true, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		ring_vector(writer, 0);
		await(&crowd.ended, "the end of a reader");
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.failures, 0);
	/* one that saw the end coming left its doorbell, perhaps to nobody */
	assert_in_range(crowd.counted, DOORBELLS, DOORBELLS + THREADS);
	close(crowd.fd);
	close(writer);
}

/* Hundreds of open files see every doorbell, each for itself. */
static void test_many_files(void **state)
{
	static int files[500];
	int observer = device_open(O_RDONLY);
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(files); i++)
		files[i] = device_open(O_RDONLY);
	for (i = 0; i < 5; i++)
		ring_self(observer, 0);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		assert_int_equal(take(files[i], 0, 1), 5);
		close(files[i]);
	}
	close(observer);
}

/* EUSERS (512 files are open already); one that is closed makes room. */
static void test_too_many_files(void **state)
{
	static int files[513];
	unsigned int i, opened = 0;

	(void)state;
	while (opened < ARRAY_SIZE(files)) {
		files[opened] = open(device_path, O_RDONLY | O_CLOEXEC);
		if (files[opened] < 0)
			break;
		opened++;
	}
	assert_int_equal(errno, EUSERS);
	assert_int_equal(opened, 512);
	assert_fails(open(device_path, O_RDWR | O_CLOEXEC), EUSERS);
	close(files[0]);
	files[0] = device_open(O_RDWR);
	for (i = 0; i < opened; i++)
		close(files[i]);
}

/* What the kernel's allocator holds and could not give back, in KiB. */
static long kernel_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	long kib = -1;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %ld", &kib) == 1)
			break;
	fclose(file);
	assert_true(kib >= 0);
	return kib;
}

/* Kernel memory comes back to what it was, but for a MiB of everything else. */
static void expect_no_growth(long before)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	unsigned int i;

	/* what is freed after a grace period is not back at once */
	for (i = 0; i < WAIT_MS / 10; i++) {
		if (kernel_memory() <= before + 1024)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("kernel memory grew from %ld to %ld KiB", before,
		 kernel_memory());
}

/* What is bound, subscribed and mapped goes with the file, whole. */
static void test_nothing_is_left(void **state)
{
	long before = kernel_memory();
	unsigned int i;
	int fd, efd;

	(void)state;
	for (i = 0; i < 20000; i++) {
		fd = device_open(O_RDONLY);
		efd = eventfd(0, EFD_CLOEXEC);
		assert_int_equal(device_bind(fd, 0, efd), 0);
		if (i % 4)
			assert_int_equal(device_bind(fd, 0, efd), 0);
		if (i % 4 > 1)
			assert_int_equal(device_bind(fd, 0, -1), 0);
		if (i % 4 > 2)
			munmap(device_map(fd, 4096, 0, PROT_READ), 4096);
		close(efd);
		close(fd);
	}
	expect_no_growth(before);
}

/*
 * The slow reader: what it has not read is a number, not a queue.  After
 * 100,000 doorbells it finds one record, whose count is that of a file that
 * was read all along, and the kernel has kept no memory for it.
 */
static void test_slow_reader(void **state)
{
	int slow = device_open(O_RDONLY), quick = device_open(O_RDWR);
	struct pollfd p[2] = { { slow, POLLIN, 0 }, { quick, POLLIN, 0 } };
	struct ivshmem_event_record records[2];
	uint64_t told[IVSHMEM_MAX_VECTORS] = { 0 };
	uint64_t kept[IVSHMEM_MAX_VECTORS] = { 0 };
	long before, i;

	(void)state;
	subscribe_to(slow, 0);
	subscribe_to(quick, 0);
	before = kernel_memory();
	for (i = 0; i < FLOOD; i++) {
		ring_vector(quick, 0);
		if (i % 64 == 0)
			take_pending(quick, told);
	}
	wait_for(slow, POLLIN);
	expect_no_growth(before);
	assert_int_equal(read(slow, records, sizeof(records)), RECORD_SIZE);
	assert_int_equal(records[0].vector, 0);
	kept[0] = records[0].count;

	/* the last of the flood may still be on its way */
	do {
		take_pending(quick, told);
		take_pending(slow, kept);
	} while (told[0] != kept[0] && poll(p, 2, WAIT_MS) > 0);
	printf("# %d doorbells made %llu interrupts\n", FLOOD,
	       (unsigned long long)kept[0]);
	assert_int_equal(told[0], kept[0]);
	assert_in_range(kept[0], 1, FLOOD);
	close(slow);
	close(quick);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_many_threads_one_file, settle),
		cmocka_unit_test_setup(test_many_files, settle),
		cmocka_unit_test(test_too_many_files),
		cmocka_unit_test_setup(test_slow_reader, settle),
		cmocka_unit_test(test_nothing_is_left),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
