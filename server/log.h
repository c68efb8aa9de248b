/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a server: lines on standard error, with the priority prefixes
 * that the journal understands when that is where they go, and with fields for
 * what happens to clients.
 */
#ifndef IVSHMEMD_LOG_H
#define IVSHMEMD_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

/**
 * log_open() - choose what is logged and how
 * @threshold: least important priority that is written, LOG_ERR to LOG_DEBUG
 */
void log_open(int threshold);

/** log_as() - whose lines they are, on a standard error that is no journal. */
void log_as(const char *program);

/** log_enabled() - whether lines of this priority are written. */
bool log_enabled(int priority);

/** log_line() - write one line; @priority is one of syslog(3). */
void log_line(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)		log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...)	log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)		log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)		log_line(LOG_DEBUG, __VA_ARGS__)

/**
 * struct log_limit - how many lines somebody else may still cause
 * @about:      what the lines are about
 * @burst:      lines that may come at once
 * @left:       lines left; one more every second, up to @burst
 * @suppressed: lines that were not written since the last that was
 * @refilled:   when @left was last brought up to date, monotonic milliseconds
 */
struct log_limit {
	const char *about;
	unsigned int burst;
	unsigned int left;
	unsigned int suppressed;
	uint64_t refilled;
};

/** log_limit_init() - allow a burst of lines. */
void log_limit_init(struct log_limit *limit, const char *about,
		    unsigned int burst, uint64_t now);

/**
 * log_limited() - write a line that a client causes, unless there were many
 *
 * At LOG_DEBUG verbosity nothing is held back.
 */
void log_limited(struct log_limit *limit, uint64_t now, int priority,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What an event is, for programs that search the journal: ivshmemd(8). */
#define LOG_ID_JOIN	"e0aaa150c0074120b172b2e1918b8058"
#define LOG_ID_LEAVE	"1d6fdd2ab09547a586e4bc0edf267602"
#define LOG_ID_REFUSAL	"c96e63278b3447f6aa7826b5fee68592"

/**
 * struct log_event - what a line is about, for the journal
 * @id:   one of LOG_ID_..., or NULL
 * @link: name of the link
 * @slot: the slot, or -1
 * @pid:  the client's process, 0 if that is not known
 * @uid:  its user, if @pid is known
 */
struct log_event {
	const char *id;
	const char *link;
	int slot;
	pid_t pid;
	uid_t uid;
};

/**
 * log_event() - log_limited() about a client
 *
 * In the journal the line has fields that can be searched for; elsewhere it is
 * a line like others.
 */
void log_event(struct log_limit *limit, uint64_t now, int priority,
	       const struct log_event *event, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/** log_limit_due() - when log_limit_flush() is due; UINT64_MAX for never. */
uint64_t log_limit_due(const struct log_limit *limit);

/** log_limit_flush() - say how many lines were left out, if that is due. */
void log_limit_flush(struct log_limit *limit, uint64_t now);

#endif /* IVSHMEMD_LOG_H */
