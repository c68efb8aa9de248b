// SPDX-License-Identifier: GPL-2.0-only
/*
 * The keys of an export and what their values mean, the same for the configuration
 * file and for the command line.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "ini_file.h"
#include "parse.h"

static const struct export_config *find(const struct config *config,
					const char *name)
{
	size_t i;

	for (i = 0; i < config->count; i++)
		if (!strcmp(config->exports[i].name, name))
			return &config->exports[i];
	return NULL;
}

static int init(struct export_config *export, const char *name,
		const char *origin)
{
	memset(export, 0, sizeof(*export));
	export->discard = true;
	export->poll_us = CONFIG_POLL_US;
	export->name = strdup(name);
	export->origin = strdup(origin);
	if (export->name && export->origin)
		return 0;
	free(export->name);
	free(export->origin);
	return -1;
}

struct export_config *config_add(struct config *config, const char *name,
				 const char *origin,
				 struct config_error *error)
{
	const struct export_config *twin = find(config, name);
	struct export_config *exports;

	if (!*name) {
		config_fail(error, "an export needs a name: [export NAME]");
		return NULL;
	}
	if (twin) {
		config_fail(error, "export %.64s is already defined by %s; give "
			    "this one another name", name, twin->origin);
		return NULL;
	}
	exports = realloc(config->exports,
			  (config->count + 1) * sizeof(*exports));
	if (exports)
		config->exports = exports;
	if (!exports || init(&exports[config->count], name, origin)) {
		config_fail(error, "out of memory");
		return NULL;
	}
	return &exports[config->count++];
}

void config_free(struct config *config)
{
	struct export_config *export;
	size_t i;

	for (i = 0; i < config->count; i++) {
		export = &config->exports[i];
		free(export->name);
		free(export->origin);
		free(export->link);
		free(export->section);
		free(export->file);
	}
	free(config->exports);
	memset(config, 0, sizeof(*config));
}

static int set_text(char **text, const char *key, const char *value,
		    struct config_error *error)
{
	if (!*value)
		return config_fail(error, "%s=: expected a text", key);
	free(*text);
	*text = strdup(value);
	return *text ? 0 : config_fail(error, "out of memory");
}

static int set_flag(bool *flag, const char *key, const char *value,
		    struct config_error *error)
{
	*flag = !strcmp(value, "yes");
	if (*flag || !strcmp(value, "no"))
		return 0;
	return config_fail(error, "%s=%s: expected yes or no", key, value);
}

static int set_count(uint32_t *count, const char *key, const char *value,
		     uint32_t least, uint32_t most, struct config_error *error)
{
	uint64_t number;

	if (!parse_number(value, most, &number) || number < least)
		return config_fail(error, "%s=%s: expected a number from %"
				   PRIu32 " to %" PRIu32, key, value, least,
				   most);
	*count = (uint32_t)number;
	return 0;
}

static int set_link(struct export_config *export, const char *value,
		    struct config_error *error)
{
	if (!is_address(value))
		return config_fail(error, "link=%s: neither a device nor "
				   "unix:/path/of/a/link.sock", value);
	return set_text(&export->link, "link", value, error);
}

static int set_section(struct export_config *export, const char *value,
		       struct config_error *error)
{
	return set_text(&export->section, "section", value, error);
}

static int set_file(struct export_config *export, const char *value,
		    struct config_error *error)
{
	return set_text(&export->file, "file", value, error);
}

static int set_serial(struct export_config *export, const char *value,
		      struct config_error *error)
{
	const char *letter;

	for (letter = value; *letter; letter++)
		if (*letter < 0x20 || *letter > 0x7e)
			break;
	if (*letter || letter - value > IVBLK_SERIAL)
		return config_fail(error, "serial=%s: expected at most %u "
				   "printable characters of ASCII", value,
				   IVBLK_SERIAL);
	memset(export->serial, 0, sizeof(export->serial));
	memcpy(export->serial, value, (size_t)(letter - value));
	return 0;
}

static int set_read_only(struct export_config *export, const char *value,
			 struct config_error *error)
{
	return set_flag(&export->read_only, "read-only", value, error);
}

static int set_discard(struct export_config *export, const char *value,
		       struct config_error *error)
{
	return set_flag(&export->discard, "discard", value, error);
}

static int set_block_size(struct export_config *export, const char *value,
			  struct config_error *error)
{
	uint64_t size;

	if (!parse_size(value, &size) || size > IVBLK_BLOCK_MAX ||
	    !ivblk_is_power((uint32_t)size, IVBLK_SECTOR, IVBLK_BLOCK_MAX))
		return config_fail(error, "block-size=%s: expected 512, 1024, "
				   "2048 or 4096", value);
	export->block_size = (uint32_t)size;
	return 0;
}

static int set_queues(struct export_config *export, const char *value,
		      struct config_error *error)
{
	return set_count(&export->queues, "queues", value, 1,
			 IVREGION_QUEUES_MAX, error);
}

static int set_poll(struct export_config *export, const char *value,
		    struct config_error *error)
{
	return set_count(&export->poll_us, "poll-us", value, 0,
			 CONFIG_POLL_MAX_US, error);
}

static int set_direct(struct export_config *export, const char *value,
		      struct config_error *error)
{
	static const char *const words[] = {
		[DIRECT_AUTO] = "auto",
		[DIRECT_ON] = "on",
		[DIRECT_OFF] = "off",
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(value, words[i]))
			break;
	export->direct = (enum direct_io)i;
	if (i < sizeof(words) / sizeof(words[0]))
		return 0;
	return config_fail(error, "direct=%s: expected auto, on or off", value);
}

static int set_writers(struct export_config *export, const char *value,
		       struct config_error *error)
{
	export->writers = strcmp(value, "all") ? WRITERS_ONE : WRITERS_ALL;
	if (export->writers == WRITERS_ALL || !strcmp(value, "one"))
		return 0;
	return config_fail(error, "writers=%s: expected one or all", value);
}

static const struct export_key {
	const char *name;
	int (*set)(struct export_config *export, const char *value,
		   struct config_error *error);
} keys[] = {
	{ "link", set_link },
	{ "section", set_section },
	{ "file", set_file },
	{ "serial", set_serial },
	{ "read-only", set_read_only },
	{ "discard", set_discard },
	{ "block-size", set_block_size },
	{ "queues", set_queues },
	{ "poll-us", set_poll },
	{ "direct", set_direct },
	{ "writers", set_writers },
};

#define KEYS	(sizeof(keys) / sizeof(keys[0]))

static int refuse_unknown_key(const char *key, struct config_error *error)
{
	char known[160] = "";
	size_t i, used = 0;

	for (i = 0; i < KEYS; i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used,
					 " %s", keys[i].name);
	return config_fail(error, "unknown key \"%s\"; an export has:%s", key,
			   known);
}

int config_set(struct export_config *export, const char *key,
	       const char *value, struct config_error *error)
{
	size_t i;

	for (i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, key))
			continue;
		if (export->seen & 1U << i)
			return config_fail(error, "%s is set twice for %s; "
					   "remove one", key, export->name);
		export->seen |= 1U << i;
		return keys[i].set(export, value, error);
	}
	return refuse_unknown_key(key, error);
}

/**
 * struct config_file - a file while it is read
 * @config: filled by it
 * @export: whose section this is
 */
struct config_file {
	struct config *config;
	struct export_config *export;
};

static int begin_section(void *owner, const char *section, const char *where,
			 struct config_error *error)
{
	struct config_file *file = owner;

	if (strncmp(section, "export ", 7))
		return config_fail(error, "unknown section [%s]; expected "
				   "[export NAME]", section);
	section += 7 + strspn(section + 7, " \t");
	file->export = config_add(file->config, section, where, error);
	return file->export ? 0 : -1;
}

static int set_pair(void *owner, const char *key, const char *value,
		    struct config_error *error)
{
	struct config_file *file = owner;

	return config_set(file->export, key, value, error);
}

int config_parse_file(struct config *config, const char *path,
		      struct config_error *error)
{
	struct config_file file = { .config = config };
	struct ini_taker taker = {
		.sections = "[export NAME]",
		.instead = "name the file to export on the command line",
		.owner = &file,
		.section = begin_section,
		.pair = set_pair,
	};

	if (ini_read(path, &taker, error))
		return -1;
	if (config->count)
		return 0;
	return config_fail(error, "%.256s: defines no export; add a section "
			   "[export NAME]", path);
}

/* Two of them would not get their locks, or would be two in a section. */
static int check_pair(const struct export_config *export,
		      const struct export_config *other,
		      struct config_error *error)
{
	if (!strcmp(export->file, other->file) &&
	    !(export->read_only && other->read_only))
		return config_fail(error, "%s: file=%s is already that of %s; "
				   "only read-only exports can share one",
				   export->origin, export->file, other->name);
	if (export->link && other->link && export->section && other->section &&
	    !strcmp(export->link, other->link) &&
	    !strcmp(export->section, other->section))
		return config_fail(error, "%s: section=%s of that link is "
				   "already that of %s; give each its own",
				   export->origin, export->section,
				   other->name);
	return 0;
}

static int check_export(const struct export_config *export,
			struct config_error *error)
{
	if (!export->file)
		return config_fail(error, "%s: file= is missing; give it the "
				   "file, block device or NBD export",
				   export->origin);
	if (export->read_only && export->writers == WRITERS_ALL)
		return config_fail(error, "%s: read-only=yes and writers=all "
				   "exclude each other; remove one",
				   export->origin);
	return 0;
}

int config_check(const struct config *config, struct config_error *error)
{
	size_t i, j;

	for (i = 0; i < config->count; i++) {
		if (check_export(&config->exports[i], error))
			return -1;
		for (j = 0; j < i; j++)
			if (check_pair(&config->exports[i], &config->exports[j],
				       error))
				return -1;
	}
	return 0;
}
