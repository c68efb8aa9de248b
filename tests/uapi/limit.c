/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rate limit of doorbells: files opened without CAP_SYS_ADMIN share it,
 * and who opened the file decides, not who uses it.
 *
 * Started as root, with a device node that everybody may open.
 */
#include "device.h"

#include <libgen.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define NOBODY 65534

/* A peer that does not exist: these doorbells cost what all do. */
#define NO_PEER 65535

/* More doorbells than any burst that a low limit could allow. */
#define MANY 20000

static char rate_path[256];

static void set_rate(unsigned int rate)
{
	FILE *file = fopen(rate_path, "we");

	if (!file || fprintf(file, "%u\n", rate) < 0 || fclose(file))
		fail_msg("%s: %s", rate_path, strerror(errno));
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* An effective user other than root has no effective capability. */
static int open_as_nobody(int flags)
{
	int fd;

	assert_int_equal(seteuid(NOBODY), 0);
	fd = open(device_path, flags | O_CLOEXEC);
	assert_int_equal(seteuid(0), 0);
	if (fd < 0)
		fail_msg("%s as nobody: %s", device_path, strerror(errno));
	return fd;
}

/* Another process; 0 in that */
static pid_t begin_child(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	return child;
}

/* Rings until the limit says no; returns how often it said yes. */
static unsigned int exhaust(int fd)
{
	unsigned int n;

	for (n = 0; n < MANY; n++) {
		if (device_ring(fd, NO_PEER, 0)) {
			assert_int_equal(errno, EAGAIN);
			return n;
		}
	}
	fail_msg("%u doorbells were not too many", n);
	return n;
}

static void expect_unlimited(int fd)
{
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		if (device_ring(fd, NO_PEER, 0))
			fail_msg("doorbell %u: %s", i, strerror(errno));
	}
}

/* Beyond the rate: EAGAIN when the file is O_NONBLOCK; later it rings again. */
static void test_nonblocking(void **state)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	double start = now();
	unsigned int burst, more = 0;

	(void)state;
	set_rate(50);
	burst = exhaust(fd);
	while (more < 25) {
		if (!device_ring(fd, NO_PEER, 0)) {
			more++;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		if (now() - start > WAIT_MS / 1000)
			fail_msg("only %u more doorbells", more);
		nanosleep(&pause, NULL);
	}
	printf("# burst of %u at 50 a second\n", burst);
	/* what came after the burst came at the rate, give or take one */
	assert_true(more <= 50 * (now() - start) + 1);
	close(fd);
}

/* A doorbell that was refused has not been rung. */
static void test_refused_means_not_rung(void **state)
{
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	int file = device_open(O_RDONLY), end = device_open(O_RDONLY), i;
	uint64_t counts[IVSHMEM_MAX_VECTORS] = { 0 };

	(void)state;
	need_vectors(2);
	subscribe_to(file, 0);
	subscribe_to(end, 1);
	set_rate(1);
	exhaust(fd);
	/* a token may have come in since: then it is rung, and arrives */
	for (i = 0; i < 100; i++) {
		if (!device_ring(fd, device_facts.peer_id, 0))
			assert_int_equal(take(file, 0, 1), 1);
		else
			assert_int_equal(errno, EAGAIN);
	}
	ring_self_through(end, 1);
	assert_int_equal(take_pending(file, counts), 0);
	close(file);
	close(end);
	close(fd);
}

/* Beyond the rate the call waits: slower, and every doorbell is rung. */
static void test_blocking(void **state)
{
	int probe = open_as_nobody(O_RDWR | O_NONBLOCK);
	int fd = open_as_nobody(O_RDWR);
	unsigned int i;
	double start;

	(void)state;
	set_rate(20);
	exhaust(probe);
	start = now();
	for (i = 0; i < 20; i++)
		assert_int_equal(device_ring(fd, NO_PEER, 0), 0);
	/* 19 of them had to wait for a token, of which there are 20 a second */
	assert_true(now() - start >= 0.9);
	close(probe);
	close(fd);
}

/*
 * Files opened without CAP_SYS_ADMIN share the device's rate limit: two of
 * them ring as often as one may, not twice as often.
 */
static void test_limit_is_shared(void **state)
{
	int files[2] = { open_as_nobody(O_RDWR | O_NONBLOCK),
			 open_as_nobody(O_RDWR | O_NONBLOCK) };
	unsigned int rung[2] = { 0 }, i;
	double start, end;

	(void)state;
	set_rate(200);
	exhaust(files[0]);
	start = now();
	do {
		for (i = 0; i < 2; i++) {
			if (!device_ring(files[i], NO_PEER, 0))
				rung[i]++;
			else
				assert_int_equal(errno, EAGAIN);
		}
		end = now();
	} while (end - start < 1);
	printf("# %u and %u doorbells in %g s\n", rung[0], rung[1],
	       end - start);
	assert_true(rung[0] + rung[1] > 0);
	assert_true(rung[0] + rung[1] <= 1.5 * 200 * (end - start));
	close(files[0]);
	close(files[1]);
}

/* Root's files know no limit, whatever the others have used up. */
static void test_privileged(void **state)
{
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	int root = device_open(O_RDWR | O_NONBLOCK);

	(void)state;
	set_rate(1);
	exhaust(fd);
	expect_unlimited(root);
	exhaust(fd);
	close(root);
	close(fd);
}

/* Rights are those of the moment of open(2) and travel with the descriptor. */
static void test_opener_decides(void **state)
{
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	int root = device_open(O_RDWR | O_NONBLOCK);
	int status;
	pid_t child;

	(void)state;
	set_rate(1);
	/* root uses what nobody has opened: limited */
	exhaust(fd);
	/* nobody uses what root has opened: not limited */
	child = begin_child();
	if (child == 0) {
		if (setresuid(NOBODY, NOBODY, NOBODY))
			_exit(1);
		expect_unlimited(root);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(root);
	close(fd);
}

/* Root of a user namespace is nobody here. */
static void test_user_namespace(void **state)
{
	int status, fd, i;
	pid_t child;

	(void)state;
	set_rate(1);
	child = begin_child();
	if (child == 0) {
		if (setresuid(NOBODY, NOBODY, NOBODY) ||
		    unshare(CLONE_NEWUSER))
			_exit(errno == EPERM || errno == ENOSPC ? 77 : 1);
		fd = open(device_path, O_RDWR | O_NONBLOCK);
		for (i = 0; fd >= 0 && i < MANY; i++)
			if (device_ring(fd, NO_PEER, 0))
				_exit(errno == EAGAIN ? 0 : 2);
		_exit(3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* 0 is no limit. */
static void test_no_limit(void **state)
{
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	unsigned int i;

	(void)state;
	set_rate(0);
	for (i = 0; i < MANY; i++)
		assert_int_equal(device_ring(fd, NO_PEER, 0), 0);
	close(fd);
}

/* With another limit nobody waits for what was rung before. */
static void test_limit_begins_anew(void **state)
{
	int fd = open_as_nobody(O_RDWR | O_NONBLOCK);
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		set_rate(1);
		assert_int_equal(device_ring(fd, NO_PEER, 0), 0);
	}
	close(fd);
}

static struct { int fd; pid_t tid; int error; } ringer;

static void *ring_until_error(void *arg)
{
	(void)arg;
	__atomic_store_n(&ringer.tid, thread_id(), __ATOMIC_RELEASE);
	while (!device_ring(ringer.fd, NO_PEER, 0))
		;
	ringer.error = errno;
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
}

/* EINTR: a signal ends the wait for a token. */
static void test_interrupted(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct timespec soon;
	pthread_t thread;
	double start = now();

	(void)state;
	set_rate(1);
	ringer.fd = open_as_nobody(O_RDWR);
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(pthread_create(&thread, NULL, ring_until_error, NULL),
			 0);
	while (!__atomic_load_n(&ringer.tid, __ATOMIC_ACQUIRE))
		sched_yield();
	do {
		/* a signal between two calls interrupts none: once more */
		if (now() - start > WAIT_MS / 1000)
			fail_msg("no signal interrupted the wait");
		wait_until_blocked(ringer.tid, SYS_ioctl);
		pthread_kill(thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_sec++;
	} while (pthread_timedjoin_np(thread, NULL, &soon));
	assert_int_equal(ringer.error, EINTR);
	close(ringer.fd);
}

/* Rings until @times waits were interrupted, by a timer that does not end. */
static void be_interrupted(int fd, unsigned int times)
{
	const struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	struct sigaction action = { .sa_handler = on_signal };
	unsigned int interrupted = 0;

	if (sigaction(SIGALRM, &action, NULL) ||
	    setitimer(ITIMER_REAL, &often, NULL))
		_exit(1);
	while (interrupted < times)
		if (device_ring(fd, NO_PEER, 0) && errno == EINTR)
			interrupted++;
	_exit(0);
}

/* Who was interrupted has not rung, and others do not wait for that. */
static void test_interrupted_takes_no_turn(void **state)
{
	int fd = open_as_nobody(O_RDWR), status;
	int other = open_as_nobody(O_RDWR | O_NONBLOCK);
	double start;
	pid_t child;

	(void)state;
	set_rate(1);
	child = begin_child();
	if (child == 0)
		be_interrupted(fd, 2 * WAIT_MS / 1000);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	start = now();
	/* turns for twice as long would have been taken */
	while (device_ring(other, NO_PEER, 0)) {
		assert_int_equal(errno, EAGAIN);
		if (now() - start > WAIT_MS / 1000)
			fail_msg("others wait for who does not ring");
		sched_yield();
	}
	close(other);
	close(fd);
}

/* A process that waits for a token can be killed. */
static void test_killed(void **state)
{
	int fd = open_as_nobody(O_RDWR), status;
	pid_t child;

	(void)state;
	set_rate(1);
	child = begin_child();
	if (child == 0)
		while (!device_ring(fd, NO_PEER, 0))
			;
	wait_until_blocked(child, SYS_ioctl);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	close(fd);
}

static int restore_rate(void **state)
{
	(void)state;
	set_rate(100000);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nonblocking),
		cmocka_unit_test_setup(test_refused_means_not_rung, settle),
		cmocka_unit_test(test_blocking),
		cmocka_unit_test(test_limit_is_shared),
		cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_opener_decides),
		cmocka_unit_test(test_user_namespace),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_limit_begins_anew),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_interrupted_takes_no_turn),
		cmocka_unit_test(test_killed),
	};

	device_setup(argc, argv);
	snprintf(rate_path, sizeof(rate_path),
		 "/sys/class/ivshmem/%s/ring_rate", basename(argv[argc - 1]));
	return cmocka_run_group_tests(tests, NULL, restore_rate) != 0;
}
