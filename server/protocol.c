/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages of QEMU's ivshmem server protocol, version 0, and the order in
 * which a client with a permanent slot gets them.
 */
#include "protocol.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

unsigned int protocol_length(unsigned int peers, unsigned int vectors)
{
	return PROTOCOL_PREAMBLE + peers * vectors;
}

static struct protocol_message eventfd_message(const struct protocol_view *view,
					       unsigned int index)
{
	unsigned int others = (view->peers - 1) * view->vectors;
	unsigned int vector = index % view->vectors;
	struct protocol_message message;
	unsigned int slot;

	if (index >= others) {
		slot = view->slot;
	} else {
		slot = index / view->vectors;
		if (slot >= view->slot)
			slot++;
	}
	message.value = slot;
	message.fd = view->eventfds[slot * view->vectors + vector];
	return message;
}

struct protocol_message protocol_message(const struct protocol_view *view,
					 unsigned int step)
{
	struct protocol_message message = { .fd = -1 };

	switch (step) {
	case 0:
		message.value = PROTOCOL_VERSION;
		return message;
	case 1:
		message.value = view->slot;
		return message;
	case 2:
		message.value = PROTOCOL_MEMORY;
		message.fd = view->memory;
		return message;
	default:
		return eventfd_message(view, step - PROTOCOL_PREAMBLE);
	}
}

int protocol_send(int socket, const struct protocol_message *message)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	uint64_t wire = htole64((uint64_t)message->value);
	struct iovec iov = { .iov_base = &wire, .iov_len = sizeof(wire) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t sent;

	if (message->fd >= 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &message->fd, sizeof(int));
	}
	do {
		sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* Eight bytes of a UNIX stream are one buffer: all or nothing. */
	return sent == sizeof(wire) ? 0 : -EPIPE;
}
