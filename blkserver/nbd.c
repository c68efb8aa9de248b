// SPDX-License-Identifier: GPL-2.0-only
/*
 * An NBD export of somebody else as a disk: what qemu-nbd, nbdkit and others serve.
 * Data goes between the connection and the memory that front ends see.
 */
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "export.h"
#include "log.h"
#include "nbd.h"

/**
 * struct nbd_disk - the connection
 * @disk:     whose it is
 * @handle:   libnbd's
 * @readable: the server has said something
 * @writable: there is room for what we have to say
 * @reading:  that is waited for
 * @writing:  likewise
 * @ended:    requests that have ended, to be reported once libnbd has returned
 */
struct nbd_disk {
	struct disk *disk;
	struct nbd_handle *handle;
	struct event readable;
	struct event writable;
	bool reading;
	bool writing;
	struct request *ended;
};

bool is_nbd_uri(const char *text)
{
	return !strncmp(text, "nbd", 3) && strstr(text, "://");
}

static struct nbd_disk *connection(const struct request *request)
{
	return request->front->export->disk.private;
}

/* What libnbd says last, without the name of its function. */
static void complain_nbd(const struct disk *disk, const char *remedy)
{
	log_error("%s: %s; %s", disk->config->file, nbd_get_error(), remedy);
}

/* Called within libnbd, which must not be called from here. */
static int command_ended(void *data, int *error)
{
	struct request *request = data;
	struct nbd_disk *nbd = connection(request);

	request->step = (uint32_t)*error;
	request->next = nbd->ended;
	nbd->ended = request;
	return 1;
}

static uint32_t command_flags(const struct request *request)
{
	uint32_t flags = 0;

	if (request->io.flags & IVBLK_REQUEST_FUA)
		flags |= LIBNBD_CMD_FLAG_FUA;
	if (request->io.operation == IVBLK_OP_ZEROES &&
	    (request->io.flags & IVBLK_REQUEST_KEEP ||
	     !connection(request)->disk->config->discard))
		flags |= LIBNBD_CMD_FLAG_NO_HOLE;
	return flags;
}

static int64_t issue(struct nbd_handle *handle, struct request *request)
{
	uint64_t offset = request->io.sector * IVBLK_SECTOR;
	uint32_t flags = command_flags(request);
	uint32_t length = request->io.length;
	nbd_completion_callback ended = {
		.callback = command_ended,
		.user_data = request,
	};

	switch (request->io.operation) {
	case IVBLK_OP_READ:
		return nbd_aio_pread(handle, request->data, length, offset,
				     ended, flags);
	case IVBLK_OP_WRITE:
		return nbd_aio_pwrite(handle, request->data, length, offset,
				      ended, flags);
	case IVBLK_OP_DISCARD:
		return nbd_aio_trim(handle, length, offset, ended, flags);
	case IVBLK_OP_ZEROES:
		return nbd_aio_zero(handle, length, offset, ended, flags);
	default:
		return nbd_aio_flush(handle, ended, flags);
	}
}

/*
 * A server that is gone answers nothing.  Neither do we: front ends send all again to
 * the one that takes our place.
 */
static bool is_gone(struct nbd_disk *nbd)
{
	if (!nbd_aio_is_dead(nbd->handle) && !nbd_aio_is_closed(nbd->handle))
		return false;
	if (!nbd->disk->failed)
		log_error("%s: the NBD server is gone; ending, so that a new "
			  "start connects anew", nbd->disk->config->file);
	nbd->disk->failed = true;
	return true;
}

static void report_ended(struct nbd_disk *nbd)
{
	struct request *request;

	if (is_gone(nbd))
		return;
	while (nbd->ended) {
		request = nbd->ended;
		nbd->ended = request->next;
		nbd->disk->ended(request, disk_status(-(int)request->step));
	}
}

/* What the connection waits for, we wait for. */
static void arm(struct nbd_disk *nbd)
{
	unsigned int direction = nbd_aio_get_direction(nbd->handle);
	int fd = nbd_aio_get_fd(nbd->handle);

	if (nbd->disk->failed || fd < 0)
		return;
	if (!nbd->reading && direction & LIBNBD_AIO_DIRECTION_READ) {
		loop_poll(nbd->disk->loop, fd, POLLIN, &nbd->readable);
		nbd->reading = true;
	}
	if (!nbd->writing && direction & LIBNBD_AIO_DIRECTION_WRITE) {
		loop_poll(nbd->disk->loop, fd, POLLOUT, &nbd->writable);
		nbd->writing = true;
	}
}

static void readable(struct event *event, int result)
{
	struct nbd_disk *nbd = event_of(event, struct nbd_disk, readable);

	(void)result;
	nbd->reading = false;
	if (nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(nbd->handle);
	report_ended(nbd);
	arm(nbd);
}

static void writable(struct event *event, int result)
{
	struct nbd_disk *nbd = event_of(event, struct nbd_disk, writable);

	(void)result;
	nbd->writing = false;
	if (nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_aio_notify_write(nbd->handle);
	report_ended(nbd);
	arm(nbd);
}

static bool is_flush(const struct request *request)
{
	return request->io.operation == IVBLK_OP_FLUSH;
}

static void nbd_submit(struct disk *disk, struct request *request)
{
	struct nbd_disk *nbd = disk->private;

	/* A server without a cache does not know the command. */
	if (is_flush(request) && !(disk->features & IVBLK_FLUSH)) {
		disk->ended(request, IVBLK_OK);
		return;
	}
	if (issue(nbd->handle, request) < 0 && !is_gone(nbd))
		disk->ended(request, disk_status(-nbd_get_errno()));
	report_ended(nbd);
	arm(nbd);
}

static void find_features(struct disk *disk, struct nbd_handle *handle)
{
	if (disk->config->read_only) {
		disk->features = IVBLK_READ_ONLY;
		return;
	}
	if (nbd_can_flush(handle) == 1)
		disk->features |= IVBLK_FLUSH;
	if (nbd_can_flush(handle) == 1 && nbd_can_fua(handle) == 1)
		disk->features |= IVBLK_FUA;
	if (nbd_can_trim(handle) == 1 && disk->config->discard)
		disk->features |= IVBLK_DISCARD;
	if (nbd_can_zero(handle) == 1)
		disk->features |= IVBLK_ZEROES;
}

static int choose_block_size(struct disk *disk, struct nbd_handle *handle)
{
	int64_t least = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t best = nbd_get_block_size(handle, LIBNBD_SIZE_PREFERRED);
	uint32_t wanted = disk->config->block_size;

	if (least < (int64_t)IVBLK_SECTOR)
		least = IVBLK_SECTOR;
	if (least > (int64_t)IVBLK_BLOCK_MAX || (wanted && wanted < least)) {
		log_error("%s: its blocks have %" PRId64 " bytes; %s",
			  disk->config->file, least, wanted ?
			  "use --block-size with that" :
			  "a disk has 4096 at most");
		return -1;
	}
	disk->block_size = wanted ? wanted : (uint32_t)least;
	disk->physical_block_size = IVBLK_BLOCK_MAX;
	if (best > 0 && best <= (int64_t)IVBLK_PHYSICAL_MAX &&
	    ivblk_is_power((uint32_t)best, disk->block_size,
			   IVBLK_PHYSICAL_MAX))
		disk->physical_block_size = (uint32_t)best;
	return 0;
}

static int measure(struct disk *disk, struct nbd_handle *handle)
{
	int64_t size = nbd_get_size(handle);

	if (size < 0) {
		complain_nbd(disk, "look at the server");
		return -1;
	}
	if (choose_block_size(disk, handle))
		return -1;
	if (!size || size % disk->block_size) {
		log_error("%s: its size of %" PRId64 " bytes is no multiple of "
			  "%" PRIu32 "; change it at the server",
			  disk->config->file, size, disk->block_size);
		return -1;
	}
	disk->size = (uint64_t)size;
	if (nbd_is_read_only(handle) && !disk->config->read_only) {
		log_error("%s: the server does not let it be written; export "
			  "it read-only", disk->config->file);
		return -1;
	}
	find_features(disk, handle);
	return 0;
}

static int nbd_open(struct disk *disk)
{
	struct nbd_disk *nbd = calloc(1, sizeof(*nbd));

	if (!nbd) {
		log_error("%s: %s", disk->config->file, strerror(ENOMEM));
		return -1;
	}
	nbd->disk = disk;
	nbd->readable.ready = readable;
	nbd->writable.ready = writable;
	disk->private = nbd;
	nbd->handle = nbd_create();
	if (!nbd->handle ||
	    nbd_connect_uri(nbd->handle, disk->config->file)) {
		complain_nbd(disk, "start the NBD server, or correct the URI");
		goto err_close;
	}
	if (measure(disk, nbd->handle))
		goto err_close;
	disk->cache = cache_of_peer(nbd_aio_get_fd(nbd->handle));
	return 0;

err_close:
	nbd_close(nbd->handle);
	free(nbd);
	return -1;
}

/* Whatever the memory is, it is copied to and from a socket. */
static int nbd_settle(struct disk *disk, void *buffer)
{
	(void)buffer;
	arm(disk->private);
	return 0;
}

/* An NBD export has the same size as long as it is connected. */
static int nbd_look(struct disk *disk)
{
	(void)disk;
	return 0;
}

static void nbd_disconnect(struct disk *disk)
{
	struct nbd_disk *nbd = disk->private;

	/* Nobody is told any more of what it aborts. */
	if (!disk->failed)
		nbd_shutdown(nbd->handle, 0);
	nbd_close(nbd->handle);
	free(nbd);
}

const struct disk_ops nbd_ops = {
	.open = nbd_open,
	.settle = nbd_settle,
	.submit = nbd_submit,
	.look = nbd_look,
	.close = nbd_disconnect,
};
