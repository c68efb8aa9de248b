/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libivshmem: share memory with other virtual machines and wake them.
 *
 * One API on both sides: in a guest it works the character device of the
 * ivshmem driver, on the host it is a peer of its own, connected to an ivshmem
 * server (ivshmemd, or QEMU's ivshmem-server).
 *
 * Functions that can fail return 0 (or a count) or a negative errno value;
 * errno itself is neither set nor read.  A handle may be used by several
 * threads at once, except while ivshmem_close() runs.
 */
#ifndef LIBIVSHMEM_H
#define LIBIVSHMEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBIVSHMEM_API __attribute__((visibility("default")))

/** Vectors that can be waited for, at most. */
#define LIBIVSHMEM_MAX_VECTORS 256
/** Peer ids are below this. */
#define LIBIVSHMEM_MAX_PEERS 65536

/** struct ivshmem - an open device or server connection; opaque. */
struct ivshmem;

/** ivshmem_open(): only look, never ring or write. */
#define IVSHMEM_RDONLY (1U << 0)

enum ivshmem_backend {
	IVSHMEM_BACKEND_DEVICE = 1, /**< /dev/ivshmemN of the kernel driver */
	IVSHMEM_BACKEND_SERVER = 2, /**< UNIX socket of an ivshmem server */
};

/** How the memory is cached in the caller's mappings. */
enum ivshmem_cache {
	IVSHMEM_CACHED_UNKNOWN = 0,
	IVSHMEM_CACHED_WB = 1,
	IVSHMEM_CACHED_WT = 2,
	IVSHMEM_CACHED_WC = 3,
	IVSHMEM_CACHED_UC = 4,
};

/**
 * struct ivshmem_info - what the device or link is
 * @backend:     enum ivshmem_backend
 * @peer_id:     own id, 0 to 65535; meaningless without @doorbell
 * @vectors:     vectors on which the caller can be rung, 0 to 256
 * @doorbell:    1 if doorbells exist, else 0
 * @memory_size: size of the shared memory in bytes
 * @cache:       enum ivshmem_cache
 * @revision:    PCI revision of the device; 0 for a server connection
 */
struct ivshmem_info {
	uint32_t backend;
	uint32_t peer_id;
	uint32_t vectors;
	uint32_t doorbell;
	uint64_t memory_size;
	uint32_t cache;
	uint32_t revision;
};

/**
 * struct ivshmem_event - a vector that was rung, and how often
 * @vector: the vector
 * @count:  doorbells since it was last reported, 1 or more (several that
 *          arrive together may count as one)
 */
struct ivshmem_event {
	uint32_t vector;
	uint64_t count;
};

/**
 * ivshmem_open() - open a device or join a link as a peer
 * @address: "/dev/ivshmem0" (any path of a character device) or
 *           "unix:/path/of/the/server.sock"
 * @flags:   0 or IVSHMEM_RDONLY
 * @out:     the handle; to be released by ivshmem_close()
 *
 * Return: 0; -EINVAL (unknown flag or malformed address), -ENOENT, -EACCES,
 * -ENOTTY (not an ivshmem device), -ECONNREFUSED (no server behind the
 * socket), -EPROTO (the server speaks another protocol version, or nonsense),
 * -ETIMEDOUT (the server does not answer within five seconds), -EMFILE (more
 * descriptors needed than the process may have), -ENOMEM, or what open(2) or
 * connect(2) say.  ivshmemd refuses with -EUSERS (no free slot), -EACCES (not
 * for this user), -ENFILE (it is out of descriptors) or -ESHUTDOWN.
 */
LIBIVSHMEM_API int ivshmem_open(const char *address, unsigned int flags,
				struct ivshmem **out);

/**
 * ivshmem_close() - release a handle and its mappings' backing descriptor
 * @ivs: the handle, or NULL
 *
 * Mappings made by ivshmem_map() stay valid until ivshmem_unmap().
 */
LIBIVSHMEM_API void ivshmem_close(struct ivshmem *ivs);

/**
 * ivshmem_get_info() - query the device or link
 * @ivs: the handle
 * Return: 0, -EINVAL, -ENODEV (the device is gone).
 */
LIBIVSHMEM_API int ivshmem_get_info(struct ivshmem *ivs,
				    struct ivshmem_info *info);

/**
 * ivshmem_peer_vectors() - how many vectors a peer can be rung on
 * @ivs: the handle
 * @peer: its id
 *
 * Return: 1 to 256; -ENXIO (no such peer is known), -EINVAL (out of range),
 * -EOPNOTSUPP (in a guest: the device cannot tell).
 */
LIBIVSHMEM_API int ivshmem_peer_vectors(struct ivshmem *ivs, uint32_t peer);

/**
 * ivshmem_map() - map a part of the shared memory
 * @ivs: the handle
 * @offset: byte offset, a multiple of the page size
 * @length: bytes; 0 means up to the end of the memory
 * @prot:   PROT_READ, or PROT_READ | PROT_WRITE
 * @addr:   where it is mapped
 *
 * Other peers change this memory at any time: read each word once, check it,
 * then use it.  In a guest an access after the device has gone raises SIGBUS.
 *
 * Return: 0, -EINVAL (unaligned, out of range, other protection), -EACCES
 * (handle is read-only), -ENODEV, -ENOMEM.
 */
LIBIVSHMEM_API int ivshmem_map(struct ivshmem *ivs, uint64_t offset,
			       size_t length, int prot, void **addr);

/** ivshmem_unmap() - undo ivshmem_map(); @length as given there, not 0. */
LIBIVSHMEM_API int ivshmem_unmap(void *addr, size_t length);

/**
 * ivshmem_ring() - interrupt a peer
 * @ivs: the handle
 * @peer:   its id
 * @vector: its vector, 0 to 255
 *
 * What the caller wrote to the memory before is visible to the peer first.
 *
 * Return: 0; -EINVAL (out of range), -ENXIO (server connection: no such peer
 * or vector is known), -EOPNOTSUPP (no doorbells), -EBADF (opened with
 * IVSHMEM_RDONLY), -ENODEV, -EINTR.  In a guest a doorbell to a peer that does
 * not exist succeeds: the device cannot tell.
 */
LIBIVSHMEM_API int ivshmem_ring(struct ivshmem *ivs, uint32_t peer,
				uint32_t vector);

/**
 * ivshmem_subscribe() - choose the vectors that are waited for
 * @ivs: the handle
 * @vectors: bit v % 64 of word v / 64 stands for vector v; 256 bits.
 *           At open all vectors are subscribed.
 *
 * Return: 0, -EINVAL (a vector that does not exist), -EOPNOTSUPP, -ENODEV.
 */
LIBIVSHMEM_API int ivshmem_subscribe(struct ivshmem *ivs,
				     const uint64_t vectors[4]);

/**
 * ivshmem_wait() - wait for doorbells and consume them
 * @ivs: the handle
 * @events:     filled in, one entry a vector
 * @max:        entries that @events can hold, at least 1
 * @timeout_ms: how long to wait; 0 only looks, -1 waits for ever
 *
 * Return: number of entries; 0 when the time ran out; -EINVAL, -EINTR,
 * -EOPNOTSUPP (no doorbells), -ENODEV (device gone).
 */
LIBIVSHMEM_API int ivshmem_wait(struct ivshmem *ivs,
				struct ivshmem_event *events, unsigned int max,
				int timeout_ms);

/**
 * ivshmem_fd() - a descriptor for poll(2), epoll(7) or io_uring(7)
 * @ivs: the handle
 *
 * Readable when ivshmem_wait() has something to do.  It belongs to the handle:
 * do not read from it and do not close it.
 *
 * Return: the descriptor.
 */
LIBIVSHMEM_API int ivshmem_fd(struct ivshmem *ivs);

/** ivshmem_version() - version of the library that runs, "0.1.0". */
LIBIVSHMEM_API const char *ivshmem_version(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBIVSHMEM_H */
