/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `ivshmem send` and `ivshmem recv` say to each other over a channel, and
 * how both find their peer.
 *
 *	sender				receiver
 *	TRANSFER_HELLO
 *	TRANSFER_DATA, any number
 *	TRANSFER_END
 *					TRANSFER_RESULT, at any time
 *
 * All numbers are little-endian.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include <xxhash.h>

#include "attach.h"
#include "command.h"
#include "progress.h"

/* Kinds of the messages */
enum {
	TRANSFER_HELLO = 0x49560001,	/* struct transfer_hello */
	TRANSFER_DATA,			/* a part of the bytes */
	TRANSFER_END,			/* struct transfer_end */
	TRANSFER_RESULT,		/* struct transfer_result */
};

#define TRANSFER_VERSION	1
#define TRANSFER_SIZE_UNKNOWN	UINT64_MAX

/**
 * struct transfer_hello - what comes
 * @version: TRANSFER_VERSION
 * @reserved: 0
 * @size:    bytes at most, or TRANSFER_SIZE_UNKNOWN
 */
struct transfer_hello {
	uint32_t version;
	uint32_t reserved;
	uint64_t size;
};

/* How it went */
enum transfer_status {
	TRANSFER_DONE,
	TRANSFER_INTERRUPTED,	/* by a signal */
	TRANSFER_IO_ERROR,	/* reading the input, writing the output */
	TRANSFER_DIFFERS,	/* length or checksum are not the same */
	TRANSFER_REFUSED,	/* it was not what was expected */
};

/**
 * struct transfer_end - there is no more
 * @status:   enum transfer_status; all was read if TRANSFER_DONE
 * @error:    errno value of TRANSFER_IO_ERROR
 * @bytes:    that were sent
 * @checksum: XXH64 of them, seed 0
 */
struct transfer_end {
	uint32_t status;
	uint32_t error;
	uint64_t bytes;
	uint64_t checksum;
};

/**
 * struct transfer_result - the receiver's word
 * @status:   enum transfer_status
 * @error:    errno value of TRANSFER_IO_ERROR
 * @bytes:    that have arrived
 * @checksum: of them
 */
struct transfer_result {
	uint32_t status;
	uint32_t error;
	uint64_t bytes;
	uint64_t checksum;
};

/**
 * struct transfer - one end of it
 * @at:        the device or link
 * @section:   name, or NULL for the only one
 * @peer:      slot of the other end
 * @peer_name: as the directory has it, or the slot
 * @channel:   to it
 * @limited:   @deadline_ns is when one is tired of waiting for the peer
 * @hash:      of the bytes so far
 * @buffer:    the message, where no other peer can change it between what is
 *             done with it
 * @bytes:     that were sent or received
 * @progress:  the bar
 */
struct transfer {
	struct attachment at;
	const char *section;
	uint32_t peer;
	char peer_name[48];
	struct ivshmem_channel *channel;
	bool limited;
	uint64_t deadline_ns;
	XXH64_state_t *hash;
	unsigned char *buffer;
	uint64_t bytes;
	struct progress progress;
};

/* A call waits so long at most before it looks for Ctrl-C and other news. */
#define TRANSFER_STEP_MS	200

/**
 * struct transfer_place - where to find the peer, as the user wants it
 * @address:    NULL for the default
 * @section:    NULL for the only one
 * @name:       own name for others, on the host; NULL for the host's
 * @timeout_ns: for the peer to come; 0 for ever
 */
struct transfer_place {
	const char *address;
	const char *section;
	const char *name;
	uint64_t timeout_ns;
};

/**
 * transfer_open() - open the device, and on the host join the directory
 *
 * Return: 0, or -1 after a message.
 */
int transfer_open(struct transfer *t, const struct transfer_place *place);
void transfer_close(struct transfer *t);

/** transfer_buffer() - get @buffer, of @length bytes; 0, or -1 after a message */
int transfer_buffer(struct transfer *t, size_t length);

/** transfer_channel() - open the channel to a slot; 0, or a negative errno */
int transfer_channel(struct transfer *t, uint32_t peer,
		     struct ivshmem_channel **channel);

/** transfer_explain() - complain that a channel could not be opened; -1 */
int transfer_explain(struct transfer *t, int error);

/**
 * transfer_connect() - find a peer by its slot or name, and connect to it
 *
 * Says after two seconds that it waits.
 *
 * Return: 0, or -1 after a message.
 */
int transfer_connect(struct transfer *t, const char *peer);

/**
 * transfer_tired() - whether to wait no longer
 * @said: that one waits was said already
 * @whom: for whom
 *
 * Return: true after a message: the time is over, or Ctrl-C was pressed.
 */
bool transfer_tired(struct transfer *t, bool *said, const char *whom);

/** transfer_take_name() - the name of the peer, for messages */
void transfer_take_name(struct transfer *t);

/** transfer_lost() - why a channel failed, for people */
const char *transfer_lost(struct transfer *t, int error);

/** transfer_read_word() - of a message that was copied */
uint32_t transfer_word(uint32_t word);
uint64_t transfer_long(uint64_t word);

/** transfer_report() - the result, as JSON if wished, or for people */
void transfer_report(struct transfer *t, bool json, const char *verb,
		     double seconds);

#endif /* TRANSFER_H */
