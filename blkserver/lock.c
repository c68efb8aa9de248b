// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps a file from being exported, or used by QEMU, twice.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "export.h"
#include "log.h"
#include "progress.h"

/* What a process that was killed had in flight has ended by then. */
#define PATIENCE_NS	10000000000ULL
#define PAUSE_US	20000
/* A wait that is shorter is not worth a message. */
#define SILENCE_NS	200000000ULL

/* Whether a descriptor of a process is of the same file. */
static bool is_same(const char *process, const char *fd, const struct stat *file)
{
	struct stat other;
	char path[600];

	snprintf(path, sizeof(path), "/proc/%s/fd/%s", process, fd);
	return !stat(path, &other) && other.st_ino == file->st_ino &&
	       other.st_dev == file->st_dev;
}

static bool has_open(const char *process, const struct stat *file)
{
	struct dirent *entry;
	char path[300];
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", process);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && (entry = readdir(fds)))
		found = is_same(process, entry->d_name, file);
	closedir(fds);
	return found;
}

/* A process that has the file open, if we may know: the lock does not tell. */
static void name_holder(int fd, char *text, size_t size)
{
	struct dirent *entry;
	struct stat file;
	DIR *processes;

	snprintf(text, size, "another process");
	processes = opendir("/proc");
	if (!processes || fstat(fd, &file))
		return;
	while ((entry = readdir(processes))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    atoi(entry->d_name) == getpid() ||
		    !has_open(entry->d_name, &file))
			continue;
		snprintf(text, size, "process %s", entry->d_name);
		break;
	}
	closedir(processes);
}

static int try_lock(int fd, bool shared)
{
	struct flock all = {
		.l_type = (short)(shared ? F_RDLCK : F_WRLCK),
		.l_whence = SEEK_SET,
	};

	return fcntl(fd, F_OFD_SETLK, &all) ? -errno : 0;
}

static bool is_taken(int error)
{
	return error == -EAGAIN || error == -EACCES;
}

/* What was in flight when the one before us was killed ends some time. */
static int wait_for_lock(int fd, const char *path, bool shared)
{
	uint64_t waited, begun = now_ns();
	bool said = false;
	int ret;

	for (;;) {
		ret = try_lock(fd, shared);
		waited = now_ns() - begun;
		if (!is_taken(ret) || waited > PATIENCE_NS ||
		    atomic_load(&export_stop))
			return ret;
		if (waited > SILENCE_NS && !said)
			log_info("%s: in use; waiting until it is not", path);
		said = waited > SILENCE_NS;
		usleep(PAUSE_US);
	}
}

int disk_lock(int fd, const char *path, bool shared)
{
	int ret = wait_for_lock(fd, path, shared);
	char holder[64];

	if (!ret)
		return 0;
	/* Who has it is of no interest any more. */
	if (atomic_load(&export_stop))
		return -1;
	if (is_taken(ret)) {
		name_holder(fd, holder, sizeof(holder));
		log_error("%s: already exported, or in use otherwise, by %s; "
			  "end that, or export it read-only in all places",
			  path, holder);
	} else {
		log_error("%s: cannot be locked: %s; use a file system that "
			  "has locks", path, strerror(-ret));
	}
	return -1;
}
