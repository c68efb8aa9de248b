/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the configuration again while links are served.
 */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "change.h"
#include "control.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "server.h"
#include "spare.h"

/**
 * struct plan - a configuration that is about to be served
 * @server:   by this server
 * @config:   the configuration; of links that are served, what cannot change is
 *            what it was
 * @budget:   what follows for descriptors
 * @count:    links of @config
 * @links:    for each link of @config: the link if it is new, or NULL
 * @settings: for each link of @config: the settings if it is not, or NULL
 * @error:    why it cannot be served
 */
struct plan {
	struct server *server;
	struct config config;
	struct budget budget;
	size_t count;
	struct link **links;
	struct link_config **settings;
	struct config_error *error;
};

static int plan_allocate(struct plan *plan)
{
	plan->count = plan->config.link_count;
	plan->links = calloc(plan->count, sizeof(*plan->links));
	plan->settings = calloc(plan->count, sizeof(*plan->settings));
	if (plan->links && plan->settings)
		return 0;
	return config_fail(plan->error, "out of memory");
}

static int keep_fixed(struct plan *plan, struct link_config *wanted,
		      const struct link *link)
{
	char names[CHANGE_NAMES_LENGTH];
	struct link_config *merged;

	if (change_names(link->config, wanted, names))
		log_warning("link %s: what cannot change while it is served "
			    "stays as it is: %s; restart the server, or give "
			    "the changed link another name", wanted->name,
			    names);
	merged = change_merge(link->config, wanted);
	if (!merged)
		return config_fail(plan->error, "out of memory");
	link_config_replace(wanted, merged);
	return 0;
}

/* What links that go on will have, and whether all of that fits together. */
static int plan_settings(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct link_config *wanted = &plan->config.links[i];
		const struct link *link = server_find(plan->server,
						      wanted->name);

		if (!link)
			continue;
		if (keep_fixed(plan, wanted, link))
			return -1;
		plan->settings[i] = link_config_copy(wanted);
		if (!plan->settings[i])
			return config_fail(plan->error, "out of memory");
	}
	return control_plan(plan->server, &plan->config, plan->error) ||
	       config_check(&plan->config, plan->error) ? -1 : 0;
}

static int blame_leaving(struct plan *plan)
{
	char *text = plan->error->text;
	size_t used = strlen(text);

	snprintf(text + used, sizeof(plan->error->text) - used,
		 " (that one is gone from the configuration, but still served: "
		 "reload without the new link first)");
	return -1;
}

/* New links are made before old ones are gone. */
static int check_leaving(struct plan *plan, const struct link_config *fresh)
{
	const struct link *link = plan->server->links;

	for (; link; link = link->next) {
		if (!config_find(&plan->config, link->config->name) &&
		    config_check_pair(fresh, link->config, plan->error))
			return blame_leaving(plan);
	}
	return 0;
}

static int open_link(struct plan *plan, size_t i)
{
	const struct link_config *fresh = &plan->config.links[i];

	if (check_leaving(plan, fresh))
		return -1;
	plan->links[i] = link_open(plan->server, fresh,
				   spare_copy(plan->server, fresh->name));
	if (plan->links[i])
		return 0;
	return config_fail(plan->error, "link %s cannot be made (see above)",
			   fresh->name);
}

static int plan_links(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->settings[i] && open_link(plan, i))
			return -1;
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->links[i] && link_listen(plan->links[i]))
			return config_fail(plan->error, "link %s cannot be "
					   "listened on (see above)",
					   plan->config.links[i].name);
	}
	return 0;
}

static int plan_make(struct plan *plan)
{
	if (config_load(plan->server->source, &plan->config, plan->error))
		return -1;
	if (plan_allocate(plan) || plan_settings(plan) ||
	    budget_make(&plan->config, &plan->budget, plan->error))
		return -1;
	return plan_links(plan);
}

/* The rest of a plan that is not carried out, or all that is left of one. */
static void plan_drop(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->settings)
			link_config_free(plan->settings[i]);
		if (plan->links && plan->links[i]) {
			link_stop(plan->links[i]);
			store_forget_link(&plan->server->store,
					  plan->links[i]);
			link_close(plan->links[i]);
		}
	}
	free(plan->settings);
	free(plan->links);
	config_free(&plan->config);
}

static void retire(struct server *server, struct link *link)
{
	const char *name = link->config->name;

	log_info("link %s: it is gone from the configuration, its clients are "
		 "let go", name);
	link_stop(link);
	store_forget_link(&server->store, link);
	if (link->listener.lock < 0) {
		log_warning("link %s: its socket unit is still there; stop and "
			    "disable it before the server starts again", name);
		spare_add(server, name, link->listener.fd);
		link->listener.fd = -1;
	}
	link->next = server->leaving;
	server->leaving = link;
}

static void retire_links(struct plan *plan)
{
	struct link *link = plan->server->links;

	while (link) {
		struct link *next = link->next;

		if (!config_find(&plan->config, link->config->name))
			retire(plan->server, link);
		link = next;
	}
}

/* Of a link that goes on, or of a new one: its place in the new list. */
static struct link *take_link(struct plan *plan, size_t i)
{
	const char *name = plan->config.links[i].name;
	struct link *link = plan->links[i];

	plan->links[i] = NULL;
	if (link) {
		spare_drop(plan->server, name);
		return link;
	}
	link = server_find(plan->server, name);
	link_change(link, plan->settings[i]);
	plan->settings[i] = NULL;
	return link;
}

static bool same_text(const char *one, const char *other)
{
	return one && other ? !strcmp(one, other) : one == other;
}

static void plan_carry_out(struct plan *plan)
{
	struct server *server = plan->server;
	struct config before = server->config;
	struct link **end = &server->links;

	/* All of them are found before the list of the old ones is taken apart. */
	for (size_t i = 0; i < plan->count; i++)
		plan->links[i] = take_link(plan, i);
	retire_links(plan);
	for (size_t i = 0; i < plan->count; i++) {
		*end = plan->links[i];
		end = &plan->links[i]->next;
		plan->links[i] = NULL;
	}
	*end = NULL;
	control_change(server, &plan->config);
	server->config = plan->config;
	server->budget = plan->budget;
	server->loaded = time(NULL);
	if (!same_text(before.metrics_file, server->config.metrics_file))
		metrics_remove(before.metrics_file);
	metrics_write(server);
	/* plan_drop() releases the old one. */
	plan->config = before;
	log_info("reloaded: %zu link%s", plan->count,
		 plan->count == 1 ? "" : "s");
}

void reload(struct server *server)
{
	struct plan plan = { .server = server, .error = &server->reload_error };

	server->reload_due = false;
	notify_reloading();
	config_init(&plan.config);
	server->reload_error.text[0] = '\0';
	server->reloads++;
	server->revision++;
	if (plan_make(&plan)) {
		server->reload_failures++;
		log_error("not reloaded, everything stays as it was: %s",
			  server->reload_error.text);
	} else {
		plan_carry_out(&plan);
	}
	plan_drop(&plan);
	server->ready_due = true;
	server->status_due = server->now;
}
