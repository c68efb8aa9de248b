/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets that the service manager has opened for us, by name.
 */
#ifndef IVSHMEMD_ACTIVATION_H
#define IVSHMEMD_ACTIVATION_H

#include "config.h"

struct store;

/**
 * activation_take() - the sockets that were passed, for the links by name
 * @fds: one per link of @config: its socket, or -1
 * @store: gets what an earlier server had stored
 *
 * Return: 0; -1 after logging why a socket fits no link.
 */
int activation_take(const struct config *config, int *fds,
		    struct store *store);

#endif /* IVSHMEMD_ACTIVATION_H */
