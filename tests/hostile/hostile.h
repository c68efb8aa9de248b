/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hostile peer: what all attacks share.  An attack is a function that writes some
 * words, called again and again.  What it writes follows from the seed and from what
 * peek() told it, which can be recorded: so it can be played again, word for word.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <ivshmem/blk.h>
#include <ivshmem/link.h>
#include <ivshmem/net.h>
#include <ivshmem/peer.h>

struct ivshmem;

/* What a word is; an attack names the kinds that it is about */
enum kind {
	SUPERBLOCK	= 1 << 0,
	SERVER_LINE	= 1 << 1,
	PEER_EPOCH	= 1 << 2,
	PEER_BEAT	= 1 << 3,
	PEER_VECTORS	= 1 << 4,
	PEER_FEATURES	= 1 << 5,
	PEER_NAME	= 1 << 6,
	LINK_EPOCH	= 1 << 7,
	LINK_ACK	= 1 << 8,
	PROD		= 1 << 9,
	SPACE_EVENT	= 1 << 10,
	CONS		= 1 << 11,
	DATA_EVENT	= 1 << 12,

	PEER_LINE	= PEER_EPOCH | PEER_BEAT | PEER_VECTORS | PEER_FEATURES |
			  PEER_NAME,
	LINK_LINE	= LINK_EPOCH | LINK_ACK,
	INDICES		= PROD | CONS,
	RING_LINES	= INDICES | SPACE_EVENT | DATA_EVENT,
};

/**
 * struct word - a word of the metadata
 * @offset: in the region
 * @kind:   enum kind
 * @owner:  slot of the peer that writes it, or NOBODY
 * @peer:   of a link or ring, the other end's
 * @queue:  of a ring
 * @section: of a link or ring
 * @other:  of a link, the number of the other side's word of the same kind
 * @seen:   what was there when peek() last looked
 */
struct word {
	uint64_t offset;
	uint32_t kind;
	uint32_t owner;
	uint32_t peer;
	uint32_t queue;
	uint32_t section;
	uint32_t other;
	uint32_t seen;
};

#define NOBODY	UINT32_MAX

/**
 * struct ring - where the pieces of a ring are
 * @section: its section
 * @from:    the producer's slot
 * @to:      the consumer's
 * @data:    offset of the records
 * @size:    bytes of these
 * @room:    bytes of the buffers behind them, of a disk
 * @prod:    which word is the producer's index
 * @cons:    likewise, the consumer's
 */
struct ring {
	uint32_t section;
	uint32_t from;
	uint32_t to;
	uint64_t data;
	uint32_t size;
	uint32_t room;
	uint32_t prod;
	uint32_t cons;
};

struct attack;

/**
 * struct hostile - an attack that runs
 * @memory:     the region
 * @size:       its bytes
 * @superblock: as it was found
 * @region:     what it says
 * @ivs:        the connection to the server, or NULL
 * @slot:       own slot there
 * @only:       write to the words of this slot only; NOBODY: to all
 * @words:      all of the metadata
 * @nr_words:   how many
 * @chosen:     numbers of those that the attack is about
 * @nr_chosen:  how many
 * @rings:      those that the attack is about
 * @nr_rings:   how many
 * @random:     state of the generator
 * @written:    words so far
 * @limit:      how many are to be written
 * @digest:     of all offsets and values
 * @due:        written words after which the metadata is looked at again
 * @record:     what peek() told goes here, or NULL
 * @replay:     or comes from here
 * @rung:       doorbells
 * @step:       calls of the attack
 */
struct hostile {
	uint8_t *memory;
	uint64_t size;
	struct ivregion_superblock superblock;
	struct ivregion region;
	struct ivshmem *ivs;
	uint32_t slot;
	uint32_t only;
	struct word *words;
	uint32_t nr_words;
	uint32_t *chosen;
	uint32_t nr_chosen;
	struct ring *rings;
	uint32_t nr_rings;
	uint64_t random;
	uint64_t written;
	uint64_t limit;
	uint64_t digest;
	uint64_t due;
	FILE *record;
	FILE *replay;
	uint64_t rung;
	uint64_t step;
};

/**
 * struct attack - one that has a name
 * @name:  its
 * @classes: of Documentation/assurance/attacks.rst
 * @text:  what a peer does, for people
 * @kinds: of words that chosen() picks from, or 0
 * @types: bits of enum ivregion_type of the sections that any() picks rings from, or 0
 * @fast:  never paced: what it does is a race
 * @storm: it rings doorbells without end
 * @step:  writes some words
 */
struct attack {
	const char *name;
	const char *classes;
	const char *text;
	uint32_t kinds;
	uint32_t types;
	bool fast;
	bool storm;
	void (*step)(struct hostile *h);
};

#define TYPE(type)	(1U << (type))
#define ANY_TYPE	(TYPE(IVREGION_RAW) | TYPE(IVREGION_NET) | TYPE(IVREGION_BLK))

/* Each ends with one that has no name */
extern const struct attack region_attacks[], link_attacks[], section_attacks[];

/* draw() - a number below @below, which is not 0 */
uint64_t draw(struct hostile *h, uint64_t below);
/* nasty() - a number that is often the wrong one */
uint32_t nasty(struct hostile *h);

/* put() - write a word; its offset is brought into the region */
void put(struct hostile *h, uint64_t offset, uint32_t value);
/* put_bytes() - write whole words */
void put_bytes(struct hostile *h, uint64_t offset, const void *bytes, uint32_t n);
/* peek() - what was in a word of the metadata a short while ago */
uint32_t peek(struct hostile *h, uint32_t word);

/* chosen() - any word of the kinds that the attack is about: its number */
uint32_t chosen(struct hostile *h);
/* any_ring() - any ring of the types that the attack is about */
const struct ring *any_ring(struct hostile *h);
/* record() - offset of one of the records that its two sides are just working at */
uint64_t record(struct hostile *h, const struct ring *ring);
/* put_near() - write a word so many bytes behind one in a ring, and in the ring */
void put_near(struct hostile *h, const struct ring *ring, uint64_t offset,
	      uint64_t behind, uint32_t value);
/* publish() - let the consumer see some more records, or not so many */
void publish(struct hostile *h, const struct ring *ring, uint32_t bytes);
/* put_record() - write a record where one is just being worked at, and publish it */
void put_record(struct hostile *h, const struct ring *ring, uint32_t kind,
		const void *payload, uint32_t length);

/* format() - write a superblock with a right checksum, as a formatter would */
void format(struct hostile *h, struct ivregion_superblock *superblock);
/* restore() - the superblock as it was found, if it is not */
void restore(struct hostile *h);
/* renew() - format the region anew, as it was, for those who are to come */
void renew(struct hostile *h);

/* choose() - make ready for an attack; whether there is anything to attack */
bool choose(struct hostile *h, const struct attack *attack);
/* survey() - find all words of the metadata */
void survey(struct hostile *h);

#endif /* HOSTILE_H */
