// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which slots are free to be chosen, which of them is, and when a claim is
 * settled: each rule of slot.h, with values that no honest peer writes.
 */
#include "region.h"

#include <ivshmem/slot.h>

#define SLOTS	4

static struct ivpeer peer_of(__u32 epoch, __u32 heartbeat)
{
	struct ivpeer peer;

	ivpeer_init(&peer);
	peer.seen = true;
	peer.epoch = epoch;
	peer.heartbeat = heartbeat;
	return peer;
}

static enum ivslot_use see(struct ivslot_seen *seen, __u32 epoch,
			   __u32 heartbeat, __u32 now)
{
	struct ivpeer peer = peer_of(epoch, heartbeat);

	ivslot_see(seen, &peer, false, now);
	return seen->use;
}

static void begin(struct ivslot_seen *seen)
{
	memset(seen, 0xa5, sizeof(*seen));
	ivslot_forget(seen);
	assert_int_equal(seen->use, IVSLOT_TAKEN);
}

static void an_empty_one_is_free_at_first_sight(void **state)
{
	struct ivslot_seen seen;

	(void)state;
	begin(&seen);
	assert_int_equal(see(&seen, 0, 77, 0xfffffff0), IVSLOT_EMPTY);
	/* Whoever comes has it */
	assert_int_equal(see(&seen, 5, 77, 0), IVSLOT_TAKEN);
}

static void silence_takes_time_and_looks(void **state)
{
	__u32 now = 0xfffff000, i;
	struct ivslot_seen seen;

	(void)state;
	begin(&seen);
	assert_int_equal(see(&seen, 5, 1, now), IVSLOT_TAKEN);
	for (i = 0; i < IVSLOT_SILENT_MS / IVPEER_BEAT_MS; i++) {
		now += IVPEER_BEAT_MS;
		assert_int_equal(see(&seen, 5, 1, now), IVSLOT_TAKEN);
	}
	assert_int_equal(see(&seen, 5, 1, now + 1), IVSLOT_SILENT);
	/* Any change is life */
	assert_int_equal(see(&seen, 5, 0, now + 2), IVSLOT_TAKEN);
	assert_int_equal(see(&seen, 6, 0, now + 3), IVSLOT_TAKEN);
}

static void a_clock_that_jumps_silences_nobody(void **state)
{
	struct ivslot_seen seen;
	__u32 now = 0, i;

	(void)state;
	begin(&seen);
	see(&seen, 5, 1, now);
	now += 3600000;
	assert_int_equal(see(&seen, 5, 1, now), IVSLOT_TAKEN);
	/* Nor do looks that follow each other at once */
	for (i = 0; i < 1000; i++)
		assert_int_equal(see(&seen, 5, 1, now), IVSLOT_TAKEN);
	for (i = 2; i < IVSLOT_LOOKS; i++) {
		assert_int_equal(seen.use, IVSLOT_TAKEN);
		now += IVPEER_BEAT_MS / 2;
		see(&seen, 5, 1, now);
	}
	assert_int_equal(seen.use, IVSLOT_SILENT);
}

static void what_a_server_keeps_is_never_free(void **state)
{
	struct ivregion_server_line server = { 0 };
	struct ivpeer nobody = peer_of(0, 0);
	struct ivslot_seen seen;

	(void)state;
	begin(&seen);
	ivslot_see(&seen, &nobody, true, 0);
	assert_int_equal(seen.use, IVSLOT_TAKEN);
	ivslot_see(&seen, &nobody, false, 0);
	assert_int_equal(seen.use, IVSLOT_EMPTY);

	for (__u32 status = 0; status < 5; status++) {
		ivshmem_store32(&server.status, status);
		assert_int_equal(ivslot_is_served(&server),
				 status == IVREGION_VACANT ||
				 status == IVREGION_CONNECTED);
	}
}

static __u32 choose(const enum ivslot_use use[SLOTS], __u32 prefer,
		    __u32 avoid, __u32 random)
{
	struct ivslot_seen seen[SLOTS];
	__u32 i;

	for (i = 0; i < SLOTS; i++) {
		ivslot_forget(&seen[i]);
		seen[i].use = use[i];
	}
	return ivslot_choose(seen, SLOTS, prefer, avoid, random);
}

#define T	IVSLOT_TAKEN
#define S	IVSLOT_SILENT
#define E	IVSLOT_EMPTY
#define N	IVSLOT_NONE

static void one_is_chosen_among_the_best(void **state)
{
	static const struct {
		enum ivslot_use use[SLOTS];
		__u32 prefer, avoid, first, second;
	} cases[] = {
		{ { T, T, T, T }, N, N, N, N },
		{ { T, T, S, T }, N, N, 2, 2 },
		{ { S, T, E, T }, N, N, 2, 2 },
		{ { E, S, T, E }, N, N, 0, 3 },
		{ { S, T, T, S }, N, N, 0, 3 },
		/* The one before, if it is empty */
		{ { E, S, T, E }, 3, N, 3, 3 },
		{ { E, S, T, E }, 1, N, 0, 3 },
		{ { E, S, T, E }, 2, N, 0, 3 },
		{ { E, S, T, E }, 64, N, 0, 3 },
		/* One that was lost, if there is no other */
		{ { E, S, T, E }, N, 0, 3, 3 },
		{ { E, S, T, T }, N, 0, 1, 1 },
		{ { E, T, T, T }, N, 0, 0, 0 },
		{ { S, T, T, T }, N, 0, 0, 0 },
		{ { T, T, T, T }, N, 0, N, N },
		{ { E, E, T, T }, 0, 0, 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(choose(cases[i].use, cases[i].prefer,
					cases[i].avoid, 0), cases[i].first);
		assert_int_equal(choose(cases[i].use, cases[i].prefer,
					cases[i].avoid, 1), cases[i].second);
		assert_int_equal(choose(cases[i].use, cases[i].prefer,
					cases[i].avoid, 0xffffffff),
				 cases[i].second);
	}
}

static void what_has_changed_since_is_not_claimed(void **state)
{
	struct ivregion_peer_line line = { 0 };
	struct ivslot_seen seen;

	(void)state;
	begin(&seen);
	see(&seen, 5, 1, 0);
	ivshmem_store32(&line.epoch, 5);
	ivshmem_store32(&line.heartbeat, 1);
	assert_true(ivslot_unchanged(&seen, &line));
	ivshmem_store32(&line.heartbeat, 2);
	assert_false(ivslot_unchanged(&seen, &line));
	ivshmem_store32(&line.heartbeat, 1);
	ivshmem_store32(&line.epoch, 0);
	assert_false(ivslot_unchanged(&seen, &line));
}

static void a_claim_stands_for_its_time(void **state)
{
	static const __u32 randoms[] = { 0, 1, 1999, 2000, 0xffffffff };
	__u32 begun = 0xffffff00, now, stood;
	struct ivslot_claim claim;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(randoms); i++) {
		ivslot_claimed(&claim, randoms[i], begun);
		for (now = begun; !ivslot_settled(&claim, now); now++)
			assert_true(now - begun < 2 * IVSLOT_CLAIM_MS);
		stood = now - begun;
		assert_int_equal(stood, IVSLOT_CLAIM_MS +
				 randoms[i] % IVSLOT_CLAIM_MS);
	}
}

static void who_was_away_waits_anew(void **state)
{
	struct ivslot_claim claim;

	(void)state;
	ivslot_claimed(&claim, 0, 0);
	assert_false(ivslot_settled(&claim, IVSLOT_GAP_MS + 1));
	assert_false(ivslot_settled(&claim, IVSLOT_GAP_MS + IVSLOT_CLAIM_MS));
	assert_true(ivslot_settled(&claim, IVSLOT_GAP_MS + 1 +
				   IVSLOT_CLAIM_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_is_free_at_first_sight),
		cmocka_unit_test(silence_takes_time_and_looks),
		cmocka_unit_test(a_clock_that_jumps_silences_nobody),
		cmocka_unit_test(what_a_server_keeps_is_never_free),
		cmocka_unit_test(one_is_chosen_among_the_best),
		cmocka_unit_test(what_has_changed_since_is_not_claimed),
		cmocka_unit_test(a_claim_stands_for_its_time),
		cmocka_unit_test(who_was_away_waits_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
