// SPDX-License-Identifier: BSD-3-Clause
/*
 * Formats a region: makes the superblock, and has the backend write it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "layout.h"

#define DEFAULT_SLOTS	8U

/* As many as the server has told of, which a device does not know. */
static uint32_t slots_of_link(struct ivshmem *ivs,
			      const struct ivshmem_info *info)
{
	uint32_t id, slots = 0;

	for (id = 0; id < IVREGION_SLOTS_MAX; id++)
		if (ivs->ops->peer_vectors(ivs, id) > 0)
			slots = id + 1;
	if (!slots)
		slots = DEFAULT_SLOTS;
	/* It is not to shut out the caller itself. */
	if (info->doorbell && info->peer_id >= slots)
		slots = info->peer_id + 1;
	if (slots < IVREGION_SLOTS_MIN)
		slots = IVREGION_SLOTS_MIN;
	return slots < IVREGION_SLOTS_MAX ? slots : IVREGION_SLOTS_MAX;
}

static int make(struct ivshmem *ivs, const char *description,
		const struct ivshmem_format_options *options,
		const struct ivshmem_region *before,
		struct ivregion_superblock *superblock,
		struct ivregion *region, char *error, size_t error_size)
{
	struct ivshmem_layout_options layout = { 0 };
	struct ivshmem_info info;
	int ret;

	ret = ivshmem_get_info(ivs, &info);
	if (ret)
		return ret;
	layout.memory_size = ivs->memory_size;
	layout.slots = options->slots;
	layout.vectors = options->vectors ? options->vectors : info.vectors;
	if (before->state == IVSHMEM_ATTACHED) {
		layout.uuid = before->uuid;
		if (!layout.slots)
			layout.slots = before->slots;
	}
	if (!layout.slots)
		layout.slots = slots_of_link(ivs, &info);
	return ivshmem_layout_make(description, &layout, superblock, region,
				   error, error_size);
}

static int format(struct ivshmem *ivs, const char *description,
		  const struct ivshmem_format_options *options, char *error,
		  size_t error_size)
{
	uint32_t force = options->flags & IVSHMEM_FORCE;
	struct ivregion_superblock superblock;
	struct ivshmem_region before;
	struct ivregion region;
	uint64_t offset;
	int ret;

	ret = ivshmem_get_region(ivs, &before);
	if (ret)
		return ret;
	if (ivs->ops->section_offset(ivs, NULL, &offset) == -ENXIO) {
		snprintf(error, error_size, "this is the node of a section; "
			 "name that of the device");
		return -EOPNOTSUPP;
	}
	/* Others may understand it, and are not seen by us. */
	if (before.state == IVSHMEM_REFUSED && !force) {
		snprintf(error, error_size, "it has a format that cannot be "
			 "used here (%s), and may be in use", before.reason);
		return -EBUSY;
	}
	if (options->flags & IVSHMEM_ERASE)
		return ivs->ops->format(ivs, NULL, NULL, force, error,
					error_size);
	ret = make(ivs, description, options, &before, &superblock, &region,
		   error, error_size);
	if (ret)
		return ret;
	return ivs->ops->format(ivs, &superblock, &region, force, error,
				error_size);
}

int ivshmem_format(struct ivshmem *ivs, const char *description,
		   const struct ivshmem_format_options *options, char *error,
		   size_t error_size)
{
	static const struct ivshmem_format_options defaults;
	char unwanted[256];

	if (!options)
		options = &defaults;
	if (!error || !error_size) {
		error = unwanted;
		error_size = sizeof(unwanted);
	}
	*error = '\0';
	if (!ivs || !(options->flags & IVSHMEM_ERASE) != !!description ||
	    (options->flags & ~(IVSHMEM_FORCE | IVSHMEM_ERASE)))
		return -EINVAL;
	if (ivs->flags & IVSHMEM_RDONLY)
		return -EBADF;
	return format(ivs, description, options, error, error_size);
}
