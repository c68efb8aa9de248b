/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions that together use all of the shared format.
 */
#ifndef TESTS_RING_EVERY_CALL_H
#define TESTS_RING_EVERY_CALL_H

#include <ivshmem/link.h>
#include <ivshmem/net.h>
#include <ivshmem/slot.h>

int every_call(struct ivring_producer *p, struct ivring_consumer *c,
	       void __ivshmem *memory, struct ivring_tx __ivshmem *tx,
	       struct ivring_rx __ivshmem *rx);
int every_call_of_wire(__u8 __ivshmem *memory,
		       struct ivregion_superblock *copy,
		       struct ivregion *region);
int every_call_of_peer(__u8 __ivshmem *memory,
		       struct ivpeer *peer,
		       __u32 slot);
int every_call_of_slot(__u8 __ivshmem *memory,
		       struct ivslot_seen *seen,
		       const struct ivpeer *peer);
int every_call_of_link(__u8 __ivshmem *memory,
		       const struct ivregion *region, struct ivlink *link,
		       struct ivlink_queue *queues);
int every_call_of_net(struct ivnet_limits *limits,
		      const struct ivnet_hello *hello);

#endif /* TESTS_RING_EVERY_CALL_H */
