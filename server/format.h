/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formatting the memory of a link before anybody gets it.
 */
#ifndef IVSHMEMD_FORMAT_H
#define IVSHMEMD_FORMAT_H

#include <stdbool.h>

#include <ivshmem/wire.h>

#include "config.h"

/**
 * format_plan() - what the layout of a link comes to
 * @config: with a layout
 *
 * Return: 0, or -1 with @error filled in.
 */
int format_plan(const struct link_config *config,
		struct ivregion_superblock *superblock,
		struct ivregion *region, struct config_error *error);

/**
 * format_memory() - give the memory of a link its layout, if it is to have one
 * @fd:      the memory
 * @existed: it is a file that was there before
 *
 * A file that has the layout is left alone, one that holds anything else is
 * refused, unless the link says otherwise.
 *
 * Return: 0; -1 after logging why.
 */
int format_memory(const struct link_config *config, int fd, bool existed);

#endif /* IVSHMEMD_FORMAT_H */
