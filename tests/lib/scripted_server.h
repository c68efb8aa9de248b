/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An ivshmem server that sends what a test tells it, right or wrong, on a real
 * socket.
 */
#ifndef SCRIPTED_SERVER_H
#define SCRIPTED_SERVER_H

/* What cmocka.h wants to find declared before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libivshmem.h>

#define MEMORY_SIZE	65536

/* What goes with a message. */
enum attached {
	NOTHING,
	MEMORY,			/* of MEMORY_SIZE bytes */
	EMPTY_MEMORY,		/* of 0 bytes */
	EVENTFD,
	RUNG_EVENTFD,		/* has been rung five times already */
	BLOCKING_EVENTFD,
	PIPE,
	DIRECTORY,
	TWO_EVENTFDS,
	SIX_EVENTFDS,
};

/**
 * struct step - one thing that the server does
 * @value: the number to send
 * @what:  what is attached to it
 * @bytes: how many of the 8 bytes are sent; 0 means all of them
 */
struct step {
	int64_t value;
	enum attached what;
	unsigned int bytes;
};

/* A handshake of peer 1 on a link of three peers with two vectors. */
#define PREAMBLE	{ 0 }, { 1 }, { -1, MEMORY }
#define PEERS		{ 0, EVENTFD }, { 0, EVENTFD }, \
			{ 2, EVENTFD }, { 2, EVENTFD }, \
			{ 1, EVENTFD }, { 1, EVENTFD }
#define HANDSHAKE	PREAMBLE, PEERS

/**
 * struct scripted_server - the server, and what it has handed out
 * @address:  for ivshmem_open()
 * @client:   connection to the client, -1 when closed
 * @memory:   descriptor of the last MEMORY
 * @eventfds: descriptors of all single eventfds, in order
 * @count:    number of them
 */
struct scripted_server {
	char address[128];
	int client;
	int memory;
	int eventfds[1024];
	unsigned int count;

	int listener;
	unsigned long thread;
	const struct step *steps;
	unsigned int step_count;
	int closes;
	int waiting_fds;
};

/**
 * serve() - listen; perform the steps for the first client that comes
 * @closes: close the connection after the last step
 */
void serve(struct scripted_server *server, const struct step *steps,
	   unsigned int count, int closes);
#define SERVE(server, steps) \
	serve(server, steps, sizeof(steps) / sizeof((steps)[0]), 0)
#define SERVE_AND_CLOSE(server, steps) \
	serve(server, steps, sizeof(steps) / sizeof((steps)[0]), 1)

/** performed() - wait until all steps are done; then send() may be used */
void performed(struct scripted_server *server);
/** send_step() - one more step, from the thread of the test */
void send_step(struct scripted_server *server, struct step step);
/** hang_up() - close the connection */
void hang_up(struct scripted_server *server);
/** stop_serving() - end, remove the socket, check that no descriptor leaked */
void stop_serving(struct scripted_server *server);

/** open_scripted() - serve the steps, open, stop; the result of the opening */
int open_scripted(const struct step *steps, unsigned int count, int closes);

/** open_fds() - number of descriptors that this process has open */
int open_fds(void);

/** rung() - take and return the count of an eventfd, 0 if it was not rung */
uint64_t rung(int eventfd);
/** ring_it() - ring an eventfd from outside the library */
void ring_it(int eventfd, uint64_t times);

#endif /* SCRIPTED_SERVER_H */
