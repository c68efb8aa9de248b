/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libivshmem: share memory with other virtual machines and wake them.
 *
 * One API on both sides: in a guest it works the character device of the
 * ivshmem driver, on the host it is a peer of its own, connected to an ivshmem
 * server (ivshmemd, or QEMU's ivshmem-server).
 *
 * In a guest it can also drive the device itself, without the driver: through
 * VFIO or through sysfs.  "In a guest" means the driver below; a process that
 * drives the device itself is what "on the host" says, unless told otherwise,
 * and it has all of the memory to itself, also the sections of drivers.
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
	IVSHMEM_BACKEND_VFIO = 3,   /**< the device, through VFIO */
	IVSHMEM_BACKEND_PCI = 4,    /**< the device, through sysfs: no interrupts */
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
 * @vectors:     vectors on which the caller can be rung, 0 to 256; through
 *               sysfs always 0
 * @doorbell:    1 if doorbells exist, else 0; through sysfs others can be rung
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
 * @address: "/dev/ivshmem0" (any path of a character device),
 *           "unix:/path/of/the/server.sock", "vfio:0000:00:10.0" (the device at
 *           this place, bound to vfio-pci) or "pci:0000:00:10.0" (bound to no
 *           driver); to the latter two of a device without doorbells, which
 *           has no peer id, ",slot=1" may be added
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
 *
 * Of "vfio:" and "pci:" also -EBUSY (another driver is bound to the device),
 * -EADDRINUSE (another process drives it; but several may look through sysfs,
 * with IVSHMEM_RDONLY), -ENODEV (it does not answer), -EINVAL (a slot for a
 * device that has doorbells), and of "vfio:" -EUNATCH (vfio-pci is not bound),
 * -EXDEV (another device of the same IOMMU group has a driver), -EPERM (without
 * an IOMMU: CAP_SYS_RAWIO is missing; with one: it does not remap interrupts),
 * -EOPNOTSUPP (VFIO lacks what is needed, for instance vfio_iommu_type1).
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
 * -EOPNOTSUPP (in a guest, whoever drives it: the device cannot tell).
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
 * then use it.  In a guest an access after the device has gone, or the region
 * was formatted anew, raises SIGBUS.  Through VFIO and sysfs the memory is mapped
 * uncached: on processors that heed this in a guest bulk data moves 10 to 100
 * times slower.
 *
 * Return: 0, -EINVAL (unaligned, out of range, other protection; in a guest, if
 * the memory is formatted, not within one RAW section), -EACCES (handle is
 * read-only), -ENODEV, -ENOMEM.
 */
LIBIVSHMEM_API int ivshmem_map(struct ivshmem *ivs, uint64_t offset,
			       size_t length, int prot, void **addr);

/** ivshmem_unmap() - undo ivshmem_map(); @length as given there, not 0. */
LIBIVSHMEM_API int ivshmem_unmap(void *addr, size_t length);

/**
 * ivshmem_export_dmabuf() - export a part of the shared memory as a dma-buf
 * @ivs:    the handle
 * @offset: byte offset, a multiple of the page size
 * @length: bytes, a multiple of the page size; 0 means up to the end of the
 *          memory
 * @prot:   PROT_READ, or PROT_READ | PROT_WRITE: what others may do with it
 *
 * The descriptor is close-on-exec, and stays when the handle is closed.  It is
 * mapped by mmap(2), at offset 0, given to another process or to a driver that
 * imports peer-to-peer, and closed by close(2).  When the device has gone or was
 * reset, or the region was formatted anew, the buffer is revoked for good:
 * accesses raise SIGBUS, and new mappings fail with ENODEV.
 *
 * Return: the descriptor, -EINVAL (unaligned, out of range, other protection; if
 * the memory is formatted, not within one RAW section), -EACCES (handle is
 * read-only), -EROFS (to be writable, but the region's features allow only to
 * read), -EAGAIN (the region is being formatted), -EOPNOTSUPP (the handle is not
 * of a node of the driver, or the driver or the kernel has no dma-bufs),
 * -ENODEV, -EMFILE, -ENFILE, -EINTR, -ENOMEM.
 */
LIBIVSHMEM_API int ivshmem_export_dmabuf(struct ivshmem *ivs, uint64_t offset,
					 size_t length, int prot);

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
 * IVSHMEM_RDONLY), -ENODEV, -EINTR.  In a guest, whoever drives the device, a
 * doorbell to a peer that does not exist succeeds: the device cannot tell.
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
 * -EOPNOTSUPP (no doorbells, or through sysfs: look at the memory instead),
 * -ENODEV (the device is gone; through VFIO: somebody wants to remove it, and
 * waits until the handle is closed and all is unmapped).
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

/*
 * The region: a formatted memory has sections, and a directory of the peers
 * that are there.  The calls below ask for them.  In a guest the driver answers
 * and takes part as a peer by itself; on the host the library looks into the
 * memory itself, and takes part once it is told to by ivshmem_join().
 *
 * Whoever can write to the memory can change what they say; it is checked, and
 * nothing that is wrong is reported as right, but a peer can lie about itself.
 *
 * On the host an access to memory that somebody made smaller raises SIGBUS, in
 * these calls, too.  Servers that seal it, as ivshmemd does with a memfd, make
 * that impossible; with memory=file: any peer can do it.
 *
 * Errors of all of them: -EINVAL (argument), -ENODEV (the device is gone),
 * -EOPNOTSUPP (the driver is older than the format), and on the host what
 * mmap(2) says, -ENOMEM or -EMFILE.
 */

enum ivshmem_region_state {
	IVSHMEM_UNFORMATTED = 0, /**< all of the memory belongs to programs */
	IVSHMEM_ATTACHED = 1,	 /**< formatted, and understood */
	IVSHMEM_REFUSED = 2,	 /**< formatted, but error says why not used */
};

/** &struct ivshmem_region.slot: the caller has none. */
#define LIBIVSHMEM_NO_SLOT (-1)

/**
 * struct ivshmem_region - how the memory is formatted
 * @state:     enum ivshmem_region_state; but for @reason and @changes all that
 *             follows is 0 if unformatted
 * @error:     why it was refused, enum ivregion_error of ivshmem/wire.h, or 0
 * @reason:    the same for people, without a full stop; never NULL, static
 * @failed:    index of the section that is the reason
 * @major:     version of the format
 * @minor:     likewise
 * @compat:    features that may be ignored
 * @ro_compat: features without which nothing may be written
 * @incompat:  features without which nothing can be read
 * @read_only: 1 if nothing may be written, for want of a feature, else 0
 * @instance:  another number each time that the memory is formatted
 * @uuid:      names the region for people and programs
 * @slots:     places for peers, 2 to 64; 0 unless attached
 * @sections:  how many, 0 to 32; 0 unless attached
 * @slot:      the caller's place, its peer id; LIBIVSHMEM_NO_SLOT if the id
 *             is beyond @slots, if the driver of a device without doorbells has
 *             none (yet), or unless attached
 * @epoch:     the caller's in the directory; 0 if it has not joined
 * @changes:   grows with each change of the region or of a peer
 */
struct ivshmem_region {
	uint32_t state;
	uint32_t error;
	const char *reason;
	uint32_t failed;
	uint32_t major;
	uint32_t minor;
	uint32_t compat;
	uint32_t ro_compat;
	uint32_t incompat;
	uint32_t read_only;
	uint32_t instance;
	uint8_t uuid[16];
	uint32_t slots;
	uint32_t sections;
	int32_t slot;
	uint32_t epoch;
	uint64_t changes;
};

/**
 * ivshmem_get_region() - how the memory is formatted now
 * @ivs:    the handle
 * @region: filled in
 *
 * Return: 0, or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_get_region(struct ivshmem *ivs,
				      struct ivshmem_region *region);

/** What a section is for. */
enum ivshmem_section_type {
	IVSHMEM_RAW = 1, /**< programs */
	IVSHMEM_NET = 2, /**< an Ethernet segment */
	IVSHMEM_BLK = 3, /**< a disk */
};

/**
 * struct ivshmem_section - a section of the region
 * @index:     which
 * @type:      enum ivshmem_section_type, or another in a newer format
 * @vector:    the receiver's vector for its kicks, 0 to 255
 * @queues:    pairs of rings in each of its links, 1 to 16
 * @ring_size: of the data of each ring, in bytes; 0 if it has no links
 * @usable:    1 if its type and features are known, else 0
 * @offset:    where it begins in the region, in bytes
 * @size:      in bytes
 * @name:      letters, digits, "-", "_" and "."
 */
struct ivshmem_section {
	uint32_t index;
	uint32_t type;
	uint32_t vector;
	uint32_t queues;
	uint32_t ring_size;
	uint32_t usable;
	uint64_t offset;
	uint64_t size;
	char name[33];
};

/**
 * ivshmem_get_section() - a section by its index
 * @ivs:     the handle
 * @index:   0 to &struct ivshmem_region.sections - 1
 * @section: filled in
 *
 * Return: 0; -ENOENT (no such section, or the region is not attached).
 */
LIBIVSHMEM_API int ivshmem_get_section(struct ivshmem *ivs, uint32_t index,
				       struct ivshmem_section *section);

/**
 * ivshmem_find_section() - a section by its name
 * @ivs:     the handle
 * @name:    the name
 * @section: filled in
 *
 * Return: 0; -ENOENT (no such section, or the region is not attached).
 */
LIBIVSHMEM_API int ivshmem_find_section(struct ivshmem *ivs, const char *name,
					struct ivshmem_section *section);

/**
 * ivshmem_map_section() - map all of a section
 * @ivs:     the handle; it may also be that of the section's own device node
 * @section: as another call has filled it in
 * @prot:    PROT_READ, or PROT_READ | PROT_WRITE
 * @addr:    where it is mapped; to be undone by ivshmem_unmap() with
 *           &struct ivshmem_section.size
 *
 * Unlike with ivshmem_map(), whose offsets count from the start of what the
 * node is for, it does not matter which node the handle is of.
 *
 * Once the region is formatted anew the mapping means nothing any more.  In a
 * guest an access may then raise SIGBUS.
 *
 * Return: 0; -ESTALE (there is no such section any more), -ENXIO (the device
 * node of another section), -EROFS (to be writable, but the region's features
 * allow only to read), or as ivshmem_map().  In a guest -EINVAL also if it is
 * no RAW section: the others belong to the driver.
 */
LIBIVSHMEM_API int ivshmem_map_section(struct ivshmem *ivs,
				       const struct ivshmem_section *section,
				       int prot, void **addr);

enum ivshmem_peer_state {
	IVSHMEM_ABSENT = 0, /**< nobody, or not known to be alive yet */
	IVSHMEM_ALIVE = 1,
	IVSHMEM_SILENT = 2, /**< its heartbeat stands still */
};

/**
 * struct ivshmem_peer - who is in a slot
 * @slot:       which; where there are doorbells also the peer id
 * @state:      enum ivshmem_peer_state
 * @epoch:      another number each time that it joins; 0 if it has left
 * @generation: the server's count of those who connected to the slot; 0 where
 *              no server keeps it
 * @vectors:    on how many it can be rung, 0 to 256, by its own word
 * @features:   what it can do; no bit is defined yet
 * @joins:      times that it was seen to join or to return
 * @name:       printable ASCII, by its own word; of the last one if absent
 */
struct ivshmem_peer {
	uint32_t slot;
	uint32_t state;
	uint32_t epoch;
	uint32_t generation;
	uint32_t vectors;
	uint32_t features;
	uint32_t joins;
	char name[41];
};

/**
 * ivshmem_get_peer() - who is in a slot
 * @ivs:  the handle
 * @slot: 0 to &struct ivshmem_region.slots - 1; one's own, too
 * @peer: filled in
 *
 * On the host, where no server tells who is connected, a peer is taken for
 * alive once its heartbeat was seen to move, which needs two looks of this
 * handle at least half a second apart; ivshmem_wait_change() looks meanwhile.
 *
 * Return: 0; -ENOENT (no such slot, or the region is not attached).
 */
LIBIVSHMEM_API int ivshmem_get_peer(struct ivshmem *ivs, uint32_t slot,
				    struct ivshmem_peer *peer);

/**
 * ivshmem_wait_change() - wait until the region or a peer has changed
 * @ivs:        the handle
 * @changes:    in: what is known, &struct ivshmem_region.changes of an earlier
 *              call, or 0; out: the present count
 * @timeout_ms: how long to wait; 0 only looks, -1 waits for ever
 *
 * Doorbells are not consumed, and several threads may wait at once.  On the
 * host it looks twice a second, and whenever the caller's vector 0 is rung.
 *
 * Return: 1 if there was a change, 0 when the time ran out; -EINTR.
 */
LIBIVSHMEM_API int ivshmem_wait_change(struct ivshmem *ivs, uint64_t *changes,
				       int timeout_ms);

/**
 * ivshmem_join() - take part as a peer, for others to see
 * @ivs:  the handle
 * @name: for others to print, cut after 40 characters; what is not printable
 *        ASCII becomes "?"; NULL for the host's name.  Not used in a guest
 *
 * In a guest the driver is the peer, and this only tells whether it has a slot.
 *
 * On the host it writes the caller's line in the directory, and starts a thread
 * that shows twice a second that the process lives.  Signals are blocked in the
 * thread, but for those that it could raise itself: SIGBUS (the memory was made
 * smaller), SIGSEGV, SIGFPE, SIGILL, whose handlers run in it.  If the region is
 * formatted anew, being a peer ends by itself: ivshmem_wait_change() tells,
 * &struct ivshmem_region.epoch is 0, and one can join again.
 *
 * If somebody else writes to that line, the caller joins again by itself, under
 * another epoch: at once the first time, then ever later, after 30 seconds at
 * most.
 *
 * After fork(2) the parent stays the peer.  The child has no such thread and
 * must not use the handle, but may close it.
 *
 * Return: 0; -EALREADY (has joined), -ENODATA (unformatted), -EPROTO (the
 * region was refused), -EROFS (its features allow only to read), -ENXIO (the
 * own peer id is beyond the slots of the region; or in a guest, on a device
 * without doorbells, the driver has no slot, or still chooses one), -EBADF
 * (opened with IVSHMEM_RDONLY), -EAGAIN (no thread can be had).
 */
LIBIVSHMEM_API int ivshmem_join(struct ivshmem *ivs, const char *name);

/**
 * ivshmem_leave() - take part no longer
 * @ivs: the handle
 *
 * ivshmem_close() does it, too.  In a guest it does nothing: the driver stays.
 *
 * Return: 0; -ENOTCONN (has not joined), -ESTALE (the region was formatted
 * anew since, so that there was nothing to leave).
 */
LIBIVSHMEM_API int ivshmem_leave(struct ivshmem *ivs);

/** &struct ivshmem_format_options.flags: even if peers are there */
#define IVSHMEM_FORCE (1U << 0)
/** &struct ivshmem_format_options.flags: leave it unformatted */
#define IVSHMEM_ERASE (1U << 1)

/**
 * struct ivshmem_format_options - how to format
 * @flags:   IVSHMEM_FORCE, IVSHMEM_ERASE
 * @slots:   places for peers, 2 to 64; 0: as many as before, or, if there is no
 *           format yet, as the server has told of, or else 8
 * @vectors: how many each peer has; 0: as many as the caller
 */
struct ivshmem_format_options {
	uint32_t flags;
	uint32_t slots;
	uint32_t vectors;
};

/**
 * ivshmem_format() - divide the memory into sections
 * @ivs:         the handle
 * @description: the sections in order, separated by commas:
 *               TYPE[=NAME][:SIZE][:KEY=VALUE]..., or "auto"; NULL with
 *               IVSHMEM_ERASE.  ivshmem(1) describes it
 * @options:     NULL for the defaults
 * @error:       set to a line for people about what went wrong, or to ""; may
 *               be NULL
 * @error_size:  of @error, in bytes; 256 are enough
 *
 * What lies in the sections stays, but for the words of links and rings.  A
 * region that is formatted already keeps its UUID.
 *
 * Unless forced, it refuses a region in which peers other than the caller are,
 * or which it does not understand.  To see whether they are it takes up to 1.5
 * seconds where no server tells.  If it is forced, they get two seconds to
 * leave; each notices by itself, and drivers attach to the new format.  A
 * handle on the host that has joined is no peer any more afterwards.
 *
 * Return: 0; -EINVAL (description or options; @error says what), -ENOSPC (the
 * sections do not fit), -EBUSY (peers are there, or the region is of another
 * version), -EBADF (opened with IVSHMEM_RDONLY), -EAGAIN (somebody else
 * formatted it at the same time), -EPERM (in a guest: the region is formatted
 * already, and the caller lacks CAP_SYS_ADMIN), -EOPNOTSUPP (the device node of
 * a section), -EINTR.
 */
LIBIVSHMEM_API int ivshmem_format(struct ivshmem *ivs, const char *description,
				  const struct ivshmem_format_options *options,
				  char *error, size_t error_size);

/*
 * Channels: messages to and from one other peer, through a section of type RAW.
 * In guest and host the same.
 *
 * A channel is one end of the link between two peers in a section.  There is
 * one such link, and each of its ends can be open once: a second one, also in
 * another process of the same machine, gets -EBUSY.  The other end is open when
 * a program over there opens a channel in the same section to our slot.
 *
 * A session begins when both are connected, and ends for both when either of
 * them closes its channel, ends, dies, or is restarted.  From then on every call
 * fails, until ivshmem_channel_connect() is called: so that nobody takes what
 * belongs to the next session for the last one's.
 *
 * Messages keep their bounds and their order, and none is lost or doubled as
 * long as the session lasts.  Each has a length from 0 up to
 * ivshmem_channel_max_length() and a word, its kind, that is up to the programs.
 * The ring has a limited size: who sends waits until there is room.
 *
 * Threads: one may send (send, reserve, commit, flush, drain) while another
 * receives (recv, peek, release); two that do the same wait for each other.
 * ivshmem_channel_connect() ends what others wait for only if the session is
 * over.  ivshmem_channel_close() is called when no other call runs.
 *
 * @timeout_ms of all calls: 0 does not wait, and then the error is -EAGAIN; -1
 * waits for ever; more are milliseconds, after which the error is -ETIMEDOUT.
 *
 * Errors of all calls that take a channel: -EINVAL (argument), -ENOTCONN (not
 * connected yet), -ECONNRESET (the session is over; connect anew), -EPROTO
 * (likewise, because the peer or somebody else has written what cannot be; it is
 * counted, and the next session is not begun at once), -ESTALE (the region was
 * formatted anew, or the caller is no peer any more: close the channel), -ENODEV
 * (the device is gone), -EINTR (a signal has come while it waited).
 *
 * Any peer of the region can read the messages, and change them while they are
 * there.  In a guest an access to memory of a device that goes away raises
 * SIGBUS, in these calls, too.
 */

/** struct ivshmem_channel - one end of a channel; opaque. */
struct ivshmem_channel;

/**
 * ivshmem_channel_open() - open one end of a channel
 * @ivs:     the handle; stays open until the channel is closed
 * @section: name of a section of type RAW; NULL if there is only one that is
 *           large enough for channels
 * @peer:    slot of the other end
 * @flags:   0
 * @out:     the channel; to be released by ivshmem_channel_close()
 *
 * On the host ivshmem_join() comes first.  The region's doorbells on the
 * section's vector are not taken away from others who wait for them.
 *
 * Return: 0; -ENOENT (no such section, or the region is not attached), -ENODATA
 * (@section is NULL and there is none), -ENOTUNIQ (likewise, several),
 * -EMEDIUMTYPE (the section is not of type RAW), -ENOSPC (it is too small for
 * channels), -EROFS (its features allow only to read), -EBADF (opened with
 * IVSHMEM_RDONLY), -ENXIO (no such slot, or one's own), -ENOTCONN (the caller is
 * no peer: on the host join, in a guest the device has no slot), -EBUSY (this
 * end is open already), or as ivshmem_open() and ivshmem_map_section().
 */
LIBIVSHMEM_API int ivshmem_channel_open(struct ivshmem *ivs,
					const char *section, uint32_t peer,
					unsigned int flags,
					struct ivshmem_channel **out);

/**
 * ivshmem_channel_close() - end the session, and release the channel
 * @channel: the channel, or NULL
 *
 * The peer learns at once.  What it has not received by then is lost: see
 * ivshmem_channel_drain().
 *
 * After fork(2) the channel stays the parent's.  The child must not use it, but
 * may close it, before the handle: that ends no session there.
 */
LIBIVSHMEM_API void ivshmem_channel_close(struct ivshmem_channel *channel);

/**
 * ivshmem_channel_connect() - wait until the other end is connected, too
 * @channel: the channel
 *
 * Does nothing while a session lasts.  After one that is over, what was got by
 * ivshmem_channel_reserve() or ivshmem_channel_peek() must not be used any more.
 * After -EAGAIN, and after -ETIMEDOUT too, the wait goes on with the next call;
 * meanwhile the other end may find itself connected once this one looks.
 *
 * Return: 0, or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_connect(struct ivshmem_channel *channel,
					   int timeout_ms);

/**
 * ivshmem_channel_max_length() - of a message, in bytes
 * @channel: the channel
 *
 * Nearly half the section's ring_size.
 */
LIBIVSHMEM_API size_t
ivshmem_channel_max_length(const struct ivshmem_channel *channel);

/** ivshmem_channel_send(): more follows at once; see ivshmem_channel_flush(). */
#define IVSHMEM_CHANNEL_MORE (1U << 0)
/** Kinds of messages are below this. */
#define IVSHMEM_CHANNEL_KINDS 0xffffffffU

/**
 * ivshmem_channel_send() - send a message
 * @channel: the channel
 * @data:    what to send; may be NULL if @length is 0
 * @length:  in bytes
 * @kind:    for the receiver, below IVSHMEM_CHANNEL_KINDS
 * @flags:   0 or IVSHMEM_CHANNEL_MORE
 *
 * Return: 0 once it is in the ring, -EMSGSIZE (too long), or an error as said
 * above.
 */
LIBIVSHMEM_API int ivshmem_channel_send(struct ivshmem_channel *channel,
					const void *data, size_t length,
					uint32_t kind, unsigned int flags,
					int timeout_ms);

/**
 * ivshmem_channel_reserve() - get room for a message, in place
 * @channel: the channel
 * @length:  in bytes, at most
 * @data:    where to write it, until ivshmem_channel_commit()
 *
 * Another call of it takes the place of this one.  When there is no room, what
 * was committed is shown to the peer before waiting.
 *
 * Return: 0, -EMSGSIZE (too long), or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_reserve(struct ivshmem_channel *channel,
					   size_t length, void **data,
					   int timeout_ms);

/**
 * ivshmem_channel_commit() - the message that was reserved is complete
 * @channel: the channel
 * @length:  in bytes, not more than was reserved
 * @kind:    for the receiver, below IVSHMEM_CHANNEL_KINDS
 *
 * The peer sees it after ivshmem_channel_flush(), or sooner.
 *
 * Return: 0, -EINVAL (also: nothing is reserved), or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_commit(struct ivshmem_channel *channel,
					  size_t length, uint32_t kind);

/**
 * ivshmem_channel_flush() - show the peer all that was committed
 * @channel: the channel
 *
 * Also what was sent with IVSHMEM_CHANNEL_MORE.  Several at once cost less.
 *
 * Return: 0, or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_flush(struct ivshmem_channel *channel);

/**
 * ivshmem_channel_drain() - wait until the peer has received all
 * @channel: the channel
 *
 * That is: taken out of the ring.  What it then does only it can tell.  A peer
 * that had received all when it closed the channel is no error here, but for
 * all other calls.
 *
 * Return: 0, or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_drain(struct ivshmem_channel *channel,
					 int timeout_ms);

/**
 * ivshmem_channel_recv() - receive a message
 * @channel: the channel
 * @data:    where to put it
 * @size:    bytes that fit there
 * @length:  out: bytes of the message, also of one that does not fit; or NULL
 * @kind:    out: as the sender gave it; or NULL
 *
 * Return: 0, -EMSGSIZE (it does not fit, and stays), or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_recv(struct ivshmem_channel *channel,
					void *data, size_t size,
					size_t *length, uint32_t *kind,
					int timeout_ms);

/**
 * ivshmem_channel_peek() - look at the next message, in place
 * @channel: the channel
 * @data:    out: where it is, until ivshmem_channel_release()
 * @length:  out: in bytes
 * @kind:    out: as the sender gave it; or NULL
 *
 * The peer can still change it: what has to be consistent is copied, then
 * checked, then used.
 *
 * Return: 0, or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_peek(struct ivshmem_channel *channel,
					const void **data, size_t *length,
					uint32_t *kind, int timeout_ms);

/**
 * ivshmem_channel_release() - be done with the message that was peeked
 * @channel: the channel
 *
 * Return: 0, -EINVAL (no message was peeked), or an error as said above.
 */
LIBIVSHMEM_API int ivshmem_channel_release(struct ivshmem_channel *channel);

/**
 * ivshmem_channel_fd() - a descriptor for poll(2), epoll(7) or io_uring(7)
 * @channel: the channel
 *
 * Becomes readable when a call that has returned -EAGAIN should be repeated, or
 * ivshmem_channel_connect() called; also now and then without reason.  It does
 * not tell of anything else: call first, poll when told -EAGAIN.  It belongs to
 * the channel: do not read from it and do not close it.
 *
 * Return: the descriptor, -EMFILE, -ENFILE, -ENOMEM.
 */
LIBIVSHMEM_API int ivshmem_channel_fd(struct ivshmem_channel *channel);

/**
 * ivshmem_channel_set_spin() - how long to look before going to sleep
 * @channel: the channel
 * @us:      microseconds of processor time at most, 0 to 100000.  What it is
 *           without this call suits streams.  0 is for machines whose peers
 *           have to share a processor
 *
 * Looking is faster than being woken.  It is shortened by itself while it does
 * not pay.
 *
 * Return: 0 or -EINVAL.
 */
LIBIVSHMEM_API int ivshmem_channel_set_spin(struct ivshmem_channel *channel,
					    unsigned int us);

enum ivshmem_channel_state {
	IVSHMEM_CHANNEL_IDLE = 0,	/**< not connected: nobody has asked */
	IVSHMEM_CHANNEL_CONNECTING = 1,	/**< waits for the other end */
	IVSHMEM_CHANNEL_UP = 2,		/**< messages can be sent */
	IVSHMEM_CHANNEL_OVER = 3,	/**< connect anew, or see @error */
};

/**
 * struct ivshmem_channel_status - where a channel stands
 * @state:     enum ivshmem_channel_state
 * @error:     what calls return now: 0 or a negative errno value
 * @slot:      own slot
 * @peer:      the other end's
 * @sessions:  times that it was connected
 * @faults:    sessions that ended with -EPROTO
 * @kicks:     times that the peer was rung
 * @sleeps:    times that a call went to sleep
 * @reason:    why the last session ended, for people, without a full stop;
 *             never NULL, static
 */
struct ivshmem_channel_status {
	uint32_t state;
	int32_t error;
	uint32_t slot;
	uint32_t peer;
	uint64_t sessions;
	uint64_t faults;
	uint64_t kicks;
	uint64_t sleeps;
	const char *reason;
};

/**
 * ivshmem_channel_get_status() - where a channel stands
 * @channel: the channel
 * @status:  filled in
 *
 * Return: 0 or -EINVAL.
 */
LIBIVSHMEM_API int
ivshmem_channel_get_status(struct ivshmem_channel *channel,
			   struct ivshmem_channel_status *status);

/** ivshmem_version() - version of the library that runs, "0.1.0". */
LIBIVSHMEM_API const char *ivshmem_version(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBIVSHMEM_H */
