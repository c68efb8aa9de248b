/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A listening socket: its file, its lock, its permissions.
 */
#ifndef IVSHMEMD_LISTENER_H
#define IVSHMEMD_LISTENER_H

#include <sys/stat.h>

#include "config.h"

/**
 * struct listener - a listening socket
 * @fd:        the socket
 * @lock:      the lock file beside it, -1 if systemd holds the socket
 * @key:       what names it in the configuration, for messages
 * @path:      where it is
 * @identity:  of the socket file, so that only our own is removed
 */
struct listener {
	int fd;
	int lock;
	const char *key;
	char *path;
	struct stat identity;
};

/**
 * listener_open() - make a socket
 *
 * A stale socket is replaced; anything else that is in the way is not.
 * Connecting is refused until listener_listen().
 *
 * Return: 0; -1 after logging why.
 */
int listener_open(struct listener *listener,
		  const struct socket_config *config);

/**
 * listener_adopt() - take over a listening socket that systemd passed
 * Return: 0; -1 after logging why.
 */
int listener_adopt(struct listener *listener, const struct link_config *config,
		   int fd);

/** listener_listen() - let clients connect; returns 0, or -1 with a log. */
int listener_listen(struct listener *listener);

/**
 * listener_set_permissions() - give a socket that is there other permissions
 *
 * Those who have connected stay.  A socket of systemd's does not change.
 *
 * Return: 0; -1 after logging why, with its mode as it was.
 */
int listener_set_permissions(struct listener *listener,
			     const struct socket_config *config);

/**
 * listener_stop() - let nobody connect any more
 *
 * Who has connected and was not accepted yet can still be accepted.  A socket
 * of systemd's stays as it is, for the next start.
 */
void listener_stop(struct listener *listener);

/** listener_close() - close socket and lock. */
void listener_close(struct listener *listener);

#endif /* IVSHMEMD_LISTENER_H */
