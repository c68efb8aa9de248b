/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ivshmem top has seen, as tables and as JSON.
 */
#ifndef TOP_TEXT_H
#define TOP_TEXT_H

#include <stdio.h>

#include "top_sample.h"

/** top_print_devices() - a heading, and a line for each */
void top_print_devices(FILE *out, const struct top_sample *sample);

/** top_print_device() - what belongs to one */
void top_print_device(FILE *out, const struct top_device *device);

/** top_print_json() - all of it in a line */
void top_print_json(const struct top_sample *sample);

#endif /* TOP_TEXT_H */
