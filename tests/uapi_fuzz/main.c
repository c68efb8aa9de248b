// SPDX-License-Identifier: GPL-2.0-only
/*
 * uapi_fuzz: random calls of the driver, from many processes and threads at once.
 *
 * This process makes the others, kills one now and then, and sees to it that each call
 * comes back.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/ivshmem.h>

#define LOOK_MS		100
#define TELL_MS		5000
/* On average, a process is killed after so many looks */
#define LOOKS_TO_KILL	40

static const char usage[] =
	"Usage: uapi_fuzz [OPTION...]\n"
	"       uapi_fuzz --list\n"
	"\n"
	"Makes random calls of all /dev/ivshmem* that there are or will be, as root.  With\n"
	"KCOV it makes more of those that have reached something new in our modules.\n"
	"\n"
	"  --seed=N       of the random numbers (of the clock)\n"
	"  --seconds=N    for how long (10)\n"
	"  --calls=N      or until there were so many (0: any number)\n"
	"  --processes=N  1 to 16 (4); each second one has no CAP_SYS_ADMIN\n"
	"  --threads=N    of each process, 1 to 8 (2)\n"
	"  --bound=N      seconds that a call may take (60); signals interrupt all that may\n"
	"                 wait for longer\n"
	"  --unguided     only count what is reached\n"
	"  --list         print the kinds of calls\n"
	"\n"
	"Without KCOV a seed gives each thread the same calls, with the same arguments but for\n"
	"the numbers of descriptors.  Prints JSON.  Exit status: 1 if a call does not come\n"
	"back, or a process has died of something else than being killed.\n";

/* A process that fuzzes */
struct worker {
	pid_t pid;
	uint64_t killed_at;	/* ms, or 0 */
};

static struct worker workers[PROCESSES_MAX];
static struct shared *shared;
static uint64_t kills;
static volatile sig_atomic_t interrupted;

static void on_end(int number)
{
	(void)number;
	interrupted = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "uapi_fuzz: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void misused(void)
{
	fputs(usage, stderr);
	exit(2);
}

static void list(void)
{
	unsigned int i;

	for (i = 0; i < nr_kinds; i++)
		printf("%s\n", kinds[i].name);
}

static unsigned int number(unsigned int least, unsigned int most)
{
	unsigned long value = strtoul(optarg, NULL, 0);

	if (value < least || value > most)
		misused();
	return (unsigned int)value;
}

static void take(struct options *options, int option)
{
	switch (option) {
	case 's':
		options->seed = strtoull(optarg, NULL, 0);
		break;
	case 't':
		options->seconds = strtod(optarg, NULL);
		break;
	case 'c':
		options->calls = strtoull(optarg, NULL, 0);
		break;
	case 'p':
		options->processes = number(1, PROCESSES_MAX);
		break;
	case 'n':
		options->threads = number(1, THREADS_MAX);
		break;
	case 'b':
		options->bound = number(1, 3600);
		break;
	case 'u':
		options->unguided = true;
		break;
	case 'l':
		list();
		exit(0);
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		misused();
	}
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option table[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "calls", required_argument, NULL, 'c' },
		{ "processes", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 'n' },
		{ "bound", required_argument, NULL, 'b' },
		{ "unguided", no_argument, NULL, 'u' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	*options = (struct options) {
		.seed = mix((uint64_t)time(NULL)) & UINT32_MAX,
		.seconds = 10,
		.processes = 4,
		.threads = 2,
		.bound = 60,
	};
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		take(options, option);
	if (optind != argc)
		misused();
}

/* What calls are made for */
static void look_at_device(void)
{
	struct ivshmem_ioc_info info = { .size = sizeof(info) };
	int fd = open("/dev/ivshmem0", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, IVSHMEM_IOC_INFO, &info))
		die("/dev/ivshmem0");
	close(fd);
	shared->size = info.memory_size;
	shared->vectors = info.vectors < 64 ? info.vectors : 63;
}

static void start(unsigned int i)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		process_run(shared, i);
	workers[i] = (struct worker) { .pid = pid };
}

static uint64_t calls(void)
{
	uint64_t sum = 0;
	unsigned int i, t;

	for (i = 0; i < PROCESSES_MAX; i++)
		for (t = 0; t < THREADS_MAX; t++)
			sum += atomic_load(&shared->stations[i][t].calls);
	return sum;
}

static void show(pid_t pid, uint32_t tid, const char *name)
{
	char path[64], text[4096];
	ssize_t count;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%u/%s", pid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	count = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (count > 0)
		fprintf(stderr, "%s:\n%.*s\n", name, (int)count, text);
	if (fd >= 0)
		close(fd);
}

static const char *name_of(uint32_t kind)
{
	return kind == CLEANING ? "cleaning up" : kinds[kind].name;
}

/* Whether a call of a process is under way for too long; says which */
static bool hangs(unsigned int i, uint64_t now)
{
	uint64_t bound = shared->options.bound * 1000ULL, since;
	struct worker *worker = &workers[i];
	bool found = false;
	unsigned int t;

	for (t = 0; t < shared->options.threads; t++) {
		struct station *station = &shared->stations[i][t];

		since = atomic_load(&station->since);
		if (!since || now < since + bound)
			continue;
		found = true;
		fprintf(stderr, "uapi_fuzz: process %u, thread %u, program %" PRIu64
			": %s does not come back\n", i, t, atomic_load(&station->programs),
			name_of(atomic_load(&station->kind)));
		show(worker->pid, atomic_load(&station->tid), "syscall");
		show(worker->pid, atomic_load(&station->tid), "stack");
	}
	if (!found && worker->killed_at && now > worker->killed_at + bound) {
		fprintf(stderr, "uapi_fuzz: process %u does not end\n", i);
		show(worker->pid, (uint32_t)worker->pid, "stack");
		found = true;
	}
	return found;
}

/* Whether it ended as it should, if it has; another one takes its place */
static bool look_after(unsigned int i, uint64_t now)
{
	struct worker *worker = &workers[i];
	bool ending = atomic_load(&shared->ending);
	unsigned int t;
	int status;

	if (!worker->pid)
		return true;
	if (waitpid(worker->pid, &status, WNOHANG) != worker->pid)
		return !hangs(i, now);
	for (t = 0; t < THREADS_MAX; t++)
		atomic_store(&shared->stations[i][t].since, 0);
	if (!(worker->killed_at && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
	    !(ending && WIFEXITED(status) && !WEXITSTATUS(status))) {
		fprintf(stderr, "uapi_fuzz: process %u has died: status %#x\n", i, status);
		worker->pid = 0;
		return false;
	}
	worker->pid = 0;
	if (!ending)
		start(i);
	return true;
}

static void kill_one(struct chance *chance, uint64_t now)
{
	struct worker *worker = &workers[below(chance, shared->options.processes)];

	if (worker->killed_at)
		return;
	worker->killed_at = now;
	kill(worker->pid, SIGKILL);
	kills++;
}

static void tell(uint64_t now, uint64_t begun)
{
	fprintf(stderr, "%" PRIu64 " s: %" PRIu64 " calls, %u PCs, %u programs kept\n",
		(now - begun) / 1000, calls(), atomic_load(&shared->nr_pcs),
		atomic_load(&shared->nr_programs));
}

static bool all_ended(void)
{
	unsigned int i;

	for (i = 0; i < shared->options.processes; i++)
		if (workers[i].pid)
			return false;
	return true;
}

/* Whether all went well */
static bool run(uint64_t begun)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };
	const struct options *options = &shared->options;
	uint64_t now = begun, told = begun;
	bool good = true, ending = false;
	struct chance chance;
	unsigned int i;

	chance_start(&chance, options->seed);
	for (i = 0; i < options->processes; i++)
		start(i);
	while (good && !all_ended()) {
		nanosleep(&pause, NULL);
		now = now_ms();
		ending = ending || interrupted || now - begun > options->seconds * 1000 ||
			 (options->calls && calls() >= options->calls);
		atomic_store(&shared->ending, ending);
		if (!ending && one_in(&chance, LOOKS_TO_KILL))
			kill_one(&chance, now);
		for (i = 0; i < options->processes; i++)
			good &= look_after(i, now);
		if (now - told > TELL_MS) {
			tell(now, begun);
			told = now;
		}
	}
	for (i = 0; i < options->processes; i++)
		if (workers[i].pid)
			kill(workers[i].pid, SIGKILL);
	return good;
}

static void report(uint64_t begun)
{
	uint64_t programs = 0;
	unsigned int i, t;

	for (i = 0; i < PROCESSES_MAX; i++)
		for (t = 0; t < THREADS_MAX; t++)
			programs += atomic_load(&shared->stations[i][t].programs);
	printf("{\"seed\": %" PRIu64 ", \"seconds\": %.1f, \"calls\": %" PRIu64
	       ", \"programs\": %" PRIu64 ", \"kills\": %" PRIu64 ", \"pcs\": %u"
	       ", \"kept\": %u,\n \"kinds\": {", shared->options.seed,
	       (double)(now_ms() - begun) / 1000, calls(), programs, kills,
	       atomic_load(&shared->nr_pcs), atomic_load(&shared->nr_programs));
	for (i = 0; i < nr_kinds; i++)
		printf("%s\"%s\": [%" PRIu64 ", %" PRIu64 "]", i ? ", " : "", kinds[i].name,
		       atomic_load(&shared->tried[i]), atomic_load(&shared->worked[i]));
	printf("}}\n");
}

int main(int argc, char **argv)
{
	struct sigaction end = { .sa_handler = on_end };
	struct options options;
	uint64_t begun;
	bool good;

	parse(&options, argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		die("memory");
	shared->options = options;
	look_at_device();
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, shared->sockets))
		die("socketpair");
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	fprintf(stderr, "uapi_fuzz: seed %" PRIu64 "\n", options.seed);
	begun = now_ms();
	good = run(begun);
	report(begun);
	return good ? 0 : 1;
}
