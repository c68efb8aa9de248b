// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what an export has done, and for whom.
 */
#include <inttypes.h>
#include <stdio.h>

#include "export.h"
#include "output.h"

static const char *const states[] = {
	[IVLINK_DOWN] = "down",
	[IVLINK_ANNOUNCE] = "resting",
	[IVLINK_WAIT] = "waiting",
	[IVLINK_UP] = "up",
};

static const char *const operations[] = {
	[IVBLK_OP_READ] = "read",
	[IVBLK_OP_WRITE] = "write",
	[IVBLK_OP_FLUSH] = "flush",
	[IVBLK_OP_DISCARD] = "discard",
	[IVBLK_OP_ZEROES] = "zeroes",
};

static const char *const statuses[] = {
	[IVBLK_OK] = "ok",
	[IVBLK_IO_ERROR] = "io_error",
	[IVBLK_NO_SPACE] = "no_space",
	[IVBLK_UNSUPPORTED] = "unsupported",
	[IVBLK_INVALID] = "invalid",
};

#define OPERATIONS	(sizeof(operations) / sizeof(operations[0]))
#define STATUSES	(sizeof(statuses) / sizeof(statuses[0]))

static const struct peer_link *link_of(const struct export *export,
				       uint32_t slot)
{
	return &export->links.links[slot];
}

/* Whether there is anything to say of a slot. */
static bool known(const struct export *export, uint32_t slot)
{
	const struct ivlink *link = &link_of(export, slot)->link;

	return slot != export->links.slot &&
	       (link->state != IVLINK_DOWN || link->sessions);
}

static struct json_object *operations_json(const struct front_counters *c)
{
	struct json_object *all = json_object_new_object();
	struct json_object *one;
	size_t i;

	for (i = 0; i < OPERATIONS; i++) {
		one = json_object_new_object();
		add_number(one, "requests", c->requests[i]);
		add_number(one, "bytes", c->bytes[i]);
		json_object_object_add(all, operations[i], one);
	}
	return all;
}

static struct json_object *answers_json(const struct front_counters *c)
{
	struct json_object *object = json_object_new_object();
	size_t i;

	for (i = 0; i < STATUSES; i++)
		add_number(object, statuses[i], c->answers[i]);
	return object;
}

static struct json_object *front_json(const struct export *export,
				      uint32_t slot)
{
	const struct front *front = &export->fronts[slot];
	const struct peer_link *l = link_of(export, slot);
	struct json_object *object = json_object_new_object();

	add_number(object, "slot", slot);
	add_string(object, "state", states[l->link.state]);
	add_flag(object, "greeted", front->greeted);
	add_flag(object, "writer", front->writer &&
		 !(export->offer.features & IVBLK_READ_ONLY));
	add_number(object, "queues", front->queues);
	add_flag(object, "kept", front->kept[0] && front->kept[1]);
	add_number(object, "sessions", l->link.sessions);
	add_number(object, "faults", l->faults);
	add_number(object, "kicks", l->kicks);
	add_number(object, "in_flight", front->in_flight);
	json_object_object_add(object, "operations",
			       operations_json(&front->counters));
	json_object_object_add(object, "answers",
			       answers_json(&front->counters));
	add_number(object, "orphans", front->counters.orphans);
	add_number(object, "passed", front->counters.passed);
	add_number(object, "full", front->counters.full);
	add_number(object, "stuck", front->counters.stuck);
	return object;
}

static void report_json(const struct export *export)
{
	struct json_object *object = json_object_new_object();
	struct json_object *fronts = json_object_new_array();
	const struct ivblk_disk *offer = &export->offer;
	uint32_t slot;

	add_string(object, "export", export->config->name);
	add_string(object, "file", export->config->file);
	add_flag(object, "attached", export->links.attached);
	add_string(object, "section", export->links.section.name);
	add_number(object, "slot", export->links.slot);
	add_number(object, "bytes", offer->sectors * IVBLK_SECTOR);
	add_number(object, "block_size", offer->block_size);
	add_number(object, "physical_block_size", offer->physical_block_size);
	add_number(object, "max_length", offer->max_length);
	add_number(object, "queues", offer->queues);
	add_flag(object, "read_only", offer->features & IVBLK_READ_ONLY);
	add_flag(object, "discard", offer->features & IVBLK_DISCARD);
	add_flag(object, "zeroes", offer->features & IVBLK_ZEROES);
	add_flag(object, "direct", export->disk.direct);
	add_number(object, "sleeps", export->sleeps);
	for (slot = 0; slot < export->links.region.slots; slot++)
		if (known(export, slot))
			json_object_array_add(fronts, front_json(export, slot));
	json_object_object_add(object, "front_ends", fronts);
	print_json_line(object);
}

static void print_front(const struct export *export, uint32_t slot)
{
	const struct front_counters *c = &export->fronts[slot].counters;
	const struct peer_link *l = link_of(export, slot);
	uint64_t failed = 0;
	size_t i;

	for (i = IVBLK_OK + 1; i < STATUSES; i++)
		failed += c->answers[i];
	printf("%-4" PRIu32 " %-7s %-6s %-8" PRIu32 " %-6" PRIu64 " %-10"
	       PRIu64 " %-10" PRIu64 " %-8" PRIu64 " %" PRIu64 "\n", slot,
	       states[l->link.state],
	       export->fronts[slot].writer ? "yes" : "no", l->link.sessions,
	       l->faults, c->requests[IVBLK_OP_READ],
	       c->requests[IVBLK_OP_WRITE], c->requests[IVBLK_OP_FLUSH],
	       failed);
}

static void report_text(const struct export *export)
{
	uint32_t slot;

	printf("%s: %" PRIu64 " bytes of %s, %s, slot %" PRIu32 " of section "
	       "%s\n", export->config->name,
	       (uint64_t)export->offer.sectors * IVBLK_SECTOR,
	       export->config->file,
	       export->disk.direct ? "direct I/O" : "page cache",
	       export->links.slot, export->links.section.name);
	for (slot = 0; slot < export->links.region.slots; slot++)
		if (known(export, slot))
			break;
	if (slot < export->links.region.slots)
		printf("%-4s %-7s %-6s %-8s %-6s %-10s %-10s %-8s %s\n", "SLOT",
		       "STATE", "WRITES", "SESSIONS", "FAULTS", "READS",
		       "WRITES", "FLUSHES", "FAILED");
	for (; slot < export->links.region.slots; slot++)
		if (known(export, slot))
			print_front(export, slot);
	fflush(stdout);
}

void report(const struct export *export, bool json)
{
	/* Whole reports, though every export has a thread. */
	flockfile(stdout);
	if (json)
		report_json(export);
	else
		report_text(export);
	funlockfile(stdout);
}
