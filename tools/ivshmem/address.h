/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which devices and server sockets there are to choose from.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <glob.h>
#include <stdbool.h>
#include <stddef.h>

#define SERVER_SOCKETS	"/run/ivshmem/*.sock"
/* The one among them that is no link's */
#define CONTROL_SOCKET	"/run/ivshmem/control.sock"

/** list_nodes() - devices /dev/ivshmemN, not of sections; globfree() it */
void list_nodes(glob_t *nodes);
/** list_sockets() - the sockets of running servers; globfree() it */
void list_sockets(glob_t *sockets);

/** is_address() - whether an argument looks like a device or a socket */
bool is_address(const char *text);

/**
 * default_address() - the only /dev/ivshmem*
 * @address: filled in
 *
 * Return: false after a message that says what there is to choose from.
 */
bool default_address(char *address, size_t size);

#endif /* ADDRESS_H */
