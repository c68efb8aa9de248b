/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A link: its memory, its permanent slots with their eventfds, and who is in
 * which of them.
 */
#ifndef IVSHMEMD_LINK_H
#define IVSHMEMD_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "config.h"
#include "directory.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "pace.h"
#include "refusal.h"
#include "store.h"

struct client;
struct server;

/**
 * struct link_counts - what has happened on a link
 * @connects:  connections that were accepted, to be served or refused
 * @joins:     handshakes that came to their end
 * @drops:     clients that the server has disconnected
 * @reclaimed: slots that are free again after somebody was there
 * @crashes:   of those, whose client had not left the region
 * @refusals:  connections that were refused
 */
struct link_counts {
	uint64_t connects;
	uint64_t joins;
	uint64_t drops;
	uint64_t reclaimed;
	uint64_t crashes;
	uint64_t refusals[REFUSALS];
};

/**
 * struct link - a link that is served
 * @watch:    of the listening socket
 * @server:   the server
 * @next:     the next link of the same list
 * @config:   its settings, a copy of its own
 * @listener: its socket
 * @memory:   descriptor of the shared memory
 * @directory: what the server says in it
 * @eventfds: of all slots, slot by slot; they outlive every client
 * @slots:    who is in each slot, or NULL
 * @kept:     what the service manager keeps of each slot; fd -1 if nothing
 * @stored:   the service manager keeps it
 * @store_id: under which id
 * @numbers:  of clients, the last one that was given
 * @clients:  every connection, those that were refused included
 * @refused:  how many of them were
 * @waiting:  how many wait for their turn
 * @pace:     how often users connect
 * @joined:   clients that have a slot
 * @check_due: when to look at the region next; UINT64_MAX if nobody is there
 * @store_due: when to tell the service manager whom to keep; UINT64_MAX if it knows
 * @resume:   when to accept again after a shortage; 0 if accepting
 * @stop_by:  when it ends at the latest, once it is stopped; 0 before
 * @since:    when it was made
 * @counts:   for those who ask
 * @about:    "link NAME", for the log
 * @limit:    bounds what clients can write to the log
 */
struct link {
	struct watch watch;
	struct server *server;
	struct link *next;
	struct link_config *config;
	struct listener listener;
	int memory;
	struct directory directory;
	int *eventfds;
	struct client **slots;
	struct stored *kept;
	bool stored;
	unsigned long long store_id;
	unsigned long long numbers;
	struct client *clients;
	unsigned int refused;
	unsigned int waiting;
	struct pace pace;
	unsigned int joined;
	uint64_t check_due;
	uint64_t store_due;
	uint64_t resume;
	uint64_t stop_by;
	time_t since;
	struct link_counts counts;
	char about[LINK_NAME_LENGTH + 8];
	struct log_limit limit;
};

/**
 * link_open() - make a link, with memory and eventfds, or go on with a stored one
 * @fd: listening socket from the service manager, or -1 to make one
 *
 * Return: the link; NULL after logging why.
 */
struct link *link_open(struct server *server, const struct link_config *config,
		       int fd);

/** link_close() - drop all clients and release everything, also the link. */
void link_close(struct link *link);

/**
 * link_change() - go on with other settings, without touching clients
 * @config: becomes the link's; it differs in what can change only
 */
void link_change(struct link *link, struct link_config *config);

/** link_listen() - begin to accept clients; returns 0, or -1 with a log. */
int link_listen(struct link *link);

/**
 * link_stop() - accept nobody any more
 *
 * Who is waiting to be accepted is refused, who has joined is let go, and who
 * is in the handshake may finish it.
 */
void link_stop(struct link *link);

/** link_has_ended() - whether a link that was stopped need wait no more. */
bool link_has_ended(const struct link *link);

/**
 * link_free_slot() - the lowest slot that nobody is in
 * Return: its number, or -1 if the link is full.
 */
int link_free_slot(const struct link *link);

/**
 * link_next_turn() - when it is the turn of a client of a user who waits
 * Return: UINT64_MAX if none does.
 */
uint64_t link_next_turn(const struct link *link, uid_t uid);

/** link_clients_of() - slots that a user has. */
unsigned int link_clients_of(const struct link *link, uid_t uid);

/**
 * link_occupy() - a client gets a slot
 *
 * Doorbells that were meant for its last user are forgotten.
 */
void link_occupy(struct link *link, unsigned int slot, struct client *client);

/** link_resume() - a client is in its slot, as it was with an earlier server. */
void link_resume(struct link *link, struct client *client);

/** link_count() - one more of something in the link's counts. */
void link_count(struct link *link, uint64_t *count);

/** link_part() - the client in a slot has ended; says how, for the log. */
enum directory_parting link_part(struct link *link, unsigned int slot);

/** link_vacate() - a slot is free again; who is in the others is rung. */
void link_vacate(struct link *link, unsigned int slot);

/** link_next_timeout() - when something is due; UINT64_MAX for never. */
uint64_t link_next_timeout(const struct link *link);

/** link_run_timeouts() - do what is due. */
void link_run_timeouts(struct link *link);

#endif /* IVSHMEMD_LINK_H */
