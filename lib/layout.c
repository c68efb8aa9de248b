// SPDX-License-Identifier: BSD-3-Clause
/*
 * From a description of sections to a superblock, and back.  The superblock is
 * not believed before ivregion_parse() has taken it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "layout.h"

#define EXPECTED	"TYPE[=NAME][:SIZE][:KEY=VALUE]... with the type raw, net or blk"
#define NOT_SET		UINT32_MAX
/* The longest section that makes sense has about 80 characters */
#define TEXT_LENGTH	127
/* The superblock counts pages in 32 bits */
#define LARGEST		((1ULL << 44) - IVREGION_LARGE)

static const struct {
	const char *name;
	uint32_t type;
	uint32_t least_ring;
} types[] = {
	{ "raw", IVREGION_RAW, 0 },
	{ "net", IVREGION_NET, IVSHMEM_LAYOUT_NET_RING },
	{ "blk", IVREGION_BLK, IVSHMEM_LAYOUT_BLK_RING },
};

#define TYPES (sizeof(types) / sizeof(*types))

/**
 * struct plan_section - a section, as described
 * @text: its description, for messages
 * @name: empty until it has one
 * @type: index into types
 * @size: in bytes; 0 for a share of what is left
 * @vector: NOT_SET until it has one
 * @queues: pairs of rings per link
 */
struct plan_section {
	char text[TEXT_LENGTH + 1];
	char name[IVREGION_SECTION_NAME + 1];
	unsigned int type;
	uint64_t size;
	uint32_t vector;
	uint32_t queues;
};

struct plan {
	const struct ivshmem_layout_options *options;
	struct plan_section sections[IVREGION_SECTIONS_MAX];
	uint32_t count;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 3, 4)))
static int refuse(struct plan *plan, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(plan->error, plan->error_size, format, arguments);
	va_end(arguments);
	return error;
}

/* In the largest unit that divides it */
static const char *size_text(uint64_t size, char buffer[32])
{
	static const char units[] = "\0KMG";
	unsigned int unit = 0;

	while (size && !(size & 1023) && unit < 3) {
		size >>= 10;
		unit++;
	}
	snprintf(buffer, 32, "%" PRIu64 "%.1s", size, &units[unit]);
	return buffer;
}

/* For advice: a size that is easy to read, and not less */
static uint64_t round_up(uint64_t size)
{
	uint64_t unit = size >= 1 << 20 ? 1 << 20 : IVREGION_PAGE;

	return (size + unit - 1) & ~(unit - 1);
}

/* Digits only: strtoull() itself takes spaces, signs and hexadecimal too */
static int parse_number(const char *text, uint64_t *number, char **end)
{
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, end, 10);
	return -errno;
}

static int parse_size(struct plan *plan, struct plan_section *section,
		      const char *text)
{
	static const char units[] = "kmgKMG";
	char below[32], above[32];
	const char *unit = NULL;
	unsigned int shift = 0;
	uint64_t lower, size;
	char *end;

	if (parse_number(text, &size, &end))
		end = NULL;
	else if (*end)
		unit = strchr(units, *end);
	if (!end || (*end && (!unit || end[1])))
		return refuse(plan, -EINVAL, "section \"%s\": \"%s\" is neither "
			      "a size, such as 64K, 32M or 1G, nor KEY=VALUE",
			      section->text, text);
	if (unit)
		shift = 10 * (unsigned int)((unit - units) % 3 + 1);
	if (size > LARGEST >> shift)
		return refuse(plan, -ENOSPC, "section \"%s\": %s is larger than "
			      "a section can be; use %s or less", section->text,
			      text, size_text(LARGEST, below));
	size <<= shift;
	lower = size & ~(uint64_t)(IVREGION_PAGE - 1);
	if (size && size == lower) {
		section->size = size;
		return 0;
	}
	size_text(lower + IVREGION_PAGE, above);
	if (!lower)
		return refuse(plan, -EINVAL, "section \"%s\": a size of %s is "
			      "less than a page; use %s", section->text, text,
			      above);
	return refuse(plan, -EINVAL, "section \"%s\": a size of %s is not a "
		      "multiple of 4096; use %s or %s", section->text, text,
		      size_text(lower, below), above);
}

static int parse_vector(struct plan *plan, struct plan_section *section,
			const char *value)
{
	uint32_t vectors = plan->options->vectors;
	uint64_t number;
	char *end;

	if (parse_number(value, &number, &end) || *end ||
	    number >= IVREGION_VECTORS_MAX)
		return refuse(plan, -EINVAL, "section \"%s\": vector=%s: "
			      "expected a number from 0 to %u", section->text,
			      value, IVREGION_VECTORS_MAX - 1);
	if (vectors && number >= vectors)
		return refuse(plan, -EINVAL, "section \"%s\": vector=%s: peers "
			      "have the vectors 0 to %u", section->text, value,
			      vectors - 1);
	section->vector = (uint32_t)number;
	return 0;
}

static int parse_queues(struct plan *plan, struct plan_section *section,
			const char *value)
{
	uint64_t number;
	char *end;

	if (parse_number(value, &number, &end) || *end || !number ||
	    number > IVREGION_QUEUES_MAX)
		return refuse(plan, -EINVAL, "section \"%s\": queues=%s: "
			      "expected a number from 1 to %u", section->text,
			      value, IVREGION_QUEUES_MAX);
	section->queues = (uint32_t)number;
	return 0;
}

static int parse_key(struct plan *plan, struct plan_section *section,
		     char *key, char *value)
{
	bool vector = !strcmp(key, "vector");

	if (!vector && strcmp(key, "queues"))
		return refuse(plan, -EINVAL, "section \"%s\": unknown key "
			      "\"%s\"; a section has vector and queues",
			      section->text, key);
	if (vector ? section->vector != NOT_SET : section->queues)
		return refuse(plan, -EINVAL, "section \"%s\": %s is set twice; "
			      "remove one", section->text, key);
	return vector ? parse_vector(plan, section, value) :
			parse_queues(plan, section, value);
}

/* TYPE or TYPE=NAME */
static int parse_head(struct plan *plan, struct plan_section *section,
		      char *head)
{
	char *name = strchr(head, '=');
	size_t length;

	if (name)
		*name++ = '\0';
	while (section->type < TYPES && strcmp(types[section->type].name, head))
		section->type++;
	if (section->type == TYPES)
		return refuse(plan, -EINVAL, "section \"%s\": expected "
			      EXPECTED, section->text);
	if (!name)
		return 0;
	length = strlen(name);
	if (length <= IVREGION_SECTION_NAME)
		memcpy(section->name, name, length + 1);
	if (length > IVREGION_SECTION_NAME ||
	    !ivregion_name_valid((const __u8 *)section->name))
		return refuse(plan, -EINVAL, "section \"%s\": its name has to "
			      "have 1 to %u letters, digits, \"-\", \"_\" or "
			      "\".\", and no \".\" at the start",
			      section->text, IVREGION_SECTION_NAME);
	for (uint32_t i = 0; &plan->sections[i] != section; i++) {
		if (!strcmp(plan->sections[i].name, section->name))
			return refuse(plan, -EINVAL, "section \"%s\": another "
				      "one has that name", section->text);
	}
	return 0;
}

static int parse_section(struct plan *plan, const char *text, size_t length)
{
	struct plan_section *section;
	char copy[TEXT_LENGTH + 1];
	char *rest = copy;
	int error, place;
	char *word;
	char *value;

	if (!length || length > TEXT_LENGTH)
		return refuse(plan, -EINVAL, "section %u is %s: expected "
			      EXPECTED, plan->count + 1,
			      length ? "too long" : "empty");
	if (plan->count == IVREGION_SECTIONS_MAX)
		return refuse(plan, -EINVAL, "there are more than %u sections",
			      IVREGION_SECTIONS_MAX);
	section = &plan->sections[plan->count++];
	memcpy(section->text, text, length);
	section->vector = NOT_SET;
	memcpy(copy, section->text, sizeof(copy));

	error = parse_head(plan, section, strsep(&rest, ":"));
	for (place = 0; !error && (word = strsep(&rest, ":")); place++) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		if (value)
			error = parse_key(plan, section, word, value);
		else if (!place)
			error = parse_size(plan, section, word);
		else
			error = refuse(plan, -EINVAL, "section \"%s\": "
				       "\"%s\": expected KEY=VALUE; a size "
				       "comes first", section->text, word);
	}
	return error;
}

static int parse_description(struct plan *plan, const char *description)
{
	size_t length;
	int error;

	for (;; description += length + 1) {
		length = strcspn(description, ",");
		error = parse_section(plan, description, length);
		if (error || !description[length])
			return error;
	}
}

static uint64_t links_size(const struct plan *plan, uint32_t queues,
			   uint32_t ring_size)
{
	uint32_t slots = plan->options->slots;

	return slots * ivregion_outbox_size(slots, queues, ring_size);
}

/* Of a section, as far as its type needs rings */
static uint64_t least_size(const struct plan *plan,
			   const struct plan_section *section)
{
	uint32_t ring_size = types[section->type].least_ring;

	if (!ring_size)
		return IVREGION_PAGE;
	return links_size(plan, section->queues, ring_size);
}

/*
 * A section of "auto": as large as the rings that @most bytes have room for,
 * and left out if these would be too small.
 */
static void plan_links(struct plan *plan, unsigned int type, uint64_t most)
{
	struct plan_section *section = &plan->sections[plan->count];
	uint32_t ring_size = ivregion_ring_size(most, plan->options->slots, 1);
	uint64_t size;

	if (ring_size < types[type].least_ring)
		return;
	if (ring_size > IVSHMEM_LAYOUT_AUTO_RING)
		ring_size = IVSHMEM_LAYOUT_AUTO_RING;
	size = links_size(plan, 1, ring_size);
	/* The next one would begin there anyhow */
	if (size >= IVREGION_LARGE)
		size = (size + IVREGION_LARGE - 1) &
		       ~(uint64_t)(IVREGION_LARGE - 1);
	section->type = type;
	section->size = size;
	section->vector = NOT_SET;
	strcpy(section->name, types[type].name);
	plan->count++;
}

/*
 * Half and a quarter, so that what the alignment takes comes out of the rest.
 * A region of less than 16 MiB is one for programs: a network in it would have
 * rings that slow it down, and leave them little.
 */
static void plan_auto(struct plan *plan)
{
	uint64_t size = plan->options->memory_size;
	struct plan_section *shared;

	if (size >= IVSHMEM_LAYOUT_AUTO_MEMORY) {
		plan_links(plan, 1, size / 2);
		plan_links(plan, 2, size / 4);
	}
	shared = &plan->sections[plan->count++];
	shared->vector = NOT_SET;
	strcpy(shared->name, "shared");
}

static bool name_taken(const struct plan *plan, const char *name)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		if (!strcmp(plan->sections[i].name, name))
			return true;
	}
	return false;
}

/* All that the description left open, but for sizes */
static void set_defaults(struct plan *plan)
{
	uint32_t vectors = plan->options->vectors;
	struct plan_section *section;
	const char *type;

	for (uint32_t i = 0; i < plan->count; i++) {
		section = &plan->sections[i];
		type = types[section->type].name;
		if (!section->queues)
			section->queues = 1;
		/* Vector 0 says that the directory has changed */
		if (section->vector == NOT_SET)
			section->vector = vectors > 1 ?
					  1 + i % (vectors - 1) : 0;
		if (*section->name)
			continue;
		if (!name_taken(plan, type)) {
			strcpy(section->name, type);
			continue;
		}
		for (uint32_t n = 1; !*section->name; n++) {
			char name[IVREGION_SECTION_NAME + 1];

			snprintf(name, sizeof(name), "%s%" PRIu32, type, n);
			if (!name_taken(plan, name))
				strcpy(section->name, name);
		}
	}
}

/*
 * Where the last section ends in a region of @size bytes, if those without a
 * size have @share, or their least size if that is 0; 0 if there is no room.
 */
static uint64_t end_of_sections(const struct plan *plan, uint64_t size,
				uint64_t share)
{
	__u64 end = ivregion_control_size(plan->options->slots);
	struct ivregion_section place;
	struct ivregion region;

	region.size = size;
	for (uint32_t i = 0; i < plan->count; i++) {
		place.size = plan->sections[i].size;
		if (!place.size)
			place.size = share ? share :
				     least_size(plan, &plan->sections[i]);
		if (!ivregion_place(&region, &place, &end))
			return 0;
	}
	return end > size ? 0 : end;
}

static int refuse_total(struct plan *plan)
{
	uint64_t size = plan->options->memory_size;
	char has[32], needs[32], enough[32];
	uint64_t end, larger = size;

	/* Sections are below 2^44 each, so that 32 end below 2^50 */
	end = end_of_sections(plan, 1ULL << 50, 0);
	while (larger < end)
		larger <<= 1;
	size_text(size, has);
	size_text(round_up(end), needs);
	if (larger > 1ULL << IVREGION_SIZE_LOG2_MAX)
		return refuse(plan, -ENOSPC, "the sections need %s, the region "
			      "has %s; lower their sizes", needs, has);
	return refuse(plan, -ENOSPC, "the sections need %s with directory and "
		      "alignment, the region has %s; lower their sizes, or "
		      "take a region of %s", needs, has,
		      size_text(larger, enough));
}

static int check_rings(struct plan *plan, const struct plan_section *section,
		       uint64_t size)
{
	uint64_t least = least_size(plan, section);
	char has[32], ring[32], needs[32];

	if (size >= least)
		return 0;
	return refuse(plan, -ENOSPC, "section %s: %s is too small for %u slots "
		      "with %u queue%s: rings of %s or more need %s; give it "
		      "more, or lower the number of slots", section->name,
		      size_text(size, has), plan->options->slots,
		      section->queues, section->queues == 1 ? "" : "s",
		      size_text(types[section->type].least_ring, ring),
		      size_text(round_up(least), needs));
}

/*
 * The largest share for those without a size.  Alignment takes less than
 * IVREGION_LARGE per section, which bounds how often this tries.
 */
static uint64_t find_share(const struct plan *plan)
{
	uint64_t size = plan->options->memory_size;
	uint64_t left = size - ivregion_control_size(plan->options->slots);
	uint64_t share, open = 0;

	for (uint32_t i = 0; i < plan->count; i++) {
		left -= plan->sections[i].size;
		open += !plan->sections[i].size;
	}
	if (!open)
		return 0;
	share = left / open & ~(uint64_t)(IVREGION_PAGE - 1);
	if (share > LARGEST)
		share = LARGEST;
	while (share && !end_of_sections(plan, size, share))
		share -= IVREGION_PAGE;
	return share;
}

static int set_sizes(struct plan *plan)
{
	struct plan_section *section;
	uint64_t share;
	int error;

	for (uint32_t i = 0; i < plan->count; i++) {
		section = &plan->sections[i];
		error = section->size ?
			check_rings(plan, section, section->size) : 0;
		if (error)
			return error;
	}
	/* That there is room for a page each also bounds find_share() */
	if (!end_of_sections(plan, plan->options->memory_size, IVREGION_PAGE))
		return refuse_total(plan);
	share = find_share(plan);
	for (uint32_t i = 0; i < plan->count; i++) {
		section = &plan->sections[i];
		if (section->size)
			continue;
		error = check_rings(plan, section, share);
		if (error)
			return error;
		section->size = share;
	}
	return 0;
}

static int random_bytes(struct plan *plan, void *buffer, size_t size)
{
	ssize_t got = getrandom(buffer, size, 0);

	if (got == (ssize_t)size)
		return 0;
	return refuse(plan, got < 0 ? -errno : -EIO,
		      "cannot get random numbers");
}

static int set_identity(struct plan *plan,
			struct ivregion_superblock *superblock)
{
	uint32_t instance;
	int error;

	error = random_bytes(plan, &instance, sizeof(instance));
	superblock->instance = ivshmem_to_le32(instance);
	if (error)
		return error;
	if (plan->options->uuid) {
		memcpy(superblock->uuid, plan->options->uuid,
		       sizeof(superblock->uuid));
		return 0;
	}
	error = random_bytes(plan, superblock->uuid, sizeof(superblock->uuid));
	/* RFC 4122: version 4, random */
	superblock->uuid[6] = (superblock->uuid[6] & 0x0f) | 0x40;
	superblock->uuid[8] = (superblock->uuid[8] & 0x3f) | 0x80;
	return error;
}

static void write_entries(const struct plan *plan,
			  struct ivregion_superblock *superblock)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct plan_section *section = &plan->sections[i];
		struct ivregion_entry *entry = &superblock->section[i];

		entry->type = ivshmem_to_le32(types[section->type].type);
		entry->pages = ivshmem_to_le32((uint32_t)(section->size /
							  IVREGION_PAGE));
		entry->vector = ivshmem_to_le32(section->vector);
		entry->queues = ivshmem_to_le32(section->queues);
		memcpy(entry->name, section->name, sizeof(entry->name));
	}
}

static int write_superblock(struct plan *plan,
			    struct ivregion_superblock *superblock,
			    struct ivregion *region)
{
	uint64_t size = plan->options->memory_size;
	enum ivregion_error wrong;
	int error;

	memset(superblock, 0, sizeof(*superblock));
	superblock->magic = ivshmem_to_le32(IVREGION_MAGIC);
	superblock->major = ivshmem_to_le32(IVREGION_MAJOR);
	superblock->minor = ivshmem_to_le32(IVREGION_MINOR);
	superblock->size_log2 =
		ivshmem_to_le32((uint32_t)__builtin_ctzll(size));
	superblock->slots = ivshmem_to_le32(plan->options->slots);
	superblock->sections = ivshmem_to_le32(plan->count);
	write_entries(plan, superblock);
	error = set_identity(plan, superblock);
	if (error)
		return error;
	superblock->checksum =
		ivshmem_to_le32(ivregion_checksum(superblock));
	wrong = ivregion_parse(superblock, size, region);
	if (wrong)
		return refuse(plan, -EINVAL, "section %u: %s",
			      region->failed + 1, ivregion_error_text(wrong));
	return 0;
}

static int check_options(struct plan *plan)
{
	const struct ivshmem_layout_options *options = plan->options;
	uint64_t size = options->memory_size;

	if (size < 1ULL << IVREGION_SIZE_LOG2_MIN ||
	    size > 1ULL << IVREGION_SIZE_LOG2_MAX || size & (size - 1))
		return refuse(plan, -EINVAL, "the region has %" PRIu64
			      " bytes: expected a power of two from 2^%u to "
			      "2^%u", size, IVREGION_SIZE_LOG2_MIN,
			      IVREGION_SIZE_LOG2_MAX);
	if (options->slots < IVREGION_SLOTS_MIN ||
	    options->slots > IVREGION_SLOTS_MAX)
		return refuse(plan, -EINVAL, "%u slots: expected %u to %u",
			      options->slots, IVREGION_SLOTS_MIN,
			      IVREGION_SLOTS_MAX);
	if (options->vectors > IVREGION_VECTORS_MAX)
		return refuse(plan, -EINVAL, "%u vectors: expected 0 to %u",
			      options->vectors, IVREGION_VECTORS_MAX);
	return 0;
}

int ivshmem_layout_make(const char *description,
			const struct ivshmem_layout_options *options,
			struct ivregion_superblock *superblock,
			struct ivregion *region, char *error,
			size_t error_size)
{
	struct plan plan = {
		.options = options,
		.error = error,
		.error_size = error_size,
	};
	int result = check_options(&plan);

	if (result)
		return result;
	if (!*description)
		return refuse(&plan, -EINVAL, "there is no section: expected "
			      EXPECTED ", separated by commas, or auto");
	if (!strcmp(description, "auto"))
		plan_auto(&plan);
	else
		result = parse_description(&plan, description);
	if (result)
		return result;
	set_defaults(&plan);
	result = set_sizes(&plan);
	if (result)
		return result;
	return write_superblock(&plan, superblock, region);
}

const char *ivshmem_layout_type(uint32_t type)
{
	for (size_t i = 0; i < TYPES; i++) {
		if (types[i].type == type)
			return types[i].name;
	}
	return "unknown";
}

static int describe_section(const struct ivregion_section *section,
			    char *buffer, size_t size)
{
	const char *type = ivshmem_layout_type(section->type);
	char number[16], pages[32], queues[32] = "";
	bool named;

	if (!strcmp(type, "unknown")) {
		snprintf(number, sizeof(number), "type%" PRIu32, section->type);
		type = number;
	}
	if (section->queues != 1)
		snprintf(queues, sizeof(queues), ":queues=%" PRIu32,
			 section->queues);
	named = strcmp(type, section->name);
	return snprintf(buffer, size, "%s%s%s:%s:vector=%" PRIu32 "%s", type,
			named ? "=" : "", named ? section->name : "",
			size_text(section->size, pages), section->vector,
			queues);
}

size_t ivshmem_layout_describe(const struct ivregion *region, char *buffer,
			       size_t size)
{
	char text[TEXT_LENGTH + 1];
	size_t used = 0;
	size_t length;

	for (uint32_t i = 0; i < region->nr_sections; i++) {
		describe_section(&region->sections[i], text, sizeof(text));
		if (i && used++ < size)
			buffer[used - 1] = ',';
		length = strlen(text);
		for (size_t j = 0; j < length && used + j < size; j++)
			buffer[used + j] = text[j];
		used += length;
	}
	if (size)
		buffer[used < size ? used : size - 1] = '\0';
	return used;
}

static bool same_section(const struct ivregion_section *a,
			 const struct ivregion_section *b)
{
	return a->type == b->type && a->size == b->size &&
	       a->vector == b->vector && a->queues == b->queues &&
	       a->usable == b->usable && ivregion_same_name(a->name, b->name);
}

bool ivshmem_layout_same(const struct ivregion *a, const struct ivregion *b)
{
	if (a->size != b->size || a->slots != b->slots ||
	    a->nr_sections != b->nr_sections)
		return false;
	for (uint32_t i = 0; i < a->nr_sections; i++) {
		if (!same_section(&a->sections[i], &b->sections[i]))
			return false;
	}
	return true;
}
