/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring: records of any length from one producer to one consumer, who do
 * not trust each other.  Documentation/wire-format.rst specifies it.
 *
 * Three pieces of shared memory belong to a ring.  The data and the line of
 * the producer (struct ivring_tx) are written by the producer alone, the line
 * of the consumer (struct ivring_rx) by the consumer alone.  Indices are bytes
 * and run freely; index modulo size is the place.  Each side keeps its own
 * indices privately and only publishes them, and reads them back only to see
 * that nobody else wrote there: what others write can break the ring, never
 * lead out of it.
 *
 * A ring between two peers of a link lasts for one session, which is over when
 * the peer's epoch changes (link.h).  The ring looks at the epoch after each
 * index that it reads, so that no caller can forget it.
 *
 * None of these functions waits, allocates or logs.  Each side is used by one
 * thread at a time.
 */
#ifndef IVSHMEM_RING_H
#define IVSHMEM_RING_H

#include "port.h"

/* Records begin at multiples of this, so that a cache line has one writer */
#define IVRING_ALIGN		64U
/* Copies are fastest where payload is aligned as users' buffers are */
#define IVRING_HEADER		32U
#define IVRING_SIZE_MIN		4096U
#define IVRING_SIZE_MAX		(1U << 31)
/* Of a record that only fills the space up to the end of the data */
#define IVRING_KIND_PAD		0xffffffffU

/**
 * struct ivring_tx - the producer's line
 * @prod: end of what is published
 * @space_event: a kick is wanted when the consumer's index passes this
 * @reserved: fills the cache line
 */
struct ivring_tx {
	__le32 prod;
	__le32 space_event;
	__u8 reserved[56];
};

/**
 * struct ivring_rx - the consumer's line
 * @cons: end of what is consumed
 * @data_event: a kick is wanted when the producer's index passes this
 * @reserved: fills the cache line
 */
struct ivring_rx {
	__le32 cons;
	__le32 data_event;
	__u8 reserved[56];
};

/**
 * struct ivring_record - precedes the payload of each record
 * @length: bytes of payload
 * @kind: what it is, up to the users of the ring, or IVRING_KIND_PAD
 * @reserved: aligns the payload to 32 bytes; neither written nor read
 */
struct ivring_record {
	__le32 length;
	__le32 kind;
	__u8 reserved[24];
};

/* What is wrong with a ring; final until it is set up anew */
enum ivring_fault {
	IVRING_OK,
	IVRING_STALE,		/* nothing: the session is over */
	IVRING_TAMPERED,	/* own words are not what was published */
	IVRING_BAD_PROD,	/* more published than fits, or unaligned */
	IVRING_BAD_CONS,	/* more consumed than published, or unaligned */
	IVRING_BAD_LENGTH,	/* a record longer than what is published */
	IVRING_BAD_PAD,		/* padding where none can be */
	IVRING_BAD_RECORD,	/* its users: a record that cannot be */
};

/**
 * struct ivring_life - the own word that says which session this side is in
 * @word: where it is, or NULL
 * @epoch: what is there as long as the session lasts
 */
struct ivring_life {
	const __le32 __ivshmem *word;
	__u32 epoch;
};

/**
 * struct ivring_producer - private half of the producer
 * @data: the data area
 * @own: own line
 * @peer: the consumer's line
 * @session: the peer's word that says which session it is in, or NULL
 * @epoch: what is there as long as the session lasts
 * @life: likewise, the own word
 * @size: of the data area
 * @next: where the next record begins
 * @prod: what is published
 * @cons: the consumer's index, as last checked
 * @fault: why the ring is broken
 */
struct ivring_producer {
	__u8 __ivshmem *data;
	struct ivring_tx __ivshmem *own;
	const struct ivring_rx __ivshmem *peer;
	const __le32 __ivshmem *session;
	__u32 epoch;
	struct ivring_life life;
	__u32 size;
	__u32 next;
	__u32 prod;
	__u32 cons;
	enum ivring_fault fault;
};

/**
 * struct ivring_consumer - private half of the consumer
 * @data: the data area
 * @own: own line
 * @peer: the producer's line
 * @session: the peer's word that says which session it is in, or NULL
 * @epoch: what is there as long as the session lasts
 * @life: likewise, the own word
 * @size: of the data area
 * @next: where the next record begins
 * @cons: what is released
 * @prod: the producer's index, as last checked
 * @total: size of the record that was peeked, header included; else 0
 * @fault: why the ring is broken
 */
struct ivring_consumer {
	const __u8 __ivshmem *data;
	struct ivring_rx __ivshmem *own;
	const struct ivring_tx __ivshmem *peer;
	const __le32 __ivshmem *session;
	__u32 epoch;
	struct ivring_life life;
	__u32 size;
	__u32 next;
	__u32 cons;
	__u32 prod;
	__u32 total;
	enum ivring_fault fault;
};

/* Longest payload for a data area of @size bytes: two records always fit */
static inline __u32 ivring_max_length(__u32 size)
{
	return size / 2 - IVRING_HEADER;
}

static inline __u32 ivring_total(__u32 length)
{
	return (length + IVRING_HEADER + IVRING_ALIGN - 1) &
	       ~(IVRING_ALIGN - 1);
}

/* Whether an index that moved from @old to @now has passed @event */
static inline bool ivring_passed(__u32 event, __u32 now, __u32 old)
{
	return now - event - 1 < now - old;
}

/**
 * ivring_producer_init() - set up an empty ring for sending
 * @p: the private half
 * @data: data area, aligned to IVRING_ALIGN
 * @size: its size, a power of two, IVRING_SIZE_MIN to IVRING_SIZE_MAX
 * @own: own line
 * @peer: the consumer's line, not looked at before the first ivring_reserve()
 */
static inline void ivring_producer_init(struct ivring_producer *p,
					void __ivshmem *data, __u32 size,
					struct ivring_tx __ivshmem *own,
					const struct ivring_rx __ivshmem *peer)
{
	p->data = (__u8 __ivshmem *)data;
	p->own = own;
	p->peer = peer;
	p->session = NULL;
	p->epoch = 0;
	p->life.word = NULL;
	p->life.epoch = 0;
	p->size = size;
	p->next = 0;
	p->prod = 0;
	p->cons = 0;
	p->fault = IVRING_OK;
	ivshmem_store32(&own->space_event, 0);
	ivshmem_store32(&own->prod, 0);
}

/**
 * ivring_producer_bind() - let the ring end with a session
 * @p: the producer, just set up
 * @session: the consumer's word that says which session it is in
 * @epoch: what is there as long as the session lasts
 */
static inline void ivring_producer_bind(struct ivring_producer *p,
					const __le32 __ivshmem *session,
					__u32 epoch)
{
	p->session = session;
	p->epoch = epoch;
}

/**
 * ivring_producer_live() - let the ring end with the own session, too
 * @p: the producer, just bound
 * @word: the own word that says which session this side is in
 * @epoch: what is there as long as the session lasts
 *
 * A peer need not begin anew for each session of this side.  Private memory
 * that is restored from a snapshot may be of a session before this one, with the
 * same epoch of the peer and the same indices.
 */
static inline void ivring_producer_live(struct ivring_producer *p,
					const __le32 __ivshmem *word,
					__u32 epoch)
{
	p->life.word = word;
	p->life.epoch = epoch;
}

/**
 * ivring_consumer_init() - set up an empty ring for receiving
 * @c: the private half
 * @data: data area, aligned to IVRING_ALIGN
 * @size: its size, a power of two, IVRING_SIZE_MIN to IVRING_SIZE_MAX
 * @own: own line
 * @peer: the producer's line, not looked at before the first ivring_peek()
 */
static inline void ivring_consumer_init(struct ivring_consumer *c,
					const void __ivshmem *data, __u32 size,
					struct ivring_rx __ivshmem *own,
					const struct ivring_tx __ivshmem *peer)
{
	c->data = (const __u8 __ivshmem *)data;
	c->own = own;
	c->peer = peer;
	c->session = NULL;
	c->epoch = 0;
	c->life.word = NULL;
	c->life.epoch = 0;
	c->size = size;
	c->next = 0;
	c->cons = 0;
	c->prod = 0;
	c->total = 0;
	c->fault = IVRING_OK;
	ivshmem_store32(&own->data_event, 0);
	ivshmem_store32(&own->cons, 0);
}

/**
 * ivring_consumer_bind() - let the ring end with a session
 * @c: the consumer, just set up
 * @session: the producer's word that says which session it is in
 * @epoch: what is there as long as the session lasts
 */
static inline void ivring_consumer_bind(struct ivring_consumer *c,
					const __le32 __ivshmem *session,
					__u32 epoch)
{
	c->session = session;
	c->epoch = epoch;
}

/**
 * ivring_consumer_live() - let the ring end with the own session, too
 * @c: the consumer, just bound
 * @word: the own word that says which session this side is in
 * @epoch: what is there as long as the session lasts
 *
 * A peer need not begin anew for each session of this side.  Private memory
 * that is restored from a snapshot may be of a session before this one, with the
 * same epoch of the peer and the same indices.
 */
static inline void ivring_consumer_live(struct ivring_consumer *c,
					const __le32 __ivshmem *word,
					__u32 epoch)
{
	c->life.word = word;
	c->life.epoch = epoch;
}

/*
 * Whether what was just read belongs to this session.  To be called after the
 * acquire load of the peer's index: a peer that begins anew changes its epoch
 * before its indices, so that one of a later session comes with a later epoch.
 * Pairs with ivlink_withdraw().
 */
static inline enum ivring_fault ivring_session(const __le32 __ivshmem *session,
					       __u32 epoch,
					       const struct ivring_life *life,
					       const __le32 __ivshmem *own,
					       __u32 published)
{
	if (session && ivshmem_load32(session) != epoch)
		return IVRING_STALE;
	/* Restored from a snapshot, or somebody else writes there */
	if ((life->word && ivshmem_load32(life->word) != life->epoch) ||
	    ivshmem_load32(own) != published)
		return IVRING_TAMPERED;
	return IVRING_OK;
}

/* What a broken ring returns */
static inline int ivring_error(enum ivring_fault fault)
{
	return fault == IVRING_STALE ? -EPIPE : -EPROTO;
}

/*
 * Whether the first record of a batch may be written: private memory that was
 * restored from a snapshot may be of another session, or behind this one
 */
static inline bool ivring_may_send(struct ivring_producer *p)
{
	p->fault = ivring_session(p->session, p->epoch, &p->life,
				  &p->own->prod, p->prod);
	return !p->fault;
}

/* Likewise, whether the first record of those not yet released may be read */
static inline bool ivring_may_receive(struct ivring_consumer *c)
{
	c->fault = ivring_session(c->session, c->epoch, &c->life,
				  &c->own->cons, c->cons);
	return !c->fault;
}

/* Looks at the consumer's index: it may only grow, up to what is published */
static inline bool ivring_refresh_cons(struct ivring_producer *p)
{
	/* Pairs with ivring_release(): the space was read before it is reused */
	__u32 cons = ivshmem_load_acquire32(&p->peer->cons);

	p->fault = ivring_session(p->session, p->epoch, &p->life,
				  &p->own->prod, p->prod);
	if (p->fault)
		return false;
	if (cons - p->cons > p->prod - p->cons || cons % IVRING_ALIGN) {
		p->fault = IVRING_BAD_CONS;
		return false;
	}

	p->cons = cons;
	return true;
}

/* Bytes that a record of @need bytes takes from p->next on, with padding */
static inline __u32 ivring_cost(const struct ivring_producer *p, __u32 need)
{
	__u32 room = p->size - (p->next & (p->size - 1));

	return need <= room ? need : room + need;
}

static inline void ivring_put_header(struct ivring_producer *p, __u32 length,
				     __u32 kind)
{
	struct ivring_record __ivshmem *record;

	record = (struct ivring_record __ivshmem *)
		 (p->data + (p->next & (p->size - 1)));
	ivshmem_store32(&record->length, length);
	ivshmem_store32(&record->kind, kind);
}

/**
 * ivring_reserve() - get space for a record, in place
 * @p: the producer
 * @length: bytes of payload at most
 * @payload: where to write it; contiguous
 *
 * To be followed by ivring_commit(), or by another ivring_reserve(), which
 * takes its place.
 *
 * Return: 0; -EAGAIN (no space now, see ivring_want_space()), -EMSGSIZE (longer
 * than ivring_max_length()), -EPIPE (the session is over), -EPROTO (the ring is
 * broken, see @p->fault).
 */
static inline int ivring_reserve(struct ivring_producer *p, __u32 length,
				 void __ivshmem **payload)
{
	__u32 cost, need;

	if (p->fault)
		return ivring_error(p->fault);
	if (length > ivring_max_length(p->size))
		return -EMSGSIZE;

	need = ivring_total(length);
	cost = ivring_cost(p, need);
	if (cost > p->size - (p->next - p->cons)) {
		if (!ivring_refresh_cons(p))
			return ivring_error(p->fault);
		if (cost > p->size - (p->next - p->cons))
			return -EAGAIN;
	} else if (p->next == p->prod && !ivring_may_send(p)) {
		return ivring_error(p->fault);
	}

	if (cost != need) {
		ivring_put_header(p, cost - need - IVRING_HEADER,
				  IVRING_KIND_PAD);
		p->next += cost - need;
	}

	*payload = p->data + (p->next & (p->size - 1)) + IVRING_HEADER;
	return 0;
}

/**
 * ivring_commit() - finish the record that was reserved last
 * @p: the producer
 * @length: bytes of payload, not more than were reserved
 * @kind: for the consumer; not IVRING_KIND_PAD
 *
 * The consumer sees it after ivring_publish(), which may follow several.
 */
static inline void ivring_commit(struct ivring_producer *p, __u32 length,
				 __u32 kind)
{
	ivring_put_header(p, length, kind);
	p->next += ivring_total(length);
}

/**
 * ivring_publish() - show the consumer all that was committed
 * @p: the producer
 *
 * Return: whether the consumer wants to be kicked.
 */
static inline bool ivring_publish(struct ivring_producer *p)
{
	__u32 old = p->prod;

	if (p->next == old)
		return false;

	p->prod = p->next;
	/* Records before index; pairs with ivring_refresh_prod() */
	ivshmem_store_release32(&p->own->prod, p->prod);
	/* Index before event; pairs with ivring_want_data() */
	ivshmem_mb();

	return ivring_passed(ivshmem_load32(&p->peer->data_event), p->prod,
			     old);
}

/**
 * ivring_want_consumed() - ask to be kicked when little is left to consume
 * @p: the producer
 * @left: bytes that may still be there, headers and padding included
 *
 * To be called after ivring_publish(): the consumer cannot consume records that
 * it was not shown.
 *
 * Return: true when not more is left already, or the ring is broken: do not wait.
 */
static inline bool ivring_want_consumed(struct ivring_producer *p, __u32 left)
{
	if (p->fault)
		return true;

	ivshmem_store32(&p->own->space_event, p->next - left - 1);
	/* Event before index; pairs with ivring_release() */
	ivshmem_mb();

	return !ivring_refresh_cons(p) || p->next - p->cons <= left;
}

/**
 * ivring_want_space() - ask to be kicked when a record fits
 * @p: the producer
 * @length: bytes of its payload, not above ivring_max_length()
 *
 * To be called after ivring_publish(), like ivring_want_consumed().
 *
 * Return: true when it fits already, or the ring is broken: do not wait.
 */
static inline bool ivring_want_space(struct ivring_producer *p, __u32 length)
{
	__u32 cost = ivring_cost(p, ivring_total(length));

	return ivring_want_consumed(p, p->size - cost);
}

/* Looks at the producer's index: it may only grow, up to a full ring */
static inline bool ivring_refresh_prod(struct ivring_consumer *c)
{
	/* Pairs with ivring_publish(): the records are there */
	__u32 prod = ivshmem_load_acquire32(&c->peer->prod);

	c->fault = ivring_session(c->session, c->epoch, &c->life,
				  &c->own->cons, c->cons);
	if (c->fault)
		return false;
	if (prod - c->next > c->size - (c->next - c->cons) ||
	    prod - c->next < c->prod - c->next || prod % IVRING_ALIGN) {
		c->fault = IVRING_BAD_PROD;
		return false;
	}

	c->prod = prod;
	return true;
}

/* Checks the record at c->next; its size with the header, or 0 and a fault */
static inline __u32 ivring_check_record(struct ivring_consumer *c, __u32 length,
					__u32 kind)
{
	__u32 offset = c->next & (c->size - 1);
	__u32 room = c->size - offset;
	__u32 ready = c->prod - c->next;

	if (kind == IVRING_KIND_PAD) {
		/* Nothing needs padding at the start, nor less than the rest */
		if (offset && length == room - IVRING_HEADER && room <= ready)
			return room;
		c->fault = IVRING_BAD_PAD;
		return 0;
	}

	if (length <= ivring_max_length(c->size) &&
	    ivring_total(length) <= room && ivring_total(length) <= ready)
		return ivring_total(length);
	c->fault = IVRING_BAD_LENGTH;
	return 0;
}

/**
 * ivring_peek() - look at the next record without consuming it
 * @c: the consumer
 * @payload: where it is, contiguous.  The producer may go on changing it: copy
 *	     what has to be consistent, by ivshmem_copy_in(), before checking it
 * @length: bytes of payload
 * @kind: as the producer gave it
 *
 * Return: 0; -EAGAIN (nothing there, see ivring_want_data()), -EPIPE (the
 * session is over), -EPROTO (the ring is broken, see @c->fault).
 */
static inline int ivring_peek(struct ivring_consumer *c,
			      const void __ivshmem **payload, __u32 *length,
			      __u32 *kind)
{
	const struct ivring_record __ivshmem *record;
	__u32 found, total, type, tries;

	c->total = 0;
	/* At most one padding comes before a record */
	for (tries = 0; tries < 2 && !c->fault; tries++) {
		if (c->next == c->prod) {
			if (!ivring_refresh_prod(c))
				break;
			if (c->next == c->prod)
				return -EAGAIN;
		} else if (c->next == c->cons && !ivring_may_receive(c)) {
			break;
		}

		record = (const struct ivring_record __ivshmem *)
			 (c->data + (c->next & (c->size - 1)));
		found = ivshmem_load32(&record->length);
		type = ivshmem_load32(&record->kind);
		total = ivring_check_record(c, found, type);
		if (!total)
			break;
		if (type != IVRING_KIND_PAD) {
			*payload = (const __u8 __ivshmem *)record +
				   IVRING_HEADER;
			*length = found;
			*kind = type;
			c->total = total;
			return 0;
		}
		c->next += total;
	}

	/* Padding that follows padding: the start of the data has none */
	return c->fault ? ivring_error(c->fault) : -EPROTO;
}

/**
 * ivring_advance() - go on to the record behind the one that was peeked
 * @c: the consumer
 *
 * The payloads of the records passed stay in place until ivring_release().
 * Does nothing unless ivring_peek() found a record and this did not pass it yet.
 */
static inline void ivring_advance(struct ivring_consumer *c)
{
	c->next += c->total;
	c->total = 0;
}

/**
 * ivring_release() - give the space of all records passed back to the producer
 * @c: the consumer
 *
 * Return: whether the producer wants to be kicked.
 */
static inline bool ivring_release(struct ivring_consumer *c)
{
	__u32 old = c->cons;

	if (c->next == old)
		return false;

	c->cons = c->next;
	/* Payloads before index; pairs with ivring_refresh_cons() */
	ivshmem_store_release32(&c->own->cons, c->cons);
	/* Index before event; pairs with ivring_want_consumed() */
	ivshmem_mb();

	return ivring_passed(ivshmem_load32(&c->peer->space_event), c->cons,
			     old);
}

/**
 * ivring_want_data() - ask to be kicked when there is something to read
 * @c: the consumer
 *
 * Return: true when there is already, or the ring is broken: do not wait.
 */
static inline bool ivring_want_data(struct ivring_consumer *c)
{
	if (c->fault)
		return true;

	ivshmem_store32(&c->own->data_event, c->next);
	/* Event before index; pairs with ivring_publish() */
	ivshmem_mb();

	return !ivring_refresh_prod(c) || c->next != c->prod;
}

#endif /* IVSHMEM_RING_H */
