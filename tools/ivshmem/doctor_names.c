// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the links by which one of several devices is found again
 * after a boot.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define LINKS	"/dev/ivshmem/by-*/*"

/* To the device itself, or to one of its sections. */
static bool leads_to(const char *link, const char *node)
{
	size_t length = strlen(node);
	char target[PATH_MAX];
	const char *name;
	ssize_t n;

	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	return !strncmp(name, node, length) &&
	       (!name[length] || name[length] == '.');
}

static void examine_name(struct findings *findings,
			 const struct pci_device *device, const glob_t *links)
{
	const char *node = strrchr(device->node, '/') + 1;
	char names[512] = "";
	size_t i, used = 0;

	for (i = 0; i < links->gl_pathc && used < sizeof(names); i++)
		if (leads_to(links->gl_pathv[i], node))
			used += (size_t)snprintf(names + used,
						 sizeof(names) - used, "%s%s",
						 used ? ", " : "",
						 links->gl_pathv[i]);
	if (used)
		found(findings, VERDICT_OK, "name", device->node, NULL,
		      "may have another number after the next boot; the same "
		      "is: %s", names);
	else
		found(findings, VERDICT_WARN, "name", device->node,
		      "install the udev rule (70-ivshmem.rules), then: "
		      "udevadm trigger --subsystem-match=ivshmem", "is %s, but "
		      "no link below /dev/ivshmem says so, and its number may "
		      "be another after the next boot", device->address);
}

void examine_names(struct findings *findings, const struct pci_devices *devices)
{
	size_t i, nodes = 0;
	glob_t links;

	for (i = 0; i < devices->count; i++)
		nodes += *devices->list[i].node != '\0';
	if (nodes < 2)
		return;
	if (glob(LINKS, 0, NULL, &links))
		links.gl_pathc = 0;
	for (i = 0; i < devices->count; i++)
		if (*devices->list[i].node)
			examine_name(findings, &devices->list[i], &links);
	if (links.gl_pathc)
		globfree(&links);
}
