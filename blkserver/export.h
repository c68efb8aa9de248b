/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An export: a disk, the section that it is offered in, and the front ends there.
 * Each has a thread of its own, which alone touches it.
 */
#ifndef EXPORT_H
#define EXPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "disk.h"
#include "links.h"
#include "loop.h"
#include "spin.h"

/* Requests of a front end in flight; more wait in its rings */
#define FRONT_DEPTH	256U
/* Requests of a queue in one go; the others want their turn */
#define FRONT_BUDGET	32U

/**
 * struct front_counters - of one front end, in all sessions
 * @requests:    by operation, that were begun
 * @bytes:       by operation, of those that were done
 * @answers:     by status
 * @orphans:     that ended after their session
 * @passed:      records of unknown kinds
 * @full:        times that we slept with all that it may have in flight
 * @stuck:       times that we slept for want of room for an answer
 */
struct front_counters {
	uint64_t requests[5];
	uint64_t bytes[5];
	uint64_t answers[5];
	uint64_t orphans;
	uint64_t passed;
	uint64_t full;
	uint64_t stuck;
};

/**
 * struct front_queue - a pair of rings of a front end
 * @in_flight: requests of this session that are not answered
 * @dirty:     something was taken or answered, and is not shown yet
 * @stuck:     there was no room for an answer to one more
 */
struct front_queue {
	uint32_t in_flight;
	bool dirty;
	bool stuck;
};

/**
 * struct front - a front end, or whoever else is behind a link
 * @export:    where it is
 * @slot:      of the peer
 * @session:   number of the present one
 * @in_flight: requests, of all sessions
 * @orphans:   of these, of earlier sessions
 * @queues:    that both sides look at
 * @features:  that it was told, which stay for the session
 * @greeted:   its hello has come
 * @hello_due: ours is to be sent
 * @writer:    it may write
 * @earned:    likewise, and it has said hello
 * @refused:   it wanted to, and may not
 * @reader:    it has said that it does not want to
 * @told:      people were told that it may not
 * @kept:      the kernel keeps its buffers, and ours for it
 * @queue:     its queues
 * @pool:      all requests, or NULL
 * @unused:    of these
 * @counters:  what has happened
 */
struct front {
	struct export *export;
	uint32_t slot;
	uint32_t session;
	uint32_t in_flight;
	uint32_t orphans;
	uint32_t queues;
	uint32_t features;
	bool greeted;
	bool hello_due;
	bool writer;
	bool earned;
	bool refused;
	bool reader;
	bool told;
	bool kept[2];
	struct front_queue queue[IVREGION_QUEUES_MAX];
	struct request *pool;
	struct request *unused;
	struct front_counters counters;
};

/**
 * struct export - an export
 * @config:   as configured
 * @thread:   of it
 * @started:  it runs, or did
 * @served:   it has come so far as to serve
 * @state:    for the main thread: EXPORT_STARTING and others
 * @wishes:   of the main thread: EXPORT_REPORT and others, any of them
 * @wake_fd:  by which it makes the thread look at them
 * @tell_fd:  by which the thread makes the main thread look at @state
 * @json:     statistics are JSON
 * @loop:     the loop
 * @disk:     the disk
 * @offer:    what front ends are told of it
 * @links:    the links
 * @fronts:   by slot
 * @before:   epochs of who was there before, by slot
 * @entered_at: when the section was joined
 * @turn:     slot that is first
 * @bell:     somebody has rung
 * @bell_armed: that is waited for
 * @wake:     the main thread has a wish
 * @wake_armed: that is waited for
 * @spin:     looking before going to sleep
 * @hearing:  of doorbells
 * @ended:    requests, in this round
 * @sleeps:   times that it went to sleep
 * @disk_at:  when the size of the disk is to be looked at
 * @complained: that the size cannot be used was said
 * @stopping: nothing new is begun
 * @doomed:   another back end was there before: it ends
 */
struct export {
	const struct export_config *config;
	pthread_t thread;
	bool started;
	bool served;
	atomic_int state;
	atomic_uint wishes;
	int wake_fd;
	int tell_fd;
	bool json;
	struct loop loop;
	struct disk disk;
	struct ivblk_disk offer;
	struct links links;
	struct front fronts[IVREGION_SLOTS_MAX];
	uint32_t before[IVREGION_SLOTS_MAX];
	uint32_t entered_at;
	uint32_t turn;
	struct event bell;
	bool bell_armed;
	struct event wake;
	bool wake_armed;
	struct spin spin;
	struct hearing hearing;
	unsigned int ended;
	uint64_t sleeps;
	uint32_t disk_at;
	bool complained;
	bool stopping;
	bool doomed;
};

enum export_state {
	EXPORT_STARTING,
	EXPORT_SERVING,
	EXPORT_ENDED,		/* as it was told to */
	EXPORT_FAILED,		/* after a message */
};

enum export_wish {
	EXPORT_STOP = 1,
	EXPORT_REPORT = 2,
	EXPORT_RESIZE = 4,
};

/** export_stop - the process is to end: do not wait for anything */
extern atomic_bool export_stop;

/** export_run() - the thread of an export; @argument is the struct export */
void *export_run(void *argument);

/** export_wish() - make the thread do something */
void export_wish(struct export *export, enum export_wish wish);

/* front.c */

/** front_up() - a session begins */
void front_up(struct export *export, uint32_t slot);
/** front_down() - it is over */
void front_down(struct export *export, uint32_t slot);

/** front_take() - begin with what front ends want; returns how many records */
unsigned int front_take(struct export *export);

/** front_answer() - answer a request, if it is still of the session */
void front_answer(struct request *request, uint32_t status);

/** front_flush() - show the peers what was done, and ring them if wanted */
void front_flush(struct export *export);

/**
 * front_arm() - ask to be rung for what comes
 *
 * Return: true if there is something already.
 */
bool front_arm(struct export *export);

/** front_announce() - tell all front ends of another size */
void front_announce(struct export *export);

/** front_idle() - whether nothing is in flight */
bool front_idle(const struct export *export);

/* report.c */

/** report() - print all counters, as a line of JSON or for people */
void report(const struct export *export, bool json);

#endif /* EXPORT_H */
