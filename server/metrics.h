/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How things are, in Prometheus' text format: for those who ask at the control
 * socket, and in a file for a collector.
 */
#ifndef IVSHMEMD_METRICS_H
#define IVSHMEMD_METRICS_H

#include <stdbool.h>
#include <stdint.h>

struct server;

/**
 * struct metrics - the file with the metrics
 * @revision: the server's, that is in it
 * @written:  when it was written, or that was tried
 * @failed:   it could not be, and that was logged
 */
struct metrics {
	uint64_t revision;
	uint64_t written;
	bool failed;
};

/**
 * metrics_text() - all metrics
 * Return: the text, for free(); NULL if there is no memory.
 */
char *metrics_text(const struct server *server);

/** metrics_write() - write the file, if there is to be one. */
void metrics_write(struct server *server);

/**
 * metrics_remove() - remove the file, if there is one
 *
 * A collector would go on to read what is not true any more.
 */
void metrics_remove(const char *path);

/** metrics_next_timeout() - when something is due; UINT64_MAX for never. */
uint64_t metrics_next_timeout(const struct server *server);

/** metrics_run_timeouts() - write the file if that is due. */
void metrics_run_timeouts(struct server *server);

#endif /* IVSHMEMD_METRICS_H */
