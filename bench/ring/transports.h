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
	/* The bare flags of the two sides, a line for each */
	__le32 flags[2][16];
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
	__u32 count;
};

/*
 * open() runs before the processes part; send() and receive() copy a whole
 * message, and wait until they can; flush() shows all that was sent.
 */
struct transport {
	const char *name;
	void (*open)(struct lane *lane);
	void (*send)(struct lane *lane, const void *from);
	void (*receive)(struct lane *lane, void *to);
	void (*flush)(struct lane *lane);
};

const struct transport *transport_named(const char *name);

/* Between two looks at memory that another core writes */
void relax(unsigned int *spins);

#endif /* BENCH_RING_TRANSPORTS_H */
