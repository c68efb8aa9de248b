// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a peer says of its disk, and what it wants done with this side's: whatever it
 * is, what is taken can be done without a further look.
 */
#include <ivshmem/blk.h>

unsigned int shared_loads;
struct watched watched[4];

/* Both are private copies by then: nothing shared is touched. */
void see_store(const void *p, size_t n, __u32 v)
{
	(void)p;
	(void)n;
	(void)v;
	__CPROVER_assert(0, "no store");
}

static _Bool power(__u32 value, __u32 least, __u32 most)
{
	return value >= least && value <= most && !(value & (value - 1));
}

void prove_parse_disk_hello(void)
{
	__u32 queues = any_of(1, IVREGION_QUEUES_MAX);
	__u32 length = nondet_word();
	struct ivblk_hello hello;
	struct ivblk_disk disk;
	__u32 i;

	/* Left as it is, so that it is anything at all */
	if (!ivblk_parse_hello(&disk, &hello, length, queues))
		return;
	__CPROVER_assert(length >= sizeof(hello), "all of it was there");
	__CPROVER_assert(disk.queues >= 1 && disk.queues <= queues,
			 "only queues of the section");
	__CPROVER_assert(!(disk.features & ~IVBLK_FEATURES_KNOWN) &&
			 !(disk.features & ~hello.features),
			 "only known features, and none that it did not say");
	__CPROVER_assert(!(disk.features & IVBLK_READ_ONLY) ||
			 disk.features == IVBLK_READ_ONLY,
			 "nothing is written to what is not written");
	if (disk.role == IVBLK_FRONT_END)
		return;
	__CPROVER_assert(disk.role == IVBLK_BACK_END, "one of two roles");
	__CPROVER_assert(power(disk.block_size, 512, 4096) &&
			 power(disk.physical_block_size, disk.block_size, 65536),
			 "sizes of blocks");
	__CPROVER_assert(disk.max_length >= 4096 &&
			 !(disk.max_length % disk.block_size) &&
			 !(disk.max_extent % disk.block_size),
			 "whole blocks at most");
	__CPROVER_assert(!(disk.features & (IVBLK_DISCARD | IVBLK_ZEROES)) ==
			 !disk.max_extent, "an extent for what has one");
	__CPROVER_assert(disk.sectors < 1ULL << 54 &&
			 !(disk.sectors % (disk.block_size / 512)),
			 "whole blocks, and bytes that fit into 63 bits");
	__CPROVER_assert(!disk.serial[IVBLK_SERIAL], "the serial ends");
	for (i = 0; i < IVBLK_SERIAL; i++)
		__CPROVER_assert(!disk.serial[i] ? !disk.serial[i + 1] :
				 disk.serial[i] >= 0x20 && disk.serial[i] <= 0x7e,
				 "it is printable");
}

void prove_parse_request(void)
{
	__u32 buffers = nondet_word();
	struct ivblk_request request;
	struct ivblk_hello hello;
	struct ivblk_disk disk;
	struct ivblk_io io;
	__u32 status;

	__CPROVER_assume(ivblk_parse_hello(&disk, &hello, sizeof(hello), 16));
	__CPROVER_assume(disk.role == IVBLK_BACK_END);
	status = ivblk_parse_request(&io, &request, &disk, buffers);
	__CPROVER_assert(io.id == request.id, "whatever it is can be answered");
	__CPROVER_assert(status == IVBLK_OK || status == IVBLK_INVALID ||
			 status == IVBLK_UNSUPPORTED, "no other answer");
	if (status != IVBLK_OK)
		return;
	__CPROVER_assert(!(disk.features & IVBLK_READ_ONLY) ||
			 io.operation == IVBLK_OP_READ ||
			 io.operation == IVBLK_OP_FLUSH, "nothing is written");
	if (io.operation == IVBLK_OP_FLUSH)
		return;
	__CPROVER_assert(io.length && io.sector + io.length / 512 <= disk.sectors &&
			 io.sector + io.length / 512 > io.sector &&
			 !(io.length % disk.block_size) &&
			 !(io.sector % (disk.block_size / 512)),
			 "whole blocks of the disk");
	if (io.operation > IVBLK_OP_WRITE) {
		__CPROVER_assert(io.length <= disk.max_extent, "not too long");
		return;
	}
	__CPROVER_assert(io.length <= disk.max_length, "not too long");
	__CPROVER_assert((__u64)io.buffer + io.length <= buffers &&
			 !(io.buffer % 512), "within the buffers");
}
