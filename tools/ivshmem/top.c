// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem top: devices, peers, links and how busy they are, live.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "attach.h"
#include "parse.h"
#include "top_screen.h"
#include "top_text.h"

#define SECONDS_LEAST	0.1
#define SECONDS_MOST	3600.0

struct wish {
	double seconds;
	uint64_t count;
	bool batch;
	bool json;
};

static bool parse_delay(const char *text, double *seconds)
{
	uint64_t ns;

	if (!parse_seconds(text, &ns))
		return false;
	*seconds = (double)ns / 1e9;
	return *seconds >= SECONDS_LEAST && *seconds <= SECONDS_MOST;
}

/* Until then, or until interrupted. */
static void pause_for(double seconds)
{
	struct timespec ts = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};
	sigset_t before;

	hold_interrupts(&before);
	if (!interrupted)
		pselect(0, NULL, NULL, NULL, &ts, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void print_tables(const struct top_sample *sample, bool first)
{
	size_t i;

	if (!first)
		puts("");
	top_print_devices(stdout, sample);
	for (i = 0; i < sample->count; i++) {
		if (!sample->devices[i].count && !*sample->devices[i].lacks)
			continue;
		printf("\n%s:\n", sample->devices[i].address);
		top_print_device(stdout, &sample->devices[i]);
	}
	fflush(stdout);
}

/* Rates need two looks: what is printed first are those of the first interval. */
static enum exit_code batch(struct top_sources *sources,
			    const struct wish *wish)
{
	struct top_sample before = { 0 }, now;
	uint64_t done = 0;
	int ret;

	ret = top_look(sources, &before);
	while (!ret && (!wish->count || done < wish->count)) {
		pause_for(wish->seconds);
		if (interrupted || ferror(stdout))
			break;
		ret = top_look(sources, &now);
		top_rate(&now, &before);
		top_sort(&now, TOP_BY_NAME);
		if (!ret && wish->json)
			top_print_json(&now);
		else if (!ret)
			print_tables(&now, !done);
		top_release(&before);
		before = now;
		done++;
	}
	top_release(&before);
	if (!ret)
		return EXIT_DONE;
	complain("%s", strerror(-ret));
	return EXIT_FAILED;
}

/* Names as ivshmem_open() wants them. */
static char **full_addresses(char **named, size_t count)
{
	char **full = calloc(count + 1, sizeof(*full));
	char address[512];
	size_t i;

	for (i = 0; full && i < count; i++) {
		if (!full_address(named[i], address, sizeof(address)))
			break;
		full[i] = strdup(address);
	}
	if (full && i == count)
		return full;
	for (i = 0; full && full[i]; i++)
		free(full[i]);
	free(full);
	return NULL;
}

static enum exit_code show(const struct wish *wish, char **named, size_t count)
{
	struct top_sources sources = { 0 };
	char *only[] = { NULL };
	enum exit_code ret;
	size_t i;

	if (!wish->batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		complain("top: this is not a terminal; -b prints without one, "
			 "--json for programs");
		return EXIT_FAILED;
	}
	/* Devices that this program drives itself do not come and go. */
	if (!count && is_driver_chosen()) {
		named = only;
		count = 1;
	}
	sources.nr_named = count;
	sources.named = full_addresses(named, count);
	if (!sources.named)
		return EXIT_FAILED;
	catch_interrupts();
	top_survive();
	ret = wish->batch ? batch(&sources, wish) :
			    top_screen(&sources, wish->seconds, wish->count);
	top_close(&sources);
	for (i = 0; i < count; i++)
		free(sources.named[i]);
	free(sources.named);
	return ret;
}

static enum exit_code run_top(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "batch", no_argument, NULL, 'b' },
		{ "delay", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'n' },
		{ 0 }
	};
	struct wish wish = { .seconds = 1 };
	int option;

	while ((option = getopt_long(argc, argv, "bd:n:", options, NULL)) !=
	       -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_top);
		case OPTION_JSON:
			wish.json = true;
			wish.batch = true;
			break;
		case 'b':
			wish.batch = true;
			break;
		case 'd':
			if (!parse_delay(optarg, &wish.seconds))
				return misused(&command_top, "-d %s: not 0.1 "
					       "to 3600 seconds", optarg);
			break;
		case 'n':
			if (!parse_number(optarg, UINT32_MAX, &wish.count) ||
			    !wish.count)
				return misused(&command_top, "-n %s: not a "
					       "number of 1 or more", optarg);
			break;
		default:
			return misused(&command_top, NULL);
		}
	}
	return show(&wish, argv + optind, (size_t)(argc - optind));
}

const struct command command_top = {
	.name = "top",
	.arguments = "[DEVICE]... [-d SECONDS] [-n N] [-b] [--json]",
	.summary = "Show devices, peers and links, and how busy they are, live.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock; without\n"
		"                       any all /dev/ivshmemN, or if there are none all\n"
		"                       sockets of /run/ivshmem\n"
		"  --delay SECONDS, -d  between two looks, 0.1 to 3600 (1)\n"
		"  --count N, -n        end after so many\n"
		"  --batch, -b          print tables, one after another; needs no terminal\n"
		"  --json               print JSON instead, an object per line\n"
		HELP_OPTION_HELP
		"\n"
		"Keys: q quits, h shows all of them.\n"
		"On the host it takes a slot of each link while it runs.\n",
	.run = run_top,
};
