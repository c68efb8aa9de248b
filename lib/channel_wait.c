// SPDX-License-Identifier: BSD-3-Clause
/*
 * How a channel waits: it looks for a short time, then it asks to be kicked and
 * sleeps.  Never for long, since a doorbell is a hint.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

#define NS_PER_US	1000L
#define NS_PER_MS	1000000L
/* Looks between two looks at the clock */
#define SPINS		16
/* What of the limit remains while looking does not pay */
#define SPIN_SHARE	16U

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

uint32_t channel_coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * 1000 +
			  (uint64_t)(ts.tv_nsec / NS_PER_MS));
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" : : : "memory");
#else
	__asm__ volatile("" : : : "memory");
#endif
}

int channel_way_init(struct ivshmem_channel *ch, struct channel_way *way)
{
	way->fd = ch->ivs->ops->watch(ch->ivs, &ch->section);
	if (way->fd < 0)
		return way->fd;
	pthread_mutex_init(&way->lock, NULL);
	way->spin_us = CHANNEL_SPIN_US;
	return 0;
}

void channel_way_release(struct channel_way *way)
{
	if (way->fd < 0)
		return;
	close(way->fd);
	pthread_mutex_destroy(&way->lock);
}

/* Whether the peer has done anything since its index was last checked. */
static bool moved(const struct ivshmem_channel *ch,
		  const struct channel_way *way)
{
	const struct ivlink_queue *queue = &ch->queues[CHANNEL_QUEUE];

	if (way->sends)
		return ivshmem_load32(&queue->tx.peer->cons) != queue->tx.cons;
	return ivshmem_load32(&queue->rx.peer->prod) != queue->rx.prod;
}

static bool look_for(const struct ivshmem_channel *ch,
		     const struct channel_way *way, uint64_t ns)
{
	uint64_t begin = now_ns();
	unsigned int i;

	do {
		for (i = 0; i < SPINS; i++) {
			if (moved(ch, way))
				return true;
			relax();
		}
	} while (now_ns() - begin < ns);
	return false;
}

/* Where looking pays one looks longer next time, else less and less. */
static bool spin(const struct ivshmem_channel *ch, struct channel_way *way)
{
	unsigned int most = __atomic_load_n(&ch->spin_us, __ATOMIC_RELAXED);
	unsigned int least = most / SPIN_SHARE + 1;
	bool found;

	if (!most)
		return false;
	if (way->spin_us > most)
		way->spin_us = most;
	if (way->spin_us < least)
		way->spin_us = least;
	found = look_for(ch, way, way->spin_us * (uint64_t)NS_PER_US);
	if (found)
		way->spin_us *= 2;
	else
		way->spin_us /= 2;
	return found;
}

/* Asks to be kicked; true if there is no need to wait. */
static bool wanted(struct ivshmem_channel *ch, const struct channel_way *way,
		   uint32_t length)
{
	struct ivlink_queue *queue = &ch->queues[CHANNEL_QUEUE];

	return way->sends ? ivring_want_space(&queue->tx, length) :
			    ivring_want_data(&queue->rx);
}

int channel_settle(struct ivshmem_channel *ch, struct channel_way *way)
{
	return ch->ivs->ops->settle(way->fd);
}

/* What is left of the patience, as poll(2) wants it. */
static int time_left(struct channel_patience *patience)
{
	if (!patience->timeout_ms)
		return 0;
	if (!patience->begun) {
		patience->deadline = ivshmem_deadline(patience->timeout_ms);
		patience->begun = true;
	}
	return ivshmem_time_left(patience->deadline);
}

/* Without doorbells: sleeps longer each time, as long as nothing happens. */
static void choose_nap(struct channel_patience *patience, struct timespec *nap)
{
	patience->nap_us *= 2;
	if (patience->nap_us < CHANNEL_NAP_MIN_US)
		patience->nap_us = CHANNEL_NAP_MIN_US;
	if (patience->nap_us > CHANNEL_NAP_MAX_US)
		patience->nap_us = CHANNEL_NAP_MAX_US;
	nap->tv_sec = 0;
	nap->tv_nsec = (long)patience->nap_us * NS_PER_US;
}

/* Sleeps until rung, or a time is over; 0, -EINTR, -ENODEV. */
static int doze(struct ivshmem_channel *ch, struct channel_way *way,
		const struct timespec *time)
{
	struct pollfd pfd = { .fd = way->fd, .events = POLLIN };

	__atomic_fetch_add(&ch->sleeps, 1, __ATOMIC_RELAXED);
	if (ppoll(&pfd, 1, time, NULL) < 0)
		return -errno;
	return pfd.revents & (POLLERR | POLLHUP | POLLNVAL) ? -ENODEV : 0;
}

int channel_sleep(struct ivshmem_channel *ch, struct channel_way *way,
		  int most_ms, struct channel_patience *patience)
{
	int left = time_left(patience);
	struct timespec time;

	if (!left)
		return patience->timeout_ms ? -ETIMEDOUT : -EAGAIN;
	if (left < 0 || left > most_ms)
		left = most_ms;
	time.tv_sec = left / 1000;
	time.tv_nsec = left % 1000 * NS_PER_MS;
	if (!ch->wakes)
		choose_nap(patience, &time);
	return doze(ch, way, &time);
}

int channel_nap(struct ivshmem_channel *ch, struct channel_way *way,
		struct channel_patience *patience)
{
	struct timespec time;
	int ret;

	if (!time_left(patience)) {
		ret = patience->timeout_ms ? -ETIMEDOUT : -EAGAIN;
		channel_arm(ch, way, 1);
		return ret;
	}
	ret = channel_settle(ch, way);
	if (!ret) {
		choose_nap(patience, &time);
		ret = doze(ch, way, &time);
	}
	return ret == -ENODEV ? channel_lost(ch, ret) : ret;
}

int channel_wait(struct ivshmem_channel *ch, struct channel_way *way,
		 uint32_t length, struct channel_patience *patience)
{
	int ret;

	if (patience->timeout_ms && spin(ch, way))
		return 0;
	/* Before the index is looked at: a doorbell after it is not lost. */
	ret = channel_settle(ch, way);
	if (ret)
		return channel_lost(ch, ret);
	if (wanted(ch, way, length))
		return 0;
	ret = channel_look(ch);
	if (ret)
		return ret;
	ret = channel_sleep(ch, way, CHANNEL_SLEEP_MS, patience);
	if (ret == -ENODEV)
		return channel_lost(ch, ret);
	if (ret)
		channel_arm(ch, way, CHANNEL_SLEEP_MS);
	return ret;
}

/* One-shot; a time that was not looked at is forgotten. */
static void set_timer(struct ivshmem_channel *ch, int ms)
{
	struct itimerspec when = { 0 };

	when.it_value.tv_sec = ms / 1000;
	when.it_value.tv_nsec = ms % 1000 * NS_PER_MS;
	if (!ms)
		when.it_value.tv_nsec = 1;
	timerfd_settime(ch->timer_fd, 0, &when, NULL);
}

void channel_arm(struct ivshmem_channel *ch, struct channel_way *way,
		 int look_ms)
{
	struct epoll_event event = { .events = EPOLLIN };

	pthread_mutex_lock(&ch->lock);
	if (ch->poll_fd >= 0) {
		if (!way->armed)
			way->armed = !epoll_ctl(ch->poll_fd, EPOLL_CTL_ADD,
						way->fd, &event);
		/* If it cannot be added the timer has to do. */
		set_timer(ch, ch->wakes && way->armed ? look_ms : 1);
	}
	pthread_mutex_unlock(&ch->lock);
}

void channel_disarm(struct ivshmem_channel *ch, struct channel_way *way)
{
	if (!way->armed)
		return;
	pthread_mutex_lock(&ch->lock);
	epoll_ctl(ch->poll_fd, EPOLL_CTL_DEL, way->fd, NULL);
	way->armed = false;
	pthread_mutex_unlock(&ch->lock);
}

static int make_poll_fd(struct ivshmem_channel *ch)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ret, fd;

	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	ch->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				      TFD_CLOEXEC | TFD_NONBLOCK);
	if (ch->timer_fd < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, ch->timer_fd, &event)) {
		ret = -errno;
		if (ch->timer_fd >= 0)
			close(ch->timer_fd);
		ch->timer_fd = -1;
		close(fd);
		return ret;
	}
	ch->poll_fd = fd;
	/* A call that was told -EAGAIN before is to be repeated. */
	set_timer(ch, 0);
	return 0;
}

int ivshmem_channel_fd(struct ivshmem_channel *ch)
{
	int ret = 0;

	if (!ch)
		return -EINVAL;
	pthread_mutex_lock(&ch->lock);
	if (ch->poll_fd < 0)
		ret = make_poll_fd(ch);
	if (!ret)
		ret = ch->poll_fd;
	pthread_mutex_unlock(&ch->lock);
	return ret;
}

int ivshmem_channel_set_spin(struct ivshmem_channel *ch, unsigned int us)
{
	if (!ch || us > CHANNEL_SPIN_MAX_US)
		return -EINVAL;
	__atomic_store_n(&ch->spin_us, us, __ATOMIC_RELAXED);
	return 0;
}
