/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a loop looks before it sleeps, and when it stops listening to doorbells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spin.h"

static void rounds(struct hearing *hearing, unsigned int n, bool useful,
		   uint32_t now)
{
	while (n--) {
		hearing->rung = true;
		hearing_count(hearing, useful, now);
	}
}

static void test_doorbells_in_vain_rest(void **state)
{
	struct hearing hearing = { .window_at = 1000 };

	(void)state;
	rounds(&hearing, 200, false, 1000);
	assert_false(hearing.resting);
	rounds(&hearing, 1, false, 1000);
	assert_true(hearing.resting);
	/* Until the window ends. */
	rounds(&hearing, 1, false, 1099);
	assert_true(hearing.resting);
	rounds(&hearing, 1, false, 1100);
	assert_false(hearing.resting);
}

static void test_those_that_are_of_use_do_not(void **state)
{
	struct hearing hearing = { .window_at = 1000 };

	(void)state;
	rounds(&hearing, 1000, true, 1000);
	rounds(&hearing, 1000, false, 1050);
	assert_false(hearing.resting);
}

static void test_rounds_without_a_doorbell_are_not_in_vain(void **state)
{
	struct hearing hearing = { .window_at = 1000 };
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		hearing_count(&hearing, false, 1000);
	assert_false(hearing.resting);
}

static void test_who_must_not_look_sleeps_at_once(void **state)
{
	struct spin spin;

	(void)state;
	spin_init(&spin, 0);
	assert_false(spin_again(&spin, false));
	assert_true(spin_again(&spin, true));
}

static void test_looking_in_vain_gets_shorter(void **state)
{
	struct spin spin;
	uint64_t before;

	(void)state;
	spin_init(&spin, 16);
	before = spin.spin_ns;
	while (spin_again(&spin, false))
		;
	/* Woken, and there is nothing again */
	while (spin_again(&spin, false))
		;
	assert_int_equal(spin.spin_ns, before / 2);
}

static void test_looking_that_paid_gets_longer(void **state)
{
	struct spin spin;

	(void)state;
	/* Far longer than this test takes */
	spin_init(&spin, 60000000);
	spin.spin_ns /= 8;
	assert_true(spin_again(&spin, false));
	assert_true(spin_again(&spin, true));
	assert_int_equal(spin.spin_ns, spin.most_ns / 4);
}

static void test_looking_that_would_have_paid_gets_longer(void **state)
{
	struct spin spin;

	(void)state;
	spin_init(&spin, 60000000);
	spin.spin_ns = 1;
	while (spin_again(&spin, false))
		;
	/* It came after a short sleep. */
	assert_true(spin_again(&spin, true));
	assert_int_equal(spin.spin_ns, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doorbells_in_vain_rest),
		cmocka_unit_test(test_those_that_are_of_use_do_not),
		cmocka_unit_test(test_rounds_without_a_doorbell_are_not_in_vain),
		cmocka_unit_test(test_who_must_not_look_sleeps_at_once),
		cmocka_unit_test(test_looking_in_vain_gets_shorter),
		cmocka_unit_test(test_looking_that_paid_gets_longer),
		cmocka_unit_test(test_looking_that_would_have_paid_gets_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
