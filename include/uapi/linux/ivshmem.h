/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * Userspace interface of the ivshmem driver: /dev/ivshmemN.
 *
 * One node stands for one PCI device 1af4:1110: a piece of memory that several
 * virtual machines (and their host) share, and, where the device has MSI-X,
 * doorbells by which they interrupt each other.
 *
 * The memory of an unformatted region belongs to programs as a whole.  One that
 * is formatted (include/ivshmem/wire.h) has sections, and a node of its own for
 * each RAW section, /dev/ivshmemN.NAME, which does the same as that of the
 * device but for the memory: its offsets count from the start of the section.
 * A region that is formatted while it is in use changes over within a second:
 * mappings of what does not belong to programs any more are revoked.
 *
 * open(2)
 *	O_RDONLY	query the device, wait for doorbells, map read-only
 *	O_RDWR		also ring doorbells and map writable
 *	O_NONBLOCK	read(2) and IVSHMEM_IOC_RING fail with EAGAIN instead of
 *			waiting
 *	Rights are those of the moment of open(2) and travel with the
 *	descriptor.  A new file is subscribed to every vector of the device and
 *	has seen no event yet: only doorbells from now on count.
 *	Errors: ENXIO or ENODEV (device gone), EUSERS (512 files are open
 *	already), ENOMEM.
 *
 * mmap(2)
 *	The offset is a byte offset into the shared memory, page-aligned; offset
 *	plus length must lie within &struct ivshmem_ioc_info.memory_size, and, if
 *	the region is formatted, within one RAW section.  In a region that was
 *	refused nothing can be mapped, nor while it is unsettled: while it is
 *	being formatted, or after it was so often in a minute that the driver
 *	holds it back.
 *	MAP_SHARED only, never executable.  Pages appear on first access.  When
 *	the device goes away every mapping is revoked: an access then raises
 *	SIGBUS.
 *	Errors: EINVAL (out of range, or MAP_PRIVATE), EPERM (PROT_EXEC, also
 *	where the personality READ_IMPLIES_EXEC adds it), EACCES (writable
 *	mapping of a read-only file), EOVERFLOW (offset plus length exceeds 64
 *	bits), EROFS (writable mapping of a region whose features allow only to
 *	read), EAGAIN (unsettled), ENOMEM, ENODEV (device gone, or the section
 *	of this node).
 *	The memory has no struct page: O_DIRECT I/O and registered buffers into
 *	it fail with EFAULT.  Devices reach it by IVSHMEM_IOC_DMABUF.
 *
 * read(2)
 *	Returns as many whole &struct ivshmem_event_record as fit and are
 *	pending, one per vector, in vector order, and consumes them for this
 *	file only.  Every open file sees every doorbell; several doorbells on a
 *	vector before a read are one record with their count.  Blocks while
 *	nothing is pending.
 *	Errors: EINVAL (buffer shorter than one record), EAGAIN (O_NONBLOCK and
 *	nothing pending), EINTR, ENODEV (device gone, and nothing pending is
 *	reported any more), EOPNOTSUPP (the device has no vectors), EFAULT (the
 *	events stay pending).
 *
 * poll(2)
 *	EPOLLIN while a subscribed vector has events; EPOLLPRI when peers came,
 *	went or changed, or the region did, since this file last asked by
 *	IVSHMEM_IOC_REGION; EPOLLERR | EPOLLHUP once the device is gone, or the
 *	section of this node.  Also under epoll(7) and io_uring(7).
 *
 * A doorbell is a hint that the memory changed.  Doorbells can be lost while
 * the receiver is being reset, and any peer can ring at any time.  After
 * system sleep or a reset of the function every vector counts one event,
 * because doorbells may have been lost meanwhile.  A vector that is rung more
 * often than the sysfs attribute irq_rate allows rests for some milliseconds;
 * what came meanwhile counts as one.
 */
#ifndef _UAPI_LINUX_IVSHMEM_H
#define _UAPI_LINUX_IVSHMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Every argument starts with its own size, so that it can grow: a kernel
 * accepts a shorter (older) structure of at least the size shown here, and a
 * longer (newer) one if all that it does not know is zero, else E2BIG.
 *
 * Common errors of all commands: ENOTTY (unknown command), EINVAL (size too
 * small, unknown flag, reserved field not zero), E2BIG (size beyond a page, or
 * unknown fields in use), EFAULT, ENODEV (device gone).
 */
#define IVSHMEM_IOC_MAGIC	0xd6

#define IVSHMEM_IOC_INFO	_IO(IVSHMEM_IOC_MAGIC, 0x00)
#define IVSHMEM_IOC_SUBSCRIBE	_IO(IVSHMEM_IOC_MAGIC, 0x01)
#define IVSHMEM_IOC_EVENTFD	_IO(IVSHMEM_IOC_MAGIC, 0x02)
#define IVSHMEM_IOC_RING	_IO(IVSHMEM_IOC_MAGIC, 0x03)
#define IVSHMEM_IOC_REGION	_IO(IVSHMEM_IOC_MAGIC, 0x04)
#define IVSHMEM_IOC_SECTION	_IO(IVSHMEM_IOC_MAGIC, 0x05)
#define IVSHMEM_IOC_PEER	_IO(IVSHMEM_IOC_MAGIC, 0x06)
#define IVSHMEM_IOC_FORMAT	_IO(IVSHMEM_IOC_MAGIC, 0x07)
#define IVSHMEM_IOC_DMABUF	_IO(IVSHMEM_IOC_MAGIC, 0x08)

/*
 * Vectors that the driver uses.  QEMU honours only the low eight bits of a
 * doorbell's vector on its slow path, so that higher ones would alias.
 */
#define IVSHMEM_MAX_VECTORS	256
/* Peer ids are 16 bits wide in the doorbell register. */
#define IVSHMEM_MAX_PEERS	65536

/* &struct ivshmem_ioc_info.features */
#define IVSHMEM_FEATURE_DOORBELL	(1U << 0) /* MSI-X and a doorbell */

/* &struct ivshmem_ioc_info.cache_mode: what the page tables say */
#define IVSHMEM_CACHE_UNKNOWN		0 /* cannot be told here */
#define IVSHMEM_CACHE_WB		1 /* write-back, what it should be */
#define IVSHMEM_CACHE_WT		2 /* write-through */
#define IVSHMEM_CACHE_WC		3 /* write-combining */
#define IVSHMEM_CACHE_UC		4 /* uncached */

/**
 * struct ivshmem_ioc_info - what the device is (IVSHMEM_IOC_INFO)
 * @size:        in: sizeof(struct ivshmem_ioc_info); out: the bytes that the
 *               kernel filled in
 * @flags:       in: 0; out: 0
 * @memory_size: out: size of the shared memory in bytes, a power of two; on the
 *               node of a section that of the section, a multiple of 4096
 * @features:    out: IVSHMEM_FEATURE_*
 * @peer_id:     out: own id (IVPosition), 0 to 65535.  Without
 *               IVSHMEM_FEATURE_DOORBELL it is 0 and means nothing
 * @vectors:     out: vectors on which this device can be interrupted, 0 to 256
 * @cache_mode:  out: IVSHMEM_CACHE_*, as granted, whatever was asked for
 * @revision:    out: PCI revision of the device, 0 or 1
 * @reserved:    in: 0; out: 0
 *
 * The device is asked for its id anew: a device that does not answer (reads of
 * all ones) is treated as removed.
 *
 * Errors: the common ones.
 */
struct ivshmem_ioc_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 memory_size;
	__u32 features;
	__u32 peer_id;
	__u32 vectors;
	__u32 cache_mode;
	__u32 revision;
	__u32 reserved;
};

/**
 * struct ivshmem_ioc_subscribe - choose the vectors of this file
 *                                (IVSHMEM_IOC_SUBSCRIBE)
 * @size:    in: sizeof(struct ivshmem_ioc_subscribe)
 * @flags:   in: 0
 * @vectors: in: bit v % 64 of word v / 64 is set to be told of vector v; the
 *           whole set is replaced, and may be empty
 *
 * A vector that was subscribed before keeps its pending events; a new one
 * starts with none.
 *
 * Errors: the common ones; EINVAL (a vector that the device does not have),
 * EOPNOTSUPP (no vectors), EBADF (file not open for reading).
 */
struct ivshmem_ioc_subscribe {
	__u32 size;
	__u32 flags;
	__aligned_u64 vectors[IVSHMEM_MAX_VECTORS / 64];
};

/**
 * struct ivshmem_ioc_eventfd - signal an eventfd(2) on a vector
 *                              (IVSHMEM_IOC_EVENTFD)
 * @size:   in: sizeof(struct ivshmem_ioc_eventfd)
 * @flags:  in: 0
 * @vector: in: the vector, 0 to vectors - 1
 * @fd:     in: eventfd to add 1 to at each interrupt, or -1 to unbind
 *
 * A file binds at most one eventfd to each vector; a new one takes the place
 * of the old one.  Bindings are independent of subscriptions and end with the
 * file, that is with its last descriptor and its last mapping.  When the
 * device goes away the bound eventfds are signalled once more, so that waiters
 * look.
 *
 * Errors: the common ones; EINVAL (vector out of range, fd is not an eventfd),
 * EBADF (fd is not open, or file not open for reading), ENOENT (nothing to
 * unbind), EOPNOTSUPP (no vectors), ENOMEM.
 */
struct ivshmem_ioc_eventfd {
	__u32 size;
	__u32 flags;
	__u32 vector;
	__s32 fd;
};

/**
 * struct ivshmem_ioc_ring - interrupt a peer (IVSHMEM_IOC_RING)
 * @size:   in: sizeof(struct ivshmem_ioc_ring)
 * @flags:  in: 0
 * @peer:   in: id of the peer, 0 to 65535; one's own works, too
 * @vector: in: vector of that peer, 0 to 255
 *
 * All earlier writes of the caller to the shared memory are visible to the
 * peer before the interrupt.  The device tells neither whether the peer exists
 * nor whether it has that vector: a doorbell to nobody succeeds.
 *
 * Files opened without CAP_SYS_ADMIN share the device's rate limit (the sysfs
 * attribute ring_rate): beyond it the call waits for its turn, or fails with
 * EAGAIN when the file is O_NONBLOCK.
 *
 * Errors: the common ones; EINVAL (peer or vector out of range), EOPNOTSUPP
 * (no doorbells), EBADF (file not open for writing), EAGAIN, EINTR.
 */
struct ivshmem_ioc_ring {
	__u32 size;
	__u32 flags;
	__u32 peer;
	__u32 vector;
};

/* &struct ivshmem_ioc_region.state */
#define IVSHMEM_REGION_UNFORMATTED	0 /* all of it belongs to programs */
#define IVSHMEM_REGION_ATTACHED		1 /* formatted, and used as such */
#define IVSHMEM_REGION_REFUSED		2 /* formatted, but see error */
#define IVSHMEM_REGION_UNSETTLED	3 /* changing: nothing can be mapped */

/* &struct ivshmem_ioc_region.attributes */
#define IVSHMEM_REGION_READ_ONLY	(1U << 0) /* features forbid writing */

/* &struct ivshmem_ioc_region.slot: none */
#define IVSHMEM_NO_SLOT			(~0U)

/**
 * struct ivshmem_ioc_region - how the memory is formatted, and whether peers
 *                             changed (IVSHMEM_IOC_REGION)
 * @size:       in: sizeof(struct ivshmem_ioc_region); out: the bytes that the
 *              kernel filled in
 * @flags:      in: 0; out: 0
 * @changes:    out: grows with each change of the region or of a peer; what
 *              poll(2) reports as EPOLLPRI is behind this file with this call
 * @state:      out: IVSHMEM_REGION_*; what follows is 0 if unformatted or
 *              unsettled, but for @slot
 * @error:      out: why it was refused, enum ivregion_error; else 0
 * @failed:     out: the section that was the reason
 * @major:      out: version of the format
 * @minor:      out: likewise
 * @compat:     out: features that may be ignored
 * @ro_compat:  out: features without which nothing may be written
 * @incompat:   out: features without which nothing can be read
 * @attributes: out: IVSHMEM_REGION_READ_ONLY
 * @instance:   out: another number each time that the region is formatted
 * @slots:      out: places for peers
 * @slot:       out: own place, or IVSHMEM_NO_SLOT: this kernel is no peer
 * @epoch:      out: own epoch in the directory of peers; 0 if not in it, as for
 *              some time after somebody else has written there
 * @sections:   out: how many
 * @uuid:       out: of the region
 *
 * Errors: the common ones.
 */
struct ivshmem_ioc_region {
	__u32 size;
	__u32 flags;
	__aligned_u64 changes;
	__u32 state;
	__u32 error;
	__u32 failed;
	__u32 major;
	__u32 minor;
	__u32 compat;
	__u32 ro_compat;
	__u32 incompat;
	__u32 attributes;
	__u32 instance;
	__u32 slots;
	__u32 slot;
	__u32 epoch;
	__u32 sections;
	__u8 uuid[16];
};

/* &struct ivshmem_ioc_section.attributes */
#define IVSHMEM_SECTION_USABLE	(1U << 0) /* type and features are known */
#define IVSHMEM_SECTION_NODE	(1U << 1) /* it is the one of this node */

/**
 * struct ivshmem_ioc_section - a section of the region (IVSHMEM_IOC_SECTION)
 * @size:       in: sizeof(struct ivshmem_ioc_section); out: the bytes that the
 *              kernel filled in
 * @flags:      in: 0; out: 0
 * @index:      in: which, 0 to &struct ivshmem_ioc_region.sections - 1
 * @type:       out: enum ivregion_type
 * @offset:     out: where it begins in the region, in bytes
 * @length:     out: its size, in bytes
 * @vector:     out: the receiver's vector for its kicks
 * @queues:     out: pairs of rings in each of its links
 * @ring_size:  out: of the data of each ring, in bytes; 0 if there is no room
 *              for links
 * @attributes: out: IVSHMEM_SECTION_*
 * @name:       out: ends with 0
 *
 * Errors: the common ones; ENOENT (no such section, or the region is not
 * attached).
 */
struct ivshmem_ioc_section {
	__u32 size;
	__u32 flags;
	__u32 index;
	__u32 type;
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 vector;
	__u32 queues;
	__u32 ring_size;
	__u32 attributes;
	__u8 name[40];
};

/* &struct ivshmem_ioc_peer.state */
#define IVSHMEM_PEER_ABSENT	0 /* nobody, or not known to be alive yet */
#define IVSHMEM_PEER_ALIVE	1
#define IVSHMEM_PEER_SILENT	2 /* its heartbeat stands still */

/**
 * struct ivshmem_ioc_peer - who is in a slot (IVSHMEM_IOC_PEER)
 * @size:       in: sizeof(struct ivshmem_ioc_peer); out: the bytes that the
 *              kernel filled in
 * @flags:      in: 0; out: 0
 * @slot:       in: which, 0 to &struct ivshmem_ioc_region.slots - 1; one's own,
 *              too
 * @state:      out: IVSHMEM_PEER_*, as this kernel last saw it
 * @epoch:      out: another number each time that it joins; 0 if nobody did
 * @generation: out: the server's count of those who connected to the slot
 * @vectors:    out: on how many it can be rung, 0 to 256
 * @features:   out: what it can do; no bit is defined yet
 * @joins:      out: times that it was seen to join or to return
 * @reserved:   in: 0; out: 0
 * @name:       out: printable ASCII, ends with 0.  The peer's own word
 *
 * Errors: the common ones; ENOENT (no such slot, or the region is not
 * attached).
 */
struct ivshmem_ioc_peer {
	__u32 size;
	__u32 flags;
	__u32 slot;
	__u32 state;
	__u32 epoch;
	__u32 generation;
	__u32 vectors;
	__u32 features;
	__u32 joins;
	__u32 reserved;
	__u8 name[48];
};

/* &struct ivshmem_ioc_format.flags */
#define IVSHMEM_FORMAT_FORCE	(1U << 0) /* even if peers are there */
#define IVSHMEM_FORMAT_ERASE	(1U << 1) /* leave it unformatted */

/**
 * struct ivshmem_ioc_format - format the region (IVSHMEM_IOC_FORMAT)
 * @size:       in: sizeof(struct ivshmem_ioc_format); out: the bytes that the
 *              kernel filled in
 * @flags:      in: IVSHMEM_FORMAT_*; out: the same
 * @superblock: in: address of 4096 bytes, a struct ivregion_superblock without
 *              regard to its magic; 0 with IVSHMEM_FORMAT_ERASE
 * @error:      in: 0; out: what is wrong with it, enum ivregion_error
 * @failed:     in: 0; out: the section that is wrong
 *
 * Only words of links, rings and the directory are cleared; what else lies in
 * the sections stays.  This kernel has left the old format and attached to the
 * new one when the call returns; other peers follow within a second.  With
 * IVSHMEM_FORMAT_FORCE the call gives those who are there two seconds to leave.
 *
 * Peers that are silent are there, too; for those of whom nothing is known yet
 * the call waits until their hearts must have beaten, 1.5 seconds.
 *
 * Errors: the common ones; EINVAL (also: @error says what; or the instance is
 * that of the present format), EPERM (the region is formatted, refused or
 * unsettled, and the file was opened without CAP_SYS_ADMIN), EBUSY (peers, this kernel aside,
 * are there, or the region is refused because its version or its features are
 * unknown, so that they may be, and IVSHMEM_FORMAT_FORCE is not given), EBADF (file not open for
 * writing), EOPNOTSUPP (the node of a section, or the memory is mapped
 * write-combining), EINTR (the region may be left
 * unformatted), EIO (it was written but is not attached, since somebody else has
 * changed it at once, or memory was short), ENOMEM.
 */
struct ivshmem_ioc_format {
	__u32 size;
	__u32 flags;
	__aligned_u64 superblock;
	__u32 error;
	__u32 failed;
};

/**
 * struct ivshmem_ioc_dmabuf - export a part of the memory as a dma-buf
 *                             (IVSHMEM_IOC_DMABUF)
 * @size:       in: sizeof(struct ivshmem_ioc_dmabuf)
 * @flags:      in: 0
 * @open_flags: in: O_RDONLY or O_RDWR, and O_CLOEXEC, as for open(2)
 * @reserved:   in: 0
 * @offset:     in: where the part begins, as an offset for mmap(2) of this file;
 *              a multiple of the page size
 * @length:     in: its size, likewise; not 0
 *
 * The call returns a new descriptor, of the part only: whoever gets it can map
 * it, at offset 0, or give it to a driver whose device then uses the memory by
 * DMA.  What can be exported is what mmap(2) would map, at this moment.  The
 * right to write is that of @open_flags.
 *
 * The buffer is revoked, for good, when the device goes away or is reset, when
 * its driver is unbound, and when the region is formatted or attached anew: an
 * access to a mapping then raises SIGBUS, mmap(2) and drivers that map it get
 * ENODEV, and drivers that have it mapped are told to stop.  The descriptor then
 * is good for close(2) only.  It does not keep this file open, but the module.
 *
 * The memory has no struct page and is reached as a PCI BAR: only drivers that
 * import peer-to-peer and let go when told can import it, others get EOPNOTSUPP,
 * and those that write, or might, get EACCES of an O_RDONLY buffer.  The memory
 * is coherent: DMA_BUF_IOCTL_SYNC waits for fences and does nothing else.
 *
 * Errors: the common ones; EINVAL (also: not as @offset and @length ask for, or
 * not within what mmap(2) maps), EACCES (file not open for reading, or O_RDWR
 * and not open for writing), EROFS (O_RDWR of a region that may only be read),
 * EAGAIN (unsettled), EOPNOTSUPP (kernel without CONFIG_DMA_SHARED_BUFFER),
 * EUSERS (4096 parts are exported already), EMFILE, ENFILE, EINTR, ENOMEM.
 */
struct ivshmem_ioc_dmabuf {
	__u32 size;
	__u32 flags;
	__u32 open_flags;
	__u32 reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
};

/**
 * struct ivshmem_event_record - what read(2) returns
 * @vector:   the vector that was rung
 * @reserved: 0
 * @count:    interrupts on it since this file last read the vector, 1 or more.
 *            Interrupts that arrive together may be delivered as one
 */
struct ivshmem_event_record {
	__u32 vector;
	__u32 reserved;
	__aligned_u64 count;
};

#endif /* _UAPI_LINUX_IVSHMEM_H */
