// SPDX-License-Identifier: BSD-3-Clause
/*
 * Keeps a word for others: a server of requests, and a client of it.
 *	requests unix:/run/ivshmem/a.sock (on the host) serves all peers, who ask by
 *	requests /dev/ivshmem0 0 "Hello" (in a guest), and get the word before
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libivshmem.h>

#define LENGTH	100

/* Each peer that can ask has a thread. */
struct service {
	struct ivshmem *ivs;
	uint32_t peer;
};

static char kept[LENGTH] = "nothing";
static size_t kept_length = 7;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "requests: %s: %s\n", what, strerror(-ret));
	exit(1);
}

/* Puts a word in the place of another, which it gives back; its length. */
static size_t exchange(char text[LENGTH], size_t length)
{
	char before[LENGTH];
	size_t before_length;

	pthread_mutex_lock(&kept_lock);
	before_length = kept_length;
	memcpy(before, kept, before_length);
	memcpy(kept, text, length);
	kept_length = length;
	pthread_mutex_unlock(&kept_lock);
	memcpy(text, before, before_length);
	return before_length;
}

/* Answers one request; a negative errno if the session is over. */
static int answer(struct ivshmem_channel *channel)
{
	char text[LENGTH];
	size_t length;
	int ret;

	ret = ivshmem_channel_recv(channel, text, LENGTH, &length, NULL, -1);
	/* Somebody who asks too much is not let wait: the session ends. */
	if (ret)
		return ret;
	length = exchange(text, length);
	return ivshmem_channel_send(channel, text, length, 0, 0, -1);
}

/* Serves a peer for as long as there is a region, whoever is in its slot. */
static void *serve(void *argument)
{
	struct service *service = argument;
	struct ivshmem_channel *channel;
	int ret;

	do {
		check("channel", ivshmem_channel_open(service->ivs, NULL,
						      service->peer, 0,
						      &channel));
		ret = ivshmem_channel_connect(channel, -1);
		while (!ret)
			ret = answer(channel);
		ivshmem_channel_close(channel);
	} while (ret != -ESTALE && ret != -ENODEV);
	check("serve", ret);
	return NULL;
}

static void serve_all(struct ivshmem *ivs)
{
	struct ivshmem_region region;
	struct service *services;
	pthread_t thread;

	check("region", ivshmem_get_region(ivs, &region));
	services = calloc(region.slots, sizeof(*services));
	check("memory", services ? 0 : -ENOMEM);
	for (uint32_t i = 0; i < region.slots; i++) {
		services[i].ivs = ivs;
		services[i].peer = i;
		if ((int32_t)i != region.slot)
			check("thread", -pthread_create(&thread, NULL, serve,
							&services[i]));
	}
	pthread_exit(NULL);
}

static void ask(struct ivshmem *ivs, const char *peer, const char *word)
{
	struct ivshmem_channel *channel;
	char text[LENGTH];
	size_t length;

	check("channel", ivshmem_channel_open(ivs, NULL, strtoul(peer, NULL, 0),
					      0, &channel));
	check("connect", ivshmem_channel_connect(channel, 10000));
	check("send", ivshmem_channel_send(channel, word, strlen(word), 0, 0,
					   10000));
	check("recv", ivshmem_channel_recv(channel, text, LENGTH, &length, NULL,
					   10000));
	printf("%.*s\n", (int)length, text);
	ivshmem_channel_close(channel);
}

int main(int argc, char **argv)
{
	struct ivshmem *ivs;

	check("usage: requests DEVICE [PEER WORD]",
	      argc == 2 || argc == 4 ? 0 : -EINVAL);
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("join", ivshmem_join(ivs, NULL));
	if (argc == 2)
		serve_all(ivs);
	ask(ivs, argv[2], argv[3]);
	ivshmem_close(ivs);
	return 0;
}
