/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets that the service manager has opened for us, by name.
 */
#include "activation.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "log.h"
#include "store.h"

static int assign(const struct config *config, int *fds, int fd,
		  const char *name)
{
	const struct link_config *link = config_find(config, name);
	size_t index;

	if (!link) {
		log_error("the service manager passes a socket named \"%s\", "
			  "but there is no link of that name; define it, or "
			  "set FileDescriptorName= of the socket unit to the "
			  "name of a link", name);
		return -1;
	}
	index = (size_t)(link - config->links);
	if (fds[index] >= 0) {
		log_error("link %s: the service manager passes two sockets for "
			  "it; one is what a link has", name);
		return -1;
	}
	fds[index] = fd;
	return 0;
}

int activation_take(const struct config *config, int *fds,
		    struct store *store)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	int result = 0;

	for (size_t i = 0; i < config->link_count; i++)
		fds[i] = -1;
	if (count < 0) {
		log_error("the sockets of the service manager cannot be used: "
			  "%s", strerror(-count));
		return -1;
	}
	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (result)
			close(fd);
		else if (store_is_name(names[i]))
			result = store_add(store, names[i], fd);
		else
			result = assign(config, fds, fd, names[i]);
		free(names[i]);
	}
	free(names);
	return result;
}
