/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BLK_CACHE_H
#define BLK_CACHE_H

#include <stdint.h>

/** cache_of_machine() - the page cache: another one each time the machine is started */
uint64_t cache_of_machine(void);

/**
 * cache_of_peer() - that of a process at the other end of a socket: another one each
 *		     time that is started
 *
 * Of one that is on another machine nothing is known: another one each time.
 */
uint64_t cache_of_peer(int fd);

#endif /* BLK_CACHE_H */
