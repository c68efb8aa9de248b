// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asking a running ivshmemd, over its control socket.  Who answers there may be
 * something else: how much and for how long is bounded.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "server_control.h"

#define PATIENCE_SECONDS	10
#define CHUNK			65536
/* Thousands of links with all their slots taken. */
#define LONGEST_ANSWER		(64 << 20)

static int explain(const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		complain("%s: no ivshmemd answers there; is it running, and "
			 "with this control socket? (--control)", path);
		break;
	case EACCES:
		complain("%s: permission denied; run as root or as a member "
			 "of the group of the socket", path);
		break;
	case EAGAIN:
		complain("%s: no answer within %d seconds", path,
			 PATIENCE_SECONDS);
		break;
	default:
		complain("%s: %s", path, strerror(error));
	}
	return -1;
}

static int connect_to(const char *path)
{
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return explain(path, ENAMETOOLONG);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return explain(path, errno);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	explain(path, errno);
	close(fd);
	return -1;
}

static int64_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Returns the bytes received, a NUL behind them, or NULL with errno. */
static char *receive_all(int fd, size_t *length)
{
	int64_t end = monotonic_seconds() + PATIENCE_SECONDS;
	char *text = NULL, *larger;
	ssize_t got;

	for (*length = 0; *length < LONGEST_ANSWER; *length += (size_t)got) {
		larger = realloc(text, *length + CHUNK + 1);
		if (!larger)
			break;
		text = larger;
		got = recv(fd, text + *length, CHUNK, 0);
		if (got < 0)
			break;
		text[*length + (size_t)got] = '\0';
		if (!got)
			return text;
		/* However little comes at a time. */
		errno = EAGAIN;
		if (monotonic_seconds() > end)
			break;
		errno = EMSGSIZE;
	}
	free(text);
	return NULL;
}

static char *converse(int fd, const char *path, const char *request)
{
	size_t length;
	char line[64];
	char *answer;

	snprintf(line, sizeof(line), "%s\n", request);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0) {
		explain(path, errno);
		return NULL;
	}
	answer = receive_all(fd, &length);
	if (!answer) {
		explain(path, errno);
	} else if (!length || answer[length - 1] != '\n' ||
		   strlen(answer) != length) {
		complain("%s: the answer is not one of ivshmemd's", path);
		free(answer);
		answer = NULL;
	}
	return answer;
}

char *server_ask(const char *path, const char *request)
{
	int fd = connect_to(path);
	char *answer;

	if (fd < 0)
		return NULL;
	answer = converse(fd, path, request);
	close(fd);
	return answer;
}
