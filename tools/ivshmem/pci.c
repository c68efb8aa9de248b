// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks through /sys/bus/pci for ivshmem devices.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parse.h"
#include "pci.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"
#define VENDOR		0x1af4
#define DEVICE		0x1110
#define BAR_MSIX	1
#define BAR_MEMORY	2

/* First word of an attribute; false if there is none. */
static bool read_word(const char *directory, const char *name, char *word,
		      size_t size)
{
	char path[PATH_MAX], line[256];
	bool ret = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(line, sizeof(line), file)) {
		line[strcspn(line, " \t\n")] = '\0';
		ret = (size_t)snprintf(word, size, "%s", line) < size;
	}
	fclose(file);
	return ret;
}

static bool read_value(const char *directory, const char *name, uint64_t *value)
{
	char word[64];

	return read_word(directory, name, word, sizeof(word)) &&
	       parse_number(word, UINT64_MAX, value);
}

/* A line of "resource" for each BAR: first address, last address, flags. */
static void read_bars(const char *directory, struct pci_device *device)
{
	char path[PATH_MAX], line[256];
	uint64_t first, last, size;
	FILE *file;
	int bar;

	snprintf(path, sizeof(path), "%s/resource", directory);
	file = fopen(path, "re");
	if (!file)
		return;
	for (bar = 0; bar <= BAR_MEMORY; bar++) {
		if (!fgets(line, sizeof(line), file) ||
		    sscanf(line, "%" SCNx64 " %" SCNx64, &first, &last) != 2)
			break;
		size = last ? last - first + 1 : 0;
		if (bar == BAR_MSIX)
			device->doorbell = size;
		if (bar == BAR_MEMORY)
			device->memory_size = size;
	}
	fclose(file);
}

static void read_driver(const char *directory, struct pci_device *device)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/driver", directory);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(device->driver, sizeof(device->driver), "%s",
		 name ? name + 1 : target);
}

static void read_class_device(const char *directory, struct pci_device *device)
{
	char path[PATH_MAX];
	const char *name;
	glob_t found;

	snprintf(path, sizeof(path), "%s/ivshmem/ivshmem*", directory);
	if (glob(path, 0, NULL, &found))
		return;
	name = strrchr(found.gl_pathv[0], '/') + 1;
	snprintf(device->node, sizeof(device->node), "/dev/%s", name);
	device->known =
		read_value(found.gl_pathv[0], "peer_id", &device->peer_id) &&
		read_value(found.gl_pathv[0], "vectors", &device->vectors) &&
		read_word(found.gl_pathv[0], "cache_mode", device->cache_mode,
			  sizeof(device->cache_mode));
	globfree(&found);
}

static bool is_ivshmem(const char *directory)
{
	uint64_t vendor, device;

	return read_value(directory, "vendor", &vendor) && vendor == VENDOR &&
	       read_value(directory, "device", &device) && device == DEVICE;
}

static int add(struct pci_devices *devices, const char *directory)
{
	struct pci_device *list, *device;

	list = realloc(devices->list, (devices->count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	devices->list = list;
	device = &list[devices->count++];
	memset(device, 0, sizeof(*device));
	snprintf(device->address, sizeof(device->address), "%s",
		 strrchr(directory, '/') + 1);
	read_bars(directory, device);
	read_value(directory, "revision", &device->revision);
	read_driver(directory, device);
	if (!strcmp(device->driver, IVSHMEM_DRIVER))
		read_class_device(directory, device);
	return 0;
}

int pci_find(struct pci_devices *devices)
{
	glob_t found;
	int ret = 0;
	size_t i;

	memset(devices, 0, sizeof(*devices));
	if (glob(PCI_DEVICES "/*", 0, NULL, &found))
		return 0;
	for (i = 0; !ret && i < found.gl_pathc; i++)
		if (is_ivshmem(found.gl_pathv[i]))
			ret = add(devices, found.gl_pathv[i]);
	globfree(&found);
	if (ret)
		pci_release(devices);
	return ret;
}

void pci_release(struct pci_devices *devices)
{
	free(devices->list);
	devices->list = NULL;
	devices->count = 0;
}
