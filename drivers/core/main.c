// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads and unloads the module.
 */
#include <linux/module.h>

#include "core.h"

static int __init ivshmem_init(void)
{
	int ret;

	ret = ivshmem_doorbell_register();
	if (ret)
		return ret;

	ret = ivshmem_region_register();
	if (ret)
		goto err_doorbell;

	ret = ivshmem_chardev_register();
	if (ret)
		goto err_region;

	ivshmem_debugfs_register();

	ret = ivshmem_pci_register();
	if (ret)
		goto err_debugfs;

	return 0;

err_debugfs:
	ivshmem_debugfs_unregister();
	ivshmem_chardev_unregister();
err_region:
	ivshmem_region_unregister();
err_doorbell:
	ivshmem_doorbell_unregister();
	return ret;
}
module_init(ivshmem_init);

static void __exit ivshmem_exit(void)
{
	ivshmem_pci_unregister();
	ivshmem_debugfs_unregister();
	ivshmem_chardev_unregister();
	ivshmem_region_unregister();
	ivshmem_doorbell_unregister();
}
module_exit(ivshmem_exit);

MODULE_DESCRIPTION("ivshmem: memory shared between virtual machines");
MODULE_LICENSE("GPL");
