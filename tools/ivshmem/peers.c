// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem peers: who is there, and who comes and goes.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "output.h"
#include "region.h"

/* A signal that comes just before a wait is noticed after this, at the latest */
#define SLICE_MS	500

enum {
	OPTION_WATCH = OPTION_FIRST_OWN,
	OPTION_JOIN,
	OPTION_NAME,
};

struct wish {
	const char *address;
	const char *name;
	bool watch;
	bool join;
	bool json;
};

/* The region and who is there, as last printed. */
struct seen {
	struct ivshmem_region region;
	struct ivshmem_peer peers[SLOTS_MAX];
};

static void add_peer(struct json_object *object,
		     const struct ivshmem_peer *peer, int32_t own)
{
	char epoch[16];

	snprintf(epoch, sizeof(epoch), "%08" PRIx32, peer->epoch);
	add_number(object, "slot", peer->slot);
	add_string(object, "state", peer_state_name(peer->state));
	add_flag(object, "own", own == (int32_t)peer->slot);
	add_string(object, "epoch", epoch);
	add_number(object, "generation", peer->generation);
	add_number(object, "vectors", peer->vectors);
	add_number(object, "joins", peer->joins);
	add_string(object, "name", peer->name);
}

static void print_table(const struct seen *seen)
{
	const struct ivshmem_peer *peer;
	uint32_t slot, there = 0;

	for (slot = 0; slot < seen->region.slots; slot++) {
		peer = &seen->peers[slot];
		if (peer->state == IVSHMEM_ABSENT)
			continue;
		if (!there++)
			printf("%-4s %-7s %-9s %-7s %-5s %s\n", "SLOT",
			       "STATE", "EPOCH", "VECTORS", "JOINS", "NAME");
		printf("%-4" PRIu32 " %-7s %08" PRIx32 "  %-7" PRIu32
		       " %-5" PRIu32 " %s%s\n", slot,
		       peer_state_name(peer->state), peer->epoch,
		       peer->vectors, peer->joins, peer->name,
		       seen->region.slot == (int32_t)slot ? " (own)" : "");
	}
	printf("%" PRIu32 " of %" PRIu32 " slots are taken\n", there,
	       seen->region.slots);
}

static void print_table_json(const struct seen *seen)
{
	struct json_object *object = json_object_new_object();
	struct json_object *peers = json_object_new_array();
	struct json_object *peer;
	uint32_t slot;

	for (slot = 0; slot < seen->region.slots; slot++) {
		if (seen->peers[slot].state == IVSHMEM_ABSENT)
			continue;
		peer = json_object_new_object();
		add_peer(peer, &seen->peers[slot], seen->region.slot);
		json_object_array_add(peers, peer);
	}
	add_number(object, "slots", seen->region.slots);
	json_object_object_add(object, "peers", peers);
	print_json(object);
}

static const char *timestamp(char text[40])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, 40 - n, ".%03ld", ts.tv_nsec / 1000000);
	return text;
}

static void print_peer_event(const struct wish *wish, const char *event,
			     const struct ivshmem_peer *peer, int32_t own)
{
	struct json_object *object;
	char time[40];

	timestamp(time);
	if (wish->json) {
		object = json_object_new_object();
		add_string(object, "time", time);
		add_string(object, "event", event);
		add_peer(object, peer, own);
		print_json_line(object);
		return;
	}
	printf("%s  slot %-2" PRIu32 " %-9s %s (epoch %08" PRIx32 ", %" PRIu32
	       " vector%s)\n", time, peer->slot, event, peer->name,
	       peer->epoch, peer->vectors, peer->vectors == 1 ? "" : "s");
	fflush(stdout);
}

static void print_region_event(const struct wish *wish,
			       const struct ivshmem_region *region)
{
	static const char *const events[] = {
		[IVSHMEM_UNFORMATTED] = "unformatted",
		[IVSHMEM_ATTACHED] = "formatted",
		[IVSHMEM_REFUSED] = "refused",
	};
	const char *event = events[region->state % 3];
	struct json_object *object;
	char time[40], text[160];

	timestamp(time);
	if (wish->json) {
		object = json_object_new_object();
		add_string(object, "time", time);
		add_string(object, "event", event);
		add_number(object, "slots", region->slots);
		add_number(object, "sections", region->sections);
		print_json_line(object);
		return;
	}
	printf("%s  region  %s", time, event);
	if (region->state == IVSHMEM_ATTACHED)
		printf(" (%" PRIu32 " slots, %" PRIu32 " sections)",
		       region->slots, region->sections);
	else if (region->state == IVSHMEM_REFUSED)
		printf(": %s", refusal(region, text));
	puts("");
	fflush(stdout);
}

/* What became of a peer between two looks; NULL if it is as before. */
static const char *event_between(const struct ivshmem_peer *before,
				 const struct ivshmem_peer *now)
{
	if (now->state == IVSHMEM_ABSENT) {
		if (before->state == IVSHMEM_ABSENT)
			return NULL;
		return now->epoch ? "died" : "left";
	}
	if (before->state == IVSHMEM_ABSENT)
		return "joined";
	if (now->epoch != before->epoch)
		return "returned";
	if (now->state == before->state)
		return NULL;
	return now->state == IVSHMEM_SILENT ? "silent" : "resumed";
}

static int see(struct attachment *at, struct seen *seen)
{
	int ret;

	memset(seen, 0, sizeof(*seen));
	ret = ivshmem_get_region(at->ivs, &seen->region);
	if (!ret)
		ret = read_peers(at->ivs, seen->region.slots, seen->peers);
	/* It was formatted anew meanwhile: to be seen with the next change. */
	if (ret == -ENOENT) {
		memset(seen->peers, 0, sizeof(seen->peers));
		ret = 0;
	}
	return ret;
}

static void print_changes(const struct wish *wish, const struct seen *before,
			  const struct seen *now)
{
	static const struct ivshmem_peer nobody;
	bool same = now->region.state == before->region.state &&
		    now->region.instance == before->region.instance;
	const struct ivshmem_peer *was;
	const char *event;
	uint32_t slot;

	if (!same)
		print_region_event(wish, &now->region);
	for (slot = 0; slot < now->region.slots; slot++) {
		was = same ? &before->peers[slot] : &nobody;
		event = event_between(was, &now->peers[slot]);
		if (event)
			print_peer_event(wish, event, &now->peers[slot],
					 now->region.slot);
	}
}

static int join(struct attachment *at, const struct wish *wish)
{
	int ret = ivshmem_join(at->ivs, wish->name);

	if (ret == -EALREADY)
		return 0;
	if (ret)
		complain("%s: joining: %s", at->address, region_error(ret));
	return ret;
}

static int watch(struct attachment *at, const struct wish *wish,
		 struct seen *seen)
{
	uint64_t changes = seen->region.changes;
	struct seen now;
	int ret = 0;

	while (!interrupted) {
		ret = ivshmem_wait_change(at->ivs, &changes, SLICE_MS);
		if (ret < 0 && ret != -EINTR)
			return ret;
		if (ret <= 0)
			continue;
		ret = see(at, &now);
		if (ret)
			return ret;
		print_changes(wish, seen, &now);
		*seen = now;
		/* A region that was formatted anew is joined anew. */
		if (wish->join && now.region.state == IVSHMEM_ATTACHED &&
		    !now.region.epoch && join(at, wish))
			return -ECANCELED;
	}
	return 0;
}

static int begin(struct attachment *at, const struct wish *wish,
		 struct seen *seen)
{
	static const struct seen nothing;
	int ret;

	ret = see(at, seen);
	if (!ret && seen->region.state != IVSHMEM_ATTACHED && !wish->watch)
		ret = seen->region.state == IVSHMEM_REFUSED ? -EPROTO :
							      -ENODATA;
	if (ret)
		return ret;
	if (wish->watch)
		print_changes(wish, &nothing, seen);
	else if (wish->json)
		print_table_json(seen);
	else
		print_table(seen);
	return 0;
}

static enum exit_code show_peers(const struct wish *wish)
{
	struct attachment at;
	struct seen seen;
	int ret;

	catch_interrupts();
	if (attach(&at, wish->address, wish->join ? 0 : IVSHMEM_RDONLY))
		return EXIT_FAILED;
	if (wish->join && join(&at, wish)) {
		detach(&at);
		return EXIT_FAILED;
	}
	if (wish->watch && isatty(STDERR_FILENO))
		complain("watching %s; Ctrl-C ends", at.address);
	ret = begin(&at, wish, &seen);
	if (!ret && wish->watch)
		ret = watch(&at, wish, &seen);
	/* Ctrl-C is how it is meant to end. */
	if (ret == -EINTR && wish->watch)
		ret = 0;
	if (ret && ret != -ECANCELED)
		complain("%s: %s", at.address, region_error(ret));
	detach(&at);
	return ret ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code run_peers(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "watch", no_argument, NULL, OPTION_WATCH },
		{ "join", no_argument, NULL, OPTION_JOIN },
		{ "name", required_argument, NULL, OPTION_NAME },
		{ 0 }
	};
	struct wish wish = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_peers);
		case OPTION_JSON:
			wish.json = true;
			break;
		case OPTION_WATCH:
			wish.watch = true;
			break;
		case OPTION_JOIN:
			wish.join = true;
			break;
		case OPTION_NAME:
			wish.name = optarg;
			break;
		default:
			return misused(&command_peers, NULL);
		}
	}
	if (wish.name && !wish.join)
		return misused(&command_peers, "--name is for --join");
	if (wish.name && !*wish.name)
		return misused(&command_peers, "--name: it is empty");
	if (argc - optind > 1)
		return misused(&command_peers, "%s: one device at a time",
			       argv[optind + 1]);
	wish.address = argv[optind];
	return show_peers(&wish);
}

const struct command command_peers = {
	.name = "peers",
	.arguments = "[DEVICE] [--watch] [--join [--name NAME]] [--json]",
	.summary = "Show who takes part in a formatted region.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  --watch              print who comes and goes until Ctrl-C, a line each\n"
		"  --join               be a peer meanwhile; in a guest the driver is one\n"
		"  --name NAME          with --join: what others see (the host's name)\n"
		"  --json               print JSON; with --watch an object per line\n"
		HELP_OPTION_HELP,
	.run = run_peers,
};
