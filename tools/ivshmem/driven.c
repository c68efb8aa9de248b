// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says why a device cannot be driven from user space: who has it, whether there
 * is an IOMMU, and the commands that hand it over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driven.h"
#include "pci.h"

#define DEVICES		"/sys/bus/pci/devices/"
#define MODULE		"/sys/module/vfio"
#define UNSAFE_MODE	MODULE "/parameters/enable_unsafe_noiommu_mode"

/* Of the commands that follow one another */
#define TAKE_AWAY	"\n\techo %s > " DEVICES "%s/driver/unbind"
#define HAND_OVER	"\n\tmodprobe vfio-pci" \
			"\n\techo vfio-pci > " DEVICES "%s/driver_override"
#define PROBE		"\n\techo %s > /sys/bus/pci/drivers_probe"

/* "0000:00:10.0" and the driver that has it, "" if none does. */
struct place {
	char pci[32];
	char driver[64];
	bool vfio;
};

static bool has_prefix(const char *address, const char *prefix)
{
	return !strncmp(address, prefix, strlen(prefix));
}

bool is_driven(const char *address)
{
	return has_prefix(address, VFIO_PREFIX) ||
	       has_prefix(address, SYSFS_PREFIX);
}

static void find_place(const char *address, struct place *place)
{
	struct pci_devices devices;
	size_t i;

	memset(place, 0, sizeof(*place));
	place->vfio = has_prefix(address, VFIO_PREFIX);
	address = strchr(address, ':') + 1;
	snprintf(place->pci, sizeof(place->pci), "%.*s",
		 (int)strcspn(address, ","), address);
	if (pci_find(&devices))
		return;
	for (i = 0; i < devices.count; i++)
		if (!strcmp(devices.list[i].address, place->pci))
			strcpy(place->driver, devices.list[i].driver);
	pci_release(&devices);
}

static const char *held(const struct place *place)
{
	static char text[768];
	const char *pci = place->pci;

	if (place->vfio)
		snprintf(text, sizeof(text), "it is bound to the driver %s "
			 "instead of vfio-pci; as root:" HAND_OVER TAKE_AWAY
			 PROBE, place->driver, pci, pci, pci, pci);
	else
		snprintf(text, sizeof(text), "it is bound to the driver %s, "
			 "which does not expect others; as root:" TAKE_AWAY,
			 place->driver, pci, pci);
	return text;
}

static const char *not_handed_over(const struct place *place)
{
	static char text[768];
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/iommu_group", place->pci);
	if (!access(path, F_OK) || !access(UNSAFE_MODE, F_OK))
		snprintf(text, sizeof(text), "vfio-pci is not bound to it; as "
			 "root:%s" HAND_OVER PROBE, access(path, F_OK) ?
			 " (it is behind no IOMMU, which is unsafe)\n\t"
			 "echo Y > " UNSAFE_MODE : "", place->pci, place->pci);
	else
		snprintf(text, sizeof(text), "it is behind no IOMMU; give the "
			 "machine one (-device intel-iommu,intremap=on) and its "
			 "kernel the parameter intel_iommu=on, or drive the "
			 "device through sysfs: pci:%s; without an IOMMU VFIO "
			 "needs a kernel with CONFIG_VFIO_NOIOMMU, %s",
			 place->pci, access(MODULE, F_OK) ?
			 "which shows after modprobe vfio" :
			 "which this one has not");
	return text;
}

static const char *vfio_error(const struct place *place, int error)
{
	switch (error) {
	case -EUNATCH:
		return not_handed_over(place);
	case -EXDEV:
		return "other devices of its IOMMU group have drivers; plug it "
		       "where it is alone, directly into the root bus";
	case -EPERM:
		return "not permitted: without an IOMMU it takes root, and an "
		       "IOMMU has to remap interrupts (-device intel-iommu,"
		       "intremap=on)";
	case -EACCES:
		return "permission denied; root may open the group's node in "
		       "/dev/vfio, and whom its mode allows";
	case -EOPNOTSUPP:
		return "VFIO lacks what it needs; modprobe vfio_iommu_type1";
	default:
		return strerror(-error);
	}
}

static const char *sysfs_error(int error)
{
	switch (error) {
	case -EPERM:
		if (geteuid() == 0)
			return "not permitted, even to root; a kernel that is "
			       "locked down, as under Secure Boot, allows it "
			       "through VFIO only";
		/* fallthrough */
	case -EACCES:
		return "permission denied; the files of PCI devices in sysfs "
		       "are root's";
	default:
		return strerror(-error);
	}
}

const char *driven_error(const char *address, int error)
{
	struct place place;

	find_place(address, &place);
	switch (error) {
	case -EINVAL:
		return "not the place of a PCI device, as in vfio:0000:00:10.0; "
		       "if it has no doorbells, and only then, ,slot=N may "
		       "follow";
	case -ENOENT:
		return "no such PCI device; `ivshmem list` shows those there "
		       "are";
	case -ENOTTY:
		return "not an ivshmem device, which would be 1af4:1110";
	case -EBUSY:
		return held(&place);
	case -EADDRINUSE:
		return "another process drives the device";
	case -ENODEV:
		return "the device is gone, or does not answer";
	}
	if (place.vfio)
		return vfio_error(&place, error);
	return sysfs_error(error);
}
