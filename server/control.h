/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket, where the server is asked how things are.
 *
 * Who connects sends one line, gets one answer, and is hung up on.  The requests
 * are in control.c.
 */
#ifndef IVSHMEMD_CONTROL_H
#define IVSHMEMD_CONTROL_H

#include <stdint.h>

#include "config.h"

struct control;
struct server;

/**
 * control_open() - begin to answer, if the configuration wants that
 * Return: 0; -1 after logging why.
 */
int control_open(struct server *server);

/** control_close() - answer no more, and remove the socket. */
void control_close(struct server *server);

/**
 * control_plan() - keep in a new configuration what cannot change
 *
 * The place of the socket cannot; that it stays is logged.
 *
 * Return: 0, or -1 with @error filled in.
 */
int control_plan(const struct server *server, struct config *config,
		 struct config_error *error);

/** control_change() - give the socket the permissions of a new configuration. */
void control_change(struct server *server, struct config *config);

/** control_next_timeout() - when something is due; UINT64_MAX for never. */
uint64_t control_next_timeout(const struct control *control);

/** control_run_timeouts() - do what is due. */
void control_run_timeouts(struct control *control);

#endif /* IVSHMEMD_CONTROL_H */
