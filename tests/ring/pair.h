/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Both ends of one ring, its data between pages that nobody may touch.
 */
#ifndef TESTS_RING_PAIR_H
#define TESTS_RING_PAIR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <ivshmem/ring.h>

#define SIZE	4096U
#define GUARD	4096U
/* Bytes of payload with which a record takes exactly @n lines */
#define FILLS(n)	((n) * IVRING_ALIGN - IVRING_HEADER)

struct pair {
	__u8 *mapping;
	__u8 *data;
	struct ivring_tx *tx;
	struct ivring_rx *rx;
	struct ivring_producer p;
	struct ivring_consumer c;
};

/* Both ends begin at the same index, as they would after much traffic */
static inline void begin_at(struct pair *pair, __u32 index)
{
	ivring_producer_init(&pair->p, pair->data, SIZE, pair->tx, pair->rx);
	ivring_consumer_init(&pair->c, pair->data, SIZE, pair->rx, pair->tx);
	pair->p.next = index;
	pair->p.prod = index;
	pair->p.cons = index;
	pair->c.next = index;
	pair->c.cons = index;
	pair->c.prod = index;
	ivshmem_store32(&pair->tx->prod, index);
	ivshmem_store32(&pair->rx->cons, index);
	ivshmem_store32(&pair->tx->space_event, index);
	ivshmem_store32(&pair->rx->data_event, index);
}

static inline int set_up_pair(void **state)
{
	static struct pair pair;
	static struct ivring_tx tx;
	static struct ivring_rx rx;

	pair.mapping = (__u8 *)mmap(NULL, SIZE + 2 * GUARD, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pair.mapping, MAP_FAILED);
	pair.data = pair.mapping + GUARD;
	assert_int_equal(mprotect(pair.data, SIZE, PROT_READ | PROT_WRITE), 0);
	pair.tx = &tx;
	pair.rx = &rx;
	begin_at(&pair, 0);
	*state = &pair;
	return 0;
}

static inline int tear_down_pair(void **state)
{
	struct pair *pair = *state;

	return munmap(pair->mapping, SIZE + 2 * GUARD);
}

/* Commits a record of @length bytes, all of them @fill; not yet published */
static inline void put(struct pair *pair, __u32 length, __u8 fill)
{
	void *payload = NULL;

	assert_int_equal(ivring_reserve(&pair->p, length, &payload), 0);
	memset(payload, fill, length);
	ivring_commit(&pair->p, length, fill);
}

/* Peeks a record and holds it to what put() made; goes on to the next one */
static inline void get(struct pair *pair, __u32 length, __u8 fill)
{
	const void *payload = NULL;
	__u32 found = 0, kind = 0;

	assert_int_equal(ivring_peek(&pair->c, &payload, &found, &kind), 0);
	assert_int_equal(found, length);
	assert_int_equal(kind, fill);
	for (__u32 i = 0; i < length; i++)
		assert_int_equal(((const __u8 *)payload)[i], fill);
	ivring_advance(&pair->c);
}

static inline int peek(struct pair *pair)
{
	const void *payload = NULL;
	__u32 length, kind;

	return ivring_peek(&pair->c, &payload, &length, &kind);
}

static inline int reserve(struct pair *pair, __u32 length)
{
	void *payload = NULL;

	return ivring_reserve(&pair->p, length, &payload);
}

#endif /* TESTS_RING_PAIR_H */
