// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory of peers on the host: being one, and seeing others.
 */
#include "scripted_server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ivshmem/peer.h>

#define LONG_MS		60000

static const struct step handshake[] = { HANDSHAKE };
static const struct ivshmem_format_options three = { .slots = 3 };
static const struct ivshmem_format_options forced = {
	.slots = 3, .flags = IVSHMEM_FORCE,
};

/* Indices of the handshake's eventfds. */
enum { PEER0, PEER0_1, PEER2, PEER2_1, OWN, OWN_1 };

struct opened {
	struct scripted_server server;
	struct ivshmem *ivs;
	uint8_t *memory;	/* as others map it */
};

static int set_up(void **state)
{
	static struct opened o;

	SERVE(&o.server, handshake);
	assert_int_equal(ivshmem_open(o.server.address, 0, &o.ivs), 0);
	performed(&o.server);
	o.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			o.server.memory, 0);
	assert_ptr_not_equal(o.memory, MAP_FAILED);
	assert_int_equal(ivshmem_format(o.ivs, "raw=lab", &three, NULL, 0), 0);
	rung(o.server.eventfds[PEER0]);
	*state = &o;
	return 0;
}

static int tear_down(void **state)
{
	struct opened *o = *state;

	ivshmem_close(o->ivs);
	munmap(o->memory, MEMORY_SIZE);
	stop_serving(&o->server);
	return 0;
}

static struct ivregion_peer_line *line(struct opened *o, uint32_t slot)
{
	return (struct ivregion_peer_line *)
		(o->memory + ivregion_peer_offset(slot));
}

static struct ivregion_server_line *word(struct opened *o, uint32_t slot)
{
	return (struct ivregion_server_line *)
		(o->memory + ivregion_server_offset(slot));
}

static struct ivshmem_region get(struct opened *o)
{
	struct ivshmem_region region;

	assert_int_equal(ivshmem_get_region(o->ivs, &region), 0);
	return region;
}

static struct ivshmem_peer look(struct opened *o, uint32_t slot)
{
	struct ivshmem_peer peer;

	assert_int_equal(ivshmem_get_peer(o->ivs, slot, &peer), 0);
	assert_int_equal(peer.slot, slot);
	return peer;
}

/* As a peer in another process does, whom the server does not know. */
static void join_as(struct opened *o, uint32_t slot, uint32_t epoch,
		    const char *name)
{
	char text[IVREGION_PEER_NAME] = "";

	memcpy(text, name, strlen(name));
	ivpeer_join(line(o, slot), epoch, 2, text);
}

/* Waits for changes until the peer is in that state. */
static void wait_state(struct opened *o, uint32_t slot, uint32_t state)
{
	uint64_t changes = get(o).changes;

	while (look(o, slot).state != state)
		assert_int_equal(ivshmem_wait_change(o->ivs, &changes,
						     LONG_MS), 1);
}

static void joining_is_seen_by_others(void **state)
{
	struct opened *o = *state;
	uint32_t epoch;

	assert_int_equal(ivshmem_join(o->ivs, "one\t\xff two"), 0);
	epoch = get(o).epoch;
	assert_int_not_equal(epoch, 0);
	assert_int_equal(line(o, 1)->epoch, epoch);
	assert_int_equal(line(o, 1)->vectors, 2);
	assert_memory_equal(line(o, 1)->name, "one???two", 10);
	/* All others were told, on the control vector. */
	assert_int_equal(rung(o->server.eventfds[PEER0]), 1);
	assert_true(rung(o->server.eventfds[PEER2]) >= 1);
	assert_int_equal(rung(o->server.eventfds[PEER0_1]), 0);

	assert_int_equal(look(o, 1).state, IVSHMEM_ALIVE);
	assert_int_equal(look(o, 1).epoch, epoch);
	assert_string_equal(look(o, 1).name, "one???two");
	assert_int_equal(ivshmem_join(o->ivs, "again"), -EALREADY);

	assert_int_equal(ivshmem_leave(o->ivs), 0);
	assert_int_equal(line(o, 1)->epoch, 0);
	assert_int_equal(get(o).epoch, 0);
	assert_int_equal(look(o, 1).state, IVSHMEM_ABSENT);
	assert_int_equal(rung(o->server.eventfds[PEER0]), 1);
	assert_int_equal(ivshmem_leave(o->ivs), -ENOTCONN);

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	assert_int_not_equal(get(o).epoch, epoch);
	assert_int_equal(look(o, 1).joins, 2);
}

static void closing_leaves(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	ivshmem_close(o->ivs);
	o->ivs = NULL;
	assert_int_equal(line(o, 1)->epoch, 0);
}

static void a_long_name_is_cut(void **state)
{
	static const char name[] =
		"0123456789012345678901234567890123456789ABCDEF";
	struct opened *o = *state;

	assert_int_equal(ivshmem_join(o->ivs, name), 0);
	assert_int_equal(strlen(look(o, 1).name), IVREGION_PEER_NAME);
	assert_memory_equal(look(o, 1).name, name, IVREGION_PEER_NAME);
}

static void one_without_a_slot_cannot_join(void **state)
{
	static const struct step steps[] = {
		{ 0 }, { 5 }, { -1, MEMORY }, { 0, EVENTFD }, { 5, EVENTFD },
	};
	struct scripted_server server;
	struct ivshmem_region region;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	assert_int_equal(ivshmem_format(ivs, "raw=lab", &three, NULL, 0), 0);
	assert_int_equal(ivshmem_get_region(ivs, &region), 0);
	assert_int_equal(region.slot, LIBIVSHMEM_NO_SLOT);
	assert_int_equal(ivshmem_join(ivs, NULL), -ENXIO);
	ivshmem_close(ivs);
	stop_serving(&server);
}

/* Twice, so that it goes on. */
static void the_heart_beats(void **state)
{
	const struct timespec step = { .tv_nsec = 10000000 };
	struct opened *o = *state;
	uint32_t first, second;
	int n;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	first = ivshmem_load32(&line(o, 1)->heartbeat);
	for (n = 0; (second = ivshmem_load32(&line(o, 1)->heartbeat)) == first;
	     n++) {
		assert_true(n < 6000);
		nanosleep(&step, NULL);
	}
	for (n = 0; ivshmem_load32(&line(o, 1)->heartbeat) == second; n++) {
		assert_true(n < 6000);
		nanosleep(&step, NULL);
	}
}

/* Waits until the own line has another epoch, which is the one that is told. */
static void wait_another_epoch(struct opened *o, uint32_t before)
{
	uint32_t epoch;

	do {
		usleep(1000);
		epoch = ivshmem_load32(&line(o, 1)->epoch);
	} while (!epoch || epoch == before || epoch != get(o).epoch);
}

static void own_words_that_others_write_are_put_right(void **state)
{
	const size_t words[] = {
		offsetof(struct ivregion_peer_line, epoch),
		offsetof(struct ivregion_peer_line, heartbeat),
		offsetof(struct ivregion_peer_line, vectors),
	};
	struct opened *o = *state;
	uint32_t before;
	size_t i;

	assert_int_equal(ivshmem_join(o->ivs, "own"), 0);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		before = get(o).epoch;
		memset(line(o, 1)->name, 'x', IVREGION_PEER_NAME);
		ivshmem_store32((__le32 *)((uint8_t *)line(o, 1) + words[i]),
				0xdead);
		wait_another_epoch(o, before);
		assert_int_equal(line(o, 1)->vectors, 2);
		assert_int_equal(line(o, 1)->features, 0);
		assert_string_equal((char *)line(o, 1)->name, "own");
	}
	/* One that the server holds for dead is not. */
	before = get(o).epoch;
	word(o, 1)->gone_epoch = before;
	word(o, 1)->status = IVREGION_CONNECTED;
	wait_another_epoch(o, before);
}

static void the_server_is_believed_at_once(void **state)
{
	struct opened *o = *state;
	uint64_t changes = get(o).changes;

	word(o, 2)->generation = 3;
	join_as(o, 2, 77, "other");
	word(o, 2)->status = IVREGION_CONNECTED;
	ring_it(o->server.eventfds[OWN], 1);
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, LONG_MS), 1);
	assert_int_equal(look(o, 2).state, IVSHMEM_ALIVE);
	assert_int_equal(look(o, 2).epoch, 77);
	assert_int_equal(look(o, 2).generation, 3);
	assert_int_equal(look(o, 2).vectors, 2);
	assert_string_equal(look(o, 2).name, "other");
	/* The doorbell is still there for whoever waits for it. */
	assert_int_equal(rung(o->server.eventfds[OWN]), 1);

	word(o, 2)->gone_epoch = 77;
	word(o, 2)->status = IVREGION_VACANT;
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, LONG_MS), 1);
	assert_int_equal(look(o, 2).state, IVSHMEM_ABSENT);
	assert_int_equal(look(o, 2).epoch, 77);

	join_as(o, 2, 78, "other");
	word(o, 2)->status = IVREGION_CONNECTED;
	wait_state(o, 2, IVSHMEM_ALIVE);
	assert_int_equal(look(o, 2).joins, 2);
}

static void without_a_server_the_heartbeat_tells(void **state)
{
	struct opened *o = *state;

	join_as(o, 2, 5, "old");
	/* Never seen before, it may be of one that is long dead. */
	assert_int_equal(look(o, 2).state, IVSHMEM_ABSENT);
	ivshmem_store32(&line(o, 2)->heartbeat, 9);
	wait_state(o, 2, IVSHMEM_ALIVE);
	/* It stops without a word. */
	wait_state(o, 2, IVSHMEM_SILENT);
	ivshmem_store32(&line(o, 2)->heartbeat, 10);
	wait_state(o, 2, IVSHMEM_ALIVE);
	assert_int_equal(look(o, 2).joins, 1);
	ivshmem_store32(&line(o, 2)->epoch, 0);
	wait_state(o, 2, IVSHMEM_ABSENT);
}

static void time_runs_out(void **state)
{
	struct opened *o = *state;
	uint64_t changes = get(o).changes;

	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, 0), 0);
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, 30), 0);
	changes--;
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, 0), 1);
	assert_int_equal(changes, get(o).changes);
}

static void *wait_for_change(void *argument)
{
	struct opened *o = argument;
	static uint64_t changes[4];
	static int next;
	int mine = __atomic_fetch_add(&next, 1, __ATOMIC_SEQ_CST) % 4;

	changes[mine] = get(o).changes;
	__atomic_fetch_add(&o->memory[MEMORY_SIZE - 1], 1, __ATOMIC_SEQ_CST);
	return (void *)(intptr_t)ivshmem_wait_change(o->ivs, &changes[mine],
						     LONG_MS);
}

static void each_of_several_threads_is_told(void **state)
{
	struct opened *o = *state;
	pthread_t threads[4];
	void *result;
	int i;

	o->memory[MEMORY_SIZE - 1] = 0;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						wait_for_change, o), 0);
	while (__atomic_load_n(&o->memory[MEMORY_SIZE - 1],
			       __ATOMIC_SEQ_CST) < 4)
		usleep(1000);
	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_int_equal((intptr_t)result, 1);
	}
}

static void a_peer_that_is_there_forbids_to_format(void **state)
{
	struct opened *o = *state;
	char error[256];

	join_as(o, 2, 5, "busy");
	word(o, 2)->status = IVREGION_CONNECTED;
	assert_int_equal(ivshmem_format(o->ivs, "raw", &three, error,
					sizeof(error)), -EBUSY);
	assert_string_equal(error, "peers are there: 2 (busy)");
	word(o, 2)->gone_epoch = 5;
	assert_int_equal(ivshmem_format(o->ivs, "raw", &three, error,
					sizeof(error)), 0);
}

static void *beat_for_others(void *argument)
{
	struct opened *o = argument;
	uint32_t heartbeat = 0;

	while (o->memory[MEMORY_SIZE - 1] == 1) {
		ivshmem_store32(&line(o, 2)->heartbeat, ++heartbeat);
		usleep(20000);
	}
	return NULL;
}

static void one_that_only_beats_forbids_it_too(void **state)
{
	struct opened *o = *state;
	pthread_t thread;

	join_as(o, 2, 5, "beats");
	o->memory[MEMORY_SIZE - 1] = 1;
	assert_int_equal(pthread_create(&thread, NULL, beat_for_others, o), 0);
	assert_int_equal(ivshmem_format(o->ivs, "raw", &three, NULL, 0),
			 -EBUSY);
	o->memory[MEMORY_SIZE - 1] = 0;
	pthread_join(thread, NULL);
}

/* Its words are there, but nobody moves them: it has crashed long ago. */
static void a_dead_one_does_not_forbid_it(void **state)
{
	struct opened *o = *state;

	/* Not seen to come, as by a process that has just started. */
	join_as(o, 2, 5, "dead");
	assert_int_equal(ivshmem_format(o->ivs, "raw", &three, NULL, 0), 0);
	assert_int_equal(line(o, 2)->epoch, 0);
}

static void being_a_peer_ends_with_the_format(void **state)
{
	struct opened *o = *state;
	struct ivregion_superblock *superblock =
		(struct ivregion_superblock *)o->memory;
	uint64_t changes;
	uint32_t epoch;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	epoch = get(o).epoch;
	changes = get(o).changes;
	/* As others do who format it. */
	ivregion_erase(superblock);
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, LONG_MS), 1);
	assert_int_equal(get(o).state, IVSHMEM_UNFORMATTED);
	/* Who formats waits for that. */
	assert_int_equal(line(o, 1)->epoch, 0);
	ivshmem_store32(&superblock->instance, superblock->instance + 1);
	superblock->checksum = ivregion_checksum(superblock);
	ivshmem_store_release32(&superblock->magic, IVREGION_MAGIC);
	assert_int_equal(get(o).state, IVSHMEM_ATTACHED);
	assert_int_equal(get(o).epoch, 0);
	assert_int_equal(ivshmem_leave(o->ivs), -ESTALE);
	assert_int_equal(ivshmem_leave(o->ivs), -ENOTCONN);
	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	assert_int_not_equal(get(o).epoch, epoch);
}

/* Another format from one moment to the next: nothing is written to it. */
static void nothing_is_written_to_another_format(void **state)
{
	struct opened *o = *state;
	struct ivregion_superblock *superblock =
		(struct ivregion_superblock *)o->memory;
	uint64_t changes;
	uint32_t epoch;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	epoch = get(o).epoch;
	changes = get(o).changes;
	ivshmem_store32(&superblock->instance, superblock->instance + 1);
	superblock->checksum = ivregion_checksum(superblock);
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, LONG_MS), 1);
	assert_int_equal(get(o).epoch, 0);
	assert_int_equal(line(o, 1)->epoch, epoch);
	memset(line(o, 1), 0x55, sizeof(*line(o, 1)));
	assert_int_equal(ivshmem_leave(o->ivs), -ESTALE);
	assert_int_equal(line(o, 1)->epoch, 0x55555555);
	assert_int_equal(line(o, 1)->heartbeat, 0x55555555);
}

/* The thread of before has not noticed it, and must not be left behind. */
static void joining_another_format_leaves_nothing_of_the_old_one(void **state)
{
	struct opened *o = *state;
	struct ivregion_superblock *superblock =
		(struct ivregion_superblock *)o->memory;
	int before = open_fds();
	int round;

	for (round = 0; round < 3; round++) {
		assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
		ivshmem_store32(&superblock->instance,
				superblock->instance + 1);
		superblock->checksum = ivregion_checksum(superblock);
		assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
		assert_int_equal(ivshmem_leave(o->ivs), 0);
	}
	assert_int_equal(open_fds(), before);
}

static void formatting_by_force_gets_everybody_out(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	join_as(o, 2, 5, "stubborn");
	word(o, 2)->status = IVREGION_CONNECTED;
	assert_int_equal(ivshmem_format(o->ivs, "raw=new", &forced, NULL, 0),
			 0);
	assert_int_equal(get(o).epoch, 0);
	assert_int_equal(line(o, 1)->epoch, 0);
	assert_int_equal(line(o, 2)->epoch, 0);
	assert_int_equal(ivshmem_leave(o->ivs), -ENOTCONN);
}

static void note(int number)
{
	(void)number;
}

/* When it has begun there is no format any more, and it may not end so. */
static void formatting_by_force_goes_on_after_signals(void **state)
{
	struct sigaction action = { .sa_handler = note }, before;
	struct itimerval often = {
		.it_interval.tv_usec = 7000, .it_value.tv_usec = 7000,
	}, never = { 0 };
	struct opened *o = *state;

	join_as(o, 2, 5, "stubborn");
	word(o, 2)->status = IVREGION_CONNECTED;
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(ivshmem_format(o->ivs, "raw=new", &forced, NULL, 0),
			 0);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	assert_int_equal(line(o, 2)->epoch, 0);
}

static void a_child_does_not_end_the_parents_part(void **state)
{
	struct opened *o = *state;
	uint32_t epoch;
	int status;
	pid_t pid;

	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	epoch = get(o).epoch;
	pid = fork();
	if (!pid) {
		ivshmem_close(o->ivs);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(line(o, 1)->epoch, epoch);
	assert_int_equal(ivshmem_leave(o->ivs), 0);
}

static atomic_bool enough;

static void *look_often(void *argument)
{
	struct opened *o = argument;
	struct ivshmem_region region;

	while (!enough)
		assert_int_equal(ivshmem_get_region(o->ivs, &region), 0);
	return NULL;
}

/* Not even where another thread of the parent was in the library. */
static void a_child_closes_what_was_never_joined(void **state)
{
	struct opened *o = *state;
	pthread_t thread;
	int i, status;
	pid_t pid;

	enough = false;
	assert_int_equal(pthread_create(&thread, NULL, look_often, o), 0);
	for (i = 0; i < 200; i++) {
		pid = fork();
		if (!pid) {
			alarm(30);
			ivshmem_close(o->ivs);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	enough = true;
	pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(joining_is_seen_by_others),
		TEST(closing_leaves),
		TEST(a_long_name_is_cut),
		cmocka_unit_test(one_without_a_slot_cannot_join),
		TEST(the_heart_beats),
		TEST(own_words_that_others_write_are_put_right),
		TEST(the_server_is_believed_at_once),
		TEST(without_a_server_the_heartbeat_tells),
		TEST(time_runs_out),
		TEST(each_of_several_threads_is_told),
		TEST(a_peer_that_is_there_forbids_to_format),
		TEST(one_that_only_beats_forbids_it_too),
		TEST(a_dead_one_does_not_forbid_it),
		TEST(being_a_peer_ends_with_the_format),
		TEST(nothing_is_written_to_another_format),
		TEST(joining_another_format_leaves_nothing_of_the_old_one),
		TEST(formatting_by_force_gets_everybody_out),
		TEST(formatting_by_force_goes_on_after_signals),
		TEST(a_child_does_not_end_the_parents_part),
		TEST(a_child_closes_what_was_never_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
