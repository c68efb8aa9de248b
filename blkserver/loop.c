// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submits to an io_uring and reports what has ended.
 */
#include <errno.h>
#include <string.h>

#include "loop.h"

/* Each front end may have more in flight: then they are submitted in parts */
#define ENTRIES		256
/* Room for all that can be in flight: see FRONT_DEPTH */
#define RESULTS		16384
/* Results in one go; doorbells want to be heard, too */
#define REAP_BATCH	128

static int open_ring(struct loop *loop)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = RESULTS,
	};
	int ret;

	memset(loop, 0, sizeof(*loop));
	loop->last = &loop->posted;
	ret = io_uring_queue_init_params(ENTRIES, &loop->ring, &params);
	if (ret != -EINVAL)
		return ret;
	/* Before Linux 6.1 results interrupt what the thread is doing. */
	memset(&params, 0, sizeof(params));
	params.flags = IORING_SETUP_CQSIZE;
	params.cq_entries = RESULTS;
	return io_uring_queue_init_params(ENTRIES, &loop->ring, &params);
}

int loop_open(struct loop *loop)
{
	int ret = open_ring(loop);

	if (!ret)
		loop->keeps = !io_uring_register_buffers_sparse(&loop->ring,
								LOOP_PIECES);
	return ret;
}

static bool set_piece(struct loop *loop, unsigned int index, void *memory,
		      size_t size)
{
	const struct iovec piece = { .iov_base = memory, .iov_len = size };
	__u64 tag = 0;

	return io_uring_register_buffers_update_tag(&loop->ring, index, &piece,
						    &tag, 1) == 1;
}

/* RLIMIT_MEMLOCK may forbid it, or what the memory is: memory=file:, a device. */
bool loop_keep(struct loop *loop, unsigned int index, void *memory, size_t size)
{
	return loop->keeps && set_piece(loop, index, memory, size);
}

void loop_release(struct loop *loop, unsigned int index)
{
	set_piece(loop, index, NULL, 0);
}

void loop_close(struct loop *loop)
{
	io_uring_queue_exit(&loop->ring);
}

struct io_uring_sqe *loop_sqe(struct loop *loop, struct event *event)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	while (!sqe) {
		io_uring_submit(&loop->ring);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	io_uring_sqe_set_data(sqe, event);
	return sqe;
}

void loop_poll(struct loop *loop, int fd, unsigned int events,
	       struct event *event)
{
	io_uring_prep_poll_add(loop_sqe(loop, event), fd, events);
}

void loop_post(struct loop *loop, struct event *event, int result)
{
	event->result = result;
	event->next = NULL;
	*loop->last = event;
	loop->last = &event->next;
}

void loop_submit(struct loop *loop)
{
	if (io_uring_sq_ready(&loop->ring))
		io_uring_submit(&loop->ring);
}

/* Those that were posted until now: what they post comes the next time. */
static unsigned int reap_posted(struct loop *loop)
{
	struct event *event, *next = loop->posted;
	unsigned int n;

	loop->posted = NULL;
	loop->last = &loop->posted;
	for (n = 0; next; n++) {
		event = next;
		next = event->next;
		event->ready(event, event->result);
	}
	return n;
}

unsigned int loop_reap(struct loop *loop)
{
	unsigned int n, posted = reap_posted(loop);
	struct io_uring_cqe *cqe;
	struct event *event;
	int result;

	for (n = 0; n < REAP_BATCH; n++) {
		if (io_uring_peek_cqe(&loop->ring, &cqe))
			break;
		event = io_uring_cqe_get_data(cqe);
		result = cqe->res;
		io_uring_cqe_seen(&loop->ring, cqe);
		event->ready(event, result);
	}
	return posted + n;
}

void loop_wait(struct loop *loop, uint32_t ms)
{
	struct __kernel_timespec limit = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000LL,
	};
	struct io_uring_cqe *cqe;

	io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &limit, NULL);
}
