// SPDX-License-Identifier: GPL-2.0-only
/*
 * Responses: each is copied, compared with the table of what has none yet, and
 * believed for that request alone.  What was read is copied out of the back end's
 * buffers before the request is completed.
 */
#include <linux/bvec.h>
#include <linux/jiffies.h>
#include <linux/nospec.h>
#include <linux/sched/clock.h>

#include "ivblk.h"
#include "trace.h"

static blk_status_t ivblk_status(u32 status)
{
	switch (status) {
	case IVBLK_OK:
		return BLK_STS_OK;
	case IVBLK_NO_SPACE:
		return BLK_STS_NOSPC;
	case IVBLK_UNSUPPORTED:
		return BLK_STS_NOTSUPP;
	default:
		return BLK_STS_IOERR;
	}
}

/* The one copy of what was read, whatever the back end still does with it */
static void ivblk_copy_in(struct request *rq)
{
	const struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	struct req_iterator iter;
	const u8 __ivshmem *from;
	struct bio_vec bvec;
	void *to;

	from = command->data;
	rq_for_each_segment(bvec, rq, iter) {
		to = bvec_kmap_local(&bvec);
		ivshmem_copy_in(to, from, bvec.bv_len);
		flush_dcache_page(bvec.bv_page);
		kunmap_local(to);
		from += bvec.bv_len;
	}
}

/* What is left to do for a request that is in the table no more */
static blk_status_t ivblk_finish(struct request *rq)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	struct ivblk_queue *queue = rq->mq_hctx->driver_data;

	if (command->io.operation == IVBLK_OP_READ && !command->status)
		ivblk_copy_in(rq);
	ivblk_buffer_put(command);
	/* The block layer does not, where requests end in a batch */
	if (READ_ONCE(queue->starved)) {
		WRITE_ONCE(queue->starved, false);
		blk_mq_run_hw_queue(rq->mq_hctx, true);
	}
	return command->status;
}

/**
 * ivblk_complete() - complete a request on the processor that it is of
 * @rq: the request
 *
 * Context: Softirq.
 */
void ivblk_complete(struct request *rq)
{
	blk_mq_end_request(rq, ivblk_finish(rq));
}

/* Completes requests that are in no table any more, in batches where that may be */
static void ivblk_complete_all(struct list_head *done, struct io_comp_batch *batch)
{
	struct ivblk_command *command, *next;
	struct request *rq;
	blk_status_t status;

	list_for_each_entry_safe(command, next, done, node) {
		rq = blk_mq_rq_from_pdu(command);
		if (blk_mq_complete_request_remote(rq))
			continue;
		status = ivblk_finish(rq);
		if (!blk_mq_add_to_batch(rq, batch, status != BLK_STS_OK,
					 blk_mq_end_request_batch))
			blk_mq_end_request(rq, status);
	}
}

/* Out of the table; the caller completes it.  Of the queue's lock */
static void ivblk_take(struct ivblk_queue *queue, unsigned int tag,
		       blk_status_t status, struct list_head *done)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(queue->table[tag].rq);

	command->status = status;
	list_add_tail(&command->node, done);
	queue->table[tag].rq = NULL;
	queue->busy--;
}

/* What a flush covers is in no cache any more, other writes may be.  Of the lock */
static void ivblk_count(struct ivblk_queue *queue,
			const struct ivblk_command *command)
{
	const struct ivblk_io *io = &command->io;

	if (io->operation == IVBLK_OP_FLUSH)
		WRITE_ONCE(queue->ivblk->flushed, command->written);
	else if (io->operation != IVBLK_OP_READ &&
		 !(io->flags & IVBLK_REQUEST_FUA))
		WRITE_ONCE(queue->written, queue->written + 1);
}

/* False if it is none, or to no request.  Of the queue's lock */
static bool ivblk_take_response(struct ivblk_queue *queue,
				const void __ivshmem *payload, u32 length,
				struct list_head *done)
{
	struct ivblk_response response;
	struct ivblk_command *command;
	u32 id, tag;

	if (length < sizeof(response))
		return false;
	ivshmem_copy_in(&response, payload, sizeof(response));
	id = ivshmem_from_le32(response.id);
	tag = id & IVBLK_TAG_MASK;
	if (tag >= queue->depth)
		return false;
	tag = array_index_nospec(tag, queue->depth);
	if (!queue->table[tag].rq || queue->table[tag].id != id)
		return false;

	command = blk_mq_rq_to_pdu(queue->table[tag].rq);
	command->data = queue->rx_buffers + command->io.buffer;
	if (response.status == ivshmem_to_le32(IVBLK_OK))
		ivblk_count(queue, command);
	ivblk_take(queue, tag, ivblk_status(ivshmem_from_le32(response.status)),
		   done);
	queue->counters.responses++;
	return true;
}

/* Another hello of the back end; of the lock of queue 0 */
static bool ivblk_take_hello(struct ivblk_queue *queue,
			     const void __ivshmem *payload, u32 length)
{
	struct ivblk *ivblk = queue->ivblk;
	struct ivblk_hello hello;
	struct ivblk_disk news;

	if (queue->index || length < sizeof(hello))
		return false;
	ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (!ivblk_parse_hello(&news, &hello, length,
			       ivshmem_function_section(ivblk->function)->queues) ||
	    news.role != IVBLK_BACK_END)
		return false;
	/* One that was right may still be waiting there */
	ivblk->news = news;
	WRITE_ONCE(ivblk->has_news, true);
	return true;
}

static bool ivblk_take_record(struct ivblk_queue *queue,
			      const void __ivshmem *payload, u32 length,
			      u32 kind, struct list_head *done)
{
	switch (kind) {
	case IVBLK_KIND_RESPONSE:
		return ivblk_take_response(queue, payload, length, done);
	case IVBLK_KIND_HELLO:
		return ivblk_take_hello(queue, payload, length);
	default:
		/* Others than requests are of a newer version */
		return kind != IVBLK_KIND_REQUEST;
	}
}

/* Up to @budget records; how many there were.  Of the queue's lock */
static int ivblk_take_records(struct ivblk_queue *queue, int budget,
			      struct list_head *done)
{
	struct ivring_consumer *rx = &queue->pair->rx;
	const void __ivshmem *payload;
	u32 length, kind;
	int ret, n;

	for (n = 0; n < budget; n++) {
		ret = ivring_peek(rx, &payload, &length, &kind);
		if (ret == -EAGAIN)
			break;
		if (!ret && !ivblk_take_record(queue, payload, length, kind,
					       done)) {
			rx->fault = IVRING_BAD_RECORD;
			ret = -EPROTO;
		}
		if (ret) {
			WRITE_ONCE(queue->mode, IVBLK_HOLD);
			ivblk_session_lost(queue->ivblk);
			break;
		}
		ivring_advance(rx);
	}
	return n;
}

/* Completes up to @budget requests that are answered; how many records there were */
static int ivblk_reap(struct ivblk_queue *queue, struct io_comp_batch *batch,
		      int budget)
{
	struct ivblk *ivblk = queue->ivblk;
	LIST_HEAD(done);
	bool kick = false;
	int n = 0;

	spin_lock_bh(&queue->lock);
	queue->counters.looks++;
	if (queue->mode == IVBLK_SEND &&
	    ivshmem_function_intact(ivblk->function)) {
		n = ivblk_take_records(queue, budget, &done);
		if (n)
			queue->armed = false;
		if (queue->mode == IVBLK_SEND)
			kick = ivring_release(&queue->pair->rx);
		queue->counters.kicks += kick;
	}
	spin_unlock_bh(&queue->lock);

	if (kick)
		ivshmem_function_kick(ivblk->function, queue->peer);
	ivblk_complete_all(&done, batch);
	return n;
}

/**
 * ivblk_look_polled() - look at a queue that is polled, in case nobody does
 * @queue: the queue
 *
 * Context: Process: requests that are polled do not end in a softirq.
 */
void ivblk_look_polled(struct ivblk_queue *queue)
{
	ivblk_reap(queue, NULL, queue->depth);
}

/*
 * Asks the back end to ring if it has something to answer, unless the queue is polled;
 * false if there is something already.  Of the queue's lock
 */
static bool ivblk_arm(struct ivblk_queue *queue)
{
	if (queue->mode != IVBLK_SEND || !queue->busy || queue->armed ||
	    queue->polled || !ivshmem_function_intact(queue->ivblk->function))
		return true;
	queue->armed = true;
	return !ivring_want_data(&queue->pair->rx);
}

/**
 * ivblk_may_spin() - whether to look for the answer to what was just sent
 * @queue: the queue
 *
 * It is where whoever submits waits for each request before the next one: then nobody
 * wants the processor, and looking is cheaper than two doorbells and an interrupt, and
 * quicker.  That shows when nothing is looked for, which is why now and then a request
 * is left alone.
 *
 * Context: Process, with the queue's lock.
 * Return: what to give to ivblk_await().
 */
bool ivblk_may_spin(struct ivblk_queue *queue)
{
	if (queue->polled || queue->mode != IVBLK_SEND ||
	    !READ_ONCE(queue->ivblk->poll_usecs))
		return false;
	if (queue->busy != 1) {
		queue->lone = 0;
		return false;
	}
	if (queue->lone < IVBLK_SPIN_AFTER) {
		queue->lone++;
		return false;
	}
	if (++queue->counters.spins % IVBLK_SPIN_PROBE)
		return true;
	queue->lone--;
	return false;
}

/* Whether there is something in the ring; says no if it has changed meanwhile */
static bool ivblk_is_answered(const struct ivblk_queue *queue)
{
	const struct ivring_consumer *rx = &queue->pair->rx;

	/* Another processor may take what is there: then this looks once more */
	return ivshmem_load32(&rx->peer->prod) != data_race(rx->prod);
}

/* Whether all is answered after a while */
static bool ivblk_spin(struct ivblk_queue *queue)
{
	u64 until = local_clock() +
		    READ_ONCE(queue->ivblk->poll_usecs) * NSEC_PER_USEC;

	do {
		if (ivblk_is_answered(queue))
			ivblk_reap(queue, NULL, IVBLK_BUDGET);
		cpu_relax();
	} while (READ_ONCE(queue->busy) && !need_resched() &&
		 local_clock() < until);
	return !READ_ONCE(queue->busy);
}

/**
 * ivblk_await() - requests have been sent: see to it that answers are noticed
 * @queue: the queue
 * @spin: look for them for a while
 *
 * Context: Process; the block layer submits, so that the rings stay what they are.
 */
void ivblk_await(struct ivblk_queue *queue, bool spin)
{
	bool hit = spin && ivblk_spin(queue);
	bool idle;

	spin_lock_bh(&queue->lock);
	queue->counters.hits += hit;
	if (spin && !hit)
		queue->lone = 0;
	idle = ivblk_arm(queue);
	spin_unlock_bh(&queue->lock);
	if (!idle)
		irq_poll_sched(&queue->iop);
}

/**
 * ivblk_irq_poll() - a doorbell was rung
 * @iop: of a queue
 * @budget: most records
 *
 * Context: Softirq.
 * Return: records taken.
 */
int ivblk_irq_poll(struct irq_poll *iop, int budget)
{
	struct ivblk_queue *queue = container_of(iop, struct ivblk_queue, iop);
	DEFINE_IO_COMP_BATCH(batch);
	bool idle;
	int n;

	n = ivblk_reap(queue, &batch, budget);
	if (batch.complete)
		batch.complete(&batch);
	if (n >= budget)
		return n;

	/* Who rings from here on is not missed */
	irq_poll_complete(iop);
	spin_lock_bh(&queue->lock);
	idle = ivblk_arm(queue);
	spin_unlock_bh(&queue->lock);
	if (!idle)
		irq_poll_sched(iop);
	return n;
}

/**
 * ivblk_poll() - the block layer looks for responses
 * @hctx: a queue that is polled
 * @iob: where it wants them, or NULL
 *
 * Context: Process.
 * Return: how many there were.
 */
int ivblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob)
{
	return ivblk_reap(hctx->driver_data, iob, IVBLK_BUDGET);
}

/*
 * Whether the session has to end because of a request; counts the times.  It is told under
 * the lock: the next session must not end for what was overdue in this one.
 */
static bool ivblk_is_overdue(struct ivblk_queue *queue, struct request *rq)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	bool overdue;

	spin_lock_bh(&queue->lock);
	/* What waits for a session is not counted, nor what was just sent again */
	overdue = queue->mode == IVBLK_SEND && queue->table[rq->tag].rq == rq &&
		  time_after_eq(jiffies, command->sent_at + rq->timeout);
	if (overdue) {
		command->tries++;
		WRITE_ONCE(queue->ivblk->restart, true);
		trace_ivblk_timeout(queue, &command->io);
	}
	spin_unlock_bh(&queue->lock);
	return overdue;
}

/**
 * ivblk_timeout() - a request has not been answered for long
 * @rq: the request
 *
 * The session ends: in the next one it is sent again, or fails.  It is completed by
 * who takes it out of the table, never here.
 *
 * Context: Process; does not sleep.
 * Return: what the block layer does.
 */
enum blk_eh_timer_return ivblk_timeout(struct request *rq)
{
	struct ivblk_queue *queue = rq->mq_hctx->driver_data;
	struct ivblk *ivblk = queue->ivblk;

	/* It may be answered, and the doorbell lost, or nobody polls */
	ivblk_reap(queue, NULL, queue->depth);
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT)
		return BLK_EH_DONE;

	if (READ_ONCE(ivblk->reconnect_timeout) && ivblk_is_overdue(queue, rq)) {
		dev_warn_ratelimited(ivblk->dev,
				     "back end in slot %u does not answer: beginning anew with it\n",
				     queue->peer);
		ivblk_run(ivblk);
	}
	return BLK_EH_RESET_TIMER;
}

/**
 * ivblk_queue_doom() - let flushes fail, which cover what is lost
 * @queue: the queue, of which no session uses the rings
 *
 * Context: Process; does not sleep.
 */
void ivblk_queue_doom(struct ivblk_queue *queue)
{
	struct ivblk_command *command;
	unsigned int i;

	spin_lock_bh(&queue->lock);
	for (i = 0; i < queue->depth; i++) {
		if (!queue->table[i].rq)
			continue;
		command = blk_mq_rq_to_pdu(queue->table[i].rq);
		if (command->io.operation == IVBLK_OP_FLUSH)
			command->tries = IVBLK_TRIES;
	}
	spin_unlock_bh(&queue->lock);
}

/* Sessions that end before a request is overdue, one after the other, are no answer */
static bool ivblk_is_old(struct ivblk_queue *queue,
			 const struct ivblk_command *command)
{
	unsigned long limit = queue->ivblk->reconnect_timeout * HZ;

	return limit && time_after(jiffies,
				   command->began + (IVBLK_TRIES + 1) * limit);
}

/**
 * ivblk_queue_fail() - fail all requests that have no answer
 * @queue: the queue, of which no session uses the rings
 * @tries: those that were not answered in time so often, or for as long in whatever
 *	   sessions; 0 for all, and all that come from now on
 *
 * Context: Process; does not sleep.
 * Return: how many there were.
 */
unsigned int ivblk_queue_fail(struct ivblk_queue *queue, unsigned int tries)
{
	struct ivblk_command *command;
	unsigned int i, n = 0;
	LIST_HEAD(done);

	spin_lock_bh(&queue->lock);
	if (!tries)
		WRITE_ONCE(queue->mode, IVBLK_FAIL);
	for (i = 0; i < queue->depth; i++) {
		if (!queue->table[i].rq)
			continue;
		command = blk_mq_rq_to_pdu(queue->table[i].rq);
		if (command->tries < tries && !ivblk_is_old(queue, command))
			continue;
		ivblk_take(queue, i, BLK_STS_IOERR, &done);
		n++;
	}
	spin_unlock_bh(&queue->lock);

	ivblk_complete_all(&done, NULL);
	return n;
}
