/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device under test, as the test programs see it: opening, ringing itself,
 * waiting with a bound, and assertions that name the errno that was expected.
 */
#include "device.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

const char *device_path = "/dev/ivshmem0";
struct ivshmem_ioc_info device_facts;

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_signal;

static void on_fault(int number)
{
	fault_signal = number;
	siglongjmp(fault_return, 1);
}

void device_setup(int argc, char **argv)
{
	int fd;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: %s [/dev/ivshmemN]\n", argv[0]);
		exit(2);
	}
	if (argc == 2)
		device_path = argv[1];

	fd = open(device_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "%s: %s: %m\n", argv[0], device_path);
		exit(1);
	}
	if (device_info(fd, &device_facts)) {
		fprintf(stderr, "%s: %s: IVSHMEM_IOC_INFO: %m\n", argv[0],
			device_path);
		exit(1);
	}
	close(fd);
}

int device_open(int flags)
{
	int fd = open(device_path, flags | O_CLOEXEC);

	if (fd < 0)
		fail_msg("open %s with flags %#x: %s", device_path, flags,
			 strerror(errno));
	return fd;
}

void *device_map(int fd, size_t length, off_t offset, int prot)
{
	void *p = mmap(NULL, length, prot, MAP_SHARED, fd, offset);

	if (p == MAP_FAILED)
		fail_msg("mmap of %#zx at %#lx: %s", length, (long)offset,
			 strerror(errno));
	return p;
}

int touch(volatile char *address, bool write)
{
	struct sigaction action = { .sa_handler = on_fault }, old[2];

	sigaction(SIGSEGV, &action, &old[0]);
	sigaction(SIGBUS, &action, &old[1]);
	fault_signal = 0;
	if (!sigsetjmp(fault_return, 1)) {
		if (write)
			*address = 1;
		else
			(void)*address;
	}
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGBUS, &old[1], NULL);
	return fault_signal;
}

int device_info(int fd, struct ivshmem_ioc_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, IVSHMEM_IOC_INFO, info);
}

int device_ring(int fd, uint32_t peer, uint32_t vector)
{
	struct ivshmem_ioc_ring ring = {
		.size = sizeof(ring),
		.peer = peer,
		.vector = vector,
	};

	return ioctl(fd, IVSHMEM_IOC_RING, &ring);
}

int device_subscribe(int fd, const uint64_t vectors[IVSHMEM_MAX_VECTORS / 64])
{
	struct ivshmem_ioc_subscribe subscribe = {
		.size = sizeof(subscribe),
	};
	unsigned int i;

	for (i = 0; i < IVSHMEM_MAX_VECTORS / 64; i++)
		subscribe.vectors[i] = vectors[i];
	return ioctl(fd, IVSHMEM_IOC_SUBSCRIBE, &subscribe);
}

int device_bind(int fd, uint32_t vector, int eventfd)
{
	struct ivshmem_ioc_eventfd bind = {
		.size = sizeof(bind),
		.vector = vector,
		.fd = eventfd,
	};

	return ioctl(fd, IVSHMEM_IOC_EVENTFD, &bind);
}

void subscribe_to(int fd, uint32_t vector)
{
	uint64_t set[IVSHMEM_MAX_VECTORS / 64] = { 0 };

	set[vector / 64] = 1ULL << vector % 64;
	if (device_subscribe(fd, set))
		fail_msg("subscribe to vector %u: %s", vector, strerror(errno));
}

void need_vectors(uint32_t vectors)
{
	if (device_facts.vectors < vectors)
		skip();
}

short wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		fail_msg("poll: %s", strerror(errno));
	if (n == 0)
		fail_msg("nothing came within %d ms: lost wake-up", WAIT_MS);
	return p.revents;
}

unsigned int take_pending(int fd, uint64_t counts[IVSHMEM_MAX_VECTORS])
{
	struct ivshmem_event_record records[IVSHMEM_MAX_VECTORS];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned int n, i, total = 0;
	ssize_t bytes;

	while (poll(&p, 1, 0) == 1) {
		assert_int_equal(p.revents, POLLIN);
		bytes = read(fd, records, sizeof(records));
		if (bytes < 0)
			fail_msg("read of pending events: %s", strerror(errno));
		assert_int_equal(bytes % RECORD_SIZE, 0);
		n = bytes / RECORD_SIZE;
		for (i = 0; i < n; i++) {
			assert_true(records[i].vector < device_facts.vectors);
			assert_true(records[i].count > 0);
			assert_int_equal(records[i].reserved, 0);
			/* each once, and in order */
			assert_true(!i || records[i - 1].vector <
					  records[i].vector);
			counts[records[i].vector] += records[i].count;
		}
		total += n;
	}
	return total;
}

uint64_t take(int fd, uint32_t vector, uint64_t least)
{
	uint64_t counts[IVSHMEM_MAX_VECTORS] = { 0 };

	while (counts[vector] < least) {
		wait_for(fd, POLLIN);
		take_pending(fd, counts);
	}
	return counts[vector];
}

void ring_self(int observer, uint32_t vector)
{
	int fd = device_open(O_RDWR);

	if (device_ring(fd, device_facts.peer_id, vector))
		fail_msg("ring vector %u: %s", vector, strerror(errno));
	close(fd);
	take(observer, vector, 1);
}

void ring_self_through(int observer, uint32_t vector)
{
	ring_self(observer, vector);
	ring_self(observer, vector);
}

int settle(void **state)
{
	int fd = device_open(O_RDWR);
	uint32_t v;

	(void)state;
	for (v = 0; v < device_facts.vectors; v++)
		ring_self_through(fd, v);
	close(fd);
	return 0;
}

pid_t thread_id(void)
{
	return syscall(SYS_gettid);
}

static void *blocked_read_run(void *arg)
{
	struct blocked_read *r = arg;

	__atomic_store_n(&r->tid, thread_id(), __ATOMIC_RELEASE);
	r->result = read(r->fd, &r->record, sizeof(r->record));
	r->error = r->result < 0 ? errno : 0;
	return NULL;
}

void wait_until_blocked(pid_t tid, long number)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	char path[64], line[128];
	unsigned int i;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	for (i = 0; i < WAIT_MS; i++) {
		file = fopen(path, "re");
		if (!file)
			fail_msg("%s: %s", path, strerror(errno));
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
		if (line[0] >= '0' && line[0] <= '9' && atol(line) == number)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("task %d never slept in system call %ld, but: %s", tid,
		 number, line);
}

void blocked_read_start(struct blocked_read *r, int fd)
{
	int error;
	pid_t tid;

	memset(r, 0, sizeof(*r));
	r->fd = fd;
	error = pthread_create(&r->thread, NULL, blocked_read_run, r);
	if (error)
		fail_msg("pthread_create: %s", strerror(error));
	do {
		sched_yield();
		tid = __atomic_load_n(&r->tid, __ATOMIC_ACQUIRE);
	} while (!tid);
	wait_until_blocked(tid, SYS_read);
}

void blocked_read_join(struct blocked_read *r)
{
	struct timespec end;
	int error;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_MS / 1000;
	error = pthread_timedjoin_np(r->thread, NULL, &end);
	if (error)
		fail_msg("a read that had to return within %d ms: %s", WAIT_MS,
			 strerror(error));
}

void assert_failed(long result, int error, int expected, const char *call,
		   const char *file, int line)
{
	if (result == -1 && error == expected)
		return;
	if (result == -1)
		print_error("%s: failed with %s, expected %s\n", call,
			    strerrorname_np(error), strerrorname_np(expected));
	else
		print_error("%s: returned %ld, expected -1 and %s\n", call,
			    result, strerrorname_np(expected));
	_fail(file, line);
}
