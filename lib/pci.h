/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device, driven by this process: what VFIO (vfio.c) and sysfs (sysfs.c)
 * have in common.
 */
#ifndef IVSHMEM_PCI_H
#define IVSHMEM_PCI_H

#include <limits.h>

#include "handle.h"

/* "ffff:ff:1f.7" */
#define PCI_ADDRESS_SIZE	13

/* Numbers of BARs */
#define PCI_BAR_REGISTERS	0
#define PCI_BAR_MSIX		1
#define PCI_BAR_MEMORY		2

struct pci;

/**
 * struct pci_way - how this process gets at the device
 * @backend: enum ivshmem_backend
 * @open:    makes the registers and the memory accessible, and doorbells
 *           arrive; @release follows in any case
 * @release: undoes it
 * @present: 0, or -ENODEV once the device is gone, or wanted back
 */
struct pci_way {
	uint32_t backend;
	int (*open)(struct pci *pci);
	void (*release)(struct pci *pci);
	int (*present)(struct pci *pci);
};

extern const struct pci_way pci_way_vfio;
extern const struct pci_way pci_way_sysfs;

/**
 * struct pci - a device that this process drives
 * @handle:    the own vectors, the region
 * @way:       how
 * @address:   of the PCI function
 * @revision:  of the device
 * @doorbell:  it has MSI-X, and thus doorbells
 * @slot:      as the caller has said, for a device without; or -1
 * @registers: of BAR0; or NULL: VFIO reads and writes them at @registers_at
 * @mapped:    what @registers lie in
 * @mapped_size: of it, in bytes
 * @registers_at: offset in @device
 * @device:    VFIO's descriptor of the device; or -1
 * @group:     likewise, of its IOMMU group
 * @container: likewise, of the address space that the group is in
 * @request:   eventfd: the device is to be given back; or -1
 * @enabled:   sysfs has counted us as a user of the device
 */
struct pci {
	struct handle handle;
	const struct pci_way *way;
	char address[PCI_ADDRESS_SIZE];
	uint32_t revision;
	bool doorbell;
	int slot;
	volatile uint32_t *registers;
	void *mapped;
	size_t mapped_size;
	uint64_t registers_at;
	int device;
	int group;
	int container;
	int request;
	bool enabled;
};

/** pci_path() - of a file of the device in sysfs; "" for its folder */
void pci_path(const struct pci *pci, const char *file, char path[PATH_MAX]);

/**
 * pci_link() - the last part of what a link there points to
 *
 * Return: 0, -ENOENT (there is none), or another negative errno value.
 */
int pci_link(const struct pci *pci, const char *file,
	     char target[NAME_MAX + 1]);

/**
 * pci_bar() - where a BAR was placed
 * @start: physical address; 0 if the device has none
 * @size:  in bytes, or 0
 */
int pci_bar(const struct pci *pci, unsigned int number, uint64_t *start,
	    uint64_t *size);

#endif /* IVSHMEM_PCI_H */
