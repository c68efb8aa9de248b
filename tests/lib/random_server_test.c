// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thousands of servers that send nearly right handshakes: opening ends in
 * time, with success or with an error that is documented, and no descriptor
 * stays behind.
 */
#include "scripted_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SERVERS		1500
#define LATER_STEPS	64

static uint64_t random_state;

/* xorshift64*: the same servers in each run, and in a rerun of one seed. */
static uint64_t draw(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 11) % below;
}

static struct step random_step(void)
{
	static const int64_t values[] = {
		-1, 0, 1, 2, 3, 255, 65535, 65536, -2, -87, INT64_MAX,
		INT64_MIN, 1LL << 32, 70000,
	};
	static const enum attached attached[] = {
		NOTHING, NOTHING, NOTHING, MEMORY, EMPTY_MEMORY, EVENTFD,
		EVENTFD, EVENTFD, BLOCKING_EVENTFD, PIPE, DIRECTORY,
		TWO_EVENTFDS, SIX_EVENTFDS,
	};
	struct step step = {
		.value = values[draw(sizeof(values) / sizeof(values[0]))],
		.what = attached[draw(sizeof(attached) / sizeof(attached[0]))],
		.bytes = draw(8) ? 0 : (unsigned int)(1 + draw(8)),
	};

	if (!draw(4))
		step.value = (int64_t)draw(4) - 1;
	return step;
}

/* A good handshake in which some steps are replaced, dropped or doubled. */
static unsigned int random_steps(struct step *steps)
{
	static const struct step good[] = { HANDSHAKE };
	unsigned int i, n = 0, damage = (unsigned int)draw(12);

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (draw(12) < damage && !draw(3)) {
			if (draw(2))
				steps[n++] = random_step();
			if (draw(2))
				steps[n++] = good[i];
			continue;
		}
		steps[n++] = good[i];
	}
	return n;
}

static void use(struct scripted_server *server, struct ivshmem *ivs)
{
	struct ivshmem_event events[4];
	struct ivshmem_info info;
	void *memory;
	int i, ret;

	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.memory_size, MEMORY_SIZE);
	assert_in_range(info.vectors, 0, LIBIVSHMEM_MAX_VECTORS);
	for (i = 0; i < LATER_STEPS && server->client >= 0; i++) {
		send_step(server, random_step());
		ret = ivshmem_ring(ivs, (uint32_t)draw(4), (uint32_t)draw(3));
		assert_true(!ret || ret == -ENXIO || ret == -EOPNOTSUPP);
		ret = ivshmem_wait(ivs, events, 4, 0);
		assert_true(ret >= 0 || ret == -EOPNOTSUPP);
	}
	assert_int_equal(ivshmem_map(ivs, 0, 0, PROT_READ | PROT_WRITE,
				     &memory), 0);
	assert_int_equal(ivshmem_unmap(memory, MEMORY_SIZE), 0);
}

static void no_server_does_harm(void **state)
{
	unsigned int i, n, opened = 0, refused = 0;
	struct step steps[64];
	struct scripted_server server;
	struct ivshmem *ivs;
	int ret;

	(void)state;
	for (i = 0; i < SERVERS; i++) {
		n = random_steps(steps);
		/* Mostly it hangs up at the end, which saves waiting. */
		serve(&server, steps, n, !!draw(24));
		ret = ivshmem_open(server.address, 0, &ivs);
		performed(&server);
		if (!ret) {
			use(&server, ivs);
			opened++;
		} else {
			assert_true(ret == -EPROTO || ret == -EUSERS ||
				    ret == -ETIMEDOUT || ret == -ECONNRESET);
			assert_null(ivs);
			refused++;
		}
		ivshmem_close(ivs);
		stop_serving(&server);
	}
	print_message("%u opened, %u refused\n", opened, refused);
	/* Both happen, or nothing was tested. */
	assert_true(opened > SERVERS / 20);
	assert_true(refused > SERVERS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_server_does_harm),
	};
	const char *seed = getenv("IVSHMEM_TEST_SEED");

	random_state = seed ? strtoull(seed, NULL, 0) : 20240607;
	printf("IVSHMEM_TEST_SEED=%llu\n", (unsigned long long)random_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
