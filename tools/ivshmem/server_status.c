// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem server status: what a running ivshmemd says of its links.  The names
 * of users and programs are looked up here: the server would have to wait for
 * them, and may not see the processes of others.
 */
#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "output.h"
#include "server_control.h"
#include "server_status.h"

#define TEXT	64

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(member(object, key));
}

static const char *text(struct json_object *object, const char *key)
{
	const char *value = json_object_get_string(member(object, key));

	return value ? value : "-";
}

/* Whoever names a file or a process must not write to the terminal. */
static void print_clean(const char *word, int width)
{
	int printed = 0;

	for (; *word; word++, printed++)
		putchar(isprint((unsigned char)*word) ? *word : '?');
	printf("%*s", printed < width ? width - printed : 0, "");
}

/* The process may have gone, and somebody else have its number. */
static bool find_program(int64_t pid, uint64_t uid, char name[TEXT])
{
	char path[TEXT];
	struct stat st;
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "/proc/%" PRId64, pid);
	if (pid <= 0 || stat(path, &st) || st.st_uid != uid)
		return false;
	strcat(path, "/comm");
	file = fopen(path, "re");
	if (!file)
		return false;
	found = fgets(name, TEXT, file);
	fclose(file);
	if (found)
		name[strcspn(name, "\n")] = '\0';
	return found;
}

static void name_slot(struct json_object *slot)
{
	uint64_t uid = number(slot, "uid");
	const struct passwd *user = getpwuid((uid_t)uid);
	char program[TEXT];

	if (!json_object_is_type(slot, json_type_object))
		return;
	if (user)
		add_string(slot, "user", user->pw_name);
	else
		add_null(slot, "user");
	if (find_program(json_object_get_int64(member(slot, "pid")), uid,
			 program))
		add_string(slot, "program", program);
	else
		add_null(slot, "program");
}

static size_t length_of(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ?
	       json_object_array_length(array) : 0;
}

static void name_slots(struct json_object *links)
{
	for (size_t i = 0; i < length_of(links); i++) {
		struct json_object *slots =
			member(json_object_array_get_idx(links, i), "slots");

		for (size_t j = 0; j < length_of(slots); j++)
			name_slot(json_object_array_get_idx(slots, j));
	}
}

static void print_server(struct json_object *status)
{
	struct json_object *configuration = member(status, "configuration");
	struct json_object *error = member(configuration, "error");

	fputs("ivshmemd ", stdout);
	print_clean(text(status, "version"), 0);
	printf(", pid %" PRIu64 ", since ", number(status, "pid"));
	print_clean(text(status, "since"), 0);
	fputs("\nconfiguration of ", stdout);
	print_clean(text(configuration, "loaded"), 0);
	printf(", %" PRIu64 " reloads, %" PRIu64 " of them refused\n",
	       number(configuration, "reloads"),
	       number(configuration, "failures"));
	if (error) {
		fputs("not reloaded: ", stdout);
		print_clean(json_object_get_string(error), 0);
		putchar('\n');
	}
}

static uint64_t sum(struct json_object *numbers)
{
	struct json_object_iter i;
	uint64_t total = 0;

	if (!json_object_is_type(numbers, json_type_object))
		return 0;
	json_object_object_foreachC(numbers, i)
		total += json_object_get_uint64(i.val);
	return total;
}

static void print_link(struct json_object *link)
{
	struct json_object *counts = member(link, "counts");
	char size[32], taken[32];

	print_clean(text(link, "name"), 16);
	snprintf(taken, sizeof(taken), "%zu/%" PRIu64,
		 length_of(member(link, "slots")), number(link, "peers"));
	putchar(' ');
	print_clean(text(link, "state"), 7);
	printf(" %-7s %-10s %7" PRIu64 " %8" PRIu64 " %8" PRIu64
	       " %9" PRIu64 " %7" PRIu64 " ", taken,
	       format_size(number(link, "size"), size),
	       number(link, "vectors"), number(counts, "connects"),
	       sum(member(link, "refusals")), number(counts, "reclaimed"),
	       number(counts, "crashes"));
	print_clean(text(link, "socket"), 0);
	putchar('\n');
}

static void print_links(struct json_object *links)
{
	printf("\n%-16s %-7s %-7s %-10s %7s %8s %8s %9s %7s %s\n", "LINK",
	       "STATE", "SLOTS", "SIZE", "VECTORS", "CONNECTS", "REFUSED",
	       "RECLAIMED", "CRASHES", "SOCKET");
	for (size_t i = 0; i < length_of(links); i++)
		print_link(json_object_array_get_idx(links, i));
}

static void print_slot(const char *link, struct json_object *slot)
{
	print_clean(link, 16);
	printf(" %4" PRIu64 " ", number(slot, "slot"));
	print_clean(text(slot, "state"), 9);
	printf(" %7" PRId64 " %10" PRIu64 " ",
	       json_object_get_int64(member(slot, "pid")),
	       number(slot, "uid"));
	print_clean(text(slot, "user"), 14);
	putchar(' ');
	print_clean(text(slot, "program"), 15);
	putchar(' ');
	print_clean(text(slot, "since"), 0);
	putchar('\n');
}

static void print_slots(struct json_object *links)
{
	bool any = false;

	for (size_t i = 0; i < length_of(links); i++) {
		struct json_object *link = json_object_array_get_idx(links, i);
		struct json_object *slots = member(link, "slots");

		for (size_t j = 0; j < length_of(slots); j++) {
			if (!any)
				printf("\n%-16s %4s %-9s %7s %10s %-14s %-15s "
				       "%s\n", "LINK", "SLOT", "STATE", "PID",
				       "UID", "USER", "PROGRAM", "SINCE");
			any = true;
			print_slot(text(link, "name"),
				   json_object_array_get_idx(slots, j));
		}
	}
}

static void print_refusals(struct json_object *link)
{
	struct json_object *refusals = member(link, "refusals");
	struct json_object_iter i;
	bool any = false;

	if (!sum(refusals))
		return;
	fputs("refused on ", stdout);
	print_clean(text(link, "name"), 0);
	json_object_object_foreachC(refusals, i) {
		if (!json_object_get_uint64(i.val))
			continue;
		fputs(any ? ", " : ": ", stdout);
		print_clean(i.key, 0);
		printf(" %" PRIu64, json_object_get_uint64(i.val));
		any = true;
	}
	putchar('\n');
}

static void print_table(struct json_object *status)
{
	struct json_object *links = member(status, "links");

	print_server(status);
	print_links(links);
	print_slots(links);
	if (length_of(links))
		putchar('\n');
	for (size_t i = 0; i < length_of(links); i++)
		print_refusals(json_object_array_get_idx(links, i));
}

enum exit_code server_status(const char *path, bool json)
{
	char *answer = server_ask(path, "status");
	struct json_object *status;

	if (!answer)
		return EXIT_FAILED;
	status = json_tokener_parse(answer);
	free(answer);
	if (!length_of(member(status, "links"))) {
		complain("%s: the answer is not one of ivshmemd's", path);
		json_object_put(status);
		return EXIT_FAILED;
	}
	name_slots(member(status, "links"));
	if (json) {
		print_json(status);
		return EXIT_DONE;
	}
	print_table(status);
	json_object_put(status);
	return EXIT_DONE;
}
