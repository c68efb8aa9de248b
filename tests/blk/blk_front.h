/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A front end of a disk as a process of the host, for tests: it joins a BLK section,
 * and its user sends whatever he likes.
 */
#ifndef BLK_FRONT_H
#define BLK_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/blk.h>

#include "links.h"

/**
 * struct blk_answer - one answer
 * @queue:    where it came
 * @response: what came
 */
struct blk_answer {
	uint32_t queue;
	uint32_t id;
	uint32_t status;
};

/**
 * struct blk_front - the front end
 * @links:    its links
 * @features: of its hello
 * @quiet:    it sends no hello by itself
 * @frozen:   it does not look at its rings
 * @back:     slot of the back end, or -1
 * @sessions: with a back end, that have begun
 * @hellos:   of the back end, in this session
 * @disk:     what it has said last
 * @answered: called for each answer
 */
struct blk_front {
	struct links links;
	uint32_t features;
	bool quiet;
	bool frozen;
	int back;
	unsigned int sessions;
	unsigned int hellos;
	struct ivblk_disk disk;
	void (*answered)(struct blk_front *front,
			 const struct blk_answer *answer);
};

/** blk_front_open() - join; 0, or -1 after a message */
int blk_front_open(struct blk_front *front, const char *address,
		   const char *section);
void blk_front_close(struct blk_front *front);

/** blk_front_turn() - look at all, for at most @ms; @fd may become readable */
void blk_front_turn(struct blk_front *front, int fd, int ms);

/** blk_front_put() - a record of any kind; 0 or a negative errno value */
int blk_front_put(struct blk_front *front, uint32_t queue, uint32_t kind,
		  const void *payload, uint32_t length);

/** blk_front_request() - the record of a request */
int blk_front_request(struct blk_front *front, uint32_t queue,
		      const struct ivblk_io *io);

/** blk_front_push() - publish what was put, and ring */
void blk_front_push(struct blk_front *front);

/** blk_front_out(), blk_front_in() - buffers of a queue: ours, the back end's */
uint8_t *blk_front_out(struct blk_front *front, uint32_t queue);
const uint8_t *blk_front_in(struct blk_front *front, uint32_t queue);
/** blk_front_buffers() - bytes of each */
uint32_t blk_front_buffers(const struct blk_front *front);

#endif /* BLK_FRONT_H */
