// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ring does between two ends that keep the rules: order, space,
 * padding, batches, and when a kick is wanted.
 */
#include "pair.h"

/* Indices at which 32 bits run over within the test, and others */
static const __u32 starts[] = { 0, 64, 2048, 0x80000000, 0xfffff000,
				0xfffff800, 0xffffff80, 0xffffffc0 };

#define FOR_EACH_START(pair, s)						\
	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]) &&	\
	     (begin_at(pair, starts[s]), 1); s++)

static void an_empty_ring_has_nothing(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		assert_int_equal(peek(pair), -EAGAIN);
		assert_false(ivring_want_data(&pair->c));
		assert_false(ivring_publish(&pair->p));
		assert_false(ivring_release(&pair->c));
		assert_int_equal(pair->c.fault, IVRING_OK);
	}
}

static void records_come_out_as_they_went_in(void **state)
{
	struct pair *pair = *state;
	static const __u32 lengths[] = {
		0, 1, FILLS(1) - 1, FILLS(1), FILLS(1) + 1, 63, 64, FILLS(2),
		FILLS(2) + 1, 1000, FILLS(32) - 1, FILLS(32),
	};

	FOR_EACH_START(pair, s) {
		for (unsigned int round = 0; round < 600; round++) {
			__u32 length = lengths[round % 12];

			put(pair, length, round % 251);
			ivring_publish(&pair->p);
			get(pair, length, round % 251);
			ivring_release(&pair->c);
		}
		assert_int_equal(peek(pair), -EAGAIN);
	}
}

static void payload_follows_its_header_in_place(void **state)
{
	struct pair *pair = *state;
	const struct ivring_record *record = (void *)pair->data;
	void *payload = NULL;

	assert_int_equal(ivring_reserve(&pair->p, 5, &payload), 0);
	assert_ptr_equal(payload, pair->data + IVRING_HEADER);
	memcpy(payload, "hello", 5);
	ivring_commit(&pair->p, 5, 7);
	assert_int_equal(ivshmem_load32(&record->length), 5);
	assert_int_equal(ivshmem_load32(&record->kind), 7);
}

static void a_full_ring_takes_no_more_until_released(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		for (unsigned int i = 0; i < SIZE / IVRING_ALIGN; i++)
			put(pair, FILLS(1), i);
		assert_int_equal(reserve(pair, 0), -EAGAIN);
		ivring_publish(&pair->p);
		assert_int_equal(reserve(pair, 0), -EAGAIN);
		get(pair, FILLS(1), 0);
		/* Only passed, not released: still in use */
		assert_int_equal(reserve(pair, 0), -EAGAIN);
		ivring_release(&pair->c);
		assert_int_equal(reserve(pair, FILLS(1) + 1), -EAGAIN);
		put(pair, FILLS(1), 200);
		assert_int_equal(reserve(pair, 0), -EAGAIN);
		ivring_publish(&pair->p);
		for (unsigned int i = 1; i < SIZE / IVRING_ALIGN; i++)
			get(pair, FILLS(1), i);
		get(pair, FILLS(1), 200);
		assert_int_equal(peek(pair), -EAGAIN);
	}
}

static void two_longest_records_fit_exactly(void **state)
{
	struct pair *pair = *state;
	__u32 longest = ivring_max_length(SIZE);

	assert_int_equal(longest, SIZE / 2 - IVRING_HEADER);
	put(pair, longest, 1);
	put(pair, longest, 2);
	assert_int_equal(reserve(pair, 0), -EAGAIN);
	ivring_publish(&pair->p);
	get(pair, longest, 1);
	get(pair, longest, 2);
}

static void the_longest_record_fits_an_empty_ring_anywhere(void **state)
{
	struct pair *pair = *state;
	__u32 longest = ivring_max_length(SIZE);

	for (__u32 offset = 0; offset < SIZE; offset += IVRING_ALIGN) {
		begin_at(pair, 0xffffe000 + offset);
		put(pair, longest, 9);
		ivring_publish(&pair->p);
		get(pair, longest, 9);
		assert_int_equal(peek(pair), -EAGAIN);
	}
}

static void longer_than_the_longest_is_refused(void **state)
{
	struct pair *pair = *state;
	static const __u32 wrong[] = { SIZE / 2 - IVRING_HEADER + 1, SIZE,
				       0x7fffffff, 0xffffffc0, 0xffffffff };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(reserve(pair, wrong[i]), -EMSGSIZE);
	assert_int_equal(pair->p.fault, IVRING_OK);
	assert_int_equal(pair->p.next, 0);
	assert_int_equal(reserve(pair, SIZE / 2 - IVRING_HEADER), 0);
}

static void a_record_that_would_cross_the_end_begins_at_the_start(void **state)
{
	struct pair *pair = *state;
	const struct ivring_record *pad;
	void *payload = NULL;

	begin_at(pair, SIZE - 128);
	assert_int_equal(ivring_reserve(&pair->p, FILLS(2) + 1, &payload), 0);
	assert_ptr_equal(payload, pair->data + IVRING_HEADER);
	memset(payload, 3, FILLS(2) + 1);
	ivring_commit(&pair->p, FILLS(2) + 1, 3);
	pad = (void *)(pair->data + SIZE - 128);
	assert_int_equal(ivshmem_load32(&pad->kind), IVRING_KIND_PAD);
	assert_int_equal(ivshmem_load32(&pad->length), FILLS(2));
	ivring_publish(&pair->p);
	get(pair, FILLS(2) + 1, 3);
	ivring_release(&pair->c);
	assert_int_equal(pair->c.cons, SIZE + 192);

	/* An exact fit needs no padding */
	begin_at(pair, SIZE - 128);
	assert_int_equal(ivring_reserve(&pair->p, FILLS(2), &payload), 0);
	assert_ptr_equal(payload, pair->data + SIZE - FILLS(2));
}

static void padding_is_part_of_the_space_that_is_needed(void **state)
{
	struct pair *pair = *state;

	put(pair, FILLS(32), 1);
	put(pair, FILLS(16), 2);
	ivring_publish(&pair->p);
	get(pair, FILLS(32), 1);
	ivring_release(&pair->c);
	/* 1024 to the end, 2048 at the start: 17 lines fit after padding */
	assert_int_equal(reserve(pair, FILLS(32) + 1), -EMSGSIZE);
	put(pair, FILLS(16) + 1, 3);
	assert_int_equal(pair->p.next, SIZE + 1088);
	/* 960 are left, and no more */
	assert_int_equal(reserve(pair, FILLS(15) + 1), -EAGAIN);
	put(pair, FILLS(15), 4);
	ivring_publish(&pair->p);
	get(pair, FILLS(16), 2);
	get(pair, FILLS(16) + 1, 3);
	get(pair, FILLS(15), 4);
}

static void padding_alone_is_not_a_record(void **state)
{
	struct pair *pair = *state;

	begin_at(pair, SIZE - 64);
	assert_int_equal(reserve(pair, 100), 0);
	ivring_publish(&pair->p);
	assert_int_equal(peek(pair), -EAGAIN);
	/* There is no record to pass */
	ivring_advance(&pair->c);
	assert_int_equal(pair->c.next, SIZE);
	assert_false(ivring_want_data(&pair->c));
	put(pair, 100, 5);
	assert_true(ivring_publish(&pair->p));
	get(pair, 100, 5);
}

static void a_second_reserve_replaces_the_first(void **state)
{
	struct pair *pair = *state;
	void *first = NULL, *second = NULL;

	assert_int_equal(ivring_reserve(&pair->p, 500, &first), 0);
	assert_int_equal(ivring_reserve(&pair->p, 600, &second), 0);
	assert_ptr_equal(first, second);
	memset(second, 6, 600);
	ivring_commit(&pair->p, 600, 6);
	ivring_publish(&pair->p);
	get(pair, 600, 6);
	assert_int_equal(peek(pair), -EAGAIN);
}

static void committing_less_gives_the_rest_back(void **state)
{
	struct pair *pair = *state;
	void *payload = NULL;

	assert_int_equal(ivring_reserve(&pair->p, 2000, &payload), 0);
	memset(payload, 8, FILLS(1));
	ivring_commit(&pair->p, FILLS(1), 8);
	assert_int_equal(pair->p.next, 64);
	ivring_publish(&pair->p);
	get(pair, FILLS(1), 8);
	assert_int_equal(pair->c.next, 64);
}

static void nothing_is_seen_before_it_is_published(void **state)
{
	struct pair *pair = *state;

	for (__u8 i = 0; i < 10; i++) {
		put(pair, i * 10, i);
		assert_int_equal(peek(pair), -EAGAIN);
	}
	ivring_publish(&pair->p);
	for (__u8 i = 0; i < 10; i++)
		get(pair, i * 10, i);
	assert_int_equal(peek(pair), -EAGAIN);
}

static void peeking_consumes_nothing(void **state)
{
	struct pair *pair = *state;

	put(pair, 10, 1);
	put(pair, 20, 2);
	ivring_publish(&pair->p);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(peek(pair), 0);
	assert_false(ivring_release(&pair->c));
	assert_int_equal(ivshmem_load32(&pair->rx->cons), 0);
	get(pair, 10, 1);
	/* Without another peek there is nothing to pass */
	ivring_advance(&pair->c);
	get(pair, 20, 2);
}

static void passed_records_stay_until_released(void **state)
{
	struct pair *pair = *state;
	const void *payloads[8] = { NULL };
	__u32 length, kind;

	for (__u8 i = 0; i < 8; i++)
		put(pair, FILLS(8), i);
	ivring_publish(&pair->p);
	for (__u8 i = 0; i < 8; i++) {
		assert_int_equal(ivring_peek(&pair->c, &payloads[i], &length,
					     &kind), 0);
		ivring_advance(&pair->c);
	}
	assert_int_equal(reserve(pair, 0), -EAGAIN);
	for (__u8 i = 0; i < 8; i++)
		assert_int_equal(((const __u8 *)payloads[i])[FILLS(8) - 1], i);
	assert_int_equal(ivshmem_load32(&pair->rx->cons), pair->c.cons);
	ivring_release(&pair->c);
	assert_int_equal(reserve(pair, 0), 0);
}

static void a_waiting_consumer_is_kicked_once(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		unsigned int kicks = 0;

		assert_false(ivring_want_data(&pair->c));
		for (unsigned int i = 0; i < 20; i++) {
			put(pair, 100, i);
			kicks += ivring_publish(&pair->p);
		}
		assert_int_equal(kicks, 1);
		for (unsigned int i = 0; i < 20; i++)
			get(pair, 100, i);
		ivring_release(&pair->c);
		/* It did not ask again */
		put(pair, 100, 1);
		assert_false(ivring_publish(&pair->p));
		/* Asking says that there is no need to wait */
		assert_true(ivring_want_data(&pair->c));
		get(pair, 100, 1);
		assert_false(ivring_want_data(&pair->c));
		put(pair, 100, 1);
		assert_true(ivring_publish(&pair->p));
	}
}

static void a_waiting_producer_is_kicked_when_it_fits(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		unsigned int i, kicks = 0;

		for (i = 0; i < SIZE / IVRING_ALIGN; i++)
			put(pair, FILLS(1), i);
		ivring_publish(&pair->p);
		/* Takes 10 of the small ones, and padding where need be */
		assert_int_equal(reserve(pair, FILLS(10)), -EAGAIN);
		assert_false(ivring_want_space(&pair->p, FILLS(10)));
		for (i = 0; i < SIZE / IVRING_ALIGN; i++) {
			bool fits, kick;

			get(pair, FILLS(1), i);
			kick = ivring_release(&pair->c);
			fits = !reserve(pair, FILLS(10));
			assert_int_equal(kick, fits);
			kicks += kick;
			if (fits)
				break;
		}
		assert_int_equal(kicks, 1);
		for (i++; i < SIZE / IVRING_ALIGN; i++) {
			get(pair, FILLS(1), i);
			assert_false(ivring_release(&pair->c));
		}
		assert_true(ivring_want_space(&pair->p, FILLS(10)));
	}
}

static void a_producer_is_kicked_when_little_is_left(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		unsigned int i, kicks = 0;

		for (i = 0; i < 10; i++)
			put(pair, FILLS(1), i);
		ivring_publish(&pair->p);
		assert_true(ivring_want_consumed(&pair->p, 10 * IVRING_ALIGN));
		assert_false(ivring_want_consumed(&pair->p, 3 * IVRING_ALIGN));
		for (i = 0; i < 10; i++) {
			bool kick;

			get(pair, FILLS(1), i);
			kick = ivring_release(&pair->c);
			assert_int_equal(kick, i == 6);
			kicks += kick;
		}
		assert_int_equal(kicks, 1);
		assert_true(ivring_want_consumed(&pair->p, 0));
	}
}

static void a_batch_that_passes_the_event_kicks(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		for (unsigned int i = 0; i < SIZE / IVRING_ALIGN; i++)
			put(pair, FILLS(1), i);
		ivring_publish(&pair->p);
		assert_false(ivring_want_space(&pair->p, FILLS(1)));
		for (unsigned int i = 0; i < 32; i++)
			get(pair, FILLS(1), i);
		assert_true(ivring_release(&pair->c));
	}
}

static void setting_up_shows_an_empty_ring(void **state)
{
	struct pair *pair = *state;

	put(pair, 100, 1);
	ivring_publish(&pair->p);
	get(pair, 100, 1);
	ivring_release(&pair->c);
	ivring_producer_init(&pair->p, pair->data, SIZE, pair->tx, pair->rx);
	ivring_consumer_init(&pair->c, pair->data, SIZE, pair->rx, pair->tx);
	assert_int_equal(ivshmem_load32(&pair->tx->prod), 0);
	assert_int_equal(ivshmem_load32(&pair->rx->cons), 0);
	assert_int_equal(peek(pair), -EAGAIN);
	/* The first record of all is announced to whoever sleeps already */
	put(pair, 100, 1);
	assert_true(ivring_publish(&pair->p));
	get(pair, 100, 1);
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, set_up_pair, tear_down_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_ring_has_nothing),
		TEST(records_come_out_as_they_went_in),
		TEST(payload_follows_its_header_in_place),
		TEST(a_full_ring_takes_no_more_until_released),
		TEST(two_longest_records_fit_exactly),
		TEST(the_longest_record_fits_an_empty_ring_anywhere),
		TEST(longer_than_the_longest_is_refused),
		TEST(a_record_that_would_cross_the_end_begins_at_the_start),
		TEST(padding_is_part_of_the_space_that_is_needed),
		TEST(padding_alone_is_not_a_record),
		TEST(a_second_reserve_replaces_the_first),
		TEST(committing_less_gives_the_rest_back),
		TEST(nothing_is_seen_before_it_is_published),
		TEST(peeking_consumes_nothing),
		TEST(passed_records_stay_until_released),
		TEST(a_waiting_consumer_is_kicked_once),
		TEST(a_waiting_producer_is_kicked_when_it_fits),
		TEST(a_producer_is_kicked_when_little_is_left),
		TEST(a_batch_that_passes_the_event_kicks),
		TEST(setting_up_shows_an_empty_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
