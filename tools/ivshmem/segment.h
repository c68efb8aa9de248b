/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An Ethernet segment in a NET section, as a peer of the host takes part in it:
 * a link to every other peer, and frames between these and a TAP device.
 *
 * Nothing here is for more than one thread.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <ivshmem/net.h>

#include "links.h"
#include "station.h"
#include "tap_device.h"

/* Of the pairs of rings only the first is looked at, and used. */
#define SEGMENT_QUEUE	0
/* Frames in one go from each side; the others want their turn */
#define SEGMENT_BATCH	64

/**
 * struct segment_counters - of one link, or of what belongs to none
 * @rx_frames:  that went from the peer to the TAP device
 * @rx_bytes:   in them
 * @rx_bad:     dropped, for their length, their header or their sender
 * @rx_refused: dropped, because the TAP device did not take them
 * @tx_frames:  that went from the TAP device to the peer
 * @tx_bytes:   in them
 * @tx_full:    dropped, because the peer's ring was full
 * @tx_unfit:   dropped, because the peer does not accept them
 * @conflicts:  hellos with the address of another
 */
struct segment_counters {
	uint64_t rx_frames;
	uint64_t rx_bytes;
	uint64_t rx_bad;
	uint64_t rx_refused;
	uint64_t tx_frames;
	uint64_t tx_bytes;
	uint64_t tx_full;
	uint64_t tx_unfit;
	uint64_t conflicts;
};

/**
 * struct segment_link - what is behind a link
 * @greeted:  the peer's hello of this session has come
 * @limits:   what it accepts, and we can send
 * @counters: what has happened, in all sessions
 */
struct segment_link {
	bool greeted;
	struct ivnet_limits limits;
	struct segment_counters counters;
};

/**
 * struct segment - the segment
 * @base:       the links
 * @tap:        the TAP device
 * @dirty:      links with records that were not published or released yet
 * @max_frame:  bytes of the longest frame that a ring takes
 * @links:      by slot; the own one's is not used
 * @stations:   who is behind which peer
 * @turn:       slot that is first to be received from
 * @nobody:     frames from the TAP device for which there was no peer
 * @malformed:  frames from the TAP device that no receiver would take
 * @flooded:    frames that went to all peers
 * @blocked:    the TAP device takes no more at the moment
 * @blocked_at: since when
 * @tx:         a frame from the TAP device
 * @rx:         a frame to it
 */
struct segment {
	struct links base;
	struct tap_device tap;
	uint64_t dirty;
	uint32_t max_frame;
	struct segment_link links[IVREGION_SLOTS_MAX];
	struct stations stations;
	uint32_t turn;
	uint64_t nobody;
	uint64_t malformed;
	uint64_t flooded;
	bool blocked;
	uint32_t blocked_at;
	struct tap_packet tx;
	struct tap_packet rx;
};

/* segment.c */

/**
 * segment_open() - join a section
 * @address: of the server's link; NULL for the default
 *
 * With @tap open, and what links_open() wants but the owner, and the rest 0.
 *
 * Return: 0, or -1 after a message.
 */
int segment_open(struct segment *seg, const char *address);

/** segment_restart() - begin all sessions anew, for another hello */
void segment_restart(struct segment *seg);

/* segment_traffic.c */

/** segment_greet() - send the hello, of a link that has just come up */
void segment_greet(struct segment *seg, uint32_t slot);

/** segment_agree() - tell the TAP device what all peers accept now */
void segment_agree(struct segment *seg);

/**
 * segment_receive() - frames from all peers to the TAP device
 *
 * Return: how many records were taken.
 */
unsigned int segment_receive(struct segment *seg);

/**
 * segment_send() - frames from the TAP device to the peers
 *
 * Return: how many there were, or -1 if the device is gone.
 */
int segment_send(struct segment *seg);

/** segment_flush() - show the peers what was done, and ring them if wanted */
void segment_flush(struct segment *seg);

/**
 * segment_arm() - ask to be rung for what comes
 *
 * Return: true if there is something already.
 */
bool segment_arm(struct segment *seg);

/* segment_report.c */

/** segment_report() - print all counters, as a line of JSON or for people */
void segment_report(const struct segment *seg, bool json);

/** frame_address_text() - "52:54:00:12:34:56" */
const char *frame_address_text(const uint8_t address[FRAME_ADDRESS],
			       char text[18]);

#endif /* SEGMENT_H */
