/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The disk: the front end of a BLK section.
 *
 * main.c binds to the section, links.c brings links to the other peers up and down
 * and finds out which of them has a disk, session.c begins and ends what is done
 * with it, disk.c makes a block device of it.  submit.c puts requests into the rings,
 * with data in buffers.c's places, complete.c takes the responses out.
 *
 * A request that the block layer has given to the driver is in the table of its
 * queue until it is answered or fails, whatever becomes of sessions meanwhile.  Who
 * takes it out of the table, under the queue's lock, completes it: nobody else does.
 *
 * Locks: @lock of struct ivblk, a mutex, is held by who changes the state of a link
 * or of the disk, and never while I/O is waited for; @lock of struct ivblk_queue,
 * with bottom halves off and inside of it, by who uses the rings and the table of
 * the queue.  The rings that a queue uses change only while the block layer submits
 * nothing, so that data is copied without a lock.
 */
#ifndef _IVBLK_H
#define _IVBLK_H

#include <linux/blk-mq.h>
#include <linux/genalloc.h>
#include <linux/irq_poll.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include <ivshmem/blk.h>

#include "ivshmem.h"

/* What buffers are made of: every block size divides it */
#define IVBLK_GRANULE		IVBLK_BLOCK_MAX
#define IVBLK_GRANULE_LOG2	12
/* The pools' first byte: 0 is no space */
#define IVBLK_POOL_BASE		IVBLK_GRANULE
/* Bytes of a request that all pools should have room for several of */
#define IVBLK_LENGTH_GOOD	SZ_128K
#define IVBLK_DEPTH_MAX		256
/* Of a request's id; the rest says which of those that had the tag */
#define IVBLK_TAG_BITS		16
#define IVBLK_TAG_MASK		((1U << IVBLK_TAG_BITS) - 1)
/* Bytes of a ring that are not requests or responses: hellos, padding */
#define IVBLK_RING_RESERVE	256
/* Responses that are taken before others have their turn */
#define IVBLK_BUDGET		64
/* Milliseconds until a request that found no buffer looks again in any case */
#define IVBLK_RETRY_MS		3
/* How often a request may be left without an answer before it fails */
#define IVBLK_TRIES		2
#define IVBLK_RECONNECT_SECONDS	60
/* Microseconds of looking for the answer to a single request */
#define IVBLK_POLL_USECS	50
#define IVBLK_POLL_USECS_MAX	1000
/* Requests in a row that were the only ones, until that pays */
#define IVBLK_SPIN_AFTER	16U
/* One of so many shows whether they still are */
#define IVBLK_SPIN_PROBE	64U
/* A peer is asked again so soon, then each time later */
#define IVBLK_ASK_MS		1000U
#define IVBLK_ASK_MAX_MS	8000U
#define IVBLK_RECONNECT_MAX	(7 * 24 * 3600)
/* Rings and back ends are looked at so often, whether kicked or not */
#define IVBLK_LOOK_MS		IVPEER_BEAT_MS

struct dentry;
struct ivblk;

/* What a queue does with requests; changes under its lock */
enum ivblk_mode {
	IVBLK_HOLD,		/* keeps them for the next session */
	IVBLK_SEND,
	IVBLK_FAIL,
};

enum ivblk_state {
	IVBLK_NO_DISK,		/* no back end has come yet */
	IVBLK_WAITING,		/* for the back end: requests wait, too */
	IVBLK_READY,
	IVBLK_FAILED,		/* it did not return in time */
};

/**
 * struct ivblk_command - what the driver keeps with a request
 * @node: in a list of those that are to be completed
 * @io: what the back end is asked for; the buffer is one of @pool
 * @pool: where its buffer was allocated, or NULL
 * @data: of a read, where the data is once it is answered
 * @status: what to tell the block layer
 * @began: jiffies when it was sent first
 * @sent_at: jiffies when it was sent last
 * @tries: times that it was not answered in time
 * @written: of a flush, what it covers: see ivblk_written()
 */
struct ivblk_command {
	struct list_head node;
	struct ivblk_io io;
	struct gen_pool *pool;
	const u8 __ivshmem *data;
	blk_status_t status;
	unsigned long began;
	unsigned long sent_at;
	unsigned int tries;
	unsigned long written;
};

/**
 * struct ivblk_entry - a request without an answer
 * @rq: the request, or NULL
 * @id: as the back end knows it
 */
struct ivblk_entry {
	struct request *rq;
	u32 id;
};

/**
 * struct ivblk_counters - of a queue, under its lock
 * @requests: sent, repeated ones as well
 * @responses: received
 * @kicks: doorbells rung
 * @looks: times that was looked for responses
 * @replays: requests that were sent again
 * @starved: times that a request found no buffer, or no room in the ring
 * @spins: times that the answer to a single request might be looked for
 * @hits: times that it came
 */
struct ivblk_counters {
	u64 requests;
	u64 responses;
	u64 kicks;
	u64 looks;
	u64 replays;
	u64 starved;
	u64 spins;
	u64 hits;
};

/**
 * struct ivblk_queue - a hardware queue: a pair of rings
 * @ivblk: the disk
 * @iop: looks at responses, in a softirq
 * @index: number of the queue, and of the rings
 * @polled: the block layer looks for responses: no doorbell is wanted
 * @lock: of all below but @pools
 * @mode: what is done with requests
 * @peer: slot of the back end
 * @pair: the rings; changes only while nothing is submitted, as do the next two
 * @tx_buffers: buffers of this side: what is to be written
 * @rx_buffers: buffers of the back end: what was read
 * @seq: of the next id
 * @busy: requests in @table
 * @starved: a request waits for a buffer, or room in the ring; without the lock
 * @written: writes that were answered and may be in a cache
 * @full: the ring had no room
 * @full_since: jiffies when it was found so
 * @armed: the back end was asked to ring when it answers next
 * @lone: requests in a row that came when there was no other
 * @depth: of @table
 * @table: requests without an answer, by tag
 * @tagged: bytes at the beginning of the buffers that belong to tags
 * @pools: what is free of the rest, by data direction
 * @counters: statistics
 */
struct ivblk_queue {
	struct ivblk *ivblk;
	struct irq_poll iop;
	unsigned int index;
	bool polled;
	spinlock_t lock;
	enum ivblk_mode mode;
	u32 peer;
	struct ivlink_queue *pair;
	u8 __ivshmem *tx_buffers;
	const u8 __ivshmem *rx_buffers;
	u16 seq;
	unsigned int busy;
	bool starved;
	unsigned long written;
	bool full;
	unsigned long full_since;
	bool armed;
	unsigned int lone;
	unsigned int depth;
	struct ivblk_entry *table;
	u32 tagged;
	struct gen_pool *pools[2];
	struct ivblk_counters counters;
} ____cacheline_aligned_in_smp;

/**
 * struct ivblk_link - the link to one peer; all under &ivblk.lock
 * @link: the link
 * @queues: its rings; those of the back end in use are under the queues' locks
 * @disk: what the peer says
 * @said: it has said hello
 * @objection: why its disk is not used, as was said; NULL: nothing was
 * @ask_ms: how long it has for something of use, since the link is up
 * @ask_at: jiffies when that ends
 */
struct ivblk_link {
	struct ivlink link;
	struct ivlink_queue *queues;
	struct ivblk_disk disk;
	const char *objection;
	unsigned int ask_ms;
	unsigned long ask_at;
	bool said;
};

/**
 * struct ivblk - a disk
 * @dev: the auxiliary device
 * @function: the section
 * @slot: own slot
 * @nr_links: slots
 * @id: N of /dev/ivblkN
 * @buffers: bytes of the buffers of a ring
 * @max_queues: queues that are used at most
 * @lock: held while the state of a link or of the disk changes
 * @work: steps the links, one run at a time
 * @add: makes the block device, which reads it
 * @timer: looks at the rings where nobody can ring
 * @unsettled: some link waits for its peer, whose kick @work has to see
 * @kicked_at: jiffies when it was last told of one
 * @dying: the driver is being unbound
 * @asleep: the machine is, or is about to be
 * @paused: the block layer submits nothing because of @asleep
 * @state: of the disk
 * @info: the disk, as the block layer knows it; of a size that a back end has to have
 * @sized_at: jiffies when the size was last said
 * @active: link to the back end in use, or NULL
 * @flushed: what the last flush covered; see ivblk_written()
 * @cache_lost: what was not flushed is lost: bit 0
 * @lost: the session with it is over
 * @restart: it has to end, though the back end is there
 * @news: what it has said since, under the lock of queue 0
 * @has_news: it has; likewise
 * @news_at: jiffies when it was last heard
 * @lost_at: jiffies when the back end was lost
 * @reconnect_timeout: seconds that requests wait for its return, 0 for ever
 * @poll_usecs: how long to look for the answer to a single request
 * @disk: the block device, or NULL
 * @added: it was added
 * @held: the block layer submits nothing, for there is no back end
 * @nr_queues: queues of @disk
 * @nr_polled: the last ones of these, which are polled
 * @tags: of @disk
 * @queues: as many as @max_queues
 * @links: for each slot; the own one's is not used
 * @doorbells: times that the section was rung
 * @sessions: how often a back end was used
 * @faults: how often it was at fault
 * @failures: requests that failed for want of a back end
 * @debugfs: directory of the disk
 */
struct ivblk {
	struct device *dev;
	struct ivshmem_function *function;
	u32 slot;
	u32 nr_links;
	unsigned int id;
	u32 buffers;
	unsigned int max_queues;
	struct mutex lock;
	struct delayed_work work;
	struct work_struct add;
	struct timer_list timer;
	bool unsettled;
	unsigned long kicked_at;
	bool dying;
	bool asleep;
	bool paused;
	enum ivblk_state state;
	struct ivblk_disk info;
	struct ivblk_link *active;
	unsigned long flushed;
	unsigned long cache_lost;
	bool lost;
	bool restart;
	struct ivblk_disk news;
	bool has_news;
	unsigned long news_at;
	unsigned long sized_at;
	unsigned long lost_at;
	unsigned int reconnect_timeout;
	unsigned int poll_usecs;
	struct gendisk *disk;
	bool added;
	bool held;
	unsigned int nr_queues;
	unsigned int nr_polled;
	struct blk_mq_tag_set tags;
	struct ivblk_queue *queues;
	struct ivblk_link *links;
	atomic64_t doorbells;
	u64 sessions;
	u64 faults;
	u64 failures;
	struct dentry *debugfs;
};

static inline u32 ivblk_link_slot(const struct ivblk *ivblk,
				  const struct ivblk_link *link)
{
	return link - ivblk->links;
}

/* main.c */
extern struct workqueue_struct *ivblk_wq;
extern unsigned int ivblk_poll_queues;
void ivblk_run(struct ivblk *ivblk);

/* links.c */
void ivblk_links_work(struct work_struct *work);
void ivblk_links_stop(struct ivblk *ivblk);

/* session.c */
bool ivblk_is_same(const struct ivblk_disk *was, const struct ivblk_disk *is);
void ivblk_session_begin(struct ivblk *ivblk, struct ivblk_link *link);
void ivblk_session_end(struct ivblk *ivblk);
unsigned long ivblk_written(const struct ivblk *ivblk);
void ivblk_session_lost(struct ivblk *ivblk);
void ivblk_session_restart(struct ivblk *ivblk);
void ivblk_session_look(struct ivblk *ivblk);
void ivblk_session_news(struct ivblk *ivblk);
void ivblk_give_up(struct ivblk *ivblk);

/* disk.c */
unsigned int ivblk_depth(const struct ivblk *ivblk);
void ivblk_disk_choose(struct ivblk *ivblk);
void ivblk_disk_hold(struct ivblk *ivblk);
void ivblk_disk_release(struct ivblk *ivblk);
void ivblk_disk_pause(struct ivblk *ivblk, bool pause);
void ivblk_disk_resize(struct ivblk *ivblk, u64 sectors);
unsigned int ivblk_request_timeout(const struct ivblk *ivblk);
void ivblk_add_work(struct work_struct *work);
void ivblk_disk_remove(struct ivblk *ivblk);

/* submit.c */
blk_status_t ivblk_queue_rq(struct blk_mq_hw_ctx *hctx,
			    const struct blk_mq_queue_data *bd);
void ivblk_commit_rqs(struct blk_mq_hw_ctx *hctx);
bool ivblk_queue_begin(struct ivblk_queue *queue, struct ivblk_link *link);

/* buffers.c */
u32 ivblk_buffers_shared(const struct ivblk *ivblk);
int ivblk_buffers_create(struct ivblk_queue *queue);
void ivblk_buffers_destroy(struct ivblk_queue *queue);
bool ivblk_buffer_get(struct ivblk_queue *queue, struct request *rq);
void ivblk_buffer_put(struct ivblk_command *command);

/* complete.c */
void ivblk_complete(struct request *rq);
bool ivblk_may_spin(struct ivblk_queue *queue);
void ivblk_await(struct ivblk_queue *queue, bool spin);
int ivblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob);
void ivblk_look_polled(struct ivblk_queue *queue);
int ivblk_irq_poll(struct irq_poll *iop, int budget);
enum blk_eh_timer_return ivblk_timeout(struct request *rq);
void ivblk_queue_doom(struct ivblk_queue *queue);
unsigned int ivblk_queue_fail(struct ivblk_queue *queue, unsigned int tries);

/* sysfs.c */
extern const struct attribute_group *ivblk_groups[];
extern const struct attribute_group *ivblk_disk_groups[];

/* debugfs.c */
void ivblk_debugfs_add(struct ivblk *ivblk);
void ivblk_debugfs_remove(struct ivblk *ivblk);
void ivblk_debugfs_register(void);
void ivblk_debugfs_unregister(void);

#endif /* _IVBLK_H */
