// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process of the fuzzer: its threads run programs until they are told to end, or killed.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of a thread: enough for what the slots hold, and little more */
#define DESCRIPTORS	32
/* The first of the errors that the kernel has for itself alone */
#define ERESTARTSYS	512
/* In a child of fork() */
#define CHILD_CALLS	3

static struct fuzzer fuzzers[THREADS_MAX];

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
}

/* From now on the parent takes the time */
static void begin(struct station *station, unsigned int kind)
{
	atomic_store(&station->kind, kind);
	atomic_store(&station->since, now_ms());
}

static void end(struct station *station)
{
	atomic_store(&station->since, 0);
}

static void run_call(struct fuzzer *f, const struct call *call)
{
	struct station *station = f->station;
	long ret;

	chance_twist(&f->chance, call);
	begin(station, call->kind);
	ret = kinds[call->kind].run(f);
	end(station);
	if (ret < 0 && errno >= ERESTARTSYS) {
		fprintf(stderr, "uapi_fuzz: %s: error %d\n", kinds[call->kind].name, errno);
		abort();
	}
	atomic_fetch_add(&station->calls, 1);
	atomic_fetch_add(&f->shared->tried[call->kind], 1);
	if (ret >= 0)
		atomic_fetch_add(&f->shared->worked[call->kind], 1);
}

/* A few calls in a process that has inherited all files and mappings, then its end */
static _Noreturn void child_run(struct fuzzer *f)
{
	struct chance chance;
	unsigned int i;
	struct call call;

	f->is_child = true;
	chance_start(&chance, draw(&f->chance));
	for (i = 0; i < CHILD_CALLS; i++) {
		call_make(&chance, &call);
		if (kinds[call.kind].run == call_fork)
			continue;
		chance_twist(&f->chance, &call);
		kinds[call.kind].run(f);
	}
	_exit(0);
}

long call_fork(struct fuzzer *f)
{
	struct timespec pause = { .tv_nsec = (long)below(&f->chance, 5000000) };
	pid_t child;

	if (f->is_child)
		return 0;
	child = fork();
	if (child < 0)
		return -1;
	if (!child)
		child_run(f);
	nanosleep(&pause, NULL);
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Interrupts what the calls of a program wait for: late, or now and then at once */
static void start_timer(struct fuzzer *f, struct chance *chance)
{
	uint64_t ms = one_in(chance, 4) ? 2 + below(chance, 30) : 100 + below(chance, 1000);
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	const struct itimerspec timer = { .it_interval = time, .it_value = time };

	timer_settime(f->timer, 0, &timer, NULL);
}

/* What a program has left goes, sometimes that of others, too */
static void clean_up(struct fuzzer *f, struct chance *chance)
{
	const struct call receive = { .twist_at = NO_TWIST };

	begin(f->station, CLEANING);
	if (f->has_ring)
		io_uring_queue_exit(&f->ring);
	f->has_ring = false;
	files_drop(f);
	arena_reset(f);
	chance_twist(&f->chance, &receive);
	while (one_in(chance, 2) && call_receive(f) >= 0)
		;
	files_drop(f);
	end(f->station);
}

static void run_program(struct fuzzer *f, uint64_t seed)
{
	struct program program;
	struct chance chance;
	unsigned int i;

	chance_start(&chance, seed);
	program_make(f, &chance, &program);
	start_timer(f, &chance);
	cover_clear(f);
	for (i = 0; i < program.length; i++)
		run_call(f, &program.calls[i]);
	if (cover_take(f))
		program_keep(f->shared, &program);
	clean_up(f, &chance);
}

static void *thread_run(void *data)
{
	struct fuzzer *f = data;
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct station *station = f->station;
	uint64_t place = (uint64_t)(station - &f->shared->stations[0][0]);
	uint64_t number;

	event._sigev_un._tid = gettid();
	atomic_store(&station->tid, (uint32_t)event._sigev_un._tid);
	if (timer_create(CLOCK_MONOTONIC, &event, &f->timer))
		abort();
	cover_start(f);
	while (!atomic_load(&f->shared->ending)) {
		number = atomic_fetch_add(&station->programs, 1);
		run_program(f, mix(mix(mix(f->shared->options.seed) + place) + number));
	}
	return NULL;
}

static int fuzzer_create(struct fuzzer *f, struct shared *shared, unsigned int process,
			 unsigned int thread)
{
	unsigned int sort, i;

	f->shared = shared;
	f->station = &shared->stations[process][thread];
	f->mates = fuzzers;
	for (sort = 0; sort < SORTS; sort++)
		for (i = 0; i < SLOTS; i++)
			atomic_store(&f->files[sort][i], -1);
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (f->epoll < 0 || f->memory < 0)
		return -1;
	return arena_create(f, thread);
}

/* Every other process has no CAP_SYS_ADMIN: its doorbells have a limit */
static void drop_privilege(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return;
	data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	syscall(SYS_capset, &header, data);
}

_Noreturn void process_run(struct shared *shared, unsigned int number)
{
	unsigned int count = shared->options.threads, i;
	const struct rlimit descriptors = { DESCRIPTORS * count, DESCRIPTORS * count };
	const struct rlimit core = { 0, 0 };
	pthread_t threads[THREADS_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_NOFILE, &descriptors);
	setrlimit(RLIMIT_CORE, &core);
	guard_install();
	if (number % 2)
		drop_privilege();
	for (i = 0; i < count; i++)
		if (fuzzer_create(&fuzzers[i], shared, number, i))
			abort();
	for (i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, thread_run, &fuzzers[i]))
			abort();
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	exit(0);
}
