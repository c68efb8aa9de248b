// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses that may fault: to mappings that are revoked, or that other threads take away.
 */
#include "fuzz.h"

#include <signal.h>
#include <string.h>

_Thread_local sigjmp_buf guard_return;
_Thread_local volatile sig_atomic_t guarded;

static void on_fault(int number)
{
	if (guarded)
		siglongjmp(guard_return, 1);
	/* The access is made again, and kills */
	signal(number, SIG_DFL);
}

static void on_timer(int number)
{
	(void)number;
}

/* SIGUSR1 comes to interrupt what waits */
void guard_install(void)
{
	struct sigaction fault = { .sa_handler = on_fault };
	struct sigaction timer = { .sa_handler = on_timer };

	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &timer, NULL);
	/* Of O_ASYNC, and of pipes that nobody reads */
	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* False if one of them is not there */
bool guarded_copy(void *to, const void *from, size_t size)
{
	bool done = false;

	if (GUARDED) {
		memcpy(to, from, size);
		done = true;
	}
	guarded = 0;
	return done;
}
