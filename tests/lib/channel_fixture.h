/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A link of a real ivshmemd whose region has sections for channels, and peers
 * on it.  Doorbells can be lost on purpose.
 */
#ifndef CHANNEL_FIXTURE_H
#define CHANNEL_FIXTURE_H

/* What cmocka.h wants to find declared before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

#include <libivshmem.h>

/* Nothing but a hang takes as long as that. */
#define LONG_MS		60000
#define SECTION		"lab"

/**
 * struct link - a server, and the two peers of a channel
 * @server:  its process
 * @address: for ivshmem_open()
 * @ivs:     the peers
 * @slots:   theirs
 * @ch:      the ends of their channel
 */
struct link {
	pid_t server;
	char directory[64];
	char address[128];
	struct ivshmem *ivs[2];
	uint32_t slots[2];
	struct ivshmem_channel *ch[2];
};

/** start_link() - a server with a formatted region and two peers on it */
void start_link(struct link *link, unsigned int vectors,
		const char *description);
void stop_link(struct link *link);

/** join_link() - another peer; its slot */
struct ivshmem *join_link(const struct link *link, uint32_t *slot);

/** open_ends() - both ends of the channel, connected */
void open_ends(struct link *link);
void close_ends(struct link *link);
/** connect_both() - until both are up */
void connect_both(struct ivshmem_channel *a, struct ivshmem_channel *b);

/** doorbells_lost - none arrives while this is set; atomic */
extern bool doorbells_lost;

/** fill() and check_filled() - bytes that tell which message they are of */
void fill(void *data, size_t length, uint32_t seed);
void check_filled(const void *data, size_t length, uint32_t seed);

/** set_up_link(), tear_down_link() - for cmocka: 4 vectors, ends connected */
int set_up_link(void **state);
int tear_down_link(void **state);

#endif /* CHANNEL_FIXTURE_H */
