/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The live view of ivshmem top on a terminal.
 */
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include "command.h"
#include "top_source.h"

/**
 * top_screen() - show it until somebody presses q
 * @seconds: between two looks
 * @count:   how many looks; 0 for any number
 */
enum exit_code top_screen(struct top_sources *sources, double seconds,
			  uint64_t count);

#endif /* TOP_SCREEN_H */
