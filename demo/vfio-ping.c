/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-ping: what `ivshmem ping` does, over a device that this program drives
 * by itself through VFIO (vfio_device.c), with the same measuring code.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pingpong.h"
#include "vfio_device.h"

#define DEFAULT_COUNT	1000
#define DEFAULT_SECONDS	1
#define MAX_SECONDS	3600

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

enum {
	OPTION_LISTEN = 256,
	OPTION_COUNT,
	OPTION_VECTOR,
	OPTION_OFFSET,
	OPTION_TIMEOUT,
	OPTION_JSON,
	OPTION_VERSION,
	OPTION_HELP,
};

/* What was asked for; 0 where nothing was said. */
struct wish {
	char address[sizeof("0000:00:00.0")];
	bool listen;
	bool json;
	uint64_t peer;
	uint64_t count;
	uint64_t vector;
	uint64_t offset;
	uint64_t seconds;
};

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static void catch_interrupts(void)
{
	struct sigaction action = {
		.sa_handler = note_interrupt,
		.sa_flags = (int)SA_RESETHAND,
	};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("vfio-ping: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int ring_peer(void *device, uint32_t peer, uint32_t vector)
{
	vfio_device_ring(device, peer, vector);
	return 0;
}

static int wait_rung(void *device, int timeout_ms)
{
	return vfio_device_wait(device, timeout_ms);
}

static const struct pingpong_ops doorbells = {
	.ring = ring_peer,
	.wait = wait_rung,
};

static double percentile_us(const struct pingpong_result *result,
			    unsigned int percent)
{
	return (double)pingpong_percentile(result, percent) / 1000;
}

static void print_json(const struct pingpong_result *result, uint64_t peer)
{
	printf("{\"peer\": %" PRIu64 ", \"mode\": \"doorbell\", \"count\": %"
	       PRIu32 ", \"lost\": %" PRIu32 ", \"late\": %" PRIu32
	       ", \"rtt_us\": ", peer, result->sent, result->lost,
	       result->late);
	if (result->received)
		printf("{\"min\": %.3f, \"p50\": %.3f, \"p90\": %.3f, "
		       "\"p99\": %.3f, \"max\": %.3f}}\n",
		       percentile_us(result, 0), percentile_us(result, 50),
		       percentile_us(result, 90), percentile_us(result, 99),
		       percentile_us(result, 100));
	else
		puts("{\"min\": null, \"p50\": null, \"p90\": null, "
		     "\"p99\": null, \"max\": null}}");
}

static void print_result(const struct pingpong_result *result, uint64_t peer)
{
	printf("peer %" PRIu64 ": %" PRIu32 " sent, %" PRIu32 " answered, %"
	       PRIu32 " lost, %" PRIu32 " late\n", peer, result->sent,
	       result->received, result->lost, result->late);
	if (result->received)
		printf("round trip us: min %.1f  p50 %.1f  p90 %.1f  p99 %.1f"
		       "  max %.1f\n", percentile_us(result, 0),
		       percentile_us(result, 50), percentile_us(result, 90),
		       percentile_us(result, 99), percentile_us(result, 100));
}

static enum exit_code ping(const struct pingpong *pp, const struct wish *wish)
{
	uint64_t seconds = wish->seconds ? wish->seconds : DEFAULT_SECONDS;
	struct pingpong_request request = {
		.way = PINGPONG_DOORBELL,
		.peer = (uint32_t)wish->peer,
		.vector = (uint32_t)wish->vector,
		.count = wish->count ? (uint32_t)wish->count : DEFAULT_COUNT,
		.timeout_ms = (int)seconds * 1000,
	};
	struct pingpong_result result;
	bool failed;
	int ret;

	ret = pingpong_ping(pp, &request, &result);
	if (ret) {
		complain("%s: peer %" PRIu64 ": %s", wish->address, wish->peer,
			 strerror(-ret));
		return EXIT_FAILED;
	}
	if (wish->json)
		print_json(&result, wish->peer);
	else
		print_result(&result, wish->peer);
	if (!result.received && !interrupted)
		complain("peer %" PRIu64 " does not answer; run `vfio-ping "
			 "--listen` or `ivshmem ping --listen` there, with "
			 "the same --offset", wish->peer);
	failed = result.lost || !result.received;
	pingpong_release(&result);
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code answer(const struct pingpong *pp,
			     const struct wish *wish)
{
	struct pingpong_service service = {
		.count = (uint32_t)wish->count,
		.timeout_ms = wish->seconds ? (int)wish->seconds * 1000 : -1,
	};
	int ret;

	ret = pingpong_listen(pp, &service);
	printf(wish->json ?
	       "{\"answered\": %" PRIu64 ", \"late\": %" PRIu64 ", "
	       "\"unrung\": %" PRIu64 "}\n" :
	       "%" PRIu64 " answered, %" PRIu64 " of them late, %" PRIu64
	       " not rung back\n",
	       service.answered, service.late, service.unrung);
	if (ret) {
		complain("%s: waiting for doorbells: %s", wish->address,
			 strerror(-ret));
		return EXIT_FAILED;
	}
	if (interrupted)
		return EXIT_DONE;
	return service.answered && service.answered >= wish->count ?
	       EXIT_DONE : EXIT_FAILED;
}

static enum exit_code ping_or_answer(struct vfio_device *device,
				     const struct wish *wish)
{
	struct pingpong pp = {
		.self = vfio_device_peer_id(device),
		.ops = &doorbells,
		.device = device,
		.stop = &interrupted,
	};

	if (pp.self >= PINGPONG_PEERS) {
		complain("%s: own id %" PRIu32 "; ping serves ids below %d",
			 wish->address, pp.self, PINGPONG_PEERS);
		return EXIT_FAILED;
	}
	if (wish->offset > device->memory.size ||
	    device->memory.size - wish->offset < PINGPONG_SIZE) {
		complain("%s: %d bytes at offset %" PRIu64 " are not inside "
			 "the memory, which has %" PRIu64, wish->address,
			 PINGPONG_SIZE, wish->offset, device->memory.size);
		return EXIT_FAILED;
	}
	if (wish->vector >= device->vectors) {
		complain("%s: vector %" PRIu64 " does not exist; the highest "
			 "is %u", wish->address, wish->vector,
			 device->vectors - 1);
		return EXIT_FAILED;
	}
	pp.memory = (char *)device->memory.base + wish->offset;
	return wish->listen ? answer(&pp, wish) : ping(&pp, wish);
}

static const char synopsis[] =
	"usage: vfio-ping ADDRESS {PEER | --listen} [OPTIONS]\n";

static enum exit_code show_help(void)
{
	fputs(synopsis, stdout);
	puts("Measure round trips by doorbells over an ivshmem device that is driven from\n"
	     "user space: through VFIO, with an eventfd for each interrupt vector.\n"
	     "\n"
	     "  ADDRESS       PCI address of the device, as in 0000:00:04.0\n"
	     "  PEER          id of the peer that answers, 0 to 63: one that runs\n"
	     "                `vfio-ping --listen` or `ivshmem ping --listen`\n"
	     "  --listen      answer the pings of all peers until Ctrl-C\n"
	     "  --count N     round trips (1000); --listen: end after N answers\n"
	     "  --vector V    vector that both sides ring (0)\n"
	     "  --offset O    where in the memory, 32 KiB of it (0)\n"
	     "  --timeout S   an answer that takes longer is lost (1 second);\n"
	     "                --listen: end when no ping came for so long (never)\n"
	     "  --json        print the result as JSON\n"
	     "  --version     print the version\n"
	     "  --help        show this text\n"
	     "\n"
	     "The device has to be behind an IOMMU, alone in its group, and bound to\n"
	     "vfio-pci; what is missing is said, with what to do about it.\n"
	     "Exit codes: 0 done, 1 an answer was lost, nobody answered, or the device\n"
	     "cannot be used, 2 wrong usage.");
	return EXIT_DONE;
}

static enum exit_code __attribute__((format(printf, 1, 2)))
misused(const char *format, ...)
{
	va_list args;

	fputs("vfio-ping: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n%s`vfio-ping --help` tells more.\n", synopsis);
	return EXIT_USAGE;
}

static bool take_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno &&
	       *number <= max;
}

static bool take_option(struct wish *wish, int option, const char *text)
{
	switch (option) {
	case OPTION_LISTEN:
		return wish->listen = true;
	case OPTION_JSON:
		return wish->json = true;
	case OPTION_COUNT:
		return take_number(text, PINGPONG_MAX_COUNT, &wish->count) &&
		       wish->count;
	case OPTION_VECTOR:
		return take_number(text, PINGPONG_MAX_VECTORS - 1,
				   &wish->vector);
	case OPTION_OFFSET:
		return take_number(text, UINT64_MAX, &wish->offset) &&
		       !(wish->offset % 4);
	default:
		return take_number(text, MAX_SECONDS, &wish->seconds) &&
		       wish->seconds;
	}
}

/* "0000:00:04.0", or the same without the domain, as lspci prints it. */
static bool take_address(struct wish *wish, const char *text)
{
	unsigned int domain = 0, bus, slot, function;
	int end = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function,
		   &end) != 4 || text[end]) {
		domain = 0;
		end = 0;
		if (sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function,
			   &end) != 3 || text[end])
			return false;
	}
	snprintf(wish->address, sizeof(wish->address), "%04x:%02x:%02x.%x",
		 domain & 0xffff, bus & 0xff, slot & 0xff, function & 0xf);
	return true;
}

static enum exit_code take_arguments(struct wish *wish, int argc, char **argv)
{
	if (!argc)
		return misused("the PCI address of a device is needed");
	if (!take_address(wish, argv[0]))
		return misused("%s: not a PCI address, as in 0000:00:04.0",
			       argv[0]);
	if (wish->listen)
		return argc == 1 ? EXIT_DONE :
		       misused("%s: --listen answers all peers", argv[1]);
	if (argc != 2)
		return misused("one peer is needed");
	if (!take_number(argv[1], PINGPONG_PEERS - 1, &wish->peer))
		return misused("%s: not a peer id of 0 to %d", argv[1],
			       PINGPONG_PEERS - 1);
	return EXIT_DONE;
}

static enum exit_code run(const struct wish *wish)
{
	struct vfio_device device;
	enum exit_code ret = EXIT_FAILED;

	catch_interrupts();
	if (vfio_device_open(&device, wish->address))
		ret = ping_or_answer(&device, wish);
	vfio_device_close(&device);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", no_argument, NULL, OPTION_LISTEN },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "vector", required_argument, NULL, OPTION_VECTOR },
		{ "offset", required_argument, NULL, OPTION_OFFSET },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ 0 }
	};
	struct wish wish = { 0 };
	enum exit_code ret;
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help();
		case OPTION_VERSION:
			puts("vfio-ping " IVSHMEM_VERSION);
			return EXIT_DONE;
		case '?':
			fputs(synopsis, stderr);
			return EXIT_USAGE;
		default:
			if (!take_option(&wish, option, optarg))
				return misused("--%s %s: malformed or out of "
					       "range", options[index].name,
					       optarg);
		}
	}
	ret = take_arguments(&wish, argc - optind, argv + optind);
	return ret == EXIT_DONE ? run(&wish) : ret;
}
