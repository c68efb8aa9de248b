// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams messages of one size through a channel for some seconds, and tells
 * how much has arrived in which time.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libivshmem.h>

#define TIMEOUT_MS	60000
#define KIND_DATA	0
#define KIND_END	1

struct stream {
	struct ivshmem_channel *channel;
	char *buffer;
	size_t size;
	double seconds;
	bool in_place;
};

static void check(const char *what, int ret)
{
	if (!ret)
		return;
	fprintf(stderr, "channel_stream: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void send_one(const struct stream *s)
{
	void *place;

	if (!s->in_place) {
		check("send", ivshmem_channel_send(s->channel, s->buffer,
						   s->size, KIND_DATA, 0,
						   TIMEOUT_MS));
		return;
	}
	check("reserve", ivshmem_channel_reserve(s->channel, s->size, &place,
						 TIMEOUT_MS));
	memset(place, 1, s->size);
	check("commit", ivshmem_channel_commit(s->channel, s->size, KIND_DATA));
	check("flush", ivshmem_channel_flush(s->channel));
}

static void send_all(const struct stream *s)
{
	double end = now() + s->seconds;

	while (now() < end)
		send_one(s);
	check("send", ivshmem_channel_send(s->channel, NULL, 0, KIND_END, 0,
					   TIMEOUT_MS));
	check("drain", ivshmem_channel_drain(s->channel, TIMEOUT_MS));
}

/* What was read; printed, so that it has to be read. */
static unsigned long looked_at;

/* Reads all of it, as a program would. */
static unsigned long look_at(const void *data, size_t length)
{
	const unsigned long *words = data;
	unsigned long sum = 0;
	size_t i;

	for (i = 0; i < length / sizeof(*words); i++)
		sum += words[i];
	return sum;
}

/* One message; its length, or -1 at the end. */
static long receive_one(const struct stream *s)
{
	const void *data;
	uint32_t kind;
	size_t length;

	if (!s->in_place) {
		check("recv", ivshmem_channel_recv(s->channel, s->buffer,
						   s->size, &length, &kind,
						   TIMEOUT_MS));
		return kind == KIND_END ? -1 : (long)length;
	}
	check("peek", ivshmem_channel_peek(s->channel, &data, &length, &kind,
					   TIMEOUT_MS));
	looked_at += look_at(data, length);
	check("release", ivshmem_channel_release(s->channel));
	return kind == KIND_END ? -1 : (long)length;
}

/* The time begins with the first message, which does not count. */
static void receive_all(const struct stream *s)
{
	struct ivshmem_channel_status status;
	double begin, bytes = 0;
	long n = receive_one(s);

	begin = now();
	while (n >= 0) {
		n = receive_one(s);
		bytes += n > 0 ? (double)n : 0;
	}
	ivshmem_channel_get_status(s->channel, &status);
	printf("{\"bytes\": %.0f, \"seconds\": %.6f, \"kicks\": %llu, "
	       "\"sleeps\": %llu, \"sum\": %lu}\n", bytes, now() - begin,
	       (unsigned long long)status.kicks,
	       (unsigned long long)status.sleeps, looked_at);
}

int main(int argc, char **argv)
{
	struct stream s = { 0 };
	struct ivshmem *ivs;
	int ret;

	if (argc != 7) {
		fputs("usage: channel_stream {send | recv} PEER DEVICE BYTES "
		      "SECONDS {copy | place}\n", stderr);
		return 2;
	}
	s.size = strtoul(argv[4], NULL, 10);
	s.seconds = strtod(argv[5], NULL);
	s.in_place = !strcmp(argv[6], "place");
	s.buffer = malloc(s.size + 1);
	check("memory", s.buffer ? 0 : -ENOMEM);
	memset(s.buffer, 1, s.size);
	check(argv[3], ivshmem_open(argv[3], 0, &ivs));
	ret = ivshmem_join(ivs, NULL);
	check("join", ret);
	check("channel", ivshmem_channel_open(ivs, NULL,
					      (uint32_t)strtoul(argv[2], NULL,
								10), 0,
					      &s.channel));
	check("connect", ivshmem_channel_connect(s.channel, TIMEOUT_MS));
	if (!strcmp(argv[1], "send"))
		send_all(&s);
	else
		receive_all(&s);
	ivshmem_channel_close(s.channel);
	ivshmem_close(ivs);
	free(s.buffer);
	return 0;
}
