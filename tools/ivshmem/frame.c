// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks the header of a frame, struct virtio_net_hdr of virtio 1.2.
 */
#include <endian.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "frame.h"

/* Newer than the headers of some systems */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4	5
#endif

/* Where the checksum is has to lie within the frame, behind its addresses. */
static bool check_checksum(const struct ivnet_frame *header, uint32_t length)
{
	uint32_t start = le16toh(header->csum_start);
	uint32_t end = start + le16toh(header->csum_offset) + 2;

	return start >= IVNET_FRAME_MIN && end <= length;
}

/* What cutting the frame needs; 0 if it cannot be cut. */
static uint32_t segmentation(const struct ivnet_frame *header)
{
	bool ecn = header->gso_type & VIRTIO_NET_HDR_GSO_ECN;

	/* Who cuts completes the checksums of the pieces, too. */
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !header->gso_size)
		return 0;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return IVNET_CSUM | IVNET_TSO4 | (ecn ? IVNET_ECN : 0);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return IVNET_CSUM | IVNET_TSO6 | (ecn ? IVNET_ECN : 0);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return ecn ? 0 : IVNET_CSUM | IVNET_USO;
	default:
		return 0;
	}
}

bool frame_check(struct ivnet_frame *header, uint32_t length, uint32_t *needs)
{
	*needs = 0;
	if (length < IVNET_FRAME_MIN)
		return false;
	memset(header->reserved, 0, sizeof(header->reserved));
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!check_checksum(header, length))
			return false;
		header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		*needs = IVNET_CSUM;
	} else {
		header->flags &= VIRTIO_NET_HDR_F_DATA_VALID;
		header->csum_start = 0;
		header->csum_offset = 0;
	}
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		*needs = segmentation(header);
		if (le16toh(header->hdr_len) > length)
			header->hdr_len = htole16((uint16_t)length);
		return *needs;
	}
	header->gso_size = 0;
	header->hdr_len = 0;
	return true;
}

bool frame_fits(const struct ivnet_limits *limits, uint32_t length,
		uint32_t needs)
{
	return length <= limits->max_frame && !(needs & ~limits->features);
}

uint64_t frame_key(const uint8_t address[FRAME_ADDRESS])
{
	uint64_t key = 0;
	unsigned int i;

	for (i = 0; i < FRAME_ADDRESS; i++)
		key = key << 8 | address[i];
	return key;
}
