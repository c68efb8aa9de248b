// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration file of the server: its sections, and the files of the
 * folder beside it.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int parse_one(struct config *config, const char *path,
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

static int is_drop_in(const struct dirent *entry)
{
	const char *suffix = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && suffix && !strcmp(suffix, ".conf");
}

/* The same order in every locale. */
static int by_name(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

/**
 * struct folder - the drop-in folder of a file
 * @path:    where it is
 * @entries: its files that count, in their order
 * @count:   how many
 */
struct folder {
	char path[PATH_MAX];
	struct dirent **entries;
	int count;
};

static int folder_open(struct folder *folder, const char *file,
		       struct config_error *error)
{
	int length = snprintf(folder->path, sizeof(folder->path), "%s.d",
			      file);

	folder->entries = NULL;
	folder->count = 0;
	if (length < 0 || (size_t)length >= sizeof(folder->path))
		return config_fail(error, "%.256s...: the name is too long",
				   file);
	folder->count = scandir(folder->path, &folder->entries, is_drop_in,
				by_name);
	if (folder->count >= 0)
		return 0;
	folder->count = 0;
	if (errno == ENOENT)
		return 0;
	return config_fail(error, "%.256s: cannot read the drop-in folder: %s",
			   folder->path, strerror(errno));
}

static void folder_close(struct folder *folder)
{
	for (int i = 0; i < folder->count; i++)
		free(folder->entries[i]);
	free(folder->entries);
}

static int folder_parse(const struct folder *folder, struct config *config,
			struct config_error *error)
{
	char path[PATH_MAX + NAME_MAX + 2];

	for (int i = 0; i < folder->count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder->path,
			 folder->entries[i]->d_name);
		if (parse_one(config, path, error))
			return -1;
	}
	return 0;
}

static bool is_missing(const char *path)
{
	return access(path, F_OK) && errno == ENOENT;
}

static int parse_tree(struct config *config, const char *path, bool optional,
		      struct config_error *error)
{
	struct folder folder;
	int result = 0;

	if (folder_open(&folder, path, error))
		return -1;
	if (!optional || !folder.count || !is_missing(path))
		result = parse_one(config, path, error);
	if (!result)
		result = folder_parse(&folder, config, error);
	folder_close(&folder);
	return result;
}

int config_parse_file(struct config *config, const char *path,
		      struct config_error *error)
{
	return parse_tree(config, path, false, error);
}

int config_parse_default(struct config *config, struct config_error *error)
{
	return parse_tree(config, CONFIG_DEFAULT_FILE, true, error);
}
