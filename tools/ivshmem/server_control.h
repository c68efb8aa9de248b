/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Asking a running ivshmemd, over its control socket.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

/**
 * server_ask() - send a request and wait for the answer
 * @path:    of the control socket
 * @request: one word
 *
 * Return: the answer, for free(); NULL after complaining.
 */
char *server_ask(const char *path, const char *request);

#endif /* SERVER_CONTROL_H */
