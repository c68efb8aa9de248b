// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures one way between two processes on two cores, once: messages a second
 * in one direction, or the time of a round trip.
 */
#include "transports.h"

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What both processes agree on by other means than the way that is measured */
struct agreement {
	__le32 ready;
	__le32 end;
};

static struct agreement *agreement;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "two cores are needed");
}

/* Both are there, and neither begins before the other */
static void meet(void)
{
	unsigned int spins = 0;

	__atomic_fetch_add(&agreement->ready, 1, __ATOMIC_SEQ_CST);
	while (ivshmem_load_acquire32(&agreement->ready) < 2)
		relax(&spins);
}

/* Messages carry their number, and the last one all ones */
static void send_all(struct lane *lane, double seconds, char *message)
{
	double end;

	meet();
	end = now() + seconds;
	for (__u32 number = 0;; number++) {
		if (number % 64 == 0 && now() >= end)
			break;
		memcpy(message, &number, sizeof(number));
		lane->transport->send(lane, message);
	}
	memset(message, 0xff, sizeof(__u32));
	lane->transport->send(lane, message);
	lane->transport->flush(lane);
	ivshmem_store_release32(&agreement->end, 1);
}

static double receive_all(struct lane *lane, bool is_limit, char *message)
{
	double start, taken;
	__u32 number, expected = 0;

	meet();
	start = now();
	for (;; expected++) {
		lane->transport->receive(lane, message);
		if (is_limit) {
			/* Nothing says what arrived: both only copy */
			if (ivshmem_load32(&agreement->end))
				break;
			continue;
		}
		memcpy(&number, message, sizeof(number));
		if (number == 0xffffffff)
			break;
		if (number != expected)
			errx(1, "message %u instead of %u", number, expected);
	}
	taken = now() - start;
	return expected / taken;
}

static double one_way(struct lane *lane, double seconds, char *message)
{
	bool is_limit = !strcmp(lane->transport->name, "memcpy");
	double rate, sent;
	int status, report[2];
	pid_t pid;

	if (pipe(report))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_on(0);
		send_all(lane, seconds, message);
		sent = lane->count / seconds;
		_exit(write(report[1], &sent, sizeof(sent)) != sizeof(sent));
	}
	run_on(1);
	rate = receive_all(lane, is_limit, message);
	if (read(report[0], &sent, sizeof(sent)) != sizeof(sent) ||
	    waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s: the sender failed", lane->transport->name);
	/* The slower of both copies bounds what can get through */
	return is_limit && sent < rate ? sent : rate;
}

static void step(struct lane *to, struct lane *from, char *message, bool first)
{
	if (!first)
		from->transport->receive(from, message);
	to->transport->send(to, message);
	to->transport->flush(to);
	if (first)
		from->transport->receive(from, message);
}

static double round_trip(struct lane lanes[2], double seconds, char *message)
{
	unsigned int trips = 0;
	double start;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_on(0);
		meet();
		for (;;)
			step(&lanes[1], &lanes[0], message, false);
	}
	run_on(1);
	meet();
	start = now();
	do {
		for (int i = 0; i < 64; i++)
			step(&lanes[0], &lanes[1], message, true);
		trips += 64;
	} while (now() < start + seconds);
	start = now() - start;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return start / trips * 1e9;
}

int main(int argc, char **argv)
{
	struct lane lanes[2] = { { .size = 0 }, { .size = 0 } };
	bool trip = argc == 4 && !strcmp(argv[2], "pingpong");
	size_t size = trip ? 8 : argc == 4 ? strtoul(argv[2], NULL, 0) : 0;
	char *message;

	if (argc != 4 || !transport_named(argv[1]) || size < sizeof(__u32) ||
	    size > AREA_SIZE / 4) {
		fprintf(stderr, "Usage: ring_speed WAY BYTES|pingpong SECONDS\n");
		return 2;
	}
	agreement = mmap(NULL, sizeof(*agreement), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	message = calloc(1, size);
	if (agreement == MAP_FAILED || !message)
		err(1, "memory");
	for (int i = 0; i < 2; i++) {
		lanes[i].transport = transport_named(argv[1]);
		lanes[i].size = size;
		lanes[i].transport->open(&lanes[i]);
		if (!trip)
			break;
	}
	printf("%.3f\n", trip ? round_trip(lanes, strtod(argv[3], NULL), message) :
	       one_way(&lanes[0], strtod(argv[3], NULL), message));
	return 0;
}
