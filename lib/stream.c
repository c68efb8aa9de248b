// SPDX-License-Identifier: BSD-3-Clause
/*
 * Takes messages of the ivshmem server protocol from a socket, whatever the
 * other end sends, and lets no descriptor escape.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

/* A message has one descriptor at most; what comes beyond is closed. */
#define RECEIVED_FDS	4

void ivshmem_stream_init(struct ivshmem_stream *stream, int socket)
{
	stream->socket = socket;
	stream->have = 0;
	stream->fd = -1;
}

void ivshmem_stream_close(struct ivshmem_stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	if (stream->socket >= 0)
		close(stream->socket);
	ivshmem_stream_init(stream, -1);
}

/* Keeps the first descriptor, closes all others; false if there were any. */
static bool take_fds(struct ivshmem_stream *stream, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	bool single = true;
	size_t i, n;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (stream->fd < 0) {
				stream->fd = fd;
			} else {
				close(fd);
				single = false;
			}
		}
	}
	return single;
}

/* Receives some bytes of the message: 1, or as ivshmem_stream_receive(). */
static int receive_part(struct ivshmem_stream *stream)
{
	union {
		char bytes[CMSG_SPACE(RECEIVED_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {
		.iov_base = stream->bytes + stream->have,
		.iov_len = sizeof(stream->bytes) - stream->have,
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	n = recvmsg(stream->socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		if (errno == EINTR)
			return 1;
		return errno == EAGAIN ? 0 : -errno;
	}
	if (!take_fds(stream, &msg))
		return -EPROTO;
	/* The kernel had a descriptor for us and could not install it. */
	if (msg.msg_flags & MSG_CTRUNC)
		return stream->fd < 0 ? -EMFILE : -EPROTO;
	if (!n)
		return stream->have || stream->fd >= 0 ? -EPROTO : -ENODATA;
	stream->have += (unsigned int)n;
	return 1;
}

int ivshmem_stream_receive(struct ivshmem_stream *stream,
			   struct ivshmem_message *message)
{
	uint64_t raw;
	int ret;

	while (stream->have < sizeof(stream->bytes)) {
		ret = receive_part(stream);
		if (ret <= 0)
			return ret;
	}
	memcpy(&raw, stream->bytes, sizeof(raw));
	message->value = (int64_t)le64toh(raw);
	message->fd = stream->fd;
	stream->have = 0;
	stream->fd = -1;
	return 1;
}
