/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the shared format needs of its surroundings: little-endian words that
 * another machine may change at any time, and barriers that hold between
 * machines.  For the Linux kernel, for C11 and C++11, and for the checkers,
 * which define IVSHMEM_PORT and bring their own.
 *
 * Nothing but the functions of this file touches shared memory.  A pointer into
 * it is marked __ivshmem.
 */
#ifndef IVSHMEM_PORT_H
#define IVSHMEM_PORT_H

#if defined(IVSHMEM_PORT)
#include IVSHMEM_PORT

#elif defined(__KERNEL__)

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/byteorder.h>

/*
 * sparse keeps pointers into the region apart from all others: they cannot be
 * dereferenced, only given to the accessors below.
 */
#ifdef __CHECKER__
#define __ivshmem	__attribute__((noderef, address_space(__ivshmem)))
#else
#define __ivshmem
#endif

/*
 * virt_*() rather than smp_*(): a kernel built for one processor shares the
 * memory with machines that have several.
 */
static inline __u32 ivshmem_load32(const __le32 __ivshmem *p)
{
	return le32_to_cpu(READ_ONCE(*(const __force __le32 *)p));
}

static inline void ivshmem_store32(__le32 __ivshmem *p, __u32 v)
{
	WRITE_ONCE(*(__force __le32 *)p, cpu_to_le32(v));
}

static inline __u32 ivshmem_load_acquire32(const __le32 __ivshmem *p)
{
	return le32_to_cpu(virt_load_acquire((const __force __le32 *)p));
}

static inline void ivshmem_store_release32(__le32 __ivshmem *p, __u32 v)
{
	virt_store_release((__force __le32 *)p, cpu_to_le32(v));
}

static inline void ivshmem_mb(void)
{
	virt_mb();
}

/* The copy is private afterwards: the compiler may not look again */
static inline void ivshmem_copy_in(void *to, const void __ivshmem *from,
				   size_t n)
{
	memcpy(to, (const __force void *)from, n);
	barrier_data(to);
}

static inline void ivshmem_copy_out(void __ivshmem *to, const void *from,
				    size_t n)
{
	memcpy((__force void *)to, from, n);
}

static inline void ivshmem_zero(void __ivshmem *to, size_t n)
{
	memset((__force void *)to, 0, n);
}

static inline void ivshmem_prefetch(const void __ivshmem *p)
{
	__builtin_prefetch((const __force void *)p);
}

/* The three below are for private memory */
static inline __u32 ivshmem_from_le32(__le32 v)
{
	return le32_to_cpu(v);
}

static inline __le32 ivshmem_to_le32(__u32 v)
{
	return cpu_to_le32(v);
}

/* CRC-32 as Ethernet and gzip have it */
static inline __u32 ivshmem_crc32(const void *p, size_t n)
{
	return ~crc32_le(~0U, p, n);
}

#else /* C11, C++11 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#if defined(__linux__)
#include <linux/types.h>
#else
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef uint16_t __le16;
typedef uint32_t __le32;
typedef uint64_t __le64;
#endif

#define __ivshmem

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define IVSHMEM_SWAP32(v)	(v)
#else
#define IVSHMEM_SWAP32(v)	__builtin_bswap32(v)
#endif

static inline __u32 ivshmem_load32(const __le32 *p)
{
	return IVSHMEM_SWAP32(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	__atomic_store_n(p, IVSHMEM_SWAP32(v), __ATOMIC_RELAXED);
}

static inline __u32 ivshmem_load_acquire32(const __le32 *p)
{
	return IVSHMEM_SWAP32(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline void ivshmem_store_release32(__le32 *p, __u32 v)
{
	__atomic_store_n(p, IVSHMEM_SWAP32(v), __ATOMIC_RELEASE);
}

static inline void ivshmem_mb(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void ivshmem_copy_in(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	/* The copy is private afterwards: the compiler may not look again */
	__asm__ volatile("" : : "r"(to) : "memory");
}

static inline void ivshmem_copy_out(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}

static inline void ivshmem_zero(void *to, size_t n)
{
	memset(to, 0, n);
}

static inline void ivshmem_prefetch(const void *p)
{
	__builtin_prefetch(p);
}

/* The three below are for private memory */
static inline __u32 ivshmem_from_le32(__le32 v)
{
	return IVSHMEM_SWAP32(v);
}

static inline __le32 ivshmem_to_le32(__u32 v)
{
	return IVSHMEM_SWAP32(v);
}

/* CRC-32 as Ethernet and gzip have it; a bit at a time, for it is used once */
static inline __u32 ivshmem_crc32(const void *p, size_t n)
{
	const __u8 *byte = (const __u8 *)p;
	__u32 crc = ~0U;
	size_t i;

	for (i = 0; i < n * 8; i++) {
		if (i % 8 == 0)
			crc ^= byte[i / 8];
		crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}

	return ~crc;
}

#endif

#endif /* IVSHMEM_PORT_H */
