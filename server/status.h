/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How things are, as JSON: the server, its links, and who is connected to them.
 */
#ifndef IVSHMEMD_STATUS_H
#define IVSHMEMD_STATUS_H

struct server;

/**
 * status_json() - one JSON object, in one line; ivshmemd(8) has its members
 * Return: the text, for free(); NULL if there is no memory.
 */
char *status_json(const struct server *server);

#endif /* IVSHMEMD_STATUS_H */
