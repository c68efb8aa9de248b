/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening devices, mapping their memory and waiting on them, with messages
 * that tell what to do about a failure, and with Ctrl-C.
 */
#ifndef ATTACH_H
#define ATTACH_H

#include <signal.h>
#include <stdint.h>

#include <libivshmem.h>

/**
 * struct attachment - an open device or link, and the part that is mapped
 * @address: as given, or the default
 * @ivs:     the library's
 * @info:    what it is
 * @memory:  the byte at the offset that was asked for
 * @base:    what is mapped, from a page boundary on
 * @mapped:  bytes mapped
 */
struct attachment {
	char address[512];
	struct ivshmem *ivs;
	struct ivshmem_info info;
	unsigned char *memory;
	void *base;
	size_t mapped;
};

/** open_error() - what an error of ivshmem_open() means, and the remedy */
const char *open_error(const char *address, int error);

/**
 * attach() - open a device
 * @address: NULL for the default
 *
 * From then on catch_memory_loss(): the library looks into the memory, too.
 *
 * Return: 0, or -1 after a message.
 */
int attach(struct attachment *at, const char *address, unsigned int flags);

/**
 * attach_memory() - map a range of the memory, which need not be aligned
 *
 * Return: 0, or -1 after a message, also if the range is not in the memory.
 */
int attach_memory(struct attachment *at, uint64_t offset, uint64_t length,
		  int prot);

/** catch_memory_loss() - say that the device is gone instead of dying (SIGBUS) */
void catch_memory_loss(void);

/** attach_vectors() - be told of the vectors in @vectors only; as attach() */
int attach_vectors(struct attachment *at, const uint64_t vectors[4]);

void detach(struct attachment *at);

/** ring_error() - what an error of ivshmem_ring() means */
const char *ring_error(int error);

/** interrupted - set once SIGINT, SIGTERM or SIGHUP has come */
extern volatile sig_atomic_t interrupted;

/** catch_interrupts() - let these signals set it; a second one ends us */
void catch_interrupts(void);

/**
 * hold_interrupts() - keep back the signals that set it
 * @before: filled in, the mask to wait with, and to go back to
 */
void hold_interrupts(sigset_t *before);

/**
 * wait_rung() - ivshmem_wait() that no signal can slip past
 *
 * May return 0 before the time is over.  -EINTR once interrupted.
 */
int wait_rung(struct attachment *at, struct ivshmem_event *events,
	      unsigned int max, int timeout_ms);

#endif /* ATTACH_H */
