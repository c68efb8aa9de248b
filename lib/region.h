/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process without a driver makes of the region: it looks into the memory
 * itself, where in a guest the driver does.  "Host" are those on the host, and
 * those in a guest that drive the device themselves.
 */
#ifndef IVSHMEM_REGION_H
#define IVSHMEM_REGION_H

#include <pthread.h>
#include <sys/types.h>

#include <ivshmem/peer.h>

#include "backend.h"

/* Whom a doorbell about the directory can reach: peer ids below this */
#define REGION_PEERS	IVREGION_SLOTS_MAX

/**
 * struct host_region - the region as last seen by this handle
 * @member_lock: held while joining and leaving; taken before @lock
 * @lock:       guards all below but for @nudge
 * @nudge:      eventfd that wakes those who wait for changes; made by
 *              ivshmem_host_init() or -1; never read, so that each sees it
 * @own_id:     own peer id
 * @memory:     superblock and directory, mapped, or NULL
 * @mapped:     bytes of it
 * @memory_size: of the whole region
 * @state:      enum ivshmem_region_state
 * @error:      why it was refused
 * @major:      of the format
 * @region:     the superblock, checked
 * @seen:       what @region was read from
 * @peers:      the slots
 * @changes:    of all above
 * @joined:     this handle is a peer
 * @lost:       it was one until the region was formatted anew
 * @epoch:      own, while @joined
 * @heartbeat:  own
 * @vectors:    own
 * @name:       own, as in the directory
 * @joined_at:  when @epoch was published
 * @resting:    others write the own line: it is left alone until @rest_until
 * @rest:       how long it will rest next time
 * @rest_until: a deadline
 * @threaded:   @thread is to be joined
 * @stop:       tells @thread to end
 * @thread:     beats
 * @thread_fd:  what it waits on
 * @process:    that has opened it, or where @thread runs
 */
struct host_region {
	pthread_mutex_t member_lock;
	pthread_mutex_t lock;
	int nudge;
	uint32_t own_id;
	uint8_t *memory;
	size_t mapped;
	uint64_t memory_size;
	uint32_t state;
	enum ivregion_error error;
	uint32_t major;
	struct ivregion region;
	struct ivregion_superblock seen;
	struct ivpeer peers[REGION_PEERS];
	uint64_t changes;
	bool joined;
	bool lost;
	uint32_t epoch;
	uint32_t heartbeat;
	uint32_t vectors;
	char name[IVREGION_PEER_NAME];
	uint32_t joined_at;
	bool resting;
	int rest;
	int64_t rest_until;
	bool threaded;
	bool stop;
	pthread_t thread;
	int thread_fd;
	pid_t process;
};

/* region.c */

/** ivshmem_host_init() - nothing is seen yet, nothing is made */
void ivshmem_host_init(struct host_region *host);
/** ivshmem_host_close() - leave and release all; @ivs is still open */
void ivshmem_host_close(struct ivshmem *ivs);

/**
 * ivshmem_host_enter() - lock the region, ready to be looked at
 * @ivs: of a backend whose handles are &struct handle
 *
 * Return: 0 with the lock held, or a negative errno value without.
 */
int ivshmem_host_enter(struct ivshmem *ivs);
void ivshmem_host_exit(struct ivshmem *ivs);

/* What follows is called with the lock held. */

/** ivshmem_host_refresh() - is the region what it was; if not, see anew */
void ivshmem_host_refresh(struct host_region *host);
/** ivshmem_host_look() - the same, and look at all slots */
void ivshmem_host_look(struct host_region *host);
/** ivshmem_host_changed() - count a change and wake who waits for one */
void ivshmem_host_changed(struct host_region *host);
/** ivshmem_host_line() - the line of a peer in the directory */
struct ivregion_peer_line *ivshmem_host_line(struct host_region *host,
					     uint32_t slot);

/**
 * ivshmem_host_nudge() - wake who waits for changes: vector 0 was consumed
 *
 * Called with or without the lock.
 */
void ivshmem_host_nudge(struct host_region *host);

/**
 * ivshmem_host_watch() - what becomes readable when there may be a change
 *
 * A new epoll instance, edge-triggered, so that nothing is taken away from
 * others who wait for the same eventfd.
 *
 * Return: the descriptor, or a negative errno value.
 */
int ivshmem_host_watch(struct ivshmem *ivs);

/**
 * ivshmem_host_pause() - wait on such a descriptor
 * @timeout_ms: 0 and more
 *
 * Does not return sooner than some milliseconds after it was rung: a peer that
 * rings all the time does not make us look all the time.
 *
 * Return: 0 or -EINTR.
 */
int ivshmem_host_pause(int fd, int timeout_ms);

/** ivshmem_host_ring_all() - ring vector 0 of whoever may be there */
void ivshmem_host_ring_all(struct ivshmem *ivs);

int ivshmem_host_get_region(struct ivshmem *ivs, struct ivshmem_region *out);
int ivshmem_host_get_section(struct ivshmem *ivs, uint32_t index,
			     struct ivshmem_section *section);
int ivshmem_host_section_offset(struct ivshmem *ivs,
				const struct ivshmem_section *section,
				uint64_t *offset);
int ivshmem_host_get_peer(struct ivshmem *ivs, uint32_t slot,
			  struct ivshmem_peer *peer);
int ivshmem_host_wait_change(struct ivshmem *ivs, uint64_t *changes,
			     int timeout_ms);

/* member.c */

int ivshmem_host_join(struct ivshmem *ivs, const char *name);
int ivshmem_host_leave(struct ivshmem *ivs);

/** ivshmem_host_detach() - the region is another: be no peer any more */
void ivshmem_host_detach(struct host_region *host);

/* host_format.c */

int ivshmem_host_format(struct ivshmem *ivs,
			const struct ivregion_superblock *superblock,
			const struct ivregion *region, uint32_t flags,
			char *error, size_t error_size);

/** ivshmem_clock() - milliseconds for ivpeer_look() */
uint32_t ivshmem_clock(void);

#endif /* IVSHMEM_REGION_H */
