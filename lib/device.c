// SPDX-License-Identifier: BSD-3-Clause
/*
 * Backend for guests: the character device of the ivshmem driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ivshmem.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "device.h"

struct device {
	struct ivshmem ivs;
	int fd;
	bool doorbell;
};

static struct device *to_device(struct ivshmem *ivs)
{
	return (struct device *)ivs;
}

static int query(int fd, struct ivshmem_ioc_info *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->size = sizeof(*answer);
	return ioctl(fd, IVSHMEM_IOC_INFO, answer) ? -errno : 0;
}

static void device_close(struct ivshmem *ivs)
{
	close(to_device(ivs)->fd);
	free(to_device(ivs));
}

static int device_get_info(struct ivshmem *ivs, struct ivshmem_info *info)
{
	struct ivshmem_ioc_info answer;
	int ret;

	ret = query(to_device(ivs)->fd, &answer);
	if (ret)
		return ret;
	info->backend = IVSHMEM_BACKEND_DEVICE;
	info->peer_id = answer.peer_id;
	info->vectors = answer.vectors;
	info->doorbell = !!(answer.features & IVSHMEM_FEATURE_DOORBELL);
	info->memory_size = answer.memory_size;
	/* The values of enum ivshmem_cache are those of the driver. */
	info->cache = answer.cache_mode <= IVSHMEM_CACHE_UC ?
		      answer.cache_mode : IVSHMEM_CACHE_UNKNOWN;
	info->revision = answer.revision;
	return 0;
}

static int device_peer_vectors(struct ivshmem *ivs, uint32_t peer)
{
	(void)ivs;
	(void)peer;
	return -EOPNOTSUPP;
}

static int device_ring(struct ivshmem *ivs, uint32_t peer, uint32_t vector)
{
	struct ivshmem_ioc_ring arg = {
		.size = sizeof(arg),
		.peer = peer,
		.vector = vector,
	};

	return ioctl(to_device(ivs)->fd, IVSHMEM_IOC_RING, &arg) ? -errno : 0;
}

static int device_subscribe(struct ivshmem *ivs, const uint64_t vectors[4])
{
	struct ivshmem_ioc_subscribe arg = { .size = sizeof(arg) };

	memcpy(arg.vectors, vectors, sizeof(arg.vectors));
	return ioctl(to_device(ivs)->fd, IVSHMEM_IOC_SUBSCRIBE, &arg) ?
	       -errno : 0;
}

/*
 * Reads what is pending; 0 if another thread was faster.  RWF_NOWAIT, because
 * the descriptor is a blocking one: a doorbell beyond the rate limit has to
 * wait instead of failing.
 */
static int collect(struct device *dev, struct ivshmem_event *events,
		   unsigned int max)
{
	struct ivshmem_event_record records[IVSHMEM_MAX_VECTORS];
	struct iovec iov = {
		.iov_base = records,
		.iov_len = max * sizeof(records[0]),
	};
	ssize_t n;
	int i;

	n = preadv2(dev->fd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	n /= (ssize_t)sizeof(records[0]);
	for (i = 0; i < n; i++) {
		events[i].vector = records[i].vector;
		events[i].count = records[i].count;
	}
	return (int)n;
}

static int device_wait(struct ivshmem *ivs, struct ivshmem_event *events,
		       unsigned int max, int timeout_ms)
{
	struct device *dev = to_device(ivs);
	struct pollfd pfd = { .fd = dev->fd, .events = POLLIN };
	int64_t deadline = ivshmem_deadline(timeout_ms);
	int ret;

	if (!dev->doorbell)
		return -EOPNOTSUPP;
	for (;;) {
		ret = poll(&pfd, 1, ivshmem_time_left(deadline));
		if (ret < 0)
			return -errno;
		if (!ret)
			return 0;
		ret = collect(dev, events, max);
		if (ret)
			return ret;
	}
}

static int device_fd(struct ivshmem *ivs)
{
	return to_device(ivs)->fd;
}

static int device_export_dmabuf(struct ivshmem *ivs, uint64_t offset,
				uint64_t length, int prot)
{
	struct ivshmem_ioc_dmabuf arg = {
		.size = sizeof(arg),
		.open_flags = (prot & PROT_WRITE ? O_RDWR : O_RDONLY) |
			      O_CLOEXEC,
		.offset = offset,
		.length = length,
	};
	int fd;

	fd = ioctl(to_device(ivs)->fd, IVSHMEM_IOC_DMABUF, &arg);
	if (fd >= 0)
		return fd;
	/* A driver that is older than the call */
	return errno == ENOTTY ? -EOPNOTSUPP : -errno;
}

static const struct ivshmem_backend_ops device_ops = {
	.close = device_close,
	.get_info = device_get_info,
	.peer_vectors = device_peer_vectors,
	.ring = device_ring,
	.subscribe = device_subscribe,
	.wait = device_wait,
	.fd = device_fd,
	.get_region = ivshmem_device_get_region,
	.get_section = ivshmem_device_get_section,
	.section_offset = ivshmem_device_section_offset,
	.get_peer = ivshmem_device_get_peer,
	.wait_change = ivshmem_device_wait_change,
	.join = ivshmem_device_join,
	.leave = ivshmem_device_leave,
	.format = ivshmem_device_format,
	.watch = ivshmem_device_watch,
	.settle = ivshmem_device_settle,
	.claim = ivshmem_device_claim,
	.export_dmabuf = device_export_dmabuf,
};

static int open_node(const char *path, unsigned int flags)
{
	struct stat st;
	int fd;

	/* Opening a FIFO or a terminal by mistake would have effects. */
	if (stat(path, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	fd = open(path, (flags & IVSHMEM_RDONLY ? O_RDONLY : O_RDWR) |
		  O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	return fd;
}

int ivshmem_device_open(const char *path, unsigned int flags,
			struct ivshmem **out)
{
	struct ivshmem_ioc_info answer;
	struct device *dev;
	int ret;

	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->ivs.ops = &device_ops;
	dev->ivs.flags = flags;
	dev->fd = open_node(path, flags);
	ret = dev->fd;
	if (ret < 0)
		goto err_free;
	ret = query(dev->fd, &answer);
	if (ret)
		goto err_close;
	dev->doorbell = answer.features & IVSHMEM_FEATURE_DOORBELL;
	ivshmem_memory_init(&dev->ivs, dev->fd, answer.memory_size);
	*out = &dev->ivs;
	return 0;

err_close:
	close(dev->fd);
err_free:
	free(dev);
	return ret;
}
