/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory on certain NUMA nodes.
 */
#ifndef IVSHMEMD_NODES_H
#define IVSHMEMD_NODES_H

#include <stdbool.h>
#include <stddef.h>

/** nodes_are_there() - whether these are nodes of this machine, as in "0,2-3". */
bool nodes_are_there(const char *nodes);

/**
 * nodes_bind() - take the pages of a mapping from certain nodes only
 * @nodes: for which nodes_are_there() is true
 *
 * Of a mapping of a memfd: it holds for all who map that.  Pages that are there
 * already stay where they are.
 *
 * Return: 0 or a negative errno of mbind(2).
 */
int nodes_bind(const char *nodes, void *mapping, size_t length);

#endif /* IVSHMEMD_NODES_H */
