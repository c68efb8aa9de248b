// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sessions of channels: peers that close, restart, are killed, or write
 * what they like; and what cannot be opened.
 */
#include "channel_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int send_kind(struct ivshmem_channel *ch, uint32_t kind)
{
	return ivshmem_channel_send(ch, NULL, 0, kind, 0, LONG_MS);
}

static int recv_kind(struct ivshmem_channel *ch, uint32_t *kind, int timeout)
{
	return ivshmem_channel_recv(ch, NULL, 0, NULL, kind, timeout);
}

static const char *reason(struct ivshmem_channel *ch)
{
	struct ivshmem_channel_status status;

	assert_int_equal(ivshmem_channel_get_status(ch, &status), 0);
	return status.reason;
}

static void *wait_for_message(void *argument)
{
	uint32_t kind;

	return (void *)(intptr_t)recv_kind(argument, &kind, -1);
}

static void who_waits_learns_that_the_peer_has_closed(void **state)
{
	struct link *link = *state;
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, wait_for_message,
					link->ch[0]), 0);
	ivshmem_channel_close(link->ch[1]);
	link->ch[1] = NULL;
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, -ECONNRESET);
	assert_string_equal(reason(link->ch[0]), "the peer has closed the "
			    "channel, or begun anew");
}

static void a_session_that_is_over_stays_so_until_connected_anew(void **state)
{
	struct link *link = *state;
	const void *data;
	size_t length;
	uint32_t kind;
	void *place;

	assert_int_equal(send_kind(link->ch[1], 1), 0);
	assert_int_equal(send_kind(link->ch[0], 2), 0);
	ivshmem_channel_close(link->ch[1]);
	assert_int_equal(ivshmem_channel_open(link->ivs[1], SECTION,
					      link->slots[0], 0, &link->ch[1]),
			 0);
	/* The new one asks for a session, and does not get it by itself. */
	assert_int_equal(ivshmem_channel_connect(link->ch[1], 300), -ETIMEDOUT);
	assert_int_equal(recv_kind(link->ch[0], &kind, 0), -ECONNRESET);
	assert_int_equal(recv_kind(link->ch[0], &kind, -1), -ECONNRESET);
	assert_int_equal(send_kind(link->ch[0], 3), -ECONNRESET);
	assert_int_equal(ivshmem_channel_flush(link->ch[0]), -ECONNRESET);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], -1), -ECONNRESET);
	assert_int_equal(ivshmem_channel_reserve(link->ch[0], 1, &place, -1),
			 -ECONNRESET);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 1, 0),
			 -ECONNRESET);
	assert_int_equal(ivshmem_channel_peek(link->ch[0], &data, &length,
					      NULL, -1), -ECONNRESET);
	assert_int_equal(ivshmem_channel_release(link->ch[0]), -ECONNRESET);
	connect_both(link->ch[0], link->ch[1]);
	/* Nothing of the old session is there. */
	assert_int_equal(recv_kind(link->ch[0], &kind, 0), -EAGAIN);
	assert_int_equal(recv_kind(link->ch[1], &kind, 0), -EAGAIN);
	assert_int_equal(send_kind(link->ch[1], 4), 0);
	assert_int_equal(recv_kind(link->ch[0], &kind, LONG_MS), 0);
	assert_int_equal(kind, 4);
}

static void what_was_reserved_for_another_session_is_not_sent(void **state)
{
	struct link *link = *state;
	const void *data;
	size_t length;
	uint32_t kind;
	void *place;

	assert_int_equal(send_kind(link->ch[1], 1), 0);
	assert_int_equal(ivshmem_channel_peek(link->ch[0], &data, &length,
					      &kind, LONG_MS), 0);
	assert_int_equal(ivshmem_channel_reserve(link->ch[0], 100, &place,
						 LONG_MS), 0);
	ivshmem_channel_close(link->ch[1]);
	assert_int_equal(ivshmem_channel_open(link->ivs[1], SECTION,
					      link->slots[0], 0, &link->ch[1]),
			 0);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 0), -ECONNRESET);
	connect_both(link->ch[0], link->ch[1]);
	assert_int_equal(ivshmem_channel_commit(link->ch[0], 100, 0), -EINVAL);
	assert_int_equal(ivshmem_channel_release(link->ch[0]), -EINVAL);
}

static void *drain(void *argument)
{
	return (void *)(intptr_t)ivshmem_channel_drain(argument, LONG_MS);
}

/* Whoever it is on this side that notices that it has closed. */
static void draining_succeeds_after_another_call_has_failed(void **state)
{
	struct link *link = *state;
	uint32_t kind;

	assert_int_equal(send_kind(link->ch[0], 1), 0);
	assert_int_equal(recv_kind(link->ch[1], &kind, LONG_MS), 0);
	ivshmem_channel_close(link->ch[1]);
	link->ch[1] = NULL;
	assert_int_equal(recv_kind(link->ch[0], &kind, LONG_MS), -ECONNRESET);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], LONG_MS), 0);
	assert_int_equal(send_kind(link->ch[0], 2), -ECONNRESET);
}

/* Nobody knows what a peer had of a session that was left for another. */
static void draining_after_connecting_anew_says_that_all_is_lost(void **state)
{
	struct link *link = *state;
	uint32_t kind;

	ivshmem_channel_close(link->ch[1]);
	link->ch[1] = NULL;
	assert_int_equal(recv_kind(link->ch[0], &kind, LONG_MS), -ECONNRESET);
	/* Longer than a short session makes the next one wait */
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 500), -ETIMEDOUT);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], LONG_MS),
			 -ECONNRESET);
}

/* What was reserved at the end of the ring left padding there. */
static void draining_does_not_wait_for_what_was_only_reserved(void **state)
{
	struct link *link = *state;
	size_t most = ivshmem_channel_max_length(link->ch[0]);
	pthread_t thread;
	uint32_t kind;
	void *place;
	void *data = calloc(1, most);
	void *ret;

	assert_non_null(data);
	assert_int_equal(send_kind(link->ch[0], 1), 0);
	assert_int_equal(ivshmem_channel_send(link->ch[0], data, most, 2, 0,
					      LONG_MS), 0);
	assert_int_equal(recv_kind(link->ch[1], &kind, LONG_MS), 0);
	assert_int_equal(ivshmem_channel_recv(link->ch[1], data, most, NULL,
					      &kind, LONG_MS), 0);
	free(data);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_message,
					link->ch[1]), 0);
	assert_int_equal(ivshmem_channel_reserve(link->ch[0], most, &place,
						 LONG_MS), 0);
	assert_int_equal(ivshmem_channel_drain(link->ch[0], LONG_MS), 0);
	assert_int_equal(send_kind(link->ch[0], 3), 0);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, 0);
}

/* The receiver need not stay until the sender has seen that. */
static void who_has_received_all_may_close(void **state)
{
	struct link *link = *state;
	pthread_t thread;
	uint32_t kind;
	void *ret;
	int i;

	for (i = 0; i < 20; i++) {
		assert_int_equal(send_kind(link->ch[0], 0), 0);
		assert_int_equal(send_kind(link->ch[0], 1), 0);
		assert_int_equal(pthread_create(&thread, NULL, drain,
						link->ch[0]), 0);
		assert_int_equal(recv_kind(link->ch[1], &kind, LONG_MS), 0);
		if (i % 2)
			assert_int_equal(recv_kind(link->ch[1], &kind,
						   LONG_MS), 0);
		ivshmem_channel_close(link->ch[1]);
		pthread_join(thread, &ret);
		assert_int_equal((intptr_t)ret, i % 2 ? 0 : -ECONNRESET);
		assert_int_equal(ivshmem_channel_open(link->ivs[1], SECTION,
						      link->slots[0], 0,
						      &link->ch[1]), 0);
		/* It may have to be told first that it is over. */
		ivshmem_channel_connect(link->ch[0], 0);
		connect_both(link->ch[0], link->ch[1]);
	}
}

static void calls_before_the_first_session_say_so(void **state)
{
	struct link *link = *state;
	uint32_t kind;

	close_ends(link);
	assert_int_equal(ivshmem_channel_open(link->ivs[0], SECTION,
					      link->slots[1], 0, &link->ch[0]),
			 0);
	assert_int_equal(recv_kind(link->ch[0], &kind, -1), -ENOTCONN);
	assert_int_equal(send_kind(link->ch[0], 0), -ENOTCONN);
	assert_string_equal(reason(link->ch[0]), "no session has ended");
}

/* A process that sends without end: this program, with other arguments. */
static int send_for_ever(const char *address, const char *slot)
{
	struct ivshmem_channel *ch;
	struct ivshmem *ivs;
	uint32_t kind = 0;

	if (ivshmem_open(address, 0, &ivs) || ivshmem_join(ivs, "child"))
		return 1;
	if (ivshmem_channel_open(ivs, SECTION, (uint32_t)atoi(slot), 0, &ch) ||
	    ivshmem_channel_connect(ch, LONG_MS))
		return 1;
	while (!send_kind(ch, kind))
		kind++;
	return 1;
}

static pid_t start_sender(const struct link *link)
{
	char slot[16];
	pid_t pid;

	snprintf(slot, sizeof(slot), "%u", link->slots[0]);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execl("/proc/self/exe", "sender", link->address, slot, NULL);
		_exit(1);
	}
	return pid;
}

/* Finds the slot of a process that joins. */
static uint32_t wait_joined(struct ivshmem *ivs, const char *name)
{
	struct ivshmem_peer peer;
	uint64_t changes = 0;
	uint32_t slot;

	for (;;) {
		for (slot = 0; !ivshmem_get_peer(ivs, slot, &peer); slot++)
			if (peer.state == IVSHMEM_ALIVE &&
			    !strcmp(peer.name, name))
				return slot;
		assert_int_equal(ivshmem_wait_change(ivs, &changes, LONG_MS),
				 1);
	}
}

/* Receives in order, until the sender dies. */
static void recv_until_dead(struct ivshmem_channel *ch, pid_t pid)
{
	uint32_t kind, next = 0;
	int ret;

	assert_int_equal(ivshmem_channel_connect(ch, LONG_MS), 0);
	while (!(ret = recv_kind(ch, &kind, LONG_MS))) {
		assert_int_equal(kind, next);
		if (++next == 1000)
			kill(pid, SIGKILL);
	}
	assert_int_equal(ret, -ECONNRESET);
	assert_true(next >= 1000);
	waitpid(pid, NULL, 0);
}

static void a_peer_that_was_killed_is_noticed_and_comes_back(void **state)
{
	struct link *link = *state;
	struct ivshmem_channel *ch = NULL;
	uint32_t slot = 0;
	pid_t pid;
	int i;

	for (i = 0; i < 2; i++) {
		pid = start_sender(link);
		slot = wait_joined(link->ivs[0], "child");
		if (!ch)
			assert_int_equal(ivshmem_channel_open(link->ivs[0],
							      SECTION, slot, 0,
							      &ch), 0);
		recv_until_dead(ch, pid);
	}
	ivshmem_channel_close(ch);
}

static void an_end_is_open_once(void **state)
{
	struct link *link = *state;
	struct ivshmem_channel *ch;
	struct ivshmem *other;
	uint32_t slot;

	assert_int_equal(ivshmem_channel_open(link->ivs[0], SECTION,
					      link->slots[1], 0, &ch), -EBUSY);
	assert_null(ch);
	other = join_link(link, &slot);
	assert_int_equal(ivshmem_channel_open(other, SECTION, link->slots[1],
					      0, &ch), 0);
	ivshmem_channel_close(ch);
	ivshmem_close(other);
	close_ends(link);
	open_ends(link);
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct link *link = *state;
	struct ivshmem *ivs = link->ivs[0];
	struct ivshmem_channel *ch;
	struct ivshmem *other;

	assert_int_equal(ivshmem_channel_open(ivs, "none", 1, 0, &ch), -ENOENT);
	assert_int_equal(ivshmem_channel_open(ivs, SECTION, link->slots[0], 0,
					      &ch), -ENXIO);
	assert_int_equal(ivshmem_channel_open(ivs, SECTION, 4, 0, &ch), -ENXIO);
	assert_int_equal(ivshmem_channel_open(ivs, SECTION, 1, 1, &ch),
			 -EINVAL);
	assert_int_equal(ivshmem_channel_open(NULL, SECTION, 1, 0, &ch),
			 -EINVAL);
	assert_int_equal(ivshmem_open(link->address, IVSHMEM_RDONLY, &other),
			 0);
	assert_int_equal(ivshmem_channel_open(other, SECTION, 0, 0, &ch),
			 -EBADF);
	ivshmem_close(other);
	assert_int_equal(ivshmem_open(link->address, 0, &other), 0);
	assert_int_equal(ivshmem_channel_open(other, SECTION, 0, 0, &ch),
			 -ENOTCONN);
	ivshmem_close(other);
}

/* What opening a channel between the two in a section says. */
static int try_section(const struct link *link, const char *section)
{
	struct ivshmem_channel *ch;
	int ret;

	ret = ivshmem_channel_open(link->ivs[0], section, link->slots[1], 0,
				   &ch);
	ivshmem_channel_close(ch);
	return ret;
}

static void sections_that_will_not_do_say_why(void **state)
{
	struct link link;

	(void)state;
	start_link(&link, 2, "net:2M,raw=small:16K,raw=a:1M,raw=b:1M");
	assert_int_equal(try_section(&link, "net"), -EMEDIUMTYPE);
	assert_int_equal(try_section(&link, "small"), -ENOSPC);
	assert_int_equal(try_section(&link, NULL), -ENOTUNIQ);
	assert_int_equal(try_section(&link, "a"), 0);
	stop_link(&link);
	start_link(&link, 2, "net:2M,raw=small:16K");
	assert_int_equal(try_section(&link, NULL), -ENODATA);
	stop_link(&link);
}

static void one_vector_is_enough(void **state)
{
	struct link link;
	pthread_t thread;
	void *ret;

	(void)state;
	start_link(&link, 1, "raw=" SECTION ":4M");
	open_ends(&link);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_message,
					link.ch[0]), 0);
	assert_int_equal(send_kind(link.ch[1], 9), 0);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, 0);
	stop_link(&link);
}

static void a_region_that_is_formatted_anew_ends_the_channel(void **state)
{
	static const struct ivshmem_format_options force = {
		.flags = IVSHMEM_FORCE,
		.slots = 4,
	};
	struct ivshmem_channel *ch = NULL;
	struct link *link = *state;
	struct ivshmem *other;
	uint32_t slot, kind;
	pthread_t thread;
	void *ret;

	other = join_link(link, &slot);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_message,
					link->ch[0]), 0);
	assert_int_equal(ivshmem_format(other, "raw=" SECTION ":1M", &force,
					NULL, 0), 0);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, -ESTALE);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], -1), -ESTALE);
	while ((slot = (uint32_t)recv_kind(link->ch[1], &kind, 100)) ==
	       (uint32_t)-ETIMEDOUT)
		;
	assert_int_equal((int)slot, -ESTALE);
	close_ends(link);
	assert_int_equal(ivshmem_channel_open(other, SECTION, 0, 0, &ch),
			 -ENOTCONN);
	ivshmem_close(other);
}

/* Not even where nobody has used it in between. */
static void who_joins_the_next_format_has_no_channel_in_it(void **state)
{
	static const struct ivshmem_format_options force = {
		.flags = IVSHMEM_FORCE,
		.slots = 4,
	};
	struct link *link = *state;
	struct ivshmem *other;
	uint32_t slot;

	other = join_link(link, &slot);
	assert_int_equal(ivshmem_format(other, "raw=" SECTION ":1M", &force,
					NULL, 0), 0);
	assert_int_equal(ivshmem_join(link->ivs[0], NULL), 0);
	assert_int_equal(ivshmem_channel_connect(link->ch[0], 0), -ESTALE);
	close_ends(link);
	ivshmem_close(other);
}

/* A peer that scribbles over all of a section, until told to stop. */
struct scribbler {
	volatile bool stop;
	unsigned char *memory;
	size_t begin;
	size_t length;
	uint32_t seed;
	pthread_t thread;
};

static void *scribble(void *argument)
{
	struct scribbler *s = argument;
	uint32_t word, *target;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		s->seed = s->seed * 1664525 + 1013904223;
		word = s->seed >> 8 & 1 ? s->seed : s->seed >> 24 << 6;
		s->seed = s->seed * 1664525 + 1013904223;
		target = (uint32_t *)(s->memory + s->begin +
				      (s->seed >> 4) % (s->length / 4) * 4);
		__atomic_store_n(target, word, __ATOMIC_RELAXED);
	}
	return NULL;
}

struct traffic {
	struct ivshmem_channel *ch;
	bool stop;
	bool sends;
	unsigned long messages;
	unsigned long sessions;
};

/* Goes on, whatever happens, as a program does that wants to survive. */
static void *go_on(void *argument)
{
	struct traffic *t = argument;
	char data[3000];
	size_t length;
	int ret = 0;

	memset(data, 0, sizeof(data));
	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		if (t->sends)
			ret = ivshmem_channel_send(t->ch, data, sizeof(data), 1,
						   0, 20);
		else
			ret = ivshmem_channel_recv(t->ch, data, sizeof(data),
						   &length, NULL, 20);
		t->messages += !ret;
		if (ret == -ETIMEDOUT || ret == -EMSGSIZE || !ret)
			continue;
		if (ret != -ECONNRESET && ret != -EPROTO && ret != -ENOTCONN)
			break;
		ret = ivshmem_channel_connect(t->ch, 20);
		t->sessions += !ret;
	}
	return (void *)(intptr_t)(ret == -ESTALE || ret == -ENODEV ||
				  ret == -EINVAL ? ret : 0);
}

/* What one of both ends survives; the other one, too. */
static void survive(struct link *link, size_t begin, size_t length,
		    unsigned char *memory)
{
	struct traffic traffic[2] = {
		{ .ch = link->ch[0], .sends = true },
		{ .ch = link->ch[1] },
	};
	struct scribbler scribbler = {
		.memory = memory, .begin = begin, .length = length, .seed = 1,
	};
	struct ivshmem_channel_status status;
	pthread_t threads[2];
	uint64_t faults = 0;
	void *ret;
	int i;

	pthread_create(&scribbler.thread, NULL, scribble, &scribbler);
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, go_on, &traffic[i]);
	for (i = 0; !faults && i < LONG_MS; i++) {
		usleep(1000);
		ivshmem_channel_get_status(link->ch[0], &status);
		faults = status.faults;
		ivshmem_channel_get_status(link->ch[1], &status);
		faults += status.faults;
	}
	__atomic_store_n(&scribbler.stop, true, __ATOMIC_RELAXED);
	pthread_join(scribbler.thread, NULL);
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&traffic[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], &ret);
		assert_int_equal((intptr_t)ret, 0);
	}
	assert_true(faults);
}

/* As if nothing had been; a rest after faults may come first. */
static void works_again(struct link *link)
{
	uint32_t kind, wanted = 0xcafe;
	int ret, tries;

	for (tries = 0; tries < LONG_MS; tries++) {
		connect_both(link->ch[0], link->ch[1]);
		/* What the other one has sent in this session. */
		if (send_kind(link->ch[0], wanted))
			continue;
		do {
			char data[3000];

			ret = ivshmem_channel_recv(link->ch[1], data,
						   sizeof(data), NULL, &kind,
						   LONG_MS);
		} while (!ret && kind != wanted);
		if (!ret)
			return;
	}
	fail_msg("it does not work again");
}

static void a_peer_that_scribbles_ends_sessions_only(void **state)
{
	struct link *link = *state;
	struct ivshmem_section section;
	size_t outbox, words;
	struct ivshmem *other;
	void *memory;
	uint32_t slot;

	assert_int_equal(ivshmem_find_section(link->ivs[0], SECTION, &section),
			 0);
	other = join_link(link, &slot);
	assert_int_equal(ivshmem_map_section(other, &section,
					     PROT_READ | PROT_WRITE, &memory),
			 0);
	/* The lines of links and rings of either end, and the records. */
	words = 4096;
	outbox = words + 3 * (size_t)section.ring_size;
	survive(link, outbox * link->slots[0], words, memory);
	works_again(link);
	survive(link, outbox * link->slots[1], words, memory);
	works_again(link);
	survive(link, outbox * link->slots[0],
		words + section.ring_size * 2, memory);
	works_again(link);
	assert_int_equal(ivshmem_unmap(memory, section.size), 0);
	ivshmem_close(other);
}

#define MESSAGES	30000
#define STREAM_MOST	2000

static void *stream_out(void *argument)
{
	struct ivshmem_channel *ch = argument;
	uint32_t i, length, seed = 1;
	char data[STREAM_MOST];

	for (i = 0; i < MESSAGES; i++) {
		seed = seed * 1664525 + 1013904223;
		length = (seed >> 8) % STREAM_MOST;
		fill(data, length, i);
		if (ivshmem_channel_send(ch, data, length, i,
					 seed >> 31 ? IVSHMEM_CHANNEL_MORE : 0,
					 LONG_MS))
			return "sending failed";
	}
	return ivshmem_channel_drain(ch, LONG_MS) ? "draining failed" : NULL;
}

static void stream_in(struct ivshmem_channel *ch)
{
	uint32_t i, length, kind, seed = 1;
	char data[STREAM_MOST];
	size_t got;

	for (i = 0; i < MESSAGES; i++) {
		seed = seed * 1664525 + 1013904223;
		length = (seed >> 8) % STREAM_MOST;
		assert_int_equal(ivshmem_channel_recv(ch, data, sizeof(data),
						      &got, &kind, LONG_MS),
				 0);
		assert_int_equal(got, length);
		assert_int_equal(kind, i);
		check_filled(data, length, i);
	}
}

static void *stream_in_thread(void *argument)
{
	stream_in(argument);
	return NULL;
}

/* Each end sends and receives at the same time. */
static void streams_run_both_ways_at_once(void **state)
{
	struct link *link = *state;
	pthread_t senders[2], receiver;
	void *ret;
	int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&senders[i], NULL, stream_out,
						link->ch[i]), 0);
	assert_int_equal(pthread_create(&receiver, NULL, stream_in_thread,
					link->ch[0]), 0);
	stream_in(link->ch[1]);
	pthread_join(receiver, NULL);
	for (i = 0; i < 2; i++) {
		pthread_join(senders[i], &ret);
		assert_ptr_equal(ret, NULL);
	}
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_link, tear_down_link)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(who_waits_learns_that_the_peer_has_closed),
		TEST(a_session_that_is_over_stays_so_until_connected_anew),
		TEST(what_was_reserved_for_another_session_is_not_sent),
		TEST(draining_succeeds_after_another_call_has_failed),
		TEST(draining_after_connecting_anew_says_that_all_is_lost),
		TEST(draining_does_not_wait_for_what_was_only_reserved),
		TEST(who_has_received_all_may_close),
		TEST(calls_before_the_first_session_say_so),
		TEST(a_peer_that_was_killed_is_noticed_and_comes_back),
		TEST(an_end_is_open_once),
		TEST(what_cannot_be_opened_says_why),
		cmocka_unit_test(sections_that_will_not_do_say_why),
		cmocka_unit_test(one_vector_is_enough),
		TEST(a_region_that_is_formatted_anew_ends_the_channel),
		TEST(who_joins_the_next_format_has_no_channel_in_it),
		TEST(a_peer_that_scribbles_ends_sessions_only),
		TEST(streams_run_both_ways_at_once),
	};

	if (argc == 3)
		return send_for_ever(argv[1], argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
