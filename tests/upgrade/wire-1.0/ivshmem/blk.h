/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a disk's front end and back end send each other: records of the rings of a
 * BLK section.  Documentation/wire-format.rst specifies it.
 *
 * Requests and responses are small and go through the rings; data goes through
 * buffers that lie behind each ring.  Each side writes its own buffers only: those of
 * the front end hold what is to be written, those of the back end what was read.  The
 * front end alone decides what is where in both.
 */
#ifndef IVSHMEM_BLK_H
#define IVSHMEM_BLK_H

#include "wire.h"

/* Kinds of records; others are passed over */
#define IVBLK_KIND_HELLO	1U
#define IVBLK_KIND_REQUEST	2U
#define IVBLK_KIND_RESPONSE	3U

/* Roles */
#define IVBLK_FRONT_END		1U
#define IVBLK_BACK_END		2U

/* Features: of a back end, what it does; of a front end, what it keeps to */
#define IVBLK_READ_ONLY		1U	/* nothing is written */
#define IVBLK_FLUSH		2U	/* what was written may be in a cache */
#define IVBLK_FUA		4U	/* writes that are not */
#define IVBLK_DISCARD		8U	/* contents that nobody needs any more */
#define IVBLK_ZEROES		16U	/* zeroes without data */
#define IVBLK_FEATURES_KNOWN	31U

/* Operations */
#define IVBLK_OP_READ		0U
#define IVBLK_OP_WRITE		1U
#define IVBLK_OP_FLUSH		2U
#define IVBLK_OP_DISCARD	3U
#define IVBLK_OP_ZEROES		4U

/* Flags of a request */
#define IVBLK_REQUEST_FUA	1U	/* a write: not before it is on the medium */
#define IVBLK_REQUEST_KEEP	2U	/* zeroes: do not give up the space */
#define IVBLK_REQUEST_KNOWN	3U

/* Status of a response */
#define IVBLK_OK		0U
#define IVBLK_IO_ERROR		1U	/* the medium failed */
#define IVBLK_NO_SPACE		2U	/* the medium is full */
#define IVBLK_UNSUPPORTED	3U	/* not among the features */
#define IVBLK_INVALID		4U	/* a request that cannot be */

#define IVBLK_SECTOR		512U
#define IVBLK_BLOCK_MAX		4096U
#define IVBLK_PHYSICAL_MAX	65536U
#define IVBLK_LENGTH_MIN	4096U
#define IVBLK_SECTORS_HIGH_MAX	0x003fffffU
#define IVBLK_SERIAL		20U

/**
 * struct ivblk_hello - the first record of a session, on queue 0
 * @role: IVBLK_FRONT_END or IVBLK_BACK_END
 * @features: IVBLK_READ_ONLY and others
 * @queues: it looks at the rings of queues below this, 1 to those of the section
 * @block_size: bytes of the least that can be read or written
 * @physical_block_size: bytes that are written best as one
 * @max_length: bytes of the longest read or write
 * @max_extent: bytes of the longest discard, or write of zeroes
 * @sectors_low: size of the disk in sectors of IVBLK_SECTOR bytes
 * @sectors_high: likewise, the upper half
 * @serial: printable ASCII for people; the rest 0
 * @cache_low: which cache it is in that a flush empties; what was in another one may
 *	       be lost
 * @cache_high: likewise, the upper half
 *
 * Of a front end, what follows @queues is not read.
 */
struct ivblk_hello {
	__le32 role;
	__le32 features;
	__le32 queues;
	__le32 block_size;
	__le32 physical_block_size;
	__le32 max_length;
	__le32 max_extent;
	__le32 sectors_low;
	__le32 sectors_high;
	__u8 serial[IVBLK_SERIAL];
	__le32 cache_low;
	__le32 cache_high;
};

/**
 * struct ivblk_request - what a front end wants done
 * @id: comes back in the response; one that waits for none
 * @operation: IVBLK_OP_READ and others
 * @flags: IVBLK_REQUEST_FUA and others
 * @length: bytes
 * @sector_low: where, in sectors of IVBLK_SECTOR bytes
 * @sector_high: likewise, the upper half
 * @buffer: where the data is in the buffers of its writer, in bytes
 * @reserved: 0; not read
 */
struct ivblk_request {
	__le32 id;
	__le32 operation;
	__le32 flags;
	__le32 length;
	__le32 sector_low;
	__le32 sector_high;
	__le32 buffer;
	__u8 reserved[4];
};

/**
 * struct ivblk_response - what became of a request
 * @id: of the request
 * @status: IVBLK_OK and others
 * @reserved: 0; not read
 */
struct ivblk_response {
	__le32 id;
	__le32 status;
	__u8 reserved[8];
};

#if defined(__cplusplus) || defined(__KERNEL__) || \
	(defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
static_assert(sizeof(struct ivblk_hello) == 64, "a line");
static_assert(sizeof(struct ivblk_request) == 32, "a line with its header");
static_assert(sizeof(struct ivblk_response) == 16, "a line with its header");
#endif

/**
 * struct ivblk_disk - what a peer says of itself: private memory
 * @role: IVBLK_FRONT_END or IVBLK_BACK_END
 * @features: known bits only, and none that makes no sense with another
 * @queues: 1 to those of the section
 * @block_size: a power of two, IVBLK_SECTOR to IVBLK_BLOCK_MAX
 * @physical_block_size: likewise, @block_size to IVBLK_PHYSICAL_MAX
 * @max_length: a multiple of @block_size, IVBLK_LENGTH_MIN or more
 * @max_extent: likewise, or 0 if neither is among the features
 * @sectors: a multiple of @block_size in sectors
 * @serial: printable, ends with 0
 * @cache: any; changes when what was not flushed may be lost
 */
struct ivblk_disk {
	__u32 role;
	__u32 features;
	__u32 queues;
	__u32 block_size;
	__u32 physical_block_size;
	__u32 max_length;
	__u32 max_extent;
	__u64 sectors;
	char serial[IVBLK_SERIAL + 1];
	__u64 cache;
};

/**
 * struct ivblk_io - a request that can be done: private memory
 * @id: for the response
 * @operation: IVBLK_OP_READ and others
 * @flags: known ones only
 * @length: bytes; 0 of a flush
 * @sector: where
 * @buffer: where the data is, in bytes
 */
struct ivblk_io {
	__u32 id;
	__u32 operation;
	__u32 flags;
	__u32 length;
	__u64 sector;
	__u32 buffer;
};

static inline bool ivblk_is_power(__u32 value, __u32 least, __u32 most)
{
	return value >= least && value <= most && !(value & (value - 1));
}

/* Features without what makes no sense with the others */
static inline __u32 ivblk_features(__u32 said)
{
	__u32 features = said & IVBLK_FEATURES_KNOWN;

	if (features & IVBLK_READ_ONLY)
		return IVBLK_READ_ONLY;
	if (!(features & IVBLK_FLUSH))
		features &= ~IVBLK_FUA;
	return features;
}

static inline void ivblk_clear(struct ivblk_disk *disk)
{
	__u32 i;

	disk->role = 0;
	disk->features = 0;
	disk->queues = 0;
	disk->block_size = 0;
	disk->physical_block_size = 0;
	disk->max_length = 0;
	disk->max_extent = 0;
	disk->sectors = 0;
	for (i = 0; i <= IVBLK_SERIAL; i++)
		disk->serial[i] = 0;
	disk->cache = 0;
}

/* What a back end says of its disk; the rest of @disk is 0 */
static inline bool ivblk_parse_disk(struct ivblk_disk *disk,
				    const struct ivblk_hello *hello)
{
	__u32 high = ivshmem_from_le32(hello->sectors_high);
	__u32 cache_high = ivshmem_from_le32(hello->cache_high);
	__u32 mask, i;

	disk->block_size = ivshmem_from_le32(hello->block_size);
	disk->physical_block_size =
		ivshmem_from_le32(hello->physical_block_size);
	disk->max_length = ivshmem_from_le32(hello->max_length);
	disk->max_extent = ivshmem_from_le32(hello->max_extent);
	disk->sectors = (__u64)high << 32 |
			ivshmem_from_le32(hello->sectors_low);
	for (i = 0; i < IVBLK_SERIAL; i++) {
		if (hello->serial[i] < 0x20 || hello->serial[i] > 0x7e)
			break;
		disk->serial[i] = (char)hello->serial[i];
	}
	disk->cache = (__u64)cache_high << 32 |
		      ivshmem_from_le32(hello->cache_low);
	if (!(disk->features & (IVBLK_DISCARD | IVBLK_ZEROES)))
		disk->max_extent = 0;
	else if (!disk->max_extent)
		return false;

	/* In bytes it fits into 63 bits */
	if (high > IVBLK_SECTORS_HIGH_MAX ||
	    !ivblk_is_power(disk->block_size, IVBLK_SECTOR, IVBLK_BLOCK_MAX) ||
	    !ivblk_is_power(disk->physical_block_size, disk->block_size,
			    IVBLK_PHYSICAL_MAX))
		return false;
	mask = disk->block_size - 1;
	return disk->max_length >= IVBLK_LENGTH_MIN &&
	       !(disk->max_length & mask) && !(disk->max_extent & mask) &&
	       !(disk->sectors & (mask / IVBLK_SECTOR));
}

/**
 * ivblk_parse_hello() - check what a peer says of itself
 * @disk: filled in; what is not a back end's stays 0
 * @hello: a private copy of the first bytes of the payload
 * @length: bytes of payload; more than is known here may follow
 * @queues: of the section
 *
 * Return: whether it can be; if not, the session has to end with
 * IVRING_BAD_RECORD.
 */
static inline bool ivblk_parse_hello(struct ivblk_disk *disk,
				     const struct ivblk_hello *hello,
				     __u32 length, __u32 queues)
{
	ivblk_clear(disk);
	if (length < sizeof(*hello))
		return false;

	disk->role = ivshmem_from_le32(hello->role);
	disk->features = ivblk_features(ivshmem_from_le32(hello->features));
	disk->queues = ivshmem_from_le32(hello->queues);
	if (!disk->queues || disk->queues > queues)
		return false;
	if (disk->role == IVBLK_FRONT_END)
		return true;
	return disk->role == IVBLK_BACK_END && ivblk_parse_disk(disk, hello);
}

/* Whether blocks are those of the disk */
static inline bool ivblk_is_inside(const struct ivblk_disk *disk,
				   const struct ivblk_io *io)
{
	__u32 mask = disk->block_size - 1;

	return !(io->length & mask) &&
	       !(io->sector & (mask / IVBLK_SECTOR)) &&
	       io->sector <= disk->sectors &&
	       io->length / IVBLK_SECTOR <= disk->sectors - io->sector;
}

/* Whether the disk does it at all */
static inline bool ivblk_is_supported(const struct ivblk_disk *disk,
				      const struct ivblk_io *io)
{
	if ((io->flags & ~IVBLK_REQUEST_KNOWN) ||
	    ((io->flags & IVBLK_REQUEST_FUA) &&
	     !(disk->features & IVBLK_FUA)))
		return false;
	switch (io->operation) {
	case IVBLK_OP_READ:
	case IVBLK_OP_FLUSH:
		return true;
	case IVBLK_OP_WRITE:
		return !(disk->features & IVBLK_READ_ONLY);
	case IVBLK_OP_DISCARD:
		return disk->features & IVBLK_DISCARD;
	case IVBLK_OP_ZEROES:
		return disk->features & IVBLK_ZEROES;
	default:
		return false;
	}
}

/* Flags that mean something with an operation */
static inline __u32 ivblk_flags(__u32 operation)
{
	if (operation == IVBLK_OP_WRITE)
		return IVBLK_REQUEST_FUA;
	if (operation == IVBLK_OP_ZEROES)
		return IVBLK_REQUEST_FUA | IVBLK_REQUEST_KEEP;
	return 0;
}

/* Whether length, place and buffer are within what they belong to */
static inline bool ivblk_is_possible(const struct ivblk_disk *disk,
				     const struct ivblk_io *io, __u32 buffers)
{
	if (io->flags & ~ivblk_flags(io->operation))
		return false;
	if (io->operation == IVBLK_OP_FLUSH)
		return !io->length;
	if (!io->length || !ivblk_is_inside(disk, io))
		return false;
	if (io->operation == IVBLK_OP_READ || io->operation == IVBLK_OP_WRITE)
		return io->length <= disk->max_length &&
		       !(io->buffer % IVBLK_SECTOR) && io->buffer <= buffers &&
		       io->length <= buffers - io->buffer;
	return io->length <= disk->max_extent;
}

/**
 * ivblk_parse_request() - check what a front end wants done
 * @io: filled in
 * @request: a private copy of the payload; a shorter one ends the session with
 *	     IVRING_BAD_RECORD, more than is known here may follow
 * @disk: as this side has said in its hello
 * @buffers: bytes of the buffers of a ring, see ivregion_buffers_size()
 *
 * Return: IVBLK_OK, or the status to answer with instead of doing it.
 */
static inline __u32 ivblk_parse_request(struct ivblk_io *io,
					const struct ivblk_request *request,
					const struct ivblk_disk *disk,
					__u32 buffers)
{
	io->id = ivshmem_from_le32(request->id);
	io->operation = ivshmem_from_le32(request->operation);
	io->flags = ivshmem_from_le32(request->flags);
	io->length = ivshmem_from_le32(request->length);
	io->sector = (__u64)ivshmem_from_le32(request->sector_high) << 32 |
		     ivshmem_from_le32(request->sector_low);
	io->buffer = ivshmem_from_le32(request->buffer);

	if (!ivblk_is_supported(disk, io))
		return IVBLK_UNSUPPORTED;
	return ivblk_is_possible(disk, io, buffers) ? IVBLK_OK : IVBLK_INVALID;
}

#endif /* IVSHMEM_BLK_H */
