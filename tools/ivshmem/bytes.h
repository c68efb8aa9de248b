/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes as people read and write them: hexadecimal and ASCII.
 */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>

/**
 * print_bytes() - lines of 16 bytes, hexadecimal and ASCII
 * @bytes:  shared memory: each byte is read once
 * @offset: of the first byte, for the margin
 *
 * Lines that repeat the one before are shown as a single "*".
 */
void print_bytes(const volatile unsigned char *bytes, size_t length,
		 uint64_t offset);

/** hex_string() - two digits a byte; to be freed; NULL without memory */
char *hex_string(const volatile unsigned char *bytes, size_t length);

/**
 * parse_hex() - digits, in pairs, with blanks or colons between the pairs
 * @bytes: at least half as many as @text has characters
 *
 * Return: number of bytes, or -1 if @text is malformed or empty.
 */
long parse_hex(const char *text, unsigned char *bytes);

#endif /* BYTES_H */
