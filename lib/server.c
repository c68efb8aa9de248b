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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "region.h"
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

/* Tag of the socket in the epoll set; the others are vector numbers. */
#define TAG_SOCKET		UINT32_MAX

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
	struct ivshmem ivs;
	int epoll_fd;
	/* Guards all below. */
	pthread_mutex_t lock;
	struct ivshmem_stream stream;
	enum progress progress;
	bool opened;
	bool deaf;			/* the socket is not read any more */
	bool chosen;			/* vectors were chosen by the caller */
	uint32_t peer_id;
	unsigned int most_vectors;	/* of any other peer */
	uint64_t subscribed[4];
	int rung;			/* see ivshmem_server_rung(); or -1 */
	struct peer *peers;		/* LIBIVSHMEM_MAX_PEERS of them */
	/* Has a lock of its own, which is taken before this one. */
	struct host_region region;
};

static struct server *to_server(struct ivshmem *ivs)
{
	return (struct server *)ivs;
}

static struct peer *own(struct server *srv)
{
	return &srv->peers[srv->peer_id];
}

struct host_region *ivshmem_server_region(struct ivshmem *ivs)
{
	return &to_server(ivs)->region;
}

uint32_t ivshmem_server_id(struct ivshmem *ivs)
{
	/* It does not change after the handshake. */
	return to_server(ivs)->peer_id;
}

int ivshmem_server_doorbell(struct ivshmem *ivs, uint32_t vector)
{
	struct server *srv = to_server(ivs);
	int fd = -1;

	pthread_mutex_lock(&srv->lock);
	if (own(srv)->vectors) {
		vector = ivshmem_listen_vector(vector, own(srv)->vectors);
		fd = own(srv)->eventfds[vector];
	}
	pthread_mutex_unlock(&srv->lock);
	return fd;
}

int ivshmem_server_rung(struct ivshmem *ivs)
{
	struct server *srv = to_server(ivs);
	int fd;

	pthread_mutex_lock(&srv->lock);
	if (srv->rung < 0)
		srv->rung = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fd = srv->rung < 0 ? -errno : srv->rung;
	pthread_mutex_unlock(&srv->lock);
	return fd;
}

static bool in_set(const uint64_t set[4], unsigned int vector)
{
	return set[vector / 64] >> (vector % 64) & 1;
}

/*
 * Takes away what an eventfd has counted; 0 if that is nothing.  RWF_NOWAIT,
 * since others hold the same eventfd: they may have been faster, and whether
 * it is non-blocking is theirs to decide as well.
 */
static int64_t consume(int eventfd)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	struct pollfd pfd = { .fd = eventfd, .events = POLLIN };
	ssize_t n;

	n = preadv2(eventfd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP && poll(&pfd, 1, 0) > 0)
		n = read(eventfd, &count, sizeof(count));
	if (n == sizeof(count))
		return count > INT64_MAX ? INT64_MAX : (int64_t)count;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPROTO;
}

/*
 * The same for an own vector.  What was taken away was for those, too, who watch
 * the same eventfd and may not have looked yet: epoll drops what it finds to be
 * not ready any more.
 */
static int64_t take_doorbell(struct server *srv, unsigned int vector)
{
	int64_t count = consume(own(srv)->eventfds[vector]);
	uint64_t one = 1;

	if (count <= 0)
		return count;
	if (!vector)
		ivshmem_host_nudge(&srv->region);
	/* It takes 2^64 doorbells to fill it. */
	if (srv->rung >= 0 && write(srv->rung, &one, sizeof(one)) < 0)
		return count;
	return count;
}

static int watch(struct server *srv, int fd, uint32_t tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = tag };

	if (epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return errno == ENOMEM || errno == ENOSPC ? -errno : -EPROTO;
	return 0;
}

static void unwatch(struct server *srv, int fd)
{
	epoll_ctl(srv->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* A new own vector: subscribed unless the caller has made a choice before. */
static int own_vector(struct server *srv, unsigned int vector)
{
	int fd = own(srv)->eventfds[vector];
	int ret;

	if (!srv->opened && consume(fd) < 0)
		return -EPROTO;
	if (srv->chosen)
		return 0;
	ret = watch(srv, fd, vector);
	if (!ret)
		srv->subscribed[vector / 64] |= 1ULL << (vector % 64);
	return ret;
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
	if (id == srv->peer_id)
		return own_vector(srv, vector);
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

	if (srv->ivs.memory_fd >= 0 || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode) || st.st_size <= 0) {
		close(fd);
		return -EPROTO;
	}
	ivshmem_memory_init(&srv->ivs, fd, (uint64_t)st.st_size);
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
	if ((uint32_t)msg->value == srv->peer_id)
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
	srv->peer_id = (uint32_t)msg->value;
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
	unwatch(srv, srv->stream.socket);
	if (ret == -ENODATA)
		ivshmem_stream_close(&srv->stream);
}

static bool complete(const struct server *srv)
{
	return srv->progress == EXPECT_PEERS && srv->ivs.memory_fd >= 0 &&
	       srv->most_vectors &&
	       srv->peers[srv->peer_id].vectors >= srv->most_vectors;
}

/* How long silence has to last until it is taken for the end; -1: for ever. */
static int quiet_ms(const struct server *srv)
{
	if (srv->progress != EXPECT_PEERS || srv->ivs.memory_fd < 0)
		return -1;
	return srv->most_vectors || !srv->peers[srv->peer_id].vectors ?
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
	return watch(srv, srv->stream.socket, TAG_SOCKET);
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
	if (srv->ivs.memory_fd >= 0)
		close(srv->ivs.memory_fd);
	if (srv->epoll_fd >= 0)
		close(srv->epoll_fd);
	if (srv->rung >= 0)
		close(srv->rung);
	pthread_mutex_destroy(&srv->lock);
	free(srv->peers);
	free(srv);
}

static int server_get_info(struct ivshmem *ivs, struct ivshmem_info *info)
{
	struct server *srv = to_server(ivs);

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	info->backend = IVSHMEM_BACKEND_SERVER;
	info->peer_id = srv->peer_id;
	info->vectors = own(srv)->vectors;
	info->doorbell = info->vectors || srv->most_vectors;
	info->memory_size = srv->ivs.memory_size;
	info->cache = IVSHMEM_CACHED_WB;
	pthread_mutex_unlock(&srv->lock);
	return 0;
}

static int server_peer_vectors(struct ivshmem *ivs, uint32_t peer)
{
	struct server *srv = to_server(ivs);
	int ret;

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	ret = (int)srv->peers[peer].vectors;
	pthread_mutex_unlock(&srv->lock);
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

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	if (vector < srv->peers[peer].vectors)
		ret = signal_eventfd(srv->peers[peer].eventfds[vector]);
	else if (!own(srv)->vectors && !srv->most_vectors)
		ret = -EOPNOTSUPP;
	else
		ret = -ENXIO;
	pthread_mutex_unlock(&srv->lock);
	return ret;
}

/* Brings the epoll set in line with the vectors wanted, one by one. */
static int change_subscription(struct server *srv, const uint64_t wanted[4])
{
	struct peer *self = own(srv);
	unsigned int v;
	int ret;

	for (v = 0; v < LIBIVSHMEM_MAX_VECTORS; v++)
		if (in_set(wanted, v) && v >= self->vectors)
			return -EINVAL;
	for (v = 0; v < self->vectors; v++) {
		if (in_set(wanted, v) == in_set(srv->subscribed, v))
			continue;
		if (in_set(wanted, v)) {
			take_doorbell(srv, v);
			ret = watch(srv, self->eventfds[v], v);
			if (ret)
				return ret;
		} else {
			unwatch(srv, self->eventfds[v]);
		}
		srv->subscribed[v / 64] ^= 1ULL << (v % 64);
	}
	srv->chosen = true;
	return 0;
}

static int server_subscribe(struct ivshmem *ivs, const uint64_t vectors[4])
{
	struct server *srv = to_server(ivs);
	int ret = -EOPNOTSUPP;

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	if (own(srv)->vectors)
		ret = change_subscription(srv, vectors);
	pthread_mutex_unlock(&srv->lock);
	return ret;
}

/*
 * Consumes the vectors that have been rung.  epoll moves what it reports to
 * the end of its queue, so that with a small @max each has its turn.
 */
static int collect(struct server *srv, struct ivshmem_event *events,
		   unsigned int max)
{
	struct epoll_event ready[LIBIVSHMEM_MAX_VECTORS];
	int i, n, found = 0;
	uint32_t vector;
	int64_t count;

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	n = epoll_wait(srv->epoll_fd, ready, (int)max, 0);
	if (n < 0)
		found = -errno;
	for (i = 0; i < n; i++) {
		vector = ready[i].data.u32;
		if (vector == TAG_SOCKET)
			continue;
		count = take_doorbell(srv, vector);
		if (count > 0) {
			events[found].vector = vector;
			events[found].count = (uint64_t)count;
			found++;
		} else if (count < 0) {
			/* It was no eventfd: never to be seen again. */
			unwatch(srv, own(srv)->eventfds[vector]);
			srv->subscribed[vector / 64] &=
				~(1ULL << (vector % 64));
		}
	}
	pthread_mutex_unlock(&srv->lock);
	return found;
}

static bool has_vectors(struct server *srv)
{
	bool ret;

	pthread_mutex_lock(&srv->lock);
	follow(srv);
	ret = own(srv)->vectors;
	pthread_mutex_unlock(&srv->lock);
	return ret;
}

static int server_wait(struct ivshmem *ivs, struct ivshmem_event *events,
		       unsigned int max, int timeout_ms)
{
	struct server *srv = to_server(ivs);
	struct pollfd pfd = { .fd = srv->epoll_fd, .events = POLLIN };
	int64_t deadline = ivshmem_deadline(timeout_ms);
	int ret;

	if (!has_vectors(srv))
		return -EOPNOTSUPP;
	for (;;) {
		ret = collect(srv, events, max);
		if (ret)
			return ret;
		ret = poll(&pfd, 1, ivshmem_time_left(deadline));
		if (ret < 0)
			return -errno;
		if (!ret)
			return 0;
	}
}

static int server_fd(struct ivshmem *ivs)
{
	return to_server(ivs)->epoll_fd;
}

static const struct ivshmem_backend_ops server_ops = {
	.close = server_close,
	.get_info = server_get_info,
	.peer_vectors = server_peer_vectors,
	.ring = server_ring,
	.subscribe = server_subscribe,
	.wait = server_wait,
	.fd = server_fd,
	.get_region = ivshmem_host_get_region,
	.get_section = ivshmem_host_get_section,
	.section_offset = ivshmem_host_section_offset,
	.get_peer = ivshmem_host_get_peer,
	.wait_change = ivshmem_host_wait_change,
	.join = ivshmem_host_join,
	.leave = ivshmem_host_leave,
	.format = ivshmem_host_format,
	.watch = ivshmem_server_watch,
	.settle = ivshmem_server_settle,
	.claim = ivshmem_server_claim,
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
	pthread_mutex_init(&srv->lock, NULL);
	ivshmem_host_init(&srv->region);
	srv->ivs.ops = &server_ops;
	srv->ivs.flags = flags;
	srv->ivs.memory_fd = -1;
	srv->rung = -1;
	ivshmem_stream_init(&srv->stream, -1);

	srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ret = srv->epoll_fd < 0 ? -errno : 0;
	if (ret)
		goto err_close;
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
	*out = &srv->ivs;
	return 0;

err_close:
	server_close(&srv->ivs);
	return ret;
}
