// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two sides of a link that start, stop, crash and return in every order: they
 * come up again, and nothing of another session is delivered.
 */
#include "region.h"

#define WORLD_CHECK(condition)	assert_true(condition)
#include "world.h"

static __u8 memory[WORLD_SIZE] __attribute__((aligned(4096)));

static void begin(struct world *w)
{
	memset(memory, 0, sizeof(memory));
	world_begin(w, memory, 0xffff0000);
}

static void begin_up(struct world *w)
{
	begin(w);
	world_settle(w);
	world_prove(w);
}

static void nobody_starts_by_itself(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(world_step(&w, i % 2), 0);
	assert_true(ivregion_all_zero(memory, sizeof(memory)));
	/* Nor does one side alone come up */
	ivlink_start(&w.side[0].link);
	assert_int_equal(world_step(&w, 0), IVLINK_KICK);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(world_step(&w, 0), 0);
	assert_int_equal(w.side[0].link.state, IVLINK_WAIT);
}

static void a_start_takes_four_steps(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	ivlink_start(&w.side[0].link);
	ivlink_start(&w.side[1].link);
	assert_int_equal(world_step(&w, 0), IVLINK_KICK);
	/* Sees the other's epoch, acknowledges it, and tells */
	assert_int_equal(world_step(&w, 1), IVLINK_KICK);
	assert_int_equal(world_step(&w, 0), IVLINK_KICK | IVLINK_WENT_UP);
	assert_int_equal(world_step(&w, 1), IVLINK_WENT_UP);
	assert_true(world_agrees(&w));
	assert_int_equal(w.side[0].link.sessions, 1);
	world_prove(&w);
	/* Nothing happens any more */
	assert_int_equal(world_step(&w, 0) | world_step(&w, 1), 0);
}

static void a_lost_kick_costs_only_steps(void **state)
{
	struct world w;

	(void)state;
	/* One side steps @n times as often as the other, as if it saw no kick */
	for (unsigned int n = 1; n < 20; n++) {
		begin(&w);
		ivlink_start(&w.side[0].link);
		ivlink_start(&w.side[1].link);
		for (unsigned int i = 0; i < 4 * n; i++) {
			world_step(&w, 0);
			if (i % n == 0)
				world_step(&w, 1);
		}
		assert_true(world_agrees(&w));
	}
}

static void who_begins_anew_ends_the_session(void **state)
{
	struct world w;

	(void)state;
	for (__u32 i = 0; i < 2; i++) {
		begin_up(&w);
		w.now += IVLINK_REST_MS;
		world_restart(&w, i);
		/* Not yet: its words are still those of the life before */
		assert_int_equal(world_step(&w, 1 - i), 0);
		world_step(&w, i);
		assert_int_equal(world_step(&w, 1 - i),
				 IVLINK_KICK | IVLINK_WENT_DOWN);
		assert_int_equal(w.side[1 - i].link.reason, IVRING_STALE);
		assert_int_equal(w.side[1 - i].link.faults, 0);
		world_settle(&w);
		world_prove(&w);
		assert_int_equal(w.side[1 - i].link.sessions, 2);
	}
}

static void who_begins_anew_elsewhere_ends_it_too(void **state)
{
	struct ivlink *link;
	struct world w;

	(void)state;
	begin(&w);
	link = &w.side[0].link;
	assert_false(ivlink_is_orphan(link, 1, w.now));
	world_settle(&w);
	/* The directory is seen late: of the life before, or not at all */
	assert_false(ivlink_is_orphan(link, 1, w.now));
	w.now = link->up_since + IVLINK_SETTLE_MS;
	assert_false(ivlink_is_orphan(link, 2, w.now));
	w.now++;
	assert_false(ivlink_is_orphan(link, 2, w.now));
	assert_true(ivlink_is_orphan(link, 1, w.now));
	assert_true(ivlink_is_orphan(link, 3, w.now));
	/* Another session is of another life */
	assert_int_equal(ivlink_end(link, IVRING_STALE, w.now),
			 IVLINK_KICK | IVLINK_WENT_DOWN);
	assert_false(ivlink_is_orphan(link, 3, w.now));
	world_settle(&w);
	w.now += 2 * IVLINK_SETTLE_MS;
	assert_false(ivlink_is_orphan(link, 3, w.now));
	assert_true(ivlink_is_orphan(link, 2, w.now));
	world_prove(&w);
}

static void who_stops_is_gone_until_it_starts(void **state)
{
	struct world w;

	(void)state;
	begin_up(&w);
	w.now += IVLINK_REST_MS;
	assert_int_equal(ivlink_stop(&w.side[0].link),
			 IVLINK_KICK | IVLINK_WENT_DOWN);
	assert_int_equal(ivlink_stop(&w.side[0].link), 0);
	assert_int_equal(world_step(&w, 1), IVLINK_KICK | IVLINK_WENT_DOWN);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(world_step(&w, 0), 0);
		world_step(&w, 1);
	}
	assert_int_equal(w.side[1].link.state, IVLINK_WAIT);
	assert_int_equal(ivlink_stop(&w.side[1].link), IVLINK_KICK);
	world_settle(&w);
	world_prove(&w);
}

/* An index that went back to 0 may look like one record more */
static void nothing_of_another_session_is_delivered(void **state)
{
	static const __u32 indices[] = { 0xffffffc0, 0xffffff80, 0xfffff800,
					 0xfffff040, 0xfffff000, 64, 4096 };
	struct world w;

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(indices); n++) {
		for (__u32 i = 0; i < 2; i++) {
			begin_up(&w);
			world_drain(&w);
			/* What lies in the rings are records of this session */
			for (unsigned int round = 0; round < 64; round++) {
				world_send(&w, i, 0, 16);
				world_receive(&w, 1 - i, 0);
				world_send(&w, 1 - i, 0, 16);
				world_receive(&w, i, 0);
			}
			world_shift(&w, indices[n]);
			/* Numbers start at 0, and so would a delivery show */
			w.side[1 - i].received[0] = 0;
			world_restart(&w, i);
			world_step(&w, i);
			assert_false(world_receive(&w, 1 - i, 0));
			assert_int_equal(w.side[1 - i].link.reason, IVRING_STALE);
			assert_false(world_up(&w, 1 - i));
			world_settle(&w);
			world_prove(&w);
		}
	}
}

static void nothing_is_sent_into_another_session(void **state)
{
	struct world w;
	void *payload;

	(void)state;
	for (__u32 i = 0; i < 2; i++) {
		struct ivring_producer *tx;

		begin_up(&w);
		tx = &w.side[1 - i].queues[1].tx;
		while (world_send(&w, 1 - i, 1, 1000))
			;
		assert_true(world_up(&w, 1 - i));
		/* Whose space the other gives back before it has begun anew */
		world_restart(&w, i);
		world_step(&w, i);
		assert_int_equal(ivring_reserve(tx, 1000, &payload), -EPIPE);
		assert_int_equal(tx->fault, IVRING_STALE);
		assert_true(ivring_want_space(tx, 1000));
	}
}

static void rings_are_bound_to_the_session(void **state)
{
	struct world w;

	(void)state;
	begin_up(&w);
	for (__u32 i = 0; i < 2; i++) {
		const struct ivlink *link = &w.side[i].link;

		for (__u32 q = 0; q < WORLD_QUEUES; q++) {
			const struct ivlink_queue *queue = &w.side[i].queues[q];

			assert_ptr_equal(queue->tx.session, &link->peer->epoch);
			assert_ptr_equal(queue->rx.session, &link->peer->epoch);
			assert_int_equal(queue->tx.epoch, link->ack);
			assert_int_equal(queue->rx.epoch, link->ack);
			assert_ptr_equal(queue->tx.own,
					 w.side[1 - i].queues[q].rx.peer);
			assert_ptr_equal(queue->tx.peer,
					 w.side[1 - i].queues[q].rx.own);
			assert_ptr_equal(queue->tx.data,
					 w.side[1 - i].queues[q].rx.data);
		}
	}
	/* Also an end that is only seen in the other ring is seen in all */
	ivshmem_store32(&w.side[0].link.own->epoch, 0);
	assert_int_equal(ivlink_check(&w.side[1].link), IVRING_STALE);
	assert_false(world_receive(&w, 1, 1));
	assert_false(world_up(&w, 1));
}

/* Side @i is as it was when @before was taken; what is shared is as it is */
static void restore(struct world *w, __u32 i, const struct side *before)
{
	w->side[i] = *before;
	w->dishonest = true;
}

static void a_restored_sender_sends_nothing_old(void **state)
{
	struct side before;
	struct world w;

	(void)state;
	/* Into another session, or into the same one */
	for (unsigned int anew = 0; anew < 2; anew++) {
		for (unsigned int records = 0; records < 8; records++) {
			begin_up(&w);
			for (unsigned int i = 0; i < 3; i++) {
				world_send(&w, 0, 0, 64);
				world_receive(&w, 1, 0);
			}
			before = w.side[0];
			if (anew)
				world_restart(&w, 0);
			world_settle(&w);
			for (unsigned int i = 0; i < records; i++)
				assert_true(world_send(&w, 0, 0, 64));
			for (unsigned int i = 0; i < records / 2; i++)
				assert_true(world_receive(&w, 1, 0));
			restore(&w, 0, &before);
			/* world_receive() looks at what arrives */
			for (unsigned int i = 0; i < 4; i++)
				world_send(&w, 0, 0, 64);
			world_drain(&w);
			assert_int_equal(world_up(&w, 0), !anew && !records);
			world_settle(&w);
			w.dishonest = false;
			world_prove(&w);
		}
	}
}

static void a_restored_receiver_receives_nothing_old(void **state)
{
	static const unsigned int records[] = { 0, 1, 3, 8, 31, 32, 33, 64 };
	struct side before;
	struct world w;

	(void)state;
	for (unsigned int n = 0; n < 2 * ARRAY_SIZE(records); n++) {
		begin_up(&w);
		/* It knows of two that it has not yet received */
		for (unsigned int i = 0; i < 3; i++)
			world_send(&w, 0, 0, 64);
		world_receive(&w, 1, 0);
		before = w.side[1];
		if (n % 2) {
			/* In another session, whose records lie where those did */
			world_restart(&w, 0);
			world_settle(&w);
			world_prove(&w);
		}
		for (unsigned int i = 0; i < records[n / 2]; i++) {
			while (!world_send(&w, 0, 0, 64))
				assert_true(world_receive(&w, 1, 0));
		}
		restore(&w, 1, &before);
		world_drain(&w);
		world_settle(&w);
		w.dishonest = false;
		world_prove(&w);
	}
}

/* One side stops for ever behind each store of an announcement, and returns */
static void stop_within_announce(struct world *w, __u32 i, unsigned int after)
{
	struct ivlink *link = &w->side[i].link;

	if (after >= 1)
		ivlink_withdraw(link);
	if (after >= 2)
		ivlink_reset_rings(link);
	if (after >= 3)
		ivshmem_store32(&link->own->ack, 0);
	if (after >= 4) {
		link->epoch = w->random++;
		ivshmem_store_release32(&link->own->epoch, link->epoch);
	}
}

static void who_stops_in_the_middle_harms_nobody(void **state)
{
	struct world w;

	(void)state;
	for (unsigned int first = 0; first <= 4; first++) {
		for (unsigned int second = 0; second <= 4; second++) {
			for (unsigned int steps = 0; steps < 4; steps++) {
				begin_up(&w);
				w.now += IVLINK_REST_MS;
				stop_within_announce(&w, 0, first);
				for (unsigned int i = 0; i < steps; i++) {
					world_receive(&w, 1, 0);
					world_send(&w, 1, 0, 64);
					world_step(&w, 1);
				}
				/* Two restarts in a row, the other side as well */
				world_restart(&w, 0);
				stop_within_announce(&w, 0, second);
				world_step(&w, 1);
				world_restart(&w, 0);
				if (steps % 2)
					world_restart(&w, 1);
				world_settle(&w);
				world_prove(&w);
				assert_int_equal(w.side[0].link.faults, 0);
				assert_int_equal(w.side[1].link.faults, 0);
			}
		}
	}
}

static void changed_words_of_its_own_are_noticed(void **state)
{
	struct world w;

	(void)state;
	for (unsigned int word = 0; word < 2; word++) {
		for (unsigned int up = 0; up < 2; up++) {
			struct ivlink *link = &w.side[0].link;
			__le32 *own;

			begin(&w);
			if (up) {
				world_settle(&w);
			} else {
				ivlink_start(link);
				world_step(&w, 0);
				assert_int_equal(link->state, IVLINK_WAIT);
			}
			w.dishonest = true;
			own = word ? &link->own->ack : &link->own->epoch;
			ivshmem_store32(own, ivshmem_load32(own) ^ 0x80);
			assert_int_equal(world_step(&w, 0), IVLINK_KICK |
					 (up ? IVLINK_WENT_DOWN : 0));
			assert_int_equal(link->reason, IVRING_TAMPERED);
			assert_int_equal(link->faults, 1);
			assert_int_equal(ivshmem_load32(&link->own->epoch), 0);
			world_settle(&w);
			w.dishonest = false;
			world_prove(&w);
		}
	}
}

static void a_broken_ring_ends_the_session(void **state)
{
	struct world w;

	(void)state;
	begin_up(&w);
	w.dishonest = true;
	ivshmem_store32(&w.side[1].queues[1].tx.own->prod, 1);
	assert_int_equal(world_step(&w, 0), 0);
	assert_false(world_receive(&w, 0, 1));
	assert_int_equal(w.side[0].link.reason, IVRING_BAD_PROD);
	world_settle(&w);
	world_prove(&w);
	/* A step finds what a ring knows already */
	ivshmem_store32(&w.side[1].queues[0].rx.own->cons, 1);
	while (!ivring_want_space(&w.side[0].queues[0].tx, 2000))
		;
	assert_int_equal(world_step(&w, 0), IVLINK_KICK | IVLINK_WENT_DOWN);
	assert_int_equal(w.side[0].link.reason, IVRING_BAD_CONS);
}

static void rests_double_from_fault_to_fault(void **state)
{
	static const __u32 rests[] = { 100, 200, 400, 800, 1600, 3200, 6400,
				       12800, 25600, 30000, 30000, 30000 };
	struct world w;
	struct ivlink *link = &w.side[0].link;

	(void)state;
	begin(&w);
	world_settle(&w);
	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		assert_true(world_up(&w, 0));
		assert_int_equal(ivlink_end(link, IVRING_BAD_LENGTH, w.now),
				 IVLINK_KICK | IVLINK_WENT_DOWN);
		assert_int_equal(ivlink_end(link, IVRING_BAD_LENGTH, w.now), 0);
		assert_int_equal(link->reason, IVRING_BAD_LENGTH);
		assert_int_equal(ivlink_resting(link, w.now), rests[i]);
		world_step(&w, 1);
		w.now += rests[i] - 1;
		assert_int_equal(ivlink_resting(link, w.now), 1);
		assert_int_equal(world_step(&w, 0), 0);
		assert_int_equal(ivshmem_load32(&link->own->epoch), 0);
		w.now++;
		assert_int_equal(ivlink_resting(link, w.now), 0);
		assert_true(world_step(&w, 0) & IVLINK_KICK);
		world_settle(&w);
	}
	/* An end that is nobody's fault needs no rest, and forgives nothing */
	w.now = link->up_since + IVLINK_REST_MS;
	ivlink_end(link, IVRING_STALE, w.now);
	assert_int_equal(ivlink_resting(link, w.now), 0);
	assert_int_equal(link->faults, ARRAY_SIZE(rests));
	world_settle(&w);
}

/* The peer ends each session as soon as it is up; whether that costs rests */
static void a_short_session_costs_a_rest(void **state)
{
	struct world w;
	struct ivlink *link = &w.side[0].link;
	__u32 sessions, begun;

	(void)state;
	for (__u32 up = IVLINK_REST_MS - 1; up <= IVLINK_REST_MS; up++) {
		begin_up(&w);
		w.now = link->up_since + up;
		ivlink_end(link, IVRING_STALE, w.now);
		assert_int_equal(link->faults, up < IVLINK_REST_MS);
		assert_int_equal(ivlink_resting(link, w.now),
				 up < IVLINK_REST_MS ? IVLINK_REST_MS : 0);
	}

	/* A wait that ends is no session */
	begin(&w);
	ivlink_start(link);
	world_step(&w, 0);
	assert_int_equal(ivlink_end(link, IVRING_STALE, w.now), IVLINK_KICK);
	assert_int_equal(link->faults, 0);

	begin_up(&w);
	begun = w.now;
	sessions = link->sessions;
	for (unsigned int i = 0; i < 100000; i++) {
		if (world_up(&w, 0))
			world_restart(&w, 1);
		world_step(&w, 1);
		world_step(&w, 0);
		w.now = begun + i / 10;
	}
	/* In 10 s: not thousands of times, and the rest does not grow */
	assert_in_range(link->sessions - sessions, 90, 100);
	assert_int_equal(link->faults, 1);
}

static void faults_are_forgotten_after_a_good_time(void **state)
{
	struct world w;
	struct ivlink *link = &w.side[0].link;

	(void)state;
	for (__u32 good = IVLINK_GOOD_MS; good <= IVLINK_GOOD_MS + 1; good++) {
		begin(&w);
		world_settle(&w);
		for (unsigned int i = 0; i < 5; i++) {
			ivlink_end(link, IVRING_BAD_PAD, w.now);
			world_settle(&w);
		}
		assert_int_equal(link->faults, 5);
		w.now = link->up_since + good;
		ivlink_end(link, IVRING_BAD_PAD, w.now);
		assert_int_equal(ivlink_resting(link, w.now),
				 good > IVLINK_GOOD_MS ? 100 : 3200);
	}
}

static void an_old_rest_does_not_come_back(void **state)
{
	struct world w;
	struct ivlink *link = &w.side[0].link;

	(void)state;
	begin(&w);
	world_settle(&w);
	ivlink_end(link, IVRING_BAD_PAD, w.now);
	w.now += 100;
	for (unsigned int i = 0; i < 1000; i++) {
		w.now += 1000;
		assert_int_equal(ivlink_resting(link, w.now), 0);
	}
	world_settle(&w);
}

/* All that can happen to the two of them in one go */
static void happen(struct world *w, unsigned int what)
{
	__u32 i = what & 1;

	switch (what / 2) {
	case 0:
		ivlink_start(&w->side[i].link);
		world_step(w, i);
		break;
	case 1:
		world_restart(w, i);
		break;
	case 2:
		world_send(w, i, 0, 64);
		break;
	case 3:
		world_receive(w, i, 0);
		break;
	case 4:
		ivlink_stop(&w->side[i].link);
		break;
	case 5:
		ivlink_withdraw(&w->side[i].link);
		world_restart(w, i);
		break;
	default:
		ivlink_withdraw(&w->side[i].link);
		ivlink_reset_rings(&w->side[i].link);
		world_restart(w, i);
		break;
	}
}

#define HAPPENINGS	14U
#define DEPTH		5U

static unsigned long schedules;

/* A copy is not enough: what is private points into itself */
static void copy_world(struct world *to, const struct world *from)
{
	*to = *from;
	for (__u32 i = 0; i < 2; i++)
		to->side[i].link.queues = to->side[i].queues;
}

static void every_schedule(const struct world *w, unsigned int depth)
{
	static __u8 saved[DEPTH + 1][WORLD_SIZE];
	struct world next;

	if (!depth) {
		copy_world(&next, w);
		schedules++;
		world_settle(&next);
		world_prove(&next);
		return;
	}
	memcpy(saved[depth], memory, sizeof(memory));
	for (unsigned int what = 0; what < HAPPENINGS; what++) {
		memcpy(memory, saved[depth], sizeof(memory));
		copy_world(&next, w);
		happen(&next, what);
		every_schedule(&next, depth - 1);
	}
}

static void they_agree_after_every_schedule(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	every_schedule(&w, 4);
	begin_up(&w);
	world_shift(&w, 0xffffffc0);
	every_schedule(&w, 4);
	assert_int_equal(schedules, 2 * HAPPENINGS * HAPPENINGS * HAPPENINGS *
			 HAPPENINGS);
}

static void they_agree_after_random_schedules(void **state)
{
	struct world w;

	(void)state;
	for (unsigned int seed = 1; seed <= 3000; seed++) {
		srandom(seed);
		begin(&w);
		for (unsigned int i = 0; i < 300; i++) {
			/* Restarts and stops are rarer than all else */
			unsigned int rare = random() % 8 == 0;
			unsigned int what = rare ? (unsigned int)random() %
				HAPPENINGS : (unsigned int)random() % 8;

			if (!rare && what / 2 == 1)
				what &= 1;
			if (random() % 64 == 0 && world_agrees(&w)) {
				world_drain(&w);
				if (world_agrees(&w))
					world_shift(&w, 0 - 64 * (1 + (__u32)
							random() % 64));
			}
			happen(&w, what);
			w.now += (__u32)random() % 3 * 25;
		}
		world_settle(&w);
		world_prove(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_starts_by_itself),
		cmocka_unit_test(a_start_takes_four_steps),
		cmocka_unit_test(a_lost_kick_costs_only_steps),
		cmocka_unit_test(who_begins_anew_ends_the_session),
		cmocka_unit_test(who_stops_is_gone_until_it_starts),
		cmocka_unit_test(nothing_of_another_session_is_delivered),
		cmocka_unit_test(nothing_is_sent_into_another_session),
		cmocka_unit_test(rings_are_bound_to_the_session),
		cmocka_unit_test(a_restored_sender_sends_nothing_old),
		cmocka_unit_test(a_restored_receiver_receives_nothing_old),
		cmocka_unit_test(who_stops_in_the_middle_harms_nobody),
		cmocka_unit_test(changed_words_of_its_own_are_noticed),
		cmocka_unit_test(a_broken_ring_ends_the_session),
		cmocka_unit_test(rests_double_from_fault_to_fault),
		cmocka_unit_test(a_short_session_costs_a_rest),
		cmocka_unit_test(who_begins_anew_elsewhere_ends_it_too),
		cmocka_unit_test(faults_are_forgotten_after_a_good_time),
		cmocka_unit_test(an_old_rest_does_not_come_back),
		cmocka_unit_test(they_agree_after_every_schedule),
		cmocka_unit_test(they_agree_after_random_schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
