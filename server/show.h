/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Printing what others need to know: the options that attach a virtual
 * machine to a link, and the configuration as it was understood.
 */
#ifndef IVSHMEMD_SHOW_H
#define IVSHMEMD_SHOW_H

#include "config.h"

/** show_qemu() - QEMU's options for a link, in one line for a shell. */
void show_qemu(const struct link_config *link);

/** show_libvirt() - the element for the <devices> of a libvirt domain. */
void show_libvirt(const struct link_config *link);

/** show_links() - one line for each link. */
void show_links(const struct config *config);

/** show_json() - the configuration as JSON. */
void show_json(const struct config *config);

/** show_memory() - what memory= of a link is, in its own words. */
const char *show_memory(const struct link_config *link, char buffer[256]);

#endif /* IVSHMEMD_SHOW_H */
