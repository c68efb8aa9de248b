/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways to get messages of one size from one process to another.
 */
#ifndef BENCH_RING_TRANSPORTS_H
#define BENCH_RING_TRANSPORTS_H

#include <mqueue.h>
#include <stdbool.h>
#include <stddef.h>

#include <ivshmem/ring.h>

#define AREA_SIZE	(1U << 20)

struct area {
	struct ivring_tx tx;
	struct ivring_rx rx;
	/* The bare counters of the two sides, a line for each */
	__le32 counters[2][16];
	__u8 data[AREA_SIZE];
};

/* One direction */
struct lane {
	const struct transport *transport;
	size_t size;
	int fds[2];
	mqd_t queue;
	struct area *area;
	struct ivring_producer p;
	struct ivring_consumer c;
	/* Of the ways without a ring: messages passed, shown, seen; and place */
	__u32 count;
	__u32 shown;
	__u32 seen;
	size_t place;
};

/* Who moves the messages */
enum movers {
	TWO_CORES,		/* a sender and a receiver */
	TWO_CORES_UNSYNCED,	/* the same, neither knows what the other does */
	ONE_CORE,		/* one process, both in turn */
};

/*
 * open() runs before the processes part; send() and receive() copy a whole
 * message, and wait until they can; flush() shows all that was sent.  ping()
 * sends a message at once and waits for the answer, pong() answers one.
 */
struct transport {
	const char *name;
	enum movers movers;
	void (*open)(struct lane *lane);
	void (*send)(struct lane *lane, const void *from);
	void (*receive)(struct lane *lane, void *to);
	void (*flush)(struct lane *lane);
	void (*ping)(struct lane *to, struct lane *from, void *message);
	void (*pong)(struct lane *to, struct lane *from, void *message);
};

const struct transport *transport_named(const char *name);

/* Between two looks at memory that another core writes */
void relax(unsigned int *spins);

#endif /* BENCH_RING_TRANSPORTS_H */
