/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peers of an Ethernet segment send each other: records of the rings of
 * a NET section.  Documentation/wire-format.rst specifies it.
 *
 * In each session both sides send a hello first, which says what they accept.
 * Frames follow, each behind a struct virtio_net_hdr (virtio 1.2, section 5.1.6),
 * so that checksums and segmentation can be left to whoever needs them done.
 */
#ifndef IVSHMEM_NET_H
#define IVSHMEM_NET_H

#include "wire.h"

/* Kinds of records; others are passed over */
#define IVNET_KIND_HELLO	1U
#define IVNET_KIND_FRAME	2U

/* Features: what a receiver accepts beyond plain frames */
#define IVNET_CSUM		1U	/* checksums that are not complete */
#define IVNET_TSO4		2U	/* TCP over IPv4 to be cut into segments */
#define IVNET_TSO6		4U	/* TCP over IPv6, likewise */
#define IVNET_ECN		8U	/* both of these with ECN */
#define IVNET_USO		16U	/* UDP, likewise */
#define IVNET_FEATURES_KNOWN	31U

/* An Ethernet header, and one with a VLAN tag and the smallest MTU */
#define IVNET_FRAME_MIN		14U
#define IVNET_MAX_FRAME_MIN	86U

/**
 * struct ivnet_hello - the first record of a session, on queue 0
 * @features: what its sender accepts, IVNET_CSUM and others
 * @max_frame: bytes of the longest frame that it accepts, headers included
 * @queues: it looks at the rings of queues below this, 1 to those of the section
 * @address: of its interface
 * @reserved: 0; not read
 */
struct ivnet_hello {
	__le32 features;
	__le32 max_frame;
	__le32 queues;
	__u8 address[6];
	__u8 reserved[14];
};

/**
 * struct ivnet_frame - precedes each frame
 * @flags: VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_DATA_VALID or 0
 * @gso_type: VIRTIO_NET_HDR_GSO_*
 * @hdr_len: as in virtio, all four little-endian
 * @gso_size: likewise
 * @csum_start: likewise
 * @csum_offset: likewise
 * @reserved: 0; aligns the frame to 16 bytes; not read
 */
struct ivnet_frame {
	__u8 flags;
	__u8 gso_type;
	__le16 hdr_len;
	__le16 gso_size;
	__le16 csum_start;
	__le16 csum_offset;
	__u8 reserved[6];
};

#if defined(__cplusplus) || defined(__KERNEL__) || \
	(defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
static_assert(sizeof(struct ivnet_hello) == 32, "half a line");
static_assert(sizeof(struct ivnet_frame) == 16, "aligned like a frame");
#endif

/**
 * struct ivnet_limits - what a peer accepts: private memory
 * @features: known bits only, and none that needs another one which is not there
 * @max_frame: bytes, IVNET_MAX_FRAME_MIN or more
 * @queues: 1 to those of the section
 * @address: of its interface
 */
struct ivnet_limits {
	__u32 features;
	__u32 max_frame;
	__u32 queues;
	__u8 address[6];
};

/**
 * ivnet_parse_hello() - check what a peer says of itself
 * @limits: filled in
 * @hello: a private copy of the first bytes of the payload
 * @length: bytes of payload; more than is known here may follow
 * @queues: of the section
 *
 * Return: whether it can be; if not, the session has to end with
 * IVRING_BAD_RECORD.
 */
static inline bool ivnet_parse_hello(struct ivnet_limits *limits,
				     const struct ivnet_hello *hello,
				     __u32 length, __u32 queues)
{
	unsigned int i;

	if (length < sizeof(*hello))
		return false;

	limits->features = ivshmem_from_le32(hello->features) &
			   IVNET_FEATURES_KNOWN;
	limits->max_frame = ivshmem_from_le32(hello->max_frame);
	limits->queues = ivshmem_from_le32(hello->queues);
	for (i = 0; i < 6; i++)
		limits->address[i] = hello->address[i];

	/* Who cuts has to complete checksums, too */
	if (!(limits->features & IVNET_CSUM))
		limits->features = 0;
	/* A group address is nobody's; nor is that of all zeros */
	return limits->max_frame >= IVNET_MAX_FRAME_MIN &&
	       limits->queues && limits->queues <= queues &&
	       !(limits->address[0] & 1) &&
	       (limits->address[0] | limits->address[1] | limits->address[2] |
		limits->address[3] | limits->address[4] | limits->address[5]);
}

#endif /* IVSHMEM_NET_H */
