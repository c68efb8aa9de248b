/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory as CBMC sees it: each load gives any value at all, each access
 * has to lie within its object.  What is stored is not kept, since nothing
 * that is read depends on it.
 */
#ifndef PROOF_CBMC_PORT_H
#define PROOF_CBMC_PORT_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <linux/types.h>

#define __ivshmem

__u32 nondet_word(void);

/* All loads of words so far */
extern unsigned int shared_loads;

/* A word whose loads are noted: how many, what the last gave, and when */
struct watched {
	const void *word;
	unsigned int loads;
	unsigned int when;
	__u32 value;
};

extern struct watched watched[4];

/* What a proof says to a store: of @n bytes, @v if they are one word */
void see_store(const void *p, size_t n, __u32 v);

static inline void note_load(struct watched *w, const void *p, __u32 value)
{
	if (w->word != p)
		return;
	w->loads++;
	w->when = shared_loads;
	w->value = value;
}

static inline __u32 ivshmem_load32(const __le32 *p)
{
	__u32 value = nondet_word();

	__CPROVER_assert(__CPROVER_r_ok(p, sizeof(*p)), "load within the region");
	__CPROVER_assert(__CPROVER_POINTER_OFFSET(p) % 4 == 0, "load aligned");
	shared_loads++;
	note_load(&watched[0], p, value);
	note_load(&watched[1], p, value);
	note_load(&watched[2], p, value);
	note_load(&watched[3], p, value);
	return value;
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	__CPROVER_assert(__CPROVER_w_ok(p, sizeof(*p)), "store within the region");
	__CPROVER_assert(__CPROVER_POINTER_OFFSET(p) % 4 == 0, "store aligned");
	see_store(p, sizeof(*p), v);
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
	__CPROVER_assert(__CPROVER_r_ok(from, n), "copy from the region");
	__CPROVER_assert(__CPROVER_w_ok(to, n), "copy to private memory");
	__CPROVER_havoc_slice(to, n);
}

static inline void ivshmem_copy_out(void *to, const void *from, size_t n)
{
	__CPROVER_assert(__CPROVER_r_ok(from, n), "copy from private memory");
	__CPROVER_assert(__CPROVER_w_ok(to, n), "copy to the region");
	see_store(to, n, 0);
}

static inline void ivshmem_zero(void *to, size_t n)
{
	__CPROVER_assert(__CPROVER_w_ok(to, n), "zeros within the region");
	see_store(to, n, 0);
}

static inline __u32 ivshmem_from_le32(__le32 v)
{
	return v;
}

static inline __le32 ivshmem_to_le32(__u32 v)
{
	return v;
}

/* Whatever the superblock says may be its checksum */
static inline __u32 ivshmem_crc32(const void *p, size_t n)
{
	__CPROVER_assert(__CPROVER_r_ok(p, n), "checksum of private memory");
	return nondet_word();
}

/*
 * Any of @from to @to.  Bits that are never set are constants, which keeps
 * multiplications small.
 */
static inline __u32 any_of(__u32 from, __u32 to)
{
	__u32 value = nondet_word(), bits = to;

	bits |= bits >> 1;
	bits |= bits >> 2;
	bits |= bits >> 4;
	bits |= bits >> 8;
	bits |= bits >> 16;
	value &= bits;
	__CPROVER_assume(value >= from && value <= to);
	return value;
}

static inline void *memory(size_t size)
{
	void *p = malloc(size);

	__CPROVER_assume(p);
	return p;
}

#endif /* PROOF_CBMC_PORT_H */
