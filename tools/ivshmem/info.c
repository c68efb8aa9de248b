// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem info: what a device or link is, and who else is there.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "attach.h"
#include "command.h"
#include "output.h"
#include "region.h"

static void print_peers(struct attachment *at)
{
	const char *separator = "";
	uint32_t id;
	int vectors;

	printf("peers    ");
	for (id = 0; id < LIBIVSHMEM_MAX_PEERS; id++) {
		vectors = ivshmem_peer_vectors(at->ivs, id);
		if (vectors <= 0 || id == at->info.peer_id)
			continue;
		printf("%s%" PRIu32 " (%d vector%s)", separator, id, vectors,
		       vectors == 1 ? "" : "s");
		separator = ", ";
	}
	printf("%s\n", *separator ? "" : "none");
}

static const char *const no_slot[] = {
	[NO_SLOT_GIVEN] = "",
	[NO_SLOT_YET] = " yet: it is being chosen",
	[NO_SLOT_FREE] = ": all are taken; the first that gets free is chosen",
};

static void print_region(const char *address, const struct layout *layout)
{
	const struct ivshmem_region *region = &layout->region;
	char text[160];

	if (region->state == IVSHMEM_UNFORMATTED) {
		printf("format   none; all of the memory belongs to programs\n");
		return;
	}
	if (region->state == IVSHMEM_REFUSED) {
		printf("format   refused: %s\n", refusal(region, text));
		printf("remedy   %s\n", refusal_remedy(region));
		return;
	}
	printf("format   version %" PRIu32 ".%" PRIu32 "%s\n", region->major,
	       region->minor, region->read_only ? ", can only be read" : "");
	printf("uuid     %s\n", format_uuid(region->uuid, text));
	printf("slots    %" PRIu32 "\n", region->slots);
	if (region->slot == LIBIVSHMEM_NO_SLOT)
		printf("own slot none%s\n", no_slot[why_no_slot(address)]);
	else
		printf("own slot %" PRId32 "%s\n", region->slot,
		       region->epoch ? "" : " (not joined)");
	print_sections(layout);
}

/* NULL if the driver is older than the format. */
static const struct layout *read_region(struct attachment *at,
					struct layout *layout)
{
	int ret = layout_read(at->ivs, at->info.memory_size, layout);

	if (ret && ret != -EOPNOTSUPP)
		complain("%s: %s", at->address, region_error(ret));
	return ret ? NULL : layout;
}

static const struct {
	const char *word;
	const char *text;
} kinds[] = {
	[IVSHMEM_BACKEND_DEVICE] = { "device", "device" },
	[IVSHMEM_BACKEND_SERVER] = { "server", "server connection" },
	[IVSHMEM_BACKEND_VFIO] = { "vfio", "device, driven through VFIO" },
	[IVSHMEM_BACKEND_PCI] = { "pci", "device, driven through sysfs" },
};

static void print_text(struct attachment *at)
{
	bool server = at->info.backend == IVSHMEM_BACKEND_SERVER;
	const char *cache = cache_name(at->info.cache);
	struct layout layout;
	char size[32];

	printf("address  %s\n", at->address);
	printf("kind     %s\n", kinds[at->info.backend].text);
	printf("memory   %s\n", format_size(at->info.memory_size, size));
	printf("cached   %s (%s)\n", cache, cache_meaning(cache));
	if (!server)
		printf("revision %" PRIu32 "\n", at->info.revision);
	printf("doorbell %s\n", at->info.doorbell ? "yes" : "no");
	if (at->info.doorbell) {
		printf("own id   %" PRIu32 "\n", at->info.peer_id);
		printf("vectors  %" PRIu32 "\n", at->info.vectors);
		if (server)
			print_peers(at);
	}
	if (read_region(at, &layout))
		print_region(at->address, &layout);
}

static struct json_object *list_peers(struct attachment *at)
{
	struct json_object *peers = json_object_new_array();
	struct json_object *peer;
	uint32_t id;
	int vectors;

	for (id = 0; id < LIBIVSHMEM_MAX_PEERS; id++) {
		vectors = ivshmem_peer_vectors(at->ivs, id);
		if (vectors <= 0 || id == at->info.peer_id)
			continue;
		peer = json_object_new_object();
		add_number(peer, "id", id);
		add_number(peer, "vectors", (uint64_t)vectors);
		json_object_array_add(peers, peer);
	}
	return peers;
}

static struct json_object *as_json(struct attachment *at)
{
	bool server = at->info.backend == IVSHMEM_BACKEND_SERVER;
	struct json_object *object = json_object_new_object();
	struct layout layout;

	add_string(object, "address", at->address);
	add_string(object, "kind", kinds[at->info.backend].word);
	add_number(object, "memory_size", at->info.memory_size);
	add_string(object, "cache_mode", cache_name(at->info.cache));
	if (!server)
		add_number(object, "revision", at->info.revision);
	add_flag(object, "doorbell", at->info.doorbell);
	if (at->info.doorbell)
		add_number(object, "peer_id", at->info.peer_id);
	else
		add_null(object, "peer_id");
	add_number(object, "vectors", at->info.vectors);
	if (server)
		json_object_object_add(object, "peers", list_peers(at));
	json_object_object_add(object, "region", read_region(at, &layout) ?
			       layout_json(&layout) : NULL);
	return object;
}

static enum exit_code run_info(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct attachment at;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_info);
		case OPTION_JSON:
			json = true;
			break;
		default:
			return misused(&command_info, NULL);
		}
	}
	if (argc - optind > 1)
		return misused(&command_info, "%s: one device at a time",
			       argv[optind + 1]);
	if (attach(&at, argv[optind], IVSHMEM_RDONLY))
		return EXIT_FAILED;
	if (json)
		print_json(as_json(&at));
	else
		print_text(&at);
	detach(&at);
	return EXIT_DONE;
}

const struct command command_info = {
	.name = "info",
	.arguments = "[DEVICE] [--json]",
	.summary = "Show what a device or link is.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		HELP_OPTION_JSON
		HELP_OPTION_HELP,
	.run = run_info,
};
