/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a server: lines on standard error, with the priority prefixes
 * that the journal understands when that is where they go.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

static void log_write(int priority, const char *format, va_list arguments)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, arguments);
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
	log_write(priority, format, arguments);
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

void log_limited(struct log_limit *limit, uint64_t now, int priority,
		 const char *format, ...)
{
	va_list arguments;

	if (!log_enabled(priority))
		return;
	if (!log_enabled(LOG_DEBUG)) {
		log_limit_flush(limit, now);
		if (!limit->left) {
			limit->suppressed++;
			return;
		}
		limit->left--;
	}
	va_start(arguments, format);
	log_write(priority, format, arguments);
	va_end(arguments);
}
