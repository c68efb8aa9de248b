// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads numbers, sizes and times; takes all of the text or nothing.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

#define NS_PER_S	1000000000.0
#define MAX_SECONDS	1000000.0

/* Octal is not meant when somebody writes 010; signs and blanks are not. */
static bool parse_prefix(const char *text, uint64_t *number, char **end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	if (hex ? !isxdigit((unsigned char)text[2]) :
		  !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*number = strtoull(text, end, hex ? 16 : 10);
	return !errno;
}

bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	uint64_t value;
	char *end;

	if (!parse_prefix(text, &value, &end) || *end || value > max)
		return false;
	*number = value;
	return true;
}

bool parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMGTP";
	unsigned int shift = 0;
	const char *suffix;
	uint64_t value;
	char *end;

	if (!parse_prefix(text, &value, &end))
		return false;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*size = value << shift;
	return true;
}

bool parse_seconds(const char *text, uint64_t *ns)
{
	double seconds;
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	seconds = strtod(text, &end);
	if (*end || end == text || !(seconds >= 0 && seconds <= MAX_SECONDS))
		return false;
	*ns = (uint64_t)(seconds * NS_PER_S);
	return true;
}
