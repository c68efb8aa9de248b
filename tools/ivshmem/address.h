/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which devices and server sockets there are to choose from, and which one an
 * argument means.
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

/**
 * choose_driver() - what devices are to be driven by from now on
 * @name: "ivshmem" (the kernel's, as without this call), "vfio" or "pci"
 *
 * Return: false for another name.
 */
bool choose_driver(const char *name);
/** is_driver_chosen() - whether it is another than the kernel's */
bool is_driver_chosen(void);

/** is_address() - whether an argument looks like a device or a socket */
bool is_address(const char *text);

/**
 * full_address() - what ivshmem_open() wants
 * @text:    as given, or NULL for the default: the only /dev/ivshmem*, or the
 *           only PCI device if a driver was chosen
 * @address: filled in
 *
 * Return: false after a message, which says what there is to choose from.
 */
bool full_address(const char *text, char *address, size_t size);

#endif /* ADDRESS_H */
