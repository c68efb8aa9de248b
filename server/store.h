/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors that the service manager keeps while there is no server: memory,
 * doorbells and connections.  So the next server goes on where this one ended, for
 * whatever reason.
 */
#ifndef IVSHMEMD_STORE_H
#define IVSHMEMD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "config.h"

struct link;

enum stored_kind {
	STORED_MEMORY,
	STORED_DOORBELL,
	STORED_CLIENT,
};

/**
 * struct stored - a descriptor that was kept
 * @link:    of this link
 * @id:      when its memory was made, nanoseconds: no other memory has it
 * @kind:    what it is
 * @shape:   STORED_MEMORY: stands for all settings that cannot change
 * @index:   STORED_DOORBELL: which, slot by slot; STORED_CLIENT: its slot
 * @since:   STORED_CLIENT: when it connected
 * @number:  STORED_CLIENT: no other one of the link has it
 * @fd:      the descriptor; -1 once it is somebody's
 */
struct stored {
	char link[LINK_NAME_LENGTH + 1];
	unsigned long long id;
	enum stored_kind kind;
	unsigned long long shape;
	unsigned int index;
	long long since;
	unsigned long long number;
	int fd;
};

/**
 * struct store - what the manager keeps
 * @most:    how many descriptors it keeps for us
 * @used:    and how many of these links need that are kept, with all their clients
 * @entries: what it has given back, and no link has yet
 * @count:   of them
 */
struct store {
	uint64_t most;
	uint64_t used;
	struct stored *entries;
	size_t count;
};

/** store_init() - find out whether there is a manager that keeps descriptors. */
void store_init(struct store *store);

/** store_is_name() - whether a descriptor that the manager passes was stored. */
bool store_is_name(const char *name);

/**
 * store_add() - take in a descriptor that the manager gives back
 *
 * What has a name that no server gives is closed.  It becomes the store's.
 *
 * Return: 0; -1 after logging why.
 */
int store_add(struct store *store, const char *name, int fd);

/**
 * store_take_link() - memory and doorbells of a link, as an earlier server had them
 *
 * Return: whether all are there and as the configuration wants them.
 */
bool store_take_link(struct store *store, struct link *link);

/**
 * store_take_client() - the client in a slot of a link that was taken
 * Return: a copy, without a descriptor if there is none.
 */
struct stored store_take_client(struct store *store, const struct link *link,
				unsigned int slot);

/**
 * store_drop() - give up what was given back and is nobody's
 * @link: of this link, or of all if it is NULL
 */
void store_drop(struct store *store, const char *link);

/** store_free() - release everything. */
void store_free(struct store *store);

/**
 * store_keep_link() - have memory and doorbells of a new link kept
 *
 * Unless that is too much, with all clients that there can be.
 */
void store_keep_link(struct store *store, struct link *link);

/** store_forget_link() - have nothing of a link kept any more. */
void store_forget_link(struct store *store, struct link *link);

/**
 * store_keep_clients() - have the connections of those kept who have a slot
 *
 * And of nobody else, but when the server ends: who has been let go then is for the
 * next one.
 *
 * @wait: for a manager that is busy; else link.store_due says when to call it again
 */
void store_keep_clients(struct link *link, bool wait);

#endif /* IVSHMEMD_STORE_H */
