/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server as a whole: all links, the loop that serves them, and its end.
 */
#ifndef IVSHMEMD_SERVER_H
#define IVSHMEMD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "config.h"
#include "loop.h"

struct client;
struct link;

/**
 * struct server - the server
 * @config:     what it was asked to do
 * @budget:     what follows for descriptors
 * @links:      one per link of @config
 * @link_count: links that are open
 * @epoll:      what is waited for
 * @signals:    the signals that end it
 * @reserve:    a descriptor to give up when there are no others, or -1
 * @now:        monotonic milliseconds when this round of the loop began
 * @stopping:   it ends as soon as nobody is in the handshake
 * @stop_by:    and at this time at the latest
 * @graveyard:  clients that are closed; freed when no event can name them
 * @clients:    how many the service manager was told of
 * @status_due: when it may be told again; UINT64_MAX if it knows
 */
struct server {
	const struct config *config;
	struct budget budget;
	struct link *links;
	size_t link_count;
	int epoll;
	struct watch signals;
	int reserve;
	uint64_t now;
	bool stopping;
	uint64_t stop_by;
	struct client *graveyard;
	unsigned int clients;
	uint64_t status_due;
};

/**
 * server_open() - make all links
 * @budget: from budget_make()
 *
 * Return: 0; -1 after logging why, with everything closed again.
 */
int server_open(struct server *server, const struct config *config,
		const struct budget *budget);

/**
 * server_run() - serve until SIGTERM, SIGINT or SIGHUP
 * Return: 0; -1 after logging why.
 */
int server_run(struct server *server);

/** server_close() - release everything and remove sockets and locks. */
void server_close(struct server *server);

/** server_bury() - have a closed client freed after this round. */
void server_bury(struct server *server, struct client *client);

/**
 * server_spend_reserve() - accept a connection at the cost of the reserve
 * Return: the connection, or a negative errno: -EAGAIN if nobody waits.
 */
int server_spend_reserve(struct server *server, int listener);

/** server_restore_reserve() - have a reserve again, if that is possible. */
void server_restore_reserve(struct server *server);

#endif /* IVSHMEMD_SERVER_H */
