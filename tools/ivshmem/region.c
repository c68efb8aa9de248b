// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks how a region is formatted and who is there, and prints the former.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <ivshmem/wire.h>

#include "layout.h"
#include "output.h"
#include "region.h"

/* Two beats of a peer, and one to spare */
#define SETTLE_MS	1500

int layout_read(struct ivshmem *ivs, uint64_t memory_size,
		struct layout *layout)
{
	uint32_t i;
	int ret;

	memset(layout, 0, sizeof(*layout));
	layout->memory_size = memory_size;
	ret = ivshmem_get_region(ivs, &layout->region);
	if (ret)
		return ret;
	for (i = 0; i < layout->region.sections && i < SECTIONS_MAX; i++) {
		ret = ivshmem_get_section(ivs, i, &layout->sections[i]);
		/* It may have been formatted anew between the two. */
		if (ret == -ENOENT)
			break;
		if (ret)
			return ret;
	}
	layout->region.sections = i;
	return 0;
}

int64_t layout_unused(const struct layout *layout)
{
	uint64_t used = ivregion_control_size(layout->region.slots);
	uint32_t i;

	for (i = 0; i < layout->region.sections; i++)
		used += layout->sections[i].size;
	return used <= layout->memory_size ?
	       (int64_t)(layout->memory_size - used) : -1;
}

static const char *ring_text(const struct ivshmem_section *section,
			     char text[32])
{
	return section->ring_size ? format_size(section->ring_size, text) :
				    "none";
}

void print_sections(const struct layout *layout)
{
	const struct ivshmem_section *section;
	char size[32], ring[32];
	uint32_t i;

	if (!layout->region.sections)
		return;
	printf("%-20s %-7s %-14s %-12s %-6s %-6s %s\n", "SECTION", "TYPE",
	       "OFFSET", "SIZE", "VECTOR", "QUEUES", "RING");
	for (i = 0; i < layout->region.sections; i++) {
		section = &layout->sections[i];
		printf("%-20s %-7s 0x%-12" PRIx64 " %-12s %-6" PRIu32
		       " %-6" PRIu32 " %s%s\n", section->name,
		       ivshmem_layout_type(section->type), section->offset,
		       format_size(section->size, size), section->vector,
		       section->queues, ring_text(section, ring),
		       section->usable ? "" : " (of a newer version)");
	}
	if (layout_unused(layout) >= 0)
		printf("%-20s %-7s %-14s %s\n", "unused", "", "",
		       format_size((uint64_t)layout_unused(layout), size));
}

const char *format_uuid(const uint8_t uuid[16], char text[37])
{
	size_t length = 0;
	int i;

	for (i = 0; i < 16; i++)
		length += (size_t)sprintf(text + length, "%s%02x",
					  i == 4 || i == 6 || i == 8 ||
					  i == 10 ? "-" : "", uuid[i]);
	return text;
}

static struct json_object *section_json(const struct ivshmem_section *section)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "name", section->name);
	add_string(object, "type", ivshmem_layout_type(section->type));
	add_number(object, "offset", section->offset);
	add_number(object, "size", section->size);
	add_number(object, "vector", section->vector);
	add_number(object, "queues", section->queues);
	add_number(object, "ring_size", section->ring_size);
	add_flag(object, "usable", (int)section->usable);
	return object;
}

static const char *const states[] = {
	[IVSHMEM_UNFORMATTED] = "unformatted",
	[IVSHMEM_ATTACHED] = "formatted",
	[IVSHMEM_REFUSED] = "refused",
};

static void add_attached(struct json_object *object,
			 const struct layout *layout)
{
	struct json_object *sections = json_object_new_array();
	const struct ivshmem_region *region = &layout->region;
	uint32_t i;

	add_flag(object, "read_only", (int)region->read_only);
	add_number(object, "slots", region->slots);
	if (region->slot == LIBIVSHMEM_NO_SLOT)
		add_null(object, "slot");
	else
		add_number(object, "slot", (uint64_t)region->slot);
	add_flag(object, "joined", !!region->epoch);
	for (i = 0; i < region->sections; i++)
		json_object_array_add(sections,
				      section_json(&layout->sections[i]));
	json_object_object_add(object, "sections", sections);
	if (layout_unused(layout) >= 0)
		add_number(object, "unused", (uint64_t)layout_unused(layout));
	else
		add_null(object, "unused");
}

struct json_object *layout_json(const struct layout *layout)
{
	const struct ivshmem_region *region = &layout->region;
	struct json_object *object = json_object_new_object();
	char text[160];

	add_string(object, "state", region->state <= IVSHMEM_REFUSED ?
		   states[region->state] : "unknown");
	if (region->state == IVSHMEM_UNFORMATTED)
		return object;
	snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu32, region->major,
		 region->minor);
	add_string(object, "version", text);
	add_string(object, "uuid", format_uuid(region->uuid, text));
	add_number(object, "instance", region->instance);
	add_number(object, "compat", region->compat);
	add_number(object, "ro_compat", region->ro_compat);
	add_number(object, "incompat", region->incompat);
	if (region->state == IVSHMEM_REFUSED)
		add_string(object, "reason", refusal(region, text));
	else
		add_attached(object, layout);
	return object;
}

const char *refusal(const struct ivshmem_region *region, char text[160])
{
	switch (region->error) {
	case IVREGION_BAD_MAJOR:
	case IVREGION_BAD_INCOMPAT:
		snprintf(text, 160, "%s: version %" PRIu32 ".%" PRIu32
			 ", incompatible features 0x%" PRIx32, region->reason,
			 region->major, region->minor, region->incompat);
		break;
	case IVREGION_BAD_TYPE:
	case IVREGION_BAD_PAGES:
	case IVREGION_BAD_VECTOR:
	case IVREGION_BAD_QUEUES:
	case IVREGION_BAD_NAME:
	case IVREGION_SAME_NAME:
	case IVREGION_NO_ROOM:
		snprintf(text, 160, "%s (section %" PRIu32 ")", region->reason,
			 region->failed);
		break;
	default:
		snprintf(text, 160, "%s", region->reason);
	}
	return text;
}

const char *refusal_remedy(const struct ivshmem_region *region)
{
	if (region->error == IVREGION_BAD_MAJOR ||
	    region->error == IVREGION_BAD_INCOMPAT)
		return "use the version of ivshmem that formatted it, or format "
		       "it again: ivshmem format --force";
	if (region->error == IVREGION_BAD_SIZE)
		return "give the memory the size that it was formatted with, "
		       "or format it again: ivshmem format --force";
	return "its superblock was overwritten; format it again: ivshmem "
	       "format --force";
}

enum no_slot why_no_slot(const char *address)
{
	char path[64], line[256] = "";
	struct stat node;
	FILE *stream;
	size_t end;

	if (stat(address, &node) || !S_ISCHR(node.st_mode))
		return NO_SLOT_GIVEN;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/region",
		 major(node.st_rdev), minor(node.st_rdev));
	stream = fopen(path, "re");
	if (!stream)
		return NO_SLOT_GIVEN;
	if (!fgets(line, sizeof(line), stream))
		line[0] = 0;
	fclose(stream);
	end = strcspn(line, "\n");
	line[end] = 0;
	if (strstr(line, " slot none choosing"))
		return NO_SLOT_YET;
	return strstr(line, " slot none full") ? NO_SLOT_FREE : NO_SLOT_GIVEN;
}

const char *region_error(int error)
{
	switch (error) {
	case -EOPNOTSUPP:
		return "the driver is older than the format; install the one "
		       "of this version";
	case -ENODATA:
	case -ENOENT:
		return "the memory is not formatted; `ivshmem format` does it";
	case -EPROTO:
		return "its format was refused; `ivshmem info` says why";
	case -EROFS:
		return "features of its format allow only to read it; use the "
		       "version of ivshmem that formatted it";
	case -ENXIO:
		return "the region has no slot for this machine; `ivshmem "
		       "doctor` tells why";
	case -ENODEV:
		return "the device is gone";
	default:
		return strerror(-error);
	}
}

const char *peer_state_name(uint32_t state)
{
	switch (state) {
	case IVSHMEM_ALIVE:
		return "alive";
	case IVSHMEM_SILENT:
		return "silent";
	default:
		return "absent";
	}
}

/* -EAGAIN if it is too early to tell whether somebody lives. */
static int look_at_peers(struct ivshmem *ivs, uint32_t slots,
			 struct ivshmem_peer peers[SLOTS_MAX])
{
	bool unsure = false;
	uint32_t slot;
	int ret;

	for (slot = 0; slot < slots; slot++) {
		ret = ivshmem_get_peer(ivs, slot, &peers[slot]);
		if (ret)
			return ret;
		/* A server that keeps count tells of its end as well. */
		if (peers[slot].state == IVSHMEM_ABSENT &&
		    peers[slot].epoch && !peers[slot].generation)
			unsure = true;
	}
	return unsure ? -EAGAIN : 0;
}

int read_peers(struct ivshmem *ivs, uint32_t slots,
	       struct ivshmem_peer peers[SLOTS_MAX])
{
	struct ivshmem_region region;
	uint64_t changes;
	int ret, n;

	ret = look_at_peers(ivs, slots, peers);
	/* Each wait that is not in vain may have decided all. */
	for (n = 0; ret == -EAGAIN && n < 3; n++) {
		ret = ivshmem_get_region(ivs, &region);
		if (ret)
			return ret;
		changes = region.changes;
		ret = ivshmem_wait_change(ivs, &changes, SETTLE_MS / 3);
		if (ret < 0)
			return ret;
		ret = look_at_peers(ivs, slots, peers);
	}
	return ret == -EAGAIN ? 0 : ret;
}
