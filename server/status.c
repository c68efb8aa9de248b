/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How things are, as JSON: the server, its links, and who is connected to them.
 */
#include "status.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "layout.h"
#include "link.h"
#include "server.h"
#include "show.h"

static void add_number(struct json_object *object, const char *key,
		       uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

static void add_text(struct json_object *object, const char *key,
		     const char *text)
{
	json_object_object_add(object, key,
			       text ? json_object_new_string(text) : NULL);
}

static void add_time(struct json_object *object, const char *key, time_t when)
{
	char text[32] = "";
	struct tm utc;

	if (gmtime_r(&when, &utc))
		strftime(text, sizeof(text), "%FT%TZ", &utc);
	add_text(object, key, text);
}

static const char *state_name(enum client_state state)
{
	return state == CLIENT_JOINED ? "joined" : "handshake";
}

static struct json_object *slot_json(const struct client *client)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "slot", client->slot);
	add_text(object, "state", state_name(client->state));
	json_object_object_add(object, "pid",
			       json_object_new_int(client->credentials.pid));
	add_number(object, "uid", client->credentials.uid);
	add_number(object, "gid", client->credentials.gid);
	add_time(object, "since", client->since);
	return object;
}

static struct json_object *slots_json(const struct link *link)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int slot = 0; slot < link->config->peers; slot++) {
		if (link->slots[slot])
			json_object_array_add(array,
					      slot_json(link->slots[slot]));
	}
	return array;
}

static struct json_object *counts_json(const struct link_counts *counts)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "connects", counts->connects);
	add_number(object, "joins", counts->joins);
	add_number(object, "drops", counts->drops);
	add_number(object, "reclaimed", counts->reclaimed);
	add_number(object, "crashes", counts->crashes);
	return object;
}

static struct json_object *refusals_json(const struct link_counts *counts)
{
	struct json_object *object = json_object_new_object();

	for (unsigned int i = 0; i < REFUSALS; i++)
		add_number(object, refusal_name(i), counts->refusals[i]);
	return object;
}

/* As the server saw it the last time that somebody came or went. */
static void add_layout(struct json_object *object, const struct link *link)
{
	const struct directory *directory = &link->directory;
	char layout[IVSHMEM_LAYOUT_TEXT];

	if (directory->writable)
		ivshmem_layout_describe(&directory->region, layout,
					sizeof(layout));
	add_text(object, "layout", directory->writable ? layout : NULL);
}

static struct json_object *link_json(const struct link *link)
{
	const struct link_config *config = link->config;
	struct json_object *object = json_object_new_object();
	char memory[256];

	add_text(object, "name", config->name);
	add_text(object, "state", link->stop_by ? "leaving" : "serving");
	add_text(object, "socket", link->listener.path);
	add_time(object, "since", link->since);
	add_number(object, "size", config->size);
	add_text(object, "memory", show_memory(config, memory));
	add_layout(object, link);
	add_number(object, "peers", config->peers);
	add_number(object, "vectors", config->vectors);
	add_number(object, "waiting", link->waiting);
	json_object_object_add(object, "counts", counts_json(&link->counts));
	json_object_object_add(object, "refusals",
			       refusals_json(&link->counts));
	json_object_object_add(object, "slots", slots_json(link));
	return object;
}

static void add_links(struct json_object *array, const struct link *list)
{
	for (const struct link *link = list; link; link = link->next)
		json_object_array_add(array, link_json(link));
}

static struct json_object *configuration_json(const struct server *server)
{
	struct json_object *object = json_object_new_object();
	const char *error = server->reload_error.text;

	add_time(object, "loaded", server->loaded);
	add_number(object, "reloads", server->reloads);
	add_number(object, "failures", server->reload_failures);
	add_text(object, "error", *error ? error : NULL);
	return object;
}

static struct json_object *descriptors_json(const struct server *server)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "needed", server->budget.needed);
	add_number(object, "limit", server->budget.limit);
	return object;
}

static struct json_object *server_json(const struct server *server)
{
	struct json_object *object = json_object_new_object();
	struct json_object *links = json_object_new_array();

	add_text(object, "version", IVSHMEMD_VERSION);
	add_number(object, "pid", (uint64_t)getpid());
	add_time(object, "since", server->since);
	json_object_object_add(object, "configuration",
			       configuration_json(server));
	json_object_object_add(object, "descriptors",
			       descriptors_json(server));
	add_links(links, server->links);
	add_links(links, server->leaving);
	json_object_object_add(object, "links", links);
	return object;
}

char *status_json(const struct server *server)
{
	struct json_object *object = server_json(server);
	int style = JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text = json_object_to_json_string_ext(object, style);
	char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	json_object_put(object);
	return line;
}
