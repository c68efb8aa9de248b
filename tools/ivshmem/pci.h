/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ivshmem devices of this machine, as sysfs shows them, with or without
 * a driver.
 */
#ifndef PCI_H
#define PCI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IVSHMEM_DRIVER	"ivshmem"

/**
 * struct pci_device - one PCI function 1af4:1110
 * @address:     "0000:00:03.0"
 * @driver:      name of the driver that is bound, or ""
 * @node:        "/dev/ivshmem0", or "" without our driver
 * @memory_size: of BAR2
 * @doorbell:    it has MSI-X (a BAR for its table)
 * @known:       our driver's attributes, below, could be read
 * @peer_id:     own id
 * @vectors:     vectors in use
 * @revision:    PCI revision
 * @cache_mode:  "wb", "wc", "uc" ...
 */
struct pci_device {
	char address[32];
	char driver[64];
	char node[64];
	uint64_t memory_size;
	bool doorbell;
	bool known;
	uint64_t peer_id;
	uint64_t vectors;
	uint64_t revision;
	char cache_mode[16];
};

struct pci_devices {
	struct pci_device *list;
	size_t count;
};

/**
 * pci_find() - look for devices; in the order of their addresses
 *
 * Return: 0 or -ENOMEM; no device at all is not an error.
 */
int pci_find(struct pci_devices *devices);
void pci_release(struct pci_devices *devices);

#endif /* PCI_H */
