// SPDX-License-Identifier: GPL-2.0-only
/* A network device for each NET section. */
#include <linux/auxiliary_bus.h>
#include <linux/crc32.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ivnet.h"

/* The section was rung; hard interrupt */
static void ivnet_event(void *priv)
{
	struct ivnet *net = priv;

	ivnet_napi_schedule(net);
	/* As often as time passes, however often peers ring */
	if (READ_ONCE(net->unsettled) &&
	    time_after(jiffies, READ_ONCE(net->kicked_at))) {
		WRITE_ONCE(net->kicked_at, jiffies);
		mod_delayed_work(system_percpu_wq, &net->work, 0);
	}
}

static void ivnet_peer(void *priv, u32 slot, enum ivpeer_event event)
{
	struct ivnet *net = priv;

	mod_delayed_work(system_percpu_wq, &net->work, 0);
}

static const struct ivshmem_function_ops ivnet_function_ops = {
	.event = ivnet_event,
	.peer = ivnet_peer,
};

/* Where nobody can ring */
static void ivnet_timer(struct timer_list *timer)
{
	struct ivnet *net = container_of(timer, struct ivnet, timer);

	ivnet_napi_schedule(net);
	mod_timer(&net->timer, jiffies + 1);
}

static void ivnet_unregister_queues(struct ivnet *net, u32 nr)
{
	while (nr--) {
		xdp_rxq_info_unreg(&net->queues[nr].xdp_rxq);
		ivnet_pages_destroy(&net->queues[nr]);
	}
}

static int ivnet_register_queue(struct ivnet *net, u32 i)
{
	struct ivnet_queue *queue = &net->queues[i];
	int ret;

	ret = xdp_rxq_info_reg(&queue->xdp_rxq, net->dev, i,
			       queue->napi.napi_id);
	if (ret)
		return ret;
	ret = ivnet_pages_create(queue);
	if (ret)
		xdp_rxq_info_unreg(&queue->xdp_rxq);
	return ret;
}

static int ivnet_open(struct net_device *dev)
{
	struct ivnet *net = netdev_priv(dev);
	u32 i;
	int ret;

	for (i = 0; i < net->nr_queues; i++) {
		ret = ivnet_register_queue(net, i);
		if (ret) {
			ivnet_unregister_queues(net, i);
			return ret;
		}
	}
	for (i = 0; i < net->nr_queues; i++)
		napi_enable(&net->queues[i].napi);
	netif_tx_start_all_queues(dev);

	mutex_lock(&net->lock);
	net->open = true;
	mutex_unlock(&net->lock);
	mod_delayed_work(system_percpu_wq, &net->work, 0);
	if (!ivshmem_function_is_rung(net->function))
		mod_timer(&net->timer, jiffies + 1);
	return 0;
}

static int ivnet_stop(struct net_device *dev)
{
	struct ivnet *net = netdev_priv(dev);
	u32 i;

	timer_delete_sync(&net->timer);
	ivnet_links_stop(net);
	netif_tx_disable(dev);
	for (i = 0; i < net->nr_queues; i++)
		napi_disable(&net->queues[i].napi);
	ivnet_unregister_queues(net, net->nr_queues);
	return 0;
}

/* Nothing is filtered: the stack gets all that peers send here */
static void ivnet_set_rx_mode(struct net_device *dev)
{
}

static int ivnet_change_mtu(struct net_device *dev, int mtu)
{
	struct ivnet *net = netdev_priv(dev);

	if (rtnl_dereference(net->xdp_prog) &&
	    mtu > IVNET_XDP_MAX - ETH_HLEN - VLAN_HLEN) {
		netdev_warn(dev, "MTU must not exceed %lu with an XDP program\n",
			    IVNET_XDP_MAX - ETH_HLEN - VLAN_HLEN);
		return -EINVAL;
	}
	WRITE_ONCE(dev->mtu, mtu);
	return 0;
}

static int ivnet_set_mac_address(struct net_device *dev, void *address)
{
	int ret = eth_mac_addr(dev, address);

	/* The others learn it from the hello */
	if (!ret)
		ivnet_links_restart(netdev_priv(dev));
	return ret;
}

static int ivnet_set_features(struct net_device *dev,
			      netdev_features_t features)
{
	netdev_features_t changed = dev->features ^ features;

	if (!(changed & NETIF_F_RXCSUM))
		return 0;
	dev->features = features;
	ivnet_links_restart(netdev_priv(dev));
	return 1;
}

static int ivnet_init(struct net_device *dev)
{
	dev->tstats = netdev_alloc_pcpu_stats(struct pcpu_sw_netstats);
	return dev->tstats ? 0 : -ENOMEM;
}

static void ivnet_uninit(struct net_device *dev)
{
	free_percpu(dev->tstats);
}

static const struct net_device_ops ivnet_netdev_ops = {
	.ndo_init = ivnet_init,
	.ndo_uninit = ivnet_uninit,
	.ndo_open = ivnet_open,
	.ndo_stop = ivnet_stop,
	.ndo_start_xmit = ivnet_start_xmit,
	.ndo_select_queue = ivnet_select_queue,
	.ndo_set_rx_mode = ivnet_set_rx_mode,
	.ndo_get_stats64 = ivnet_get_stats64,
	.ndo_change_mtu = ivnet_change_mtu,
	.ndo_set_mac_address = ivnet_set_mac_address,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_set_features = ivnet_set_features,
	.ndo_bpf = ivnet_xdp,
	.ndo_xdp_xmit = ivnet_xdp_xmit,
};

static void ivnet_free_links(struct ivnet *net)
{
	u32 slot, i;

	/* free_netdev() would look at them; one not added is left alone */
	for (i = 0; i < net->nr_queues; i++)
		netif_napi_del(&net->queues[i].napi);
	for (slot = 0; slot < net->nr_links; slot++) {
		kvfree(net->links[slot].rings);
		kvfree(net->links[slot].queues);
	}
	kvfree(net->links);
	kfree(net->queues);
}

static int ivnet_alloc_link(struct ivnet *net, u32 slot)
{
	struct ivnet_link *link = &net->links[slot];
	u32 i;

	link->queues = kvcalloc(net->nr_queues, sizeof(*link->queues),
				GFP_KERNEL);
	link->rings = kvcalloc(net->nr_queues, sizeof(*link->rings),
			       GFP_KERNEL);
	if (!link->queues || !link->rings)
		return -ENOMEM;

	for (i = 0; i < net->nr_queues; i++) {
		spin_lock_init(&link->rings[i].lock);
		u64_stats_init(&link->rings[i].counters.tx_sync);
		u64_stats_init(&link->rings[i].counters.rx_sync);
		u64_stats_init(&link->rings[i].sent.sync);
	}
	return slot == net->slot ? 0 :
	       ivshmem_link_init(net->function, slot, &link->link,
				 link->queues);
}

static int ivnet_alloc_links(struct ivnet *net)
{
	u32 slot, i;
	int ret = 0;

	net->links = kvcalloc(net->nr_links, sizeof(*net->links), GFP_KERNEL);
	if (!net->links)
		return -ENOMEM;
	net->queues = kcalloc(net->nr_queues, sizeof(*net->queues), GFP_KERNEL);
	if (!net->queues) {
		kvfree(net->links);
		return -ENOMEM;
	}

	for (slot = 0; slot < net->nr_links && !ret; slot++)
		ret = ivnet_alloc_link(net, slot);
	if (ret) {
		ivnet_free_links(net);
		return ret;
	}

	for (i = 0; i < net->nr_queues; i++) {
		net->queues[i].net = net;
		net->queues[i].index = i;
		u64_stats_init(&net->queues[i].xdp.sync);
		netif_napi_add(net->dev, &net->queues[i].napi, ivnet_poll);
	}
	return 0;
}

/* The same in each life of a peer, and the last byte is its slot */
static void ivnet_choose_address(struct ivnet *net)
{
	const struct ivregion_section *section =
		ivshmem_function_section(net->function);
	u32 sum = crc32_le(~0, ivshmem_function_region(net->function)->uuid,
			   sizeof(((struct ivregion *)0)->uuid));
	u8 address[ETH_ALEN] = { 0x02 };

	sum = crc32_le(sum, section->name, strlen(section->name));
	put_unaligned_be32(sum, address + 1);
	address[5] = net->slot;
	eth_hw_addr_set(net->dev, address);
}

static void ivnet_setup(struct ivnet *net)
{
	u32 size = ivshmem_function_section(net->function)->ring_size;
	struct net_device *dev = net->dev;
	u32 overhead = ETH_HLEN + VLAN_HLEN;

	net->max_record = ivring_max_length(size) - sizeof(struct ivnet_frame);

	dev->netdev_ops = &ivnet_netdev_ops;
	dev->ethtool_ops = &ivnet_ethtool_ops;
	netdev_set_stat_ops(dev, &ivnet_stat_ops);
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = min_t(u32, IVNET_MTU_MAX, net->max_record - overhead);
	dev->mtu = min_t(u32, ETH_DATA_LEN, dev->max_mtu);
	dev->priv_flags |= IFF_UNICAST_FLT | IFF_LIVE_ADDR_CHANGE;
	/* The locks of the rings are held with interrupts on */
	dev->priv_flags |= IFF_DISABLE_NETPOLL;
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO |
			   NETIF_F_TSO6 | NETIF_F_TSO_ECN | NETIF_F_RXCSUM;
#ifdef VIRTIO_NET_HDR_GSO_UDP_L4
	dev->hw_features |= NETIF_F_GSO_UDP_L4;
#endif
	/* Who receives looks at headers in any case */
	dev->features = dev->hw_features | NETIF_F_HIGHDMA | NETIF_F_GSO_ROBUST;
	dev->vlan_features = dev->hw_features;
	/* Cannot fail before the device is registered */
	netif_set_real_num_rx_queues(dev, net->used_queues);
	netif_set_tso_max_size(dev, min_t(u32, net->max_record - overhead,
					  GSO_MAX_SIZE));
	xdp_set_features_flag(dev, NETDEV_XDP_ACT_BASIC |
				   NETDEV_XDP_ACT_REDIRECT |
				   NETDEV_XDP_ACT_NDO_XMIT);
	ivnet_choose_address(net);
}

static int ivnet_probe(struct auxiliary_device *auxdev,
		       const struct auxiliary_device_id *id)
{
	struct ivshmem_function *function = ivshmem_function_of(auxdev);
	u32 queues = ivshmem_function_section(function)->queues;
	u32 slots = ivshmem_function_region(function)->slots;
	struct net_device *dev;
	struct ivnet *net;
	int ret;

	dev = alloc_etherdev_mqs(sizeof(*net), slots * queues, queues);
	if (!dev)
		return -ENOMEM;

	SET_NETDEV_DEV(dev, &auxdev->dev);
	net = netdev_priv(dev);
	net->dev = dev;
	net->function = function;
	net->slot = ivshmem_function_slot(function);
	net->nr_links = slots;
	net->nr_queues = queues;
	net->used_queues = min_t(u32, queues, num_online_cpus());
	net->poll_usecs = IVNET_POLL_USECS;
	net->kicked_at = jiffies;
	mutex_init(&net->lock);
	spin_lock_init(&net->fdb_lock);
	INIT_DELAYED_WORK(&net->work, ivnet_links_work);
	timer_setup(&net->timer, ivnet_timer, 0);
	ivnet_setup(net);
	ret = ivnet_alloc_links(net);
	if (ret)
		goto err_free;

	netif_carrier_off(dev);
	auxiliary_set_drvdata(auxdev, net);
	ret = ivshmem_function_open(function, &ivnet_function_ops, net);
	if (ret)
		goto err_free_links;
	ret = register_netdev(dev);
	if (ret)
		goto err_close;
	return 0;

err_close:
	ivshmem_function_close(function);
	cancel_delayed_work_sync(&net->work);
err_free_links:
	ivnet_free_links(net);
err_free:
	free_netdev(dev);
	return ret;
}

static void ivnet_remove(struct auxiliary_device *auxdev)
{
	struct ivnet *net = auxiliary_get_drvdata(auxdev);

	ivshmem_function_close(net->function);
	unregister_netdev(net->dev);
	cancel_delayed_work_sync(&net->work);
	ivnet_free_links(net);
	free_netdev(net->dev);
}

static const struct auxiliary_device_id ivnet_ids[] = {
	{ .name = "ivshmem.net" },
	{ }
};
MODULE_DEVICE_TABLE(auxiliary, ivnet_ids);

static struct auxiliary_driver ivnet_driver = {
	.name = "net",
	.id_table = ivnet_ids,
	.probe = ivnet_probe,
	.remove = ivnet_remove,
};
module_auxiliary_driver(ivnet_driver);

MODULE_DESCRIPTION("ivshmem: Ethernet between virtual machines over shared memory");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(IVSHMEM_NS);
