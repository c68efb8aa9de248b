/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A link: its memory, its permanent slots with their eventfds, and who is in
 * which of them.
 */
#include "link.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client.h"
#include "doorbell.h"
#include "format.h"
#include "layout.h"
#include "memory.h"
#include "server.h"
#include "show.h"

/* Connections that are accepted before other descriptors get their turn. */
#define ACCEPT_AT_ONCE		16
/* For handshakes that are under way when a link is stopped. */
#define STOP_PATIENCE		2000
/* Between two looks at what the region says, while somebody is there, ms. */
#define CHECK_PERIOD		1000

static unsigned int eventfd_count(const struct link *link)
{
	return link->config->peers * link->config->vectors;
}

static int allocate_slots(struct link *link)
{
	unsigned int count = eventfd_count(link);

	link->eventfds = malloc(count * sizeof(*link->eventfds));
	link->slots = calloc(link->config->peers, sizeof(*link->slots));
	link->kept = calloc(link->config->peers, sizeof(*link->kept));
	if (!link->eventfds || !link->slots || !link->kept) {
		log_error("link %s: out of memory", link->config->name);
		return -1;
	}
	memset(link->eventfds, -1, count * sizeof(*link->eventfds));
	for (unsigned int slot = 0; slot < link->config->peers; slot++)
		link->kept[slot].fd = -1;
	return 0;
}

static void close_eventfds(struct link *link)
{
	for (unsigned int i = 0; i < eventfd_count(link); i++) {
		if (link->eventfds[i] >= 0)
			close(link->eventfds[i]);
		link->eventfds[i] = -1;
	}
}

static int open_eventfds(struct link *link)
{
	unsigned int count = eventfd_count(link);

	for (unsigned int i = 0; i < count; i++) {
		link->eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (link->eventfds[i] < 0) {
			log_error("link %s: cannot make doorbell %u of %u: %s",
				  link->config->name, i + 1, count,
				  strerror(errno));
			return -1;
		}
	}
	return 0;
}

static struct link *link_new(struct server *server,
			     const struct link_config *config)
{
	struct link *link = calloc(1, sizeof(*link));

	if (link)
		link->config = link_config_copy(config);
	if (!link || !link->config) {
		log_error("link %s: out of memory", config->name);
		free(link);
		return NULL;
	}
	link->server = server;
	link->since = time(NULL);
	link->check_due = UINT64_MAX;
	link->store_due = UINT64_MAX;
	link->memory = -1;
	link->watch.fd = -1;
	link->listener.fd = -1;
	link->listener.lock = -1;
	snprintf(link->about, sizeof(link->about), "link %s", config->name);
	/* Everybody may come, be noted and leave at once. */
	log_limit_init(&link->limit, link->about, 16 + 4 * config->peers,
		       server->now);
	return link;
}

/* A warning too, for a region that peers have spoiled. */
static void log_change(struct link *link)
{
	const struct directory *directory = &link->directory;
	char layout[IVSHMEM_LAYOUT_TEXT];

	switch (directory_take_change(&link->directory)) {
	case DIRECTORY_FORMATTED:
		ivshmem_layout_describe(&directory->region, layout,
					sizeof(layout));
		log_limited(&link->limit, link->server->now, LOG_INFO,
			    "link %s: the region is formatted: peers=%u, "
			    "layout=%s", link->config->name,
			    directory->region.slots, layout);
		break;
	case DIRECTORY_LOST:
		log_limited(&link->limit, link->server->now, LOG_WARNING,
			    "link %s: the region is formatted no more, by what "
			    "a client did: %s", link->config->name,
			    ivregion_error_text(directory->error));
		break;
	default:
		break;
	}
}

static int open_directory(struct link *link, uint64_t taken)
{
	const struct link_config *config = link->config;
	int error = directory_open(&link->directory, link->memory, config->size,
				   config->peers, taken);

	if (error)
		log_error("link %s: the memory cannot be mapped: %s",
			  config->name, strerror(-error));
	return error;
}

static int open_memory(struct link *link)
{
	bool existed;

	link->memory = memory_open(link->config, &existed);
	if (link->memory < 0)
		return -1;
	if (format_memory(link->config, link->memory, existed))
		return -1;
	return open_directory(link, 0);
}

void link_resume(struct link *link, struct client *client)
{
	link->slots[client->slot] = client;
	link->joined++;
	link->check_due = link->server->now + CHECK_PERIOD;
	if (client->number > link->numbers)
		link->numbers = client->number;
}

/* Whom an earlier server has served; returns their slots, a bit each. */
static uint64_t take_clients(struct link *link)
{
	uint64_t taken = 0;

	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		link->kept[slot] = store_take_client(&link->server->store,
						     link, slot);
		if (link->kept[slot].fd >= 0)
			taken |= 1ULL << slot;
	}
	return taken;
}

/* Memory and doorbells are those of an earlier server: so are its clients. */
static int resume(struct link *link)
{
	uint64_t taken = take_clients(link);

	/* Earlier ones of the same slots, which are there no more. */
	store_drop(&link->server->store, link->config->name);
	if (open_directory(link, taken))
		return -1;
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (!(taken >> slot & 1))
			continue;
		if (client_resume(link, &link->kept[slot]))
			directory_leave(&link->directory, slot);
	}
	log_info("link %s: goes on where an earlier server ended, with %u "
		 "client%s", link->config->name, link->joined,
		 link->joined == 1 ? "" : "s");
	return 0;
}

static int open_rest(struct link *link)
{
	struct store *store = &link->server->store;

	if (allocate_slots(link))
		return -1;
	if (store_take_link(store, link))
		return resume(link);
	close_eventfds(link);
	store_drop(store, link->config->name);
	if (open_memory(link) || open_eventfds(link))
		return -1;
	store_keep_link(store, link);
	return 0;
}

struct link *link_open(struct server *server, const struct link_config *config,
		       int fd)
{
	struct link *link = link_new(server, config);
	int result;

	if (!link)
		return NULL;
	/* The lock first: a second server must not take memory, too. */
	if (fd >= 0)
		result = listener_adopt(&link->listener, config, fd);
	else
		result = listener_open(&link->listener, &config->socket);
	if (!result && !open_rest(link))
		return link;
	listener_stop(&link->listener);
	link_close(link);
	return NULL;
}

void link_close(struct link *link)
{
	/* Whom it was too busy to keep until now. */
	if (link->server->stopping && link->kept)
		store_keep_clients(link, true);
	while (link->clients)
		client_hang_up(link->clients);
	if (link->eventfds)
		close_eventfds(link);
	free(link->eventfds);
	free(link->slots);
	free(link->kept);
	directory_close(&link->directory);
	if (link->memory >= 0)
		close(link->memory);
	listener_close(&link->listener);
	link_config_free(link->config);
	free(link);
}

static bool same_permissions(const struct socket_config *one,
			     const struct socket_config *other)
{
	return one->mode == other->mode && one->user == other->user &&
	       one->group == other->group;
}

static void keep_permissions(struct socket_config *wanted,
			     const struct socket_config *present)
{
	wanted->mode = present->mode;
	wanted->user = present->user;
	wanted->group = present->group;
}

void link_change(struct link *link, struct link_config *config)
{
	struct socket_config *present = &link->config->socket;
	struct socket_config *wanted = &config->socket;

	if (same_permissions(present, wanted)) {
		/* Nothing to do. */
	} else if (link->listener.lock < 0) {
		log_warning("link %s: mode, user and group of its socket are "
			    "those of the socket unit", config->name);
	} else if (listener_set_permissions(&link->listener, wanted)) {
		log_error("link %s: mode, user and group of its socket stay "
			  "as they are", config->name);
		keep_permissions(wanted, present);
	}
	link_config_free(link->config);
	link->config = config;
}

int link_free_slot(const struct link *link)
{
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (!link->slots[slot])
			return (int)slot;
	}
	return -1;
}

unsigned int link_clients_of(const struct link *link, uid_t uid)
{
	unsigned int count = 0;

	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (link->slots[slot] &&
		    link->slots[slot]->credentials.uid == uid)
			count++;
	}
	return count;
}

static void drain_slot(const struct link *link, unsigned int slot)
{
	unsigned int vectors = link->config->vectors;
	const int *eventfds = &link->eventfds[slot * vectors];
	eventfd_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	/*
	 * Whether they block is not the server's to know: every client holds
	 * them, too, and QEMU clears O_NONBLOCK on all that it is sent.
	 */
	for (unsigned int vector = 0; vector < vectors; vector++) {
		if (preadv2(eventfds[vector], &iov, 1, -1, RWF_NOWAIT) < 0)
			continue;	/* it has not been rung */
	}
}

void link_occupy(struct link *link, unsigned int slot, struct client *client)
{
	link->slots[slot] = client;
	link->joined++;
	link->check_due = link->server->now + CHECK_PERIOD;
	drain_slot(link, slot);
	directory_join(&link->directory, slot);
	log_change(link);
}

enum directory_parting link_part(struct link *link, unsigned int slot)
{
	enum directory_parting parting = directory_part(&link->directory, slot);

	log_change(link);
	return parting;
}

/* Vector 0 says that the directory has changed. */
static void ring_all(const struct link *link)
{
	int eventfds[LINK_MAX_PEERS];
	size_t count = 0;

	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (link->slots[slot])
			eventfds[count++] =
				link->eventfds[slot * link->config->vectors];
	}
	if (count)
		doorbell_ring_all(eventfds, count);
}

void link_count(struct link *link, uint64_t *count)
{
	(*count)++;
	link->server->revision++;
}

static void count_vacated(struct link *link, unsigned int slot)
{
	link_count(link, &link->counts.reclaimed);
	if (directory_part(&link->directory, slot) == PARTING_PRESENT)
		link_count(link, &link->counts.crashes);
}

void link_vacate(struct link *link, unsigned int slot)
{
	bool seen;

	count_vacated(link, slot);
	seen = directory_leave(&link->directory, slot);
	link->slots[slot] = NULL;
	link->joined--;
	link->store_due = link->server->now;
	log_change(link);
	if (seen)
		ring_all(link);
}

static void link_pause(struct link *link)
{
	link->resume = link->server->now + SHORTAGE_PAUSE;
	watch_change(link->server->epoll, &link->watch, 0);
}

/*
 * With the reserve there is a descriptor to refuse with.  accept() says that
 * there is none even if nobody waits.  Returns whether to go on accepting.
 */
static bool refuse_for_shortage(struct link *link, int error)
{
	int fd = server_spend_reserve(link->server, link->listener.fd);
	struct log_event event = {
		.id = fd >= 0 ? LOG_ID_REFUSAL : NULL,
		.link = link->config->name,
		.slot = -1,
	};

	if (fd >= 0) {
		link_count(link, &link->counts.connects);
		link_count(link, &link->counts.refusals[REFUSAL_EXHAUSTED]);
		client_refuse(fd, REFUSAL_EXHAUSTED);
	}
	server_restore_reserve(link->server);
	if (fd == -EAGAIN)
		return false;
	log_event(&link->limit, link->server->now, LOG_WARNING, &event,
		  "link %s: a client %s: %s; raise LimitNOFILE", event.link,
		  fd >= 0 ? "was refused" : "waits", strerror(error));
	if (fd < 0)
		link_pause(link);
	return fd >= 0;
}

/* Returns false when there is nobody left to accept now. */
static bool accept_one(struct link *link)
{
	int fd = accept4(link->listener.fd, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		client_accept(link, fd);
		return true;
	}
	switch (errno) {
	case EINTR:
	case ECONNABORTED:
		return true;
	case EMFILE:
	case ENFILE:
		return refuse_for_shortage(link, errno);
	case ENOBUFS:
	case ENOMEM:
		link_pause(link);
		return false;
	default:
		/* EAGAIN: nobody; EINVAL: nobody any more. */
		return false;
	}
}

static void link_ready(struct watch *watch, uint32_t events)
{
	struct link *link = watch_of(watch, struct link, watch);

	(void)events;
	/* Who waits at a socket of systemd's is for the next server. */
	if (link->stop_by)
		return;
	for (unsigned int i = 0; i < ACCEPT_AT_ONCE; i++) {
		if (!accept_one(link))
			return;
	}
}

/* Most programs may have 1024 descriptors, and need some for themselves. */
#define DESCRIPTORS_OF_OTHERS	896

static void announce(const struct link *link)
{
	const struct link_config *config = link->config;
	char size[32], memory[256];

	log_info("link %s: %s, size %s, peers %u, vectors %u, %s",
		 config->name, link->listener.path,
		 config_format_size(config->size, size), config->peers,
		 config->vectors, show_memory(config, memory));
	if (eventfd_count(link) > DESCRIPTORS_OF_OTHERS)
		log_warning("link %s: each client gets %u descriptors, raise "
			    "its limit beyond the usual 1024 (ulimit -n, or "
			    "max_files in libvirt's qemu.conf)", config->name,
			    eventfd_count(link) + 1);
	if (config->memory == MEMORY_FILE)
		log_warning("link %s: clients can shrink the file, which "
			    "kills all others; use memory=memfd for peers "
			    "that are not trusted", config->name);
}

int link_listen(struct link *link)
{
	int error;

	link->watch.fd = link->listener.fd;
	link->watch.ready = link_ready;
	error = watch_add(link->server->epoll, &link->watch, EPOLLIN);
	if (error) {
		log_error("link %s: %s", link->config->name, strerror(-error));
		return -1;
	}
	if (listener_listen(&link->listener))
		return -1;
	announce(link);
	log_change(link);
	return 0;
}

void link_stop(struct link *link)
{
	bool ours = link->listener.lock >= 0;
	struct client *client;

	link->stop_by = link->server->now + STOP_PATIENCE;
	if (link->server->stopping)
		store_keep_clients(link, true);
	/* Who is let go now has not gone: machines go on without a server. */
	directory_end(&link->directory);
	listener_stop(&link->listener);
	/* Who waits at a socket of systemd's is for the next server. */
	while (ours && accept_one(link))
		;
	watch_remove(link->server->epoll, &link->watch);
	link->resume = 0;
	for (client = link->clients; client; ) {
		struct client *next = client->next;

		if (client->state == CLIENT_JOINED ||
		    client->state == CLIENT_WAITING)
			client_hang_up(client);
		client = next;
	}
}

static bool anybody_in_handshake(const struct link *link)
{
	const struct client *client = link->clients;

	while (client && client->state != CLIENT_HANDSHAKE)
		client = client->next;
	return client;
}

bool link_has_ended(const struct link *link)
{
	return link->stop_by && (link->server->now >= link->stop_by ||
				 !anybody_in_handshake(link));
}

/* Who is there may have been told something else. */
static void check_directory(struct link *link)
{
	link->check_due = link->joined && !link->stop_by ?
			  link->server->now + CHECK_PERIOD : UINT64_MAX;
	if (directory_check(&link->directory))
		ring_all(link);
	log_change(link);
}

uint64_t link_next_timeout(const struct link *link)
{
	uint64_t next = log_limit_due(&link->limit);

	if (link->check_due < next)
		next = link->check_due;
	if (link->resume && link->resume < next)
		next = link->resume;
	if (link->stop_by && link->stop_by < next)
		next = link->stop_by;
	if (link->store_due < next)
		next = link->store_due;
	for (struct client *client = link->clients; client;
	     client = client->next) {
		uint64_t timeout = client_next_timeout(client);

		if (timeout < next)
			next = timeout;
	}
	return next;
}

uint64_t link_next_turn(const struct link *link, uid_t uid)
{
	uint64_t turn = UINT64_MAX;

	for (const struct client *client = link->clients;
	     client && link->waiting; client = client->next) {
		if (client->state == CLIENT_WAITING &&
		    client->credentials.uid == uid && client->retry < turn)
			turn = client->retry;
	}
	return turn;
}

static struct client *next_in_turn(const struct link *link)
{
	struct client *next = NULL;

	for (struct client *client = link->clients; client;
	     client = client->next) {
		/* New ones are put in front. */
		if (client->state == CLIENT_WAITING &&
		    (!next || client->retry <= next->retry))
			next = client;
	}
	return next && next->retry <= link->server->now ? next : NULL;
}

static void admit_waiting(struct link *link)
{
	struct client *client;

	while (link->waiting && (client = next_in_turn(link)))
		client_take_turn(client);
}

void link_run_timeouts(struct link *link)
{
	struct client *client = link->clients;

	log_limit_flush(&link->limit, link->server->now);
	if (link->server->now >= link->check_due)
		check_directory(link);
	if (link->server->now >= link->store_due)
		store_keep_clients(link, false);
	if (link->resume && link->server->now >= link->resume) {
		link->resume = 0;
		server_restore_reserve(link->server);
		watch_change(link->server->epoll, &link->watch, EPOLLIN);
	}
	while (client) {
		/* It may close itself, but no other. */
		struct client *next = client->next;

		client_run_timeouts(client);
		client = next;
	}
	admit_waiting(link);
}
