// SPDX-License-Identifier: GPL-2.0-only
/*
 * Turns bytes into text and text into bytes.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define LINE_BYTES	16

static void print_line(const unsigned char *line, size_t n, uint64_t offset)
{
	size_t i;

	printf("%08" PRIx64 " ", offset);
	for (i = 0; i < LINE_BYTES; i++) {
		if (i == LINE_BYTES / 2)
			putchar(' ');
		if (i < n)
			printf(" %02x", line[i]);
		else
			fputs("   ", stdout);
	}
	fputs("  |", stdout);
	for (i = 0; i < n; i++)
		putchar(line[i] >= 0x20 && line[i] < 0x7f ? line[i] : '.');
	puts("|");
}

void print_bytes(const volatile unsigned char *bytes, size_t length,
		 uint64_t offset)
{
	unsigned char line[LINE_BYTES], previous[LINE_BYTES] = { 0 };
	bool repeated = false;
	size_t at, i, n;

	for (at = 0; at < length; at += n) {
		n = length - at < LINE_BYTES ? length - at : LINE_BYTES;
		for (i = 0; i < n; i++)
			line[i] = bytes[at + i];
		if (at && n == LINE_BYTES && !memcmp(line, previous, n)) {
			if (!repeated)
				puts("*");
			repeated = true;
			continue;
		}
		repeated = false;
		print_line(line, n, offset + at);
		memcpy(previous, line, n);
	}
	printf("%08" PRIx64 "\n", offset + length);
}

char *hex_string(const volatile unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * length + 1);
	unsigned char byte;
	size_t i;

	if (!text)
		return NULL;
	for (i = 0; i < length; i++) {
		byte = bytes[i];
		text[2 * i] = digits[byte >> 4];
		text[2 * i + 1] = digits[byte & 15];
	}
	text[2 * length] = '\0';
	return text;
}

static int digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	if (isxdigit((unsigned char)c))
		return tolower((unsigned char)c) - 'a' + 10;
	return -1;
}

long parse_hex(const char *text, unsigned char *bytes)
{
	int high, low;
	long n = 0;

	while (*text) {
		if (isspace((unsigned char)*text) || (*text == ':' && n)) {
			text++;
			continue;
		}
		high = digit(text[0]);
		low = high < 0 ? -1 : digit(text[1]);
		if (low < 0)
			return -1;
		bytes[n++] = (unsigned char)(high * 16 + low);
		text += 2;
	}
	return n ? n : -1;
}
