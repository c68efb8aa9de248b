/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory on certain NUMA nodes.
 */
#include "nodes.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>

/* The library says by this what it does not understand; we say it ourselves. */
void numa_warn(int number, char *where, ...)
{
	(void)number;
	(void)where;
}

bool nodes_are_there(const char *nodes)
{
	struct bitmask *mask;
	bool some;

	if (numa_available() < 0 || !*nodes)
		return false;
	mask = numa_parse_nodestring(nodes);
	if (!mask)
		return false;
	some = numa_bitmask_weight(mask);
	numa_bitmask_free(mask);
	return some;
}

int nodes_bind(const char *nodes, void *mapping, size_t length)
{
	struct bitmask *mask = numa_parse_nodestring(nodes);
	int error = 0;

	if (!mask)
		return -EINVAL;
	if (mbind(mapping, length, MPOL_BIND, mask->maskp, mask->size + 1, 0))
		error = -errno;
	numa_bitmask_free(mask);
	return error;
}
