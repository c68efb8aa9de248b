// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the peer says in each kind of section: it sends messages back, answers ARP and
 * ping for any address, and has a disk. One that is newer adds whatever a later minor
 * version may add, everywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define ADDRESS		"\x02\x69\x76\x00\x01\x00"
#define ARP_REQUEST	1
#define ICMP_ECHO	8
#define KIND_UNKNOWN	0x6e657721U

static_assert(IVNET_KIND_HELLO == IVBLK_KIND_HELLO, "told apart by the section");

/* A record, with @extra bytes of what nobody knows behind it */
static void put(struct speech *s, uint32_t queue, uint32_t kind,
		const void *payload, uint32_t length, uint32_t extra)
{
	struct ivring_producer *tx = &s->queues[queue].tx;
	void *place;

	/* It waits for no one: whoever sends so much is not the test's machine */
	if (ivring_reserve(tx, length + extra, &place)) {
		fprintf(stderr, "peer: no room for a record\n");
		exit(1);
	}
	memset(place, 0xff, length + extra);
	ivshmem_copy_out(place, payload, length);
	ivring_commit(tx, length + extra, kind);
}

static uint32_t more(const struct speech *s)
{
	return s->newer ? MORE : 0;
}

/* Bits that no version has */
static __le32 features(const struct speech *s, uint32_t known, uint32_t ours)
{
	return ivshmem_to_le32(ours | (s->newer ? ~known : 0));
}

static void greet_network(struct speech *s)
{
	struct ivnet_hello hello = {
		.features = features(s, IVNET_FEATURES_KNOWN, 0),
		.max_frame = ivshmem_to_le32(1514),
		.queues = ivshmem_to_le32(1),
		.address = ADDRESS,
	};

	memset(hello.reserved, s->newer ? 0xff : 0, sizeof(hello.reserved));
	put(s, 0, IVNET_KIND_HELLO, &hello, sizeof(hello), more(s));
}

static uint32_t buffers(const struct speech *s)
{
	return ivregion_buffers_size(s->section);
}

/* What is said of the disk, and what requests are held against */
static bool describe_disk(struct speech *s, struct ivblk_hello *hello,
			  struct ivblk_disk *disk)
{
	*hello = (struct ivblk_hello){
		.role = ivshmem_to_le32(IVBLK_BACK_END),
		.features = features(s, IVBLK_FEATURES_KNOWN, IVBLK_FLUSH),
		.queues = ivshmem_to_le32(s->section->queues),
		.block_size = ivshmem_to_le32(512),
		.physical_block_size = ivshmem_to_le32(4096),
		.max_length = ivshmem_to_le32(65536),
		.sectors_low = ivshmem_to_le32((uint32_t)(s->disk_size / 512)),
		.serial = "upgrade",
		.cache_low = ivshmem_to_le32(1),
	};
	return ivblk_parse_hello(disk, hello, sizeof(*hello), s->section->queues);
}

static void greet_disk(struct speech *s)
{
	struct ivblk_hello hello;
	struct ivblk_disk disk;

	if (!describe_disk(s, &hello, &disk))
		abort();
	put(s, 0, IVBLK_KIND_HELLO, &hello, sizeof(hello), more(s));
}

void speech_begin(struct speech *s)
{
	if (s->section->type == IVREGION_NET)
		greet_network(s);
	if (s->section->type == IVREGION_BLK)
		greet_disk(s);
}

/* Offsets are those of RFC 826 and 792, behind the Ethernet header */
static bool answer_frame(uint8_t *frame, uint32_t length)
{
	uint8_t *body = frame + 14, swapped[6];
	uint32_t sum;

	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, ADDRESS, 6);
	if (length >= 42 && !memcmp(frame + 12, "\x08\x06", 2) &&
	    body[7] == ARP_REQUEST) {
		body[7] = 2;
		memcpy(swapped, body + 24, 4);
		memcpy(body + 18, body + 8, 10);
		memcpy(body + 8, ADDRESS, 6);
		memcpy(body + 14, swapped, 4);
		return true;
	}
	if (length >= 42 && !memcmp(frame + 12, "\x08\x00\x45", 3) &&
	    body[9] == 1 && body[20] == ICMP_ECHO) {
		memcpy(swapped, body + 12, 4);
		memcpy(body + 12, body + 16, 4);
		memcpy(body + 16, swapped, 4);
		/* The type becomes 0: RFC 1624 */
		body[20] = 0;
		sum = (uint32_t)(body[22] << 8 | body[23]) + (ICMP_ECHO << 8);
		sum = (sum & 0xffff) + (sum >> 16);
		body[22] = (uint8_t)(sum >> 8);
		body[23] = (uint8_t)sum;
		return true;
	}
	return false;
}

static void take_network(struct speech *s, uint32_t kind, const void *payload,
			 uint32_t length)
{
	uint8_t record[sizeof(struct ivnet_frame) + 1514];
	struct ivnet_limits limits;
	struct ivnet_hello hello;

	if (kind == IVNET_KIND_HELLO && length >= sizeof(hello)) {
		memcpy(&hello, payload, sizeof(hello));
		if (!ivnet_parse_hello(&limits, &hello, length,
				       s->section->queues))
			length = 0;
		printf("net hello from %u: %s\n", s->peer,
		       length ? "right" : "wrong");
	}
	if (kind != IVNET_KIND_FRAME || length > sizeof(record) ||
	    length < sizeof(struct ivnet_frame))
		return;
	memcpy(record, payload, length);
	memset(record, 0, sizeof(struct ivnet_frame));
	if (s->newer)
		memset(((struct ivnet_frame *)record)->reserved, 0xff, 6);
	if (answer_frame(record + sizeof(struct ivnet_frame),
			 length - (uint32_t)sizeof(struct ivnet_frame)))
		put(s, 0, IVNET_KIND_FRAME, record, length, 0);
}

static uint32_t do_request(struct speech *s, uint32_t queue,
			   const struct ivblk_io *io)
{
	uint64_t from = ivregion_buffers_offset(s->region, s->section, s->peer,
						s->slot, queue);
	uint64_t to = ivregion_buffers_offset(s->region, s->section, s->slot,
					      s->peer, queue);

	if (io->operation == IVBLK_OP_WRITE)
		memcpy(s->disk + io->sector * 512,
		       s->memory + from + io->buffer, io->length);
	if (io->operation == IVBLK_OP_READ)
		memcpy(s->memory + to + io->buffer,
		       s->disk + io->sector * 512, io->length);
	return IVBLK_OK;
}

static void take_disk(struct speech *s, uint32_t queue, uint32_t kind,
		      const void *payload, uint32_t length)
{
	struct ivblk_response response = { 0 };
	struct ivblk_request request;
	struct ivblk_hello hello;
	struct ivblk_disk disk;
	struct ivblk_io io;
	uint32_t status;

	if (kind == IVBLK_KIND_HELLO && length >= sizeof(hello)) {
		memcpy(&hello, payload, sizeof(hello));
		printf("blk hello from %u: %s\n", s->peer,
		       ivblk_parse_hello(&disk, &hello, length,
					 s->section->queues) ? "right" : "wrong");
	}
	if (kind != IVBLK_KIND_REQUEST || length < sizeof(request) ||
	    !describe_disk(s, &hello, &disk))
		return;
	memcpy(&request, payload, sizeof(request));
	status = ivblk_parse_request(&io, &request, &disk, buffers(s));
	if (!status)
		status = do_request(s, queue, &io);
	response.id = request.id;
	response.status = ivshmem_to_le32(status);
	memset(response.reserved, s->newer ? 0xff : 0, sizeof(response.reserved));
	put(s, queue, IVBLK_KIND_RESPONSE, &response, sizeof(response), more(s));
}

void speech_take(struct speech *s, uint32_t queue, uint32_t kind,
		 const void *payload, uint32_t length)
{
	if (s->section->type == IVREGION_RAW)
		put(s, queue, kind, payload, length, 0);
	else if (s->section->type == IVREGION_NET)
		take_network(s, kind, payload, length);
	else
		take_disk(s, queue, kind, payload, length);
	/* Not before the hellos; the kind of both is the same */
	if (s->newer && s->section->type != IVREGION_RAW &&
	    kind == IVNET_KIND_HELLO)
		put(s, 0, KIND_UNKNOWN, "new", 3, more(s));
}
