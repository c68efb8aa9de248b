// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem server: how a running ivshmemd is doing.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "command.h"
#include "server_control.h"
#include "server_status.h"

enum { OPTION_CONTROL = OPTION_FIRST_OWN };

/* As they are, for a pipe: what is not metrics is an object with an error. */
static enum exit_code print_metrics(const char *path)
{
	char *text = server_ask(path, "metrics");
	bool refused;

	if (!text)
		return EXIT_FAILED;
	refused = text[0] != '#';
	if (refused)
		complain("%s: the answer is not one of ivshmemd's", path);
	else
		fputs(text, stdout);
	free(text);
	return refused ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code answer(const char *question, const char *path, bool json)
{
	if (!strcmp(question, "status"))
		return server_status(path, json);
	if (strcmp(question, "metrics"))
		return misused(&command_server, "%s: expected status or "
			       "metrics", question);
	if (json)
		return misused(&command_server, "--json goes with status");
	return print_metrics(path);
}

static enum exit_code run_server(int argc, char **argv)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, OPTION_CONTROL },
		COMMON_OPTIONS,
		{ 0 }
	};
	const char *path = CONTROL_SOCKET;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_CONTROL:
			path = optarg;
			break;
		case OPTION_HELP:
			return show_help(&command_server);
		case OPTION_JSON:
			json = true;
			break;
		default:
			return misused(&command_server, NULL);
		}
	}
	if (argc - optind != 1)
		return misused(&command_server, "what is to be shown?");
	return answer(argv[optind], path, json);
}

const struct command command_server = {
	.name = "server",
	.arguments = "{status [--json] | metrics} [--control PATH]",
	.summary = "Show what a running ivshmemd serves, and to whom.",
	.help =
		"  status               links, slots, who is connected, refusals\n"
		"  metrics              the same in numbers, in Prometheus' text format\n"
		"  --control PATH       the control socket of the server (default:\n"
		"                       " CONTROL_SOCKET ")\n"
		HELP_OPTION_JSON
		HELP_OPTION_HELP,
	.run = run_server,
};
