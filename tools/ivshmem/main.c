// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ivshmem command line tool: finds the subcommand and runs it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libivshmem.h>

#include "address.h"
#include "command.h"

static const struct command *const commands[] = {
	&command_list,
	&command_info,
	&command_format,
	&command_peers,
	&command_ring,
	&command_wait,
	&command_dump,
	&command_poke,
	&command_ping,
	&command_send,
	&command_recv,
	&command_tap,
	&command_top,
	&command_server,
	&command_doctor,
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("ivshmem: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

enum exit_code misused(const struct command *command, const char *format, ...)
{
	va_list args;

	if (format) {
		fprintf(stderr, "ivshmem %s: ", command->name);
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "usage: ivshmem %s %s\n"
			"`ivshmem %s --help` tells more.\n",
		command->name, command->arguments, command->name);
	return EXIT_USAGE;
}

enum exit_code show_help(const struct command *command)
{
	printf("usage: ivshmem %s %s\n%s\n\n%s", command->name,
	       command->arguments, command->summary, command->help);
	return EXIT_DONE;
}

static void print_usage(FILE *out)
{
	size_t i;

	fprintf(out,
		"usage: ivshmem [--driver NAME] COMMAND [ARGUMENTS]\n"
		"       ivshmem help [COMMAND] | --help | --version\n\n"
		"Memory shared between virtual machines, and doorbells to wake "
		"each other.\n\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name,
			commands[i]->summary);
	fprintf(out,
		"\nA DEVICE is /dev/ivshmemN in a guest, or "
		"unix:/path/of/a/link.sock on the host;\n"
		"where it may be left out, it is the only /dev/ivshmem*.\n"
		"With --driver vfio, or pci (through sysfs, without interrupts), "
		"a device is\n"
		"driven by this program instead of the kernel: a DEVICE is "
		"0000:00:10.0 then, the\n"
		"same as vfio:0000:00:10.0 or pci:0000:00:10.0 without it.\n"
		"Sizes and offsets can be written as 4096, 0x1000, 4K, 1M, "
		"2G.\n"
		"Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static enum exit_code unknown(const char *name)
{
	fprintf(stderr, "ivshmem: %s: no such command\n\n", name);
	print_usage(stderr);
	return EXIT_USAGE;
}

static enum exit_code help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	command = find(argv[1]);
	return command ? show_help(command) : unknown(argv[1]);
}

/* A link with many peers needs a descriptor for each of their vectors. */
static void allow_many_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * No file that is opened later may get the number of a standard stream that is
 * closed: messages would be written into it.  Neither can be used: writing to
 * the one and reading from the other fails as it does with closed ones.
 */
static bool occupy_standard_streams(void)
{
	int fd, mode;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
		/* The lowest number that is free, and those below are not. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode) != fd)
			return false;
	}
	return true;
}

/* "--driver NAME" before the command; false after a message. */
static bool take_driver(int *argc, char ***argv)
{
	static const char option[] = "--driver";
	const char *name;

	if (*argc < 2 || strcmp((*argv)[1], option))
		return true;
	name = *argc > 2 ? (*argv)[2] : "";
	if (!choose_driver(name)) {
		fprintf(stderr, "ivshmem: %s %s: expected ivshmem, vfio or "
				"pci\n\n", option, name);
		print_usage(stderr);
		return false;
	}
	*argc -= 2;
	*argv += 2;
	return true;
}

static enum exit_code run(int argc, char **argv)
{
	const struct command *command;

	if (!take_driver(&argc, &argv))
		return EXIT_USAGE;
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("ivshmem %s (libivshmem %s)\n", IVSHMEM_VERSION,
		       ivshmem_version());
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return help(argc - 1, argv + 1);
	command = find(argv[1]);
	if (!command)
		return unknown(argv[1]);
	allow_many_descriptors();
	return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	enum exit_code ret;
	int earlier;

	if (!occupy_standard_streams())
		return EXIT_FAILED;
	ret = run(argc, argv);
	/* Output that did not get there was not printed. */
	earlier = ferror(stdout);
	errno = 0;
	if (!fflush(stdout) && !earlier)
		return ret;
	complain("standard output: %s", strerror(errno ? errno : EIO));
	return ret == EXIT_DONE ? EXIT_FAILED : ret;
}
