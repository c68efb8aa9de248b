// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shipped ring between two threads in the orders that Relacy tries: records
 * arrive whole and in order, and neither side sleeps through what it waits for.
 */
#include "relacy_port.hpp"
#include <ivshmem/ring.h>

#include <stdio.h>

struct shared shared_memory;
struct variables *shared_variables;

static struct ivring_tx *const tx = (struct ivring_tx *)shared_memory.words;
static struct ivring_rx *const rx = (struct ivring_rx *)(shared_memory.words + 16);

/* What both tests have: a ring of @SIZE bytes, and its private halves */
template <unsigned int SIZE>
struct ends {
	/* A ring of one slot has room for a header; the kind tells who is who */
	static constexpr __u32 LENGTH =
		SIZE / 2 > IVRING_HEADER ? sizeof(__u32) : 0;

	struct variables variables;
	struct ivring_producer p;
	struct ivring_consumer c;

	void begin()
	{
		shared_variables = &variables;
		ivring_producer_init(&p, shared_memory.data, SIZE, tx, rx);
		ivring_consumer_init(&c, shared_memory.data, SIZE, rx, tx);
	}

	bool put(__u32 value)
	{
		void *payload;

		if (ivring_reserve(&p, LENGTH, &payload))
			return false;
		if (LENGTH)
			ivshmem_store32((__le32 *)payload, value);
		ivring_commit(&p, LENGTH, value + 1000);
		return true;
	}

	bool get(__u32 value)
	{
		const void *payload;
		__u32 length, kind;

		if (ivring_peek(&c, &payload, &length, &kind))
			return false;
		RL_ASSERT(length == LENGTH && kind == value + 1000);
		if (LENGTH)
			RL_ASSERT(ivshmem_load32((const __le32 *)payload) == value);
		ivring_advance(&c);
		return true;
	}

	void sound()
	{
		RL_ASSERT(p.fault == IVRING_OK && c.fault == IVRING_OK);
	}
};

/* One more record than there are slots: space is used again */
template <unsigned int SLOTS>
struct records : rl::test_suite<records<SLOTS>, 2> {
	ends<SLOTS * IVRING_ALIGN> ring;

	void before()
	{
		ring.begin();
	}

	void thread(unsigned int index)
	{
		for (__u32 i = 0; i < SLOTS + 1; i++) {
			if (index == 0) {
				while (!ring.put(i))
					rl::yield(1, $);
				ivring_publish(&ring.p);
			} else {
				while (!ring.get(i))
					rl::yield(1, $);
				ivring_release(&ring.c);
			}
		}
	}

	void after()
	{
		ring.sound();
	}
};

/* An empty ring: who goes to sleep is kicked, or sees the record itself */
struct data_wakes : rl::test_suite<data_wakes, 2> {
	ends<128> ring;
	bool kicked, slept;

	void before()
	{
		ring.begin();
		/* The first record of all always kicks */
		RL_ASSERT(ring.put(0) && ivring_publish(&ring.p) && ring.get(0));
		kicked = false;
		slept = false;
	}

	void thread(unsigned int index)
	{
		if (index == 0) {
			RL_ASSERT(ring.put(1));
			kicked = ivring_publish(&ring.p);
		} else {
			slept = !ivring_want_data(&ring.c);
			if (!slept)
				RL_ASSERT(ring.get(1));
		}
	}

	void after()
	{
		ring.sound();
		RL_ASSERT(kicked || !slept);
	}
};

/* A full ring, the other way round */
struct space_wakes : rl::test_suite<space_wakes, 2> {
	ends<128> ring;
	bool kicked, slept;

	void before()
	{
		ring.begin();
		/* The first release of all always kicks */
		RL_ASSERT(ring.put(0) && !ring.c.total);
		ivring_publish(&ring.p);
		RL_ASSERT(ring.get(0) && ivring_release(&ring.c));
		RL_ASSERT(ring.put(1) && ring.put(2) && !ring.put(3));
		ivring_publish(&ring.p);
		RL_ASSERT(ring.get(1));
		kicked = false;
		slept = false;
	}

	void thread(unsigned int index)
	{
		if (index == 0) {
			kicked = ivring_release(&ring.c);
		} else {
			slept = !ivring_want_space(&ring.p, 4);
			if (!slept)
				RL_ASSERT(ring.put(3));
		}
	}

	void after()
	{
		ring.sound();
		RL_ASSERT(kicked || !slept);
	}
};

template <typename test>
static bool run(const char *name, rl::test_params params)
{
	bool holds = rl::simulate<test>(params);

	printf("%s: %s, %llu executions\n", name, holds ? "holds" : "FAILS",
	       (unsigned long long)params.stop_iteration);
	fflush(stdout);
	return holds;
}

int main()
{
	rl::test_params all, some;
	bool hold;

	all.search_type = rl::sched_full;
	/* All orders of three records would take days */
	some.search_type = rl::sched_random;
	some.iteration_count = 200000;
	hold = run<data_wakes>("data_wakes, full search", all) &&
	       run<space_wakes>("space_wakes, full search", all) &&
	       run<records<2>>("2 slots, random search", some) &&
	       run<records<1>>("1 slot, full search", all);
	return !hold;
}
