// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the region: is it formatted, is there a place for this
 * peer, who else is there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "driven.h"
#include "output.h"
#include "region.h"

static bool examine_format(struct findings *findings, struct attachment *at,
			   struct layout *layout)
{
	const struct ivshmem_region *region = &layout->region;
	char text[160];
	int ret;

	ret = layout_read(at->ivs, at->info.memory_size, layout);
	if (ret) {
		found(findings, ret == -EOPNOTSUPP ? VERDICT_WARN :
		      VERDICT_FAIL, "format", at->address,
		      ret == -EOPNOTSUPP ? "install the driver of this version" :
		      "see dmesg about this device", "cannot be told: %s",
		      ret == -EOPNOTSUPP ? "the driver is older than the format" :
		      strerror(-ret));
		return false;
	}
	if (region->state == IVSHMEM_UNFORMATTED) {
		found(findings, VERDICT_OK, "format", at->address, NULL,
		      "unformatted: all of the memory belongs to programs");
		if (at->info.backend == IVSHMEM_BACKEND_DEVICE)
			examine_users(findings, at->address);
		return false;
	}
	if (region->state == IVSHMEM_REFUSED) {
		found(findings, VERDICT_FAIL, "format", at->address,
		      refusal_remedy(region), "refused: %s",
		      refusal(region, text));
		return false;
	}
	if (region->read_only)
		found(findings, VERDICT_WARN, "format", at->address,
		      "use the version of ivshmem that formatted it",
		      "can only be read: it has features of a newer version "
		      "(ro_compat 0x%" PRIx32 ")", region->ro_compat);
	else
		found(findings, VERDICT_OK, "format", at->address, NULL,
		      "formatted, version %" PRIu32 ".%" PRIu32 ", %" PRIu32
		      " section%s", region->major, region->minor,
		      region->sections, region->sections == 1 ? "" : "s");
	return true;
}

/* A device without doorbells: its driver chooses, unless it is told not to. */
static void examine_choice(struct findings *findings, struct attachment *at,
			   const struct ivshmem_region *region)
{
	if (is_driven(at->address)) {
		found(findings, VERDICT_WARN, "slot", at->address,
		      "name one that no other machine has, 0 to the number of "
		      "slots less 1, behind the address: ,slot=N",
		      "a device without doorbells has no slot of its own");
		return;
	}
	switch (why_no_slot(at->address)) {
	case NO_SLOT_YET:
		found(findings, VERDICT_WARN, "slot", at->address,
		      "look again in some seconds", "none yet: the driver is "
		      "choosing one");
		break;
	case NO_SLOT_FREE:
		found(findings, VERDICT_WARN, "slot", at->address,
		      "end a machine that takes part, or format it with more: "
		      "ivshmem format --peers N; if a server keeps them, use "
		      "its socket", "all %" PRIu32 " are taken: the driver "
		      "takes the first that gets free",
		      region->slots);
		break;
	case NO_SLOT_GIVEN:
		found(findings, VERDICT_WARN, "slot", at->address,
		      "let the driver choose one: echo auto > "
		      "/sys/class/ivshmem/ivshmemN/slot",
		      "a device without doorbells has the slot that is written "
		      "there, and the region does not have that one, or it is "
		      "none");
		break;
	}
}

static void examine_slot(struct findings *findings, struct attachment *at,
			 const struct ivshmem_region *region)
{
	char remedy[200];

	if (region->slot != LIBIVSHMEM_NO_SLOT) {
		found(findings, VERDICT_OK, "slot", at->address, NULL,
		      "slot %" PRId32 " of %" PRIu32, region->slot,
		      region->slots);
		return;
	}
	if (!at->info.doorbell) {
		/* Where nothing may be written that was said already */
		if (!region->read_only)
			examine_choice(findings, at, region);
		return;
	}
	snprintf(remedy, sizeof(remedy), "format it with more slots: ivshmem "
		 "format --peers %" PRIu32 ", or let the server have no more "
		 "than %" PRIu32 " peers", at->info.peer_id + 1, region->slots);
	found(findings, VERDICT_WARN, "slot", at->address, remedy,
	      "peer id %" PRIu32 " has none: the region has %" PRIu32
	      " slots, so that this peer cannot take part", at->info.peer_id,
	      region->slots);
}

static void examine_peers(struct findings *findings, struct attachment *at,
			  const struct ivshmem_region *region)
{
	struct ivshmem_peer peers[SLOTS_MAX], *peer;
	uint32_t slot, others = 0;
	bool counted = false;
	int ret;

	ret = read_peers(at->ivs, region->slots, peers);
	if (ret) {
		found(findings, VERDICT_WARN, "peers", at->address,
		      "look again", "they cannot be told: %s",
		      ret == -ENOENT ? "the region was formatted meanwhile" :
		      strerror(-ret));
		return;
	}
	for (slot = 0; slot < region->slots; slot++) {
		peer = &peers[slot];
		counted = counted || peer->generation;
		if (region->slot == (int32_t)slot)
			continue;
		others += peer->state != IVSHMEM_ABSENT;
		if (peer->state == IVSHMEM_SILENT)
			found(findings, VERDICT_WARN, "peers", at->address,
			      "look whether that machine hangs or is paused",
			      "slot %" PRIu32 " (%s) is silent: its heartbeat "
			      "stands still", slot, peer->name);
	}
	found(findings, VERDICT_OK, "peers", at->address, NULL,
	      others ? "%" PRIu32 " other%s" : "nobody else takes part yet",
	      others, others == 1 ? "" : "s");
	if (!counted)
		found(findings, VERDICT_WARN, "directory", at->address,
		      at->info.doorbell ? "serve the link with ivshmemd" :
		      "use ivshmem-doorbell with ivshmemd", "no server tells "
		      "who is connected: the end of a peer is noticed after "
		      "5 seconds only");
}

void examine_region(struct findings *findings, struct attachment *at)
{
	struct layout layout;

	if (!examine_format(findings, at, &layout))
		return;
	examine_slot(findings, at, &layout.region);
	examine_peers(findings, at, &layout.region);
}
