// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a peer says of itself: whatever it is, limits that are taken can be used
 * without a further look.
 */
#include <ivshmem/net.h>

unsigned int shared_loads;
struct watched watched[4];

/* A hello is a private copy by then: nothing shared is touched. */
void see_store(const void *p, size_t n, __u32 v)
{
	(void)p;
	(void)n;
	(void)v;
	__CPROVER_assert(0, "no store");
}

void prove_parse_hello(void)
{
	__u32 queues = any_of(1, IVREGION_QUEUES_MAX);
	__u32 length = nondet_word();
	struct ivnet_limits limits;
	struct ivnet_hello hello;
	__u8 any = 0;
	__u32 i;

	/* Left as it is, so that it is anything at all */
	if (!ivnet_parse_hello(&limits, &hello, length, queues))
		return;
	__CPROVER_assert(shared_loads == 0, "only the copy");
	__CPROVER_assert(length >= sizeof(hello), "all of it was there");
	__CPROVER_assert(limits.max_frame == hello.max_frame &&
			 limits.max_frame >= IVNET_MAX_FRAME_MIN,
			 "room for the smallest MTU");
	__CPROVER_assert(limits.queues >= 1 && limits.queues <= queues,
			 "only queues of the section");
	__CPROVER_assert(!(limits.features & ~hello.features) &&
			 !(limits.features & ~IVNET_FEATURES_KNOWN),
			 "only known features, and none that it did not say");
	__CPROVER_assert(!limits.features || (limits.features & IVNET_CSUM),
			 "none without checksums");
	for (i = 0; i < 6; i++) {
		__CPROVER_assert(limits.address[i] == hello.address[i],
				 "its address");
		any |= limits.address[i];
	}
	__CPROVER_assert(any && !(limits.address[0] & 1),
			 "an address of one station");
}

void prove_parse_hello_taken(void)
{
	__u32 queues = any_of(1, IVREGION_QUEUES_MAX);
	struct ivnet_limits limits;
	struct ivnet_hello hello;

	__CPROVER_assume(hello.max_frame >= IVNET_MAX_FRAME_MIN);
	__CPROVER_assume(hello.queues >= 1 && hello.queues <= queues);
	__CPROVER_assume(hello.address[5] && !(hello.address[0] & 1));
	__CPROVER_assert(ivnet_parse_hello(&limits, &hello, sizeof(hello),
					   queues), "what is right is taken");
	__CPROVER_assert(!(hello.features & IVNET_CSUM) ||
			 limits.features == (hello.features &
					     IVNET_FEATURES_KNOWN),
			 "with all that it accepts");
}
