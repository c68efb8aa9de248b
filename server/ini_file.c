/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A configuration file: sections and keys by libinih, which is kept from
 * being lenient about what looks like a mistake.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ini_file.h"

/**
 * struct ini_file - a file while it is read
 * @taker:     filled by it
 * @error:     the first mistake
 * @path:      its name, for messages
 * @file:      the open file
 * @line:      number of the line that was read last
 * @raw:       that line
 * @raw_size:  allocated for it
 * @in_section: a section has begun
 * @announce:  the last line began a section: inih tells its name only with
 *             the first key, so that it gets one with no name
 * @want_pair: the last line can only be KEY = VALUE ...
 * @had_pair:  ... and inih took it for that
 * @failed:    @error is filled in, nothing more is read
 */
struct ini_file {
	const struct ini_taker *taker;
	struct config_error *error;
	const char *path;
	FILE *file;
	unsigned int line;
	char *raw;
	size_t raw_size;
	bool in_section;
	bool announce;
	bool want_pair;
	bool had_pair;
	bool failed;
};

/* Put file and line before the text that is in @error. */
static void file_blame(struct ini_file *file)
{
	char where[256];

	snprintf(where, sizeof(where), "%.200s:%u", file->path, file->line);
	config_blame(file->error, where);
	file->failed = true;
}

static char *file_refuse(struct ini_file *file, const char *why)
{
	config_fail(file->error, "%s", why);
	file_blame(file);
	return NULL;
}

static char *file_expect(struct ini_file *file, const char *also)
{
	char why[128];

	snprintf(why, sizeof(why), "expected %s%s", also,
		 file->taker->sections);
	return file_refuse(file, why);
}

/* Whitespace before a line makes inih append it to the value before it. */
static char *trimmed(char *line)
{
	char *end = line + strlen(line);

	while (end > line && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	return line + strspn(line, " \t");
}

static char *pass_on(struct ini_file *file, char *buffer, int size)
{
	char *line = trimmed(file->raw);
	size_t length = strlen(line);

	if (length >= (size_t)size) {
		config_fail(file->error, "the line is longer than %d characters"
			    "; shorten it", size - 1);
		file_blame(file);
		return NULL;
	}
	file->want_pair = *line && !strchr("#;[", *line);
	file->had_pair = false;
	/* Text after the bracket would be ignored, "[link a" too. */
	if (*line == '[' && line[length - 1] != ']')
		return file_expect(file, "");
	file->announce = *line == '[';
	memcpy(buffer, line, length + 1);
	return buffer;
}

/* ini_reader: the next line for inih, or NULL to end the reading. */
static char *read_line(char *buffer, int size, void *opaque)
{
	struct ini_file *file = opaque;
	ssize_t length;

	if (file->failed)
		return NULL;
	if (file->want_pair && !file->had_pair)
		return file_expect(file, "KEY = VALUE, ");
	if (file->announce) {
		file->want_pair = true;
		file->had_pair = false;
		memcpy(buffer, "=", 2);
		return buffer;
	}
	length = getline(&file->raw, &file->raw_size, file->file);
	if (length < 0)
		return NULL;
	file->line++;
	if (strlen(file->raw) != (size_t)length)
		return file_refuse(file, "the line contains a NUL character");
	return pass_on(file, buffer, size);
}

static int begin_section(struct ini_file *file, const char *section)
{
	char where[256];

	file->in_section = true;
	snprintf(where, sizeof(where), "%.200s:%u", file->path, file->line);
	return file->taker->section(file->taker->owner, section, where,
				    file->error);
}

static int set_pair(struct ini_file *file, const char *key,
		    const char *value)
{
	if (!file->in_section)
		return config_fail(file->error, "\"%s\" is in no section; put "
				   "%s before it", key, file->taker->sections);
	return file->taker->pair(file->taker->owner, key, value, file->error);
}

/* ini_handler: returns 0 for a mistake. */
static int handle_pair(void *opaque, const char *section, const char *key,
		       const char *value)
{
	struct ini_file *file = opaque;
	int result;

	if (file->failed)
		return 0;
	file->had_pair = true;
	if (file->announce) {
		file->announce = false;
		result = begin_section(file, section);
	} else {
		result = set_pair(file, key, value);
	}
	if (result)
		file_blame(file);
	return !result;
}

static int read_all(struct ini_file *file)
{
	int result = ini_parse_stream(read_line, file, handle_pair, file);

	if (file->failed)
		return -1;
	if (ferror(file->file))
		return config_fail(file->error, "%s: cannot read: %s",
				   file->path, strerror(errno));
	if (result < 0)
		return config_fail(file->error, "%s: out of memory",
				   file->path);
	if (result)
		return config_fail(file->error, "%s: a line is malformed",
				   file->path);
	return 0;
}

int ini_read(const char *path, const struct ini_taker *taker,
	     struct config_error *error)
{
	struct ini_file file = {
		.taker = taker,
		.error = error,
		.path = path,
	};
	int result;

	file.file = fopen(path, "re");
	if (!file.file)
		return config_fail(error, "%s: cannot open the configuration: "
				   "%s; create it, or %s", path,
				   strerror(errno), taker->instead);
	result = read_all(&file);
	free(file.raw);
	fclose(file.file);
	return result;
}
