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
#include "control.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "reload.h"
#include "spare.h"

/* Between two status texts for the service manager. */
#define STATUS_PAUSE	1000
/* Until it is told again that the server lives, if it could not be. */
#define WATCHDOG_RETRY	100

struct link *server_find(const struct server *server, const char *name)
{
	struct link *link = server->links;

	while (link && strcmp(link->config->name, name))
		link = link->next;
	return link;
}

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
	notify_send("STOPPING=1\nSTATUS=Stopping");
	for (struct link *link = server->links; link; link = link->next)
		link_stop(link);
}

/* Who asks twice does not want to wait for handshakes. */
static void server_hurry(struct server *server)
{
	for (struct link *link = server->links; link; link = link->next)
		link->stop_by = server->now;
	for (struct link *link = server->leaving; link; link = link->next)
		link->stop_by = server->now;
}

static void signal_ready(struct watch *watch, uint32_t events)
{
	struct server *server = watch_of(watch, struct server, signals);
	struct signalfd_siginfo signal;

	(void)events;
	if (read(watch->fd, &signal, sizeof(signal)) != sizeof(signal))
		return;
	if (signal.ssi_signo == SIGHUP) {
		server->reload_due = !server->stopping;
		return;
	}
	log_info("stopping: %s", strsignal((int)signal.ssi_signo));
	if (server->stopping)
		server_hurry(server);
	else
		server_stop(server);
}

static int open_signals(struct server *server)
{
	sigset_t signals;

	/* A write beyond RLIMIT_FSIZE is to fail, not to kill. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	server->signals.fd = signalfd(-1, &signals,
				      SFD_NONBLOCK | SFD_CLOEXEC);
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
	struct link **end = &server->links;

	for (size_t i = 0; i < server->config.link_count; i++) {
		*end = link_open(server, &server->config.links[i], fds[i]);
		if (!*end)
			return -1;
		end = &(*end)->next;
	}
	/* All or none: nobody joins a server that does not come up. */
	for (struct link *link = server->links; link; link = link->next) {
		if (link_listen(link))
			return -1;
	}
	return 0;
}

int server_open(struct server *server, const struct config_source *source,
		struct config *config, const struct budget *budget)
{
	int *fds = calloc(config->link_count, sizeof(*fds));
	int result = -1;

	memset(server, 0, sizeof(*server));
	server->source = source;
	server->config = *config;
	config_init(config);
	server->budget = *budget;
	server->epoll = -1;
	server->signals.fd = -1;
	server->reserve = -1;
	server->since = time(NULL);
	server->loaded = server->since;
	server->now = clock_now();
	server->clients = UINT_MAX;
	server->status_due = server->now;
	server->watchdog_period = notify_watchdog_period();
	store_init(&server->store);
	if (!fds)
		log_error("out of memory");
	else if (!open_loop(server) &&
		 !activation_take(&server->config, fds, &server->store) &&
		 !control_open(server))
		result = open_links(server, fds);
	free(fds);
	if (result) {
		server_close(server);
		return -1;
	}
	/* Of links that are not there any more. */
	store_drop(&server->store, NULL);
	metrics_write(server);
	return 0;
}

static void close_all(struct link **list)
{
	while (*list) {
		struct link *link = *list;

		*list = link->next;
		link_close(link);
	}
}

void server_close(struct server *server)
{
	if (!server->stopping)
		server_stop(server);
	if (server->metrics.written)
		metrics_remove(server->config.metrics_file);
	control_close(server);
	close_all(&server->links);
	close_all(&server->leaving);
	spare_drop_all(server);
	store_free(&server->store);
	free_graveyard(server);
	config_free(&server->config);
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

	for (const struct link *link = server->links; link; link = link->next)
		clients += link->joined;
	return clients;
}

/* The reason comes from the configuration: it has no line breaks. */
static int send_status(const struct server *server, unsigned int clients)
{
	char lines[sizeof(server->reload_error.text) + 128];
	const char *error = server->reload_error.text;
	size_t links = server->config.link_count;

	snprintf(lines, sizeof(lines), "%sSTATUS=%zu link%s, %u client%s%s%s",
		 server->ready_due ? "READY=1\n" : "", links,
		 links == 1 ? "" : "s", clients, clients == 1 ? "" : "s",
		 *error ? "; not reloaded: " : "", error);
	return notify_send(lines);
}

/* Tell the manager, but not of each of a thousand clients in a second. */
static void update_status(struct server *server)
{
	unsigned int clients = count_clients(server);
	bool news = clients != server->clients || server->ready_due;

	if (server->status_due == UINT64_MAX && news)
		server->status_due = server->now;
	if (server->now < server->status_due)
		return;
	server->status_due = server->now + STATUS_PAUSE;
	if (!news) {
		server->status_due = UINT64_MAX;
	} else if (!send_status(server, clients)) {
		server->clients = clients;
		server->ready_due = false;
	}
}

/* From the loop and nowhere else: that it runs is what is said. */
static void feed_watchdog(struct server *server)
{
	if (!server->watchdog_period || server->now < server->watchdog_due)
		return;
	server->watchdog_due = server->now + server->watchdog_period;
	if (notify_send("WATCHDOG=1"))
		server->watchdog_due = server->now + WATCHDOG_RETRY;
}

static bool has_ended(const struct server *server)
{
	const struct link *link = server->links;

	if (!server->stopping)
		return false;
	while (link && link_has_ended(link))
		link = link->next;
	return !link && !server->leaving;
}

static uint64_t first_timeout(const struct link *list, uint64_t next)
{
	for (const struct link *link = list; link; link = link->next) {
		uint64_t timeout = link_next_timeout(link);

		if (timeout < next)
			next = timeout;
	}
	return next;
}

static int time_to_wait(const struct server *server)
{
	uint64_t next = server->stopping ? UINT64_MAX : server->status_due;
	uint64_t now = clock_now();

	next = first_timeout(server->links, next);
	next = first_timeout(server->leaving, next);
	if (control_next_timeout(server->control) < next)
		next = control_next_timeout(server->control);
	if (metrics_next_timeout(server) < next)
		next = metrics_next_timeout(server);
	if (spare_next_timeout(server) < next)
		next = spare_next_timeout(server);
	if (server->watchdog_period && server->watchdog_due < next)
		next = server->watchdog_due;
	if (next == UINT64_MAX)
		return -1;
	/* Timeouts are hours at most. */
	return next > now ? (int)(next - now) : 0;
}

static void run_timeouts(struct link *list)
{
	for (struct link *link = list; link; link = link->next)
		link_run_timeouts(link);
}

static void close_ended(struct link **list)
{
	while (*list) {
		struct link *link = *list;

		if (!link_has_ended(link)) {
			list = &link->next;
			continue;
		}
		*list = link->next;
		link_close(link);
	}
}

static int serve_once(struct server *server)
{
	int error = watch_wait(server->epoll, time_to_wait(server),
			       &server->now);

	run_timeouts(server->links);
	run_timeouts(server->leaving);
	control_run_timeouts(server->control);
	metrics_run_timeouts(server);
	spare_run_timeouts(server);
	feed_watchdog(server);
	/* Now that no event can name what these free. */
	if (server->reload_due)
		reload(server);
	close_ended(&server->leaving);
	free_graveyard(server);
	return error;
}

int server_run(struct server *server)
{
	int error = 0;

	notify_ready();
	while (!error && !has_ended(server)) {
		error = serve_once(server);
		if (!server->stopping)
			update_status(server);
	}
	if (error)
		log_error("cannot wait for events: %s", strerror(-error));
	return error;
}
