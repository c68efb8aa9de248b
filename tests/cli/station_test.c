// SPDX-License-Identifier: GPL-2.0-only
/*
 * The forwarding table of `ivshmem tap`: who is behind which peer, for how long, and
 * what a peer that invents stations can do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "station.h"

#define SEED	0x123456789abcdefULL
#define KEY	0x020000000001ULL

static struct stations stations;

static int fresh(void **state)
{
	(void)state;
	stations_init(&stations, SEED);
	return 0;
}

static void nobody_is_known(void **state)
{
	(void)state;
	assert_int_equal(stations_find(&stations, KEY, 0), -1);
	/* No address at all, which empty entries have */
	assert_int_equal(stations_find(&stations, 0, 0), -1);
}

static void it_is_where_it_was_seen_last(void **state)
{
	(void)state;
	stations_learn(&stations, KEY, 3, 0);
	assert_int_equal(stations_find(&stations, KEY, 1), 3);
	stations_learn(&stations, KEY, 63, 2);
	assert_int_equal(stations_find(&stations, KEY, 3), 63);
	stations_forget(&stations, 3);
	assert_int_equal(stations_find(&stations, KEY, 3), 63);
	stations_forget(&stations, 63);
	assert_int_equal(stations_find(&stations, KEY, 3), -1);
}

static void it_is_forgotten_after_five_minutes(void **state)
{
	static const uint32_t begins[] = { 0, 1000, 0xfffffff0 };
	uint32_t begin;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		begin = begins[i];
		stations_learn(&stations, KEY, 1, begin);
		assert_int_equal(stations_find(&stations, KEY, begin + 299999),
				 1);
		assert_int_equal(stations_find(&stations, KEY, begin + 300000),
				 -1);
		stations_learn(&stations, KEY, 1, begin + 299999);
		assert_int_equal(stations_find(&stations, KEY, begin + 599998),
				 1);
	}
}

static void an_address_of_a_hello_is_its_owners(void **state)
{
	(void)state;
	stations_learn(&stations, KEY, 1, 0);
	assert_true(stations_claim(&stations, KEY, 2));
	assert_int_equal(stations_find(&stations, KEY, 0), 2);
	/* Neither frames nor another hello */
	stations_learn(&stations, KEY, 1, 1);
	assert_false(stations_claim(&stations, KEY, 1));
	assert_int_equal(stations_find(&stations, KEY, 1), 2);
	/* It does not grow old, and may be said again. */
	assert_int_equal(stations_find(&stations, KEY, 0x7fffffff), 2);
	assert_true(stations_claim(&stations, KEY, 2));
	/* One that was refused keeps what it had. */
	assert_true(stations_claim(&stations, KEY + 1, 1));
	assert_false(stations_claim(&stations, KEY, 1));
	assert_int_equal(stations_find(&stations, KEY + 1, 1), 1);
	stations_forget(&stations, 2);
	assert_true(stations_claim(&stations, KEY, 1));
}

/* How many of @count stations that a peer was seen with are known. */
static unsigned int known(uint64_t first, unsigned int count, int slot)
{
	unsigned int i, n = 0;

	for (i = 0; i < count; i++)
		n += stations_find(&stations, first + i, 1000) == slot;
	return n;
}

static void who_invents_stations_leaves_room(void **state)
{
	unsigned int i, most = STATION_BUCKETS * STATION_WAYS / 2;

	(void)state;
	for (i = 0; i < 1000000; i++)
		stations_learn(&stations, 0x040000000000 + i, 5, i / 1000);
	/* The newest are known, not more than its share. */
	assert_in_range(known(0x040000000000, 1000000, 5), most / 2, most);
	assert_int_equal(stations_find(&stations, 0x040000000000 + 999999,
				       1000), 5);
	/* Few enough for no bucket to be full find room, all of them. */
	for (i = 0; i < 100; i++)
		stations_learn(&stations, KEY + i, 1, 1000);
	assert_int_equal(known(KEY, 100, 1), 100);
	/* Where all is taken nothing is taken away. */
	for (i = 0; i < 1000000; i++)
		stations_learn(&stations, 0x060000000000 + i, 6, 1000);
	assert_int_equal(known(KEY, 100, 1), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_is_known, fresh),
		cmocka_unit_test_setup(it_is_where_it_was_seen_last, fresh),
		cmocka_unit_test_setup(it_is_forgotten_after_five_minutes,
				       fresh),
		cmocka_unit_test_setup(an_address_of_a_hello_is_its_owners,
				       fresh),
		cmocka_unit_test_setup(who_invents_stations_leaves_room,
				       fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
