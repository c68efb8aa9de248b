// SPDX-License-Identifier: GPL-2.0-only
/* The tracepoints of the disk. */
#include "ivblk.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
