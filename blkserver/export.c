// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread of an export: opens the disk, joins the section, and serves until it
 * is told to end.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "export.h"
#include "log.h"
#include "nbd.h"
#include "spin.h"

/* Bytes of the longest read or write: it has to leave room for others. */
#define MAX_LENGTH	(1U << 20)

atomic_bool export_stop;

static struct export *export_of(const struct links *ls)
{
	return (struct export *)((char *)(uintptr_t)ls -
				 offsetof(struct export, links));
}

static void disk_ended(struct request *request, uint32_t status)
{
	request->front->export->ended++;
	front_answer(request, status);
}

/* The largest that two of fit into the buffers of a ring; 0 for none. */
static uint32_t choose_length(uint32_t buffers, uint32_t block_size)
{
	uint32_t length = buffers / 2 < MAX_LENGTH ? buffers / 2 : MAX_LENGTH;

	if (length < IVBLK_LENGTH_MIN)
		length = buffers < IVBLK_LENGTH_MIN ? 0 : IVBLK_LENGTH_MIN;
	return length - length % block_size;
}

static struct ivregion_section layout_of(const struct links *ls)
{
	struct ivregion_section section = {
		.type = ls->section.type,
		.queues = ls->section.queues,
		.ring_size = ls->section.ring_size,
	};

	return section;
}

static void make_offer(struct export *export)
{
	const struct export_config *config = export->config;
	const struct disk *disk = &export->disk;
	struct ivblk_disk *offer = &export->offer;
	uint32_t queues = export->links.section.queues;

	offer->role = IVBLK_BACK_END;
	offer->features = disk->features;
	offer->queues = config->queues && config->queues < queues ?
			config->queues : queues;
	offer->block_size = disk->block_size;
	offer->physical_block_size = disk->physical_block_size;
	offer->max_extent = disk->features & (IVBLK_DISCARD | IVBLK_ZEROES) ?
			    DISK_MAX_EXTENT : 0;
	offer->sectors = disk->size / IVBLK_SECTOR;
	memcpy(offer->serial, config->serial, sizeof(offer->serial));
	offer->cache = disk->cache;
}

/* Who is in the section before us, and may be a back end. */
static void note_peers(struct export *export)
{
	struct links *ls = &export->links;
	struct ivshmem_peer peer;
	uint32_t slot;

	for (slot = 0; slot < ls->region.slots; slot++) {
		export->before[slot] = 0;
		if (!ivshmem_get_peer(ls->at.ivs, slot, &peer))
			export->before[slot] = peer.epoch;
	}
}

static int entered(struct links *ls)
{
	struct ivregion_section section = layout_of(ls);
	struct export *export = export_of(ls);

	make_offer(export);
	export->offer.max_length =
		choose_length(ivregion_buffers_size(&section),
			      export->offer.block_size);
	if (!export->offer.max_length)
		return -ENOSPC;
	/* Back in a region that was lost, it is the first one all the same */
	if (!export->served) {
		export->entered_at = ls->now;
		note_peers(export);
	}
	return 0;
}

static void link_up(struct links *ls, uint32_t slot)
{
	front_up(export_of(ls), slot);
}

static void link_down(struct links *ls, uint32_t slot)
{
	front_down(export_of(ls), slot);
}

static bool memory_busy(const struct links *ls)
{
	return !front_idle(export_of(ls));
}

static const struct links_owner owner = {
	.type = IVSHMEM_BLK,
	.speech = "a front end of a disk",
	.entered = entered,
	.up = link_up,
	.down = link_down,
	.busy = memory_busy,
};

/* Where what is read will be: of a ring that is ours, and nobody's yet. */
static void *example_buffer(const struct links *ls)
{
	struct ivregion_section section = layout_of(ls);
	uint32_t peer = ls->slot ? 0 : 1;

	return (uint8_t *)ls->memory +
	       ivregion_buffers_offset(&ls->region, &section, ls->slot, peer,
				       0);
}

static int open_links(struct export *export)
{
	struct links *ls = &export->links;
	struct disk *disk = &export->disk;

	ls->owner = &owner;
	ls->wanted = export->config->section;
	ls->who = export->config->name;
	ls->name = export->config->name;
	if (links_open(ls, export->config->link))
		return -1;
	if (!disk->ops->settle(disk, example_buffer(ls)))
		return 0;
	links_close(ls);
	return -1;
}

static int export_open(struct export *export)
{
	struct disk *disk = &export->disk;
	int ret;

	ret = loop_open(&export->loop);
	if (ret) {
		log_error("io_uring: %s; %s", strerror(-ret), ret == -ENOMEM ?
			  "raise the limit of locked memory (ulimit -l)" :
			  "allow it (kernel.io_uring_disabled), or run on "
			  "Linux 5.11 or later");
		return -1;
	}
	disk->config = export->config;
	disk->loop = &export->loop;
	disk->ended = disk_ended;
	disk->ops = is_nbd_uri(export->config->file) ? &nbd_ops : &file_ops;
	if (disk->ops->open(disk))
		goto err_close_loop;
	if (open_links(export))
		goto err_close_disk;
	return 0;

err_close_disk:
	disk->ops->close(disk);
err_close_loop:
	loop_close(&export->loop);
	return -1;
}

static void export_close(struct export *export)
{
	uint32_t slot;

	links_close(&export->links);
	export->disk.ops->close(&export->disk);
	loop_close(&export->loop);
	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		free(export->fronts[slot].pool);
}

static void bell_ready(struct event *event, int result)
{
	struct export *export = event_of(event, struct export, bell);

	(void)result;
	export->bell_armed = false;
	if (links_take_doorbells(&export->links))
		export->hearing.rung = true;
}

static void wake_ready(struct event *event, int result)
{
	struct export *export = event_of(event, struct export, wake);
	eventfd_t count;

	(void)result;
	export->wake_armed = false;
	eventfd_read(export->wake_fd, &count);
}

/* A size that front ends can be told; another one is said once. */
static bool is_usable(struct export *export, uint64_t size, bool asked)
{
	uint64_t offered = export->offer.sectors * IVBLK_SECTOR;
	const char *why = NULL;

	if (!size || size % export->offer.block_size)
		why = "is no multiple of the block size";
	else if (size < offered && !asked)
		why = "is smaller than before; SIGHUP makes it the disk's";
	if (why && !export->complained)
		log_warning("%s: %s: its size of %" PRIu64 " bytes %s; what is "
			    "behind its end fails", export->config->name,
			    export->config->file, size, why);
	export->complained = why;
	return !why;
}

/* More is told at once; less only if it is meant. */
static void look_at_disk(struct export *export, bool asked)
{
	struct disk *disk = &export->disk;
	uint64_t sectors;

	if (disk->ops->look(disk) || !is_usable(export, disk->size, asked))
		return;
	sectors = disk->size / IVBLK_SECTOR;
	if (sectors == export->offer.sectors)
		return;
	log_info("%s: the disk has %" PRIu64 " bytes now",
		 export->config->name, disk->size);
	export->offer.sectors = sectors;
	front_announce(export);
}

static void grant_wishes(struct export *export)
{
	unsigned int wishes = atomic_exchange(&export->wishes, 0);

	if (wishes & EXPORT_REPORT)
		report(export, export->json);
	if (wishes & EXPORT_RESIZE)
		look_at_disk(export, true);
	if (wishes & EXPORT_STOP)
		export->stopping = true;
}

static void keep_time(struct export *export)
{
	links_tend(&export->links);
	if (!past(export->links.now, export->disk_at))
		return;
	export->disk_at = export->links.now + IVPEER_BEAT_MS;
	look_at_disk(export, false);
}

static void sleep_until_event(struct export *export)
{
	uint32_t ms = links_due_ms(&export->links);

	if (!export->wake_armed)
		loop_poll(&export->loop, export->wake_fd, POLLIN,
			  &export->wake);
	export->wake_armed = true;
	if (!export->bell_armed && !export->hearing.resting) {
		loop_poll(&export->loop, ivshmem_fd(export->links.at.ivs),
			  POLLIN, &export->bell);
		export->bell_armed = true;
	}
	if ((export->hearing.resting || !links_wake(&export->links)) &&
	    ms > NAP_MS)
		ms = NAP_MS;
	export->sleeps++;
	loop_wait(&export->loop, ms);
}

/* Return: whether something was done; a doorbell alone is nothing. */
static bool do_round(struct export *export)
{
	unsigned int n = 0;

	export->ended = 0;
	loop_reap(&export->loop);
	if (atomic_load_explicit(&export->wishes, memory_order_relaxed))
		grant_wishes(export);
	keep_time(export);
	if (!export->stopping)
		n += front_take(export);
	front_flush(export);
	loop_submit(&export->loop);
	n += export->ended;
	hearing_count(&export->hearing, n, export->links.now);
	return n;
}

/* What the kernel still does with the memory has to end, unless it never will. */
static bool is_over(const struct export *export)
{
	return export->disk.failed || (export->stopping && front_idle(export));
}

static void serve(struct export *export)
{
	while (!is_over(export)) {
		if (spin_again(&export->spin, do_round(export)))
			continue;
		if (!export->stopping && front_arm(export))
			continue;
		sleep_until_event(export);
	}
	/* The last answers. */
	front_flush(export);
}

static void tell(struct export *export, enum export_state state)
{
	atomic_store(&export->state, state);
	eventfd_write(export->tell_fd, 1);
}

void *export_run(void *argument)
{
	struct export *export = argument;

	export->bell.ready = bell_ready;
	export->wake.ready = wake_ready;
	spin_init(&export->spin, export->config->poll_us);
	if (export_open(export)) {
		tell(export, atomic_load(&export_stop) ? EXPORT_ENDED :
							 EXPORT_FAILED);
		return NULL;
	}
	export->served = true;
	report(export, export->json);
	tell(export, EXPORT_SERVING);
	serve(export);
	export_close(export);
	tell(export, export->doomed || export->disk.failed ? EXPORT_FAILED :
							     EXPORT_ENDED);
	return NULL;
}

void export_wish(struct export *export, enum export_wish wish)
{
	atomic_fetch_or(&export->wishes, wish);
	eventfd_write(export->wake_fd, 1);
}
