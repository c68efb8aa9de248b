/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of the backend for guests.  The driver is asked through the
 * descriptor that is also mapped, &struct ivshmem.memory_fd.
 */
#ifndef IVSHMEM_DEVICE_H
#define IVSHMEM_DEVICE_H

#include "backend.h"

/* device_region.c: as the calls of libivshmem.h with these names */

int ivshmem_device_get_region(struct ivshmem *ivs, struct ivshmem_region *out);
int ivshmem_device_get_section(struct ivshmem *ivs, uint32_t index,
			       struct ivshmem_section *section);
int ivshmem_device_get_peer(struct ivshmem *ivs, uint32_t slot,
			    struct ivshmem_peer *peer);
int ivshmem_device_wait_change(struct ivshmem *ivs, uint64_t *changes,
			       int timeout_ms);
int ivshmem_device_join(struct ivshmem *ivs, const char *name);
int ivshmem_device_leave(struct ivshmem *ivs);

int ivshmem_device_format(struct ivshmem *ivs,
			  const struct ivregion_superblock *superblock,
			  const struct ivregion *region, uint32_t flags,
			  char *error, size_t error_size);

/** ivshmem_device_section_offset() - where the node of the handle has it */
int ivshmem_device_section_offset(struct ivshmem *ivs,
				  const struct ivshmem_section *section,
				  uint64_t *offset);

/* device_watch.c: as the members of struct ivshmem_backend_ops */

int ivshmem_device_watch(struct ivshmem *ivs,
			 const struct ivshmem_section *section);
int ivshmem_device_settle(int fd);
int ivshmem_device_claim(struct ivshmem *ivs, int fd, uint64_t offset);

#endif /* IVSHMEM_DEVICE_H */
