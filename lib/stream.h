/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of the ivshmem server protocol, taken one at a time from a socket.
 */
#ifndef IVSHMEM_STREAM_H
#define IVSHMEM_STREAM_H

#include <stdint.h>

/**
 * struct ivshmem_message - a 64 bit little-endian number, and maybe a
 *                          descriptor
 * @value: the number
 * @fd:    the descriptor, now the receiver's to close, or -1
 */
struct ivshmem_message {
	int64_t value;
	int fd;
};

/**
 * struct ivshmem_stream - receiving end
 * @socket: non-blocking is not required
 * @bytes:  the part of a message that has arrived
 * @have:   how many of @bytes
 * @fd:     descriptor that came with them, or -1
 */
struct ivshmem_stream {
	int socket;
	unsigned char bytes[8];
	unsigned int have;
	int fd;
};

void ivshmem_stream_init(struct ivshmem_stream *stream, int socket);
/** ivshmem_stream_close() - close the socket and a descriptor not yet taken */
void ivshmem_stream_close(struct ivshmem_stream *stream);

/**
 * ivshmem_stream_receive() - take the next message, never wait for it
 *
 * Return: 1 and the message; 0 if none is complete; -ENODATA (the server has
 * gone), -EPROTO (truncated message, or more than one descriptor in it),
 * -EMFILE (no room for the descriptor), or what recvmsg(2) says.
 */
int ivshmem_stream_receive(struct ivshmem_stream *stream,
			   struct ivshmem_message *message);

#endif /* IVSHMEM_STREAM_H */
