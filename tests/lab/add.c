/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Adds one to a word of shared memory, many times, after everybody has come:
 * add FILE PARTIES COUNT
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared {
	_Alignas(64) _Atomic unsigned int arrived;
	_Alignas(64) _Atomic unsigned long sum;
};

int main(int argc, char **argv)
{
	struct shared *shared;
	unsigned int parties;
	unsigned long i, count;
	int fd;

	if (argc != 4)
		return 2;
	parties = (unsigned int)strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		perror(argv[1]);
		return 1;
	}
	atomic_fetch_add(&shared->arrived, 1);
	while (atomic_load(&shared->arrived) < parties)
		;
	for (i = 0; i < count; i++)
		atomic_fetch_add_explicit(&shared->sum, 1, memory_order_relaxed);
	printf("%lu\n", atomic_load(&shared->sum));
	return 0;
}
