/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers, sizes and times as they are written on the command line.
 */
#ifndef PARSE_H
#define PARSE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Those that return false leave the result as it was.
 */

/** parse_number() - decimal or 0x, @max at most */
bool parse_number(const char *text, uint64_t max, uint64_t *number);
/** parse_size() - like a number, with a suffix K, M, G, T or P */
bool parse_size(const char *text, uint64_t *size);
/** parse_seconds() - seconds with a fraction, up to a million; result in ns */
bool parse_seconds(const char *text, uint64_t *ns);

#endif /* PARSE_H */
