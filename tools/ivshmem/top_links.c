// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks at the links of sections in memory that others write to.  Each word is
 * read once; whatever it says, no other place is read for it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ivshmem/wire.h>

#include "clean.h"
#include "command.h"
#include "region.h"
#include "top_source.h"

void (*top_at_end)(void);

static sigjmp_buf lost;
static volatile sig_atomic_t looking;

static void memory_lost(int signal)
{
	static const char text[] =
		"ivshmem: the shared memory is gone: it was made smaller\n";

	(void)signal;
	if (looking)
		siglongjmp(lost, 1);
	/* The library was looking, and cannot be left in the middle. */
	if (top_at_end)
		top_at_end();
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_FAILED);
}

void top_survive(void)
{
	const struct sigaction action = { .sa_handler = memory_lost };

	sigaction(SIGBUS, &action, NULL);
}

/* A section, as mapped: offsets in it count from its start. */
struct view {
	const uint8_t *memory;
	struct ivregion region;
	struct ivregion_section section;
	const char *name;
};

static const struct ivlink_line *link_line(const struct view *view,
					   uint32_t slot, uint32_t peer)
{
	return (const struct ivlink_line *)(const void *)
		(view->memory + ivregion_link_offset(&view->region,
						     &view->section, slot,
						     peer));
}

/* Both have published that they see each other, and which session it is. */
static bool is_up(const struct view *view, uint32_t a, uint32_t b,
		  uint64_t *session)
{
	uint32_t epoch = ivshmem_load32(&link_line(view, a, b)->epoch);
	uint32_t other = ivshmem_load32(&link_line(view, b, a)->epoch);

	*session = (uint64_t)epoch << 32 | other;
	return epoch && other &&
	       ivshmem_load32(&link_line(view, a, b)->ack) == other &&
	       ivshmem_load32(&link_line(view, b, a)->ack) == epoch;
}

/* What one has sent to the other, in all queues. */
static void look_at_rings(const struct view *view, struct top_row *row)
{
	uint32_t size = ivregion_records_size(&view->section);
	uint32_t queue, prod, cons, fill, bytes = 0;
	const struct ivring_tx *tx;
	const struct ivring_rx *rx;
	bool broken = false;
	uint64_t offset;

	for (queue = 0; queue < view->section.queues; queue++) {
		offset = ivregion_tx_offset(&view->region, &view->section,
					    row->from, row->to, queue);
		tx = (const void *)(view->memory + offset);
		offset = ivregion_rx_offset(&view->region, &view->section,
					    row->from, row->to, queue);
		rx = (const void *)(view->memory + offset);
		/* In this order: what is consumed was published before. */
		cons = ivshmem_load_acquire32(&rx->cons);
		prod = ivshmem_load_acquire32(&tx->prod);
		fill = prod - cons;
		/* The producer may have gone on since, or what it says is wrong. */
		if (fill > size) {
			broken = broken || (int32_t)fill < 0;
			fill = size;
		}
		row->fill += fill;
		bytes += prod;
	}
	row->size = (uint64_t)size * view->section.queues;
	row->filled = true;
	/* Indices wrap, and so does their sum. */
	top_set(&row->counts[TOP_BYTES], bytes, 32);
	clean_text(row->state, sizeof(row->state), broken ? "broken" : "up");
}

static void add_link(const struct view *view, struct top_device *device,
		     uint32_t from, uint32_t to, uint64_t session)
{
	struct top_row *row = top_add_row(device, TOP_LINK, view->name);

	if (!row)
		return;
	row->from = from;
	row->to = to;
	row->session = session;
	look_at_rings(view, row);
}

static void look_at_section(const struct view *view, struct top_device *device)
{
	uint64_t session;
	uint32_t a, b;

	for (a = 0; a < view->region.slots && !device->cut; a++)
		for (b = a + 1; b < view->region.slots && !device->cut; b++) {
			if (!is_up(view, a, b, &session))
				continue;
			add_link(view, device, a, b, session);
			add_link(view, device, b, a, session);
		}
}

static void map_and_look(struct ivshmem *ivs, struct view *view,
			 const struct ivshmem_section *section,
			 struct top_device *device)
{
	void *memory = NULL;

	/* A guest's driver keeps its own sections to itself, and counts there. */
	if (ivshmem_map_section(ivs, section, PROT_READ, &memory))
		return;
	view->memory = memory;
	if (!sigsetjmp(lost, 1)) {
		looking = 1;
		look_at_section(view, device);
	} else {
		top_lack(device, "section %s: its memory is gone",
			 section->name);
	}
	looking = 0;
	ivshmem_unmap(memory, section->size);
}

bool top_section_fits(uint32_t slots, const struct ivshmem_section *section)
{
	return slots >= IVREGION_SLOTS_MIN && slots <= IVREGION_SLOTS_MAX &&
	       section->queues && section->queues <= IVREGION_QUEUES_MAX &&
	       slots * ivregion_outbox_size(slots, section->queues,
					    section->ring_size) <= section->size;
}

/* The section was asked for after the region, which may be another by now. */
static bool is_same(struct ivshmem *ivs, const struct ivshmem_region *region)
{
	struct ivshmem_region now;

	return !ivshmem_get_region(ivs, &now) && now.state == region->state &&
	       now.instance == region->instance && now.slots == region->slots;
}

void top_look_at_links(struct ivshmem *ivs, const struct ivshmem_region *region,
		       struct top_device *device)
{
	struct ivshmem_section section;
	uint32_t i;

	for (i = 0; i < region->sections && i < SECTIONS_MAX; i++) {
		struct view view = { .name = section.name };

		if (ivshmem_get_section(ivs, i, &section) ||
		    !is_same(ivs, region))
			return;
		if (!section.usable || !section.ring_size ||
		    !top_section_fits(device->slots, &section))
			continue;
		view.region.slots = device->slots;
		view.section.type = section.type;
		view.section.queues = section.queues;
		view.section.ring_size = section.ring_size;
		map_and_look(ivs, &view, &section, device);
	}
}
