// SPDX-License-Identifier: GPL-2.0-only
/*
 * Draws a progress bar: how much, how fast, how long it will still take.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

#define NS_PER_S	1000000000ULL
/* What is over sooner needs no bar. */
#define SILENT_NS	(2 * NS_PER_S)
#define REDRAW_NS	(NS_PER_S / 4)
#define LINE_NS		(2 * NS_PER_S)
#define BAR		24

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void progress_begin(struct progress *progress, uint64_t total, bool forced)
{
	progress->redrawn = isatty(STDERR_FILENO);
	progress->shown = forced || progress->redrawn;
	progress->total = total;
	progress->begin_ns = now_ns();
	progress->last_ns = 0;
}

const char *format_bytes(double bytes, char text[32])
{
	static const char * const units[] = { "bytes", "KiB", "MiB", "GiB",
					      "TiB" };
	unsigned int unit = 0;

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return text;
}

/* The peer has a say in it: nothing may be taken for granted of the share. */
static void format_bar(char bar[BAR + 1], double share)
{
	size_t filled = 0;

	if (share >= 1)
		filled = BAR;
	else if (share > 0)
		filled = (size_t)(share * BAR);
	memset(bar, '.', BAR);
	memset(bar, '#', filled);
	bar[BAR] = 0;
}

double progress_seconds(const struct progress *progress)
{
	uint64_t ns = now_ns() - progress->begin_ns;

	return (double)(ns > 1000 ? ns : 1000) / NS_PER_S;
}

static void show_line(const struct progress *progress, uint64_t done)
{
	double seconds = progress_seconds(progress);
	double rate = (double)done / seconds;
	char size[32], all[32], speed[32], bar[BAR + 1];
	double share, left;

	format_bytes((double)done, size);
	format_bytes(rate, speed);
	/* A total that is exceeded was none. */
	if (progress->total == UINT64_MAX || done > progress->total) {
		fprintf(stderr, "%s, %s/s, %.0f s", size, speed, seconds);
		return;
	}
	share = progress->total ? (double)done / (double)progress->total : 1;
	left = rate > 0 ? (double)(progress->total - done) / rate : 0;
	format_bar(bar, share);
	fprintf(stderr, "[%s] %3.0f %%  %s of %s, %s/s, %.0f s left", bar,
		share * 100, size, format_bytes((double)progress->total, all),
		speed, left);
}

void progress_show(struct progress *progress, uint64_t done)
{
	uint64_t now, pause = progress->redrawn ? REDRAW_NS : LINE_NS;

	if (!progress->shown)
		return;
	now = now_ns();
	if (now - progress->begin_ns < SILENT_NS ||
	    now - progress->last_ns < pause)
		return;
	progress->last_ns = now;
	if (progress->redrawn)
		fputc('\r', stderr);
	show_line(progress, done);
	fputs(progress->redrawn ? "\033[K" : "\n", stderr);
}

void progress_clear(struct progress *progress)
{
	if (progress->redrawn && progress->last_ns)
		fputs("\r\033[K", stderr);
	progress->last_ns = 0;
}
