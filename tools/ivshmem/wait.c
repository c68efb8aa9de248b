// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem wait: print the doorbells that others ring here.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "output.h"
#include "parse.h"

#define NS_PER_MS	1000000ULL
#define NS_PER_S	1000000000ULL

enum {
	OPTION_VECTOR = OPTION_FIRST_OWN,
	OPTION_TIMEOUT,
	OPTION_COUNT,
};

/* What was asked for; a count of 0 has no end. */
struct wish {
	const char *address;
	bool json;
	bool some_vectors;
	uint64_t vectors[4];
	bool limited;
	uint64_t timeout_ns;
	uint64_t count;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void print_event(const struct ivshmem_event *event, bool json)
{
	struct json_object *object;

	if (json) {
		object = json_object_new_object();
		add_number(object, "vector", event->vector);
		add_number(object, "count", event->count);
		print_json_line(object);
		return;
	}
	printf("vector %" PRIu32 ": %" PRIu64 " doorbell%s\n", event->vector,
	       event->count, event->count == 1 ? "" : "s");
	fflush(stdout);
}

/* Milliseconds that are left: -1 for ever, rounded up so as not to spin. */
static int time_left(const struct wish *wish, uint64_t begin)
{
	uint64_t passed, left;

	if (!wish->limited)
		return -1;
	passed = now_ns() - begin;
	if (passed >= wish->timeout_ns)
		return 0;
	left = (wish->timeout_ns - passed + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* Returns how many doorbells were seen; *error is what ended it early. */
static uint64_t watch(struct attachment *at, const struct wish *wish,
		      int *error)
{
	struct ivshmem_event events[LIBIVSHMEM_MAX_VECTORS];
	uint64_t seen = 0, begin = now_ns();
	int i, left, n;

	*error = 0;
	while (!wish->count || seen < wish->count) {
		left = time_left(wish, begin);
		n = wait_rung(at, events, LIBIVSHMEM_MAX_VECTORS, left);
		if (n < 0) {
			*error = n;
			break;
		}
		for (i = 0; i < n; i++) {
			print_event(&events[i], wish->json);
			seen += events[i].count;
		}
		if (!n && !left) {
			*error = -ETIMEDOUT;
			break;
		}
	}
	return seen;
}

static enum exit_code wait_for_doorbells(const struct wish *wish)
{
	struct attachment at;
	uint64_t seen;
	int error = 0;

	catch_interrupts();
	if (attach(&at, wish->address, IVSHMEM_RDONLY))
		return EXIT_FAILED;
	if (wish->some_vectors && attach_vectors(&at, wish->vectors)) {
		detach(&at);
		return EXIT_FAILED;
	}
	if (isatty(STDERR_FILENO))
		complain("waiting on %s; Ctrl-C ends", at.address);
	seen = watch(&at, wish, &error);
	if (error == -EINTR)
		complain("interrupted; %" PRIu64 " doorbells were rung", seen);
	else if (error == -ETIMEDOUT)
		complain("%s: time-out; %" PRIu64 " doorbells were rung",
			 at.address, seen);
	else if (error)
		complain("%s: %s", at.address, ring_error(error));
	detach(&at);
	if (error == -EINTR && !wish->count)
		return EXIT_DONE;
	return error ? EXIT_FAILED : EXIT_DONE;
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	uint64_t vector;

	switch (option) {
	case OPTION_JSON:
		wish->json = true;
		return true;
	case OPTION_VECTOR:
		if (!parse_number(text, LIBIVSHMEM_MAX_VECTORS - 1, &vector))
			return false;
		wish->some_vectors = true;
		wish->vectors[vector / 64] |= 1ULL << (vector % 64);
		return true;
	case OPTION_TIMEOUT:
		wish->limited = true;
		return parse_seconds(text, &wish->timeout_ns);
	default:
		return parse_number(text, UINT64_MAX, &wish->count);
	}
}

static enum exit_code run_wait(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "vector", required_argument, NULL, OPTION_VECTOR },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ 0 }
	};
	struct wish wish = { .count = 1 };
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == OPTION_HELP)
			return show_help(&command_wait);
		if (option == '?')
			return misused(&command_wait, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_wait, "--%s %s: malformed or "
				       "out of range", options[index].name,
				       optarg);
	}
	if (argc - optind > 1)
		return misused(&command_wait, "%s: one device at a time",
			       argv[optind + 1]);
	wish.address = argv[optind];
	return wait_for_doorbells(&wish);
}

const struct command command_wait = {
	.name = "wait",
	.arguments = "[DEVICE] [--vector V]... [--timeout S] [--count N] [--json]",
	.summary = "Wait for doorbells and print them.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  --vector V           only that vector; may be repeated (all)\n"
		"  --timeout S          give up after S seconds (never)\n"
		"  --count N            end after N doorbells (1); 0: go on until Ctrl-C\n"
		"  --json               print a JSON object per line\n"
		HELP_OPTION_HELP
		"\nExit code 1 if the time runs out first.\n",
	.run = run_wait,
};
