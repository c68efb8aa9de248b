// SPDX-License-Identifier: GPL-2.0-only
/*
 * A load of a campaign: a worker that is started again when its device is gone,
 * and beside it who tells the host how far it is, by a file in a shared folder.
 *	campaign_load net STATUS OWN MACHINES
 *	campaign_load channel STATUS OWN NODE
 *	campaign_load disk STATUS NODE SECTOR TOLD
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TELL_MS		250
#define WRONG		3

struct tally *tally;
static const char *status_path;

void verified(unsigned int machine, size_t bytes)
{
	__atomic_add_fetch(&tally->messages[machine], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&tally->bytes[machine], bytes, __ATOMIC_RELAXED);
}

void wrong(const char *format, ...)
{
	char path[300], text[300];
	va_list arguments;
	int fd;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s.wrong", status_path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	dprintf(fd, "%s\n", text);
	dprintf(STDERR_FILENO, "campaign_load: %s\n", text);
	_exit(WRONG);
}

void gone(void)
{
	_exit(GONE);
}

static uint64_t mix(uint64_t word)
{
	word ^= word >> 30;
	word *= 0xbf58476d1ce4e5b9ULL;
	word ^= word >> 27;
	word *= 0x94d049bb133111ebULL;
	return word ^ word >> 31;
}

void pattern(void *data, size_t bytes, uint64_t seed, uint64_t number)
{
	uint64_t state = mix(seed ^ mix(number));
	char *to = data;

	for (size_t at = 0; at < bytes; at += 8) {
		state += 0x9e3779b97f4a7c15ULL;
		memcpy(to + at, &(uint64_t){ state ^ state >> 29 },
		       bytes - at < 8 ? bytes - at : 8);
	}
}

bool differs(const void *data, size_t bytes, uint64_t seed, uint64_t number)
{
	uint64_t state = mix(seed ^ mix(number));
	const char *from = data;

	for (size_t at = 0; at < bytes; at += 8) {
		state += 0x9e3779b97f4a7c15ULL;
		if (memcmp(from + at, &(uint64_t){ state ^ state >> 29 },
			   bytes - at < 8 ? bytes - at : 8))
			return true;
	}
	return false;
}

uint64_t nonce(void)
{
	uint64_t value;

	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		gone();
	return value;
}

void pause_ms(unsigned int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&time, NULL);
}

/* All in one line of a fixed length, which is written in one piece. */
static void tell(int fd)
{
	char line[1024];
	int length = 0;

	length += snprintf(line + length, sizeof(line) - length,
			   "starts %" PRIu64 " sessions %" PRIu64
			   " acknowledged %" PRIu64,
			   tally->starts, tally->sessions, tally->acknowledged);
	for (unsigned int n = 0; n < MACHINES; n++)
		length += snprintf(line + length, sizeof(line) - length,
				   " messages%u %" PRIu64 " bytes%u %" PRIu64, n,
				   tally->messages[n], n, tally->bytes[n]);
	memset(line + length, ' ', sizeof(line) - length);
	line[sizeof(line) - 1] = '\n';
	if (pwrite(fd, line, sizeof(line), 0) != sizeof(line))
		perror("campaign_load: status");
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

static void work(char **words)
{
	if (!strcmp(words[0], "net"))
		net_load(number(words[2]), number(words[3]));
	else if (!strcmp(words[0], "channel"))
		channel_load(words[3], number(words[2]));
	else
		disk_load(words[2], number(words[3]), number(words[4]),
			  words[1]);
}

static void on_fault(int signal_number)
{
	(void)signal_number;
	/* The memory of a device that has gone away */
	_exit(GONE);
}

/* One worker after the other, until one has not ended as it may. */
static int supervise(int fd, char **words)
{
	int status;
	pid_t worker;

	for (;;) {
		tally->starts++;
		worker = fork();
		if (!worker) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			signal(SIGBUS, on_fault);
			work(words);
			_exit(GONE);
		}
		while (waitpid(worker, &status, WNOHANG) == 0) {
			tell(fd);
			pause_ms(TELL_MS);
		}
		tell(fd);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != GONE)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
		pause_ms(TELL_MS);
	}
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 5 || (!strcmp(argv[1], "disk") && argc < 6)) {
		fputs("campaign_load: see the source\n", stderr);
		return 2;
	}
	status_path = argv[2];
	signal(SIGPIPE, SIG_IGN);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = open(status_path, O_WRONLY | O_CREAT, 0644);
	if (tally == MAP_FAILED || fd < 0) {
		perror("campaign_load");
		return 1;
	}
	return supervise(fd, argv + 1);
}
