// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels between two honest peers: messages, room, time, and the descriptor
 * to wait on.
 */
#include "channel_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int send_empty(struct ivshmem_channel *ch, uint32_t kind, int timeout)
{
	return ivshmem_channel_send(ch, NULL, 0, kind, 0, timeout);
}

static void exchange(struct ivshmem_channel *from, struct ivshmem_channel *to,
		     size_t length)
{
	uint32_t kind = (uint32_t)length * 3;
	size_t got = 0;
	char *data;

	data = malloc(length + 1);
	assert_non_null(data);
	fill(data, length, kind);
	assert_int_equal(ivshmem_channel_send(from, data, length, kind, 0,
					      LONG_MS), 0);
	memset(data, 0, length);
	assert_int_equal(ivshmem_channel_recv(to, data, length, &got, &kind,
					      LONG_MS), 0);
	assert_int_equal(got, length);
	assert_int_equal(kind, (uint32_t)length * 3);
	check_filled(data, length, kind);
	free(data);
}

static void messages_of_all_sizes_arrive_both_ways(void **state)
{
	struct link *link = *state;
	size_t most = ivshmem_channel_max_length(link->ch[0]);
	size_t length;

	assert_true(most >= 65536);
	for (length = 0; length <= most; length += 1 + length / 8) {
		exchange(link->ch[0], link->ch[1], length);
		exchange(link->ch[1], link->ch[0], length);
	}
	exchange(link->ch[0], link->ch[1], most);
	assert_int_equal(ivshmem_channel_send(link->ch[0], "", most + 1, 0, 0,
					      0), -EMSGSIZE);
	exchange(link->ch[0], link->ch[1], 1);
}

static void a_message_that_does_not_fit_stays(void **state)
{
	struct link *link = *state;
	char data[16];
	size_t length;

	assert_int_equal(ivshmem_channel_send(link->ch[0], "0123456789", 10, 7,
					      0, LONG_MS), 0);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], data, 9, &length,
					      NULL, LONG_MS), -EMSGSIZE);
	assert_int_equal(length, 10);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], data, 10, NULL,
					      NULL, LONG_MS), 0);
	assert_memory_equal(data, "0123456789", 10);
}

static void a_child_that_closes_ends_no_session(void **state)
{
	struct link *link = *state;
	int status = -1;
	pid_t child;

	child = fork();
	assert_true(child >= 0);
	if (!child) {
		ivshmem_channel_close(link->ch[0]);
		ivshmem_close(link->ivs[0]);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	exchange(link->ch[0], link->ch[1], 1000);
	exchange(link->ch[1], link->ch[0], 1000);
}

/* It reads the eventfd that the channel only watches. */
static void ivshmem_wait_takes_no_doorbell_away(void **state)
{
	struct link *link = *state;
	struct pollfd pfd = { .events = POLLIN };
	struct ivshmem_event event;
	char byte;

	pfd.fd = ivshmem_channel_fd(link->ch[0]);
	/* What is left of the beginning. */
	do {
		ivshmem_wait(link->ivs[0], &event, 1, 0);
		assert_int_equal(ivshmem_channel_recv(link->ch[0], &byte, 1,
						      NULL, NULL, 0), -EAGAIN);
	} while (poll(&pfd, 1, 0) > 0);
	assert_int_equal(send_empty(link->ch[1], 1, LONG_MS), 0);
	assert_int_equal(ivshmem_wait(link->ivs[0], &event, 1, LONG_MS), 1);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(ivshmem_channel_recv(link->ch[0], &byte, 1, NULL,
					      NULL, 0), 0);
}

static void messages_are_made_and_read_in_place(void **state)
{
	struct link *link = *state;
	const void *found;
	uint32_t kind;
	size_t length;
	void *place;
	int i;

	for (i = 0; i < 3; i++) {
		assert_int_equal(ivshmem_channel_reserve(link->ch[0], 1000,
							 &place, LONG_MS), 0);
		fill(place, 100 * (size_t)i, (uint32_t)i);
		assert_int_equal(ivshmem_channel_commit(link->ch[0],
							100 * (size_t)i,
							(uint32_t)i), 0);
	}
	/* None of them was shown yet. */
	assert_int_equal(ivshmem_channel_peek(link->ch[1], &found, &length,
					      &kind, 0), -EAGAIN);
	assert_int_equal(ivshmem_channel_flush(link->ch[0]), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ivshmem_channel_peek(link->ch[1], &found,
						      &length, &kind,
						      LONG_MS), 0);
		assert_int_equal(length, 100 * i);
		assert_int_equal(kind, i);
		check_filled(found, length, kind);
		assert_int_equal(ivshmem_channel_release(link->ch[1]), 0);
	}
	assert_int_equal(ivshmem_channel_peek(link->ch[1], &found, &length,
					      &kind, 0), -EAGAIN);
}

static void more_defers_what_is_shown(void **state)
{
	struct link *link = *state;
	uint32_t kind;

	assert_int_equal(ivshmem_channel_send(link->ch[0], NULL, 0, 1,
					      IVSHMEM_CHANNEL_MORE, 0), 0);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], NULL, 0, NULL, &kind,
					      0), -EAGAIN);
	assert_int_equal(send_empty(link->ch[0], 2, 0), 0);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], NULL, 0, NULL, &kind,
					      0), 0);
	assert_int_equal(kind, 1);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], NULL, 0, NULL, &kind,
					      0), 0);
	assert_int_equal(kind, 2);
}

static void calls_out_of_turn_are_refused(void **state)
{
	struct link *link = *state;
	void *place;

	assert_int_equal(ivshmem_channel_commit(link->ch[0], 0, 0), -EINVAL);
	assert_int_equal(ivshmem_channel_release(link->ch[0]), -EINVAL);
	assert_int_equal(ivshmem_channel_reserve(link->ch[0], 10, &place, 0),
			 0);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 11, 0), -EINVAL);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 10,
						IVSHMEM_CHANNEL_KINDS),
			 -EINVAL);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 10, 0), 0);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 10, 0), -EINVAL);
	assert_int_equal(ivshmem_channel_send(link->ch[0], NULL, 1, 0, 0, 0),
			 -EINVAL);
	assert_int_equal(ivshmem_channel_send(link->ch[0], "", 1, 0, 2, 0),
			 -EINVAL);
	assert_int_equal(ivshmem_channel_set_spin(link->ch[0], 100001),
			 -EINVAL);
	assert_int_equal(ivshmem_channel_send(NULL, "", 1, 0, 0, 0), -EINVAL);
}

/* Fills the ring; how many messages that took. */
static uint32_t fill_up(struct ivshmem_channel *ch)
{
	char data[5000] = { 0 };
	uint32_t sent = 0;
	int ret;

	while (!(ret = ivshmem_channel_send(ch, data, sizeof(data), sent, 0,
					    0)))
		sent++;
	assert_int_equal(ret, -EAGAIN);
	return sent;
}

static void drop_all(struct ivshmem_channel *ch, uint32_t first, uint32_t count)
{
	char data[5000];
	uint32_t kind;

	for (; count; count--, first++) {
		assert_int_equal(ivshmem_channel_recv(ch, data, sizeof(data),
						      NULL, &kind, LONG_MS), 0);
		assert_int_equal(kind, first);
	}
}

static void a_full_ring_makes_the_sender_wait(void **state)
{
	struct link *link = *state;
	uint32_t sent = fill_up(link->ch[0]);
	char data[5000] = { 0 };

	assert_true(sent > 10);
	assert_int_equal(ivshmem_channel_send(link->ch[0], data, sizeof(data),
					      0, 0, 20), -ETIMEDOUT);
	/* The other way has a ring of its own. */
	exchange(link->ch[1], link->ch[0], 5000);
	drop_all(link->ch[1], 0, sent);
	exchange(link->ch[0], link->ch[1], 5000);
}

static void *send_one(void *argument)
{
	struct link *link = argument;
	static char data[5000];

	return (void *)(intptr_t)ivshmem_channel_send(link->ch[0], data,
						      sizeof(data), 0xaffe, 0,
						      LONG_MS);
}

static void room_wakes_the_sender(void **state)
{
	struct link *link = *state;
	uint32_t sent = fill_up(link->ch[0]);
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, send_one, link), 0);
	drop_all(link->ch[1], 0, sent);
	drop_all(link->ch[1], 0xaffe, 1);
	pthread_join(thread, &ret);
	assert_ptr_equal(ret, NULL);
}

static void waiting_ends_in_time(void **state)
{
	struct link *link = *state;

	assert_int_equal(ivshmem_channel_recv(link->ch[0], NULL, 0, NULL, NULL,
					      0), -EAGAIN);
	assert_int_equal(ivshmem_channel_recv(link->ch[0], NULL, 0, NULL, NULL,
					      20), -ETIMEDOUT);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 0), 0);
	ivshmem_channel_close(link->ch[1]);
	link->ch[1] = NULL;
	assert_int_equal(ivshmem_channel_recv(link->ch[0], NULL, 0, NULL, NULL,
					      LONG_MS), -ECONNRESET);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 0), -EAGAIN);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 20), -ETIMEDOUT);
}

static void nothing(int signal)
{
	(void)signal;
}

static void a_signal_ends_the_wait(void **state)
{
	struct sigaction action = { .sa_handler = nothing };
	/* Again and again, for the first may come before the wait. */
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct link *link = *state;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(ivshmem_channel_recv(link->ch[0], NULL, 0, NULL, NULL,
					      -1), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
}

static void draining_waits_for_the_receiver(void **state)
{
	struct link *link = *state;

	assert_int_equal(ivshmem_channel_drain(link->ch[0], 0), 0);
	assert_int_equal(ivshmem_channel_send(link->ch[0], NULL, 0, 0,
					      IVSHMEM_CHANNEL_MORE, 0), 0);
	assert_int_equal(send_empty(link->ch[0], 1, 0), 0);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], 0), -EAGAIN);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], 20), -ETIMEDOUT);
	drop_all(link->ch[1], 0, 1);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], 0), -EAGAIN);
	drop_all(link->ch[1], 1, 1);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], 0), 0);
}

static int readable(struct ivshmem_channel *ch, int timeout_ms)
{
	struct pollfd pfd = { .fd = ivshmem_channel_fd(ch), .events = POLLIN };

	assert_true(pfd.fd >= 0);
	return poll(&pfd, 1, timeout_ms);
}

/* As a program does that has other descriptors to wait for. */
static uint32_t recv_by_poll(struct ivshmem_channel *ch)
{
	uint32_t kind;
	int ret, tries;

	for (tries = 0; tries < 1000; tries++) {
		ret = ivshmem_channel_recv(ch, NULL, 0, NULL, &kind, 0);
		if (!ret)
			return kind;
		assert_int_equal(ret, -EAGAIN);
		assert_int_equal(readable(ch, LONG_MS), 1);
	}
	fail_msg("the descriptor was readable, but nothing was there");
	return 0;
}

static void *send_later(void *argument)
{
	struct link *link = argument;
	uint32_t kind;

	for (kind = 0; kind < 20; kind++) {
		usleep(3000);
		assert_int_equal(send_empty(link->ch[0], kind, LONG_MS), 0);
	}
	return NULL;
}

static void the_descriptor_tells_when_to_receive(void **state)
{
	struct link *link = *state;
	pthread_t thread;
	uint32_t kind;

	assert_int_equal(pthread_create(&thread, NULL, send_later, link), 0);
	for (kind = 0; kind < 20; kind++)
		assert_int_equal(recv_by_poll(link->ch[1]), kind);
	pthread_join(thread, NULL);
}

static void the_descriptor_is_quiet_while_nothing_happens(void **state)
{
	struct link *link = *state;
	int looks = 0, ret, tries;
	uint32_t kind;

	/* It is looked at ten times a second, not all the time. */
	for (tries = 0; tries < 10; tries++) {
		ret = ivshmem_channel_recv(link->ch[1], NULL, 0, NULL, &kind,
					   0);
		assert_int_equal(ret, -EAGAIN);
		looks += readable(link->ch[1], 20);
	}
	assert_true(looks < 10);
}

static void the_descriptor_tells_of_room(void **state)
{
	char data[5000] = { 0 };
	struct link *link = *state;
	uint32_t sent;
	int ret;

	readable(link->ch[0], 0);
	sent = fill_up(link->ch[0]);
	drop_all(link->ch[1], 0, sent);
	/* The receiver's kick, not the time that has passed. */
	assert_int_equal(readable(link->ch[0], LONG_MS), 1);
	ret = ivshmem_channel_send(link->ch[0], data, sizeof(data), sent, 0, 0);
	assert_int_equal(ret, 0);
}

static void the_descriptor_connects(void **state)
{
	struct link *link = *state;
	int a = -EAGAIN, b = -EAGAIN, i;

	close_ends(link);
	for (i = 0; i < 2; i++)
		assert_int_equal(ivshmem_channel_open(link->ivs[i], NULL,
						      link->slots[!i], 0,
						      &link->ch[i]), 0);
	while (a || b) {
		if (a)
			a = ivshmem_channel_connect(link->ch[0], 0);
		if (b)
			b = ivshmem_channel_connect(link->ch[1], 0);
		assert_true(!a || a == -EAGAIN);
		assert_true(!b || b == -EAGAIN);
		if (a)
			assert_int_equal(readable(link->ch[0], LONG_MS), 1);
		if (b)
			assert_int_equal(readable(link->ch[1], LONG_MS), 1);
	}
	assert_int_equal(send_empty(link->ch[0], 5, 0), 0);
	assert_int_equal(recv_by_poll(link->ch[1]), 5);
}

static void lost_doorbells_cost_time_only(void **state)
{
	struct link *link = *state;
	pthread_t thread;
	uint32_t kind;

	__atomic_store_n(&doorbells_lost, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&thread, NULL, send_later, link), 0);
	for (kind = 0; kind < 10; kind++)
		assert_int_equal(recv_by_poll(link->ch[1]), kind);
	drop_all(link->ch[1], 10, 10);
	pthread_join(thread, NULL);
	close_ends(link);
	open_ends(link);
	exchange(link->ch[0], link->ch[1], 1000);
}

/* The doorbells of a section belong to whoever waits for them, too. */
static void doorbells_are_not_taken_away(void **state)
{
	struct link *link = *state;
	struct ivshmem_section section;
	struct ivshmem_event events[4];
	pthread_t thread;
	int i, n, seen = 0;

	assert_int_equal(ivshmem_find_section(link->ivs[1], SECTION, &section),
			 0);
	while (ivshmem_wait(link->ivs[1], events, 4, 0) > 0)
		;
	assert_int_equal(pthread_create(&thread, NULL, send_later, link), 0);
	drop_all(link->ch[1], 0, 20);
	pthread_join(thread, NULL);
	n = ivshmem_wait(link->ivs[1], events, 4, LONG_MS);
	for (i = 0; i < n; i++)
		seen += events[i].vector == section.vector;
	assert_int_equal(seen, 1);
}

static void few_kicks_are_needed_for_a_stream(void **state)
{
	struct ivshmem_channel_status status;
	struct link *link = *state;
	uint32_t kind;
	int i;

	for (i = 0; i < 100; i++)
		assert_int_equal(send_empty(link->ch[0], (uint32_t)i, 0), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(ivshmem_channel_recv(link->ch[1], NULL, 0,
						      NULL, &kind, 0), 0);
	assert_int_equal(ivshmem_channel_get_status(link->ch[0], &status), 0);
	assert_int_equal(status.state, IVSHMEM_CHANNEL_UP);
	assert_int_equal(status.sessions, 1);
	assert_int_equal(status.faults, 0);
	assert_int_equal(status.slot, link->slots[0]);
	assert_int_equal(status.peer, link->slots[1]);
	/* To connect, and for the first message that was waited for. */
	assert_true(status.kicks < 10);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_link, tear_down_link)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_of_all_sizes_arrive_both_ways),
		TEST(a_message_that_does_not_fit_stays),
		TEST(a_child_that_closes_ends_no_session),
		TEST(ivshmem_wait_takes_no_doorbell_away),
		TEST(messages_are_made_and_read_in_place),
		TEST(more_defers_what_is_shown),
		TEST(calls_out_of_turn_are_refused),
		TEST(a_full_ring_makes_the_sender_wait),
		TEST(room_wakes_the_sender),
		TEST(waiting_ends_in_time),
		TEST(a_signal_ends_the_wait),
		TEST(draining_waits_for_the_receiver),
		TEST(the_descriptor_tells_when_to_receive),
		TEST(the_descriptor_is_quiet_while_nothing_happens),
		TEST(the_descriptor_tells_of_room),
		TEST(the_descriptor_connects),
		TEST(lost_doorbells_cost_time_only),
		TEST(doorbells_are_not_taken_away),
		TEST(few_kicks_are_needed_for_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
