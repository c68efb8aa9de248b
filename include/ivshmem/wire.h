/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The layout of a formatted region: superblock, directory of peers, sections
 * and what lies in them.  Documentation/wire-format.rst specifies it.
 *
 * The superblock is copied once into private memory and checked there as a
 * whole (ivregion_parse()).  No offset is stored in the region: each is computed
 * from the checked numbers, by the functions at the end of this file.
 *
 * Nothing here waits, allocates or logs.
 */
#ifndef IVSHMEM_WIRE_H
#define IVSHMEM_WIRE_H

#include "ring.h"

#define IVREGION_MAJOR		1U
#define IVREGION_MINOR		0U

/* "IVSH"; written last, so that what is there is complete */
#define IVREGION_MAGIC		0x48535649U
#define IVREGION_PAGE		4096U
/* Sections of at least this size begin at a multiple of it */
#define IVREGION_LARGE		0x200000U
#define IVREGION_SIZE_LOG2_MIN	12U
#define IVREGION_SIZE_LOG2_MAX	47U
#define IVREGION_SLOTS_MIN	2U
#define IVREGION_SLOTS_MAX	64U
#define IVREGION_SECTIONS_MAX	32U
#define IVREGION_QUEUES_MAX	16U
#define IVREGION_VECTORS_MAX	256U
#define IVREGION_SECTION_NAME	32U
#define IVREGION_PEER_NAME	40U

/* No bit of any kind is defined yet: all are unknown to this version */
#define IVREGION_COMPAT_KNOWN	0U
#define IVREGION_RO_KNOWN	0U
#define IVREGION_INCOMPAT_KNOWN	0U

/* What a section is for */
enum ivregion_type {
	IVREGION_RAW = 1,	/* programs; may have links for their channels */
	IVREGION_NET = 2,	/* an Ethernet segment */
	IVREGION_BLK = 3,	/* a disk */
};

/**
 * struct ivregion_entry - a section, as the superblock describes it
 * @type: enum ivregion_type
 * @pages: its size, in units of IVREGION_PAGE
 * @vector: the receiver's vector for its kicks
 * @queues: pairs of rings in each of its links
 * @features: what has to be understood to use it; no bit is defined yet
 * @reserved: 0
 * @name: letters, digits, "-", "_" and "."; the rest 0
 */
struct ivregion_entry {
	__le32 type;
	__le32 pages;
	__le32 vector;
	__le32 queues;
	__le32 features;
	__le32 reserved[3];
	__u8 name[IVREGION_SECTION_NAME];
};

/**
 * struct ivregion_superblock - the first page of a formatted region
 * @magic: IVREGION_MAGIC
 * @checksum: CRC-32 of all that follows
 * @major: of the format; others cannot be read
 * @minor: grows with compatible additions
 * @compat: features that may be ignored
 * @ro_compat: features without which nothing may be written
 * @incompat: features without which nothing can be read
 * @instance: random, another one each time that the region is formatted
 * @uuid: names the region for people and programs
 * @size_log2: of the whole region, in bytes
 * @slots: places for peers
 * @sections: entries that are used
 * @reserved: 0
 * @section: the sections, in the order in which they lie
 * @unused: 0
 *
 * Written by whoever formats, before anybody uses the region.
 */
struct ivregion_superblock {
	__le32 magic;
	__le32 checksum;
	__le32 major;
	__le32 minor;
	__le32 compat;
	__le32 ro_compat;
	__le32 incompat;
	__le32 instance;
	__u8 uuid[16];
	__le32 size_log2;
	__le32 slots;
	__le32 sections;
	__le32 reserved;
	struct ivregion_entry section[IVREGION_SECTIONS_MAX];
	__u8 unused[1984];
};

/* What the server knows of a slot */
enum ivregion_status {
	IVREGION_UNTRACKED = 0,	/* nothing: there is no such server */
	IVREGION_VACANT = 1,	/* nobody is connected */
	IVREGION_CONNECTED = 2,
};

/**
 * struct ivregion_server_line - what the server says of a slot
 * @status: enum ivregion_status
 * @generation: counts those who have connected to the slot
 * @gone_epoch: epoch of the last one that the server saw leave, or 0
 * @reserved: fills the cache line
 *
 * Written by the server alone.
 */
struct ivregion_server_line {
	__le32 status;
	__le32 generation;
	__le32 gone_epoch;
	__u8 reserved[52];
};

/**
 * struct ivregion_peer_line - what a peer says of itself
 * @epoch: random, another one each time that it joins; 0 when it has left
 * @heartbeat: changes every IVPEER_BEAT_MS
 * @vectors: how many it can be rung on, 0 to 256
 * @features: what it can do; no bit is defined yet
 * @reserved: 0
 * @name: printable ASCII for people; the rest 0
 *
 * Written by the peer alone, at the start of its page.
 */
struct ivregion_peer_line {
	__le32 epoch;
	__le32 heartbeat;
	__le32 vectors;
	__le32 features;
	__u8 reserved[8];
	__u8 name[IVREGION_PEER_NAME];
};

/**
 * struct ivlink_line - one side of a link
 * @epoch: own, random, another one each time; 0 when there is no session
 * @ack: the peer's epoch that this side has seen, or 0
 * @reserved: fills the cache line
 *
 * Written by the peer alone in whose outbox it lies.
 */
struct ivlink_line {
	__le32 epoch;
	__le32 ack;
	__u8 reserved[56];
};

/*
 * C11's, C++11's and the kernel's: all have the word, or a macro of it, but for
 * C before C11.
 */
#if defined(__cplusplus) || defined(__KERNEL__) || \
	(defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
static_assert(sizeof(struct ivring_tx) == 64, "a line");
static_assert(sizeof(struct ivring_rx) == 64, "a line");
static_assert(sizeof(struct ivring_record) == IVRING_HEADER, "a header");
static_assert(sizeof(struct ivlink_line) == 64, "a line");
static_assert(sizeof(struct ivregion_entry) == 64, "a line");
static_assert(sizeof(struct ivregion_server_line) == 64, "a line");
static_assert(sizeof(struct ivregion_peer_line) == 64, "a line");
static_assert(sizeof(struct ivregion_superblock) == IVREGION_PAGE, "a page");
#endif

/* Why a superblock is not accepted */
enum ivregion_error {
	IVREGION_OK,
	IVREGION_NO_MAGIC,	/* the region is not formatted */
	IVREGION_BAD_MAJOR,
	IVREGION_BAD_CHECKSUM,
	IVREGION_BAD_INCOMPAT,	/* a feature that must be understood is not */
	IVREGION_BAD_SIZE,	/* not that of the memory */
	IVREGION_BAD_SLOTS,
	IVREGION_BAD_SECTIONS,	/* too many */
	IVREGION_BAD_RESERVED,	/* not 0, in a version that is known */
	IVREGION_BAD_TYPE,
	IVREGION_BAD_PAGES,	/* none, or not enough for the section's rings */
	IVREGION_BAD_VECTOR,
	IVREGION_BAD_QUEUES,
	IVREGION_BAD_NAME,	/* empty, too long, or with other letters */
	IVREGION_SAME_NAME,	/* as an earlier section */
	IVREGION_NO_ROOM,	/* the sections do not fit into the region */
};

/**
 * struct ivregion_section - a section, checked
 * @type: enum ivregion_type, or another in a format newer than this
 * @vector: the receiver's vector for its kicks
 * @queues: pairs of rings in each link
 * @usable: its type and features are known
 * @offset: where it begins in the region, in bytes
 * @size: its size, in bytes
 * @ring_size: of the data of each ring; 0 if it is too small for rings
 * @name: ends with 0
 */
struct ivregion_section {
	__u32 type;
	__u32 vector;
	__u32 queues;
	bool usable;
	__u64 offset;
	__u64 size;
	__u32 ring_size;
	char name[IVREGION_SECTION_NAME + 1];
};

/**
 * struct ivregion - a superblock, checked: private memory
 * @size: of the region, in bytes
 * @minor: of the format
 * @compat: features that may be ignored
 * @ro_compat: features without which nothing may be written
 * @incompat: features without which nothing can be read
 * @instance: of the format
 * @read_only: nothing may be written, for want of a feature
 * @slots: places for peers
 * @nr_sections: how many sections
 * @uuid: of the region
 * @failed: if it was refused, the section that was the reason
 * @sections: the sections
 */
struct ivregion {
	__u64 size;
	__u32 minor;
	__u32 compat;
	__u32 ro_compat;
	__u32 incompat;
	__u32 instance;
	bool read_only;
	__u32 slots;
	__u32 nr_sections;
	__u8 uuid[16];
	__u32 failed;
	struct ivregion_section sections[IVREGION_SECTIONS_MAX];
};

/* For people: what is wrong, without a full stop */
static inline const char *ivregion_error_text(enum ivregion_error error)
{
	switch (error) {
	case IVREGION_OK:
		return "formatted";
	case IVREGION_NO_MAGIC:
		return "not formatted";
	case IVREGION_BAD_MAJOR:
		return "formatted by another major version";
	case IVREGION_BAD_CHECKSUM:
		return "checksum of the superblock is wrong";
	case IVREGION_BAD_INCOMPAT:
		return "needs a feature of a newer version (incompat)";
	case IVREGION_BAD_SIZE:
		return "size_log2 is not that of the memory";
	case IVREGION_BAD_SLOTS:
		return "slots is not 2 to 64";
	case IVREGION_BAD_SECTIONS:
		return "sections is above 32";
	case IVREGION_BAD_RESERVED:
		return "a reserved word is not 0";
	case IVREGION_BAD_TYPE:
		return "type of a section is not known";
	case IVREGION_BAD_PAGES:
		return "pages of a section is 0 or too few for its rings";
	case IVREGION_BAD_VECTOR:
		return "vector of a section is above 255";
	case IVREGION_BAD_QUEUES:
		return "queues of a section is not 1 to 16";
	case IVREGION_BAD_NAME:
		return "name of a section is empty or has odd letters";
	case IVREGION_SAME_NAME:
		return "two sections have one name";
	case IVREGION_NO_ROOM:
		return "sections are larger than the memory";
	}

	return "wrong in an unknown way";
}

/*
 * Where things are.  All offsets count from the start of the region, in bytes.
 *
 *	page 0			superblock
 *	page 1			lines of the server, one for each slot
 *	page 2 + slot		page of the peer in that slot
 *	after these		the sections, in order
 */

static inline __u64 ivregion_server_offset(__u32 slot)
{
	return IVREGION_PAGE + (__u64)slot * sizeof(struct ivregion_server_line);
}

static inline __u64 ivregion_peer_offset(__u32 slot)
{
	return (2 + (__u64)slot) * IVREGION_PAGE;
}

/* Where superblock and directory end, and sections may begin */
static inline __u64 ivregion_control_size(__u32 slots)
{
	return ivregion_peer_offset(slots);
}

/*
 * A section that has links consists of one outbox for each slot, which only the
 * peer in that slot writes.  An outbox has a block for each slot, and then the
 * data of the rings to each other slot:
 *
 *	block		struct ivlink_line, then for each queue struct ivring_tx
 *			(of the ring to that slot) and struct ivring_rx (of the
 *			ring from that slot)
 *	rings		for each other slot in order, for each queue
 */

static inline __u32 ivregion_block_size(__u32 queues)
{
	return (__u32)sizeof(struct ivlink_line) +
	       queues * (__u32)(sizeof(struct ivring_tx) +
				sizeof(struct ivring_rx));
}

/* Of all blocks of an outbox, up to the next page */
static inline __u64 ivregion_blocks_size(__u32 slots, __u32 queues)
{
	__u64 size = (__u64)slots * ivregion_block_size(queues);

	return (size + IVREGION_PAGE - 1) & ~(__u64)(IVREGION_PAGE - 1);
}

static inline __u64 ivregion_outbox_size(__u32 slots, __u32 queues,
					 __u32 ring_size)
{
	return ivregion_blocks_size(slots, queues) +
	       (__u64)(slots - 1) * queues * ring_size;
}

/* The largest rings that a section of @size bytes has room for; 0 for none */
static inline __u32 ivregion_ring_size(__u64 size, __u32 slots, __u32 queues)
{
	__u32 ring_size;

	for (ring_size = IVRING_SIZE_MAX; ring_size >= IVRING_SIZE_MIN;
	     ring_size /= 2) {
		if (slots * ivregion_outbox_size(slots, queues, ring_size) <=
		    size)
			return ring_size;
	}

	return 0;
}

static inline __u64 ivregion_outbox_offset(const struct ivregion *region,
					   const struct ivregion_section *section,
					   __u32 slot)
{
	return section->offset +
	       slot * ivregion_outbox_size(region->slots, section->queues,
					   section->ring_size);
}

/**
 * ivregion_link_offset() - where a struct ivlink_line is
 * @region: the region
 * @section: one of its sections, with a ring_size
 * @slot: whose line, below the number of slots
 * @peer: the other end of the link, another slot below the number of slots
 *
 * Return: the offset in the region, in bytes.
 */
static inline __u64 ivregion_link_offset(const struct ivregion *region,
					 const struct ivregion_section *section,
					 __u32 slot, __u32 peer)
{
	return ivregion_outbox_offset(region, section, slot) +
	       (__u64)peer * ivregion_block_size(section->queues);
}

/**
 * ivregion_tx_offset() - where the producer's line of a ring is
 * @region: the region
 * @section: one of its sections, with a ring_size
 * @from: the producer's slot
 * @to: the consumer's slot
 * @queue: which pair, below the section's queues
 *
 * Return: the offset in the region, in bytes.
 */
static inline __u64 ivregion_tx_offset(const struct ivregion *region,
				       const struct ivregion_section *section,
				       __u32 from, __u32 to, __u32 queue)
{
	return ivregion_link_offset(region, section, from, to) +
	       sizeof(struct ivlink_line) +
	       (__u64)queue * (sizeof(struct ivring_tx) +
			       sizeof(struct ivring_rx));
}

/* ivregion_rx_offset() - likewise, where the consumer's line of a ring is */
static inline __u64 ivregion_rx_offset(const struct ivregion *region,
				       const struct ivregion_section *section,
				       __u32 from, __u32 to, __u32 queue)
{
	/* In the outbox of the consumer, who alone writes it */
	return ivregion_tx_offset(region, section, to, from, queue) +
	       sizeof(struct ivring_tx);
}

/* ivregion_data_offset() - likewise, where the data of a ring is */
static inline __u64 ivregion_data_offset(const struct ivregion *region,
					 const struct ivregion_section *section,
					 __u32 from, __u32 to, __u32 queue)
{
	__u32 place = to < from ? to : to - 1;

	return ivregion_outbox_offset(region, section, from) +
	       ivregion_blocks_size(region->slots, section->queues) +
	       ((__u64)place * section->queues + queue) * section->ring_size;
}

/**
 * ivregion_records_size() - bytes of the ring within the data of a ring
 * @section: a section with a ring_size
 *
 * Return: all of it, a power of two; of a BLK section a sixteenth, but
 * IVRING_SIZE_MIN at least.  What follows are buffers.
 */
static inline __u32 ivregion_records_size(const struct ivregion_section *section)
{
	if (section->type != IVREGION_BLK)
		return section->ring_size;
	return section->ring_size / 16 > IVRING_SIZE_MIN ?
	       section->ring_size / 16 : IVRING_SIZE_MIN;
}

/* ivregion_buffers_size() - likewise, of the buffers: written by the producer */
static inline __u32 ivregion_buffers_size(const struct ivregion_section *section)
{
	return section->ring_size - ivregion_records_size(section);
}

/* ivregion_buffers_offset() - likewise, where the buffers of a ring are */
static inline __u64
ivregion_buffers_offset(const struct ivregion *region,
			const struct ivregion_section *section,
			__u32 from, __u32 to, __u32 queue)
{
	return ivregion_data_offset(region, section, from, to, queue) +
	       ivregion_records_size(section);
}

static inline bool ivregion_name_letter(__u8 letter)
{
	return (letter >= 'a' && letter <= 'z') ||
	       (letter >= 'A' && letter <= 'Z') ||
	       (letter >= '0' && letter <= '9') ||
	       letter == '-' || letter == '_' || letter == '.';
}

/* A name that can be a file: not empty, not hidden, nothing behind its end */
static inline bool ivregion_name_valid(const __u8 *name)
{
	__u32 i, length = 0;

	for (i = 0; i < IVREGION_SECTION_NAME; i++) {
		if (!name[i])
			continue;
		if (i != length || !ivregion_name_letter(name[i]))
			return false;
		length++;
	}

	return length && name[0] != '.';
}

static inline bool ivregion_all_zero(const __u8 *bytes, __u32 n)
{
	__u32 i;

	for (i = 0; i < n; i++) {
		if (bytes[i])
			return false;
	}

	return true;
}

static inline bool ivregion_same_name(const char *a, const char *b)
{
	__u32 i;

	for (i = 0; i < IVREGION_SECTION_NAME && a[i] == b[i]; i++)
		;

	return i == IVREGION_SECTION_NAME;
}

/* Checks what an entry says, without regard to the others */
static inline enum ivregion_error
ivregion_parse_entry(const struct ivregion_entry *entry, bool newer,
		     __u32 slots, struct ivregion_section *section)
{
	__u32 i, features = ivshmem_from_le32(entry->features);
	bool known;

	section->type = ivshmem_from_le32(entry->type);
	section->vector = ivshmem_from_le32(entry->vector);
	section->queues = ivshmem_from_le32(entry->queues);
	section->size = (__u64)ivshmem_from_le32(entry->pages) * IVREGION_PAGE;
	section->ring_size = 0;
	section->offset = 0;

	known = section->type == IVREGION_RAW ||
		section->type == IVREGION_NET || section->type == IVREGION_BLK;
	if (!known && !newer)
		return IVREGION_BAD_TYPE;
	/* Its links may lie otherwise with a feature that is not known */
	section->usable = known && !features;
	if (section->vector >= IVREGION_VECTORS_MAX)
		return IVREGION_BAD_VECTOR;
	if (!section->queues || section->queues > IVREGION_QUEUES_MAX)
		return IVREGION_BAD_QUEUES;
	if (!ivregion_name_valid(entry->name))
		return IVREGION_BAD_NAME;
	if (!newer && (features || entry->reserved[0] || entry->reserved[1] ||
		       entry->reserved[2]))
		return IVREGION_BAD_RESERVED;

	for (i = 0; i < IVREGION_SECTION_NAME; i++)
		section->name[i] = (char)entry->name[i];
	section->name[IVREGION_SECTION_NAME] = 0;

	if (section->usable)
		section->ring_size = ivregion_ring_size(section->size, slots,
							section->queues);
	if (!section->size || (!section->ring_size && section->usable &&
			       section->type != IVREGION_RAW))
		return IVREGION_BAD_PAGES;
	return IVREGION_OK;
}

/* Gives a section its place behind @end; false if there is none left */
static inline bool ivregion_place(const struct ivregion *region,
				  struct ivregion_section *section, __u64 *end)
{
	__u64 align = section->size >= IVREGION_LARGE ? IVREGION_LARGE :
							IVREGION_PAGE;

	section->offset = (*end + align - 1) & ~(align - 1);
	if (section->offset > region->size ||
	    section->size > region->size - section->offset)
		return false;
	*end = section->offset + section->size;
	return true;
}

static inline enum ivregion_error
ivregion_parse_sections(const struct ivregion_superblock *copy,
			struct ivregion *region)
{
	__u64 end = ivregion_control_size(region->slots);
	bool newer = region->minor > IVREGION_MINOR;
	struct ivregion_section *section;
	enum ivregion_error error;
	__u32 i, j;

	for (i = 0; i < region->nr_sections; i++) {
		section = &region->sections[i];
		region->failed = i;
		error = ivregion_parse_entry(&copy->section[i], newer,
					     region->slots, section);
		if (error)
			return error;
		for (j = 0; j < i; j++) {
			if (ivregion_same_name(section->name,
					       region->sections[j].name))
				return IVREGION_SAME_NAME;
		}
		if (!ivregion_place(region, section, &end))
			return IVREGION_NO_ROOM;
	}

	return end > region->size ? IVREGION_NO_ROOM : IVREGION_OK;
}

/* All that this version does not use, unless it is of a newer one */
static inline bool
ivregion_unused_zero(const struct ivregion_superblock *copy,
		     const struct ivregion *region)
{
	__u32 i;

	if (region->minor > IVREGION_MINOR)
		return true;
	for (i = region->nr_sections; i < IVREGION_SECTIONS_MAX; i++) {
		if (!ivregion_all_zero((const __u8 *)&copy->section[i],
				       sizeof(copy->section[i])))
			return false;
	}

	return !copy->reserved &&
	       ivregion_all_zero(copy->unused, sizeof(copy->unused));
}

static inline __u32
ivregion_checksum(const struct ivregion_superblock *copy)
{
	return ivshmem_crc32(&copy->major, sizeof(*copy) -
			     offsetof(struct ivregion_superblock, major));
}

/**
 * ivregion_parse() - check a superblock
 * @copy: a copy in private memory
 * @memory_size: bytes of the memory that it is from
 * @region: what it says; after an error, up to the word that is wrong: @minor,
 *	    @incompat and @failed tell more
 *
 * Return: IVREGION_OK, or what is wrong.
 */
static inline enum ivregion_error
ivregion_parse(const struct ivregion_superblock *copy, __u64 memory_size,
	       struct ivregion *region)
{
	__u32 size_log2 = ivshmem_from_le32(copy->size_log2);
	__u32 i;

	region->size = 0;
	region->minor = ivshmem_from_le32(copy->minor);
	region->compat = ivshmem_from_le32(copy->compat);
	region->ro_compat = ivshmem_from_le32(copy->ro_compat);
	region->incompat = ivshmem_from_le32(copy->incompat);
	region->instance = ivshmem_from_le32(copy->instance);
	region->read_only = region->ro_compat & ~IVREGION_RO_KNOWN;
	region->slots = ivshmem_from_le32(copy->slots);
	region->nr_sections = 0;
	region->failed = 0;
	for (i = 0; i < sizeof(region->uuid); i++)
		region->uuid[i] = copy->uuid[i];

	if (ivshmem_from_le32(copy->magic) != IVREGION_MAGIC)
		return IVREGION_NO_MAGIC;
	if (ivshmem_from_le32(copy->major) != IVREGION_MAJOR)
		return IVREGION_BAD_MAJOR;
	if (ivshmem_from_le32(copy->checksum) != ivregion_checksum(copy))
		return IVREGION_BAD_CHECKSUM;
	if (region->incompat & ~IVREGION_INCOMPAT_KNOWN)
		return IVREGION_BAD_INCOMPAT;
	if (size_log2 < IVREGION_SIZE_LOG2_MIN ||
	    size_log2 > IVREGION_SIZE_LOG2_MAX ||
	    memory_size != (__u64)1 << size_log2)
		return IVREGION_BAD_SIZE;
	region->size = memory_size;
	if (region->slots < IVREGION_SLOTS_MIN ||
	    region->slots > IVREGION_SLOTS_MAX)
		return IVREGION_BAD_SLOTS;
	if (ivshmem_from_le32(copy->sections) > IVREGION_SECTIONS_MAX)
		return IVREGION_BAD_SECTIONS;
	region->nr_sections = ivshmem_from_le32(copy->sections);
	if (!ivregion_unused_zero(copy, region))
		return IVREGION_BAD_RESERVED;

	return ivregion_parse_sections(copy, region);
}

/**
 * ivregion_intact() - whether a region is still what it was when it was parsed
 * @superblock: the one in the region
 * @region: what was parsed of it
 *
 * Return: false once somebody formats it anew, or has begun to: then nothing
 * may be written to it any more.
 */
static inline bool
ivregion_intact(const struct ivregion_superblock __ivshmem *superblock,
		const struct ivregion *region)
{
	return ivshmem_load32(&superblock->magic) == IVREGION_MAGIC &&
	       ivshmem_load32(&superblock->instance) == region->instance;
}

/**
 * ivregion_erase() - begin to format: nobody takes the region for formatted
 * @superblock: the one in the region
 *
 * Peers that use it notice within IVPEER_BEAT_MS and leave it alone.
 */
static inline void
ivregion_erase(struct ivregion_superblock __ivshmem *superblock)
{
	ivshmem_store32(&superblock->magic, 0);
	ivshmem_mb();
}

/* Nobody has a session, and nobody is there */
static inline void ivregion_clear(__u8 __ivshmem *memory,
				  const struct ivregion *region)
{
	const struct ivregion_section *section;
	__u32 i, slot;
	size_t size;

	size = (size_t)(ivregion_control_size(region->slots) - IVREGION_PAGE);
	ivshmem_zero(memory + IVREGION_PAGE, size);
	for (i = 0; i < region->nr_sections; i++) {
		section = &region->sections[i];
		size = (size_t)ivregion_blocks_size(region->slots,
						    section->queues);
		for (slot = 0; section->ring_size && slot < region->slots;
		     slot++)
			ivshmem_zero(memory + ivregion_outbox_offset(region,
								     section,
								     slot),
				     size);
	}
}

/**
 * ivregion_write() - write a superblock and an empty directory
 * @memory: the region, which nobody uses; see ivregion_erase()
 * @superblock: what to write, without the magic
 * @region: what ivregion_parse() made of it, so that it is right
 *
 * What lies in the sections stays, but for the words of links and rings.
 */
static inline void
ivregion_write(__u8 __ivshmem *memory,
	       const struct ivregion_superblock *superblock,
	       const struct ivregion *region)
{
	struct ivregion_superblock __ivshmem *target =
		(struct ivregion_superblock __ivshmem *)memory;
	const size_t start = offsetof(struct ivregion_superblock, checksum);

	ivregion_erase(target);
	ivregion_clear(memory, region);
	/* Several fields: by bytes, lest it looks like an overflow of one */
	ivshmem_copy_out(memory + start, (const __u8 *)superblock + start,
			 sizeof(*superblock) - start);
	/* All else before the magic; pairs with the reader's load of it */
	ivshmem_store_release32(&target->magic, IVREGION_MAGIC);
}

/**
 * ivregion_read() - copy a superblock out of the region
 * @superblock: the one in the region
 * @copy: private memory; ivregion_parse() is next
 */
static inline void
ivregion_read(const struct ivregion_superblock __ivshmem *superblock,
	      struct ivregion_superblock *copy)
{
	__u32 magic = ivshmem_load_acquire32(&superblock->magic);

	ivshmem_copy_in(copy, superblock, sizeof(*copy));
	/* The one that was there before all else */
	copy->magic = ivshmem_to_le32(magic);
}

/**
 * ivregion_unchanged() - whether a superblock is still what was copied
 * @superblock: the one in the region
 * @copy: what ivregion_read() has brought
 *
 * Magic and instance tell whether somebody has formatted the region anew; this tells
 * whether what was parsed has been there for a moment only.
 *
 * Return: false if any byte is another one: it may be wrong now, which changes nothing
 * for who is a peer already, or right.
 */
static inline bool
ivregion_unchanged(const struct ivregion_superblock __ivshmem *superblock,
		   const struct ivregion_superblock *copy)
{
	const __le32 __ivshmem *word = (const __le32 __ivshmem *)superblock;
	const __le32 *known = (const __le32 *)copy;
	size_t i;

	for (i = 0; i < sizeof(*copy) / sizeof(*known); i++)
		if (ivshmem_load32(&word[i]) != ivshmem_from_le32(known[i]))
			return false;
	return true;
}

#endif /* IVSHMEM_WIRE_H */
