/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Round trips between two peers of a region, by doorbells or by polling.
 *
 * The engine knows shared memory and two operations, ring and wait.
 *
 * The memory, of PINGPONG_SIZE bytes: an outbox of 512 bytes for each of the
 * peers 0 to 63, in 32 bit little-endian words.  A peer writes nowhere but in
 * its own outbox:
 *
 *	byte  0	magic, "PING"
 *	      4	way: 0 while no run is on, 1 doorbell, 2 polling
 *	      8	target: id of the peer that shall answer
 *	     12	vector on which the answer shall be rung
 *	     16	nonce of the run; the first sequence number
 *	     20	sequence number of the last ping
 *	     64	64 words: the last sequence number seen from each peer, in answer
 *
 * Nothing found there is believed: whatever the other peers write, each wait
 * ends in time, and nothing outside of the own outbox is written.
 */
#ifndef PINGPONG_H
#define PINGPONG_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define PINGPONG_PEERS		64
#define PINGPONG_OUTBOX_SIZE	512
#define PINGPONG_SIZE		(PINGPONG_PEERS * PINGPONG_OUTBOX_SIZE)
#define PINGPONG_MAX_VECTORS	256
#define PINGPONG_MAX_COUNT	10000000U

enum pingpong_way {
	PINGPONG_DOORBELL = 1,
	PINGPONG_POLL = 2,
};

/**
 * struct pingpong_ops - how to reach the peers
 * @ring: interrupt @peer on @vector; 0 or a negative errno value
 * @wait: wait at most @timeout_ms to be rung, and consume that; 1 if rung,
 *        0 when the time ran out, or a negative errno value (-EINTR: a signal)
 */
struct pingpong_ops {
	int (*ring)(void *device, uint32_t peer, uint32_t vector);
	int (*wait)(void *device, int timeout_ms);
};

/**
 * struct pingpong - one's own side
 * @memory: PINGPONG_SIZE bytes of the region, aligned to 4 bytes
 * @self:   own peer id, below PINGPONG_PEERS
 * @ops:    doorbells, or NULL to do without
 * @device: passed to @ops
 * @stop:   non-zero ends what is running; set by a signal handler
 */
struct pingpong {
	void *memory;
	uint32_t self;
	const struct pingpong_ops *ops;
	void *device;
	const volatile sig_atomic_t *stop;
};

/**
 * struct pingpong_request - what to measure
 * @way:         PINGPONG_DOORBELL (needs ops) or PINGPONG_POLL
 * @peer:        who shall answer, below PINGPONG_PEERS
 * @vector:      rung there, and here by the answer
 * @count:       pings, 1 to PINGPONG_MAX_COUNT
 * @timeout_ms:  an answer that takes longer is lost
 * @interval_ns: pause between two pings
 * @progress:    called about once a second with the pings done, or NULL
 */
struct pingpong_request {
	enum pingpong_way way;
	uint32_t peer;
	uint32_t vector;
	uint32_t count;
	int timeout_ms;
	uint64_t interval_ns;
	void (*progress)(uint32_t done, uint32_t count);
};

/**
 * struct pingpong_result - what was measured
 * @sent:     pings, not counting those of the first contact
 * @received: answers in time
 * @lost:     pings without an answer in time
 * @late:     of @received: found by looking, after a wait that no doorbell
 *            ended
 * @rtt_ns:   @received round trips, the shortest first
 */
struct pingpong_result {
	uint32_t sent;
	uint32_t received;
	uint32_t lost;
	uint32_t late;
	uint64_t *rtt_ns;
};

/**
 * pingpong_ping() - measure round trips to a peer that runs pingpong_listen()
 *
 * Calls the peer first, up to five times @timeout_ms long, until it answers;
 * that is not part of the result.  If it does not, these calls are the
 * result: all of them lost.
 *
 * Return: 0 and the result, to be released by pingpong_release(), also when
 * stopped early; -EINVAL, -ENOMEM, or what the operations return.
 */
int pingpong_ping(const struct pingpong *pp,
		  const struct pingpong_request *request,
		  struct pingpong_result *result);
void pingpong_release(struct pingpong_result *result);

/** pingpong_quantile() - @permille 0 (shortest) to 1000; 0 without answers */
uint64_t pingpong_quantile(const struct pingpong_result *result,
			   unsigned int permille);

/**
 * struct pingpong_service - how long to answer, and what has been answered
 * @poll:       in: never wait for doorbells, look at the memory all the time
 * @count:      in: end after that many answers; 0: no end
 * @timeout_ms: in: end when no ping came for that long; -1: never
 * @greet:      in: called when a peer starts a run, or NULL
 * @answered:   out: answers given
 * @late:       out: pings by doorbell that were found without a doorbell
 * @unrung:     out: answers whose doorbell could not be rung
 */
struct pingpong_service {
	bool poll;
	uint32_t count;
	int timeout_ms;
	void (*greet)(uint32_t peer, enum pingpong_way way);
	uint64_t answered;
	uint64_t late;
	uint64_t unrung;
};

/**
 * pingpong_listen() - answer the pings of all peers
 *
 * Serves both ways at once.  While a peer polls, so does this side.
 *
 * Return: 0 (stopped, count reached, or time ran out), or what the operations
 * return.
 */
int pingpong_listen(const struct pingpong *pp,
		    struct pingpong_service *service);

#endif /* PINGPONG_H */
