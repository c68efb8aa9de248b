// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every shared word with values that cannot be: the ring says what is wrong,
 * stays broken until it is set up anew, and stays within its data.
 */
#include "pair.h"

static const __u32 starts[] = { 0, 1024, SIZE - 64, 0xffffffc0, 0xfffff400 };

#define FOR_EACH_START(pair, s)						\
	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]) &&	\
	     (begin_at(pair, starts[s]), 1); s++)

static struct ivring_record *record_at(struct pair *pair, __u32 index)
{
	return (void *)(pair->data + (index & (SIZE - 1)));
}

static void forge(struct pair *pair, __u32 index, __u32 length, __u32 kind)
{
	ivshmem_store32(&record_at(pair, index)->length, length);
	ivshmem_store32(&record_at(pair, index)->kind, kind);
}

/* The consumer finds @fault, and goes on to find it whatever comes */
static void assert_broken(struct pair *pair, enum ivring_fault fault)
{
	assert_int_equal(peek(pair), -EPROTO);
	assert_int_equal(pair->c.fault, fault);
	ivshmem_store32(&pair->tx->prod, pair->c.next);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(peek(pair), -EPROTO);
	assert_int_equal(pair->c.fault, fault);
	assert_true(ivring_want_data(&pair->c));
	ivring_advance(&pair->c);
	ivring_release(&pair->c);
	assert_int_equal(pair->c.fault, fault);
	assert_true(pair->c.next - pair->c.cons <= SIZE);
}

static void assert_producer_broken(struct pair *pair)
{
	assert_int_equal(pair->p.fault, IVRING_BAD_CONS);
	ivshmem_store32(&pair->rx->cons, pair->p.prod);
	assert_int_equal(reserve(pair, 0), -EPROTO);
	assert_true(ivring_want_space(&pair->p, 0));
	ivring_publish(&pair->p);
	assert_int_equal(reserve(pair, 0), -EPROTO);
	assert_int_equal(pair->p.fault, IVRING_BAD_CONS);
}

static void impossible_producer_indices_break_the_ring(void **state)
{
	struct pair *pair = *state;
	static const __u32 jumps[] = {
		SIZE + 64, 2 * SIZE, 0x40000000, 0x7fffffc0, 0x80000000,
		0xffffff00, 0xffffffc0, 0xffffffff, 1, 4, 32, 63, 65, SIZE - 1,
		SIZE + 1,
	};

	for (size_t j = 0; j < sizeof(jumps) / sizeof(jumps[0]); j++) {
		FOR_EACH_START(pair, s) {
			ivshmem_store32(&pair->tx->prod, starts[s] + jumps[j]);
			assert_broken(pair, IVRING_BAD_PROD);
			begin_at(pair, starts[s]);
			ivshmem_store32(&pair->tx->prod, starts[s] + jumps[j]);
			assert_true(ivring_want_data(&pair->c));
			assert_broken(pair, IVRING_BAD_PROD);
		}
	}
}

static void a_producer_index_beyond_what_is_released_breaks(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		put(pair, FILLS(8), 1);
		ivring_publish(&pair->p);
		get(pair, FILLS(8), 1);
		/* Passed, yet not released: a full ring ends here */
		ivshmem_store32(&pair->tx->prod, starts[s] + SIZE + 64);
		assert_broken(pair, IVRING_BAD_PROD);
	}
}

static void a_producer_index_that_goes_back_breaks(void **state)
{
	struct pair *pair = *state;

	FOR_EACH_START(pair, s) {
		put(pair, FILLS(1), 1);
		put(pair, FILLS(1), 2);
		ivring_publish(&pair->p);
		assert_int_equal(peek(pair), 0);
		ivshmem_store32(&pair->tx->prod, starts[s] + 64);
		assert_true(ivring_want_data(&pair->c));
		assert_int_equal(pair->c.fault, IVRING_BAD_PROD);
		assert_broken(pair, IVRING_BAD_PROD);
	}
}

static void impossible_consumer_indices_break_the_ring(void **state)
{
	struct pair *pair = *state;
	/* Of 4096 published; more, back, or not a multiple */
	static const __u32 jumps[] = {
		SIZE + 64, 2 * SIZE, 0x40000000, 0x80000000, 0xffffff00,
		0xffffffc0, 0xffffffff, 1, 4, 32, 63, 65, SIZE - 1, SIZE + 1,
	};

	for (size_t j = 0; j < sizeof(jumps) / sizeof(jumps[0]); j++) {
		FOR_EACH_START(pair, s) {
			for (unsigned int i = 0; i < SIZE / 64; i++)
				put(pair, FILLS(1), 1);
			ivring_publish(&pair->p);
			ivshmem_store32(&pair->rx->cons, starts[s] + jumps[j]);
			if (j % 2)
				assert_int_equal(reserve(pair, FILLS(1)), -EPROTO);
			else
				assert_true(ivring_want_space(&pair->p, FILLS(1)));
			assert_producer_broken(pair);
		}
	}
}

static void unpublished_records_cannot_be_consumed(void **state)
{
	struct pair *pair = *state;

	for (unsigned int i = 0; i < SIZE / 64; i++)
		put(pair, FILLS(1), 1);
	ivshmem_store32(&pair->rx->cons, 64);
	assert_int_equal(reserve(pair, FILLS(1)), -EPROTO);
	assert_producer_broken(pair);
}

static void impossible_lengths_break_the_ring(void **state)
{
	struct pair *pair = *state;
	static const __u32 lengths[] = {
		0xffffffff, 0U - IVRING_HEADER, 0U - IVRING_HEADER - 1,
		0xffffffc0, 0xffffffc0 - IVRING_HEADER, 0x80000000, 0x7fffffff,
		SIZE, SIZE - IVRING_HEADER, SIZE / 2,
		SIZE / 2 - IVRING_HEADER + 1, FILLS(1) + 1, 64,
	};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		FOR_EACH_START(pair, s) {
			put(pair, FILLS(1), 1);
			ivring_publish(&pair->p);
			forge(pair, starts[s], lengths[i], 1);
			assert_broken(pair, IVRING_BAD_LENGTH);
			assert_int_equal(pair->c.next, starts[s]);
		}
	}
}

static void a_record_across_the_end_breaks_the_ring(void **state)
{
	struct pair *pair = *state;

	begin_at(pair, SIZE - 128);
	put(pair, FILLS(2), 1);
	put(pair, FILLS(2), 2);
	ivring_publish(&pair->p);
	/* All published, short enough, and yet not contiguous */
	forge(pair, SIZE - 128, FILLS(2) + 1, 1);
	assert_broken(pair, IVRING_BAD_LENGTH);
}

static void impossible_padding_breaks_the_ring(void **state)
{
	struct pair *pair = *state;
	static const __u32 lengths[] = {
		0, FILLS(1), FILLS(1) + 1, FILLS(2) - 1, FILLS(2) + 1, 128,
		SIZE - IVRING_HEADER, 0U - IVRING_HEADER, 0xffffffff,
	};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin_at(pair, SIZE - 128);
		put(pair, FILLS(2), 1);
		put(pair, FILLS(2), 2);
		ivring_publish(&pair->p);
		forge(pair, SIZE - 128, lengths[i], IVRING_KIND_PAD);
		assert_broken(pair, IVRING_BAD_PAD);
	}

	/* Of the right length, but not published as a whole */
	begin_at(pair, SIZE - 128);
	put(pair, FILLS(1), 1);
	ivring_publish(&pair->p);
	forge(pair, SIZE - 128, FILLS(2), IVRING_KIND_PAD);
	assert_broken(pair, IVRING_BAD_PAD);
}

static void padding_at_the_start_breaks_the_ring(void **state)
{
	struct pair *pair = *state;

	for (unsigned int i = 0; i < SIZE / 64; i++)
		put(pair, FILLS(1), 1);
	ivring_publish(&pair->p);
	forge(pair, 0, SIZE - IVRING_HEADER, IVRING_KIND_PAD);
	assert_broken(pair, IVRING_BAD_PAD);

	/* Also behind padding that is right: a second one never follows */
	begin_at(pair, SIZE - 64);
	for (unsigned int i = 0; i < SIZE / 64; i++)
		put(pair, FILLS(1), 1);
	ivring_publish(&pair->p);
	forge(pair, SIZE - 64, FILLS(1), IVRING_KIND_PAD);
	forge(pair, 0, SIZE - IVRING_HEADER, IVRING_KIND_PAD);
	assert_broken(pair, IVRING_BAD_PAD);
}

static void any_event_index_is_only_a_kick_more_or_less(void **state)
{
	struct pair *pair = *state;
	static const __u32 events[] = { 0, 1, 63, SIZE, 0x7fffffff, 0x80000000,
					0xfffff000, 0xffffffff };

	for (size_t e = 0; e < sizeof(events) / sizeof(events[0]); e++) {
		FOR_EACH_START(pair, s) {
			for (unsigned int i = 0; i < 200; i++) {
				ivshmem_store32(&pair->rx->data_event,
						events[e]);
				ivshmem_store32(&pair->tx->space_event,
						events[e]);
				put(pair, 500, i);
				ivring_publish(&pair->p);
				get(pair, 500, i);
				ivring_release(&pair->c);
			}
		}
	}
}

static void setting_up_anew_mends_the_ring(void **state)
{
	struct pair *pair = *state;

	ivshmem_store32(&pair->tx->prod, 1);
	assert_int_equal(peek(pair), -EPROTO);
	ivring_producer_init(&pair->p, pair->data, SIZE, pair->tx, pair->rx);
	ivring_consumer_init(&pair->c, pair->data, SIZE, pair->rx, pair->tx);
	assert_int_equal(peek(pair), -EAGAIN);
	put(pair, 10, 1);
	ivring_publish(&pair->p);
	get(pair, 10, 1);
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, set_up_pair, tear_down_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(impossible_producer_indices_break_the_ring),
		TEST(a_producer_index_beyond_what_is_released_breaks),
		TEST(a_producer_index_that_goes_back_breaks),
		TEST(impossible_consumer_indices_break_the_ring),
		TEST(unpublished_records_cannot_be_consumed),
		TEST(impossible_lengths_break_the_ring),
		TEST(a_record_across_the_end_breaks_the_ring),
		TEST(impossible_padding_breaks_the_ring),
		TEST(padding_at_the_start_breaks_the_ring),
		TEST(any_event_index_is_only_a_kick_more_or_less),
		TEST(setting_up_anew_mends_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
