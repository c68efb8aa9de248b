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
/* Where the sender runs, and where the receiver does */
static int cpus[2];

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
		err(1, "cannot run on CPU %d", cpu);
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

static double receive_all(struct lane *lane, char *message)
{
	double start, taken;
	__u32 number, expected = 0;

	meet();
	start = now();
	for (;; expected++) {
		lane->transport->receive(lane, message);
		memcpy(&number, message, sizeof(number));
		if (number == 0xffffffff)
			break;
		if (number != expected)
			errx(1, "message %u instead of %u", number, expected);
	}
	taken = now() - start;
	return expected / taken;
}

/* Nothing says what arrived: copies as often as it can until the sender ends */
static double receive_unsynced(struct lane *lane, char *message)
{
	double start;

	meet();
	start = now();
	do {
		lane->transport->receive(lane, message);
	} while (!ivshmem_load32(&agreement->end));
	return lane->count / (now() - start);
}

static double two_cores(struct lane *lane, double seconds, char *message)
{
	bool synced = lane->transport->movers == TWO_CORES;
	double rate, sent;
	int status, report[2];
	pid_t pid;

	if (pipe(report))
		err(1, "pipe");
	run_on(cpus[0]);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		send_all(lane, seconds, message);
		sent = lane->count / seconds;
		_exit(write(report[1], &sent, sizeof(sent)) != sizeof(sent));
	}
	run_on(cpus[1]);
	rate = synced ? receive_all(lane, message) :
			receive_unsynced(lane, message);
	if (read(report[0], &sent, sizeof(sent)) != sizeof(sent) ||
	    waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s: the sender failed", lane->transport->name);
	/* The slower of both bounds what could get through */
	return !synced && sent < rate ? sent : rate;
}

static double one_core(struct lane *lane, double seconds, char *message)
{
	struct lane receiver = *lane;
	char *copy = malloc(lane->size);
	double start;

	if (!copy)
		err(1, "memory");
	run_on(cpus[0]);
	start = now();
	do {
		for (int i = 0; i < 64; i++) {
			lane->transport->send(lane, message);
			lane->transport->receive(&receiver, copy);
		}
	} while (now() < start + seconds);
	return lane->count / (now() - start);
}

static double round_trip(struct lane lanes[2], double seconds, char *message)
{
	unsigned int trips = 0;
	double start;
	pid_t pid;

	run_on(cpus[0]);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		meet();
		for (;;)
			lanes[0].transport->pong(&lanes[1], &lanes[0], message);
	}
	run_on(cpus[1]);
	meet();
	start = now();
	do {
		for (int i = 0; i < 64; i++)
			lanes[0].transport->ping(&lanes[0], &lanes[1], message);
		trips += 64;
	} while (now() < start + seconds);
	start = now() - start;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return start / trips * 1e9;
}

static double measure(struct lane lanes[2], bool trip, double seconds, char *message)
{
	if (trip)
		return round_trip(lanes, seconds, message);
	if (lanes[0].transport->movers == ONE_CORE)
		return one_core(&lanes[0], seconds, message);
	return two_cores(&lanes[0], seconds, message);
}

int main(int argc, char **argv)
{
	struct lane lanes[2] = { { .size = 0 }, { .size = 0 } };
	bool trip = argc == 6 && !strcmp(argv[2], "pingpong");
	size_t size = trip ? 8 : argc == 6 ? strtoul(argv[2], NULL, 0) : 0;
	char *message;

	if (argc != 6 || !transport_named(argv[1]) || size < sizeof(__u32) ||
	    size > AREA_SIZE / 4 || (trip && !transport_named(argv[1])->ping)) {
		fprintf(stderr, "Usage: ring_speed WAY BYTES|pingpong SECONDS CPU CPU\n");
		return 2;
	}
	cpus[0] = atoi(argv[4]);
	cpus[1] = atoi(argv[5]);
	agreement = mmap(NULL, sizeof(*agreement), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* As aligned as the buffers of a program that cares for its copies */
	message = aligned_alloc(64, (size + 63) / 64 * 64);
	if (agreement == MAP_FAILED || !message)
		err(1, "memory");
	memset(message, 0, size);
	for (int i = 0; i < 2; i++) {
		lanes[i].transport = transport_named(argv[1]);
		lanes[i].size = size;
		lanes[i].transport->open(&lanes[i]);
		if (!trip)
			break;
	}
	printf("%.3f\n", measure(lanes, trip, strtod(argv[3], NULL), message));
	return 0;
}
