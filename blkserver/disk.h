/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is exported: a file, a block device, or an NBD export of somebody else.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/blk.h>

#include "config.h"
#include "loop.h"

struct disk;
struct front;

/* Bytes of the longest discard, or write of zeroes: 1 GiB */
#define DISK_MAX_EXTENT	(1U << 30)

/**
 * struct request - what a front end wants done, from the time it was taken out of
 *		    the ring until it is answered
 * @event:   for the disk
 * @front:   whose it is
 * @next:    in a list of unused ones
 * @data:    what is read or written, in the section's buffers
 * @piece:   of memory that the kernel keeps and @data is in, or -1
 * @io:      the request, checked
 * @session: of the front end
 * @queue:   that it came from, and is answered in
 * @done:    bytes that were read or written already
 * @step:    for the disk
 * @tries:   likewise
 */
struct request {
	struct event event;
	struct front *front;
	struct request *next;
	void *data;
	int piece;
	struct ivblk_io io;
	uint32_t session;
	uint32_t queue;
	uint32_t done;
	uint32_t step;
	uint32_t tries;
};

/**
 * struct disk_ops - one kind of disk
 * @open:   open, lock and check it, with @config, @loop and @ended set.  Returns 0,
 *          or -1 after a message
 * @settle: the memory is known now, bytes of which @buffer is an example; returns
 *          as @open
 * @submit: begin with a request; @ended follows, and may come before it returns
 * @look:   see whether the size has changed, set @size
 * @close:  nothing is in flight
 */
struct disk_ops {
	int (*open)(struct disk *disk);
	int (*settle)(struct disk *disk, void *buffer);
	void (*submit)(struct disk *disk, struct request *request);
	int (*look)(struct disk *disk);
	void (*close)(struct disk *disk);
};

extern const struct disk_ops file_ops;

/**
 * struct disk - an open disk
 * @ops:       its kind
 * @config:    as configured
 * @loop:      for what it waits for
 * @ended:     called with the status of each request that has ended
 * @features:  IVBLK_FLUSH and others
 * @block_size: bytes
 * @physical_block_size: bytes
 * @size:      bytes that are there now
 * @cache:     another one when what was not flushed may be lost
 * @fd:        the file
 * @direct:    the page cache is passed over
 * @is_device: it is a block device
 * @in_memory: it is in memory
 * @no_range:  the file system cannot zero a range in one go
 * @no_punch:  the device cannot give up space and read as zeroes
 * @shrunk:    that was said already
 * @unsure:    what was written to the page cache may be lost
 * @failed:    it is gone for good: nothing more will end
 * @private:   of other kinds
 */
struct disk {
	const struct disk_ops *ops;
	const struct export_config *config;
	struct loop *loop;
	void (*ended)(struct request *request, uint32_t status);
	uint32_t features;
	uint32_t block_size;
	uint32_t physical_block_size;
	uint64_t size;
	uint64_t cache;
	int fd;
	bool direct;
	bool is_device;
	bool in_memory;
	bool no_range;
	bool no_punch;
	bool shrunk;
	bool unsure;
	bool failed;
	void *private;
};

/** disk_status() - what an error of the disk is to a front end */
uint32_t disk_status(int error);

/**
 * disk_lock() - keep the file from others, as long as it is open
 * @shared: from those that write, only
 *
 * It belongs to the open file: what the kernel still does for a process that was
 * killed holds it, too.  So it waits for a while.
 *
 * Return: 0, or -1 after a message, or because the process is to end.
 */
int disk_lock(int fd, const char *path, bool shared);

#endif /* DISK_H */
