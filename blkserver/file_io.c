// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is done with a file or a block device, by io_uring: between it and the
 * memory that front ends see, without a copy.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/uio.h>

#include "export.h"
#include "file.h"
#include "log.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define RANGE	(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
#define RESERVE	FALLOC_FL_KEEP_SIZE

/* A device that is busy for ever fails. */
#define TRIES	16U

/* What a request of several steps is at */
enum step {
	STEP_FIRST,
	STEP_REPLACE,		/* the space that was just given up */
	STEP_SYNC,
};

static void file_ready(struct event *event, int result);

static struct disk *disk_of(const struct request *request)
{
	return &request->front->export->disk;
}

static uint64_t offset_of(const struct request *request)
{
	return request->io.sector * IVBLK_SECTOR;
}

uint32_t disk_status(int error)
{
	switch (error) {
	case 0:
		return IVBLK_OK;
	case -ENOSPC:
	case -EDQUOT:
		return IVBLK_NO_SPACE;
	case -EOPNOTSUPP:
		return IVBLK_UNSUPPORTED;
	default:
		return IVBLK_IO_ERROR;
	}
}

static void prepare_transfer(struct disk *disk, struct request *request,
			     struct io_uring_sqe *sqe)
{
	uint64_t offset = offset_of(request) + request->done;
	uint32_t length = request->io.length - request->done;
	uint8_t *data = (uint8_t *)request->data + request->done;

	if (request->io.operation == IVBLK_OP_READ && request->piece < 0)
		io_uring_prep_read(sqe, disk->fd, data, length, offset);
	else if (request->io.operation == IVBLK_OP_READ)
		io_uring_prep_read_fixed(sqe, disk->fd, data, length, offset,
					 request->piece);
	else if (request->piece < 0)
		io_uring_prep_write(sqe, disk->fd, data, length, offset);
	else
		io_uring_prep_write_fixed(sqe, disk->fd, data, length, offset,
					  request->piece);
	if (request->io.flags & IVBLK_REQUEST_FUA && disk->direct)
		sqe->rw_flags = RWF_DSYNC;
}

static bool keeps_space(const struct disk *disk, const struct request *request)
{
	return request->io.flags & IVBLK_REQUEST_KEEP || !disk->config->discard;
}

/* How blocks become zeroes, and whether their space is given up for it. */
static int zero_mode(const struct disk *disk, const struct request *request)
{
	if (request->step == STEP_REPLACE)
		return RESERVE;
	/* One of the two is always there: see find_features(). */
	if (disk->no_range)
		return PUNCH;
	return keeps_space(disk, request) || disk->no_punch ? RANGE : PUNCH;
}

static void prepare(struct disk *disk, struct request *request,
		    struct io_uring_sqe *sqe)
{
	uint32_t operation = request->io.operation;
	int mode;

	if (request->step == STEP_SYNC || operation == IVBLK_OP_FLUSH) {
		io_uring_prep_fsync(sqe, disk->fd, IORING_FSYNC_DATASYNC);
		return;
	}
	if (operation == IVBLK_OP_READ || operation == IVBLK_OP_WRITE) {
		prepare_transfer(disk, request, sqe);
		return;
	}
	mode = operation == IVBLK_OP_DISCARD ? PUNCH : zero_mode(disk, request);
	io_uring_prep_fallocate(sqe, disk->fd, mode,
				(off_t)offset_of(request),
				(off_t)request->io.length);
}

/* What is in memory is copied at once: io_uring would let another thread do it. */
static int transfer(struct disk *disk, struct request *request)
{
	uint64_t offset = offset_of(request) + request->done;
	struct iovec part = {
		.iov_base = (uint8_t *)request->data + request->done,
		.iov_len = request->io.length - request->done,
	};
	ssize_t n = request->io.operation == IVBLK_OP_READ ?
		    preadv(disk->fd, &part, 1, (off_t)offset) :
		    pwritev(disk->fd, &part, 1, (off_t)offset);

	return n < 0 ? -errno : (int)n;
}

static void begin(struct disk *disk, struct request *request)
{
	request->event.ready = file_ready;
	if (disk->in_memory && request->step != STEP_SYNC &&
	    request->io.operation <= IVBLK_OP_WRITE)
		loop_post(disk->loop, &request->event, transfer(disk, request));
	else
		prepare(disk, request, loop_sqe(disk->loop, &request->event));
}

/* Whether it may succeed only when data is on the medium. */
static bool wants_medium(const struct request *request)
{
	return request->io.operation == IVBLK_OP_FLUSH ||
	       request->io.flags & IVBLK_REQUEST_FUA;
}

void file_submit(struct disk *disk, struct request *request)
{
	request->done = 0;
	request->step = STEP_FIRST;
	request->tries = 0;
	if (disk->unsure && wants_medium(request)) {
		disk->ended(request, IVBLK_IO_ERROR);
		return;
	}
	/* It was larger when the front end was told.  A flush is of no place. */
	if (request->io.length &&
	    offset_of(request) + request->io.length > disk->size)
		disk->ended(request, IVBLK_IO_ERROR);
	else
		begin(disk, request);
}

/* Another way to zero blocks, once it is known that the first is not to be had. */
static bool zero_otherwise(struct disk *disk, struct request *request)
{
	if (request->io.operation != IVBLK_OP_ZEROES ||
	    request->step != STEP_FIRST || request->tries++)
		return false;
	/* The other one was found at the start: see find_features(). */
	if (disk->is_device)
		disk->no_punch = true;
	else
		disk->no_range = true;
	return true;
}

/* Whether a request that failed is to be tried once more. */
static bool try_again(struct disk *disk, struct request *request, int error)
{
	switch (error) {
	case -EINTR:
	case -EAGAIN:
		return request->tries++ < TRIES;
	case -EOPNOTSUPP:
		return zero_otherwise(disk, request);
	case -EFAULT:
	case -EINVAL:
		/* What it cannot pin, or align, it can copy; others may know. */
		return request->io.operation <= IVBLK_OP_WRITE &&
		       !request->tries++ &&
		       (!disk->direct || !file_no_direct(disk, strerror(-error)));
	default:
		return false;
	}
}

/* The next step of what was done with the space; false if that was all. */
static bool next_step(struct disk *disk, struct request *request)
{
	if (request->io.operation != IVBLK_OP_ZEROES ||
	    request->step == STEP_SYNC)
		return false;
	if (request->step == STEP_FIRST && disk->no_range &&
	    keeps_space(disk, request)) {
		request->step = STEP_REPLACE;
		return true;
	}
	if (!(request->io.flags & IVBLK_REQUEST_FUA))
		return false;
	request->step = STEP_SYNC;
	return true;
}

/*
 * The next part of a read or a write; false if that was all, or it failed.  With the
 * page cache a sync is a part of its own: only then it is known what has failed.
 */
static bool next_part(const struct disk *disk, struct request *request, int result,
		      uint32_t *status)
{
	request->done += (uint32_t)result;
	if (request->done == request->io.length) {
		if (disk->direct || !(request->io.flags & IVBLK_REQUEST_FUA))
			return false;
		request->step = STEP_SYNC;
		return true;
	}
	/* The file ends here: it was larger once. */
	if (!result)
		*status = IVBLK_IO_ERROR;
	return result;
}

/*
 * The kernel tells once that it could not write back, to whoever asks first, and takes
 * the pages for clean: nobody learns whose they were.
 */
static void lose_trust(struct disk *disk, int error)
{
	if (disk->direct || disk->unsure)
		return;
	disk->unsure = true;
	log_error("%s: writing it back has failed: %s; data may be lost, so that "
		  "no flush succeeds any more: mend it, and start this program "
		  "anew", disk->config->file, strerror(-error));
}

static void file_ready(struct event *event, int result)
{
	struct request *request = event_of(event, struct request, event);
	struct disk *disk = disk_of(request);
	uint32_t operation = request->io.operation;
	uint32_t status = IVBLK_OK;
	bool more;

	if (result < 0) {
		more = try_again(disk, request, result);
		status = disk_status(result);
		if (!more && (request->step == STEP_SYNC ||
			      operation == IVBLK_OP_FLUSH))
			lose_trust(disk, result);
	} else if (request->step != STEP_SYNC && operation <= IVBLK_OP_WRITE) {
		more = next_part(disk, request, result, &status);
	} else {
		more = next_step(disk, request);
	}
	if (more)
		begin(disk, request);
	else
		disk->ended(request, status);
}
