/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors: how many the configuration needs, and how many may wait unread
 * in the sockets of clients.
 */
#ifndef IVSHMEMD_BUDGET_H
#define IVSHMEMD_BUDGET_H

#include "config.h"

/* Refused clients of one link whose sockets are kept until they hang up. */
#define BUDGET_REFUSED	8

/* Clients of one link who wait for their turn to be served. */
#define BUDGET_WAITING	16

/* Those who are asking at the control socket at the same time. */
#define BUDGET_VISITORS	8

/**
 * struct budget - what follows from RLIMIT_NOFILE
 * @limit:   descriptors that this process may have
 * @needed:  descriptors that it has when every slot is taken
 * @in_flight: messages of one handshake that may wait unread in a socket
 */
struct budget {
	uint64_t limit;
	uint64_t needed;
	unsigned int in_flight;
};

/** budget_raise_limit() - raise RLIMIT_NOFILE as far as is allowed. */
void budget_raise_limit(void);

/**
 * budget_make() - see whether the configuration fits
 * Return: 0, or -1 with @error filled in.
 */
int budget_make(const struct config *config, struct budget *budget,
		struct config_error *error);

#endif /* IVSHMEMD_BUDGET_H */
