// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attacks on what tells of a region as a whole: superblock, directory, server's lines.
 */
#include "hostile.h"

#include <string.h>

#define AT(field)	((uint32_t)offsetof(struct ivregion_superblock, field))
#define IN_SECTION(field) \
	(AT(section) + (uint32_t)offsetof(struct ivregion_entry, field))

/* Words of the superblock are wrong for a moment, the magic is right all the time */
static void header_flips(struct hostile *h)
{
	uint32_t number = (uint32_t)draw(h, h->nr_chosen);
	uint64_t offset = h->words[h->chosen[number]].offset;
	__le32 right;

	if (!offset)
		return;
	memcpy(&right, (uint8_t *)&h->superblock + offset, sizeof(right));
	put(h, offset, nasty(h));
	put(h, offset, ivshmem_from_le32(right));
}

static void magic_flips(struct hostile *h)
{
	put(h, 0, nasty(h));
	put(h, 0, IVREGION_MAGIC);
	put(h, AT(instance), ivshmem_from_le32(h->superblock.instance) +
			     (uint32_t)draw(h, 2));
}

/* A superblock whose checksum is right, and one word, or more, is not */
static void reformat(struct hostile *h, const uint32_t *fields, uint32_t n)
{
	struct ivregion_superblock lie = h->superblock;
	uint32_t i, at;
	__le32 word;

	lie.instance = ivshmem_to_le32((uint32_t)draw(h, 1ULL << 32));
	for (i = 0; i <= draw(h, 2); i++) {
		at = fields[draw(h, n)];
		if (at >= AT(section))
			at += (uint32_t)draw(h, h->region.nr_sections + 1) *
			      (uint32_t)sizeof(struct ivregion_entry);
		word = ivshmem_to_le32(nasty(h));
		memcpy((uint8_t *)&lie + at, &word, sizeof(word));
	}
	format(h, &lie);
}

static void sizes(struct hostile *h)
{
	static const uint32_t fields[] = { AT(size_log2), AT(slots), AT(sections) };

	reformat(h, fields, 3);
}

static void versions(struct hostile *h)
{
	static const uint32_t fields[] = {
		AT(major), AT(minor), AT(compat), AT(ro_compat), AT(incompat),
		AT(reserved),
	};

	reformat(h, fields, 6);
}

static void section_table(struct hostile *h)
{
	static const uint32_t fields[] = {
		IN_SECTION(type), IN_SECTION(pages), IN_SECTION(vector),
		IN_SECTION(queues), IN_SECTION(features), IN_SECTION(reserved),
		IN_SECTION(name), IN_SECTION(name) + 4, IN_SECTION(name) + 28,
	};

	reformat(h, fields, sizeof(fields) / sizeof(fields[0]));
}

/* Layouts that are right, one after the other, while the ones before are in use */
static void format_over(struct hostile *h)
{
	struct ivregion_superblock other = h->superblock;
	uint32_t slots = 2 + (uint32_t)draw(h, h->region.slots - 1);

	other.instance = ivshmem_to_le32((uint32_t)draw(h, 1ULL << 32));
	other.slots = ivshmem_to_le32(slots);
	other.section[0].queues = ivshmem_to_le32(1 + (uint32_t)draw(h, 2));
	format(h, &other);
}

static void half_formatted(struct hostile *h)
{
	uint32_t half = (uint32_t)draw(h, sizeof(h->superblock) / 4) * 4;

	put(h, 0, 0);
	put_bytes(h, half, (uint8_t *)&h->superblock + half,
		  (uint32_t)sizeof(h->superblock) - half);
	put(h, 0, IVREGION_MAGIC);
}

static void any_nasty(struct hostile *h)
{
	put(h, h->words[chosen(h)].offset, nasty(h));
}

/* Peers come and go in all slots at once */
static void false_peers(struct hostile *h)
{
	const struct word *word = &h->words[chosen(h)];

	put(h, word->offset, draw(h, 2) ? (uint32_t)draw(h, 1ULL << 32) : 0);
	put(h, ivregion_server_offset(word->owner), (uint32_t)draw(h, 4));
	put(h, ivregion_peer_offset(word->owner) + 4, (uint32_t)h->step);
}

static void heartbeats(struct hostile *h)
{
	put(h, h->words[chosen(h)].offset, (uint32_t)h->step);
}

static void epoch_flips(struct hostile *h)
{
	uint32_t word = chosen(h), seen = peek(h, word);

	put(h, h->words[word].offset, draw(h, 2) ? 0 : ~seen);
	put(h, h->words[word].offset, seen);
}

/* Another one with the same slot: a life of its own in the lines of somebody else */
static void same_slot(struct hostile *h)
{
	const struct word *word = &h->words[chosen(h)];
	struct ivregion_peer_line line = {
		.heartbeat = ivshmem_to_le32((uint32_t)h->step),
		.vectors = ivshmem_to_le32((uint32_t)draw(h, 5)),
		.name = "another",
	};

	put_bytes(h, ivregion_peer_offset(word->owner) + 4, (uint8_t *)&line + 4,
		  (uint32_t)sizeof(line) - 4);
	put(h, ivregion_peer_offset(word->owner), 1 + (uint32_t)(h->step >> 12));
}

static void names(struct hostile *h)
{
	static const char some[][5] = {
		"\33[2J", "%s%n", "\n\n\n\n", "\r\r\r\r", "../.", "\"'`$", "\377\376\375\374",
		"<&>;", "\33]0;", "....",
	};
	uint32_t value;

	memcpy(&value, some[draw(h, sizeof(some) / sizeof(some[0]))], sizeof(value));
	put(h, h->words[chosen(h)].offset, draw(h, 4) ? value : nasty(h));
}

const struct attack region_attacks[] = {
	{ "header-flips", "A01 A06",
	  "words of the superblock are wrong and right again",
	  SUPERBLOCK, 0, false, false, header_flips },
	{ "magic-flips", "A05 A06",
	  "the region is formatted and is not, many times a second",
	  SUPERBLOCK, 0, false, false, magic_flips },
	{ "sizes", "A02 A04",
	  "superblocks with a right checksum and sizes that cannot be",
	  SUPERBLOCK, 0, false, false, sizes },
	{ "versions", "A03",
	  "superblocks of other versions, with unknown features",
	  SUPERBLOCK, 0, false, false, versions },
	{ "section-table", "A02",
	  "superblocks whose sections cannot be",
	  SUPERBLOCK, 0, false, false, section_table },
	{ "format-over", "A05",
	  "other formats, which are right, while the last one is in use",
	  SUPERBLOCK, 0, false, false, format_over },
	{ "half-formatted", "A05",
	  "the magic is there before the rest",
	  SUPERBLOCK, 0, false, false, half_formatted },
	{ "server-lines", "A07",
	  "what the server says is overwritten",
	  SERVER_LINE, 0, false, false, any_nasty },
	{ "false-peers", "A07 A09",
	  "peers come and go in all slots",
	  PEER_EPOCH, 0, false, false, false_peers },
	{ "heartbeats", "A10",
	  "hearts beat a million times a second",
	  PEER_BEAT, 0, false, false, heartbeats },
	{ "peer-epochs", "A09",
	  "peers leave and return between two looks",
	  PEER_EPOCH, 0, false, false, epoch_flips },
	{ "same-slot", "A07",
	  "another peer in the slot of each",
	  PEER_EPOCH, 0, false, false, same_slot },
	{ "names", "A08",
	  "names with control characters and formats",
	  PEER_NAME, 0, false, false, names },
	{ "peer-lines", "A07 A08",
	  "all of the directory's lines",
	  PEER_LINE, 0, false, false, any_nasty },
	{ 0 }
};
