// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program does with the device: streams of messages, single messages,
 * copies; bench/char runs it over each driver of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <libivshmem.h>

#define SECTION		"bench"
#define TIMEOUT_MS	120000
#define BYTES		64
#define KIND_DATA	0
#define KIND_END	1
/* Looks at the clock while streaming: one in so many messages */
#define AT_ONCE		64
/* Between two single messages */
#define PAUSE_NS	2000000L
#define COPY_BYTES	(4UL << 20)

struct end {
	struct ivshmem *ivs;
	struct ivshmem_channel *channel;
	char message[BYTES];
};

static void check(const char *what, int ret)
{
	if (!ret)
		return;
	fprintf(stderr, "char_message: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* How often this process had to wait, or was made to. */
static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

static void connect_to(struct end *end, const char *peer)
{
	int ret;

	ret = ivshmem_join(end->ivs, NULL);
	check("join", ret);
	check("channel", ivshmem_channel_open(end->ivs, SECTION,
					      (uint32_t)strtoul(peer, NULL, 10),
					      0, &end->channel));
	check("connect", ivshmem_channel_connect(end->channel, TIMEOUT_MS));
}

static void put(struct end *end, uint32_t kind, unsigned int flags)
{
	check("send", ivshmem_channel_send(end->channel, end->message, BYTES,
					   kind, flags, TIMEOUT_MS));
}

static uint32_t get(struct end *end)
{
	uint32_t kind;

	check("receive", ivshmem_channel_recv(end->channel, end->message, BYTES,
					      NULL, &kind, TIMEOUT_MS));
	return kind;
}

static void finish(struct end *end)
{
	put(end, KIND_END, 0);
	check("drain", ivshmem_channel_drain(end->channel, TIMEOUT_MS));
}

static void send_all(struct end *end, double seconds)
{
	double until = now() + seconds;
	int i;

	do {
		for (i = 0; i < AT_ONCE; i++)
			put(end, KIND_DATA, 0);
	} while (now() < until);
	finish(end);
}

/* The time begins with the first message, which does not count. */
static void receive_all(struct end *end)
{
	unsigned long count = 0;
	double begin;

	get(end);
	begin = now();
	while (get(end) == KIND_DATA)
		count++;
	printf("{\"count\": %lu, \"seconds\": %.6f}\n", count, now() - begin);
}

/* With pauses, so that whoever receives has gone to sleep. */
static void send_slowly(struct end *end, unsigned long count)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	unsigned long i;
	long before;

	put(end, KIND_DATA, 0);
	before = switches();
	for (i = 0; i < count; i++) {
		nanosleep(&pause, NULL);
		put(end, KIND_DATA, 0);
	}
	printf("{\"switches\": %ld}\n", switches() - before);
	finish(end);
}

static void receive_asleep(struct end *end)
{
	long before;

	check("spin", ivshmem_channel_set_spin(end->channel, 0));
	get(end);
	before = switches();
	while (get(end) == KIND_DATA)
		;
	printf("{\"switches\": %ld}\n", switches() - before);
}

/* Megabytes a second, one way. */
static double copy(void *to, const void *from, double seconds)
{
	double begin = now(), end;
	unsigned long times = 0;

	do {
		memcpy(to, from, COPY_BYTES);
		/* It is not to be left out. */
		__asm__ volatile("" : : "r"(to) : "memory");
		times++;
		end = now();
	} while (end - begin < seconds);
	return (double)(times * COPY_BYTES) / (end - begin) / 1e6;
}

static void copy_both_ways(struct end *end, double seconds)
{
	struct ivshmem_section section;
	void *memory, *private;
	double in, out;

	check("section", ivshmem_find_section(end->ivs, SECTION, &section));
	check("map", ivshmem_map_section(end->ivs, &section,
					 PROT_READ | PROT_WRITE, &memory));
	private = malloc(COPY_BYTES);
	if (!private || section.size < 3 * COPY_BYTES)
		exit(1);
	memset(private, 1, COPY_BYTES);
	/* Not where the words of links are. */
	memory = (char *)memory + COPY_BYTES;
	in = copy(memory, private, seconds / 2);
	out = copy(private, memory, seconds / 2);
	printf("{\"in\": %.3f, \"out\": %.3f}\n", in, out);
	free(private);
}

static int usage(void)
{
	fputs("usage: char_message send DEVICE PEER SECONDS\n"
	      "       char_message recv DEVICE PEER\n"
	      "       char_message drip DEVICE PEER COUNT\n"
	      "       char_message sleep DEVICE PEER\n"
	      "       char_message copy DEVICE SECONDS\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct end end = { 0 };
	const char *command;

	if (argc < 4 || argc > 5)
		return usage();
	command = argv[1];
	check(argv[2], ivshmem_open(argv[2], 0, &end.ivs));
	if (!strcmp(command, "copy"))
		copy_both_ways(&end, strtod(argv[3], NULL));
	else
		connect_to(&end, argv[3]);
	if (!strcmp(command, "send") && argc == 5)
		send_all(&end, strtod(argv[4], NULL));
	else if (!strcmp(command, "recv"))
		receive_all(&end);
	else if (!strcmp(command, "drip") && argc == 5)
		send_slowly(&end, strtoul(argv[4], NULL, 10));
	else if (!strcmp(command, "sleep"))
		receive_asleep(&end);
	else if (strcmp(command, "copy"))
		return usage();
	ivshmem_channel_close(end.channel);
	ivshmem_close(end.ivs);
	return 0;
}
