// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem format: divide the memory into sections.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <ivshmem/wire.h>

#include "address.h"
#include "attach.h"
#include "command.h"
#include "layout.h"
#include "output.h"
#include "parse.h"
#include "region.h"

/* Where neither a format nor a server tells; as ivshmemd has it */
#define DEFAULT_PEERS	8
#define DEFAULT_VECTORS	4

enum {
	OPTION_PEERS = OPTION_FIRST_OWN,
	OPTION_VECTORS,
	OPTION_SIZE,
	OPTION_FORCE,
	OPTION_ERASE,
	OPTION_DRY_RUN,
};

/* What was asked for; 0 stands for a number that was not given. */
struct wish {
	const char *address;
	const char *description;
	uint64_t peers;
	uint64_t vectors;
	bool some_vectors;
	uint64_t size;
	bool force;
	bool erase;
	bool dry_run;
	bool json;
};

static void print_layout(const struct layout *layout, const struct wish *wish)
{
	struct json_object *object;
	char size[32], uuid[37];

	if (wish->json) {
		object = layout_json(layout);
		/* These are others each time. */
		if (wish->dry_run) {
			json_object_object_del(object, "uuid");
			json_object_object_del(object, "instance");
		}
		print_json(object);
		return;
	}
	printf("memory   %s\n", format_size(layout->memory_size, size));
	printf("slots    %" PRIu32 "\n", layout->region.slots);
	if (!wish->dry_run)
		printf("uuid     %s\n",
		       format_uuid(layout->region.uuid, uuid));
	print_sections(layout);
}

static void take_section(struct ivshmem_section *section, uint32_t index,
			 const struct ivregion_section *from)
{
	section->index = index;
	section->type = from->type;
	section->vector = from->vector;
	section->queues = from->queues;
	section->ring_size = from->ring_size;
	section->usable = from->usable;
	section->offset = from->offset;
	section->size = from->size;
	memcpy(section->name, from->name, sizeof(section->name));
}

/* Says what the description would lead to, without any device. */
static enum exit_code try_out(const struct wish *wish, uint64_t size,
			      uint32_t slots, uint32_t vectors)
{
	struct ivshmem_layout_options options = {
		.memory_size = size,
		.slots = slots,
		.vectors = vectors,
	};
	struct ivregion_superblock superblock;
	struct layout layout = { .memory_size = size };
	struct ivregion region;
	char error[256];
	uint32_t i;

	if (ivshmem_layout_make(wish->description, &options, &superblock,
				&region, error, sizeof(error))) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	layout.region.state = IVSHMEM_ATTACHED;
	layout.region.major = IVREGION_MAJOR;
	layout.region.minor = region.minor;
	layout.region.instance = region.instance;
	memcpy(layout.region.uuid, region.uuid, sizeof(region.uuid));
	layout.region.slots = region.slots;
	layout.region.slot = LIBIVSHMEM_NO_SLOT;
	layout.region.sections = region.nr_sections;
	for (i = 0; i < region.nr_sections; i++)
		take_section(&layout.sections[i], i, &region.sections[i]);
	print_layout(&layout, wish);
	return EXIT_DONE;
}

/* As many as before, or as the server has told of. */
static uint32_t choose_slots(struct attachment *at, const struct wish *wish,
			     const struct layout *before)
{
	uint32_t id, slots = 0;

	if (wish->peers)
		return (uint32_t)wish->peers;
	if (before->region.state == IVSHMEM_ATTACHED)
		return before->region.slots;
	for (id = 0; id < SLOTS_MAX; id++)
		if (ivshmem_peer_vectors(at->ivs, id) > 0)
			slots = id + 1;
	if (!slots)
		slots = DEFAULT_PEERS;
	if (at->info.doorbell && at->info.peer_id >= slots)
		slots = at->info.peer_id + 1;
	if (slots < IVREGION_SLOTS_MIN)
		slots = IVREGION_SLOTS_MIN;
	return slots < SLOTS_MAX ? slots : SLOTS_MAX;
}

static void complain_format(const struct attachment *at, int ret,
			    const char *error)
{
	if (ret == -EBUSY)
		complain("%s: %s; end them, or format it nevertheless with "
			 "--force", at->address,
			 *error ? error : "peers are there");
	else
		complain("%s: %s", at->address,
			 *error ? error : region_error(ret));
}

static enum exit_code format(struct attachment *at, const struct wish *wish)
{
	struct ivshmem_format_options options = { 0 };
	char error[512];
	struct layout layout;
	int ret;

	ret = layout_read(at->ivs, at->info.memory_size, &layout);
	if (ret) {
		complain("%s: %s", at->address, region_error(ret));
		return EXIT_FAILED;
	}
	options.slots = choose_slots(at, wish, &layout);
	options.vectors = wish->some_vectors ? (uint32_t)wish->vectors :
					       at->info.vectors;
	if (wish->dry_run)
		return try_out(wish, at->info.memory_size, options.slots,
			       options.vectors);
	options.flags = (wish->force ? IVSHMEM_FORCE : 0) |
			(wish->erase ? IVSHMEM_ERASE : 0);
	ret = ivshmem_format(at->ivs, wish->description, &options, error,
			     sizeof(error));
	if (ret) {
		complain_format(at, ret, error);
		return EXIT_FAILED;
	}
	ret = layout_read(at->ivs, at->info.memory_size, &layout);
	if (ret) {
		complain("%s: %s", at->address, region_error(ret));
		return EXIT_FAILED;
	}
	if (!wish->erase || wish->json)
		print_layout(&layout, wish);
	return EXIT_DONE;
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	switch (option) {
	case OPTION_JSON:
		wish->json = true;
		return true;
	case OPTION_PEERS:
		return parse_number(text, SLOTS_MAX, &wish->peers) &&
		       wish->peers >= IVREGION_SLOTS_MIN;
	case OPTION_VECTORS:
		wish->some_vectors = true;
		return parse_number(text, LIBIVSHMEM_MAX_VECTORS,
				    &wish->vectors);
	case OPTION_SIZE:
		return parse_size(text, &wish->size) && wish->size;
	case OPTION_FORCE:
		wish->force = true;
		return true;
	case OPTION_ERASE:
		wish->erase = true;
		return true;
	default:
		wish->dry_run = true;
		return true;
	}
}

/* What is wrong with it as a whole; NULL if nothing. */
static const char *contradiction(const struct wish *wish, int words,
				 char *const *word)
{
	if (wish->erase && wish->dry_run)
		return "--erase and --dry-run exclude each other";
	if (wish->size && !wish->dry_run)
		return "--size is for --dry-run; that of a device is known";
	if (wish->erase && words > 1)
		return "--erase wants no layout";
	/* A layout has no slash, and no such type. */
	if (!wish->erase && words == 1 && is_address(word[0]))
		return "LAYOUT is missing, such as raw=lab:16M,net or auto";
	if (!wish->erase && !words)
		return "a layout is needed, such as raw=lab:16M,net or auto";
	if (words > (wish->size ? 1 : 2))
		return "too many arguments";
	return NULL;
}

static enum exit_code run_format(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "peers", required_argument, NULL, OPTION_PEERS },
		{ "vectors", required_argument, NULL, OPTION_VECTORS },
		{ "size", required_argument, NULL, OPTION_SIZE },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ "erase", no_argument, NULL, OPTION_ERASE },
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
		{ 0 }
	};
	struct wish wish = { 0 };
	struct attachment at;
	enum exit_code code;
	int option, index;
	const char *wrong;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == OPTION_HELP)
			return show_help(&command_format);
		if (option == '?')
			return misused(&command_format, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_format, "--%s %s: malformed or "
				       "out of range", options[index].name,
				       optarg);
	}
	wrong = contradiction(&wish, argc - optind, argv + optind);
	if (wrong)
		return misused(&command_format, "%s", wrong);
	if (argc - optind == 2 || (argc - optind == 1 && wish.erase))
		wish.address = argv[optind++];
	wish.description = argv[optind];
	if (wish.size)
		return try_out(&wish, wish.size, wish.peers ?
			       (uint32_t)wish.peers : DEFAULT_PEERS,
			       wish.some_vectors ? (uint32_t)wish.vectors :
			       DEFAULT_VECTORS);
	if (attach(&at, wish.address, wish.dry_run ? IVSHMEM_RDONLY : 0))
		return EXIT_FAILED;
	code = format(&at, &wish);
	detach(&at);
	return code;
}

const struct command command_format = {
	.name = "format",
	.arguments = "[DEVICE] LAYOUT [--peers N] [--vectors N] [--force] [--dry-run] [--json]\n"
		     "       ivshmem format [DEVICE] --erase [--force] [--json]\n"
		     "       ivshmem format LAYOUT --dry-run --size S [--peers N] [--vectors N] [--json]",
	.summary = "Divide the memory into sections.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  LAYOUT               sections TYPE[=NAME][:SIZE][:KEY=VALUE]..., separated\n"
		"                       by commas, or auto; TYPE is raw, net or blk, KEY is\n"
		"                       vector or queues; who has no SIZE shares what is left\n"
		"  --peers N            places for peers, 2 to 64 (as before; as many as the\n"
		"                       server has told of; 8)\n"
		"  --vectors N          vectors that each peer has (as many as the own)\n"
		"  --size S             with --dry-run: of a memory that need not be there\n"
		"  --force              even if peers use it, or its format is not known\n"
		"  --erase              leave it unformatted\n"
		"  --dry-run            only show what it would be\n"
		HELP_OPTION_JSON
		HELP_OPTION_HELP
		"\n"
		"Example: ivshmem format net:64M,blk:32M,raw=lab\n",
	.run = run_format,
};
