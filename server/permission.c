/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may join a link, beyond who can open its socket.
 */
#include "permission.h"

#include <stdlib.h>
#include <sys/socket.h>

static bool is_listed(const struct link_config *config, bool is_group,
		      uint32_t id)
{
	for (size_t i = 0; i < config->allowed_count; i++) {
		const struct allowed_id *entry = &config->allowed[i];

		if (entry->is_group == is_group && entry->id == id)
			return true;
	}
	return false;
}

static bool has_listed_group(const struct link_config *config, int fd)
{
	socklen_t length = 0;
	bool listed = false;
	gid_t *groups;

	/* Fails with ERANGE, and says how much there is. */
	getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length);
	if (!length)
		return false;
	groups = malloc(length);
	if (!groups)
		return false;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length)) {
		for (size_t i = 0; i < length / sizeof(*groups) && !listed; i++)
			listed = is_listed(config, true, groups[i]);
	}
	free(groups);
	return listed;
}

bool permission_granted(const struct link_config *config, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (!config->allowed_count)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return false;
	return is_listed(config, false, peer.uid) ||
	       is_listed(config, true, peer.gid) ||
	       has_listed_group(config, fd);
}
