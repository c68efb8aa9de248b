// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process of the host that is a peer by the headers of version 1.0 alone: it joins
 * the region, brings up a link to each other slot in each section that it knows, and
 * speaks there until SIGTERM. It prints what it learns of the others.
 *
 *	wire_peer ADDRESS DISK [newer]
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libivshmem.h>

#include "peer.h"

#define STEP_MS		10
#define SPEECHES	(IVREGION_SECTIONS_MAX * IVREGION_SLOTS_MAX)
/* A record of the ring that is answered */
#define LONGEST		65536U

static struct {
	struct ivshmem *ivs;
	struct ivshmem_info info;
	struct ivregion region;
	uint8_t *memory;
	bool newer;
	uint8_t *disk;
	uint64_t disk_size;
	struct ivpeer peers[IVREGION_SLOTS_MAX];
	struct speech *speeches[SPEECHES];
	unsigned int nr_speeches;
} own;

static volatile sig_atomic_t ended;

static void end(int number)
{
	(void)number;
	ended = 1;
}

__attribute__((noreturn)) static void fail(const char *what, int error)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint32_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static uint32_t any_number(void)
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		fail("getrandom", errno);
	return number;
}

static void ring(uint32_t slot, uint32_t vector)
{
	int vectors = ivshmem_peer_vectors(own.ivs, slot);

	if (vectors > 0)
		ivshmem_ring(own.ivs, slot, vector < (uint32_t)vectors ?
			     vector : (uint32_t)vectors - 1);
}

static struct ivregion_peer_line *line(uint32_t slot)
{
	return (struct ivregion_peer_line *)(own.memory +
					     ivregion_peer_offset(slot));
}

static void open_region(const char *address)
{
	struct ivregion_superblock copy;
	enum ivregion_error error;
	void *memory;
	int ret;

	ret = ivshmem_open(address, 0, &own.ivs);
	if (!ret)
		ret = ivshmem_get_info(own.ivs, &own.info);
	if (!ret)
		ret = ivshmem_map(own.ivs, 0, 0, PROT_READ | PROT_WRITE, &memory);
	if (ret)
		fail(address, -ret);
	own.memory = memory;
	ivregion_read(memory, &copy);
	error = ivregion_parse(&copy, own.info.memory_size, &own.region);
	if (error) {
		fprintf(stderr, "peer: %s\n", ivregion_error_text(error));
		exit(1);
	}
}

static void open_disk(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat status;
	void *disk;

	if (fd < 0 || fstat(fd, &status))
		fail(path, errno);
	disk = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (disk == MAP_FAILED)
		fail(path, errno);
	close(fd);
	own.disk = disk;
	own.disk_size = (uint64_t)status.st_size;
}

static void join_region(void)
{
	struct ivregion_peer_line *self = line(own.info.peer_id);
	static const char name[IVREGION_PEER_NAME] = "old-peer";

	ivpeer_join(self, ivpeer_fresh_epoch(any_number(), 0), own.info.vectors,
		    name);
	if (own.newer) {
		ivshmem_store32(&self->features, 0xffffffff);
		memset(self->reserved, 0xff, sizeof(self->reserved));
	}
}

static void add_speech(const struct ivregion_section *section, uint32_t slot)
{
	struct speech *s = calloc(1, sizeof(*s));

	if (!s)
		fail("speech", ENOMEM);
	s->region = &own.region;
	s->section = section;
	s->memory = own.memory;
	s->slot = own.info.peer_id;
	s->peer = slot;
	s->newer = own.newer;
	s->disk = own.disk;
	s->disk_size = own.disk_size;
	ivlink_init(&s->link, own.memory, &own.region, section, s->slot, slot,
		    s->queues);
	ivlink_start(&s->link);
	own.speeches[own.nr_speeches++] = s;
}

static void add_speeches(void)
{
	const struct ivregion_section *section;
	uint32_t i, slot;

	for (i = 0; i < own.region.nr_sections; i++) {
		section = &own.region.sections[i];
		printf("section %s: %s\n", section->name,
		       section->usable ? "used" : "not known");
		for (slot = 0; slot < own.region.slots; slot++)
			if (section->usable && section->ring_size &&
			    slot != own.info.peer_id)
				add_speech(section, slot);
	}
}

static void look(uint32_t now)
{
	static const char *const words[] = {
		[IVPEER_JOINED] = "joined", [IVPEER_LEFT] = "left",
		[IVPEER_DIED] = "died", [IVPEER_FELL_SILENT] = "fell silent",
		[IVPEER_RETURNED] = "returned", [IVPEER_RESUMED] = "resumed",
	};
	enum ivpeer_event event;
	uint32_t slot;

	for (slot = 0; slot < own.region.slots; slot++) {
		event = ivpeer_look(&own.peers[slot], line(slot),
				    (struct ivregion_server_line *)
				    (own.memory + ivregion_server_offset(slot)),
				    now);
		if (event && slot != own.info.peer_id)
			printf("peer %u %s\n", slot, words[event]);
	}
}

static bool hear(struct speech *s, uint32_t queue)
{
	struct ivlink_queue *q = &s->queues[queue];
	static uint8_t copy[LONGEST];
	uint32_t length, kind;
	const void *payload;
	bool kick = false;

	do {
		while (!ivring_peek(&q->rx, &payload, &length, &kind)) {
			if (length > sizeof(copy))
				fail("record", EMSGSIZE);
			ivshmem_copy_in(copy, payload, length);
			ivring_advance(&q->rx);
			speech_take(s, queue, kind, copy, length);
		}
		kick |= ivring_release(&q->rx);
		kick |= ivring_publish(&q->tx);
	} while (!q->rx.fault && ivring_want_data(&q->rx));

	return kick;
}

static void turn(struct speech *s, uint32_t now)
{
	unsigned int events = ivlink_step(&s->link, now, any_number());
	bool kick = events & IVLINK_KICK;
	uint32_t queue;

	if (events & IVLINK_WENT_DOWN)
		printf("%s to %u down: %d\n", s->section->name, s->peer,
		       s->link.reason);
	if (events & IVLINK_WENT_UP) {
		printf("%s to %u up\n", s->section->name, s->peer);
		speech_begin(s);
	}
	for (queue = 0; s->link.state == IVLINK_UP &&
	     queue < s->section->queues; queue++)
		kick |= hear(s, queue);
	if (kick)
		ring(s->peer, s->section->vector);
}

static void live(void)
{
	struct ivregion_peer_line *self = line(own.info.peer_id);
	uint32_t now, beat_at = now_ms() - IVPEER_BEAT_MS, heart = 0;
	struct ivshmem_event events[16];
	unsigned int i;

	while (!ended) {
		now = now_ms();
		if (now - beat_at >= IVPEER_BEAT_MS) {
			beat_at = now;
			ivshmem_store32(&self->heartbeat, ++heart);
			if (!ivregion_intact((void *)own.memory, &own.region)) {
				printf("formatted anew\n");
				exit(0);
			}
		}
		look(now);
		for (i = 0; i < own.nr_speeches; i++)
			turn(own.speeches[i], now);
		fflush(stdout);
		ivshmem_wait(own.ivs, events, 16, STEP_MS);
	}
}

static void leave(void)
{
	unsigned int i;
	uint32_t slot;

	for (i = 0; i < own.nr_speeches; i++)
		ivlink_stop(&own.speeches[i]->link);
	ivpeer_leave(line(own.info.peer_id));
	for (slot = 0; slot < own.region.slots; slot++)
		ring(slot, 0);
	ivshmem_close(own.ivs);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = end };
	uint32_t slot;

	if (argc < 3) {
		fprintf(stderr, "usage: wire_peer ADDRESS DISK [newer]\n");
		return 2;
	}
	own.newer = argc > 3;
	sigaction(SIGTERM, &action, NULL);
	open_disk(argv[2]);
	open_region(argv[1]);
	join_region();
	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		ivpeer_init(&own.peers[slot]);
	add_speeches();
	for (slot = 0; slot < own.region.slots; slot++)
		ring(slot, 0);
	printf("slot %u\n", own.info.peer_id);
	live();
	leave();
	return 0;
}
