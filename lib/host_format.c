// SPDX-License-Identifier: BSD-3-Clause
/*
 * Formats a region without a driver, once nobody uses it any more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "handle.h"

/* Three beats: whoever is alive has shown it by then */
#define WATCH_MS	1500
/* What peers get to leave, which they do with their next beat */
#define LEAVE_MS	2000
#define STEP_MS		20

static int take_a_step(void)
{
	struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

	return nanosleep(&step, NULL) ? -EINTR : 0;
}

/* What a look at the slots of others has shown */
struct others {
	uint64_t there;		/* a bit a slot */
	bool unsure;		/* somebody may be alive, it is too early */
};

static int look(struct ivshmem *ivs, struct others *others)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	const struct ivpeer *peer;
	uint32_t slot;
	int ret;

	memset(others, 0, sizeof(*others));
	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	ivshmem_host_look(host);
	for (slot = 0; host->state == IVSHMEM_ATTACHED &&
	     slot < host->region.slots; slot++) {
		peer = &host->peers[slot];
		if (slot == host->own_id)
			continue;
		if (peer->state != IVPEER_ABSENT)
			others->there |= 1ULL << slot;
		/* A server that keeps count tells of its end as well. */
		else if (peer->epoch && !peer->generation)
			others->unsure = true;
	}
	ivshmem_host_exit(ivs);
	return 0;
}

static void name_them(struct ivshmem *ivs, uint64_t there, char *error,
		      size_t size)
{
	struct ivshmem_peer peer;
	size_t length = 0;
	uint32_t slot;

	for (slot = 0; slot < IVREGION_SLOTS_MAX && length < size; slot++) {
		if (!(there >> slot & 1) || ivshmem_get_peer(ivs, slot, &peer))
			continue;
		length += (size_t)snprintf(error + length, size - length,
					   "%s %u (%s)", length ? "," :
					   "peers are there:", slot, peer.name);
	}
}

/* Returns 0 if the region may be formatted; *there are those to wait for. */
static int may_format(struct ivshmem *ivs, uint32_t flags, uint64_t *there,
		      char *error, size_t error_size)
{
	int64_t deadline = ivshmem_deadline(WATCH_MS);
	struct others others;
	int ret;

	do {
		ret = look(ivs, &others);
		if (ret)
			return ret;
		*there = others.there;
		if (flags & IVSHMEM_FORCE)
			return 0;
		if (others.there) {
			name_them(ivs, others.there, error, error_size);
			return -EBUSY;
		}
		ret = others.unsure ? take_a_step() : 0;
	} while (!ret && others.unsure && ivshmem_time_left(deadline));
	return ret;
}

/* Until those who were there have seen it, which nobody can be made to. */
static void wait_left(struct ivshmem *ivs, uint64_t there)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int64_t deadline = ivshmem_deadline(LEAVE_MS);
	uint32_t slot;

	while (ivshmem_time_left(deadline)) {
		for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
			if ((there >> slot & 1) &&
			    ivshmem_load32(&ivshmem_host_line(host,
							      slot)->epoch))
				break;
		if (slot == IVREGION_SLOTS_MAX)
			break;
		/* A signal cannot end it: there is no format any more */
		take_a_step();
	}
}

static int erase(struct ivshmem *ivs, uint64_t there)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int ret;

	ivshmem_host_leave(ivs);
	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	/* Less than a page of memory has no format. */
	if (host->memory) {
		ivregion_erase((struct ivregion_superblock *)host->memory);
		ivshmem_host_refresh(host);
	}
	ivshmem_host_exit(ivs);
	ivshmem_host_ring_all(ivs);
	if (there)
		wait_left(ivs, there);
	return 0;
}

static int write_format(struct ivshmem *ivs,
			const struct ivregion_superblock *superblock,
			const struct ivregion *region)
{
	void *memory;
	bool ours;
	int ret;

	ret = ivshmem_map_range(ivs, 0, ivs->memory_size,
				PROT_READ | PROT_WRITE, &memory);
	if (ret)
		return ret;
	ivregion_write(memory, superblock, region);
	ours = ivregion_intact(memory, region);
	ivshmem_unmap(memory, ivs->memory_size);
	return ours ? 0 : -EAGAIN;
}

int ivshmem_host_format(struct ivshmem *ivs,
			const struct ivregion_superblock *superblock,
			const struct ivregion *region, uint32_t flags,
			char *error, size_t error_size)
{
	uint64_t there;
	int ret;

	ret = may_format(ivs, flags, &there, error, error_size);
	if (!ret)
		ret = erase(ivs, there);
	if (ret || !superblock)
		return ret;
	ret = write_format(ivs, superblock, region);
	if (ret == -EAGAIN)
		snprintf(error, error_size, "somebody else formats it, too");
	ivshmem_host_ring_all(ivs);
	return ret;
}
