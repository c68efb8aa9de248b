/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors: how many the configuration needs, and how many may wait unread
 * in the sockets of clients.
 */
#include "budget.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "config_error.h"
#include "protocol.h"

/*
 * Standard streams, epoll, signals, the reserve, the notification socket, the
 * control socket with its lock, and what libraries open for a moment.
 */
#define DESCRIPTORS_OF_SERVER	(18 + BUDGET_VISITORS)
/* The memory, the listening socket, the lock. */
#define DESCRIPTORS_OF_LINK	3
/* Less than this would make a handshake crawl. */
#define LEAST_IN_FLIGHT		4

void budget_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static uint64_t descriptors_of(const struct link_config *link)
{
	return DESCRIPTORS_OF_LINK + BUDGET_REFUSED + BUDGET_WAITING +
	       link->peers + (uint64_t)link->peers * link->vectors;
}

/*
 * Descriptors that were sent and not received yet count against
 * RLIMIT_NOFILE for all processes of a user together, and one more makes
 * sendmsg() fail for everybody.  So the clients that never read may hold half
 * of it between them, and no more.
 */
static unsigned int share_in_flight(const struct config *config,
				    uint64_t limit)
{
	uint64_t longest = 0, clients = 0, share;

	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];
		uint64_t length = protocol_length(link->peers, link->vectors);

		if (length > longest)
			longest = length;
		clients += link->peers;
	}
	share = clients ? limit / 2 / clients : longest;
	if (share > longest)
		share = longest;
	return share < LEAST_IN_FLIGHT ? LEAST_IN_FLIGHT : (unsigned int)share;
}

int budget_make(const struct config *config, struct budget *budget,
		struct config_error *error)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return config_fail(error, "cannot read RLIMIT_NOFILE");
	budget->limit = limit.rlim_cur;
	budget->needed = DESCRIPTORS_OF_SERVER;
	for (size_t i = 0; i < config->link_count; i++)
		budget->needed += descriptors_of(&config->links[i]);
	budget->in_flight = share_in_flight(config, budget->limit);
	if (budget->needed <= budget->limit)
		return 0;
	return config_fail(error, "the links need %" PRIu64 " descriptors, but "
			   "this process may have %" PRIu64 "; raise the limit "
			   "(LimitNOFILE= in the unit, ulimit -n in a shell) "
			   "or lower peers= or vectors=", budget->needed,
			   budget->limit);
}
