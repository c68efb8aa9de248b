/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The link of link.h with one ring of ring.h in each direction, between two
 * peers who keep the rules.  The marks [A1] to [U2] are those of link.h.
 *
 * What can go wrong, EVENTS times in all: a crash loses all that is private, at
 * any point; a snapshot that is restored takes what is private back to where it
 * was; who was up may end the session.  Nothing wakes a peer: it looks whenever
 * it does, which is what a lost kick amounts to.
 *
 * Indices count records modulo WRAP, and a ring has SIZE of them, so that an
 * index that was set to 0 looks like one that may follow.  Each record carries
 * who sent it in which session, and which it is: only the assertions look there.
 *
 * Mistakes, each of which must be found: EPOCH_BEFORE_ACK, SAME_EPOCH,
 * NO_WITHDRAW, NO_OWN_INDEX, NO_OWN_EPOCH, NO_CHECK_BEFORE_BATCH,
 * FAULT_BEFORE_SESSION, SESSION_BEFORE_INDEX.
 */
#ifndef EVENTS
#define EVENTS	2
#endif
#ifndef RECORDS
#define RECORDS	3
#endif
#define SIZE	2
#define WRAP	4

#define LESS(a, b)	(((a) - (b) + WRAP) % WRAP)

mtype = { DOWN, ANNOUNCE, WAIT, UP };

/* Shared memory: each word has one writer, who is its index */
byte epoch[2], ack[2], prod[2], cons[2];
/* Records: place in the ring of their sender, session of both ends, number */
byte from[4], to[4], number[4];

byte next_epoch = 1;
byte events;
/* Of no peer: where each is, and in which session */
mtype state[2];
byte session_own[2], session_peer[2];

#define MAY_FAIL	(events < EVENTS)
#ifdef ROLLBACK_ONLY
#define MAY_CRASH	false
#else
#define MAY_CRASH	MAY_FAIL
#endif

/* What is private is lost: as after a crash */
#define CRASH	d_step { events++; state[me] = DOWN } goto begin

/*
 * Each step looks at one word that the peer writes, or changes one that the peer
 * reads; what is private, and own words, may be part of it.
 *
 * ivring_session(), after an index was read: the session's word, then the own
 * index.  Goes on if both are as they must be.
 */
inline session(peers, own_word, published)
{
	if
	:: (peers) != acked -> goto over			/* STALE */
#ifndef NO_OWN_EPOCH
	:: epoch[me] != own_epoch -> goto over			/* TAMPERED */
#endif
#ifndef NO_OWN_INDEX
	:: own_word != published -> goto over			/* TAMPERED */
#endif
	:: else
	fi
}

/* ivring_may_send() and ivring_may_receive(): before each batch, here a record */
inline may(own_word, published)
{
#ifdef NO_CHECK_BEFORE_BATCH
	skip
#else
	session(epoch[peer], own_word, published)
#endif
}

#ifdef SESSION_BEFORE_INDEX
#define SESSION	seen_epoch
#else
#define SESSION	epoch[peer]
#endif

/* Where a mistake looks at the session */
inline session_before()
{
#ifdef SESSION_BEFORE_INDEX
	seen_epoch = epoch[peer]
#else
	skip
#endif
}

proctype side(byte me)
{
	byte peer = 1 - me;
	byte own_epoch, acked, seen_ack, seen_epoch;
	/* The rings as ring.h has them, and how many records went through */
	byte tx_prod, tx_cons, rx_cons, rx_prod, index, sent, received;
	/* A snapshot */
	bool saved, restored;
	byte s_epoch, s_acked, s_tx_prod, s_tx_cons, s_rx_cons, s_rx_prod;
	byte s_sent, s_received;

begin:
	state[me] = ANNOUNCE;
	own_epoch = 0;
announce:
#ifndef NO_WITHDRAW
	epoch[me] = 0;						/* [A1] */
#endif
	if
	:: MAY_CRASH -> CRASH
	:: true
	fi;
	prod[me] = 0;						/* [A2] */
	cons[me] = 0;						/* [A2] */
	ack[me] = 0;						/* [A2] */
	d_step {
		tx_prod = 0; tx_cons = 0; rx_cons = 0; rx_prod = 0;
		sent = 0; received = 0; acked = 0;
#ifdef SAME_EPOCH
		own_epoch = 1 + me;
#else
		own_epoch = next_epoch;
		next_epoch++;
#endif
	}
	epoch[me] = own_epoch;					/* [A3] */
	state[me] = WAIT;
wait:
	/* Steps that change nothing are left out, to keep the search small */
	atomic {
		(epoch[me] != own_epoch || ack[me] != acked || MAY_FAIL ||
		 (epoch[peer] != 0 &&
		  (epoch[peer] != acked || ack[peer] == own_epoch)))
	}
	if
	:: epoch[me] != own_epoch || ack[me] != acked -> goto over	/* [W0] */
	:: else
	fi;
#ifdef EPOCH_BEFORE_ACK
	seen_epoch = epoch[peer];
	seen_ack = ack[peer];
#else
	seen_ack = ack[peer];					/* [W1] */
	seen_epoch = epoch[peer];				/* [W2] */
#endif
	if
	:: seen_epoch != 0 && seen_epoch != acked ->
		acked = seen_epoch;
		ack[me] = seen_epoch;				/* [W3] */
		goto wait
	:: seen_epoch != 0 && seen_epoch == acked && seen_ack == own_epoch ->
		d_step {					/* [W4] */
			state[me] = UP;
			session_own[me] = own_epoch;
			session_peer[me] = acked
		}
		goto up
	:: seen_epoch == 0 || (seen_epoch == acked && seen_ack != own_epoch) ->
		goto wait
	:: MAY_CRASH -> CRASH
	fi;
up:
	if
	/* ivlink_step() */
	:: epoch[peer] != acked -> goto over			/* [U1] */
	:: epoch[me] != own_epoch || ack[me] != acked -> goto over	/* [U2] */

	/* ivring_reserve(), with a look at the consumer when it is full */
	:: atomic { sent < RECORDS && LESS(tx_prod, tx_cons) == SIZE ->
		session_before() };
		atomic {
			index = cons[peer];
#ifdef FAULT_BEFORE_SESSION
			assert(LESS(index, tx_cons) <= LESS(tx_prod, tx_cons))
#endif
		}
		atomic {
			session(SESSION, prod[me], tx_prod);
			assert(LESS(index, tx_cons) <= LESS(tx_prod, tx_cons));
			tx_cons = index;
			index = 0
		}

	/* ivring_reserve() with space, ivring_commit(), ivring_publish() */
	:: atomic { sent < RECORDS && LESS(tx_prod, tx_cons) < SIZE ->
		may(prod[me], tx_prod) };
		from[me * SIZE + tx_prod % SIZE] = own_epoch;
		if
		:: MAY_CRASH -> CRASH
		:: d_step {
			to[me * SIZE + tx_prod % SIZE] = acked;
			number[me * SIZE + tx_prod % SIZE] = sent
		   }
		fi;
		d_step {
			tx_prod = (tx_prod + 1) % WRAP;
			sent++;
			prod[me] = tx_prod
		}

	/* ivring_peek(), with a look at the producer when it is empty */
	:: atomic { rx_cons == rx_prod -> session_before() };
		atomic {
			index = prod[peer];
#ifdef FAULT_BEFORE_SESSION
			assert(LESS(index, rx_cons) <= SIZE)
#endif
		}
		atomic {
			session(SESSION, cons[me], rx_cons);
			assert(LESS(index, rx_cons) <= SIZE);
			rx_prod = index;
			index = 0
		}

	/* ivring_peek() with a record, ivring_advance(), ivring_release() */
	:: atomic { rx_cons != rx_prod ->
		may(cons[me], rx_cons) };
		atomic {
		assert(from[peer * SIZE + rx_cons % SIZE] == acked);
		assert(to[peer * SIZE + rx_cons % SIZE] == own_epoch);
		assert(number[peer * SIZE + rx_cons % SIZE] == received)
		}
		d_step {
			rx_cons = (rx_cons + 1) % WRAP;
			received++;
			cons[me] = rx_cons
		}

	:: MAY_CRASH -> CRASH
	:: MAY_CRASH -> events++; goto over
#ifdef ROLLBACK
	:: me == 0 && !saved && MAY_FAIL -> d_step {
		s_epoch = own_epoch; s_acked = acked;
		s_tx_prod = tx_prod; s_tx_cons = tx_cons; s_sent = sent;
		s_rx_cons = rx_cons; s_rx_prod = rx_prod; s_received = received;
		saved = true
	}
	:: saved && !restored && MAY_FAIL -> d_step {
		events++;
		own_epoch = s_epoch; acked = s_acked;
		tx_prod = s_tx_prod; tx_cons = s_tx_cons; sent = s_sent;
		rx_cons = s_rx_cons; rx_prod = s_rx_prod; received = s_received;
		restored = true
	}
#endif
	fi;
	goto up;
over:
	/* ivlink_end(); it may rest, which is a step that comes late */
	state[me] = ANNOUNCE;
	goto announce
}

init {
	atomic { run side(0); run side(1) }
}

#define both_up	(state[0] == UP && state[1] == UP && \
		 session_own[0] == session_peer[1] && \
		 session_own[1] == session_peer[0])

ltl live { [] ((events == EVENTS) -> <> both_up) }
