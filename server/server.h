/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server as a whole: all links, the loop that serves them, and its end.
 */
#ifndef IVSHMEMD_SERVER_H
#define IVSHMEMD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "budget.h"
#include "config.h"
#include "loop.h"
#include "metrics.h"
#include "source.h"
#include "store.h"

/* Until accepting is tried again after a shortage, milliseconds. */
#define SHORTAGE_PAUSE	100

struct client;
struct control;
struct link;
struct spare;

/**
 * struct server - the server
 * @source:     where its configuration comes from
 * @config:     what it was asked to do
 * @budget:     what follows for descriptors
 * @store:      what the service manager keeps for us
 * @links:      one per link of @config, in that order
 * @leaving:    links that are gone from @config, until their clients are let go
 * @spares:     sockets of the service manager's without a link
 * @control:    where it is asked how things are; NULL for nowhere
 * @epoll:      what is waited for
 * @signals:    the signals that end it, or have the configuration read again
 * @reserve:    a descriptor to give up when there are no others, or -1
 * @since:      when it began to serve
 * @reloads:    how often the configuration was read again
 * @reload_failures: and how often that was refused
 * @loaded:     when the present configuration was read
 * @revision:   changes whenever a link's counts do
 * @metrics:    the file with them
 * @now:        monotonic milliseconds when this round of the loop began
 * @stopping:   it ends as soon as all links have ended
 * @reload_due: the configuration is to be read again, after this round
 * @reload_error: why that did not help the last time; empty if it did
 * @graveyard:  clients that are closed; freed when no event can name them
 * @clients:    how many the service manager was told of
 * @watchdog_period: how often the manager wants to hear that the loop runs; 0 for
 *              never
 * @watchdog_due: when it is to hear that again
 * @ready_due:  it is to be told that the configuration was read again
 * @status_due: when it may be told again; UINT64_MAX if it knows
 */
struct server {
	const struct config_source *source;
	struct config config;
	struct budget budget;
	struct store store;
	struct link *links;
	struct link *leaving;
	struct spare *spares;
	struct control *control;
	int epoll;
	struct watch signals;
	int reserve;
	time_t since;
	uint64_t reloads;
	uint64_t reload_failures;
	time_t loaded;
	uint64_t revision;
	struct metrics metrics;
	uint64_t now;
	bool stopping;
	bool reload_due;
	struct config_error reload_error;
	struct client *graveyard;
	unsigned int clients;
	uint64_t watchdog_period;
	uint64_t watchdog_due;
	bool ready_due;
	uint64_t status_due;
};

/**
 * server_open() - make all links
 * @source: where @config comes from, for the next time
 * @config: from config_load(); becomes the server's and is left empty
 * @budget: from budget_make()
 *
 * Return: 0; -1 after logging why, with everything closed again.
 */
int server_open(struct server *server, const struct config_source *source,
		struct config *config, const struct budget *budget);

/**
 * server_run() - serve until SIGTERM or SIGINT
 * Return: 0; -1 after logging why.
 */
int server_run(struct server *server);

/** server_close() - release everything and remove sockets and locks. */
void server_close(struct server *server);

/** server_find() - the link of that name that is served, or NULL. */
struct link *server_find(const struct server *server, const char *name);

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
