// SPDX-License-Identifier: BSD-3-Clause
/*
 * Stores what a peer sends in a file: io_uring waits for messages, and writes them
 * from where they lie in the ring, without a copy of its own.
 *	uring unix:/run/ivshmem/a.sock 0 FILE (on the host)
 * An empty message is the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libivshmem.h>

/* A file that is filled from a channel. */
struct store {
	struct io_uring uring;
	struct ivshmem_channel *channel;
	int file;
	uint64_t size;
};

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "uring: %s: %s\n", what, strerror(-ret));
	exit(1);
}

/* Runs the operation that was prepared; its result. */
static int run(struct store *store)
{
	struct io_uring_cqe *cqe;
	int ret;

	check("submit", io_uring_submit(&store->uring));
	check("wait", io_uring_wait_cqe(&store->uring, &cqe));
	ret = cqe->res;
	io_uring_cqe_seen(&store->uring, cqe);
	return ret;
}

static void wait_readable(struct store *store)
{
	int fd = check("descriptor", ivshmem_channel_fd(store->channel));

	io_uring_prep_poll_add(io_uring_get_sqe(&store->uring), fd, POLLIN);
	check("poll", run(store));
}

static void write_all(struct store *store, const char *data, size_t left)
{
	while (left) {
		int done;

		io_uring_prep_write(io_uring_get_sqe(&store->uring),
				    store->file, data, left, store->size);
		done = check("write", run(store));
		check("write", done ? 0 : -EIO);
		data += done;
		left -= done;
		store->size += done;
	}
}

/* Calls first, and waits only where a call would: that is how channels work. */
static void fill(struct store *store)
{
	const void *data;
	size_t length;
	int ret;

	while ((ret = ivshmem_channel_connect(store->channel, 0)) == -EAGAIN)
		wait_readable(store);
	check("connect", ret);
	do {
		while ((ret = ivshmem_channel_peek(store->channel, &data,
						   &length, NULL,
						   0)) == -EAGAIN)
			wait_readable(store);
		check("peek", ret);
		write_all(store, data, length);
		check("release", ivshmem_channel_release(store->channel));
	} while (length);
}

int main(int argc, char **argv)
{
	struct store store = { .size = 0 };
	struct ivshmem *ivs;

	check("usage: uring DEVICE PEER FILE", argc == 4 ? 0 : -EINVAL);
	store.file = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			  0666);
	check(argv[3], store.file < 0 ? -errno : 0);
	check("io_uring", io_uring_queue_init(1, &store.uring, 0));
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("join", ivshmem_join(ivs, NULL));
	check("channel", ivshmem_channel_open(ivs, NULL,
					      strtoul(argv[2], NULL, 0), 0,
					      &store.channel));
	fill(&store);
	printf("%llu bytes\n", (unsigned long long)store.size);
	ivshmem_channel_close(store.channel);
	ivshmem_close(ivs);
	io_uring_queue_exit(&store.uring);
	return close(store.file) ? 1 : 0;
}
