/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory as Relacy sees it, which tries the orders that C11 allows: a load
 * sees the last value of a word or the one before in a full search, and also the
 * one before that in a random one.
 * Indices and events are atomic; records are not, so that Relacy reports each
 * access to one that the indices do not keep apart from another.
 */
#ifndef PROOF_RELACY_PORT_HPP
#define PROOF_RELACY_PORT_HPP

#include <relacy/relacy.hpp>

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#define __ivshmem

/*
 * Where the words lie; what is in them is in the test's variables.  Lines of 16
 * words, of which the first two are used; the first thread writes every other
 * one of them, and the second thread the rest.
 */
#define LINES	6

struct shared {
	__u32 words[LINES * 16];
	__u8 data[256];
};

struct variables {
	rl::atomic<unsigned int> words[LINES * 2];
	/* What the only writer of each word has stored last */
	unsigned int stored[LINES * 2];
	/* The length, the kind and one word of payload of each slot */
	rl::var<unsigned int> records[4][3];
};

extern struct shared shared_memory;
extern struct variables *shared_variables;

static inline bool is_index(const __le32 *p)
{
	return (const __u8 *)p < shared_memory.data;
}

static inline size_t index_of(const __le32 *p)
{
	size_t place = p - shared_memory.words;

	return place / 16 * 2 + place % 16;
}

static inline rl::atomic<unsigned int> &index_at(const __le32 *p)
{
	return shared_variables->words[index_of(p)];
}

/*
 * A word that nobody else writes reads as it was stored last, in any order.
 * Relacy need not try it, which keeps the number of executions small.
 */
static inline bool is_own(const __le32 *p)
{
	return rl::thread_index() == index_of(p) / 2 % 2;
}

static inline rl::var<unsigned int> &record_at(const __le32 *p)
{
	size_t place = (const __u8 *)p - shared_memory.data;

	size_t word = place % 64 / 4;

	return shared_variables->records[place / 64][word < 2 ? word : 2];
}

static inline __u32 ivshmem_load32(const __le32 *p)
{
	if (is_index(p) && is_own(p))
		return shared_variables->stored[index_of(p)];
	if (is_index(p))
		return index_at(p).load(rl::mo_relaxed, $);
	return record_at(p)($);
}

static inline void ivshmem_store32(__le32 *p, __u32 v)
{
	if (is_index(p)) {
		shared_variables->stored[index_of(p)] = v;
		index_at(p).store(v, rl::mo_relaxed, $);
	} else {
		record_at(p)($) = v;
	}
}

static inline __u32 ivshmem_load_acquire32(const __le32 *p)
{
	return index_at(p).load(rl::mo_acquire, $);
}

static inline void ivshmem_store_release32(__le32 *p, __u32 v)
{
	shared_variables->stored[index_of(p)] = v;
	index_at(p).store(v, rl::mo_release, $);
}

static inline void ivshmem_copy_in(void *to, const void *from, size_t n)
{
	RL_ASSERT(!"copied from shared memory");
}

static inline void ivshmem_copy_out(void *to, const void *from, size_t n)
{
	RL_ASSERT(!"copied to shared memory");
}

static inline void ivshmem_zero(void *to, size_t n)
{
	RL_ASSERT(!"cleared in shared memory");
}

static inline __u32 ivshmem_from_le32(__le32 v)
{
	return v;
}

static inline __le32 ivshmem_to_le32(__u32 v)
{
	return v;
}

static inline __u32 ivshmem_crc32(const void *p, size_t n)
{
	RL_ASSERT(!"checksum");
	return 0;
}

static inline void ivshmem_mb(void)
{
	rl::atomic_thread_fence(rl::mo_seq_cst, $);
}

#endif /* PROOF_RELACY_PORT_HPP */
