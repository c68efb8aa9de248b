/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ringing the doorbells of clients.  Whoever holds an eventfd can fill it up and
 * clear its O_NONBLOCK, which is everybody's: then a write sleeps, and unlike a
 * read it cannot be told not to (RWF_NOWAIT).
 */
#include "doorbell.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/time.h>

/* How long a write may sleep that a client has managed to get in the way of */
#define PATIENCE_US	10000

static void wake_up(int number)
{
	(void)number;
}

/* Not restarted by the system: a write that sleeps returns with EINTR. */
static void install_alarm(void)
{
	struct sigaction action = { .sa_handler = wake_up };
	static bool installed;

	if (!installed)
		installed = !sigaction(SIGALRM, &action, NULL);
}

/* Repeated, for the first one may come just before the write. */
static void set_alarm(long microseconds)
{
	struct itimerval timer = {
		.it_interval = { .tv_usec = microseconds },
		.it_value = { .tv_usec = microseconds },
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Returns false if a client has got in the way. */
static bool ring(int eventfd)
{
	struct pollfd room = { .fd = eventfd, .events = POLLOUT };

	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return true;
	return !eventfd_write(eventfd, 1) || errno != EINTR;
}

void doorbell_ring_all(const int *eventfds, size_t count)
{
	install_alarm();
	set_alarm(PATIENCE_US);
	/* A doorbell is a hint: those who miss it look all the same, soon. */
	for (size_t i = 0; i < count; i++) {
		if (!ring(eventfds[i]))
			break;
	}
	set_alarm(0);
}
