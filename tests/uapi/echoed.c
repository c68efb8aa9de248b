/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A peer in a process of the host: joins a formatted region, brings up a link
 * to another peer, and sends records of all lengths, which have to come back,
 * their kinds one larger.  drivers/test/ivshmem_echo.c is the other side.
 *
 * Usage: echoed MEMORY SLOT PEER SECTION RECORDS [EVENTFD]
 *
 * MEMORY is a file; EVENTFD the number of a descriptor that rings the peer.
 * Says "up EPOCH" at each start of a session, and "echoed N" at the end.  With
 * 0 records it sends until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ivshmem/link.h>

/* Longest time without any progress */
#define PATIENCE_MS	120000
#define LONGEST		65536

static uint8_t *memory;
static uint64_t memory_size;
static struct ivregion region;
static const struct ivregion_section *section;
static struct ivlink_queue queues[IVREGION_QUEUES_MAX];
static struct ivlink link_;
static uint32_t own_slot, peer_slot, heartbeat;
static uint64_t sent[IVREGION_QUEUES_MAX], received[IVREGION_QUEUES_MAX];
static uint64_t progress;
static int doorbell = -1;

static void die(const char *what)
{
	fprintf(stderr, "echoed: %s\n", what);
	exit(1);
}

static uint32_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static uint32_t any(void)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		die("no random numbers");
	return random;
}

static void kick(void)
{
	const uint64_t one = 1;

	/* Full: it is rung */
	if (doorbell >= 0 && write(doorbell, &one, sizeof(one)) < 0 &&
	    errno != EAGAIN)
		die("cannot ring");
}

static void attach(const char *path, const char *name)
{
	static struct ivregion_superblock copy;
	int fd = open(path, O_RDWR);
	struct stat status;
	uint32_t i;

	if (fd < 0 || fstat(fd, &status))
		die("cannot open the memory");
	memory_size = (uint64_t)status.st_size;
	memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (memory == MAP_FAILED)
		die("cannot map the memory");

	ivregion_read((struct ivregion_superblock *)memory, &copy);
	if (ivregion_parse(&copy, memory_size, &region))
		die("not formatted");
	for (i = 0; i < region.nr_sections; i++) {
		if (!strcmp(region.sections[i].name, name))
			section = &region.sections[i];
	}
	if (!section)
		die("no such section");
}

static struct ivregion_peer_line *own_line(void)
{
	return (struct ivregion_peer_line *)
	       (memory + ivregion_peer_offset(own_slot));
}

static void beat(void)
{
	ivshmem_store32(&own_line()->heartbeat, ++heartbeat);
}

/* Record @n of a queue: its length and each of its bytes follow from n */
static uint32_t length_of(uint64_t n)
{
	uint32_t most = ivring_max_length(ivregion_records_size(section));

	if (most > LONGEST)
		most = LONGEST;
	return (uint32_t)(n * 2654435761U >> 7) % (most + 1);
}

static void fill(uint8_t *bytes, uint64_t n, uint32_t queue, uint32_t length)
{
	uint32_t i, word = (uint32_t)n * 2246822519U + queue;

	for (i = 0; i < length; i++) {
		word = word * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(word >> 24);
	}
}

static bool send_one(uint32_t q)
{
	struct ivring_producer *tx = &queues[q].tx;
	static uint8_t bytes[LONGEST];
	uint32_t length = length_of(sent[q]);
	void *payload = bytes;
	int ret;

	ret = ivring_reserve(tx, length, &payload);
	if (ret == -EAGAIN && ivring_want_space(tx, length))
		ret = ivring_reserve(tx, length, &payload);
	if (ret == -EPROTO)
		die("the ring is broken");
	if (ret)
		return false;

	fill(bytes, sent[q], q, length);
	ivshmem_copy_out(payload, bytes, length);
	ivring_commit(tx, length, (uint32_t)sent[q] & 0xffff);
	sent[q]++;
	if (ivring_publish(tx))
		kick();
	return true;
}

static bool receive_one(uint32_t q)
{
	struct ivring_consumer *rx = &queues[q].rx;
	static uint8_t bytes[LONGEST], right[LONGEST];
	const void *payload = bytes;
	uint32_t length = 0, kind = 0;
	int ret;

	ret = ivring_peek(rx, &payload, &length, &kind);
	if (ret == -EAGAIN && ivring_want_data(rx))
		ret = ivring_peek(rx, &payload, &length, &kind);
	if (ret == -EPROTO)
		die("the ring is broken");
	if (ret)
		return false;

	if (received[q] == sent[q] || length != length_of(received[q]) ||
	    kind != (received[q] & 0xffff) + 1)
		die("an echo of something else");
	ivshmem_copy_in(bytes, payload, length);
	fill(right, received[q], q, length);
	if (memcmp(bytes, right, length))
		die("an echo with other bytes");
	received[q]++;
	ivring_advance(rx);
	if (ivring_release(rx))
		kick();
	return true;
}

/* What was in flight when a session ended is lost, in both directions */
static void begin_session(void)
{
	uint32_t q;

	for (q = 0; q < section->queues; q++) {
		sent[q] = 0;
		received[q] = 0;
	}
	printf("up %08" PRIx32 "\n", link_.ack);
	fflush(stdout);
}

/* Whether something was sent or received */
static bool serve(uint64_t records)
{
	bool busy = false;
	uint32_t q;

	for (q = 0; q < section->queues; q++) {
		if (!records || sent[q] < records)
			busy |= send_one(q);
		while (receive_one(q))
			busy = true;
	}

	return busy;
}

static bool finished(uint64_t records)
{
	uint32_t q;

	for (q = 0; records && q < section->queues; q++) {
		if (received[q] < records)
			return false;
	}

	return records && link_.state == IVLINK_UP;
}

static void run(uint64_t records)
{
	uint32_t last_beat = now_ms(), last_progress = last_beat, now;
	unsigned int events;

	while (!finished(records)) {
		now = now_ms();
		if (now - last_beat >= IVPEER_BEAT_MS / 2) {
			beat();
			last_beat = now;
		}
		ivlink_start(&link_);
		events = ivlink_step(&link_, now, any());
		if (events & IVLINK_KICK)
			kick();
		if (events & IVLINK_WENT_UP)
			begin_session();
		if (link_.state == IVLINK_UP && serve(records)) {
			last_progress = now;
			progress++;
			continue;
		}
		if (now - last_progress > PATIENCE_MS)
			die("nothing comes back");
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	char name[IVREGION_PEER_NAME] = "echoed";
	uint64_t records;

	if (argc < 6)
		die("MEMORY SLOT PEER SECTION RECORDS [EVENTFD]");
	attach(argv[1], argv[4]);
	own_slot = (uint32_t)strtoul(argv[2], NULL, 0);
	peer_slot = (uint32_t)strtoul(argv[3], NULL, 0);
	records = strtoul(argv[5], NULL, 0);
	if (argc > 6)
		doorbell = atoi(argv[6]);

	ivpeer_join(own_line(), ivpeer_fresh_epoch(any(), 0), 0, name);
	ivlink_init(&link_, memory, &region, section, own_slot, peer_slot,
		    queues);
	run(records);

	if (ivlink_stop(&link_) & IVLINK_KICK)
		kick();
	ivpeer_leave(own_line());
	printf("echoed %" PRIu64 "\n", records * section->queues);
	return 0;
}
