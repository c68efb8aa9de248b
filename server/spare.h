/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets of the service manager's whose link is gone from the configuration.
 *
 * The manager holds them, too, and passes them once, when the server starts: a
 * link that comes back needs them, and until then those who connect have to be
 * told that nobody serves them.
 */
#ifndef IVSHMEMD_SPARE_H
#define IVSHMEMD_SPARE_H

#include <stdint.h>

struct server;
struct spare;

/**
 * spare_add() - keep the socket of a link that is gone
 * @name: of the link
 * @fd:   its listening socket, which is taken over
 *
 * What happens otherwise, without memory, is that it is closed.
 */
void spare_add(struct server *server, const char *name, int fd);

/**
 * spare_copy() - the socket of a link that has come back
 *
 * Return: a copy of it; -1 if there is none, or one that nobody can reach any
 * more since the manager has closed it.
 */
int spare_copy(struct server *server, const char *name);

/** spare_next_timeout() - when to call spare_run_timeouts(); UINT64_MAX for never. */
uint64_t spare_next_timeout(const struct server *server);

/** spare_run_timeouts() - listen again after a shortage of descriptors. */
void spare_run_timeouts(struct server *server);

/** spare_drop() - close the socket that is kept under a name, if there is. */
void spare_drop(struct server *server, const char *name);

/** spare_drop_all() - close all of them. */
void spare_drop_all(struct server *server);

#endif /* IVSHMEMD_SPARE_H */
