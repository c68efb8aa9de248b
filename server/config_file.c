// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration file of the server: its sections.
 */
#include <string.h>

#include "config.h"
#include "ini_file.h"

/**
 * struct config_file - a file while it is read
 * @config: filled by it
 * @link:   the link whose section this is; NULL in [server]
 */
struct config_file {
	struct config *config;
	struct link_config *link;
};

static int begin_section(void *owner, const char *section, const char *where,
			 struct config_error *error)
{
	struct config_file *file = owner;

	file->link = NULL;
	if (!strcmp(section, "server"))
		return 0;
	if (strncmp(section, "link ", 5))
		return config_fail(error, "unknown section [%s]; expected "
				   "[server] or [link NAME]", section);
	section += 5 + strspn(section + 5, " \t");
	file->link = config_add_link(file->config, section, where, error);
	return file->link ? 0 : -1;
}

static int set_pair(void *owner, const char *key, const char *value,
		    struct config_error *error)
{
	struct config_file *file = owner;

	if (file->link)
		return config_set_link(file->link, key, value, error);
	return config_set_server(file->config, key, value, error);
}

int config_parse_file(struct config *config, const char *path,
		      struct config_error *error)
{
	struct config_file file = { .config = config };
	struct ini_taker taker = {
		.sections = "[server] or [link NAME]",
		.instead = "define a link with --link NAME",
		.owner = &file,
		.section = begin_section,
		.pair = set_pair,
	};

	return ini_read(path, &taker, error);
}
