/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What backends have in common that do without a driver: own vectors, each of
 * which arrives at an eventfd, and the region, into which they look themselves
 * (region.h).
 */
#ifndef IVSHMEM_HANDLE_H
#define IVSHMEM_HANDLE_H

#include <pthread.h>

#include "backend.h"
#include "region.h"

/* Tag in the epoll set of what is no vector: @follow takes care of it */
#define HANDLE_TAG_OTHER	UINT32_MAX

/**
 * struct handle - first member of each such backend's own structure
 * @ivs:        the library's
 * @follow:     takes what has happened in the meantime, of which own vectors
 *              can be more; called with @lock; 0 or -ENODEV; may be NULL
 * @peer_id:    own id; does not change any more once the handle is open
 * @lock:       guards all below but for @region, and what the backend adds
 * @epoll_fd:   what is waited for; ivshmem_fd() returns it
 * @rung:       see ivshmem_handle_rung(); or -1
 * @vectors:    own vectors
 * @eventfds:   of them; belong to the backend
 * @subscribed: a bit for each that is in the epoll set
 * @chosen:     the caller has chosen them
 * @region:     has a lock of its own, which is taken before @lock
 */
struct handle {
	struct ivshmem ivs;
	int (*follow)(struct handle *handle);
	uint32_t peer_id;
	pthread_mutex_t lock;
	int epoll_fd;
	int rung;
	unsigned int vectors;
	int eventfds[LIBIVSHMEM_MAX_VECTORS];
	uint64_t subscribed[4];
	bool chosen;
	struct host_region region;
};

/**
 * ivshmem_handle_init() - all but @follow, which is NULL, and the memory
 * @handle: zeroed
 *
 * Return: 0 or a negative errno value; ivshmem_handle_release() follows in any
 * case.
 */
int ivshmem_handle_init(struct handle *handle,
			const struct ivshmem_backend_ops *ops,
			unsigned int flags);
/** ivshmem_handle_release() - once ivshmem_host_close() was called */
void ivshmem_handle_release(struct handle *handle);

/* What follows is called with the lock held, or before others know the handle. */

/**
 * ivshmem_handle_add_vector() - the next own vector arrives at @fd
 *
 * It is subscribed unless the caller has made a choice before.
 *
 * Return: 0, -EPROTO (it is no eventfd), -ENOMEM, -ENOSPC.
 */
int ivshmem_handle_add_vector(struct handle *handle, int fd);
/** ivshmem_handle_add_other() - have @follow called when @fd is readable */
int ivshmem_handle_add_other(struct handle *handle, int fd);
void ivshmem_handle_remove_other(struct handle *handle, int fd);

/**
 * ivshmem_handle_consume() - take away what an eventfd has counted
 *
 * Return: the count, 0 if there was none, -EPROTO (it is no eventfd).
 */
int64_t ivshmem_handle_consume(int eventfd);

/* Here the lock is taken. */

/** ivshmem_handle_follow() - see what has happened; 0 or -ENODEV */
int ivshmem_handle_follow(struct ivshmem *ivs);
/** ivshmem_handle_doorbell() - eventfd where a vector arrives, or -1 */
int ivshmem_handle_doorbell(struct ivshmem *ivs, uint32_t vector);
/**
 * ivshmem_handle_rung() - eventfd that tells of doorbells that were consumed
 *
 * Written after an own vector was read, never read itself: for edge-triggered
 * watchers of that vector, who would miss the doorbell else.
 *
 * Return: the descriptor, which belongs to the handle, or a negative errno value.
 */
int ivshmem_handle_rung(struct ivshmem *ivs);

/** to_handle() - of what such a backend has given out */
static inline struct handle *to_handle(struct ivshmem *ivs)
{
	return (struct handle *)ivs;
}

/** ivshmem_handle_region() - the region of such a handle */
static inline struct host_region *ivshmem_handle_region(struct ivshmem *ivs)
{
	return &to_handle(ivs)->region;
}

/* As the members of struct ivshmem_backend_ops */

int ivshmem_handle_subscribe(struct ivshmem *ivs, const uint64_t vectors[4]);
int ivshmem_handle_wait(struct ivshmem *ivs, struct ivshmem_event *events,
			unsigned int max, int timeout_ms);
int ivshmem_handle_fd(struct ivshmem *ivs);

/* handle_watch.c: likewise */

int ivshmem_handle_watch(struct ivshmem *ivs,
			 const struct ivshmem_section *section);
int ivshmem_handle_settle(int fd);
int ivshmem_handle_claim(struct ivshmem *ivs, int fd, uint64_t offset);

/* What all of them do alike; the rest of the table is each one's own */
#define IVSHMEM_HANDLE_OPS					\
	.subscribe = ivshmem_handle_subscribe,			\
	.wait = ivshmem_handle_wait,				\
	.fd = ivshmem_handle_fd,				\
	.get_region = ivshmem_host_get_region,			\
	.get_section = ivshmem_host_get_section,		\
	.section_offset = ivshmem_host_section_offset,		\
	.get_peer = ivshmem_host_get_peer,			\
	.wait_change = ivshmem_host_wait_change,		\
	.join = ivshmem_host_join,				\
	.leave = ivshmem_host_leave,				\
	.format = ivshmem_host_format,				\
	.watch = ivshmem_handle_watch,				\
	.settle = ivshmem_handle_settle,			\
	.claim = ivshmem_handle_claim

#endif /* IVSHMEM_HANDLE_H */
