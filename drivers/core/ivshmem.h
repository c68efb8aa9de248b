/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core offers to drivers of functions: the network card, the disk.
 *
 * For each NET and BLK section of a region that this kernel has joined there is
 * a device on the auxiliary bus, "ivshmem.net.ID" or "ivshmem.blk.ID".  It goes
 * when the region is formatted otherwise, and when the PCI device or its driver
 * does; the driver's remove() is then called like for any device.
 *
 * probe(), remove() and the callback @peer of &struct ivshmem_function_ops run
 * while the core looks at nothing: the directory stays as it is, the own heart
 * does not beat, and after IVPEER_SILENT_MS peers take this kernel for silent.
 * So none of them ever waits for a peer, nor for anything that one has to answer.
 * A block driver fails outstanding requests before it removes its disk, and adds
 * the disk from a work: adding one reads it.
 *
 * A driver sees a section, the peers of the region, and links (link.h) to each
 * of them.  It knows nothing of PCI.
 */
#ifndef _IVSHMEM_H
#define _IVSHMEM_H

#include <linux/types.h>

#include <ivshmem/link.h>

struct auxiliary_device;
struct ivshmem_function;

/**
 * struct ivshmem_function_ops - what a function is told
 * @event: the section's vector was rung: peers may have something.  Any peer
 *	   can ring at any rate, up to what the sysfs attribute irq_rate allows,
 *	   and a doorbell may be lost: look at the rings from time to time
 *	   whether told or not.  Context: hard interrupt, or any other; does not
 *	   sleep, and only schedules
 * @peer: something happened to the peer in a slot, which is not the own one.
 *	  Not called for those who are there when the function is opened.
 *	  Context: process; may sleep, but never waits for a peer, and may call
 *	  everything below but ivshmem_function_open() and
 *	  ivshmem_function_close()
 *
 * Either may be NULL.
 */
struct ivshmem_function_ops {
	void (*event)(void *priv);
	void (*peer)(void *priv, u32 slot, enum ivpeer_event event);
};

/**
 * ivshmem_function_of() - the function that an auxiliary device stands for
 * @auxdev: a device "ivshmem.net.ID" or "ivshmem.blk.ID"
 *
 * Return: the function.  It stays as long as the driver is bound.
 */
struct ivshmem_function *ivshmem_function_of(struct auxiliary_device *auxdev);

/**
 * ivshmem_function_open() - be told of events from now on
 * @function: the function, not open
 * @ops: whom to call; stays until ivshmem_function_close()
 * @priv: passed to them
 *
 * Callbacks may come before it returns.  Doorbells and peers of before are not
 * told: look at rings and ivshmem_function_peer() afterwards.
 *
 * Context: Process context; may sleep.
 * Return: 0, -EBUSY (open already).
 */
int ivshmem_function_open(struct ivshmem_function *function,
			  const struct ivshmem_function_ops *ops, void *priv);

/**
 * ivshmem_function_close() - be told of nothing any more
 * @function: the function
 *
 * No callback runs when it returns.  A function that is not open stays so.
 *
 * Context: Process context; may sleep.  No lock is held that the callbacks
 * take.
 */
void ivshmem_function_close(struct ivshmem_function *function);

/**
 * ivshmem_function_region() - the layout of the region
 * @function: the function
 *
 * Context: Any.
 * Return: the layout, constant, for as long as the driver is bound.
 */
const struct ivregion *
ivshmem_function_region(const struct ivshmem_function *function);

/**
 * ivshmem_function_section() - the function's section
 * @function: the function
 *
 * Context: Any.
 * Return: the section, with a ring_size, of type IVREGION_NET or IVREGION_BLK;
 * constant, for as long as the driver is bound.
 */
const struct ivregion_section *
ivshmem_function_section(const struct ivshmem_function *function);

/**
 * ivshmem_function_slot() - own slot
 * @function: the function
 *
 * Context: Any.
 * Return: the slot, constant, for as long as the driver is bound.
 */
u32 ivshmem_function_slot(const struct ivshmem_function *function);

/**
 * ivshmem_function_is_rung() - whether peers can kick this section
 * @function: the function
 *
 * Context: Any.
 * Return: false where there are no interrupts: @event of the operations never
 * comes, and who waits for peers looks by a timer.
 */
bool ivshmem_function_is_rung(const struct ivshmem_function *function);

/**
 * ivshmem_function_intact() - whether the region may still be written to
 * @function: the function
 *
 * False once the core has seen that the region is formatted otherwise; remove()
 * follows.  Whoever then writes to it writes into what belongs to others.
 *
 * Context: Any.
 * Return: whether it may.
 */
bool ivshmem_function_intact(const struct ivshmem_function *function);

/**
 * ivshmem_function_peer() - what is known of a peer
 * @function: the function
 * @slot: any number
 * @peer: filled in, with what the directory said at the last look, less than a
 *	  second ago
 *
 * Context: Process context or softirq.
 * Return: whether there is such a slot; @peer->state says whether somebody is
 * in it.  Of the own slot only state, epoch, generation, vectors, name and
 * joins are known.
 */
bool ivshmem_function_peer(struct ivshmem_function *function, u32 slot,
			   struct ivpeer *peer);

/**
 * ivshmem_function_kick() - ring a peer for this section
 * @function: the function
 * @slot: the peer
 *
 * What was written to the region before is visible to the peer first.  Does
 * nothing where there are no doorbells or the peer has no vectors: such a peer
 * looks from time to time.
 *
 * Context: Any, without locks; costs an exit to the hypervisor.
 */
void ivshmem_function_kick(struct ivshmem_function *function, u32 slot);

/**
 * ivshmem_link_init() - set up a link to a peer, down
 * @function: the function
 * @slot: the peer, below the region's number of slots, not the own one
 * @link: the link, which must not be used after remove()
 * @queues: as many as the section has queues; stay as long as the link
 *
 * It touches nothing in the region.
 *
 * Context: Any.
 * Return: 0, -EINVAL (no such peer).
 */
int ivshmem_link_init(struct ivshmem_function *function, u32 slot,
		      struct ivlink *link, struct ivlink_queue *queues);

/**
 * ivshmem_link_stop() - do not want a link any more
 * @function: the function
 * @slot: the peer
 * @link: the link, whose rings nobody uses
 *
 * Tells the peer, unless the region belongs to others by now.
 *
 * Context: Any; one caller for each link at a time.
 */
void ivshmem_link_stop(struct ivshmem_function *function, u32 slot,
		       struct ivlink *link);

#endif /* _IVSHMEM_H */
