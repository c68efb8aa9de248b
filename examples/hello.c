// SPDX-License-Identifier: BSD-3-Clause
/*
 * Greets a peer: writes into the shared memory, rings, waits for its answer.
 *	hello /dev/ivshmem0 1 (in a guest), hello unix:/run/ivshmem/a.sock 1
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <libivshmem.h>

#define LINE	64	/* Each of 16 peers has a line of the memory. */

static int check(const char *what, int ret)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "hello: %s: %s\n", what, strerror(-ret));
	exit(1);
}

int main(int argc, char **argv)
{
	unsigned int peer = argc == 3 ? strtoul(argv[2], NULL, 0) % 16 : 0;
	struct ivshmem_event event;
	struct ivshmem_info info;
	struct ivshmem *ivs;
	char *memory;

	check("usage: hello DEVICE PEER", argc == 3 ? 0 : -EINVAL);
	check(argv[1], ivshmem_open(argv[1], 0, &ivs));
	check("query", ivshmem_get_info(ivs, &info));
	check("map", ivshmem_map(ivs, 0, 16 * LINE, PROT_READ | PROT_WRITE,
				 (void **)&memory));
	snprintf(memory + info.peer_id % 16 * LINE, LINE,
		 "Hello from peer %u", info.peer_id);
	check("ring", ivshmem_ring(ivs, peer, 0));
	if (!check("wait", ivshmem_wait(ivs, &event, 1, 10000)))
		check("no answer", -ETIMEDOUT);
	printf("vector %u was rung, peer %u says: %.*s\n", event.vector, peer,
	       LINE, memory + peer * LINE);
	/* Again, in case the peer was not yet there the first time. */
	check("ring", ivshmem_ring(ivs, peer, 0));
	ivshmem_close(ivs);
	return 0;
}
