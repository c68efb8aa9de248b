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

static void leave_out(glob_t *found, bool (*unwanted)(const char *path))
{
	size_t i, kept = 0;

	for (i = 0; i < found->gl_pathc; i++) {
		if (unwanted(found->gl_pathv[i]))
			free(found->gl_pathv[i]);
		else
			found->gl_pathv[kept++] = found->gl_pathv[i];
	}
	found->gl_pathc = kept;
	if (found->gl_pathv)
		found->gl_pathv[kept] = NULL;
}

/* Those of sections are /dev/ivshmemN.NAME. */
static bool is_section(const char *path)
{
	return strchr(path, '.');
}

/* There the server is asked how it is. */
static bool is_control(const char *path)
{
	return !strcmp(path, CONTROL_SOCKET);
}

void list_nodes(glob_t *nodes)
{
	list_type("/dev/ivshmem*", S_IFCHR, nodes);
	leave_out(nodes, is_section);
}

void list_sockets(glob_t *sockets)
{
	list_type(SERVER_SOCKETS, S_IFSOCK, sockets);
	leave_out(sockets, is_control);
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
