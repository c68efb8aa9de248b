// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes to a file under another name until it is complete, or to standard
 * output, a pipe, a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "sink.h"

/* Random names; more are taken by nobody but on purpose. */
#define NAME_TRIES	100

/* Beside the file, for it has to be on the same file system. */
static int name_temporary(struct sink *sink)
{
	int n;

	n = snprintf(sink->temporary, sizeof(sink->temporary), "%s.XXXXXX",
		     sink->name);
	if (n < (int)sizeof(sink->temporary))
		return 0;
	sink->temporary[0] = 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* One that disappears by itself, however we end; -1 where that cannot be. */
static int open_nameless(const struct sink *sink)
{
	char directory[PATH_MAX] = ".", link[PATH_MAX];
	const char *slash = strrchr(sink->name, '/');
	int fd;

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s",
			 (int)(slash - sink->name) + 1, sink->name);
	fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	/* It has to get a name by this one. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!access(link, F_OK))
		return fd;
	close(fd);
	return -1;
}

static int open_named(struct sink *sink)
{
	int fd;

	if (name_temporary(sink))
		return -1;
	fd = mkostemp(sink->temporary, O_CLOEXEC);
	if (fd < 0)
		sink->temporary[0] = 0;
	return fd;
}

static int open_whole(struct sink *sink, mode_t mode)
{
	mode_t mask;
	int fd;

	sink->whole = true;
	fd = open_nameless(sink);
	if (fd < 0)
		fd = open_named(sink);
	if (fd < 0)
		return -1;
	mask = umask(0);
	umask(mask);
	fchmod(fd, mode & ~mask);
	return fd;
}

int sink_open(struct sink *sink, const char *file)
{
	struct stat st;

	sink->temporary[0] = 0;
	sink->written = false;
	sink->whole = false;
	sink->standard = false;
	sink->name = file;
	if (!file || !strcmp(file, "-")) {
		sink->name = "standard output";
		sink->standard = true;
		sink->fd = STDOUT_FILENO;
		return 0;
	}
	if (stat(file, &st))
		sink->fd = open_whole(sink, 0666);
	else if (S_ISREG(st.st_mode))
		sink->fd = open_whole(sink, st.st_mode & 0777);
	else
		sink->fd = open(file, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (sink->fd >= 0)
		return 0;
	complain("%s: %s", file, strerror(errno));
	return -1;
}

/* Until there is room for something; 0, or -EINTR once a signal has come. */
static int wait_for_room(const struct sink *sink)
{
	struct pollfd pfd = { .fd = sink->fd, .events = POLLOUT };
	sigset_t before;
	int ret;

	/* Between the look at interrupted and the wait none may slip in. */
	hold_interrupts(&before);
	if (!interrupted)
		ppoll(&pfd, 1, NULL, &before);
	ret = interrupted ? -EINTR : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ret;
}

int sink_write(struct sink *sink, const void *data, size_t length)
{
	const char *bytes = data;
	ssize_t n;
	int ret;

	while (length) {
		ret = wait_for_room(sink);
		if (ret)
			return ret;
		n = write(sink->fd, bytes, length);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		sink->written = true;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

/* As mkostemp() chooses them; -1 with errno. */
static int give_name(struct sink *sink)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned char random[6];
	char link[32], *end;
	int tries;
	size_t i;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", sink->fd);
	for (tries = 0; tries < NAME_TRIES; tries++) {
		if (name_temporary(sink) ||
		    getrandom(random, sizeof(random), 0) != sizeof(random))
			break;
		end = sink->temporary + strlen(sink->temporary);
		for (i = 0; i < sizeof(random); i++)
			*--end = letters[random[i] % 32];
		if (!linkat(AT_FDCWD, link, AT_FDCWD, sink->temporary,
			    AT_SYMLINK_FOLLOW))
			return 0;
		if (errno != EEXIST)
			break;
	}
	sink->temporary[0] = 0;
	return -1;
}

static int finish_whole(struct sink *sink)
{
	/* What cannot be stored is told; and no name survives its bytes. */
	if (fsync(sink->fd))
		return -errno;
	if (!sink->temporary[0] && give_name(sink))
		return -errno;
	if (rename(sink->temporary, sink->name))
		return -errno;
	sink->temporary[0] = 0;
	return 0;
}

int sink_finish(struct sink *sink)
{
	int ret, fd = sink->fd;

	if (sink->standard)
		return 0;
	ret = sink->whole ? finish_whole(sink) : 0;
	sink->fd = -1;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

void sink_close(struct sink *sink)
{
	if (sink->fd >= 0 && !sink->standard)
		close(sink->fd);
	if (sink->temporary[0])
		unlink(sink->temporary);
}

const char *sink_fate(const struct sink *sink)
{
	if (sink->whole)
		return "nothing of it is kept";
	return sink->written ? "what was written is incomplete" :
			       "nothing was written";
}
