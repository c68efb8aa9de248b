// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes below /sys and files of debugfs, read and written.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEVICE_PATH	"/sys/class/ivshmem/ivshmem0/"
#define DISK_PATH	"/sys/bus/auxiliary/devices/ivshmem.blk.0/"

/* Of sections that calls make */
const char * const section_names[] = { "lab", "big", "lan", "disk0", "x" };
const unsigned int nr_section_names = ARRAY_SIZE(section_names);

/* What can be written to them, with sensible values; NULL ends both */
static const struct attribute {
	const char *path;
	const char *values[6];
} attributes[] = {
	{ DEVICE_PATH "peer_id", { NULL } },
	{ DEVICE_PATH "vectors", { NULL } },
	{ DEVICE_PATH "memory_size", { NULL } },
	{ DEVICE_PATH "revision", { NULL } },
	{ DEVICE_PATH "cache_mode", { "wb", "wb", "wc", "uc", NULL } },
	{ DEVICE_PATH "ring_rate", { "100000", "0", "1000000000", "100", NULL } },
	{ DEVICE_PATH "irq_rate", { "100000", "0", "1000000000", "100", NULL } },
	{ DEVICE_PATH "region", { NULL } },
	{ DEVICE_PATH "peers", { NULL } },
	{ DEVICE_PATH "sections", { NULL } },
	{ DEVICE_PATH "slot", { "auto", "none", "0", "63", NULL } },
	{ DEVICE_PATH "name", { "", "a", "a machine", NULL } },
	{ DEVICE_PATH "programs", { "", "lan", "disk0 lan", "x", NULL } },
	{ DEVICE_PATH "device/reset", { "1", NULL } },
	{ "/sys/class/ivshmem/ivshmem1/slot", { "auto", "none", "0", "1", NULL } },
	{ "/sys/class/ivshmem/ivshmem0.lab/offset", { NULL } },
	{ "/sys/class/ivshmem/ivshmem0.lab/size", { NULL } },
	{ "/sys/module/ivshmem/parameters/kvmfr", { "1", "1", "0", NULL } },
	{ "/sys/kernel/debug/ivshmem/ivshmem0/state", { NULL } },
	{ "/sys/kernel/debug/ivshmem/ivshmem1/state", { NULL } },
	{ "/sys/kernel/debug/ivshmem_blk/ivblk0/state", { NULL } },
	{ DISK_PATH "state", { NULL } },
	{ DISK_PATH "back_end", { NULL } },
	{ DISK_PATH "reconnect_timeout", { "1", "0", "3600", NULL } },
	{ DISK_PATH "poll_usecs", { "0", "50", "1000000", NULL } },
};

static long attribute_write(struct fuzzer *f, const struct attribute *attribute, int fd)
{
	struct chance *chance = &f->chance;
	unsigned int count = 0;
	char text[PAGE];
	const char *value;

	while (count < ARRAY_SIZE(attribute->values) && attribute->values[count])
		count++;
	if (count && !one_in(chance, 4)) {
		value = attribute->values[below(chance, count)];
		/* An empty one is a line, too */
		return write(fd, *value ? value : "\n", *value ? strlen(value) : 1);
	}
	if (one_in(chance, 2))
		return write(fd, text, snprintf(text, sizeof(text), "%lld",
						(long long)boundary(f)));
	fill(chance, text, sizeof(text));
	return write(fd, text, below(chance, one_in(chance, 4) ? sizeof(text) : 48));
}

long call_attribute(struct fuzzer *f)
{
	const struct attribute *attribute =
		&attributes[below(&f->chance, ARRAY_SIZE(attributes))];
	bool change = attribute->values[0] && one_in(&f->chance, 2);
	int fd = open(attribute->path, (change ? O_WRONLY : O_RDONLY) | O_CLOEXEC), error;
	char text[PAGE];
	long ret;

	if (fd < 0)
		return -1;
	if (change)
		ret = attribute_write(f, attribute, fd);
	else
		ret = read(fd, text, sizeof(text));
	error = errno;
	close(fd);
	errno = error;
	return ret;
}
