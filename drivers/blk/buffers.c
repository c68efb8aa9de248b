// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is where in the buffers of both sides.  A request that fits into a granule has
 * the one of its tag, without anything to be looked for; what is longer is allocated
 * behind these.  In buffers that are too small for it all is allocated.
 */
#include "ivblk.h"

/* Bytes that belong to tags */
static u32 ivblk_tagged(const struct ivblk *ivblk)
{
	u32 bytes = ivblk_depth(ivblk) * IVBLK_GRANULE;

	return bytes <= ivblk->buffers / 4 ? bytes : 0;
}

/**
 * ivblk_buffers_shared() - how much there is for requests that do not fit into a
 * granule, all together
 * @ivblk: the disk
 *
 * Context: Any.
 * Return: bytes.
 */
u32 ivblk_buffers_shared(const struct ivblk *ivblk)
{
	return ivblk->buffers - ivblk_tagged(ivblk);
}

static int ivblk_create_pool(const struct ivblk *ivblk, struct gen_pool **pool)
{
	*pool = gen_pool_create(IVBLK_GRANULE_LOG2, NUMA_NO_NODE);
	if (!*pool)
		return -ENOMEM;
	return gen_pool_add(*pool, IVBLK_POOL_BASE + ivblk_tagged(ivblk),
			    ivblk_buffers_shared(ivblk), NUMA_NO_NODE);
}

/**
 * ivblk_buffers_create() - make the pools of a queue
 * @queue: the queue
 *
 * Context: Process; may sleep.
 * Return: 0 or -ENOMEM; ivblk_buffers_destroy() undoes what was done in any case.
 */
int ivblk_buffers_create(struct ivblk_queue *queue)
{
	unsigned int i;
	int ret = 0;

	queue->tagged = ivblk_tagged(queue->ivblk);
	for (i = 0; !ret && i < ARRAY_SIZE(queue->pools); i++)
		ret = ivblk_create_pool(queue->ivblk, &queue->pools[i]);
	return ret;
}

/**
 * ivblk_buffers_destroy() - the reverse
 * @queue: the queue, no request of which has a buffer
 *
 * Context: Process.
 */
void ivblk_buffers_destroy(struct ivblk_queue *queue)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(queue->pools); i++) {
		if (queue->pools[i])
			gen_pool_destroy(queue->pools[i]);
		queue->pools[i] = NULL;
	}
}

/**
 * ivblk_buffer_get() - find a place for the data of a request
 * @queue: the queue
 * @rq: the request, a read or a write
 *
 * Context: Any.
 * Return: false if there is none now: requests of this queue have them all.
 */
bool ivblk_buffer_get(struct ivblk_queue *queue, struct request *rq)
{
	struct ivblk_command *command = blk_mq_rq_to_pdu(rq);
	struct gen_pool *pool =
		queue->pools[command->io.operation == IVBLK_OP_WRITE];
	unsigned long place;

	if (queue->tagged && command->io.length <= IVBLK_GRANULE) {
		command->io.buffer = rq->tag * IVBLK_GRANULE;
		return true;
	}
	place = gen_pool_alloc(pool, command->io.length);
	if (!place)
		return false;
	command->io.buffer = place - IVBLK_POOL_BASE;
	command->pool = pool;
	return true;
}

/**
 * ivblk_buffer_put() - a request needs its place no more, if it has one
 * @command: of the request
 *
 * Context: Any.
 */
void ivblk_buffer_put(struct ivblk_command *command)
{
	if (!command->pool)
		return;
	gen_pool_free(command->pool, IVBLK_POOL_BASE + command->io.buffer,
		      command->io.length);
	command->pool = NULL;
}
