// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures and answers round trips through shared memory; see pingpong.h for
 * what lies where in the memory and who writes it.
 */
#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pingpong.h"

#define MAGIC		0x474e4950	/* "PING" */
#define CONTACT_TRIES	5

/* A listener looks at the memory that often, for doorbells get lost. */
#define LOOK_MS		100
/* A polling peer that says nothing for that long may have died. */
#define POLLING_NS	(2 * NS_PER_S)
/* Spinning longer than that lets other threads of this CPU run as well. */
#define SPIN_NS		5000
#define SPIN_LOOKS	128
/* Pause between two looks when there is neither doorbell nor polling peer. */
#define NAP_NS		1000000

#define NS_PER_S	1000000000LL
#define NS_PER_MS	1000000LL

struct outbox {
	uint32_t magic;
	uint32_t way;
	uint32_t target;
	uint32_t vector;
	uint32_t nonce;
	uint32_t sequence;
	uint32_t unused[10];
	uint32_t answer[PINGPONG_PEERS];
	uint32_t unused_too[48];
};

_Static_assert(sizeof(struct outbox) == PINGPONG_OUTBOX_SIZE,
	       "the layout is an agreement between peers");

static struct outbox *outbox_of(const struct pingpong *pp, uint32_t peer)
{
	return (struct outbox *)pp->memory + peer;
}

/* Every shared word is read once; what was written before it is seen then. */
static uint32_t load(const uint32_t *word)
{
	return le32toh(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

/* Pairs with load() at the other peer. */
static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, htole32(value), __ATOMIC_RELEASE);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void nap(int64_t ns)
{
	struct timespec ts = {
		.tv_sec = ns / NS_PER_S,
		.tv_nsec = ns % NS_PER_S,
	};

	/* A signal ends it early: that is wanted. */
	nanosleep(&ts, NULL);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool stopped(const struct pingpong *pp)
{
	return pp->stop && *pp->stop;
}

enum outcome {
	LOST,
	RECEIVED,
	RECEIVED_LATE,
};

/* The word where the answer appears, and what to expect there. */
struct expected {
	const uint32_t *word;
	uint32_t value;
};

static bool arrived(const struct expected *answer)
{
	return load(answer->word) == answer->value;
}

static enum outcome spin_for(const struct pingpong *pp,
			     const struct expected *answer, int64_t deadline)
{
	int64_t now, begin = now_ns();
	int i;

	for (;;) {
		for (i = 0; i < SPIN_LOOKS; i++) {
			if (arrived(answer))
				return RECEIVED;
			relax();
		}
		now = now_ns();
		if (now >= deadline || stopped(pp))
			return arrived(answer) ? RECEIVED : LOST;
		if (now - begin > SPIN_NS)
			sched_yield();
	}
}

/*
 * A doorbell is a hint: each ends a wait, only the memory tells.  Returns an
 * outcome or a negative errno value.
 */
static int wait_for(const struct pingpong *pp, const struct expected *answer,
		    int64_t deadline)
{
	int64_t left;
	int ret;

	for (;;) {
		left = deadline - now_ns();
		if (left <= 0)
			return arrived(answer) ? RECEIVED_LATE : LOST;
		ret = pp->ops->wait(pp->device,
				    (int)((left + NS_PER_MS - 1) / NS_PER_MS));
		if (ret < 0 && ret != -EINTR)
			return ret;
		if (ret > 0 && arrived(answer))
			return RECEIVED;
		/* An answer may be there: its doorbell had time left. */
		if (stopped(pp))
			return LOST;
	}
}

static int ring(const struct pingpong *pp,
		const struct pingpong_request *request)
{
	int ret;

	do {
		ret = pp->ops->ring(pp->device, request->peer,
				    request->vector);
	} while (ret == -EINTR && !stopped(pp));
	/* Stopped before it rang: the wait will notice. */
	return ret == -EINTR ? 0 : ret;
}

/* One ping; an outcome and the round trip, or a negative errno value. */
static int ping_once(const struct pingpong *pp,
		     const struct pingpong_request *request, uint32_t sequence,
		     int64_t *rtt)
{
	struct expected answer = {
		.word = &outbox_of(pp, request->peer)->answer[pp->self],
		.value = sequence,
	};
	int64_t deadline, begin = now_ns();
	int ret;

	deadline = begin + request->timeout_ms * NS_PER_MS;
	store(&outbox_of(pp, pp->self)->sequence, sequence);
	if (request->way == PINGPONG_POLL) {
		ret = spin_for(pp, &answer, deadline);
	} else {
		ret = ring(pp, request);
		if (!ret)
			ret = wait_for(pp, &answer, deadline);
	}
	*rtt = now_ns() - begin;
	return ret;
}

static uint32_t make_nonce(const struct pingpong *pp)
{
	int64_t now = now_ns();
	struct timespec ts;

	/* Not a secret: only unlikely to be that of the run before. */
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint32_t)(now ^ (now >> 17) ^ ts.tv_nsec ^
			  ((uint64_t)ts.tv_sec << 7) ^ pp->self << 26);
}

static uint32_t begin_run(const struct pingpong *pp,
			  const struct pingpong_request *request)
{
	struct outbox *outbox = outbox_of(pp, pp->self);
	uint32_t nonce = make_nonce(pp);

	store(&outbox->way, 0);
	store(&outbox->target, request->peer);
	store(&outbox->vector, request->vector);
	store(&outbox->nonce, nonce);
	store(&outbox->sequence, nonce);
	store(&outbox->magic, MAGIC);
	store(&outbox->way, request->way);
	return nonce;
}

/* The first answer takes longer: the peer may have to wake up. */
static int contact(const struct pingpong *pp,
		   const struct pingpong_request *request, uint32_t nonce,
		   struct pingpong_result *result)
{
	int64_t rtt;
	int ret, i;

	for (i = 0; i < CONTACT_TRIES && !stopped(pp); i++) {
		ret = ping_once(pp, request, nonce, &rtt);
		if (ret < 0)
			return ret;
		/* Given up, not lost. */
		if (ret != LOST || stopped(pp)) {
			result->sent = 0;
			return 0;
		}
		result->sent++;
	}
	result->lost = result->sent;
	return 0;
}

static int measure(const struct pingpong *pp,
		   const struct pingpong_request *request, uint32_t nonce,
		   struct pingpong_result *result)
{
	int64_t reported = now_ns();
	int64_t rtt;
	int ret;

	while (result->sent < request->count && !stopped(pp)) {
		if (request->interval_ns && result->sent)
			nap((int64_t)request->interval_ns);
		if (stopped(pp))
			break;
		ret = ping_once(pp, request, nonce + 1 + result->sent, &rtt);
		if (ret < 0)
			return ret;
		/* Given up, not lost. */
		if (ret == LOST && stopped(pp))
			break;
		result->sent++;
		if (ret == LOST)
			result->lost++;
		else
			result->rtt_ns[result->received++] = (uint64_t)rtt;
		if (ret == RECEIVED_LATE)
			result->late++;
		if (request->progress && now_ns() - reported > NS_PER_S) {
			request->progress(result->sent, request->count);
			reported = now_ns();
		}
	}
	return 0;
}

static int by_length(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool request_valid(const struct pingpong *pp,
			  const struct pingpong_request *request)
{
	if (pp->self >= PINGPONG_PEERS || request->peer >= PINGPONG_PEERS)
		return false;
	if (request->vector >= PINGPONG_MAX_VECTORS)
		return false;
	if (!request->count || request->count > PINGPONG_MAX_COUNT)
		return false;
	if (request->timeout_ms <= 0)
		return false;
	return request->way == PINGPONG_POLL ||
	       (request->way == PINGPONG_DOORBELL && pp->ops);
}

int pingpong_ping(const struct pingpong *pp,
		  const struct pingpong_request *request,
		  struct pingpong_result *result)
{
	uint32_t nonce;
	int ret;

	memset(result, 0, sizeof(*result));
	if (!request_valid(pp, request))
		return -EINVAL;
	result->rtt_ns = calloc(request->count, sizeof(*result->rtt_ns));
	if (!result->rtt_ns)
		return -ENOMEM;

	nonce = begin_run(pp, request);
	ret = contact(pp, request, nonce, result);
	if (!ret && !result->lost)
		ret = measure(pp, request, nonce, result);
	store(&outbox_of(pp, pp->self)->way, 0);
	if (ret) {
		pingpong_release(result);
		return ret;
	}
	qsort(result->rtt_ns, result->received, sizeof(*result->rtt_ns),
	      by_length);
	return 0;
}

void pingpong_release(struct pingpong_result *result)
{
	free(result->rtt_ns);
	result->rtt_ns = NULL;
	result->received = 0;
}

uint64_t pingpong_quantile(const struct pingpong_result *result,
			   unsigned int permille)
{
	uint64_t rank;

	if (!result->received)
		return 0;
	rank = ((uint64_t)result->received * permille + 999) / 1000;
	return result->rtt_ns[rank ? rank - 1 : 0];
}

/* What a listener remembers of a peer, out of everybody's reach. */
struct client {
	bool known;
	uint32_t nonce;
	uint32_t sequence;
	int64_t polled;		/* when it last pinged by polling, or 0 */
};

struct listener {
	const struct pingpong *pp;
	struct pingpong_service *service;
	struct client clients[PINGPONG_PEERS];
};

static int answer_client(struct listener *listener, uint32_t peer,
			 bool was_rung)
{
	const struct pingpong *pp = listener->pp;
	struct pingpong_service *service = listener->service;
	struct client *client = &listener->clients[peer];
	struct outbox *outbox = outbox_of(pp, peer);
	uint32_t way, vector, nonce, sequence;
	int ret;

	way = load(&outbox->way);
	if ((way != PINGPONG_DOORBELL && way != PINGPONG_POLL) ||
	    load(&outbox->magic) != MAGIC ||
	    load(&outbox->target) != pp->self) {
		client->polled = 0;
		return 0;
	}
	sequence = load(&outbox->sequence);
	if (client->known && sequence == client->sequence)
		return 0;
	nonce = load(&outbox->nonce);
	vector = load(&outbox->vector);
	if ((!client->known || nonce != client->nonce) && service->greet)
		service->greet(peer, way);
	client->known = true;
	client->nonce = nonce;
	client->sequence = sequence;
	client->polled = way == PINGPONG_POLL ? now_ns() : 0;

	store(&outbox_of(pp, pp->self)->answer[peer], sequence);
	service->answered++;
	if (way == PINGPONG_POLL)
		return 1;
	if (!was_rung)
		service->late++;
	/* The peer's numbers are the peer's problem. */
	if (!pp->ops || vector >= PINGPONG_MAX_VECTORS) {
		service->unrung++;
		return 1;
	}
	ret = pp->ops->ring(pp->device, peer, vector);
	if (ret == -ENXIO || ret == -EINTR)
		service->unrung++;
	else if (ret)
		return ret;
	return 1;
}

/* Number of pings answered, or a negative errno value. */
static int answer_all(struct listener *listener, bool was_rung)
{
	int ret, found = 0;
	uint32_t peer;

	for (peer = 0; peer < PINGPONG_PEERS; peer++) {
		ret = answer_client(listener, peer, was_rung);
		if (ret < 0)
			return ret;
		found += ret;
	}
	return found;
}

/*
 * Looks at the peers that poll, and at no others, so that they are answered
 * fast: until one has sent a ping, or for a moment.  False if nobody polls.
 */
static bool spin_for_clients(struct listener *listener, int64_t now)
{
	const uint32_t *words[PINGPONG_PEERS];
	uint32_t seen[PINGPONG_PEERS];
	struct client *client;
	int i, n, polling = 0;

	for (i = 0; i < PINGPONG_PEERS; i++) {
		client = &listener->clients[i];
		if (!client->polled || now - client->polled > POLLING_NS)
			continue;
		words[polling] = &outbox_of(listener->pp, i)->sequence;
		seen[polling++] = client->sequence;
	}
	for (n = 0; polling && n < SPIN_LOOKS; n++) {
		for (i = 0; i < polling; i++)
			if (load(words[i]) != seen[i])
				return true;
		relax();
	}
	return polling;
}

/* Lets some time go by: 1 if a doorbell ended it, else 0. */
static int idle(struct listener *listener, int64_t now, int64_t active)
{
	const struct pingpong *pp = listener->pp;
	int ret;

	if (spin_for_clients(listener, now)) {
		if (now - active > SPIN_NS)
			sched_yield();
		return 0;
	}
	if (!pp->ops || listener->service->poll) {
		nap(NAP_NS);
		return 0;
	}
	ret = pp->ops->wait(pp->device, LOOK_MS);
	return ret == -EINTR ? 0 : ret;
}

int pingpong_listen(const struct pingpong *pp,
		    struct pingpong_service *service)
{
	struct listener listener = { .pp = pp, .service = service };
	int64_t now, active = now_ns();
	int ret = 0;

	service->answered = 0;
	service->late = 0;
	service->unrung = 0;
	if (pp->self >= PINGPONG_PEERS)
		return -EINVAL;
	while (!stopped(pp)) {
		ret = answer_all(&listener, ret > 0);
		if (ret < 0)
			return ret;
		now = now_ns();
		if (ret)
			active = now;
		if (service->count && service->answered >= service->count)
			break;
		if (service->timeout_ms >= 0 &&
		    now - active > service->timeout_ms * NS_PER_MS)
			break;
		ret = idle(&listener, now, active);
		if (ret < 0)
			return ret;
	}
	return 0;
}
