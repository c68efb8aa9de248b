// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses all of the ring, for compilers only: as C, as C++ and as a module.
 */
#include <ivshmem/ring.h>

#ifdef __KERNEL__
#include <linux/module.h>

MODULE_DESCRIPTION("compiles the ring");
MODULE_LICENSE("GPL");
#endif

int every_call(struct ivring_producer *p, struct ivring_consumer *c,
	       void __ivshmem *memory, struct ivring_tx __ivshmem *tx,
	       struct ivring_rx __ivshmem *rx);

int every_call(struct ivring_producer *p, struct ivring_consumer *c,
	       void __ivshmem *memory, struct ivring_tx __ivshmem *tx,
	       struct ivring_rx __ivshmem *rx)
{
	void __ivshmem *to;
	const void __ivshmem *from;
	__u32 length, kind;
	char text[8] = "payload";
	int ret;

	ivring_producer_init(p, memory, IVRING_SIZE_MIN, tx, rx);
	ivring_consumer_init(c, memory, IVRING_SIZE_MIN, rx, tx);
	ret = ivring_reserve(p, sizeof(text), &to);
	if (ret)
		return ivring_want_space(p, sizeof(text)) ? ret : -EAGAIN;
	ivshmem_copy_out(to, text, sizeof(text));
	ivring_commit(p, sizeof(text), 1);
	if (ivring_publish(p))
		return 1;
	ret = ivring_peek(c, &from, &length, &kind);
	if (ret)
		return ivring_want_data(c) ? ret : -EAGAIN;
	ivshmem_prefetch(from);
	ivshmem_copy_in(text, from, sizeof(text));
	ivring_advance(c);
	return ivring_release(c) ? text[0] : 0;
}
