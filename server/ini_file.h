/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a configuration file: sections, and keys with values.
 */
#ifndef IVSHMEMD_INI_FILE_H
#define IVSHMEMD_INI_FILE_H

#include "config_error.h"

/**
 * struct ini_taker - who takes what is in a file
 * @sections: which there can be, for messages: "[server] or [link NAME]"
 * @instead:  what to do without a file, for messages
 * @owner:    passed on
 * @section:  a section begins, at @where for messages
 * @pair:     a key and its value, in that section
 *
 * Both return 0, or -1 with @error filled in.
 */
struct ini_taker {
	const char *sections;
	const char *instead;
	void *owner;
	int (*section)(void *owner, const char *name, const char *where,
		       struct config_error *error);
	int (*pair)(void *owner, const char *key, const char *value,
		    struct config_error *error);
};

/**
 * ini_read() - read a file
 *
 * Return: 0, or -1 with @error filled in, which names file and line.
 */
int ini_read(const char *path, const struct ini_taker *taker,
	     struct config_error *error);

#endif /* IVSHMEMD_INI_FILE_H */
