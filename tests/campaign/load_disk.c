// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disk: writes of a part of it, many at a time, that are numbered from 1. After
 * each batch fdatasync(), and then the host is told up to which number all are
 * on the disk. Which block a number is for is known; so it is known from one
 * number what has to be in each block after a crash: the last write of it that
 * was told, or one of the batch that was under way. Each sector is judged alone.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS		1024		/* a power of two */
#define BLOCK		4096
#define SECTOR		512
#define BATCH		16
#define STRIDE		637		/* odd: all blocks have their turn */
#define CHECK_BATCHES	16
#define PACE_MS		15
#define MAGIC		0x6b7369642d736369ULL

struct sector {
	uint64_t magic;
	uint64_t number;
	uint64_t place;
	char words[SECTOR - 24];
};

struct disk {
	struct io_uring ring;
	int fd;
	int told_fd;
	uint64_t first;		/* block of the disk */
	char (*blocks)[BLOCK];
};

static uint64_t block_of(uint64_t number)
{
	return (number - 1) * STRIDE % BLOCKS;
}

/* The last write of a block up to @told; 0 if there was none. */
static uint64_t last_of(uint64_t block, uint64_t told)
{
	static uint16_t turns[BLOCKS];
	uint64_t first;

	if (!turns[block_of(BLOCKS)])
		for (uint64_t number = 1; number <= BLOCKS; number++)
			turns[block_of(number)] = number;
	first = turns[block];
	return told < first ? 0 : told - (told - first) % BLOCKS;
}

static void fill(struct disk *disk, char *data, uint64_t number)
{
	struct sector *sectors = (struct sector *)data;
	uint64_t place = (disk->first + block_of(number)) * BLOCK / SECTOR;

	for (unsigned int n = 0; n < BLOCK / SECTOR; n++, place++) {
		sectors[n].magic = MAGIC;
		sectors[n].number = number;
		sectors[n].place = place;
		pattern(sectors[n].words, sizeof(sectors[n].words), place,
			number);
	}
}

static bool is_empty(const struct sector *sector)
{
	static const struct sector empty;

	return !memcmp(sector, &empty, sizeof(empty));
}

/* Of the block's last write that was told, or of one that is later. */
static void check_sector(const struct sector *sector, uint64_t place,
			 uint64_t last, uint64_t latest)
{
	if (!last && is_empty(sector))
		return;
	if (sector->magic != MAGIC || sector->place != place)
		wrong("disk: sector %" PRIu64 " says %" PRIx64 " %" PRIu64
		      " instead of write %" PRIu64, place, sector->magic,
		      sector->place, last);
	if (!sector->number ||
	    (sector->number != last && sector->number != latest))
		wrong("disk: sector %" PRIu64 " has write %" PRIu64
		      " instead of %" PRIu64, place, sector->number, last);
	if (differs(sector->words, sizeof(sector->words), place,
		    sector->number))
		wrong("disk: sector %" PRIu64 " differs from write %" PRIu64,
		      place, sector->number);
}

static void check_block(struct disk *disk, const char *data, uint64_t block,
			uint64_t told)
{
	const struct sector *sectors = (const struct sector *)data;
	uint64_t place = (disk->first + block) * BLOCK / SECTOR;

	for (unsigned int n = 0; n < BLOCK / SECTOR; n++)
		check_sector(&sectors[n], place + n, last_of(block, told),
			     last_of(block, told + BATCH));
	verified(0, BLOCK);
}

static void check_all(struct disk *disk, uint64_t told)
{
	for (uint64_t block = 0; block < BLOCKS; block += BATCH) {
		if (pread(disk->fd, disk->blocks, BATCH * BLOCK,
			  (disk->first + block) * BLOCK) != BATCH * BLOCK)
			gone();
		for (unsigned int n = 0; n < BATCH; n++)
			check_block(disk, disk->blocks[n], block + n, told);
	}
}

/* All at the same time; no two of a batch are for the same block. */
static void write_batch(struct disk *disk, uint64_t first)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	bool failed = false;

	for (unsigned int n = 0; n < BATCH; n++) {
		fill(disk, disk->blocks[n], first + n);
		sqe = io_uring_get_sqe(&disk->ring);
		io_uring_prep_write(sqe, disk->fd, disk->blocks[n], BLOCK,
				    (disk->first + block_of(first + n)) * BLOCK);
	}
	if (io_uring_submit_and_wait(&disk->ring, BATCH) != BATCH)
		gone();
	for (unsigned int n = 0; n < BATCH; n++) {
		if (io_uring_wait_cqe(&disk->ring, &cqe))
			gone();
		failed |= cqe->res != BLOCK;
		io_uring_cqe_seen(&disk->ring, cqe);
	}
	if (failed || fdatasync(disk->fd))
		gone();
}

static void tell(struct disk *disk, uint64_t told)
{
	char text[17];

	tally->acknowledged = told;
	snprintf(text, sizeof(text), "%016" PRIu64, told);
	if (pwrite(disk->told_fd, text, 16, 0) != 16)
		wrong("disk: the host cannot be told: %m");
}

static void open_disk(struct disk *disk, const char *node, const char *path)
{
	char told[300];

	snprintf(told, sizeof(told), "%s.told", path);
	disk->told_fd = open(told, O_WRONLY | O_CREAT, 0644);
	/* Not there yet, or not any more */
	disk->fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk->fd < 0 || disk->told_fd < 0 ||
	    io_uring_queue_init(BATCH, &disk->ring, 0) ||
	    posix_memalign((void **)&disk->blocks, BLOCK, BATCH * BLOCK))
		gone();
}

void disk_load(const char *node, uint64_t first_sector, uint64_t told,
	       const char *path)
{
	struct disk disk = { .first = first_sector / (BLOCK / SECTOR) };

	/* A worker before this one has got further. */
	if (tally->acknowledged > told)
		told = tally->acknowledged;
	open_disk(&disk, node, path);
	check_all(&disk, told);
	tally->sessions++;
	for (unsigned int batch = 1;; batch++) {
		write_batch(&disk, told + 1);
		told += BATCH;
		tell(&disk, told);
		if (batch % CHECK_BATCHES == 0)
			check_all(&disk, told);
		pause_ms(PACE_MS);
	}
}
