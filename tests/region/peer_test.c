// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a peer: each transition of ivpeer_look(), with and without a
 * server, and with values that no honest peer or server writes.
 */
#include "region.h"

#include <stdio.h>

#define EPOCH	0xe40c0001U

struct slot {
	struct ivregion_peer_line line;
	struct ivregion_server_line server;
	struct ivpeer peer;
	__u32 now;
};

static const __u32 clocks[] = { 0, 1, 100000, 0x7ffffff0, 0xfffff000,
				0xffffec78, 0xffffffff };

static enum ivpeer_event look(struct slot *slot)
{
	return ivpeer_look(&slot->peer, &slot->line, &slot->server, slot->now);
}

static void beat(struct slot *slot)
{
	ivshmem_store32(&slot->line.heartbeat,
			ivshmem_load32(&slot->line.heartbeat) + 1);
}

static void says(struct slot *slot, enum ivregion_status status)
{
	ivshmem_store32(&slot->server.status, status);
}

static void join(struct slot *slot, __u32 epoch)
{
	static const char name[IVREGION_PEER_NAME] = "guest";

	ivpeer_join(&slot->line, epoch, 4, name);
}

static void begin(struct slot *slot, __u32 now, enum ivregion_status status)
{
	memset(slot, 0, sizeof(*slot));
	memset(&slot->peer, 0xa5, sizeof(slot->peer));
	ivpeer_init(&slot->peer);
	slot->now = now;
	says(slot, status);
}

/* Somebody is there, and was seen to be */
static void begin_alive(struct slot *slot, __u32 now, enum ivregion_status status)
{
	begin(slot, now, status);
	assert_int_equal(look(slot), IVPEER_NOTHING);
	join(slot, EPOCH);
	assert_int_equal(look(slot), IVPEER_JOINED);
	assert_int_equal(slot->peer.state, IVPEER_ALIVE);
}

static void begin_silent(struct slot *slot, __u32 now, enum ivregion_status status)
{
	begin_alive(slot, now, status);
	slot->now += IVPEER_SILENT_MS + 1;
	assert_int_equal(look(slot), IVPEER_FELL_SILENT);
}

static void assert_look(struct slot *slot, enum ivpeer_event event,
			enum ivpeer_state state)
{
	assert_int_equal(look(slot), event);
	assert_int_equal(slot->peer.state, state);
	/* Nothing happens twice */
	assert_int_equal(look(slot), IVPEER_NOTHING);
	assert_int_equal(slot->peer.state, state);
}

static void nobody_is_there(void **state)
{
	struct slot slot;

	(void)state;
	for (__u32 status = 0; status < 5; status++) {
		begin(&slot, 7, status);
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		beat(&slot);
		slot.now += 100000;
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		assert_int_equal(slot.peer.joins, 0);
	}
}

static void who_joins_is_seen_at_once(void **state)
{
	struct slot slot;

	(void)state;
	for (__u32 status = 0; status < 4; status++) {
		if (status == IVREGION_VACANT)
			continue;
		begin_alive(&slot, 0xfffffff0, status);
		assert_int_equal(slot.peer.epoch, EPOCH);
		assert_int_equal(slot.peer.vectors, 4);
		assert_int_equal(slot.peer.features, 0);
		assert_int_equal(slot.peer.joins, 1);
		assert_string_equal(slot.peer.name, "guest");
		beat(&slot);
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ALIVE);
	}
}

static void at_first_sight_a_beat_or_the_server_counts(void **state)
{
	struct slot slot;

	(void)state;
	for (__u32 status = 0; status < 5; status++) {
		begin(&slot, 7, status);
		join(&slot, EPOCH);
		if (status == IVREGION_CONNECTED) {
			assert_look(&slot, IVPEER_JOINED, IVPEER_ALIVE);
			continue;
		}
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		slot.now += 100000;
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		beat(&slot);
		if (status == IVREGION_VACANT)
			assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		else
			assert_look(&slot, IVPEER_JOINED, IVPEER_ALIVE);
	}
}

static void who_leaves_has_left(void **state)
{
	struct slot slot;

	(void)state;
	for (__u32 status = 0; status < 5; status++) {
		if (status == IVREGION_VACANT)
			continue;
		begin_alive(&slot, 7, status);
		ivpeer_leave(&slot.line);
		assert_look(&slot, IVPEER_LEFT, IVPEER_ABSENT);
		assert_int_equal(slot.peer.epoch, 0);
		begin_silent(&slot, 7, status);
		ivpeer_leave(&slot.line);
		assert_look(&slot, IVPEER_LEFT, IVPEER_ABSENT);
		/* And may come back */
		join(&slot, EPOCH + 1);
		assert_look(&slot, IVPEER_JOINED, IVPEER_ALIVE);
		assert_int_equal(slot.peer.joins, 2);
	}
	/* Said so, and the server saw it go, too */
	begin_alive(&slot, 7, IVREGION_CONNECTED);
	ivpeer_leave(&slot.line);
	says(&slot, IVREGION_VACANT);
	assert_look(&slot, IVPEER_LEFT, IVPEER_ABSENT);
}

static void the_server_knows_of_a_death_at_once(void **state)
{
	struct slot slot;

	(void)state;
	for (unsigned int silent = 0; silent < 2; silent++) {
		if (silent)
			begin_silent(&slot, 7, IVREGION_CONNECTED);
		else
			begin_alive(&slot, 7, IVREGION_CONNECTED);
		ivshmem_store32(&slot.server.gone_epoch, EPOCH);
		says(&slot, IVREGION_VACANT);
		assert_look(&slot, IVPEER_DIED, IVPEER_ABSENT);
		/* The next one is connected, but has not joined yet */
		says(&slot, IVREGION_CONNECTED);
		ivshmem_store32(&slot.server.generation, 2);
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		beat(&slot);
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
		join(&slot, EPOCH + 1);
		assert_look(&slot, IVPEER_JOINED, IVPEER_ALIVE);
		assert_int_equal(slot.peer.generation, 2);
	}
}

static void a_death_and_return_between_two_looks_is_a_return(void **state)
{
	struct slot slot;

	(void)state;
	begin_alive(&slot, 7, IVREGION_CONNECTED);
	ivshmem_store32(&slot.server.gone_epoch, EPOCH);
	join(&slot, EPOCH + 1);
	assert_look(&slot, IVPEER_RETURNED, IVPEER_ALIVE);
	/* Not even joined again: the one whom we knew is gone */
	begin_alive(&slot, 7, IVREGION_CONNECTED);
	ivshmem_store32(&slot.server.gone_epoch, EPOCH);
	assert_look(&slot, IVPEER_DIED, IVPEER_ABSENT);
	/* Seen for the first time after that */
	begin(&slot, 7, IVREGION_CONNECTED);
	join(&slot, EPOCH);
	ivshmem_store32(&slot.server.gone_epoch, EPOCH);
	assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
}

static void gone_epoch_counts_only_where_there_is_a_server(void **state)
{
	struct slot slot;

	(void)state;
	for (__u32 status = 0; status < 10; status++) {
		if (status == IVREGION_VACANT || status == IVREGION_CONNECTED)
			continue;
		begin_alive(&slot, 7, status == 9 ? 0xffffffff : status);
		ivshmem_store32(&slot.server.gone_epoch, EPOCH);
		beat(&slot);
		assert_look(&slot, IVPEER_NOTHING, IVPEER_ALIVE);
	}
	/* The epoch of somebody else */
	begin_alive(&slot, 7, IVREGION_CONNECTED);
	ivshmem_store32(&slot.server.gone_epoch, EPOCH ^ 1);
	assert_look(&slot, IVPEER_NOTHING, IVPEER_ALIVE);
}

static void silence_begins_after_exactly_its_bound(void **state)
{
	struct slot slot;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
		for (__u32 status = 0; status < 4; status++) {
			if (status == IVREGION_VACANT)
				continue;
			begin_alive(&slot, clocks[i], status);
			slot.now = clocks[i] + IVPEER_SILENT_MS;
			assert_look(&slot, IVPEER_NOTHING, IVPEER_ALIVE);
			slot.now = clocks[i] + IVPEER_SILENT_MS + 1;
			assert_look(&slot, IVPEER_FELL_SILENT, IVPEER_SILENT);
			slot.now += 0x7fffffff;
			assert_look(&slot, IVPEER_NOTHING, IVPEER_SILENT);
			beat(&slot);
			assert_look(&slot, IVPEER_RESUMED, IVPEER_ALIVE);
			assert_int_equal(slot.peer.joins, 1);
			/* From then on it counts anew */
			slot.now += IVPEER_SILENT_MS;
			assert_look(&slot, IVPEER_NOTHING, IVPEER_ALIVE);
			slot.now++;
			assert_look(&slot, IVPEER_FELL_SILENT, IVPEER_SILENT);
		}
	}
}

static void a_beating_heart_is_never_silent(void **state)
{
	struct slot slot;

	(void)state;
	begin_alive(&slot, 0xffff0000, IVREGION_UNTRACKED);
	/* The heartbeat and the clock run over, too */
	ivshmem_store32(&slot.line.heartbeat, 0xfffffff0);
	for (unsigned int i = 0; i < 1000; i++) {
		beat(&slot);
		slot.now += IVPEER_SILENT_MS;
		assert_int_equal(look(&slot), IVPEER_NOTHING);
		assert_int_equal(slot.peer.state, IVPEER_ALIVE);
	}
}

static void who_returns_under_a_new_epoch_has_begun_anew(void **state)
{
	struct slot slot;

	(void)state;
	begin_alive(&slot, 7, IVREGION_UNTRACKED);
	join(&slot, EPOCH + 1);
	assert_look(&slot, IVPEER_RETURNED, IVPEER_ALIVE);
	assert_int_equal(slot.peer.joins, 2);
	begin_silent(&slot, 7, IVREGION_UNTRACKED);
	join(&slot, EPOCH + 1);
	assert_look(&slot, IVPEER_RETURNED, IVPEER_ALIVE);
	assert_int_equal(slot.peer.joins, 2);
}

static void who_stops_within_joining_is_not_there(void **state)
{
	struct slot slot;

	(void)state;
	begin_alive(&slot, 7, IVREGION_UNTRACKED);
	/* The first store of ivpeer_join() */
	ivshmem_store32(&slot.line.epoch, 0);
	assert_look(&slot, IVPEER_LEFT, IVPEER_ABSENT);
	ivshmem_store32(&slot.line.heartbeat, 0);
	memset(slot.line.name, 'x', sizeof(slot.line.name));
	assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
	slot.now += 100000;
	assert_look(&slot, IVPEER_NOTHING, IVPEER_ABSENT);
}

static void impossible_vectors_are_none(void **state)
{
	static const __u32 values[][2] = {
		{ 0, 0 }, { 1, 1 }, { 255, 255 }, { 256, 256 }, { 257, 0 },
		{ 0x10001, 0 }, { 0x80000001, 0 }, { 0xffffffff, 0 },
	};
	struct slot slot;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		begin_alive(&slot, 7, IVREGION_UNTRACKED);
		ivshmem_store32(&slot.line.vectors, values[i][0]);
		look(&slot);
		assert_int_equal(slot.peer.vectors, values[i][1]);
	}
}

static void any_name_can_be_printed(void **state)
{
	struct slot slot;

	(void)state;
	begin_alive(&slot, 7, IVREGION_UNTRACKED);
	for (unsigned int value = 1; value < 256; value++) {
		memset(slot.line.name, (int)value, IVREGION_PEER_NAME);
		memset(slot.peer.name, 0xff, sizeof(slot.peer.name));
		look(&slot);
		/* Fills its place, and ends nevertheless */
		assert_int_equal(slot.peer.name[IVREGION_PEER_NAME], 0);
		for (unsigned int i = 0; i < IVREGION_PEER_NAME; i++)
			assert_int_equal(slot.peer.name[i],
					 value > 0x20 && value < 0x7f ? value : '?');
	}
	for (unsigned int length = 0; length < IVREGION_PEER_NAME; length++) {
		memset(slot.line.name, 'n', IVREGION_PEER_NAME);
		slot.line.name[length] = 0;
		look(&slot);
		assert_int_equal(strlen(slot.peer.name), length);
	}
}

/* The table of the document, for all that can be seen in one look */
static enum ivpeer_event expected(const struct ivpeer *before, __u32 status,
				  __u32 gone, __u32 epoch, __u32 heartbeat,
				  __u32 now, enum ivpeer_state *after)
{
	bool tracked = status == 1 || status == 2;
	bool sign = before->seen ? heartbeat != before->heartbeat ||
				   epoch != before->epoch : status == 2;

	*after = IVPEER_ABSENT;
	if (epoch == 0)
		return before->state ? IVPEER_LEFT : IVPEER_NOTHING;
	if (status == 1 || (tracked && epoch == gone))
		return before->state ? IVPEER_DIED : IVPEER_NOTHING;
	*after = IVPEER_ALIVE;
	if (sign && before->state == IVPEER_ABSENT)
		return IVPEER_JOINED;
	if (sign && epoch != before->epoch)
		return IVPEER_RETURNED;
	if (sign)
		return before->state == IVPEER_SILENT ? IVPEER_RESUMED :
							IVPEER_NOTHING;
	*after = before->state;
	if (before->state != IVPEER_ALIVE || now - before->beat_at <= 5000)
		return IVPEER_NOTHING;
	*after = IVPEER_SILENT;
	return IVPEER_FELL_SILENT;
}

static void every_look_is_as_the_document_says(void **state)
{
	static const __u32 steps[] = { 0, 1, 500, 4999, 5000, 5001, 0x7fffffff };
	unsigned int seen[IVPEER_RESUMED + 1] = { 0 };
	struct slot slot;

	(void)state;
	srandom(20240229);
	begin(&slot, 0xfffff000, IVREGION_UNTRACKED);
	for (unsigned int i = 0; i < 300000; i++) {
		struct ivpeer before = slot.peer;
		enum ivpeer_state after;
		enum ivpeer_event event;
		__u32 status = (__u32)random() % 4;
		__u32 gone = (__u32)random() % 3;
		__u32 epoch = random() % 4 ? before.epoch : (__u32)random() % 4;
		__u32 heartbeat = before.heartbeat + (random() % 4 == 0);

		if (random() % 64 == 0) {
			ivpeer_init(&slot.peer);
			before = slot.peer;
		}
		slot.now += steps[(unsigned long)random() % ARRAY_SIZE(steps)];
		says(&slot, status == 3 ? (__u32)random() : status);
		status = ivshmem_load32(&slot.server.status);
		ivshmem_store32(&slot.server.gone_epoch, gone);
		ivshmem_store32(&slot.line.epoch, epoch);
		ivshmem_store32(&slot.line.heartbeat, heartbeat);
		event = expected(&before, status, gone, epoch, heartbeat,
				 slot.now, &after);
		assert_int_equal(look(&slot), event);
		assert_int_equal(slot.peer.state, after);
		seen[event]++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		assert_true(seen[i] > 100);
}

static void a_fresh_epoch_is_neither_0_nor_the_last_one(void **state)
{
	static const __u32 randoms[] = { 0, 1, 2, 0xffffffff, 0xfffffffe };
	static const __u32 last[] = { 0, 1, 2, 0xffffffff, 0xfffffffe };

	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(randoms); r++) {
		for (size_t b = 0; b < ARRAY_SIZE(last); b++) {
			__u32 epoch = ivpeer_fresh_epoch(randoms[r], last[b]);

			assert_int_not_equal(epoch, 0);
			assert_int_not_equal(epoch, last[b]);
			if (randoms[r] && randoms[r] != last[b])
				assert_int_equal(epoch, randoms[r]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_there),
		cmocka_unit_test(who_joins_is_seen_at_once),
		cmocka_unit_test(at_first_sight_a_beat_or_the_server_counts),
		cmocka_unit_test(who_leaves_has_left),
		cmocka_unit_test(the_server_knows_of_a_death_at_once),
		cmocka_unit_test(a_death_and_return_between_two_looks_is_a_return),
		cmocka_unit_test(gone_epoch_counts_only_where_there_is_a_server),
		cmocka_unit_test(silence_begins_after_exactly_its_bound),
		cmocka_unit_test(a_beating_heart_is_never_silent),
		cmocka_unit_test(who_returns_under_a_new_epoch_has_begun_anew),
		cmocka_unit_test(who_stops_within_joining_is_not_there),
		cmocka_unit_test(impossible_vectors_are_none),
		cmocka_unit_test(any_name_can_be_printed),
		cmocka_unit_test(every_look_is_as_the_document_says),
		cmocka_unit_test(a_fresh_epoch_is_neither_0_nor_the_last_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
