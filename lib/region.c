// SPDX-License-Identifier: BSD-3-Clause
/*
 * Looks at the superblock and the directory of peers, for processes without a
 * driver that does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"

/* Between two looks that doorbells ask for */
#define REST_MS		10

uint32_t ivshmem_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * 1000 +
			  (uint64_t)ts.tv_nsec / 1000000);
}

void ivshmem_host_init(struct host_region *host)
{
	memset(host, 0, sizeof(*host));
	pthread_mutex_init(&host->member_lock, NULL);
	pthread_mutex_init(&host->lock, NULL);
	host->nudge = -1;
	host->thread_fd = -1;
	host->process = getpid();
}

void ivshmem_host_close(struct ivshmem *ivs)
{
	struct host_region *host = ivshmem_handle_region(ivs);

	ivshmem_host_leave(ivs);
	if (host->memory)
		ivshmem_unmap(host->memory, host->mapped);
	if (host->nudge >= 0)
		close(host->nudge);
	pthread_mutex_destroy(&host->lock);
	pthread_mutex_destroy(&host->member_lock);
}

/* The pages that every format uses for superblock and directory, at most. */
static int map_control(struct ivshmem *ivs, struct host_region *host)
{
	uint64_t length = ivregion_control_size(IVREGION_SLOTS_MAX);
	int prot = PROT_READ;
	void *memory;
	int ret;

	if (length > ivs->memory_size)
		length = ivs->memory_size & ~(uint64_t)(IVREGION_PAGE - 1);
	if (!length)
		return 0;
	if (!(ivs->flags & IVSHMEM_RDONLY))
		prot |= PROT_WRITE;
	ret = ivshmem_map_range(ivs, 0, length, prot, &memory);
	if (ret)
		return ret;
	host->memory = memory;
	host->mapped = length;
	host->memory_size = ivs->memory_size;
	host->own_id = to_handle(ivs)->peer_id;
	return 0;
}

int ivshmem_host_enter(struct ivshmem *ivs)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int fd, ret;

	ret = ivshmem_handle_follow(ivs);
	if (ret)
		return ret;
	pthread_mutex_lock(&host->lock);
	if (host->nudge < 0) {
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ret = fd < 0 ? -errno : 0;
		if (!ret)
			__atomic_store_n(&host->nudge, fd, __ATOMIC_RELEASE);
	}
	if (!ret && !host->memory)
		ret = map_control(ivs, host);
	if (ret)
		pthread_mutex_unlock(&host->lock);
	return ret;
}

void ivshmem_host_exit(struct ivshmem *ivs)
{
	pthread_mutex_unlock(&ivshmem_handle_region(ivs)->lock);
}

void ivshmem_host_nudge(struct host_region *host)
{
	int fd = __atomic_load_n(&host->nudge, __ATOMIC_ACQUIRE);
	uint64_t one = 1;

	/* It takes 2^64 changes to fill it. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

void ivshmem_host_changed(struct host_region *host)
{
	host->changes++;
	ivshmem_host_nudge(host);
}

static const struct ivregion_superblock *superblock(struct host_region *host)
{
	return (const struct ivregion_superblock *)host->memory;
}

struct ivregion_peer_line *ivshmem_host_line(struct host_region *host,
					     uint32_t slot)
{
	return (struct ivregion_peer_line *)
		(host->memory + ivregion_peer_offset(slot));
}

static uint32_t state_of(enum ivregion_error error)
{
	switch (error) {
	case IVREGION_OK:
		return IVSHMEM_ATTACHED;
	case IVREGION_NO_MAGIC:
		return IVSHMEM_UNFORMATTED;
	default:
		return IVSHMEM_REFUSED;
	}
}

/* The region is another one than before: nothing known of it holds. */
static void take(struct host_region *host, enum ivregion_error error,
		 uint32_t major, const struct ivregion *region)
{
	uint32_t slot;

	host->state = state_of(error);
	host->error = host->state == IVSHMEM_REFUSED ? error : IVREGION_OK;
	host->major = major;
	host->region = *region;
	for (slot = 0; slot < REGION_PEERS; slot++)
		ivpeer_init(&host->peers[slot]);
	ivshmem_host_detach(host);
	ivshmem_host_changed(host);
}

/* Whether what was parsed just now says the same as what is known. */
static bool same(const struct host_region *host, enum ivregion_error error,
		 uint32_t major, const struct ivregion *region)
{
	if (state_of(error) != host->state)
		return false;
	if (host->state == IVSHMEM_UNFORMATTED)
		return true;
	return error == host->error && major == host->major &&
	       region->minor == host->region.minor &&
	       region->instance == host->region.instance &&
	       region->failed == host->region.failed;
}

void ivshmem_host_refresh(struct host_region *host)
{
	enum ivregion_error error;
	struct ivregion region;
	uint32_t major;

	if (!host->memory)
		return;
	if (host->state == IVSHMEM_ATTACHED &&
	    ivregion_intact(superblock(host), &host->region))
		return;
	if (host->state == IVSHMEM_UNFORMATTED &&
	    ivshmem_load32(&superblock(host)->magic) != IVREGION_MAGIC)
		return;

	memset(&region, 0, sizeof(region));
	ivregion_read(superblock(host), &host->seen);
	major = ivshmem_from_le32(host->seen.major);
	/* It makes sure that the directory ends within the memory, as we map. */
	error = ivregion_parse(&host->seen, host->memory_size, &region);
	/* An attached one is another even if it says the same as before. */
	if (host->state == IVSHMEM_ATTACHED ||
	    !same(host, error, major, &region))
		take(host, error, major, &region);
}

/*
 * One that is right, and says something else with the same instance, is what all
 * others have read: ours was there for a moment only.  One that is wrong changes
 * nothing.
 */
static void recheck(struct host_region *host)
{
	struct ivregion_superblock copy;
	struct ivregion region;

	if (ivregion_unchanged(superblock(host), &host->seen))
		return;
	memset(&region, 0, sizeof(region));
	ivregion_read(superblock(host), &copy);
	if (ivregion_parse(&copy, host->memory_size, &region) ||
	    !ivregion_intact(superblock(host), &region))
		return;
	host->seen = copy;
	take(host, IVREGION_OK, ivshmem_from_le32(copy.major), &region);
}

static void look_at(struct host_region *host, uint32_t slot, uint32_t now)
{
	const struct ivregion_server_line *server =
		(const struct ivregion_server_line *)
		(host->memory + ivregion_server_offset(slot));

	if (ivpeer_look(&host->peers[slot], ivshmem_host_line(host, slot),
			server, now) != IVPEER_NOTHING)
		ivshmem_host_changed(host);
}

void ivshmem_host_look(struct host_region *host)
{
	uint32_t slot, now = ivshmem_clock();

	ivshmem_host_refresh(host);
	if (host->state == IVSHMEM_ATTACHED)
		recheck(host);
	if (host->state != IVSHMEM_ATTACHED)
		return;
	for (slot = 0; slot < host->region.slots; slot++)
		look_at(host, slot, now);
}

void ivshmem_host_ring_all(struct ivshmem *ivs)
{
	uint32_t id, own = to_handle(ivs)->peer_id;

	/* A doorbell is a hint: who cannot be rung looks by himself. */
	for (id = 0; id < REGION_PEERS; id++)
		if (id != own)
			ivs->ops->ring(ivs, id, 0);
}

static int add_edge(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int ivshmem_host_watch(struct ivshmem *ivs)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int ret, fd, control = ivshmem_handle_doorbell(ivs, 0);

	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = add_edge(fd, host->nudge);
	if (!ret && control >= 0)
		ret = add_edge(fd, control);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int ivshmem_host_pause(int fd, int timeout_ms)
{
	struct timespec rest = { .tv_nsec = REST_MS * 1000000L };
	struct epoll_event events[2];
	int n;

	n = epoll_wait(fd, events, 2, timeout_ms);
	if (n < 0)
		return -errno;
	if (n && nanosleep(&rest, NULL))
		return -EINTR;
	return 0;
}

int ivshmem_host_get_region(struct ivshmem *ivs, struct ivshmem_region *out)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	const struct ivregion *region = &host->region;
	int ret;

	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	ivshmem_host_look(host);
	out->changes = host->changes;
	out->state = host->state;
	if (host->state != IVSHMEM_UNFORMATTED) {
		out->error = host->error;
		out->failed = region->failed;
		out->major = host->major;
		out->minor = region->minor;
		out->compat = region->compat;
		out->ro_compat = region->ro_compat;
		out->incompat = region->incompat;
		out->read_only = region->read_only;
		out->instance = region->instance;
		memcpy(out->uuid, region->uuid, sizeof(out->uuid));
	}
	if (host->state == IVSHMEM_ATTACHED) {
		out->slots = region->slots;
		out->sections = region->nr_sections;
		if (host->own_id < region->slots)
			out->slot = (int32_t)host->own_id;
		out->epoch = host->joined ? host->epoch : 0;
	}
	ivshmem_host_exit(ivs);
	return 0;
}

int ivshmem_host_get_section(struct ivshmem *ivs, uint32_t index,
			     struct ivshmem_section *section)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	const struct ivregion_section *known;
	int ret;

	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	ivshmem_host_refresh(host);
	ret = -ENOENT;
	if (host->state == IVSHMEM_ATTACHED &&
	    index < host->region.nr_sections) {
		known = &host->region.sections[index];
		section->index = index;
		section->type = known->type;
		section->vector = known->vector;
		section->queues = known->queues;
		section->ring_size = known->ring_size;
		section->usable = known->usable;
		section->offset = known->offset;
		section->size = known->size;
		memcpy(section->name, known->name, sizeof(section->name));
		ret = 0;
	}
	ivshmem_host_exit(ivs);
	return ret;
}

int ivshmem_host_section_offset(struct ivshmem *ivs,
				const struct ivshmem_section *section,
				uint64_t *offset)
{
	(void)ivs;
	*offset = section ? section->offset : 0;
	return 0;
}

int ivshmem_host_get_peer(struct ivshmem *ivs, uint32_t slot,
			  struct ivshmem_peer *peer)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	const struct ivpeer *known;
	int ret;

	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	ivshmem_host_refresh(host);
	ret = -ENOENT;
	if (host->state == IVSHMEM_ATTACHED && slot < host->region.slots) {
		look_at(host, slot, ivshmem_clock());
		known = &host->peers[slot];
		/* The values of enum ivshmem_peer_state are the same. */
		peer->state = known->state;
		peer->epoch = known->epoch;
		peer->generation = known->generation;
		peer->vectors = known->vectors;
		peer->features = known->features;
		peer->joins = known->joins;
		memcpy(peer->name, known->name, sizeof(peer->name));
		ret = 0;
	}
	ivshmem_host_exit(ivs);
	return ret;
}

/* Looks; 1 if that, or anybody before, has found a change. */
static int look_for_change(struct ivshmem *ivs, uint64_t *changes)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int ret;

	ret = ivshmem_host_enter(ivs);
	if (ret)
		return ret;
	ivshmem_host_look(host);
	ret = host->changes != *changes;
	*changes = host->changes;
	ivshmem_host_exit(ivs);
	return ret;
}

int ivshmem_host_wait_change(struct ivshmem *ivs, uint64_t *changes,
			     int timeout_ms)
{
	int64_t deadline = ivshmem_deadline(timeout_ms);
	int fd, left, ret;

	ret = look_for_change(ivs, changes);
	if (ret || !timeout_ms)
		return ret;
	fd = ivshmem_host_watch(ivs);
	if (fd < 0)
		return fd;
	for (;;) {
		/* The watch is there by now: nothing can slip in before it. */
		ret = look_for_change(ivs, changes);
		left = ivshmem_time_left(deadline);
		if (ret || !left)
			break;
		if (left < 0 || left > (int)IVPEER_BEAT_MS)
			left = IVPEER_BEAT_MS;
		ret = ivshmem_host_pause(fd, left);
		if (ret)
			break;
	}
	close(fd);
	return ret;
}
