/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of ivshmem_import.c, for the programs of the tests.
 */
#ifndef IVSHMEM_TEST_IMPORT_H
#define IVSHMEM_TEST_IMPORT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* A copy by the device, from or to @offset of the buffer */
struct import_dma {
	__u64 offset;
	__u32 length;
	__u32 reserved;
	__u8 bytes[64];
};

/* A descriptor: imported peer-to-peer, or by a driver that cannot be told */
#define IMPORT_ATTACH		_IO('i', 0)
#define IMPORT_ATTACH_STATIC	_IO('i', 1)
/* A direction, enum dma_data_direction */
#define IMPORT_MAP		_IO('i', 2)
#define IMPORT_READ		_IOWR('i', 3, struct import_dma)
#define IMPORT_WRITE		_IOWR('i', 4, struct import_dma)
/* Into the kernel's address space, and out of it again */
#define IMPORT_VMAP		_IO('i', 5)
/* How often the exporter has wanted it back */
#define IMPORT_TOLD		_IO('i', 6)

#define IMPORT_BIDIRECTIONAL	0
#define IMPORT_TO_DEVICE	1
#define IMPORT_FROM_DEVICE	2

#endif /* IVSHMEM_TEST_IMPORT_H */
