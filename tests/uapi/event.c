/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * read(2), poll(2), select(2) and epoll(7): how a file tells of doorbells.
 */
#include "device.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static short ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static int observe(uint32_t vector)
{
	int fd = device_open(O_RDONLY);

	subscribe_to(fd, vector);
	return fd;
}

/* A new file has seen no event yet: only doorbells from now on count. */
static void test_new_file_is_empty(void **state)
{
	int observer = observe(0), fd;
	struct ivshmem_event_record record;

	(void)state;
	ring_self_through(observer, 0);
	fd = device_open(O_RDONLY | O_NONBLOCK);
	assert_int_equal(ready(fd), 0);
	assert_fails(read(fd, &record, sizeof(record)), EAGAIN);
	ring_self(observer, 0);
	assert_int_equal(take(fd, 0, 1), 1);
	close(fd);
	close(observer);
}

/* EINVAL (buffer shorter than one record), whether or not one is pending. */
static void test_short_buffer(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	struct ivshmem_event_record record;
	size_t size;

	(void)state;
	for (size = 0; size < RECORD_SIZE; size++)
		assert_fails(read(fd, &record, size), EINVAL);
	ring_self(observer, 0);
	for (size = 0; size < RECORD_SIZE; size++)
		assert_fails(read(fd, &record, size), EINVAL);
	assert_int_equal(take(fd, 0, 1), 1);
	close(fd);
	close(observer);
}

/*
 * Returns as many whole records as fit and are pending, one per vector, in
 * vector order: room for k of n, with and without a useless rest.
 */
static void test_room_for_some(void **state)
{
	struct ivshmem_event_record records[IVSHMEM_MAX_VECTORS + 1];
	uint32_t n = device_facts.vectors, room, next, v;
	int fd, observer;
	ssize_t bytes;

	(void)state;
	for (room = 1; room <= n + 1; room++) {
		fd = device_open(O_RDONLY | O_NONBLOCK);
		observer = device_open(O_RDONLY);
		for (v = n; v-- > 0;)
			ring_self(observer, v);
		for (next = 0; next < n; next += bytes / RECORD_SIZE) {
			bytes = read(fd, records,
				     room * RECORD_SIZE + next % RECORD_SIZE);
			assert_true(bytes > 0);
			assert_int_equal(bytes / RECORD_SIZE,
					 n - next < room ? n - next : room);
			assert_int_equal(bytes % RECORD_SIZE, 0);
			for (v = 0; v < bytes / RECORD_SIZE; v++) {
				assert_int_equal(records[v].vector, next + v);
				assert_int_equal(records[v].reserved, 0);
				assert_int_equal(records[v].count, 1);
			}
		}
		assert_fails(read(fd, records, sizeof(records)), EAGAIN);
		close(fd);
		close(observer);
	}
}

/*
 * Several doorbells on a vector before a read are one record with their
 * count: exact when each has arrived before the next.
 */
static void test_counts_are_exact(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	struct ivshmem_event_record records[2];
	uint32_t last = device_facts.vectors - 1;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		ring_self(observer, last);
	assert_int_equal(read(fd, records, sizeof(records)), RECORD_SIZE);
	assert_int_equal(records[0].vector, last);
	assert_int_equal(records[0].reserved, 0);
	assert_int_equal(records[0].count, 1000);
	assert_int_equal(ready(fd), 0);
	close(fd);
	close(observer);
}

/*
 * Interrupts that arrive together may be delivered as one, never as none, and
 * every file counts the same ones.
 */
static void test_burst(void **state)
{
	int fd = device_open(O_RDWR), other = device_open(O_RDONLY), end;
	uint64_t a[IVSHMEM_MAX_VECTORS] = { 0 };
	uint64_t b[IVSHMEM_MAX_VECTORS] = { 0 };
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { other, POLLIN, 0 } };
	unsigned int i;

	(void)state;
	need_vectors(2);
	end = observe(1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(device_ring(fd, device_facts.peer_id, 0), 0);
	ring_self_through(end, 1);
	do {
		take_pending(fd, a);
		take_pending(other, b);
	} while (a[0] != b[0] && poll(p, 2, WAIT_MS) > 0);
	assert_in_range(a[0], 1, 1000);
	assert_int_equal(a[0], b[0]);
	close(fd);
	close(other);
	close(end);
}

/* Every open file sees every doorbell, at its own pace. */
static void test_own_cursor(void **state)
{
	int one = device_open(O_RDONLY), two = device_open(O_RDONLY);
	int observer = observe(0);

	(void)state;
	ring_self(observer, 0);
	assert_int_equal(take(one, 0, 1), 1);
	ring_self(observer, 0);
	assert_int_equal(take(one, 0, 1), 1);
	assert_int_equal(take(two, 0, 1), 2);
	assert_int_equal(ready(one), 0);
	assert_int_equal(ready(two), 0);
	close(one);
	close(two);
	close(observer);
}

/* A duplicate, or a child's copy, is the same file: it shares the cursor. */
static void test_duplicates_share_the_cursor(void **state)
{
	int fd = device_open(O_RDONLY), copy = dup(fd), observer = observe(0);
	struct ivshmem_event_record record;
	int status;
	pid_t child;

	(void)state;
	ring_self(observer, 0);
	assert_int_equal(take(copy, 0, 1), 1);
	assert_int_equal(ready(fd), 0);

	ring_self(observer, 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(read(fd, &record, sizeof(record)) != RECORD_SIZE);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ready(fd), 0);
	close(fd);
	close(copy);
	close(observer);
}

/* EAGAIN (O_NONBLOCK and nothing pending), also when set later. */
static void test_nonblocking(void **state)
{
	int fd = device_open(O_RDONLY | O_NONBLOCK), late;
	struct ivshmem_event_record record;

	(void)state;
	assert_fails(read(fd, &record, sizeof(record)), EAGAIN);
	ring_self(fd, 0);
	assert_fails(read(fd, &record, sizeof(record)), EAGAIN);
	late = device_open(O_RDONLY);
	assert_int_equal(fcntl(late, F_SETFL, O_NONBLOCK), 0);
	assert_fails(read(late, &record, sizeof(record)), EAGAIN);
	close(late);
	close(fd);
}

/* Blocks while nothing is pending; a doorbell wakes it. */
static void test_blocking(void **state)
{
	int fd = device_open(O_RDWR);
	struct blocked_read r;
	unsigned int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		blocked_read_start(&r, fd);
		assert_int_equal(device_ring(fd, device_facts.peer_id, 0), 0);
		blocked_read_join(&r);
		assert_int_equal(r.result, RECORD_SIZE);
		assert_int_equal(r.record.vector, 0);
		assert_int_equal(r.record.count, 1);
	}
	close(fd);
}

static void on_signal(int number)
{
	(void)number;
}

/* EINTR: a signal ends the wait, and takes no event with it. */
static void test_interrupted(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	int fd = device_open(O_RDWR);
	struct blocked_read r;

	(void)state;
	sigaction(SIGUSR1, &action, &old);
	blocked_read_start(&r, fd);
	assert_int_equal(pthread_kill(r.thread, SIGUSR1), 0);
	blocked_read_join(&r);
	assert_int_equal(r.result, -1);
	assert_int_equal(r.error, EINTR);
	sigaction(SIGUSR1, &old, NULL);
	ring_self(fd, 0);
	close(fd);
}

/* A process that waits for a doorbell can be killed. */
static void test_killed(void **state)
{
	int fd = device_open(O_RDONLY), status;
	struct ivshmem_event_record record;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(read(fd, &record, sizeof(record)) > 0);
	wait_until_blocked(child, SYS_read);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	close(fd);
}

/* EFAULT: a bad buffer; what could not be delivered is still pending. */
static void test_bad_buffer(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	size_t page = sysconf(_SC_PAGESIZE);
	uint64_t counts[IVSHMEM_MAX_VECTORS] = { 0 };
	struct ivshmem_event_record *edge;
	char *pages, *volatile nowhere = NULL;
	ssize_t n;

	(void)state;
	need_vectors(2);
	pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	munmap(pages + page, page);

	ring_self(observer, 0);
	ring_self(observer, 1);
	assert_fails(read(fd, nowhere, 64), EFAULT);
	assert_fails(read(fd, pages + page - 8, RECORD_SIZE), EFAULT);
	assert_fails(read(fd, pages + page, 2 * RECORD_SIZE), EFAULT);

	/* room for one record before the end of the world */
	edge = (void *)(pages + page - RECORD_SIZE);
	n = read(fd, edge, 2 * RECORD_SIZE);
	if (n == (ssize_t)RECORD_SIZE) {
		assert_int_equal(edge->vector, 0);
		counts[0] = edge->count;
	} else {
		assert_int_equal(n, -1);
		assert_int_equal(errno, EFAULT);
	}
	take_pending(fd, counts);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], 1);
	munmap(pages, page);
	close(fd);
	close(observer);
}

/* readv(2) is read(2): what is pending is returned, not waited for more. */
static void test_vectored_read(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct ivshmem_event_record records[2];
	struct iovec iov[2] = { { &records[0], RECORD_SIZE },
				{ &records[1], RECORD_SIZE } };
	int fd = device_open(O_RDONLY), observer = observe(0);
	ssize_t n;

	(void)state;
	ring_self(observer, 0);
	sigaction(SIGALRM, &action, NULL);
	alarm(WAIT_MS / 1000);
	n = readv(fd, iov, 2);
	assert_true(alarm(0) > 0);
	assert_int_equal(n, RECORD_SIZE);
	assert_int_equal(records[0].count, 1);
	close(fd);
	close(observer);
}

/* EPOLLIN while a subscribed vector has events: poll(2), level-triggered. */
static void test_poll(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	unsigned int i;

	(void)state;
	assert_int_equal(ready(fd), 0);
	ring_self(observer, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(ready(fd), POLLIN);
	assert_int_equal(take(fd, 0, 1), 1);
	assert_int_equal(ready(fd), 0);
	close(fd);
	close(observer);
}

/* A vector that is not in the set makes nothing readable. */
static void test_poll_of_other_vector(void **state)
{
	int fd = device_open(O_RDONLY), observer;

	(void)state;
	need_vectors(2);
	observer = observe(1);
	subscribe_to(fd, 0);
	ring_self_through(observer, 1);
	assert_int_equal(ready(fd), 0);
	close(fd);
	close(observer);
}

/* What is left after a read of some records keeps the file readable. */
static void test_poll_after_partial_read(void **state)
{
	int fd = device_open(O_RDONLY), observer = device_open(O_RDONLY);
	struct ivshmem_event_record record;

	(void)state;
	need_vectors(2);
	ring_self(observer, 0);
	ring_self(observer, 1);
	assert_int_equal(read(fd, &record, sizeof(record)), RECORD_SIZE);
	assert_int_equal(record.vector, 0);
	assert_int_equal(ready(fd), POLLIN);
	assert_int_equal(read(fd, &record, sizeof(record)), RECORD_SIZE);
	assert_int_equal(record.vector, 1);
	assert_int_equal(ready(fd), 0);
	close(fd);
	close(observer);
}

/* select(2) says the same. */
static void test_select(void **state)
{
	int fd = device_open(O_RDONLY), writer = device_open(O_RDWR);
	struct timeval none = { 0 }, bound = { .tv_sec = WAIT_MS / 1000 };
	fd_set set;

	(void)state;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	assert_int_equal(select(fd + 1, &set, NULL, NULL, &none), 0);
	assert_int_equal(device_ring(writer, device_facts.peer_id, 0), 0);
	FD_SET(fd, &set);
	assert_int_equal(select(fd + 1, &set, NULL, NULL, &bound), 1);
	assert_true(FD_ISSET(fd, &set));
	close(writer);
	close(fd);
}

/* Under epoll(7), level-triggered: reported until it is read. */
static void test_epoll_level(void **state)
{
	int fd = device_open(O_RDONLY), writer = device_open(O_RDWR);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	unsigned int i;

	(void)state;
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	assert_int_equal(device_ring(writer, device_facts.peer_id, 0), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(epoll_wait(ep, &event, 1, WAIT_MS), 1);
		assert_int_equal(event.events, EPOLLIN);
	}
	assert_int_equal(take(fd, 0, 1), 1);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	close(ep);
	close(writer);
	close(fd);
}

/* Edge-triggered: each doorbell is an edge, also one before it is read. */
static void test_epoll_edge(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	(void)state;
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	ring_self_through(observer, 0);
	assert_int_equal(epoll_wait(ep, &event, 1, WAIT_MS), 1);
	/* the second interrupt of ring_self_through() may be a second edge */
	ring_self_through(observer, 0);
	assert_int_equal(epoll_wait(ep, &event, 1, WAIT_MS), 1);
	assert_int_equal(take(fd, 0, 1), 4);
	close(ep);
	close(observer);
	close(fd);
}

/* A sleeping poll(2) is woken by each doorbell: a thousand times. */
static void test_poll_wakes(void **state)
{
	int fd = device_open(O_RDWR);
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		assert_int_equal(device_ring(fd, device_facts.peer_id,
					     i % device_facts.vectors), 0);
		assert_int_equal(wait_for(fd, POLLIN), POLLIN);
		assert_int_equal(take(fd, i % device_facts.vectors, 1), 1);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_new_file_is_empty, settle),
		cmocka_unit_test_setup(test_short_buffer, settle),
		cmocka_unit_test_setup(test_room_for_some, settle),
		cmocka_unit_test_setup(test_counts_are_exact, settle),
		cmocka_unit_test_setup(test_burst, settle),
		cmocka_unit_test_setup(test_own_cursor, settle),
		cmocka_unit_test_setup(test_duplicates_share_the_cursor,
				       settle),
		cmocka_unit_test_setup(test_nonblocking, settle),
		cmocka_unit_test_setup(test_blocking, settle),
		cmocka_unit_test_setup(test_interrupted, settle),
		cmocka_unit_test_setup(test_killed, settle),
		cmocka_unit_test_setup(test_bad_buffer, settle),
		cmocka_unit_test_setup(test_vectored_read, settle),
		cmocka_unit_test_setup(test_poll, settle),
		cmocka_unit_test_setup(test_poll_of_other_vector, settle),
		cmocka_unit_test_setup(test_poll_after_partial_read, settle),
		cmocka_unit_test_setup(test_select, settle),
		cmocka_unit_test_setup(test_epoll_level, settle),
		cmocka_unit_test_setup(test_epoll_edge, settle),
		cmocka_unit_test_setup(test_poll_wakes, settle),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
