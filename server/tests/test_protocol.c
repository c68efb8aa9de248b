/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The order of the handshake, for every shape of link and every slot, and one
 * message on a real socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "protocol.h"

#define MEMORY_FD 7
#define FIRST_EVENTFD 1000

static int numbers[LINK_MAX_EVENTFDS];

static int number_eventfds(void **state)
{
	(void)state;
	for (int i = 0; i < LINK_MAX_EVENTFDS; i++)
		numbers[i] = FIRST_EVENTFD + i;
	return 0;
}

static void expect(const struct protocol_view *view, unsigned int step,
		   int64_t value, int fd)
{
	struct protocol_message message = protocol_message(view, step);

	assert_int_equal(message.value, value);
	assert_int_equal(message.fd, fd);
}

/* The specification, written once more: others in order, own ones last. */
static void check_handshake(const struct protocol_view *view)
{
	unsigned int vectors = view->vectors;
	unsigned int step = PROTOCOL_PREAMBLE;

	expect(view, 0, 0, -1);
	expect(view, 1, view->slot, -1);
	expect(view, 2, -1, MEMORY_FD);
	for (unsigned int slot = 0; slot < view->peers; slot++) {
		if (slot == view->slot)
			continue;
		for (unsigned int vector = 0; vector < vectors; vector++)
			expect(view, step++, slot, FIRST_EVENTFD +
			       (int)(slot * vectors + vector));
	}
	for (unsigned int vector = 0; vector < vectors; vector++)
		expect(view, step++, view->slot, FIRST_EVENTFD +
		       (int)(view->slot * vectors + vector));
	assert_int_equal(step, protocol_length(view->peers, vectors));
}

static void test_every_shape_and_slot(void **state)
{
	struct protocol_view view = {
		.memory = MEMORY_FD,
		.eventfds = numbers,
	};

	(void)state;
	for (view.peers = LINK_MIN_PEERS; view.peers <= LINK_MAX_PEERS;
	     view.peers++) {
		for (view.vectors = 1; view.peers * view.vectors <= 256;
		     view.vectors++) {
			for (view.slot = 0; view.slot < view.peers; view.slot++)
				check_handshake(&view);
		}
	}
}

static void test_largest_link(void **state)
{
	struct protocol_view view = {
		.memory = MEMORY_FD,
		.eventfds = numbers,
		.peers = LINK_MAX_EVENTFDS / LINK_MAX_VECTORS,
		.vectors = LINK_MAX_VECTORS,
	};

	(void)state;
	for (view.slot = 0; view.slot < view.peers; view.slot++)
		check_handshake(&view);
}

static void receive(int socket, unsigned char bytes[8], int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = bytes, .iov_len = 8 };
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg;

	assert_int_equal(recvmsg(socket, &header, MSG_DONTWAIT), 8);
	cmsg = CMSG_FIRSTHDR(&header);
	*fd = -1;
	if (cmsg)
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
}

static void test_bytes_on_the_wire(void **state)
{
	static const unsigned char minus_87[8] = {
		0xa9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	static const unsigned char five[8] = { 5 };
	struct protocol_message message = {
		.value = PROTOCOL_REFUSE_FULL,
		.fd = -1,
	};
	unsigned char bytes[8];
	int pair[2], fd;
	eventfd_t count;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(protocol_send(pair[0], &message), 0);
	receive(pair[1], bytes, &fd);
	assert_memory_equal(bytes, minus_87, 8);
	assert_int_equal(fd, -1);

	message.value = 5;
	message.fd = eventfd(3, EFD_NONBLOCK);
	assert_int_equal(protocol_send(pair[0], &message), 0);
	receive(pair[1], bytes, &fd);
	assert_memory_equal(bytes, five, 8);
	assert_int_not_equal(fd, message.fd);
	assert_int_equal(eventfd_read(fd, &count), 0);
	assert_int_equal(count, 3);
	close(fd);
	close(message.fd);
	close(pair[0]);
	close(pair[1]);
}

static void test_errors_of_the_socket(void **state)
{
	struct protocol_message message = { .value = 0, .fd = -1 };
	int error = 0;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int i = 0; i < 100000 && !error; i++)
		error = protocol_send(pair[0], &message);
	assert_int_equal(error, -EAGAIN);
	close(pair[1]);
	/* No SIGPIPE. */
	assert_int_equal(protocol_send(pair[0], &message), -EPIPE);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_shape_and_slot),
		cmocka_unit_test(test_largest_link),
		cmocka_unit_test(test_bytes_on_the_wire),
		cmocka_unit_test(test_errors_of_the_socket),
	};

	return cmocka_run_group_tests(tests, number_eventfds, NULL);
}
