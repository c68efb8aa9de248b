/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keys of the configuration and what their values mean, the same for the
 * configuration file and for the command line.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "config_error.h"
#include "nodes.h"

/* Digits only: strtoull() itself takes spaces, signs and hexadecimal too. */
static int parse_number(const char *text, int base, uint64_t *number,
			const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &stop, base);
	*end = stop;
	return -errno;
}

static int parse_whole(const char *text, int base, uint64_t *number)
{
	const char *end;

	if (parse_number(text, base, number, &end) || *end)
		return -EINVAL;
	return 0;
}

static int parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "kmgtKMGT";
	const char *unit;
	unsigned int shift;
	const char *end;

	if (parse_number(text, 10, size, &end))
		return -EINVAL;
	if (!*end)
		return 0;
	unit = strchr(units, *end);
	if (!unit || end[1])
		return -EINVAL;
	shift = 10 * (unsigned int)((unit - units) % 4 + 1);
	if (*size > UINT64_MAX >> shift)
		return -ERANGE;
	*size <<= shift;
	return 0;
}

static bool is_power_of_two(uint64_t number)
{
	return number && !(number & (number - 1));
}

static int refuse_odd_size(const char *value, uint64_t size,
			   struct config_error *error)
{
	uint64_t lower = 1ULL << (63 - __builtin_clzll(size));
	char lower_text[32], upper_text[32];

	config_format_size(lower, lower_text);
	if (lower >> 62)
		return config_fail(error, "size=%s: not a power of two; "
				   "use %s", value, lower_text);
	return config_fail(error, "size=%s: not a power of two, QEMU would "
			   "abort; use %s or %s", value, lower_text,
			   config_format_size(lower << 1, upper_text));
}

static int set_size(struct link_config *link, const char *value,
		    struct config_error *error)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t least = page > LINK_MIN_SIZE ? page : LINK_MIN_SIZE;
	uint64_t size;
	char text[32];

	if (parse_size(value, &size))
		return config_fail(error, "size=%s: expected a power of two of "
				   "at least 4096, such as 65536, 4M or 1G",
				   value);
	if (size < least)
		return config_fail(error, "size=%s: too small; use %s or a "
				   "larger power of two", value,
				   config_format_size(least, text));
	if (!is_power_of_two(size))
		return refuse_odd_size(value, size, error);
	link->size = size;
	return 0;
}

static int set_count(unsigned int *count, const char *key, const char *value,
		     unsigned int least, unsigned int most,
		     struct config_error *error)
{
	uint64_t number;

	if (parse_whole(value, 10, &number) || number < least || number > most)
		return config_fail(error, "%s=%s: expected a number from %u to "
				   "%u", key, value, least, most);
	*count = (unsigned int)number;
	return 0;
}

static int set_peers(struct link_config *link, const char *value,
		     struct config_error *error)
{
	return set_count(&link->peers, "peers", value, LINK_MIN_PEERS,
			 LINK_MAX_PEERS, error);
}

static int set_vectors(struct link_config *link, const char *value,
		       struct config_error *error)
{
	return set_count(&link->vectors, "vectors", value, 1, LINK_MAX_VECTORS,
			 error);
}

static int set_path(char **path, const char *key, const char *value,
		    const char *text, struct config_error *error)
{
	size_t length = strlen(text);
	char *copy;

	if (text[0] != '/' || text[length - 1] == '/')
		return config_fail(error, "%s=%s: expected an absolute path "
				   "of a file", key, value);
	copy = strdup(text);
	if (!copy)
		return config_fail(error, "out of memory");
	free(*path);
	*path = copy;
	return 0;
}

static int set_socket(struct link_config *link, const char *value,
		      struct config_error *error)
{
	return set_path(&link->socket.path, "socket", value, value, error);
}

static int set_huge_page(struct link_config *link, const char *value,
			 const char *text, struct config_error *error)
{
	char path[96];
	uint64_t page;

	if (parse_size(text, &page) || !is_power_of_two(page))
		return config_fail(error, "memory=%s: expected hugetlb: and "
				   "the size of a huge page, such as "
				   "hugetlb:2M", value);
	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
		 page >> 10);
	if (access(path, F_OK))
		return config_fail(error, "memory=%s: this machine has no huge "
				   "pages of that size; see "
				   "/sys/kernel/mm/hugepages", value);
	link->huge_page = page;
	return 0;
}

static int set_memory(struct link_config *link, const char *value,
		      struct config_error *error)
{
	if (!strcmp(value, "memfd")) {
		link->memory = MEMORY_MEMFD;
		return 0;
	}
	if (!strcmp(value, "hugetlb")) {
		link->memory = MEMORY_HUGETLB;
		return 0;
	}
	if (!strncmp(value, "hugetlb:", 8)) {
		link->memory = MEMORY_HUGETLB;
		return set_huge_page(link, value, value + 8, error);
	}
	if (!strncmp(value, "file:", 5)) {
		link->memory = MEMORY_FILE;
		return set_path(&link->file, "memory", value, value + 5, error);
	}
	return config_fail(error, "memory=%s: expected memfd, hugetlb, "
			   "hugetlb:SIZE or file:PATH", value);
}

static int parse_mode(mode_t *result, const char *key, const char *value,
		      struct config_error *error)
{
	uint64_t mode;

	/* Connecting to a socket takes permission to write. */
	if (parse_whole(value, 8, &mode) || mode > 0777 || !(mode & 0222))
		return config_fail(error, "%s=%s: expected an octal mode "
				   "with which somebody may write, such as "
				   "0660", key, value);
	*result = (mode_t)mode;
	return 0;
}

static int set_mode(struct link_config *link, const char *value,
		    struct config_error *error)
{
	return parse_mode(&link->socket.mode, "mode", value, error);
}

static int find_user(const char *name, uint32_t *id)
{
	struct passwd *user = getpwnam(name);
	uint64_t number;

	if (user) {
		*id = user->pw_uid;
		return 0;
	}
	if (parse_whole(name, 10, &number) || number >= UINT32_MAX)
		return -ENOENT;
	*id = (uint32_t)number;
	return 0;
}

static int find_group(const char *name, uint32_t *id)
{
	struct group *group = getgrnam(name);
	uint64_t number;

	if (group) {
		*id = group->gr_gid;
		return 0;
	}
	if (parse_whole(name, 10, &number) || number >= UINT32_MAX)
		return -ENOENT;
	*id = (uint32_t)number;
	return 0;
}

static int set_user(struct link_config *link, const char *value,
		    struct config_error *error)
{
	if (find_user(value, &link->socket.user))
		return config_fail(error, "user=%s: there is no such user; "
				   "expected a name or a number", value);
	return 0;
}

static int parse_group(gid_t *group, const char *key, const char *value,
		       struct config_error *error)
{
	if (find_group(value, group))
		return config_fail(error, "%s=%s: there is no such group; "
				   "expected a name or a number (groupadd "
				   "--system makes one)", key, value);
	return 0;
}

static int set_group(struct link_config *link, const char *value,
		     struct config_error *error)
{
	return parse_group(&link->socket.group, "group", value, error);
}

static int allow_one(struct link_config *link, const char *name,
		     struct config_error *error)
{
	struct allowed_id entry = { .is_group = name[0] == '@' };
	struct allowed_id *allowed;

	if (entry.is_group ? find_group(name + 1, &entry.id)
			   : find_user(name, &entry.id))
		return config_fail(error, "allow: there is no such %s: \"%s\"; "
				   "expected USER or @GROUP, several "
				   "separated by colons",
				   entry.is_group ? "group" : "user", name);
	allowed = realloc(link->allowed,
			  (link->allowed_count + 1) * sizeof(*allowed));
	if (!allowed)
		return config_fail(error, "out of memory");
	link->allowed = allowed;
	allowed[link->allowed_count++] = entry;
	return 0;
}

static int set_allow(struct link_config *link, const char *value,
		     struct config_error *error)
{
	char *copy = strdup(value);
	char *rest = copy;
	char *name;
	int result = 0;

	if (!copy)
		return config_fail(error, "out of memory");
	while (!result && (name = strsep(&rest, ":")))
		result = allow_one(link, name, error);
	free(copy);
	return result;
}

/* What it says is checked once size, peers and vectors are known. */
static int set_layout(struct link_config *link, const char *value,
		      struct config_error *error)
{
	if (!strcmp(value, "none"))
		return 0;
	link->layout = strdup(value);
	if (!link->layout)
		return config_fail(error, "out of memory");
	return 0;
}

static int set_numa(struct link_config *link, const char *value,
		    struct config_error *error)
{
	if (!nodes_are_there(value))
		return config_fail(error, "numa=%s: expected NUMA nodes of "
				   "this machine, as in 0 or 0,2-3 (numactl "
				   "--hardware lists them)", value);
	link->numa = strdup(value);
	return link->numa ? 0 : config_fail(error, "out of memory");
}

static int set_layout_force(struct link_config *link, const char *value,
			    struct config_error *error)
{
	link->layout_force = !strcmp(value, "yes");
	if (!link->layout_force && strcmp(value, "no"))
		return config_fail(error, "layout-force=%s: expected yes or "
				   "no", value);
	return 0;
}

static int set_limit(unsigned int *limit, const char *key, const char *value,
		     unsigned int most, struct config_error *error)
{
	if (!strcmp(value, "none")) {
		*limit = 0;
		return 0;
	}
	return set_count(limit, key, value, 1, most, error);
}

static int set_clients_per_user(struct link_config *link, const char *value,
				struct config_error *error)
{
	return set_limit(&link->clients_per_user, "clients-per-user", value,
			 LINK_MAX_PEERS, error);
}

static int set_connects_per_second(struct link_config *link, const char *value,
				   struct config_error *error)
{
	return set_limit(&link->connects_per_second, "connects-per-second",
			 value, LINK_MAX_CONNECTS, error);
}

static const struct link_key {
	const char *name;
	int (*set)(struct link_config *link, const char *value,
		   struct config_error *error);
} link_keys[] = {
	{ "socket", set_socket },
	{ "size", set_size },
	{ "peers", set_peers },
	{ "vectors", set_vectors },
	{ "memory", set_memory },
	{ "numa", set_numa },
	{ "layout", set_layout },
	{ "layout-force", set_layout_force },
	{ "mode", set_mode },
	{ "user", set_user },
	{ "group", set_group },
	{ "allow", set_allow },
	{ "clients-per-user", set_clients_per_user },
	{ "connects-per-second", set_connects_per_second },
};

#define LINK_KEYS (sizeof(link_keys) / sizeof(*link_keys))

static int refuse_unknown_key(const char *key, struct config_error *error)
{
	char known[224] = "";
	size_t used = 0;

	for (size_t i = 0; i < LINK_KEYS; i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used,
					 " %s", link_keys[i].name);
	/* What a single comma leaves of raw=lab:32M. */
	if (!strcmp(key, "raw") || !strcmp(key, "net") || !strcmp(key, "blk"))
		return config_fail(error, "unknown key \"%s\"; a section of "
				   "layout= has the comma before it written "
				   "twice in --link", key);
	return config_fail(error, "unknown key \"%s\"; a link has:%s", key,
			   known);
}

int config_set_link(struct link_config *link, const char *key,
		    const char *value, struct config_error *error)
{
	for (size_t i = 0; i < LINK_KEYS; i++) {
		if (strcmp(link_keys[i].name, key))
			continue;
		if (link->seen & 1U << i)
			return config_fail(error, "%s= is set twice for link "
					   "%s; remove one", key, link->name);
		link->seen |= 1U << i;
		return link_keys[i].set(link, value, error);
	}
	return refuse_unknown_key(key, error);
}

static int set_handshake_timeout(struct config *config, const char *value,
				 struct config_error *error)
{
	return set_count(&config->handshake_timeout, "handshake-timeout",
			 value, 1, 3600, error);
}

static int set_control(struct config *config, const char *value,
		       struct config_error *error)
{
	if (strcmp(value, "none"))
		return set_path(&config->control.path, "control", value, value,
				error);
	free(config->control.path);
	config->control.path = NULL;
	return 0;
}

static int set_control_mode(struct config *config, const char *value,
			    struct config_error *error)
{
	return parse_mode(&config->control.mode, "control-mode", value, error);
}

static int set_control_group(struct config *config, const char *value,
			     struct config_error *error)
{
	return parse_group(&config->control.group, "control-group", value,
			   error);
}

static int set_metrics_file(struct config *config, const char *value,
			    struct config_error *error)
{
	if (!strcmp(value, "none"))
		return 0;
	return set_path(&config->metrics_file, "metrics-file", value, value,
			error);
}

static const struct server_key {
	const char *name;
	int (*set)(struct config *config, const char *value,
		   struct config_error *error);
} server_keys[] = {
	{ "handshake-timeout", set_handshake_timeout },
	{ "control", set_control },
	{ "control-mode", set_control_mode },
	{ "control-group", set_control_group },
	{ "metrics-file", set_metrics_file },
};

#define SERVER_KEYS (sizeof(server_keys) / sizeof(*server_keys))

static int refuse_unknown_server_key(const char *key,
				     struct config_error *error)
{
	char known[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < SERVER_KEYS; i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used,
					 " %s", server_keys[i].name);
	return config_fail(error, "unknown key \"%s\"; the server has:%s",
			   key, known);
}

int config_set_server(struct config *config, const char *key,
		      const char *value, struct config_error *error)
{
	for (size_t i = 0; i < SERVER_KEYS; i++) {
		if (strcmp(server_keys[i].name, key))
			continue;
		if (config->seen & 1U << i)
			return config_fail(error, "%s is set twice; remove one",
					   key);
		config->seen |= 1U << i;
		return server_keys[i].set(config, value, error);
	}
	return refuse_unknown_server_key(key, error);
}
