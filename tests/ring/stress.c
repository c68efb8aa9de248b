// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two processes on two cores send records of random length through one ring,
 * verify each byte, and sleep whenever the ring is full or empty: a wake-up
 * that gets lost shows as a time-out.  With --threads they are threads, for
 * ThreadSanitizer: it sees that records, space and indices are ordered, but
 * nothing of the full barriers before events, which it does not know.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ivshmem/ring.h>

#define LOST_MS		30000
#define KIND_END	0xeeeeeeeeU
#define BATCH		24U

struct area {
	struct ivring_tx tx;
	struct ivring_rx rx;
	__u8 data[];
};

struct stress {
	struct area *area;
	__u32 size;
	uint64_t seed;
	double seconds;
	bool threads;
	int data_fd;
	int space_fd;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What belongs into record @number: both sides know it */
static uint64_t pattern(const struct stress *s, uint64_t number)
{
	uint64_t state = (s->seed ^ (number * 0x9e3779b97f4a7c15ULL)) | 1;

	next_random(&state);
	return next_random(&state);
}

/* Mostly short ones, some of every length up to the longest */
static __u32 length_of(const struct stress *s, uint64_t number)
{
	uint64_t state = pattern(s, number);
	__u32 longest = ivring_max_length(s->size);
	uint64_t choice = next_random(&state) % 16;
	uint64_t value = next_random(&state);

	if (choice < 10)
		return value % 200;
	if (choice < 15)
		return value % 3000 % (longest + 1);
	return value % (longest + 1);
}

static void fill(__u8 *to, __u32 length, uint64_t state)
{
	for (__u32 i = 0; i < length; i += 8) {
		uint64_t word = next_random(&state);

		memcpy(to + i, &word, length - i < 8 ? length - i : 8);
	}
}

static void verify(const __u8 *from, __u32 length, uint64_t state, uint64_t number)
{
	for (__u32 i = 0; i < length; i += 8) {
		__u32 n = length - i < 8 ? length - i : 8;
		uint64_t word = next_random(&state);

		if (memcmp(from + i, &word, n))
			errx(1, "record %" PRIu64 ": byte %u or one of the next is wrong",
			     number, i);
	}
}

static void kick(int fd)
{
	if (eventfd_write(fd, 1))
		err(1, "eventfd_write");
}

static void sleep_until_kicked(int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t value;

	if (poll(&p, 1, LOST_MS) != 1)
		errx(1, "%s: no wake-up within %u s", what, LOST_MS / 1000);
	if (eventfd_read(fd, &value))
		err(1, "eventfd_read");
}

/* Now and then one side is slower than the other */
static void dawdle(uint64_t *random)
{
	uint64_t choice = next_random(random) % 4096;

	if (choice == 0)
		sched_yield();
	for (volatile uint64_t i = 0; choice < 16 && i < choice * 1000; i++)
		;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > cpu)
		sched_setaffinity(0, sizeof(set), &set);
}

static void publish(const struct stress *s, struct ivring_producer *p)
{
	if (ivring_publish(p))
		kick(s->data_fd);
}

/* Space for the record, however long that takes */
static void *reserve(const struct stress *s, struct ivring_producer *p,
		     __u32 length, uint64_t *sleeps)
{
	void *payload;
	int ret;

	for (;;) {
		ret = ivring_reserve(p, length, &payload);
		if (!ret)
			return payload;
		if (ret != -EAGAIN)
			errx(1, "producer: error %d, fault %u", -ret, p->fault);
		publish(s, p);
		if (ivring_want_space(p, length))
			continue;
		sleep_until_kicked(s->space_fd, "producer");
		(*sleeps)++;
	}
}

static int produce(const struct stress *s)
{
	double end = now() + s->seconds;
	uint64_t random = s->seed | 1;
	struct ivring_producer p;
	uint64_t number, sleeps = 0;
	__u32 left = 1;

	ivring_producer_init(&p, s->area->data, s->size, &s->area->tx,
			     &s->area->rx);
	run_on(0);
	for (number = 0; number % 256 || now() < end; number++) {
		__u32 length = length_of(s, number);
		/* Sometimes more is reserved than is needed */
		__u32 more = number % 7 ? length : ivring_max_length(s->size);
		__u8 *payload = reserve(s, &p, more, &sleeps);

		fill(payload, length, pattern(s, number));
		ivring_commit(&p, length, (__u32)number & 0x7fffffff);
		if (!--left) {
			publish(s, &p);
			left = 1 + next_random(&random) % BATCH;
		}
		dawdle(&random);
	}

	memcpy(reserve(s, &p, sizeof(number), &sleeps), &number, sizeof(number));
	ivring_commit(&p, sizeof(number), KIND_END);
	publish(s, &p);
	printf("sent %" PRIu64 " records, slept %" PRIu64 " times\n", number,
	       sleeps);
	return 0;
}

static void release(const struct stress *s, struct ivring_consumer *c)
{
	if (ivring_release(c))
		kick(s->space_fd);
}

static const void *receive(const struct stress *s, struct ivring_consumer *c,
			   __u32 *length, __u32 *kind, uint64_t *sleeps)
{
	const void *payload;
	int ret;

	for (;;) {
		ret = ivring_peek(c, &payload, length, kind);
		if (!ret)
			return payload;
		if (ret != -EAGAIN)
			errx(1, "consumer: error %d, fault %u", -ret, c->fault);
		release(s, c);
		if (ivring_want_data(c))
			continue;
		sleep_until_kicked(s->data_fd, "consumer");
		(*sleeps)++;
	}
}

static int consume(const struct stress *s, struct ivring_consumer *c)
{
	uint64_t random = ~s->seed | 1;
	uint64_t sent, number, bytes = 0, sleeps = 0;
	__u32 length, kind, left = 1;
	const void *payload;

	run_on(1);
	for (number = 0;; number++) {
		payload = receive(s, c, &length, &kind, &sleeps);
		if (kind == KIND_END)
			break;
		if (kind != ((__u32)number & 0x7fffffff) ||
		    length != length_of(s, number))
			errx(1, "record %" PRIu64 ": kind %u, length %u", number,
			     kind, length);
		verify(payload, length, pattern(s, number), number);
		bytes += length;
		ivring_advance(c);
		if (!--left) {
			release(s, c);
			left = 1 + next_random(&random) % BATCH;
		}
		dawdle(&random);
	}

	memcpy(&sent, payload, sizeof(sent));
	if (sent != number)
		errx(1, "%" PRIu64 " records sent, %" PRIu64 " received", sent,
		     number);
	printf("received %" PRIu64 " records, %" PRIu64 " bytes, slept %" PRIu64
	       " times\n", number, bytes, sleeps);
	return 0;
}

static void parse(struct stress *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "size", required_argument, NULL, 'z' },
		{ "threads", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			s->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			s->seed = strtoull(optarg, NULL, 0);
			break;
		case 'z':
			s->size = strtoul(optarg, NULL, 0);
			break;
		case 't':
			s->threads = true;
			break;
		default:
			fprintf(c == 'h' ? stdout : stderr,
				"Usage: stress [--seconds N] [--seed N] [--size BYTES] [--threads]\n");
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (s->size < IVRING_SIZE_MIN || s->size > IVRING_SIZE_MAX ||
	    s->size & (s->size - 1))
		errx(2, "--size %u: not a power of two, or too small", s->size);
}

static void *produce_in_thread(void *s)
{
	produce(s);
	return NULL;
}

static int in_threads(struct stress *s, struct ivring_consumer *consumer)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, produce_in_thread, s))
		errx(1, "pthread_create");
	consume(s, consumer);
	if (pthread_join(thread, NULL))
		errx(1, "pthread_join");
	return 0;
}

int main(int argc, char **argv)
{
	struct stress s = { .size = 65536, .seed = 20240229, .seconds = 2 };
	struct ivring_consumer consumer;
	int status;
	pid_t pid;

	parse(&s, argc, argv);
	s.area = mmap(NULL, sizeof(*s.area) + s.size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.area == MAP_FAILED)
		err(1, "mmap");
	s.data_fd = eventfd(0, 0);
	s.space_fd = eventfd(0, 0);
	if (s.data_fd < 0 || s.space_fd < 0)
		err(1, "eventfd");
	printf("ring of %u bytes, seed %" PRIu64 "\n", s.size, s.seed);
	fflush(stdout);
	ivring_consumer_init(&consumer, s.area->data, s.size, &s.area->rx,
			     &s.area->tx);

	if (s.threads)
		return in_threads(&s, &consumer);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return produce(&s);
	}
	consume(&s, &consumer);
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "the producer ended with status %d", status);
	return 0;
}
