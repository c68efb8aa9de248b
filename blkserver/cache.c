// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which cache holds what was written and not flushed: a number that is another one once
 * that may be lost.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-id128.h>

#include "cache.h"

/* One like no other: who cannot tell counts as another one each time. */
static uint64_t unique(void)
{
	sd_id128_t id;

	return sd_id128_randomize(&id) ? 0 : id.qwords[0];
}

uint64_t cache_of_machine(void)
{
	sd_id128_t boot;

	return sd_id128_get_boot(&boot) ? unique() :
	       boot.qwords[0] ^ boot.qwords[1];
}

/* When a process was started, in ticks since the machine was; 0 if it is gone. */
static uint64_t started_at(pid_t pid)
{
	char path[32], line[1024];
	uint64_t ticks = 0;
	const char *rest;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	/* A name may have spaces and parentheses in it, what follows has not. */
	rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	if (!rest ||
	    sscanf(rest, ") %*c" /* state */
		   " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
		   " %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64, &ticks) != 1)
		ticks = 0;
	fclose(file);
	return ticks;
}

uint64_t cache_of_peer(int fd)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	uint64_t ticks = 0;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid > 0)
		ticks = started_at(peer.pid);
	if (!ticks)
		return unique();
	return cache_of_machine() ^ (uint64_t)peer.pid << 40 ^ ticks;
}
