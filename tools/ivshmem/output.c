// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints JSON, and words for sizes and cache types.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libivshmem.h>

#include "output.h"

void add_string(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

void add_number(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

void add_flag(struct json_object *object, const char *key, int flag)
{
	json_object_object_add(object, key, json_object_new_boolean(!!flag));
}

void add_null(struct json_object *object, const char *key)
{
	json_object_object_add(object, key, NULL);
}

void add_real(struct json_object *object, const char *key, double number)
{
	char text[64];

	snprintf(text, sizeof(text), "%.3f", number);
	json_object_object_add(object, key,
			       json_object_new_double_s(number, text));
}

void print_json(struct json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
}

void print_json_line(struct json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(value);
}

const char *format_size(uint64_t size, char text[32])
{
	static const char * const units[] = { "bytes", "KiB", "MiB", "GiB",
					      "TiB" };
	unsigned int unit = 0;

	while (size && !(size % 1024) && unit < 4) {
		size /= 1024;
		unit++;
	}
	snprintf(text, 32, "%" PRIu64 " %s", size, units[unit]);
	return text;
}

static const struct {
	const char *name;
	const char *meaning;
} caches[] = {
	[IVSHMEM_CACHED_UNKNOWN] = { "unknown", "not known" },
	[IVSHMEM_CACHED_WB] = { "wb", "write-back" },
	[IVSHMEM_CACHED_WT] = { "wt", "write-through" },
	[IVSHMEM_CACHED_WC] = { "wc", "write-combining" },
	[IVSHMEM_CACHED_UC] = { "uc", "uncached" },
};

#define CACHES	(sizeof(caches) / sizeof(caches[0]))

const char *cache_name(uint32_t cache)
{
	return caches[cache < CACHES ? cache : IVSHMEM_CACHED_UNKNOWN].name;
}

const char *cache_meaning(const char *name)
{
	size_t i;

	for (i = 0; i < CACHES; i++)
		if (!strcmp(caches[i].name, name))
			return caches[i].meaning;
	return caches[IVSHMEM_CACHED_UNKNOWN].meaning;
}
