/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An ivshmem device that this process drives by itself, through VFIO: its
 * memory, its doorbell and its interrupts.
 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

/* QEMU's doorbell looks at 8 bits of the vector. */
#define VFIO_DEVICE_MAX_VECTORS	256

struct bar {
	void *base;
	uint64_t size;
};

/**
 * struct vfio_device - an open device
 * @address:   PCI address, "0000:00:04.0"
 * @container: address space that the IOMMU gives to this process
 * @group:     the devices that the IOMMU cannot tell from this one: no others
 * @fd:        the device
 * @registers: BAR0
 * @memory:    BAR2, the shared memory
 * @vectors:   number of MSI-X vectors
 * @eventfds:  one for each vector
 * @epoll:     readable when an eventfd is; also for the caller's own loop
 */
struct vfio_device {
	const char *address;
	int container;
	int group;
	int fd;
	struct bar registers;
	struct bar memory;
	unsigned int vectors;
	int32_t eventfds[VFIO_DEVICE_MAX_VECTORS];
	int epoll;
};

/** complain() - "vfio-ping: ", the message and a new line on stderr */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * vfio_device_open() - take a device that is bound to vfio-pci
 *
 * Return: true; false after a message.  Either way vfio_device_close() follows.
 */
bool vfio_device_open(struct vfio_device *device, const char *address);
void vfio_device_close(struct vfio_device *device);

/** vfio_device_peer_id() - own id; all ones when the device is gone */
uint32_t vfio_device_peer_id(const struct vfio_device *device);

/** vfio_device_ring() - interrupt @peer (below 65536) on @vector (below 256) */
void vfio_device_ring(struct vfio_device *device, uint32_t peer,
		      uint32_t vector);

/**
 * vfio_device_wait() - wait to be rung on any vector, and consume that
 *
 * Return: 1 if rung, 0 when @timeout_ms ran out, or a negative errno value.
 */
int vfio_device_wait(struct vfio_device *device, int timeout_ms);

#endif /* VFIO_DEVICE_H */
