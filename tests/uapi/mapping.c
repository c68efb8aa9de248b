/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a mapping is: the same memory for everybody, as writable as the file
 * that it was made of, and for its whole life no more than that.
 */
#include "device.h"

#include <liburing.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define HUGE (2UL << 20)

static size_t page, memory;
static int fd;

static volatile uint64_t *map_words(size_t length, off_t offset)
{
	return device_map(fd, length, offset, PROT_READ | PROT_WRITE);
}

/* Address space of @length that nothing is mapped to, aligned for huge pages */
static char *reserve(size_t length)
{
	char *p = mmap(NULL, length + HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

/* Two mappings of one offset, by one file or by two, are one memory. */
static void test_shared_in_process(void **state)
{
	int other = device_open(O_RDWR);
	volatile uint64_t *a = map_words(page, memory - page);
	volatile uint64_t *b = map_words(memory, 0) + (memory - page) / 8;
	volatile uint64_t *c = device_map(other, page, memory - page,
					  PROT_READ);

	(void)state;
	a[0] = 1;
	assert_int_equal(b[0], 1);
	assert_int_equal(c[0], 1);
	b[511] = 2;
	assert_int_equal(a[511], 2);
	assert_int_equal(c[511], 2);
	munmap((void *)a, page);
	munmap((void *)(b - (memory - page) / 8), memory);
	munmap((void *)c, page);
	close(other);
}

/* fork(2) shares the mapping: parent and child see each other's writes. */
static void test_shared_over_fork(void **state)
{
	volatile uint64_t *a = map_words(2 * page, 0);
	int status, go[2];
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(pipe(go), 0);
	a[0] = 0;
	a[512] = 0;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(go[1]);
		/* the parent has written and unmapped when the pipe closes */
		if (read(go[0], &byte, 1) != 0 || a[0] != 11)
			_exit(1);
		a[512] = 12;
		_exit(0);
	}
	a[0] = 11;
	munmap((void *)a, 2 * page);
	close(go[0]);
	close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	a = map_words(page, page);
	assert_int_equal(a[0], 12);
	munmap((void *)a, page);
}

/* An unrelated process, with a file of its own, sees the same memory. */
static void test_shared_between_processes(void **state)
{
	volatile uint64_t *a = map_words(page, 0), *b;
	int status, own;
	pid_t child;

	(void)state;
	a[3] = 33;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		munmap((void *)a, page);
		own = open(device_path, O_RDWR);
		b = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, own,
			 0);
		if (b == MAP_FAILED || b[3] != 33)
			_exit(1);
		b[4] = 44;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(a[4], 44);
	munmap((void *)a, page);
}

/* A mapping stays when the file that it was made of is closed. */
static void test_outlives_the_file(void **state)
{
	int other = device_open(O_RDWR);
	volatile char *a = device_map(other, page, 0, PROT_READ | PROT_WRITE);

	(void)state;
	close(other);
	assert_int_equal(touch(a, true), 0);
	munmap((void *)a, page);
}

/* A read-only descriptor maps read-only, and stays so: EACCES. */
static void test_read_only_stays(void **state)
{
	int reader = device_open(O_RDONLY);
	char *a = device_map(reader, page, 0, PROT_READ);

	(void)state;
	assert_int_equal(touch(a, false), 0);
	assert_int_equal(touch(a, true), SIGSEGV);
	assert_fails(mprotect(a, page, PROT_READ | PROT_WRITE), EACCES);
	assert_fails(mprotect(a, page, PROT_WRITE), EACCES);
	assert_int_equal(mprotect(a, page, PROT_NONE), 0);
	assert_fails(mprotect(a, page, PROT_READ | PROT_WRITE), EACCES);
	assert_int_equal(mprotect(a, page, PROT_READ), 0);
	assert_int_equal(touch(a, true), SIGSEGV);
	munmap(a, page);

	a = device_map(reader, page, 0, PROT_NONE);
	assert_fails(mprotect(a, page, PROT_WRITE), EACCES);
	munmap(a, page);
	close(reader);
}

/* Never executable, not later either: EACCES. */
static void test_never_executable(void **state)
{
	static const int modes[] = { O_RDONLY, O_RDWR };
	unsigned int i;
	char *a;
	int f;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		f = device_open(modes[i]);
		a = device_map(f, page, 0, PROT_READ);
		assert_fails(mprotect(a, page, PROT_EXEC), EACCES);
		assert_fails(mprotect(a, page, PROT_READ | PROT_EXEC), EACCES);
		munmap(a, page);
		close(f);
	}
}

/* EPERM also where the personality READ_IMPLIES_EXEC adds PROT_EXEC. */
static void test_old_personality(void **state)
{
	struct statvfs place;
	int before;
	void *p;

	(void)state;
	assert_int_equal(fstatvfs(fd, &place), 0);
	if (place.f_flag & ST_NOEXEC)
		skip();
	before = personality(READ_IMPLIES_EXEC);
	assert_true(before >= 0);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	personality(before);
	assert_fails(p, EPERM);
}

/* A writable descriptor's read-only mapping may become writable. */
static void test_writable_file_may_upgrade(void **state)
{
	char *a = device_map(fd, page, 0, PROT_READ);

	(void)state;
	assert_int_equal(touch(a, true), SIGSEGV);
	assert_int_equal(mprotect(a, page, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(touch(a, true), 0);
	assert_int_equal(mprotect(a, page, PROT_READ), 0);
	assert_int_equal(touch(a, true), SIGSEGV);
	munmap(a, page);
}

/* mremap(2) cannot make a mapping longer, wherever it would go. */
static void test_cannot_grow(void **state)
{
	char *a = device_map(fd, page, 0, PROT_READ), *place = reserve(HUGE);

	(void)state;
	assert_ptr_equal(mremap(a, page, 2 * page, 0), MAP_FAILED);
	assert_ptr_equal(mremap(a, page, 2 * page, MREMAP_MAYMOVE), MAP_FAILED);
	assert_ptr_equal(mremap(a, page, memory + page, MREMAP_MAYMOVE),
			 MAP_FAILED);
	assert_ptr_equal(mremap(a, page, 2 * page, MREMAP_MAYMOVE |
				MREMAP_FIXED, place), MAP_FAILED);
	assert_int_equal(touch(a, false), 0);
	munmap(a, page);

	/* not even where nothing but the end of the memory follows */
	a = device_map(fd, page, memory - page, PROT_READ);
	assert_ptr_equal(mremap(a, page, 2 * page, MREMAP_MAYMOVE), MAP_FAILED);
	munmap(a, page);
}

/* mremap(2) may move and shrink a mapping: it shows what it showed. */
static void test_may_move_and_shrink(void **state)
{
	volatile uint64_t *all = map_words(memory, 0), *a;
	char *place = reserve(HUGE);

	(void)state;
	all[0] = 100;
	all[512] = 101;
	all[1024] = 102;
	a = map_words(3 * page, 0);
	a = mremap((void *)a, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED,
		   place);
	assert_ptr_equal(a, place);
	assert_int_equal(a[0], 100);
	assert_int_equal(a[1024], 102);
	a = mremap((void *)a, 3 * page, 2 * page, 0);
	assert_ptr_equal(a, place);
	a[512] = 201;
	assert_int_equal(all[512], 201);
	assert_int_equal(touch(place + 2 * page, false), SIGSEGV);
	munmap((void *)a, 2 * page);
	munmap((void *)all, memory);
}

/* munmap(2) of a part leaves the rest where it was, at its offset. */
static void test_partial_munmap(void **state)
{
	volatile uint64_t *all = map_words(memory, 0);
	volatile uint64_t *a = map_words(4 * page, page);

	(void)state;
	all[512] = 1;
	all[2 * 512] = 2;
	all[4 * 512] = 4;
	assert_int_equal(munmap((void *)(a + 512), 2 * page), 0);
	assert_int_equal(a[0], 1);
	assert_int_equal(touch((char *)(a + 512), false), SIGSEGV);
	assert_int_equal(touch((char *)(a + 1024), false), SIGSEGV);
	assert_int_equal(a[3 * 512], 4);
	a[3 * 512] = 5;
	assert_int_equal(all[4 * 512], 5);
	munmap((void *)a, 4 * page);
	munmap((void *)all, memory);
}

/* MAP_FIXED lays the memory over another mapping, and another over it. */
static void test_fixed_overlay(void **state)
{
	volatile uint64_t *all = map_words(memory, 0);
	char *place = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *a;

	(void)state;
	assert_ptr_not_equal(place, MAP_FAILED);
	memset(place, 9, 4 * page);
	all[0] = 0x0101010101010101;
	a = mmap(place + page, 2 * page, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_equal(a, place + page);
	assert_int_equal(a[0], 1);
	assert_int_equal(place[page - 1], 9);
	assert_int_equal(place[3 * page], 9);

	assert_ptr_equal(mmap(a, page, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			      MAP_ANONYMOUS | MAP_FIXED, -1, 0), a);
	a[0] = 7;
	assert_int_equal(all[0], 0x0101010101010101);
	munmap(place, 4 * page);

	place = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_fails(mmap(place, page, PROT_READ, MAP_SHARED |
			  MAP_FIXED_NOREPLACE, fd, 0), EEXIST);
	munmap(place, page);
	munmap((void *)all, memory);
}

/* madvise(2) cannot throw the memory away, since it is not the caller's. */
static void test_advice_changes_nothing(void **state)
{
	static const int advice[] = { MADV_DONTNEED, MADV_NORMAL, MADV_RANDOM,
				      MADV_WILLNEED, MADV_FREE, MADV_REMOVE,
				      MADV_COLD, MADV_PAGEOUT };
	volatile uint64_t *a = map_words(2 * page, 0);
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		a[0] = 1000 + i;
		a[512] = 2000 + i;
		madvise((void *)a, 2 * page, advice[i]);
		assert_int_equal(a[0], 1000 + i);
		assert_int_equal(a[512], 2000 + i);
	}
	munmap((void *)a, 2 * page);
}

/* System calls that copy work on it like on any memory. */
static void test_copying_calls(void **state)
{
	char *a = device_map(fd, page, 0, PROT_READ | PROT_WRITE);
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	memcpy(a, "shared", 7);
	assert_int_equal(write(ends[1], a, 7), 7);
	assert_int_equal(read(ends[0], a + 100, 7), 7);
	assert_string_equal(a + 100, "shared");
	close(ends[0]);
	close(ends[1]);
	munmap(a, page);
}

/*
 * The memory has no struct page: what needs the pages themselves, as O_DIRECT
 * and registered buffers do, fails with EFAULT.
 */
static void test_no_pages(void **state)
{
	char *a = device_map(fd, page, 0, PROT_READ | PROT_WRITE);
	struct iovec iov = { a, page };
	struct io_uring ring;
	int ends[2];

	(void)state;
	a[0] = 1;
	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(io_uring_register_buffers(&ring, &iov, 1), -EFAULT);
	io_uring_queue_exit(&ring);

	assert_int_equal(pipe(ends), 0);
	assert_fails(vmsplice(ends[1], &iov, 1, 0), EFAULT);
	close(ends[0]);
	close(ends[1]);
	munmap(a, page);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Linux asks a driver for huge pages without struct page from 6.12 on. */
static bool kernel_asks_for_huge_pages(void)
{
	unsigned int version, patch;
	struct utsname name;

	uname(&name);
	assert_int_equal(sscanf(name.release, "%u.%u", &version, &patch), 2);
	return version > 6 || (version == 6 && patch >= 12);
}

/*
 * Pages appear on first access, huge ones where address and offset agree: all
 * of it is then reached with a fault for each 2 MiB, not for each 4 KiB.  Not
 * where the caller knows that the firmware calls the memory uncached.
 */
static void test_huge_pages(void **state)
{
	size_t length = memory & ~(HUGE - 1), at;
	long before, after;
	char *a;

	(void)state;
	if (!length || !kernel_asks_for_huge_pages() ||
	    getenv("SMALL_PAGES"))
		skip();
	a = reserve(length);
	a = mmap(a, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0);
	assert_ptr_not_equal(a, MAP_FAILED);
	before = faults();
	for (at = 0; at < length; at += page)
		((volatile char *)a)[at] = 1;
	after = faults();
	/* a handful for what else the process does */
	assert_in_range(after - before, 1, length / HUGE + 8);
	munmap(a, length);
}

/* Whatever is cut out of or changed within a huge page, the rest holds. */
static void test_huge_page_in_pieces(void **state)
{
	volatile uint64_t *all = map_words(memory, 0);
	size_t i;
	char *a;

	(void)state;
	if (memory < HUGE)
		skip();
	for (i = 0; i < HUGE / page; i++)
		all[i * 512] = i;
	a = mmap(reserve(HUGE), HUGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_not_equal(a, MAP_FAILED);
	assert_int_equal(touch(a, false), 0);

	assert_int_equal(munmap(a + 16 * page, page), 0);
	assert_int_equal(mprotect(a + 32 * page, page, PROT_READ), 0);
	for (i = 0; i < HUGE / page; i++) {
		if (i == 16)
			assert_int_equal(touch(a + i * page, false), SIGSEGV);
		else
			assert_int_equal(*(uint64_t *)(a + i * page), i);
	}
	assert_int_equal(touch(a + 32 * page, true), SIGSEGV);
	assert_int_equal(touch(a + 33 * page, true), 0);
	munmap(a, HUGE);
	munmap((void *)all, memory);
}

/* An address that does not fit the offset is served just as well, page-wise. */
static void test_odd_alignment(void **state)
{
	volatile uint64_t *all = map_words(memory, 0);
	size_t length = memory - page, i;
	char *a;

	(void)state;
	for (i = 0; i < memory / page; i++)
		all[i * 512] = ~i;
	a = mmap(reserve(memory + HUGE) + 3 * page, length, PROT_READ,
		 MAP_SHARED | MAP_FIXED, fd, page);
	assert_ptr_not_equal(a, MAP_FAILED);
	for (i = 0; i < length / page; i++)
		assert_int_equal(*(uint64_t *)(a + i * page), ~(i + 1));
	munmap(a, length);
	munmap((void *)all, memory);
}

/* process_vm_readv(2) copies pages, and finds none here. */
static void test_no_pages_for_others(void **state)
{
	char *a = device_map(fd, page, 0, PROT_READ | PROT_WRITE), local[8];
	struct iovec here = { local, sizeof(local) }, there = { a, 8 };

	(void)state;
	a[0] = 1;
	assert_fails(process_vm_readv(getpid(), &here, 1, &there, 1, 0),
		     EFAULT);
	munmap(a, page);
}

/*
 * A debugger (ptrace, /proc/PID/mem) that looks at a mapping sees what is
 * there, or nothing, and reaches no byte behind its end: neither what follows
 * in the memory nor what lies behind that.
 */
static void test_debugger_stays_inside(void **state)
{
	int debugger = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	const off_t ends[] = { page, memory };
	char *all = device_map(fd, memory, 0, PROT_READ | PROT_WRITE);
	char buffer[4096], *a;
	unsigned int i;
	ssize_t n;

	(void)state;
	assert_true(debugger >= 0);
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		memset(all, 'a', memory);
		a = mmap(reserve(page), page, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, ends[i] - page);
		assert_ptr_not_equal(a, MAP_FAILED);
		/* reserved memory is no obstacle to a debugger, a hole is */
		assert_int_equal(munmap(a + page, page), 0);

		memset(buffer, 'b', sizeof(buffer));
		n = pwrite(debugger, buffer, sizeof(buffer),
			   (uintptr_t)a + page - 8);
		assert_true(n == -1 || n == 8);
		assert_int_equal(a[page - 1], n == 8 ? 'b' : 'a');
		assert_int_equal(a[page - 9], 'a');
		if (ends[i] < (off_t)memory)
			assert_int_equal(all[ends[i]], 'a');

		n = pread(debugger, buffer, sizeof(buffer),
			  (uintptr_t)a + page - 8);
		assert_true(n == -1 || n == 8);
		if (n == 8)
			assert_memory_equal(buffer, a + page - 8, 8);
		munmap(a, page);
	}
	munmap(all, memory);
	close(debugger);
}

/* Nor does it write what the mapping's owner may not: the file decides. */
static void test_debugger_of_read_only_file(void **state)
{
	int debugger = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int reader = device_open(O_RDONLY);
	char *all = device_map(fd, page, 0, PROT_READ | PROT_WRITE);
	char *a = device_map(reader, page, 0, PROT_READ);

	(void)state;
	assert_true(debugger >= 0);
	all[0] = 'a';
	assert_int_equal(pwrite(debugger, "b", 1, (uintptr_t)a), -1);
	assert_int_equal(all[0], 'a');
	munmap(a, page);
	munmap(all, page);
	close(reader);
	close(debugger);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_in_process),
		cmocka_unit_test(test_shared_over_fork),
		cmocka_unit_test(test_shared_between_processes),
		cmocka_unit_test(test_outlives_the_file),
		cmocka_unit_test(test_read_only_stays),
		cmocka_unit_test(test_never_executable),
		cmocka_unit_test(test_old_personality),
		cmocka_unit_test(test_writable_file_may_upgrade),
		cmocka_unit_test(test_cannot_grow),
		cmocka_unit_test(test_may_move_and_shrink),
		cmocka_unit_test(test_partial_munmap),
		cmocka_unit_test(test_fixed_overlay),
		cmocka_unit_test(test_advice_changes_nothing),
		cmocka_unit_test(test_copying_calls),
		cmocka_unit_test(test_no_pages),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_huge_page_in_pieces),
		cmocka_unit_test(test_odd_alignment),
		cmocka_unit_test(test_no_pages_for_others),
		cmocka_unit_test(test_debugger_stays_inside),
		cmocka_unit_test(test_debugger_of_read_only_file),
	};

	device_setup(argc, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	fd = device_open(O_RDWR);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
