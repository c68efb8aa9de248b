/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets of the service manager's whose link is gone from the configuration.
 */
#include "spare.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "config.h"
#include "loop.h"
#include "server.h"

/**
 * struct spare - a socket that is kept
 * @watch:  of it
 * @server: the server
 * @next:   the next one
 * @resume: when to accept again after a shortage; 0 if accepting
 * @name:   of the link that it is for
 */
struct spare {
	struct watch watch;
	struct server *server;
	struct spare *next;
	uint64_t resume;
	char name[LINK_NAME_LENGTH + 1];
};

static int accept_one(const struct spare *spare)
{
	int fd = accept4(spare->watch.fd, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
		return fd < 0 ? -errno : fd;
	return server_spend_reserve(spare->server, spare->watch.fd);
}

static void pause_one(struct spare *spare)
{
	spare->resume = spare->server->now + SHORTAGE_PAUSE;
	watch_change(spare->server->epoll, &spare->watch, 0);
}

uint64_t spare_next_timeout(const struct server *server)
{
	uint64_t next = UINT64_MAX;

	for (const struct spare *spare = server->spares; spare;
	     spare = spare->next) {
		if (spare->resume && spare->resume < next)
			next = spare->resume;
	}
	return next;
}

void spare_run_timeouts(struct server *server)
{
	for (struct spare *spare = server->spares; spare; spare = spare->next) {
		if (!spare->resume || server->now < spare->resume)
			continue;
		spare->resume = 0;
		watch_change(server->epoll, &spare->watch, EPOLLIN);
	}
}

static void spare_ready(struct watch *watch, uint32_t events)
{
	struct spare *spare = watch_of(watch, struct spare, watch);
	int fd = accept_one(spare);

	(void)events;
	if (fd >= 0)
		client_refuse(fd, REFUSAL_SHUTDOWN);
	else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED)
		/* Without descriptors: rather let them wait than spin. */
		pause_one(spare);
	server_restore_reserve(spare->server);
}

void spare_add(struct server *server, const char *name, int fd)
{
	struct spare *spare = calloc(1, sizeof(*spare));

	if (spare) {
		spare->watch.fd = fd;
		spare->watch.ready = spare_ready;
		spare->server = server;
		snprintf(spare->name, sizeof(spare->name), "%s", name);
	}
	if (!spare || watch_add(server->epoll, &spare->watch, EPOLLIN)) {
		free(spare);
		close(fd);
		return;
	}
	spare->next = server->spares;
	server->spares = spare;
}

static struct spare **find(struct server *server, const char *name)
{
	struct spare **position = &server->spares;

	while (*position && strcmp((*position)->name, name))
		position = &(*position)->next;
	return position;
}

/* The manager removes the file when its unit is stopped. */
static bool is_reachable(int fd)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address) - 1;

	return !getsockname(fd, (struct sockaddr *)&address, &length) &&
	       !access(address.sun_path, F_OK);
}

int spare_copy(struct server *server, const char *name)
{
	const struct spare *spare = *find(server, name);

	if (!spare || !is_reachable(spare->watch.fd))
		return -1;
	return fcntl(spare->watch.fd, F_DUPFD_CLOEXEC, 0);
}

static void drop(struct server *server, struct spare **position)
{
	struct spare *spare = *position;

	*position = spare->next;
	watch_remove(server->epoll, &spare->watch);
	close(spare->watch.fd);
	free(spare);
}

void spare_drop(struct server *server, const char *name)
{
	struct spare **position = find(server, name);

	if (*position)
		drop(server, position);
}

void spare_drop_all(struct server *server)
{
	while (server->spares)
		drop(server, &server->spares);
}
