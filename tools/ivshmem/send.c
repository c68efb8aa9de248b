// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem send: send a file, or standard input, to a peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "parse.h"
#include "transfer.h"

/* Of a message, at most; a small ring has room for several smaller ones. */
#define CHUNK_MOST	(256 * 1024)
#define CHUNKS		4
/* Once told that it is over, the peer answers at once; or it never will. */
#define ANSWER_NS	1000000000ULL

enum {
	OPTION_SECTION = OPTION_FIRST_OWN,
	OPTION_TIMEOUT,
	OPTION_PROGRESS,
	OPTION_NAME,
};

struct wish {
	struct transfer_place place;
	const char *peer;
	const char *file;
	bool progress;
	bool json;
};

/**
 * struct source - what is sent
 * @fd:      it
 * @name:    for messages
 * @size:    bytes, or TRANSFER_SIZE_UNKNOWN
 * @ready:   reading does not take long
 * @chunk:   bytes of a message
 */
struct source {
	int fd;
	const char *name;
	uint64_t size;
	bool ready;
	size_t chunk;
};

static int open_source(struct source *source, const char *file)
{
	struct stat st;
	off_t at;

	source->name = file && strcmp(file, "-") ? file : "standard input";
	source->fd = STDIN_FILENO;
	if (source->name == file)
		source->fd = open(file, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0 || fstat(source->fd, &st)) {
		complain("%s: %s", source->name, strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		complain("%s: %s", source->name, strerror(EISDIR));
		return -1;
	}
	source->ready = S_ISREG(st.st_mode);
	source->size = TRANSFER_SIZE_UNKNOWN;
	if (!source->ready)
		return 0;
	at = lseek(source->fd, 0, SEEK_CUR);
	/* A file of /proc says that it has no bytes, and has some. */
	if (at >= 0 && st.st_size > at)
		source->size = (uint64_t)(st.st_size - at);
	posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

static int send_hello(struct transfer *t, const struct source *source)
{
	struct transfer_hello hello = {
		.version = transfer_word(TRANSFER_VERSION),
		.size = transfer_long(source->size),
	};

	return ivshmem_channel_send(t->channel, &hello, sizeof(hello),
				    TRANSFER_HELLO, 0, 0);
}

static int lost(struct transfer *t, int error)
{
	char size[32];

	progress_clear(&t->progress);
	complain("peer %s: the transfer broke off: %s; %s were sent, and are "
		 "not confirmed; start both sides again", t->peer_name,
		 transfer_lost(t, error),
		 format_bytes((double)t->bytes, size));
	return -1;
}

static int explain_result(struct transfer *t, uint32_t status, uint32_t error,
			  uint64_t bytes)
{
	progress_clear(&t->progress);
	switch (status) {
	case TRANSFER_INTERRUPTED:
		complain("peer %s: the receiver was interrupted after %" PRIu64
			 " bytes", t->peer_name, bytes);
		break;
	case TRANSFER_IO_ERROR:
		complain("peer %s: the receiver cannot write its output, after "
			 "%" PRIu64 " bytes: %s", t->peer_name, bytes,
			 strerror((int)(error & 0xfff)));
		break;
	case TRANSFER_DIFFERS:
		complain("peer %s: what has arrived is not what was sent: "
			 "somebody has overwritten it on its way", t->peer_name);
		break;
	default:
		complain("peer %s: the receiver did not expect this; is it of "
			 "another version?", t->peer_name);
	}
	return -1;
}

/*
 * Looks for the receiver's word: 0 if there is none, 1 if it has confirmed, -1
 * after a message.
 */
static int look_for_result(struct transfer *t, bool ended, int timeout_ms)
{
	struct transfer_result result;
	uint32_t kind, status;
	uint64_t bytes;
	size_t length;
	int ret;

	ret = ivshmem_channel_recv(t->channel, &result, sizeof(result), &length,
				   &kind, timeout_ms);
	if (ret == -EAGAIN || ret == -ETIMEDOUT || ret == -EINTR)
		return 0;
	if (ret && ret != -EMSGSIZE)
		return lost(t, ret);
	if (ret || kind != TRANSFER_RESULT || length != sizeof(result)) {
		progress_clear(&t->progress);
		complain("peer %s: it does not receive; run `ivshmem recv` "
			 "there", t->peer_name);
		return -1;
	}
	status = transfer_word(result.status);
	bytes = transfer_long(result.bytes);
	if (status == TRANSFER_DONE && ended && bytes == t->bytes &&
	    transfer_long(result.checksum) == XXH64_digest(t->hash))
		return 1;
	if (status == TRANSFER_DONE)
		status = TRANSFER_DIFFERS;
	return explain_result(t, status, transfer_word(result.error), bytes);
}

/* Room for a message; -1 after a message, or 1 if interrupted. */
static int get_room(struct transfer *t, size_t length, void **data)
{
	int ret;

	for (;;) {
		ret = ivshmem_channel_reserve(t->channel, length, data,
					      TRANSFER_STEP_MS);
		if (!ret)
			return 0;
		if (ret != -ETIMEDOUT && ret != -EINTR)
			return lost(t, ret);
		if (interrupted)
			return 1;
		if (look_for_result(t, false, 0))
			return -1;
		progress_show(&t->progress, t->bytes);
	}
}

/*
 * Waits for input that may take its time, and for the receiver, who may not want
 * any more: 0, 1 if interrupted, -1 after a message.
 */
static int wait_for_input(struct transfer *t, const struct source *source)
{
	struct pollfd fds[2] = {
		{ .fd = source->fd, .events = POLLIN },
		{ .fd = ivshmem_channel_fd(t->channel), .events = POLLIN },
	};

	for (;;) {
		if (interrupted)
			return 1;
		if (look_for_result(t, false, 0))
			return -1;
		if (poll(fds, 2, TRANSFER_STEP_MS) < 0)
			continue;
		if (fds[0].revents)
			return 0;
		progress_show(&t->progress, t->bytes);
	}
}

/*
 * Reads for the next message.  A file that grows ends where it did when that was
 * announced: the receiver takes no more.
 */
static ssize_t read_source(struct transfer *t, const struct source *source)
{
	size_t length = source->chunk;

	if (source->size != TRANSFER_SIZE_UNKNOWN &&
	    length > source->size - t->bytes)
		length = (size_t)(source->size - t->bytes);
	return length ? read(source->fd, t->buffer, length) : 0;
}

/* How the sender's part ended. */
static enum transfer_status send_data(struct transfer *t,
				      const struct source *source, int *error)
{
	void *data;
	ssize_t n;
	int ret;

	for (;;) {
		ret = source->ready ? look_for_result(t, false, 0) :
				      wait_for_input(t, source);
		if (!ret)
			ret = get_room(t, source->chunk, &data);
		if (interrupted)
			return TRANSFER_INTERRUPTED;
		if (ret)
			return TRANSFER_REFUSED;
		n = read_source(t, source);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0) {
			*error = n < 0 ? errno : 0;
			return n < 0 ? TRANSFER_IO_ERROR : TRANSFER_DONE;
		}
		/* Before it is where all peers can write. */
		XXH64_update(t->hash, t->buffer, (size_t)n);
		memcpy(data, t->buffer, (size_t)n);
		ret = ivshmem_channel_commit(t->channel, (size_t)n,
					     TRANSFER_DATA);
		if (!ret)
			ret = ivshmem_channel_flush(t->channel);
		if (ret) {
			lost(t, ret);
			return TRANSFER_REFUSED;
		}
		t->bytes += (uint64_t)n;
		progress_show(&t->progress, t->bytes);
	}
}

/* Says that it is over; the receiver may still be busy with what it has. */
static int send_end(struct transfer *t, enum transfer_status status, int error)
{
	struct transfer_end end = {
		.status = transfer_word(status),
		.error = transfer_word((uint32_t)error),
		.bytes = transfer_long(t->bytes),
		.checksum = transfer_long(XXH64_digest(t->hash)),
	};
	uint64_t tired = now_ns() + ANSWER_NS;
	void *data;
	int ret;

	do {
		ret = ivshmem_channel_reserve(t->channel, sizeof(end), &data,
					      TRANSFER_STEP_MS);
		if (ret == -ETIMEDOUT && status == TRANSFER_DONE &&
		    look_for_result(t, false, 0))
			return -1;
		if (status != TRANSFER_DONE && now_ns() > tired)
			return -1;
	} while (ret == -ETIMEDOUT || (ret == -EINTR && !interrupted));
	if (!ret) {
		memcpy(data, &end, sizeof(end));
		ret = ivshmem_channel_commit(t->channel, sizeof(end),
					     TRANSFER_END);
	}
	if (!ret)
		ret = ivshmem_channel_flush(t->channel);
	if (!ret)
		return 0;
	return status == TRANSFER_DONE ? lost(t, ret) : -1;
}

/* It was broken off here: the receiver is told, and may still read that. */
static void break_off(struct transfer *t, const struct source *source,
		      enum transfer_status status, int error)
{
	char size[32];

	progress_clear(&t->progress);
	if (status == TRANSFER_INTERRUPTED)
		complain("interrupted after %s",
			 format_bytes((double)t->bytes, size));
	else
		complain("%s: %s", source->name, strerror(error));
	if (!send_end(t, status, error))
		ivshmem_channel_drain(t->channel, 1000);
}

static enum exit_code send_all(struct transfer *t, const struct source *source)
{
	enum transfer_status status;
	int ret, error = 0;

	ret = send_hello(t, source);
	if (ret) {
		lost(t, ret);
		return EXIT_FAILED;
	}
	status = send_data(t, source, &error);
	if (status == TRANSFER_REFUSED)
		return EXIT_FAILED;
	if (status != TRANSFER_DONE) {
		break_off(t, source, status, error);
		return EXIT_FAILED;
	}
	if (send_end(t, TRANSFER_DONE, 0))
		return EXIT_FAILED;
	while (!(ret = look_for_result(t, true, TRANSFER_STEP_MS))) {
		if (interrupted) {
			progress_clear(&t->progress);
			complain("interrupted before the receiver confirmed");
			return EXIT_FAILED;
		}
		progress_show(&t->progress, t->bytes);
	}
	return ret > 0 ? EXIT_DONE : EXIT_FAILED;
}

static int choose_chunk(struct transfer *t, struct source *source)
{
	size_t most = ivshmem_channel_max_length(t->channel);

	source->chunk = CHUNK_MOST;
	if (source->chunk > most / CHUNKS)
		source->chunk = most / CHUNKS & ~(size_t)4095;
	if (!source->chunk)
		source->chunk = most / 2;
	return transfer_buffer(t, source->chunk);
}

static enum exit_code send_file(const struct wish *wish)
{
	enum exit_code ret = EXIT_FAILED;
	struct source source;
	struct transfer t;
	double seconds;

	if (open_source(&source, wish->file))
		return EXIT_FAILED;
	if (transfer_open(&t, &wish->place))
		return EXIT_FAILED;
	catch_interrupts();
	if (!transfer_connect(&t, wish->peer) && !choose_chunk(&t, &source)) {
		progress_begin(&t.progress, source.size, wish->progress);
		ret = send_all(&t, &source);
		seconds = progress_seconds(&t.progress);
		progress_clear(&t.progress);
		if (ret == EXIT_DONE)
			transfer_report(&t, wish->json, "sent", seconds);
	}
	transfer_close(&t);
	if (source.fd != STDIN_FILENO)
		close(source.fd);
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
	default:
		return parse_seconds(text, &wish->place.timeout_ns) &&
		       wish->place.timeout_ns;
	}
}

static enum exit_code take_arguments(struct wish *wish, int argc, char **argv)
{
	/* A name of a peer has no slash, and no colon as far as that goes. */
	if (argc > 1 && is_address(argv[0])) {
		wish->place.address = *argv++;
		argc--;
	}
	if (!argc || !*argv[0])
		return misused(&command_send, "one peer is needed");
	wish->peer = argv[0];
	wish->file = argc > 1 ? argv[1] : NULL;
	if (argc > 2)
		return misused(&command_send, "%s: one file at a time",
			       argv[2]);
	return EXIT_DONE;
}

static enum exit_code run_send(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "section", required_argument, NULL, OPTION_SECTION },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "name", required_argument, NULL, OPTION_NAME },
		{ "progress", no_argument, NULL, OPTION_PROGRESS },
		{ 0 }
	};
	struct wish wish = { 0 };
	enum exit_code ret;
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == OPTION_HELP)
			return show_help(&command_send);
		if (option == '?')
			return misused(&command_send, NULL);
		if (!take_option(&wish, option, optarg))
			return misused(&command_send, "--%s %s: malformed or "
				       "out of range", options[index].name,
				       optarg);
	}
	ret = take_arguments(&wish, argc - optind, argv + optind);
	return ret == EXIT_DONE ? send_file(&wish) : ret;
}

const struct command command_send = {
	.name = "send",
	.arguments = "[DEVICE] PEER [FILE] [OPTIONS]",
	.summary = "Send a file, or standard input, to a peer that runs `ivshmem recv`.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  PEER                 slot or name, as `ivshmem peers` lists them\n"
		"  FILE                 what to send (-: standard input)\n"
		"  --section NAME       section of type raw (the only one)\n"
		"  --timeout S          wait so long for the peer (for ever)\n"
		"  --name NAME          own name for others, on the host (the host's)\n"
		"  --progress           show it, although stderr is no terminal\n"
		"  --json               print the result as JSON\n"
		HELP_OPTION_HELP
		"\n"
		"Exit code 0 only when the peer has confirmed that all has arrived, by length\n"
		"and checksum.\n",
	.run = run_send,
};
