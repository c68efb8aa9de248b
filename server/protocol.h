/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages of QEMU's ivshmem server protocol, version 0, and the order in
 * which a client with a permanent slot gets them.
 */
#ifndef IVSHMEMD_PROTOCOL_H
#define IVSHMEMD_PROTOCOL_H

#include <stdint.h>

/*
 * Each message is a signed 64-bit little-endian number, with at most one file
 * descriptor beside it.  Everything flows from the server to the client.
 */
#define PROTOCOL_VERSION	0
#define PROTOCOL_MEMORY		(-1)

/*
 * A client that is not served gets one of these in place of the version.
 * QEMU then exits with "server sent version -87, expecting 0"; if it saw the
 * connection close instead, it would spin for ever.  The numbers are the
 * negated errno values of x86 and arm64, so that other clients can tell why.
 */
#define PROTOCOL_REFUSE_FULL		(-87)	/* EUSERS */
#define PROTOCOL_REFUSE_PERMISSION	(-13)	/* EACCES */
#define PROTOCOL_REFUSE_SHUTDOWN	(-108)	/* ESHUTDOWN */
#define PROTOCOL_REFUSE_EXHAUSTED	(-24)	/* EMFILE */
#define PROTOCOL_REFUSE_USER		(-122)	/* EDQUOT */
#define PROTOCOL_REFUSE_PACE		(-11)	/* EAGAIN */

/*
 * Neither an ID (0 to 65535) nor anything else that a client accepts before
 * it has the memory.  It ends a handshake that cannot be completed, for the
 * same reason.
 */
#define PROTOCOL_ABORT		65536

/* Messages before the first eventfd: version, ID, memory. */
#define PROTOCOL_PREAMBLE	3

/**
 * struct protocol_message - one message of the handshake
 * @value: the number
 * @fd:    the descriptor that goes with it, or -1
 */
struct protocol_message {
	int64_t value;
	int fd;
};

/**
 * struct protocol_view - what the handshake of one client is computed from
 * @memory:   descriptor of the shared memory
 * @eventfds: of all slots, slot by slot, @vectors each
 * @peers:    slots of the link
 * @vectors:  eventfds per slot
 * @slot:     the client's own
 */
struct protocol_view {
	int memory;
	const int *eventfds;
	unsigned int peers;
	unsigned int vectors;
	unsigned int slot;
};

/** protocol_length() - how many messages a handshake has. */
unsigned int protocol_length(unsigned int peers, unsigned int vectors);

/**
 * protocol_message() - the message number @step of a handshake
 * @step: 0 to protocol_length() - 1
 *
 * Version, ID, memory, the eventfds of all other slots in slot order, and the
 * client's own last: QEMU crashes if its own come before the memory.
 */
struct protocol_message protocol_message(const struct protocol_view *view,
					 unsigned int step);

/**
 * protocol_send() - send one message on a non-blocking socket
 *
 * Return: 0, or a negative errno: -EAGAIN (the client has to read first),
 * -ETOOMANYREFS (too many descriptors of this user are in flight; somebody
 * else may be to blame), or what sendmsg(2) says.
 */
int protocol_send(int socket, const struct protocol_message *message);

#endif /* IVSHMEMD_PROTOCOL_H */
