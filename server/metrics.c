/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How things are, in Prometheus' text format: for those who ask at the control
 * socket, and in a file for a collector.
 */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "link.h"
#include "log.h"
#include "server.h"

/* Between two writes of the file, milliseconds: while things happen ... */
#define PAUSE	1000
/* ... and while nothing does, so that its age shows that the server lives. */
#define PERIOD	15000

static void begin(FILE *out, const char *name, const char *type,
		  const char *help)
{
	fprintf(out, "# HELP ivshmemd_%s %s\n# TYPE ivshmemd_%s %s\n", name,
		help, name, type);
}

static void print_one(FILE *out, const char *name, const char *type,
		      const char *help, uint64_t value)
{
	begin(out, name, type, help);
	fprintf(out, "ivshmemd_%s %" PRIu64 "\n", name, value);
}

static void print_server(FILE *out, const struct server *server)
{
	begin(out, "build_info", "gauge", "Version of ivshmemd; always 1.");
	fprintf(out, "ivshmemd_build_info{version=\"%s\"} 1\n",
		IVSHMEMD_VERSION);
	print_one(out, "start_time_seconds", "gauge",
		  "When the server began to serve, since the epoch.",
		  (uint64_t)server->since);
	print_one(out, "descriptors_needed", "gauge",
		  "Descriptors that the server has when every slot is taken.",
		  server->budget.needed);
	print_one(out, "descriptors_limit", "gauge",
		  "Descriptors that the server may have.",
		  server->budget.limit);
	print_one(out, "links", "gauge", "Links that are served.",
		  server->config.link_count);
}

static void print_reloads(FILE *out, const struct server *server)
{
	uint64_t failures = server->reload_failures;

	begin(out, "config_reloads_total", "counter",
	      "How often the configuration was read again, by result.");
	fprintf(out, "ivshmemd_config_reloads_total{result=\"success\"} %"
		PRIu64 "\n", server->reloads - failures);
	fprintf(out, "ivshmemd_config_reloads_total{result=\"failure\"} %"
		PRIu64 "\n", failures);
	print_one(out, "config_last_reload_successful", "gauge",
		  "Whether the configuration that was read last is in effect.",
		  !server->reload_error.text[0]);
	print_one(out, "config_last_reload_success_timestamp_seconds", "gauge",
		  "When the configuration in effect was read, since the epoch.",
		  (uint64_t)server->loaded);
}

static uint64_t slots(const struct link *link)
{
	return link->config->peers;
}

static uint64_t size(const struct link *link)
{
	return link->config->size;
}

static uint64_t since(const struct link *link)
{
	return (uint64_t)link->since;
}

static uint64_t connects(const struct link *link)
{
	return link->counts.connects;
}

static uint64_t joins(const struct link *link)
{
	return link->counts.joins;
}

static uint64_t drops(const struct link *link)
{
	return link->counts.drops;
}

static uint64_t reclaimed(const struct link *link)
{
	return link->counts.reclaimed;
}

static uint64_t crashes(const struct link *link)
{
	return link->counts.crashes;
}

static const struct link_metric {
	const char *name;
	const char *type;
	const char *help;
	uint64_t (*value)(const struct link *link);
} link_metrics[] = {
	{ "link_slots", "gauge", "Slots of the link.", slots },
	{ "link_memory_bytes", "gauge", "Shared memory of the link.", size },
	{ "link_start_time_seconds", "gauge",
	  "When the link was made, since the epoch.", since },
	{ "link_connects_total", "counter",
	  "Connections that were accepted, to be served or refused.",
	  connects },
	{ "link_joins_total", "counter",
	  "Clients that have got all of the handshake.", joins },
	{ "link_drops_total", "counter",
	  "Clients that the server has disconnected.", drops },
	{ "link_slots_reclaimed_total", "counter",
	  "Slots that were free again after somebody had been there.",
	  reclaimed },
	{ "link_crashes_total", "counter",
	  "Clients that ended without having left the region.", crashes },
};

#define LINK_METRICS (sizeof(link_metrics) / sizeof(*link_metrics))

/* Names of links have no letters that would have to be escaped. */
static void print_link_metric(FILE *out, const struct server *server,
			      const struct link_metric *metric)
{
	const struct link *link = server->links;

	begin(out, metric->name, metric->type, metric->help);
	for (; link; link = link->next)
		fprintf(out, "ivshmemd_%s{link=\"%s\"} %" PRIu64 "\n",
			metric->name, link->config->name, metric->value(link));
}

static unsigned int count_state(const struct link *link,
				enum client_state state)
{
	const struct client *client = link->clients;
	unsigned int count = 0;

	for (; client; client = client->next)
		count += client->state == state;
	return count;
}

static void print_clients(FILE *out, const struct server *server)
{
	const struct link *link = server->links;

	begin(out, "link_clients", "gauge",
	      "Clients that were not refused, by how far they are.");
	for (; link; link = link->next) {
		const char *name = link->config->name;

		fprintf(out, "ivshmemd_link_clients{link=\"%s\",state="
			"\"waiting\"} %u\n", name, link->waiting);
		fprintf(out, "ivshmemd_link_clients{link=\"%s\",state="
			"\"handshake\"} %u\n", name,
			count_state(link, CLIENT_HANDSHAKE));
		fprintf(out, "ivshmemd_link_clients{link=\"%s\",state="
			"\"joined\"} %u\n", name,
			count_state(link, CLIENT_JOINED));
	}
}

static void print_refusals(FILE *out, const struct server *server)
{
	const struct link *link = server->links;

	begin(out, "link_refusals_total", "counter",
	      "Clients that were refused, by reason.");
	for (; link; link = link->next) {
		for (unsigned int i = 0; i < REFUSALS; i++)
			fprintf(out, "ivshmemd_link_refusals_total{link=\"%s\","
				"reason=\"%s\"} %" PRIu64 "\n",
				link->config->name, refusal_name(i),
				link->counts.refusals[i]);
	}
}

char *metrics_text(const struct server *server)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	bool failed;

	if (!out)
		return NULL;
	print_server(out, server);
	print_reloads(out, server);
	for (size_t i = 0; i < LINK_METRICS; i++)
		print_link_metric(out, server, &link_metrics[i]);
	print_clients(out, server);
	print_refusals(out, server);
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return text;
	free(text);
	return NULL;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	ssize_t written;

	while (left) {
		written = write(fd, text, left);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written ? -errno : -EIO;
		text += written;
		left -= (size_t)written;
	}
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd, error;

	/* Never into something that is already there. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0644);
	if (fd < 0)
		return -errno;
	error = write_all(fd, text);
	/* The collector is another user, whatever the umask is. */
	if (!error && fchmod(fd, 0644))
		error = -errno;
	if (close(fd) && !error)
		error = -errno;
	return error;
}

/* Who reads it finds the old one or the new one, and all of it. */
static int replace_file(const char *path, const char *text)
{
	char fresh[PATH_MAX];
	int length = snprintf(fresh, sizeof(fresh), "%s.tmp", path);
	int error;

	if (length < 0 || (size_t)length >= sizeof(fresh))
		return -ENAMETOOLONG;
	error = write_file(fresh, text);
	if (!error && rename(fresh, path))
		error = -errno;
	if (error)
		unlink(fresh);
	return error;
}

void metrics_write(struct server *server)
{
	struct metrics *metrics = &server->metrics;
	const char *path = server->config.metrics_file;
	char *text;
	int error;

	if (!path)
		return;
	metrics->written = server->now;
	metrics->revision = server->revision;
	text = metrics_text(server);
	error = text ? replace_file(path, text) : -ENOMEM;
	free(text);
	if (error && !metrics->failed)
		log_warning("metrics-file=%s: cannot write it: %s", path,
			    strerror(-error));
	metrics->failed = error;
}

void metrics_remove(const char *path)
{
	if (path)
		unlink(path);
}

uint64_t metrics_next_timeout(const struct server *server)
{
	const struct metrics *metrics = &server->metrics;
	bool news = metrics->revision != server->revision;

	if (!server->config.metrics_file || server->stopping)
		return UINT64_MAX;
	return metrics->written + (news ? PAUSE : PERIOD);
}

void metrics_run_timeouts(struct server *server)
{
	if (server->now >= metrics_next_timeout(server))
		metrics_write(server);
}
