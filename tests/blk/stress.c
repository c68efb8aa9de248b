// SPDX-License-Identifier: GPL-2.0-only
/*
 * A front end that keeps the disk busy and checks all that it reads, for as many
 * seconds as it is told.  When the back end is another one, what was not answered is
 * sent again.  In the end each block is read and has to be what was last written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blk_front.h"

#define BLOCK		4096U
#define SECTORS		(BLOCK / IVBLK_SECTOR)
#define RUN		8U
#define DEPTH		24U
#define BLOCKS		2048U
#define PATIENCE_S	60

/**
 * struct task - a request and what it is about
 * @io:      the request
 * @queue:   where it goes
 * @version: of the blocks, if it writes
 * @busy:    it is not answered yet
 * @sent:    in which session it was sent last
 */
struct task {
	struct ivblk_io io;
	uint32_t queue;
	uint64_t version;
	bool busy;
	unsigned int sent;
};

static struct blk_front front;
static struct task tasks[DEPTH];
static uint64_t model[BLOCKS];
static bool taken[BLOCKS];
static unsigned int in_flight;
static uint64_t versions, done, replayed;

static uint32_t first_block(const struct task *task)
{
	return (uint32_t)(task->io.sector / SECTORS);
}

static uint32_t nr_blocks(const struct task *task)
{
	return task->io.length / BLOCK;
}

/* Version 0 is zeroes. */
static uint64_t word_of(uint32_t block, uint64_t version, uint32_t i)
{
	return version ? version << 24 ^ (uint64_t)block << 8 ^ i : 0;
}

static void make_data(uint8_t *data, uint32_t block, uint64_t version)
{
	uint64_t word;
	uint32_t i;

	for (i = 0; i < BLOCK / sizeof(word); i++) {
		word = word_of(block, version, i);
		memcpy(data + i * sizeof(word), &word, sizeof(word));
	}
}

static void check_data(const uint8_t *data, uint32_t block)
{
	uint64_t word;
	uint32_t i;

	for (i = 0; i < BLOCK / sizeof(word); i++) {
		memcpy(&word, data + i * sizeof(word), sizeof(word));
		if (word == word_of(block, model[block], i))
			continue;
		fprintf(stderr, "stress: block %" PRIu32 ", word %" PRIu32
			": %016" PRIx64 " instead of %016" PRIx64 "\n", block,
			i, word, word_of(block, model[block], i));
		exit(1);
	}
}

static bool writes(const struct task *task)
{
	return task->io.operation == IVBLK_OP_WRITE ||
	       task->io.operation == IVBLK_OP_ZEROES;
}

static void finish(struct task *task)
{
	const uint8_t *data = blk_front_in(&front, task->queue) +
			      task->io.buffer;
	uint32_t i, block;

	for (i = 0; i < nr_blocks(task); i++) {
		block = first_block(task) + i;
		if (writes(task))
			model[block] = task->version;
		else
			check_data(data + i * BLOCK, block);
		taken[block] = false;
	}
	task->busy = false;
	in_flight--;
	done++;
}

static void answered(struct blk_front *f, const struct blk_answer *answer)
{
	struct task *task = &tasks[answer->id % DEPTH];

	(void)f;
	if (answer->id >= DEPTH || !task->busy ||
	    task->sent != front.sessions || answer->status) {
		fprintf(stderr, "stress: id %" PRIu32 ", status %" PRIu32
			": an answer to nothing, or an error\n", answer->id,
			answer->status);
		exit(1);
	}
	finish(task);
}

static void send_task(struct task *task)
{
	uint8_t *data = blk_front_out(&front, task->queue) + task->io.buffer;
	uint32_t i;
	int ret;

	if (task->io.operation == IVBLK_OP_WRITE)
		for (i = 0; i < nr_blocks(task); i++)
			make_data(data + i * BLOCK, first_block(task) + i,
				  task->version);
	ret = blk_front_request(&front, task->queue, &task->io);
	if (ret && ret != -EPIPE) {
		fprintf(stderr, "stress: %s\n", strerror(-ret));
		exit(1);
	}
	task->sent = front.sessions;
}

/* What a back end that is gone did not answer is asked of its successor. */
static void replay(void)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		if (!tasks[i].busy || tasks[i].sent == front.sessions)
			continue;
		send_task(&tasks[i]);
		replayed++;
	}
}

static bool claim(uint32_t block, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (taken[block + i])
			return false;
	for (i = 0; i < n; i++)
		taken[block + i] = true;
	return true;
}

static void begin(struct task *task, uint32_t operation, uint32_t block,
		  uint32_t n)
{
	uint32_t index = (uint32_t)(task - tasks);

	if (operation == IVBLK_OP_FLUSH)
		n = 0;
	else if (!claim(block, n))
		return;
	if ((index + 1) * RUN * BLOCK > blk_front_buffers(&front)) {
		fprintf(stderr, "stress: the section is too small\n");
		exit(1);
	}
	task->queue = index % front.links.section.queues;
	task->io.id = index;
	task->io.operation = operation;
	task->io.flags = writes(task) && rand() % 4 == 0 ?
			 IVBLK_REQUEST_FUA : 0;
	task->io.length = n * BLOCK;
	task->io.sector = n ? (uint64_t)block * SECTORS : 0;
	task->io.buffer = index * RUN * BLOCK;
	task->version = operation == IVBLK_OP_WRITE ? ++versions : 0;
	task->busy = true;
	in_flight++;
	send_task(task);
}

static void begin_any(struct task *task)
{
	static const uint32_t operations[] = {
		IVBLK_OP_READ, IVBLK_OP_READ, IVBLK_OP_READ, IVBLK_OP_WRITE,
		IVBLK_OP_WRITE, IVBLK_OP_WRITE, IVBLK_OP_ZEROES, IVBLK_OP_FLUSH,
	};
	uint32_t n = 1 + (uint32_t)rand() % RUN;

	begin(task, operations[rand() % 8], (uint32_t)rand() % (BLOCKS - RUN),
	      n);
}

static void turn(void)
{
	static time_t answered_at;
	static uint64_t seen = UINT64_MAX;

	if (done != seen || !answered_at)
		answered_at = time(NULL);
	seen = done;
	if (time(NULL) - answered_at > PATIENCE_S) {
		fprintf(stderr, "stress: no answer for a long time\n");
		exit(1);
	}
	if (front.back >= 0)
		replay();
	blk_front_push(&front);
	blk_front_turn(&front, -1, 100);
}

static void keep_busy(time_t until)
{
	unsigned int i;

	while (time(NULL) < until) {
		for (i = 0; i < DEPTH && front.back >= 0; i++)
			if (!tasks[i].busy)
				begin_any(&tasks[i]);
		turn();
	}
	while (in_flight)
		turn();
}

static void check_all(void)
{
	uint32_t block;

	for (block = 0; block < BLOCKS; block += RUN) {
		while (in_flight || front.back < 0)
			turn();
		begin(&tasks[0], IVBLK_OP_READ, block, RUN);
	}
	while (in_flight)
		turn();
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: stress ADDRESS SECONDS SEED\n");
		return 2;
	}
	srand((unsigned int)strtoul(argv[3], NULL, 0));
	front.answered = answered;
	if (blk_front_open(&front, argv[1], NULL))
		return 1;
	keep_busy(time(NULL) + strtol(argv[2], NULL, 0));
	check_all();
	printf("%" PRIu64 " %" PRIu64 " %u\n", done, replayed, front.sessions);
	blk_front_close(&front);
	return 0;
}
