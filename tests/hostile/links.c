// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attacks on the words of links and rings, whatever the section is for; and those that
 * spare nothing.
 */
#include "hostile.h"

static void link_epochs(struct hostile *h)
{
	uint32_t word = chosen(h);

	switch (draw(h, 4)) {
	case 0:
		put(h, h->words[word].offset, 0);
		break;
	case 1:
		put(h, h->words[word].offset, nasty(h));
		break;
	case 2:
		/* That of a session that has ended, or another's */
		put(h, h->words[word].offset, peek(h, chosen(h)));
		break;
	default:
		put(h, h->words[word].offset, peek(h, word));
	}
}

/*
 * A handshake of lies: what the other side waits for is acknowledged, whether there is
 * a session or not, and the own epoch is a new one each time.
 */
static void handshakes(struct hostile *h)
{
	uint32_t epoch = chosen(h), ack = epoch + 1;
	uint32_t theirs = peek(h, h->words[epoch].other);

	put(h, h->words[ack].offset, theirs + (uint32_t)(draw(h, 8) == 0));
	put(h, h->words[epoch].offset,
	    draw(h, 2) ? 1 + (uint32_t)(h->step >> 10) : peek(h, epoch));
}

static void flip_of_seen(struct hostile *h)
{
	uint32_t word = chosen(h), seen = peek(h, word);

	put(h, h->words[word].offset, seen ^ 1U << draw(h, 32));
	put(h, h->words[word].offset, seen);
}

static void indices_far(struct hostile *h)
{
	put(h, h->words[chosen(h)].offset, nasty(h));
}

static void indices_back(struct hostile *h)
{
	uint32_t word = chosen(h);

	put(h, h->words[word].offset,
	    peek(h, word) - IVRING_ALIGN * (uint32_t)(1 + draw(h, 64)));
}

static void indices_wrap(struct hostile *h)
{
	put(h, h->words[chosen(h)].offset,
	    IVRING_ALIGN * ((uint32_t)draw(h, 17) - 8));
}

/* There is always something to receive */
static void never_empty(struct hostile *h)
{
	const struct ring *ring = any_ring(h);

	put(h, h->words[ring->prod].offset,
	    peek(h, ring->cons) + (uint32_t)draw(h, ring->size / IVRING_ALIGN + 1) *
				  IVRING_ALIGN);
}

/* What the receiver says is what it said long ago */
static void never_consumed(struct hostile *h)
{
	uint32_t word = chosen(h);

	if (h->step & 0xffff)
		put(h, h->words[word].offset, peek(h, word) & ~0xffffU);
	else
		put(h, h->words[word].offset, peek(h, word));
}

static void trickle(struct hostile *h)
{
	const struct ring *ring = any_ring(h);

	put(h, h->words[ring->cons].offset,
	    peek(h, ring->prod) - ring->size + IVRING_ALIGN * (uint32_t)draw(h, 3));
}

static void events(struct hostile *h)
{
	uint32_t word = chosen(h);

	/* Behind each is the index of the same line */
	put(h, h->words[word].offset, peek(h, word - 1) + IVRING_ALIGN *
				      ((uint32_t)draw(h, 5) - 2));
}

static void lengths(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	uint32_t some[] = {
		ring->size, ring->size - 1, ring->size / 2, ring->size / 2 - IVRING_HEADER,
		ring->size / 2 - IVRING_HEADER + 1, 0u - IVRING_HEADER,
		0u - IVRING_HEADER - 1, 0u - IVRING_ALIGN,
	};

	put(h, record(h, ring), draw(h, 2) ? some[draw(h, 8)] : nasty(h));
}

static void padding(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	uint64_t at = record(h, ring);
	uint32_t rest = ring->size - (uint32_t)(at - ring->data);

	put(h, at, draw(h, 2) ? rest - IVRING_HEADER : nasty(h));
	put(h, at + 4, IVRING_KIND_PAD);
}

/* Two values by turns, one of which is right: whoever reads twice gets both */
static void double_fetches(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	uint64_t at = record(h, ring) + 4 * draw(h, 2);
	uint32_t right = ivshmem_load32((__le32 *)(h->memory + at));
	uint32_t wrong = nasty(h), i;

	/* The value that is right depends on the moment: it is no part of the digest */
	for (i = 0; i < 32; i++) {
		ivshmem_store32((__le32 *)(h->memory + at), right);
		put(h, at, wrong);
	}
	ivshmem_store32((__le32 *)(h->memory + at), right);
	h->written += 33;
}

static void payloads(struct hostile *h)
{
	const struct ring *ring = any_ring(h);

	put_near(h, ring, record(h, ring), IVRING_HEADER + 4 * draw(h, 400), nasty(h));
}

/* Records that lead out of the section: of all that fits, and far more */
static void beyond(struct hostile *h)
{
	const struct ring *ring = any_ring(h);
	uint64_t last = ring->data + ring->size - IVRING_ALIGN * (1 + draw(h, 4));

	put(h, last, draw(h, 2) ? ring->size / 2 - IVRING_HEADER : nasty(h));
	put(h, last + 4, (uint32_t)draw(h, 4));
}

static void zeroes(struct hostile *h)
{
	put(h, h->step * 4, 0);
}

static void ones(struct hostile *h)
{
	put(h, h->step * 4, ~0U);
}

static void garbage(struct hostile *h)
{
	put(h, draw(h, h->size), (uint32_t)draw(h, 1ULL << 32));
}

/* Doorbells are rung by whoever calls: a word now and then is all that is written */
static void doorbells(struct hostile *h)
{
	put(h, h->words[chosen(h)].offset, (uint32_t)h->step);
}

const struct attack link_attacks[] = {
	{ "link-epochs", "A11",
	  "sessions end, return, and are those of others",
	  LINK_LINE, 0, false, false, link_epochs },
	{ "handshakes", "A11",
	  "every epoch is acknowledged, and followed by a new one",
	  LINK_EPOCH, 0, false, false, handshakes },
	{ "link-flips", "A13 A18",
	  "single bits of links' and rings' words, and right again",
	  LINK_LINE | RING_LINES, 0, false, false, flip_of_seen },
	{ "indices-far", "A11 A14",
	  "indices out of range, odd, of any size",
	  INDICES, 0, false, false, indices_far },
	{ "indices-back", "A11 A14",
	  "indices go back",
	  INDICES, 0, false, false, indices_back },
	{ "indices-wrap", "A11",
	  "indices near 2^32, and 0",
	  INDICES, 0, false, false, indices_wrap },
	{ "never-empty", "A17",
	  "there is always more to receive",
	  0, ANY_TYPE, false, false, never_empty },
	{ "never-consumed", "A15",
	  "nothing of what was sent is ever consumed",
	  CONS, 0, false, false, never_consumed },
	{ "trickle", "A16",
	  "one place at a time becomes free",
	  0, ANY_TYPE, false, false, trickle },
	{ "events", "A38",
	  "kicks are wanted always, or never",
	  SPACE_EVENT | DATA_EVENT, 0, false, false, events },
	{ "lengths", "A12",
	  "records of no length, of any, of more than there is",
	  0, ANY_TYPE, false, false, lengths },
	{ "padding", "A12 A17",
	  "padding where none can be, without end",
	  0, ANY_TYPE, false, false, padding },
	{ "double-fetches", "A13",
	  "headers of records are one thing, and another",
	  0, ANY_TYPE, true, false, double_fetches },
	{ "payloads", "A20",
	  "what is sent changes while it is read",
	  0, ANY_TYPE, false, false, payloads },
	{ "beyond", "A21",
	  "records at the end of the ring that lead out of it",
	  0, ANY_TYPE, false, false, beyond },
	{ "zeroes", "A06",
	  "all of the region becomes 0",
	  SUPERBLOCK, 0, false, false, zeroes },
	{ "ones", "A06",
	  "all bits of the region become 1",
	  SUPERBLOCK, 0, false, false, ones },
	{ "garbage", "A06 A21",
	  "anything anywhere in the region",
	  SUPERBLOCK, 0, false, false, garbage },
	{ "doorbells", "A36",
	  "all doorbells of all peers, as fast as it goes",
	  PEER_BEAT, 0, false, true, doorbells },
	{ 0 }
};
