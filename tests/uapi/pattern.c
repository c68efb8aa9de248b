/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fills the whole shared memory with a pattern that depends on the place and
 * on a seed, or checks that it is there: for the other end to do the opposite.
 */
#include "device.h"

static uint32_t expected(uint32_t index, uint32_t seed)
{
	return index * 2654435761U + seed;
}

static int fill(volatile uint32_t *memory, uint32_t words, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < words; i++)
		memory[i] = expected(i, seed);
	return 0;
}

static int check(volatile uint32_t *memory, uint32_t words, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < words; i++) {
		if (memory[i] == expected(i, seed))
			continue;
		fprintf(stderr, "%s: offset %#lx: found %#x, expected %#x\n",
			device_path, i * 4UL, memory[i], expected(i, seed));
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool write = argc == 4 && !strcmp(argv[2], "write");
	uint32_t words, seed;
	void *memory;
	int fd;

	if (!write && (argc != 4 || strcmp(argv[2], "check"))) {
		fprintf(stderr, "usage: %s /dev/ivshmemN write|check SEED\n",
			argv[0]);
		return 2;
	}
	device_setup(2, argv);
	seed = strtoul(argv[3], NULL, 0);
	words = device_facts.memory_size / 4;
	fd = open(device_path, write ? O_RDWR : O_RDONLY);
	memory = mmap(NULL, device_facts.memory_size,
		      PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		perror(device_path);
		return 1;
	}
	return write ? fill(memory, words, seed) : check(memory, words, seed);
}
