// SPDX-License-Identifier: BSD-3-Clause
/*
 * Asks a peer, or answers one: messages through a channel.
 *	channel /dev/ivshmem0 1 (in a guest) answers peer 1, who asks by
 *	channel unix:/run/ivshmem/a.sock 0 "How are you?" (on the host)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libivshmem.h>

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "channel: %s: %s\n", what, strerror(-ret));
	exit(1);
}

/* Receives a message that is meant to be text. */
static void hear(struct ivshmem_channel *channel, char text[100])
{
	size_t length;

	check("recv", ivshmem_channel_recv(channel, text, 99, &length, NULL,
					   -1));
	text[length] = 0;
}

static void say(struct ivshmem_channel *channel, const char *text)
{
	check("send", ivshmem_channel_send(channel, text, strlen(text), 0, 0,
					   -1));
	/* What is still on its way when the channel is closed is lost. */
	check("drain", ivshmem_channel_drain(channel, -1));
}

int main(int argc, char **argv)
{
	struct ivshmem_channel *channel;
	struct ivshmem *ivs;
	char text[100];

	check("usage: channel DEVICE PEER [QUESTION]",
	      argc == 3 || argc == 4 ? 0 : -EINVAL);
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("join", ivshmem_join(ivs, NULL));
	check("channel", ivshmem_channel_open(ivs, NULL,
					      strtoul(argv[2], NULL, 0), 0,
					      &channel));
	check("connect", ivshmem_channel_connect(channel, -1));
	if (argc == 4)
		say(channel, argv[3]);
	hear(channel, text);
	puts(text);
	if (argc == 3)
		say(channel, strchr(text, '?') ? "I cannot tell." : "Really?");
	ivshmem_channel_close(channel);
	ivshmem_close(ivs);
	return 0;
}
