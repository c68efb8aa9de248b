// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem-blk-server: the back end of disks in BLK sections.  Its command line, and
 * the threads of its exports.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "address.h"
#include "command.h"
#include "config.h"
#include "export.h"
#include "log.h"
#include "notify.h"

static const char usage_text[] =
"Usage: ivshmem-blk-server [OPTION]... [DEVICE] FILE\n"
"       ivshmem-blk-server [OPTION]... --config CONFIG\n"
"Export FILE, a file or block device, as a disk for virtual machines.\n"
"\n"
"  DEVICE                unix:/path/of/a/link.sock, or /dev/ivshmemN\n"
"      --section NAME    section of type blk (default: the only one)\n"
"      --serial TEXT     serial number, 20 characters at most\n"
"      --read-only       nothing is written; others may read the file, too\n"
"      --no-discard      keep the space of what is given up\n"
"      --block-size SIZE 512, 1024, 2048 or 4096 (default: what suits FILE)\n"
"      --queues NUMBER   pairs of rings to use (default: all of the section)\n"
"      --direct=auto|on|off\n"
"                        pass over the page cache (default: where possible)\n"
"      --writers=one|all how many machines may write (default: one, the others\n"
"                        read; all is for file systems of clusters)\n"
"      --poll-us US      look so long before going to sleep (default: 200)\n"
"\n"
"  -c, --config CONFIG   export what is in a configuration file\n"
"      --json            print counters as JSON, a line each time\n"
"  -v, --verbose         log every step\n"
"  -q, --quiet           log warnings and errors only\n"
"  -h, --help            print this\n"
"  -V, --version         print the version\n"
"\n"
"Runs until Ctrl-C; SIGUSR1 prints counters, SIGHUP looks at the size of FILE.\n"
"Exit status: 0 if all went well, 1 on failure, 2 if the command line or the\n"
"configuration is wrong.  See ivshmem-blk-server(8).\n";

enum {
	OPTION_NAMED = OPTION_FIRST_OWN,	/* the option is the key */
	OPTION_READ_ONLY,
	OPTION_NO_DISCARD,
};

static const struct option options[] = {
	{ "section", required_argument, NULL, OPTION_NAMED },
	{ "serial", required_argument, NULL, OPTION_NAMED },
	{ "block-size", required_argument, NULL, OPTION_NAMED },
	{ "queues", required_argument, NULL, OPTION_NAMED },
	{ "direct", required_argument, NULL, OPTION_NAMED },
	{ "writers", required_argument, NULL, OPTION_NAMED },
	{ "poll-us", required_argument, NULL, OPTION_NAMED },
	{ "read-only", no_argument, NULL, OPTION_READ_ONLY },
	{ "no-discard", no_argument, NULL, OPTION_NO_DISCARD },
	{ "config", required_argument, NULL, 'c' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/**
 * struct server - the exports of the process
 * @config:    what to export
 * @exports:   one for each
 * @tell_fd:   by which they tell that their state has changed
 * @signal_fd: the signals that we wait for
 * @json:      statistics are JSON
 * @threshold: least important priority that is logged
 * @config_file: --config, or NULL
 * @own:       a key was given on the command line
 */
struct server {
	struct config config;
	struct export *exports;
	int tell_fd;
	int signal_fd;
	bool json;
	int threshold;
	const char *config_file;
	bool own;
};

static void refuse(const char *what, const char *why)
{
	log_error("%s: %s; see ivshmem-blk-server --help", what, why);
	exit(EXIT_USAGE);
}

static void set(struct server *server, const char *key, const char *value)
{
	struct config_error error;

	server->own = true;
	if (!config_set(server->config.exports, key, value, &error))
		return;
	log_error("--%s", error.text);
	exit(EXIT_USAGE);
}

static void take_option(struct server *server, int option, int index,
			char **argv)
{
	switch (option) {
	case OPTION_NAMED:
		set(server, options[index].name, optarg);
		break;
	case OPTION_READ_ONLY:
		set(server, "read-only", "yes");
		break;
	case OPTION_NO_DISCARD:
		set(server, "discard", "no");
		break;
	case OPTION_JSON:
		server->json = true;
		break;
	case 'c':
		server->config_file = optarg;
		break;
	case 'v':
		server->threshold = LOG_DEBUG;
		break;
	case 'q':
		server->threshold = LOG_WARNING;
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(EXIT_SUCCESS);
	case 'V':
		puts("ivshmem-blk-server " IVSHMEM_VERSION);
		exit(EXIT_SUCCESS);
	default:
		refuse(argv[optind - 1], option == ':' ? "needs an argument" :
		       "unknown option");
	}
}

/* What is exported is also what messages call it. */
static void name_export(struct export_config *export)
{
	const char *slash = strrchr(export->file, '/');

	free(export->name);
	export->name = strdup(slash && slash[1] ? slash + 1 : export->file);
	if (!export->name)
		refuse("name", strerror(ENOMEM));
}

static void take_arguments(struct server *server, int n, char **arguments)
{
	if (n && is_address(arguments[0])) {
		set(server, "link", arguments[0]);
		arguments++;
		n--;
	}
	if (n > 1)
		refuse(arguments[1], "one file at a time; --config takes a "
		       "file with several exports");
	if (n) {
		set(server, "file", arguments[0]);
		name_export(server->config.exports);
	}
	if (server->own && server->config_file)
		refuse(server->config_file, "the exports of a configuration "
		       "have their options in it");
	if (!server->config_file && !n)
		refuse("FILE", "is missing: what to export");
}

/* The exports are those of the file, or the one of the command line. */
static int load(struct server *server, struct config_error *error)
{
	if (server->config_file) {
		config_free(&server->config);
		if (config_parse_file(&server->config, server->config_file,
				      error))
			return -1;
	}
	return config_check(&server->config, error);
}

static void parse_command_line(struct server *server, int argc, char **argv)
{
	struct config_error error;
	int option, index = 0;

	if (!config_add(&server->config, "disk", "command line", &error))
		refuse("disk", error.text);
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:vqhV", options,
				     &index)) != -1)
		take_option(server, option, index, argv);
	take_arguments(server, argc - optind, argv + optind);
	log_open(server->threshold);
	if (load(server, &error)) {
		log_error("%s", error.text);
		exit(EXIT_USAGE);
	}
}

static int catch_signals(struct server *server)
{
	sigset_t signals;

	/* Whoever reads our counters may be gone. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return server->signal_fd < 0 ? -errno : 0;
}

static int start_exports(struct server *server)
{
	struct export *export;
	size_t i;
	int ret;

	server->exports = calloc(server->config.count,
				 sizeof(*server->exports));
	server->tell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!server->exports || server->tell_fd < 0)
		return -ENOMEM;
	for (i = 0; i < server->config.count; i++) {
		export = &server->exports[i];
		export->config = &server->config.exports[i];
		export->json = server->json;
		export->tell_fd = server->tell_fd;
		export->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (export->wake_fd < 0)
			return -errno;
		ret = pthread_create(&export->thread, NULL, export_run, export);
		if (ret)
			return -ret;
		export->started = true;
	}
	return 0;
}

static void wish_all(struct server *server, enum export_wish wish)
{
	size_t i;

	for (i = 0; i < server->config.count; i++)
		if (server->exports[i].started)
			export_wish(&server->exports[i], wish);
}

static void stop(struct server *server)
{
	/* Whoever asks twice does not want to wait for what is in flight. */
	if (atomic_exchange(&export_stop, true))
		_exit(EXIT_FAILED);
	notify_send("STOPPING=1");
	wish_all(server, EXPORT_STOP);
}

static void take_signals(struct server *server)
{
	struct signalfd_siginfo info;

	while (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			wish_all(server, EXPORT_REPORT);
		else if (info.ssi_signo == SIGHUP)
			wish_all(server, EXPORT_RESIZE);
		else
			stop(server);
	}
}

static size_t count_state(const struct server *server, enum export_state state)
{
	size_t i, n = 0;

	for (i = 0; i < server->config.count; i++)
		if (atomic_load(&server->exports[i].state) == (int)state)
			n++;
	return n;
}

/* All of them begin to serve, or none goes on; later each is on its own. */
static int watch(struct server *server)
{
	struct pollfd fds[] = {
		{ .fd = server->signal_fd, .events = POLLIN },
		{ .fd = server->tell_fd, .events = POLLIN },
	};
	bool ready = false;
	eventfd_t changes;

	for (;;) {
		if (!count_state(server, EXPORT_STARTING) && !ready &&
		    !atomic_load(&export_stop)) {
			if (count_state(server, EXPORT_FAILED))
				stop(server);
			else
				notify_ready();
			ready = true;
		}
		if (!count_state(server, EXPORT_STARTING) &&
		    !count_state(server, EXPORT_SERVING))
			break;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		take_signals(server);
		eventfd_read(server->tell_fd, &changes);
	}
	return count_state(server, EXPORT_FAILED) ? -EIO : 0;
}

static int run(struct server *server)
{
	size_t i;
	int ret;

	ret = catch_signals(server);
	if (!ret)
		ret = start_exports(server);
	if (ret) {
		log_error("starting: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	ret = watch(server);
	for (i = 0; i < server->config.count; i++)
		pthread_join(server->exports[i].thread, NULL);
	for (i = 0; server->json && i < server->config.count; i++)
		if (server->exports[i].served)
			report(&server->exports[i], true);
	return ret ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct server server = { .threshold = LOG_INFO };
	int status;

	log_as("ivshmem-blk-server");
	log_open(LOG_INFO);
	parse_command_line(&server, argc, argv);
	status = run(&server);
	config_free(&server.config);
	free(server.exports);
	return status;
}
