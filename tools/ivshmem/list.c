// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem list: the devices and server sockets of this machine.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "command.h"
#include "driven.h"
#include "output.h"
#include "pci.h"

#define COLUMNS	"%-13s %-18s %-12s %-10s %-9s %-8s %-4s %s\n"

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* What the tool takes as DEVICE; "" if nobody is there to do the work. */
static const char *address_of(const struct pci_device *device, char text[48])
{
	if (strcmp(device->driver, VFIO_DRIVER))
		return device->node;
	snprintf(text, 48, VFIO_PREFIX "%s", device->address);
	return text;
}

static void print_device(const struct pci_device *device)
{
	char size[32], id[24] = "-", vectors[24] = "-", address[48];

	if (device->known && device->doorbell)
		snprintf(id, sizeof(id), "%" PRIu64, device->peer_id);
	if (device->known)
		snprintf(vectors, sizeof(vectors), "%" PRIu64,
			 device->vectors);
	printf(COLUMNS, device->address,
	       or_dash(address_of(device, address)), or_dash(device->driver),
	       format_size(device->memory_size, size),
	       device->doorbell ? "doorbell" : "plain", vectors, id,
	       or_dash(device->cache_mode));
}

static void print_text(const struct pci_devices *devices,
		       const glob_t *sockets)
{
	size_t i;

	if (!devices->count && !sockets->gl_pathc)
		puts("No ivshmem device and no server socket on this machine.");
	if (devices->count)
		printf(COLUMNS, "PCI", "DEVICE", "DRIVER", "MEMORY", "KIND", "VECTORS", "ID",
		       "CACHE");
	for (i = 0; i < devices->count; i++)
		print_device(&devices->list[i]);
	if (sockets->gl_pathc)
		printf("%sSERVER SOCKET\n", devices->count ? "\n" : "");
	for (i = 0; i < sockets->gl_pathc; i++)
		printf("unix:%s\n", sockets->gl_pathv[i]);
}

static void add_text(struct json_object *object, const char *key,
		     const char *text)
{
	if (*text)
		add_string(object, key, text);
	else
		add_null(object, key);
}

static struct json_object *device_json(const struct pci_device *device)
{
	struct json_object *object = json_object_new_object();
	char address[48];

	add_string(object, "pci", device->address);
	add_text(object, "address", address_of(device, address));
	add_text(object, "node", device->node);
	add_text(object, "driver", device->driver);
	add_number(object, "memory_size", device->memory_size);
	add_flag(object, "doorbell", device->doorbell);
	add_number(object, "revision", device->revision);
	if (device->known && device->doorbell)
		add_number(object, "peer_id", device->peer_id);
	else
		add_null(object, "peer_id");
	if (device->known)
		add_number(object, "vectors", device->vectors);
	else
		add_null(object, "vectors");
	add_text(object, "cache_mode", device->cache_mode);
	return object;
}

static void print_as_json(const struct pci_devices *devices,
			  const glob_t *sockets)
{
	struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *servers = json_object_new_array();
	char address[512];
	size_t i;

	for (i = 0; i < devices->count; i++)
		json_object_array_add(list, device_json(&devices->list[i]));
	for (i = 0; i < sockets->gl_pathc; i++) {
		snprintf(address, sizeof(address), "unix:%s",
			 sockets->gl_pathv[i]);
		json_object_array_add(servers, json_object_new_string(address));
	}
	json_object_object_add(object, "devices", list);
	json_object_object_add(object, "servers", servers);
	print_json(object);
}

static enum exit_code run_list(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct pci_devices devices;
	bool json = false;
	glob_t sockets;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_list);
		case OPTION_JSON:
			json = true;
			break;
		default:
			return misused(&command_list, NULL);
		}
	}
	if (optind < argc)
		return misused(&command_list, "%s: no argument is expected",
			       argv[optind]);
	if (pci_find(&devices)) {
		complain("list: out of memory");
		return EXIT_FAILED;
	}
	list_sockets(&sockets);
	if (json)
		print_as_json(&devices, &sockets);
	else
		print_text(&devices, &sockets);
	globfree(&sockets);
	pci_release(&devices);
	return EXIT_DONE;
}

const struct command command_list = {
	.name = "list",
	.arguments = "[--json]",
	.summary = "List the ivshmem devices and server sockets of this machine.",
	.help =
		HELP_OPTION_JSON
		HELP_OPTION_HELP,
	.run = run_list,
};
