// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem poke: write bytes into the shared memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach.h"
#include "bytes.h"
#include "command.h"
#include "output.h"
#include "parse.h"

enum { OPTION_HEX = OPTION_FIRST_OWN };

#define FIRST_BUFFER	65536

struct input {
	unsigned char *bytes;
	size_t length;
};

/* Reads all of standard input, but not more than @limit bytes and one. */
static int read_stdin(struct input *input, uint64_t limit)
{
	size_t room = 0;
	unsigned char *grown;
	ssize_t n;

	for (;;) {
		if (input->length == room) {
			room = room ? 2 * room : FIRST_BUFFER;
			grown = realloc(input->bytes, room);
			if (!grown)
				return -ENOMEM;
			input->bytes = grown;
		}
		n = read(STDIN_FILENO, input->bytes + input->length,
			 room - input->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		input->length += (size_t)n;
		if (input->length > limit)
			return 0;
	}
}

static bool take_argument(struct input *input, const char *text, bool hex)
{
	size_t size = strlen(text);
	long n;

	input->bytes = malloc(size + 1);
	if (!input->bytes)
		return false;
	if (!hex) {
		memcpy(input->bytes, text, size);
		input->length = size;
		return size;
	}
	n = parse_hex(text, input->bytes);
	input->length = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void report(uint64_t offset, uint64_t length)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "offset", offset);
	add_number(object, "length", length);
	print_json(object);
}

static enum exit_code poke(const char *address, uint64_t offset,
			   struct input *input, bool json)
{
	struct attachment at;
	int ret;

	if (attach(&at, address, 0))
		return EXIT_FAILED;
	if (!input->bytes) {
		ret = read_stdin(input, at.info.memory_size);
		if (ret || !input->length) {
			complain("standard input: %s", ret ? strerror(-ret) :
				 "nothing to write");
			detach(&at);
			return EXIT_FAILED;
		}
	}
	if (attach_memory(&at, offset, input->length,
			  PROT_READ | PROT_WRITE)) {
		detach(&at);
		return EXIT_FAILED;
	}
	memcpy(at.memory, input->bytes, input->length);
	detach(&at);
	if (json)
		report(offset, input->length);
	return EXIT_DONE;
}

static enum exit_code run_poke(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "hex", no_argument, NULL, OPTION_HEX },
		{ 0 }
	};
	struct input input = { 0 };
	const char *address = NULL;
	bool json = false, hex = false;
	enum exit_code ret;
	uint64_t offset;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_poke);
		case OPTION_JSON:
			json = true;
			break;
		case OPTION_HEX:
			hex = true;
			break;
		default:
			return misused(&command_poke, NULL);
		}
	}
	if (argc - optind == 3)
		address = argv[optind++];
	if (argc - optind != 2)
		return misused(&command_poke,
			       "an offset and something to write are needed");
	if (!parse_size(argv[optind], &offset))
		return misused(&command_poke, "%s: not an offset",
			       argv[optind]);
	if (strcmp(argv[optind + 1], "-") &&
	    !take_argument(&input, argv[optind + 1], hex)) {
		free(input.bytes);
		return misused(&command_poke, "%s: %s", argv[optind + 1], hex ?
			       "not pairs of hexadecimal digits" :
			       "nothing to write");
	}
	ret = poke(address, offset, &input, json);
	free(input.bytes);
	return ret;
}

const struct command command_poke = {
	.name = "poke",
	.arguments = "[DEVICE] OFFSET DATA [--hex] [--json]",
	.summary = "Write bytes into the shared memory.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  OFFSET               where\n"
		"  DATA                 a string; - is standard input\n"
		"  --hex                DATA is hexadecimal, as in \"de ad be ef\"\n"
		"  --json               print offset and length as JSON\n"
		HELP_OPTION_HELP
		"\nNothing is written unless all of it fits.\n",
	.run = run_poke,
};
