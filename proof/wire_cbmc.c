// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of a region: whatever a superblock says, what is made of it lies
 * within the region, everything has one owner, and nothing overlaps.  All
 * numbers are arbitrary within the limits that ivregion_parse() is proven to
 * enforce.
 */
#include <ivshmem/wire.h>

unsigned int shared_loads;
struct watched watched[4];

static const __u8 *region_memory;
static const struct ivregion *region_seen;
static unsigned int stores;
static __u32 magic_stored;

static _Bool is_power(__u64 number)
{
	return number && !(number & (number - 1));
}

/* All but that the rings fit, see prove_ring_size() */
static _Bool section_consistent(const struct ivregion *region,
				const struct ivregion_section *section)
{
	if (section->offset % IVREGION_PAGE || !section->size ||
	    section->size % IVREGION_PAGE ||
	    section->offset < ivregion_control_size(region->slots) ||
	    section->offset > region->size ||
	    section->size > region->size - section->offset)
		return 0;
	if (section->queues < 1 || section->queues > IVREGION_QUEUES_MAX ||
	    section->vector >= IVREGION_VECTORS_MAX)
		return 0;
	if (!section->ring_size)
		return !section->usable || section->type == IVREGION_RAW;
	return section->usable && is_power(section->ring_size) &&
	       section->ring_size >= IVRING_SIZE_MIN &&
	       section->ring_size <= IVRING_SIZE_MAX;
}

static _Bool region_consistent(const struct ivregion *region)
{
	return is_power(region->size) && region->size >= 1ULL << 12 &&
	       region->size <= 1ULL << 47 &&
	       region->slots >= IVREGION_SLOTS_MIN &&
	       region->slots <= IVREGION_SLOTS_MAX &&
	       region->nr_sections <= IVREGION_SECTIONS_MAX &&
	       ivregion_control_size(region->slots) <= region->size;
}

static _Bool section_name_good(const char *name)
{
	__u32 i = any_of(0, IVREGION_SECTION_NAME);
	__u32 j = any_of(0, IVREGION_SECTION_NAME);
	char c = name[i];

	return name[IVREGION_SECTION_NAME] == 0 && name[0] && name[0] != '.' &&
	       (!c || c == '.' || c == '-' || c == '_' ||
		(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z')) &&
	       (c || i > j || !name[j]);
}

/* Formatting: the magic is away before the first, and there after the last */
void see_store(const void *p, size_t n, __u32 v)
{
	const struct ivregion_section *section;
	__u64 begin, end, blocks;
	__u32 slot;

	if (!region_memory)
		return;
	__CPROVER_assert(__CPROVER_same_object(p, region_memory), "the region");
	begin = __CPROVER_POINTER_OFFSET(p);
	end = begin + n;
	stores++;
	if (begin == 0) {
		__CPROVER_assert(n == 4, "only the magic");
		__CPROVER_assert(v == (stores == 1 ? 0 : IVREGION_MAGIC),
				 "0 first, then what it must be");
		magic_stored = v;
		return;
	}
	__CPROVER_assert(stores > 1 && magic_stored == 0,
			 "the region is not formatted meanwhile");
	if (end <= ivregion_control_size(region_seen->slots))
		return;
	section = &region_seen->sections[0];
	blocks = ivregion_blocks_size(region_seen->slots, section->queues);
	slot = stores - 3;
	__CPROVER_assert(section->ring_size && slot < region_seen->slots &&
			 begin == ivregion_outbox_offset(region_seen, section,
							 slot) &&
			 n == blocks, "only words of links and rings");
}

void prove_error_text(void)
{
	const char *text = ivregion_error_text((enum ivregion_error)
					       nondet_word());

	__CPROVER_assert(__CPROVER_r_ok(text, 1) && *text, "there is a text");
}

void prove_control(void)
{
	__u32 slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	__u32 a = any_of(0, slots - 1), b = any_of(0, slots - 1);
	__u64 line = sizeof(struct ivregion_server_line);

	__CPROVER_assert(ivregion_server_offset(a) >=
			 sizeof(struct ivregion_superblock) &&
			 ivregion_server_offset(a) % line == 0 &&
			 ivregion_server_offset(a) + line <=
				 ivregion_peer_offset(b),
			 "superblock, lines of the server, pages of the peers");
	__CPROVER_assert(ivregion_peer_offset(a) % IVREGION_PAGE == 0 &&
			 ivregion_peer_offset(a) + IVREGION_PAGE <=
				 ivregion_control_size(slots),
			 "all before the sections");
	if (a < b)
		__CPROVER_assert(ivregion_server_offset(a) + line <=
					 ivregion_server_offset(b) &&
				 ivregion_peer_offset(a) + IVREGION_PAGE <=
					 ivregion_peer_offset(b),
				 "each its own");
}

/*
 * In place of functions of the header, see cbmc.py.  Solvers are bad at seeing
 * that two products of the same factors are equal.  Therefore a function that is
 * called several times with the same arguments is computed once, or is any
 * function at all where the proof does not depend on which.
 */
static __u64 outbox_sizes[20];
static __u64 outbox_size;
static __u64 outbox;
static __u32 outbox_owner;
static __u32 ring_found;
static __u32 ring_slots;

/* Any number for each size of rings */
__u64 replaced_outbox_sizes(__u32 slots, __u32 queues, __u32 ring_size)
{
	__u32 i;

	for (i = 0; i < 19 && ring_size != IVRING_SIZE_MIN << i; i++)
		;
	return outbox_sizes[i];
}

/* One number, of which nothing is known but what a layout needs */
__u64 replaced_outbox_size(__u32 slots, __u32 queues, __u32 ring_size)
{
	return outbox_size;
}

/* The outbox of one owner */
__u64 replaced_outbox_offset(const struct ivregion *region,
			     const struct ivregion_section *section, __u32 slot)
{
	__CPROVER_assert(slot == outbox_owner, "in the outbox of who writes it");
	return outbox;
}

/* What prove_ring_size() says: rings that fit, or none */
__u32 replaced_ring_size(__u64 size, __u32 slots, __u32 queues)
{
	__CPROVER_assert(queues >= 1 && queues <= IVREGION_QUEUES_MAX,
			 "asked within its limits");
	ring_slots = slots;
	ring_found = nondet_word() % 2 ? 1U << any_of(12, 31) : 0;
	return ring_found;
}

void prove_ring_size(void)
{
	__u32 slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	__u32 queues = any_of(1, IVREGION_QUEUES_MAX);
	__u64 size = (__u64)nondet_word() * IVREGION_PAGE;
	__u32 i, other, ring;
	__u64 all;

	/*
	 * What is found depends only on which of them fit, and small numbers
	 * give all combinations.  The true ones are far from wrapping, see
	 * prove_outbox_size().
	 */
	for (i = 0; i < 20; i++)
		outbox_sizes[i] = (__u64)any_of(0, 3) * IVREGION_PAGE;
	ring = ivregion_ring_size(size, slots, queues);
	__CPROVER_assert(!ring || (is_power(ring) && ring >= IVRING_SIZE_MIN &&
				   ring <= IVRING_SIZE_MAX), "a ring, or none");
	for (i = 0; i < 20; i++) {
		other = IVRING_SIZE_MIN << i;
		all = slots * outbox_sizes[i];
		if (ring == other)
			__CPROVER_assert(all <= size, "all outboxes fit");
		if (ring < other)
			__CPROVER_assert(all > size, "no larger one does");
	}
}

void prove_outbox_size(void)
{
	__u32 slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	__u32 queues = any_of(1, IVREGION_QUEUES_MAX);
	__u32 i;

	for (i = 0; i < 20; i++) {
		__u64 size = ivregion_outbox_size(slots, queues,
						  IVRING_SIZE_MIN << i);

		__CPROVER_assert(size % IVREGION_PAGE == 0 && size < 1ULL << 44,
				 "whole pages, and not too many");
		__CPROVER_assert(size >= ivregion_blocks_size(slots, queues) +
					 ((__u64)IVRING_SIZE_MIN << i),
				 "a ring at least");
	}
}

void prove_parse_entry(void)
{
	__u32 slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	_Bool newer = nondet_word() % 2, known;
	struct ivregion_section section;
	struct ivregion_entry entry;
	enum ivregion_error error;

	error = ivregion_parse_entry(&entry, newer, slots, &section);
	if (error)
		return;
	__CPROVER_assert(section.size == (__u64)entry.pages * IVREGION_PAGE &&
			 section.size, "of that many pages");
	__CPROVER_assert(section.queues >= 1 &&
			 section.queues <= IVREGION_QUEUES_MAX &&
			 section.vector < IVREGION_VECTORS_MAX, "in range");
	__CPROVER_assert(section_name_good(section.name), "the name is one");
	known = entry.type >= 1 && entry.type <= 3 && !entry.features;
	__CPROVER_assert(section.usable == known, "used only if understood");
	__CPROVER_assert(known || newer, "what is unknown is from a newer one");
	__CPROVER_assert(newer || !(entry.reserved[0] | entry.reserved[1] |
				    entry.reserved[2]), "reserved is 0");
	if (section.ring_size)
		__CPROVER_assert(section.usable && ring_slots == slots &&
				 section.ring_size == ring_found,
				 "its rings fit");
	else
		__CPROVER_assert(!section.usable ||
				 section.type == IVREGION_RAW,
				 "links where they must be");
}

void prove_place(void)
{
	struct ivregion_section section;
	struct ivregion region;
	__u64 end, before;

	section.size = (__u64)any_of(1, 0xffffffff) * IVREGION_PAGE;
	region.size = 1ULL << any_of(12, 47);
	/* Of the sections before, or of the directory, which may not fit */
	__CPROVER_assume(end <= region.size ||
			 end <= ivregion_control_size(IVREGION_SLOTS_MAX));
	before = end;
	if (!ivregion_place(&region, &section, &end)) {
		__CPROVER_assert(end == before, "nothing is placed");
		return;
	}
	__CPROVER_assert(section.offset >= before && end <= region.size &&
			 end == section.offset + section.size,
			 "behind the others, in the region");
	__CPROVER_assert(section.offset % IVREGION_PAGE == 0 &&
			 (section.size < IVREGION_LARGE ||
			  section.offset % IVREGION_LARGE == 0), "aligned");
	__CPROVER_assert(section.offset - before < IVREGION_LARGE,
			 "without a larger gap than that needs");
}

static __u32 any_slot(const struct ivregion *region)
{
	__u32 slot = any_of(0, IVREGION_SLOTS_MAX - 1);

	__CPROVER_assume(slot < region->slots);
	return slot;
}

/* Any part of a section, and whose it is */
struct part {
	__u32 kind;
	__u32 from;
	__u32 to;
	__u32 queue;
	__u32 owner;
	__u64 offset;
	__u64 size;
};

enum { PART_LINK, PART_TX, PART_RX, PART_DATA };

static struct part any_part(const struct ivregion *region,
			    const struct ivregion_section *section)
{
	struct part part;

	part.kind = any_of(PART_LINK, PART_DATA);
	part.from = any_slot(region);
	part.to = any_slot(region);
	part.queue = any_of(0, IVREGION_QUEUES_MAX - 1);
	__CPROVER_assume(part.queue < section->queues);
	__CPROVER_assume(part.from != part.to);
	part.owner = part.kind == PART_RX ? part.to : part.from;
	__CPROVER_assume(part.owner == outbox_owner);
	part.size = 64;
	switch (part.kind) {
	case PART_LINK:
		part.queue = 0;
		part.offset = ivregion_link_offset(region, section, part.from,
						   part.to);
		break;
	case PART_TX:
		part.offset = ivregion_tx_offset(region, section, part.from,
						 part.to, part.queue);
		break;
	case PART_RX:
		part.offset = ivregion_rx_offset(region, section, part.from,
						 part.to, part.queue);
		break;
	default:
		part.offset = ivregion_data_offset(region, section, part.from,
						   part.to, part.queue);
		part.size = section->ring_size;
	}
	return part;
}

/*
 * A section with @queues, and an outbox of it, from which places are counted.
 * They are linear in the size of rings, so that the smallest and the largest say
 * it for all.
 */
static void any_layout(struct ivregion *region, struct ivregion_section *section,
		       __u32 queues)
{
	region->slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	section->queues = queues;
	section->ring_size = nondet_word() % 2 ? IVRING_SIZE_MIN :
						IVRING_SIZE_MAX;
	outbox = 0;
	outbox_owner = any_slot(region);
}

/*
 * Each begins where the one before ends, from the section's start to its end.
 * Places are linear in the size of an outbox, so that it need not be large.
 */
void prove_outboxes_apart(void)
{
	struct ivregion_section section;
	struct ivregion region;
	__u32 slot;
	__u64 end;

	region.slots = any_of(IVREGION_SLOTS_MIN, IVREGION_SLOTS_MAX);
	section.offset = (__u64)nondet_word() * IVREGION_PAGE;
	section.size = (__u64)nondet_word() * IVREGION_PAGE;
	outbox_size = (__u64)any_of(1, 3) * IVREGION_PAGE;
	/* prove_ring_size() */
	__CPROVER_assume(region.slots * outbox_size <= section.size);
	__CPROVER_assert(ivregion_outbox_offset(&region, &section, 0) ==
			 section.offset, "the first at the start");
	slot = any_slot(&region);
	end = ivregion_outbox_offset(&region, &section, slot) + outbox_size;
	__CPROVER_assert(end == ivregion_outbox_offset(&region, &section,
						       slot + 1),
			 "the next behind it");
	__CPROVER_assert(end <= section.offset + section.size,
			 "all within the section");
}

void prove_parts_owned(void)
{
	struct ivregion_section section;
	struct ivregion region;
	struct part part;
	__u32 queues;
	__u64 blocks;

	for (queues = 1; queues <= IVREGION_QUEUES_MAX; queues++) {
		any_layout(&region, &section, queues);
		part = any_part(&region, &section);
		blocks = ivregion_blocks_size(region.slots, queues);
		__CPROVER_assert(part.offset + part.size <=
				 (part.kind == PART_DATA ?
				  ivregion_outbox_size(region.slots, queues,
						       section.ring_size) :
				  blocks), "within the outbox");
		__CPROVER_assert(part.kind != PART_DATA ||
				 part.offset >= blocks, "data behind the rest");
		__CPROVER_assert(part.offset % (part.kind == PART_DATA ?
						IVREGION_PAGE : IVRING_ALIGN)
				 == 0, "aligned");
	}
}

/* Of one owner: those of others are in other outboxes; and data is behind */
void prove_parts_apart(void)
{
	struct ivregion_section section;
	struct ivregion region;
	_Bool a_data, b_data;
	struct part a, b;
	__u32 queues;

	for (queues = 1; queues <= IVREGION_QUEUES_MAX; queues++) {
		any_layout(&region, &section, queues);
		a = any_part(&region, &section);
		b = any_part(&region, &section);
		a_data = a.kind == PART_DATA;
		b_data = b.kind == PART_DATA;
		if ((a.kind == b.kind && a.from == b.from && a.to == b.to &&
		     a.queue == b.queue) || a_data != b_data)
			continue;
		__CPROVER_assert(a.offset + a.size <= b.offset ||
				 b.offset + b.size <= a.offset,
				 "no two overlap");
	}
}

/* What prove_parse_entry() says of an entry that is good, or an error */
enum ivregion_error
replaced_parse_entry(const struct ivregion_entry *entry, _Bool newer,
		     __u32 slots, struct ivregion_section *section)
{
	struct ivregion_section any;

	__CPROVER_assert(__CPROVER_r_ok(entry, sizeof(*entry)), "an entry");
	ring_slots = slots;
	*section = any;
	if (nondet_word() % 2)
		return (enum ivregion_error)any_of(IVREGION_BAD_INCOMPAT,
						   IVREGION_BAD_NAME);
	section->size = (__u64)any_of(1, 0xffffffff) * IVREGION_PAGE;
	section->queues = any_of(1, IVREGION_QUEUES_MAX);
	section->vector = any_of(0, IVREGION_VECTORS_MAX - 1);
	section->usable = nondet_word() % 2;
	section->ring_size = 0;
	if (section->usable && nondet_word() % 2)
		section->ring_size = 1U << any_of(12, 31);
	else if (section->usable)
		section->type = IVREGION_RAW;
	return IVREGION_OK;
}

/* See prove_all_zero() */
_Bool replaced_all_zero(const __u8 *bytes, __u32 n)
{
	__CPROVER_assert(__CPROVER_r_ok(bytes, n), "bytes of the copy");
	return nondet_word() % 2;
}

void prove_all_zero(void)
{
	__u8 bytes[40];
	__u32 n = any_of(0, sizeof(bytes)), i = any_of(0, sizeof(bytes) - 1);
	_Bool zero = ivregion_all_zero(bytes, n);

	__CPROVER_assert(!zero || i >= n || !bytes[i], "none is overlooked");
}

/*
 * Sections are parsed in turn, and of those before only the names and the end
 * of the last matter.  prove_parse_entry() and prove_place() say what is made of
 * each one; that the loop puts this together shows with a few.
 */
#define PARSED	2

void prove_parse(void)
{
	struct ivregion_superblock copy;
	__u64 memory_size;
	struct ivregion region;
	enum ivregion_error error;
	__u32 i, j;

	__CPROVER_assume(copy.sections <= PARSED ||
			 copy.sections > IVREGION_SECTIONS_MAX);
	error = ivregion_parse(&copy, memory_size, &region);
	__CPROVER_assert(error <= IVREGION_NO_ROOM, "a reason that is known");
	__CPROVER_assert(region.nr_sections <= IVREGION_SECTIONS_MAX &&
			 (error == IVREGION_OK ||
			  region.failed < IVREGION_SECTIONS_MAX),
			 "even then nobody looks behind the last section");
	if (error)
		return;
	__CPROVER_assert(copy.magic == IVREGION_MAGIC && copy.major == 1 &&
			 copy.incompat == 0, "of this format");
	__CPROVER_assert(region_consistent(&region) &&
			 region.size == memory_size, "of this memory");
	__CPROVER_assert(!region.nr_sections || ring_slots == region.slots,
			 "rings for all slots");
	__CPROVER_assert(region.read_only == (copy.ro_compat != 0),
			 "read-only if it must be");
	j = any_of(0, PARSED - 1);
	i = any_of(0, PARSED - 1);
	if (j >= region.nr_sections || i > j)
		return;
	__CPROVER_assert(section_consistent(&region, &region.sections[j]),
			 "every section lies within the region");
	if (i == j)
		return;
	__CPROVER_assert(region.sections[i].offset + region.sections[i].size <=
			 region.sections[j].offset, "and no other's place");
	__CPROVER_assert(!ivregion_same_name(region.sections[i].name,
					     region.sections[j].name),
			 "nor name");
}

/*
 * Formatting goes through the sections one by one, and through the slots of
 * each: what it does to one does not depend on the others.  So one section and a
 * few slots say it for all.
 */
void prove_write(void)
{
	struct ivregion_superblock superblock;
	struct ivregion region;
	__u8 *target;

	region.size = 1ULL << any_of(12, 47);
	region.slots = any_of(IVREGION_SLOTS_MIN, 4);
	region.nr_sections = any_of(0, 1);
	region.sections[0].queues = any_of(1, IVREGION_QUEUES_MAX);
	region.sections[0].ring_size = nondet_word() % 2 ?
				       1U << any_of(12, 31) : 0;
	__CPROVER_assume(region_consistent(&region));
	__CPROVER_assume(section_consistent(&region, &region.sections[0]));
	outbox_size = (__u64)any_of(1, 63) * IVREGION_PAGE;
	__CPROVER_assume(outbox_size >=
			 ivregion_blocks_size(region.slots,
					      region.sections[0].queues));
	/* prove_ring_size() */
	__CPROVER_assume(region.slots * outbox_size <= region.sections[0].size);
	target = memory(region.size);
	region_memory = target;
	region_seen = &region;
	ivregion_write(target, &superblock, &region);
	__CPROVER_assert(magic_stored == IVREGION_MAGIC, "formatted");
	if (region.nr_sections && region.sections[0].ring_size)
		__CPROVER_assert(stores == 4 + region.slots,
				 "all outboxes are cleared");
	else
		__CPROVER_assert(stores == 4, "nothing else");
}

void prove_read_intact(void)
{
	struct ivregion_superblock *shared = memory(sizeof(*shared));
	struct ivregion_superblock copy;
	struct ivregion region;
	_Bool intact;

	watched[0].word = &shared->magic;
	watched[1].word = &shared->instance;
	ivregion_read(shared, &copy);
	__CPROVER_assert(watched[0].loads == 1 &&
			 copy.magic == watched[0].value,
			 "the magic that was there before all else");
	intact = ivregion_intact(shared, &region);
	__CPROVER_assert(!intact || (watched[0].value == IVREGION_MAGIC &&
				     watched[1].value == region.instance),
			 "intact only if both are as they were");
	__CPROVER_assert(intact || watched[0].value != IVREGION_MAGIC ||
			 watched[1].value != region.instance,
			 "and then always");
}
