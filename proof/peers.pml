/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Three peers who keep the rules and the links between them, each with one record
 * a session in each direction.  link.pml looks at one link and its rings closely;
 * this is about what a third peer adds: who crashes takes two links down, and one
 * process steps both, in any order.  The marks are those of link.h.
 *
 * EVENTS times in all a peer crashes, at any point, ends a session that is up, or,
 * with ROLLBACK, is taken back to a snapshot of what is private to it.
 * Nothing wakes a peer: it looks whenever it does.  Steps that change nothing are
 * left out, so that each run comes to rest: there every link must be up, and both
 * records of its session have arrived.
 *
 * Epochs count the lives of one side of one link; those of two sides are never the
 * same.
 *
 * Mistakes, each of which must be found: SAME_EPOCH, EPOCH_OF_ANOTHER,
 * ACK_OF_ANOTHER, ONE_LINK_ONLY.
 */
#ifndef EVENTS
#define EVENTS	1
#endif
#ifndef RECORDS
#define RECORDS	1
#endif
#ifndef SECOND
#define SECOND	0
#endif
#define PEERS	3

/* The place of what @writer has in its outbox for @reader */
#define AT(writer, reader)	((writer) * PEERS + (reader))
#define NEXT(n)			(((me) + (n)) % PEERS)

mtype = { DOWN, ANNOUNCE, WAIT, UP };

/* Shared memory: link lines, and rings with room for one record */
byte epoch[9], ack[9];
bit prod[9];

byte events;
/* Of no peer: where each side is, in which life, and what a record was sent in */
mtype state[9];
byte life[9], peer_life[9], from[9], to[9];
bit got[9];

/* All are alike, so that the first to fail may be any of them */
#define MAY_FAIL	(events < EVENTS && me == (events == 0 -> 0 : SECOND))
#define CRASH		d_step { events++; state[AT(me, NEXT(1))] = DOWN; \
				 state[AT(me, NEXT(2))] = DOWN } goto begin

#define EPOCH(side, n)	((side) * 16 + (n))

#define OUT	AT(me, p)
#ifdef EPOCH_OF_ANOTHER
#define EPOCH_IN(p)	AT(PEERS - me - (p), me)
#else
#define EPOCH_IN(p)	AT(p, me)
#endif
#ifdef ACK_OF_ANOTHER
#define ACK_IN(p)	AT(PEERS - me - (p), me)
#else
#define ACK_IN(p)	AT(p, me)
#endif
#define IN	AT(p, me)

/* Whether own words of the link with NEXT(n + 1) are not what was published */
#define TAMPERED(n)	(epoch[AT(me, NEXT(n + 1))] != own[n] || \
			 ack[AT(me, NEXT(n + 1))] != acked[n])
#define MOVED(n)	(prod[AT(me, NEXT(n + 1))] != sent[n] || \
			 got[AT(me, NEXT(n + 1))] != received[n])

/* ivring_session() */
#define GOES_ON	(epoch[EPOCH_IN(p)] == acked[n] && !TAMPERED(n) && !MOVED(n))

/* Whether a step of the link with NEXT(n) changes something */
#define DUE(n)	(state[AT(me, NEXT(n))] == ANNOUNCE || \
	(state[AT(me, NEXT(n))] == WAIT && \
	 (TAMPERED(n - 1) || (epoch[EPOCH_IN(NEXT(n))] != 0 && \
	  (epoch[EPOCH_IN(NEXT(n))] != acked[n - 1] || \
	   ack[ACK_IN(NEXT(n))] == own[n - 1])))) || \
	(state[AT(me, NEXT(n))] == UP && \
	 (epoch[EPOCH_IN(NEXT(n))] != acked[n - 1] || TAMPERED(n - 1) || \
	  RECORDS && (MOVED(n - 1) || !sent[n - 1] || \
		      prod[AT(NEXT(n), me)] && !received[n - 1]))))

#define SAVE(n)	s_own[n] = own[n]; s_acked[n] = acked[n]; s_sent[n] = sent[n]; \
	s_received[n] = received[n]; s_state[n] = state[AT(me, NEXT(n + 1))]
#define RESTORE(n) own[n] = s_own[n]; acked[n] = s_acked[n]; sent[n] = s_sent[n]; \
	received[n] = s_received[n]; state[AT(me, NEXT(n + 1))] = s_state[n]

proctype peer(byte me)
{
	byte own[2], acked[2];
	bit sent[2], received[2];
	byte p, n, seen_ack, seen_epoch;
#ifdef ROLLBACK
	/* A snapshot */
	bool saved;
	byte s_own[2], s_acked[2];
	bit s_sent[2], s_received[2];
	mtype s_state[2];
#endif

#ifdef ALL_UP
	d_step {
		own[0] = EPOCH(AT(me, NEXT(1)), 1);
		own[1] = EPOCH(AT(me, NEXT(2)), 1);
		acked[0] = EPOCH(AT(NEXT(1), me), 1);
		acked[1] = EPOCH(AT(NEXT(2), me), 1);
		sent[0] = 1; sent[1] = 1;
		received[0] = got[AT(me, NEXT(1))];
		received[1] = got[AT(me, NEXT(2))]
	}
	goto end_rest;
#endif
begin:
	skip;
	d_step {
		state[AT(me, NEXT(1))] = ANNOUNCE;
#ifndef ONE_LINK_ONLY
		state[AT(me, NEXT(2))] = ANNOUNCE;
#endif
		own[0] = 0; own[1] = 0; acked[0] = 0; acked[1] = 0;
		sent[0] = 0; sent[1] = 0; received[0] = 0; received[1] = 0;
		seen_ack = 0; seen_epoch = 0
	}
end_rest:
	atomic {
		if
		:: DUE(1) -> n = 0
		:: DUE(2) -> n = 1
		:: MAY_FAIL -> CRASH
		:: MAY_FAIL && state[AT(me, NEXT(1))] == UP ->
			n = 0; p = NEXT(1); events++; goto over
		:: MAY_FAIL && state[AT(me, NEXT(2))] == UP ->
			n = 1; p = NEXT(2); events++; goto over
#ifdef ROLLBACK
		:: !saved && MAY_FAIL -> d_step {
			SAVE(0);
			SAVE(1);
			saved = true
			};
			goto end_rest
		:: saved && MAY_FAIL -> d_step {
			RESTORE(0);
			RESTORE(1);
			events++
			};
			goto end_rest
#endif
		fi;
		p = NEXT(n + 1);
		if
		:: state[OUT] == ANNOUNCE -> goto announce
		:: state[OUT] == WAIT -> goto wait
		:: state[OUT] == UP -> goto up
		fi
	}
announce:
	epoch[OUT] = 0;						/* [A1] */
	if
	:: MAY_FAIL -> CRASH
	:: true
	fi;
	d_step {
		prod[OUT] = 0;					/* [A2] */
		ack[OUT] = 0;					/* [A2] */
		life[OUT]++;
		got[OUT] = 0;
		acked[n] = 0;
		sent[n] = 0;
		received[n] = 0;
#ifdef SAME_EPOCH
		own[n] = EPOCH(OUT, 1);
#else
		own[n] = EPOCH(OUT, life[OUT]);
#endif
		epoch[OUT] = own[n];				/* [A3] */
		state[OUT] = WAIT
	}
	goto end_rest;
wait:
	if
	:: TAMPERED(n) -> goto over				/* [W0] */
	:: else
	fi;
	seen_ack = ack[ACK_IN(p)];					/* [W1] */
	d_step {
		seen_epoch = epoch[EPOCH_IN(p)];			/* [W2] */
		peer_life[OUT] = (seen_epoch == acked[n] && acked[n] -> peer_life[OUT] : life[IN])
	}
	if
	:: seen_epoch != 0 && seen_epoch != acked[n] -> d_step {
		acked[n] = seen_epoch;
		ack[OUT] = seen_epoch				/* [W3] */
	   }
	:: seen_epoch != 0 && seen_epoch == acked[n] && seen_ack == own[n] ->
		state[OUT] = UP					/* [W4] */
	:: seen_epoch == 0 || (seen_epoch == acked[n] && seen_ack != own[n])
	:: MAY_FAIL -> CRASH
	fi;
	goto rest;
up:
	if
	:: epoch[EPOCH_IN(p)] != acked[n] -> goto over		/* [U1] */
	:: TAMPERED(n) || RECORDS && MOVED(n) -> goto over	/* [U2] */
	/* A ring with room, and one with a record */
	:: atomic { RECORDS && !sent[n] && GOES_ON -> from[OUT] = life[OUT] };
		d_step { to[OUT] = peer_life[OUT]; prod[OUT] = 1; sent[n] = 1 }
	:: atomic { RECORDS && prod[IN] && !received[n] }
		if
		:: !GOES_ON -> goto over
		:: GOES_ON
		fi;
		d_step {
			assert(from[IN] == peer_life[OUT]);
			assert(to[IN] == life[OUT]);
			got[OUT] = 1;
			received[n] = 1
		}
	fi;
rest:
	skip;
	d_step { seen_ack = 0; seen_epoch = 0 }
	goto end_rest;
over:
	state[OUT] = ANNOUNCE;
	goto rest
}

#define IS_UP(a, b)	(state[AT(a, b)] == UP && (!RECORDS || got[AT(a, b)]) && \
			 peer_life[AT(a, b)] == life[AT(b, a)])

active proctype watch()
{
end:
	timeout -> assert(IS_UP(0, 1) && IS_UP(1, 0) && IS_UP(0, 2) && IS_UP(2, 0) &&
			  IS_UP(1, 2) && IS_UP(2, 1))
}

init {
	atomic {
#ifdef ALL_UP
		byte i;

		for (i : 0 .. 8) {
			epoch[i] = EPOCH(i, 1);
			ack[i] = EPOCH((i % 3) * 3 + i / 3, 1);
			life[i] = 1; peer_life[i] = 1;
			from[i] = 1; to[i] = 1; prod[i] = 1; state[i] = UP
		}
		got[AT(1, 2)] = 1;
		got[AT(2, 1)] = 1;
#endif
		run peer(0); run peer(1); run peer(2)
	}
}
