/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touching memory that a client can take away.
 */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static sigjmp_buf way_out;
static volatile sig_atomic_t guarded;

/*
 * SIGBUS comes from the access itself, between two instructions of @touch:
 * nothing is held that a jump could leave behind.  Any other SIGBUS is a fault
 * of the server's, and the access that is repeated ends it.
 */
static void bus_error(int number)
{
	if (guarded)
		siglongjmp(way_out, 1);
	signal(number, SIG_DFL);
}

static void guard_install(void)
{
	struct sigaction action = {
		.sa_handler = bus_error,
		/* The jump leaves the mask as it is. */
		.sa_flags = SA_NODEFER,
	};
	static bool installed;

	if (!installed)
		installed = !sigaction(SIGBUS, &action, NULL);
}

bool guard_run(void (*touch)(void *argument), void *argument)
{
	guard_install();
	if (sigsetjmp(way_out, 0)) {
		guarded = 0;
		return false;
	}
	guarded = 1;
	touch(argument);
	guarded = 0;
	return true;
}
