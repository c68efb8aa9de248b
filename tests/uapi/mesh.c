/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every peer asks every other one on every vector: one program in each VM
 * answers for its devices, another one asks through each of them in turn.
 */
#include "device.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#define PEERS 16
#define PLACE 0x100000	/* of the questions, in the shared memory */

/* A question of one peer to another one, on a vector; the answer is equal. */
struct question {
	uint32_t asked;
	uint32_t answered;
};

struct table {
	struct question of[PEERS][PEERS][IVSHMEM_MAX_VECTORS];
};

struct member {
	const char *path;
	int fd;
	uint32_t peer;
	uint32_t vectors;
	volatile struct table *questions;
};

static struct member members[PEERS];
static unsigned int n_members;
static volatile sig_atomic_t ended;

static void on_end(int number)
{
	(void)number;
	ended = 1;
}

static void quit(const char *path, const char *what)
{
	fprintf(stderr, "mesh: %s: %s: %m\n", path, what);
	exit(1);
}

static void join(const char *path)
{
	struct member *m = &members[n_members++];
	struct ivshmem_ioc_info info;

	m->path = path;
	m->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (m->fd < 0 || device_info(m->fd, &info))
		quit(path, "open");
	if (info.peer_id >= PEERS)
		quit(path, "peer id beyond the table");
	m->peer = info.peer_id;
	m->vectors = info.vectors;
	m->questions = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE,
			    MAP_SHARED, m->fd, PLACE);
	if (m->questions == MAP_FAILED)
		quit(path, "mmap");
}

/* Answers all that has been asked of @m on @vector. */
static unsigned int answer_vector(struct member *m, uint32_t vector)
{
	unsigned int asker, answers = 0;
	volatile struct question *q;
	uint32_t asked;

	for (asker = 0; asker < PEERS; asker++) {
		q = &m->questions->of[asker][m->peer][vector];
		asked = __atomic_load_n(&q->asked, __ATOMIC_ACQUIRE);
		if (asked == q->answered)
			continue;
		__atomic_store_n(&q->answered, asked, __ATOMIC_RELEASE);
		if (device_ring(m->fd, asker, vector))
			quit(m->path, "answer");
		answers++;
	}
	return answers;
}

static unsigned int answer_pending(struct member *m)
{
	struct ivshmem_event_record records[IVSHMEM_MAX_VECTORS];
	unsigned int answers = 0;
	ssize_t bytes, i;

	bytes = read(m->fd, records, sizeof(records));
	if (bytes < 0 && errno != EAGAIN)
		quit(m->path, "read");
	for (i = 0; i < bytes / (ssize_t)RECORD_SIZE; i++)
		answers += answer_vector(m, records[i].vector);
	return answers;
}

/* Answers until SIGTERM comes. */
static int answer(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	unsigned int i, answers = 0;

	for (i = 0; i < n_members; i++) {
		event.data.u32 = i;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, members[i].fd, &event))
			quit(members[i].path, "epoll");
	}
	printf("ready\n");
	fflush(stdout);
	while (!ended)
		if (epoll_wait(ep, &event, 1, 100) == 1)
			answers += answer_pending(&members[event.data.u32]);
	printf("%u answers\n", answers);
	return 0;
}

/* Waits for a doorbell of @m on @vector. */
static void await_vector(struct member *m, uint32_t vector, uint32_t peer)
{
	struct pollfd p = { .fd = m->fd, .events = POLLIN };
	struct ivshmem_event_record records[IVSHMEM_MAX_VECTORS];
	ssize_t bytes, i;

	for (;;) {
		if (poll(&p, 1, WAIT_MS) != 1) {
			fprintf(stderr,
				"mesh: %s: no answer of peer %u on vector %u\n",
				m->path, peer, vector);
			exit(1);
		}
		bytes = read(m->fd, records, sizeof(records));
		if (bytes < 0)
			quit(m->path, "read");
		for (i = 0; i < bytes / (ssize_t)RECORD_SIZE; i++)
			if (records[i].vector == vector)
				return;
	}
}

/* One question; told of by a doorbell, and so is the answer. */
static void ask_one(struct member *m, uint32_t peer, uint32_t vector)
{
	volatile struct question *q = &m->questions->of[m->peer][peer][vector];
	uint32_t number = q->asked + 1;

	__atomic_store_n(&q->asked, number, __ATOMIC_RELEASE);
	if (device_ring(m->fd, peer, vector))
		quit(m->path, "ask");
	do {
		await_vector(m, vector, peer);
	} while (__atomic_load_n(&q->answered, __ATOMIC_ACQUIRE) != number);
}

/* Asks all peers but itself on all vectors, through each member. */
static int ask(uint32_t peers)
{
	unsigned int i, asked = 0;
	uint32_t peer, vector;

	for (i = 0; i < n_members; i++) {
		for (peer = 0; peer < peers; peer++) {
			if (peer == members[i].peer)
				continue;
			for (vector = 0; vector < members[i].vectors;
			     vector++, asked++)
				ask_one(&members[i], peer, vector);
		}
	}
	printf("%u questions answered\n", asked);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_end };
	int i, first = argc > 1 && !strcmp(argv[1], "ask") ? 3 : 2;

	if (argc <= first || (first == 2 && strcmp(argv[1], "answer"))) {
		fprintf(stderr, "usage: %s answer DEVICE...\n"
			"       %s ask PEERS DEVICE...\n", argv[0], argv[0]);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	for (i = first; i < argc && n_members < PEERS; i++)
		join(argv[i]);
	return first == 2 ? answer() : ask(strtoul(argv[2], NULL, 0));
}
