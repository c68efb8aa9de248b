/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the core share: the device, its vectors, its open files,
 * and how its memory is formatted.
 */
#ifndef _IVSHMEM_CORE_H
#define _IVSHMEM_CORE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <linux/ivshmem.h>
#include <ivshmem/slot.h>

/* Registers in BAR 0, 32 bits wide, little-endian (QEMU ivshmem-spec) */
#define IVSHMEM_REG_IVPOSITION	0x08
#define IVSHMEM_REG_DOORBELL	0x0c
#define IVSHMEM_REGS_SIZE	0x10

#define IVSHMEM_BAR_REGS	0
#define IVSHMEM_BAR_MSIX	1
#define IVSHMEM_BAR_MEMORY	2

/* Doorbells and interrupts a second; see ring_rate and irq_rate */
#define IVSHMEM_RATE_DEFAULT	100000

/*
 * Files that may be open at once.  The interrupt handler visits each of them,
 * so there must be a bound that no user can move.
 */
#define IVSHMEM_MAX_FILES	512

/* Exported parts that there may be at once: each is visited when it is revoked */
#define IVSHMEM_MAX_BUFFERS	4096

/*
 * What a device's watchdog gives a job; fences of none take longer.  When the
 * region is formatted anew others wait, who would take this peer for dead.
 */
#define IVSHMEM_DRAIN_MS	10000
#define IVSHMEM_DRAIN_FORMAT_MS	1000

/* Names of all sections that there can be, each with what follows it */
#define IVSHMEM_PROGRAMS_MAX	(IVREGION_SECTIONS_MAX * \
				 (IVREGION_SECTION_NAME + 1))

/*
 * Numbers of devices, and so their minors, are below this; minors of sections'
 * nodes are not.
 */
#define IVSHMEM_MAX_DEVICES	65536

struct dma_buf;
struct eventfd_ctx;
struct ivshmem_function;
struct ivshmem_node;
struct seq_file;

/**
 * struct ivshmem_vector - one MSI-X vector
 * @ivd: its device
 * @index: its number, as peers know it
 * @irq: Linux interrupt number
 * @count: interrupts since probe; only ever grows, so that each file can keep
 *	   its own cursor into it
 * @window: jiffies at which the current window of the rate limit began; only
 *	    the interrupt handler uses it
 * @burst: interrupts in that window; likewise
 * @unmask: ends a pause that the rate limit began
 * @name: in /proc/interrupts
 */
struct ivshmem_vector {
	struct ivshmem_device *ivd;
	u32 index;
	int irq;
	atomic64_t count;
	unsigned long window;
	unsigned int burst;
	struct delayed_work unmask;
	char name[32];
};

/**
 * struct ivshmem_format - a superblock that was found in the memory
 * @rcu: frees it after the last interrupt that may have seen it
 * @ref: held by the device, by each function and by each section's node
 * @error: why it is refused, or IVREGION_OK
 * @major: its version
 * @region: what it says; if refused, what was understood
 * @programs: a bit for each section that programs use, not a driver
 * @entered: this kernel is a peer of it, as far as it shall be; guarded by
 *	     &ivshmem_device.region_lock
 * @gone: it is not in force any more: nothing is written to the region in its
 *	  name.  Never reset
 * @peers_lock: guards @peers against readers; a look at one slot long
 * @peers: the directory, as last seen.  Changed under
 *	   &ivshmem_device.region_lock, too
 * @vectors: the &ivpeer.vectors of @peers, for who rings without a lock; 0
 *	     where nobody is
 * @events: what the last look has shown, until functions are told
 * @functions: one for each section of a function; RCU, changed under
 *	       &ivshmem_device.region_lock
 * @nodes: one for each section of programs; likewise, without RCU
 *
 * All but these is constant once it is published.
 */
struct ivshmem_format {
	struct rcu_head rcu;
	struct kref ref;
	enum ivregion_error error;
	u32 major;
	struct ivregion region;
	u32 programs;
	bool entered;
	bool gone;

	spinlock_t peers_lock;
	struct ivpeer peers[IVREGION_SLOTS_MAX];
	u16 vectors[IVREGION_SLOTS_MAX];
	u8 events[IVREGION_SLOTS_MAX];

	struct ivshmem_function __rcu *functions[IVREGION_SECTIONS_MAX];
	struct ivshmem_node *nodes[IVREGION_SECTIONS_MAX];
};

/* &ivshmem_self.wanted: one that is free, chosen by this kernel */
#define IVSHMEM_AUTO_SLOT	(IVSHMEM_NO_SLOT - 1)

enum ivshmem_choice {
	IVSHMEM_CHOICE_NONE,	/* the slot was given, or there shall be none */
	IVSHMEM_CHOICE_LOOK,	/* looking for one that is free */
	IVSHMEM_CHOICE_FULL,	/* none is; still looking */
	IVSHMEM_CHOICE_CLAIM,	/* one is claimed */
	IVSHMEM_CHOICE_MADE,	/* it is the own one */
};

/**
 * struct ivshmem_self - this kernel as a peer of the region
 * @wanted: the slot that the administrator gave a plain device,
 *	    IVSHMEM_AUTO_SLOT, or IVSHMEM_NO_SLOT
 * @given: the slot that the server gave, within the region or not; or
 *	   IVSHMEM_NO_SLOT if it was not asked
 * @given_name: the name that the administrator gave, or "": the host's
 * @slot: the slot that it has, or IVSHMEM_NO_SLOT.  Readers without
 *	  &ivshmem_device.region_lock use READ_ONCE()
 * @place: the slot in which its words are: @slot, or one that is claimed
 * @choice: how far it is with choosing; likewise
 * @claim: of @place
 * @seen: all slots, while it chooses
 * @begun_at: jiffies at which it began to look
 * @prefer: the last slot that was chosen and kept, or IVSLOT_NONE
 * @avoid: the last slot that was lost, or IVSLOT_NONE
 * @epoch: as published, 0 while it is not in the directory; as @slot
 * @last_epoch: the one before
 * @heartbeat: as published
 * @vectors: as published
 * @name: as published
 * @rest: for how long it rests when its words are changed, in milliseconds
 * @rest_until: jiffies at which it joins again
 * @joined_at: jiffies at which it joined
 * @rejoins: times that somebody had changed its words
 */
struct ivshmem_self {
	u32 wanted;
	u32 given;
	char given_name[IVREGION_PEER_NAME];
	u32 slot;
	u32 place;
	enum ivshmem_choice choice;
	struct ivslot_claim claim;
	struct ivslot_seen seen[IVREGION_SLOTS_MAX];
	unsigned long begun_at;
	u32 prefer;
	u32 avoid;
	u32 epoch;
	u32 last_epoch;
	u32 heartbeat;
	u32 vectors;
	char name[IVREGION_PEER_NAME];
	unsigned int rest;
	unsigned long rest_until;
	unsigned long joined_at;
	atomic64_t rejoins;
};

/**
 * struct ivshmem_device - one PCI function
 * @dev: class device; its release frees this structure, which therefore
 *	 outlives the PCI binding for as long as a file is open
 * @cdev: /dev/ivshmemN
 * @pdev: the PCI function; valid while not @dead
 * @id: N
 * @revision: PCI revision, 0 or 1
 * @has_doorbell: has an MSI-X capability, hence the doorbell register works
 * @lock: guards @dead, @regs, @mem and @cache_mode.  Held for reading around
 *	  each use of the hardware, for writing to take it away.  Nests inside
 *	  mmap_lock (page faults), so user memory is never touched under it
 *	  Nobody who holds it calls a client driver: these take locks under
 *	  which others touch user memory
 * @dead: the device is gone, or is going; never reset
 * @kill_lock: makes concurrent ivshmem_device_kill() wait for each other; taken
 *	       before @lock and @inode_lock
 * @gone_wait: for sleepers that only care for @dead
 * @regs: BAR 0
 * @mem: kernel mapping of the memory; on x86, unless @untracked, it also
 *	 reserves the memory type that user mappings get
 * @mem_start: bus address of the memory as the CPU sees it
 * @mem_size: its size, a power of two
 * @cache_mode: the requested IVSHMEM_CACHE_*; see ivshmem_cache_effective()
 *	 Functions use it without a lock: it stays while there are any
 * @untracked: x86: @mem and user mappings go past the PAT code
 * @mappings: live user VMAs; grows only under @lock
 * @inode: carries the address space of all mappings, through whatever node
 *	   their file was opened; NULL while no file is open
 * @inode_users: open files
 * @inode_lock: guards @inode and @inode_users
 * @revocations: times that what programs may use of the memory has changed while
 *		 the device stayed; under @lock, changed under @region_lock, too
 * @buffers: dma-bufs of parts of the memory
 * @nr_buffers: how many
 * @buffers_lock: guards @buffers and @nr_buffers; whoever walks it, calls drivers that have
 *		  imported one, so @lock is not held
 * @nr_vectors: number of @vectors; 0 on a plain device
 * @nr_irqs: interrupts requested: @nr_vectors until they are given back
 * @vectors: what peers can ring; stays until the last file is closed
 * @files: open files; RCU, changed under @files_lock
 * @nr_files: length of @files
 * @files_lock: guards @files, @nr_files and the eventfds of each file
 * @irq_rate: interrupts a second that a vector may raise, 0 for no limit
 * @storms: times that a vector was masked because it rang more often
 * @ring_lock: guards @ring_due
 * @ring_rate: doorbells a second for the unprivileged, 0 for no limit
 * @ring_due: CLOCK_MONOTONIC ns at which the next doorbell of the unprivileged
 *	      would be due at exactly @ring_rate
 * @rung: doorbells rung by this kernel
 * @throttled: times that a caller met the limit
 * @region_lock: serialises all that changes @format, @self, functions and
 *		 nodes; taken before all other locks
 * @format: what the memory is formatted as, or NULL.  RCU; changed under
 *	    @region_lock and @lock (for writing)
 * @settled: where there is no @format, it is known that the memory has none, and
 *	     so all of it is for programs.  Changed with @format
 * @programs: names of sections that programs are to use instead of drivers,
 *	      separated by single spaces; under @region_lock
 * @spare: for the next superblock that is found; likewise
 * @superblock: a private copy; likewise
 * @stopped: the device is being removed: nothing is attached or mapped any
 *	     more; changed under @region_lock and @lock.  Never reset
 * @self: this kernel as a peer; under @region_lock
 * @beat: looks at superblock and directory, again and again
 * @beat_soon: a look is due because vector 0 was rung; only bit 0 is used
 * @looked_at: jiffies of the last look
 * @attach_limit: of attaching, which makes devices and nodes
 * @refusal_limit: of lines in the log
 * @attaches: times that a format was attached
 * @changes: of the region and of peers; files have their own cursors into it
 * @debugfs: directory of the device
 */
struct ivshmem_device {
	struct device dev;
	struct cdev cdev;
	struct pci_dev *pdev;
	int id;
	u8 revision;
	bool has_doorbell;

	struct rw_semaphore lock;
	bool dead;
	struct mutex kill_lock;
	wait_queue_head_t gone_wait;

	void __iomem *regs;
	u8 __ivshmem *mem;
	resource_size_t mem_start;
	resource_size_t mem_size;
	u32 cache_mode;
	bool untracked;
	atomic_t mappings;
	struct inode *inode;
	unsigned int inode_users;
	struct mutex inode_lock;
	u64 revocations;
	struct list_head buffers;
	unsigned int nr_buffers;
	struct mutex buffers_lock;

	u32 nr_vectors;
	u32 nr_irqs;
	struct ivshmem_vector *vectors;
	struct list_head files;
	unsigned int nr_files;
	spinlock_t files_lock;
	unsigned int irq_rate;
	atomic64_t storms;

	spinlock_t ring_lock;
	unsigned int ring_rate;
	u64 ring_due;
	atomic64_t rung;
	atomic64_t throttled;

	struct mutex region_lock;
	struct ivshmem_format __rcu *format;
	bool settled;
	char programs[IVSHMEM_PROGRAMS_MAX];
	struct ivshmem_format *spare;
	struct ivregion_superblock *superblock;
	bool stopped;
	struct ivshmem_self self;
	struct delayed_work beat;
	unsigned long beat_soon;
	unsigned long looked_at;
	struct ratelimit_state attach_limit;
	struct ratelimit_state refusal_limit;
	atomic64_t attaches;
	atomic64_t changes;

	struct dentry *debugfs;
};

/**
 * struct ivshmem_node - the node of a section of programs, /dev/ivshmemN.NAME
 * @dev: class device; its release frees this structure
 * @cdev: the node
 * @ivd: the device that it is a part of; referenced
 * @format: the format that it is of; referenced
 * @section: the section
 */
struct ivshmem_node {
	struct device dev;
	struct cdev cdev;
	struct ivshmem_device *ivd;
	struct ivshmem_format *format;
	const struct ivregion_section *section;
};

/**
 * struct ivshmem_cursor - what a file has of a vector
 * @seen: the &ivshmem_vector.count up to which events were reported
 * @eventfd: signalled at each interrupt, or NULL; RCU, changed under
 *	     &ivshmem_device.files_lock
 */
struct ivshmem_cursor {
	u64 seen;
	struct ivshmem_eventfd __rcu *eventfd;
};

/**
 * struct ivshmem_file - one open of /dev/ivshmemN or of a section's node
 * @ivd: its device
 * @section_node: the section's node, which stays while it is open; or NULL
 * @node: in &ivshmem_device.files
 * @rcu: frees it after the last interrupt that may have seen it
 * @wait: woken when a subscribed vector is rung, and when the device goes
 * @lock: guards @subscribed and each @seen; user memory is not touched under it
 * @privileged: opened with CAP_SYS_ADMIN: not rate-limited
 * @changes: the &ivshmem_device.changes up to which it has asked
 * @subscribed: vectors that it is told of; the interrupt handler reads it
 *		without the lock
 * @vectors: one for each vector of the device
 */
struct ivshmem_file {
	struct ivshmem_device *ivd;
	struct ivshmem_node *section_node;
	struct list_head node;
	struct rcu_head rcu;
	wait_queue_head_t wait;
	spinlock_t lock;
	bool privileged;
	atomic64_t changes;
	DECLARE_BITMAP(subscribed, IVSHMEM_MAX_VECTORS);
	struct ivshmem_cursor vectors[];
};

/**
 * struct ivshmem_buffer - a dma-buf of a part of the memory
 * @ivd: its device; referenced
 * @dmabuf: what it is to others; its release frees this structure
 * @inode: of its file, has the address space of its mappings; referenced, since
 *	   the file may go before the dma-buf does
 * @node: in &ivshmem_device.buffers
 * @offset: where the part begins in the memory
 * @revocations: the &ivshmem_device.revocations with which it is valid
 * @write: may be written
 * @revoked: no device may reach the memory by it; under the reservation lock of
 *	     @dmabuf.  Never reset
 * @drained: nobody need wait for its devices any more: somebody does, or did
 */
struct ivshmem_buffer {
	struct ivshmem_device *ivd;
	struct dma_buf *dmabuf;
	struct inode *inode;
	struct list_head node;
	u64 offset;
	u64 revocations;
	bool write;
	bool revoked;
	bool drained;
};

/**
 * struct ivshmem_eventfd - an eventfd that a file has bound to a vector
 * @rcu: frees it after the last interrupt that may have seen it
 * @ctx: what is signalled
 */
struct ivshmem_eventfd {
	struct rcu_head rcu;
	struct eventfd_ctx *ctx;
};

/* The format in force; @ivd->lock or @ivd->region_lock is held */
static inline struct ivshmem_format *
ivshmem_format(struct ivshmem_device *ivd)
{
	return rcu_dereference_protected(ivd->format,
					 lockdep_is_held(&ivd->lock) ||
					 lockdep_is_held(&ivd->region_lock));
}

/* A peer's line in the directory; the memory is gotten */
static inline struct ivregion_peer_line __ivshmem *
ivshmem_peer_line(struct ivshmem_device *ivd, u32 slot)
{
	return (struct ivregion_peer_line __ivshmem *)
	       (ivd->mem + ivregion_peer_offset(slot));
}

/* The server's for it; likewise */
static inline struct ivregion_server_line __ivshmem *
ivshmem_server_line(struct ivshmem_device *ivd, u32 slot)
{
	return (struct ivregion_server_line __ivshmem *)
	       (ivd->mem + ivregion_server_offset(slot));
}

/* The superblock, if there is one; likewise */
static inline struct ivregion_superblock __ivshmem *
ivshmem_superblock(struct ivshmem_device *ivd)
{
	return (struct ivregion_superblock __ivshmem *)ivd->mem;
}

/* Whether what the file was opened for is no more */
static inline bool ivshmem_file_dead(const struct ivshmem_file *file)
{
	return READ_ONCE(file->ivd->dead) ||
	       (file->section_node &&
		READ_ONCE(file->section_node->format->gone));
}

/* pci.c */
int ivshmem_pci_register(void);
void ivshmem_pci_unregister(void);
int ivshmem_device_peer_id(struct ivshmem_device *ivd, u32 *peer_id);
void ivshmem_device_kill(struct ivshmem_device *ivd);

/* memory.c */
u8 __ivshmem *ivshmem_memory_remap(struct ivshmem_device *ivd,
				   unsigned long flags);
bool ivshmem_memory_get(struct ivshmem_device *ivd);
void ivshmem_memory_put(struct ivshmem_device *ivd);
int ivshmem_memory_init(struct ivshmem_device *ivd);
void ivshmem_memory_exit(struct ivshmem_device *ivd);
int ivshmem_cache_set(struct ivshmem_device *ivd, u32 mode);
bool ivshmem_cache_is_ordered(const struct ivshmem_device *ivd);
u32 ivshmem_cache_effective(struct ivshmem_device *ivd);
const char *ivshmem_cache_name(u32 mode);

/* mmap.c */
int ivshmem_mmap_open(struct ivshmem_device *ivd, struct file *filp);
void ivshmem_mmap_close(struct ivshmem_device *ivd);
void ivshmem_mmap_revoke(struct ivshmem_device *ivd);
int ivshmem_mmap(struct vm_area_struct *vma);
int ivshmem_mmap_buffer(struct ivshmem_buffer *buffer,
			struct vm_area_struct *vma);
int ivshmem_mmap_place(const struct ivshmem_file *file, u64 offset,
		       u64 length, bool write, u64 *start);
unsigned long ivshmem_vma_pfn(struct vm_area_struct *vma, unsigned long addr);

/* pat.c */
#ifdef CONFIG_X86
u32 ivshmem_cache_lookup(struct ivshmem_device *ivd);
u8 __ivshmem *ivshmem_vmap_untracked(struct ivshmem_device *ivd);
vm_fault_t ivshmem_insert_untracked(struct vm_area_struct *vma,
				    unsigned long addr, unsigned long size);
#else
static inline u32 ivshmem_cache_lookup(struct ivshmem_device *ivd)
{
	/* arm64 has no range types that could overrule the request */
	return IS_ENABLED(CONFIG_ARM64) ? ivd->cache_mode :
					  IVSHMEM_CACHE_UNKNOWN;
}

static inline u8 __ivshmem *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
{
	return NULL;
}

static inline vm_fault_t
ivshmem_insert_untracked(struct vm_area_struct *vma, unsigned long addr,
			 unsigned long size)
{
	return VM_FAULT_SIGBUS;
}
#endif

/* dmabuf.c */
#ifdef CONFIG_DMA_SHARED_BUFFER
int ivshmem_ioctl_dmabuf(struct ivshmem_file *file, fmode_t mode,
			 void __user *uarg);
long ivshmem_ioctl_kvmfr(struct ivshmem_file *file, fmode_t mode,
			 unsigned int cmd, void __user *uarg);
void ivshmem_buffers_revoke(struct ivshmem_device *ivd);
void ivshmem_buffers_drain(struct ivshmem_device *ivd, unsigned int ms);
#else
static inline int ivshmem_ioctl_dmabuf(struct ivshmem_file *file, fmode_t mode,
				       void __user *uarg)
{
	return -EOPNOTSUPP;
}

static inline long ivshmem_ioctl_kvmfr(struct ivshmem_file *file, fmode_t mode,
				       unsigned int cmd, void __user *uarg)
{
	return -ENOTTY;
}

static inline void ivshmem_buffers_revoke(struct ivshmem_device *ivd)
{
}

static inline void ivshmem_buffers_drain(struct ivshmem_device *ivd,
					 unsigned int ms)
{
}
#endif

/* doorbell.c */
int ivshmem_doorbell_register(void);
void ivshmem_doorbell_unregister(void);
int ivshmem_doorbell_init(struct ivshmem_device *ivd);
void ivshmem_doorbell_exit(struct ivshmem_device *ivd);
void ivshmem_doorbell_fire_all(struct ivshmem_device *ivd);
void ivshmem_doorbell_hangup(struct ivshmem_device *ivd,
			     const struct ivshmem_format *format);
void ivshmem_doorbell_write(struct ivshmem_device *ivd, u32 peer, u32 vector);
int ivshmem_doorbell_ring(struct ivshmem_device *ivd, u32 peer, u32 vector);
int ivshmem_doorbell_admit(struct ivshmem_device *ivd, bool nonblock,
			   u64 *wait, u64 *turn);
void ivshmem_doorbell_forgo(struct ivshmem_device *ivd, u64 turn);
void ivshmem_doorbell_forget(struct ivshmem_device *ivd);
int ivshmem_eventfd_bind(struct ivshmem_file *file, u32 vector, int fd);
void ivshmem_eventfd_release(struct ivshmem_file *file);

/* chardev.c */
int ivshmem_chardev_register(void);
void ivshmem_chardev_unregister(void);
int ivshmem_chardev_add(struct ivshmem_device *ivd);
int ivshmem_chardev_init(struct ivshmem_device *ivd);
int ivshmem_chardev_node(struct ivshmem_node *node);
void ivshmem_chardev_node_release(struct ivshmem_node *node);
int ivshmem_copy_arg(void *arg, size_t ksize, size_t min, void __user *uarg,
		     u32 *usize);

/* region.c */
int ivshmem_region_register(void);
void ivshmem_region_unregister(void);
int ivshmem_region_init(struct ivshmem_device *ivd);
void ivshmem_region_free(struct ivshmem_device *ivd);
void ivshmem_region_start(struct ivshmem_device *ivd);
void ivshmem_region_stop(struct ivshmem_device *ivd);
void ivshmem_region_exit(struct ivshmem_device *ivd);
void ivshmem_region_rung(struct ivshmem_device *ivd);
int ivshmem_region_wait(struct ivshmem_device *ivd);
void ivshmem_region_pause(struct ivshmem_device *ivd);
void ivshmem_region_reenter(struct ivshmem_device *ivd);
void ivshmem_region_changed(struct ivshmem_device *ivd);
void ivshmem_region_reattach(struct ivshmem_device *ivd);
void ivshmem_region_look(struct ivshmem_device *ivd, bool asked);
void ivshmem_region_empty(struct ivshmem_device *ivd, bool settled);
void ivshmem_region_detach(struct ivshmem_device *ivd,
			   struct ivshmem_format *format, bool leave);
void ivshmem_region_explain(const struct ivshmem_format *format, char *text,
			    size_t size);
void ivshmem_format_put(struct ivshmem_format *format);

/* format.c */
int ivshmem_region_format(struct ivshmem_file *file,
			  struct ivshmem_ioc_format *arg,
			  struct ivregion_superblock *superblock);

/* settings.c */
u32 ivshmem_programs(const struct ivshmem_device *ivd,
		     const struct ivregion *region);
void ivshmem_region_set_slot(struct ivshmem_device *ivd, u32 slot);
int ivshmem_region_set_programs(struct ivshmem_device *ivd, const char *names);

/* choice.c */
u32 ivshmem_choice_slot(struct ivshmem_device *ivd,
			const struct ivregion *region);
void ivshmem_choice_init(struct ivshmem_device *ivd);
void ivshmem_choice_begin(struct ivshmem_device *ivd);
bool ivshmem_choice_stands(struct ivshmem_device *ivd);
void ivshmem_choice_lose(struct ivshmem_device *ivd);
u32 ivshmem_choice_clock(void);
bool ivshmem_choice_step(struct ivshmem_device *ivd,
			 struct ivshmem_format *format, u32 now);
const char *ivshmem_choice_text(const struct ivshmem_device *ivd);

/* peer.c */
bool ivshmem_self_intact(struct ivshmem_device *ivd);
void ivshmem_self_publish(struct ivshmem_device *ivd);
void ivshmem_self_show(struct ivshmem_device *ivd,
		       struct ivshmem_format *format);
void ivshmem_self_withdraw(struct ivshmem_device *ivd);
void ivshmem_peer_join(struct ivshmem_device *ivd,
		       struct ivshmem_format *format, u32 slot);
void ivshmem_peer_leave(struct ivshmem_device *ivd);
void ivshmem_peer_forget(struct ivshmem_device *ivd);
bool ivshmem_peers_look(struct ivshmem_device *ivd,
			struct ivshmem_format *format);
void ivshmem_peers_ring(struct ivshmem_device *ivd,
			struct ivshmem_format *format);
void ivshmem_peer_copy(struct ivshmem_format *format, u32 slot,
		       struct ivpeer *peer);
u32 ivshmem_peer_epoch(struct ivshmem_device *ivd, u32 slot);
int ivshmem_peer_set_name(struct ivshmem_device *ivd, const char *name,
			  size_t length);

/* function.c */
void ivshmem_functions_add(struct ivshmem_device *ivd,
			   struct ivshmem_format *format);
void ivshmem_functions_remove(struct ivshmem_format *format);
bool ivshmem_functions_exist(const struct ivshmem_format *format);
void ivshmem_functions_event(struct ivshmem_device *ivd, u32 vector);
void ivshmem_functions_tell(struct ivshmem_format *format);
void ivshmem_functions_unregister(void);

/* node.c */
void ivshmem_nodes_add(struct ivshmem_device *ivd,
		       struct ivshmem_format *format);
void ivshmem_nodes_remove(struct ivshmem_format *format);

/* ioctl.c */
int ivshmem_ioctl_region(struct ivshmem_file *file, void __user *uarg);
int ivshmem_ioctl_section(struct ivshmem_file *file, void __user *uarg);
int ivshmem_ioctl_peer(struct ivshmem_file *file, void __user *uarg);
int ivshmem_ioctl_format(struct ivshmem_file *file, void __user *uarg);

/* sysfs.c */
extern const struct attribute_group *ivshmem_groups[];
extern const struct attribute_group *ivshmem_node_groups[];

/* debugfs.c */
void ivshmem_debugfs_register(void);
void ivshmem_debugfs_unregister(void);
void ivshmem_debugfs_add(struct ivshmem_device *ivd);
void ivshmem_debugfs_remove(struct ivshmem_device *ivd);

#endif /* _IVSHMEM_CORE_H */
