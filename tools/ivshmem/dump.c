// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem dump: show what is in the shared memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "bytes.h"
#include "command.h"
#include "output.h"
#include "parse.h"

#define DEFAULT_LENGTH	256
#define RAW_CHUNK	65536

enum {
	OPTION_OFFSET = OPTION_FIRST_OWN,
	OPTION_LENGTH,
	OPTION_RAW,
};

enum form {
	FORM_TEXT,
	FORM_RAW,
	FORM_JSON,
};

struct wish {
	const char *address;
	enum form form;
	uint64_t offset;
	uint64_t length;
	bool default_length;
};

static int dump_raw(const unsigned char *memory, size_t length)
{
	static unsigned char chunk[RAW_CHUNK];
	size_t at, n;

	/* Copied first: write(2) from pages of a device can fail. */
	for (at = 0; at < length; at += n) {
		n = length - at < RAW_CHUNK ? length - at : RAW_CHUNK;
		memcpy(chunk, memory + at, n);
		if (fwrite(chunk, 1, n, stdout) != n)
			return -errno;
	}
	return 0;
}

static int dump_json(const unsigned char *memory, const struct wish *wish)
{
	struct json_object *object;
	char *hex;

	hex = hex_string(memory, wish->length);
	if (!hex)
		return -ENOMEM;
	object = json_object_new_object();
	add_number(object, "offset", wish->offset);
	add_number(object, "length", wish->length);
	add_string(object, "hex", hex);
	print_json(object);
	free(hex);
	return 0;
}

static enum exit_code dump(struct wish *wish)
{
	struct attachment at;
	int ret = 0;

	if (attach(&at, wish->address, IVSHMEM_RDONLY))
		return EXIT_FAILED;
	/* By default what is there; what was asked for, or an error. */
	if (wish->default_length && wish->offset < at.info.memory_size &&
	    wish->length > at.info.memory_size - wish->offset)
		wish->length = at.info.memory_size - wish->offset;
	if (attach_memory(&at, wish->offset, wish->length, PROT_READ)) {
		detach(&at);
		return EXIT_FAILED;
	}
	if (wish->form == FORM_RAW)
		ret = dump_raw(at.memory, wish->length);
	else if (wish->form == FORM_JSON)
		ret = dump_json(at.memory, wish);
	else
		print_bytes(at.memory, wish->length, wish->offset);
	if (!ret && fflush(stdout))
		ret = -errno;
	if (ret)
		complain("writing the output: %s", strerror(-ret));
	detach(&at);
	return ret ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code run_dump(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "offset", required_argument, NULL, OPTION_OFFSET },
		{ "length", required_argument, NULL, OPTION_LENGTH },
		{ "raw", no_argument, NULL, OPTION_RAW },
		{ 0 }
	};
	struct wish wish = { .length = DEFAULT_LENGTH, .default_length = true };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_dump);
		case OPTION_JSON:
			wish.form = FORM_JSON;
			break;
		case OPTION_RAW:
			wish.form = FORM_RAW;
			break;
		case OPTION_OFFSET:
			if (!parse_size(optarg, &wish.offset))
				return misused(&command_dump, "--offset %s: "
					       "not a size", optarg);
			break;
		case OPTION_LENGTH:
			wish.default_length = false;
			if (!parse_size(optarg, &wish.length) || !wish.length)
				return misused(&command_dump, "--length %s: "
					       "not a size of 1 or more",
					       optarg);
			break;
		default:
			return misused(&command_dump, NULL);
		}
	}
	if (argc - optind > 1)
		return misused(&command_dump, "%s: one device at a time",
			       argv[optind + 1]);
	wish.address = argv[optind];
	return dump(&wish);
}

const struct command command_dump = {
	.name = "dump",
	.arguments = "[DEVICE] [--offset O] [--length L] [--raw | --json]",
	.summary = "Show what is in the shared memory.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  --offset O           first byte (0)\n"
		"  --length L           how many bytes (256, or up to the end)\n"
		"  --raw                the bytes themselves, for a file or a pipe\n"
		"  --json               print JSON, the bytes in hexadecimal\n"
		HELP_OPTION_HELP,
	.run = run_dump,
};
