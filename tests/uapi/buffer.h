/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parts of the memory as dma-bufs, as the test programs make, map and import
 * them.
 */
#ifndef TESTS_UAPI_BUFFER_H
#define TESTS_UAPI_BUFFER_H

#include "device.h"

#include <import.h>

/* IVSHMEM_IOC_DMABUF: a descriptor, or -1 and errno. */
int buffer_export(int fd, uint64_t offset, uint64_t length, int open_flags);

/* Likewise, close-on-exec; fails the test when that fails. */
int buffer_make(int fd, uint64_t offset, uint64_t length, int mode);

/* Opens the node of drivers/test/ivshmem_import.c; fails the test. */
int importer_open(void);

/*
 * Has a device copy @length bytes at @offset of the imported buffer, by DMA:
 * 0, or -1 and errno.
 */
int importer_read(int importer, uint64_t offset, void *bytes, uint32_t length);
int importer_write(int importer, uint64_t offset, const void *bytes,
		   uint32_t length);

/* A DRM device without hardware, /dev/dri/card*; fails the test. */
int vgem_open(void);

#endif /* TESTS_UAPI_BUFFER_H */
