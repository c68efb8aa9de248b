// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of include/uapi/linux/ivshmem.h, and those of dma-bufs: arguments that are
 * right, but for a field now and then, in memory that is there, mostly.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <sys/ioctl.h>

#include <ivshmem/wire.h>
#include <linux/ivshmem.h>

/* Looking Glass's, as drivers/core/dmabuf.c has them */
struct kvmfr_dmabuf_create {
	__u8 flags;
	__u64 offset;
	__u64 size;
};

#define KVMFR_DMABUF_CREATE	_IOW('u', 0x42, struct kvmfr_dmabuf_create)
#define KVMFR_DMABUF_GETSIZE	_IO('u', 0x44)

/* Room for what a newer argument could have at its end */
#define GROWN	64

/* A size as callers give it: nearly always the right one, which is @size */
static uint32_t some_size(struct fuzzer *f, uint32_t size)
{
	const uint32_t sizes[] = { size - 4, size + 8, size + GROWN, 0, PAGE, PAGE + 1,
				   UINT32_MAX };

	if (!one_in(&f->chance, 16))
		return size;
	return sizes[below(&f->chance, ARRAY_SIZE(sizes))];
}

/* One word becomes another */
static void spoil(struct fuzzer *f, void *data, size_t size)
{
	uint32_t word;
	size_t at;

	if (!one_in(&f->chance, 8))
		return;
	at = below(&f->chance, size / sizeof(word)) * sizeof(word);
	word = boundary(f);
	memcpy((char *)data + at, &word, sizeof(word));
}

/* A command whose argument of @size bytes begins with its size */
static long command(struct fuzzer *f, unsigned int number, void *argument, uint32_t size)
{
	char grown[256 + GROWN] = { 0 };
	uint32_t given = some_size(f, size);

	memcpy(grown, argument, size);
	memcpy(grown, &given, sizeof(given));
	if (one_in(&f->chance, 64))
		grown[size + below(&f->chance, GROWN)] = 1;
	spoil(f, grown, size);
	return ioctl(file(f, one_in(&f->chance, 32) ? BUFFER : DEVICE), number,
		     place(f, grown, size + GROWN));
}

long call_info(struct fuzzer *f)
{
	struct ivshmem_ioc_info argument = { 0 };

	return command(f, IVSHMEM_IOC_INFO, &argument, sizeof(argument));
}

long call_subscribe(struct fuzzer *f)
{
	struct ivshmem_ioc_subscribe argument = { 0 };

	argument.vectors[0] = draw(&f->chance) & ((1ULL << f->shared->vectors) - 1);
	if (one_in(&f->chance, 8))
		argument.vectors[below(&f->chance, ARRAY_SIZE(argument.vectors))] =
			1ULL << below(&f->chance, 64);
	return command(f, IVSHMEM_IOC_SUBSCRIBE, &argument, sizeof(argument));
}

static uint32_t some_vector(struct fuzzer *f)
{
	if (one_in(&f->chance, 8))
		return boundary(f);
	return f->shared->vectors ? below(&f->chance, f->shared->vectors) : 0;
}

long call_bind(struct fuzzer *f)
{
	struct ivshmem_ioc_eventfd argument = { .vector = some_vector(f), .fd = -1 };

	if (!one_in(&f->chance, 4))
		argument.fd = file(f, one_in(&f->chance, 8) ? DEVICE : EVENTFD);
	return command(f, IVSHMEM_IOC_EVENTFD, &argument, sizeof(argument));
}

/* Mostly oneself: peers are numbered from 0 */
long call_ring(struct fuzzer *f)
{
	struct ivshmem_ioc_ring argument = { .vector = some_vector(f) };

	argument.peer = one_in(&f->chance, 8) ? boundary(f) : below(&f->chance, 3);
	return command(f, IVSHMEM_IOC_RING, &argument, sizeof(argument));
}

long call_region(struct fuzzer *f)
{
	struct ivshmem_ioc_region argument = { 0 };

	return command(f, IVSHMEM_IOC_REGION, &argument, sizeof(argument));
}

long call_section(struct fuzzer *f)
{
	struct ivshmem_ioc_section argument = { .index = below(&f->chance, 5) };

	return command(f, IVSHMEM_IOC_SECTION, &argument, sizeof(argument));
}

long call_peer(struct fuzzer *f)
{
	struct ivshmem_ioc_peer argument = { .slot = below(&f->chance, 5) };

	return command(f, IVSHMEM_IOC_PEER, &argument, sizeof(argument));
}

static void make_section(struct fuzzer *f, struct ivregion_entry *entry, unsigned int number)
{
	static const uint32_t types[] = { IVREGION_RAW, IVREGION_RAW, IVREGION_NET, IVREGION_BLK };
	struct chance *chance = &f->chance;
	uint32_t pages = f->shared->size / PAGE;

	entry->type = types[below(chance, ARRAY_SIZE(types))];
	entry->pages = 1 + below(chance, one_in(chance, 4) ? 16 : pages / 4 + 1);
	entry->vector = some_vector(f);
	entry->queues = below(chance, 3);
	strncpy((char *)entry->name, section_names[number % nr_section_names],
		sizeof(entry->name));
}

/* A superblock that is right, or had been before a word was changed */
static void make_superblock(struct fuzzer *f, struct ivregion_superblock *superblock)
{
	struct chance *chance = &f->chance;
	unsigned int i;

	memset(superblock, 0, sizeof(*superblock));
	superblock->major = IVREGION_MAJOR;
	superblock->minor = one_in(chance, 8);
	superblock->ro_compat = one_in(chance, 8);
	superblock->instance = draw(chance);
	superblock->size_log2 = __builtin_ctzll(f->shared->size | 1ULL << 63);
	superblock->slots = 2 + below(chance, 7);
	superblock->sections = below(chance, 5);
	for (i = 0; i < superblock->sections; i++)
		make_section(f, &superblock->section[i], i);
	spoil(f, superblock, offsetof(struct ivregion_superblock, unused));
	superblock->checksum = ivregion_checksum(superblock);
	spoil(f, superblock, sizeof(*superblock));
}

long call_format(struct fuzzer *f)
{
	struct ivshmem_ioc_format argument = { .flags = IVSHMEM_FORMAT_FORCE };
	struct ivregion_superblock superblock;

	if (one_in(&f->chance, 4))
		argument.flags = below(&f->chance, 4);
	if (one_in(&f->chance, 8))
		argument.flags |= IVSHMEM_FORMAT_ERASE;
	make_superblock(f, &superblock);
	if (!(argument.flags & IVSHMEM_FORMAT_ERASE) || one_in(&f->chance, 32))
		argument.superblock = (uintptr_t)place(f, &superblock, sizeof(superblock));
	/* What the argument is put over is a few bytes of it, at worst */
	return command(f, IVSHMEM_IOC_FORMAT, &argument, sizeof(argument));
}

long call_export(struct fuzzer *f)
{
	struct ivshmem_ioc_dmabuf argument = { .open_flags = O_RDWR | O_CLOEXEC };
	uint64_t offset, length;
	long fd;

	if (one_in(&f->chance, 4))
		argument.open_flags = below(&f->chance, 4) | O_CLOEXEC;
	some_part(f, &offset, &length);
	argument.offset = offset;
	argument.length = length;
	fd = command(f, IVSHMEM_IOC_DMABUF, &argument, sizeof(argument));
	keep(f, BUFFER, (int)fd);
	return fd;
}

long call_kvmfr(struct fuzzer *f)
{
	struct kvmfr_dmabuf_create argument = { .flags = one_in(&f->chance, 2) };
	uint64_t offset, length;
	long fd;

	if (one_in(&f->chance, 4))
		return ioctl(file(f, DEVICE), KVMFR_DMABUF_GETSIZE, 0);
	some_part(f, &offset, &length);
	argument.offset = offset;
	argument.size = length;
	spoil(f, &argument, sizeof(argument));
	fd = ioctl(file(f, DEVICE), KVMFR_DMABUF_CREATE, place(f, &argument, sizeof(argument)));
	keep(f, BUFFER, (int)fd);
	return fd;
}

/* What any dma-buf can do */
long call_buffer(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	struct dma_buf_sync sync = { .flags = below(chance, 8) };
	struct dma_buf_export_sync_file fence = { .flags = below(chance, 4), .fd = -1 };
	int fd = file(f, BUFFER);
	long ret;

	switch (below(chance, 4)) {
	case 0:
		return ioctl(fd, DMA_BUF_SET_NAME_B, place(f, "fuzz", sizeof("fuzz")));
	case 1:
		/* Its own descriptor; nothing of ours is in it */
		ret = ioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &fence);
		if (!ret)
			keep(f, EVENTFD, fence.fd);
		return ret;
	default:
		spoil(f, &sync, sizeof(sync));
		return ioctl(fd, DMA_BUF_IOCTL_SYNC, place(f, &sync, sizeof(sync)));
	}
}

/* Any number, with any argument */
long call_unknown(struct fuzzer *f)
{
	static const unsigned int generic[] = { FIONREAD, FIOASYNC, FIONBIO, FIOCLEX, FIOQSIZE };
	struct chance *chance = &f->chance;
	unsigned int number = _IO(IVSHMEM_IOC_MAGIC, below(chance, 256));
	char data[64];

	if (one_in(chance, 4))
		number = generic[below(chance, ARRAY_SIZE(generic))];
	else if (one_in(chance, 2))
		number |= draw(chance) & 0xffff0000;
	fill(chance, data, sizeof(data));
	return ioctl(file(f, DEVICE), number, place(f, data, sizeof(data)));
}
