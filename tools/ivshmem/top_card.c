// SPDX-License-Identifier: GPL-2.0-only
/*
 * The links of a network card, from the statistics that it has for ethtool.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "region.h"
#include "top_source.h"

/* More than a card with 64 links of 16 queues has */
#define STATISTICS_MAX	4096U
#define STATE_UP	3
#define CARD_DRIVER	"ivshmem_net"

struct card {
	int fd;
	struct ifreq request;
};

/* What is told of one peer. */
struct peer_statistics {
	bool there;
	uint64_t state;
	uint64_t sessions;
	struct top_count tx[2];
	struct top_count rx[2];
	uint64_t tx_pending;
	uint64_t rx_pending;
	bool pending;
};

static int ask(struct card *card, void *command)
{
	card->request.ifr_data = command;
	return ioctl(card->fd, SIOCETHTOOL, &card->request) ? -errno : 0;
}

/* Not of another card, which may have got this name, and far more of them. */
static int count_statistics(struct card *card, uint32_t *count)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	int ret = ask(card, &info);

	if (ret)
		return ret;
	if (strncmp(info.driver, CARD_DRIVER, sizeof(info.driver)))
		return -ENODEV;
	if (!info.n_stats || info.n_stats > STATISTICS_MAX)
		return -EOPNOTSUPP;
	*count = info.n_stats;
	return 0;
}

static void take(struct peer_statistics *peer, const char *name, uint64_t value)
{
	peer->there = true;
	if (!strcmp(name, "state"))
		peer->state = value;
	else if (!strcmp(name, "sessions"))
		peer->sessions = value;
	else if (!strcmp(name, "tx_bytes"))
		top_set(&peer->tx[TOP_BYTES], value, 64);
	else if (!strcmp(name, "tx_packets"))
		top_set(&peer->tx[TOP_RECORDS], value, 64);
	else if (!strcmp(name, "rx_bytes"))
		top_set(&peer->rx[TOP_BYTES], value, 64);
	else if (!strcmp(name, "rx_packets"))
		top_set(&peer->rx[TOP_RECORDS], value, 64);
	else if (!strcmp(name, "tx_pending"))
		peer->tx_pending = value;
	else if (!strcmp(name, "rx_pending"))
		peer->rx_pending = value;
	peer->pending = peer->pending || !strcmp(name, "tx_pending");
}

/* "peer3_tx_bytes"; the names and the numbers are of the same moment only if
 * both have as many.
 */
static void sort_out(const struct ethtool_gstrings *names,
		     const struct ethtool_stats *values,
		     struct peer_statistics peers[SLOTS_MAX])
{
	char name[ETH_GSTRING_LEN + 1];
	unsigned int slot;
	uint32_t i;
	int end;

	for (i = 0; i < names->len && i < values->n_stats; i++) {
		memcpy(name, names->data + (size_t)i * ETH_GSTRING_LEN,
		       ETH_GSTRING_LEN);
		name[ETH_GSTRING_LEN] = '\0';
		end = 0;
		if (sscanf(name, "peer%2u_%n", &slot, &end) == 1 && end &&
		    slot < SLOTS_MAX)
			take(&peers[slot], name + end, values->data[i]);
	}
}

/*
 * The kernel writes as many as the card has, whatever it is told: hence room for all
 * that one of ours can have, and the last look at whose it is right before.
 */
static int ask_statistics(struct card *card, struct ethtool_gstrings *names,
			  struct ethtool_stats *values)
{
	uint32_t count;
	int ret;

	ret = count_statistics(card, &count);
	if (ret)
		return ret;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_STATS;
	names->len = count;
	ret = ask(card, names);
	if (!ret)
		ret = count_statistics(card, &count);
	if (ret)
		return ret;
	values->cmd = ETHTOOL_GSTATS;
	values->n_stats = count;
	return ask(card, values);
}

static int read_peers_of(struct card *card,
			 struct peer_statistics peers[SLOTS_MAX])
{
	struct ethtool_gstrings *names;
	struct ethtool_stats *values;
	int ret = -ENOMEM;

	names = calloc(1, sizeof(*names) + STATISTICS_MAX * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) +
			STATISTICS_MAX * sizeof(values->data[0]));
	if (names && values)
		ret = ask_statistics(card, names, values);
	if (!ret)
		sort_out(names, values, peers);
	free(names);
	free(values);
	return ret;
}

/* Bytes of the rings of one link in one direction. */
static uint64_t ring_bytes(struct card *card)
{
	struct ethtool_ringparam rings = { .cmd = ETHTOOL_GRINGPARAM };
	struct ethtool_channels queues = { .cmd = ETHTOOL_GCHANNELS };

	if (ask(card, &rings) || ask(card, &queues))
		return 0;
	return (uint64_t)rings.tx_pending * queues.max_combined;
}

static void add_direction(struct top_device *device, const char *name,
			  const struct top_row *row,
			  const struct top_count counts[2])
{
	struct top_row *added = top_add_row(device, TOP_LINK, name);

	if (!added)
		return;
	added->from = row->from;
	added->to = row->to;
	added->session = row->session;
	added->size = row->size;
	added->fill = row->fill < row->size ? row->fill : row->size;
	added->filled = row->filled;
	memcpy(added->state, row->state, sizeof(row->state));
	memcpy(added->counts, counts, 2 * sizeof(*counts));
}

static void add_links(struct top_device *device, const char *name,
		      const struct peer_statistics *peer, uint32_t slot,
		      uint64_t size)
{
	struct top_row row = {
		.state = "up",
		.session = peer->sessions,
		.size = size,
		.filled = peer->pending && size,
	};
	uint32_t own = (uint32_t)device->slot;

	row.from = own;
	row.to = slot;
	row.fill = peer->tx_pending;
	add_direction(device, name, &row, peer->tx);
	row.from = slot;
	row.to = own;
	row.fill = peer->rx_pending;
	add_direction(device, name, &row, peer->rx);
}

static void add_all(struct card *card, const struct peer_statistics *peers,
		    struct top_device *device)
{
	uint64_t size = ring_bytes(card);
	uint32_t slot;

	for (slot = 0; slot < SLOTS_MAX; slot++)
		if (peers[slot].there && peers[slot].state == STATE_UP)
			add_links(device, card->request.ifr_name, &peers[slot],
				  slot, size);
}

void top_look_at_card(const char *name, struct top_device *device)
{
	struct peer_statistics *peers = calloc(SLOTS_MAX, sizeof(*peers));
	struct card card;
	int ret = -ENOMEM;

	snprintf(card.request.ifr_name, sizeof(card.request.ifr_name), "%s",
		 name);
	card.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (card.fd < 0)
		ret = -errno;
	else if (peers)
		ret = read_peers_of(&card, peers);
	if (ret)
		top_lack(device, "%s: links: %s", name, strerror(-ret));
	else if (device->slot >= 0)
		add_all(&card, peers, device);
	free(peers);
	if (card.fd >= 0)
		close(card.fd);
}
