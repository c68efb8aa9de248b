/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory in the hands of a fuzzer: each load gives fresh bytes of its
 * input, so that reading twice shows, and each access has to lie within.
 */
#ifndef TESTS_FUZZ_HOSTILE_PORT_H
#define TESTS_FUZZ_HOSTILE_PORT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <linux/types.h>

#define __ivshmem

/* Aborts unless an access of @n bytes to @p is allowed */
void hostile_check_read(const void *p, size_t n);
void hostile_check_write(const void *p, size_t n);
/* What the other machine lets us see in place of the word at @p */
__u32 hostile_word(const __le32 *p);
void hostile_bytes(void *to, const void *from, size_t n);

static inline __u32 ivshmem_load32(const __le32 *p)
{
	hostile_check_read(p, sizeof(*p));
	return hostile_word(p);
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	hostile_check_write(p, sizeof(*p));
	*p = v;
}

static inline __u32 ivshmem_load_acquire32(const __le32 *p)
{
	return ivshmem_load32(p);
}

static inline void ivshmem_store_release32(__le32 *p, __u32 v)
{
	ivshmem_store32(p, v);
}

static inline void ivshmem_mb(void)
{
}

static inline void ivshmem_copy_in(void *to, const void *from, size_t n)
{
	hostile_check_read(from, n);
	hostile_bytes(to, from, n);
}

static inline void ivshmem_copy_out(void *to, const void *from, size_t n)
{
	hostile_check_write(to, n);
	memcpy(to, from, n);
}

static inline void ivshmem_prefetch(const void *p)
{
	hostile_check_read(p, 1);
}

#endif /* TESTS_FUZZ_HOSTILE_PORT_H */
