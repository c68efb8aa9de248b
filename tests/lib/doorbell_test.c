// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells over a server connection: ring, wait, subscribe, and what comes
 * after the handshake: peers that join and leave, and the server's end.
 */
#include "scripted_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LONG_MS		60000

static const struct step handshake[] = { HANDSHAKE };

/* Indices of the handshake's eventfds. */
enum { PEER0, PEER0_1, PEER2, PEER2_1, OWN, OWN_1 };

struct opened {
	struct scripted_server server;
	struct ivshmem *ivs;
};

static int set_up(void **state)
{
	static struct opened opened;

	SERVE(&opened.server, handshake);
	assert_int_equal(ivshmem_open(opened.server.address, 0, &opened.ivs),
			 0);
	performed(&opened.server);
	*state = &opened;
	return 0;
}

static int tear_down(void **state)
{
	struct opened *opened = *state;

	ivshmem_close(opened->ivs);
	stop_serving(&opened->server);
	return 0;
}

static int wait_one(struct opened *o, int timeout_ms)
{
	struct ivshmem_event event;

	return ivshmem_wait(o->ivs, &event, 1, timeout_ms);
}

static void ringing_reaches_the_right_eventfd(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_ring(o->ivs, 2, 1), 0);
	assert_int_equal(ivshmem_ring(o->ivs, 2, 1), 0);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 0), 0);
	assert_int_equal(rung(o->server.eventfds[PEER2_1]), 2);
	assert_int_equal(rung(o->server.eventfds[PEER0]), 1);
	assert_int_equal(rung(o->server.eventfds[PEER2]), 0);
	assert_int_equal(rung(o->server.eventfds[PEER0_1]), 0);
}

static void ringing_nobody_fails(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_ring(o->ivs, 3, 0), -ENXIO);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 2), -ENXIO);
	assert_int_equal(ivshmem_ring(o->ivs, 65535, 255), -ENXIO);
	assert_int_equal(ivshmem_ring(o->ivs, 65536, 0), -EINVAL);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 256), -EINVAL);
	assert_int_equal(ivshmem_ring(NULL, 0, 0), -EINVAL);
}

static void waiting_reports_each_vector_and_its_count(void **state)
{
	struct opened *o = *state;
	struct ivshmem_event events[4];
	unsigned int first;

	ring_it(o->server.eventfds[OWN], 1);
	ring_it(o->server.eventfds[OWN_1], 5);
	assert_int_equal(ivshmem_wait(o->ivs, events, 4, LONG_MS), 2);
	first = events[0].vector;
	assert_int_equal(events[first].vector, 0 + (first ? 1 : 0));
	assert_int_equal(events[0].vector + events[1].vector, 1);
	assert_int_equal(events[first ? 1 : 0].count, 1);
	assert_int_equal(events[first ? 0 : 1].count, 5);
	assert_int_equal(ivshmem_wait(o->ivs, events, 4, 0), 0);
}

static void one_rings_oneself(void **state)
{
	struct opened *o = *state;
	struct ivshmem_event event;

	assert_int_equal(ivshmem_ring(o->ivs, 1, 1), 0);
	assert_int_equal(ivshmem_wait(o->ivs, &event, 1, LONG_MS), 1);
	assert_int_equal(event.vector, 1);
	assert_int_equal(event.count, 1);
}

static void waiting_ends_in_time(void **state)
{
	struct opened *o = *state;

	assert_int_equal(wait_one(o, 0), 0);
	assert_int_equal(wait_one(o, 20), 0);
	assert_int_equal(ivshmem_wait(o->ivs, NULL, 1, 0), -EINVAL);
	assert_int_equal(ivshmem_wait(o->ivs,
				      &(struct ivshmem_event){ 0 }, 0, 0),
			 -EINVAL);
}

static void a_busy_vector_does_not_hide_another(void **state)
{
	struct opened *o = *state;
	struct ivshmem_event event;
	int i, seen = 0;

	ring_it(o->server.eventfds[OWN_1], 1);
	for (i = 0; i < 4; i++) {
		ring_it(o->server.eventfds[OWN], 1);
		assert_int_equal(ivshmem_wait(o->ivs, &event, 1, LONG_MS), 1);
		seen += event.vector == 1;
	}
	assert_int_equal(seen, 1);
}

/* A slot outlives its peers: who had it before may have been rung. */
static void doorbells_from_before_do_not_count(void **state)
{
	static const struct step steps[] = {
		PREAMBLE, { 0, RUNG_EVENTFD }, { 1, RUNG_EVENTFD },
	};
	struct scripted_server server;
	struct ivshmem_event event;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	performed(&server);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, 10), 0);
	/* Those of others are theirs. */
	assert_int_equal(rung(server.eventfds[0]), 5);
	ivshmem_close(ivs);
	stop_serving(&server);
}

/* The example server goes on sending after the first silence. */
static void vectors_that_come_later_have_lost_nothing(void **state)
{
	static const struct step steps[] = { PREAMBLE };
	struct scripted_server server;
	struct ivshmem_event event;
	struct ivshmem_info info;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	performed(&server);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, 0), -EOPNOTSUPP);
	send_step(&server, (struct step){ 1, RUNG_EVENTFD });
	assert_int_equal(ivshmem_wait(ivs, &event, 1, LONG_MS), 1);
	assert_int_equal(event.count, 5);
	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.vectors, 1);
	ivshmem_close(ivs);
	stop_serving(&server);
}

static void subscribing_chooses_vectors(void **state)
{
	struct opened *o = *state;
	struct ivshmem_event event;

	assert_int_equal(ivshmem_subscribe(o->ivs, (uint64_t[4]){ 2 }), 0);
	ring_it(o->server.eventfds[OWN], 1);
	assert_int_equal(wait_one(o, 0), 0);
	ring_it(o->server.eventfds[OWN_1], 1);
	assert_int_equal(ivshmem_wait(o->ivs, &event, 1, LONG_MS), 1);
	assert_int_equal(event.vector, 1);
	/* A vector that comes back starts without events. */
	assert_int_equal(ivshmem_subscribe(o->ivs, (uint64_t[4]){ 3 }), 0);
	assert_int_equal(wait_one(o, 0), 0);
	/* One that stays keeps them. */
	ring_it(o->server.eventfds[OWN], 7);
	assert_int_equal(ivshmem_subscribe(o->ivs, (uint64_t[4]){ 1 }), 0);
	assert_int_equal(ivshmem_wait(o->ivs, &event, 1, LONG_MS), 1);
	assert_int_equal(event.count, 7);
	/* None at all. */
	assert_int_equal(ivshmem_subscribe(o->ivs, (uint64_t[4]){ 0 }), 0);
	ring_it(o->server.eventfds[OWN], 1);
	assert_int_equal(wait_one(o, 0), 0);
}

static void subscribing_to_what_is_not_there_fails(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_subscribe(o->ivs, (uint64_t[4]){ 4 }),
			 -EINVAL);
	assert_int_equal(ivshmem_subscribe(o->ivs,
					   (uint64_t[4]){ 1, 0, 0, 1ULL << 63 }),
			 -EINVAL);
	assert_int_equal(ivshmem_subscribe(o->ivs, NULL), -EINVAL);
	/* The refused one has changed nothing. */
	ring_it(o->server.eventfds[OWN_1], 1);
	assert_int_equal(wait_one(o, LONG_MS), 1);
}

static void the_descriptor_tells_when_to_wait(void **state)
{
	struct opened *o = *state;
	struct pollfd pfd = { .fd = ivshmem_fd(o->ivs), .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, 0), 0);
	ring_it(o->server.eventfds[OWN], 1);
	assert_int_equal(poll(&pfd, 1, LONG_MS), 1);
	assert_int_equal(wait_one(o, 0), 1);
	assert_int_equal(poll(&pfd, 1, 0), 0);
}

/* Every client has every eventfd, and can drain it. */
static void what_another_has_drained_does_not_block(void **state)
{
	struct opened *o = *state;
	struct pollfd pfd = { .fd = ivshmem_fd(o->ivs), .events = POLLIN };

	ring_it(o->server.eventfds[OWN], 1);
	assert_int_equal(poll(&pfd, 1, LONG_MS), 1);
	assert_int_equal(rung(o->server.eventfds[OWN]), 1);
	assert_int_equal(wait_one(o, 10), 0);
}

static void a_peer_that_never_looks_does_not_block(void **state)
{
	struct opened *o = *state;

	ring_it(o->server.eventfds[PEER0], UINT64_MAX - 1);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 0), 0);
	assert_int_equal(rung(o->server.eventfds[PEER0]), UINT64_MAX - 1);
	ring_it(o->server.eventfds[OWN], UINT64_MAX - 1);
	assert_int_equal(wait_one(o, LONG_MS), 1);
}

static void blocking_eventfds_do_not_block(void **state)
{
	static const struct step steps[] = {
		{ 0 }, { 1 }, { -1, MEMORY }, { 0, BLOCKING_EVENTFD },
		{ 1, BLOCKING_EVENTFD },
	};
	struct scripted_server server;
	struct ivshmem_event event;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	performed(&server);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, 10), 0);
	ring_it(server.eventfds[1], 2);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, LONG_MS), 1);
	assert_int_equal(event.count, 2);
	ring_it(server.eventfds[0], UINT64_MAX - 1);
	assert_int_equal(ivshmem_ring(ivs, 0, 0), 0);
	/* They belong to others, too, who want them as they are. */
	assert_false(fcntl(server.eventfds[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(server.eventfds[1], F_GETFL) & O_NONBLOCK);
	ivshmem_close(ivs);
	stop_serving(&server);
}

static void peers_come_and_go(void **state)
{
	struct step join = { 7, EVENTFD }, leave = { 7 };
	struct opened *o = *state;
	unsigned int i;

	assert_int_equal(ivshmem_ring(o->ivs, 7, 0), -ENXIO);
	for (i = 0; i < 3; i++) {
		send_step(&o->server, join);
		assert_int_equal(ivshmem_peer_vectors(o->ivs, 7), 1);
		send_step(&o->server, join);
		assert_int_equal(ivshmem_ring(o->ivs, 7, 1), 0);
		assert_int_equal(rung(o->server.eventfds[o->server.count - 1]),
				 1);
		send_step(&o->server, leave);
		assert_int_equal(ivshmem_ring(o->ivs, 7, 0), -ENXIO);
	}
	/* One who was never there may leave, as well. */
	send_step(&o->server, leave);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 0), 0);
}

static void news_wake_nobody_who_waits_for_doorbells(void **state)
{
	struct opened *o = *state;
	struct pollfd pfd = { .fd = ivshmem_fd(o->ivs), .events = POLLIN };
	struct step join = { 7, EVENTFD };

	send_step(&o->server, join);
	assert_int_equal(poll(&pfd, 1, LONG_MS), 1);
	assert_int_equal(wait_one(o, 0), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(ivshmem_peer_vectors(o->ivs, 7), 1);
}

static void thousands_of_peers_leave_nothing_behind(void **state)
{
	struct opened *o = *state;
	int i, fds, before = open_fds();

	for (i = 0; i < 20000; i++) {
		struct step join = { 100 + i % 60000, EVENTFD };
		struct step leave = { 100 + i % 60000 };

		send_step(&o->server, join);
		close(o->server.eventfds[--o->server.count]);
		send_step(&o->server, leave);
		assert_int_equal(ivshmem_peer_vectors(o->ivs, 0), 2);
	}
	fds = open_fds();
	assert_int_equal(fds, before);
}

static void doorbells_outlive(struct opened *o)
{
	struct pollfd pfd = { .fd = ivshmem_fd(o->ivs), .events = POLLIN };
	struct ivshmem_info info;

	assert_int_equal(wait_one(o, 0), 0);
	assert_int_equal(ivshmem_get_info(o->ivs, &info), 0);
	assert_int_equal(info.vectors, 2);
	assert_int_equal(ivshmem_ring(o->ivs, 0, 1), 0);
	assert_int_equal(rung(o->server.eventfds[PEER0_1]), 1);
	assert_int_equal(wait_one(o, 0), 0);
	ring_it(o->server.eventfds[OWN_1], 1);
	assert_int_equal(wait_one(o, LONG_MS), 1);
	/* The dead socket does not keep the descriptor readable. */
	assert_int_equal(poll(&pfd, 1, 0), 0);
}

static void doorbells_outlive_the_server(void **state)
{
	struct opened *o = *state;

	hang_up(&o->server);
	doorbells_outlive(o);
}

static void doorbells_outlive_nonsense(void **state)
{
	static const struct step nonsense[] = {
		{ 0, PIPE }, { -1, MEMORY }, { -1 }, { 1 }, { 65536 },
		{ 0, TWO_EVENTFDS }, { 0, MEMORY },
	};
	struct pollfd client = { .events = POLLIN };
	struct opened *o;
	unsigned int i;

	for (i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		if (i)
			set_up(state);
		o = *state;
		send_step(&o->server, nonsense[i]);
		doorbells_outlive(o);
		/* From then on nothing is believed, not even what is right. */
		send_step(&o->server, (struct step){ 9, EVENTFD });
		assert_int_equal(ivshmem_peer_vectors(o->ivs, 9), -ENXIO);
		/* The connection is still there: it holds the slot. */
		client.fd = o->server.client;
		assert_int_equal(poll(&client, 1, 0), 0);
		if (i + 1 < sizeof(nonsense) / sizeof(nonsense[0]))
			tear_down(state);
	}
}

static void a_reader_may_wait_but_not_ring(void **state)
{
	struct scripted_server server;
	struct ivshmem_event event;
	struct ivshmem *ivs;
	void *memory;

	(void)state;
	SERVE(&server, handshake);
	assert_int_equal(ivshmem_open(server.address, IVSHMEM_RDONLY, &ivs), 0);
	performed(&server);
	assert_int_equal(ivshmem_ring(ivs, 0, 0), -EBADF);
	assert_int_equal(ivshmem_map(ivs, 0, 0, PROT_READ | PROT_WRITE,
				     &memory), -EACCES);
	assert_int_equal(ivshmem_map(ivs, 0, 0, PROT_READ, &memory), 0);
	assert_int_equal(ivshmem_unmap(memory, MEMORY_SIZE), 0);
	ring_it(server.eventfds[OWN], 1);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, LONG_MS), 1);
	ivshmem_close(ivs);
	stop_serving(&server);
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
	struct opened *o = *state;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(wait_one(o, -1), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
}

#define DOORBELLS	20000

static void *ring_often(void *argument)
{
	struct opened *o = argument;
	int i;

	for (i = 0; i < DOORBELLS; i++)
		if (ivshmem_ring(o->ivs, 1, (uint32_t)i % 2))
			return o;
	return NULL;
}

static void threads_share_a_handle_and_lose_nothing(void **state)
{
	struct opened *o = *state;
	struct ivshmem_event events[2];
	pthread_t threads[2];
	uint64_t seen = 0;
	void *failed;
	int i, n;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ring_often,
						o), 0);
	while (seen < 2 * DOORBELLS) {
		n = ivshmem_wait(o->ivs, events, 2, LONG_MS);
		assert_in_range(n, 1, 2);
		for (i = 0; i < n; i++)
			seen += events[i].count;
	}
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(seen, 2 * DOORBELLS);
	assert_int_equal(wait_one(o, 0), 0);
}

#define OPENED(test)	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPENED(ringing_reaches_the_right_eventfd),
		OPENED(ringing_nobody_fails),
		OPENED(waiting_reports_each_vector_and_its_count),
		OPENED(one_rings_oneself),
		OPENED(waiting_ends_in_time),
		OPENED(a_busy_vector_does_not_hide_another),
		cmocka_unit_test(doorbells_from_before_do_not_count),
		cmocka_unit_test(vectors_that_come_later_have_lost_nothing),
		OPENED(subscribing_chooses_vectors),
		OPENED(subscribing_to_what_is_not_there_fails),
		OPENED(the_descriptor_tells_when_to_wait),
		OPENED(what_another_has_drained_does_not_block),
		OPENED(a_peer_that_never_looks_does_not_block),
		cmocka_unit_test(blocking_eventfds_do_not_block),
		OPENED(peers_come_and_go),
		OPENED(news_wake_nobody_who_waits_for_doorbells),
		OPENED(thousands_of_peers_leave_nothing_behind),
		OPENED(doorbells_outlive_the_server),
		OPENED(doorbells_outlive_nonsense),
		cmocka_unit_test(a_reader_may_wait_but_not_ring),
		OPENED(a_signal_ends_the_wait),
		OPENED(threads_share_a_handle_and_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
