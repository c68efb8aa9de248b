/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors that the service manager keeps while there is no server.
 *
 * Each has a name of its own, which says all there is to know of it:
 *	store/LINK/ID/memory/SHAPE
 *	store/LINK/ID/doorbell/INDEX
 *	store/LINK/ID/client/SLOT/SINCE/NUMBER
 * A name of a link has no slash.  Nobody but the manager gives them back.
 *
 * Two clients must never be in one slot: the memory, without which nothing else is
 * used, is given last, and only if there is room for all clients; a client is given
 * before it learns its slot.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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
	if (most)
		store->most = strtoull(most, NULL, 10);
}

bool store_is_name(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX));
}

/* Whether all of the text was read. */
static bool parse_rest(const char *text, struct stored *entry)
{
	int end = 0;

	if (sscanf(text, "%llx/memory/%llx%n", &entry->id, &entry->shape,
		   &end) == 2)
		entry->kind = STORED_MEMORY;
	else if (sscanf(text, "%llx/doorbell/%u%n", &entry->id, &entry->index,
			&end) == 2)
		entry->kind = STORED_DOORBELL;
	else if (sscanf(text, "%llx/client/%u/%lld/%llu%n", &entry->id,
			&entry->index, &entry->since, &entry->number,
			&end) == 4)
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
	size_t used = (size_t)snprintf(name, NAME_LENGTH, PREFIX "%s/%llx/",
				       entry->link, entry->id);

	name += used;
	switch (entry->kind) {
	case STORED_MEMORY:
		snprintf(name, NAME_LENGTH - used, "memory/%llx",
			 entry->shape);
		break;
	case STORED_DOORBELL:
		snprintf(name, NAME_LENGTH - used, "doorbell/%u",
			 entry->index);
		break;
	case STORED_CLIENT:
		snprintf(name, NAME_LENGTH - used, "client/%u/%lld/%llu",
			 entry->index, entry->since, entry->number);
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

static unsigned long long hash_of(const char *text)
{
	return text ? XXH64(text, strlen(text), 1) : 0;
}

/* What makes two configurations ask for the same memory. */
static unsigned long long shape_of(const struct link_config *config)
{
	char text[256];

	snprintf(text, sizeof(text), "%llu/%u/%u/%d/%llu/%llx/%llx/%llx",
		 (unsigned long long)config->size, config->peers,
		 config->vectors, (int)config->memory,
		 (unsigned long long)config->huge_page, hash_of(config->file),
		 hash_of(config->numa), hash_of(config->layout));
	return hash_of(text);
}

static struct stored entry_of(const struct link *link, enum stored_kind kind,
			      unsigned int index, int fd)
{
	struct stored entry = {
		.id = link->store_id,
		.kind = kind,
		.shape = shape_of(link->config),
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

static bool is_part(const struct stored *entry, const struct link *link,
		    enum stored_kind kind)
{
	return is_of(entry, link->config->name) && entry->kind == kind &&
	       entry->id == link->store_id;
}

/* The last memory that the link had; NULL if it is not what it would be now. */
static struct stored *find_memory(const struct store *store,
				  const struct link_config *config)
{
	struct stored *last = NULL;

	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (is_of(entry, config->name) &&
		    entry->kind == STORED_MEMORY &&
		    (!last || entry->id > last->id))
			last = entry;
	}
	return last && last->shape == shape_of(config) ? last : NULL;
}

static unsigned int count_doorbells(const struct link *link)
{
	return link->config->peers * link->config->vectors;
}

/* Memory, doorbells, and a connection for each slot. */
static uint64_t need_of(const struct link *link)
{
	return 1 + (uint64_t)count_doorbells(link) + link->config->peers;
}

static unsigned int take_doorbells(struct store *store, struct link *link)
{
	unsigned int taken = 0;

	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (!is_part(entry, link, STORED_DOORBELL) ||
		    entry->index >= count_doorbells(link) ||
		    link->eventfds[entry->index] >= 0)
			continue;
		link->eventfds[entry->index] = entry->fd;
		entry->fd = -1;
		taken++;
	}
	return taken;
}

bool store_take_link(struct store *store, struct link *link)
{
	struct stored *memory = find_memory(store, link->config);

	if (!memory)
		return false;
	link->store_id = memory->id;
	if (take_doorbells(store, link) < count_doorbells(link)) {
		log_warning("link %s: not all doorbells of the server before "
			    "were kept", link->config->name);
		return false;
	}
	link->memory = memory->fd;
	memory->fd = -1;
	link->stored = true;
	store->used += need_of(link);
	return true;
}

struct stored store_take_client(struct store *store, const struct link *link,
				unsigned int slot)
{
	struct stored none = { .fd = -1 }, copy;
	struct stored *last = NULL;

	for (size_t i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (is_part(entry, link, STORED_CLIENT) &&
		    entry->index == slot &&
		    (!last || entry->number > last->number))
			last = entry;
	}
	if (!last)
		return none;
	copy = *last;
	last->fd = -1;
	return copy;
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
				    "it have to join again", entry->link);
		/* Who is in it is told by the end of the connection. */
		if (entry->kind == STORED_CLIENT)
			shutdown(entry->fd, SHUT_RDWR);
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

static unsigned long long now_nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (unsigned long long)now.tv_sec * 1000000000 +
	       (unsigned long long)now.tv_nsec;
}

static int keep_parts(const struct link *link)
{
	struct stored entry;
	int error = 0;

	for (unsigned int i = 0; !error && i < count_doorbells(link); i++) {
		entry = entry_of(link, STORED_DOORBELL, i, link->eventfds[i]);
		error = keep(&entry, true);
	}
	entry = entry_of(link, STORED_MEMORY, 0, link->memory);
	return error ? error : keep(&entry, true);
}

void store_keep_link(struct store *store, struct link *link)
{
	int error;

	if (!store->most)
		return;
	if (store->used + need_of(link) > store->most) {
		log_warning("link %s: it does not outlive this server: %llu "
			    "more descriptors would have to be kept, of %llu "
			    "at most (FileDescriptorStoreMax=, FDSTORE)",
			    link->config->name,
			    (unsigned long long)need_of(link),
			    (unsigned long long)store->most);
		return;
	}
	link->store_id = now_nanoseconds();
	link->stored = true;
	store->used += need_of(link);
	error = keep_parts(link);
	if (error) {
		log_warning("link %s: it does not outlive this server: the "
			    "service manager does not keep it: %s",
			    link->config->name, strerror(-error));
		store_forget_link(store, link);
	}
}

void store_forget_link(struct store *store, struct link *link)
{
	struct stored entry = entry_of(link, STORED_MEMORY, 0, -1);
	bool busy;

	if (!link->stored)
		return;
	link->stored = false;
	store->used -= need_of(link);
	/*
	 * What it is too busy to hear is of no use without this.  Once it was, the
	 * rest is tried, but not waited for.
	 */
	busy = forget(&entry, true);
	for (unsigned int i = 0; i < count_doorbells(link); i++) {
		entry = entry_of(link, STORED_DOORBELL, i, -1);
		if (forget(&entry, !busy))
			busy = true;
	}
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (link->kept[slot].fd >= 0 &&
		    forget(&link->kept[slot], !busy))
			busy = true;
		link->kept[slot].fd = -1;
	}
}

/* Who is in the slot, with fd -1 if nobody is. */
static struct stored occupant(const struct link *link, unsigned int slot)
{
	const struct client *client = link->slots[slot];
	struct stored entry = entry_of(link, STORED_CLIENT, slot, -1);

	if (client) {
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
	int error = 0;

	/* Who is let go when the server ends is for the next one. */
	if (wanted.fd < 0 && link->server->stopping)
		return 0;
	if (kept->fd >= 0 && (wanted.fd < 0 || kept->number != wanted.number)) {
		error = forget(kept, wait);
		if (!error)
			kept->fd = -1;
	}
	if (!error && wanted.fd >= 0 && kept->fd < 0) {
		error = keep(&wanted, wait);
		if (!error)
			*kept = wanted;
	}
	return error;
}

void store_keep_clients(struct link *link, bool wait)
{
	link->store_due = UINT64_MAX;
	if (!link->stored)
		return;
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (keep_slot(link, slot, wait))
			link->store_due = link->server->now + STORE_RETRY;
	}
}
