// SPDX-License-Identifier: BSD-3-Clause
/*
 * Takes part in the directory of peers, for processes without a driver: the own
 * line, and a thread that shows that the process lives.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "handle.h"

/* Who finds its words changed again rests, twice as long each time */
#define REST_MS		500
#define REST_MAX_MS	30000
/* Who was left alone for so long has no rest to fear */
#define GOOD_MS		60000

static uint32_t random_word(void)
{
	uint32_t word = 0;

	/* It fails before the kernel has entropy only; 0 is not taken. */
	if (getrandom(&word, sizeof(word), 0) != sizeof(word))
		word = ivshmem_clock() ^ (uint32_t)getpid() << 16;
	return word;
}

/* Says that we are there, under an epoch that is neither our last nor @before. */
static void publish(struct host_region *host, uint32_t before)
{
	uint32_t epoch;

	do {
		epoch = ivpeer_fresh_epoch(random_word(), before);
	} while (epoch == host->epoch);
	host->epoch = epoch;
	host->heartbeat = 0;
	host->joined_at = ivshmem_clock();
	host->resting = false;
	ivpeer_join(ivshmem_host_line(host, host->own_id), epoch, host->vectors,
		    host->name);
}

/*
 * Our words are what was published, and the server does not hold us for dead;
 * otherwise somebody else writes there.
 */
static bool is_intact(struct host_region *host)
{
	const struct ivregion_peer_line *line =
		ivshmem_host_line(host, host->own_id);
	const struct ivregion_server_line *server =
		(const struct ivregion_server_line *)
		(host->memory + ivregion_server_offset(host->own_id));

	return ivshmem_load32(&line->epoch) == host->epoch &&
	       ivshmem_load32(&line->heartbeat) == host->heartbeat &&
	       ivshmem_load32(&line->vectors) == host->vectors &&
	       !ivshmem_load32(&line->features) &&
	       (ivshmem_load32(&server->status) == IVREGION_UNTRACKED ||
		ivshmem_load32(&server->gone_epoch) != host->epoch);
}

/* Whoever it is would write again at once: it gets ever more time to leave. */
static void rest(struct host_region *host)
{
	if (ivshmem_clock() - host->joined_at > GOOD_MS)
		host->rest = 0;
	host->resting = true;
	host->rest_until = ivshmem_deadline(host->rest);
	host->rest = host->rest ? 2 * host->rest : REST_MS;
	if (host->rest > REST_MAX_MS)
		host->rest = REST_MAX_MS;
}

/* The line is ours: once it was overwritten it is perhaps another one's. */
static bool is_own(struct host_region *host)
{
	return !host->resting &&
	       ivshmem_load32(&ivshmem_host_line(host, host->own_id)->epoch) ==
	       host->epoch;
}

static void show(struct host_region *host)
{
	struct ivregion_peer_line *line =
		ivshmem_host_line(host, host->own_id);

	if (!host->resting && !is_intact(host))
		rest(host);
	if (!host->resting)
		ivshmem_store32(&line->heartbeat, ++host->heartbeat);
	else if (!ivshmem_time_left(host->rest_until))
		publish(host, ivshmem_load32(&line->epoch));
}

static void *beat(void *argument)
{
	struct ivshmem *ivs = argument;
	struct host_region *host = ivshmem_handle_region(ivs);
	int64_t next = ivshmem_deadline(0);
	int left;

	pthread_mutex_lock(&host->lock);
	while (!host->stop) {
		ivshmem_host_look(host);
		if (!host->joined)
			break;
		left = ivshmem_time_left(next);
		if (!left) {
			show(host);
			left = IVPEER_BEAT_MS;
			next = ivshmem_deadline(left);
		}
		pthread_mutex_unlock(&host->lock);
		ivshmem_host_pause(host->thread_fd, left);
		pthread_mutex_lock(&host->lock);
	}
	pthread_mutex_unlock(&host->lock);
	return NULL;
}

static int start_thread(struct ivshmem *ivs, struct host_region *host)
{
	sigset_t all, before;
	int ret;

	host->thread_fd = ivshmem_host_watch(ivs);
	if (host->thread_fd < 0)
		return host->thread_fd;
	host->stop = false;
	host->process = getpid();
	/* The signals of a program are for its own threads... */
	sigfillset(&all);
	/* ... but for what this one causes: blocked, it kills without a word. */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&host->thread, NULL, beat, ivs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		close(host->thread_fd);
		host->thread_fd = -1;
		return -ret;
	}
	host->threaded = true;
	return 0;
}

/* With the lock held, which is given up meanwhile. */
static void end_thread(struct host_region *host)
{
	pthread_t thread = host->thread;

	if (!host->threaded)
		return;
	host->threaded = false;
	host->stop = true;
	ivshmem_host_nudge(host);
	pthread_mutex_unlock(&host->lock);
	pthread_join(thread, NULL);
	pthread_mutex_lock(&host->lock);
	close(host->thread_fd);
	host->thread_fd = -1;
}

static void make_name(char line[IVREGION_PEER_NAME], const char *name)
{
	char host[256] = "";
	size_t i;

	if (!name) {
		/* Whatever does not end is cut below. */
		gethostname(host, sizeof(host) - 1);
		name = host;
	}
	memset(line, 0, IVREGION_PEER_NAME);
	for (i = 0; i < IVREGION_PEER_NAME && name[i]; i++)
		line[i] = name[i] > 0x20 && name[i] < 0x7f ? name[i] : '?';
}

static int may_join(const struct ivshmem *ivs, const struct host_region *host)
{
	if (host->joined)
		return -EALREADY;
	if (host->state == IVSHMEM_UNFORMATTED)
		return -ENODATA;
	if (host->state == IVSHMEM_REFUSED)
		return -EPROTO;
	if (host->region.read_only)
		return -EROFS;
	if (ivs->flags & IVSHMEM_RDONLY)
		return -EBADF;
	return host->own_id < host->region.slots ? 0 : -ENXIO;
}

static void write_line(struct host_region *host, uint32_t vectors,
		       const char *name)
{
	make_name(host->name, name);
	host->vectors = vectors;
	host->rest = 0;
	host->joined = true;
	host->lost = false;
	publish(host, ivshmem_load32(&ivshmem_host_line(host,
							host->own_id)->epoch));
}

static int join(struct ivshmem *ivs, struct host_region *host,
		const char *name)
{
	struct ivshmem_info info;
	int ret;

	/* Also so that the own slot is known before it changes. */
	ivshmem_host_look(host);
	/* That of a region that is no more: nobody but us joins meanwhile. */
	if (!host->joined)
		end_thread(host);
	ret = may_join(ivs, host);
	if (!ret)
		ret = ivs->ops->get_info(ivs, &info);
	if (ret)
		return ret;
	write_line(host, info.vectors, name);
	ret = start_thread(ivs, host);
	if (ret) {
		host->joined = false;
		ivpeer_leave(ivshmem_host_line(host, host->own_id));
	}
	ivshmem_host_look(host);
	ivshmem_host_changed(host);
	return ret;
}

int ivshmem_host_join(struct ivshmem *ivs, const char *name)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	int ret;

	pthread_mutex_lock(&host->member_lock);
	ret = ivshmem_host_enter(ivs);
	if (!ret) {
		ret = join(ivs, host, name);
		ivshmem_host_exit(ivs);
	}
	pthread_mutex_unlock(&host->member_lock);
	if (!ret)
		ivshmem_host_ring_all(ivs);
	return ret;
}

void ivshmem_host_detach(struct host_region *host)
{
	const struct ivregion_superblock *superblock =
		(const struct ivregion_superblock *)host->memory;

	if (!host->joined)
		return;
	host->joined = false;
	host->lost = true;
	/* Who formats waits for it, and has not begun to write. */
	if (!ivshmem_load32(&superblock->magic) && is_own(host))
		ivpeer_leave(ivshmem_host_line(host, host->own_id));
}

int ivshmem_host_leave(struct ivshmem *ivs)
{
	struct host_region *host = ivshmem_handle_region(ivs);
	bool left = false;
	int ret = 0;

	/* In a child of fork(2) the thread is not there, and the lock unsure. */
	if (host->process != getpid())
		return -ENOTCONN;
	pthread_mutex_lock(&host->member_lock);
	pthread_mutex_lock(&host->lock);
	end_thread(host);
	ivshmem_host_refresh(host);
	if (host->joined) {
		/* While it rests the words are perhaps another one's. */
		if (!host->resting)
			ivpeer_leave(ivshmem_host_line(host, host->own_id));
		host->joined = false;
		left = true;
		ivshmem_host_look(host);
		ivshmem_host_changed(host);
	} else {
		ret = host->lost ? -ESTALE : -ENOTCONN;
		host->lost = false;
	}
	pthread_mutex_unlock(&host->lock);
	pthread_mutex_unlock(&host->member_lock);
	if (left)
		ivshmem_host_ring_all(ivs);
	return ret;
}
