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
#include "driven.h"
#include "pci.h"

/* Prefix of the addresses of devices, as choose_driver() says; "" without */
static const char *driver_prefix = "";

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

bool choose_driver(const char *name)
{
	static const struct {
		const char *name;
		const char *prefix;
	} drivers[] = {
		{ IVSHMEM_DRIVER, "" },
		{ "vfio", VFIO_PREFIX },
		{ "pci", SYSFS_PREFIX },
	};
	size_t i;

	for (i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(drivers[i].name, name)) {
			driver_prefix = drivers[i].prefix;
			return true;
		}
	return false;
}

bool is_driver_chosen(void)
{
	return *driver_prefix;
}

/* "0000:00:10.0", and what may be behind it */
static bool is_place(const char *text)
{
	unsigned int domain, bus, device, function;
	int end = 0;

	return sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device,
		      &function, &end) == 4 && (!text[end] || text[end] == ',');
}

bool is_address(const char *text)
{
	return !strncmp(text, "unix:", 5) || strchr(text, '/') ||
	       is_driven(text) || (is_driver_chosen() && is_place(text));
}

static void print_choices(const char *prefix, const glob_t *found)
{
	size_t i;

	for (i = 0; i < found->gl_pathc; i++)
		fprintf(stderr, "\t%s%s\n", prefix, found->gl_pathv[i]);
}

static void print_devices(const struct pci_devices *devices)
{
	size_t i;

	for (i = 0; i < devices->count; i++)
		fprintf(stderr, "\t%s%s\n", driver_prefix,
			devices->list[i].address);
}

/* The only PCI device, whoever has it: if it is another, opening it says so. */
static bool default_device(char *address, size_t size)
{
	struct pci_devices devices;
	bool ret = false;

	if (pci_find(&devices)) {
		complain("out of memory");
		return false;
	}
	if (devices.count == 1) {
		ret = (size_t)snprintf(address, size, "%s%s", driver_prefix,
				       devices.list[0].address) < size;
	} else if (devices.count) {
		complain("more than one device; name one of these:");
		print_devices(&devices);
	} else {
		complain("there is no ivshmem device (1af4:1110)");
	}
	pci_release(&devices);
	return ret;
}

static bool default_node(char *address, size_t size)
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

bool full_address(const char *text, char *address, size_t size)
{
	const char *prefix = "";

	if (!text)
		return is_driver_chosen() ? default_device(address, size) :
					    default_node(address, size);
	if (is_driver_chosen() && is_place(text)) {
		prefix = driver_prefix;
	} else if (is_driver_chosen() && !is_driven(text)) {
		complain("%s: --driver is for PCI devices, as in "
			 "0000:00:10.0", text);
		return false;
	}
	if ((size_t)snprintf(address, size, "%s%s", prefix, text) < size)
		return true;
	complain("%s: the name is too long", text);
	return false;
}
