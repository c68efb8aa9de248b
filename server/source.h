/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the configuration comes from: files and command line, which can be read
 * again at any time.
 */
#ifndef IVSHMEMD_SOURCE_H
#define IVSHMEMD_SOURCE_H

#include "config.h"

/**
 * struct config_source - what was asked for on the command line
 * @file:              --config, or NULL
 * @links:             the arguments of --link
 * @link_count:        how many
 * @handshake_timeout: --handshake-timeout, or NULL
 * @control:           --control, or NULL
 */
struct config_source {
	const char *file;
	const char **links;
	size_t link_count;
	const char *handshake_timeout;
	const char *control;
};

/**
 * config_load() - read and check all of it
 *
 * The command line wins over the files.
 *
 * Return: 0, or -1 with @error filled in and nothing left in @config.
 */
int config_load(const struct config_source *source, struct config *config,
		struct config_error *error);

#endif /* IVSHMEMD_SOURCE_H */
