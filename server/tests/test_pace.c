/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pace of users: a burst, then an even pace, each user for himself, and no
 * way around it by being many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

#define NOW	5000

static const struct pace_limit limit = { .per_second = 10, .burst = 3 };

static void test_burst_and_pace(void **state)
{
	struct pace pace = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(pace_take(&pace, &limit, 7, NOW) == NOW);
	/* Then one each tenth of a second. */
	assert_true(pace_take(&pace, &limit, 7, NOW) == NOW + 100);
	assert_true(pace_take(&pace, &limit, 7, NOW + 99) == NOW + 100);
	assert_true(pace_take(&pace, &limit, 7, NOW + 100) == NOW + 100);
	assert_true(pace_take(&pace, &limit, 7, NOW + 100) == NOW + 200);
	assert_true(pace_take(&pace, &limit, 7, NOW + 350) == NOW + 350);
	assert_true(pace_take(&pace, &limit, 7, NOW + 350) == NOW + 350);
	assert_true(pace_take(&pace, &limit, 7, NOW + 350) == NOW + 400);
}

/* Who asks in vain takes nothing, whatever the number. */
static void test_asking_costs_nothing(void **state)
{
	struct pace pace = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		pace_take(&pace, &limit, 7, NOW);
	assert_true(pace_take(&pace, &limit, 7, NOW + 100) == NOW + 100);
}

/* A long rest gives the same burst again, and no larger one. */
static void test_rest(void **state)
{
	struct pace pace = { 0 };
	unsigned int served = 0;

	(void)state;
	for (uint64_t now = NOW; now < 100 * NOW; now += 40 * NOW) {
		served = 0;
		while (pace_take(&pace, &limit, 7, now) == now)
			served++;
		assert_int_equal(served, 3);
	}
}

static void test_users_have_a_pace_of_their_own(void **state)
{
	struct pace pace = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		pace_take(&pace, &limit, 7, NOW);
	assert_true(pace_take(&pace, &limit, 8, NOW) == NOW);
	assert_true(pace_take(&pace, &limit, 0, NOW) == NOW);
	assert_true(pace_take(&pace, &limit, 7, NOW) > NOW);
}

static unsigned int served_of(struct pace *pace, uint32_t users, uint64_t now)
{
	unsigned int served = 0;

	for (uint32_t uid = 0; uid < users; uid++) {
		for (int i = 0; i < 10; i++)
			served += pace_take(pace, &limit, uid, now) == now;
	}
	return served;
}

/* Ten thousand users get no more than those who can be told apart. */
static void test_many_users(void **state)
{
	struct pace pace = { 0 };

	(void)state;
	assert_int_equal(served_of(&pace, 10000, NOW), 3 * PACE_USERS);
	assert_int_equal(served_of(&pace, 10000, NOW), 0);
	/* A tenth of a second is one turn for each of them. */
	assert_int_equal(served_of(&pace, 10000, NOW + 100), PACE_USERS);
	/* Who comes after the storm finds room. */
	assert_true(pace_take(&pace, &limit, 70000, NOW + 2000) == NOW + 2000);
}

static void test_fast_pace(void **state)
{
	static const struct pace_limit fast = { .per_second = 100000,
						.burst = 100000 };
	struct pace pace = { 0 };
	unsigned int served = 0;

	(void)state;
	while (pace_take(&pace, &fast, 7, NOW) == NOW)
		served++;
	assert_int_equal(served, 100000);
	served = 0;
	while (pace_take(&pace, &fast, 7, NOW + 1) == NOW + 1)
		served++;
	assert_int_equal(served, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_pace),
		cmocka_unit_test(test_asking_costs_nothing),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_users_have_a_pace_of_their_own),
		cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_fast_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
