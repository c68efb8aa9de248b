// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the devices and server sockets of this machine, and the one that is
 * meant when none is named.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "command.h"

static void list_type(const char *pattern, mode_t type, glob_t *found)
{
	size_t i, kept = 0;
	struct stat st;

	memset(found, 0, sizeof(*found));
	if (glob(pattern, 0, NULL, found))
		return;
	for (i = 0; i < found->gl_pathc; i++) {
		if (!stat(found->gl_pathv[i], &st) &&
		    (st.st_mode & S_IFMT) == type)
			found->gl_pathv[kept++] = found->gl_pathv[i];
		else
			free(found->gl_pathv[i]);
	}
	found->gl_pathc = kept;
	found->gl_pathv[kept] = NULL;
}

void list_nodes(glob_t *nodes)
{
	size_t i, kept = 0;

	list_type("/dev/ivshmem*", S_IFCHR, nodes);
	/* Those of sections are /dev/ivshmemN.NAME. */
	for (i = 0; i < nodes->gl_pathc; i++) {
		if (strchr(nodes->gl_pathv[i], '.'))
			free(nodes->gl_pathv[i]);
		else
			nodes->gl_pathv[kept++] = nodes->gl_pathv[i];
	}
	nodes->gl_pathc = kept;
	if (nodes->gl_pathv)
		nodes->gl_pathv[kept] = NULL;
}

void list_sockets(glob_t *sockets)
{
	list_type(SERVER_SOCKETS, S_IFSOCK, sockets);
}

bool is_address(const char *text)
{
	return !strncmp(text, "unix:", 5) || strchr(text, '/');
}

static void print_choices(const char *prefix, const glob_t *found)
{
	size_t i;

	for (i = 0; i < found->gl_pathc; i++)
		fprintf(stderr, "\t%s%s\n", prefix, found->gl_pathv[i]);
}

bool default_address(char *address, size_t size)
{
	glob_t nodes, sockets;
	bool ret = false;

	list_nodes(&nodes);
	list_sockets(&sockets);
	if (nodes.gl_pathc == 1) {
		ret = (size_t)snprintf(address, size, "%s",
				       nodes.gl_pathv[0]) < size;
	} else if (nodes.gl_pathc + sockets.gl_pathc) {
		complain("%s; name one of these:", nodes.gl_pathc ?
			 "more than one device" : "no /dev/ivshmem*");
		print_choices("", &nodes);
		print_choices("unix:", &sockets);
	} else {
		complain("no /dev/ivshmem* and no server socket %s; "
			 "`ivshmem doctor` tells what is missing",
			 SERVER_SOCKETS);
	}
	globfree(&nodes);
	globfree(&sockets);
	return ret;
}
