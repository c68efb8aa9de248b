/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket, where the server is asked how things are.  Visitors may
 * send anything, or nothing, and need not read: each has one buffer for its
 * request, one for the answer, and a few seconds.
 */
#include "control.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "budget.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "server.h"
#include "status.h"

/* The longest request, its end of line included. */
#define REQUEST_LENGTH	32
/* From connecting until the answer has been read, milliseconds. */
#define VISIT_LENGTH	5000

/**
 * struct visitor - somebody who asks
 * @watch:    of the connection; its descriptor is -1 if there is nobody
 * @control:  the control socket
 * @deadline: when it is hung up on
 * @request:  what it has sent
 * @used:     bytes of that
 * @answer:   what it gets, or NULL as long as it is not known what it wants
 * @length:   bytes of that
 * @sent:     bytes of them that were sent
 */
struct visitor {
	struct watch watch;
	struct control *control;
	uint64_t deadline;
	char request[REQUEST_LENGTH];
	size_t used;
	char *answer;
	size_t length;
	size_t sent;
};

/**
 * struct control - the control socket
 * @watch:    of it
 * @server:   the server
 * @listener: the socket
 * @resume:   when to accept again after a shortage; 0 if accepting
 * @visitors: never moved, so that an event for one that has left in the same
 *            round finds the next one, or nobody, and does no harm
 */
struct control {
	struct watch watch;
	struct server *server;
	struct listener listener;
	uint64_t resume;
	struct visitor visitors[BUDGET_VISITORS];
};

static const struct request {
	const char *name;
	char *(*answer)(const struct server *server);
} requests[] = {
	{ "metrics", metrics_text },
	{ "status", status_json },
};

#define REQUESTS (sizeof(requests) / sizeof(*requests))

static void visitor_leave(struct visitor *visitor)
{
	watch_remove(visitor->control->server->epoll, &visitor->watch);
	close(visitor->watch.fd);
	visitor->watch.fd = -1;
	free(visitor->answer);
	visitor->answer = NULL;
}

static void visitor_tell(struct visitor *visitor)
{
	ssize_t sent;

	while (visitor->sent < visitor->length) {
		sent = send(visitor->watch.fd, visitor->answer + visitor->sent,
			    visitor->length - visitor->sent,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			break;
		visitor->sent += (size_t)sent;
	}
	visitor_leave(visitor);
}

static char *answer_to(const struct server *server, const char *request)
{
	for (size_t i = 0; i < REQUESTS; i++) {
		if (!strcmp(requests[i].name, request))
			return requests[i].answer(server);
	}
	return strdup("{\"error\": \"there is no such request\"}\n");
}

/* Returns whether there is a request: a line, or more than one can be. */
static bool has_request(struct visitor *visitor)
{
	char *end = memchr(visitor->request, '\n', visitor->used);

	if (!end && visitor->used < sizeof(visitor->request))
		return false;
	if (!end)
		end = visitor->request;
	*end = '\0';
	return true;
}

static void visitor_listen(struct visitor *visitor)
{
	struct server *server = visitor->control->server;
	ssize_t got = recv(visitor->watch.fd, visitor->request + visitor->used,
			   sizeof(visitor->request) - visitor->used,
			   MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		visitor_leave(visitor);
		return;
	}
	visitor->used += (size_t)got;
	if (!has_request(visitor))
		return;
	visitor->answer = answer_to(server, visitor->request);
	if (!visitor->answer ||
	    watch_change(server->epoll, &visitor->watch, EPOLLOUT)) {
		visitor_leave(visitor);
		return;
	}
	visitor->length = strlen(visitor->answer);
	visitor_tell(visitor);
}

static void visitor_ready(struct watch *watch, uint32_t events)
{
	struct visitor *visitor = watch_of(watch, struct visitor, watch);

	(void)events;
	if (visitor->watch.fd < 0)
		return;
	if (visitor->answer)
		visitor_tell(visitor);
	else
		visitor_listen(visitor);
}

/* Nobody can keep others out by staying. */
static struct visitor *find_place(struct control *control)
{
	struct visitor *oldest = &control->visitors[0];

	for (size_t i = 0; i < BUDGET_VISITORS; i++) {
		struct visitor *visitor = &control->visitors[i];

		if (visitor->watch.fd < 0)
			return visitor;
		if (visitor->deadline < oldest->deadline)
			oldest = visitor;
	}
	visitor_leave(oldest);
	return oldest;
}

static void receive_visitor(struct control *control, int fd)
{
	struct visitor *visitor = find_place(control);

	memset(visitor, 0, sizeof(*visitor));
	visitor->control = control;
	visitor->deadline = control->server->now + VISIT_LENGTH;
	visitor->watch.fd = fd;
	visitor->watch.ready = visitor_ready;
	if (!watch_add(control->server->epoll, &visitor->watch, EPOLLIN))
		return;
	close(fd);
	visitor->watch.fd = -1;
}

/* One at a time: clients of links get their turn in between. */
static void control_ready(struct watch *watch, uint32_t events)
{
	struct control *control = watch_of(watch, struct control, watch);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0) {
		receive_visitor(control, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		control->resume = control->server->now + SHORTAGE_PAUSE;
		watch_change(control->server->epoll, watch, 0);
	}
}

static int control_listen(struct control *control)
{
	struct server *server = control->server;
	int error;

	control->watch.fd = control->listener.fd;
	control->watch.ready = control_ready;
	error = watch_add(server->epoll, &control->watch, EPOLLIN);
	if (!error)
		return listener_listen(&control->listener);
	log_error("%s: %s", server->config.control.path, strerror(-error));
	return -1;
}

int control_open(struct server *server)
{
	struct control *control;

	if (!server->config.control.path)
		return 0;
	control = calloc(1, sizeof(*control));
	if (!control) {
		log_error("out of memory");
		return -1;
	}
	for (size_t i = 0; i < BUDGET_VISITORS; i++)
		control->visitors[i].watch.fd = -1;
	control->server = server;
	if (listener_open(&control->listener, &server->config.control)) {
		free(control);
		return -1;
	}
	server->control = control;
	return control_listen(control);
}

void control_close(struct server *server)
{
	struct control *control = server->control;

	if (!control)
		return;
	for (size_t i = 0; i < BUDGET_VISITORS; i++) {
		if (control->visitors[i].watch.fd >= 0)
			visitor_leave(&control->visitors[i]);
	}
	watch_remove(server->epoll, &control->watch);
	listener_stop(&control->listener);
	listener_close(&control->listener);
	free(control);
	server->control = NULL;
}

int control_plan(const struct server *server, struct config *config,
		 struct config_error *error)
{
	const char *present = server->config.control.path;
	char *wanted = config->control.path;

	if (present && wanted ? !strcmp(present, wanted) : present == wanted)
		return 0;
	log_warning("control=%s: cannot change while the server runs, it stays "
		    "%s; restart the server", wanted ? wanted : "none",
		    present ? present : "none");
	config->control.path = present ? strdup(present) : NULL;
	free(wanted);
	if (present && !config->control.path)
		return config_fail(error, "out of memory");
	return 0;
}

void control_change(struct server *server, struct config *config)
{
	const struct socket_config *present = &server->config.control;
	struct socket_config *wanted = &config->control;

	if (!server->control || (present->mode == wanted->mode &&
				 present->group == wanted->group))
		return;
	if (!listener_set_permissions(&server->control->listener, wanted))
		return;
	log_error("control-mode= and control-group= stay as they are");
	wanted->mode = present->mode;
	wanted->group = present->group;
}

uint64_t control_next_timeout(const struct control *control)
{
	uint64_t next = UINT64_MAX;

	if (!control)
		return next;
	if (control->resume)
		next = control->resume;
	for (size_t i = 0; i < BUDGET_VISITORS; i++) {
		const struct visitor *visitor = &control->visitors[i];

		if (visitor->watch.fd >= 0 && visitor->deadline < next)
			next = visitor->deadline;
	}
	return next;
}

void control_run_timeouts(struct control *control)
{
	struct server *server;

	if (!control)
		return;
	server = control->server;
	if (control->resume && server->now >= control->resume) {
		control->resume = 0;
		watch_change(server->epoll, &control->watch, EPOLLIN);
	}
	for (size_t i = 0; i < BUDGET_VISITORS; i++) {
		struct visitor *visitor = &control->visitors[i];

		if (visitor->watch.fd >= 0 && server->now >= visitor->deadline)
			visitor_leave(visitor);
	}
}
