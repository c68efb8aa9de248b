// SPDX-License-Identifier: BSD-3-Clause
/*
 * Backend for guests without our driver: finds the device, and works its
 * registers.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pci.h"

#define DEVICES		"/sys/bus/pci/devices/"
#define VENDOR_ID	0x1af4
#define DEVICE_ID	0x1110

/* Registers, in words of 32 bits */
#define IVPOSITION	2
#define DOORBELL	3

/* Before version 2.6 QEMU knew the own id only after the server had answered. */
#define ID_TIMEOUT_MS	1000
#define ID_STEP_MS	10

static struct pci *to_pci(struct ivshmem *ivs)
{
	return (struct pci *)ivs;
}

void pci_path(const struct pci *pci, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, DEVICES "%s/%s", pci->address, file);
}

int pci_link(const struct pci *pci, const char *file,
	     char target[NAME_MAX + 1])
{
	char path[PATH_MAX], full[PATH_MAX];
	const char *last;
	ssize_t n;

	pci_path(pci, file, path);
	n = readlink(path, full, sizeof(full) - 1);
	if (n < 0)
		return -errno;
	full[n] = '\0';
	last = strrchr(full, '/');
	last = last ? last + 1 : full;
	if (strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(target, last);
	return 0;
}

/* An attribute that is a number, "0x1af4\n". */
static int read_number(const struct pci *pci, const char *file,
		       uint32_t *number)
{
	char path[PATH_MAX];
	FILE *stream;
	int n;

	pci_path(pci, file, path);
	stream = fopen(path, "re");
	if (!stream)
		return -errno;
	n = fscanf(stream, "%" SCNi32, (int32_t *)number);
	fclose(stream);
	return n == 1 ? 0 : -EIO;
}

int pci_bar(const struct pci *pci, unsigned int number, uint64_t *start,
	    uint64_t *size)
{
	char path[PATH_MAX], line[128];
	uint64_t last = 0;
	bool found = true;
	unsigned int i;
	FILE *stream;

	pci_path(pci, "resource", path);
	stream = fopen(path, "re");
	if (!stream)
		return -errno;
	/* A line for each: first address, last address, flags. */
	for (i = 0; found && i <= number; i++)
		found = fgets(line, sizeof(line), stream);
	fclose(stream);
	if (!found || sscanf(line, "%" SCNx64 " %" SCNx64, start, &last) != 2 ||
	    last < *start)
		return -EIO;
	*size = last ? last - *start + 1 : 0;
	return 0;
}

/* "0000:00:10.0", or with ",slot=N" behind it. */
static int take_address(struct pci *pci, const char *text)
{
	unsigned int domain, bus, device, function, slot;
	char rest[2];
	int end = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function,
		   &end) != 4 || end != PCI_ADDRESS_SIZE - 1)
		return -EINVAL;
	memcpy(pci->address, text, PCI_ADDRESS_SIZE - 1);
	pci->slot = -1;
	text += end;
	if (!*text)
		return 0;
	if (sscanf(text, ",slot=%2u%1s", &slot, rest) != 1 ||
	    slot >= REGION_PEERS)
		return -EINVAL;
	pci->slot = (int)slot;
	return 0;
}

/* -ENOENT: no such device; -ENOTTY: another one. */
static int identify(struct pci *pci)
{
	uint64_t start, size = 0;
	uint32_t vendor = 0, device = 0;
	int ret;

	ret = read_number(pci, "vendor", &vendor);
	if (!ret)
		ret = read_number(pci, "device", &device);
	if (!ret)
		ret = read_number(pci, "revision", &pci->revision);
	if (ret)
		return ret;
	if (vendor != VENDOR_ID || device != DEVICE_ID)
		return -ENOTTY;
	/* Of no other use than for the table of MSI-X. */
	ret = pci_bar(pci, PCI_BAR_MSIX, &start, &size);
	pci->doorbell = size;
	return ret;
}

static int read_register(const struct pci *pci, unsigned int number,
			 uint32_t *value)
{
	uint64_t offset = pci->registers_at + number * sizeof(*value);
	uint32_t word = UINT32_MAX;

	if (pci->registers)
		word = pci->registers[number];
	else if (pread(pci->device, &word, sizeof(word), (off_t)offset) < 0)
		return -errno;
	*value = le32toh(word);
	return 0;
}

static int write_register(const struct pci *pci, unsigned int number,
			  uint32_t value)
{
	uint64_t offset = pci->registers_at + number * sizeof(value);
	uint32_t word = htole32(value);

	if (pci->registers)
		pci->registers[number] = word;
	else if (pwrite(pci->device, &word, sizeof(word), (off_t)offset) < 0)
		return -errno;
	return 0;
}

/* A word that is all ones is that of a device that is gone, too. */
static int read_id(struct pci *pci)
{
	struct timespec step = { .tv_nsec = ID_STEP_MS * 1000000L };
	int64_t deadline = ivshmem_deadline(ID_TIMEOUT_MS);
	uint32_t id = UINT32_MAX;
	int ret;

	for (;;) {
		ret = read_register(pci, IVPOSITION, &id);
		if (ret)
			return ret;
		if (id < LIBIVSHMEM_MAX_PEERS)
			break;
		if (!ivshmem_time_left(deadline))
			return -ENODEV;
		nanosleep(&step, NULL);
	}
	pci->handle.peer_id = id;
	return 0;
}

/* Without doorbells the register says 0, whoever it is. */
static int find_id(struct pci *pci)
{
	if (pci->doorbell)
		return pci->slot < 0 ? read_id(pci) : -EINVAL;
	pci->handle.peer_id = pci->slot < 0 ? LIBIVSHMEM_MAX_PEERS :
					      (uint32_t)pci->slot;
	return 0;
}

static int follow(struct handle *handle)
{
	struct pci *pci = to_pci(&handle->ivs);

	return pci->way->present(pci);
}

static void pci_close(struct ivshmem *ivs)
{
	struct pci *pci = to_pci(ivs);
	unsigned int i;

	ivshmem_host_close(ivs);
	if (pci->mapped)
		munmap(pci->mapped, pci->mapped_size);
	pci->way->release(pci);
	ivshmem_handle_release(&pci->handle);
	for (i = 0; i < pci->handle.vectors; i++)
		close(pci->handle.eventfds[i]);
	free(pci);
}

static int pci_get_info(struct ivshmem *ivs, struct ivshmem_info *info)
{
	struct pci *pci = to_pci(ivs);
	int ret;

	ret = ivshmem_handle_follow(ivs);
	if (ret)
		return ret;
	info->backend = pci->way->backend;
	if (pci->handle.peer_id < LIBIVSHMEM_MAX_PEERS)
		info->peer_id = pci->handle.peer_id;
	info->vectors = pci->handle.vectors;
	info->doorbell = pci->doorbell;
	info->memory_size = ivs->memory_size;
	/* Both ways map it like registers; see Documentation/user-space.rst. */
	info->cache = IVSHMEM_CACHED_UC;
	info->revision = pci->revision;
	return 0;
}

static int pci_peer_vectors(struct ivshmem *ivs, uint32_t peer)
{
	(void)ivs;
	(void)peer;
	return -EOPNOTSUPP;
}

static int pci_ring(struct ivshmem *ivs, uint32_t peer, uint32_t vector)
{
	struct pci *pci = to_pci(ivs);

	if (!pci->doorbell)
		return -EOPNOTSUPP;
	return write_register(pci, DOORBELL, peer << 16 | vector);
}

static const struct ivshmem_backend_ops pci_ops = {
	.close = pci_close,
	.get_info = pci_get_info,
	.peer_vectors = pci_peer_vectors,
	.ring = pci_ring,
	IVSHMEM_HANDLE_OPS,
};

static int open_device(struct pci *pci, const char *address,
		       unsigned int flags)
{
	int ret;

	ret = ivshmem_handle_init(&pci->handle, &pci_ops, flags);
	if (!ret)
		ret = take_address(pci, address);
	if (!ret)
		ret = identify(pci);
	if (!ret)
		ret = pci->way->open(pci);
	if (!ret)
		ret = find_id(pci);
	return ret;
}

static int pci_open(const struct pci_way *way, const char *address,
		    unsigned int flags, struct ivshmem **out)
{
	struct pci *pci;
	int ret;

	pci = calloc(1, sizeof(*pci));
	if (!pci)
		return -ENOMEM;
	pci->way = way;
	pci->handle.follow = follow;
	pci->device = -1;
	pci->group = -1;
	pci->container = -1;
	pci->request = -1;
	ret = open_device(pci, address, flags);
	if (ret) {
		pci_close(&pci->handle.ivs);
		return ret;
	}
	*out = &pci->handle.ivs;
	return 0;
}

int ivshmem_vfio_open(const char *address, unsigned int flags,
		      struct ivshmem **out)
{
	return pci_open(&pci_way_vfio, address, flags, out);
}

int ivshmem_sysfs_open(const char *address, unsigned int flags,
		       struct ivshmem **out)
{
	return pci_open(&pci_way_sysfs, address, flags, out);
}
