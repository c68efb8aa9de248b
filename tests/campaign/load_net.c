// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network: a TCP connection to each other machine. Each carries messages that
 * are numbered from 0, of lengths and words that the receiver knows.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT		6789
#define SUBNET		0x0a580000	/* 10.88.0.0 */
#define LONGEST		(24 * 1024)
#define MAGIC		0x7473657672616368ULL
/* Slower than what emulated machines could do, so that all are heard. */
#define PACE_MS		8
/* Whoever has died is given up sooner than TCP would. */
#define GIVE_UP_S	5

struct hello {
	uint64_t magic;
	uint64_t nonce;
	uint64_t machine;
};

struct way {
	unsigned int own;
	unsigned int other;
	int fd;
};

static size_t length_of(uint64_t seed, uint64_t number)
{
	uint64_t word;

	pattern(&word, sizeof(word), ~seed, number);
	return 1 + word % LONGEST;
}

static bool send_all(int fd, const void *data, size_t bytes)
{
	const char *from = data;
	ssize_t sent;

	for (; bytes; bytes -= sent, from += sent) {
		sent = send(fd, from, bytes, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
	}
	return true;
}

static bool receive_all(int fd, void *data, size_t bytes)
{
	char *to = data;
	ssize_t got;

	for (; bytes; bytes -= got, to += got) {
		got = recv(fd, to, bytes, 0);
		if (got <= 0)
			return false;
	}
	return true;
}

static void set_time(int fd, int name, long seconds)
{
	struct timeval time = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, name, &time, sizeof(time));
}

static int connected(unsigned int other)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(SUBNET + other),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* Also bounds connect() */
	set_time(fd, SO_SNDTIMEO, GIVE_UP_S);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 65536 }, sizeof(int));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static void send_messages(int fd, unsigned int own)
{
	struct hello hello = { MAGIC, nonce(), own };
	char data[LONGEST];
	size_t length;

	if (!send_all(fd, &hello, sizeof(hello)))
		return;
	for (uint64_t number = 0;; number++) {
		length = length_of(hello.nonce, number);
		pattern(data, length, hello.nonce, number);
		if (!send_all(fd, data, length))
			return;
		pause_ms(PACE_MS);
	}
}

static void *send_to(void *argument)
{
	struct way *way = argument;
	int fd;

	for (;;) {
		fd = connected(way->other);
		if (fd >= 0) {
			send_messages(fd, way->own);
			close(fd);
		}
		pause_ms(100);
	}
	return NULL;
}

static void *receive(void *argument)
{
	struct way *way = argument;
	struct hello hello;
	char data[LONGEST];
	size_t length;

	/* A peer that was paused has up to a minute to go on. */
	set_time(way->fd, SO_RCVTIMEO, 90);
	if (!receive_all(way->fd, &hello, sizeof(hello)))
		goto close;
	if (hello.magic != MAGIC || hello.machine >= MACHINES)
		wrong("net: a connection begins with %llx %llx",
		      (unsigned long long)hello.magic,
		      (unsigned long long)hello.machine);
	__atomic_add_fetch(&tally->sessions, 1, __ATOMIC_RELAXED);
	for (uint64_t number = 0;; number++) {
		length = length_of(hello.nonce, number);
		if (!receive_all(way->fd, data, length))
			goto close;
		if (differs(data, length, hello.nonce, number))
			wrong("net: message %llu of machine %llu differs",
			      (unsigned long long)number,
			      (unsigned long long)hello.machine);
		verified(hello.machine, length);
	}
close:
	close(way->fd);
	free(way);
	return NULL;
}

static int listening(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, 16))
		gone();
	return fd;
}

static void start(void *(*routine)(void *), struct way *way)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, routine, way))
		gone();
	pthread_detach(thread);
}

void net_load(unsigned int own, unsigned int machines)
{
	struct way *way;
	int listener = listening();

	for (unsigned int other = 1; other <= machines; other++) {
		if (other == own)
			continue;
		way = calloc(1, sizeof(*way));
		*way = (struct way){ own, other, -1 };
		start(send_to, way);
	}
	for (;;) {
		way = calloc(1, sizeof(*way));
		way->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (way->fd < 0)
			gone();
		start(receive, way);
	}
}
