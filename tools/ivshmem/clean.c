// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes out of the text of others what a terminal would obey.
 */
#include <stdbool.h>
#include <string.h>

#include "clean.h"

#define PLAIN_LETTERS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
			"0123456789/._,+-"

void clean_text(char *to, size_t size, const char *from)
{
	size_t n;

	/* Not isprint(): a locale may call more printable than terminals do. */
	for (n = 0; n + 1 < size && from[n]; n++)
		to[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?';
	if (size)
		to[n] = '\0';
}

const char *command_path(const char *path)
{
	bool plain = *path == '/' && !path[strspn(path, PLAIN_LETTERS)];

	return plain ? path : "FILE";
}
