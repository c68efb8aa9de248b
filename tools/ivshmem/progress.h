/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A progress bar on stderr, for what takes longer than two seconds.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - how far something has come
 * @shown:    it is to be shown at all
 * @redrawn:  on a terminal, where one line is drawn again and again
 * @total:    bytes in all; UINT64_MAX if not known
 * @begin_ns: when it began, as now_ns()
 * @last_ns:  when it was last shown, or 0
 */
struct progress {
	bool shown;
	bool redrawn;
	uint64_t total;
	uint64_t begin_ns;
	uint64_t last_ns;
};

/** now_ns() - of a clock that does not jump */
uint64_t now_ns(void);

/**
 * progress_begin() - begin to count the time
 * @total:  bytes in all; UINT64_MAX if not known
 * @forced: show it on what is no terminal, too, each time on a new line
 */
void progress_begin(struct progress *progress, uint64_t total, bool forced);

/** progress_show() - @done bytes are done; may be called as often as one likes */
void progress_show(struct progress *progress, uint64_t done);

/** progress_clear() - before anything else is written to stderr */
void progress_clear(struct progress *progress);

/** progress_seconds() - since it began, at least a microsecond */
double progress_seconds(const struct progress *progress);

/** format_bytes() - "1.5 GiB", for people */
const char *format_bytes(double bytes, char text[32]);

#endif /* PROGRESS_H */
