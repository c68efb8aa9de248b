/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dma-buf that a device has announced to use, until a SIGUSR1 comes: vgem gives
 * out fences that programs signal.
 */
#include "buffer.h"

#include <drm.h>
#include <linux/dma-buf.h>
#include <signal.h>

/* vgem's own ioctls, which no package has a header of */
struct vgem_fence_attach {
	uint32_t handle;
	uint32_t flags;
	uint32_t out_fence;
	uint32_t pad;
};

struct vgem_fence_signal {
	uint32_t fence;
	uint32_t flags;
};

#define VGEM_FENCE_WRITE 1
#define VGEM_FENCE_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_fence_attach)
#define VGEM_FENCE_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_fence_signal)

static int vgem_buffer(int drm, uint32_t *handle)
{
	struct drm_mode_create_dumb dumb = {
		.width = 64,
		.height = 64,
		.bpp = 32,
	};
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC };

	assert_int_equal(ioctl(drm, DRM_IOCTL_MODE_CREATE_DUMB, &dumb), 0);
	prime.handle = dumb.handle;
	assert_int_equal(ioctl(drm, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), 0);
	*handle = dumb.handle;
	return prime.fd;
}

/* Its number, to signal it by */
static uint32_t add_fence(int drm, int buffer)
{
	struct dma_buf_export_sync_file from = { .flags = DMA_BUF_SYNC_RW };
	struct dma_buf_import_sync_file to = { .flags = DMA_BUF_SYNC_RW };
	struct vgem_fence_attach fence = {
		.flags = VGEM_FENCE_WRITE,
	};
	int other = vgem_buffer(drm, &fence.handle);

	assert_int_equal(ioctl(drm, VGEM_FENCE_ATTACH, &fence), 0);
	assert_int_equal(ioctl(other, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &from),
			 0);
	to.fd = from.fd;
	assert_int_equal(ioctl(buffer, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &to), 0);
	close(from.fd);
	close(other);
	return fence.out_fence;
}

static void test_announced_work(void **state)
{
	struct vgem_fence_signal fence = { 0 };
	int fd = device_open(O_RDWR), drm = vgem_open();
	int buffer = buffer_make(fd, 0, 4096, O_RDWR);
	sigset_t set;
	int number;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fence.fence = add_fence(drm, buffer);
	printf("ready\n");
	fflush(stdout);
	assert_int_equal(sigwait(&set, &number), 0);
	/* too late if the machine is slow: vgem has signalled it by itself */
	if (ioctl(drm, VGEM_FENCE_SIGNAL, &fence))
		assert_int_equal(errno, ETIMEDOUT);
	close(buffer);
	close(drm);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_announced_work),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
