/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doorbells that a client fills up, and makes block, at the worst moment: after
 * the server has seen that there is room, which poll() is linked to let happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "doorbell.h"
#include "wrap_poll.h"

#define DOORBELLS	3
#define FULL		(UINT64_MAX - 1)

static int doorbells[DOORBELLS];
/* The one that is filled up next, or -1 */
static int victim;
static int fillings;

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int result = __real_poll(fds, count, timeout);

	if (fds->fd == victim && !eventfd_write(victim, FULL))
		fillings++;
	return result;
}

static eventfd_t heard(int doorbell)
{
	struct pollfd room = { .fd = doorbell, .events = POLLIN };
	eventfd_t count = 0;

	if (__real_poll(&room, 1, 0) == 1)
		assert_int_equal(eventfd_read(doorbell, &count), 0);
	return count;
}

static int set_up(void **state)
{
	(void)state;
	victim = -1;
	fillings = 0;
	for (int i = 0; i < DOORBELLS; i++) {
		doorbells[i] = eventfd(0, EFD_CLOEXEC);
		if (doorbells[i] < 0)
			return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < DOORBELLS; i++)
		close(doorbells[i]);
	return 0;
}

static void test_ring_all(void **state)
{
	(void)state;
	doorbell_ring_all(doorbells, DOORBELLS);
	for (int i = 0; i < DOORBELLS; i++)
		assert_int_equal(heard(doorbells[i]), 1);
}

/* It will be heard anyhow; the others are not kept from theirs. */
static void test_full(void **state)
{
	(void)state;
	assert_int_equal(eventfd_write(doorbells[0], FULL), 0);
	doorbell_ring_all(doorbells, DOORBELLS);
	assert_true(heard(doorbells[0]) == FULL);
	assert_int_equal(heard(doorbells[1]), 1);
	assert_int_equal(heard(doorbells[2]), 1);
}

/* Without an alarm this would sleep for ever. */
static void test_filled_meanwhile(void **state)
{
	(void)state;
	victim = doorbells[1];
	doorbell_ring_all(doorbells, DOORBELLS);
	/* Built in a way that keeps poll() from being replaced? */
	if (!fillings)
		skip();
	assert_int_equal(fillings, 1);
	assert_int_equal(heard(doorbells[0]), 1);
	assert_true(heard(doorbells[1]) == FULL);
	/* As before, the next time. */
	victim = -1;
	doorbell_ring_all(doorbells, DOORBELLS);
	for (int i = 0; i < DOORBELLS; i++)
		assert_int_equal(heard(doorbells[i]), 1);
}

/* No alarm is left that would interrupt something else. */
static void test_no_alarm_is_left(void **state)
{
	(void)state;
	doorbell_ring_all(doorbells, DOORBELLS);
	assert_int_equal(alarm(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ring_all, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_filled_meanwhile, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_no_alarm_is_left, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
