/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where `ivshmem recv` puts what arrives: a file that appears only once it is
 * complete, or whatever else can be written to.
 */
#ifndef SINK_H
#define SINK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct sink - the output
 * @fd:        open for writing
 * @name:      for messages
 * @whole:     a file that gets its name when it is complete
 * @temporary: name of the file while it is not complete, or "": it has none
 * @standard:  it is standard output
 * @written:   something was
 */
struct sink {
	int fd;
	const char *name;
	char temporary[PATH_MAX];
	bool whole;
	bool standard;
	bool written;
};

/** sink_open() - @file NULL or "-" is standard output; 0, or -1 after a message */
int sink_open(struct sink *sink, const char *file);
/** sink_write() - all of it; 0, -EINTR if interrupted, or another errno value */
int sink_write(struct sink *sink, const void *data, size_t length);
/** sink_finish() - it is complete; 0 or a negative errno value */
int sink_finish(struct sink *sink);
/** sink_close() - and remove what is not complete */
void sink_close(struct sink *sink);
/** sink_fate() - what becomes of what is not complete: "nothing is kept" */
const char *sink_fate(const struct sink *sink);

#endif /* SINK_H */
