/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text of others, for people to read.
 */
#ifndef CLEAN_H
#define CLEAN_H

#include <stddef.h>

/**
 * clean_text() - copy what others have named: printable ASCII, "?" for the rest
 *
 * Whoever names a file, a process or a peer must not write to the terminal.
 */
void clean_text(char *to, size_t size, const char *from);

/**
 * command_path() - a path as part of a command that people may copy
 *
 * Return: @path, or "FILE" if a shell would see more than a path in it.
 */
const char *command_path(const char *path);

#endif /* CLEAN_H */
