/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TAP device: an Ethernet interface of the host whose cable is this process.
 */
#ifndef TAP_DEVICE_H
#define TAP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/**
 * struct tap_packet - a frame with its header, in private memory
 * @header: as in a ring; for the kernel, too, which skips what is reserved
 * @frame:  the frame, and a byte to notice one that is too long
 */
struct tap_packet {
	struct ivnet_frame header;
	uint8_t frame[FRAME_MAX + 1];
};

/**
 * struct tap_device - an open TAP device
 * @fd:       non-blocking
 * @name:     of the interface
 * @address:  its Ethernet address
 * @accepts:  features that frames to it may need, IVNET_CSUM and others
 * @offloads: what was last asked for by tap_offload(), as the kernel has it
 * @carrier:  what tap_carrier() last set; -1 if nothing yet
 */
struct tap_device {
	int fd;
	char name[16];
	uint8_t address[FRAME_ADDRESS];
	uint32_t accepts;
	unsigned int offloads;
	int carrier;
};

/**
 * tap_open() - open a TAP device, or make one
 * @name:    of the interface, or a pattern such as "tap%d"
 * @address: which it is to have from now on; NULL to leave it
 *
 * Return: 0, or -1 after a message.
 */
int tap_open(struct tap_device *tap, const char *name, const uint8_t *address);
void tap_close(struct tap_device *tap);

/**
 * tap_look() - read the interface's address again
 *
 * Return: 1 if it has changed, 0, or -1 if the device is gone.
 */
int tap_look(struct tap_device *tap);

/** tap_mtu() - of the interface; 0 if it cannot be told */
unsigned int tap_mtu(const struct tap_device *tap);

/**
 * tap_offload() - tell the kernel what may be left to who receives
 * @features:  IVNET_CSUM and others, that all of them accept
 * @max_frame: bytes of the longest frame that all of them accept
 *
 * The kernel completes and cuts all else itself.
 */
void tap_offload(struct tap_device *tap, uint32_t features, uint32_t max_frame);

/** tap_carrier() - plug the cable in, or pull it out, if the kernel can */
void tap_carrier(struct tap_device *tap, bool on);

/**
 * tap_read() - a frame from the interface
 * @packet: filled in; not checked
 *
 * Return: bytes of the frame, or a negative errno value: -EAGAIN if there is
 * none, -EMSGSIZE if it was cut off.
 */
int tap_read(struct tap_device *tap, struct tap_packet *packet);

/**
 * tap_write() - a frame to the interface
 * @length: bytes of the frame
 *
 * Return: 0, or a negative errno value: -EAGAIN if it has to wait.
 */
int tap_write(struct tap_device *tap, const struct tap_packet *packet,
	      uint32_t length);

#endif /* TAP_DEVICE_H */
