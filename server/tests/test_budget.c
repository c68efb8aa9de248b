/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the limit on descriptors is divided: what fits, what is refused, and
 * that clients who never read cannot use it up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "budget.h"
#include "protocol.h"

static struct rlimit original;

static int remember_limit(void **state)
{
	(void)state;
	return getrlimit(RLIMIT_NOFILE, &original);
}

static int restore_limit(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_NOFILE, &original);
}

static void limit_descriptors(rlim_t limit)
{
	struct rlimit lower = { .rlim_cur = limit, .rlim_max = limit };

	lower.rlim_max = original.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
}

static int make(struct budget *budget, unsigned int peers,
		unsigned int vectors, rlim_t limit)
{
	struct link_config link = { .peers = peers, .vectors = vectors };
	struct config config = { .links = &link, .link_count = 1 };
	struct config_error error;
	int result;

	limit_descriptors(limit);
	result = budget_make(&config, budget, &error);
	if (result)
		assert_non_null(strstr(error.text, "raise the limit"));
	return result;
}

static void test_exact_fit(void **state)
{
	struct budget budget;

	(void)state;
	assert_int_equal(make(&budget, 8, 4, 1000), 0);
	assert_int_equal(make(&budget, 8, 4, budget.needed), 0);
	assert_int_equal(make(&budget, 8, 4, budget.needed - 1), -1);
}

/* With room enough nobody has to be waited for: QEMU may read late. */
static void test_whole_handshake_fits(void **state)
{
	struct budget budget;

	(void)state;
	assert_int_equal(make(&budget, 8, 4, 1000), 0);
	assert_int_equal(budget.in_flight, protocol_length(8, 4));
}

static void test_sleepers_leave_room(void **state)
{
	struct budget budget;

	(void)state;
	for (unsigned int peers = 2; peers <= 64; peers++) {
		for (unsigned int vectors = 1; vectors <= 8; vectors++) {
			if (make(&budget, peers, vectors, 800))
				continue;
			assert_true(budget.in_flight >= 4);
			assert_true(budget.in_flight * peers <= 400 ||
				    budget.in_flight == 4);
			assert_true(budget.in_flight * peers <= 800);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_fit),
		cmocka_unit_test(test_whole_handshake_fits),
		cmocka_unit_test(test_sleepers_leave_room),
	};

	return cmocka_run_group_tests(tests, remember_limit, restore_limit);
}
