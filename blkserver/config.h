/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is to be exported: from the command line, or a configuration file with a
 * section for each export.
 */
#ifndef BLK_CONFIG_H
#define BLK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ivshmem/blk.h>

#include "config_error.h"

#define CONFIG_POLL_US		200
#define CONFIG_POLL_MAX_US	100000

enum direct_io {
	DIRECT_AUTO,		/* where it can be had */
	DIRECT_ON,
	DIRECT_OFF,
};

enum writers {
	WRITERS_ONE,		/* the others read only */
	WRITERS_ALL,		/* their file system knows of the others */
};

/**
 * struct export_config - one export
 * @name:       for messages, and for other peers
 * @origin:     where it was defined, for messages
 * @link:       address of the region; NULL for the only device or link
 * @section:    name of the section; NULL for the only one of type blk
 * @file:       file, block device, or URI of an NBD export
 * @serial:     for the guests' users
 * @read_only:  nothing is written
 * @discard:    space that guests give up is given up
 * @block_size: bytes; 0 for what suits the file
 * @queues:     pairs of rings that are used, at most; 0 for all
 * @poll_us:    how long to look before going to sleep
 * @direct:     whether to pass over the page cache
 * @writers:    how many front ends may write
 * @seen:       a bit for each key that was set
 */
struct export_config {
	char *name;
	char *origin;
	char *link;
	char *section;
	char *file;
	char serial[IVBLK_SERIAL + 1];
	bool read_only;
	bool discard;
	uint32_t block_size;
	uint32_t queues;
	uint32_t poll_us;
	enum direct_io direct;
	enum writers writers;
	unsigned int seen;
};

/**
 * struct config - everything
 * @exports: in the order of their definition
 * @count:   how many
 */
struct config {
	struct export_config *exports;
	size_t count;
};

/**
 * config_add() - define an export with the default settings
 *
 * Return: the export, valid until the next one is added; NULL with @error filled
 * in if the name is malformed or taken.
 */
struct export_config *config_add(struct config *config, const char *name,
				 const char *origin,
				 struct config_error *error);

/**
 * config_set() - set one key of an export
 *
 * The one place where keys and values are understood, for the file and for the
 * command line.
 *
 * Return: 0, or -1 with @error filled in.
 */
int config_set(struct export_config *export, const char *key,
	       const char *value, struct config_error *error);

/** config_check() - check what only shows once all keys are known */
int config_check(const struct config *config, struct config_error *error);

/** config_parse_file() - read a configuration file */
int config_parse_file(struct config *config, const char *path,
		      struct config_error *error);

void config_free(struct config *config);

#endif /* BLK_CONFIG_H */
