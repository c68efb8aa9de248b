/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device without doorbells (ivshmem-plain): memory alone, and EOPNOTSUPP for
 * the rest.
 */
#include "device.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* No IVSHMEM_FEATURE_DOORBELL, no vectors; the id is 0 and means nothing. */
static void test_info(void **state)
{
	(void)state;
	assert_int_equal(device_facts.features, 0);
	assert_int_equal(device_facts.vectors, 0);
	assert_int_equal(device_facts.peer_id, 0);
	assert_true(device_facts.memory_size >= 4096);
}

/* The memory is there, and shared between two files. */
static void test_memory(void **state)
{
	int one = device_open(O_RDWR), two = device_open(O_RDONLY);
	size_t size = device_facts.memory_size, at;
	volatile uint64_t *a, *b;

	(void)state;
	a = device_map(one, size, 0, PROT_READ | PROT_WRITE);
	b = device_map(two, size, 0, PROT_READ);
	for (at = 0; at < size / 8; at += 512)
		a[at] = at * 3 + 1;
	for (at = 0; at < size / 8; at += 512)
		assert_int_equal(b[at], at * 3 + 1);
	munmap((void *)a, size);
	munmap((void *)b, size);
	close(one);
	close(two);
}

/* read(2): EOPNOTSUPP (the device has no doorbells), not a wait for ever. */
static void test_read(void **state)
{
	static const int flags[] = { O_RDONLY, O_RDWR,
				     O_RDONLY | O_NONBLOCK };
	struct ivshmem_event_record record;
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		fd = device_open(flags[i]);
		assert_fails(read(fd, &record, sizeof(record)), EOPNOTSUPP);
		close(fd);
	}
}

/* RING, SUBSCRIBE, EVENTFD: EOPNOTSUPP (no doorbells). */
static void test_ioctls(void **state)
{
	uint64_t set[IVSHMEM_MAX_VECTORS / 64] = { 0 };
	int fd = device_open(O_RDWR), efd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_fails(device_ring(fd, 0, 0), EOPNOTSUPP);
	assert_fails(device_ring(fd, 65535, 255), EOPNOTSUPP);
	assert_fails(device_subscribe(fd, set), EOPNOTSUPP);
	assert_fails(device_bind(fd, 0, efd), EOPNOTSUPP);
	assert_fails(device_bind(fd, 0, -1), EOPNOTSUPP);
	close(efd);
	close(fd);
}

/* poll(2): EPOLLIN while a subscribed vector has events, so never here. */
static void test_poll(void **state)
{
	int fd = device_open(O_RDWR), ep = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };
	struct epoll_event event = { .events = EPOLLIN };

	(void)state;
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(p.revents, 0);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	close(ep);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_ioctls),
		cmocka_unit_test(test_poll),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
