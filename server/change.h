/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What can change in a link while it is served, and what cannot.
 */
#ifndef IVSHMEMD_CHANGE_H
#define IVSHMEMD_CHANGE_H

#include "config.h"

/* All of their names, separated by commas, fit into it. */
#define CHANGE_NAMES_LENGTH	64

/**
 * change_names() - the keys in which two settings of a link differ, of those
 * that cannot change
 *
 * Its clients have the memory and the doorbells already, and its socket may be
 * on their command lines.
 *
 * Return: how many; @names has them for a message.
 */
unsigned int change_names(const struct link_config *served,
			  const struct link_config *wanted,
			  char names[CHANGE_NAMES_LENGTH]);

/**
 * change_merge() - the settings to go on with
 *
 * Return: a copy of @wanted with what cannot change taken from @served, for
 * link_config_free(); NULL if there is no memory.
 */
struct link_config *change_merge(const struct link_config *served,
				 const struct link_config *wanted);

#endif /* IVSHMEMD_CHANGE_H */
