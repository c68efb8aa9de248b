/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Uses whatever ivshmem devices there are in every way, from many processes,
 * while they come and go; ends at SIGTERM and tells what it did.  Only the
 * errors of a device that is not there are expected.
 */
#include "device.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

/* How often each kind of work was done, shared by all processes. */
struct tally {
	unsigned long opened, read, polled, rung, mapped, exported, bound;
	unsigned long queried, gone, surprises;
};

static struct tally *tally;
static volatile sig_atomic_t ended;
static sigjmp_buf fault_return;

static void on_end(int number)
{
	(void)number;
	ended = 1;
}

static void on_fault(int number)
{
	(void)number;
	siglongjmp(fault_return, 1);
}

static void count(unsigned long *number)
{
	__atomic_add_fetch(number, 1, __ATOMIC_RELAXED);
}

/* Whether @result is good, or the failure is one of a device that is gone. */
static bool fine(long result, const char *what)
{
	if (result >= 0)
		return true;
	switch (errno) {
	case ENODEV:
	case ENXIO:
	case ENOENT:
		count(&tally->gone);
		return false;
	case EINTR:
	case EAGAIN:
		return false;
	default:
		fprintf(stderr, "load: %s: %m\n", what);
		count(&tally->surprises);
		return false;
	}
}

/* Opens any device that is there; -1 if there is none. */
static int open_any(int flags)
{
	char path[300];
	struct dirent *entry;
	DIR *folder = opendir("/dev");
	int fd = -1;

	if (!folder)
		return -1;
	while (fd < 0 && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "ivshmem", 7) ||
		    entry->d_name[7] < '0' || entry->d_name[7] > '9')
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, flags | O_CLOEXEC);
		if (fine(fd, path))
			count(&tally->opened);
	}
	closedir(folder);
	return fd;
}

static void read_events(int fd, const struct ivshmem_ioc_info *info)
{
	struct ivshmem_event_record record;

	while (!ended && info->vectors &&
	       fine(read(fd, &record, sizeof(record)), "read"))
		count(&tally->read);
}

static void poll_events(int fd, const struct ivshmem_ioc_info *info)
{
	struct ivshmem_event_record record;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!ended && info->vectors && fine(poll(&p, 1, -1), "poll") &&
	       fine(read(fd, &record, sizeof(record)), "read after poll"))
		count(&tally->polled);
}

static void ring_all(int fd, const struct ivshmem_ioc_info *info)
{
	uint32_t v;

	for (v = 0; !ended && info->vectors; v = (v + 1) % info->vectors) {
		if (!fine(device_ring(fd, info->peer_id, v), "ring"))
			return;
		count(&tally->rung);
		sched_yield();
	}
}

/* Whether there is more to do with a file or a dma-buf of @size bytes */
static bool map_and_use(int fd, size_t size, unsigned long *number)
{
	volatile char *p;
	size_t at;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return fine(-1, "mmap");
	if (!sigsetjmp(fault_return, 1)) {
		for (at = 0; at < size; at += 4096)
			p[at]++;
		count(number);
	}
	munmap((void *)p, size);
	return true;
}

static void map_all(int fd, const struct ivshmem_ioc_info *info)
{
	while (!ended && map_and_use(fd, info->memory_size, &tally->mapped))
		;
}

static void export_all(int fd, const struct ivshmem_ioc_info *info)
{
	struct ivshmem_ioc_dmabuf arg = {
		.size = sizeof(arg),
		.open_flags = O_RDWR | O_CLOEXEC,
		.length = info->memory_size,
	};
	bool more = true;
	int buffer;

	while (!ended && more) {
		buffer = ioctl(fd, IVSHMEM_IOC_DMABUF, &arg);
		if (!fine(buffer, "export"))
			return;
		more = map_and_use(buffer, arg.length, &tally->exported);
		close(buffer);
	}
}

static void bind_eventfds(int fd, const struct ivshmem_ioc_info *info)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t v = 0;

	while (!ended && info->vectors) {
		v = (v + 1) % info->vectors;
		if (!fine(device_bind(fd, v, efd), "bind"))
			break;
		count(&tally->bound);
		if (!fine(device_bind(fd, v, -1), "unbind"))
			break;
		sched_yield();
	}
	close(efd);
}

static void tell_difference(const struct ivshmem_ioc_info *a,
			    const struct ivshmem_ioc_info *b)
{
	const uint32_t *before = (const void *)a, *after = (const void *)b;
	size_t i;

	for (i = 0; i < sizeof(*a) / sizeof(*before); i++)
		if (before[i] != after[i])
			fprintf(stderr, "load: info: word %zu was %#x, is %#x\n",
				i, before[i], after[i]);
	count(&tally->surprises);
}

static void query(int fd, const struct ivshmem_ioc_info *info)
{
	struct ivshmem_ioc_info again;

	while (!ended && fine(device_info(fd, &again), "info")) {
		if (memcmp(info, &again, sizeof(again)))
			tell_difference(info, &again);
		count(&tally->queried);
		sched_yield();
	}
}

static void open_and_close(int fd, const struct ivshmem_ioc_info *info)
{
	(void)fd;
	(void)info;
	sched_yield();
}

static void (*const work[])(int fd, const struct ivshmem_ioc_info *info) = {
	read_events, read_events, poll_events, ring_all, map_all, export_all,
	bind_eventfds, query, open_and_close,
};

#define WORKERS ARRAY_SIZE(work)

static void run_worker(unsigned int number)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct ivshmem_ioc_info info;
	int fd;

	while (!ended) {
		fd = open_any(O_RDWR);
		if (fd < 0) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (fine(device_info(fd, &info), "info"))
			work[number](fd, &info);
		close(fd);
	}
	_exit(0);
}

/* A signal between the look at the flag and the call wakes nobody: repeat. */
static int end_workers(pid_t pids[WORKERS])
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	unsigned int i, round, left = WORKERS;
	int status, failed = 0;

	for (round = 0; left && round < 3000; round++) {
		for (i = 0; i < WORKERS; i++) {
			if (!pids[i])
				continue;
			kill(pids[i], SIGTERM);
			if (waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			failed |= status;
			pids[i] = 0;
			left--;
		}
		nanosleep(&pause, NULL);
	}
	if (left)
		fprintf(stderr, "load: %u processes do not end\n", left);
	return failed || left;
}

int main(void)
{
	struct sigaction end = { .sa_handler = on_end };
	struct sigaction fault = { .sa_handler = on_fault };
	sigset_t blocked, before;
	pid_t pids[WORKERS];
	unsigned int i;
	int failed;

	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGBUS, &fault, NULL);
	/* polite: who takes the devices away is to have his turn */
	if (nice(19) < 0)
		return 1;
	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			run_worker(i);
	}
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	while (!ended)
		sigsuspend(&before);

	failed = end_workers(pids);
	printf("opened %lu read %lu polled %lu rung %lu ", tally->opened,
	       tally->read, tally->polled, tally->rung);
	printf("mapped %lu exported %lu bound %lu ", tally->mapped,
	       tally->exported, tally->bound);
	printf("queried %lu gone %lu surprises %lu\n", tally->queried,
	       tally->gone, tally->surprises);
	return failed || tally->surprises;
}
