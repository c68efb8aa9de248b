/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What can change in a link while it is served, and what cannot.
 */
#include "change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *one, const char *other)
{
	return one && other ? !strcmp(one, other) : one == other;
}

static bool same_memory(const struct link_config *one,
			const struct link_config *other)
{
	return one->memory == other->memory &&
	       one->huge_page == other->huge_page &&
	       same_text(one->file, other->file);
}

unsigned int change_names(const struct link_config *served,
			  const struct link_config *wanted,
			  char names[CHANGE_NAMES_LENGTH])
{
	const struct {
		const char *name;
		bool same;
	} keys[] = {
		{ "socket", same_text(served->socket.path,
				      wanted->socket.path) },
		{ "size", served->size == wanted->size },
		{ "peers", served->peers == wanted->peers },
		{ "vectors", served->vectors == wanted->vectors },
		{ "memory", same_memory(served, wanted) },
		{ "numa", same_text(served->numa, wanted->numa) },
		{ "layout", same_text(served->layout, wanted->layout) },
	};
	unsigned int count = 0;
	size_t used = 0;

	names[0] = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (!keys[i].same)
			used += (size_t)snprintf(names + used,
						 CHANGE_NAMES_LENGTH - used,
						 "%s%s", count++ ? ", " : "",
						 keys[i].name);
	}
	return count;
}

static void swap_text(char **one, char **other)
{
	char *text = *one;

	*one = *other;
	*other = text;
}

struct link_config *change_merge(const struct link_config *served,
				 const struct link_config *wanted)
{
	struct link_config *merged = link_config_copy(wanted);
	struct link_config *fixed = link_config_copy(served);

	if (merged && fixed) {
		swap_text(&merged->socket.path, &fixed->socket.path);
		swap_text(&merged->file, &fixed->file);
		swap_text(&merged->numa, &fixed->numa);
		swap_text(&merged->layout, &fixed->layout);
		merged->size = served->size;
		merged->peers = served->peers;
		merged->vectors = served->vectors;
		merged->memory = served->memory;
		merged->huge_page = served->huge_page;
		merged->layout_force = served->layout_force;
	} else {
		link_config_free(merged);
		merged = NULL;
	}
	link_config_free(fixed);
	return merged;
}
