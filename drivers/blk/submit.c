// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests: the data of a write is copied into buffers of this side, then the
 * request into the ring.
 */
#include <linux/bvec.h>
#include <linux/jiffies.h>

#include "ivblk.h"
#include "trace.h"

/* What the block layer wants, in the format's words */
static blk_status_t ivblk_translate(struct ivblk_io *io, struct request *rq)
{
	io->flags = 0;
	io->buffer = 0;
	io->length = blk_rq_bytes(rq);
	io->sector = blk_rq_pos(rq);

	switch (req_op(rq)) {
	case REQ_OP_READ:
		io->operation = IVBLK_OP_READ;
		return BLK_STS_OK;
	case REQ_OP_WRITE:
		io->operation = IVBLK_OP_WRITE;
		break;
	case REQ_OP_FLUSH:
		io->operation = IVBLK_OP_FLUSH;
		io->length = 0;
		io->sector = 0;
		return BLK_STS_OK;
	case REQ_OP_DISCARD:
		io->operation = IVBLK_OP_DISCARD;
		return BLK_STS_OK;
	case REQ_OP_WRITE_ZEROES:
		io->operation = IVBLK_OP_ZEROES;
		if (rq->cmd_flags & REQ_NOUNMAP)
			io->flags |= IVBLK_REQUEST_KEEP;
		break;
	default:
		return BLK_STS_NOTSUPP;
	}
	if (rq->cmd_flags & REQ_FUA)
		io->flags |= IVBLK_REQUEST_FUA;
	return BLK_STS_OK;
}

static bool ivblk_has_data(const struct ivblk_io *io)
{
	return io->operation == IVBLK_OP_READ ||
	       io->operation == IVBLK_OP_WRITE;
}

/* The one copy of what is written */
static void ivblk_copy_out(struct ivblk_queue *queue, struct request *rq)
{
	const struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	struct req_iterator iter;
	struct bio_vec bvec;
	u8 __ivshmem *to;
	void *from;

	to = queue->tx_buffers + command->io.buffer;
	rq_for_each_segment(bvec, rq, iter) {
		from = bvec_kmap_local(&bvec);
		ivshmem_copy_out(to, from, bvec.bv_len);
		kunmap_local(from);
		to += bvec.bv_len;
	}
}

/* All that can be done without the queue's lock */
static blk_status_t ivblk_prepare(struct ivblk_queue *queue, struct request *rq)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	const struct ivblk_disk *info = &queue->ivblk->info;
	struct ivblk_io *io = &command->io;
	blk_status_t status;

	command->pool = NULL;
	command->tries = 0;
	command->began = jiffies;
	status = ivblk_translate(io, rq);
	if (status)
		return status;
	if (!ivblk_is_supported(info, io))
		return BLK_STS_NOTSUPP;
	if (io->operation == IVBLK_OP_FLUSH &&
	    test_and_clear_bit(0, &queue->ivblk->cache_lost))
		return BLK_STS_IOERR;
	if (!ivblk_has_data(io))
		return BLK_STS_OK;

	if (!ivblk_buffer_get(queue, rq))
		return BLK_STS_DEV_RESOURCE;
	if (io->operation == IVBLK_OP_WRITE)
		ivblk_copy_out(queue, rq);
	return BLK_STS_OK;
}

/* Into the table; of the queue's lock */
static void ivblk_enter(struct ivblk_queue *queue, struct request *rq)
{
	struct ivblk_entry *entry = &queue->table[rq->tag];
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);

	/* An answer to who had the tag before is none to this one */
	command->io.id = (u32)queue->seq++ << IVBLK_TAG_BITS | rq->tag;
	if (command->io.operation == IVBLK_OP_FLUSH)
		command->written = ivblk_written(queue->ivblk);
	command->sent_at = jiffies;
	entry->rq = rq;
	entry->id = command->io.id;
	queue->busy++;
}

static void ivblk_leave(struct ivblk_queue *queue, struct request *rq)
{
	queue->table[rq->tag].rq = NULL;
	queue->busy--;
}

/* Into the ring; of the queue's lock.  Returns as ivring_reserve() does */
static int ivblk_write_request(struct ivblk_queue *queue,
			       const struct ivblk_io *io)
{
	struct ivring_producer *tx = &queue->pair->tx;
	struct ivblk_request request = {
		.id = ivshmem_to_le32(io->id),
		.operation = ivshmem_to_le32(io->operation),
		.flags = ivshmem_to_le32(io->flags),
		.length = ivshmem_to_le32(io->length),
		.sector_low = ivshmem_to_le32(lower_32_bits(io->sector)),
		.sector_high = ivshmem_to_le32(upper_32_bits(io->sector)),
		.buffer = ivshmem_to_le32(io->buffer),
	};
	void __ivshmem *payload;
	int ret;

	ret = ivring_reserve(tx, sizeof(request), &payload);
	if (ret)
		return ret;
	ivshmem_copy_out(payload, &request, sizeof(request));
	ivring_commit(tx, sizeof(request), IVBLK_KIND_REQUEST);
	queue->counters.requests++;
	return 0;
}

/* Shows the back end what was sent; whether to kick it.  Of the queue's lock */
static bool ivblk_publish(struct ivblk_queue *queue)
{
	bool kick = ivring_publish(&queue->pair->tx);

	queue->counters.kicks += kick;
	return kick;
}

/*
 * The ring has no room, though it has for all requests that there can be: the back
 * end answers what it has not released yet.  Of the queue's lock.
 */
static blk_status_t ivblk_ring_full(struct ivblk_queue *queue)
{
	if (!queue->full)
		queue->full_since = jiffies;
	queue->full = true;
	return BLK_STS_DEV_RESOURCE;
}

/* Of the queue's lock; *kick if the back end wants to be told */
static blk_status_t ivblk_send(struct ivblk_queue *queue, struct request *rq,
			       bool last, bool *kick)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	int ret;

	if (queue->mode == IVBLK_FAIL)
		return BLK_STS_IOERR;
	ivblk_enter(queue, rq);
	/* A session has just ended: it is sent in the next one */
	if (queue->mode == IVBLK_HOLD)
		return BLK_STS_OK;

	ret = ivblk_write_request(queue, &command->io);
	if (ret == -EAGAIN) {
		ivblk_leave(queue, rq);
		*kick = ivblk_publish(queue);
		return ivblk_ring_full(queue);
	}
	if (ret) {
		WRITE_ONCE(queue->mode, IVBLK_HOLD);
		ivblk_session_lost(queue->ivblk);
		return BLK_STS_OK;
	}
	queue->full = false;
	if (last)
		*kick = ivblk_publish(queue);
	return BLK_STS_OK;
}

/*
 * The queue is run when the next request ends, whose buffer is free then.  That may
 * have been a moment ago, or come before the block layer has put the request where
 * it finds it: so it is run a bit later in any case.
 */
static blk_status_t ivblk_retry(struct blk_mq_hw_ctx *hctx)
{
	struct ivblk_queue *queue = hctx->driver_data;

	spin_lock_bh(&queue->lock);
	queue->counters.starved++;
	spin_unlock_bh(&queue->lock);
	WRITE_ONCE(queue->starved, true);
	blk_mq_delay_run_hw_queue(hctx, IVBLK_RETRY_MS);
	return BLK_STS_DEV_RESOURCE;
}

/**
 * ivblk_queue_rq() - a request of the block layer
 * @hctx: the queue
 * @bd: the request, and whether another one follows
 *
 * Context: Process; does not sleep.
 * Return: what the block layer does with it.
 */
blk_status_t ivblk_queue_rq(struct blk_mq_hw_ctx *hctx,
			    const struct blk_mq_queue_data *bd)
{
	struct ivblk_queue *queue = hctx->driver_data;
	struct ivblk *ivblk = queue->ivblk;
	struct request *rq = bd->rq;
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	blk_status_t status;
	bool kick = false, spin = false;

	/* Or what is there belongs to others by now: the disk goes soon */
	if (READ_ONCE(queue->mode) == IVBLK_FAIL ||
	    !ivshmem_function_intact(ivblk->function))
		return BLK_STS_IOERR;
	status = ivblk_prepare(queue, rq);
	if (status)
		return status == BLK_STS_DEV_RESOURCE ? ivblk_retry(hctx) :
							status;

	blk_mq_start_request(rq);
	spin_lock_bh(&queue->lock);
	status = ivblk_send(queue, rq, bd->last, &kick);
	if (!status && bd->last)
		spin = ivblk_may_spin(queue);
	spin_unlock_bh(&queue->lock);

	if (kick)
		ivshmem_function_kick(ivblk->function, queue->peer);
	if (status)
		ivblk_buffer_put(command);
	else if (bd->last)
		ivblk_await(queue, spin);
	return status == BLK_STS_DEV_RESOURCE ? ivblk_retry(hctx) : status;
}

/**
 * ivblk_commit_rqs() - the requests of a batch are followed by no other
 * @hctx: the queue
 *
 * Context: Process; does not sleep.
 */
void ivblk_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct ivblk_queue *queue = hctx->driver_data;
	bool kick = false;

	spin_lock_bh(&queue->lock);
	if (queue->mode == IVBLK_SEND &&
	    ivshmem_function_intact(queue->ivblk->function))
		kick = ivblk_publish(queue);
	spin_unlock_bh(&queue->lock);

	if (kick)
		ivshmem_function_kick(queue->ivblk->function, queue->peer);
	ivblk_await(queue, false);
}

/* Where the buffers are, of this side and of the back end */
static void ivblk_queue_attach(struct ivblk_queue *queue,
			       struct ivblk_link *link)
{
	struct ivlink_queue *pair = &link->queues[queue->index];

	queue->peer = ivblk_link_slot(queue->ivblk, link);
	queue->pair = pair;
	/* They lie behind the records */
	queue->tx_buffers = pair->tx.data + pair->tx.size;
	queue->rx_buffers = pair->rx.data + pair->rx.size;
	queue->full = false;
	queue->armed = false;
}

/* Sends what has no answer again; false if the session is over already */
static bool ivblk_replay(struct ivblk_queue *queue)
{
	struct ivblk_command *command;
	struct request *rq;
	unsigned int i;

	for (i = 0; i < queue->depth; i++) {
		rq = queue->table[i].rq;
		if (!rq)
			continue;
		command = blk_mq_rq_to_pdu(rq);
		ivblk_leave(queue, rq);
		ivblk_enter(queue, rq);
		if (ivblk_write_request(queue, &command->io))
			return false;
		queue->counters.replays++;
		trace_ivblk_replay(queue, &command->io);
	}
	return true;
}

/**
 * ivblk_queue_begin() - use the rings of a new session
 * @queue: the queue, to which nothing is submitted
 * @link: to the back end, whose hello has come
 *
 * All that has no answer is sent again, with its data, which may have been in
 * another back end's place before.
 *
 * Context: Process, with &ivblk.lock; may sleep.
 * Return: whether to kick the back end.
 */
bool ivblk_queue_begin(struct ivblk_queue *queue, struct ivblk_link *link)
{
	struct ivblk_command *command;
	bool kick = false;
	unsigned int i;

	ivblk_queue_attach(queue, link);
	/* Nobody else changes the table: nothing is submitted or answered */
	for (i = 0; i < queue->depth; i++) {
		if (!queue->table[i].rq)
			continue;
		command = blk_mq_rq_to_pdu(queue->table[i].rq);
		if (command->io.operation == IVBLK_OP_WRITE)
			ivblk_copy_out(queue, queue->table[i].rq);
		cond_resched();
	}

	spin_lock_bh(&queue->lock);
	if (ivblk_replay(queue)) {
		WRITE_ONCE(queue->mode, IVBLK_SEND);
		kick = ivblk_publish(queue);
	} else {
		WRITE_ONCE(queue->mode, IVBLK_HOLD);
		ivblk_session_lost(queue->ivblk);
	}
	spin_unlock_bh(&queue->lock);
	return kick;
}
