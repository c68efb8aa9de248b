/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the configuration again while links are served.
 */
#ifndef IVSHMEMD_RELOAD_H
#define IVSHMEMD_RELOAD_H

struct server;

/**
 * reload() - have the server do what its configuration says by now
 *
 * All or nothing: a mistake in it, or a new link that cannot be made, leaves
 * everything as it is, and says why.  Links that are in both go on, with their
 * clients and memory, and with what can change of their settings.
 *
 * Frees links: not while events are being handled.
 */
void reload(struct server *server);

#endif /* IVSHMEMD_RELOAD_H */
