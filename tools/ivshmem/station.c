// SPDX-License-Identifier: GPL-2.0-only
/*
 * The forwarding table: addresses that peers have said to be theirs, and those
 * that were learned from frames, as a switch does.
 */
#include <string.h>

#include "station.h"

void stations_init(struct stations *stations, uint64_t seed)
{
	memset(stations, 0, sizeof(*stations));
	stations->seed = seed | 1;
}

static unsigned int bucket_of(const struct stations *stations, uint64_t key)
{
	/* The upper bits of a product depend on all of the lower ones. */
	uint64_t hash = (key ^ stations->seed >> 16) * stations->seed;

	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return (unsigned int)(hash >> 56) % STATION_BUCKETS;
}

static int claimed_by(const struct stations *stations, uint64_t key)
{
	unsigned int slot;

	for (slot = 0; key && slot < IVREGION_SLOTS_MAX; slot++)
		if (stations->fixed[slot] == key)
			return (int)slot;
	return -1;
}

bool stations_claim(struct stations *stations, uint64_t key, uint32_t slot)
{
	int owner = claimed_by(stations, key);

	if (owner >= 0 && owner != (int)slot)
		return false;
	stations->fixed[slot] = key;
	return true;
}

static bool alive(const struct station *station, uint32_t now)
{
	return station->key && now - station->seen < STATION_AGE_MS;
}

/* The entry to learn in: the station's, else an old one, else the peer's own. */
static struct station *choose(struct station *bucket, uint64_t key,
			      uint32_t slot, uint32_t now)
{
	struct station *unused = NULL, *oldest = NULL;
	unsigned int way, share = 0;

	for (way = 0; way < STATION_WAYS; way++) {
		if (bucket[way].key == key)
			return &bucket[way];
		if (!alive(&bucket[way], now)) {
			unused = &bucket[way];
		} else if (bucket[way].slot == slot) {
			share++;
			if (!oldest ||
			    now - bucket[way].seen > now - oldest->seen)
				oldest = &bucket[way];
		}
	}
	return unused && share < STATION_WAYS / 2 ? unused : oldest;
}

void stations_learn(struct stations *stations, uint64_t key, uint32_t slot,
		    uint32_t now)
{
	struct station *station;

	if (!key || stations->fixed[slot] == key ||
	    claimed_by(stations, key) >= 0)
		return;
	station = choose(stations->table[bucket_of(stations, key)], key, slot,
			 now);
	if (!station)
		return;
	station->key = key;
	station->slot = slot;
	station->seen = now;
}

int stations_find(const struct stations *stations, uint64_t key, uint32_t now)
{
	const struct station *bucket;
	unsigned int way;
	int owner;

	owner = claimed_by(stations, key);
	if (owner >= 0)
		return owner;
	bucket = stations->table[bucket_of(stations, key)];
	for (way = 0; way < STATION_WAYS; way++)
		if (bucket[way].key == key && alive(&bucket[way], now))
			return (int)bucket[way].slot;
	return -1;
}

void stations_forget(struct stations *stations, uint32_t slot)
{
	unsigned int bucket, way;

	stations->fixed[slot] = 0;
	for (bucket = 0; bucket < STATION_BUCKETS; bucket++)
		for (way = 0; way < STATION_WAYS; way++)
			if (stations->table[bucket][way].slot == slot)
				stations->table[bucket][way].key = 0;
}
