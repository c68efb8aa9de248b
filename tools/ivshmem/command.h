/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of subcommands, and what all of them share: exit codes, messages,
 * common options.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/**
 * struct command - a subcommand
 * @name:      its name
 * @arguments: synopsis of what follows the name
 * @summary:   one line for the list of commands
 * @help:      the options and what else --help tells
 * @run:       the subcommand; argv[0] is its name; returns the exit code
 */
struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *help;
	enum exit_code (*run)(int argc, char **argv);
};

extern const struct command command_list;
extern const struct command command_info;
extern const struct command command_format;
extern const struct command command_peers;
extern const struct command command_ring;
extern const struct command command_wait;
extern const struct command command_dump;
extern const struct command command_poke;
extern const struct command command_ping;
extern const struct command command_send;
extern const struct command command_recv;
extern const struct command command_tap;
extern const struct command command_top;
extern const struct command command_server;
extern const struct command command_doctor;

/* Values of long options that have no letter, in struct option.val. */
enum {
	OPTION_HELP = 256,
	OPTION_JSON,
	OPTION_FIRST_OWN,
};

#define COMMON_OPTIONS \
	{ "help", no_argument, NULL, OPTION_HELP }, \
	{ "json", no_argument, NULL, OPTION_JSON }

#define HELP_OPTION_HELP \
	"  --help               show this text\n"
#define HELP_OPTION_JSON \
	"  --json               print JSON\n"

/** show_help() - print the help of a subcommand; always EXIT_DONE */
enum exit_code show_help(const struct command *command);

/** complain() - "ivshmem: " and the message and a new line on stderr */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** misused() - complain() and point to --help; always EXIT_USAGE */
enum exit_code misused(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* COMMAND_H */
