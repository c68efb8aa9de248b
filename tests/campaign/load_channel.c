// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels: one to each slot in which another load may be, both ways. Within a
 * session messages are numbered from 0; none may be missing, doubled or other.
 */
#include "load.h"

#include <errno.h>
#include <libivshmem.h>
#include <pthread.h>
#include <string.h>

#define LONGEST		8192
#define PACE_MS		5
#define LOOK_MS		1000

struct message {
	uint64_t nonce;
	uint64_t number;
	uint64_t machine;
	char words[LONGEST];
};

#define HEAD offsetof(struct message, words)

/* An end of a channel; the session is over once either thread has found it so. */
struct end {
	struct ivshmem_channel *channel;
	unsigned int own;
	bool over;
	struct message in;
	struct message out;
};

/* Sorts errors: whether the same call is repeated. */
static bool again(int error)
{
	if (error == -ESTALE || error == -ENODEV)
		gone();
	return error == -ETIMEDOUT || error == -EINTR;
}

static bool is_over(struct end *end)
{
	return __atomic_load_n(&end->over, __ATOMIC_RELAXED);
}

static void set_over(struct end *end, bool over)
{
	__atomic_store_n(&end->over, over, __ATOMIC_RELAXED);
}

static void *send_messages(void *argument)
{
	struct end *end = argument;
	struct message *out = &end->out;
	size_t length;
	int ret;

	out->nonce = nonce();
	out->machine = end->own;
	for (out->number = 0; !is_over(end); out->number++) {
		pattern(&length, sizeof(length), ~out->nonce, out->number);
		length %= LONGEST;
		pattern(out->words, length, out->nonce, out->number);
		do {
			ret = ivshmem_channel_send(end->channel, out,
						   HEAD + length, length, 0,
						   LOOK_MS);
		} while (ret && again(ret) && !is_over(end));
		if (ret)
			break;
		pause_ms(PACE_MS);
	}
	set_over(end, true);
	return NULL;
}

static void check(struct end *end, uint64_t session, uint64_t number,
		  size_t length, uint32_t kind)
{
	struct message *in = &end->in;

	if (length < HEAD || kind != length - HEAD || in->machine >= MACHINES)
		wrong("channel: message %llu has %zu bytes, kind %u",
		      (unsigned long long)number, length, kind);
	if (in->number != number || in->nonce != session)
		wrong("channel: message %llu of session %llx of machine %llu, not %llu of %llx",
		      (unsigned long long)in->number,
		      (unsigned long long)in->nonce,
		      (unsigned long long)in->machine,
		      (unsigned long long)number, (unsigned long long)session);
	if (differs(in->words, kind, session, number))
		wrong("channel: message %llu of machine %llu differs",
		      (unsigned long long)number,
		      (unsigned long long)in->machine);
	verified(in->machine, length);
}

static void receive_messages(struct end *end)
{
	uint64_t session = 0;
	uint32_t kind;
	size_t length;
	int ret;

	for (uint64_t number = 0; !is_over(end); number++) {
		do {
			ret = ivshmem_channel_recv(end->channel, &end->in,
						   sizeof(end->in), &length,
						   &kind, LOOK_MS);
		} while (ret && again(ret) && !is_over(end));
		if (ret == -EMSGSIZE)
			wrong("channel: a message of %zu bytes", length);
		if (ret)
			break;
		if (!number)
			session = end->in.nonce;
		check(end, session, number, length, kind);
	}
	set_over(end, true);
}

static void *serve(void *argument)
{
	struct end *end = argument;
	pthread_t sender;
	int ret;

	for (;;) {
		ret = ivshmem_channel_connect(end->channel, LOOK_MS);
		if (ret) {
			again(ret);
			continue;
		}
		__atomic_add_fetch(&tally->sessions, 1, __ATOMIC_RELAXED);
		set_over(end, false);
		if (pthread_create(&sender, NULL, send_messages, end))
			gone();
		receive_messages(end);
		pthread_join(sender, NULL);
	}
	return NULL;
}

void channel_load(const char *node, unsigned int own)
{
	static struct end ends[64];
	struct ivshmem_region region;
	struct ivshmem *ivs;
	pthread_t thread;

	if (ivshmem_open(node, 0, &ivs) || ivshmem_get_region(ivs, &region))
		gone();
	for (uint32_t slot = 0; slot < region.slots && slot < 64; slot++) {
		if ((int32_t)slot == region.slot)
			continue;
		ends[slot].own = own;
		if (ivshmem_channel_open(ivs, NULL, slot, 0,
					 &ends[slot].channel) ||
		    pthread_create(&thread, NULL, serve, &ends[slot]))
			gone();
	}
	pthread_exit(NULL);
}
