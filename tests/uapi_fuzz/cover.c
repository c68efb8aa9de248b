// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of our modules the calls of a thread have reached, as the kernel tells by KCOV: only
 * they are built to tell.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define COVER_WORDS	(32 << 10)
#define MODULES_MAX	8

/* For this thread, until it ends; without KCOV nothing is told */
void cover_start(struct fuzzer *f)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	uint64_t *cover = MAP_FAILED;

	if (fd < 0)
		return;
	if (!ioctl(fd, KCOV_INIT_TRACE, COVER_WORDS))
		cover = mmap(NULL, COVER_WORDS * sizeof(*cover), PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	if (cover != MAP_FAILED && !ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		f->cover = cover;
	/* The mapping holds it */
	close(fd);
}

void cover_clear(struct fuzzer *f)
{
	if (f->cover)
		__atomic_store_n(&f->cover[0], 0, __ATOMIC_RELAXED);
}

/* Whether it was not there before; a full set takes nothing more */
static bool add(_Atomic uint32_t set[PCS_MAX], uint32_t key)
{
	uint32_t at = mix(key) % PCS_MAX, tries, old;

	for (tries = 0; tries < PCS_MAX; tries++) {
		old = 0;
		if (atomic_compare_exchange_strong(&set[at], &old, key))
			return true;
		if (old == key)
			return false;
		at = (at + 1) % PCS_MAX;
	}
	return false;
}

/* A module of ours */
struct module {
	uint64_t start;
	uint64_t size;
	uint32_t number;
};

/* Where our modules are loaded now; returns how many there are */
static unsigned int find_modules(struct module modules[MODULES_MAX])
{
	FILE *file = fopen("/proc/modules", "re");
	unsigned int count = 0, i;
	char line[512], name[64];
	struct module module;

	if (!file)
		return 0;
	while (count < MODULES_MAX && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %" SCNu64 " %*s %*s %*s %" SCNx64, name, &module.size,
			   &module.start) != 3 || strncmp(name, "ivshmem", strlen("ivshmem")))
			continue;
		/* The same for a name, wherever it is in the list */
		for (module.number = 0, i = 0; name[i]; i++)
			module.number = module.number * 31 + (unsigned char)name[i];
		modules[count++] = module;
	}
	fclose(file);
	return count;
}

/* The place of @pc in a module, wherever that is loaded; 0 if in none */
static uint32_t find_place(uint64_t pc, const struct module *modules, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (pc >= modules[i].start && pc - modules[i].start < modules[i].size)
			return modules[i].number << 24 | (pc - modules[i].start);
	return 0;
}

/*
 * Whether the calls since cover_clear() have reached what none had.  Modules that are in
 * use stay where they are: files of theirs must still be open.
 */
bool cover_take(struct fuzzer *f)
{
	struct shared *shared = f->shared;
	struct module modules[MODULES_MAX];
	unsigned int nr_modules = 0;
	uint64_t count, i;
	bool new = false;
	uint32_t found;

	if (!f->cover)
		return false;
	count = __atomic_load_n(&f->cover[0], __ATOMIC_RELAXED);
	for (i = 1; i <= count && i < COVER_WORDS; i++) {
		if (!add(shared->raw, (uint32_t)f->cover[i]))
			continue;
		if (!nr_modules)
			nr_modules = find_modules(modules);
		found = find_place(f->cover[i], modules, nr_modules);
		if (found && add(shared->pcs, found)) {
			atomic_fetch_add(&shared->nr_pcs, 1);
			new = true;
		}
	}
	return new;
}
