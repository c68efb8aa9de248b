// SPDX-License-Identifier: GPL-2.0-only
/*
 * One proof for each function of the ring, over every size of ring, every
 * private state that is consistent, and every value of shared memory: it keeps
 * the state consistent and touches nothing outside.  Since setting up makes a
 * consistent state, that holds for any sequence of calls.
 */
#include <ivshmem/ring.h>

unsigned int shared_loads;
struct watched watched[4];

/* The peer's index, the session's word, the own index, the own session's word */
#define INDEX	(&watched[0])
#define SESSION	(&watched[1])
#define OWN	(&watched[2])
#define LIFE	(&watched[3])

void see_store(const void *p, size_t n, __u32 v)
{
}

/* One page or the largest there is, and all powers of two in between */
static __u32 any_size(void)
{
	__u32 size = nondet_word();

	__CPROVER_assume(size >= IVRING_SIZE_MIN && size <= IVRING_SIZE_MAX);
	__CPROVER_assume((size & (size - 1)) == 0);
	return size;
}

static _Bool producer_consistent(const struct ivring_producer *p)
{
	return p->next % IVRING_ALIGN == 0 && p->prod % IVRING_ALIGN == 0 &&
	       p->cons % IVRING_ALIGN == 0 && p->next - p->cons <= p->size &&
	       p->prod - p->cons <= p->next - p->cons;
}

static _Bool consumer_consistent(const struct ivring_consumer *c)
{
	return c->next % IVRING_ALIGN == 0 && c->prod % IVRING_ALIGN == 0 &&
	       c->cons % IVRING_ALIGN == 0 && c->prod - c->cons <= c->size &&
	       c->next - c->cons <= c->prod - c->cons &&
	       c->total % IVRING_ALIGN == 0 && c->total <= c->prod - c->next;
}

static struct ivring_producer any_producer(void)
{
	struct ivring_producer p;

	p.size = any_size();
	p.data = memory(p.size);
	p.own = memory(sizeof(*p.own));
	p.peer = memory(sizeof(*p.peer));
	p.next = nondet_word();
	p.prod = nondet_word();
	p.cons = nondet_word();
	p.session = nondet_word() % 2 ? memory(sizeof(*p.session)) : NULL;
	p.epoch = nondet_word();
	p.life.word = nondet_word() % 2 ? memory(sizeof(*p.life.word)) : NULL;
	p.life.epoch = nondet_word();
	p.fault = nondet_word() % 2 ? IVRING_BAD_CONS : IVRING_OK;
	__CPROVER_assume(producer_consistent(&p));
	INDEX->word = &p.peer->cons;
	SESSION->word = p.session;
	OWN->word = &p.own->prod;
	LIFE->word = p.life.word;
	return p;
}

static struct ivring_consumer any_consumer(void)
{
	struct ivring_consumer c;

	c.size = any_size();
	c.data = memory(c.size);
	c.own = memory(sizeof(*c.own));
	c.peer = memory(sizeof(*c.peer));
	c.next = nondet_word();
	c.prod = nondet_word();
	c.cons = nondet_word();
	c.total = nondet_word();
	c.session = nondet_word() % 2 ? memory(sizeof(*c.session)) : NULL;
	c.epoch = nondet_word();
	c.life.word = nondet_word() % 2 ? memory(sizeof(*c.life.word)) : NULL;
	c.life.epoch = nondet_word();
	c.fault = nondet_word() % 2 ? IVRING_BAD_LENGTH : IVRING_OK;
	__CPROVER_assume(consumer_consistent(&c));
	INDEX->word = &c.peer->prod;
	SESSION->word = c.session;
	OWN->word = &c.own->cons;
	LIFE->word = c.life.word;
	return c;
}

static void own_words_noticed(enum ivring_fault fault, __u32 life, __u32 own)
{
	_Bool changed;

	if (LIFE->word && LIFE->value != life)
		changed = 1;
	else
		changed = OWN->value != own;
	if (changed)
		__CPROVER_assert(fault == IVRING_TAMPERED, "changes are noticed");
	else
		__CPROVER_assert(fault != IVRING_TAMPERED &&
				 fault != IVRING_STALE, "only changes");
}

/*
 * Whatever index was read last: nothing else is done with it before the session
 * was looked at, after it, and then the own words.
 */
static void index_belongs_here(enum ivring_fault fault, __u32 epoch,
			       __u32 life, __u32 own)
{
	if (!INDEX->loads)
		return;
	__CPROVER_assert(!SESSION->word || SESSION->when > INDEX->when,
			 "the session is looked at after the index");
	if (SESSION->word && SESSION->value != epoch) {
		__CPROVER_assert(fault == IVRING_STALE, "its end is noticed");
		return;
	}
	__CPROVER_assert((LIFE->word && LIFE->when > INDEX->when) ||
			 OWN->when > INDEX->when, "so are the own words");
	own_words_noticed(fault, life, own);
}

void prove_init(void)
{
	struct ivring_producer p;
	struct ivring_consumer c;
	__u32 size = any_size();
	void *data = memory(size);
	struct ivring_tx *tx = memory(sizeof(*tx));
	struct ivring_rx *rx = memory(sizeof(*rx));

	ivring_producer_init(&p, data, size, tx, rx);
	ivring_consumer_init(&c, data, size, rx, tx);
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
	__CPROVER_assert(shared_loads == 0, "nothing of the peer is read");
	__CPROVER_assert(!p.session && !c.session, "without a session");
}

void prove_bind(void)
{
	struct ivring_producer p = any_producer(), sends = p;
	struct ivring_consumer c = any_consumer(), receives = c;
	__le32 *session = memory(sizeof(*session));
	__le32 *own = memory(sizeof(*own));
	__u32 epoch = nondet_word();

	ivring_producer_bind(&p, session, epoch);
	ivring_consumer_bind(&c, session, epoch);
	ivring_producer_live(&p, own, epoch - 1);
	ivring_consumer_live(&c, own, epoch - 1);
	__CPROVER_assert(p.session == session && p.epoch == epoch &&
			 c.session == session && c.epoch == epoch, "bound");
	__CPROVER_assert(p.life.word == own && p.life.epoch == epoch - 1 &&
			 c.life.word == own && c.life.epoch == epoch - 1,
			 "on both sides");
	__CPROVER_assert(p.data == sends.data && p.own == sends.own &&
			 p.peer == sends.peer && p.next == sends.next &&
			 p.prod == sends.prod && p.cons == sends.cons &&
			 p.size == sends.size && p.fault == sends.fault,
			 "nothing else changes");
	__CPROVER_assert(c.data == receives.data && c.own == receives.own &&
			 c.peer == receives.peer && c.next == receives.next &&
			 c.prod == receives.prod && c.cons == receives.cons &&
			 c.size == receives.size && c.total == receives.total &&
			 c.fault == receives.fault, "nothing else changes");
}

void prove_total(void)
{
	__u32 size = any_size(), length = nondet_word();

	__CPROVER_assume(length <= ivring_max_length(size));
	__CPROVER_assert(ivring_total(length) >= length + IVRING_HEADER &&
			 ivring_total(length) % IVRING_ALIGN == 0 &&
			 ivring_total(length) - length < IVRING_HEADER +
			 IVRING_ALIGN, "rounded up, and no more");
	__CPROVER_assert(ivring_total(length) <= size / 2, "two always fit");
}

/* Passing an event, said in another way: steps from the old index meet it */
void prove_passed(void)
{
	__u32 old = nondet_word(), now = nondet_word(), event = nondet_word();
	_Bool meets = event - old < now - old;

	__CPROVER_assert(ivring_passed(event, now, old) == meets,
			 "passed exactly when the event is met on the way");
}

void prove_reserve_commit(void)
{
	struct ivring_producer p = any_producer(), before = p;
	__u32 length = nondet_word(), less = nondet_word();
	void *payload;
	int ret;

	ret = ivring_reserve(&p, length, &payload);
	__CPROVER_assert(shared_loads <= 4, "index, epoch and own words once at most");
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
	__CPROVER_assert(ret == 0 || ret == -EAGAIN || ret == -EMSGSIZE ||
			 ret == -EPIPE || ret == -EPROTO, "no other result");
	__CPROVER_assert((ret == -EPROTO || ret == -EPIPE) ==
			 (p.fault != IVRING_OK), "broken exactly with a fault");
	__CPROVER_assert((ret == -EPIPE) == (p.fault == IVRING_STALE),
			 "the end of a session is told apart");
	__CPROVER_assert(!before.fault || p.fault == before.fault,
			 "a fault is final");
	index_belongs_here(p.fault, p.epoch, p.life.epoch, before.prod);
	__CPROVER_assert(p.prod == before.prod, "nothing is published");
	__CPROVER_assert(ret == 0 || p.next == before.next,
			 "failing takes no space");
	if (ret == -EMSGSIZE)
		__CPROVER_assert(length > p.size / 2 - IVRING_HEADER, "too long");
	if (ret == -EAGAIN)
		__CPROVER_assert(p.next != p.cons, "fits whenever all is free");
	if (ret)
		return;

	if (before.next == before.prod)
		__CPROVER_assert(OWN->loads && (!p.session || SESSION->loads) &&
				 (!p.life.word || LIFE->loads),
				 "no batch begins in a session that is over");
	__CPROVER_assert(length <= p.size / 2 - IVRING_HEADER, "not too long");
	__CPROVER_assert(__CPROVER_w_ok(payload, length), "payload within data");
	__CPROVER_assert(__CPROVER_same_object(payload, p.data), "payload in data");
	__CPROVER_assert(p.next + ivring_total(length) - p.cons <= p.size &&
			 ivring_total(length) <= p.size - (p.next - p.cons),
			 "only what is free");
	__CPROVER_assume(less <= length);
	ivring_commit(&p, less, nondet_word());
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
}

void prove_publish(void)
{
	struct ivring_producer p = any_producer();

	ivring_publish(&p);
	__CPROVER_assert(shared_loads <= 1, "the event is read once at most");
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
	__CPROVER_assert(p.prod == p.next, "all is published");
}

void prove_want_space(void)
{
	struct ivring_producer p = any_producer(), before = p;
	__u32 length = nondet_word();
	void *payload;
	_Bool now;

	__CPROVER_assume(length <= ivring_max_length(p.size));
	now = ivring_want_space(&p, length);
	index_belongs_here(p.fault, p.epoch, p.life.epoch, before.prod);
	__CPROVER_assert(shared_loads <= 4, "index, epoch and own words once at most");
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
	__CPROVER_assert(!before.fault || (now && p.fault == before.fault),
			 "nobody waits for a broken ring");
	if (!now || p.fault)
		return;
	__CPROVER_assert(!ivring_reserve(&p, length, &payload) ||
			 p.fault == IVRING_STALE || p.fault == IVRING_TAMPERED,
			 "it fits as was said, while the session lasts");
}

void prove_want_consumed(void)
{
	struct ivring_producer p = any_producer(), before = p;
	__u32 left = nondet_word();
	_Bool now;

	now = ivring_want_consumed(&p, left);
	index_belongs_here(p.fault, p.epoch, p.life.epoch, before.prod);
	__CPROVER_assert(shared_loads <= 4, "index, epoch and own words once at most");
	__CPROVER_assert(producer_consistent(&p), "producer consistent");
	__CPROVER_assert(!before.fault || (now && p.fault == before.fault),
			 "nobody waits for a broken ring");
	__CPROVER_assert(p.fault || now == (p.next - p.cons <= left),
			 "not more is left exactly when it says so");
}

void prove_peek_advance(void)
{
	struct ivring_consumer c = any_consumer(), before = c;
	const void *payload;
	__u32 length, kind;
	int ret;

	ret = ivring_peek(&c, &payload, &length, &kind);
	__CPROVER_assert(shared_loads <= 12, "few loads");
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
	__CPROVER_assert(ret == 0 || ret == -EAGAIN || ret == -EPIPE ||
			 ret == -EPROTO, "no other result");
	__CPROVER_assert((ret == -EPROTO || ret == -EPIPE) ==
			 (c.fault != IVRING_OK), "broken exactly with a fault");
	__CPROVER_assert((ret == -EPIPE) == (c.fault == IVRING_STALE),
			 "the end of a session is told apart");
	__CPROVER_assert(!before.fault || c.fault == before.fault,
			 "a fault is final");
	index_belongs_here(c.fault, c.epoch, c.life.epoch, before.cons);
	__CPROVER_assert(c.cons == before.cons, "nothing is released");
	if (ret) {
		__CPROVER_assert(c.total == 0, "there is nothing to pass");
		return;
	}

	if (before.next == before.cons)
		__CPROVER_assert(OWN->loads && (!c.session || SESSION->loads) &&
				 (!c.life.word || LIFE->loads),
				 "no batch begins in a session that is over");
	__CPROVER_assert(length <= c.size / 2 - IVRING_HEADER, "not too long");
	__CPROVER_assert(kind != IVRING_KIND_PAD, "padding is not shown");
	__CPROVER_assert(__CPROVER_r_ok(payload, length), "payload within data");
	__CPROVER_assert(__CPROVER_same_object(payload, c.data), "payload in data");
	__CPROVER_assert(c.total == ivring_total(length), "as long as was said");
	ivring_advance(&c);
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
}

void prove_advance(void)
{
	struct ivring_consumer c = any_consumer();

	ivring_advance(&c);
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
	__CPROVER_assert(shared_loads == 0, "nothing is read");
}

void prove_release(void)
{
	struct ivring_consumer c = any_consumer();

	ivring_release(&c);
	__CPROVER_assert(shared_loads <= 1, "the event is read once at most");
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
	__CPROVER_assert(c.cons == c.next, "all that was passed is released");
}

void prove_want_data(void)
{
	struct ivring_consumer c = any_consumer(), before = c;
	_Bool now = ivring_want_data(&c);

	index_belongs_here(c.fault, c.epoch, c.life.epoch, before.cons);
	__CPROVER_assert(shared_loads <= 4, "index, epoch and own words once at most");
	__CPROVER_assert(consumer_consistent(&c), "consumer consistent");
	__CPROVER_assert(!before.fault || (now && c.fault == before.fault),
			 "nobody waits for a broken ring");
	__CPROVER_assert(now || c.next == c.prod, "waits only when empty");
}
