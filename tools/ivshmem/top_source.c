// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens the devices and links that ivshmem top looks at, and asks the library
 * for their regions and peers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "attach.h"
#include "clean.h"
#include "progress.h"
#include "region.h"
#include "top_source.h"

/* What could not be opened is tried again after that, and each time later */
#define REST_NS		5000000000ULL
#define REST_MAX_NS	60000000000ULL

static bool is_node(const char *address)
{
	return !strncmp(address, "/dev/", 5);
}

static struct top_source *find_source(struct top_sources *sources,
				      const char *address)
{
	struct top_source *list;
	size_t i;

	for (i = 0; i < sources->count; i++)
		if (!strcmp(sources->list[i].address, address))
			return &sources->list[i];
	list = realloc(sources->list, (sources->count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	sources->list = list;
	list = &list[sources->count++];
	memset(list, 0, sizeof(*list));
	snprintf(list->address, sizeof(list->address), "%s", address);
	list->rest_ns = REST_NS;
	return list;
}

static int want(struct top_sources *sources, const char *prefix, char **paths,
		size_t count)
{
	struct top_source *source;
	char address[512];
	size_t i;

	for (i = 0; i < count; i++) {
		if ((size_t)snprintf(address, sizeof(address), "%s%s", prefix,
				     paths[i]) >= sizeof(address))
			continue;
		source = find_source(sources, address);
		if (!source)
			return -ENOMEM;
		source->wanted = true;
	}
	return 0;
}

/* Devices of this machine; a host has none, but servers. */
static int want_all(struct top_sources *sources)
{
	glob_t nodes, sockets;
	int ret;

	list_nodes(&nodes);
	ret = want(sources, "", nodes.gl_pathv, nodes.gl_pathc);
	if (!nodes.gl_pathc) {
		list_sockets(&sockets);
		ret = want(sources, "unix:", sockets.gl_pathv,
			   sockets.gl_pathc);
		globfree(&sockets);
	}
	globfree(&nodes);
	return ret;
}

static void close_source(struct top_source *source, int error)
{
	ivshmem_close(source->ivs);
	source->ivs = NULL;
	source->error = error;
	source->rest_ns = REST_NS;
	source->retry_ns = 0;
	source->received = 0;
}

/* Puts the list in the order in which it is shown, without those that went. */
static int choose_sources(struct top_sources *sources)
{
	size_t i, kept = 0;
	int ret;

	for (i = 0; i < sources->count; i++)
		sources->list[i].wanted = false;
	ret = sources->nr_named ?
	      want(sources, "", sources->named, sources->nr_named) :
	      want_all(sources);
	for (i = 0; i < sources->count; i++) {
		if (sources->list[i].wanted)
			sources->list[kept++] = sources->list[i];
		else
			close_source(&sources->list[i], 0);
	}
	sources->count = kept;
	return ret;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * Another server or device has come to this address, or the old one has gone: the
 * handle would show its memory forever.  An inode is soon used again; its time tells.
 */
static void begin_anew_if_replaced(struct top_source *source)
{
	const char *path = source->address;
	struct stat now;

	if (!strncmp(path, "unix:", 5))
		path += 5;
	if (stat(path, &now))
		memset(&now, 0, sizeof(now));
	if (now.st_dev != source->node.st_dev ||
	    now.st_ino != source->node.st_ino ||
	    !same_time(&now.st_ctim, &source->node.st_ctim))
		close_source(source, 0);
	source->node = now;
}

/* The only one to be tried again now: each that does not answer takes seconds. */
static struct top_source *choose_retry(struct top_sources *sources)
{
	struct top_source *source, *next = NULL;
	size_t i;

	for (i = 0; i < sources->count; i++) {
		source = &sources->list[i];
		if (source->error && (!next || source->retry_ns < next->retry_ns))
			next = source;
	}
	return next && next->retry_ns <= now_ns() ? next : NULL;
}

static void open_source(struct top_source *source)
{
	source->error = ivshmem_open(source->address, IVSHMEM_RDONLY,
				     &source->ivs);
	if (!source->error) {
		source->rest_ns = REST_NS;
		return;
	}
	source->ivs = NULL;
	source->retry_ns = now_ns() + source->rest_ns;
	source->rest_ns *= 2;
	if (source->rest_ns > REST_MAX_NS)
		source->rest_ns = REST_MAX_NS;
}

static void look_at_peers(struct top_source *source, struct top_device *device)
{
	struct ivshmem_peer peer;
	struct top_row *row;
	uint32_t slot;

	for (slot = 0; slot < device->slots; slot++) {
		if (ivshmem_get_peer(source->ivs, slot, &peer) ||
		    peer.state == IVSHMEM_ABSENT)
			continue;
		row = top_add_row(device, TOP_PEER, peer.name);
		if (!row)
			return;
		clean_text(row->state, sizeof(row->state),
			   peer_state_name(peer.state));
		row->from = slot;
		row->size = peer.vectors;
	}
}

static void look_at_region(struct top_source *source, struct top_device *device,
			   struct ivshmem_region *region)
{
	static const char *const words[] = {
		[IVSHMEM_UNFORMATTED] = "unformatted",
		[IVSHMEM_ATTACHED] = "formatted",
		[IVSHMEM_REFUSED] = "refused",
	};
	int ret = ivshmem_get_region(source->ivs, region);

	if (ret) {
		top_lack(device, "region: %s", strerror(-ret));
		return;
	}
	clean_text(device->region, sizeof(device->region),
		   words[region->state % 3]);
	if (region->state != IVSHMEM_ATTACHED)
		return;
	device->slots = region->slots <= SLOTS_MAX ? region->slots : SLOTS_MAX;
	device->slot = region->slot;
	look_at_peers(source, device);
}

static void count_doorbells(struct top_source *source,
			    const struct ivshmem_info *info,
			    struct top_device *device)
{
	struct ivshmem_event events[LIBIVSHMEM_MAX_VECTORS];
	int i, n;

	if (!info->doorbell || info->backend == IVSHMEM_BACKEND_PCI)
		return;
	n = ivshmem_wait(source->ivs, events, LIBIVSHMEM_MAX_VECTORS, 0);
	for (i = 0; i < n; i++)
		source->received += events[i].count;
	top_set(&device->counts[TOP_RECEIVED], source->received, 64);
}

static void look_inside(struct top_source *source, struct top_device *device,
			struct ivshmem_region *region)
{
	struct ivshmem_info info;
	int ret = 0;

	if (source->ivs)
		ret = ivshmem_get_info(source->ivs, &info);
	if (ret)
		close_source(source, ret);
	if (!source->ivs) {
		top_lack(device, "%s", open_error(source->address,
						  source->error));
		return;
	}
	device->memory = info.memory_size;
	device->vectors = info.vectors;
	count_doorbells(source, &info, device);
	look_at_region(source, device, region);
}

/* Links come last: they alone may be more than are shown. */
static void look_at_source(struct top_source *source, struct top_device *device)
{
	struct ivshmem_region region = { 0 };

	look_inside(source, device, &region);
	if (is_node(source->address))
		top_look_at_kernel(source->address, device);
	if (source->ivs && region.state == IVSHMEM_ATTACHED)
		top_look_at_links(source->ivs, &region, device);
}

static void open_sources(struct top_sources *sources)
{
	const struct top_source *retry;
	struct top_source *source;
	size_t i;

	for (i = 0; i < sources->count; i++)
		begin_anew_if_replaced(&sources->list[i]);
	retry = choose_retry(sources);
	for (i = 0; i < sources->count; i++) {
		source = &sources->list[i];
		if (source->ivs || (source->error && source != retry))
			continue;
		if (interrupted)
			source->error = -EINTR;
		else
			open_source(source);
	}
}

int top_look(struct top_sources *sources, struct top_sample *sample)
{
	struct top_device *device;
	struct timespec ts;
	size_t i;
	int ret;

	memset(sample, 0, sizeof(*sample));
	ret = choose_sources(sources);
	if (!ret)
		open_sources(sources);
	clock_gettime(CLOCK_BOOTTIME, &ts);
	sample->seconds = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
	for (i = 0; !ret && i < sources->count; i++) {
		device = top_add_device(sample, sources->list[i].address);
		if (!device)
			return -ENOMEM;
		look_at_source(&sources->list[i], device);
	}
	return ret;
}

void top_close(struct top_sources *sources)
{
	size_t i;

	for (i = 0; i < sources->count; i++)
		close_source(&sources->list[i], 0);
	free(sources->list);
	sources->list = NULL;
	sources->count = 0;
}
