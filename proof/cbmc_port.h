/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory as CBMC sees it: each load gives any value at all, each access
 * has to lie within its object.  What is stored is not kept, since nothing
 * that is read depends on it.
 */
#ifndef PROOF_CBMC_PORT_H
#define PROOF_CBMC_PORT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

extern struct watched watched[3];

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
	return value;
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	(void)v;
	__CPROVER_assert(__CPROVER_w_ok(p, sizeof(*p)), "store within the region");
	__CPROVER_assert(__CPROVER_POINTER_OFFSET(p) % 4 == 0, "store aligned");
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

#endif /* PROOF_CBMC_PORT_H */
