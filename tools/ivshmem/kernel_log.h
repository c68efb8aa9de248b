/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's log.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

/**
 * read_kernel_log() - all that the kernel itself has logged, and no program
 * @take: called for each record, as /dev/kmsg has it
 *
 * Return: 0, or -errno if the log cannot be read.
 */
int read_kernel_log(void (*take)(void *context, const char *record),
		    void *context);

#endif /* KERNEL_LOG_H */
