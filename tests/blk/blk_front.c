// SPDX-License-Identifier: GPL-2.0-only
/*
 * Joins a BLK section as a front end, and moves records.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blk_front.h"
#include "command.h"

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "front: ");
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

static struct blk_front *front_of(struct links *ls)
{
	return (struct blk_front *)((char *)ls -
				    offsetof(struct blk_front, links));
}

static struct ivlink_queue *rings(struct blk_front *front, uint32_t slot,
				  uint32_t queue)
{
	return &front->links.links[slot].queues[queue];
}

static void push_to(struct blk_front *front, uint32_t slot)
{
	bool kick = false;
	uint32_t queue;

	for (queue = 0; queue < front->links.section.queues; queue++)
		if (ivring_publish(&rings(front, slot, queue)->tx))
			kick = true;
	if (kick)
		links_kick(&front->links, slot);
}

static int put(struct ivring_producer *p, uint32_t kind, const void *payload,
	       uint32_t length)
{
	void *place;
	int ret;

	ret = ivring_reserve(p, length, &place);
	if (ret)
		return ret;
	ivshmem_copy_out(place, payload, length);
	ivring_commit(p, length, kind);
	return 0;
}

static void link_up(struct links *ls, uint32_t slot)
{
	struct blk_front *front = front_of(ls);
	struct ivblk_hello hello = {
		.role = ivshmem_to_le32(IVBLK_FRONT_END),
		.features = ivshmem_to_le32(front->features),
		.queues = ivshmem_to_le32(ls->section.queues),
	};

	if (front->quiet)
		return;
	put(&rings(front, slot, 0)->tx, IVBLK_KIND_HELLO, &hello,
	    sizeof(hello));
	push_to(front, slot);
}

static void link_down(struct links *ls, uint32_t slot)
{
	struct blk_front *front = front_of(ls);

	if ((int)slot == front->back)
		front->back = -1;
}

static const struct links_owner owner = {
	.type = IVSHMEM_BLK,
	.speech = "a disk",
	.guest = "only on the host",
	.up = link_up,
	.down = link_down,
};

static void take_hello(struct blk_front *front, uint32_t slot,
		       const void *payload, uint32_t length)
{
	struct ivblk_hello hello;
	struct ivblk_disk disk;

	memset(&hello, 0, sizeof(hello));
	if (length >= sizeof(hello))
		ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (!ivblk_parse_hello(&disk, &hello, length,
			       front->links.section.queues)) {
		complain("a hello that cannot be");
		exit(1);
	}
	if (disk.role != IVBLK_BACK_END ||
	    (front->back >= 0 && front->back != (int)slot))
		return;
	if (front->back != (int)slot) {
		front->sessions++;
		front->hellos = 0;
	}
	front->back = (int)slot;
	front->hellos++;
	front->disk = disk;
}

static void take_record(struct blk_front *front, uint32_t slot, uint32_t queue,
			uint32_t kind, const void *payload, uint32_t length)
{
	struct ivblk_response response;
	struct blk_answer answer = { .queue = queue };

	if (kind == IVBLK_KIND_HELLO && !queue)
		take_hello(front, slot, payload, length);
	if (kind != IVBLK_KIND_RESPONSE || length < sizeof(response))
		return;
	ivshmem_copy_in(&response, payload, sizeof(response));
	answer.id = ivshmem_from_le32(response.id);
	answer.status = ivshmem_from_le32(response.status);
	front->answered(front, &answer);
}

static bool take_from(struct blk_front *front, uint32_t slot, uint32_t queue)
{
	struct ivring_consumer *c = &rings(front, slot, queue)->rx;
	uint32_t length, kind;
	const void *payload;
	bool any = false;

	while (front->links.up >> slot & 1 &&
	       !ivring_peek(c, &payload, &length, &kind)) {
		take_record(front, slot, queue, kind, payload, length);
		ivring_advance(c);
		any = true;
	}
	if (c->fault)
		links_end(&front->links, slot, c->fault);
	else if (any && ivring_release(c))
		links_kick(&front->links, slot);
	return any;
}

static bool take_all(struct blk_front *front)
{
	uint64_t set = front->links.up;
	uint32_t queue, slot;
	bool any = false;

	while (set && !front->frozen) {
		slot = next_slot(&set);
		for (queue = 0; queue < front->links.section.queues; queue++)
			if (take_from(front, slot, queue))
				any = true;
	}
	return any;
}

static bool arm_all(struct blk_front *front)
{
	uint64_t set = front->links.up;
	uint32_t queue, slot;
	bool more = false;

	while (set && !front->frozen) {
		slot = next_slot(&set);
		for (queue = 0; queue < front->links.section.queues; queue++)
			if (ivring_want_data(&rings(front, slot, queue)->rx))
				more = true;
	}
	return more;
}

void blk_front_turn(struct blk_front *front, int fd, int ms)
{
	struct pollfd fds[] = {
		{ .fd = ivshmem_fd(front->links.at.ivs), .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	uint32_t due;

	links_tend(&front->links);
	if (take_all(front) || arm_all(front))
		return;
	due = links_due_ms(&front->links);
	if (ms > (int)due)
		ms = (int)due;
	if (poll(fds, 2, ms) > 0 && fds[0].revents)
		links_take_doorbells(&front->links);
}

int blk_front_put(struct blk_front *front, uint32_t queue, uint32_t kind,
		  const void *payload, uint32_t length)
{
	if (front->back < 0)
		return -ENOTCONN;
	return put(&rings(front, (uint32_t)front->back, queue)->tx, kind,
		   payload, length);
}

int blk_front_request(struct blk_front *front, uint32_t queue,
		      const struct ivblk_io *io)
{
	struct ivblk_request request = {
		.id = ivshmem_to_le32(io->id),
		.operation = ivshmem_to_le32(io->operation),
		.flags = ivshmem_to_le32(io->flags),
		.length = ivshmem_to_le32(io->length),
		.sector_low = ivshmem_to_le32((uint32_t)io->sector),
		.sector_high = ivshmem_to_le32((uint32_t)(io->sector >> 32)),
		.buffer = ivshmem_to_le32(io->buffer),
	};

	return blk_front_put(front, queue, IVBLK_KIND_REQUEST, &request,
			     sizeof(request));
}

void blk_front_push(struct blk_front *front)
{
	if (front->back >= 0)
		push_to(front, (uint32_t)front->back);
}

uint8_t *blk_front_out(struct blk_front *front, uint32_t queue)
{
	struct ivring_producer *p =
		&rings(front, (uint32_t)front->back, queue)->tx;

	return p->data + p->size;
}

const uint8_t *blk_front_in(struct blk_front *front, uint32_t queue)
{
	struct ivring_consumer *c =
		&rings(front, (uint32_t)front->back, queue)->rx;

	return c->data + c->size;
}

uint32_t blk_front_buffers(const struct blk_front *front)
{
	return front->links.section.ring_size -
	       front->links.links[front->back].queues[0].tx.size;
}

int blk_front_open(struct blk_front *front, const char *address,
		   const char *section)
{
	front->back = -1;
	front->links.owner = &owner;
	front->links.wanted = section;
	front->links.name = "front";
	front->links.who = "front";
	return links_open(&front->links, address);
}

void blk_front_close(struct blk_front *front)
{
	links_close(&front->links);
}
