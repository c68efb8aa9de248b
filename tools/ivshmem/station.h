/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Behind which peer a station was seen last.
 */
#ifndef STATION_H
#define STATION_H

#include <stdint.h>

#include <ivshmem/wire.h>

#define STATION_BUCKETS	256U
#define STATION_WAYS	8U
#define STATION_AGE_MS	300000U

/**
 * struct station - one that was learned
 * @key:  its address, see frame_key(); 0 if there is none
 * @slot: of the peer
 * @seen: when a frame from it came last, in milliseconds
 */
struct station {
	uint64_t key;
	uint32_t slot;
	uint32_t seen;
};

/**
 * struct stations - all of them
 * @seed:  so that nobody can tell which addresses share a bucket
 * @fixed: by slot, the address that the peer has said to be its own; or 0
 * @table: learned from frames; never grows
 *
 * A peer gets at most half of a bucket, so that one that invents addresses leaves
 * room for others.
 */
struct stations {
	uint64_t seed;
	uint64_t fixed[IVREGION_SLOTS_MAX];
	struct station table[STATION_BUCKETS][STATION_WAYS];
};

/** stations_init() - forget all */
void stations_init(struct stations *stations, uint64_t seed);

/**
 * stations_claim() - a peer says its own address
 *
 * Return: false if it is another peer's already; then nothing changes.
 */
bool stations_claim(struct stations *stations, uint64_t key, uint32_t slot);

/** stations_learn() - a frame from @key came from the peer in @slot */
void stations_learn(struct stations *stations, uint64_t key, uint32_t slot,
		    uint32_t now);

/** stations_find() - slot of the peer, or -1 */
int stations_find(const struct stations *stations, uint64_t key, uint32_t now);

/** stations_forget() - what is known of a peer that is gone */
void stations_forget(struct stations *stations, uint32_t slot);

#endif /* STATION_H */
