/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NBD export of somebody else as a disk.
 */
#ifndef NBD_H
#define NBD_H

#include <stdbool.h>

#include "disk.h"

/** is_nbd_uri() - whether what is to be exported is one of these */
bool is_nbd_uri(const char *text);

extern const struct disk_ops nbd_ops;

#endif /* NBD_H */
