/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory in the hands of a fuzzer: each load gives fresh bytes of its
 * input, so that reading twice shows, and each access has to lie within.
 */
#ifndef TESTS_FUZZ_HOSTILE_PORT_H
#define TESTS_FUZZ_HOSTILE_PORT_H

#include <assert.h>
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
/* @v was stored to the word at @p */
void hostile_stored(const __le32 *p, __u32 v);

static inline __u32 ivshmem_load32(const __le32 *p)
{
	hostile_check_read(p, sizeof(*p));
	return hostile_word(p);
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	hostile_check_write(p, sizeof(*p));
	*p = v;
	hostile_stored(p, v);
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

static inline void ivshmem_zero(void *to, size_t n)
{
	hostile_check_write(to, n);
	memset(to, 0, n);
}

static inline void ivshmem_prefetch(const void *p)
{
	hostile_check_read(p, 1);
}

static inline __u32 ivshmem_from_le32(__le32 v)
{
	return v;
}

static inline __le32 ivshmem_to_le32(__u32 v)
{
	return v;
}

/* As in port.h, but four bits at a time: it is done for each input */
static inline __u32 ivshmem_crc32(const void *p, size_t n)
{
	static const __u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const __u8 *byte = (const __u8 *)p;
	__u32 crc = ~0U;

	while (n--) {
		crc ^= *byte++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

#endif /* TESTS_FUZZ_HOSTILE_PORT_H */
