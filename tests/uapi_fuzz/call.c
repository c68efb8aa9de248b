// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kinds of calls.  Weights: what opens, maps and rings comes often, for others to have
 * something to work on; what waits for seconds comes seldom.
 */
#include "fuzz.h"

const struct kind kinds[] = {
	{ "open", 200, call_open },
	{ "close", 30, call_close },
	{ "dup", 30, call_dup },
	{ "fcntl", 30, call_fcntl },
	{ "read", 80, call_read },
	{ "write", 10, call_write },
	{ "lseek", 5, call_seek },
	{ "poll", 30, call_poll },
	{ "epoll", 30, call_epoll },
	{ "splice", 10, call_splice },
	{ "eventfd", 30, call_eventfd },
	{ "send", 20, call_send },
	{ "receive", 40, call_receive },
	{ "io_uring", 30, call_uring },
	{ "INFO", 30, call_info },
	{ "SUBSCRIBE", 40, call_subscribe },
	{ "EVENTFD", 80, call_bind },
	{ "RING", 80, call_ring },
	{ "REGION", 40, call_region },
	{ "SECTION", 40, call_section },
	{ "PEER", 40, call_peer },
	{ "FORMAT", 10, call_format },
	{ "DMABUF", 100, call_export },
	{ "kvmfr", 15, call_kvmfr },
	{ "buffer", 20, call_buffer },
	{ "unknown", 10, call_unknown },
	{ "mmap", 200, call_mmap },
	{ "munmap", 40, call_munmap },
	{ "mremap", 40, call_mremap },
	{ "mprotect", 40, call_mprotect },
	{ "madvise", 30, call_madvise },
	{ "msync", 20, call_sync },
	{ "touch", 120, call_touch },
	{ "debug", 30, call_debug },
	{ "copy", 10, call_copy },
	{ "futex", 10, call_futex },
	{ "fork", 10, call_fork },
	{ "attribute", 40, call_attribute },
};

const unsigned int nr_kinds = ARRAY_SIZE(kinds);

_Static_assert(ARRAY_SIZE(kinds) <= KINDS_MAX, "there are counters for all");
