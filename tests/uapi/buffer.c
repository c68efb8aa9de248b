/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parts of the memory as dma-bufs, as the test programs make, map and import
 * them.
 */
#include "buffer.h"

#include <glob.h>

#include <drm.h>

int buffer_export(int fd, uint64_t offset, uint64_t length, int open_flags)
{
	struct ivshmem_ioc_dmabuf dmabuf = {
		.size = sizeof(dmabuf),
		.open_flags = open_flags,
		.offset = offset,
		.length = length,
	};

	return ioctl(fd, IVSHMEM_IOC_DMABUF, &dmabuf);
}

int buffer_make(int fd, uint64_t offset, uint64_t length, int mode)
{
	int buffer = buffer_export(fd, offset, length, mode | O_CLOEXEC);

	if (buffer < 0)
		fail_msg("export of %#lx at %#lx: %s", length, offset,
			 strerror(errno));
	return buffer;
}

int importer_open(void)
{
	int importer = open("/dev/ivshmem_import", O_RDWR | O_CLOEXEC);

	if (importer < 0)
		fail_msg("/dev/ivshmem_import: %s", strerror(errno));
	return importer;
}

int importer_read(int importer, uint64_t offset, void *bytes, uint32_t length)
{
	struct import_dma dma = { .offset = offset, .length = length };

	assert_true(length <= sizeof(dma.bytes));
	if (ioctl(importer, IMPORT_READ, &dma))
		return -1;
	memcpy(bytes, dma.bytes, length);
	return 0;
}

int importer_write(int importer, uint64_t offset, const void *bytes,
		   uint32_t length)
{
	struct import_dma dma = { .offset = offset, .length = length };

	assert_true(length <= sizeof(dma.bytes));
	memcpy(dma.bytes, bytes, length);
	return ioctl(importer, IMPORT_WRITE, &dma);
}

static bool is_vgem(int drm)
{
	char name[16] = "";
	struct drm_version version = {
		.name = name,
		.name_len = sizeof(name) - 1,
	};

	return !ioctl(drm, DRM_IOCTL_VERSION, &version) &&
	       !strcmp(name, "vgem");
}

int vgem_open(void)
{
	glob_t found;
	int drm = -1;
	size_t i;

	if (glob("/dev/dri/card*", 0, NULL, &found))
		fail_msg("no /dev/dri/card*: is vgem loaded?");
	for (i = 0; i < found.gl_pathc; i++) {
		drm = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (drm >= 0 && is_vgem(drm))
			break;
		close(drm);
	}
	if (i == found.gl_pathc)
		fail_msg("none of /dev/dri/card* is vgem");
	globfree(&found);
	return drm;
}
