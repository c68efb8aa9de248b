// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small packets between two machines: how many datagrams a second, and how long
 * a request takes to be answered.  Each side prints a line of JSON.
 *
 *	net_speed udp-recv PORT			counts until a datagram of 1 byte
 *	net_speed udp-send ADDRESS PORT SECONDS	as many of 64 bytes as it can
 *	net_speed rr-serve PORT			answers one connection
 *	net_speed rr-ask ADDRESS PORT SECONDS	64 bytes each way, one at a time
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define BUFFER (8 << 20)
/* Round trips that are kept; beyond these it ends */
#define TRIPS (1 << 22)
/* And that it takes, however long, for one of a hundred to be found */
#define FEW 100

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in place(const char *address, const char *port)
{
	struct sockaddr_in where = { .sin_family = AF_INET };

	where.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, address, &where.sin_addr) != 1)
		errx(1, "%s: not an IPv4 address", address);
	return where;
}

static int reach(int type, const char *address, const char *port)
{
	struct sockaddr_in where = place(address, port);
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&where, sizeof(where)))
		err(1, "%s port %s", address, port);
	return fd;
}

static int serve(int type, const char *port)
{
	struct sockaddr_in where = place("0.0.0.0", port);
	int fd = socket(AF_INET, type, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof(where)))
		err(1, "port %s", port);
	return fd;
}

/* A receiver that nobody ends gives up after this many seconds of silence */
static void be_impatient(int fd)
{
	struct timeval patience = { .tv_sec = 30 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static int udp_recv(const char *port)
{
	int fd = serve(SOCK_DGRAM, port), room = BUFFER;
	double first = 0, last = 0;
	unsigned long count = 0;
	char buffer[2 * SIZE];
	ssize_t got;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	be_impatient(fd);
	while ((got = recv(fd, buffer, sizeof(buffer), 0)) != 1) {
		if (got != SIZE)
			err(1, "datagram of %zd bytes", got);
		last = now();
		if (!count++)
			first = last;
	}
	if (count < 2)
		errx(1, "%lu datagrams came", count);
	printf("{\"packets\": %lu, \"seconds\": %.6f}\n", count, last - first);
	return 0;
}

static int udp_send(const char *address, const char *port, double seconds)
{
	int fd = reach(SOCK_DGRAM, address, port);
	double start = now(), end = start;
	unsigned long count = 0;
	char buffer[SIZE] = "";
	int i;

	while (end - start < seconds) {
		for (i = 0; i < 32; i++)
			count += send(fd, buffer, SIZE, 0) == SIZE;
		end = now();
	}
	/* The one that ends it must get through */
	for (i = 0; i < 50; i++) {
		usleep(20000);
		if (send(fd, buffer, 1, 0) != 1)
			break;
	}
	printf("{\"packets\": %lu, \"seconds\": %.6f}\n", count, end - start);
	return 0;
}

static void all(ssize_t done)
{
	if (done != SIZE)
		err(1, "%zd bytes", done);
}

static void at_once(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int rr_serve(const char *port)
{
	int listener = serve(SOCK_STREAM, port), fd;
	char buffer[SIZE];
	ssize_t got;

	if (listen(listener, 1))
		err(1, "port %s", port);
	fd = accept(listener, NULL, NULL);
	at_once(fd);
	be_impatient(fd);
	while ((got = recv(fd, buffer, SIZE, MSG_WAITALL)) == SIZE)
		all(send(fd, buffer, SIZE, 0));
	if (got)
		err(1, "request");
	return 0;
}

static int compare(const void *one, const void *other)
{
	float a = *(const float *)one, b = *(const float *)other;

	return (a > b) - (a < b);
}

static int rr_ask(const char *address, const char *port, double seconds)
{
	int fd = reach(SOCK_STREAM, address, port);
	float *trips = malloc(TRIPS * sizeof(*trips));
	double start = now(), before = start, after;
	char buffer[SIZE] = "";
	unsigned int n = 0;

	if (!trips)
		err(1, "memory");
	at_once(fd);
	be_impatient(fd);
	while (n < FEW || (before - start < seconds && n < TRIPS)) {
		all(send(fd, buffer, SIZE, 0));
		all(recv(fd, buffer, SIZE, MSG_WAITALL));
		after = now();
		trips[n++] = (float)((after - before) * 1e6);
		before = after;
	}
	qsort(trips, n, sizeof(*trips), compare);
	printf("{\"trips\": %u, \"p50\": %.2f, \"p99\": %.2f}\n", n,
	       (double)trips[n / 2], (double)trips[n - 1 - n / 100]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (argc == 3 && !strcmp(what, "udp-recv"))
		return udp_recv(argv[2]);
	if (argc == 3 && !strcmp(what, "rr-serve"))
		return rr_serve(argv[2]);
	if (argc == 5 && !strcmp(what, "udp-send"))
		return udp_send(argv[2], argv[3], atof(argv[4]));
	if (argc == 5 && !strcmp(what, "rr-ask"))
		return rr_ask(argv[2], argv[3], atof(argv[4]));
	errx(2, "usage: udp-recv PORT | udp-send ADDRESS PORT SECONDS | "
		"rr-serve PORT | rr-ask ADDRESS PORT SECONDS");
}
