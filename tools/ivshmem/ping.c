// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem ping: round trips to a peer, as numbers and as a histogram.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "output.h"
#include "parse.h"
#include "pingpong.h"

#define NS_PER_MS	1000000ULL
#define NS_PER_US	1000.0
#define DEFAULT_COUNT	1000
#define DEFAULT_MS	1000

/* Bucket k holds round trips from 125 << k ns on: edges at 1, 2, 4 ... us. */
#define FIRST_EDGE_NS	125ULL
#define BUCKETS		40
#define BAR_WIDTH	40

enum {
	OPTION_LISTEN = OPTION_FIRST_OWN,
	OPTION_POLL,
	OPTION_COUNT,
	OPTION_VECTOR,
	OPTION_OFFSET,
	OPTION_INTERVAL,
	OPTION_TIMEOUT,
	OPTION_ID,
	OPTION_MLOCKALL,
};

struct wish {
	const char *address;
	bool listen;
	bool poll;
	bool json;
	bool locked;		/* all memory stays resident */
	bool limited;		/* timeout_ns was given */
	bool counted;		/* count was given */
	bool identified;	/* id was given */
	uint64_t peer;
	uint64_t count;
	uint64_t vector;
	uint64_t offset;
	uint64_t interval_ns;
	uint64_t timeout_ns;
	uint64_t id;
};

struct histogram {
	uint32_t buckets[BUCKETS];
	uint32_t most;
	unsigned int first;
	unsigned int end;
};

static int ring_peer(void *device, uint32_t peer, uint32_t vector)
{
	struct attachment *at = device;

	return ivshmem_ring(at->ivs, peer, vector);
}

static int wait_rings(void *device, int timeout_ms)
{
	struct ivshmem_event events[LIBIVSHMEM_MAX_VECTORS];
	struct attachment *at = device;
	int ret;

	ret = ivshmem_wait(at->ivs, events, LIBIVSHMEM_MAX_VECTORS,
			   timeout_ms);
	return ret > 0 ? 1 : ret;
}

static const struct pingpong_ops doorbells = {
	.ring = ring_peer,
	.wait = wait_rings,
};

static void count_buckets(const struct pingpong_result *result,
			  struct histogram *histogram)
{
	unsigned int bucket;
	uint32_t i;

	memset(histogram, 0, sizeof(*histogram));
	histogram->first = BUCKETS;
	for (i = 0; i < result->received; i++) {
		bucket = 0;
		while (bucket < BUCKETS - 1 &&
		       result->rtt_ns[i] >= FIRST_EDGE_NS << (bucket + 1))
			bucket++;
		histogram->buckets[bucket]++;
		if (histogram->buckets[bucket] > histogram->most)
			histogram->most = histogram->buckets[bucket];
		if (bucket < histogram->first)
			histogram->first = bucket;
		if (bucket + 1 > histogram->end)
			histogram->end = bucket + 1;
	}
}

static double edge_us(unsigned int bucket)
{
	return (double)(FIRST_EDGE_NS << bucket) / NS_PER_US;
}

static double quantile_us(const struct pingpong_result *result,
			  unsigned int permille)
{
	return (double)pingpong_quantile(result, permille) / NS_PER_US;
}

static void print_histogram(const struct pingpong_result *result)
{
	struct histogram histogram;
	unsigned int bucket, width;

	count_buckets(result, &histogram);
	for (bucket = histogram.first; bucket < histogram.end; bucket++) {
		width = (unsigned int)(((uint64_t)histogram.buckets[bucket] *
					BAR_WIDTH + histogram.most - 1) /
				       histogram.most);
		printf("%10.6g - %-10.6g |%-*.*s %" PRIu32 "\n",
		       edge_us(bucket), edge_us(bucket + 1), BAR_WIDTH,
		       (int)width, "########################################",
		       histogram.buckets[bucket]);
	}
}

static void print_result(const struct wish *wish,
			 const struct pingpong_result *result)
{
	printf("peer %" PRIu64 ": %" PRIu32 " sent, %" PRIu32 " answered, %"
	       PRIu32 " lost, %" PRIu32 " late\n", wish->peer, result->sent,
	       result->received, result->lost, result->late);
	if (!result->received)
		return;
	printf("round trip us: min %.1f  p50 %.1f  p90 %.1f  p99 %.1f  "
	       "p99.9 %.1f  max %.1f\n", quantile_us(result, 0),
	       quantile_us(result, 500), quantile_us(result, 900),
	       quantile_us(result, 990), quantile_us(result, 999),
	       quantile_us(result, 1000));
	print_histogram(result);
}

static struct json_object *rtt_json(const struct pingpong_result *result)
{
	static const struct {
		const char *name;
		unsigned int permille;
	} members[] = {
		{ "min", 0 }, { "p50", 500 }, { "p90", 900 }, { "p99", 990 },
		{ "p99.9", 999 }, { "max", 1000 },
	};
	struct json_object *object = json_object_new_object();
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (result->received)
			add_real(object, members[i].name,
				 quantile_us(result, members[i].permille));
		else
			add_null(object, members[i].name);
	}
	return object;
}

static struct json_object *histogram_json(const struct pingpong_result *result)
{
	struct json_object *array = json_object_new_array();
	struct json_object *object;
	struct histogram histogram;
	unsigned int bucket;

	count_buckets(result, &histogram);
	for (bucket = histogram.first; bucket < histogram.end; bucket++) {
		object = json_object_new_object();
		add_real(object, "from_us", edge_us(bucket));
		add_real(object, "to_us", edge_us(bucket + 1));
		add_number(object, "count", histogram.buckets[bucket]);
		json_object_array_add(array, object);
	}
	return array;
}

static void print_result_json(const struct wish *wish,
			      const struct pingpong_result *result)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "peer", wish->peer);
	add_string(object, "mode", wish->poll ? "poll" : "doorbell");
	add_number(object, "count", result->sent);
	add_number(object, "lost", result->lost);
	add_number(object, "late", result->late);
	json_object_object_add(object, "rtt_us", rtt_json(result));
	json_object_object_add(object, "histogram", histogram_json(result));
	print_json(object);
}

static void show_progress(uint32_t done, uint32_t count)
{
	fprintf(stderr, "\r%" PRIu32 " of %" PRIu32 " ", done, count);
}

static void greet(uint32_t peer, enum pingpong_way way)
{
	complain("peer %" PRIu32 " pings by %s", peer,
		 way == PINGPONG_POLL ? "polling" : "doorbell");
}

static int timeout_ms(const struct wish *wish, int otherwise)
{
	uint64_t ms = (wish->timeout_ns + NS_PER_MS - 1) / NS_PER_MS;

	if (!wish->limited)
		return otherwise;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static enum exit_code ping(const struct pingpong *pp, const struct wish *wish,
			   const struct attachment *at)
{
	struct pingpong_request request = {
		.way = wish->poll ? PINGPONG_POLL : PINGPONG_DOORBELL,
		.peer = (uint32_t)wish->peer,
		.vector = (uint32_t)wish->vector,
		.count = wish->counted ? (uint32_t)wish->count : DEFAULT_COUNT,
		.timeout_ms = timeout_ms(wish, DEFAULT_MS),
		.interval_ns = wish->interval_ns,
	};
	struct pingpong_result result;
	bool failed;
	int ret;

	if (isatty(STDERR_FILENO))
		request.progress = show_progress;
	ret = pingpong_ping(pp, &request, &result);
	if (ret) {
		complain("%s: peer %" PRIu64 ", vector %" PRIu64 ": %s",
			 at->address, wish->peer, wish->vector,
			 ring_error(ret));
		return EXIT_FAILED;
	}
	if (request.progress)
		fputs("\r\033[K", stderr);
	if (wish->json)
		print_result_json(wish, &result);
	else
		print_result(wish, &result);
	if (!result.received && !interrupted)
		complain("peer %" PRIu64 " does not answer; run `ivshmem ping "
			 "--listen` there, with the same --offset", wish->peer);
	failed = result.lost || !result.received;
	pingpong_release(&result);
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code listen_for_pings(const struct pingpong *pp,
				       const struct wish *wish,
				       const struct attachment *at)
{
	struct pingpong_service service = {
		.poll = wish->poll,
		.count = (uint32_t)wish->count,
		.timeout_ms = timeout_ms(wish, -1),
		.greet = greet,
	};
	struct json_object *object;
	int ret;

	if (isatty(STDERR_FILENO))
		complain("peer %" PRIu32 " listens on %s; Ctrl-C ends",
			 pp->self, at->address);
	ret = pingpong_listen(pp, &service);
	if (wish->json) {
		object = json_object_new_object();
		add_number(object, "answered", service.answered);
		add_number(object, "late", service.late);
		add_number(object, "unrung", service.unrung);
		print_json(object);
	} else {
		printf("%" PRIu64 " answered, %" PRIu64 " of them late, %"
		       PRIu64 " not rung back\n", service.answered,
		       service.late, service.unrung);
	}
	if (ret) {
		complain("%s: %s", at->address, ring_error(ret));
		return EXIT_FAILED;
	}
	if (interrupted || (service.answered && service.answered >= wish->count))
		return EXIT_DONE;
	complain("%s: no ping came in time", at->address);
	return EXIT_FAILED;
}

/* The id that marks one's own outbox; false after a message. */
static bool own_id(const struct attachment *at, const struct wish *wish,
		   uint32_t *id)
{
	bool has_id = at->info.doorbell ||
		      at->info.backend == IVSHMEM_BACKEND_SERVER;

	if (has_id && wish->identified) {
		complain("%s: it has an id of its own, %" PRIu32 "; --id is "
			 "for devices without doorbells", at->address,
			 at->info.peer_id);
		return false;
	}
	if (!has_id && !wish->identified) {
		complain("%s: the device has no doorbells and no id; give it "
			 "one that no other peer uses: --id N", at->address);
		return false;
	}
	*id = has_id ? at->info.peer_id : (uint32_t)wish->id;
	if (*id >= PINGPONG_PEERS) {
		complain("%s: own id %" PRIu32 "; ping serves ids below %d",
			 at->address, *id, PINGPONG_PEERS);
		return false;
	}
	return true;
}

/* The listener hears all vectors, for it does not know which is used. */
static bool prepare(struct attachment *at, const struct wish *wish,
		    struct pingpong *pp)
{
	uint64_t vectors[4] = { 0 };

	if (!own_id(at, wish, &pp->self))
		return false;
	pp->ops = at->info.doorbell && at->info.vectors ? &doorbells : NULL;
	pp->device = at;
	pp->stop = &interrupted;
	if (!wish->poll && !wish->listen) {
		if (!pp->ops) {
			complain("%s: there are no doorbells; use --poll",
				 at->address);
			return false;
		}
		vectors[wish->vector / 64] = 1ULL << (wish->vector % 64);
		if (attach_vectors(at, vectors))
			return false;
	}
	if (attach_memory(at, wish->offset, PINGPONG_SIZE,
			  PROT_READ | PROT_WRITE))
		return false;
	pp->memory = at->memory;
	return true;
}

/* Also what comes later, such as the mapping and the results. */
static bool lock_memory(void)
{
	if (!mlockall(MCL_CURRENT | MCL_FUTURE))
		return true;
	complain("--mlockall: %s; allow it by `ulimit -l unlimited`",
		 strerror(errno));
	return false;
}

static enum exit_code ping_or_listen(const struct wish *wish)
{
	enum exit_code ret = EXIT_FAILED;
	struct attachment at;
	struct pingpong pp = { 0 };

	if (wish->locked && !lock_memory())
		return EXIT_FAILED;
	if (attach(&at, wish->address, 0))
		return EXIT_FAILED;
	catch_interrupts();
	if (!prepare(&at, wish, &pp))
		ret = EXIT_FAILED;
	else if (wish->listen)
		ret = listen_for_pings(&pp, wish, &at);
	else
		ret = ping(&pp, wish, &at);
	detach(&at);
	return ret;
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	switch (option) {
	case OPTION_JSON:
		return wish->json = true;
	case OPTION_LISTEN:
		return wish->listen = true;
	case OPTION_POLL:
		return wish->poll = true;
	case OPTION_MLOCKALL:
		return wish->locked = true;
	case OPTION_COUNT:
		wish->counted = true;
		return parse_number(text, PINGPONG_MAX_COUNT, &wish->count) &&
		       wish->count;
	case OPTION_VECTOR:
		return parse_number(text, PINGPONG_MAX_VECTORS - 1,
				    &wish->vector);
	case OPTION_OFFSET:
		return parse_size(text, &wish->offset) && !(wish->offset % 4);
	case OPTION_INTERVAL:
		return parse_seconds(text, &wish->interval_ns);
	case OPTION_TIMEOUT:
		wish->limited = true;
		return parse_seconds(text, &wish->timeout_ns) &&
		       wish->timeout_ns;
	default:
		wish->identified = true;
		return parse_number(text, PINGPONG_PEERS - 1, &wish->id);
	}
}

static enum exit_code take_arguments(struct wish *wish, int argc, char **argv)
{
	const char *peer;

	if (!wish->listen) {
		if (!argc || argc > 2)
			return misused(&command_ping, "one peer is needed");
		peer = argv[--argc];
		if (!parse_number(peer, PINGPONG_PEERS - 1, &wish->peer))
			return misused(&command_ping, "%s: not a peer id of 0 "
				       "to %d", peer, PINGPONG_PEERS - 1);
	}
	if (argc > 1)
		return misused(&command_ping, "%s: one device at a time",
			       argv[1]);
	wish->address = argc ? argv[0] : NULL;
	return EXIT_DONE;
}

static enum exit_code run_ping(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "listen", no_argument, NULL, OPTION_LISTEN },
		{ "poll", no_argument, NULL, OPTION_POLL },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "vector", required_argument, NULL, OPTION_VECTOR },
		{ "offset", required_argument, NULL, OPTION_OFFSET },
		{ "interval", required_argument, NULL, OPTION_INTERVAL },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "id", required_argument, NULL, OPTION_ID },
		{ "mlockall", no_argument, NULL, OPTION_MLOCKALL },
		{ 0 }
	};
	struct wish wish = { 0 };
	enum exit_code ret;
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == OPTION_HELP)
			return show_help(&command_ping);
		if (option == '?')
			return misused(&command_ping, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_ping, "--%s %s: malformed or "
				       "out of range", options[index].name,
				       optarg);
	}
	ret = take_arguments(&wish, argc - optind, argv + optind);
	return ret == EXIT_DONE ? ping_or_listen(&wish) : ret;
}

const struct command command_ping = {
	.name = "ping",
	.arguments = "[DEVICE] {PEER | --listen} [OPTIONS]",
	.summary = "Measure round trips to a peer that runs `ivshmem ping --listen`.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  PEER                 id of the peer that answers, 0 to 63\n"
		"  --listen             answer the pings of all peers until Ctrl-C\n"
		"  --poll               look at the memory all the time, without doorbells\n"
		"  --count N            round trips (1000); --listen: end after N answers\n"
		"  --vector V           vector that both sides ring (0)\n"
		"  --offset O           where in the memory, 32 KiB of it (0)\n"
		"  --interval S         pause between two pings (0)\n"
		"  --timeout S          an answer that takes longer is lost (1);\n"
		"                       --listen: end when no ping came for so long (never)\n"
		"  --id N               own id, on a device without doorbells\n"
		"  --mlockall           have all of its memory stay in memory, see mlockall(2)\n"
		"  --json               print the result as JSON\n"
		HELP_OPTION_HELP
		"\n"
		"Overwrites 32 KiB of the memory.  Late are answers that no doorbell announced:\n"
		"they were found in the memory when the time was over.\n"
		"Exit code 1 if an answer was lost or nobody answered.\n",
	.run = run_ping,
};
