// SPDX-License-Identifier: BSD-3-Clause
/*
 * Channels: opens one end, brings its link up, and notices when the session is
 * over, whoever it is that has gone.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "channel.h"
#include "region.h"

/* A signal does not keep the peer from being rung. */
#define KICK_TRIES	3

/* Guards all_channels: one end is open once in this process. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ivshmem_channel *all_channels;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static const char *fault_text(enum ivring_fault fault)
{
	switch (fault) {
	case IVRING_OK:
		return "no session has ended";
	case IVRING_STALE:
		return "the peer has closed the channel, or begun anew";
	case IVRING_TAMPERED:
		return "somebody has overwritten what only this side writes";
	case IVRING_BAD_PROD:
		return "the peer claims to have sent more than there is room "
		       "for";
	case IVRING_BAD_CONS:
		return "the peer claims to have received more than was sent";
	case IVRING_BAD_LENGTH:
		return "a message claims to be longer than what was sent";
	case IVRING_BAD_PAD:
		return "there is padding where none can be";
	case IVRING_BAD_RECORD:
		return "a message is not one of a channel";
	}
	return "the ring is broken in an unknown way";
}

int channel_error(const struct ivshmem_channel *ch)
{
	return __atomic_load_n(&ch->error, __ATOMIC_ACQUIRE);
}

static void set_error(struct ivshmem_channel *ch, int error)
{
	__atomic_store_n(&ch->error, error, __ATOMIC_RELEASE);
}

void channel_kick(struct ivshmem_channel *ch)
{
	uint32_t vectors = __atomic_load_n(&ch->vectors, __ATOMIC_RELAXED);
	uint32_t vector = ch->section.vector;
	int tries;

	/* One that is not known yet is rung where it ought to listen. */
	if (vectors)
		vector = ivshmem_listen_vector(vector, vectors);
	__atomic_fetch_add(&ch->kicks, 1, __ATOMIC_RELAXED);
	for (tries = 0; tries < KICK_TRIES; tries++)
		if (ivshmem_ring(ch->ivs, ch->peer, vector) != -EINTR)
			break;
}

/* Nothing brings it back; with @ch->lock held. */
static int lose(struct ivshmem_channel *ch, int error)
{
	int before = channel_error(ch);

	if (before == -ENODEV || before == -ESTALE)
		return before;
	ch->reason = error == -ENODEV ? "the device is gone" :
		     "the region was formatted anew, or left";
	set_error(ch, error);
	return error;
}

int channel_lost(struct ivshmem_channel *ch, int error)
{
	pthread_mutex_lock(&ch->lock);
	error = lose(ch, error);
	pthread_mutex_unlock(&ch->lock);
	return error;
}

/*
 * Whether the region is still that in which the channel was opened; else nothing
 * may be written there any more.  With @ch->lock held.
 */
static int check_region(struct ivshmem_channel *ch)
{
	struct ivshmem_region region;
	int ret;

	ret = ivshmem_get_region(ch->ivs, &region);
	if (ret)
		return lose(ch, ret == -ENODEV ? ret : -ESTALE);
	if (region.state != IVSHMEM_ATTACHED || !region.epoch ||
	    region.instance != ch->instance ||
	    region.slot != (int32_t)ch->slot)
		return lose(ch, -ESTALE);
	return 0;
}

/* With @ch->lock held; what calls return, and whether to kick afterwards. */
static int end(struct ivshmem_channel *ch, enum ivring_fault reason,
	       const char *text, bool *kick)
{
	int error = channel_error(ch);

	if (!error)
		error = check_region(ch);
	if (error)
		return error;
	if (ivlink_end(&ch->link, reason, ivshmem_clock()) & IVLINK_KICK)
		*kick = true;
	error = reason == IVRING_STALE ? -ECONNRESET : -EPROTO;
	ch->reason = text;
	ch->faults += error == -EPROTO;
	set_error(ch, error);
	return error;
}

int channel_end(struct ivshmem_channel *ch, enum ivring_fault reason)
{
	bool kick = false;
	int error;

	pthread_mutex_lock(&ch->lock);
	error = end(ch, reason, fault_text(reason), &kick);
	pthread_mutex_unlock(&ch->lock);
	if (kick)
		channel_kick(ch);
	return error;
}

/* Asks the directory; false if the peer of this session is not there. */
static bool peer_there(struct ivshmem_channel *ch)
{
	uint32_t now = ivshmem_clock();
	struct ivshmem_peer peer;

	if (ivshmem_get_peer(ch->ivs, ch->peer, &peer))
		return true;
	__atomic_store_n(&ch->vectors, peer.vectors, __ATOMIC_RELAXED);
	if (peer.state == IVSHMEM_ALIVE)
		return !ivlink_is_orphan(&ch->link, peer.epoch, now);
	return now - ch->link.up_since <= (ch->link.life ? IVLINK_SETTLE_MS :
							   IVPEER_SILENT_MS);
}

/* With @ch->lock held, and a session. */
static int look(struct ivshmem_channel *ch, bool *kick)
{
	enum ivring_fault fault;
	int ret;

	ret = check_region(ch);
	if (ret)
		return ret;
	fault = ivlink_check_words(&ch->link);
	if (fault)
		return end(ch, fault, fault_text(fault), kick);
	if (!peer_there(ch))
		return end(ch, IVRING_STALE, "the peer is not there any more",
			   kick);
	return 0;
}

static int look_now(struct ivshmem_channel *ch)
{
	bool kick = false;
	int ret;

	pthread_mutex_lock(&ch->lock);
	__atomic_store_n(&ch->looked_at, channel_coarse_ms(),
			 __ATOMIC_RELAXED);
	ret = channel_error(ch);
	if (!ret)
		ret = look(ch, &kick);
	pthread_mutex_unlock(&ch->lock);
	if (kick)
		channel_kick(ch);
	return ret;
}

static uint32_t since_look(const struct ivshmem_channel *ch)
{
	return channel_coarse_ms() -
	       __atomic_load_n(&ch->looked_at, __ATOMIC_RELAXED);
}

int channel_look(struct ivshmem_channel *ch)
{
	if (since_look(ch) < IVLINK_STEP_MS)
		return channel_error(ch);
	return look_now(ch);
}

void channel_beat(struct ivshmem_channel *ch)
{
	if (since_look(ch) >= IVPEER_BEAT_MS)
		look_now(ch);
}

/* With the locks of both ways and @ch->lock held. */
static int step(struct ivshmem_channel *ch, bool *kick)
{
	enum ivlink_state before = ch->link.state;
	struct ivshmem_peer peer;
	unsigned int events;
	uint32_t random = 0;
	int ret;

	ret = check_region(ch);
	if (ret)
		return ret;
	ret = ivshmem_get_peer(ch->ivs, ch->peer, &peer);
	if (!ret)
		__atomic_store_n(&ch->vectors, peer.vectors, __ATOMIC_RELAXED);
	/* It fails before the kernel has entropy only. */
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = ivshmem_clock();

	ivlink_start(&ch->link);
	events = ivlink_step(&ch->link, ivshmem_clock(), random);
	if (events & IVLINK_KICK)
		*kick = true;
	if (before == IVLINK_WAIT && ch->link.state == IVLINK_ANNOUNCE) {
		ch->reason = fault_text(ch->link.reason);
		ch->faults++;
	}
	if (!(events & IVLINK_WENT_UP))
		return -EAGAIN;
	ch->tx.held = false;
	ch->rx.held = false;
	set_error(ch, 0);
	return 0;
}

static int step_now(struct ivshmem_channel *ch)
{
	bool kick = false;
	int ret;

	pthread_mutex_lock(&ch->tx.lock);
	pthread_mutex_lock(&ch->rx.lock);
	pthread_mutex_lock(&ch->lock);
	ret = channel_error(ch);
	/* Another thread may have connected it meanwhile. */
	if (ret && ret != -ENODEV && ret != -ESTALE)
		ret = step(ch, &kick);
	pthread_mutex_unlock(&ch->lock);
	pthread_mutex_unlock(&ch->rx.lock);
	pthread_mutex_unlock(&ch->tx.lock);
	if (kick)
		channel_kick(ch);
	return ret;
}

int ivshmem_channel_connect(struct ivshmem_channel *ch, int timeout_ms)
{
	struct channel_patience patience = { .timeout_ms = timeout_ms };
	int ret;

	if (!ch)
		return -EINVAL;
	/* One that is over is told of first: nobody misses that it was. */
	if (!channel_error(ch))
		return look_now(ch);
	for (;;) {
		ret = channel_settle(ch, &ch->rx);
		if (!ret)
			ret = step_now(ch);
		if (ret == -EAGAIN)
			ret = channel_sleep(ch, &ch->rx, IVLINK_STEP_MS,
					    &patience);
		else
			break;
		if (ret)
			break;
	}
	if (ret == -ENODEV)
		ret = channel_lost(ch, ret);
	if (ret == -EAGAIN || ret == -ETIMEDOUT) {
		pthread_mutex_lock(&ch->rx.lock);
		channel_arm(ch, &ch->rx, IVLINK_STEP_MS);
		pthread_mutex_unlock(&ch->rx.lock);
	}
	return ret;
}

static int check_section(const struct ivshmem_section *section)
{
	if (section->type != IVSHMEM_RAW)
		return -EMEDIUMTYPE;
	if (!section->usable)
		return -EROFS;
	return section->ring_size ? 0 : -ENOSPC;
}

/* The only one that would do. */
static int find_default(struct ivshmem *ivs, struct ivshmem_section *section)
{
	struct ivshmem_section candidate;
	uint32_t index;
	int found = 0;
	int ret;

	for (index = 0; index < IVREGION_SECTIONS_MAX; index++) {
		ret = ivshmem_get_section(ivs, index, &candidate);
		/* A region that has none at all says so by the first. */
		if (ret == -ENOENT && index)
			break;
		if (ret)
			return ret;
		if (check_section(&candidate))
			continue;
		*section = candidate;
		found++;
	}
	if (!found)
		return -ENODATA;
	return found == 1 ? 0 : -ENOTUNIQ;
}

/* Who we are, where it is, whether that will do. */
static int find_place(struct ivshmem_channel *ch, const char *name,
		      uint32_t *slots)
{
	struct ivshmem_region region;
	struct ivshmem_info info;
	int ret;

	ret = ivshmem_get_region(ch->ivs, &region);
	if (!ret)
		ret = ivshmem_get_info(ch->ivs, &info);
	if (!ret)
		ret = name ? ivshmem_find_section(ch->ivs, name, &ch->section) :
			     find_default(ch->ivs, &ch->section);
	if (!ret)
		ret = check_section(&ch->section);
	if (ret)
		return ret;
	if (region.read_only)
		return -EROFS;
	if (region.slot < 0 || !region.epoch)
		return -ENOTCONN;
	if (ch->peer >= region.slots || ch->peer == (uint32_t)region.slot)
		return -ENXIO;
	ch->instance = region.instance;
	ch->slot = (uint32_t)region.slot;
	ch->wakes = info.vectors;
	*slots = region.slots;
	return 0;
}

/* Offsets count from the start of the section, which is what we have mapped. */
static void init_link(struct ivshmem_channel *ch, uint32_t slots)
{
	struct ivregion_section section = {
		.type = ch->section.type,
		.queues = ch->section.queues,
		.ring_size = ch->section.ring_size,
		.size = ch->section.size,
	};
	struct ivregion region = { .slots = slots };

	ivlink_init(&ch->link, ch->memory, &region, &section, ch->slot,
		    ch->peer, ch->queues);
	ch->claim = ch->section.offset +
		    ivregion_link_offset(&region, &section, ch->slot, ch->peer);
}

static void lock_all(void)
{
	pthread_mutex_lock(&all_lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&all_lock);
}

/* A child of fork(2) must find the list whole, and its lock free. */
static void prepare_for_fork(void)
{
	pthread_atfork(lock_all, unlock_all, unlock_all);
}

/* Another thread may open the same end at the same time. */
static int enlist(struct ivshmem_channel *ch)
{
	const struct ivshmem_channel *other;
	int ret = 0;

	pthread_mutex_lock(&all_lock);
	for (other = all_channels; other; other = other->next)
		if (other->ivs == ch->ivs && other->claim == ch->claim)
			ret = -EBUSY;
	if (!ret)
		ret = ch->ivs->ops->claim(ch->ivs, ch->rx.fd, ch->claim);
	if (!ret) {
		ch->next = all_channels;
		all_channels = ch;
	}
	pthread_mutex_unlock(&all_lock);
	return ret;
}

static void delist(struct ivshmem_channel *ch)
{
	struct ivshmem_channel **place;

	pthread_mutex_lock(&all_lock);
	for (place = &all_channels; *place; place = &(*place)->next)
		if (*place == ch) {
			*place = ch->next;
			break;
		}
	pthread_mutex_unlock(&all_lock);
}

static void release(struct ivshmem_channel *ch)
{
	if (ch->poll_fd >= 0) {
		close(ch->poll_fd);
		close(ch->timer_fd);
	}
	channel_way_release(&ch->rx);
	channel_way_release(&ch->tx);
	if (ch->memory)
		ivshmem_unmap(ch->memory, ch->section.size);
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

static int open_ways(struct ivshmem_channel *ch, uint32_t slots)
{
	struct ivshmem_region region;
	int ret;

	ret = channel_way_init(ch, &ch->tx);
	if (!ret)
		ret = channel_way_init(ch, &ch->rx);
	if (!ret)
		ret = ivshmem_map_section(ch->ivs, &ch->section,
					  PROT_READ | PROT_WRITE, &ch->memory);
	if (!ret)
		ret = ivshmem_get_region(ch->ivs, &region);
	if (ret)
		return ret;
	/* All that was asked for is of one and the same region. */
	if (region.state != IVSHMEM_ATTACHED ||
	    region.instance != ch->instance)
		return -ENOENT;
	init_link(ch, slots);
	return enlist(ch);
}

int ivshmem_channel_open(struct ivshmem *ivs, const char *section,
			 uint32_t peer, unsigned int flags,
			 struct ivshmem_channel **out)
{
	struct ivshmem_channel *ch;
	uint32_t slots;
	int ret;

	if (!ivs || !out || flags)
		return -EINVAL;
	*out = NULL;
	if (ivs->flags & IVSHMEM_RDONLY)
		return -EBADF;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	pthread_once(&fork_once, prepare_for_fork);
	ch->ivs = ivs;
	ch->peer = peer;
	ch->process = getpid();
	ch->error = -ENOTCONN;
	ch->reason = fault_text(IVRING_OK);
	ch->spin_us = CHANNEL_SPIN_US;
	ch->tx.sends = true;
	ch->tx.fd = -1;
	ch->rx.fd = -1;
	ch->poll_fd = -1;
	ch->timer_fd = -1;
	pthread_mutex_init(&ch->lock, NULL);
	ret = find_place(ch, section, &slots);
	if (!ret)
		ret = open_ways(ch, slots);
	if (ret) {
		release(ch);
		return ret;
	}
	*out = ch;
	return 0;
}

static void stop(struct ivshmem_channel *ch)
{
	unsigned int events = 0;

	pthread_mutex_lock(&ch->lock);
	if (!check_region(ch))
		events = ivlink_stop(&ch->link);
	pthread_mutex_unlock(&ch->lock);
	if (events & IVLINK_KICK)
		channel_kick(ch);
}

void ivshmem_channel_close(struct ivshmem_channel *ch)
{
	if (!ch)
		return;
	/* In a child of fork(2) the session is the parent's, the lock unsure. */
	if (ch->process == getpid())
		stop(ch);
	delist(ch);
	release(ch);
}

size_t ivshmem_channel_max_length(const struct ivshmem_channel *ch)
{
	return ch ? ivring_max_length(ch->section.ring_size) : 0;
}

static uint32_t state_of(const struct ivshmem_channel *ch, int error)
{
	if (!error)
		return IVSHMEM_CHANNEL_UP;
	if (error == -ENODEV || error == -ESTALE)
		return IVSHMEM_CHANNEL_OVER;
	if (ch->link.state == IVLINK_DOWN)
		return IVSHMEM_CHANNEL_IDLE;
	return ch->link.state == IVLINK_WAIT ? IVSHMEM_CHANNEL_CONNECTING :
					       IVSHMEM_CHANNEL_OVER;
}

int ivshmem_channel_get_status(struct ivshmem_channel *ch,
			       struct ivshmem_channel_status *status)
{
	if (!ch || !status)
		return -EINVAL;
	memset(status, 0, sizeof(*status));
	pthread_mutex_lock(&ch->lock);
	status->error = channel_error(ch);
	status->state = state_of(ch, status->error);
	status->slot = ch->slot;
	status->peer = ch->peer;
	status->sessions = ch->link.sessions;
	status->faults = ch->faults;
	status->kicks = __atomic_load_n(&ch->kicks, __ATOMIC_RELAXED);
	status->sleeps = __atomic_load_n(&ch->sleeps, __ATOMIC_RELAXED);
	status->reason = ch->reason;
	pthread_mutex_unlock(&ch->lock);
	return 0;
}
