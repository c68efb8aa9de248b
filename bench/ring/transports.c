// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ring, pipes, sockets, message queues, memory and a flag.
 */
#include "transports.h"

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* So much is sent before it is shown, and taken before space is given back */
#define BATCH_BYTES	65536U
/* Looks for a message, in vain, after which space is given back all the same */
#define IDLE_LOOKS	64U

void relax(unsigned int *spins)
{
	/* Whoever shares the core with us has to get on, too */
	if (++*spins % 100000 == 0)
		sched_yield();
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static void open_area(struct lane *lane)
{
	lane->area = mmap(NULL, sizeof(*lane->area), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lane->area == MAP_FAILED)
		err(1, "mmap");
	memset(lane->area->data, 1, AREA_SIZE);
}

static void open_ring(struct lane *lane)
{
	open_area(lane);
	ivring_producer_init(&lane->p, lane->area->data, AREA_SIZE,
			     &lane->area->tx, &lane->area->rx);
	ivring_consumer_init(&lane->c, lane->area->data, AREA_SIZE,
			     &lane->area->rx, &lane->area->tx);
}

static void flush_ring(struct lane *lane)
{
	ivring_publish(&lane->p);
}

/* Copies a message into the ring, where it is not shown yet */
static void put_ring(struct lane *lane, const void *from)
{
	unsigned int spins = 0;
	void *payload;
	int ret;

	while ((ret = ivring_reserve(&lane->p, lane->size, &payload))) {
		if (ret != -EAGAIN)
			errx(1, "ring: error %d", -ret);
		ivring_publish(&lane->p);
		relax(&spins);
	}
	ivshmem_copy_out(payload, from, lane->size);
	ivring_commit(&lane->p, lane->size, 0);
}

static void send_ring(struct lane *lane, const void *from)
{
	put_ring(lane, from);
	if (lane->p.next - lane->p.prod >= BATCH_BYTES)
		ivring_publish(&lane->p);
}

static void send_ring_each(struct lane *lane, const void *from)
{
	put_ring(lane, from);
	ivring_publish(&lane->p);
}

static void receive_ring(struct lane *lane, void *to)
{
	unsigned int spins = 0;
	const void *payload;
	__u32 length, kind;
	int ret;

	while ((ret = ivring_peek(&lane->c, &payload, &length, &kind))) {
		if (ret != -EAGAIN)
			errx(1, "ring: error %d", -ret);
		/*
		 * Not at once: the producer reads this line when it publishes,
		 * and would wait for it in the middle of each round trip.
		 */
		if (spins == IDLE_LOOKS)
			ivring_release(&lane->c);
		relax(&spins);
	}
	ivshmem_copy_in(to, payload, length);
	ivring_advance(&lane->c);
	if (lane->c.next - lane->c.cons >= BATCH_BYTES)
		ivring_release(&lane->c);
}

static void open_pipe(struct lane *lane)
{
	if (pipe(lane->fds))
		err(1, "pipe");
	/* As much as the ring has, where it is allowed */
	fcntl(lane->fds[1], F_SETPIPE_SZ, AREA_SIZE);
}

static void open_sockets(struct lane *lane, int type)
{
	int buffer = AREA_SIZE;

	if (socketpair(AF_UNIX, type, 0, lane->fds))
		err(1, "socketpair");
	setsockopt(lane->fds[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
}

static void open_unix_stream(struct lane *lane)
{
	open_sockets(lane, SOCK_STREAM);
}

static void open_seqpacket(struct lane *lane)
{
	open_sockets(lane, SOCK_SEQPACKET);
}

static void open_tcp(struct lane *lane)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	lane->fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, length) ||
	    listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(lane->fds[1], (struct sockaddr *)&address, length))
		err(1, "tcp");
	lane->fds[0] = accept(listener, NULL, NULL);
	if (lane->fds[0] < 0)
		err(1, "accept");
	close(listener);
	setsockopt(lane->fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void send_fd(struct lane *lane, const void *from)
{
	for (size_t done = 0; done < lane->size;) {
		ssize_t n = write(lane->fds[1], (const char *)from + done,
				  lane->size - done);

		if (n <= 0)
			err(1, "%s: write", lane->transport->name);
		done += n;
	}
}

static void receive_fd(struct lane *lane, void *to)
{
	for (size_t done = 0; done < lane->size;) {
		ssize_t n = read(lane->fds[0], (char *)to + done,
				 lane->size - done);

		if (n <= 0)
			err(1, "%s: read", lane->transport->name);
		done += n;
	}
}

static void open_queue(struct lane *lane)
{
	struct mq_attr attributes = { .mq_maxmsg = 10, .mq_msgsize = lane->size };
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	char name[40];

	setrlimit(RLIMIT_MSGQUEUE, &limit);
	snprintf(name, sizeof(name), "/ring_speed.%d", getpid());
	lane->queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	if (lane->queue == (mqd_t)-1)
		err(1, "mq_open (only root may have long messages)");
	mq_unlink(name);
}

static void send_queue(struct lane *lane, const void *from)
{
	if (mq_send(lane->queue, from, lane->size, 0))
		err(1, "mq_send");
}

static void receive_queue(struct lane *lane, void *to)
{
	if (mq_receive(lane->queue, to, lane->size, NULL) < 0)
		err(1, "mq_receive");
}

/*
 * The limit.  Messages lie at multiples of a cache line, as in the ring, and
 * their places follow from their number: there is nothing to say but how many
 * there are.
 */
static void *next_place(struct lane *lane)
{
	size_t step = (lane->size + 63) / 64 * 64, place = lane->place;

	lane->place += step;
	if (lane->place + step > AREA_SIZE)
		lane->place = 0;
	lane->count++;
	return lane->area->data + place;
}

static __u32 places(const struct lane *lane)
{
	return AREA_SIZE / ((lane->size + 63) / 64 * 64);
}

/* Stores how far this side is, as seldom as the ring does */
static void show_count(struct lane *lane, __le32 *counter)
{
	lane->shown = lane->count;
	ivshmem_store_release32(counter, lane->count);
}

static bool is_batch(const struct lane *lane)
{
	return (lane->count - lane->shown) * lane->size >= BATCH_BYTES;
}

static void flush_memory(struct lane *lane)
{
	show_count(lane, &lane->area->counters[0][0]);
}

static void send_memory(struct lane *lane, const void *from)
{
	__le32 *own = &lane->area->counters[0][0];
	unsigned int spins = 0;

	while (lane->count - lane->seen >= places(lane)) {
		lane->seen = ivshmem_load_acquire32(&lane->area->counters[1][0]);
		if (lane->count - lane->seen < places(lane))
			break;
		if (lane->shown != lane->count)
			show_count(lane, own);
		relax(&spins);
	}
	ivshmem_copy_out(next_place(lane), from, lane->size);
	if (is_batch(lane))
		show_count(lane, own);
}

static void receive_memory(struct lane *lane, void *to)
{
	__le32 *own = &lane->area->counters[1][0];
	unsigned int spins = 0;

	while (lane->count == lane->seen) {
		lane->seen = ivshmem_load_acquire32(&lane->area->counters[0][0]);
		if (lane->count != lane->seen)
			break;
		if (spins == IDLE_LOOKS)
			show_count(lane, own);
		relax(&spins);
	}
	ivshmem_copy_in(to, next_place(lane), lane->size);
	if (is_batch(lane))
		show_count(lane, own);
}

static void send_blindly(struct lane *lane, const void *from)
{
	ivshmem_copy_out(next_place(lane), from, lane->size);
}

static void receive_blindly(struct lane *lane, void *to)
{
	ivshmem_copy_in(to, next_place(lane), lane->size);
}

/* One word says that the next one may be read; there is nothing else to it */
static void send_flag(struct lane *lane, const void *from)
{
	(void)from;
	ivshmem_store_release32(&lane->area->counters[0][0], ++lane->count);
}

static void receive_flag(struct lane *lane, void *to)
{
	unsigned int spins = 0;

	(void)to;
	lane->count++;
	while (ivshmem_load_acquire32(&lane->area->counters[0][0]) != lane->count)
		relax(&spins);
}

static void flush_fd(struct lane *lane)
{
	(void)lane;
}

static void flush_flag(struct lane *lane)
{
	(void)lane;
}

static void flush_nothing(struct lane *lane)
{
	(void)lane;
}

/* Made for each way, so that no call through a pointer is part of a round trip */
#define ROUND_TRIP(way)							\
static void ping_##way(struct lane *to, struct lane *from, void *message) \
{									\
	send_##way(to, message);					\
	flush_##way(to);						\
	receive_##way(from, message);					\
}									\
									\
static void pong_##way(struct lane *to, struct lane *from, void *message) \
{									\
	receive_##way(from, message);					\
	send_##way(to, message);					\
	flush_##way(to);						\
}

ROUND_TRIP(ring)
ROUND_TRIP(fd)
ROUND_TRIP(flag)

/* Of the others only the rate is measured */
#define NO_TRIP	NULL, NULL

static const struct transport transports[] = {
	{ "ring", TWO_CORES, open_ring,
	  send_ring, receive_ring, flush_ring,
	  ping_ring, pong_ring },
	{ "ring-each", TWO_CORES, open_ring,
	  send_ring_each, receive_ring, flush_ring,
	  NO_TRIP },
	{ "pipe", TWO_CORES, open_pipe,
	  send_fd, receive_fd, flush_fd,
	  ping_fd, pong_fd },
	{ "unix-stream", TWO_CORES, open_unix_stream,
	  send_fd, receive_fd, flush_fd,
	  ping_fd, pong_fd },
	{ "seqpacket", TWO_CORES, open_seqpacket,
	  send_fd, receive_fd, flush_fd,
	  ping_fd, pong_fd },
	{ "tcp-loopback", TWO_CORES, open_tcp,
	  send_fd, receive_fd, flush_fd,
	  ping_fd, pong_fd },
	{ "mq", TWO_CORES, open_queue,
	  send_queue, receive_queue, flush_nothing,
	  NO_TRIP },
	{ "memcpy", TWO_CORES, open_area,
	  send_memory, receive_memory, flush_memory,
	  NO_TRIP },
	{ "memcpy-unsynced", TWO_CORES_UNSYNCED, open_area,
	  send_blindly, receive_blindly, flush_nothing,
	  NO_TRIP },
	{ "memcpy-one-core", ONE_CORE, open_area,
	  send_blindly, receive_blindly, flush_nothing,
	  NO_TRIP },
	{ "flag", TWO_CORES, open_area,
	  send_flag, receive_flag, flush_flag,
	  ping_flag, pong_flag },
};

const struct transport *transport_named(const char *name)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (!strcmp(transports[i].name, name))
			return &transports[i];
	return NULL;
}
