// SPDX-License-Identifier: BSD-3-Clause
/*
 * The calls of the library: checks arguments, picks the backend by the
 * address, and passes on to it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "backend.h"

static const struct {
	const char *prefix;
	int (*open)(const char *address, unsigned int flags,
		    struct ivshmem **out);
} backends[] = {
	{ "unix:", ivshmem_server_open },
	{ "vfio:", ivshmem_vfio_open },
	{ "pci:", ivshmem_sysfs_open },
	/* What has no prefix is a path. */
	{ "", ivshmem_device_open },
};

int ivshmem_open(const char *address, unsigned int flags, struct ivshmem **out)
{
	size_t length, i = 0;

	if (!address || !out || (flags & ~IVSHMEM_RDONLY))
		return -EINVAL;
	*out = NULL;
	for (;; i++) {
		length = strlen(backends[i].prefix);
		if (!strncmp(address, backends[i].prefix, length))
			break;
	}
	if (!address[length])
		return -EINVAL;
	return backends[i].open(address + length, flags, out);
}

void ivshmem_close(struct ivshmem *ivs)
{
	if (ivs)
		ivs->ops->close(ivs);
}

int ivshmem_get_info(struct ivshmem *ivs, struct ivshmem_info *info)
{
	if (!ivs || !info)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	return ivs->ops->get_info(ivs, info);
}

int ivshmem_peer_vectors(struct ivshmem *ivs, uint32_t peer)
{
	if (!ivs || peer >= LIBIVSHMEM_MAX_PEERS)
		return -EINVAL;
	return ivs->ops->peer_vectors(ivs, peer);
}

int ivshmem_ring(struct ivshmem *ivs, uint32_t peer, uint32_t vector)
{
	if (!ivs || peer >= LIBIVSHMEM_MAX_PEERS ||
	    vector >= LIBIVSHMEM_MAX_VECTORS)
		return -EINVAL;
	if (ivs->flags & IVSHMEM_RDONLY)
		return -EBADF;
	/* Whatever the caller stored comes before the doorbell. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ivs->ops->ring(ivs, peer, vector);
}

int ivshmem_subscribe(struct ivshmem *ivs, const uint64_t vectors[4])
{
	if (!ivs || !vectors)
		return -EINVAL;
	return ivs->ops->subscribe(ivs, vectors);
}

int ivshmem_wait(struct ivshmem *ivs, struct ivshmem_event *events,
		 unsigned int max, int timeout_ms)
{
	if (!ivs || !events || !max)
		return -EINVAL;
	if (max > LIBIVSHMEM_MAX_VECTORS)
		max = LIBIVSHMEM_MAX_VECTORS;
	return ivs->ops->wait(ivs, events, max, timeout_ms);
}

int ivshmem_fd(struct ivshmem *ivs)
{
	if (!ivs)
		return -EINVAL;
	return ivs->ops->fd(ivs);
}

const char *ivshmem_version(void)
{
	return LIBIVSHMEM_VERSION;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t ivshmem_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int ivshmem_time_left(int64_t deadline)
{
	int64_t left;

	if (deadline < 0)
		return -1;
	left = deadline - now_ms();
	return left > 0 ? (int)left : 0;
}
