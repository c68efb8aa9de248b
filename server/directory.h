/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the server says in the region, once that is formatted: who is connected
 * to which slot, and who has gone.  Documentation/wire-format.rst has the lines.
 */
#ifndef IVSHMEMD_DIRECTORY_H
#define IVSHMEMD_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/wire.h>

/* How the end of a client looks from the region */
enum directory_parting {
	PARTING_UNKNOWN,	/* the region says nothing of its slot */
	PARTING_ABSENT,		/* it had left before, or never joined */
	PARTING_PRESENT,	/* it had joined, and did not leave */
};

/* What a look at the superblock has shown */
enum directory_change {
	DIRECTORY_AS_BEFORE,
	DIRECTORY_FORMATTED,	/* for the first time, or anew */
	DIRECTORY_LOST,		/* not formatted any more */
};

/**
 * struct directory_slot - what is said of a slot: private, never read back
 * @taken:      a client is connected
 * @parted:     its end was seen, and is in @parting and @gone_epoch
 * @parting:    how it ended
 * @generation: clients that were connected, modulo 2^32
 * @gone_epoch: epoch of the last one when it went
 */
struct directory_slot {
	bool taken;
	bool parted;
	enum directory_parting parting;
	uint32_t generation;
	uint32_t gone_epoch;
};

/**
 * struct directory - the server's part of a region
 * @fd:       of the memory
 * @size:     of the memory
 * @peers:    slots that the server has; the region may have others
 * @memory:   superblock and directory, mapped
 * @mapped:   bytes of that
 * @writable: the region is formatted, and by a format that can be written
 * @ended:    the server watches no more
 * @change:   what was seen and not taken by directory_take_change() yet
 * @error:    DIRECTORY_LOST: why
 * @region:   the format that was seen last, valid or not any more
 * @slots:    of the server
 */
struct directory {
	int fd;
	uint64_t size;
	unsigned int peers;
	struct ivregion_superblock __ivshmem *memory;
	size_t mapped;
	bool writable;
	bool ended;
	enum directory_change change;
	enum ivregion_error error;
	struct ivregion region;
	struct directory_slot slots[IVREGION_SLOTS_MAX];
};

/**
 * directory_open() - begin to say who is there
 * @fd:    of the memory; stays the caller's
 * @taken: slots in which an earlier server's clients are still, a bit each
 *
 * Does nothing to a region that is not formatted.
 *
 * Return: 0 or a negative errno of mmap(2).
 */
int directory_open(struct directory *directory, int fd, uint64_t size,
		   unsigned int peers, uint64_t taken);

/**
 * directory_end() - watch no more
 *
 * Peers that go on among themselves then have each other's heartbeat only.
 * What is called afterwards changes nothing.
 */
void directory_end(struct directory *directory);

/** directory_close() - release everything; also if it was never opened. */
void directory_close(struct directory *directory);

/** directory_join() - a client is connected to a slot. */
void directory_join(struct directory *directory, unsigned int slot);

/**
 * directory_part() - the client in a slot has ended
 *
 * Its epoch is read by the first call only.  Nothing is written yet.
 *
 * Return: how it ended.
 */
enum directory_parting directory_part(struct directory *directory,
				      unsigned int slot);

/**
 * directory_leave() - a slot is vacant
 * Return: whether the region says so, and other peers should look.
 */
bool directory_leave(struct directory *directory, unsigned int slot);

/**
 * directory_check() - put right what is not as it was said
 *
 * To be called now and then: a client may have formatted the region, or have
 * overwritten the lines, or the superblock when something was to be said.
 *
 * Return: whether something was put right, and other peers should look.
 */
bool directory_check(struct directory *directory);

/** directory_take_change() - what has become of the region since the last call. */
enum directory_change directory_take_change(struct directory *directory);

/**
 * directory_read() - copy the superblock
 *
 * Does not allocate memory for a region that nobody has written to, and so
 * leaves to the peers on which node it will be.
 *
 * Return: false if there is none, or the memory is shorter than a page.
 */
bool directory_read(int fd, struct ivregion_superblock *superblock);

#endif /* IVSHMEMD_DIRECTORY_H */
