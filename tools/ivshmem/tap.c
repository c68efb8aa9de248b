// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem tap: connect an Ethernet segment to a TAP device, and so to the host.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "address.h"
#include "attach.h"
#include "command.h"
#include "parse.h"
#include "segment.h"
#include "spin.h"

#define BUSY_POLL_US		10U
#define BUSY_POLL_MAX_US	100000U
enum {
	OPTION_SECTION = OPTION_FIRST_OWN,
	OPTION_TAP,
	OPTION_ADDRESS,
	OPTION_NAME,
	OPTION_BUSY_POLL,
};

struct wish {
	const char *address;
	const char *section;
	const char *tap;
	const char *name;
	bool has_mac;
	uint8_t mac[FRAME_ADDRESS];
	unsigned int busy_us;
	bool json;
};

/**
 * struct loop - what it waits for
 * @seg:      the segment
 * @epoll_fd: the TAP device and the doorbells
 * @spin:     looking before going to sleep
 * @hearing:  of doorbells
 * @deaf:     doorbells are not waited for
 * @tap_at:   when the TAP device is to be looked at
 * @writable: the TAP device is waited for to take frames again
 */
struct loop {
	struct segment *seg;
	int epoll_fd;
	struct spin spin;
	struct hearing hearing;
	bool deaf;
	uint32_t tap_at;
	bool writable;
};

static volatile sig_atomic_t report_wanted;

static void note_report(int number)
{
	(void)number;
	report_wanted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = note_report };

	catch_interrupts();
	sigaction(SIGUSR1, &action, NULL);
}

static int watch(struct loop *loop, int operation, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (!epoll_ctl(loop->epoll_fd, operation, fd, &event))
		return 0;
	complain("waiting for events: %s", strerror(errno));
	return -1;
}

static int bells(const struct loop *loop)
{
	return ivshmem_fd(loop->seg->base.at.ivs);
}

/* A peer that rings all the time does not make us look all the time. */
static void count_round(struct loop *loop, bool useful)
{
	hearing_count(&loop->hearing, useful, loop->seg->base.now);
	if (loop->deaf == loop->hearing.resting)
		return;
	loop->deaf = loop->hearing.resting;
	watch(loop, EPOLL_CTL_MOD, bells(loop), loop->deaf ? 0 : EPOLLIN);
}

/* What is due by the clock; -1 if the TAP device is gone. */
static int keep_time(struct loop *loop)
{
	struct segment *seg = loop->seg;
	uint32_t now = links_clock(&seg->base);
	int changed;

	if (past(now, loop->tap_at)) {
		loop->tap_at = now + IVPEER_BEAT_MS;
		changed = tap_look(&seg->tap);
		if (changed < 0)
			return -1;
		if (changed)
			segment_restart(seg);
	}
	links_tend(&seg->base);
	return 0;
}

static int sleep_ms(const struct loop *loop)
{
	uint32_t ms = links_due_ms(&loop->seg->base);

	if ((loop->deaf || !links_wake(&loop->seg->base)) && ms > NAP_MS)
		ms = NAP_MS;
	return (int)ms;
}

static int wait_for_events(struct loop *loop)
{
	struct segment *seg = loop->seg;
	struct epoll_event events[2];
	int i, n;

	if (loop->writable != seg->blocked) {
		loop->writable = seg->blocked;
		watch(loop, EPOLL_CTL_MOD, seg->tap.fd, seg->blocked ?
		      EPOLLIN | EPOLLOUT : EPOLLIN);
	}
	n = epoll_wait(loop->epoll_fd, events, 2, sleep_ms(loop));
	if (n < 0 && errno != EINTR) {
		complain("waiting for events: %s", strerror(errno));
		return -1;
	}
	links_clock(&seg->base);
	for (i = 0; i < n; i++)
		if (events[i].data.fd == bells(loop) &&
		    links_take_doorbells(&seg->base))
			loop->hearing.rung = true;
	return 0;
}

/* Return: whether something was done, or -1 if the TAP device is gone. */
static int do_round(struct loop *loop)
{
	struct segment *seg = loop->seg;
	unsigned int received;
	int sent;

	if (keep_time(loop))
		return -1;
	received = segment_receive(seg);
	sent = segment_send(seg);
	segment_flush(seg);
	if (sent < 0)
		return -1;
	count_round(loop, received || sent);
	return received || sent;
}

static enum exit_code run(struct loop *loop, bool json)
{
	struct segment *seg = loop->seg;
	int ret;

	while (!interrupted) {
		if (report_wanted) {
			report_wanted = 0;
			segment_report(seg, json);
		}
		ret = do_round(loop);
		if (ret < 0) {
			complain("%s: the TAP device was deleted",
				 seg->tap.name);
			return EXIT_FAILED;
		}
		if (spin_again(&loop->spin, ret))
			continue;
		if (!seg->blocked && segment_arm(seg))
			continue;
		if (wait_for_events(loop))
			return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static enum exit_code run_loop(struct segment *seg, const struct wish *wish)
{
	struct loop loop = {
		.seg = seg,
	};
	enum exit_code ret = EXIT_FAILED;
	int fd;

	loop.tap_at = links_clock(&seg->base);
	spin_init(&loop.spin, wish->busy_us);
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0) {
		complain("waiting for events: %s", strerror(errno));
		return ret;
	}
	loop.epoll_fd = fd;
	tap_carrier(&seg->tap, false);
	if (!watch(&loop, EPOLL_CTL_ADD, seg->tap.fd, EPOLLIN) &&
	    !watch(&loop, EPOLL_CTL_ADD, bells(&loop), EPOLLIN)) {
		segment_report(seg, wish->json);
		sd_notify(0, "READY=1");
		ret = run(&loop, wish->json);
		sd_notify(0, "STOPPING=1");
	}
	close(fd);
	return ret;
}

static enum exit_code connect_tap(const struct wish *wish)
{
	enum exit_code ret = EXIT_FAILED;
	struct segment *seg;

	catch_signals();
	seg = calloc(1, sizeof(*seg));
	if (!seg) {
		complain("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	seg->base.wanted = wish->section;
	seg->base.name = wish->name;
	if (!tap_open(&seg->tap, wish->tap, wish->has_mac ? wish->mac : NULL)) {
		if (!segment_open(seg, wish->address)) {
			ret = run_loop(seg, wish);
			links_close(&seg->base);
			if (wish->json)
				segment_report(seg, true);
		}
		tap_close(&seg->tap);
	}
	free(seg);
	return ret;
}

/* An address that one interface can have: no group's, and not 0. */
static bool parse_mac(const char *text, uint8_t mac[FRAME_ADDRESS])
{
	char digits[3] = "";
	int i;

	for (i = 0; i < FRAME_ADDRESS; i++, text += 3) {
		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i < FRAME_ADDRESS - 1 ? ':' : 0))
			return false;
		memcpy(digits, text, 2);
		mac[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return !frame_is_group(mac) && frame_key(mac);
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	uint64_t number;

	switch (option) {
	case OPTION_JSON:
		return wish->json = true;
	case OPTION_SECTION:
		wish->section = text;
		return *text;
	case OPTION_TAP:
		wish->tap = text;
		return *text && strlen(text) < sizeof(((struct tap_device *)0)->name);
	case OPTION_NAME:
		wish->name = text;
		return *text;
	case OPTION_ADDRESS:
		wish->has_mac = parse_mac(text, wish->mac);
		return wish->has_mac;
	default:
		if (!parse_number(text, BUSY_POLL_MAX_US, &number))
			return false;
		wish->busy_us = (unsigned int)number;
		return true;
	}
}

static enum exit_code run_tap(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "section", required_argument, NULL, OPTION_SECTION },
		{ "tap", required_argument, NULL, OPTION_TAP },
		{ "address", required_argument, NULL, OPTION_ADDRESS },
		{ "name", required_argument, NULL, OPTION_NAME },
		{ "busy-poll", required_argument, NULL, OPTION_BUSY_POLL },
		{ 0 }
	};
	struct wish wish = { .tap = "tap%d", .busy_us = BUSY_POLL_US };
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == OPTION_HELP)
			return show_help(&command_tap);
		if (option == '?')
			return misused(&command_tap, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_tap, "--%s %s: malformed or "
				       "out of range", options[index].name,
				       optarg);
	}
	if (argc - optind > 1)
		return misused(&command_tap, "%s: one device at a time",
			       argv[optind + 1]);
	wish.address = argv[optind];
	if (wish.address && !is_address(wish.address))
		return misused(&command_tap, "%s: neither a device nor "
			       "unix:/path/of/a/link.sock", wish.address);
	return connect_tap(&wish);
}

const struct command command_tap = {
	.name = "tap",
	.arguments = "[DEVICE] [OPTIONS]",
	.summary = "Connect an Ethernet segment to a TAP device of the host.",
	.help =
		"  DEVICE               unix:/path/of/a/link.sock\n"
		"  --section NAME       section of type net (the only one)\n"
		"  --tap NAME           TAP device; made if there is none (tap%d)\n"
		"  --address MAC        Ethernet address of the TAP device (as it is)\n"
		"  --name NAME          own name for others (the host's)\n"
		"  --busy-poll US       look so long before going to sleep (10)\n"
		"  --json               print counters as JSON, a line each time\n"
		HELP_OPTION_HELP
		"\n"
		"Runs until Ctrl-C; SIGUSR1 prints counters.  Only root may make a TAP device;\n"
		"for others it is prepared: ip tuntap add tap0 mode tap user USER.\n",
	.run = run_tap,
};
