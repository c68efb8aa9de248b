// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two processes on two cores exchange records over a link while one or the
 * other gets SIGKILLed and started again, at any instruction.  Each byte is
 * verified, each record belongs to the session that its receiver is in, and
 * arrives in order; no side ever looks hostile to the other.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ivshmem/link.h>

#define QUEUES		2U
#define LOG2		20U
#define BATCH		16U
#define LOST_MS		60000U

/* What a side tells the one who watches; it only ever grows */
struct report {
	uint64_t sessions;
	uint64_t records;
	uint64_t bytes;
	uint64_t since_start;
};

struct shared {
	struct report report[2];
	uint32_t stop;
};

/* What a record says of itself; the rest follows from it */
struct head {
	__u32 from;
	__u32 to;
	__u32 number;
	__u32 queue;
};

struct side {
	struct ivlink link;
	struct ivlink_queue queues[QUEUES];
	__u32 sent[QUEUES];
	__u32 received[QUEUES];
	__u32 slot;
	int own_fd;
	int peer_fd;
	struct report *report;
};

static __u8 *memory;
static struct ivregion region;
static struct shared *shared;
static int fds[2];

static __u32 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (__u32)((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t pattern(const struct head *head)
{
	uint64_t state = ((uint64_t)head->from << 32 | head->to) ^
			 (head->number * 0x9e3779b97f4a7c15ULL + head->queue);

	state |= !state;
	next_random(&state);
	return state;
}

static __u32 length_of(uint64_t state, __u32 longest)
{
	uint64_t value = next_random(&state);

	if (value % 16)
		return sizeof(struct head) + value / 16 % 400;
	return sizeof(struct head) + value / 16 % (longest - sizeof(struct head) + 1);
}

static void fill(__u8 *to, __u32 length, uint64_t state)
{
	for (__u32 i = 0; i < length; i += 8) {
		uint64_t word = next_random(&state);

		memcpy(to + i, &word, length - i < 8 ? length - i : 8);
	}
}

static void verify(const __u8 *from, __u32 length, uint64_t state)
{
	for (__u32 i = 0; i < length; i += 8) {
		uint64_t word = next_random(&state);

		if (memcmp(from + i, &word, length - i < 8 ? length - i : 8))
			errx(1, "a byte is wrong, near %u of %u", i, length);
	}
}

static void kick(const struct side *s)
{
	if (eventfd_write(s->peer_fd, 1))
		err(1, "eventfd_write");
}

/* Both sides are honest: no reason but a session that is over */
static void end(struct side *s, enum ivring_fault fault)
{
	if (fault != IVRING_STALE)
		errx(1, "side %u: fault %u", s->slot, fault);
	if (ivlink_end(&s->link, fault, now_ms()) & IVLINK_KICK)
		kick(s);
}

static void step(struct side *s)
{
	unsigned int events;
	__u32 random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		err(1, "getrandom");
	events = ivlink_step(&s->link, now_ms(), random);
	if (events & IVLINK_WENT_DOWN && s->link.reason != IVRING_STALE)
		errx(1, "side %u: fault %u", s->slot, s->link.reason);
	if (events & IVLINK_WENT_UP) {
		memset(s->sent, 0, sizeof(s->sent));
		memset(s->received, 0, sizeof(s->received));
		s->report->sessions++;
	}
	if (events & IVLINK_KICK)
		kick(s);
}

static bool send_some(struct side *s, __u32 q)
{
	struct ivring_producer *tx = &s->queues[q].tx;
	__u32 longest = ivring_max_length(tx->size);
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		struct head head = { s->link.epoch, s->link.ack, s->sent[q], q };
		uint64_t state = pattern(&head);
		__u32 length = length_of(state, longest);
		void *payload;
		int ret = ivring_reserve(tx, length, &payload);

		if (ret == -EAGAIN)
			break;
		if (ret) {
			end(s, tx->fault);
			return false;
		}
		memcpy(payload, &head, sizeof(head));
		fill((__u8 *)payload + sizeof(head), length - sizeof(head), state);
		ivring_commit(tx, length, q);
		s->sent[q]++;
	}
	if (ivring_publish(tx))
		kick(s);
	return i;
}

/* One record, which the other side could only have sent in this session */
static void receive(struct side *s, __u32 q, const void *payload, __u32 length,
		    __u32 kind)
{
	struct head head;
	uint64_t state;

	memcpy(&head, payload, sizeof(head));
	if (head.from != s->link.ack || head.to != s->link.epoch)
		errx(1, "side %u: a record from %x to %x in session %x, %x", s->slot,
		     head.from, head.to, s->link.ack, s->link.epoch);
	if (head.number != s->received[q] || head.queue != q || kind != q)
		errx(1, "side %u: record %u of queue %u where %u of %u should be",
		     s->slot, head.number, head.queue, s->received[q], q);
	state = pattern(&head);
	if (length != length_of(state, ivring_max_length(s->queues[q].rx.size)))
		errx(1, "side %u: length %u", s->slot, length);
	verify((const __u8 *)payload + sizeof(head), length - sizeof(head), state);
	s->received[q]++;
	s->report->records++;
	s->report->bytes += length;
	s->report->since_start++;
}

static bool receive_some(struct side *s, __u32 q)
{
	struct ivring_consumer *rx = &s->queues[q].rx;
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		const void *payload;
		__u32 length, kind;
		int ret = ivring_peek(rx, &payload, &length, &kind);

		if (ret == -EAGAIN)
			break;
		if (ret) {
			end(s, rx->fault);
			return false;
		}
		receive(s, q, payload, length, kind);
		ivring_advance(rx);
	}
	if (ivring_release(rx))
		kick(s);
	return i;
}

/* Whether there is something to do without being kicked */
static bool wants_to_go_on(struct side *s)
{
	bool now = false;

	for (__u32 q = 0; q < QUEUES; q++) {
		struct ivlink_queue *queue = &s->queues[q];

		now |= ivring_want_data(&queue->rx);
		now |= ivring_want_space(&queue->tx,
					 ivring_max_length(queue->tx.size));
	}
	return now;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > cpu)
		sched_setaffinity(0, sizeof(set), &set);
}

/* One life of a side: until it is killed, or told to stop */
static int live(__u32 slot)
{
	struct side s = { .slot = slot, .own_fd = fds[slot],
			  .peer_fd = fds[1 - slot],
			  .report = &shared->report[slot] };
	struct pollfd p = { .fd = s.own_fd, .events = POLLIN };
	eventfd_t value;

	run_on((int)slot);
	ivlink_init(&s.link, memory, &region, &region.sections[0], slot, 1 - slot,
		    s.queues);
	ivlink_start(&s.link);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		bool busy = false;

		step(&s);
		for (__u32 q = 0; q < QUEUES; q++) {
			if (s.link.state == IVLINK_UP)
				busy |= receive_some(&s, q);
			if (s.link.state == IVLINK_UP)
				busy |= send_some(&s, q);
		}
		if (busy || (s.link.state == IVLINK_UP && wants_to_go_on(&s)))
			continue;
		if (poll(&p, 1, (int)IVLINK_STEP_MS) == 1 &&
		    eventfd_read(s.own_fd, &value))
			err(1, "eventfd_read");
	}
	return 0;
}

static pid_t start(__u32 slot)
{
	pid_t pid, parent = getpid();

	__atomic_store_n(&shared->report[slot].since_start, 0, __ATOMIC_RELAXED);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It may be dead already */
		if (getppid() != parent)
			_exit(1);
		exit(live(slot));
	}
	return pid;
}

/* Both sides receive, in the lives that they have now */
static void await_both(const pid_t *pids)
{
	__u32 begin = now_ms();

	while (!__atomic_load_n(&shared->report[0].since_start, __ATOMIC_RELAXED) ||
	       !__atomic_load_n(&shared->report[1].since_start, __ATOMIC_RELAXED)) {
		int status;

		if (waitpid(-1, &status, WNOHANG) > 0)
			errx(1, "a side has ended with status %d", status);
		if (now_ms() - begin > LOST_MS)
			errx(1, "sides %d and %d do not come up", pids[0], pids[1]);
		usleep(1000);
	}
}

static void kill_and_start(pid_t *pids, __u32 slot)
{
	int status;

	if (kill(pids[slot], SIGKILL))
		err(1, "kill");
	if (waitpid(pids[slot], &status, 0) != pids[slot])
		err(1, "waitpid");
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		errx(1, "side %u has ended with status %d", slot, status);
	pids[slot] = start(slot);
}

static void set_up(void)
{
	static struct ivregion_superblock s;

	s.magic = ivshmem_to_le32(IVREGION_MAGIC);
	s.major = ivshmem_to_le32(IVREGION_MAJOR);
	s.size_log2 = ivshmem_to_le32(LOG2);
	s.slots = ivshmem_to_le32(2);
	s.sections = ivshmem_to_le32(1);
	s.section[0].type = ivshmem_to_le32(IVREGION_NET);
	s.section[0].pages = ivshmem_to_le32(2 + 4 * QUEUES * 4);
	s.section[0].queues = ivshmem_to_le32(QUEUES);
	s.section[0].name[0] = 'n';
	s.checksum = ivshmem_to_le32(ivregion_checksum(&s));
	if (ivregion_parse(&s, 1U << LOG2, &region))
		errx(1, "the superblock is wrong");
	memory = mmap(NULL, 1U << LOG2, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fds[0] = eventfd(0, 0);
	fds[1] = eventfd(0, 0);
	if (memory == MAP_FAILED || shared == MAP_FAILED || fds[0] < 0 || fds[1] < 0)
		err(1, "memory or eventfds");
	ivregion_write(memory, &s, &region);
}

static void parse(int argc, char **argv, double *seconds, uint64_t *seed)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 's') {
			*seconds = strtod(optarg, NULL);
		} else if (c == 'r') {
			*seed = strtoull(optarg, NULL, 0);
		} else {
			fprintf(c == 'h' ? stdout : stderr,
				"Usage: link_stress [--seconds N] [--seed N]\n");
			exit(c == 'h' ? 0 : 2);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t kills = 0, seed = 20240229;
	double seconds = 3;
	pid_t pids[2];
	__u32 begin;
	int status;

	parse(argc, argv, &seconds, &seed);
	seed |= !seed;
	printf("seed %" PRIu64 "\n", seed);
	set_up();
	for (__u32 i = 0; i < 2; i++)
		pids[i] = start(i);
	begin = now_ms();
	while (now_ms() - begin < seconds * 1000) {
		/* Mostly after records have flowed; now and then before */
		if (next_random(&seed) % 4)
			await_both(pids);
		usleep((useconds_t)(next_random(&seed) % 20000));
		kill_and_start(pids, next_random(&seed) % 2);
		kills++;
	}
	await_both(pids);
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	for (__u32 i = 0; i < 2; i++) {
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			errx(1, "side %u has ended with status %d", i, status);
		printf("side %u: %" PRIu64 " sessions, %" PRIu64 " records, %" PRIu64
		       " bytes\n", i, shared->report[i].sessions,
		       shared->report[i].records, shared->report[i].bytes);
	}
	printf("%" PRIu64 " killed\n", kills);
	return kills ? 0 : 1;
}
