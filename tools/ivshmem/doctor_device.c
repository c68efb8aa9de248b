// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at devices: PCI, driver, node, mapping, interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "doctor.h"
#include "driven.h"
#include "output.h"

#define GROUP		"ivshmem"
#define SELF_TEST_MS	1000

static void examine_driver(struct findings *findings,
			   const struct pci_device *device, const char *module)
{
	char remedy[512];

	if (!strcmp(device->driver, IVSHMEM_DRIVER)) {
		found(findings, VERDICT_OK, "driver", device->address, NULL,
		      "bound to the driver " IVSHMEM_DRIVER);
		return;
	}
	if (!strcmp(device->driver, VFIO_DRIVER)) {
		found(findings, VERDICT_OK, "driver", device->address, NULL,
		      "handed over to programs, which name it " VFIO_PREFIX
		      "%s; a network card or a disk needs the driver "
		      IVSHMEM_DRIVER, device->address);
		return;
	}
	if (*device->driver) {
		snprintf(remedy, sizeof(remedy),
			 "give it back: echo %s > /sys/bus/pci/drivers/%s/"
			 "unbind; echo > /sys/bus/pci/devices/%s/"
			 "driver_override; echo %s > /sys/bus/pci/"
			 "drivers_probe", device->address, device->driver,
			 device->address, device->address);
		found(findings, VERDICT_FAIL, "driver", device->address,
		      remedy, "held by the driver %s", device->driver);
		return;
	}
	if (access("/sys/module/" IVSHMEM_DRIVER, F_OK)) {
		found(findings, VERDICT_FAIL, "driver", device->address,
		      "load the module: modprobe " IVSHMEM_DRIVER,
		      "no driver is bound, the module is not loaded");
		if (!module)
			examine_module(findings, NULL);
		return;
	}
	snprintf(remedy, sizeof(remedy),
		 "`dmesg | grep %s` tells why; then: echo %s > /sys/bus/pci/"
		 "drivers/" IVSHMEM_DRIVER "/bind", device->address,
		 device->address);
	found(findings, VERDICT_FAIL, "driver", device->address, remedy,
	      "no driver is bound although the module is loaded");
}

static void examine_device(struct findings *findings,
			   const struct pci_device *device, const char *module)
{
	char size[32];

	if (!device->memory_size) {
		found(findings, VERDICT_FAIL, "device", device->address,
		      "see dmesg about BAR 2; a smaller memory or another "
		      "firmware may help", "the memory (BAR 2) was not placed");
		return;
	}
	found(findings, VERDICT_OK, "device", device->address, NULL,
	      "%s device with %s of memory",
	      device->doorbell ? "doorbell" : "plain",
	      format_size(device->memory_size, size));
	examine_driver(findings, device, module);
	if (*device->node)
		examine_node(findings, device->node);
}

void examine_devices(struct findings *findings,
		     const struct pci_devices *devices, const char *module)
{
	size_t i;

	examine_kernel(findings);
	if (!devices->count)
		found(findings, VERDICT_FAIL, "device", "PCI",
		      "start the machine with -device ivshmem-plain or "
		      "ivshmem-doorbell (`ivshmemd --show-qemu LINK` prints "
		      "the arguments)",
		      "there is no ivshmem device (1af4:1110)");
	for (i = 0; i < devices->count; i++)
		examine_device(findings, &devices->list[i], module);
	examine_names(findings, devices);
	if (module)
		examine_module(findings, module);
}

static const char *group_name(gid_t gid, char text[32])
{
	struct group *group = getgrgid(gid);

	if (group)
		snprintf(text, 32, "%s", group->gr_name);
	else
		snprintf(text, 32, "%u", (unsigned int)gid);
	return text;
}

/* Whether this process may use the node; a finding in any case. */
static bool examine_permission(struct findings *findings, const char *path,
			       const struct stat *st)
{
	const char *remedy;
	char name[32];
	bool ours;

	ours = !strcmp(group_name(st->st_gid, name), GROUP);
	if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS)) {
		remedy = ours ?
			"join the group: usermod -aG " GROUP " USER, and log "
			"in again" :
			"install the udev rule (70-ivshmem.rules), then: "
			"udevadm trigger --subsystem-match=ivshmem";
		found(findings, VERDICT_FAIL, "permission", path, remedy,
		      "not readable and writable for you: mode %04o, group %s",
		      (unsigned int)st->st_mode & 07777, name);
		return false;
	}
	if (st->st_mode & 0007)
		found(findings, VERDICT_WARN, "permission", path,
		      "correct the udev rule: mode 0660, group " GROUP,
		      "every user may access it: mode %04o",
		      (unsigned int)st->st_mode & 07777);
	else if (!ours)
		found(findings, VERDICT_WARN, "permission", path,
		      "install the udev rule (70-ivshmem.rules), then: "
		      "udevadm trigger --subsystem-match=ivshmem",
		      "yours, but its group is %s, not " GROUP, name);
	else
		found(findings, VERDICT_OK, "permission", path, NULL,
		      "yours; mode %04o, group %s",
		      (unsigned int)st->st_mode & 07777, name);
	return true;
}

static void examine_cache(struct findings *findings, struct attachment *at)
{
	const char *name = cache_name(at->info.cache);
	char remedy[256];

	if (at->info.cache == IVSHMEM_CACHED_WB) {
		found(findings, VERDICT_OK, "mapping", at->address, NULL,
		      "cached (write-back)");
		return;
	}
	if (at->info.cache == IVSHMEM_CACHED_UNKNOWN) {
		found(findings, VERDICT_WARN, "mapping", at->address,
		      "measure it: `ivshmem ping --poll` should take "
		      "microseconds", "this kernel does not tell how the "
		      "memory is cached");
		return;
	}
	if (is_driven(at->address)) {
		found(findings, VERDICT_WARN, "mapping", at->address,
		      "where bulk data matters use the driver " IVSHMEM_DRIVER
		      ", which maps it cached", "%s, as VFIO and sysfs do it; "
		      "on processors that heed this in a guest it is 10 to 100 "
		      "times slower than cached memory", cache_meaning(name));
		return;
	}
	snprintf(remedy, sizeof(remedy),
		 "echo wb > /sys/class/ivshmem/%s/cache_mode; if it stays %s, "
		 "the firmware's MTRRs forbid it: place the device below 4 GiB "
		 "or use other firmware", strrchr(at->address, '/') + 1, name);
	found(findings, VERDICT_WARN, "mapping", at->address, remedy,
	      "%s: reads are 10 to 100 times slower than from cached memory",
	      cache_meaning(name));
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Rings all own vectors; the set of those that did not come is returned. */
static int ring_self(struct attachment *at, uint64_t missing[4])
{
	struct ivshmem_event events[LIBIVSHMEM_MAX_VECTORS];
	unsigned int v, left = at->info.vectors;
	int64_t deadline;
	int i, n, ret;

	for (v = 0; v < at->info.vectors; v++) {
		ret = ivshmem_ring(at->ivs, at->info.peer_id, v);
		if (ret)
			return ret;
		missing[v / 64] |= 1ULL << (v % 64);
	}
	deadline = now_ms() + SELF_TEST_MS;
	while (left && now_ms() < deadline) {
		n = ivshmem_wait(at->ivs, events, LIBIVSHMEM_MAX_VECTORS,
				 (int)(deadline - now_ms()));
		if (n < 0)
			return n;
		for (i = 0; i < n; i++) {
			v = events[i].vector;
			left -= missing[v / 64] >> (v % 64) & 1;
			missing[v / 64] &= ~(1ULL << (v % 64));
		}
	}
	return (int)left;
}

static void examine_interrupts(struct findings *findings,
			       struct attachment *at)
{
	uint64_t missing[4] = { 0 };
	unsigned int v = 0;
	int ret;

	if (!at->info.doorbell) {
		found(findings, VERDICT_WARN, "interrupts", at->address,
		      "use ivshmem-doorbell with a server: `ivshmemd "
		      "--show-qemu LINK` prints the arguments",
		      "no MSI-X, so no doorbells: peers cannot wake each "
		      "other, everybody has to poll the memory, which costs "
		      "a busy CPU or latency");
		examine_polling(findings, at);
		return;
	}
	if (at->info.backend == IVSHMEM_BACKEND_PCI) {
		found(findings, VERDICT_WARN, "interrupts", at->address,
		      "hand the device over to VFIO, or use the driver "
		      IVSHMEM_DRIVER, "none through sysfs: this program can "
		      "wake others, but nobody can wake it");
		examine_polling(findings, at);
		return;
	}
	ret = ring_self(at, missing);
	if (ret < 0) {
		found(findings, VERDICT_FAIL, "interrupts", at->address,
		      "see dmesg about this device", "ringing the own "
		      "doorbells: %s", ring_error(ret));
	} else if (!at->info.vectors) {
		found(findings, VERDICT_FAIL, "interrupts", at->address,
		      "give the device vectors=1 or more; is the kernel "
		      "started with pci=nomsi? see dmesg about MSI-X",
		      "there is no vector to be rung on");
	} else if (ret) {
		while (!(missing[v / 64] >> (v % 64) & 1))
			v++;
		found(findings, VERDICT_FAIL, "interrupts", at->address,
		      "has the server as many vectors as the device "
		      "(vectors=)? /proc/interrupts shows which arrive",
		      "%d of %u own doorbells did not arrive within a second, "
		      "the first on vector %u", ret, at->info.vectors, v);
	} else {
		found(findings, VERDICT_OK, "interrupts", at->address, NULL,
		      "rang itself on %u vector%s, all arrived",
		      at->info.vectors, at->info.vectors == 1 ? "" : "s");
	}
}

/* What can be seen only from inside; @address was found to be permitted. */
static void examine_inside(struct findings *findings, const char *check,
			   const char *address)
{
	struct attachment at = { 0 };
	char size[32];
	int ret;

	snprintf(at.address, sizeof(at.address), "%s", address);
	catch_memory_loss();
	ret = ivshmem_open(address, 0, &at.ivs);
	if (!ret)
		ret = ivshmem_get_info(at.ivs, &at.info);
	if (ret) {
		/* In use is how a link, or a device, is meant to end up. */
		found(findings, ret == -EUSERS || ret == -EADDRINUSE ?
		      VERDICT_WARN : VERDICT_FAIL, check, address, open_error(address, ret), "%s",
		      strerror(-ret));
		detach(&at);
		return;
	}
	found(findings, VERDICT_OK, check, address, NULL,
	      "works; %s of memory", format_size(at.info.memory_size, size));
	examine_cache(findings, &at);
	examine_interrupts(findings, &at);
	if (at.info.backend == IVSHMEM_BACKEND_SERVER)
		examine_vectors(findings, address + strlen("unix:"),
				at.info.vectors);
	examine_region(findings, &at);
	detach(&at);
}

void examine_node(struct findings *findings, const char *path)
{
	struct stat st;

	if (stat(path, &st) || !S_ISCHR(st.st_mode)) {
		found(findings, VERDICT_FAIL, "node", path,
		      "is /dev a devtmpfs, does udev run? udevadm trigger "
		      "--subsystem-match=ivshmem", "the device node is not "
		      "there");
		return;
	}
	if (examine_permission(findings, path, &st))
		examine_inside(findings, "node", path);
}

void examine_socket(struct findings *findings, const char *path)
{
	char address[512];
	struct stat st;

	snprintf(address, sizeof(address), "unix:%s", path);
	if (stat(path, &st)) {
		found(findings, VERDICT_FAIL, "server", address,
		      open_error(address, -errno), "%s", strerror(errno));
		return;
	}
	if (!S_ISSOCK(st.st_mode)) {
		found(findings, VERDICT_FAIL, "server", address,
		      "name the socket of a server", "not a socket");
		return;
	}
	examine_trust(findings, path);
	examine_inside(findings, "server", address);
}

void examine_driven(struct findings *findings, const char *address)
{
	examine_inside(findings, "device", address);
}
