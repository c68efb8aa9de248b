// SPDX-License-Identifier: GPL-2.0-only
/*
 * Front ends: what they say of themselves, what they want done, and the answers.
 * Nothing that they send is trusted: each request is copied, then checked, then
 * begun, and none is taken out of a ring that has no room for its answer.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "log.h"

/* What a record of this length takes in a ring, header included */
#define ANSWER_ROOM	64U
/* A back end that was there before us has said so by then. */
#define SETTLE_MS	5000U
/* Kept free for another hello, and the padding before it */
#define HELLO_ROOM	192U

static_assert(sizeof(struct ivblk_response) + IVRING_HEADER <= ANSWER_ROOM,
	      "answers have one size");
static_assert(sizeof(struct ivblk_hello) + IVRING_HEADER + ANSWER_ROOM <=
	      HELLO_ROOM, "a hello has room");

static_assert(LOOP_PIECES >= 2 * IVREGION_SLOTS_MAX, "two of each peer");

static struct ivlink_queue *rings(struct front *front, uint32_t queue)
{
	return &front->export->links.links[front->slot].queues[queue];
}

static bool is_up(const struct front *front)
{
	return front->export->links.up >> front->slot & 1;
}

static void end_session(struct front *front, enum ivring_fault reason)
{
	links_end(&front->export->links, front->slot, reason);
}

/* Of one front end only, unless their file system knows of the others. */
static void choose_writer(struct front *front)
{
	struct export *export = front->export;
	uint32_t slot;

	front->refused = false;
	if (export->config->writers == WRITERS_ALL)
		front->writer = true;
	if (front->writer)
		return;
	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		if (export->fronts[slot].writer)
			front->refused = true;
	front->writer = !front->refused;
}

/* It will not write, or is gone: who was refused for it may come again. */
static void release_writer(struct front *front)
{
	struct export *export = front->export;
	uint32_t slot;

	front->refused = false;
	front->earned = false;
	if (!front->writer || export->config->writers == WRITERS_ALL)
		return;
	front->writer = false;
	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		if (export->fronts[slot].refused && is_up(&export->fronts[slot]))
			end_session(&export->fronts[slot], IVRING_STALE);
}

static void make_hello(const struct front *front, struct ivblk_hello *hello)
{
	const struct ivblk_disk *offer = &front->export->offer;

	memset(hello, 0, sizeof(*hello));
	hello->role = ivshmem_to_le32(IVBLK_BACK_END);
	hello->features = ivshmem_to_le32(front->features);
	hello->queues = ivshmem_to_le32(offer->queues);
	hello->block_size = ivshmem_to_le32(offer->block_size);
	hello->physical_block_size =
		ivshmem_to_le32(offer->physical_block_size);
	hello->max_length = ivshmem_to_le32(offer->max_length);
	hello->max_extent = ivshmem_to_le32(offer->max_extent);
	hello->sectors_low = ivshmem_to_le32((uint32_t)offer->sectors);
	hello->sectors_high = ivshmem_to_le32((uint32_t)(offer->sectors >> 32));
	memcpy(hello->serial, offer->serial, sizeof(hello->serial));
	hello->cache_low = ivshmem_to_le32((uint32_t)offer->cache);
	hello->cache_high = ivshmem_to_le32((uint32_t)(offer->cache >> 32));
}

/*
 * It has to wait, where the front end does not take its answers; and for what an
 * earlier session has begun: until then the front end keeps the buffers as they are.
 */
static void send_hello(struct front *front)
{
	struct ivring_producer *p = &rings(front, 0)->tx;
	struct ivblk_hello hello;
	void *payload;
	int ret;

	if (front->orphans)
		return;
	ret = ivring_reserve(p, sizeof(hello), &payload);
	if (ret == -EAGAIN)
		return;
	if (ret) {
		end_session(front, p->fault);
		return;
	}
	make_hello(front, &hello);
	ivshmem_copy_out(payload, &hello, sizeof(hello));
	ivring_commit(p, sizeof(hello), IVBLK_KIND_HELLO);
	front->queue[0].dirty = true;
	front->hello_due = false;
}

/* Of these two kinds; a request says which its data is in. */
enum {
	THEIR_BUFFERS,
	OUR_BUFFERS,
};

static unsigned int piece_of(const struct front *front, unsigned int kind)
{
	return front->slot * 2 + kind;
}

/* The rings of all queues with their buffers are one piece of memory each. */
static void keep_buffers(struct front *front)
{
	const struct ivlink_queue *first = rings(front, 0);
	const struct links *ls = &front->export->links;
	size_t size = (size_t)ls->section.ring_size * ls->section.queues;
	void *begin[] = {
		[THEIR_BUFFERS] = (void *)(uintptr_t)first->rx.data,
		[OUR_BUFFERS] = first->tx.data,
	};
	unsigned int kind;

	/* The page cache is copied to and from it anyway. */
	for (kind = 0; kind < 2 && front->export->disk.direct; kind++)
		if (!front->kept[kind])
			front->kept[kind] = loop_keep(&front->export->loop,
						      piece_of(front, kind),
						      begin[kind], size);
}

static void release_buffers(struct front *front)
{
	unsigned int kind;

	for (kind = 0; kind < 2; kind++) {
		if (front->kept[kind])
			loop_release(&front->export->loop,
				     piece_of(front, kind));
		front->kept[kind] = false;
	}
}

static int make_pool(struct front *front)
{
	uint32_t i;

	if (front->pool)
		return 0;
	front->pool = calloc(FRONT_DEPTH, sizeof(*front->pool));
	if (!front->pool)
		return -ENOMEM;
	for (i = 0; i < FRONT_DEPTH; i++) {
		front->pool[i].front = front;
		front->pool[i].next = front->unused;
		front->unused = &front->pool[i];
	}
	return 0;
}

/* What is in flight is of a session that is over. */
static struct front *next_session(struct export *export, uint32_t slot)
{
	struct front *front = &export->fronts[slot];

	front->export = export;
	front->slot = slot;
	front->session++;
	front->orphans = front->in_flight;
	front->greeted = false;
	front->reader = false;
	return front;
}

void front_up(struct export *export, uint32_t slot)
{
	struct front *front = next_session(export, slot);

	memset(front->queue, 0, sizeof(front->queue));
	front->queues = 1;
	if (make_pool(front)) {
		end_session(front, IVRING_STALE);
		return;
	}
	keep_buffers(front);
	choose_writer(front);
	front->features = front->writer ? export->offer.features :
					  IVBLK_READ_ONLY;
	front->hello_due = true;
	send_hello(front);
}

void front_down(struct export *export, uint32_t slot)
{
	struct front *front = next_session(export, slot);

	front->hello_due = false;
	/* As long as it is there it may come back and write, if it ever did. */
	if (!front->earned ||
	    export->links.links[slot].link.state == IVLINK_DOWN)
		release_writer(front);
	if (export->links.links[slot].link.state == IVLINK_DOWN) {
		release_buffers(front);
		front->told = false;
	}
}

/*
 * Two of them would overwrite each other's work: the second one ends.  Whoever says it
 * only later cannot be the first, and may be lying.
 */
static void meet_back_end(struct front *front)
{
	struct export *export = front->export;
	const struct links *ls = &export->links;
	struct ivshmem_peer peer;

	if (!past(ls->now, export->entered_at + SETTLE_MS) &&
	    !ivshmem_get_peer(ls->at.ivs, front->slot, &peer) &&
	    peer.epoch == export->before[front->slot]) {
		log_error("%s: section %s has a back end already: peer %" PRIu32
			  ", %s; end that, or name another section",
			  ls->at.address, ls->section.name, front->slot,
			  peer.name);
		export->doomed = true;
		export->stopping = true;
	} else if (links_may_say(&export->links)) {
		log_warning("%s: peer %" PRIu32 " is another back end of this "
			    "section; end it", export->config->name,
			    front->slot);
	}
}

/* Return: whether it can be. */
static bool take_hello(struct front *front, const void *payload,
		       uint32_t length)
{
	struct export *export = front->export;
	struct ivblk_hello hello;
	struct ivblk_disk peer;

	memset(&hello, 0, sizeof(hello));
	if (length >= sizeof(hello))
		ivshmem_copy_in(&hello, payload, sizeof(hello));
	if (!ivblk_parse_hello(&peer, &hello, length,
			       export->links.section.queues))
		return false;
	if (peer.role == IVBLK_BACK_END) {
		meet_back_end(front);
		return false;
	}
	front->greeted = true;
	front->queues = peer.queues < export->offer.queues ?
			peer.queues : export->offer.queues;
	front->reader = peer.features & IVBLK_READ_ONLY;
	/* Who could write may have said something else; if not, it keeps others away */
	if (front->reader && !front->earned)
		release_writer(front);
	front->earned = front->writer;
	if (front->refused && !front->told &&
	    links_may_say(&export->links)) {
		front->told = true;
		log_warning("%s: peer %" PRIu32 " may only read: another one "
			    "writes; for file systems that know of each other "
			    "there is writers=all", export->config->name,
			    front->slot);
	}
	return true;
}

/* Whether all that is in flight can be answered, and one more. */
static bool has_room(struct front *front, uint32_t queue)
{
	struct ivring_producer *p = &rings(front, queue)->tx;
	uint32_t need = (front->queue[queue].in_flight + 1) * ANSWER_ROOM +
			HELLO_ROOM;

	if (need > p->size)
		return false;
	/* A fault is found by whoever sends next. */
	return p->size - (p->next - p->cons) >= need ||
	       !ivring_refresh_cons(p) ||
	       p->size - (p->next - p->cons) >= need;
}

static struct request *new_request(struct front *front, uint32_t queue)
{
	struct request *request = front->unused;

	front->unused = request->next;
	request->session = front->session;
	request->queue = queue;
	front->in_flight++;
	front->queue[queue].in_flight++;
	return request;
}

/* Its buffers are the front end's to write, ours are ours. */
static void find_data(struct front *front, struct request *request)
{
	const struct ivlink_queue *q = rings(front, request->queue);
	unsigned int kind = request->io.operation == IVBLK_OP_WRITE ?
			    THEIR_BUFFERS : OUR_BUFFERS;

	if (kind == THEIR_BUFFERS)
		request->data = (uint8_t *)(uintptr_t)q->rx.data + q->rx.size +
				request->io.buffer;
	else
		request->data = q->tx.data + q->tx.size + request->io.buffer;
	request->piece = front->kept[kind] ? (int)piece_of(front, kind) : -1;
}

/* Who said that it would not write: what it said may not be what was heard. */
static bool is_broken_promise(const struct front *front,
			      const struct ivblk_request *request)
{
	uint32_t operation = ivshmem_from_le32(request->operation);

	return front->reader && (operation == IVBLK_OP_WRITE ||
				 operation == IVBLK_OP_DISCARD ||
				 operation == IVBLK_OP_ZEROES);
}

/* Return: whether it can be. */
static bool take_request(struct front *front, uint32_t queue,
			 const void *payload)
{
	struct request *request;
	struct export *export = front->export;
	struct ivblk_disk offer = export->offer;
	struct ivblk_request copy;
	uint32_t buffers, status;

	if (!front->writer)
		offer.features = IVBLK_READ_ONLY;
	ivshmem_copy_in(&copy, payload, sizeof(copy));
	if (is_broken_promise(front, &copy))
		return false;
	request = new_request(front, queue);
	buffers = export->links.section.ring_size - rings(front, queue)->tx.size;
	status = ivblk_parse_request(&request->io, &copy, &offer, buffers);
	if (status) {
		front_answer(request, status);
		return true;
	}
	front->counters.requests[request->io.operation]++;
	find_data(front, request);
	export->disk.ops->submit(&export->disk, request);
	return true;
}

/* Whether a record may be there; false ends the session. */
static bool take_record(struct front *front, uint32_t queue, uint32_t kind,
			const void *payload, uint32_t length)
{
	if (!front->greeted)
		return kind == IVBLK_KIND_HELLO &&
		       take_hello(front, payload, length);
	switch (kind) {
	case IVBLK_KIND_REQUEST:
		return length >= sizeof(struct ivblk_request) &&
		       take_request(front, queue, payload);
	case IVBLK_KIND_HELLO:
	case IVBLK_KIND_RESPONSE:
		return false;
	default:
		front->counters.passed++;
		return true;
	}
}

/* Whether the next record may be taken at all now. */
static bool may_take(struct front *front, uint32_t queue)
{
	/* What an earlier session has begun has to end first. */
	if (front->orphans)
		return false;
	if (!front->unused)
		return false;
	front->queue[queue].stuck = !has_room(front, queue);
	return !front->queue[queue].stuck;
}

/* The next record; false if there is none, or it has to wait. */
static bool take_one(struct front *front, uint32_t queue)
{
	struct ivring_consumer *c = &rings(front, queue)->rx;
	uint32_t length, kind;
	const void *payload;
	int ret;

	if (!may_take(front, queue))
		return false;
	ret = ivring_peek(c, &payload, &length, &kind);
	if (ret == -EAGAIN)
		return false;
	if (ret) {
		end_session(front, c->fault);
		return false;
	}
	if (!take_record(front, queue, kind, payload, length)) {
		end_session(front, IVRING_BAD_RECORD);
		return false;
	}
	ivring_advance(c);
	front->queue[queue].dirty = true;
	return true;
}

/* It would not use more queues, or has said something else than was heard. */
static void look_beyond(struct front *front)
{
	uint32_t queue, length, kind;
	const void *payload;

	if (!front->greeted)
		return;
	for (queue = front->queues; is_up(front) &&
	     queue < front->export->offer.queues; queue++)
		if (ivring_peek(&rings(front, queue)->rx, &payload, &length,
				&kind) != -EAGAIN)
			end_session(front, IVRING_BAD_RECORD);
}

static unsigned int take_from(struct front *front)
{
	unsigned int n = 0, budget;
	uint32_t queue;

	if (front->hello_due)
		send_hello(front);
	for (queue = 0; queue < front->queues; queue++)
		for (budget = FRONT_BUDGET; budget && is_up(front) &&
		     take_one(front, queue); budget--)
			n++;
	look_beyond(front);
	return n;
}

unsigned int front_take(struct export *export)
{
	/* Another one is first each time, in case the disk is slow. */
	uint64_t later = export->links.up & ((1ULL << export->turn) - 1);
	uint64_t first = export->links.up & ~later;
	unsigned int n = 0;

	export->turn = (export->turn + 1) % IVREGION_SLOTS_MAX;
	while (first)
		n += take_from(&export->fronts[next_slot(&first)]);
	while (later)
		n += take_from(&export->fronts[next_slot(&later)]);
	return n;
}

/* There is room for it: see may_take(). */
static void send_answer(struct front *front, const struct request *request,
			uint32_t status)
{
	struct ivring_producer *p = &rings(front, request->queue)->tx;
	struct ivblk_response response = {
		.id = ivshmem_to_le32(request->io.id),
		.status = ivshmem_to_le32(status),
	};
	void *payload;

	front->queue[request->queue].in_flight--;
	if (ivring_reserve(p, sizeof(response), &payload)) {
		end_session(front, p->fault ? p->fault : IVRING_BAD_CONS);
		return;
	}
	ivshmem_copy_out(payload, &response, sizeof(response));
	ivring_commit(p, sizeof(response), IVBLK_KIND_RESPONSE);
	front->queue[request->queue].dirty = true;
	front->counters.answers[status]++;
	if (!status)
		front->counters.bytes[request->io.operation] +=
			request->io.length;
}

void front_answer(struct request *request, uint32_t status)
{
	struct front *front = request->front;

	front->in_flight--;
	request->next = front->unused;
	front->unused = request;
	if (request->session == front->session) {
		send_answer(front, request, status);
		return;
	}
	front->orphans--;
	front->counters.orphans++;
}

static void flush_front(struct front *front)
{
	struct peer_link *l = &front->export->links.links[front->slot];
	struct ivlink_queue *q;
	uint32_t queue;

	for (queue = 0; queue < front->queues; queue++) {
		if (!front->queue[queue].dirty)
			continue;
		front->queue[queue].dirty = false;
		q = rings(front, queue);
		if (ivring_publish(&q->tx))
			l->kick = true;
		if (ivring_release(&q->rx))
			l->kick = true;
	}
	if (l->kick)
		links_kick(&front->export->links, front->slot);
}

void front_flush(struct export *export)
{
	uint64_t set = export->links.up;

	while (set)
		flush_front(&export->fronts[next_slot(&set)]);
}

/* True if there is something to do already. */
static bool arm_queue(struct front *front, uint32_t queue)
{
	struct ivlink_queue *q = rings(front, queue);
	uint32_t need;

	/* What ends wakes us. */
	if (front->orphans)
		return false;
	if (!front->unused) {
		front->counters.full++;
		return false;
	}
	if (!front->queue[queue].stuck)
		return ivring_want_data(&q->rx);
	front->counters.stuck++;
	need = (front->queue[queue].in_flight + 1) * ANSWER_ROOM + HELLO_ROOM;
	/* A ring so small needs answers to be made first, too. */
	return need <= q->tx.size &&
	       ivring_want_consumed(&q->tx, q->tx.size - need);
}

bool front_arm(struct export *export)
{
	uint64_t set = export->links.up;
	struct front *front;
	bool more = false;
	uint32_t queue;

	while (set) {
		front = &export->fronts[next_slot(&set)];
		for (queue = 0; queue < front->queues; queue++)
			if (arm_queue(front, queue))
				more = true;
	}
	return more;
}

void front_announce(struct export *export)
{
	uint64_t set = export->links.up;
	struct front *front;

	while (set) {
		front = &export->fronts[next_slot(&set)];
		front->hello_due = true;
	}
}

bool front_idle(const struct export *export)
{
	uint32_t slot;

	for (slot = 0; slot < IVREGION_SLOTS_MAX; slot++)
		if (export->fronts[slot].in_flight)
			return false;
	return true;
}
