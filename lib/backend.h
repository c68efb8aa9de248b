/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a backend of the library implements.  The calls of libivshmem.h check
 * their arguments and then come here.
 */
#ifndef IVSHMEM_BACKEND_H
#define IVSHMEM_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "libivshmem.h"

struct ivregion;
struct ivregion_superblock;

struct ivshmem_backend_ops {
	void (*close)(struct ivshmem *ivs);
	int (*get_info)(struct ivshmem *ivs, struct ivshmem_info *info);
	int (*peer_vectors)(struct ivshmem *ivs, uint32_t peer);
	int (*ring)(struct ivshmem *ivs, uint32_t peer, uint32_t vector);
	int (*subscribe)(struct ivshmem *ivs, const uint64_t vectors[4]);
	int (*wait)(struct ivshmem *ivs, struct ivshmem_event *events,
		    unsigned int max, int timeout_ms);
	int (*fd)(struct ivshmem *ivs);
	/* Of the region; what they fill in was set to 0 before. */
	int (*get_region)(struct ivshmem *ivs, struct ivshmem_region *region);
	int (*get_section)(struct ivshmem *ivs, uint32_t index,
			   struct ivshmem_section *section);
	/*
	 * Where in what the handle maps a section begins, or -ENXIO; NULL
	 * stands for the region as a whole.
	 */
	int (*section_offset)(struct ivshmem *ivs,
			      const struct ivshmem_section *section,
			      uint64_t *offset);
	int (*get_peer)(struct ivshmem *ivs, uint32_t slot,
			struct ivshmem_peer *peer);
	int (*wait_change)(struct ivshmem *ivs, uint64_t *changes,
			   int timeout_ms);
	int (*join)(struct ivshmem *ivs, const char *name);
	int (*leave)(struct ivshmem *ivs);
	/* Both NULL to erase; @flags is IVSHMEM_FORCE or 0. */
	int (*format)(struct ivshmem *ivs,
		      const struct ivregion_superblock *superblock,
		      const struct ivregion *region, uint32_t flags,
		      char *error, size_t error_size);
	/*
	 * Of channels.  A new descriptor, readable once the vector of the
	 * section was rung; nobody else's doorbells are taken away by it.
	 */
	int (*watch)(struct ivshmem *ivs,
		     const struct ivshmem_section *section);
	/* It is not readable any more; 0 or -ENODEV */
	int (*settle)(int fd);
	/*
	 * No other process can claim what is at this offset of the region, as
	 * long as the descriptor is open; 0 or -EBUSY
	 */
	int (*claim)(struct ivshmem *ivs, int fd, uint64_t offset);
	/*
	 * A new descriptor, of whole pages within the memory; NULL if there are
	 * no dma-bufs
	 */
	int (*export_dmabuf)(struct ivshmem *ivs, uint64_t offset,
			     uint64_t length, int prot);
};

/**
 * struct ivshmem - first member of each backend's own structure
 * @ops:         the backend
 * @flags:       as given to ivshmem_open()
 * @memory_fd:   what is mapped; belongs to the backend
 * @memory_at:   where in it the memory begins, a multiple of the page size
 * @memory_size: mappings end here
 * @page_size:   what offsets of mappings are rounded to, a power of two; more
 *               than the system's page size if the memory is in huge pages
 */
struct ivshmem {
	const struct ivshmem_backend_ops *ops;
	unsigned int flags;
	int memory_fd;
	uint64_t memory_at;
	uint64_t memory_size;
	uint64_t page_size;
};

int ivshmem_device_open(const char *path, unsigned int flags,
			struct ivshmem **out);
int ivshmem_server_open(const char *path, unsigned int flags,
			struct ivshmem **out);
/* "0000:00:10.0", for devices without doorbells also "0000:00:10.0,slot=1" */
int ivshmem_vfio_open(const char *address, unsigned int flags,
		      struct ivshmem **out);
int ivshmem_sysfs_open(const char *address, unsigned int flags,
		       struct ivshmem **out);

/** ivshmem_memory_init() - take in @fd of @size bytes as the shared memory */
void ivshmem_memory_init(struct ivshmem *ivs, int fd, uint64_t size);

/**
 * ivshmem_map_range() - map what was checked to lie in the memory
 *
 * Unlike with ivshmem_map(), @offset and @length are multiples of nothing.
 */
int ivshmem_map_range(struct ivshmem *ivs, uint64_t offset, size_t length,
		      int prot, void **addr);

/** ivshmem_listen_vector() - where a section's kicks arrive at who has @vectors */
static inline uint32_t ivshmem_listen_vector(uint32_t vector, uint32_t vectors)
{
	return vector < vectors ? vector : vectors - 1;
}

/* Deadlines: milliseconds of CLOCK_MONOTONIC; a negative one never comes. */
int64_t ivshmem_deadline(int timeout_ms);
/** ivshmem_time_left() - what poll(2) wants: -1, or 0 and more */
int ivshmem_time_left(int64_t deadline);

#endif /* IVSHMEM_BACKEND_H */
