/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shared memory of a link: a sealed memfd, huge pages or a file.
 */
#ifndef IVSHMEMD_MEMORY_H
#define IVSHMEMD_MEMORY_H

#include "config.h"

/**
 * memory_open() - make the memory of a link, or open the file that it is in
 * @existed: set to whether it is a file that was there before
 *
 * Return: a descriptor; -1 after logging why.
 */
int memory_open(const struct link_config *config, bool *existed);

/** memory_huge_page() - the system's usual huge page size; 0 if it has none. */
uint64_t memory_huge_page(void);

#endif /* IVSHMEMD_MEMORY_H */
