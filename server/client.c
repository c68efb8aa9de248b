/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One connection: its handshake, its end, and the refusal of those who cannot
 * be served.
 */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "permission.h"
#include "protocol.h"
#include "server.h"
#include "store.h"

/* Until a client that was refused is hung up on. */
#define REFUSED_LINGER		2000
/* Between attempts while too many descriptors are in flight. */
#define STARVED_RETRY		20
/* Handshake timeouts that a client may be starved for. */
#define STARVED_TIMEOUTS	3
/*
 * What a message takes of a socket's buffer: 768 bytes in Linux 6.1, a little
 * more in later ones.
 */
#define MESSAGE_FOOTPRINT	1024

#define EVENTS_OF_CLIENT	(EPOLLIN | EPOLLRDHUP)

/* @id is what the journal is told that it is, or NULL. */
#define log_client(client, priority, id, format, ...) do { \
	struct log_event event_ = event_of(client, id); \
	log_event(&(client)->link->limit, (client)->link->server->now, \
		  priority, &event_, "link %s: " format, event_.link, \
		  __VA_ARGS__); \
} while (0)

static bool has_slot(const struct client *client)
{
	return client->state == CLIENT_HANDSHAKE ||
	       client->state == CLIENT_JOINED;
}

static struct log_event event_of(const struct client *client, const char *id)
{
	return (struct log_event) {
		.id = id,
		.link = client->link->config->name,
		.slot = has_slot(client) ? (int)client->slot : -1,
		.pid = client->credentials.pid,
		.uid = client->credentials.uid,
	};
}

static uint64_t handshake_timeout(const struct client *client)
{
	return client->link->server->config.handshake_timeout * 1000ULL;
}

static unsigned int handshake_length(const struct client *client)
{
	const struct link_config *config = client->link->config;

	return protocol_length(config->peers, config->vectors);
}

/* Take the client off the link; the memory goes once no event can name it. */
static void client_close(struct client *client)
{
	struct link *link = client->link;
	struct client **position = &link->clients;

	if (client->state == CLIENT_REFUSED)
		link->refused--;
	else if (client->state == CLIENT_WAITING)
		link->waiting--;
	else
		link_vacate(link, client->slot);
	client->state = CLIENT_CLOSED;
	/* The service manager may have it, too, which does not matter then. */
	if (!link->server->stopping)
		shutdown(client->watch.fd, SHUT_RDWR);
	watch_remove(link->server->epoll, &client->watch);
	close(client->watch.fd);
	while (*position != client)
		position = &(*position)->next;
	*position = client->next;
	server_bury(link->server, client);
}

static int tell_refusal(int fd, enum refusal refusal)
{
	struct protocol_message message = {
		.value = refusal_version(refusal),
		.fd = -1,
	};

	return protocol_send(fd, &message);
}

void client_hang_up(struct client *client)
{
	struct protocol_message message = {
		.value = PROTOCOL_ABORT,
		.fd = -1,
	};
	struct link *link = client->link;

	if (client->state == CLIENT_WAITING) {
		link_count(link, &link->counts.refusals[REFUSAL_SHUTDOWN]);
		tell_refusal(client->watch.fd, REFUSAL_SHUTDOWN);
	} else if (client->state == CLIENT_HANDSHAKE &&
		   client->step < PROTOCOL_PREAMBLE) {
		protocol_send(client->watch.fd, &message);
	}
	client_close(client);
}

/* What the others see of its end in the region. */
static const char *parting_text(const struct client *client)
{
	switch (link_part(client->link, client->slot)) {
	case PARTING_PRESENT:
		return ", without having left the region";
	case PARTING_ABSENT:
		return ", not in the region";
	default:
		return "";
	}
}

static void log_gone(const struct client *client, int priority,
		     const char *why)
{
	char connected[32] = "";
	struct tm local;

	if (client->state == CLIENT_REFUSED ||
	    client->state == CLIENT_WAITING) {
		log_client(client, LOG_DEBUG, NULL, "pid %d, %s, is gone",
			   client->credentials.pid,
			   client->state == CLIENT_REFUSED ?
			   "refused before" : "waiting for its turn");
		return;
	}
	if (localtime_r(&client->since, &local))
		strftime(connected, sizeof(connected), "%F %T", &local);
	if (client->state == CLIENT_HANDSHAKE)
		log_client(client, priority, LOG_ID_LEAVE,
			   "slot %u: pid %d (uid %u), connected since %s, %s "
			   "in its handshake after %u of %u messages",
			   client->slot,
			   client->credentials.pid, client->credentials.uid,
			   connected, why, client->step,
			   handshake_length(client));
	else
		log_client(client, priority, LOG_ID_LEAVE,
			   "slot %u: pid %d (uid %u), connected since %s, %s%s",
			   client->slot,
			   client->credentials.pid, client->credentials.uid,
			   connected, why, parting_text(client));
}

static void client_gone(struct client *client)
{
	log_gone(client, LOG_INFO, "is gone");
	client_close(client);
}

static void client_drop(struct client *client, const char *why)
{
	log_gone(client, LOG_WARNING, why);
	link_count(client->link, &client->link->counts.drops);
	client_hang_up(client);
}

static void client_set_events(struct client *client, uint32_t events)
{
	if (watch_change(client->link->server->epoll, &client->watch, events))
		client_drop(client, "cannot be watched any more");
}

/*
 * The connection itself says whether it is in its handshake, since it is what
 * outlives this server: nobody else looks at the priority of such a socket.
 */
static void mark_handshake(const struct client *client, int marked)
{
	setsockopt(client->watch.fd, SOL_SOCKET, SO_PRIORITY, &marked,
		   sizeof(marked));
}

static bool is_half_told(int fd)
{
	socklen_t length = sizeof(int);
	int marked = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &marked, &length) &&
	       marked;
}

static void client_joined(struct client *client)
{
	client->state = CLIENT_JOINED;
	client->retry = 0;
	link_count(client->link, &client->link->counts.joins);
	log_client(client, LOG_INFO, LOG_ID_JOIN,
		   "slot %u: pid %d (uid %u) joined", client->slot,
		   client->credentials.pid, client->credentials.uid);
	client_set_events(client, EVENTS_OF_CLIENT);
}

/*
 * Descriptors in flight are counted for all processes of a user: somebody
 * else may have used them up, and reading may free them at any time.  There
 * is no event for that.
 */
static void client_starve(struct client *client, int error)
{
	uint64_t now = client->link->server->now;
	uint64_t patience = handshake_timeout(client);

	if (!client->starved) {
		client->starved = now;
		log_client(client, LOG_WARNING, NULL, "slot %u: pid %d waits: %s; "
			   "clients that do not read hold descriptors, or "
			   "raise LimitNOFILE", client->slot,
			   client->credentials.pid, strerror(-error));
	}
	client->retry = now + STARVED_RETRY;
	client->deadline = now + patience;
	if (client->deadline > client->starved + STARVED_TIMEOUTS * patience)
		client->deadline = client->starved +
				   STARVED_TIMEOUTS * patience;
	client_set_events(client, EVENTS_OF_CLIENT);
}

static bool is_shortage(int error)
{
	return error == -ETOOMANYREFS || error == -ENOBUFS ||
	       error == -ENOMEM;
}

static void client_wait_for_room(struct client *client)
{
	log_client(client, LOG_DEBUG, NULL, "slot %u: pid %d has %u of %u messages "
		   "and must read", client->slot, client->credentials.pid,
		   client->step, handshake_length(client));
	client_set_events(client, EVENTS_OF_CLIENT | EPOLLOUT);
}

static int tell_next(const struct client *client,
		     const struct protocol_view *view, bool last)
{
	struct protocol_message message = protocol_message(view, client->step);
	int error;

	/* Who has the last one has joined, even if this server ends now */
	if (last)
		mark_handshake(client, 0);
	error = protocol_send(client->watch.fd, &message);
	if (error && last)
		mark_handshake(client, 1);
	return error;
}

/* Send what can be sent of the handshake. */
static void client_tell(struct client *client)
{
	const struct link *link = client->link;
	struct protocol_view view = {
		.memory = link->memory,
		.eventfds = link->eventfds,
		.peers = link->config->peers,
		.vectors = link->config->vectors,
		.slot = client->slot,
	};
	unsigned int length = handshake_length(client);
	int error = 0;

	while (client->step < length) {
		error = tell_next(client, &view, client->step + 1 == length);
		if (error)
			break;
		client->step++;
		client->retry = 0;
		client->starved = 0;
		client->deadline = link->server->now +
				   handshake_timeout(client);
	}
	if (!error)
		client_joined(client);
	else if (error == -EAGAIN)
		client_wait_for_room(client);
	else if (is_shortage(error))
		client_starve(client, error);
	else if (error == -EPIPE || error == -ECONNRESET)
		client_gone(client);
	else
		/* It lives, and is told that nothing more will come */
		client_drop(client, strerror(-error));
}

/* The protocol gives a client nothing to say: all that may come is its end. */
static void client_listen(struct client *client)
{
	char byte;
	ssize_t got = recv(client->watch.fd, &byte, 1, MSG_DONTWAIT);

	if (got < 0 && errno == EINTR)
		return;
	if (!got || (got < 0 && errno != EAGAIN))
		client_gone(client);
	else
		client_drop(client, "was dropped: it sent data, which the "
			    "protocol does not have");
}

static void client_ready(struct watch *watch, uint32_t events)
{
	struct client *client = watch_of(watch, struct client, watch);

	if (client->state == CLIENT_CLOSED)
		return;
	/* The end first, so that the slot is free for the next one. */
	if (events & ~(uint32_t)EPOLLOUT)
		client_listen(client);
	else if (client->state == CLIENT_HANDSHAKE)
		client_tell(client);
}

/* Bound what a client that never reads keeps in flight. */
static void bound_send_buffer(const struct client *client)
{
	unsigned int messages = client->link->server->budget.in_flight;
	int bytes;

	if (messages > handshake_length(client))
		messages = handshake_length(client);
	/* The kernel doubles the number, and has a minimum of its own. */
	bytes = (int)(messages * MESSAGE_FOOTPRINT / 2);
	setsockopt(client->watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes,
		   sizeof(bytes));
}

static struct client *client_new(struct link *link, int fd,
				 const struct ucred *credentials)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->link = link;
	client->state = CLIENT_WAITING;
	client->watch.fd = fd;
	client->watch.ready = client_ready;
	client->since = time(NULL);
	client->credentials = *credentials;
	if (watch_add(link->server->epoll, &client->watch, EVENTS_OF_CLIENT)) {
		free(client);
		return NULL;
	}
	client->next = link->clients;
	link->clients = client;
	link->waiting++;
	return client;
}

/* Nobody knows how far it was: it has to join again. */
static void end_half_told(const struct link *link, const struct stored *stored,
			  const struct ucred *credentials)
{
	struct protocol_message message = {
		.value = PROTOCOL_ABORT,
		.fd = -1,
	};

	log_warning("link %s: slot %u: pid %d (uid %u) was in its handshake "
		    "when the server before ended; it has to join again",
		    link->config->name, stored->index, credentials->pid,
		    credentials->uid);
	protocol_send(stored->fd, &message);
}

int client_resume(struct link *link, const struct stored *stored)
{
	struct ucred credentials = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t length = sizeof(credentials);
	struct client *client = NULL;

	getsockopt(stored->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	if (is_half_told(stored->fd))
		end_half_told(link, stored, &credentials);
	else
		client = client_new(link, stored->fd, &credentials);
	if (!client) {
		if (stored->number > link->numbers)
			link->numbers = stored->number;
		shutdown(stored->fd, SHUT_RDWR);
		close(stored->fd);
		return -1;
	}
	link->waiting--;
	client->state = CLIENT_JOINED;
	client->slot = stored->index;
	client->since = stored->since;
	client->number = stored->number;
	link_resume(link, client);
	return 0;
}

void client_refuse(int fd, enum refusal refusal)
{
	tell_refusal(fd, refusal);
	close(fd);
}

static void hang_up_on_oldest_refused(struct link *link)
{
	struct client *oldest = NULL;

	/* New ones are put in front. */
	for (struct client *client = link->clients; client;
	     client = client->next) {
		if (client->state == CLIENT_REFUSED)
			oldest = client;
	}
	if (oldest)
		client_close(oldest);
}

static void client_turn_away(struct client *client, enum refusal refusal)
{
	struct link *link = client->link;

	link_count(link, &link->counts.refusals[refusal]);
	if (link->refused == BUDGET_REFUSED)
		hang_up_on_oldest_refused(link);
	link->waiting--;
	link->refused++;
	client->state = CLIENT_REFUSED;
	client->deadline = link->server->now + REFUSED_LINGER;
	log_client(client, LOG_WARNING, LOG_ID_REFUSAL,
		   "pid %d (uid %u) was refused: %s",
		   client->credentials.pid, client->credentials.uid,
		   refusal_reason(refusal));
	if (tell_refusal(client->watch.fd, refusal))
		client_close(client);
}

static void client_serve(struct client *client, unsigned int slot)
{
	struct link *link = client->link;

	link->waiting--;
	client->number = ++link->numbers;
	client->state = CLIENT_HANDSHAKE;
	client->slot = slot;
	client->retry = 0;
	client->deadline = link->server->now + handshake_timeout(client);
	log_client(client, LOG_DEBUG, NULL,
		   "slot %u: pid %d (uid %u) connected", slot,
		   client->credentials.pid, client->credentials.uid);
	mark_handshake(client, 1);
	/* Before it can do anything there: it needs the memory for that. */
	link_occupy(link, slot, client);
	/* And before it learns the slot, which nobody else may get then. */
	store_keep_clients(link, false);
	bound_send_buffer(client);
	client_tell(client);
}

static bool has_enough(const struct link *link, uid_t uid)
{
	unsigned int limit = link->config->clients_per_user;

	return limit && link_clients_of(link, uid) >= limit;
}

static bool has_hung_up(int fd)
{
	char byte;

	return !recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

/*
 * Who has ended before this client came makes room for it, even if the event
 * that says so is still to come.
 */
static void make_room(struct link *link)
{
	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		struct client *client = link->slots[slot];

		if (client && has_hung_up(client->watch.fd))
			client_gone(client);
	}
}

static void client_admit(struct client *client)
{
	struct link *link = client->link;
	uid_t uid = client->credentials.uid;
	int slot;

	if (link_free_slot(link) < 0 || has_enough(link, uid))
		make_room(link);
	slot = link_free_slot(link);
	if (link->stop_by)
		client_turn_away(client, REFUSAL_SHUTDOWN);
	else if (!permission_granted(link->config, client->watch.fd))
		client_turn_away(client, REFUSAL_PERMISSION);
	else if (has_enough(link, uid))
		client_turn_away(client, REFUSAL_USER);
	else if (slot < 0)
		client_turn_away(client, REFUSAL_FULL);
	else
		client_serve(client, (unsigned int)slot);
}

/* When a client of this user can be served: now, which it then is, or later. */
static uint64_t turn_of(struct link *link, uid_t uid)
{
	struct pace_limit limit = {
		.per_second = link->config->connects_per_second,
		/* All may come at once, as they do when the host starts. */
		.burst = link->config->connects_per_second +
			 link->config->peers,
	};

	/* Who waits to be accepted when the link stops is told at once. */
	if (!limit.per_second || link->stop_by)
		return link->server->now;
	return pace_take(&link->pace, &limit, uid, link->server->now);
}

void client_take_turn(struct client *client)
{
	client->retry = turn_of(client->link, client->credentials.uid);
	if (client->retry <= client->link->server->now)
		client_admit(client);
}

/*
 * Who comes too often is worth a few system calls, and a place to wait only if
 * there are not many there already.
 */
static bool may_wait(const struct link *link, int fd)
{
	return link->waiting < BUDGET_WAITING && !has_hung_up(fd);
}

static void refuse_at_once(struct link *link, int fd, enum refusal refusal,
			   const struct ucred *credentials)
{
	struct log_event event = {
		.id = LOG_ID_REFUSAL,
		.link = link->config->name,
		.slot = -1,
		.pid = credentials->pid,
		.uid = credentials->uid,
	};

	link_count(link, &link->counts.refusals[refusal]);
	log_event(&link->limit, link->server->now, LOG_WARNING, &event,
		  "link %s: pid %d (uid %u) was refused: %s", event.link,
		  event.pid, event.uid, refusal_reason(refusal));
	client_refuse(fd, refusal);
}

void client_accept(struct link *link, int fd)
{
	struct ucred credentials = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t length = sizeof(credentials);
	struct client *client;
	uint64_t turn;
	bool waits;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	link_count(link, &link->counts.connects);
	/* Not before those who have been waiting. */
	turn = link_next_turn(link, credentials.uid);
	waits = turn != UINT64_MAX;
	if (!waits) {
		turn = turn_of(link, credentials.uid);
		waits = turn > link->server->now;
	}
	if (waits && !may_wait(link, fd)) {
		refuse_at_once(link, fd, REFUSAL_PACE, &credentials);
		return;
	}
	client = client_new(link, fd, &credentials);
	if (!client)
		refuse_at_once(link, fd, REFUSAL_EXHAUSTED, &credentials);
	else if (waits)
		client->retry = turn;
	else
		client_admit(client);
}

uint64_t client_next_timeout(const struct client *client)
{
	if (client->state == CLIENT_JOINED)
		return UINT64_MAX;
	if (client->state == CLIENT_WAITING)
		return client->retry;
	if (client->retry && client->retry < client->deadline)
		return client->retry;
	return client->deadline;
}

void client_run_timeouts(struct client *client)
{
	uint64_t now = client->link->server->now;

	if (client->state == CLIENT_REFUSED && now >= client->deadline) {
		client_close(client);
	} else if (client->state == CLIENT_HANDSHAKE) {
		if (now >= client->deadline)
			client_drop(client, "was dropped: it does not read "
				    "(handshake-timeout)");
		else if (client->retry && now >= client->retry)
			client_tell(client);
	}
}
