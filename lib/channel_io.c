// SPDX-License-Identifier: BSD-3-Clause
/*
 * Channels: sends and receives messages.  What the ring has to say about the
 * session and about what is wrong with it becomes an error of the call.
 */
#include <errno.h>

#include "channel.h"

/* What was released, and what was committed, is shown at this share of a ring */
#define BATCH_SHARE	4

static struct ivring_producer *producer(struct ivshmem_channel *ch)
{
	return &ch->queues[CHANNEL_QUEUE].tx;
}

static struct ivring_consumer *consumer(struct ivshmem_channel *ch)
{
	return &ch->queues[CHANNEL_QUEUE].rx;
}

/* A ring has returned an error; with the lock of its way. */
static int broken(struct ivshmem_channel *ch, int ret, enum ivring_fault fault)
{
	if (ret != -EPIPE && ret != -EPROTO)
		return ret;
	return channel_end(ch, fault);
}

static void publish(struct ivshmem_channel *ch)
{
	if (ivring_publish(producer(ch)))
		channel_kick(ch);
	channel_beat(ch);
}

static int reserve(struct ivshmem_channel *ch, size_t length, void **data,
		   int timeout_ms)
{
	struct channel_patience patience = { .timeout_ms = timeout_ms };
	struct ivring_producer *p = producer(ch);
	int ret;

	ch->tx.held = false;
	if (length > ivring_max_length(p->size))
		return -EMSGSIZE;
	for (;;) {
		ret = channel_error(ch);
		if (ret)
			return ret;
		ret = ivring_reserve(p, (uint32_t)length, data);
		if (ret != -EAGAIN)
			break;
		publish(ch);
		ret = channel_wait(ch, &ch->tx, (uint32_t)length, &patience);
		if (ret)
			return ret;
	}
	if (ret)
		return broken(ch, ret, p->fault);
	channel_disarm(ch, &ch->tx);
	ch->tx.held = true;
	ch->tx.length = (uint32_t)length;
	return 0;
}

static void commit(struct ivshmem_channel *ch, size_t length, uint32_t kind)
{
	struct ivring_producer *p = producer(ch);

	ch->tx.held = false;
	ivring_commit(p, (uint32_t)length, kind);
	/* The peer can begin while we go on. */
	if (p->next - p->prod >= p->size / BATCH_SHARE)
		publish(ch);
}

int ivshmem_channel_reserve(struct ivshmem_channel *ch, size_t length,
			    void **data, int timeout_ms)
{
	int ret;

	if (!ch || !data)
		return -EINVAL;
	pthread_mutex_lock(&ch->tx.lock);
	ret = reserve(ch, length, data, timeout_ms);
	pthread_mutex_unlock(&ch->tx.lock);
	return ret;
}

int ivshmem_channel_commit(struct ivshmem_channel *ch, size_t length,
			   uint32_t kind)
{
	int ret;

	if (!ch || kind >= IVSHMEM_CHANNEL_KINDS)
		return -EINVAL;
	pthread_mutex_lock(&ch->tx.lock);
	ret = channel_error(ch);
	if (!ret && (!ch->tx.held || length > ch->tx.length))
		ret = -EINVAL;
	if (!ret)
		commit(ch, length, kind);
	pthread_mutex_unlock(&ch->tx.lock);
	return ret;
}

int ivshmem_channel_flush(struct ivshmem_channel *ch)
{
	int ret;

	if (!ch)
		return -EINVAL;
	pthread_mutex_lock(&ch->tx.lock);
	ret = channel_error(ch);
	if (!ret) {
		publish(ch);
		ret = channel_error(ch);
	}
	pthread_mutex_unlock(&ch->tx.lock);
	return ret;
}

int ivshmem_channel_send(struct ivshmem_channel *ch, const void *data,
			 size_t length, uint32_t kind, unsigned int flags,
			 int timeout_ms)
{
	void *to = NULL;
	int ret;

	if (!ch || (!data && length) || kind >= IVSHMEM_CHANNEL_KINDS ||
	    (flags & ~IVSHMEM_CHANNEL_MORE))
		return -EINVAL;
	pthread_mutex_lock(&ch->tx.lock);
	ret = reserve(ch, length, &to, timeout_ms);
	if (!ret) {
		/* An empty message may have no data. */
		if (data && to)
			ivshmem_copy_out(to, data, length);
		commit(ch, length, kind);
		if (!(flags & IVSHMEM_CHANNEL_MORE))
			publish(ch);
	}
	pthread_mutex_unlock(&ch->tx.lock);
	return ret;
}

/*
 * Whether a peer that has closed its end had received all by then: its index is
 * what it was, as long as its epoch is 0, since it only begins anew with both.
 */
static bool had_all(struct ivshmem_channel *ch)
{
	struct ivring_producer *p = producer(ch);
	uint32_t cons;

	/* A link that has begun anew since then knows no more of that one */
	if (!p->session)
		return false;
	/* Pairs with ivlink_withdraw(), and with ivlink_announce() */
	cons = ivshmem_load_acquire32(&p->peer->cons);
	return cons == p->prod && p->next == p->prod &&
	       !ivshmem_load32(p->session);
}

/*
 * A ring tells when there is room for a message, and the longest one takes half
 * of it: for the end of the last one it has to be looked at now and then.
 */
static int drain(struct ivshmem_channel *ch, int timeout_ms)
{
	struct channel_patience patience = { .timeout_ms = timeout_ms };
	struct ivring_producer *p = producer(ch);
	int ret;

	publish(ch);
	for (;;) {
		ret = channel_error(ch);
		if (ret)
			return ret;
		if (!ivring_refresh_cons(p))
			return channel_end(ch, p->fault);
		if (p->cons == p->prod)
			return 0;
		ret = channel_look(ch);
		if (ret)
			return ret;
		ret = channel_nap(ch, &ch->tx, &patience);
		if (ret)
			return ret;
	}
}

int ivshmem_channel_drain(struct ivshmem_channel *ch, int timeout_ms)
{
	int ret;

	if (!ch)
		return -EINVAL;
	pthread_mutex_lock(&ch->tx.lock);
	ret = channel_error(ch);
	if (!ret)
		ret = drain(ch, timeout_ms);
	/* A thread that receives may have noticed the end before. */
	if (ret == -ECONNRESET && had_all(ch))
		ret = 0;
	pthread_mutex_unlock(&ch->tx.lock);
	return ret;
}

static int peek(struct ivshmem_channel *ch, const void **data, uint32_t *length,
		uint32_t *kind, int timeout_ms)
{
	struct channel_patience patience = { .timeout_ms = timeout_ms };
	struct ivring_consumer *c = consumer(ch);
	int ret;

	ch->rx.held = false;
	for (;;) {
		ret = channel_error(ch);
		if (ret)
			return ret;
		ret = ivring_peek(c, data, length, kind);
		if (ret != -EAGAIN)
			break;
		/* Padding that nothing has followed: somebody may drain */
		if (c->next != c->cons && ivring_release(c))
			channel_kick(ch);
		ret = channel_wait(ch, &ch->rx, 0, &patience);
		if (ret)
			return ret;
	}
	if (ret)
		return broken(ch, ret, c->fault);
	channel_disarm(ch, &ch->rx);
	ch->rx.held = true;
	return 0;
}

/*
 * The space goes back to the peer when a good part of the ring has come
 * together, and with the last message that is known to be there: the peer may
 * be waiting for that one to be received.
 */
static void release(struct ivshmem_channel *ch)
{
	struct ivring_consumer *c = consumer(ch);

	ch->rx.held = false;
	ivring_advance(c);
	if (c->next != c->prod && c->next - c->cons < c->size / BATCH_SHARE)
		return;
	if (ivring_release(c))
		channel_kick(ch);
	channel_beat(ch);
}

int ivshmem_channel_peek(struct ivshmem_channel *ch, const void **data,
			 size_t *length, uint32_t *kind, int timeout_ms)
{
	uint32_t found_length = 0, found_kind = 0;
	int ret;

	if (!ch || !data || !length)
		return -EINVAL;
	pthread_mutex_lock(&ch->rx.lock);
	ret = peek(ch, data, &found_length, &found_kind, timeout_ms);
	pthread_mutex_unlock(&ch->rx.lock);
	if (ret)
		return ret;
	*length = found_length;
	if (kind)
		*kind = found_kind;
	return 0;
}

int ivshmem_channel_release(struct ivshmem_channel *ch)
{
	int ret;

	if (!ch)
		return -EINVAL;
	pthread_mutex_lock(&ch->rx.lock);
	ret = channel_error(ch);
	if (!ret && !ch->rx.held)
		ret = -EINVAL;
	if (!ret)
		release(ch);
	pthread_mutex_unlock(&ch->rx.lock);
	return ret;
}

int ivshmem_channel_recv(struct ivshmem_channel *ch, void *data, size_t size,
			 size_t *length, uint32_t *kind, int timeout_ms)
{
	uint32_t found_length = 0, found_kind = 0;
	const void *from = NULL;
	int ret;

	if (!ch || (!data && size))
		return -EINVAL;
	pthread_mutex_lock(&ch->rx.lock);
	ret = peek(ch, &from, &found_length, &found_kind, timeout_ms);
	if (!ret) {
		if (length)
			*length = found_length;
		if (kind)
			*kind = found_kind;
		if (found_length > size) {
			ret = -EMSGSIZE;
		} else {
			if (data && from)
				ivshmem_copy_in(data, from, found_length);
			release(ch);
		}
	}
	pthread_mutex_unlock(&ch->rx.lock);
	return ret;
}
