// SPDX-License-Identifier: BSD-3-Clause
/*
 * Backend for host processes: a peer connected to an ivshmem server, which
 * hands out the memory and an eventfd for each vector of each peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "handle.h"
#include "stream.h"

#define PROTOCOL_VERSION	0

/*
 * A server that refuses a client answers with another version.  ivshmemd says
 * why by these; the numbers are part of its protocol.
 */
static const struct {
	int64_t version;
	int error;
} refusals[] = {
	{ -87, -EUSERS },	/* no slot is free */
	{ -13, -EACCES },	/* not for this user */
	{ -108, -ESHUTDOWN },	/* about to end */
	{ -24, -ENFILE },	/* out of descriptors over there */
	{ -122, -EDQUOT },	/* this user has enough slots */
	{ -11, -EAGAIN },	/* this user connects too often */
};

#define OPEN_TIMEOUT_MS		5000
/*
 * The protocol has no end mark.  A server that has told of other peers sends
 * as many own vectors as theirs; only else, or if it never gets there, silence
 * has to do.
 */
#define QUIET_MS		200
#define QUIET_INCOMPLETE_MS	1000
/* Messages taken by one call, so that a babbling server delays nobody long. */
#define MESSAGES_AT_ONCE	4096

enum progress {
	EXPECT_VERSION,
	EXPECT_ID,
	EXPECT_PEERS,
};

struct peer {
	unsigned int vectors;
	int *eventfds;
};

struct server {
	struct handle handle;
	/* The handle's lock guards all below. */
	struct ivshmem_stream stream;
	enum progress progress;
	bool opened;
	bool deaf;			/* the socket is not read any more */
	unsigned int most_vectors;	/* of any other peer */
	struct peer *peers;		/* LIBIVSHMEM_MAX_PEERS of them */
};

static struct server *to_server(struct ivshmem *ivs)
{
	return (struct server *)ivs;
}

static struct peer *own(struct server *srv)
{
	return &srv->peers[srv->handle.peer_id];
}

/* Doorbells that were rung before do not count. */
static int own_vector(struct server *srv, int fd)
{
	if (!srv->opened && ivshmem_handle_consume(fd) < 0)
		return -EPROTO;
	return ivshmem_handle_add_vector(&srv->handle, fd);
}

static bool is_eventfd(int fd)
{
	struct stat st;

	/* Eventfds have no type; files, pipes and sockets all have one. */
	return !fstat(fd, &st) && !(st.st_mode & S_IFMT);
}

static int add_vector(struct server *srv, uint32_t id, int fd)
{
	struct peer *peer = &srv->peers[id];
	unsigned int vector = peer->vectors;
	int *eventfds;

	if (!is_eventfd(fd)) {
		close(fd);
		return -EPROTO;
	}
	if (vector == LIBIVSHMEM_MAX_VECTORS) {
		/* Allowed by the protocol, but no doorbell can name it. */
		close(fd);
		return 0;
	}
	eventfds = realloc(peer->eventfds, (vector + 1) * sizeof(*eventfds));
	if (!eventfds) {
		close(fd);
		return -ENOMEM;
	}
	eventfds[vector] = fd;
	peer->eventfds = eventfds;
	peer->vectors = vector + 1;
	if (id == srv->handle.peer_id)
		return own_vector(srv, fd);
	if (peer->vectors > srv->most_vectors)
		srv->most_vectors = peer->vectors;
	return 0;
}

static void remove_peer(struct peer *peer)
{
	unsigned int i;

	for (i = 0; i < peer->vectors; i++)
		close(peer->eventfds[i]);
	free(peer->eventfds);
	peer->eventfds = NULL;
	peer->vectors = 0;
}

static int take_memory(struct server *srv, int fd)
{
	struct stat st;

	if (srv->handle.ivs.memory_fd >= 0 || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode) || st.st_size <= 0) {
		close(fd);
		return -EPROTO;
	}
	ivshmem_memory_init(&srv->handle.ivs, fd, (uint64_t)st.st_size);
	return 0;
}

/* Messages of the third kind: memory, a vector of a peer, a peer's end. */
static int apply_peer(struct server *srv, const struct ivshmem_message *msg)
{
	if (msg->value == -1 && msg->fd >= 0)
		return take_memory(srv, msg->fd);
	if (msg->value < 0 || msg->value >= LIBIVSHMEM_MAX_PEERS) {
		if (msg->fd >= 0)
			close(msg->fd);
		return -EPROTO;
	}
	if (msg->fd >= 0)
		return add_vector(srv, (uint32_t)msg->value, msg->fd);
	if ((uint32_t)msg->value == srv->handle.peer_id)
		return -EPROTO;
	remove_peer(&srv->peers[msg->value]);
	return 0;
}

static int check_version(int64_t version)
{
	size_t i;

	if (version == PROTOCOL_VERSION)
		return 0;
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (version == refusals[i].version)
			return refusals[i].error;
	return -EPROTO;
}

static int apply(struct server *srv, const struct ivshmem_message *msg)
{
	if (srv->progress == EXPECT_PEERS)
		return apply_peer(srv, msg);
	if (msg->fd >= 0) {
		close(msg->fd);
		return -EPROTO;
	}
	if (srv->progress == EXPECT_VERSION) {
		srv->progress = EXPECT_ID;
		return check_version(msg->value);
	}
	if (msg->value < 0 || msg->value >= LIBIVSHMEM_MAX_PEERS)
		return -EPROTO;
	srv->handle.peer_id = (uint32_t)msg->value;
	srv->progress = EXPECT_PEERS;
	return 0;
}

/* Takes one message: 1, 0 if there is none, or a negative errno value. */
static int take_message(struct server *srv)
{
	struct ivshmem_message msg;
	int ret;

	ret = ivshmem_stream_receive(&srv->stream, &msg);
	if (ret <= 0)
		return ret;
	ret = apply(srv, &msg);
	return ret ? ret : 1;
}

/*
 * Follows joins and leaves.  Once the server has died or talks nonsense there
 * are no more of them, but doorbells and memory go on without it.  As long as
 * it lives the connection stays, for its end would free our slot.
 */
static void follow(struct server *srv)
{
	int n, ret = 1;

	if (srv->deaf)
		return;
	for (n = 0; ret > 0 && n < MESSAGES_AT_ONCE; n++)
		ret = take_message(srv);
	if (ret >= 0)
		return;
	srv->deaf = true;
	ivshmem_handle_remove_other(&srv->handle, srv->stream.socket);
	if (ret == -ENODATA)
		ivshmem_stream_close(&srv->stream);
}

static int follow_handle(struct handle *handle)
{
	follow((struct server *)handle);
	return 0;
}

static bool complete(const struct server *srv)
{
	return srv->progress == EXPECT_PEERS && srv->handle.ivs.memory_fd >= 0 &&
	       srv->most_vectors &&
	       srv->peers[srv->handle.peer_id].vectors >= srv->most_vectors;
}

/* How long silence has to last until it is taken for the end; -1: for ever. */
static int quiet_ms(const struct server *srv)
{
	if (srv->progress != EXPECT_PEERS || srv->handle.ivs.memory_fd < 0)
		return -1;
	return srv->most_vectors || !srv->peers[srv->handle.peer_id].vectors ?
	       QUIET_INCOMPLETE_MS : QUIET_MS;
}

static int join(struct server *srv)
{
	struct pollfd pfd = { .fd = srv->stream.socket, .events = POLLIN };
	int64_t deadline = ivshmem_deadline(OPEN_TIMEOUT_MS);
	int ret, left, quiet;

	while (!complete(srv)) {
		ret = take_message(srv);
		if (ret == -ENODATA)
			return -EPROTO;
		if (ret < 0)
			return ret;
		left = ivshmem_time_left(deadline);
		quiet = quiet_ms(srv);
		if (!left && quiet < 0)
			return -ETIMEDOUT;
		if (!left)
			break;
		if (ret)
			continue;
		if (quiet < 0 || quiet > left)
			quiet = left;
		ret = poll(&pfd, 1, quiet);
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (!ret && quiet_ms(srv) >= 0)
			break;
	}
	srv->opened = true;
	return ivshmem_handle_add_other(&srv->handle, srv->stream.socket);
}

static void server_close(struct ivshmem *ivs)
{
	struct server *srv = to_server(ivs);
	uint32_t id;

	ivshmem_host_close(ivs);
	ivshmem_stream_close(&srv->stream);
	for (id = 0; srv->peers && id < LIBIVSHMEM_MAX_PEERS; id++)
		if (srv->peers[id].vectors)
			remove_peer(&srv->peers[id]);
	if (srv->handle.ivs.memory_fd >= 0)
		close(srv->handle.ivs.memory_fd);
	ivshmem_handle_release(&srv->handle);
	free(srv->peers);
	free(srv);
}

static int server_get_info(struct ivshmem *ivs, struct ivshmem_info *info)
{
	struct server *srv = to_server(ivs);

	pthread_mutex_lock(&srv->handle.lock);
	follow(srv);
	info->backend = IVSHMEM_BACKEND_SERVER;
	info->peer_id = srv->handle.peer_id;
	info->vectors = own(srv)->vectors;
	info->doorbell = info->vectors || srv->most_vectors;
	info->memory_size = srv->handle.ivs.memory_size;
	info->cache = IVSHMEM_CACHED_WB;
	pthread_mutex_unlock(&srv->handle.lock);
	return 0;
}

static int server_peer_vectors(struct ivshmem *ivs, uint32_t peer)
{
	struct server *srv = to_server(ivs);
	int ret;

	pthread_mutex_lock(&srv->handle.lock);
	follow(srv);
	ret = (int)srv->peers[peer].vectors;
	pthread_mutex_unlock(&srv->handle.lock);
	return ret ? ret : -ENXIO;
}

static int signal_eventfd(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	/*
	 * A full counter means that the peer has been rung and did not look
	 * yet.  Writing to it would block if somebody made it blocking.
	 */
	if (poll(&pfd, 1, 0) <= 0 || !(pfd.revents & POLLOUT))
		return 0;
	if (write(fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN)
		return 0;
	return errno == EINTR ? -EINTR : -ENXIO;
}

static int server_ring(struct ivshmem *ivs, uint32_t peer, uint32_t vector)
{
	struct server *srv = to_server(ivs);
	int ret;

	pthread_mutex_lock(&srv->handle.lock);
	follow(srv);
	if (vector < srv->peers[peer].vectors)
		ret = signal_eventfd(srv->peers[peer].eventfds[vector]);
	else if (!own(srv)->vectors && !srv->most_vectors)
		ret = -EOPNOTSUPP;
	else
		ret = -ENXIO;
	pthread_mutex_unlock(&srv->handle.lock);
	return ret;
}

static const struct ivshmem_backend_ops server_ops = {
	.close = server_close,
	.get_info = server_get_info,
	.peer_vectors = server_peer_vectors,
	.ring = server_ring,
	IVSHMEM_HANDLE_OPS,
};

static int connect_socket(const char *path)
{
	struct timeval limit = { .tv_sec = OPEN_TIMEOUT_MS / 1000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* connect(2) waits as long as the server does not accept. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return ret;
}

int ivshmem_server_open(const char *path, unsigned int flags,
			struct ivshmem **out)
{
	struct server *srv;
	int ret;

	srv = calloc(1, sizeof(*srv));
	if (!srv)
		return -ENOMEM;
	ivshmem_stream_init(&srv->stream, -1);
	ret = ivshmem_handle_init(&srv->handle, &server_ops, flags);
	if (ret)
		goto err_close;
	srv->handle.follow = follow_handle;
	ret = -ENOMEM;
	srv->peers = calloc(LIBIVSHMEM_MAX_PEERS, sizeof(*srv->peers));
	if (!srv->peers)
		goto err_close;
	ret = connect_socket(path);
	if (ret < 0)
		goto err_close;
	ivshmem_stream_init(&srv->stream, ret);
	ret = join(srv);
	if (ret)
		goto err_close;
	*out = &srv->handle.ivs;
	return 0;

err_close:
	server_close(&srv->handle.ivs);
	return ret;
}
