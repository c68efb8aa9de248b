/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IVSHMEM_IOC_EVENTFD: eventfds that interrupts are counted on.
 */
#include "device.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* What the eventfd has counted since it was read last. */
static uint64_t counted(int efd)
{
	eventfd_t value;

	if (eventfd_read(efd, &value)) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	return value;
}

/* A file that is told of @vector and of nothing else. */
static int observe(uint32_t vector)
{
	int fd = device_open(O_RDONLY);

	subscribe_to(fd, vector);
	return fd;
}

/* eventfd to add 1 to at each interrupt. */
static void test_counts_interrupts(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();
	unsigned int i;

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	for (i = 0; i < 10; i++)
		ring_self(observer, 0);
	wait_for(efd, POLLIN);
	/* the tenth may still be on its way to the eventfd; the eleventh is
	 * not, once the twelfth is there
	 */
	ring_self_through(observer, 0);
	assert_in_range(counted(efd), 11, 12);
	close(efd);
	close(fd);
	close(observer);
}

/* Each vector has its own eventfd; one may serve several. */
static void test_vectors_are_separate(void **state)
{
	int fd = device_open(O_RDONLY), zero = observe(0), one;
	int a = new_eventfd(), b = new_eventfd();

	(void)state;
	need_vectors(2);
	one = observe(1);
	assert_int_equal(device_bind(fd, 0, a), 0);
	assert_int_equal(device_bind(fd, 1, b), 0);
	ring_self_through(zero, 0);
	wait_for(a, POLLIN);
	assert_int_equal(counted(b), 0);
	ring_self_through(one, 1);
	wait_for(b, POLLIN);
	counted(a);
	counted(b);

	assert_int_equal(device_bind(fd, 1, a), 0);
	ring_self_through(zero, 0);
	ring_self_through(one, 1);
	assert_in_range(counted(a), 2, 4);
	assert_int_equal(counted(b), 0);
	close(a);
	close(b);
	close(fd);
	close(zero);
	close(one);
}

/* EINVAL (vector out of range). */
static void test_vector_out_of_range(void **state)
{
	const uint32_t vectors[] = { device_facts.vectors,
				     device_facts.vectors + 1, 256, 257, 65536,
				     0x80000000, UINT32_MAX };
	int fd = device_open(O_RDONLY);
	int efd = new_eventfd();
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		assert_fails(device_bind(fd, vectors[i], efd), EINVAL);
		assert_fails(device_bind(fd, vectors[i], -1), EINVAL);
	}
	close(efd);
	close(fd);
}

/* EINVAL (fd is not an eventfd), EBADF (fd is not open). */
static void test_wrong_descriptor(void **state)
{
	int fd = device_open(O_RDONLY);
	int closed = new_eventfd();
	int pipes[2];

	(void)state;
	close(closed);
	assert_int_equal(pipe(pipes), 0);
	assert_fails(device_bind(fd, 0, pipes[0]), EINVAL);
	assert_fails(device_bind(fd, 0, fd), EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_fails(device_bind(fd, 0, closed), EBADF);
	assert_fails(device_bind(fd, 0, 1 << 20), EBADF);
	assert_fails(device_bind(fd, 0, INT32_MAX), EBADF);
	assert_fails(device_bind(fd, 0, -2), EBADF);
	assert_fails(device_bind(fd, 0, INT32_MIN), EBADF);
	/* nothing has been bound by all that */
	assert_fails(device_bind(fd, 0, -1), ENOENT);
	close(fd);
}

/* ENOENT (nothing to unbind). */
static void test_unbind(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();

	(void)state;
	assert_fails(device_bind(fd, 0, -1), ENOENT);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);
	counted(efd);

	assert_int_equal(device_bind(fd, 0, -1), 0);
	counted(efd);
	ring_self_through(observer, 0);
	assert_int_equal(counted(efd), 0);
	assert_fails(device_bind(fd, 0, -1), ENOENT);
	close(efd);
	close(fd);
	close(observer);
}

/* A new one takes the place of the old one. */
static void test_rebind(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int old = new_eventfd(), new = new_eventfd();

	(void)state;
	assert_int_equal(device_bind(fd, 0, old), 0);
	assert_int_equal(device_bind(fd, 0, new), 0);
	ring_self_through(observer, 0);
	wait_for(new, POLLIN);
	assert_int_equal(counted(old), 0);
	assert_int_equal(device_bind(fd, 0, -1), 0);
	assert_fails(device_bind(fd, 0, -1), ENOENT);
	close(old);
	close(new);
	close(fd);
	close(observer);
}

/* A refused binding leaves the one that is there. */
static void test_refused_rebind(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	assert_fails(device_bind(fd, 0, fd), EINVAL);
	assert_fails(device_bind(fd, 0, 1 << 20), EBADF);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);
	close(efd);
	close(fd);
	close(observer);
}

/* The binding holds the eventfd, not the number of a descriptor. */
static void test_eventfd_is_held(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd(), same = dup(efd), other;

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	close(efd);
	other = new_eventfd();
	ring_self_through(observer, 0);
	wait_for(same, POLLIN);
	assert_int_equal(counted(other), 0);
	/* the last descriptor of it goes; ringing goes on */
	close(same);
	ring_self_through(observer, 0);
	assert_int_equal(device_bind(fd, 0, -1), 0);
	close(other);
	close(fd);
	close(observer);
}

/*
 * Bindings end with the file, that is with its last descriptor: a dup(2) of it
 * keeps them, and the eventfd outlives them.
 */
static void test_binding_ends_with_last_close(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd(), copy = dup(fd);

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	close(fd);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);
	counted(efd);

	close(copy);
	counted(efd);
	ring_self_through(observer, 0);
	assert_int_equal(counted(efd), 0);
	assert_int_equal(eventfd_write(efd, 7), 0);
	assert_int_equal(counted(efd), 7);
	close(efd);
	close(observer);
}

/* A mapping is use of the file, too: bindings end with it at the latest. */
static void test_binding_lives_with_a_mapping(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();
	char *p = device_map(fd, 4096, 0, PROT_READ);

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	close(fd);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);

	munmap(p, 4096);
	counted(efd);
	ring_self_through(observer, 0);
	assert_int_equal(counted(efd), 0);
	close(efd);
	close(observer);
}

/* The last close may be that of another process. */
static void test_binding_lives_in_a_child(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd(), hold[2], status;
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	assert_int_equal(pipe(hold), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	close(hold[0]);
	close(fd);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);

	close(hold[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	counted(efd);
	ring_self_through(observer, 0);
	assert_int_equal(counted(efd), 0);
	close(efd);
	close(observer);
}

/* A file binds at most one eventfd to each vector; two files bind two. */
static void test_files_are_independent(void **state)
{
	int one = device_open(O_RDONLY), two = device_open(O_RDONLY);
	int observer = observe(0), a = new_eventfd(), b = new_eventfd();

	(void)state;
	assert_int_equal(device_bind(one, 0, a), 0);
	assert_int_equal(device_bind(two, 0, b), 0);
	ring_self_through(observer, 0);
	wait_for(a, POLLIN);
	wait_for(b, POLLIN);

	assert_int_equal(device_bind(one, 0, -1), 0);
	counted(a);
	counted(b);
	ring_self_through(observer, 0);
	wait_for(b, POLLIN);
	assert_int_equal(counted(a), 0);
	assert_int_equal(device_bind(two, 0, -1), 0);
	close(a);
	close(b);
	close(one);
	close(two);
	close(observer);
}

/* Bindings are independent of subscriptions. */
static void test_without_subscription(void **state)
{
	const uint64_t nothing[IVSHMEM_MAX_VECTORS / 64] = { 0 };
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)state;
	assert_int_equal(device_subscribe(fd, nothing), 0);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);
	assert_int_equal(poll(&p, 1, 0), 0);

	/* and the eventfd takes no event away from the file */
	subscribe_to(fd, 0);
	ring_self(fd, 0);
	close(efd);
	close(fd);
	close(observer);
}

/* An eventfd that is full stops nothing but itself. */
static void test_full_eventfd(void **state)
{
	int fd = device_open(O_RDONLY), observer = observe(0);
	int efd = new_eventfd();

	(void)state;
	assert_int_equal(eventfd_write(efd, UINT64_MAX - 1), 0);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	ring_self_through(observer, 0);
	assert_true(counted(efd) >= UINT64_MAX - 1);
	ring_self_through(observer, 0);
	wait_for(efd, POLLIN);
	close(efd);
	close(fd);
	close(observer);
}

/* A thread that sleeps in epoll_wait(2) on a bound eventfd is woken. */
static void test_wakes_epoll(void **state)
{
	int fd = device_open(O_RDONLY), writer = device_open(O_RDWR);
	int efd = new_eventfd(), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	unsigned int i;

	(void)state;
	assert_int_equal(device_bind(fd, 0, efd), 0);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, efd, &event), 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(device_ring(writer, device_facts.peer_id, 0),
				 0);
		assert_int_equal(epoll_wait(ep, &event, 1, WAIT_MS), 1);
	}
	close(ep);
	close(efd);
	close(writer);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counts_interrupts, settle),
		cmocka_unit_test_setup(test_vectors_are_separate, settle),
		cmocka_unit_test(test_vector_out_of_range),
		cmocka_unit_test(test_wrong_descriptor),
		cmocka_unit_test_setup(test_unbind, settle),
		cmocka_unit_test_setup(test_rebind, settle),
		cmocka_unit_test_setup(test_refused_rebind, settle),
		cmocka_unit_test_setup(test_eventfd_is_held, settle),
		cmocka_unit_test_setup(test_binding_ends_with_last_close,
				       settle),
		cmocka_unit_test_setup(test_binding_lives_with_a_mapping,
				       settle),
		cmocka_unit_test_setup(test_binding_lives_in_a_child, settle),
		cmocka_unit_test_setup(test_files_are_independent, settle),
		cmocka_unit_test_setup(test_without_subscription, settle),
		cmocka_unit_test_setup(test_full_eventfd, settle),
		cmocka_unit_test_setup(test_wakes_epoll, settle),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
