/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors that the service manager keeps while there is no server.
 *
 * Each has a name of its own, which says all there is to know of it:
 *	store/LINK/memory/PEERS/VECTORS
 *	store/LINK/doorbell/INDEX
 *	store/LINK/client/SLOT/SINCE/NUMBER
 * A name of a link has no slash.  Nobody but the manager gives them back.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "server.h"

#define PREFIX		"store/"
#define NAME_LENGTH	128
/* Until a manager that was busy is told again, milliseconds. */
#define STORE_RETRY	100

void store_init(struct store *store)
{
	const char *most = getenv("FDSTORE");

	memset(store, 0, sizeof(*store));
	store->used = most && strtoul(most, NULL, 10) > 0;
}

bool store_is_name(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX));
}

/* Whether all of the text was read. */
static bool parse_rest(const char *text, struct stored *entry)
{
	int end = 0;

	if (sscanf(text, "memory/%u/%u%n", &entry->peers, &entry->vectors,
		   &end) == 2)
		entry->kind = STORED_MEMORY;
	else if (sscanf(text, "doorbell/%u%n", &entry->index, &end) == 1)
		entry->kind = STORED_DOORBELL;
	else if (sscanf(text, "client/%u/%lld/%llu%n", &entry->index,
			&entry->since, &entry->number, &end) == 3)
		entry->kind = STORED_CLIENT;
	else
		return false;
	return !text[end];
}

static bool parse(const char *name, struct stored *entry)
{
	const char *link = name + strlen(PREFIX);
	const char *rest = strchr(link, '/');

	memset(entry, 0, sizeof(*entry));
	if (!rest || rest == link ||
	    (size_t)(rest - link) >= sizeof(entry->link))
		return false;
	memcpy(entry->link, link, (size_t)(rest - link));
	return parse_rest(rest + 1, entry);
}

int store_add(struct store *store, const char *name, int fd)
{
	struct stored *entries;
	struct stored entry;

	if (!parse(name, &entry)) {
		log_warning("the service manager has kept \"%s\", which is of "
			    "another version; it is left alone", name);
		close(fd);
		return 0;
	}
	entry.fd = fd;
	entries = realloc(store->entries,
			  (store->count + 1) * sizeof(*entries));
	if (!entries) {
		log_error("out of memory");
		return -1;
	}
	entries[store->count++] = entry;
	store->entries = entries;
	return 0;
}

static void name_of(const struct stored *entry, char name[NAME_LENGTH])
{
	switch (entry->kind) {
	case STORED_MEMORY:
		snprintf(name, NAME_LENGTH, PREFIX "%s/memory/%u/%u",
			 entry->link, entry->peers, entry->vectors);
		break;
	case STORED_DOORBELL:
		snprintf(name, NAME_LENGTH, PREFIX "%s/doorbell/%u",
			 entry->link, entry->index);
		break;
	case STORED_CLIENT:
		snprintf(name, NAME_LENGTH, PREFIX "%s/client/%u/%lld/%llu",
			 entry->link, entry->index, entry->since,
			 entry->number);
		break;
	}
}

/* One that has ended is kept, too, so that its end is seen. */
static int keep(const struct stored *entry, bool wait)
{
	char name[NAME_LENGTH], lines[NAME_LENGTH + 64];

	name_of(entry, name);
	snprintf(lines, sizeof(lines), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return notify_send_fd(lines, entry->fd, wait);
}

static int forget(const struct stored *entry, bool wait)
{
	char name[NAME_LENGTH], lines[NAME_LENGTH + 64];

	name_of(entry, name);
	snprintf(lines, sizeof(lines), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return notify_send_fd(lines, -1, wait);
}

static struct stored entry_of(const struct link *link, enum stored_kind kind,
			      unsigned int index, int fd)
{
	struct stored entry = {
		.kind = kind,
		.peers = link->config->peers,
		.vectors = link->config->vectors,
		.index = index,
		.fd = fd,
	};

	snprintf(entry.link, sizeof(entry.link), "%s", link->config->name);
	return entry;
}

static bool is_of(const struct stored *entry, const char *link)
{
	return entry->fd >= 0 && (!link || !strcmp(entry->link, link));
}

/* Whether the memory is what it would be if it was made now. */
static bool fits(const struct stored *entry, const struct link_config *config)
{
	struct stat st;

	return entry->peers == config->peers &&
	       entry->vectors == config->vectors && !fstat(entry->fd, &st) &&
	       (uint64_t)st.st_size == config->size;
}

bool store_take_link(struct store *store, const struct link_config *config,
		     int *memory, int *eventfds)
{
	unsigned int wanted = config->peers * config->vectors, found = 0;
	struct stored *held = NULL;

	for (unsigned int i = 0; i < wanted; i++)
		eventfds[i] = -1;
	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (!is_of(entry, config->name))
			continue;
		if (entry->kind == STORED_MEMORY && fits(entry, config))
			held = entry;
		if (entry->kind != STORED_DOORBELL || entry->index >= wanted ||
		    eventfds[entry->index] >= 0)
			continue;
		eventfds[entry->index] = entry->fd;
		found++;
	}
	if (!held || found < wanted)
		return false;
	*memory = held->fd;
	held->fd = -1;
	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (is_of(entry, config->name) &&
		    entry->kind == STORED_DOORBELL && entry->index < wanted &&
		    eventfds[entry->index] == entry->fd)
			entry->fd = -1;
	}
	return true;
}

struct stored store_take_client(struct store *store, const char *link)
{
	struct stored none = { .fd = -1 };

	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (is_of(entry, link) && entry->kind == STORED_CLIENT) {
			struct stored copy = *entry;

			entry->fd = -1;
			return copy;
		}
	}
	return none;
}

void store_drop(struct store *store, const char *link)
{
	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (!is_of(entry, link))
			continue;
		if (entry->kind == STORED_MEMORY)
			log_warning("link %s: the memory of the server before "
				    "is given up, since the configuration is "
				    "another one; machines that have joined "
				    "share it with each other only",
				    entry->link);
		forget(entry, true);
		close(entry->fd);
		entry->fd = -1;
	}
}

void store_free(struct store *store)
{
	for (size_t i = 0; i < store->count; i++) {
		if (store->entries[i].fd >= 0)
			close(store->entries[i].fd);
	}
	free(store->entries);
	store->entries = NULL;
	store->count = 0;
}

void store_keep_link(const struct store *store, const struct link *link)
{
	unsigned int count = link->config->peers * link->config->vectors;
	struct stored entry = entry_of(link, STORED_MEMORY, 0, link->memory);

	if (!store->used)
		return;
	keep(&entry, true);
	for (unsigned int i = 0; i < count; i++) {
		entry = entry_of(link, STORED_DOORBELL, i, link->eventfds[i]);
		keep(&entry, true);
	}
}

void store_forget_link(const struct store *store, struct link *link)
{
	unsigned int count = link->config->peers * link->config->vectors;
	struct stored entry = entry_of(link, STORED_MEMORY, 0, -1);

	if (!store->used)
		return;
	/* Waiting: under these names there may be others soon. */
	forget(&entry, true);
	for (unsigned int i = 0; i < count; i++) {
		entry = entry_of(link, STORED_DOORBELL, i, -1);
		forget(&entry, true);
	}
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (link->kept[slot].fd >= 0)
			forget(&link->kept[slot], true);
		link->kept[slot].fd = -1;
	}
}

/* Who is in the slot, with fd -1 if nobody is that has joined. */
static struct stored occupant(const struct link *link, unsigned int slot)
{
	const struct client *client = link->slots[slot];
	struct stored entry = entry_of(link, STORED_CLIENT, slot, -1);

	if (client && client->state == CLIENT_JOINED) {
		entry.fd = client->watch.fd;
		entry.since = client->since;
		entry.number = client->number;
	}
	return entry;
}

/* Returns 0 if the manager keeps what it should of a slot. */
static int keep_slot(struct link *link, unsigned int slot, bool wait)
{
	struct stored wanted = occupant(link, slot);
	struct stored *kept = &link->kept[slot];

	/* Who is let go when the server ends is for the next one. */
	if (wanted.fd < 0 && link->server->stopping)
		return 0;
	if (kept->fd >= 0 && (wanted.fd < 0 || kept->number != wanted.number)) {
		if (forget(kept, wait))
			return -1;
		kept->fd = -1;
	}
	if (wanted.fd >= 0 && kept->fd < 0) {
		if (keep(&wanted, wait))
			return -1;
		*kept = wanted;
	}
	return 0;
}

void store_keep_clients(const struct store *store, struct link *link, bool wait)
{
	link->store_due = UINT64_MAX;
	if (!store->used)
		return;
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (keep_slot(link, slot, wait)) {
			link->store_due = link->server->now + STORE_RETRY;
			return;
		}
	}
}
