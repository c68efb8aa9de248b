/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a descriptor may do is decided by how it was opened, and travels with
 * it; and which numbers of vectors and peers a doorbell takes.
 */
#include "device.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const uint64_t no_vectors[IVSHMEM_MAX_VECTORS / 64];

/* O_RDONLY: query the device, wait for doorbells, map read-only. */
static void test_read_only_may(void **state)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int fd = device_open(O_RDONLY | O_NONBLOCK);
	struct ivshmem_event_record record;
	struct ivshmem_ioc_info info;

	(void)state;
	assert_int_equal(device_info(fd, &info), 0);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	assert_int_equal(device_bind(fd, 0, -1), 0);
	assert_fails(read(fd, &record, sizeof(record)), EAGAIN);
	assert_int_equal(device_subscribe(fd, no_vectors), 0);
	munmap(device_map(fd, 4096, 0, PROT_READ), 4096);
	close(fd);
	close(efd);
}

/* O_RDONLY: EBADF (file not open for writing), EACCES (writable mapping). */
static void test_read_only_may_not(void **state)
{
	int fd = device_open(O_RDONLY);

	(void)state;
	assert_fails(device_ring(fd, device_facts.peer_id, 0), EBADF);
	assert_fails(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	assert_fails(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0), EACCES);
	close(fd);
}

/* O_RDWR: also ring doorbells and map writable. */
static void test_read_write_may(void **state)
{
	int fd = device_open(O_RDWR);
	int efd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(device_ring(fd, device_facts.peer_id, 0), 0);
	take(fd, 0, 1);
	munmap(device_map(fd, 4096, 0, PROT_READ | PROT_WRITE), 4096);
	assert_int_equal(device_bind(fd, 0, efd), 0);
	close(fd);
	close(efd);
}

/*
 * A file that is open for writing alone rings and queries; EBADF (file not
 * open for reading) for what tells it of doorbells, and no mapping, since
 * there is no memory that can be written and not read.
 */
static void test_write_only(void **state)
{
	int observer = device_open(O_RDONLY);
	int efd = eventfd(0, EFD_CLOEXEC);
	int fd = device_open(O_WRONLY);
	struct ivshmem_event_record record;
	struct ivshmem_ioc_info info;

	(void)state;
	assert_int_equal(device_info(fd, &info), 0);
	assert_int_equal(device_ring(fd, device_facts.peer_id, 0), 0);
	take(observer, 0, 1);
	assert_fails(device_subscribe(fd, no_vectors), EBADF);
	assert_fails(device_bind(fd, 0, efd), EBADF);
	assert_fails(device_bind(fd, 0, -1), EBADF);
	assert_fails(read(fd, &record, sizeof(record)), EBADF);
	assert_fails(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), EACCES);
	assert_fails(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	close(fd);
	close(efd);
	close(observer);
}

/* An O_PATH descriptor names the node and is not an open file of it. */
static void test_path_only(void **state)
{
	int fd = device_open(O_PATH);
	struct ivshmem_ioc_info info;

	(void)state;
	assert_fails(device_info(fd, &info), EBADF);
	assert_fails(device_ring(fd, device_facts.peer_id, 0), EBADF);
	close(fd);
}

static void send_descriptor(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(socket, &message, 0) != 1)
		_exit(10);
}

static int receive_descriptor(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	assert_int_equal(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

/*
 * Rights are those of the moment of open(2) and travel with the descriptor:
 * one that a process has received over a socket is as read-only as it was.
 */
static void test_rights_travel(void **state)
{
	int sockets[2], status, fd;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fd = open(device_path, O_RDONLY);
		if (fd < 0)
			_exit(11);
		send_descriptor(sockets[1], fd);
		_exit(0);
	}
	fd = receive_descriptor(sockets[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);

	assert_fails(device_ring(fd, device_facts.peer_id, 0), EBADF);
	assert_fails(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0), EACCES);
	munmap(device_map(fd, 4096, 0, PROT_READ), 4096);
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
}

/* RING: EINVAL (peer or vector out of range). */
static void test_ring_out_of_range(void **state)
{
	static const uint32_t vectors[] = { 256, 257, 0x100 + 1, 511, 65535,
					    65536, 0x10000, 0x7fffffff,
					    0x80000000, UINT32_MAX };
	static const uint32_t peers[] = { 65536, 65537, 0x10000 + 1, 1U << 24,
					  0x7fffffff, 0x80000000, UINT32_MAX };
	int fd = device_open(O_RDWR);
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		assert_fails(device_ring(fd, device_facts.peer_id, vectors[i]),
			     EINVAL);
		assert_fails(device_ring(fd, 65535, vectors[i]), EINVAL);
	}
	for (i = 0; i < ARRAY_SIZE(peers); i++) {
		assert_fails(device_ring(fd, peers[i], 0), EINVAL);
		assert_fails(device_ring(fd, peers[i], 256), EINVAL);
	}
	close(fd);
}

/*
 * The device tells neither whether the peer exists nor whether it has that
 * vector: a doorbell to nobody succeeds.
 */
static void test_ring_nobody(void **state)
{
	int fd = device_open(O_RDWR);

	(void)state;
	assert_int_equal(device_ring(fd, 65535, 0), 0);
	assert_int_equal(device_ring(fd, 65535, 255), 0);
	assert_int_equal(device_ring(fd, 32768, 0), 0);
	if (device_facts.vectors <= 255)
		assert_int_equal(device_ring(fd, device_facts.peer_id, 255), 0);
	close(fd);
}

/*
 * A refused doorbell is not rung, and one to nobody reaches nobody: neither a
 * vector out of range (which QEMU would take modulo 256) nor a dirty or short
 * structure interrupts the own device.
 */
static void test_refused_means_not_rung(void **state)
{
	struct { struct ivshmem_ioc_ring ring; uint64_t tail; } dirty = {
		.ring = { sizeof(dirty), 0, device_facts.peer_id, 0 },
		.tail = 1,
	};
	int fd = device_open(O_RDWR), file = device_open(O_RDONLY);
	int end = device_open(O_RDONLY);
	struct pollfd p = { .fd = file, .events = POLLIN };
	uint32_t high;

	(void)state;
	need_vectors(2);
	subscribe_to(file, 0);
	subscribe_to(end, 1);
	for (high = 256; high <= 0x10000; high *= 2)
		assert_fails(device_ring(fd, device_facts.peer_id, high),
			     EINVAL);
	assert_fails(ioctl(fd, IVSHMEM_IOC_RING, &dirty), E2BIG);
	dirty.ring.size = sizeof(dirty.ring) - 1;
	assert_fails(ioctl(fd, IVSHMEM_IOC_RING, &dirty), EINVAL);
	dirty.ring.size = sizeof(dirty.ring);
	dirty.ring.flags = 1;
	assert_fails(ioctl(fd, IVSHMEM_IOC_RING, &dirty), EINVAL);
	assert_int_equal(device_ring(fd, 65535, 0), 0);

	/* theirs would have arrived before these */
	ring_self_through(end, 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	close(end);
	close(file);
	close(fd);
}

/* open(2) of a node whose device is there: any access mode works. */
static void test_open_modes(void **state)
{
	(void)state;
	close(device_open(O_RDONLY));
	close(device_open(O_WRONLY));
	close(device_open(O_RDWR));
	close(device_open(O_RDWR | O_NONBLOCK | O_TRUNC | O_APPEND));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_read_only_may, settle),
		cmocka_unit_test(test_read_only_may_not),
		cmocka_unit_test_setup(test_read_write_may, settle),
		cmocka_unit_test_setup(test_write_only, settle),
		cmocka_unit_test(test_path_only),
		cmocka_unit_test(test_rights_travel),
		cmocka_unit_test(test_ring_out_of_range),
		cmocka_unit_test(test_ring_nobody),
		cmocka_unit_test_setup(test_refused_means_not_rung, settle),
		cmocka_unit_test(test_open_modes),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
