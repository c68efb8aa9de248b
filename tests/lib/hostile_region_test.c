// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever lies in superblock and directory, and however it changes meanwhile:
 * every call about the region ends in time and says nothing that cannot be.
 */
#include "scripted_server.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <ivshmem/peer.h>

#define ROUNDS		3000
#define CONTROL_PAGES	12

static const struct step handshake[] = { HANDSHAKE };
static const struct ivshmem_format_options three = { .slots = 3 };

struct opened {
	struct scripted_server server;
	struct ivshmem *ivs;
	uint8_t *memory;
	bool stop;
};

static uint64_t draw(uint64_t *state, uint64_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dULL >> 11) % below;
}

/* Damage somewhere; mostly what keeps the checksum right, so as to go deep. */
static void scribble(struct opened *o, uint64_t *random)
{
	struct ivregion_superblock *superblock =
		(struct ivregion_superblock *)o->memory;
	static const uint32_t words[] = {
		0, 1, 2, 63, 64, 65, 255, 256, ~0U, 0x80000000U, IVREGION_MAGIC,
	};
	uint64_t place = draw(random, 2) ? draw(random, 640) :
			 draw(random, CONTROL_PAGES * 4096);
	uint32_t value = draw(random, 2) ?
			 words[draw(random, sizeof(words) / sizeof(words[0]))] :
			 (uint32_t)draw(random, 1ULL << 32);

	ivshmem_store32((__le32 *)(o->memory + (place & ~3ULL)), value);
	if (!draw(random, 4)) {
		ivshmem_store32(&superblock->magic, IVREGION_MAGIC);
		ivshmem_store32(&superblock->major, IVREGION_MAJOR);
		ivshmem_store32(&superblock->size_log2, 16);
	}
	if (!draw(random, 16))
		ivshmem_store32(&superblock->magic, 0);
	if (draw(random, 4))
		ivshmem_store32(&superblock->checksum,
				ivregion_checksum(superblock));
}

static void check_sections(struct opened *o, struct ivshmem_section *section)
{
	uint32_t i;
	void *addr;
	int ret;

	for (i = 0; i < IVREGION_SECTIONS_MAX + 1; i++) {
		ret = ivshmem_get_section(o->ivs, i, section);
		assert_true(!ret || ret == -ENOENT);
		if (ret)
			return;
		assert_true(section->offset < MEMORY_SIZE);
		assert_true(section->size <= MEMORY_SIZE - section->offset);
		assert_in_range(section->queues, 1, IVREGION_QUEUES_MAX);
		assert_in_range(section->vector, 0, 255);
		assert_in_range(strlen(section->name), 1, 32);
		ret = ivshmem_map_section(o->ivs, section, PROT_READ, &addr);
		assert_true(!ret || ret == -ESTALE);
		if (!ret)
			assert_int_equal(ivshmem_unmap(addr, section->size), 0);
	}
}

static void check_peers(struct opened *o)
{
	struct ivshmem_peer peer;
	uint32_t slot;
	size_t i;
	int ret;

	for (slot = 0; slot < IVREGION_SLOTS_MAX + 1; slot++) {
		ret = ivshmem_get_peer(o->ivs, slot, &peer);
		assert_true(!ret || ret == -ENOENT);
		if (ret)
			return;
		assert_in_range(peer.state, IVSHMEM_ABSENT, IVSHMEM_SILENT);
		assert_in_range(peer.vectors, 0, 256);
		for (i = 0; peer.name[i]; i++)
			assert_in_range(peer.name[i], 0x21, 0x7e);
		assert_in_range(i, 0, IVREGION_PEER_NAME);
	}
	assert_int_equal(ivshmem_get_peer(o->ivs, ~0U, &peer), -ENOENT);
}

/* Every call; returns the state. */
static uint32_t use(struct opened *o, uint64_t *changes)
{
	struct ivshmem_section section;
	struct ivshmem_region region;
	int ret;

	assert_int_equal(ivshmem_get_region(o->ivs, &region), 0);
	assert_in_range(region.state, IVSHMEM_UNFORMATTED, IVSHMEM_REFUSED);
	assert_non_null(region.reason);
	if (region.state == IVSHMEM_ATTACHED) {
		assert_in_range(region.slots, 2, 64);
		assert_in_range(region.sections, 0, 32);
	} else {
		assert_int_equal(region.slots, 0);
		assert_int_equal(region.epoch, 0);
	}
	assert_true(region.slot < (int32_t)region.slots);
	check_sections(o, &section);
	check_peers(o);
	ret = ivshmem_find_section(o->ivs, "lab", &section);
	assert_true(!ret || ret == -ENOENT);
	ret = ivshmem_wait_change(o->ivs, changes, 0);
	assert_true(ret == 0 || ret == 1);
	ret = ivshmem_join(o->ivs, "me");
	assert_true(!ret || ret == -EALREADY || ret == -ENODATA ||
		    ret == -EPROTO || ret == -EROFS || ret == -ENXIO);
	return region.state;
}

static void leave(struct opened *o)
{
	int ret = ivshmem_leave(o->ivs);

	assert_true(!ret || ret == -ENOTCONN || ret == -ESTALE);
}

static void set_up(struct opened *o)
{
	memset(o, 0, sizeof(*o));
	SERVE(&o->server, handshake);
	assert_int_equal(ivshmem_open(o->server.address, 0, &o->ivs), 0);
	performed(&o->server);
	o->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 o->server.memory, 0);
	assert_ptr_not_equal(o->memory, MAP_FAILED);
	assert_int_equal(ivshmem_format(o->ivs, "raw=lab:16K,raw=data", &three,
					NULL, 0), 0);
}

static void tear_down(struct opened *o)
{
	ivshmem_close(o->ivs);
	munmap(o->memory, MEMORY_SIZE);
	stop_serving(&o->server);
}

static void damaged_memory_does_no_harm(void **state)
{
	uint8_t good[CONTROL_PAGES * 4096];
	uint64_t random = 20240717, changes = 0;
	unsigned int round, i, seen[3] = { 0 };
	struct opened o;

	(void)state;
	set_up(&o);
	memcpy(good, o.memory, sizeof(good));
	for (round = 0; round < ROUNDS; round++) {
		if (!draw(&random, 8))
			memcpy(o.memory, good, sizeof(good));
		for (i = (unsigned int)draw(&random, 6); i; i--)
			scribble(&o, &random);
		seen[use(&o, &changes)]++;
		if (!draw(&random, 3))
			leave(&o);
	}
	tear_down(&o);
	print_message("%u unformatted, %u attached, %u refused\n", seen[0],
		      seen[1], seen[2]);
	for (i = 0; i < 3; i++)
		assert_true(seen[i] > ROUNDS / 100);
}

static void *scribble_on(void *argument)
{
	struct opened *o = argument;
	uint64_t random = 4711;
	uint8_t good[4096];

	memcpy(good, o->memory, sizeof(good));
	while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
		scribble(o, &random);
		if (!draw(&random, 16))
			memcpy(o->memory, good, sizeof(good));
		if (!draw(&random, 64))
			ring_it(o->server.eventfds[4], 1);
	}
	return NULL;
}

static void changing_memory_does_no_harm(void **state)
{
	uint64_t changes = 0;
	pthread_t thread;
	struct opened o;
	int i, ret;

	(void)state;
	set_up(&o);
	assert_int_equal(pthread_create(&thread, NULL, scribble_on, &o), 0);
	for (i = 0; i < ROUNDS / 10; i++) {
		use(&o, &changes);
		if (i % 3 == 0)
			leave(&o);
		ret = ivshmem_wait_change(o.ivs, &changes, 1);
		assert_true(ret == 0 || ret == 1);
	}
	__atomic_store_n(&o.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	tear_down(&o);
}

/* Formatting ends whatever others do to it meanwhile. */
static void formatting_beside_scribblers_ends(void **state)
{
	static const struct ivshmem_format_options force = {
		.slots = 3, .flags = IVSHMEM_FORCE,
	};
	pthread_t thread;
	struct opened o;
	int i, ret;

	(void)state;
	set_up(&o);
	assert_int_equal(pthread_create(&thread, NULL, scribble_on, &o), 0);
	for (i = 0; i < 3; i++) {
		ret = ivshmem_format(o.ivs, "raw=lab", &force, NULL, 0);
		assert_true(!ret || ret == -EAGAIN);
		ret = ivshmem_format(o.ivs, "raw=lab", &three, NULL, 0);
		assert_true(!ret || ret == -EAGAIN || ret == -EBUSY);
	}
	__atomic_store_n(&o.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ret = ivshmem_format(o.ivs, "raw=lab", &force, NULL, 0);
	assert_int_equal(ret, 0);
	tear_down(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_memory_does_no_harm),
		cmocka_unit_test(changing_memory_does_no_harm),
		cmocka_unit_test(formatting_beside_scribblers_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
