/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server as a whole: all links, the loop that serves them, and its end.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activation.h"
#include "client.h"
#include "link.h"
#include "log.h"
#include "notify.h"

/* For handshakes that are under way when the server is told to stop. */
#define STOP_PATIENCE	2000
/* Between two status texts for the service manager. */
#define STATUS_PAUSE	1000

void server_bury(struct server *server, struct client *client)
{
	client->next = server->graveyard;
	server->graveyard = client;
}

static void free_graveyard(struct server *server)
{
	while (server->graveyard) {
		struct client *client = server->graveyard;

		server->graveyard = client->next;
		free(client);
	}
}

void server_restore_reserve(struct server *server)
{
	if (server->reserve < 0)
		server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int server_spend_reserve(struct server *server, int listener)
{
	int fd;

	if (server->reserve >= 0)
		close(server->reserve);
	server->reserve = -1;
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void server_stop(struct server *server)
{
	server->stopping = true;
	server->stop_by = server->now + STOP_PATIENCE;
	notify_send("STOPPING=1\nSTATUS=Stopping");
	for (size_t i = 0; i < server->link_count; i++)
		link_stop(&server->links[i]);
}

static void signal_ready(struct watch *watch, uint32_t events)
{
	struct server *server = watch_of(watch, struct server, signals);
	struct signalfd_siginfo signal;

	(void)events;
	if (read(watch->fd, &signal, sizeof(signal)) != sizeof(signal))
		return;
	log_info("stopping: %s", strsignal((int)signal.ssi_signo));
	if (server->stopping)
		server->stop_by = server->now;
	else
		server_stop(server);
}

static int open_signals(struct server *server)
{
	sigset_t ends;

	/* A write beyond RLIMIT_FSIZE is to fail, not to kill. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	server->signals.fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
	server->signals.ready = signal_ready;
	if (server->signals.fd < 0)
		return -errno;
	return watch_add(server->epoll, &server->signals, EPOLLIN);
}

static int open_loop(struct server *server)
{
	int error;

	/* Early, so that its number is one that a lower limit still allows. */
	server_restore_reserve(server);
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	error = server->epoll < 0 ? -errno : open_signals(server);
	if (error)
		log_error("cannot wait for events: %s", strerror(-error));
	return error;
}

static int open_links(struct server *server, const int *fds)
{
	const struct config *config = server->config;

	for (size_t i = 0; i < config->link_count; i++) {
		if (link_open(&server->links[i], server, &config->links[i],
			      fds[i]))
			return -1;
		server->link_count++;
	}
	/* All or none: nobody joins a server that does not come up. */
	for (size_t i = 0; i < server->link_count; i++) {
		if (link_listen(&server->links[i]))
			return -1;
	}
	return 0;
}

int server_open(struct server *server, const struct config *config,
		const struct budget *budget)
{
	int *fds = calloc(config->link_count, sizeof(*fds));
	int result = -1;

	memset(server, 0, sizeof(*server));
	server->config = config;
	server->budget = *budget;
	server->epoll = -1;
	server->signals.fd = -1;
	server->reserve = -1;
	server->now = clock_now();
	server->clients = UINT_MAX;
	server->status_due = server->now;
	server->links = calloc(config->link_count, sizeof(*server->links));
	if (!fds || !server->links)
		log_error("out of memory");
	else if (!open_loop(server) && !activation_take(config, fds))
		result = open_links(server, fds);
	free(fds);
	if (result)
		server_close(server);
	return result;
}

void server_close(struct server *server)
{
	if (!server->stopping)
		server_stop(server);
	for (size_t i = 0; i < server->link_count; i++)
		link_close(&server->links[i]);
	free(server->links);
	free_graveyard(server);
	if (server->signals.fd >= 0)
		close(server->signals.fd);
	if (server->epoll >= 0)
		close(server->epoll);
	if (server->reserve >= 0)
		close(server->reserve);
}

static unsigned int count_clients(const struct server *server)
{
	unsigned int clients = 0;

	for (size_t i = 0; i < server->link_count; i++)
		clients += server->links[i].joined;
	return clients;
}

/* Tell the manager, but not of each of a thousand clients in a second. */
static void update_status(struct server *server)
{
	unsigned int clients = count_clients(server);
	char status[96];

	if (server->status_due == UINT64_MAX && clients != server->clients)
		server->status_due = server->now;
	if (server->now < server->status_due)
		return;
	snprintf(status, sizeof(status), "STATUS=%zu link%s, %u client%s",
		 server->link_count, server->link_count == 1 ? "" : "s",
		 clients, clients == 1 ? "" : "s");
	server->status_due = server->now + STATUS_PAUSE;
	if (clients == server->clients)
		server->status_due = UINT64_MAX;
	else if (!notify_send(status))
		server->clients = clients;
}

static bool anybody_in_handshake(const struct server *server)
{
	for (size_t i = 0; i < server->link_count; i++) {
		const struct client *client = server->links[i].clients;

		for (; client; client = client->next) {
			if (client->state == CLIENT_HANDSHAKE)
				return true;
		}
	}
	return false;
}

static int time_to_wait(const struct server *server)
{
	uint64_t next = server->stopping ? server->stop_by
					 : server->status_due;
	uint64_t now = clock_now();

	for (size_t i = 0; i < server->link_count; i++) {
		uint64_t timeout = link_next_timeout(&server->links[i]);

		if (timeout < next)
			next = timeout;
	}
	if (next == UINT64_MAX)
		return -1;
	/* Timeouts are hours at most. */
	return next > now ? (int)(next - now) : 0;
}

static int serve_once(struct server *server)
{
	int error = watch_wait(server->epoll, time_to_wait(server),
			       &server->now);

	for (size_t i = 0; i < server->link_count; i++)
		link_run_timeouts(&server->links[i]);
	free_graveyard(server);
	return error;
}

int server_run(struct server *server)
{
	int error = 0;

	notify_ready();
	while (!error && (!server->stopping ||
			  (anybody_in_handshake(server) &&
			   server->now < server->stop_by))) {
		error = serve_once(server);
		if (!server->stopping)
			update_status(server);
	}
	if (error)
		log_error("cannot wait for events: %s", strerror(-error));
	return error;
}
