// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is made of a slot of the directory: whatever stands there, the state is
 * one that can be, the name can be printed, and each word is read once.
 */
#include <ivshmem/peer.h>

unsigned int shared_loads;
struct watched watched[4];

static const void *own_line;
static unsigned int stores;
static __u32 epoch_stored;

/* Joining: gone before the first word changes, there after the last */
void see_store(const void *p, size_t n, __u32 v)
{
	__CPROVER_assert(own_line && __CPROVER_same_object(p, own_line),
			 "only its own line is written");
	stores++;
	if (__CPROVER_POINTER_OFFSET(p) == 0)
		epoch_stored = v;
	else
		__CPROVER_assert(stores > 1 && epoch_stored == 0,
				 "nothing changes while it is there");
}

static _Bool name_good(const char *name)
{
	__u32 i = any_of(0, IVREGION_PEER_NAME), j;
	_Bool ends = 0;

	for (j = 0; j <= IVREGION_PEER_NAME; j++) {
		if (!name[j])
			ends = 1;
		if (j == i && !ends && (name[j] <= 0x20 || name[j] >= 0x7f))
			return 0;
	}
	return ends;
}

void prove_peer_init(void)
{
	struct ivpeer peer;

	ivpeer_init(&peer);
	__CPROVER_assert(peer.state == IVPEER_ABSENT && !peer.seen &&
			 !peer.epoch && !peer.name[0], "nobody is known");
}

void prove_look(void)
{
	struct ivregion_server_line *server = memory(sizeof(*server));
	struct ivregion_peer_line *line = memory(sizeof(*line));
	__u32 now = nondet_word();
	struct ivpeer peer, before;
	enum ivpeer_event event;
	_Bool there, was_there;

	__CPROVER_assume(peer.state <= IVPEER_SILENT);
	__CPROVER_assume(peer.seen || peer.state == IVPEER_ABSENT);
	before = peer;
	watched[0].word = &line->epoch;
	watched[1].word = &server->status;
	watched[2].word = &line->heartbeat;
	event = ivpeer_look(&peer, line, server, now);
	__CPROVER_assert(stores == 0, "nothing is written");
	__CPROVER_assert(shared_loads == 7 && watched[0].loads == 1 &&
			 watched[1].loads == 1 && watched[2].loads == 1,
			 "each word is read once");
	__CPROVER_assert(peer.state <= IVPEER_SILENT && peer.seen,
			 "a state that can be");
	__CPROVER_assert(peer.vectors <= IVREGION_VECTORS_MAX, "vectors in range");
	__CPROVER_assert(peer.epoch == watched[0].value &&
			 peer.heartbeat == watched[2].value, "as it was read");
	__CPROVER_assert(name_good(peer.name), "the name can be printed");

	there = peer.state != IVPEER_ABSENT;
	was_there = before.state != IVPEER_ABSENT;
	__CPROVER_assert(!there || peer.epoch, "nobody is there without an epoch");
	__CPROVER_assert(!there || watched[1].value != IVREGION_VACANT,
			 "nor if the server saw it go");
	__CPROVER_assert((event == IVPEER_JOINED) == (there && !was_there),
			 "joining is told");
	__CPROVER_assert((event == IVPEER_LEFT || event == IVPEER_DIED) ==
			 (was_there && !there), "going is told");
	__CPROVER_assert((event == IVPEER_FELL_SILENT) ==
			 (before.state == IVPEER_ALIVE &&
			  peer.state == IVPEER_SILENT), "silence is told");
	if (before.state == IVPEER_SILENT && peer.state == IVPEER_ALIVE)
		__CPROVER_assert(event == (peer.epoch == before.epoch ?
					   IVPEER_RESUMED : IVPEER_RETURNED),
				 "a voice again is told");
	if (was_there && there && peer.epoch != before.epoch)
		__CPROVER_assert(event == IVPEER_RETURNED,
				 "a new life is told");
	__CPROVER_assert(peer.joins == before.joins +
			 (event == IVPEER_JOINED || event == IVPEER_RETURNED),
			 "and counted");
	if (peer.state == IVPEER_ALIVE && event == IVPEER_NOTHING &&
	    peer.beat_at != now)
		__CPROVER_assert(now - peer.beat_at <= IVPEER_SILENT_MS,
				 "not alive for longer than its heart beats");
}

void prove_join_leave(void)
{
	struct ivregion_peer_line *line = memory(sizeof(*line));
	char name[IVREGION_PEER_NAME];
	__u32 epoch = nondet_word();

	own_line = line;
	epoch_stored = nondet_word();
	ivpeer_join(line, epoch, nondet_word(), name);
	__CPROVER_assert(epoch_stored == epoch, "joined");
	ivpeer_leave(line);
	__CPROVER_assert(epoch_stored == 0, "left");
	__CPROVER_assert(shared_loads == 0, "nothing is read");
}

void prove_fresh_epoch(void)
{
	__u32 random = nondet_word(), before = nondet_word();
	__u32 epoch = ivpeer_fresh_epoch(random, before);

	__CPROVER_assert(epoch && epoch != before, "neither 0 nor the last");
	__CPROVER_assert(epoch - random <= 2, "next to the random number");
}
