// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the words of a region's metadata and its rings are, and what an attack is
 * allowed to pick from them.
 */
#include "hostile.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *old, size_t n, size_t size)
{
	/* By powers of two */
	void *memory = n & (n - 1) ? old : realloc(old, (n ? 2 * n : 1) * size);

	if (!memory)
		abort();
	return memory;
}

static void add(struct hostile *h, const struct word *word)
{
	h->words = grown(h->words, h->nr_words, sizeof(*word));
	h->words[h->nr_words++] = *word;
}

static void add_superblock(struct hostile *h)
{
	uint32_t end = (uint32_t)offsetof(struct ivregion_superblock, section) +
		       (h->region.nr_sections + 1) * (uint32_t)sizeof(struct ivregion_entry);
	struct word word = { .kind = SUPERBLOCK, .owner = NOBODY };

	for (; word.offset < end; word.offset += 4)
		add(h, &word);
}

static uint32_t peer_kind(uint32_t place)
{
	static const uint32_t kinds[] = {
		PEER_EPOCH, PEER_BEAT, PEER_VECTORS, PEER_FEATURES,
		PEER_FEATURES, PEER_FEATURES,
	};

	return place < sizeof(kinds) / sizeof(kinds[0]) ? kinds[place] : PEER_NAME;
}

static void add_directory(struct hostile *h)
{
	uint32_t slot, place;

	for (slot = 0; slot < h->region.slots; slot++) {
		struct word line = { .kind = SERVER_LINE, .owner = NOBODY };
		struct word peer = { .owner = slot };

		for (place = 0; place < 3; place++) {
			line.offset = ivregion_server_offset(slot) + 4 * place;
			add(h, &line);
		}
		for (place = 0; place < 16; place++) {
			peer.offset = ivregion_peer_offset(slot) + 4 * place;
			peer.kind = peer_kind(place);
			add(h, &peer);
		}
	}
}

static void add_pair(struct hostile *h, const struct word *like, uint64_t offset,
		     uint32_t first, uint32_t second)
{
	struct word pair = *like;

	pair.offset = offset;
	pair.kind = first;
	add(h, &pair);
	pair.offset += 4;
	pair.kind = second;
	add(h, &pair);
}

/* The line of a link, and the lines of the rings that its owner writes */
static void add_link(struct hostile *h, uint32_t section, uint32_t slot, uint32_t peer)
{
	const struct ivregion_section *s = &h->region.sections[section];
	struct word word = { .owner = slot, .peer = peer, .section = section };

	add_pair(h, &word, ivregion_link_offset(&h->region, s, slot, peer), LINK_EPOCH,
		 LINK_ACK);
	for (; word.queue < s->queues; word.queue++) {
		add_pair(h, &word, ivregion_tx_offset(&h->region, s, slot, peer, word.queue),
			 PROD, SPACE_EVENT);
		add_pair(h, &word, ivregion_rx_offset(&h->region, s, peer, slot, word.queue),
			 CONS, DATA_EVENT);
	}
}

/* The other end's word of a kind, of the same link and queue */
static uint32_t find_other(struct hostile *h, const struct word *word, uint32_t kind)
{
	uint32_t i;

	for (i = 0; i < h->nr_words; i++) {
		const struct word *other = &h->words[i];

		if (other->kind == kind && other->owner == word->peer &&
		    other->peer == word->owner && other->section == word->section &&
		    other->queue == word->queue)
			return i;
	}
	abort();
}

void survey(struct hostile *h)
{
	uint32_t section, slot, peer, i;

	add_superblock(h);
	add_directory(h);
	for (section = 0; section < h->region.nr_sections; section++) {
		if (!h->region.sections[section].ring_size)
			continue;
		for (slot = 0; slot < h->region.slots; slot++) {
			for (peer = 0; peer < h->region.slots; peer++) {
				if (peer != slot)
					add_link(h, section, slot, peer);
			}
		}
	}
	for (i = 0; i < h->nr_words; i++) {
		if (h->words[i].kind & LINK_LINE)
			h->words[i].other = find_other(h, &h->words[i], h->words[i].kind);
	}
}

static bool is_allowed(const struct hostile *h, const struct word *word)
{
	return h->only == NOBODY || word->owner == h->only;
}

/* The ring whose producer's index is the word number @prod */
static void add_ring(struct hostile *h, uint32_t prod)
{
	const struct word *word = &h->words[prod];
	const struct ivregion_section *s = &h->region.sections[word->section];
	uint32_t from = word->owner, to = word->peer;
	struct ring ring = {
		.section = word->section, .from = from, .to = to, .prod = prod,
		.data = ivregion_data_offset(&h->region, s, from, to, word->queue),
		.size = ivregion_records_size(s),
		.room = ivregion_buffers_size(s),
		.cons = find_other(h, word, CONS),
	};

	h->rings = grown(h->rings, h->nr_rings, sizeof(ring));
	h->rings[h->nr_rings++] = ring;
}

bool choose(struct hostile *h, const struct attack *attack)
{
	const struct word *word;
	uint32_t i;

	for (i = 0; i < h->nr_words; i++) {
		word = &h->words[i];
		if (!is_allowed(h, word))
			continue;
		if (word->kind & attack->kinds) {
			h->chosen = grown(h->chosen, h->nr_chosen, sizeof(*h->chosen));
			h->chosen[h->nr_chosen++] = i;
		}
		if (word->kind == PROD &&
		    attack->types & TYPE(h->region.sections[word->section].type))
			add_ring(h, i);
	}
	return (!attack->kinds || h->nr_chosen) && (!attack->types || h->nr_rings);
}

uint32_t chosen(struct hostile *h)
{
	return h->chosen[draw(h, h->nr_chosen)];
}

const struct ring *any_ring(struct hostile *h)
{
	return &h->rings[draw(h, h->nr_rings)];
}

uint64_t record(struct hostile *h, const struct ring *ring)
{
	uint32_t near = peek(h, draw(h, 2) ? ring->prod : ring->cons);

	near = (near & ~(IVRING_ALIGN - 1)) + (uint32_t)(draw(h, 8) - 3) * IVRING_ALIGN;
	return ring->data + (near & (ring->size - 1));
}

void publish(struct hostile *h, const struct ring *ring, uint32_t bytes)
{
	put(h, h->words[ring->prod].offset, peek(h, ring->prod) + bytes);
}

void put_near(struct hostile *h, const struct ring *ring, uint64_t offset,
	      uint64_t behind, uint32_t value)
{
	put(h, ring->data + (offset - ring->data + behind) % ring->size, value);
}

void put_record(struct hostile *h, const struct ring *ring, uint32_t kind,
		const void *payload, uint32_t length)
{
	uint64_t start = ring->data + (peek(h, ring->prod) & (ring->size - IVRING_ALIGN));
	uint32_t at;
	__le32 word;

	for (at = 0; at < length; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)payload + at, sizeof(word));
		put_near(h, ring, start, IVRING_HEADER + at, ivshmem_from_le32(word));
	}
	put(h, start, length);
	put(h, start + 4, kind);
	publish(h, ring, ivring_total(length));
}
