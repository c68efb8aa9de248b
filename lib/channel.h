/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a channel consists of: the link, which channel.c works, the two ways of
 * its ring pair (channel_io.c), and how each of them waits (channel_wait.c).
 */
#ifndef IVSHMEM_CHANNEL_H
#define IVSHMEM_CHANNEL_H

#include <pthread.h>
#include <sys/types.h>

#include <ivshmem/link.h>

#include "backend.h"

/* Programs use this pair of rings; the others are there for nobody. */
#define CHANNEL_QUEUE	0

/* A doorbell is a hint: with an open session one looks so often without. */
#define CHANNEL_SLEEP_MS	100
/* The same where the device has no doorbells, from the first time on */
#define CHANNEL_NAP_MIN_US	50U
#define CHANNEL_NAP_MAX_US	2000U

#define CHANNEL_SPIN_US		50U
#define CHANNEL_SPIN_MAX_US	100000U

/**
 * struct channel_way - sending, or receiving
 * @lock:   held in all calls of this way; taken before &struct
 *          ivshmem_channel.lock
 * @fd:     readable when the peer has rung; each way has one of its own, so
 *          that none takes the other's doorbells away
 * @sends:  it is the sending one
 * @armed:  it is among what ivshmem_channel_fd() tells of
 * @held:   a message was reserved, or peeked
 * @length: what was reserved
 * @spin_us: how long the next wait looks before it sleeps
 */
struct channel_way {
	pthread_mutex_t lock;
	int fd;
	bool sends;
	bool armed;
	bool held;
	uint32_t length;
	unsigned int spin_us;
};

/**
 * struct ivshmem_channel - one end of a channel
 * @ivs:       the handle
 * @section:   where it lies
 * @memory:    all of the section, mapped
 * @process:   that has opened it
 * @instance:  of the region, when the channel was opened
 * @slot:      own slot
 * @peer:      the other end's
 * @claim:     offset of what is locked for this end alone
 * @wakes:     we can be rung
 * @spin_us:   limit of how long a wait looks before it sleeps; atomic
 * @error:     what calls return; 0 while a session lasts; atomic, written with
 *             @lock held
 * @looked_at: when the region and the peer were last looked at, by
 *             channel_coarse_ms(); atomic
 * @vectors:   on which the peer can be rung, or 0 if not known; atomic
 * @kicks:     for the status; atomic
 * @sleeps:    for the status; atomic
 * @tx:        sending; its lock guards the sending half of @queues
 * @rx:        receiving; its lock guards the other half
 * @next:      in the list of all that are open
 * @lock:      guards all below
 * @link:      the link; its steps that set up rings need the locks of both ways
 * @queues:    the rings
 * @poll_fd:   what ivshmem_channel_fd() returned, or -1
 * @timer_fd:  makes it readable when it is time to look
 * @faults:    sessions that ended by a fault
 * @reason:    why the last one ended
 */
struct ivshmem_channel {
	struct ivshmem *ivs;
	struct ivshmem_section section;
	void *memory;
	pid_t process;
	uint32_t instance;
	uint32_t slot;
	uint32_t peer;
	uint64_t claim;
	bool wakes;
	unsigned int spin_us;
	int error;
	uint32_t looked_at;
	uint32_t vectors;
	uint64_t kicks;
	uint64_t sleeps;
	struct channel_way tx;
	struct channel_way rx;
	struct ivshmem_channel *next;
	pthread_mutex_t lock;
	struct ivlink link;
	struct ivlink_queue queues[IVREGION_QUEUES_MAX];
	int poll_fd;
	int timer_fd;
	uint64_t faults;
	const char *reason;
};

/* channel.c */

/** channel_error() - what calls return now: 0 or a negative errno value */
int channel_error(const struct ivshmem_channel *ch);

/**
 * channel_end() - the session is over, for a reason that a ring has found
 *
 * Called with the lock of the way that found it.
 *
 * Return: what calls return from now on.
 */
int channel_end(struct ivshmem_channel *ch, enum ivring_fault reason);

/**
 * channel_look() - see whether region, peer and session are still the same
 *
 * Called with the lock of a way.  Looks at the region at most once in
 * IVLINK_STEP_MS.
 *
 * Return: what calls return now.
 */
int channel_look(struct ivshmem_channel *ch);

/** channel_beat() - channel_look(), if none was for IVPEER_BEAT_MS */
void channel_beat(struct ivshmem_channel *ch);

/** channel_lost() - no session is possible any more: -ENODEV or -ESTALE */
int channel_lost(struct ivshmem_channel *ch, int error);

/** channel_kick() - the peer should look; errors are not its caller's */
void channel_kick(struct ivshmem_channel *ch);

/* channel_wait.c */

/** channel_coarse_ms() - of a clock that is cheap to read everywhere */
uint32_t channel_coarse_ms(void);

/** channel_way_init(), channel_way_release() - with the descriptor to wait on */
int channel_way_init(struct ivshmem_channel *ch, struct channel_way *way);
void channel_way_release(struct channel_way *way);

/**
 * struct channel_patience - of one call
 * @timeout_ms: as its caller gave it
 * @begun:      @deadline is known
 * @deadline:   see ivshmem_deadline()
 * @nap_us:     how long it has last slept, where nobody can ring
 */
struct channel_patience {
	int timeout_ms;
	bool begun;
	int64_t deadline;
	unsigned int nap_us;
};

/**
 * channel_wait() - wait until a way can go on
 * @length: for sending: until a message of so many bytes fits
 *
 * Called with the lock of the way, and a session.
 *
 * Return: 0, when it is time to try again; -EAGAIN, -ETIMEDOUT, -EINTR, or what
 * calls return from now on.
 */
int channel_wait(struct ivshmem_channel *ch, struct channel_way *way,
		 uint32_t length, struct channel_patience *patience);

/**
 * channel_sleep() - sleep until rung, for @most_ms at most
 *
 * Return: 0; -EAGAIN and -ETIMEDOUT when the time is over, -EINTR, -ENODEV.
 */
int channel_sleep(struct ivshmem_channel *ch, struct channel_way *way,
		  int most_ms, struct channel_patience *patience);

/**
 * channel_nap() - sleep shortly: for what nobody rings about
 *
 * Called with the lock of the way.  Return: as channel_wait().
 */
int channel_nap(struct ivshmem_channel *ch, struct channel_way *way,
		struct channel_patience *patience);

/** channel_settle() - forget that the way was rung; 0 or -ENODEV */
int channel_settle(struct ivshmem_channel *ch, struct channel_way *way);

/**
 * channel_arm() - tell of this way by ivshmem_channel_fd(), if that was called
 * @look_ms: and in any case so much later
 *
 * Called with the lock of the way, as is channel_disarm().
 */
void channel_arm(struct ivshmem_channel *ch, struct channel_way *way,
		 int look_ms);
/** channel_disarm() - the way's caller has got what it wanted */
void channel_disarm(struct ivshmem_channel *ch, struct channel_way *way);

#endif /* IVSHMEM_CHANNEL_H */
