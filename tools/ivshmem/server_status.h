/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ivshmem server status: what a running ivshmemd says of its links.
 */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include <stdbool.h>

#include "command.h"

/** server_status() - ask at @path, and print a table or JSON */
enum exit_code server_status(const char *path, bool json);

#endif /* SERVER_STATUS_H */
