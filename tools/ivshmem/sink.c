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
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "sink.h"

/* Beside the file, for it has to be on the same file system. */
static int open_temporary(struct sink *sink, mode_t mode)
{
	mode_t mask;
	int n;

	n = snprintf(sink->temporary, sizeof(sink->temporary), "%s.XXXXXX",
		     sink->name);
	if (n >= (int)sizeof(sink->temporary)) {
		errno = ENAMETOOLONG;
		sink->temporary[0] = 0;
		return -1;
	}
	n = mkostemp(sink->temporary, O_CLOEXEC);
	if (n < 0) {
		sink->temporary[0] = 0;
		return -1;
	}
	mask = umask(0);
	umask(mask);
	fchmod(n, mode & ~mask);
	return n;
}

int sink_open(struct sink *sink, const char *file)
{
	struct stat st;

	sink->temporary[0] = 0;
	sink->written = false;
	sink->standard = false;
	sink->name = file;
	if (!file || !strcmp(file, "-")) {
		sink->name = "standard output";
		sink->standard = true;
		sink->fd = STDOUT_FILENO;
		return 0;
	}
	if (stat(file, &st))
		sink->fd = open_temporary(sink, 0666);
	else if (S_ISREG(st.st_mode))
		sink->fd = open_temporary(sink, st.st_mode & 0777);
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

int sink_finish(struct sink *sink)
{
	int fd = sink->fd;

	if (sink->standard)
		return 0;
	sink->fd = -1;
	if (close(fd))
		return -errno;
	if (!sink->temporary[0])
		return 0;
	if (rename(sink->temporary, sink->name))
		return -errno;
	sink->temporary[0] = 0;
	return 0;
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
	if (sink->temporary[0])
		return "nothing of it is kept";
	return sink->written ? "what was written is incomplete" :
			       "nothing was written";
}
