/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that this program drives itself, through VFIO or sysfs: what keeps it
 * from that, and what to do about it.
 */
#ifndef DRIVEN_H
#define DRIVEN_H

#include <stdbool.h>

#define VFIO_PREFIX	"vfio:"
#define SYSFS_PREFIX	"pci:"
#define VFIO_DRIVER	"vfio-pci"

/** is_driven() - whether an address is of such a device, "vfio:0000:00:10.0" */
bool is_driven(const char *address);

/**
 * driven_error() - what an error of ivshmem_open() means for it, and the remedy
 *
 * May have several lines, of which those with commands begin with a tab.
 *
 * Return: text that holds until the next call.
 */
const char *driven_error(const char *address, int error);

#endif /* DRIVEN_H */
