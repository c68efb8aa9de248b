// SPDX-License-Identifier: BSD-3-Clause
/*
 * Pictures of a film, without a copy: drawn in the ring, and looked at there.
 *	frames unix:/run/ivshmem/a.sock 0 (on the host) looks at what comes from
 *	frames /dev/ivshmem0 1 100 (in a guest), which draws 100
 * For whom there is no room when it is due, is left out, as in any live film.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <libivshmem.h>

enum {
	WIDTH = 256,
	HEIGHT = 240,
	INTERVAL = 1000000000 / 60,
};

/* Kinds of messages */
enum {
	FRAME = 1,
	END = 2,	/* behind the last one: how many there were */
};

struct frame {
	uint32_t number;
	uint8_t pixels[HEIGHT][WIDTH];
};

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "frames: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static uint8_t pixel(uint32_t number, unsigned int x, unsigned int y)
{
	return (uint8_t)(x * y + number);
}

static void draw(struct frame *frame, uint32_t number)
{
	frame->number = number;
	for (unsigned int y = 0; y < HEIGHT; y++)
		for (unsigned int x = 0; x < WIDTH; x++)
			frame->pixels[y][x] = pixel(number, x, y);
}

static void wait_until(struct timespec *when)
{
	when->tv_nsec += INTERVAL;
	if (when->tv_nsec >= 1000000000) {
		when->tv_nsec -= 1000000000;
		when->tv_sec++;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, when, NULL);
}

static void film(struct ivshmem_channel *channel, uint32_t count)
{
	struct timespec when;
	uint32_t sent = 0;
	void *room;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &when);
	for (uint32_t i = 0; i < count; i++) {
		wait_until(&when);
		ret = ivshmem_channel_reserve(channel, sizeof(struct frame),
					      &room, 0);
		if (ret == -EAGAIN)
			continue;
		check("reserve", ret);
		draw(room, i);
		check("commit", ivshmem_channel_commit(channel,
						       sizeof(struct frame),
						       FRAME));
		check("flush", ivshmem_channel_flush(channel));
		sent++;
	}
	check("send", ivshmem_channel_send(channel, &count, sizeof(count), END,
					   0, -1));
	check("drain", ivshmem_channel_drain(channel, -1));
	printf("%u sent, %u left out\n", sent, count - sent);
}

/*
 * Looks at a picture where it is; the sender could still change it, so each word is
 * read once, and nothing that is read decides what memory is used.
 */
static void look(const struct frame *frame, unsigned int *seen,
		 unsigned int *damaged)
{
	uint32_t number = *(const volatile uint32_t *)&frame->number;
	unsigned int wrong = 0;

	for (unsigned int y = 0; y < HEIGHT; y++)
		for (unsigned int x = 0; x < WIDTH; x++)
			wrong += frame->pixels[y][x] != pixel(number, x, y);
	*seen += 1;
	*damaged += wrong != 0;
}

static void watch(struct ivshmem_channel *channel)
{
	unsigned int seen = 0, damaged = 0;
	const void *data;
	size_t length;
	uint32_t kind;

	do {
		check("peek", ivshmem_channel_peek(channel, &data, &length,
						   &kind, -1));
		if (kind == FRAME && length == sizeof(struct frame))
			look(data, &seen, &damaged);
		check("release", ivshmem_channel_release(channel));
	} while (kind != END);
	printf("%u seen, %u damaged\n", seen, damaged);
}

int main(int argc, char **argv)
{
	struct ivshmem_channel *channel;
	struct ivshmem *ivs;

	check("usage: frames DEVICE PEER [COUNT]",
	      argc == 3 || argc == 4 ? 0 : -EINVAL);
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("join", ivshmem_join(ivs, NULL));
	check("channel", ivshmem_channel_open(ivs, NULL,
					      strtoul(argv[2], NULL, 0), 0,
					      &channel));
	if (ivshmem_channel_max_length(channel) < sizeof(struct frame))
		check("the section's rings are too small", -EMSGSIZE);
	check("connect", ivshmem_channel_connect(channel, -1));
	if (argc == 4)
		film(channel, strtoul(argv[3], NULL, 0));
	else
		watch(channel);
	ivshmem_channel_close(channel);
	ivshmem_close(ivs);
	return 0;
}
