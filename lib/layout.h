/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a description, such as "net:128M,blk:64M,raw=lab", to the superblock of
 * a region, and back.  For the server, the tools and the library; not exported.
 */
#ifndef IVSHMEM_LAYOUT_H
#define IVSHMEM_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ivshmem/wire.h>

/*
 * The least rings that a description may lead to, in bytes.  The format itself
 * takes less.  Half a ring is its longest record: that of a NET section has to
 * hold the largest frame that is common (9000 bytes) and a few more beside it,
 * that of a BLK section a block of 4 KiB with its header.
 */
#define IVSHMEM_LAYOUT_NET_RING		0x10000U
#define IVSHMEM_LAYOUT_BLK_RING		0x4000U

/* The largest rings that "auto" makes: more only costs memory */
#define IVSHMEM_LAYOUT_AUTO_RING	0x400000U
/* The least region in which "auto" makes more than one section */
#define IVSHMEM_LAYOUT_AUTO_MEMORY	0x1000000ULL

/* Holds whatever ivshmem_layout_describe() writes */
#define IVSHMEM_LAYOUT_TEXT		4096

/**
 * struct ivshmem_layout_options - what a region has to fit to
 * @memory_size: its size in bytes, a power of two from 4096 to 2^47
 * @slots: places for peers, IVREGION_SLOTS_MIN to IVREGION_SLOTS_MAX
 * @vectors: that each peer has, 0 (no doorbells) to IVREGION_VECTORS_MAX
 * @uuid: 16 bytes that name the region; NULL for random ones
 */
struct ivshmem_layout_options {
	uint64_t memory_size;
	uint32_t slots;
	uint32_t vectors;
	const uint8_t *uuid;
};

/**
 * ivshmem_layout_make() - turn a description into a superblock
 * @description: sections in the order in which they will lie, separated by
 *	commas: TYPE[=NAME][:SIZE][:KEY=VALUE]...; or "auto"
 * @options: the region
 * @superblock: private memory; complete, with magic and checksum, and a random
 *	instance
 * @region: what ivregion_parse() makes of it
 * @error: gets one line for people if the description is refused; it names the
 *	section, what is wrong and what would be right
 * @error_size: of @error, in bytes; 256 are enough
 *
 * TYPE is raw, net or blk.  NAME has 1 to 32 letters, digits and "-_."; the
 * default is the type, with a number behind it if that is taken.  SIZE is a
 * multiple of 4096, with K, M or G for short.  Sections without one get equal
 * shares of what is left.  Keys are vector (0 to 255, and one that the peers
 * have) and queues (1 to 16, default 1).  Sections without a vector get the
 * vectors from 1 on in turn, or 0 if there is no other.
 *
 * "auto" stands for sections chosen by the size of the region and the number of
 * its slots: a single section "raw=shared" in a region of less than 16 MiB;
 * else a NET section of at most half of the memory, a BLK section of at most a
 * quarter, and "raw=shared", which gets the rest.  Where there are so many
 * slots that the rings of one would be too small, it is left out.
 *
 * Context: any thread; keeps nothing.
 *
 * Return: 0, or with @error filled in -EINVAL (description or options are
 * wrong), -ENOSPC (the sections do not fit) or what getrandom(2) says.
 */
int ivshmem_layout_make(const char *description,
			const struct ivshmem_layout_options *options,
			struct ivregion_superblock *superblock,
			struct ivregion *region, char *error,
			size_t error_size);

/**
 * ivshmem_layout_describe() - the description of a region
 * @region: from ivregion_parse()
 * @buffer: for the text; IVSHMEM_LAYOUT_TEXT bytes hold any
 * @size: of @buffer, in bytes
 *
 * Every section has its size and vector, so that ivshmem_layout_make() makes
 * the same of it in a region of the same size.  A section of a type that this
 * version does not know is written as "type" and its number.
 *
 * Return: length of the whole text; it was cut off if that is not below @size.
 */
size_t ivshmem_layout_describe(const struct ivregion *region, char *buffer,
			       size_t size);

/** ivshmem_layout_same() - whether two regions have equal slots and sections. */
bool ivshmem_layout_same(const struct ivregion *a, const struct ivregion *b);

/** ivshmem_layout_type() - "raw", "net", "blk", or "unknown". */
const char *ivshmem_layout_type(uint32_t type);

#endif /* IVSHMEM_LAYOUT_H */
