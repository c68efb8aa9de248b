// SPDX-License-Identifier: BSD-3-Clause
/*
 * Talks with a peer: an event loop, in which nothing waits but epoll.
 *	events /dev/ivshmem0 1 (in a guest), events unix:/run/ivshmem/a.sock 0
 * Lines of the standard input go to the peer; its end ends the program.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <libivshmem.h>

#define LENGTH	100

/*
 * What is to be sent waits in @text, and the standard input with it: so memory is
 * bounded, however slow the peer is.
 */
struct talk {
	struct ivshmem_channel *channel;
	int epoll;
	bool up;
	bool ended;
	char text[LENGTH];
	size_t length;
};

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "events: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void watch(const struct talk *talk, int operation, int fd,
		  uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(talk->epoll, operation, fd, &event))
		check("epoll_ctl", -errno);
}

static int hear(struct talk *talk)
{
	char text[LENGTH];
	size_t length;
	int ret;

	ret = ivshmem_channel_recv(talk->channel, text, LENGTH, &length, NULL,
				   0);
	if (!ret)
		printf("peer: %.*s\n", (int)length, text);
	return ret;
}

static int say(struct talk *talk)
{
	int ret = 0;

	if (talk->length)
		ret = ivshmem_channel_send(talk->channel, talk->text,
					   talk->length, 0, 0, 0);
	if (!ret)
		talk->length = 0;
	return ret;
}

/* Goes on until all would have to wait: only then the descriptor tells. */
static void go_on(struct talk *talk)
{
	int heard, said;

	do {
		heard = ivshmem_channel_connect(talk->channel, 0);
		if (!heard && !talk->up)
			puts("connected");
		talk->up = !heard;
		if (heard)
			continue;
		said = say(talk);
		heard = hear(talk);
		if (heard == -EAGAIN && said && said != -EAGAIN)
			heard = said;
	} while (!heard || heard == -ECONNRESET);
	if (heard != -EAGAIN)
		check("channel", heard);
	fflush(stdout);
}

static void read_input(struct talk *talk)
{
	ssize_t length = read(STDIN_FILENO, talk->text, LENGTH);

	if (length > 0 && talk->text[length - 1] == '\n')
		length--;
	talk->ended = length <= 0;
	talk->length = talk->ended ? 0 : (size_t)length;
}

static void loop(struct talk *talk, int channel)
{
	struct epoll_event event;
	uint32_t input = EPOLLIN, wanted;

	watch(talk, EPOLL_CTL_ADD, channel, EPOLLIN);
	watch(talk, EPOLL_CTL_ADD, STDIN_FILENO, input);
	go_on(talk);
	while (!talk->ended) {
		if (epoll_wait(talk->epoll, &event, 1, -1) < 0)
			check("epoll_wait", -errno);
		if (event.data.fd == STDIN_FILENO)
			read_input(talk);
		go_on(talk);
		wanted = talk->length ? 0 : EPOLLIN;
		if (wanted != input)
			watch(talk, EPOLL_CTL_MOD, STDIN_FILENO, wanted);
		input = wanted;
	}
}

int main(int argc, char **argv)
{
	struct talk talk = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct ivshmem *ivs;

	check("usage: events DEVICE PEER", argc == 3 ? 0 : -EINVAL);
	check("epoll", talk.epoll < 0 ? -errno : 0);
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("join", ivshmem_join(ivs, NULL));
	check("channel", ivshmem_channel_open(ivs, NULL,
					      strtoul(argv[2], NULL, 0), 0,
					      &talk.channel));
	loop(&talk, check("descriptor", ivshmem_channel_fd(talk.channel)));
	ivshmem_channel_drain(talk.channel, 1000);
	ivshmem_channel_close(talk.channel);
	ivshmem_close(ivs);
	return 0;
}
