/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames as they pass between a TAP device and a ring: what their header asks of
 * who receives them, and whether it fits what is in the frame.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/net.h>

/*
 * Longest frame that is sent or received: an IP packet of 64 KiB and a VLAN tag.
 * What is longer the kernel does not take from a TAP device.
 */
#define FRAME_MAX	(65535U + 18U)
#define FRAME_HEADER	((uint32_t)sizeof(struct ivnet_frame))

/* Of an Ethernet header, in bytes */
#define FRAME_ADDRESS	6

/**
 * frame_check() - whether a header can be of the frame
 * @header: in private memory; what it leaves open becomes 0, and hints that lead
 *          beyond the frame are shortened
 * @length: bytes of the frame
 * @needs:  out: what a receiver must have accepted, IVNET_CSUM and others
 *
 * Return: false if no honest peer sends that.
 */
bool frame_check(struct ivnet_frame *header, uint32_t length, uint32_t *needs);

/**
 * frame_fits() - whether a receiver takes the frame
 * @limits: what it accepts
 */
bool frame_fits(const struct ivnet_limits *limits, uint32_t length,
		uint32_t needs);

/** frame_key() - an address as a number; 0 is none */
uint64_t frame_key(const uint8_t address[FRAME_ADDRESS]);

/** frame_is_group() - whether an address is that of several stations */
static inline bool frame_is_group(const uint8_t address[FRAME_ADDRESS])
{
	return address[0] & 1;
}

#endif /* FRAME_H */
