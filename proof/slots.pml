/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Claimants choose slots where no server gives them one, by the rules of slot.h:
 * look, write into one that is free, wait, look again, and look on.
 *
 * STOPS times in all one is stopped, at any point, for as long as it takes, or for
 * good.  It is silent then: its slot is free.  Who is not stopped needs less time
 * from its look to its last store than a claim has to stand, and while it has a
 * slot looks more often than that, so that no claim is settled before it has.  Who
 * has lost one rests for a random time; in the end that is longer than others need
 * for theirs.
 *
 * Each run must come to rest, and then all who live have slots of their own, or
 * none is free.  While nobody is stopped no two have one slot at any time, and
 * nobody loses one.
 *
 * Mistakes, each of which must be found: SAME_EPOCH, NO_WAIT, NO_SECOND_LOOK,
 * ERASE, SETTLED_FOR_GOOD.
 */
#ifndef STOPS
#define STOPS	1
#endif
#ifndef CLAIMANTS
#define CLAIMANTS	3
#endif
#define SLOTS	2

mtype = { LOOK, STORE, CLAIM, OWN };

/* Shared memory: the first word of each line */
byte epoch[SLOTS];

/* Of no peer */
byte stops;
bool stopped[3];
mtype phase[3];
byte at[3];

#ifdef SAME_EPOCH
#define EPOCH	1
#else
#define EPOCH	(me + 1)
#endif
#define INTACT	(epoch[at[me]] == EPOCH)

/* Its heart beats */
#define LIVES(n)	(!stopped[n] && (phase[n] == CLAIM || phase[n] == OWN))
#define LIVES_IN(slot)	(LIVES(0) && at[0] == slot || LIVES(1) && at[1] == slot || \
			 LIVES(2) && at[2] == slot)
#define IS_FREE(slot)	(epoch[slot] == 0 || !LIVES_IN(slot))

#define STORES(n)	(phase[n] == STORE && !stopped[n])
/* What a claim has stood for long enough for */
#define DUE(n)	(n != me && at[n] == at[me] && !stopped[n] && \
		 (phase[n] == STORE || phase[n] == OWN))
#ifdef NO_WAIT
#define STOOD	true
#else
#define STOOD	!(DUE(0) || DUE(1) || DUE(2))
#endif

#define OWNS(n, slot)	(phase[n] == OWN && !stopped[n] && at[n] == slot)
#define SHARED(slot)	(OWNS(0, slot) + OWNS(1, slot) + OWNS(2, slot) > 1)
#define OWNED(slot)	(OWNS(0, slot) || OWNS(1, slot) || OWNS(2, slot))
#define AT_HOME(n)	(n >= CLAIMANTS || stopped[n] || phase[n] == OWN)

#define STOP \
	stops < STOPS -> \
		d_step { stops++; stopped[me] = true }; \
		if \
		:: stopped[me] = false \
		:: goto end_dead \
		fi
#define MAY_STOP \
	if \
	:: STOP \
	:: true \
	fi

proctype claimant(byte me)
{
	bool rests;

end_look:
	atomic {
		!rests || !STORES(0) && !STORES(1) && !STORES(2);
		if
		:: IS_FREE(0) -> at[me] = 0
		:: IS_FREE(1) -> at[me] = 1
		fi;
		phase[me] = STORE
	}
	MAY_STOP;
	epoch[at[me]] = 0;
	MAY_STOP;
	d_step { epoch[at[me]] = EPOCH; phase[me] = CLAIM }
	MAY_STOP;
	atomic {
#ifdef NO_SECOND_LOOK
		STOOD
#else
		if
		:: !INTACT -> goto lost
		:: INTACT && STOOD
		fi
#endif
		phase[me] = OWN;
		assert(stops > 0 || !SHARED(at[me]))
	}
end_own:
	if
	:: STOP; goto end_own
#ifndef SETTLED_FOR_GOOD
	:: atomic { !INTACT -> assert(stops > 0) }
#endif
	fi;
lost:
#ifdef ERASE
	epoch[at[me]] = 0;
#endif
	rests = true;
	phase[me] = LOOK;
	goto end_look;
end_dead:
	false
}

active proctype watch()
{
end:
	timeout -> assert(!SHARED(0) && !SHARED(1) &&
			  (AT_HOME(0) && AT_HOME(1) && AT_HOME(2) ||
			   OWNED(0) && OWNED(1)))
}

init {
	atomic {
		phase[0] = LOOK; phase[1] = LOOK; phase[2] = LOOK;
		run claimant(0); run claimant(1);
		if
		:: CLAIMANTS > 2 -> run claimant(2)
		:: else
		fi
	}
}
