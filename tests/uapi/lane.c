/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A lane: the place in the shared memory where two programs, in one VM or two,
 * meet and number what they say to each other.
 */
#include "lane.h"

#include <poll.h>
#include <time.h>

#define LANES 64
#define MEETING_MS 60000

_Static_assert(sizeof(struct side) == 64, "a side has a cache line of its own");

void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/* Waits until *@word is @value, looking every millisecond. */
static void await_word(volatile uint32_t *word, uint32_t value,
		       const char *what)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int i;

	for (i = 0; i < MEETING_MS; i++) {
		if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
			return;
		nanosleep(&pause, NULL);
	}
	give_up("the other side did not %s within %d s", what,
		MEETING_MS / 1000);
}

void lane_meet(struct lane *lane, unsigned int number, unsigned int side,
	       uint32_t vector, uint32_t session)
{
	uint64_t set[IVSHMEM_MAX_VECTORS / 64] = { 0 };
	struct side *sides;

	if (number >= LANES || side > 1 || vector >= device_facts.vectors ||
	    !session)
		give_up("lane %u, side %u, vector %u: out of range", number,
			side, vector);
	lane->fd = open(device_path, O_RDWR | O_CLOEXEC);
	if (lane->fd < 0)
		give_up("%s: %m", device_path);
	set[vector / 64] = 1ULL << vector % 64;
	if (device_subscribe(lane->fd, set))
		give_up("subscribe: %m");
	sides = mmap(NULL, 2 * LANES * sizeof(*sides), PROT_READ | PROT_WRITE,
		     MAP_SHARED, lane->fd, 0);
	if (sides == MAP_FAILED)
		give_up("mmap: %m");

	lane->vector = vector;
	lane->counted = 0;
	lane->own = &sides[2 * number + side];
	lane->other = &sides[2 * number + !side];
	lane->own->peer = device_facts.peer_id;
	lane->own->sequence = 0;
	lane->own->finished = 0;
	__atomic_store_n(&lane->own->session, session, __ATOMIC_RELEASE);
	await_word(&lane->other->session, session, "come");
}

void lane_say(struct lane *lane, uint32_t sequence)
{
	lane->own->sequence = sequence;
	if (device_ring(lane->fd, lane->other->peer, lane->vector))
		give_up("doorbell %u: %m", sequence);
}

uint32_t lane_heard(const struct lane *lane)
{
	return lane->other->sequence;
}

uint64_t lane_wait(struct lane *lane)
{
	struct pollfd p = { .fd = lane->fd, .events = POLLIN };
	struct ivshmem_event_record record;
	uint32_t before = lane_heard(lane);
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		give_up("no doorbell within %d ms after %llu of them; "
			"message %u was there before, %u is there now%s",
			WAIT_MS, (unsigned long long)lane->counted, before,
			lane_heard(lane), before == lane_heard(lane) ?
			"" : ": lost wake-up");
	if (p.revents != POLLIN)
		give_up("poll reported %#x", p.revents);
	n = read(lane->fd, &record, sizeof(record));
	if (n != (ssize_t)sizeof(record))
		give_up("read: %zd (%m)", n);
	if (record.vector != lane->vector || !record.count)
		give_up("vector %u counted %llu", record.vector,
			(unsigned long long)record.count);
	lane->counted += record.count;
	return record.count;
}

void lane_part(struct lane *lane)
{
	__atomic_store_n(&lane->own->finished, 1, __ATOMIC_RELEASE);
	await_word(&lane->other->finished, 1, "end");
	close(lane->fd);
}
