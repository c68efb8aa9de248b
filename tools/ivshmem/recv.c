// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem recv: receive what a peer sends by `ivshmem send`.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "parse.h"
#include "sink.h"
#include "transfer.h"

#define PEERS_MAX	64
/* For the sender to read the result. */
#define FAREWELL_MS	5000

enum {
	OPTION_SECTION = OPTION_FIRST_OWN,
	OPTION_TIMEOUT,
	OPTION_PROGRESS,
	OPTION_NAME,
	OPTION_OUTPUT,
};

struct wish {
	struct transfer_place place;
	const char *peer;
	const char *output;
	bool progress;
	bool json;
};

/**
 * struct candidates - channels to all peers, until one of them sends
 * @channels: by slot; NULL where there is none
 * @count:    how many slots
 * @own:      own slot
 */
struct candidates {
	struct ivshmem_channel *channels[PEERS_MAX];
	uint32_t count;
	uint32_t own;
};

static void close_candidates(struct candidates *c)
{
	uint32_t slot;

	for (slot = 0; slot < c->count; slot++)
		ivshmem_channel_close(c->channels[slot]);
}

/*
 * To every slot, whether somebody is there or not.  Those that other programs
 * use are theirs.
 */
static int open_candidates(struct transfer *t, struct candidates *c)
{
	struct ivshmem_region region;
	int ret, last = -ENODATA;
	bool any = false;
	uint32_t slot;

	memset(c, 0, sizeof(*c));
	ret = ivshmem_get_region(t->at.ivs, &region);
	if (ret)
		return transfer_explain(t, ret);
	c->count = region.slots < PEERS_MAX ? region.slots : PEERS_MAX;
	for (slot = 0; slot < c->count; slot++) {
		if ((int32_t)slot == region.slot)
			continue;
		ret = transfer_channel(t, slot, &c->channels[slot]);
		if (!ret)
			any = true;
		else
			last = ret;
	}
	return any ? 0 : transfer_explain(t, last);
}

/* Whether this is the one that sends; one that is over begins anew. */
static int look_at(struct ivshmem_channel *channel)
{
	const void *data;
	uint32_t kind;
	size_t length;
	int ret;

	ret = ivshmem_channel_connect(channel, 0);
	if (!ret)
		ret = ivshmem_channel_peek(channel, &data, &length, &kind, 0);
	if (ret == -ESTALE || ret == -ENODEV)
		return ret;
	if (ret)
		return 0;
	if (kind == TRANSFER_HELLO)
		return 1;
	/* Something else is spoken there. */
	ivshmem_channel_release(channel);
	return 0;
}

static int watch_candidates(const struct candidates *c, struct pollfd *fds)
{
	int n = 0;
	uint32_t slot;

	for (slot = 0; slot < c->count; slot++) {
		if (!c->channels[slot])
			continue;
		fds[n].fd = ivshmem_channel_fd(c->channels[slot]);
		fds[n++].events = POLLIN;
	}
	return n;
}

/* Waits until somebody sends; takes that channel. */
static int connect_any(struct transfer *t)
{
	struct pollfd fds[PEERS_MAX];
	struct candidates c;
	bool said = false;
	int n, ret = 0;
	uint32_t slot;

	if (open_candidates(t, &c)) {
		close_candidates(&c);
		return -1;
	}
	n = watch_candidates(&c, fds);
	while (!ret) {
		for (slot = 0; !ret && slot < c.count; slot++) {
			if (!c.channels[slot])
				continue;
			ret = look_at(c.channels[slot]);
			if (ret > 0) {
				t->peer = slot;
				t->channel = c.channels[slot];
				c.channels[slot] = NULL;
			} else if (ret < 0) {
				transfer_explain(t, ret);
			}
		}
		if (!ret && transfer_tired(t, &said, "somebody who sends"))
			ret = -1;
		if (!ret)
			poll(fds, (nfds_t)n, TRANSFER_STEP_MS);
	}
	close_candidates(&c);
	transfer_take_name(t);
	return ret > 0 ? 0 : -1;
}

static void say_result(struct transfer *t, enum transfer_status status,
		       int error)
{
	struct transfer_result result = {
		.status = transfer_word(status),
		.error = transfer_word((uint32_t)error),
		.bytes = transfer_long(t->bytes),
		.checksum = transfer_long(XXH64_digest(t->hash)),
	};

	if (!ivshmem_channel_send(t->channel, &result, sizeof(result),
				  TRANSFER_RESULT, 0, 0))
		ivshmem_channel_drain(t->channel, FAREWELL_MS);
}

/* For people: how much there is of how much. */
static const char *how_much(const struct transfer *t, char text[96])
{
	if (t->progress.total == TRANSFER_SIZE_UNKNOWN)
		snprintf(text, 96, "%" PRIu64 " bytes have arrived", t->bytes);
	else
		snprintf(text, 96, "%" PRIu64 " of %" PRIu64
			 " bytes have arrived", t->bytes, t->progress.total);
	return text;
}

static int lost(struct transfer *t, const struct sink *sink, int error)
{
	char text[96];

	progress_clear(&t->progress);
	complain("peer %s: the transfer broke off: %s; %s, and %s; start both "
		 "sides again", t->peer_name, transfer_lost(t, error),
		 how_much(t, text), sink_fate(sink));
	return -1;
}

/* Ctrl-C: the sender is told. */
static int give_up(struct transfer *t, const struct sink *sink)
{
	char text[96];

	progress_clear(&t->progress);
	complain("interrupted; %s, and %s", how_much(t, text),
		 sink_fate(sink));
	say_result(t, TRANSFER_INTERRUPTED, 0);
	return -1;
}

/* The next message, in @t->buffer: 0, or -1 after a message. */
static int next_message(struct transfer *t, const struct sink *sink,
			size_t *length, uint32_t *kind)
{
	size_t most = ivshmem_channel_max_length(t->channel);
	int ret;

	for (;;) {
		/* Before, for one that sends all the time. */
		if (interrupted)
			return give_up(t, sink);
		ret = ivshmem_channel_recv(t->channel, t->buffer, most, length,
					   kind, TRANSFER_STEP_MS);
		if (!ret)
			return 0;
		if (ret != -ETIMEDOUT && ret != -EINTR)
			return lost(t, sink, ret);
		if (t->limited && now_ns() >= t->deadline_ns) {
			complain("peer %s: it is there, but did not begin to "
				 "send in time", t->peer_name);
			say_result(t, TRANSFER_REFUSED, 0);
			return -1;
		}
		progress_show(&t->progress, t->bytes);
	}
}

static int unexpected(struct transfer *t)
{
	progress_clear(&t->progress);
	complain("peer %s: it sends something else than `ivshmem send` of this "
		 "version does", t->peer_name);
	say_result(t, TRANSFER_REFUSED, 0);
	return -1;
}

static int take_hello(struct transfer *t, const struct sink *sink, bool forced)
{
	struct transfer_hello hello;
	uint32_t kind;
	size_t length;

	if (next_message(t, sink, &length, &kind))
		return -1;
	if (kind != TRANSFER_HELLO || length != sizeof(hello))
		return unexpected(t);
	memcpy(&hello, t->buffer, sizeof(hello));
	if (transfer_word(hello.version) != TRANSFER_VERSION)
		return unexpected(t);
	/* It has come. */
	t->limited = false;
	progress_begin(&t->progress, transfer_long(hello.size), forced);
	return 0;
}

/* Whether the sender sends more than it has announced. */
static bool too_much(const struct transfer *t, size_t length)
{
	return t->progress.total != TRANSFER_SIZE_UNKNOWN &&
	       length > t->progress.total - t->bytes;
}

static int take_data(struct transfer *t, struct sink *sink, size_t length)
{
	char text[96];
	int ret;

	if (too_much(t, length))
		return unexpected(t);
	XXH64_update(t->hash, t->buffer, length);
	ret = sink_write(sink, t->buffer, length);
	if (ret == -EINTR)
		return give_up(t, sink);
	if (ret) {
		progress_clear(&t->progress);
		complain("%s: %s; %s, and %s", sink->name, strerror(-ret),
			 how_much(t, text), sink_fate(sink));
		say_result(t, TRANSFER_IO_ERROR, -ret);
		return -1;
	}
	t->bytes += length;
	progress_show(&t->progress, t->bytes);
	return 0;
}

static int sender_gave_up(struct transfer *t, const struct sink *sink,
			  const struct transfer_end *end)
{
	char text[96];

	progress_clear(&t->progress);
	if (transfer_word(end->status) == TRANSFER_INTERRUPTED)
		complain("peer %s: the sender was interrupted; %s, and %s",
			 t->peer_name, how_much(t, text), sink_fate(sink));
	else
		complain("peer %s: the sender cannot read its input: %s; %s, "
			 "and %s", t->peer_name,
			 strerror((int)(transfer_word(end->error) & 0xfff)),
			 how_much(t, text), sink_fate(sink));
	return -1;
}

static int take_end(struct transfer *t, struct sink *sink, size_t length)
{
	struct transfer_end end;
	int ret;

	if (length != sizeof(end))
		return unexpected(t);
	memcpy(&end, t->buffer, sizeof(end));
	if (transfer_word(end.status) != TRANSFER_DONE)
		return sender_gave_up(t, sink, &end);
	if (transfer_long(end.bytes) != t->bytes ||
	    transfer_long(end.checksum) != XXH64_digest(t->hash)) {
		progress_clear(&t->progress);
		complain("peer %s: what has arrived is not what was sent: "
			 "somebody has overwritten it on its way; %s",
			 t->peer_name, sink_fate(sink));
		say_result(t, TRANSFER_DIFFERS, 0);
		return -1;
	}
	ret = sink_finish(sink);
	if (ret) {
		progress_clear(&t->progress);
		complain("%s: %s", sink->name, strerror(-ret));
		say_result(t, TRANSFER_IO_ERROR, -ret);
		return -1;
	}
	say_result(t, TRANSFER_DONE, 0);
	return 0;
}

static enum exit_code receive(struct transfer *t, struct sink *sink,
			      bool forced)
{
	uint32_t kind;
	size_t length;
	int ret;

	if (transfer_buffer(t, ivshmem_channel_max_length(t->channel)))
		return EXIT_FAILED;
	if (take_hello(t, sink, forced))
		return EXIT_FAILED;
	for (;;) {
		if (next_message(t, sink, &length, &kind))
			return EXIT_FAILED;
		if (kind == TRANSFER_END) {
			ret = take_end(t, sink, length);
			return ret ? EXIT_FAILED : EXIT_DONE;
		}
		if (kind != TRANSFER_DATA) {
			unexpected(t);
			return EXIT_FAILED;
		}
		if (take_data(t, sink, length))
			return EXIT_FAILED;
	}
}

static enum exit_code receive_file(const struct wish *wish)
{
	enum exit_code ret = EXIT_FAILED;
	struct transfer t;
	struct sink sink;
	double seconds;

	catch_interrupts();
	if (sink_open(&sink, wish->output))
		return EXIT_FAILED;
	if (transfer_open(&t, &wish->place)) {
		sink_close(&sink);
		return EXIT_FAILED;
	}
	if (!(wish->peer ? transfer_connect(&t, wish->peer) :
			   connect_any(&t))) {
		t.progress.total = TRANSFER_SIZE_UNKNOWN;
		ret = receive(&t, &sink, wish->progress);
		seconds = progress_seconds(&t.progress);
		progress_clear(&t.progress);
		if (ret == EXIT_DONE)
			transfer_report(&t, wish->json, "received", seconds);
	}
	transfer_close(&t);
	sink_close(&sink);
	return ret;
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	switch (option) {
	case OPTION_JSON:
		return wish->json = true;
	case OPTION_PROGRESS:
		return wish->progress = true;
	case OPTION_SECTION:
		wish->place.section = text;
		return *text;
	case OPTION_NAME:
		wish->place.name = text;
		return *text;
	case 'o':
	case OPTION_OUTPUT:
		wish->output = text;
		return *text;
	default:
		return parse_seconds(text, &wish->place.timeout_ns) &&
		       wish->place.timeout_ns;
	}
}

static enum exit_code take_arguments(struct wish *wish, int argc, char **argv)
{
	if (argc && is_address(argv[0])) {
		wish->place.address = *argv++;
		argc--;
	}
	wish->peer = argc ? argv[0] : NULL;
	if (wish->peer && !*wish->peer)
		return misused(&command_recv, "the name of the peer is empty");
	if (argc > 1)
		return misused(&command_recv, "%s: one peer at a time; the "
			       "output is given by -o", argv[1]);
	if (wish->json && (!wish->output || !strcmp(wish->output, "-")))
		return misused(&command_recv, "--json needs -o: standard "
			       "output is for what is received");
	return EXIT_DONE;
}

static enum exit_code run_recv(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "output", required_argument, NULL, OPTION_OUTPUT },
		{ "section", required_argument, NULL, OPTION_SECTION },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "name", required_argument, NULL, OPTION_NAME },
		{ "progress", no_argument, NULL, OPTION_PROGRESS },
		{ 0 }
	};
	struct wish wish = { 0 };
	enum exit_code ret;
	int option, index;

	while ((option = getopt_long(argc, argv, "o:", options, &index)) !=
	       -1) {
		if (option == OPTION_HELP)
			return show_help(&command_recv);
		if (option == '?')
			return misused(&command_recv, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_recv, "--%s %s: malformed or "
				       "out of range", option == 'o' ?
				       "output" : options[index].name,
				       optarg);
	}
	ret = take_arguments(&wish, argc - optind, argv + optind);
	return ret == EXIT_DONE ? receive_file(&wish) : ret;
}

const struct command command_recv = {
	.name = "recv",
	.arguments = "[DEVICE] [PEER] [-o FILE] [OPTIONS]",
	.summary = "Receive what a peer sends by `ivshmem send`.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  PEER                 slot or name of the sender (whoever sends first)\n"
		"  --output FILE, -o    where to put it (-: standard output)\n"
		"  --section NAME       section of type raw (the only one)\n"
		"  --timeout S          wait so long for the sender (for ever)\n"
		"  --name NAME          own name for others, on the host (the host's)\n"
		"  --progress           show it, although stderr is no terminal\n"
		"  --json               print the result as JSON; needs -o\n"
		HELP_OPTION_HELP
		"\n"
		"FILE appears, or is replaced, when all has arrived and was verified by length\n"
		"and checksum.  What was written to standard output is right only if the exit\n"
		"code is 0.\n",
	.run = run_recv,
};
