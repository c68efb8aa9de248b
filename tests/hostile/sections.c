// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attacks on what sections are for: frames, requests of disks, messages of channels; and
 * the one that does a bit of everything.
 */
#include "hostile.h"

#include <string.h>

#define NETS	TYPE(IVREGION_NET)
#define DISKS	TYPE(IVREGION_BLK)
#define RAWS	TYPE(IVREGION_RAW)

static void net_hellos(struct hostile *h)
{
	struct ivnet_hello hello = {
		.features = ivshmem_to_le32(nasty(h)),
		.max_frame = ivshmem_to_le32(draw(h, 2) ? 65550 : nasty(h)),
		.queues = ivshmem_to_le32(draw(h, 2) ? 1 : nasty(h)),
		.address = { (uint8_t)draw(h, 4), 0x49, 0x56, 0, 0, (uint8_t)draw(h, 4) },
	};

	put_record(h, any_ring(h), 1, &hello, sizeof(hello));
}

static uint16_t odd(struct hostile *h)
{
	static const uint16_t some[] = {
		0, 1, 8, 13, 14, 20, 34, 50, 54, 1400, 1448, 1500, 0x7fff, 0x8000, 0xffff,
	};

	return some[draw(h, sizeof(some) / sizeof(some[0]))];
}

/* Frames that are too short, headers that do not belong to them, false senders */
static void net_frames(struct hostile *h)
{
	static const uint32_t lengths[] = { 0, 4, 12, 16, 20, 28, 32, 60, 100, 1400 };
	struct {
		struct ivnet_frame header;
		uint8_t frame[1484];
	} sent = { 0 };
	uint32_t i;

	sent.header.flags = (uint8_t)draw(h, 4);
	sent.header.gso_type = (uint8_t)(draw(h, 2) ? draw(h, 6) : draw(h, 256));
	memcpy(&sent.header.hdr_len, &(uint16_t){ odd(h) }, 2);
	memcpy(&sent.header.gso_size, &(uint16_t){ odd(h) }, 2);
	memcpy(&sent.header.csum_start, &(uint16_t){ odd(h) }, 2);
	memcpy(&sent.header.csum_offset, &(uint16_t){ odd(h) }, 2);
	memset(sent.frame, draw(h, 2) ? 0xff : 0, 6);
	for (i = 6; i < 54; i++)
		sent.frame[i] = (uint8_t)draw(h, 256);
	if (draw(h, 2))
		memcpy(sent.frame + 12, "\x08\x00\x45", 3);
	put_record(h, any_ring(h), 2, &sent, lengths[draw(h, 10)]);
}

/* Frames for the one who gets them, from stations without number */
static void net_stations(struct hostile *h)
{
	struct {
		struct ivnet_frame header;
		uint8_t frame[64];
	} sent = { 0 };
	uint64_t station = draw(h, 1ULL << 40);

	memset(sent.frame, 0xff, 6);
	memcpy(sent.frame + 7, &station, 5);
	sent.frame[6] = (uint8_t)(draw(h, 16) ? 2 : draw(h, 256));
	sent.frame[12] = 0x88;
	sent.frame[13] = 0xb5;
	put_record(h, any_ring(h), 2, &sent, sizeof(sent));
}

static void disk_hellos(struct hostile *h)
{
	struct ivblk_hello hello = {
		.role = ivshmem_to_le32(draw(h, 8) ? 1 + (uint32_t)draw(h, 2) : nasty(h)),
		.features = ivshmem_to_le32(nasty(h)),
		.queues = ivshmem_to_le32(draw(h, 2) ? 1 : nasty(h)),
		.block_size = ivshmem_to_le32(draw(h, 2) ? 512 : nasty(h)),
		.physical_block_size = ivshmem_to_le32(draw(h, 2) ? 4096 : nasty(h)),
		.max_length = ivshmem_to_le32(draw(h, 2) ? 65536 : nasty(h)),
		.max_extent = ivshmem_to_le32(draw(h, 2) ? 65536 : nasty(h)),
		.sectors_low = ivshmem_to_le32(nasty(h)),
		.sectors_high = ivshmem_to_le32(draw(h, 2) ? 0 : nasty(h)),
		.serial = "\33[2J%s%n\n",
	};

	put_record(h, any_ring(h), IVBLK_KIND_HELLO, &hello, sizeof(hello));
}

/* Of the type of buffers' offsets and lengths: near their end, and beyond */
static uint32_t of_buffers(struct hostile *h, const struct ring *ring)
{
	return draw(h, 2) ? nasty(h) :
			    ring->room - IVBLK_SECTOR * (uint32_t)draw(h, 4);
}

static void disk_requests(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	struct ivblk_request request = {
		.id = ivshmem_to_le32((uint32_t)draw(h, 4) ? (uint32_t)h->step : nasty(h)),
		.operation = ivshmem_to_le32(draw(h, 8) ? (uint32_t)draw(h, 6) : nasty(h)),
		.flags = ivshmem_to_le32((uint32_t)draw(h, 5)),
		.length = ivshmem_to_le32(draw(h, 2) ? 4096 : of_buffers(h, ring)),
		.sector_low = ivshmem_to_le32(nasty(h)),
		.sector_high = ivshmem_to_le32(draw(h, 2) ? 0 : nasty(h)),
		.buffer = ivshmem_to_le32(draw(h, 2) ? 0 : of_buffers(h, ring)),
	};

	put_record(h, ring, IVBLK_KIND_REQUEST, &request,
		   draw(h, 16) ? sizeof(request) : 4 * (uint32_t)draw(h, 8));
}

/* Tags that wait for nothing, or for something else; twice, in vain, too early */
static void disk_responses(struct hostile *h)
{
	struct ivblk_response response = {
		.id = ivshmem_to_le32(draw(h, 4) ? (uint32_t)draw(h, 256) |
						   (uint32_t)draw(h, 8) << 16 : nasty(h)),
		.status = ivshmem_to_le32(draw(h, 2) ? IVBLK_OK : nasty(h)),
	};

	put_record(h, any_ring(h), IVBLK_KIND_RESPONSE, &response,
		   draw(h, 16) ? sizeof(response) : 4 * (uint32_t)draw(h, 4));
}

static void disk_records(struct hostile *h)
{
	const struct ring *ring = any_ring(h);

	put_near(h, ring, record(h, ring), IVRING_HEADER + 4 * draw(h, 8), nasty(h));
}

static void disk_buffers(struct hostile *h)
{
	const struct ring *ring = any_ring(h);

	put(h, ring->data + (ring->size + 4 * draw(h, 4096)) % (ring->size + ring->room),
	    nasty(h));
}

static void messages(struct hostile *h)
{
	static const char text[] = "\33]0;hostile\a%s%n";
	const struct ring *ring = any_ring(h);

	put_record(h, ring, draw(h, 2) ? (uint32_t)draw(h, 4) : nasty(h), text,
		   4 * (uint32_t)draw(h, sizeof(text) / 4));
	put_near(h, ring, record(h, ring), IVRING_HEADER + 4 * draw(h, 64), nasty(h));
}

/* A word that is not drawn from a list: what is there, a bit of it, or another's */
static uint32_t changed(struct hostile *h, uint32_t word)
{
	uint32_t seen = peek(h, word);

	switch (draw(h, 6)) {
	case 0:
		return seen;
	case 1:
		return seen ^ 1U << draw(h, 32);
	case 2:
		return seen + IVRING_ALIGN * ((uint32_t)draw(h, 9) - 4);
	case 3:
		return peek(h, chosen(h));
	case 4:
		return h->words[word].kind & LINK_LINE ?
		       peek(h, h->words[word].other) : seen + 1;
	default:
		return nasty(h);
	}
}

static void random_record(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	uint64_t at = record(h, ring);

	if (draw(h, 2))
		put(h, at + 4 * draw(h, 2), draw(h, 2) ? (uint32_t)draw(h, 4) : nasty(h));
	put_near(h, ring, at, IVRING_HEADER + 4 * draw(h, 24), nasty(h));
	if (!draw(h, 16))
		publish(h, ring, IVRING_ALIGN * (uint32_t)draw(h, 4));
}

/* Without a superblock all the rest is dead: it is hit seldom, and soon put right */
static void random_superblock(struct hostile *h)
{
	const struct word *word = &h->words[draw(h, h->nr_words)];

	if (word->kind == SUPERBLOCK && h->only == NOBODY)
		put(h, word->offset, nasty(h));
	else
		restore(h);
}

static void random_words(struct hostile *h)
{
	uint32_t word;

	if (!(h->step & 0x3ffff)) {
		random_superblock(h);
		return;
	}
	switch (draw(h, 4)) {
	case 0:
		random_record(h);
		break;
	default:
		word = chosen(h);
		put(h, h->words[word].offset, changed(h, word));
	}
}

const struct attack section_attacks[] = {
	{ "net-hellos", "A23",
	  "cards that cannot be",
	  0, NETS, false, false, net_hellos },
	{ "net-frames", "A22 A23",
	  "frames and headers that do not belong together",
	  0, NETS, false, false, net_frames },
	{ "net-stations", "A24 A26",
	  "frames from stations without number",
	  0, NETS, false, false, net_stations },
	{ "disk-hellos", "A29",
	  "disks that cannot be",
	  0, DISKS, false, false, disk_hellos },
	{ "disk-requests", "A32 A33",
	  "requests for what is not there, and without end",
	  0, DISKS, false, false, disk_requests },
	{ "disk-responses", "A28",
	  "responses to nothing, twice, and with any status",
	  0, DISKS, false, false, disk_responses },
	{ "disk-records", "A28 A32",
	  "requests and responses that change while they are read",
	  0, DISKS, false, false, disk_records },
	{ "disk-buffers", "A30",
	  "data that changes before and after it was handed over",
	  0, DISKS, false, false, disk_buffers },
	{ "messages", "A12 A20",
	  "messages of channels, of any kind",
	  0, RAWS, false, false, messages },
	{ "random", "A06 A11 A13 A14",
	  "all of this in any order",
	  SERVER_LINE | PEER_LINE | LINK_LINE | RING_LINES, ANY_TYPE, false, false,
	  random_words },
	{ 0 }
};
