// SPDX-License-Identifier: GPL-2.0-only
/*
 * What sending and receiving have in common: finding the peer, waiting for it,
 * and saying what went wrong.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "parse.h"
#include "transfer.h"

#define NS_PER_S	1000000000ULL
#define NS_PER_MS	1000000ULL
/* Whoever waits longer wants to know for whom. */
#define SILENT_NS	(2 * NS_PER_S)
#define PEERS_MAX	64

uint32_t transfer_word(uint32_t word)
{
	return le32toh(word);
}

uint64_t transfer_long(uint64_t word)
{
	return le64toh(word);
}

static const char *join_error(int error)
{
	switch (error) {
	case -ENODATA:
		return "the memory is not formatted; `ivshmem format` does it";
	case -EPROTO:
		return "the format of the memory is refused; `ivshmem info` "
		       "tells why";
	case -EROFS:
		return "the format of the memory allows only to read";
	case -ENXIO:
		return "there is no slot for this machine in the region; "
		       "`ivshmem doctor` tells why";
	case -EOPNOTSUPP:
		return "the driver is too old for formatted memory";
	default:
		return strerror(-error);
	}
}

int transfer_open(struct transfer *t, const struct transfer_place *place)
{
	int ret;

	memset(t, 0, sizeof(*t));
	t->section = place->section;
	t->limited = place->timeout_ns;
	t->deadline_ns = now_ns() + place->timeout_ns;
	t->hash = XXH64_createState();
	if (!t->hash) {
		complain("%s", strerror(ENOMEM));
		return -1;
	}
	XXH64_reset(t->hash, 0);
	if (attach(&t->at, place->address, 0)) {
		XXH64_freeState(t->hash);
		return -1;
	}
	ret = ivshmem_join(t->at.ivs, place->name);
	if (!ret)
		return 0;
	complain("%s: %s", t->at.address, join_error(ret));
	transfer_close(t);
	return -1;
}

void transfer_close(struct transfer *t)
{
	ivshmem_channel_close(t->channel);
	t->channel = NULL;
	detach(&t->at);
	XXH64_freeState(t->hash);
	free(t->buffer);
}

int transfer_buffer(struct transfer *t, size_t length)
{
	t->buffer = malloc(length);
	if (t->buffer)
		return 0;
	complain("%s", strerror(ENOMEM));
	return -1;
}

int transfer_channel(struct transfer *t, uint32_t peer,
		     struct ivshmem_channel **channel)
{
	return ivshmem_channel_open(t->at.ivs, t->section, peer, 0, channel);
}

int transfer_explain(struct transfer *t, int error)
{
	const char *section = t->section ? t->section : "its section";

	switch (error) {
	case -ENOENT:
		complain("%s: there is no section %s; `ivshmem info` lists "
			 "them", t->at.address, section);
		break;
	case -ENODATA:
		complain("%s: there is no section for channels; `ivshmem "
			 "format` with raw= makes one", t->at.address);
		break;
	case -ENOTUNIQ:
		complain("%s: several sections would do; name one by "
			 "--section, `ivshmem info` lists them",
			 t->at.address);
		break;
	case -EMEDIUMTYPE:
		complain("%s: section %s is not of type raw", t->at.address,
			 section);
		break;
	case -ENOSPC:
		complain("%s: section %s is too small for channels between so "
			 "many peers", t->at.address, section);
		break;
	case -EBUSY:
		complain("%s: another program of this machine uses the channel "
			 "to that peer in section %s", t->at.address, section);
		break;
	default:
		complain("%s: opening a channel in section %s: %s",
			 t->at.address, section, strerror(-error));
	}
	return -1;
}

/* The slot of a peer that is there, by its name: -ENOENT, -ENOTUNIQ. */
static int find_name(struct transfer *t, const char *name)
{
	struct ivshmem_region region;
	struct ivshmem_peer peer;
	int found = -ENOENT;
	uint32_t slot;

	if (ivshmem_get_region(t->at.ivs, &region))
		return -ENOENT;
	for (slot = 0; slot < region.slots; slot++) {
		if (ivshmem_get_peer(t->at.ivs, slot, &peer) ||
		    peer.state != IVSHMEM_ALIVE || strcmp(peer.name, name) ||
		    (int32_t)slot == region.slot)
			continue;
		if (found >= 0)
			return -ENOTUNIQ;
		found = (int)slot;
	}
	return found;
}

bool transfer_tired(struct transfer *t, bool *said, const char *whom)
{
	uint64_t now = now_ns();

	if (interrupted) {
		complain("interrupted while waiting for %s", whom);
		return true;
	}
	if (t->limited && now >= t->deadline_ns) {
		complain("%s: %s did not come in time", t->at.address, whom);
		return true;
	}
	if (!t->progress.begin_ns)
		t->progress.begin_ns = now;
	if (!*said && now - t->progress.begin_ns > SILENT_NS) {
		complain("waiting for %s ... (Ctrl-C ends)", whom);
		*said = true;
	}
	return false;
}

static int no_such_slot(const struct transfer *t, const char *peer)
{
	complain("%s: peer %s: no such slot, or one's own; `ivshmem peers` "
		 "lists them", t->at.address, peer);
	return -1;
}

/* The slot of the peer, who may still have to come: -1 after a message. */
static int find_peer(struct transfer *t, const char *text, bool *said)
{
	uint64_t number, changes = 0;
	char whom[64];
	int slot;

	if (parse_number(text, UINT64_MAX, &number)) {
		if (number < PEERS_MAX)
			return (int)number;
		return no_such_slot(t, text);
	}
	snprintf(whom, sizeof(whom), "peer %s", text);
	for (;;) {
		slot = find_name(t, text);
		if (slot >= 0)
			return slot;
		if (slot == -ENOTUNIQ) {
			complain("%s: several peers are called %s; give the "
				 "slot instead, `ivshmem peers` lists them",
				 t->at.address, text);
			return -1;
		}
		if (transfer_tired(t, said, whom))
			return -1;
		ivshmem_wait_change(t->at.ivs, &changes, TRANSFER_STEP_MS);
	}
}

void transfer_take_name(struct transfer *t)
{
	struct ivshmem_peer peer;

	if (!ivshmem_get_peer(t->at.ivs, t->peer, &peer) && peer.name[0])
		snprintf(t->peer_name, sizeof(t->peer_name), "%s", peer.name);
	else
		snprintf(t->peer_name, sizeof(t->peer_name), "%" PRIu32,
			 t->peer);
}

const char *transfer_lost(struct transfer *t, int error)
{
	struct ivshmem_channel_status status;

	if ((error == -ECONNRESET || error == -EPROTO || error == -ESTALE ||
	     error == -ENODEV) &&
	    !ivshmem_channel_get_status(t->channel, &status))
		return status.reason;
	return strerror(-error);
}

int transfer_connect(struct transfer *t, const char *peer)
{
	bool said = false;
	char whom[64];
	int slot, ret;

	slot = find_peer(t, peer, &said);
	if (slot < 0)
		return -1;
	t->peer = (uint32_t)slot;
	ret = transfer_channel(t, t->peer, &t->channel);
	if (ret == -ENXIO)
		return no_such_slot(t, peer);
	if (ret)
		return transfer_explain(t, ret);
	transfer_take_name(t);
	snprintf(whom, sizeof(whom), "peer %s", peer);
	for (;;) {
		ret = ivshmem_channel_connect(t->channel, TRANSFER_STEP_MS);
		if (!ret)
			break;
		if (ret != -ETIMEDOUT && ret != -EINTR) {
			complain("%s: peer %s: %s", t->at.address, peer,
				 transfer_lost(t, ret));
			return -1;
		}
		if (transfer_tired(t, &said, whom))
			return -1;
	}
	transfer_take_name(t);
	return 0;
}

void transfer_report(struct transfer *t, bool json, const char *verb,
		     double seconds)
{
	double rate = (double)t->bytes / seconds;
	char size[32], speed[32], checksum[32];
	struct json_object *object;

	snprintf(checksum, sizeof(checksum), "%016" PRIx64,
		 (uint64_t)XXH64_digest(t->hash));
	if (json) {
		object = json_object_new_object();
		add_number(object, "peer", t->peer);
		add_string(object, "peer_name", t->peer_name);
		add_number(object, "bytes", t->bytes);
		add_real(object, "seconds", seconds);
		add_real(object, "bytes_per_second", rate);
		add_string(object, "xxh64", checksum);
		print_json(object);
	} else if (t->progress.shown) {
		fprintf(stderr, "%s %s in %.1f s, %s/s\n", verb,
			format_bytes((double)t->bytes, size), seconds,
			format_bytes(rate, speed));
	}
}
