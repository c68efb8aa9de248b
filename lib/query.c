// SPDX-License-Identifier: BSD-3-Clause
/*
 * The calls of the library about the region: sections and peers.  Checks
 * arguments and passes on to the backend.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <ivshmem/wire.h>

#include "backend.h"

int ivshmem_get_region(struct ivshmem *ivs, struct ivshmem_region *region)
{
	int ret;

	if (!ivs || !region)
		return -EINVAL;
	memset(region, 0, sizeof(*region));
	region->slot = LIBIVSHMEM_NO_SLOT;
	ret = ivs->ops->get_region(ivs, region);
	if (region->state == IVSHMEM_UNFORMATTED)
		region->reason = ivregion_error_text(IVREGION_NO_MAGIC);
	else
		region->reason = ivregion_error_text(region->error);
	return ret;
}

int ivshmem_get_section(struct ivshmem *ivs, uint32_t index,
			struct ivshmem_section *section)
{
	if (!ivs || !section)
		return -EINVAL;
	memset(section, 0, sizeof(*section));
	return ivs->ops->get_section(ivs, index, section);
}

int ivshmem_find_section(struct ivshmem *ivs, const char *name,
			 struct ivshmem_section *section)
{
	uint32_t index;
	int ret;

	if (!ivs || !name || !section)
		return -EINVAL;
	for (index = 0; index < IVREGION_SECTIONS_MAX; index++) {
		ret = ivshmem_get_section(ivs, index, section);
		if (ret)
			return ret;
		if (!strcmp(section->name, name))
			return 0;
	}
	return -ENOENT;
}

int ivshmem_map_section(struct ivshmem *ivs,
			const struct ivshmem_section *section, int prot,
			void **addr)
{
	struct ivshmem_region region;
	struct ivshmem_section now;
	uint64_t offset;
	int ret;

	if (!ivs || !section || !addr)
		return -EINVAL;
	if (prot != PROT_READ && prot != (PROT_READ | PROT_WRITE))
		return -EINVAL;
	ret = ivshmem_get_section(ivs, section->index, &now);
	if (ret == -ENOENT)
		return -ESTALE;
	if (ret)
		return ret;
	if (now.offset != section->offset || now.size != section->size ||
	    strcmp(now.name, section->name))
		return -ESTALE;
	if (prot & PROT_WRITE) {
		if (ivs->flags & IVSHMEM_RDONLY)
			return -EACCES;
		ret = ivshmem_get_region(ivs, &region);
		if (ret)
			return ret;
		if (region.read_only)
			return -EROFS;
	}
	ret = ivs->ops->section_offset(ivs, &now, &offset);
	if (ret)
		return ret;
	return ivshmem_map_range(ivs, offset, now.size, prot, addr);
}

int ivshmem_get_peer(struct ivshmem *ivs, uint32_t slot,
		     struct ivshmem_peer *peer)
{
	if (!ivs || !peer)
		return -EINVAL;
	memset(peer, 0, sizeof(*peer));
	peer->slot = slot;
	return ivs->ops->get_peer(ivs, slot, peer);
}

int ivshmem_wait_change(struct ivshmem *ivs, uint64_t *changes, int timeout_ms)
{
	if (!ivs || !changes)
		return -EINVAL;
	return ivs->ops->wait_change(ivs, changes, timeout_ms);
}

int ivshmem_join(struct ivshmem *ivs, const char *name)
{
	if (!ivs)
		return -EINVAL;
	return ivs->ops->join(ivs, name);
}

int ivshmem_leave(struct ivshmem *ivs)
{
	if (!ivs)
		return -EINVAL;
	return ivs->ops->leave(ivs);
}
