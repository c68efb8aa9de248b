/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formatting the memory of a link before anybody gets it.  A file may have been
 * used before, and be in use still, by virtual machines that met in a server
 * that has ended.
 */
#include "format.h"

#include <ivshmem/peer.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "config_error.h"
#include "directory.h"
#include "guard.h"
#include "layout.h"
#include "log.h"

/**
 * struct work - formatting a region
 * @config:     the link
 * @fd:         its memory
 * @memory:     the same, mapped
 * @superblock: what is written
 * @region:     what that means
 */
struct work {
	const struct link_config *config;
	int fd;
	struct ivregion_superblock __ivshmem *memory;
	struct ivregion_superblock superblock;
	struct ivregion region;
};

int format_plan(const struct link_config *config,
		struct ivregion_superblock *superblock,
		struct ivregion *region, struct config_error *error)
{
	struct ivshmem_layout_options options = {
		.memory_size = config->size,
		.slots = config->peers,
		.vectors = config->vectors,
	};
	char why[512];

	if (!ivshmem_layout_make(config->layout, &options, superblock, region,
				 why, sizeof(why)))
		return 0;
	return config_fail(error, "layout=%.100s%s: %s", config->layout,
			   strlen(config->layout) > 100 ? "..." : "", why);
}

static int refuse(const struct work *work, const char *what)
{
	log_error("link %s: layout=: memory=file:%s %s; remove the file, or "
		  "set layout-force=yes to lose what is in it",
		  work->config->name, work->config->file, what);
	return -1;
}

static int refuse_layout(const struct work *work, const struct ivregion *found)
{
	char layout[IVSHMEM_LAYOUT_TEXT];
	char what[640];

	ivshmem_layout_describe(found, layout, sizeof(layout));
	snprintf(what, sizeof(what), "has another layout (peers=%u, "
		 "layout=%.400s%s)", found->slots, layout,
		 strlen(layout) > 400 ? "..." : "");
	return refuse(work, what);
}

static bool all_zero(const struct work *work, uint64_t offset, uint64_t size)
{
	__u8 page[IVREGION_PAGE];

	for (; size; size -= sizeof(page), offset += sizeof(page)) {
		if (pread(work->fd, page, sizeof(page), (off_t)offset) !=
		    sizeof(page) || !ivregion_all_zero(page, sizeof(page)))
			return false;
	}
	return true;
}

/* Whether formatting changes nothing but zeros: see ivregion_clear(). */
static bool is_empty(const struct work *work)
{
	const struct ivregion *region = &work->region;

	if (!all_zero(work, 0, ivregion_control_size(region->slots)))
		return false;
	for (unsigned int i = 0; i < region->nr_sections; i++) {
		const struct ivregion_section *section = &region->sections[i];
		uint64_t blocks = ivregion_blocks_size(region->slots,
						       section->queues);

		for (unsigned int slot = 0;
		     section->ring_size && slot < region->slots; slot++) {
			if (!all_zero(work,
				      ivregion_outbox_offset(region, section,
							     slot), blocks))
				return false;
		}
	}
	return true;
}

static void touch_erase(void *argument)
{
	struct work *work = argument;

	ivregion_erase(work->memory);
}

static void touch_write(void *argument)
{
	struct work *work = argument;

	ivregion_write((__u8 __ivshmem *)work->memory, &work->superblock, &work->region);
}

/*
 * Of memory that is all zero, only what is not to be zero is written: the rest
 * stays without pages, until a peer puts them onto its own node.
 */
static void touch_superblock(void *argument)
{
	struct work *work = argument;
	struct ivregion_superblock __ivshmem *target = work->memory;

	ivshmem_copy_out(&target->checksum, &work->superblock.checksum,
			 sizeof(*target) - sizeof(target->magic));
	/* All else before the magic; pairs with ivregion_read() */
	ivshmem_store_release32(&target->magic, IVREGION_MAGIC);
}

/* Machines that use the region look at it as often as this, and leave it. */
static void wait_for_peers(void)
{
	struct timespec pause = {
		.tv_sec = 2 * IVPEER_BEAT_MS / 1000,
		.tv_nsec = 2 * IVPEER_BEAT_MS % 1000 * 1000000,
	};

	nanosleep(&pause, NULL);
}

static bool write_over(struct work *work)
{
	struct ivregion_superblock superblock;

	if (directory_read(work->fd, &superblock)) {
		if (!guard_run(touch_erase, work))
			return false;
		wait_for_peers();
	}
	return guard_run(touch_write, work);
}

static int format(struct work *work, bool empty)
{
	const char *name = work->config->name;
	char layout[IVSHMEM_LAYOUT_TEXT];
	bool done;

	work->memory = mmap(NULL, work->config->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, work->fd, 0);
	if (work->memory == MAP_FAILED) {
		log_error("link %s: layout=: the memory cannot be mapped",
			  name);
		return -1;
	}
	done = empty ? guard_run(touch_superblock, work) : write_over(work);
	munmap(work->memory, work->config->size);
	if (!done) {
		log_error("link %s: layout=: the memory cannot be written: its "
			  "file has shrunk, or there is no space", name);
		return -1;
	}
	ivshmem_layout_describe(&work->region, layout, sizeof(layout));
	log_info("link %s: formatted%s: peers=%u, layout=%s", name,
		 empty ? "" : ", over what was there", work->region.slots,
		 layout);
	return 0;
}

static int format_file(struct work *work)
{
	struct ivregion_superblock superblock;
	enum ivregion_error error;
	struct ivregion found;
	char what[160];

	if (is_empty(work))
		return format(work, true);
	if (!directory_read(work->fd, &superblock))
		return work->config->layout_force ? format(work, false) :
		       refuse(work, "has data, and is not formatted");
	error = ivregion_parse(&superblock, work->config->size, &found);
	if (!error && ivshmem_layout_same(&found, &work->region))
		return 0;
	if (work->config->layout_force)
		return format(work, false);
	if (!error)
		return refuse_layout(work, &found);
	snprintf(what, sizeof(what), "cannot be read as formatted: %s",
		 ivregion_error_text(error));
	return refuse(work, what);
}

int format_memory(const struct link_config *config, int fd, bool existed)
{
	struct work work = { .config = config, .fd = fd };
	struct config_error error;

	if (!config->layout)
		return 0;
	if (format_plan(config, &work.superblock, &work.region, &error)) {
		log_error("link %s: %s", config->name, error.text);
		return -1;
	}
	return existed ? format_file(&work) : format(&work, true);
}
