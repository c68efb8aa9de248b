/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a client is not served: what it is told, what the log says, and what the
 * refusals are counted as.
 */
#ifndef IVSHMEMD_REFUSAL_H
#define IVSHMEMD_REFUSAL_H

#include <stdint.h>

enum refusal {
	REFUSAL_FULL,
	REFUSAL_PERMISSION,
	REFUSAL_SHUTDOWN,
	REFUSAL_EXHAUSTED,
	REFUSAL_USER,
	REFUSAL_PACE,
	REFUSALS,
};

/** refusal_version() - one of PROTOCOL_REFUSE_... */
int64_t refusal_version(enum refusal refusal);

/** refusal_name() - a word that programs can rely on. */
const char *refusal_name(enum refusal refusal);

/** refusal_reason() - why, for the log. */
const char *refusal_reason(enum refusal refusal);

#endif /* IVSHMEMD_REFUSAL_H */
