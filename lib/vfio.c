// SPDX-License-Identifier: BSD-3-Clause
/*
 * Opens the device through VFIO: the registers and the memory mapped, an
 * eventfd for each MSI-X vector.  Nothing is mapped for the device itself: it
 * reads and writes no memory of ours, and an IOMMU sees to it.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pci.h"

#define DRIVER		"vfio-pci"

static int check_driver(const struct pci *pci)
{
	char driver[NAME_MAX + 1];
	int ret;

	ret = pci_link(pci, "driver", driver);
	if (ret)
		return ret == -ENOENT ? -EUNATCH : ret;
	return strcmp(driver, DRIVER) ? -EBUSY : 0;
}

/* Without an IOMMU the name of the node says so. */
static int open_group(struct pci *pci, int *type)
{
	char path[PATH_MAX], number[NAME_MAX + 1];
	int ret;

	*type = VFIO_TYPE1_IOMMU;
	ret = pci_link(pci, "iommu_group", number);
	if (ret)
		return ret == -ENOENT ? -EUNATCH : ret;
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	if (access(path, F_OK)) {
		*type = VFIO_NOIOMMU_IOMMU;
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", number);
	}
	pci->group = open(path, O_RDWR | O_CLOEXEC);
	if (pci->group >= 0)
		return 0;
	return errno == EBUSY ? -EADDRINUSE : -errno;
}

static int open_container(struct pci *pci, int type)
{
	pci->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (pci->container < 0)
		return -errno;
	if (ioctl(pci->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(pci->container, VFIO_CHECK_EXTENSION, type) <= 0)
		return -EOPNOTSUPP;
	return 0;
}

/* The device is only to be had together with all that it can be taken for. */
static int enter_group(struct pci *pci)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int ret, type;

	ret = open_group(pci, &type);
	if (!ret)
		ret = open_container(pci, type);
	if (ret)
		return ret;
	if (ioctl(pci->group, VFIO_GROUP_GET_STATUS, &status))
		return -errno;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EXDEV;
	if (ioctl(pci->group, VFIO_GROUP_SET_CONTAINER, &pci->container) ||
	    ioctl(pci->container, VFIO_SET_IOMMU, type))
		return -errno;
	pci->device = ioctl(pci->group, VFIO_GROUP_GET_DEVICE_FD, pci->address);
	return pci->device < 0 ? -errno : 0;
}

static int ask_region(const struct pci *pci, uint32_t index,
		      struct vfio_region_info *region)
{
	memset(region, 0, sizeof(*region));
	region->argsz = sizeof(*region);
	region->index = index;
	if (ioctl(pci->device, VFIO_DEVICE_GET_REGION_INFO, region))
		return -errno;
	return region->size ? 0 : -ENXIO;
}

/* An interrupt is a write by the device, which VFIO hands over without that. */
static int enable_device(const struct pci *pci)
{
	struct vfio_region_info config;
	uint16_t command;
	off_t offset;
	int ret;

	ret = ask_region(pci, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (ret)
		return ret;
	offset = (off_t)config.offset + PCI_COMMAND;
	if (pread(pci->device, &command, sizeof(command), offset) !=
	    sizeof(command))
		return -EIO;
	command |= htole16(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (pwrite(pci->device, &command, sizeof(command), offset) !=
	    sizeof(command))
		return -EIO;
	return 0;
}

/* What shares its page with another device can only be read and written. */
static int find_registers(struct pci *pci)
{
	struct vfio_region_info region;
	void *mapped;
	int ret;

	ret = ask_region(pci, VFIO_PCI_BAR0_REGION_INDEX, &region);
	if (ret)
		return ret;
	pci->registers_at = region.offset;
	if (!(region.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	mapped = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      pci->device, (off_t)region.offset);
	if (mapped == MAP_FAILED)
		return -errno;
	pci->mapped = mapped;
	pci->mapped_size = region.size;
	pci->registers = mapped;
	return 0;
}

static int find_memory(struct pci *pci)
{
	struct vfio_region_info region;
	int ret;

	ret = ask_region(pci, VFIO_PCI_BAR2_REGION_INDEX, &region);
	if (ret)
		return ret;
	if (!(region.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -EOPNOTSUPP;
	ivshmem_memory_init(&pci->handle.ivs, pci->device, region.size);
	pci->handle.ivs.memory_at = region.offset;
	return 0;
}

/* Has VFIO write to descriptors what is otherwise an interrupt. */
static int connect_irqs(const struct pci *pci, uint32_t index, const int *fds,
			unsigned int count)
{
	int ret;
	union {
		struct vfio_irq_set set;
		char room[sizeof(struct vfio_irq_set) +
			  LIBIVSHMEM_MAX_VECTORS * sizeof(int32_t)];
	} irqs;

	irqs.set = (struct vfio_irq_set) {
		.argsz = (uint32_t)(sizeof(irqs.set) +
				    count * sizeof(int32_t)),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD |
			 VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.count = count,
	};
	memcpy(irqs.set.data, fds, count * sizeof(int32_t));
	ret = ioctl(pci->device, VFIO_DEVICE_SET_IRQS, &irqs);
	if (ret < 0)
		return -errno;
	/* So many could be had, and none of them is. */
	return ret ? -ENOSPC : 0;
}

static int connect_vectors(struct pci *pci)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};
	int fd, ret;

	if (ioctl(pci->device, VFIO_DEVICE_GET_IRQ_INFO, &info))
		return -errno;
	pci->doorbell = info.count;
	if (!info.count)
		return 0;
	/* No doorbell can name more. */
	if (info.count > LIBIVSHMEM_MAX_VECTORS)
		info.count = LIBIVSHMEM_MAX_VECTORS;
	while (pci->handle.vectors < info.count) {
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fd < 0)
			return -errno;
		ret = ivshmem_handle_add_vector(&pci->handle, fd);
		if (ret)
			return ret;
	}
	return connect_irqs(pci, info.index, pci->handle.eventfds, info.count);
}

/* Whoever removes the device waits for us, who should know. */
static int connect_request(struct pci *pci)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_REQ_IRQ_INDEX,
	};
	int ret;

	if (ioctl(pci->device, VFIO_DEVICE_GET_IRQ_INFO, &info) || !info.count)
		return 0;
	pci->request = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pci->request < 0)
		return -errno;
	ret = ivshmem_handle_add_other(&pci->handle, pci->request);
	if (ret)
		return ret;
	return connect_irqs(pci, info.index, &pci->request, 1);
}

static int vfio_open(struct pci *pci)
{
	int ret;

	ret = check_driver(pci);
	if (!ret)
		ret = enter_group(pci);
	if (!ret)
		ret = enable_device(pci);
	if (!ret)
		ret = find_registers(pci);
	if (!ret)
		ret = find_memory(pci);
	if (!ret)
		ret = connect_vectors(pci);
	if (!ret)
		ret = connect_request(pci);
	return ret;
}

/* The last descriptor of the device takes its interrupts along. */
static void vfio_release(struct pci *pci)
{
	if (pci->device >= 0)
		close(pci->device);
	if (pci->group >= 0)
		close(pci->group);
	if (pci->container >= 0)
		close(pci->container);
	if (pci->request >= 0)
		close(pci->request);
}

static int vfio_present(struct pci *pci)
{
	struct pollfd pfd = { .fd = pci->request, .events = POLLIN };

	/* It is not read: whoever asks is told. */
	return poll(&pfd, 1, 0) > 0 ? -ENODEV : 0;
}

const struct pci_way pci_way_vfio = {
	.backend = IVSHMEM_BACKEND_VFIO,
	.open = vfio_open,
	.release = vfio_release,
	.present = vfio_present,
};
