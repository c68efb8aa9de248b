// SPDX-License-Identifier: GPL-2.0-only
/*
 * hostile: attacks a region from a process of the host, by name.
 *
 * Usage: hostile [OPTION...] ATTACK MEMORY, or hostile --list
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libivshmem.h>

/* Calls of an attack between two looks at the clock */
#define BURST		64
#define KICK_NS		2000000
#define VECTORS_MAX	16

static const char usage[] =
	"Usage: hostile [OPTION...] ATTACK MEMORY\n"
	"       hostile --list\n"
	"\n"
	"Attacks a formatted region.  MEMORY is a file, or unix:PATH, the socket of a\n"
	"server: then peers are also rung, so that they look at once.\n"
	"\n"
	"  --seed=N           of the random numbers (1)\n"
	"  --words=N          how many are written at least (1000000); a storm of\n"
	"                     doorbells only counts the seconds\n"
	"  --seconds=N        at least so long, at an even pace (0: as fast as it goes)\n"
	"  --only-own-slot=N  write only what the peer in slot N may write; own: in the\n"
	"                     slot that the server has given\n"
	"  --record=FILE      keep what was seen of the region, for --replay\n"
	"  --replay=FILE      see that again, and so write the same words\n"
	"  --renew            format the region anew in the end, as it was\n"
	"  --list             print name, subject, classes and text of all attacks\n"
	"\n"
	"The superblock is as it was in the end.  Prints JSON.\n";

/* What was asked for */
struct options {
	const struct attack *attack;
	const char *memory;
	const char *record;
	const char *replay;
	const char *only;
	uint64_t seed;
	uint64_t words;
	double seconds;
	bool renew;
};

/* What the attacks are about */
static const struct {
	const char *name;
	const struct attack *attacks;
} tables[] = {
	{ "region", region_attacks },
	{ "links", link_attacks },
	{ "sections", section_attacks },
};

#define NR_TABLES	(sizeof(tables) / sizeof(tables[0]))

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t when)
{
	struct timespec until = { .tv_sec = (time_t)(when / 1000000000U),
				  .tv_nsec = (long)(when % 1000000000U) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static const struct attack *find(const char *name)
{
	const struct attack *attack;
	size_t i;

	for (i = 0; i < NR_TABLES; i++) {
		for (attack = tables[i].attacks; attack->name; attack++) {
			if (!strcmp(attack->name, name))
				return attack;
		}
	}
	die(name, ENOENT);
}

static void list(void)
{
	const struct attack *attack;
	size_t i;

	for (i = 0; i < NR_TABLES; i++) {
		for (attack = tables[i].attacks; attack->name; attack++)
			printf("%s: %s: %s: %s\n", attack->name, tables[i].name,
			       attack->classes, attack->text);
	}
}

static _Noreturn void misused(void)
{
	fputs(usage, stderr);
	exit(2);
}

static void take(struct options *options, int option)
{
	switch (option) {
	case 's':
		options->seed = strtoull(optarg, NULL, 0);
		break;
	case 'w':
		options->words = strtoull(optarg, NULL, 0);
		break;
	case 't':
		options->seconds = strtod(optarg, NULL);
		break;
	case 'o':
		options->only = optarg;
		break;
	case 'r':
		options->record = optarg;
		break;
	case 'p':
		options->replay = optarg;
		break;
	case 'n':
		options->renew = true;
		break;
	case 'l':
		list();
		exit(0);
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		misused();
	}
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option table[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "words", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 't' },
		{ "only-own-slot", required_argument, NULL, 'o' },
		{ "record", required_argument, NULL, 'r' },
		{ "replay", required_argument, NULL, 'p' },
		{ "renew", no_argument, NULL, 'n' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		take(options, option);
	if (argc - optind != 2)
		misused();
	options->attack = find(argv[optind]);
	options->memory = argv[optind + 1];
}

static void open_file(struct hostile *h, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path, errno);
	h->size = (uint64_t)st.st_size;
	h->memory = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h->memory == MAP_FAILED)
		die(path, errno);
	close(fd);
}

static void open_server(struct hostile *h, const char *address)
{
	struct ivshmem_info info;
	void *memory;
	int ret;

	ret = ivshmem_open(address, 0, &h->ivs);
	if (!ret)
		ret = ivshmem_get_info(h->ivs, &info);
	if (!ret)
		ret = ivshmem_map(h->ivs, 0, 0, PROT_READ | PROT_WRITE, &memory);
	if (ret)
		die(address, -ret);
	h->memory = memory;
	h->size = info.memory_size;
	h->slot = info.peer_id;
}

static FILE *open_record(const char *path, const char *mode)
{
	FILE *file = path ? fopen(path, mode) : NULL;

	if (path && !file)
		die(path, errno);
	return file;
}

static void begin(struct hostile *h, const struct options *options)
{
	enum ivregion_error error;

	if (strncmp(options->memory, "unix:", 5))
		open_file(h, options->memory);
	else
		open_server(h, options->memory);
	ivregion_read((struct ivregion_superblock *)h->memory, &h->superblock);
	error = ivregion_parse(&h->superblock, h->size, &h->region);
	if (error) {
		fprintf(stderr, "hostile: %s: %s\n", options->memory,
			ivregion_error_text(error));
		exit(1);
	}
	h->only = !options->only ? NOBODY :
		  !strcmp(options->only, "own") ? h->slot :
		  (uint32_t)strtoul(options->only, NULL, 0);
	/* Others have links to who has joined only */
	if (h->ivs && h->only == h->slot && ivshmem_join(h->ivs, "hostile"))
		die("cannot join", EPROTO);
	h->limit = options->words;
	/* Any seed gives a state that is not 0 */
	h->random = (options->seed + 1) * 0x9e3779b97f4a7c15ULL | 1;
	h->digest = 0xcbf29ce484222325ULL;
	h->record = open_record(options->record, "wb");
	h->replay = open_record(options->replay, "rb");
	survey(h);
	if (!choose(h, options->attack)) {
		fprintf(stderr, "hostile: %s: the region has nothing of what it is about\n",
			options->attack->name);
		exit(1);
	}
}

/* Rings all vectors of all; what the server has to say is heard on the way */
static void ring(struct hostile *h)
{
	struct ivshmem_event event;
	uint32_t slot;
	int vectors, i;

	if (!h->ivs)
		return;
	ivshmem_wait(h->ivs, &event, 1, 0);
	for (slot = 0; slot < h->region.slots; slot++) {
		vectors = slot == h->slot ? 0 : ivshmem_peer_vectors(h->ivs, slot);
		for (i = 0; i < vectors && i < VECTORS_MAX; i++)
			h->rung += !ivshmem_ring(h->ivs, slot, (uint32_t)i);
	}
}

static void burst(struct hostile *h, const struct attack *attack, bool ends)
{
	uint32_t i;

	for (i = 0; i < BURST && !(ends && h->written >= h->limit); i++) {
		attack->step(h);
		h->step++;
	}
}

static void run(struct hostile *h, const struct options *options)
{
	uint64_t start = now_ns(), now = start, kicked = 0, due;
	uint64_t length = (uint64_t)(options->seconds * 1e9);

	/* A storm has few words, and as many doorbells as fit into its time */
	while ((h->written < h->limit && !(length && options->attack->storm)) ||
	       now - start < length) {
		/* Without a time it ends with the very word */
		burst(h, options->attack, !length);
		now = now_ns();
		if (options->attack->storm || now - kicked >= KICK_NS) {
			ring(h);
			kicked = now;
		}
		if (!length || options->attack->fast)
			continue;
		due = start + (uint64_t)((double)length * (double)h->written /
					 (double)h->limit);
		if (due > now)
			sleep_until(due);
		now = now_ns();
	}
}

static void report(const struct hostile *h, const struct options *options, double seconds)
{
	printf("{\"attack\": \"%s\", \"seed\": %" PRIu64 ", \"words\": %" PRIu64
	       ", \"doorbells\": %" PRIu64 ", \"seconds\": %.3f, \"targets\": %" PRIu32
	       ", \"slot\": %" PRId32 ", \"digest\": \"%016" PRIx64 "\"}\n",
	       options->attack->name, options->seed, h->written, h->rung, seconds,
	       h->nr_chosen + h->nr_rings, (int32_t)(h->ivs ? h->slot : NOBODY),
	       h->digest);
}

int main(int argc, char **argv)
{
	struct options options = { .seed = 1, .words = 1000000 };
	static struct hostile h;
	uint64_t start;
	double seconds;

	parse(&options, argc, argv);
	begin(&h, &options);
	start = now_ns();
	run(&h, &options);
	seconds = (double)(now_ns() - start) / 1e9;
	restore(&h);
	if (options.renew)
		renew(&h);
	ring(&h);
	if (h.record && fclose(h.record))
		die(options.record, errno);
	report(&h, &options, seconds);
	ivshmem_close(h.ivs);
	return 0;
}
