// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem ring: interrupt a peer.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>

#include "attach.h"
#include "command.h"
#include "parse.h"

enum { OPTION_COUNT = OPTION_FIRST_OWN };

static enum exit_code ring(const char *address, uint32_t peer, uint32_t vector,
			   uint64_t count)
{
	struct attachment at;
	uint64_t done = 0;
	int ret = 0;

	if (attach(&at, address, 0))
		return EXIT_FAILED;
	catch_interrupts();
	while (done < count && !interrupted) {
		ret = ivshmem_ring(at.ivs, peer, vector);
		if (ret == -EINTR)
			continue;
		if (ret)
			break;
		done++;
	}
	if (ret && ret != -EINTR)
		complain("%s: peer %" PRIu32 ", vector %" PRIu32 ": %s",
			 at.address, peer, vector, ring_error(ret));
	else if (done < count)
		complain("interrupted after %" PRIu64 " doorbells", done);
	detach(&at);
	return done == count ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_code run_ring(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, OPTION_HELP },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ 0 }
	};
	uint64_t peer, vector, count = 1;
	const char *address = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_ring);
		case OPTION_COUNT:
			if (!parse_number(optarg, UINT64_MAX, &count) || !count)
				return misused(&command_ring,
					       "--count %s: not a number of 1 "
					       "or more", optarg);
			break;
		default:
			return misused(&command_ring, NULL);
		}
	}
	if (argc - optind == 3)
		address = argv[optind++];
	if (argc - optind != 2)
		return misused(&command_ring, "a peer and a vector are needed");
	if (!parse_number(argv[optind], LIBIVSHMEM_MAX_PEERS - 1, &peer))
		return misused(&command_ring, "%s: not a peer id of 0 to 65535",
			       argv[optind]);
	if (!parse_number(argv[optind + 1], LIBIVSHMEM_MAX_VECTORS - 1,
			  &vector))
		return misused(&command_ring, "%s: not a vector of 0 to 255",
			       argv[optind + 1]);
	return ring(address, (uint32_t)peer, (uint32_t)vector, count);
}

const struct command command_ring = {
	.name = "ring",
	.arguments = "[DEVICE] PEER VECTOR [--count N]",
	.summary = "Ring a doorbell: interrupt a peer.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock\n"
		"  PEER                 its id, 0 to 65535\n"
		"  VECTOR               its vector, 0 to 255\n"
		"  --count N            ring N times, as fast as allowed (1)\n"
		HELP_OPTION_HELP
		"\nA device cannot tell whether the peer exists: a doorbell to nobody succeeds.\n",
	.run = run_ring,
};
