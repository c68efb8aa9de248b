/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a client is not served: what it is told, what the log says, and what the
 * refusals are counted as.
 */
#include "refusal.h"

#include "protocol.h"

static const struct {
	int64_t version;
	const char *name;
	const char *reason;
} refusals[REFUSALS] = {
	[REFUSAL_FULL] = {
		PROTOCOL_REFUSE_FULL, "full",
		"all slots are taken; raise peers=",
	},
	[REFUSAL_PERMISSION] = {
		PROTOCOL_REFUSE_PERMISSION, "permission",
		"allow= does not list it",
	},
	[REFUSAL_SHUTDOWN] = {
		PROTOCOL_REFUSE_SHUTDOWN, "shutdown",
		"the link is served no more",
	},
	[REFUSAL_EXHAUSTED] = {
		PROTOCOL_REFUSE_EXHAUSTED, "exhausted",
		"there are no descriptors left; raise LimitNOFILE",
	},
	[REFUSAL_USER] = {
		PROTOCOL_REFUSE_USER, "user-limit",
		"its user has as many clients as clients-per-user= allows",
	},
	[REFUSAL_PACE] = {
		PROTOCOL_REFUSE_PACE, "pace",
		"its user connects too often for connects-per-second=",
	},
};

int64_t refusal_version(enum refusal refusal)
{
	return refusals[refusal].version;
}

const char *refusal_name(enum refusal refusal)
{
	return refusals[refusal].name;
}

const char *refusal_reason(enum refusal refusal)
{
	return refusals[refusal].reason;
}
