/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One connection: its handshake, its end, and the refusal of those who cannot
 * be served.
 */
#ifndef IVSHMEMD_CLIENT_H
#define IVSHMEMD_CLIENT_H

#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "loop.h"
#include "refusal.h"

struct link;
struct stored;

enum client_state {
	CLIENT_WAITING,		/* is not served yet: its user connects too often */
	CLIENT_HANDSHAKE,	/* is being told */
	CLIENT_JOINED,		/* knows everything, only its end is awaited */
	CLIENT_REFUSED,		/* was told so, is expected to hang up */
	CLIENT_CLOSED,		/* is gone, waits to be freed */
};

/**
 * struct client - one connection
 * @watch:    of its socket
 * @link:     the link
 * @next:     the next connection of the link, or the next one to be freed
 * @state:    where it stands
 * @slot:     its slot, if it is in the handshake or has joined
 * @step:     handshake messages that were sent; the next one is computed
 * @deadline: when it is dropped, unless joined
 * @retry:    when to try again to send, or when it is its turn; 0 if neither is
 *            what it waits for
 * @starved:  since when descriptors of others keep it from being told, or 0
 * @since:    when it connected
 * @number:   no other client of the link has it
 * @credentials: who it was when it connected
 */
struct client {
	struct watch watch;
	struct link *link;
	struct client *next;
	enum client_state state;
	unsigned int slot;
	unsigned int step;
	uint64_t deadline;
	uint64_t retry;
	uint64_t starved;
	time_t since;
	unsigned long long number;
	struct ucred credentials;
};

/**
 * client_resume() - take over a client that has joined an earlier server
 * @stored: from store_take_client(); its descriptor becomes the client's
 *
 * Return: 0; -1 if it could not be, and is disconnected.
 */
int client_resume(struct link *link, const struct stored *stored);

/**
 * client_take_turn() - serve or refuse a client, if it is its turn by now
 *
 * To make room, it may close a client that was refused before.
 */
void client_take_turn(struct client *client);

/** client_accept() - take care of a new connection: serve it or refuse it. */
void client_accept(struct link *link, int fd);

/**
 * client_refuse() - refuse a connection for which there is no client
 *
 * The descriptor is closed.
 */
void client_refuse(int fd, enum refusal refusal);

/**
 * client_hang_up() - end a connection in the way that clients survive
 *
 * QEMU spins for ever if the connection closes before it has the memory; it
 * exits if it first gets a message that cannot be at that point.
 */
void client_hang_up(struct client *client);

/** client_next_timeout() - when something is due; UINT64_MAX for never. */
uint64_t client_next_timeout(const struct client *client);

/** client_run_timeouts() - do what is due. */
void client_run_timeouts(struct client *client);

#endif /* IVSHMEMD_CLIENT_H */
