/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With the linker's option --wrap=poll, calls of poll() go to __wrap_poll().
 */
#ifndef IVSHMEMD_WRAP_POLL_H
#define IVSHMEMD_WRAP_POLL_H

#include <poll.h>

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

#endif /* IVSHMEMD_WRAP_POLL_H */
