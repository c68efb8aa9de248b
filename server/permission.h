/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may join a link, beyond who can open its socket.
 */
#ifndef IVSHMEMD_PERMISSION_H
#define IVSHMEMD_PERMISSION_H

#include <stdbool.h>

#include "config.h"

/**
 * permission_granted() - whether allow= lists the user or a group of a client
 * @fd: its connection
 *
 * Judged by what the kernel recorded when it connected.
 */
bool permission_granted(const struct link_config *config, int fd);

#endif /* IVSHMEMD_PERMISSION_H */
