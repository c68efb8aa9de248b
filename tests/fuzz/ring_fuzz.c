// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drives both ends of a ring by the fuzzer's input.  In the hostile form each
 * load from shared memory gives what the input says; in the honest form it
 * gives what is there, and then nothing may be lost, changed or called broken.
 */
#include "input.h"

#define SIZE	4096U
#define NEW	((__u32)1 << 30)
#define EPOCH	0x5e55107fU

static bool honest;
static unsigned int loads;
/* What this step did not see as it should: the side has to find out */
static enum ivring_fault lie;

static __u8 *data;
static struct ivring_tx *tx;
static struct ivring_rx *rx;
/* The word of the link that says which session the other side is in */
static __le32 *session;
/* The index of whoever takes this step */
static const __le32 *own;
static struct ivring_producer p;
static struct ivring_consumer c;

/* The producer's reservation, and what both sides have seen of the records */
static __u32 reserved;
static bool has_reserved;
static __u32 committed, received;
static __u32 lengths[SIZE / IVRING_ALIGN + 1];

void hostile_check_read(const void *ptr, size_t n)
{
	CHECK(++loads <= 10);
	CHECK(within(ptr, n, data, SIZE) || within(ptr, n, tx, sizeof(*tx)) ||
	      within(ptr, n, rx, sizeof(*rx)) || ptr == session);
}

void hostile_check_write(const void *ptr, size_t n)
{
	CHECK(within(ptr, n, data, SIZE) || within(ptr, n, tx, sizeof(*tx)) ||
	      within(ptr, n, rx, sizeof(*rx)));
}

void hostile_stored(const __le32 *ptr, __u32 v)
{
	(void)ptr;
	(void)v;
}

/* Seldom, for a ring that has noticed is of no more use */
static __u32 session_word(const __le32 *ptr, enum ivring_fault fault)
{
	__u32 value = take(1) == 0xa5 ? take(4) : *ptr;

	if (value != *ptr && !lie)
		lie = fault;
	return value;
}

__u32 hostile_word(const __le32 *ptr)
{
	CHECK((uintptr_t)ptr % sizeof(*ptr) == 0);
	if (honest)
		return *ptr;
	if (ptr == session)
		return session_word(ptr, IVRING_STALE);
	if (ptr == own)
		return session_word(ptr, IVRING_TAMPERED);

	/* Anything at all; the ways there are so that it gets far, too */
	switch (take(1) % 8) {
	case 0:
		return take(4);
	case 1:
		return *ptr + take(1) * IVRING_ALIGN;
	case 2:
		return *ptr - take(1) * IVRING_ALIGN;
	case 3:
		return IVRING_KIND_PAD;
	case 4:
		return take(2);
	case 5:
		return SIZE - (c.next & (SIZE - 1)) - IVRING_HEADER;
	default:
		return *ptr;
	}
}

void hostile_bytes(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	for (size_t i = 0; !honest && i < n && input < input_end; i++)
		((__u8 *)to)[i] = *input++;
}

static void check_private(void)
{
	CHECK(p.size == SIZE && c.size == SIZE);
	CHECK(p.next % IVRING_ALIGN == 0 && p.prod % IVRING_ALIGN == 0 &&
	      p.cons % IVRING_ALIGN == 0);
	CHECK(p.next - p.cons <= SIZE);
	CHECK(p.prod - p.cons <= p.next - p.cons);
	CHECK(c.next % IVRING_ALIGN == 0 && c.prod % IVRING_ALIGN == 0 &&
	      c.cons % IVRING_ALIGN == 0);
	CHECK(c.prod - c.cons <= SIZE);
	CHECK(c.next - c.cons <= c.prod - c.cons);
	CHECK(c.total <= c.prod - c.next);
	CHECK(!honest || (!p.fault && !c.fault));
}

/* What a ring with @fault returns */
static int broken(enum ivring_fault fault)
{
	return fault == IVRING_STALE ? -EPIPE : -EPROTO;
}

static void try_reserve(void)
{
	__u32 length = take(1) % 4 ? take(1) * 9 : take(4);
	enum ivring_fault fault = p.fault;
	void *payload = NULL;
	int ret = ivring_reserve(&p, length, &payload);

	if (fault)
		CHECK(ret == broken(fault) && p.fault == fault);
	has_reserved = !ret;
	if (ret == -EMSGSIZE)
		CHECK(length > SIZE / 2 - IVRING_HEADER);
	if (ret)
		return;
	CHECK(length <= SIZE / 2 - IVRING_HEADER);
	CHECK(within(payload, length, data, SIZE));
	CHECK(p.next + ivring_total(length) - p.cons <= SIZE);
	memset(payload, (__u8)committed, length);
	reserved = length;
}

static void try_commit(void)
{
	__u32 less = take(1);

	if (!has_reserved)
		return;
	has_reserved = false;
	if (less % 2)
		reserved -= less < reserved ? less : reserved;
	lengths[committed % (SIZE / IVRING_ALIGN + 1)] = reserved;
	ivring_commit(&p, reserved, committed % NEW);
	committed++;
}

static void try_peek(void)
{
	enum ivring_fault fault = c.fault;
	const void *payload = NULL;
	__u32 length = 0, kind = 0;
	__u8 copy[SIZE];
	int ret = ivring_peek(&c, &payload, &length, &kind);

	if (fault)
		CHECK(ret == broken(fault) && c.fault == fault);
	if (c.fault)
		CHECK(ret == broken(c.fault));
	if (ret)
		return;
	CHECK(kind != IVRING_KIND_PAD);
	CHECK(length <= SIZE / 2 - IVRING_HEADER);
	CHECK(within(payload, length, data, SIZE));
	CHECK(c.total == ivring_total(length));
	loads = 0;
	ivshmem_copy_in(copy, payload, length);
	if (!honest)
		return;
	CHECK(kind == received % NEW);
	CHECK(length == lengths[received % (SIZE / IVRING_ALIGN + 1)]);
	for (__u32 i = 0; i < length; i++)
		CHECK(copy[i] == (__u8)received);
}

static void try_want_data(void)
{
	enum ivring_fault fault = c.fault;
	bool now = ivring_want_data(&c);

	if (fault)
		CHECK(now && c.fault == fault);
	if (!now)
		CHECK(c.next == c.prod);
}

static void try_want_space(void)
{
	enum ivring_fault fault = p.fault;
	bool now = ivring_want_space(&p, take(2) % (ivring_max_length(SIZE) + 1));

	if (fault)
		CHECK(now && p.fault == fault);
}

static void step_producer(unsigned int what)
{
	own = &tx->prod;
	switch (what) {
	case 0:
	case 1:
		try_reserve();
		break;
	case 2:
		try_commit();
		break;
	case 3:
		ivring_publish(&p);
		break;
	default:
		try_want_space();
		break;
	}
	CHECK(!lie || p.fault == lie);
}

static void step_consumer(unsigned int what)
{
	own = &rx->cons;
	switch (what) {
	case 5:
		try_peek();
		break;
	case 6:
		received += c.total != 0;
		ivring_advance(&c);
		break;
	case 7:
		ivring_release(&c);
		break;
	default:
		try_want_data();
		break;
	}
	CHECK(!lie || c.fault == lie);
}

static void step(void)
{
	unsigned int what = take(1) % 9;

	loads = 0;
	lie = IVRING_OK;
	if (what < 5)
		step_producer(what);
	else
		step_consumer(what);
}

/* Not at zero, which any index passes but once in four gigabytes */
static void begin_at(__u32 index)
{
	index &= ~(IVRING_ALIGN - 1);
	ivring_producer_init(&p, data, SIZE, tx, rx);
	ivring_consumer_init(&c, data, SIZE, rx, tx);
	ivring_producer_bind(&p, session, EPOCH);
	ivring_consumer_bind(&c, session, EPOCH);
	p.next = index;
	p.prod = index;
	p.cons = index;
	c.next = index;
	c.prod = index;
	c.cons = index;
	tx->prod = index;
	rx->cons = index;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	input = bytes;
	input_end = bytes + size;
	data = aligned_alloc(IVRING_ALIGN, SIZE);
	tx = malloc(sizeof(*tx));
	rx = malloc(sizeof(*rx));
	session = malloc(sizeof(*session));
	CHECK(data && tx && rx && session);
	*session = EPOCH;
	memset(data, 0, SIZE);
	has_reserved = false;
	committed = 0;
	received = 0;
	honest = take(1) % 4 == 0;
	begin_at(take(1) % 2 ? take(4) : 0 - take(1) * IVRING_ALIGN);
	while (input < input_end) {
		step();
		check_private();
	}
	free(data);
	free(tx);
	free(rx);
	free(session);
	return 0;
}
