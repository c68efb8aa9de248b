/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device under test, as the test programs see it: opening, ringing itself,
 * waiting with a bound, and assertions that name the errno that was expected.
 */
#ifndef TESTS_UAPI_DEVICE_H
#define TESTS_UAPI_DEVICE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/ivshmem.h>

/* Longest wait for anything that must happen. */
#define WAIT_MS 10000

#define RECORD_SIZE sizeof(struct ivshmem_event_record)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Path of the device node, and what IVSHMEM_IOC_INFO said at the start. */
extern const char *device_path;
extern struct ivshmem_ioc_info device_facts;

/*
 * Takes the device node from the command line, queries it, and keeps both for
 * the tests.  Leaves the program with a message when that does not work.
 */
void device_setup(int argc, char **argv);

/* open(2) of the device under test; fails the test when that fails. */
int device_open(int flags);

/* Maps @length bytes at @offset, shared; fails the test when that fails. */
void *device_map(int fd, size_t length, off_t offset, int prot);

/* The signal that reading (or writing) at @address raises, or 0. */
int touch(volatile char *address, bool write);

/* IVSHMEM_IOC_INFO, RING, SUBSCRIBE and EVENTFD: 0, or -1 and errno. */
int device_info(int fd, struct ivshmem_ioc_info *info);
int device_ring(int fd, uint32_t peer, uint32_t vector);
int device_subscribe(int fd, const uint64_t vectors[IVSHMEM_MAX_VECTORS / 64]);
int device_bind(int fd, uint32_t vector, int eventfd);

/* Subscribe to one vector only; fails the test when that fails. */
void subscribe_to(int fd, uint32_t vector);

/* Leaves the test out when the device has fewer vectors than it needs. */
void need_vectors(uint32_t vectors);

/* Waits until poll(2) reports any of @events; returns what it reported. */
short wait_for(int fd, short events);

/*
 * Reads all that is pending and adds it to @counts; returns the records read.
 * Never blocks.
 */
unsigned int take_pending(int fd, uint64_t counts[IVSHMEM_MAX_VECTORS]);

/* Reads until @vector has counted @least interrupts; returns how many. */
uint64_t take(int fd, uint32_t vector, uint64_t least);

/*
 * Rings the own device on @vector and waits until @observer, a file subscribed
 * to it, has been told: the interrupt has arrived when this returns.
 */
void ring_self(int observer, uint32_t vector);

/*
 * Rings @vector of the own device twice in the way of ring_self().  An
 * interrupt handler of a vector runs once at a time: when the second interrupt
 * has arrived, the handler of the first one has done all that it ever does, so
 * that what has not happened by then will not.
 */
void ring_self_through(int observer, uint32_t vector);

/* Makes sure that no interrupt of an earlier test is still on its way. */
int settle(void **state);

/* A read(2) of one record in a thread of its own. */
struct blocked_read {
	pthread_t thread;
	int fd;
	pid_t tid;
	ssize_t result;
	int error;
	struct ivshmem_event_record record;
};

/* Starts the read, and returns once the thread sleeps in read(2). */
void blocked_read_start(struct blocked_read *r, int fd);

/* Waits for the read to return, 10 seconds at most. */
void blocked_read_join(struct blocked_read *r);

/* Waits until a thread, ours or a child's, sleeps in system call @number. */
void wait_until_blocked(pid_t tid, long number);

/* The current thread's id. */
pid_t thread_id(void);

/* @call returned -1 and set errno to @expected. */
#define assert_fails(call, expected)					\
	do {								\
		long result_ = (long)(call);				\
									\
		assert_failed(result_, errno, (expected), #call,	\
			      __FILE__, __LINE__);			\
	} while (0)

void assert_failed(long result, int error, int expected, const char *call,
		   const char *file, int line);

#endif /* TESTS_UAPI_DEVICE_H */
