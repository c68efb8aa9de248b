/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device goes away (unplugged, unbound, or it stops answering) while it is
 * used in every way: who waits is woken, who asks is told ENODEV, and mappings
 * raise SIGBUS.
 *
 * Prints "ready" when everybody uses the device; then it is to be taken away.
 * Started as root, with a device node that everybody may open.
 */
#include "device.h"

#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define NOBODY 65534

/* Younger architectures have only the calls that the C library makes of these. */
#ifndef SYS_poll
#define SYS_poll SYS_ppoll
#define SYS_epoll_wait SYS_epoll_pwait
#endif

/* Whoever takes the device away is in another process: a VM may be slow. */
#define REMOVAL_MS 120000

/* Doorbells of the tests go to vector 0, which no waiter is told of. */
#define QUIET_VECTOR 1

/* One way to wait, in a thread of its own. */
struct waiter {
	void (*wait)(struct waiter *w);
	long system_call;	/* in which it sleeps; -1 if it does not */
	pthread_t thread;
	pid_t tid;
	int fd;
	long result;
	int error;
	volatile char *memory;
};

static void wait_in_read(struct waiter *w)
{
	struct ivshmem_event_record record;

	w->result = read(w->fd, &record, sizeof(record));
	w->error = errno;
}

static void wait_in_poll(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	if (poll(&p, 1, -1) == 1)
		w->result = p.revents;
}

static void wait_in_select(struct waiter *w)
{
	fd_set readable;

	FD_ZERO(&readable);
	FD_SET(w->fd, &readable);
	w->result = select(w->fd + 1, &readable, NULL, NULL, NULL);
}

static void wait_in_epoll(struct waiter *w)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(ep, EPOLL_CTL_ADD, w->fd, &event);
	if (epoll_wait(ep, &event, 1, -1) == 1)
		w->result = event.events;
	close(ep);
}

static void wait_in_uring(struct waiter *w)
{
	struct ivshmem_event_record record;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (io_uring_queue_init(4, &ring, 0))
		return;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, w->fd, &record, sizeof(record), 0);
	io_uring_submit(&ring);
	if (!io_uring_wait_cqe(&ring, &cqe))
		w->result = cqe->res;
	io_uring_queue_exit(&ring);
}

static void wait_in_eventfd(struct waiter *w)
{
	eventfd_t value = 0;
	int efd = eventfd(0, EFD_CLOEXEC);

	if (!device_bind(w->fd, QUIET_VECTOR, efd) && !eventfd_read(efd, &value))
		w->result = value;
	close(efd);
}

/* Sooner or later sleeps for want of a token. */
static void wait_in_ring(struct waiter *w)
{
	do {
		w->result = device_ring(w->fd, 65535, 0);
	} while (!w->result);
	w->error = errno;
}

static void call_info(struct waiter *w)
{
	struct ivshmem_ioc_info info;

	do {
		w->result = device_info(w->fd, &info);
		sched_yield();
	} while (!w->result);
	w->error = errno;
}

static void call_mmap(struct waiter *w)
{
	void *p;

	for (;;) {
		p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, w->fd, 0);
		if (p == MAP_FAILED)
			break;
		munmap(p, 4096);
		sched_yield();
	}
	w->result = -1;
	w->error = errno;
}

static void call_open(struct waiter *w)
{
	int fd;

	for (;;) {
		fd = open(device_path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			break;
		close(fd);
		sched_yield();
	}
	w->result = -1;
	w->error = errno;
}

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_signal;

static void on_fault(int number)
{
	fault_signal = number;
	siglongjmp(fault_return, 1);
}

/* Reads and writes all of a mapping until that raises a signal. */
static void touch_memory(struct waiter *w)
{
	size_t at;

	fault_signal = 0;
	if (!sigsetjmp(fault_return, 1)) {
		for (;;) {
			for (at = 0; at < device_facts.memory_size; at += 4096)
				w->memory[at]++;
			sched_yield();
		}
	}
	w->result = fault_signal;
}

enum {
	READ, POLL, SELECT, EPOLL, URING, EVENTFD, TOKEN, INFO, MMAP, OPEN,
	TOUCH, WAITERS
};

static struct waiter waiters[WAITERS] = {
	[READ] = { wait_in_read, SYS_read },
	[POLL] = { wait_in_poll, SYS_poll },
	[SELECT] = { wait_in_select, SYS_pselect6 },
	[EPOLL] = { wait_in_epoll, SYS_epoll_wait },
	[URING] = { wait_in_uring, SYS_io_uring_enter },
	[EVENTFD] = { wait_in_eventfd, SYS_read },
	[TOKEN] = { wait_in_ring, SYS_ioctl },
	[INFO] = { call_info, -1 },
	[MMAP] = { call_mmap, -1 },
	[OPEN] = { call_open, -1 },
	[TOUCH] = { touch_memory, -1 },
};

/* A child with an inherited mapping, which says how its end came. */
static pid_t child;

/* Files and mappings that nobody uses when the device goes. */
static int idle, idle_nonblocking, pending;
static volatile char *touched, *untouched;

/* Whether the thread that touches the memory all the time has come to an end */
static bool touch_ended;

static void *run_waiter(void *arg)
{
	struct waiter *w = arg;

	__atomic_store_n(&w->tid, thread_id(), __ATOMIC_RELEASE);
	w->wait(w);
	return NULL;
}

/* Of this thread alone: the C library's would interrupt all others. */
static void set_effective_user(uid_t user)
{
	assert_int_equal(syscall(SYS_setresuid, -1, user, -1), 0);
}

static void start_waiter(struct waiter *w, uid_t user)
{
	set_effective_user(user);
	w->fd = device_open(O_RDWR);
	set_effective_user(0);
	subscribe_to(w->fd, QUIET_VECTOR);
	w->memory = device_map(w->fd, device_facts.memory_size, 0,
			       PROT_READ | PROT_WRITE);
	assert_int_equal(pthread_create(&w->thread, NULL, run_waiter, w), 0);
	while (!__atomic_load_n(&w->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	if (w->system_call >= 0)
		wait_until_blocked(w->tid, w->system_call);
}

/* Waits until a waiter has ended; 0 if it has. */
static int join(struct waiter *w)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_MS / 1000;
	return pthread_timedjoin_np(w->thread, NULL, &end);
}

static struct waiter *end_of(unsigned int number)
{
	if (join(&waiters[number]))
		fail_msg("was not woken within %d ms", WAIT_MS);
	return &waiters[number];
}

static void start_child(void)
{
	struct waiter w = { .memory = touched };

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		touch_memory(&w);
		_exit(w.result == SIGBUS ? 0 : 1);
	}
}

static void set_rate(const char *rate)
{
	const char *name = strrchr(device_path, '/') + 1;
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/ivshmem/%s/ring_rate", name);
	file = fopen(path, "we");
	if (!file || fputs(rate, file) < 0 || fclose(file))
		fail_msg("%s: %s", path, strerror(errno));
}

/* Everybody uses the device; then it is taken away. */
static int use_until_it_goes(void **state)
{
	struct sigaction action = { .sa_handler = on_fault };
	size_t size = device_facts.memory_size;
	struct pollfd gone;
	unsigned int i;

	(void)state;
	sigaction(SIGBUS, &action, NULL);
	set_rate("1");

	idle = device_open(O_RDWR);
	idle_nonblocking = device_open(O_RDWR | O_NONBLOCK);
	touched = device_map(idle, size, 0, PROT_READ | PROT_WRITE);
	untouched = device_map(idle, size, 0, PROT_READ | PROT_WRITE);
	memset((void *)touched, 0, size);

	pending = device_open(O_RDONLY);
	assert_int_equal(device_ring(idle, device_facts.peer_id, 0), 0);
	wait_for(pending, POLLIN);

	for (i = 0; i < WAITERS; i++)
		start_waiter(&waiters[i], i == TOKEN ? NOBODY : 0);
	start_child();

	printf("ready\n");
	fflush(stdout);
	gone = (struct pollfd) { .fd = idle, .events = 0 };
	if (poll(&gone, 1, REMOVAL_MS) != 1) {
		print_error("the device has not been taken away\n");
		return -1;
	}
	/* while its SIGBUS is ours: in the tests cmocka handles it */
	touch_ended = !join(&waiters[TOUCH]);
	return 0;
}

/* read(2): ENODEV (device gone). */
static void test_blocked_read(void **state)
{
	struct waiter *w = end_of(READ);

	(void)state;
	assert_int_equal(w->result, -1);
	assert_int_equal(w->error, ENODEV);
}

/* poll(2), epoll(7): EPOLLERR | EPOLLHUP once the device is gone. */
static void test_blocked_poll(void **state)
{
	(void)state;
	assert_int_equal(end_of(POLL)->result & (POLLERR | POLLHUP),
			 POLLERR | POLLHUP);
}

static void test_blocked_epoll(void **state)
{
	(void)state;
	assert_int_equal(end_of(EPOLL)->result & (EPOLLERR | EPOLLHUP),
			 EPOLLERR | EPOLLHUP);
}

static void test_blocked_select(void **state)
{
	(void)state;
	assert_int_equal(end_of(SELECT)->result, 1);
}

/* Under io_uring(7) a read that waits fails with ENODEV. */
static void test_blocked_uring(void **state)
{
	(void)state;
	assert_int_equal(end_of(URING)->result, -ENODEV);
}

/* Bound eventfds are signalled one last time, so that waiters look. */
static void test_blocked_eventfd(void **state)
{
	(void)state;
	assert_int_equal(end_of(EVENTFD)->result, 1);
}

/* A ring that waits for the rate limit: ENODEV. */
static void test_blocked_ring(void **state)
{
	struct waiter *w = end_of(TOKEN);

	(void)state;
	assert_int_equal(w->result, -1);
	assert_int_equal(w->error, ENODEV);
}

/* Calls that were under way all the time come to ENODEV, and to nothing else */
static void test_calls_under_way(void **state)
{
	(void)state;
	assert_int_equal(end_of(INFO)->error, ENODEV);
	assert_int_equal(end_of(MMAP)->error, ENODEV);
}

/* A node that is gone, or whose device is, cannot be opened. */
static void test_open(void **state)
{
	int error = end_of(OPEN)->error;

	(void)state;
	if (error != ENOENT && error != ENXIO && error != ENODEV)
		fail_msg("open: %s", strerrorname_np(error));
}

/* Every mapping is revoked: an access then raises SIGBUS. */
static void test_access_under_way(void **state)
{
	int status;

	(void)state;
	assert_true(touch_ended);
	assert_int_equal(waiters[TOUCH].result, SIGBUS);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* That holds for pages that were used before and for those that never were. */
static void test_idle_mappings(void **state)
{
	size_t size = device_facts.memory_size, at;

	(void)state;
	for (at = 0; at < size; at += 4096) {
		assert_int_equal(touch(touched + at, at & 4096), SIGBUS);
		assert_int_equal(touch(untouched + at, at & 4096), SIGBUS);
	}
	assert_int_equal(munmap((void *)touched, size), 0);
	assert_int_equal(munmap((void *)untouched, size), 0);
}

/* Every command: ENODEV (device gone). */
static void test_ioctls(void **state)
{
	const uint64_t set[IVSHMEM_MAX_VECTORS / 64] = { 1 };
	int efd = eventfd(0, EFD_CLOEXEC);
	struct ivshmem_ioc_info info;

	(void)state;
	assert_fails(device_info(idle, &info), ENODEV);
	assert_fails(device_ring(idle, device_facts.peer_id, 0), ENODEV);
	assert_fails(device_ring(idle_nonblocking, 65535, 0), ENODEV);
	assert_fails(device_subscribe(idle, set), ENODEV);
	assert_fails(device_bind(idle, 0, efd), ENODEV);
	close(efd);
}

/* mmap(2): ENODEV (device gone). */
static void test_mmap(void **state)
{
	(void)state;
	assert_fails(mmap(NULL, 4096, PROT_READ, MAP_SHARED, idle, 0), ENODEV);
}

/* read(2): ENODEV, and nothing pending is reported any more. */
static void test_read(void **state)
{
	struct ivshmem_event_record record;

	(void)state;
	assert_fails(read(idle, &record, sizeof(record)), ENODEV);
	assert_fails(read(idle_nonblocking, &record, sizeof(record)), ENODEV);
	assert_fails(read(pending, &record, sizeof(record)), ENODEV);
}

/* poll(2) goes on saying so, at once, whatever was asked for. */
static void test_poll(void **state)
{
	static const short asked[] = { 0, POLLIN, POLLOUT };
	struct pollfd p;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		p = (struct pollfd) { .fd = idle, .events = asked[i] };
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_int_equal(p.revents & (POLLERR | POLLHUP),
				 POLLERR | POLLHUP);
	}
}

/* What is left of the files can be closed, and leaves nothing behind. */
static void test_close(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(close(waiters[i].fd), 0);
	assert_int_equal(close(idle), 0);
	assert_int_equal(close(idle_nonblocking), 0);
	assert_int_equal(close(pending), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked_read),
		cmocka_unit_test(test_blocked_poll),
		cmocka_unit_test(test_blocked_select),
		cmocka_unit_test(test_blocked_epoll),
		cmocka_unit_test(test_blocked_uring),
		cmocka_unit_test(test_blocked_eventfd),
		cmocka_unit_test(test_blocked_ring),
		cmocka_unit_test(test_calls_under_way),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_access_under_way),
		cmocka_unit_test(test_idle_mappings),
		cmocka_unit_test(test_ioctls),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_close),
	};

	device_setup(argc, argv);
	if (device_facts.vectors < 2) {
		fprintf(stderr, "%s: needs two vectors\n", device_path);
		return 1;
	}
	return cmocka_run_group_tests(tests, use_until_it_goes, NULL) != 0;
}
