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

extern unsigned int shared_loads;

static inline __u32 ivshmem_load32(const __le32 *p)
{
	__CPROVER_assert(__CPROVER_r_ok(p, sizeof(*p)), "load within the region");
	__CPROVER_assert(__CPROVER_POINTER_OFFSET(p) % 4 == 0, "load aligned");
	shared_loads++;
	return nondet_word();
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
