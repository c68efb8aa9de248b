// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel counts of a device: doorbells, network cards, disks.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clean.h"
#include "parse.h"
#include "top_source.h"

#define DEBUGFS		"/sys/kernel/debug/ivshmem"
#define BLOCK_SECTOR	512

/* First line of an attribute of sysfs. */
static bool read_line(const char *directory, const char *name, char *line,
		      size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	bool ret;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	ret = fgets(line, (int)size, file);
	fclose(file);
	if (ret)
		line[strcspn(line, "\n")] = '\0';
	return ret;
}

static bool read_value(const char *directory, const char *name, uint64_t *value)
{
	char line[64];

	return read_line(directory, name, line, sizeof(line)) &&
	       parse_number(line, UINT64_MAX, value);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void look_at_statistics(const char *directory, struct top_row *row)
{
	static const char *const names[TOP_COUNTS] = {
		[TOP_IN_BYTES] = "rx_bytes",
		[TOP_OUT_BYTES] = "tx_bytes",
		[TOP_IN] = "rx_packets",
		[TOP_OUT] = "tx_packets",
		[TOP_DROPPED] = "tx_dropped",
	};
	char path[PATH_MAX];
	uint64_t value;
	size_t i;

	snprintf(path, sizeof(path), "%s/statistics", directory);
	for (i = 0; i < TOP_COUNTS; i++)
		if (read_value(path, names[i], &value))
			top_set(&row->counts[i], value, 64);
}

static void add_card(const char *directory, struct top_device *device)
{
	struct top_row *row = top_add_row(device, TOP_CARD,
					  base_name(directory));
	char state[32];

	if (!row)
		return;
	if (read_line(directory, "operstate", state, sizeof(state)))
		clean_text(row->state, sizeof(row->state), state);
	look_at_statistics(directory, row);
	top_look_at_card(base_name(directory), device);
}

/* Documentation/block/stat.rst; flushes and discards are not shown. */
static void look_at_stat(const char *directory, struct top_row *row)
{
	uint64_t reads, read_sectors, writes, written_sectors;
	char line[256];

	if (!read_line(directory, "stat", line, sizeof(line)) ||
	    sscanf(line, "%" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64
		   " %*u %" SCNu64 " %*u %" SCNu64, &reads, &read_sectors,
		   &writes, &written_sectors, &row->fill) != 5)
		return;
	top_set(&row->counts[TOP_IN], reads, 64);
	top_set(&row->counts[TOP_OUT], writes, 64);
	top_set(&row->counts[TOP_IN_BYTES], read_sectors * BLOCK_SECTOR, 64);
	top_set(&row->counts[TOP_OUT_BYTES], written_sectors * BLOCK_SECTOR,
		64);
	row->filled = true;
}

/* Requests that all queues together have room for. */
static uint64_t depth(const char *directory)
{
	char pattern[PATH_MAX];
	uint64_t requests = 0;
	glob_t queues;

	read_value(directory, "queue/nr_requests", &requests);
	snprintf(pattern, sizeof(pattern), "%s/mq/*", directory);
	if (!glob(pattern, 0, NULL, &queues))
		requests *= queues.gl_pathc;
	globfree(&queues);
	return requests;
}

static void add_disk(const char *directory, struct top_device *device)
{
	struct top_row *row = top_add_row(device, TOP_DISK,
					  base_name(directory));
	char state[32];

	if (!row)
		return;
	if (read_line(directory, "device/state", state, sizeof(state)))
		clean_text(row->state, sizeof(row->state), state);
	row->size = depth(directory);
	look_at_stat(directory, row);
}

static void for_each(const char *directory, const char *pattern,
		     void (*add)(const char *path, struct top_device *device),
		     struct top_device *device)
{
	char path[PATH_MAX];
	glob_t found;
	size_t i;

	snprintf(path, sizeof(path), "%s/%s", directory, pattern);
	if (!glob(path, 0, NULL, &found))
		for (i = 0; i < found.gl_pathc; i++)
			add(found.gl_pathv[i], device);
	globfree(&found);
}

static void lack_debugfs(const char *path, int error, struct top_device *device)
{
	if (error == EACCES || error == EPERM)
		top_lack(device, "doorbells rung: for root only");
	else if (access(DEBUGFS, F_OK))
		top_lack(device, "doorbells rung: no " DEBUGFS
			 " (mount -t debugfs none /sys/kernel/debug)");
	else
		top_lack(device, "doorbells rung: %s: %s", path,
			 strerror(error));
}

static void look_at_debugfs(const char *name, struct top_device *device)
{
	char path[PATH_MAX], line[256];
	uint64_t rung;
	FILE *file;

	snprintf(path, sizeof(path), DEBUGFS "/%s/state", name);
	file = fopen(path, "re");
	if (!file) {
		lack_debugfs(path, errno, device);
		return;
	}
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "rung: %" SCNu64, &rung) == 1) {
			top_set(&device->counts[TOP_RUNG], rung, 64);
			break;
		}
	fclose(file);
}

static void look_at_region(const char *directory, struct top_device *device)
{
	char line[256], word[16];
	uint32_t slots, slot;

	if (!read_line(directory, "region", line, sizeof(line)) ||
	    sscanf(line, "%15[a-z]", word) != 1)
		return;
	clean_text(device->region, sizeof(device->region),
		   strcmp(word, "attached") ? word : "formatted");
	if (sscanf(line, "attached %*s instance %*s slots %2" SCNu32 " slot %2"
		   SCNu32, &slots, &slot) == 2) {
		device->slots = slots;
		device->slot = (int32_t)slot;
	}
}

/*
 * Where sysfs has the device that a node is of, or one of its sections, whatever the
 * node is called: "/sys/devices/.../ivshmem/ivshmem0", besides "ivshmem0.NAME".
 */
static bool find_directory(const char *node, char directory[PATH_MAX])
{
	char path[64], *name;
	struct stat st;

	if (stat(node, &st) || !S_ISCHR(st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(path, directory))
		return false;
	name = strrchr(directory, '/');
	if (strncmp(name, "/ivshmem", 8))
		return false;
	name[strcspn(name, ".")] = '\0';
	return true;
}

void top_look_at_kernel(const char *node, struct top_device *device)
{
	char directory[PATH_MAX];
	uint64_t value;

	if (!find_directory(node, directory))
		return;
	/* Who may not open the device is shown at least this. */
	if (!device->memory && read_value(directory, "memory_size", &value))
		device->memory = value;
	if (!device->vectors && read_value(directory, "vectors", &value))
		device->vectors = (uint32_t)value;
	if (!*device->region)
		look_at_region(directory, device);
	look_at_debugfs(base_name(directory), device);
	for_each(directory, "device/ivshmem.net.*/net/*", add_card, device);
	for_each(directory, "device/ivshmem.blk.*/block/*", add_disk, device);
}
