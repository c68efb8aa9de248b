// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens devices and links, maps their memory, waits on them; says what is
 * wrong and what to do about it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "address.h"
#include "attach.h"
#include "command.h"
#include "driven.h"

volatile sig_atomic_t interrupted;

static const char *device_open_error(int error)
{
	switch (error) {
	case -ENOENT:
		return "no such device; `ivshmem doctor` tells what is missing";
	case -EACCES:
	case -EPERM:
		return "permission denied; join the group ivshmem (usermod "
		       "-aG ivshmem USER) and log in again";
	case -ENOTTY:
		return "not an ivshmem device";
	case -ENODEV:
	case -ENXIO:
		return "the device is gone";
	default:
		return strerror(-error);
	}
}

static const char *server_open_error(int error)
{
	switch (error) {
	case -ENOENT:
		return "no such socket; start ivshmemd, or correct the path";
	case -EACCES:
		return "permission denied; the link's configuration tells "
		       "which user and group may join";
	case -ECONNREFUSED:
		return "no server is listening; start ivshmemd again";
	case -EUSERS:
		return "the server refused: every slot of the link is taken; "
		       "detach a peer or raise peers=";
	case -ESHUTDOWN:
		return "the server refused: it is shutting down";
	case -ENFILE:
		return "the server refused: it is out of file descriptors; "
		       "raise its limit (LimitNOFILE=)";
	case -EDQUOT:
		return "the server refused: this user has as many slots as "
		       "clients-per-user= allows";
	case -EAGAIN:
		return "the server refused: this user connects too often; try "
		       "again later";
	case -EPROTO:
		return "what answers does not speak the protocol of ivshmem "
		       "servers, version 0";
	case -ETIMEDOUT:
		return "the server does not answer; look at its log";
	case -EMFILE:
		return "the link has more peers and vectors than this process "
		       "may have descriptors; raise ulimit -n";
	case -ENAMETOOLONG:
		return "the path is too long for a socket (107 bytes)";
	default:
		return strerror(-error);
	}
}

const char *open_error(const char *address, int error)
{
	if (!strncmp(address, "unix:", 5))
		return server_open_error(error);
	if (is_driven(address))
		return driven_error(address, error);
	return device_open_error(error);
}

const char *ring_error(int error)
{
	switch (error) {
	case -ENXIO:
		return "no such peer or vector on this link; `ivshmem info` "
		       "lists them";
	case -EOPNOTSUPP:
		return "there are no doorbells; use ivshmem-doorbell instead "
		       "of ivshmem-plain, drive it by other means than sysfs "
		       "(pci:), or poll the memory";
	case -ENODEV:
		return "the device is gone";
	default:
		return strerror(-error);
	}
}

/* The device has gone while its memory was in use. */
static void memory_gone(int signal)
{
	static const char text[] =
		"ivshmem: the shared memory is gone: the device was removed, "
		"the region formatted anew, or its memory made smaller\n";

	(void)signal;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_FAILED);
}

void catch_memory_loss(void)
{
	signal(SIGBUS, memory_gone);
}

int attach(struct attachment *at, const char *address, unsigned int flags)
{
	int ret;

	memset(at, 0, sizeof(*at));
	catch_memory_loss();
	if (!full_address(address, at->address, sizeof(at->address)))
		return -1;
	ret = ivshmem_open(at->address, flags, &at->ivs);
	if (!ret)
		ret = ivshmem_get_info(at->ivs, &at->info);
	if (ret) {
		complain("%s: %s", at->address, open_error(at->address, ret));
		detach(at);
		return -1;
	}
	return 0;
}

/* A driver keeps what is not a program's to itself. */
static const char *map_error(struct attachment *at, int error)
{
	struct ivshmem_region region;

	if (error == -EINVAL && !ivshmem_get_region(at->ivs, &region) &&
	    region.state != IVSHMEM_UNFORMATTED)
		return "it is formatted, and only its RAW sections belong to "
		       "programs: use their nodes, /dev/ivshmemN.NAME; "
		       "`ivshmem info` lists them";
	return strerror(-error);
}

int attach_memory(struct attachment *at, uint64_t offset, uint64_t length,
		  int prot)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t begin = offset & ~(page - 1);
	int ret;

	if (!length || offset >= at->info.memory_size ||
	    length > at->info.memory_size - offset) {
		complain("%s: %llu bytes at offset %llu are not inside the "
			 "memory, which has %llu bytes", at->address,
			 (unsigned long long)length, (unsigned long long)offset,
			 (unsigned long long)at->info.memory_size);
		return -1;
	}
	at->mapped = offset - begin + length;
	ret = ivshmem_map(at->ivs, begin, at->mapped, prot, &at->base);
	if (ret) {
		complain("%s: mapping the memory: %s", at->address,
			 map_error(at, ret));
		return -1;
	}
	at->memory = (unsigned char *)at->base + (offset - begin);
	return 0;
}

int attach_vectors(struct attachment *at, const uint64_t vectors[4])
{
	unsigned int v;
	int ret;

	ret = ivshmem_subscribe(at->ivs, vectors);
	if (!ret)
		return 0;
	for (v = at->info.vectors; v < LIBIVSHMEM_MAX_VECTORS; v++)
		if (ret == -EINVAL && vectors[v / 64] >> (v % 64) & 1)
			break;
	if (v < LIBIVSHMEM_MAX_VECTORS)
		complain("%s: vector %u does not exist; the highest is %d",
			 at->address, v, (int)at->info.vectors - 1);
	else
		complain("%s: %s", at->address, ring_error(ret));
	return -1;
}

void detach(struct attachment *at)
{
	if (at->base)
		ivshmem_unmap(at->base, at->mapped);
	ivshmem_close(at->ivs);
	at->base = NULL;
	at->ivs = NULL;
}

static void note_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

void catch_interrupts(void)
{
	struct sigaction action = {
		.sa_handler = note_interrupt,
		.sa_flags = (int)SA_RESETHAND,
	};
	struct sigaction before;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* nohup(1) wants it to be ignored. */
	if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
}

void hold_interrupts(sigset_t *before)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, before);
}

int wait_rung(struct attachment *at, struct ivshmem_event *events,
	      unsigned int max, int timeout_ms)
{
	struct pollfd pfd = { .fd = ivshmem_fd(at->ivs), .events = POLLIN };
	struct timespec limit = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	sigset_t before;
	int ret;

	/* Between the look at interrupted and the wait none may slip in. */
	hold_interrupts(&before);
	ret = interrupted ? -EINTR : ivshmem_wait(at->ivs, events, max, 0);
	if (!ret && timeout_ms) {
		ret = ppoll(&pfd, 1, timeout_ms < 0 ? NULL : &limit, &before);
		ret = ret < 0 ? -errno : 0;
		if (!ret)
			ret = ivshmem_wait(at->ivs, events, max, 0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ret;
}
