/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is printed in more than one place: JSON, sizes, cache types.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdint.h>

#include <json-c/json.h>

/** add_string(), add_number(), add_flag() - a member of a JSON object */
void add_string(struct json_object *object, const char *key, const char *text);
void add_number(struct json_object *object, const char *key, uint64_t number);
void add_flag(struct json_object *object, const char *key, int flag);
/** add_null() - a member that is not known */
void add_null(struct json_object *object, const char *key);
/** add_real() - a number with a fraction, three places of it */
void add_real(struct json_object *object, const char *key, double number);

/** print_json() - print and release a value */
void print_json(struct json_object *value);
/** print_json_line() - the same on a single line, written out at once */
void print_json_line(struct json_object *value);

/** format_size() - "64 KiB" or "12345 bytes" */
const char *format_size(uint64_t size, char text[32]);

/** cache_name() - "wb" ... of enum ivshmem_cache */
const char *cache_name(uint32_t cache);
/** cache_meaning() - "write-back" ... of such a name */
const char *cache_meaning(const char *name);

#endif /* OUTPUT_H */
