/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the core share: the device, its vectors, its open files.
 */
#ifndef _IVSHMEM_CORE_H
#define _IVSHMEM_CORE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <linux/ivshmem.h>

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

struct eventfd_ctx;
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
 * @untracked: x86: @mem and user mappings go past the PAT code
 * @mappings: live user VMAs; grows only under @lock
 * @inode: carries the address space of all mappings, through whatever node
 *	   their file was opened; NULL while no file is open
 * @inode_users: open files
 * @inode_lock: guards @inode and @inode_users
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
	void *mem;
	resource_size_t mem_start;
	resource_size_t mem_size;
	u32 cache_mode;
	bool untracked;
	atomic_t mappings;
	struct inode *inode;
	unsigned int inode_users;
	struct mutex inode_lock;

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

	struct dentry *debugfs;
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
 * struct ivshmem_file - one open of /dev/ivshmemN
 * @ivd: its device
 * @node: in &ivshmem_device.files
 * @rcu: frees it after the last interrupt that may have seen it
 * @wait: woken when a subscribed vector is rung, and when the device goes
 * @lock: guards @subscribed and each @seen; user memory is not touched under it
 * @privileged: opened with CAP_SYS_ADMIN: not rate-limited
 * @subscribed: vectors that it is told of; the interrupt handler reads it
 *		without the lock
 * @vectors: one for each vector of the device
 */
struct ivshmem_file {
	struct ivshmem_device *ivd;
	struct list_head node;
	struct rcu_head rcu;
	wait_queue_head_t wait;
	spinlock_t lock;
	bool privileged;
	DECLARE_BITMAP(subscribed, IVSHMEM_MAX_VECTORS);
	struct ivshmem_cursor vectors[];
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

/* pci.c */
int ivshmem_pci_register(void);
void ivshmem_pci_unregister(void);
int ivshmem_device_peer_id(struct ivshmem_device *ivd, u32 *peer_id);
void ivshmem_device_kill(struct ivshmem_device *ivd);

/* memory.c */
int ivshmem_memory_init(struct ivshmem_device *ivd);
void ivshmem_memory_exit(struct ivshmem_device *ivd);
int ivshmem_cache_set(struct ivshmem_device *ivd, u32 mode);
u32 ivshmem_cache_effective(struct ivshmem_device *ivd);
const char *ivshmem_cache_name(u32 mode);

/* mmap.c */
int ivshmem_mmap_open(struct ivshmem_device *ivd, struct file *filp);
void ivshmem_mmap_close(struct ivshmem_device *ivd);
void ivshmem_mmap_revoke(struct ivshmem_device *ivd);
int ivshmem_mmap(struct ivshmem_device *ivd, struct vm_area_struct *vma);
unsigned long ivshmem_vma_pfn(struct vm_area_struct *vma, unsigned long addr);

/* pat.c */
#ifdef CONFIG_X86
u32 ivshmem_cache_lookup(struct ivshmem_device *ivd);
void *ivshmem_vmap_untracked(struct ivshmem_device *ivd);
vm_fault_t ivshmem_insert_untracked(struct vm_area_struct *vma,
				    unsigned long addr, unsigned long size);
#else
static inline u32 ivshmem_cache_lookup(struct ivshmem_device *ivd)
{
	/* arm64 has no range types that could overrule the request */
	return IS_ENABLED(CONFIG_ARM64) ? ivd->cache_mode :
					  IVSHMEM_CACHE_UNKNOWN;
}

static inline void *ivshmem_vmap_untracked(struct ivshmem_device *ivd)
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

/* doorbell.c */
int ivshmem_doorbell_register(void);
void ivshmem_doorbell_unregister(void);
int ivshmem_doorbell_init(struct ivshmem_device *ivd);
void ivshmem_doorbell_exit(struct ivshmem_device *ivd);
void ivshmem_doorbell_fire_all(struct ivshmem_device *ivd);
void ivshmem_doorbell_hangup(struct ivshmem_device *ivd);
int ivshmem_doorbell_ring(struct ivshmem_device *ivd, u32 peer, u32 vector);
int ivshmem_doorbell_admit(struct ivshmem_device *ivd, bool nonblock,
			   u64 *wait);
int ivshmem_eventfd_bind(struct ivshmem_file *file, u32 vector, int fd);
void ivshmem_eventfd_release(struct ivshmem_file *file);

/* chardev.c */
int ivshmem_chardev_register(void);
void ivshmem_chardev_unregister(void);
int ivshmem_chardev_add(struct ivshmem_device *ivd);
int ivshmem_chardev_init(struct ivshmem_device *ivd);

/* sysfs.c */
extern const struct attribute_group *ivshmem_groups[];

/* debugfs.c */
void ivshmem_debugfs_register(void);
void ivshmem_debugfs_unregister(void);
void ivshmem_debugfs_add(struct ivshmem_device *ivd);
void ivshmem_debugfs_remove(struct ivshmem_device *ivd);

#endif /* _IVSHMEM_CORE_H */
