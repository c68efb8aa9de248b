/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dma-bufs that are in use, by processes and by a device, when the memory is taken
 * away: because the device goes ("gone"), or because it is formatted or reset
 * ("stays").
 *
 * Prints "ready" when everybody uses them; then the memory is to be taken away.
 */
#include "buffer.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* Whoever takes the memory away is in another process: a VM may be slow. */
#define REVOCATION_MS 120000

static uint64_t page, memory;
static bool device_stays;
static int fd, whole, reader, importer;
static char *touched, *untouched, *read_only;
static pid_t child;

/* What the thread that exports all the time got in the end */
static pthread_t exporting;
static bool stop_exporting;
static int export_error;

static void *export_again_and_again(void *arg)
{
	int buffer;

	(void)arg;
	while (!__atomic_load_n(&stop_exporting, __ATOMIC_ACQUIRE)) {
		buffer = buffer_export(fd, 0, page, O_RDWR | O_CLOEXEC);
		if (buffer >= 0) {
			close(buffer);
			sched_yield();
			continue;
		}
		export_error = errno;
		/* while it changes over, more is to be seen */
		if (errno != EAGAIN)
			break;
	}
	return NULL;
}

/* Reads and writes until that raises a signal: which */
static int use_until_it_goes(char *p)
{
	uint64_t at;
	int number = 0;

	for (at = 0; !number; at = (at + page) % memory) {
		number = touch(p + at, at & page);
		if (at == 0)
			sched_yield();
	}
	return number;
}

static void start_child(void)
{
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(use_until_it_goes(touched) == SIGBUS ? 0 : 1);
}

/* The device stays: waits until a page is for programs again, and shows that. */
static void wait_until_settled(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int i;
	uint64_t at;
	int buffer;

	for (i = 0; i < WAIT_MS; i++) {
		for (at = 0; at < memory; at += page) {
			buffer = buffer_export(fd, at, page, O_RDWR);
			if (buffer < 0)
				continue;
			munmap(device_map(buffer, page, 0, PROT_READ), page);
			close(buffer);
			return;
		}
		nanosleep(&pause, NULL);
	}
	fail_msg("nothing can be exported again: %s", strerror(errno));
}

static int use(void **state)
{
	(void)state;
	fd = device_open(O_RDWR);
	whole = buffer_make(fd, 0, memory, O_RDWR);
	reader = buffer_make(fd, page, page, O_RDONLY);
	touched = device_map(whole, memory, 0, PROT_READ | PROT_WRITE);
	untouched = device_map(whole, memory, 0, PROT_READ | PROT_WRITE);
	read_only = device_map(reader, page, 0, PROT_READ);
	memset(touched, 0, memory);
	assert_int_equal(touch(read_only, false), 0);

	importer = importer_open();
	assert_int_equal(ioctl(importer, IMPORT_ATTACH, whole), 0);
	assert_int_equal(ioctl(importer, IMPORT_MAP, IMPORT_BIDIRECTIONAL), 0);
	start_child();
	assert_int_equal(pthread_create(&exporting, NULL,
					export_again_and_again, NULL), 0);

	printf("ready\n");
	fflush(stdout);
	alarm(REVOCATION_MS / 1000);
	if (use_until_it_goes(touched) != SIGBUS)
		return -1;
	alarm(0);
	/* if the device is gone it ends by itself */
	__atomic_store_n(&stop_exporting, device_stays, __ATOMIC_RELEASE);
	if (device_stays)
		wait_until_settled();
	return pthread_join(exporting, NULL);
}

/*
 * Each page of each mapping raises SIGBUS, whether it was used or not, and though
 * there are pages that programs may map again.
 */
static void test_mappings(void **state)
{
	uint64_t at;
	int status;

	(void)state;
	for (at = 0; at < memory; at += page) {
		assert_int_equal(touch(touched + at, at & page), SIGBUS);
		assert_int_equal(touch(untouched + at, at & page), SIGBUS);
	}
	assert_int_equal(touch(read_only, false), SIGBUS);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Nor is there another way to it: for processes, debuggers, devices. */
static void test_no_way_back(void **state)
{
	int debugger = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte;

	(void)state;
	assert_fails(mmap(NULL, page, PROT_READ, MAP_SHARED, whole, 0), ENODEV);
	assert_fails(mmap(NULL, page, PROT_READ, MAP_SHARED, reader, 0),
		     ENODEV);
	assert_int_equal(pread(debugger, &byte, 1, (uintptr_t)touched), -1);
	close(debugger);
}

/* The driver that had imported it was told, once, and cannot map it again. */
static void test_importer(void **state)
{
	int other = importer_open();
	char byte;

	(void)state;
	assert_int_equal(ioctl(importer, IMPORT_TOLD), 1);
	assert_fails(importer_read(importer, 0, &byte, 1), ENXIO);
	assert_fails(ioctl(importer, IMPORT_MAP, IMPORT_TO_DEVICE), ENODEV);
	assert_int_equal(ioctl(other, IMPORT_ATTACH, whole), 0);
	assert_fails(ioctl(other, IMPORT_MAP, IMPORT_TO_DEVICE), ENODEV);
	close(other);
}

/* If the device is gone nothing is made any more. */
static void test_export(void **state)
{
	(void)state;
	if (device_stays)
		return;
	assert_int_equal(export_error, ENODEV);
	assert_fails(buffer_export(fd, 0, page, O_RDWR), ENODEV);
}

/* What is left can be closed, in whatever order. */
static void test_close(void **state)
{
	(void)state;
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(whole), 0);
	assert_int_equal(munmap(touched, memory), 0);
	assert_int_equal(munmap(read_only, page), 0);
	assert_int_equal(close(reader), 0);
	assert_int_equal(munmap(untouched, memory), 0);
	assert_int_equal(close(importer), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_no_way_back),
		cmocka_unit_test(test_importer),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_close),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s /dev/ivshmemN gone|stays\n", argv[0]);
		return 2;
	}
	device_stays = !strcmp(argv[2], "stays");
	device_setup(2, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	return cmocka_run_group_tests(tests, use, NULL) != 0;
}
