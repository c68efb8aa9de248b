// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages for what is received.  They come back when the stack is done with a frame,
 * so that they need not be cleared for each, nor the allocator be asked.  A pool keeps
 * IVNET_POOL_PAGES at most, and only while the interface is up.
 */
#include <linux/netdevice.h>
#include IVSHMEM_PAGE_POOL_HEADER

#include "ivnet.h"

static struct page_pool *ivnet_pool_create(unsigned int order)
{
	const struct page_pool_params params = {
		.order = order,
		.pool_size = IVNET_POOL_PAGES,
		.nid = NUMA_NO_NODE,
	};

	return page_pool_create(&params);
}

/**
 * ivnet_pages_create() - get ready to receive
 * @queue: that frames come on; its @xdp_rxq is registered
 *
 * Context: Process.
 * Return: 0 or -ENOMEM; ivnet_pages_destroy() undoes it.
 */
int ivnet_pages_create(struct ivnet_queue *queue)
{
	int ret;

	queue->small = ivnet_pool_create(0);
	if (IS_ERR(queue->small))
		return PTR_ERR(queue->small);
	queue->large = ivnet_pool_create(PAGE_ALLOC_COSTLY_ORDER);
	if (IS_ERR(queue->large)) {
		ret = PTR_ERR(queue->large);
		goto err_small;
	}
	ret = xdp_rxq_info_reg_mem_model(&queue->xdp_rxq, MEM_TYPE_PAGE_POOL,
					 queue->small);
	if (!ret)
		return 0;

	page_pool_destroy(queue->large);
err_small:
	page_pool_destroy(queue->small);
	return ret;
}

/**
 * ivnet_pages_destroy() - nothing is received any more
 * @queue: whose @xdp_rxq is not registered any more
 *
 * What the stack still has goes back to the system when it is done with it.
 *
 * Context: Process; NAPI is disabled.
 */
void ivnet_pages_destroy(struct ivnet_queue *queue)
{
	page_pool_destroy(queue->large);
	page_pool_destroy(queue->small);
}

/**
 * ivnet_add_pages() - copy what is in a ring behind what a frame has already
 * @queue: that the frame came on
 * @skb: the frame; it knows then that its pages go back to a pool
 * @from: what to copy; others can write it
 * @length: bytes
 *
 * Context: Softirq, NAPI of @queue.
 * Return: false if there is no memory, or more than a frame can have.
 */
bool ivnet_add_pages(struct ivnet_queue *queue, struct sk_buff *skb,
		     const u8 __ivshmem *from, u32 length)
{
	struct page *page;
	u32 size, n;
	int i;

	skb_mark_for_recycle(skb);
	for (i = 0; length && i < MAX_SKB_FRAGS; i++) {
		page = NULL;
		/* So that what is long has few pages */
		if (length > IVNET_RX_SMALL)
			page = page_pool_dev_alloc_pages(queue->large);
		size = page ? PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER : PAGE_SIZE;
		if (!page)
			page = page_pool_dev_alloc_pages(queue->small);
		if (!page)
			return false;
		n = min(length, size);
		ivshmem_copy_in(page_address(page), from, n);
		skb_add_rx_frag(skb, i, page, 0, n, size);
		from += n;
		length -= n;
	}
	return !length;
}
