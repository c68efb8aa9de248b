/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an ivshmem device is driven from user space, through VFIO, with no
 * ivshmem driver in the kernel.
 *
 * What it takes, in order: an IOMMU, and a device that is alone in its group;
 * vfio-pci bound to it; descriptors of container, group and device; BAR0 (the
 * registers) and BAR2 (the shared memory) mapped; bus mastering, without which
 * no interrupt leaves the device; an eventfd for each MSI-X vector.  Then a
 * doorbell is a store to BAR0, and being rung is an epoll_wait(2) and a read(2).
 *
 * What it costs, compared with the driver: one process owns the whole device,
 * and root has to hand it over.  VFIO maps the memory uncached; processors
 * that heed this in a guest move bulk data 10 to 100 times slower then.  An
 * emulated processor does not.
 */
#include "vfio_device.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VENDOR_ID	0x1af4
#define DEVICE_ID	0x1110

/* Registers, in 32 bit words of BAR0. */
#define IVPOSITION	2
#define DOORBELL	3

#define SYSFS_DEVICES	"/sys/bus/pci/devices/"

/* The last part of what a link in the device's sysfs folder points to. */
static bool read_link(const char *address, const char *name,
		      char target[NAME_MAX + 1])
{
	char path[PATH_MAX], full[PATH_MAX];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof(path), SYSFS_DEVICES "%s/%s", address, name);
	n = readlink(path, full, sizeof(full) - 1);
	if (n < 0)
		return false;
	full[n] = '\0';
	last = strrchr(full, '/');
	snprintf(target, NAME_MAX + 1, "%.*s", NAME_MAX,
		 last ? last + 1 : full);
	return true;
}

/* Who has the device, and in which group it is, before it is touched. */
static bool find_group(const char *address, char group[NAME_MAX + 1])
{
	char path[PATH_MAX], driver[NAME_MAX + 1];

	snprintf(path, sizeof(path), SYSFS_DEVICES "%s", address);
	if (access(path, F_OK)) {
		complain("%s: no such PCI device; `lspci -Dd 1af4:1110` lists "
			 "those that would do", address);
		return false;
	}
	if (!read_link(address, "iommu_group", group)) {
		complain("%s: is behind no IOMMU; give the VM one (-device "
			 "intel-iommu,intremap=on) and its kernel the "
			 "parameter intel_iommu=on", address);
		return false;
	}
	if (!read_link(address, "driver", driver))
		strcpy(driver, "no driver");
	if (strcmp(driver, "vfio-pci")) {
		complain("%s: is bound to %s instead of vfio-pci; as root:\n"
			 "\tmodprobe vfio-pci\n"
			 "\techo vfio-pci >%s/driver_override\n"
			 "\techo %s >%s/driver/unbind\n"
			 "\techo %s >/sys/bus/pci/drivers_probe", address,
			 driver, path, address, path, address);
		return false;
	}
	return true;
}

static bool open_container(struct vfio_device *device)
{
	device->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (device->container < 0) {
		complain("/dev/vfio/vfio: %s; %s", strerror(errno),
			 errno == ENOENT ? "modprobe vfio-pci" :
			 "root may use it, and whom its mode allows");
		return false;
	}
	if (ioctl(device->container, VFIO_GET_API_VERSION) ==
	    VFIO_API_VERSION &&
	    ioctl(device->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU))
		return true;
	complain("/dev/vfio/vfio: has no type 1 IOMMU; "
		 "modprobe vfio_iommu_type1");
	return false;
}

/* The group joins the container; from then on the IOMMU isolates it. */
static bool open_group(struct vfio_device *device, const char *number)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	device->group = open(path, O_RDWR | O_CLOEXEC);
	if (device->group < 0) {
		complain("%s: %s; %s", path, strerror(errno), errno == EBUSY ?
			 "another process drives the device" :
			 "root may use it, and whom its mode allows");
		return false;
	}
	if (ioctl(device->group, VFIO_GROUP_GET_STATUS, &status) ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		complain("%s: other devices of this group are in use by their "
			 "drivers; plug %s where it is alone, directly into "
			 "the root bus", path, device->address);
		return false;
	}
	if (ioctl(device->group, VFIO_GROUP_SET_CONTAINER,
		  &device->container) ||
	    ioctl(device->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)) {
		complain("%s: cannot be put under the IOMMU: %s%s", path,
			 strerror(errno), errno == EPERM ?
			 "; interrupts need remapping, too: -device "
			 "intel-iommu,intremap=on" : "");
		return false;
	}
	return true;
}

/*
 * Identity is checked and bus mastering turned on: an MSI-X interrupt is a
 * write by the device, and vfio-pci hands devices over with that off.
 */
static bool enable_device(struct vfio_device *device)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t id[2], command;
	off_t offset;

	if (ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &config))
		goto failed;
	offset = (off_t)config.offset;
	if (pread(device->fd, id, sizeof(id), offset + PCI_VENDOR_ID) !=
	    sizeof(id))
		goto failed;
	if (le16toh(id[0]) != VENDOR_ID || le16toh(id[1]) != DEVICE_ID) {
		complain("%s: is %04x:%04x and no ivshmem device, which would "
			 "be %04x:%04x", device->address, le16toh(id[0]),
			 le16toh(id[1]), VENDOR_ID, DEVICE_ID);
		return false;
	}
	offset += PCI_COMMAND;
	if (pread(device->fd, &command, sizeof(command), offset) !=
	    sizeof(command))
		goto failed;
	command |= htole16(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (pwrite(device->fd, &command, sizeof(command), offset) ==
	    sizeof(command))
		return true;
failed:
	complain("%s: its PCI configuration is not accessible: %s",
		 device->address, strerror(errno));
	return false;
}

static bool map_bar(struct vfio_device *device, unsigned int index, struct bar *bar)
{
	struct vfio_region_info region = {
		.argsz = sizeof(region),
		.index = index,
	};
	void *base;

	if (ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &region)) {
		complain("%s: BAR%u: %s", device->address, index,
			 strerror(errno));
		return false;
	}
	if (!(region.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
		complain("%s: BAR%u shares its page with another device and "
			 "cannot be mapped; boot with "
			 "pci=resource_alignment=%s", device->address, index,
			 device->address);
		return false;
	}
	base = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    device->fd, (off_t)region.offset);
	if (base == MAP_FAILED) {
		complain("%s: mapping BAR%u: %s", device->address, index,
			 strerror(errno));
		return false;
	}
	bar->base = base;
	bar->size = region.size;
	return true;
}

static bool make_eventfds(struct vfio_device *device, unsigned int count)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd;

	device->epoll = epoll_create1(EPOLL_CLOEXEC);
	while (device->epoll >= 0 && device->vectors < count) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0)
			return false;
		event.data.fd = fd;
		device->eventfds[device->vectors++] = fd;
		if (epoll_ctl(device->epoll, EPOLL_CTL_ADD, fd, &event))
			return false;
	}
	return device->epoll >= 0;
}

/* Gives each vector its eventfd, all by one call. */
static bool connect_vectors(struct vfio_device *device)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};
	union {
		struct vfio_irq_set set;
		char room[sizeof(struct vfio_irq_set) +
			  sizeof(device->eventfds)];
	} irqs;

	if (ioctl(device->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) ||
	    !info.count) {
		complain("%s: has no MSI-X and thus no doorbells; use "
			 "ivshmem-doorbell instead of ivshmem-plain",
			 device->address);
		return false;
	}
	if (info.count > VFIO_DEVICE_MAX_VECTORS)
		info.count = VFIO_DEVICE_MAX_VECTORS;
	irqs.set = (struct vfio_irq_set) {
		.argsz = sizeof(irqs),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD |
			 VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = 0,
		.count = info.count,
	};
	if (make_eventfds(device, info.count)) {
		memcpy(irqs.set.data, device->eventfds,
		       info.count * sizeof(device->eventfds[0]));
		if (!ioctl(device->fd, VFIO_DEVICE_SET_IRQS, &irqs))
			return true;
	}
	complain("%s: connecting %u vectors to eventfds: %s", device->address,
		 info.count, strerror(errno));
	return false;
}

bool vfio_device_open(struct vfio_device *device, const char *address)
{
	char group[NAME_MAX + 1];

	memset(device, 0, sizeof(*device));
	device->address = address;
	device->container = -1;
	device->group = -1;
	device->fd = -1;
	device->epoll = -1;
	if (!find_group(address, group) || !open_container(device) ||
	    !open_group(device, group))
		return false;
	device->fd = ioctl(device->group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (device->fd < 0) {
		complain("%s: cannot be opened: %s", address, strerror(errno));
		return false;
	}
	return enable_device(device) &&
	       map_bar(device, VFIO_PCI_BAR0_REGION_INDEX,
		       &device->registers) &&
	       map_bar(device, VFIO_PCI_BAR2_REGION_INDEX, &device->memory) &&
	       connect_vectors(device);
}

/* The last close of the device's descriptor turns its interrupts off. */
void vfio_device_close(struct vfio_device *device)
{
	const int fds[] = { device->fd, device->group, device->container,
			    device->epoll };
	unsigned int i;

	if (device->memory.base)
		munmap(device->memory.base, device->memory.size);
	if (device->registers.base)
		munmap(device->registers.base, device->registers.size);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (i = 0; i < device->vectors; i++)
		close(device->eventfds[i]);
}

static volatile uint32_t *find_register(const struct vfio_device *device,
					unsigned int number)
{
	return (volatile uint32_t *)device->registers.base + number;
}

uint32_t vfio_device_peer_id(const struct vfio_device *device)
{
	return le32toh(*find_register(device, IVPOSITION));
}

void vfio_device_ring(struct vfio_device *device, uint32_t peer,
		      uint32_t vector)
{
	/* What was written to the memory has to arrive before the doorbell. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*find_register(device, DOORBELL) = htole32(peer << 16 | vector);
}

int vfio_device_wait(struct vfio_device *device, int timeout_ms)
{
	struct epoll_event events[16];
	uint64_t interrupts;
	int i, n;

	n = epoll_wait(device->epoll, events, 16, timeout_ms);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++)
		if (read(events[i].data.fd, &interrupts,
			 sizeof(interrupts)) < 0 && errno != EAGAIN)
			return -errno;
	return n > 0;
}
