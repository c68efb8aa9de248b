// SPDX-License-Identifier: BSD-3-Clause
/*
 * The region in a guest: the driver has read the superblock, takes part as a
 * peer, and answers.
 */
#include <errno.h>
#include <linux/ivshmem.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <ivshmem/wire.h>

#include "device.h"

/*
 * How long to sleep at a time: another thread may ask about the region with the
 * same descriptor, after which poll(2) does not tell us any more.
 */
#define SLEEP_MS	500

/* A driver from before there was a format does not know the commands. */
static int ask(struct ivshmem *ivs, unsigned long command, void *argument)
{
	if (!ioctl(ivs->memory_fd, command, argument))
		return 0;
	return errno == ENOTTY ? -EOPNOTSUPP : -errno;
}

int ivshmem_device_get_region(struct ivshmem *ivs, struct ivshmem_region *out)
{
	struct ivshmem_ioc_region answer = { .size = sizeof(answer) };
	int ret;

	ret = ask(ivs, IVSHMEM_IOC_REGION, &answer);
	if (ret)
		return ret;
	out->changes = answer.changes;
	/* The values of enum ivshmem_region_state are those of the driver. */
	out->state = answer.state;
	/* No format to use, yet: the next change tells. */
	if (answer.state == IVSHMEM_REGION_UNSETTLED)
		out->state = IVSHMEM_UNFORMATTED;
	out->error = answer.error;
	out->failed = answer.failed;
	out->major = answer.major;
	out->minor = answer.minor;
	out->compat = answer.compat;
	out->ro_compat = answer.ro_compat;
	out->incompat = answer.incompat;
	out->read_only = !!(answer.attributes & IVSHMEM_REGION_READ_ONLY);
	out->instance = answer.instance;
	memcpy(out->uuid, answer.uuid, sizeof(out->uuid));
	if (answer.state != IVSHMEM_REGION_ATTACHED)
		return 0;
	out->slots = answer.slots;
	out->sections = answer.sections;
	if (answer.slot != IVSHMEM_NO_SLOT)
		out->slot = (int32_t)answer.slot;
	out->epoch = answer.epoch;
	return 0;
}

static int ask_section(struct ivshmem *ivs, uint32_t index,
		       struct ivshmem_ioc_section *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->size = sizeof(*answer);
	answer->index = index;
	return ask(ivs, IVSHMEM_IOC_SECTION, answer);
}

int ivshmem_device_get_section(struct ivshmem *ivs, uint32_t index,
			       struct ivshmem_section *section)
{
	struct ivshmem_ioc_section answer;
	int ret;

	ret = ask_section(ivs, index, &answer);
	if (ret)
		return ret;
	section->index = index;
	section->type = answer.type;
	section->vector = answer.vector;
	section->queues = answer.queues;
	section->ring_size = answer.ring_size;
	section->usable = !!(answer.attributes & IVSHMEM_SECTION_USABLE);
	section->offset = answer.offset;
	section->size = answer.length;
	memcpy(section->name, answer.name, sizeof(section->name) - 1);
	return 0;
}

/*
 * The node of a section begins with it, and has no other; that of the device
 * begins with the region.  One that is of a section has exactly one that says
 * so, as long as the region stays.
 */
int ivshmem_device_section_offset(struct ivshmem *ivs,
				  const struct ivshmem_section *section,
				  uint64_t *offset)
{
	struct ivshmem_ioc_section answer;
	uint32_t index;
	int ret;

	for (index = 0; index < IVREGION_SECTIONS_MAX; index++) {
		ret = ask_section(ivs, index, &answer);
		if (ret == -ENOENT)
			break;
		if (ret)
			return ret;
		if (!(answer.attributes & IVSHMEM_SECTION_NODE))
			continue;
		*offset = 0;
		return section && index == section->index ? 0 : -ENXIO;
	}
	*offset = section ? section->offset : 0;
	return 0;
}

int ivshmem_device_get_peer(struct ivshmem *ivs, uint32_t slot,
			    struct ivshmem_peer *peer)
{
	struct ivshmem_ioc_peer answer = {
		.size = sizeof(answer),
		.slot = slot,
	};
	int ret;

	ret = ask(ivs, IVSHMEM_IOC_PEER, &answer);
	if (ret)
		return ret;
	/* The values of enum ivshmem_peer_state are those of the driver. */
	peer->state = answer.state;
	peer->epoch = answer.epoch;
	peer->generation = answer.generation;
	peer->vectors = answer.vectors;
	peer->features = answer.features;
	peer->joins = answer.joins;
	memcpy(peer->name, answer.name, sizeof(peer->name) - 1);
	return 0;
}

int ivshmem_device_wait_change(struct ivshmem *ivs, uint64_t *changes,
			       int timeout_ms)
{
	struct pollfd pfd = { .fd = ivs->memory_fd, .events = POLLPRI };
	int64_t deadline = ivshmem_deadline(timeout_ms);
	struct ivshmem_region region = { 0 };
	int left, ret;

	for (;;) {
		ret = ivshmem_device_get_region(ivs, &region);
		if (ret)
			return ret;
		if (region.changes != *changes) {
			*changes = region.changes;
			return 1;
		}
		left = ivshmem_time_left(deadline);
		if (!left)
			return 0;
		if (left < 0 || left > SLEEP_MS)
			left = SLEEP_MS;
		if (poll(&pfd, 1, left) < 0)
			return -errno;
	}
}

int ivshmem_device_join(struct ivshmem *ivs, const char *name)
{
	struct ivshmem_region region = { .slot = LIBIVSHMEM_NO_SLOT };
	int ret;

	(void)name;
	ret = ivshmem_device_get_region(ivs, &region);
	if (ret)
		return ret;
	if (region.state == IVSHMEM_UNFORMATTED)
		return -ENODATA;
	if (region.state == IVSHMEM_REFUSED)
		return -EPROTO;
	if (region.read_only)
		return -EROFS;
	return region.slot < 0 ? -ENXIO : 0;
}

int ivshmem_device_leave(struct ivshmem *ivs)
{
	(void)ivs;
	return 0;
}

static void explain(const struct ivshmem_ioc_format *answer, int ret,
		    char *error, size_t size)
{
	switch (ret) {
	case -EINVAL:
		snprintf(error, size, "section %u: %s", answer->failed,
			 ivregion_error_text(answer->error));
		break;
	case -EPERM:
		snprintf(error, size, "the region is formatted already; only "
			 "root may format it again");
		break;
	case -EBUSY:
		snprintf(error, size, "peers are there");
		break;
	case -EOPNOTSUPP:
		snprintf(error, size, "this is the node of a section, or the "
			 "driver is older than the format");
		break;
	}
}

int ivshmem_device_format(struct ivshmem *ivs,
			  const struct ivregion_superblock *superblock,
			  const struct ivregion *region, uint32_t flags,
			  char *error, size_t error_size)
{
	struct ivshmem_ioc_format arg = {
		.size = sizeof(arg),
		.superblock = (uintptr_t)superblock,
	};
	int ret;

	(void)region;
	if (flags & IVSHMEM_FORCE)
		arg.flags |= IVSHMEM_FORMAT_FORCE;
	if (!superblock)
		arg.flags |= IVSHMEM_FORMAT_ERASE;
	ret = ask(ivs, IVSHMEM_IOC_FORMAT, &arg);
	if (ret)
		explain(&arg, ret, error, error_size);
	return ret;
}
