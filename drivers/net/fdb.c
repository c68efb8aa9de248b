// SPDX-License-Identifier: GPL-2.0-only
/*
 * The forwarding table: behind which peer a station is.
 *
 * A peer says its own address in its hello; that entry stays with it for as long as
 * the link does.  Others are learned from frames, as a switch does, and forgotten
 * after a while.  The table never grows; a peer that fills it gets its share, and
 * frames to who has no entry go to all.
 */
#include <linux/etherdevice.h>
#include <linux/hash.h>
#include <linux/jiffies.h>

#include "ivnet.h"

/* The address above, then these; an entry of 0 is empty */
#define FDB_FIXED	BIT(15)
#define FDB_USED	BIT(14)
#define FDB_SLOT	GENMASK(7, 0)

static u64 fdb_pack(const u8 *address, u32 slot, bool fixed)
{
	return ether_addr_to_u64(address) << 16 | FDB_USED | slot |
	       (fixed ? FDB_FIXED : 0);
}

static struct ivnet_station *fdb_bucket(struct ivnet *net, u64 key)
{
	u32 bucket = hash_64(key, IVNET_FDB_LOG2 - ilog2(IVNET_FDB_WAYS));

	return &net->fdb[bucket * IVNET_FDB_WAYS];
}

static bool fdb_is_alive(const struct ivnet_station *station, u64 where)
{
	return where && (where & FDB_FIXED ||
			 time_before(jiffies, READ_ONCE(station->seen) +
					      IVNET_FDB_AGE));
}

static struct ivnet_station *fdb_find(struct ivnet *net, u64 key, u64 *where)
{
	struct ivnet_station *station = fdb_bucket(net, key);
	unsigned int i;

	for (i = 0; i < IVNET_FDB_WAYS; i++, station++) {
		*where = READ_ONCE(station->where);
		if (*where && *where >> 16 == key)
			return station;
	}

	return NULL;
}

/**
 * ivnet_fdb_find() - behind which peer a station is
 * @net: the card
 * @address: of the station
 *
 * Context: Any.
 * Return: the slot, or -ENOENT: frames to it go to all peers.
 */
int ivnet_fdb_find(struct ivnet *net, const u8 *address)
{
	struct ivnet_station *station;
	u64 where;
	u32 slot;

	station = fdb_find(net, ether_addr_to_u64(address), &where);
	if (!station || !fdb_is_alive(station, where))
		return -ENOENT;
	slot = where & FDB_SLOT;
	return slot < net->nr_links ? slot : -ENOENT;
}

static void fdb_set(struct ivnet *net, struct ivnet_station *station, u64 where)
{
	u64 old = station->where;

	if (old)
		net->fdb_count[old & FDB_SLOT]--;
	if (where)
		net->fdb_count[where & FDB_SLOT]++;
	WRITE_ONCE(station->seen, jiffies);
	WRITE_ONCE(station->where, where);
}

/* An entry for a new station: an empty one, a forgotten one, or none */
static struct ivnet_station *fdb_room(struct ivnet *net, u64 key, u32 slot,
				      bool fixed)
{
	struct ivnet_station *station = fdb_bucket(net, key);
	struct ivnet_station *own = NULL;
	unsigned int i;

	for (i = 0; i < IVNET_FDB_WAYS; i++, station++) {
		if (!fdb_is_alive(station, station->where))
			return station;
		/* What was learned gives way to a hello, and to its own peer's */
		if (!(station->where & FDB_FIXED) &&
		    (fixed || (station->where & FDB_SLOT) == slot))
			own = station;
	}

	return own;
}

static void fdb_change(struct ivnet *net, u64 key, u64 where, u32 slot,
		       bool fixed)
{
	struct ivnet_station *station;
	u64 old;

	station = fdb_find(net, key, &old);
	if (station) {
		/*
		 * Nobody takes the address that another's hello has; but who has
		 * died, and is back in another slot, left it there.
		 */
		if (!(old & FDB_FIXED) || test_bit(old & FDB_SLOT, net->silent))
			fdb_set(net, station, where);
		return;
	}

	if (!fixed && net->fdb_count[slot] >=
		      (1 << IVNET_FDB_LOG2) / net->nr_links)
		return;
	station = fdb_room(net, key, slot, fixed);
	if (station)
		fdb_set(net, station, where);
}

/**
 * ivnet_fdb_learn() - a frame came from a station, or a peer said its address
 * @net: the card
 * @address: of the station
 * @slot: of the peer
 * @fixed: it is the peer's own
 *
 * Context: Softirq.
 */
void ivnet_fdb_learn(struct ivnet *net, const u8 *address, u32 slot, bool fixed)
{
	u64 where = fdb_pack(address, slot, fixed);
	u64 key = ether_addr_to_u64(address);
	struct ivnet_station *station;
	u64 old;

	station = fdb_find(net, key, &old);
	if (station && (old == where || old == (where | FDB_FIXED))) {
		if (time_after(jiffies, READ_ONCE(station->seen) + HZ))
			WRITE_ONCE(station->seen, jiffies);
		return;
	}
	if (!is_valid_ether_addr(address) ||
	    ether_addr_equal(address, net->dev->dev_addr))
		return;

	spin_lock(&net->fdb_lock);
	fdb_change(net, key, where, slot, fixed);
	spin_unlock(&net->fdb_lock);
}

/**
 * ivnet_fdb_forget() - the peer in a slot is gone
 * @net: the card
 * @slot: the slot
 *
 * Context: Process.
 */
void ivnet_fdb_forget(struct ivnet *net, u32 slot)
{
	struct ivnet_station *station;

	spin_lock_bh(&net->fdb_lock);
	for (station = net->fdb; station < net->fdb + ARRAY_SIZE(net->fdb);
	     station++)
		if (station->where && (station->where & FDB_SLOT) == slot)
			fdb_set(net, station, 0);
	spin_unlock_bh(&net->fdb_lock);
}

/**
 * ivnet_fdb_age() - forget stations that were not seen for long
 * @net: the card
 *
 * Their places count for the peer's share.  Does nothing if it has just been done.
 *
 * Context: Process.
 */
void ivnet_fdb_age(struct ivnet *net)
{
	struct ivnet_station *station;

	if (time_before(jiffies, net->fdb_aged + HZ))
		return;
	net->fdb_aged = jiffies;
	spin_lock_bh(&net->fdb_lock);
	for (station = net->fdb; station < net->fdb + ARRAY_SIZE(net->fdb);
	     station++)
		if (station->where && !fdb_is_alive(station, station->where))
			fdb_set(net, station, 0);
	spin_unlock_bh(&net->fdb_lock);
}
