/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touching memory that a client can take away: a file can be shrunk, a hole can
 * be punched into huge pages, and then an access raises SIGBUS.
 */
#ifndef IVSHMEMD_GUARD_H
#define IVSHMEMD_GUARD_H

#include <stdbool.h>

/**
 * guard_run() - call a function that survives the lack of memory
 * @touch: does nothing but access memory: it may end at any access
 *
 * Return: whether it came to its end.
 */
bool guard_run(void (*touch)(void *argument), void *argument);

#endif /* IVSHMEMD_GUARD_H */
