/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where ivshmem top looks: devices and links that come and go, their memory, and
 * what the kernel counts.
 */
#ifndef TOP_SOURCE_H
#define TOP_SOURCE_H

#include <sys/stat.h>

#include <libivshmem.h>

#include "top_sample.h"

/**
 * struct top_source - a device or link that is looked at
 * @address:  of it
 * @ivs:      open, or NULL
 * @error:    why it is not, a negative errno value; 0 before the first try
 * @node:     its socket or node when it was tried; zeros without any
 * @rest_ns:  how long it rests after the next failure
 * @retry_ns: when it is tried again
 * @received: doorbells, since it was opened
 * @wanted:   it is there still
 */
struct top_source {
	char address[512];
	struct ivshmem *ivs;
	int error;
	struct stat node;
	uint64_t rest_ns;
	uint64_t retry_ns;
	uint64_t received;
	bool wanted;
};

/**
 * struct top_sources - all of them
 * @named: addresses to look at, @nr_named of them; none for all that there are
 * @list:  @count of them
 */
struct top_sources {
	char **named;
	size_t nr_named;
	struct top_source *list;
	size_t count;
};

/**
 * top_look() - see how everything is now
 * @sample: filled in; to be given to top_release()
 *
 * Return: 0 or -ENOMEM.
 */
int top_look(struct top_sources *sources, struct top_sample *sample);

void top_close(struct top_sources *sources);

/** top_survive() - a device that goes, or memory made smaller, is no end (SIGBUS) */
void top_survive(void);

/** top_at_end - what to do before memory that was lost ends the program, or NULL */
extern void (*top_at_end)(void);

/**
 * top_section_fits() - whether the links of so many slots are within a section
 *
 * A peer can change the region between any two calls that ask for it.
 */
bool top_section_fits(uint32_t slots, const struct ivshmem_section *section);

/** top_look_at_links() - those of all sections that can be mapped */
void top_look_at_links(struct ivshmem *ivs, const struct ivshmem_region *region,
		       struct top_device *device);

/**
 * top_look_at_kernel() - what sysfs, debugfs and ethtool tell of a device
 * @node: of it or of one of its sections, by any name
 */
void top_look_at_kernel(const char *node, struct top_device *device);

/** top_look_at_card() - the links of a network card, as ethtool tells */
void top_look_at_card(const char *name, struct top_device *device);

#endif /* TOP_SOURCE_H */
