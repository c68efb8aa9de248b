/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The links of a configuration: defining, finding and checking them, and the
 * argument of --link.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "format.h"
#include "memory.h"

#define DEFAULT_SIZE			(4ULL << 20)
#define DEFAULT_PEERS			8
#define DEFAULT_VECTORS			4
#define DEFAULT_MODE			0660
#define DEFAULT_HANDSHAKE_TIMEOUT	10
#define DEFAULT_CONNECTS_PER_SECOND	100

static void socket_init(struct socket_config *socket, const char *key)
{
	socket->key = key;
	socket->path = NULL;
	socket->mode = DEFAULT_MODE;
	socket->user = (uid_t)-1;
	socket->group = (gid_t)-1;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config->handshake_timeout = DEFAULT_HANDSHAKE_TIMEOUT;
	socket_init(&config->control, "control");
}

int config_use_control(struct config *config, struct config_error *error)
{
	config->control.path = strdup(CONFIG_CONTROL_SOCKET);
	return config->control.path ? 0 : config_fail(error, "out of memory");
}

static void link_clear(struct link_config *link)
{
	free(link->socket.path);
	free(link->file);
	free(link->numa);
	free(link->layout);
	free(link->allowed);
	free(link->origin);
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->link_count; i++)
		link_clear(&config->links[i]);
	free(config->links);
	free(config->control.path);
	free(config->metrics_file);
	config_init(config);
}

static bool copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static bool copy_allowed(struct link_config *to, const struct link_config *from)
{
	size_t size = from->allowed_count * sizeof(*from->allowed);

	to->allowed = size ? malloc(size) : NULL;
	if (to->allowed)
		memcpy(to->allowed, from->allowed, size);
	return to->allowed || !size;
}

struct link_config *link_config_copy(const struct link_config *link)
{
	struct link_config *copy = malloc(sizeof(*copy));
	bool complete;

	if (!copy)
		return NULL;
	*copy = *link;
	/* All of them, so that no pointer is left that is not the copy's own. */
	complete = copy_text(&copy->socket.path, link->socket.path);
	complete = copy_text(&copy->file, link->file) && complete;
	complete = copy_text(&copy->numa, link->numa) && complete;
	complete = copy_text(&copy->layout, link->layout) && complete;
	complete = copy_text(&copy->origin, link->origin) && complete;
	complete = copy_allowed(copy, link) && complete;
	if (complete)
		return copy;
	link_config_free(copy);
	return NULL;
}

void link_config_free(struct link_config *link)
{
	if (link)
		link_clear(link);
	free(link);
}

struct link_config *config_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->link_count; i++) {
		if (!strcmp(config->links[i].name, name))
			return &config->links[i];
	}
	return NULL;
}

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyz" \
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* The name becomes part of file names, of QEMU's ids and of XML. */
static bool name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return strspn(name, LETTERS_AND_DIGITS) > 0 &&
	       strspn(name, LETTERS_AND_DIGITS "._-") == length &&
	       length <= LINK_NAME_LENGTH;
}

static int link_init(struct link_config *link, const char *name,
		     const char *origin)
{
	memset(link, 0, sizeof(*link));
	strcpy(link->name, name);
	link->size = DEFAULT_SIZE;
	link->peers = DEFAULT_PEERS;
	link->vectors = DEFAULT_VECTORS;
	link->connects_per_second = DEFAULT_CONNECTS_PER_SECOND;
	socket_init(&link->socket, "socket");
	link->origin = strdup(origin);
	if (asprintf(&link->socket.path, CONFIG_SOCKET_DIRECTORY "/%s.sock",
		     name) < 0)
		link->socket.path = NULL;
	if (link->origin && link->socket.path)
		return 0;
	free(link->origin);
	free(link->socket.path);
	return -1;
}

void link_config_replace(struct link_config *link, struct link_config *copy)
{
	link_clear(link);
	*link = *copy;
	free(copy);
}

struct link_config *config_add_link(struct config *config, const char *name,
				    const char *origin,
				    struct config_error *error)
{
	struct link_config *links;
	struct link_config *twin = config_find(config, name);

	if (!name_is_valid(name)) {
		config_fail(error, "link name \"%.64s\": expected 1 to %d "
			    "letters, digits and . _ -, the first of them a "
			    "letter or digit", name, LINK_NAME_LENGTH);
		return NULL;
	}
	if (twin) {
		config_fail(error, "link %s is already defined by %s; give "
			    "this one another name", name, twin->origin);
		return NULL;
	}
	links = realloc(config->links,
			(config->link_count + 1) * sizeof(*links));
	if (links)
		config->links = links;
	if (!links || link_init(&links[config->link_count], name, origin)) {
		config_fail(error, "out of memory");
		return NULL;
	}
	return &links[config->link_count++];
}

/*
 * Cut the next item off a comma-separated list, in place; ",," stands for a
 * comma, as in QEMU's options.  Returns NULL at the end.
 */
static char *next_item(char **rest)
{
	char *item = *rest;
	char *to = item;
	char *from = item;

	if (!item)
		return NULL;
	while (*from) {
		if (from[0] == ',' && from[1] != ',') {
			*to = '\0';
			*rest = from + 1;
			return item;
		}
		from += *from == ',';
		*to++ = *from++;
	}
	*to = '\0';
	*rest = NULL;
	return item;
}

static int set_items(struct link_config *link, char *rest,
		     struct config_error *error)
{
	char *item;
	char *value;

	while ((item = next_item(&rest))) {
		value = strchr(item, '=');
		if (!value)
			return config_fail(error, "\"%s\": expected KEY=VALUE"
					   "; a comma in a value is written "
					   "twice", item);
		*value++ = '\0';
		if (config_set_link(link, item, value, error))
			return -1;
	}
	return 0;
}

int config_parse_link_option(struct config *config, const char *text,
			     struct config_error *error)
{
	char origin[LINK_NAME_LENGTH + 16];
	struct link_config *link;
	char *copy = strdup(text);
	char *rest = copy;
	char *name = next_item(&rest);
	int result = -1;

	if (!name)
		return config_fail(error, "out of memory");
	snprintf(origin, sizeof(origin), "--link %.*s", LINK_NAME_LENGTH, name);
	link = config_add_link(config, name, origin, error);
	if (link)
		result = set_items(link, rest, error);
	if (result)
		config_blame(error, link ? origin : "--link");
	free(copy);
	return result;
}

const char *config_format_size(uint64_t size, char buffer[32])
{
	static const char units[] = "\0KMGT";
	unsigned int unit = 0;

	while (size && !(size & 1023) && unit < 4) {
		size >>= 10;
		unit++;
	}
	snprintf(buffer, 32, "%" PRIu64 "%.1s", size, &units[unit]);
	return buffer;
}

static int check_huge_page(const struct link_config *link,
			   struct config_error *error)
{
	uint64_t page = link->huge_page;
	char size_text[32], page_text[32];

	if (link->memory != MEMORY_HUGETLB)
		return 0;
	if (!page)
		page = memory_huge_page();
	if (link->size >= page)
		return 0;
	return config_fail(error, "size=%s with memory=hugetlb: less than one "
			   "huge page; use size=%s or memory=memfd",
			   config_format_size(link->size, size_text),
			   config_format_size(page, page_text));
}

static int check_layout(const struct link_config *link,
			struct config_error *error)
{
	struct ivregion_superblock superblock;
	struct ivregion region;

	if (!link->layout)
		return 0;
	return format_plan(link, &superblock, &region, error);
}

static int check_socket(const struct socket_config *socket,
			struct config_error *error)
{
	struct sockaddr_un address;

	if (strlen(socket->path) < sizeof(address.sun_path))
		return 0;
	return config_fail(error, "%s=%s: longer than the %zu characters that "
			   "a socket's path can have; use a shorter one",
			   socket->key, socket->path,
			   sizeof(address.sun_path) - 1);
}

static int check_link(const struct link_config *link,
		      struct config_error *error)
{
	if (link->peers * link->vectors > LINK_MAX_EVENTFDS)
		return config_fail(error, "peers=%u times vectors=%u is more "
				   "than %d doorbells; lower one of them",
				   link->peers, link->vectors,
				   LINK_MAX_EVENTFDS);
	if (check_socket(&link->socket, error))
		return -1;
	if (link->layout_force && !link->layout)
		return config_fail(error, "layout-force=yes without layout=; "
				   "set layout=, or remove it");
	if (link->numa && link->memory == MEMORY_FILE)
		return config_fail(error, "link %s: numa=%s: goes with "
				   "memory=memfd or hugetlb; where a file is, "
				   "its file system decides", link->name,
				   link->numa);
	return check_huge_page(link, error) || check_layout(link, error) ?
	       -1 : 0;
}

static int compare_pair(const struct link_config *link,
			const struct link_config *other,
			struct config_error *error)
{
	if (!strcmp(link->socket.path, other->socket.path))
		return config_fail(error, "socket=%s is already that of link "
				   "%s, defined by %s; give each link its own",
				   link->socket.path, other->name,
				   other->origin);
	if (link->file && other->file && !strcmp(link->file, other->file))
		return config_fail(error, "memory=file:%s is already that of "
				   "link %s, defined by %s; give each link its "
				   "own", link->file, other->name,
				   other->origin);
	return 0;
}

int config_check_pair(const struct link_config *link,
		      const struct link_config *other,
		      struct config_error *error)
{
	return compare_pair(link, other, error) ?
	       config_blame(error, link->origin) : 0;
}

/* A sparse memory object of any size can be made, but not be used. */
static int check_total(const struct config *config, struct config_error *error)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			   (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t total = 0;
	char text[32];

	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];

		if (link->memory == MEMORY_FILE)
			continue;
		/* Neither side can be near 2^64: no overflow. */
		if (link->size > machine || total + link->size > machine) {
			config_fail(error, "size=%s: more%s than the %" PRIu64
				    " MiB of memory that this machine has; "
				    "lower size=",
				    config_format_size(link->size, text),
				    total ? ", with the links before it," : "",
				    machine >> 20);
			return config_blame(error, link->origin);
		}
		total += link->size;
	}
	return 0;
}

static int check_control(const struct config *config,
			 struct config_error *error)
{
	const char *path = config->control.path;

	if (!path)
		return 0;
	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];

		if (!strcmp(link->socket.path, path))
			return config_fail(error, "control=%s is the socket of "
					   "link %s, defined by %s; set "
					   "control= to another path", path,
					   link->name, link->origin);
	}
	return check_socket(&config->control, error);
}

int config_check(const struct config *config, struct config_error *error)
{
	if (check_control(config, error))
		return -1;
	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];

		if (check_link(link, error))
			return config_blame(error, link->origin);
		for (size_t j = 0; j < i; j++) {
			if (config_check_pair(link, &config->links[j], error))
				return -1;
		}
	}
	return check_total(config, error);
}
