// SPDX-License-Identifier: GPL-2.0-only
/*
 * A front end that does what its standard input says, honest or not, a command a
 * line.  Each prints its results, then "ok" or "failed ERRNO".
 *
 *	hello			wait for the back end's: what it has said
 *	request Q ID OP FLAGS LENGTH SECTOR BUFFER
 *	record Q KIND [HEX]	any other record
 *	push			show them, and ring
 *	answers N		wait for N more: "answer Q ID STATUS" each
 *	write Q BUFFER HEX	into own buffers
 *	fill Q BUFFER LENGTH BYTE
 *	read Q BUFFER LENGTH	what is in the back end's, in hex
 *	freeze, thaw		do not look at rings any more; look again
 *	reset			end the session
 *	spoil WHAT		"index", "header" or "words" of the ring or the link
 *	ring N			the back end's doorbell, so often
 *	sessions		how many there were
 *	hellos N		wait until there were N in this session
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blk_front.h"

#define PATIENCE_S	60
#define ANSWERS		100000U

static struct blk_front front;
static struct blk_answer answers[ANSWERS];
static unsigned int got, given;

static void answered(struct blk_front *f, const struct blk_answer *answer)
{
	(void)f;
	if (got < ANSWERS)
		answers[got++] = *answer;
}

static bool has_hello(unsigned int n)
{
	(void)n;
	return front.back >= 0;
}

static bool has_hellos(unsigned int n)
{
	return front.back >= 0 && front.hellos >= n;
}

static bool has_answers(unsigned int n)
{
	return got - given >= n;
}

static int wait_for(bool (*done)(unsigned int n), unsigned int n)
{
	time_t until = time(NULL) + PATIENCE_S;

	while (!done(n)) {
		if (time(NULL) > until)
			return -ETIMEDOUT;
		blk_front_turn(&front, -1, 100);
	}
	return 0;
}

static int do_hello(char *rest)
{
	const struct ivblk_disk *d = &front.disk;
	int ret = wait_for(has_hello, 0);

	(void)rest;
	if (!ret)
		printf("hello features=%" PRIu32 " queues=%" PRIu32
		       " block_size=%" PRIu32 " physical_block_size=%" PRIu32
		       " max_length=%" PRIu32 " max_extent=%" PRIu32
		       " sectors=%" PRIu64 " buffers=%" PRIu32 " back=%d"
		       " serial=%s\n", d->features, d->queues, d->block_size,
		       d->physical_block_size, d->max_length, d->max_extent,
		       (uint64_t)d->sectors, blk_front_buffers(&front),
		       front.back, d->serial);
	return ret;
}

static int do_hellos(char *rest)
{
	return wait_for(has_hellos, (unsigned int)strtoul(rest, NULL, 0));
}

static int do_request(char *rest)
{
	unsigned long long sector;
	struct ivblk_io io;
	unsigned int v[6];

	if (sscanf(rest, "%i %i %i %i %i %lli %i", (int *)&v[0], (int *)&v[1],
		   (int *)&v[2], (int *)&v[3], (int *)&v[4],
		   (long long *)&sector, (int *)&v[5]) != 7)
		return -EINVAL;
	io.id = v[1];
	io.operation = v[2];
	io.flags = v[3];
	io.length = v[4];
	io.sector = sector;
	io.buffer = v[5];
	return blk_front_request(&front, v[0], &io);
}

static unsigned int parse_hex(const char *text, uint8_t *bytes,
			      unsigned int most)
{
	unsigned int n, byte;

	for (n = 0; n < most && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
		bytes[n] = (uint8_t)byte;
	return n;
}

static int do_record(char *rest)
{
	unsigned int queue, kind, n;
	uint8_t payload[4096];
	int end = 0;

	if (sscanf(rest, "%u %u%n", &queue, &kind, &end) != 2)
		return -EINVAL;
	n = rest[end] ? parse_hex(rest + end + 1, payload, sizeof(payload)) : 0;
	return blk_front_put(&front, queue, kind, payload, n);
}

static int do_push(char *rest)
{
	(void)rest;
	blk_front_push(&front);
	return 0;
}

static int do_answers(char *rest)
{
	unsigned int n = (unsigned int)strtoul(rest, NULL, 0);
	int ret = wait_for(has_answers, n);

	for (; n && given < got; n--, given++)
		printf("answer %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
		       answers[given].queue, answers[given].id,
		       answers[given].status);
	return ret;
}

static int do_write(char *rest)
{
	unsigned int queue, buffer;
	int end = 0;

	if (sscanf(rest, "%u %u %n", &queue, &buffer, &end) != 2 ||
	    front.back < 0)
		return -EINVAL;
	parse_hex(rest + end, blk_front_out(&front, queue) + buffer,
		  blk_front_buffers(&front) - buffer);
	return 0;
}

static int do_fill(char *rest)
{
	unsigned int queue, buffer, length, byte;

	if (sscanf(rest, "%u %u %u %u", &queue, &buffer, &length, &byte) != 4 ||
	    front.back < 0)
		return -EINVAL;
	memset(blk_front_out(&front, queue) + buffer, (int)byte, length);
	return 0;
}

static int do_read(char *rest)
{
	unsigned int queue, buffer, length, i;
	const uint8_t *data;

	if (sscanf(rest, "%u %u %u", &queue, &buffer, &length) != 3 ||
	    front.back < 0)
		return -EINVAL;
	data = blk_front_in(&front, queue) + buffer;
	for (i = 0; i < length; i++)
		printf("%02x", data[i]);
	putchar('\n');
	return 0;
}

static int do_freeze(char *rest)
{
	(void)rest;
	front.frozen = true;
	return 0;
}

static int do_thaw(char *rest)
{
	(void)rest;
	front.frozen = false;
	return 0;
}

static int do_reset(char *rest)
{
	(void)rest;
	if (front.back < 0)
		return -ENOTCONN;
	links_end(&front.links, (uint32_t)front.back, IVRING_STALE);
	return 0;
}

/* What an honest one never writes, in its own memory. */
static int do_spoil(char *rest)
{
	struct peer_link *l = &front.links.links[front.back];
	struct ivring_producer *p = &l->queues[0].tx;
	struct ivring_record *record;

	if (front.back < 0)
		return -ENOTCONN;
	record = (struct ivring_record *)(p->data + (p->next & (p->size - 1)));
	if (!strcmp(rest, "index")) {
		ivshmem_store32(&p->own->prod, p->prod + 3 * p->size);
	} else if (!strcmp(rest, "header")) {
		ivshmem_store32(&record->length, 0xfffffff0);
		ivshmem_store32(&record->kind, IVBLK_KIND_REQUEST);
		p->next += IVRING_ALIGN;
	} else if (!strcmp(rest, "words")) {
		/* The back end's own, which nobody else may write */
		ivshmem_store32((__le32 *)&p->peer->cons, p->prod + p->size);
	} else {
		return -EINVAL;
	}
	links_kick(&front.links, (uint32_t)front.back);
	return 0;
}

static int do_ring(char *rest)
{
	unsigned long n;

	if (front.back < 0)
		return -ENOTCONN;
	for (n = strtoul(rest, NULL, 0); n; n--)
		links_kick(&front.links, (uint32_t)front.back);
	return 0;
}

static int do_sessions(char *rest)
{
	(void)rest;
	printf("sessions %u\n", front.sessions);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char *rest);
} commands[] = {
	{ "hello", do_hello },
	{ "hellos", do_hellos },
	{ "request", do_request },
	{ "record", do_record },
	{ "push", do_push },
	{ "answers", do_answers },
	{ "write", do_write },
	{ "fill", do_fill },
	{ "read", do_read },
	{ "freeze", do_freeze },
	{ "thaw", do_thaw },
	{ "reset", do_reset },
	{ "spoil", do_spoil },
	{ "ring", do_ring },
	{ "sessions", do_sessions },
};

static void run(char *line)
{
	char *name = strsep(&line, " ");
	int ret = -ENOSYS;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			ret = commands[i].run(line ? line : name);
	if (ret)
		printf("failed %d\n", -ret);
	else
		puts("ok");
	fflush(stdout);
}

/* Lines as they come: what is not complete waits for the rest. */
static bool take_input(void)
{
	static char text[1 << 20];
	static size_t used;
	ssize_t n;
	char *end;

	n = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);
	if (n <= 0)
		return false;
	used += (size_t)n;
	text[used] = 0;
	while ((end = strchr(text, '\n'))) {
		*end = 0;
		run(text);
		used -= (size_t)(end + 1 - text);
		memmove(text, end + 1, used + 1);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct timespec now;
	fd_set set;

	if (argc < 2) {
		fprintf(stderr, "usage: front ADDRESS [SECTION] [FEATURES] [quiet]\n");
		return 2;
	}
	front.answered = answered;
	front.features = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 0;
	front.quiet = argc > 4;
	if (blk_front_open(&front, argv[1],
			   argc > 2 && *argv[2] ? argv[2] : NULL))
		return 1;
	for (;;) {
		blk_front_turn(&front, STDIN_FILENO, 100);
		now.tv_sec = 0;
		now.tv_nsec = 0;
		FD_ZERO(&set);
		FD_SET(STDIN_FILENO, &set);
		if (pselect(1, &set, NULL, NULL, &now, NULL) == 1 &&
		    !take_input())
			break;
	}
	blk_front_close(&front);
	return 0;
}
