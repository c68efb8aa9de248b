/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ivshmem devices of the virtual machines that run on this host, read
 * from the command lines of their QEMU processes.
 */
#ifndef QEMU_PROCESS_H
#define QEMU_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum sharing {
	SHARING_ON,
	SHARING_OFF,
	SHARING_UNKNOWN,
};

/**
 * struct qemu_device - an ivshmem device of a running machine
 * @pid:      the QEMU process
 * @machine:  name of the machine (-name), or of the program
 * @doorbell: ivshmem-doorbell: the memory comes from a server
 * @memdev:   id of the memory backend of an ivshmem-plain
 * @backend:  its type, "memory-backend-ram"; "" if it is not on the command
 *            line
 * @path:     its mem-path, or ""
 * @file:     what is there; of no mode if that cannot be told
 * @sharing:  whether what is written reaches anybody else
 * @seen:     /proc/PID/maps confirms that @path is mapped privately
 * @lost:     likewise, that the file is not @path any more: it was removed
 * @size:     of the backend, in bytes, or 0
 * @socket:   path of the server of an ivshmem-doorbell, or ""
 * @repeats:  its chardev has reconnect, or reconnect-ms
 * @master:   its memory goes with the machine (master=on)
 * @slow:     doorbells go through QEMU (ioeventfd=off)
 * @vectors:  of an ivshmem-doorbell
 */
struct qemu_device {
	pid_t pid;
	char machine[64];
	bool doorbell;
	char memdev[64];
	char backend[64];
	char path[256];
	struct stat file;
	enum sharing sharing;
	bool seen;
	bool lost;
	uint64_t size;
	char socket[256];
	bool repeats;
	bool master;
	bool slow;
	uint64_t vectors;
};

/**
 * qemu_find() - look at all processes
 * @list: to be freed
 *
 * Return: the number of devices, or -ENOMEM.
 */
ssize_t qemu_find(struct qemu_device **list);

/** qemu_name() - machine and process, for people */
const char *qemu_name(const struct qemu_device *device, char text[128]);

/**
 * process_open() - open what a path is to a process, in its mount namespace
 *
 * The text may be anybody's: only a place is opened (O_PATH), and no symbolic
 * link leads out of what that process sees.
 *
 * Return: a file descriptor, or -1 with errno, EACCES if we may not look there.
 */
int process_open(pid_t pid, const char *path);

/** open_memory_file() - likewise, what is at the path of its memory backend */
int open_memory_file(const struct qemu_device *device);

#endif /* QEMU_PROCESS_H */
