/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file or a block device as a disk: what its two sources share.
 */
#ifndef FILE_H
#define FILE_H

#include "disk.h"

/** file_submit() - begin with a request */
void file_submit(struct disk *disk, struct request *request);

/** file_no_direct() - go through the page cache; -1 after a message if it must not */
int file_no_direct(struct disk *disk, const char *why);

#endif /* FILE_H */
