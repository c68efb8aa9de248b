/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a server: lines on standard error, with the priority prefixes
 * that the journal understands when that is where they go, and with fields for
 * what happens to clients.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
/* The place in this file is nothing that anybody searches for. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <unistd.h>

static const char *log_program = "ivshmemd";
static int log_threshold = LOG_INFO;
static bool log_to_journal;

/* $JOURNAL_STREAM holds device and inode of the stream systemd gave us. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st))
		return false;
	return st.st_dev == device && st.st_ino == inode;
}

void log_as(const char *program)
{
	log_program = program;
}

void log_open(int threshold)
{
	log_threshold = threshold;
	log_to_journal = stderr_is_journal();
}

bool log_enabled(int priority)
{
	return priority <= log_threshold;
}

/* What log_event() has, and the text itself with its priority */
#define FIELDS		7
#define LINE_LENGTH	1024

/**
 * struct fields - an entry of the journal
 * @text:  of each field, with its name
 * @count: how many there are
 */
struct fields {
	char text[FIELDS][LINE_LENGTH + 16];
	int count;
};

static void add_field(struct fields *fields, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_field(struct fields *fields, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fields->text[fields->count++], sizeof(fields->text[0]),
		  format, arguments);
	va_end(arguments);
}

static int send_fields(struct fields *fields)
{
	struct iovec vector[FIELDS];

	for (int i = 0; i < fields->count; i++) {
		vector[i].iov_base = fields->text[i];
		vector[i].iov_len = strlen(fields->text[i]);
	}
	return sd_journal_sendv(vector, fields->count);
}

static int log_send(int priority, const struct log_event *event,
		    const char *line)
{
	struct fields fields = { .count = 0 };

	add_field(&fields, "MESSAGE=%s", line);
	add_field(&fields, "PRIORITY=%d", priority);
	if (event->id)
		add_field(&fields, "MESSAGE_ID=%s", event->id);
	add_field(&fields, "IVSHMEM_LINK=%s", event->link);
	if (event->slot >= 0)
		add_field(&fields, "IVSHMEM_SLOT=%d", event->slot);
	if (event->pid) {
		add_field(&fields, "IVSHMEM_PID=%d", event->pid);
		add_field(&fields, "IVSHMEM_UID=%u", event->uid);
	}
	return send_fields(&fields);
}

static void log_write(int priority, const struct log_event *event,
		      const char *format, va_list arguments)
{
	char line[LINE_LENGTH];

	vsnprintf(line, sizeof(line), format, arguments);
	if (log_to_journal && event && !log_send(priority, event, line))
		return;
	/* One call each, so that lines of several processes do not mix. */
	if (log_to_journal)
		dprintf(STDERR_FILENO, "<%d>%s\n", priority, line);
	else
		dprintf(STDERR_FILENO, "%s: %s\n", log_program, line);
}

void log_line(int priority, const char *format, ...)
{
	va_list arguments;

	if (!log_enabled(priority))
		return;
	va_start(arguments, format);
	log_write(priority, NULL, format, arguments);
	va_end(arguments);
}

void log_limit_init(struct log_limit *limit, const char *about,
		    unsigned int burst, uint64_t now)
{
	limit->about = about;
	limit->burst = burst;
	limit->left = burst;
	limit->suppressed = 0;
	limit->refilled = now;
}

static void log_refill(struct log_limit *limit, uint64_t now)
{
	uint64_t seconds = (now - limit->refilled) / 1000;

	limit->refilled += seconds * 1000;
	if (seconds > limit->burst - limit->left)
		limit->left = limit->burst;
	else
		limit->left += (unsigned int)seconds;
}

uint64_t log_limit_due(const struct log_limit *limit)
{
	return limit->suppressed ? limit->refilled + 1000 : UINT64_MAX;
}

void log_limit_flush(struct log_limit *limit, uint64_t now)
{
	log_refill(limit, now);
	if (!limit->suppressed || !limit->left)
		return;
	limit->left--;
	log_line(LOG_WARNING, "%s: %u lines about clients were left out",
		 limit->about, limit->suppressed);
	limit->suppressed = 0;
}

/* Whether one more line may be written, of those that somebody else causes. */
static bool log_admit(struct log_limit *limit, uint64_t now, int priority)
{
	if (!log_enabled(priority))
		return false;
	if (log_enabled(LOG_DEBUG))
		return true;
	log_limit_flush(limit, now);
	if (limit->left) {
		limit->left--;
		return true;
	}
	limit->suppressed++;
	return false;
}

void log_limited(struct log_limit *limit, uint64_t now, int priority,
		 const char *format, ...)
{
	va_list arguments;

	if (!log_admit(limit, now, priority))
		return;
	va_start(arguments, format);
	log_write(priority, NULL, format, arguments);
	va_end(arguments);
}

void log_event(struct log_limit *limit, uint64_t now, int priority,
	       const struct log_event *event, const char *format, ...)
{
	va_list arguments;

	if (!log_admit(limit, now, priority))
		return;
	va_start(arguments, format);
	log_write(priority, event, format, arguments);
	va_end(arguments);
}
