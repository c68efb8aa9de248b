// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads what the kernel has logged.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "kernel_log.h"

/* Records of the kernel's log, whose buffer has a few 10,000 at most */
#define RECORDS_MAX	100000

int read_kernel_log(void (*take)(void *context, const char *record),
		    void *context)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	unsigned int priority;
	char record[8192];
	int records = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (records++ < RECORDS_MAX) {
		n = read(fd, record, sizeof(record) - 1);
		/* What was overwritten meanwhile is passed over. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		/* Of the kernel itself: programs can write there, too. */
		if (sscanf(record, "%u,", &priority) == 1 && priority < 8)
			take(context, record);
	}
	close(fd);
	return 0;
}
