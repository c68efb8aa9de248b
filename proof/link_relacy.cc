// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shipped link between two threads in the orders that Relacy tries:
 * what belongs to a session comes with its epoch, and what an acknowledgement is read
 * before is not older than it.
 */
#include "relacy_port.hpp"
#include <ivshmem/link.h>

#include <stdio.h>

struct shared shared_memory;
struct variables *shared_variables;

#define LINE(n)	(&shared_memory.words[(n) * 16])

/* Which line is what: each thread writes those with its number, modulo 2 */
enum { TX_0, RX_1, RX_0, TX_1, LINK_0, LINK_1 };

/* Both sides of a link with a ring each way */
struct sides {
	struct variables variables;
	struct ivlink_queue queues[2];
	struct ivlink link[2];

	void setup(unsigned int me, int own, int peer, int tx, int tx_peer,
		   int rx, int rx_peer)
	{
		struct ivlink_queue *queue = &queues[me];

		link[me] = ivlink();
		link[me].own = (struct ivlink_line *)LINE(own);
		link[me].peer = (const struct ivlink_line *)LINE(peer);
		link[me].queues = queue;
		link[me].nr_queues = 1;
		link[me].state = IVLINK_ANNOUNCE;
		queue->tx = ivring_producer();
		queue->tx.data = shared_memory.data;
		queue->tx.size = 128;
		queue->tx.own = (struct ivring_tx *)LINE(tx);
		queue->tx.peer = (const struct ivring_rx *)LINE(tx_peer);
		queue->rx = ivring_consumer();
		queue->rx.data = shared_memory.data + 128;
		queue->rx.size = 128;
		queue->rx.own = (struct ivring_rx *)LINE(rx);
		queue->rx.peer = (const struct ivring_tx *)LINE(rx_peer);
	}

	/* No session yet, and indices of an earlier one */
	void begin()
	{
		int line;

		shared_variables = &variables;
		for (line = TX_0; line <= TX_1; line++) {
			ivshmem_store32(LINE(line), 1024);
			ivshmem_store32(LINE(line) + 1, 0);
		}
		for (line = LINK_0; line <= LINK_1; line++) {
			ivshmem_store32(LINE(line), 0);
			ivshmem_store32(LINE(line) + 1, 0);
		}
		setup(0, LINK_0, LINK_1, TX_0, RX_1, RX_0, TX_1);
		setup(1, LINK_1, LINK_0, TX_1, RX_0, RX_1, TX_0);
	}

	/* One side after the other, as nobody sees it */
	void come_up()
	{
		unsigned int i;

		for (i = 0; i < 6; i++)
			ivlink_step(&link[i % 2], 0, 10 + i);
		RL_ASSERT(link[0].state == IVLINK_UP &&
			  link[1].state == IVLINK_UP);
	}
};

/*
 * One side begins anew while the other looks for a record.  The index is near
 * the end of 32 bits, so that one that went back to 0 looks like a record.
 */
struct begins_anew : rl::test_suite<begins_anew, 2> {
	sides both;

	void before()
	{
		struct ivlink_queue *queues = both.queues;

		both.begin();
		both.come_up();
		queues[0].tx.next = queues[0].tx.prod = -IVRING_ALIGN;
		queues[0].tx.cons = -IVRING_ALIGN;
		queues[1].rx.next = queues[1].rx.prod = -IVRING_ALIGN;
		queues[1].rx.cons = -IVRING_ALIGN;
		ivshmem_store32(LINE(TX_0), -IVRING_ALIGN);
		ivshmem_store32(LINE(RX_1), -IVRING_ALIGN);
	}

	void thread(unsigned int index)
	{
		struct ivring_consumer *rx = &both.queues[1].rx;
		const void *payload;
		__u32 length, kind;
		int ret;

		if (index == 0) {
			ivlink_announce(&both.link[0], 99);
			return;
		}
		ret = ivring_peek(rx, &payload, &length, &kind);
		RL_ASSERT(ret == -EAGAIN || ret == -EPIPE);
	}
};

/*
 * One side has acknowledged an epoch that the other takes back meanwhile: it must
 * not come up with that one.  There are no rings, so that few steps lie between
 * what a random search has to take in a row.
 */
struct acknowledged : rl::test_suite<acknowledged, 2> {
	sides both;
	__u32 epoch;

	void before()
	{
		both.begin();
		both.link[0].nr_queues = 0;
		both.link[1].nr_queues = 0;
		ivlink_announce(&both.link[0], 5);
		ivlink_announce(&both.link[1], 6);
		ivlink_look(&both.link[1], 0);
		RL_ASSERT(both.link[1].ack == 5);
	}

	void thread(unsigned int index)
	{
		if (index == 0) {
			ivlink_announce(&both.link[0], 7);
			ivlink_look(&both.link[0], 0);
			return;
		}
		ivlink_look(&both.link[1], 0);
		if (both.link[1].state == IVLINK_UP)
			RL_ASSERT(both.link[1].ack == 7);
	}
};

/* One side announces: who sees that sees rings that are set up */
struct announces : rl::test_suite<announces, 2> {
	sides both;

	void before()
	{
		both.begin();
		ivlink_announce(&both.link[1], 6);
	}

	void thread(unsigned int index)
	{
		struct ivring_consumer *rx = &both.queues[1].rx;
		const void *payload;
		__u32 length, kind;

		if (index == 0) {
			ivlink_announce(&both.link[0], 5);
			ivlink_wait(&both.link[0], 0);
			return;
		}
		ivlink_wait(&both.link[1], 0);
		if (both.link[1].state != IVLINK_UP)
			return;
		RL_ASSERT(ivring_peek(rx, &payload, &length, &kind) == -EAGAIN);
	}
};

/*
 * One side was up, with a record sent, and begins anew while the other still
 * waits, with an epoch that both of its lives acknowledge: what it said in the
 * first must not bring the other up with what it sent in the first.
 */
struct returns : rl::test_suite<returns, 2> {
	sides both;

	void before()
	{
		both.begin();
		ivlink_announce(&both.link[0], 5);
		ivlink_announce(&both.link[1], 6);
		ivlink_look(&both.link[1], 0);
		ivlink_wait(&both.link[0], 0);
		RL_ASSERT(both.link[0].state == IVLINK_UP &&
			  both.link[1].state == IVLINK_WAIT);
		ivshmem_store32(LINE(TX_0), IVRING_ALIGN);
	}

	void thread(unsigned int index)
	{
		struct ivring_consumer *rx = &both.queues[1].rx;
		__u32 length, kind;
		const void *payload;

		if (index == 0) {
			ivlink_announce(&both.link[0], 7);
			ivlink_look(&both.link[0], 0);
			return;
		}
		ivlink_wait(&both.link[1], 0);
		if (both.link[1].state != IVLINK_UP || both.link[1].ack != 7)
			return;
		RL_ASSERT(ivring_peek(rx, &payload, &length, &kind) != 0);
	}
};

/* Both at once until both are up, and then each looks for records */
struct both_announce : rl::test_suite<both_announce, 2> {
	sides both;

	void before()
	{
		both.begin();
	}

	void thread(unsigned int index)
	{
		struct ivlink *link = &both.link[index];
		const void *payload;
		__u32 length, kind;

		while (link->state != IVLINK_UP) {
			ivlink_step(link, 0, 5 + index);
			rl::yield(1, $);
		}
		RL_ASSERT(ivlink_check(link) == IVRING_OK);
		RL_ASSERT(ivring_peek(&link->queues[0].rx, &payload, &length,
				      &kind) == -EAGAIN);
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

	/*
	 * A full search lets a load see the last value of a word or the one
	 * before, none that is older.  Who takes an epoch back and announces
	 * the next changes it twice: that is for the random search, which goes
	 * further back.
	 */
	all.search_type = rl::sched_full;
	some.search_type = rl::sched_random;
	some.iteration_count = 100000;
	hold = run<begins_anew>("begins anew, full search", all) &&
	       run<acknowledged>("acknowledged, full search", all) &&
	       run<announces>("announces, full search", all) &&
	       run<returns>("returns, full search", all) &&
	       run<acknowledged>("acknowledged, random search", some) &&
	       run<returns>("returns, random search", some) &&
	       run<both_announce>("both announce, random search", some);
	return !hold;
}
