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

#include <ivshmem/link.h>
#include <ivshmem/net.h>

#include "attach.h"
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
 * @kicks:      doorbells rung
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
	uint64_t kicks;
	uint64_t conflicts;
};

/**
 * struct segment_link - the link to one peer
 * @link:     the link
 * @queues:   its rings
 * @greeted:  the peer's hello of this session has come
 * @kick:     the peer is to be rung
 * @limits:   what it accepts, and we can send
 * @vectors:  on how many it can be rung
 * @faults:   sessions that ended by a fault
 * @counters: what has happened, in all sessions
 */
struct segment_link {
	struct ivlink link;
	struct ivlink_queue queues[IVREGION_QUEUES_MAX];
	bool greeted;
	bool kick;
	struct ivnet_limits limits;
	uint32_t vectors;
	uint64_t faults;
	struct segment_counters counters;
};

/**
 * struct segment - the segment
 * @at:         the link of the server
 * @tap:        the TAP device
 * @wanted:     name of the section, or NULL for the only one
 * @name:       own name for others, or NULL for the host's
 * @attached:   the section is mapped, and this is a peer
 * @section:    the section
 * @region:     of the region: slots and instance
 * @slot:       own slot
 * @memory:     the section
 * @superblock: of the region
 * @up:         links that are up, a bit for each slot
 * @dirty:      links with records that were not published or released yet
 * @max_frame:  bytes of the longest frame that a ring takes
 * @links:      by slot; the own one's is not used
 * @stations:   who is behind which peer
 * @now:        milliseconds, as of the last segment_clock()
 * @turn:       slot that is first to be received from
 * @words:      messages that may be said at once, see segment_may_say()
 * @words_at:   when it last grew
 * @nobody:     frames from the TAP device for which there was no peer
 * @malformed:  frames from the TAP device that no receiver would take
 * @flooded:    frames that went to all peers
 * @blocked:    the TAP device takes no more at the moment
 * @blocked_at: since when
 * @tx:         a frame from the TAP device
 * @rx:         a frame to it
 */
struct segment {
	struct attachment at;
	struct tap_device tap;
	const char *wanted;
	const char *name;
	bool attached;
	struct ivshmem_section section;
	struct ivregion region;
	uint32_t slot;
	void *memory;
	void *superblock;
	uint64_t up;
	uint64_t dirty;
	uint32_t max_frame;
	struct segment_link links[IVREGION_SLOTS_MAX];
	struct stations stations;
	uint32_t now;
	uint32_t turn;
	unsigned int words;
	uint32_t words_at;
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
 * With all that comes from the caller set, and the rest 0.
 *
 * Return: 0, or -1 after a message.
 */
int segment_open(struct segment *seg, const char *address);
/** segment_close() - end all links, and be no peer any more */
void segment_close(struct segment *seg);

/** segment_clock() - set @now; returns it */
uint32_t segment_clock(struct segment *seg);

/**
 * segment_look() - look at the region and who is there, then step all links
 *
 * Due every IVPEER_BEAT_MS, and when vector 0 was rung.  Takes part again once
 * a region that was formatted anew can be used.
 */
void segment_look(struct segment *seg);

/** segment_step() - step all links: their vector was rung, or it is time */
void segment_step(struct segment *seg);

/** segment_due_ms() - when the next step is due, in milliseconds */
uint32_t segment_due_ms(const struct segment *seg);

/** segment_restart() - begin all sessions anew, for another hello */
void segment_restart(struct segment *seg);

/** segment_end() - end a session, for a reason that a ring has found */
void segment_end(struct segment *seg, uint32_t slot, enum ivring_fault reason);

/** segment_kick() - the peer should look */
void segment_kick(struct segment *seg, uint32_t slot);

/**
 * segment_may_say() - whether there may be one more message
 *
 * Of those that a peer can cause; some at once, then one in two seconds.
 */
bool segment_may_say(struct segment *seg);

/** segment_wakes() - whether others can ring us */
static inline bool segment_wakes(const struct segment *seg)
{
	return seg->at.info.vectors;
}

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
