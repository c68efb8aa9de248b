/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ivshmemd: the doorbell server.  Its command line, and the order in which it
 * comes up.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "config.h"
#include "log.h"
#include "server.h"
#include "show.h"
#include "source.h"

#define EXIT_USAGE 2

enum task {
	TASK_SERVE,
	TASK_CHECK,
	TASK_SHOW_QEMU,
	TASK_SHOW_LIBVIRT,
};

/**
 * struct command_line - what was asked for
 * @task:      what to do
 * @link:      TASK_SHOW_...: the link
 * @source:    what the configuration is made of
 * @threshold: least important priority that is logged
 * @json:      --json
 */
struct command_line {
	enum task task;
	const char *link;
	struct config_source source;
	int threshold;
	bool json;
};

static const char usage_text[] =
"Usage: ivshmemd [OPTION]...\n"
"Serve shared memory and doorbells to virtual machines and host programs.\n"
"\n"
"What to serve (default: the links in " CONFIG_DEFAULT_FILE "\n"
"and " CONFIG_DEFAULT_FILE ".d/*.conf):\n"
"  -l, --link NAME[,KEY=VALUE]...\n"
"                          serve this link; may be repeated\n"
"  -c, --config FILE       serve the links in FILE and in FILE.d/*.conf\n"
"      --handshake-timeout SECONDS\n"
"                          drop a client that does not read its handshake\n"
"                          (default: 10)\n"
"      --control PATH|none answer `ivshmem server` at this socket (default:\n"
"                          " CONFIG_CONTROL_SOCKET " for the links\n"
"                          of the default file, none for others)\n"
"\n"
"Keys of a link:\n"
"  socket=PATH             default: " CONFIG_SOCKET_DIRECTORY "/NAME.sock\n"
"  size=SIZE               shared memory, a power of two (default: 4M)\n"
"  peers=NUMBER            slots, 2 to 64 (default: 8)\n"
"  vectors=NUMBER          doorbells per slot, 1 to 256 (default: 4)\n"
"  memory=memfd|hugetlb[:SIZE]|file:PATH\n"
"                          what the memory is (default: memfd)\n"
"  numa=NODES              NUMA nodes that it is on, as in 0 or 0,,2-3\n"
"                          (default: where the guests first touch it)\n"
"  layout=auto|SECTION[,,SECTION]...\n"
"                          sections of the region, each TYPE[=NAME][:SIZE]\n"
"                          [:vector=N][:queues=N] with the type raw, net or blk\n"
"                          (default: none, the region is not formatted)\n"
"  layout-force=yes|no     also format a file that holds something else\n"
"  mode=MODE               permissions of the socket (default: 0660)\n"
"  user=USER, group=GROUP  owner of the socket\n"
"  allow=NAME[:NAME]...    users and @groups that may join (default: all who\n"
"                          can open the socket)\n"
"  clients-per-user=NUMBER|none\n"
"                          slots that one user may have (default: none, all)\n"
"  connects-per-second=NUMBER|none\n"
"                          how often one user may connect (default: 100)\n"
"\n"
"Instead of serving:\n"
"      --check             check the configuration, print the links\n"
"      --json              with --check: print them as JSON\n"
"      --show-qemu LINK    print the options that attach a QEMU to LINK\n"
"      --show-libvirt LINK print the XML that attaches a libvirt domain\n"
"  -h, --help              print this\n"
"  -V, --version           print the version\n"
"\n"
"  -v, --verbose           log every step\n"
"  -q, --quiet             log warnings and errors only\n"
"\n"
"Exit status: 0 if all went well, 1 on failure, 2 if the command line or the\n"
"configuration is wrong.  See ivshmemd(8) and ivshmemd.conf(5).\n";

enum {
	OPTION_CHECK = 256,
	OPTION_JSON,
	OPTION_SHOW_QEMU,
	OPTION_SHOW_LIBVIRT,
	OPTION_HANDSHAKE_TIMEOUT,
	OPTION_CONTROL,
};

static const struct option options[] = {
	{ "link", required_argument, NULL, 'l' },
	{ "config", required_argument, NULL, 'c' },
	{ "handshake-timeout", required_argument, NULL,
	  OPTION_HANDSHAKE_TIMEOUT },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "show-qemu", required_argument, NULL, OPTION_SHOW_QEMU },
	{ "show-libvirt", required_argument, NULL, OPTION_SHOW_LIBVIRT },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void set_task(struct command_line *command, enum task task)
{
	if (command->task != TASK_SERVE) {
		log_error("--check, --show-qemu and --show-libvirt exclude "
			  "each other; give one");
		exit(EXIT_USAGE);
	}
	command->task = task;
	command->link = optarg;
}

static void refuse_option(const char *argument, int option)
{
	if (option == ':')
		log_error("%s: needs an argument; see ivshmemd --help",
			  argument);
	else
		log_error("%s: unknown option; see ivshmemd --help", argument);
	exit(EXIT_USAGE);
}

static void take_option(struct command_line *command, int option, char **argv)
{
	struct config_source *source = &command->source;

	switch (option) {
	case 'l':
		source->links[source->link_count++] = optarg;
		break;
	case 'c':
		source->file = optarg;
		break;
	case OPTION_HANDSHAKE_TIMEOUT:
		source->handshake_timeout = optarg;
		break;
	case OPTION_CONTROL:
		source->control = optarg;
		break;
	case OPTION_CHECK:
		set_task(command, TASK_CHECK);
		break;
	case OPTION_SHOW_QEMU:
		set_task(command, TASK_SHOW_QEMU);
		break;
	case OPTION_SHOW_LIBVIRT:
		set_task(command, TASK_SHOW_LIBVIRT);
		break;
	case OPTION_JSON:
		command->json = true;
		break;
	case 'v':
		command->threshold = LOG_DEBUG;
		break;
	case 'q':
		command->threshold = LOG_WARNING;
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(EXIT_SUCCESS);
	case 'V':
		puts("ivshmemd " IVSHMEMD_VERSION);
		exit(EXIT_SUCCESS);
	default:
		refuse_option(argv[optind - 1], option);
	}
}

static void parse_command_line(struct command_line *command, int argc,
			       char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":l:c:vqhV", options,
				     NULL)) != -1)
		take_option(command, option, argv);
	if (optind < argc) {
		log_error("%s: not an option; links are given with --link",
			  argv[optind]);
		exit(EXIT_USAGE);
	}
	if (command->json && command->task != TASK_CHECK) {
		log_error("--json goes with --check");
		exit(EXIT_USAGE);
	}
}

static int show_one(const struct command_line *command,
		    const struct config *config)
{
	const struct link_config *link = config_find(config, command->link);

	if (!link) {
		log_error("link %s: there is none of that name; see ivshmemd "
			  "--check", command->link);
		return EXIT_USAGE;
	}
	if (command->task == TASK_SHOW_QEMU)
		show_qemu(link);
	else
		show_libvirt(link);
	return EXIT_SUCCESS;
}

static int serve(const struct config_source *source, struct config *config,
		 const struct budget *budget)
{
	struct server server;
	int result;

	if (server_open(&server, source, config, budget))
		return EXIT_FAILURE;
	result = server_run(&server);
	server_close(&server);
	return result ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const struct command_line *command, struct config *config)
{
	struct config_error error;
	struct budget budget;

	if (command->task == TASK_SHOW_QEMU ||
	    command->task == TASK_SHOW_LIBVIRT)
		return show_one(command, config);
	budget_raise_limit();
	if (budget_make(config, &budget, &error)) {
		log_error("%s", error.text);
		return EXIT_USAGE;
	}
	log_debug("%" PRIu64 " of %" PRIu64 " descriptors needed; %u messages "
		  "per client may wait to be read", budget.needed,
		  budget.limit, budget.in_flight);
	if (command->task == TASK_SERVE)
		return serve(&command->source, config, &budget);
	if (command->json)
		show_json(config);
	else
		show_links(config);
	return EXIT_SUCCESS;
}

static int load_and_run(const struct command_line *command)
{
	struct config_error error;
	struct config config;
	int status;

	if (config_load(&command->source, &config, &error)) {
		log_error("%s", error.text);
		return EXIT_USAGE;
	}
	status = run(command, &config);
	config_free(&config);
	return status;
}

int main(int argc, char **argv)
{
	struct command_line command = { .threshold = LOG_INFO };
	int status;

	log_open(LOG_INFO);
	/* More than there can be arguments of --link. */
	command.source.links = calloc((size_t)argc + 1,
				      sizeof(*command.source.links));
	if (!command.source.links) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	parse_command_line(&command, argc, argv);
	log_open(command.threshold);
	status = load_and_run(&command);
	free(command.source.links);
	if (fflush(stdout) && status == EXIT_SUCCESS) {
		log_error("standard output: cannot write");
		status = EXIT_FAILURE;
	}
	return status;
}
