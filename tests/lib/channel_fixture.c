// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starts ivshmemd, formats the region, joins peers, opens channels.
 */
#include "channel_fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool doorbells_lost;

/* Comes before the library's own: what its other calls ring passes here. */
int ivshmem_ring(struct ivshmem *ivs, uint32_t peer, uint32_t vector)
{
	static int (*real)(struct ivshmem *ivs, uint32_t peer, uint32_t vector);
	void *found;

	if (__atomic_load_n(&doorbells_lost, __ATOMIC_RELAXED))
		return 0;
	found = __atomic_load_n((void **)&real, __ATOMIC_RELAXED);
	if (!found) {
		found = dlsym(RTLD_NEXT, "ivshmem_ring");
		__atomic_store_n((void **)&real, found, __ATOMIC_RELAXED);
	}
	return real(ivs, peer, vector);
}

static void start_server(struct link *link, unsigned int vectors)
{
	char argument[256];

	strcpy(link->directory, "/tmp/channel-XXXXXX");
	assert_non_null(mkdtemp(link->directory));
	snprintf(link->address, sizeof(link->address), "unix:%s/s",
		 link->directory);
	snprintf(argument, sizeof(argument),
		 "test,socket=%s/s,size=8M,peers=4,vectors=%u",
		 link->directory, vectors);
	link->server = fork();
	assert_true(link->server >= 0);
	if (!link->server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		execl(IVSHMEMD, IVSHMEMD, "--link", argument, NULL);
		_exit(1);
	}
}

struct ivshmem *join_link(const struct link *link, uint32_t *slot)
{
	struct ivshmem_region region;
	struct ivshmem *ivs = NULL;
	int ret, tries;

	for (tries = 0; tries < LONG_MS; tries++) {
		ret = ivshmem_open(link->address, 0, &ivs);
		if (ret != -ENOENT && ret != -ECONNREFUSED)
			break;
		/* It is still starting. */
		usleep(1000);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(ivshmem_get_region(ivs, &region), 0);
	if (region.state == IVSHMEM_ATTACHED)
		assert_int_equal(ivshmem_join(ivs, NULL), 0);
	assert_int_equal(ivshmem_get_region(ivs, &region), 0);
	*slot = (uint32_t)region.slot;
	return ivs;
}

void start_link(struct link *link, unsigned int vectors,
		const char *description)
{
	struct ivshmem_format_options options = { .slots = 4 };
	char error[256];
	uint32_t slot;
	int ret;

	memset(link, 0, sizeof(*link));
	__atomic_store_n(&doorbells_lost, false, __ATOMIC_RELAXED);
	start_server(link, vectors);
	link->ivs[0] = join_link(link, &slot);
	ret = ivshmem_format(link->ivs[0], description, &options, error,
			     sizeof(error));
	if (ret)
		fail_msg("%s: %s", description, error);
	ivshmem_close(link->ivs[0]);
	link->ivs[0] = join_link(link, &link->slots[0]);
	link->ivs[1] = join_link(link, &link->slots[1]);
}

void stop_link(struct link *link)
{
	char path[128];

	close_ends(link);
	ivshmem_close(link->ivs[0]);
	ivshmem_close(link->ivs[1]);
	kill(link->server, SIGKILL);
	waitpid(link->server, NULL, 0);
	snprintf(path, sizeof(path), "%s/s", link->directory);
	unlink(path);
	rmdir(link->directory);
}

void connect_both(struct ivshmem_channel *a, struct ivshmem_channel *b)
{
	int first = -EAGAIN, second = -EAGAIN, tries;

	for (tries = 0; (first || second) && tries < LONG_MS; tries++) {
		if (first)
			first = ivshmem_channel_connect(a, 1);
		if (second)
			second = ivshmem_channel_connect(b, 1);
	}
	assert_int_equal(first, 0);
	assert_int_equal(second, 0);
}

void open_ends(struct link *link)
{
	int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(ivshmem_channel_open(link->ivs[i], SECTION,
						      link->slots[!i], 0,
						      &link->ch[i]), 0);
	connect_both(link->ch[0], link->ch[1]);
}

void close_ends(struct link *link)
{
	int i;

	for (i = 0; i < 2; i++) {
		ivshmem_channel_close(link->ch[i]);
		link->ch[i] = NULL;
	}
}

static unsigned char byte_at(size_t i, uint32_t seed)
{
	return (unsigned char)((i + seed) * 2654435761U >> 24);
}

void fill(void *data, size_t length, uint32_t seed)
{
	unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < length; i++)
		bytes[i] = byte_at(i, seed);
}

void check_filled(const void *data, size_t length, uint32_t seed)
{
	const unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < length; i++)
		if (bytes[i] != byte_at(i, seed))
			fail_msg("byte %zu of %zu is wrong", i, length);
}

int set_up_link(void **state)
{
	static struct link link;

	start_link(&link, 4, "raw=" SECTION ":4M");
	open_ends(&link);
	*state = &link;
	return 0;
}

int tear_down_link(void **state)
{
	stop_link(*state);
	return 0;
}
