// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks at a slot of the directory in which each load gives what the input
 * says, and holds what is made of it to the table of the document.
 */
#include "input.h"

/* The words of both lines that a look may load, each once */
enum word { EPOCH, HEARTBEAT, VECTORS, FEATURES, STATUS, GENERATION, GONE, WORDS };

static struct ivregion_peer_line *line;
static struct ivregion_server_line *server;
static __u32 seen[WORDS];
static unsigned int loads[WORDS], copies;
static struct ivpeer peer;

static enum word word_of(const void *ptr)
{
	const void *words[WORDS] = {
		&line->epoch, &line->heartbeat, &line->vectors,
		&line->features, &server->status, &server->generation,
		&server->gone_epoch,
	};
	unsigned int word = 0;

	while (word < WORDS && words[word] != ptr)
		word++;
	return word;
}

void hostile_check_read(const void *ptr, size_t n)
{
	if (n == sizeof(__u32)) {
		CHECK(word_of(ptr) < WORDS);
		CHECK(++loads[word_of(ptr)] == 1);
	} else {
		CHECK(ptr == line->name && n == sizeof(line->name));
		CHECK(++copies == 1);
	}
}

void hostile_check_write(const void *ptr, size_t n)
{
	CHECK(within(ptr, n, line, sizeof(*line)));
}

/* Whoever joins is not there before all else is */
void hostile_stored(const __le32 *ptr, __u32 v)
{
	CHECK(ptr == &line->epoch || !line->epoch);
	if (ptr == &line->epoch && v)
		CHECK(!line->heartbeat && !line->features && line->name[0] == 'n');
}

__u32 hostile_word(const __le32 *ptr)
{
	enum word word = word_of(ptr);
	__u32 value = seen[word];

	switch (take(1) % 8) {
	case 0:
		value = take(4);
		break;
	case 1:
		value = take(1);
		break;
	case 2:
		value++;
		break;
	case 3:
		value = word == GONE ? peer.epoch : take(1) % 4;
		break;
	default:
		break;
	}
	seen[word] = value;
	return value;
}

void hostile_bytes(void *to, const void *from, size_t n)
{
	__u32 count = take(1);

	(void)from;
	memset(to, (int)take(1), n);
	for (size_t i = 0; i < n && i < count; i++)
		((__u8 *)to)[i] = (__u8)take(1);
}

static enum ivpeer_state expected_state(const struct ivpeer *before, __u32 now)
{
	bool connected = seen[STATUS] == IVREGION_CONNECTED;

	if (!seen[EPOCH] || seen[STATUS] == IVREGION_VACANT ||
	    (connected && seen[EPOCH] == seen[GONE]))
		return IVPEER_ABSENT;
	if (!before->seen && connected)
		return IVPEER_ALIVE;
	if (before->seen && (seen[EPOCH] != before->epoch ||
			     seen[HEARTBEAT] != before->heartbeat))
		return IVPEER_ALIVE;
	if (before->state == IVPEER_ALIVE && now - before->beat_at > 5000)
		return IVPEER_SILENT;
	return before->state;
}

static enum ivpeer_event expected_event(const struct ivpeer *before,
					enum ivpeer_state after)
{
	if (after == IVPEER_ABSENT && before->state != IVPEER_ABSENT)
		return seen[EPOCH] ? IVPEER_DIED : IVPEER_LEFT;
	if (after == IVPEER_ALIVE && before->state == IVPEER_ABSENT)
		return IVPEER_JOINED;
	if (after == IVPEER_ALIVE && seen[EPOCH] != before->epoch)
		return IVPEER_RETURNED;
	if (after == IVPEER_ALIVE && before->state == IVPEER_SILENT)
		return IVPEER_RESUMED;
	if (after == IVPEER_SILENT && before->state == IVPEER_ALIVE)
		return IVPEER_FELL_SILENT;
	return IVPEER_NOTHING;
}

static void check_peer(const struct ivpeer *before)
{
	CHECK(peer.vectors == (seen[VECTORS] <= 256 ? seen[VECTORS] : 0));
	CHECK(peer.epoch == seen[EPOCH] && peer.features == seen[FEATURES]);
	CHECK(peer.generation == seen[GENERATION]);
	CHECK(memchr(peer.name, 0, sizeof(peer.name)));
	for (const char *c = peer.name; *c; c++)
		CHECK(*c > 0x20 && *c < 0x7f);
	CHECK(peer.joins - before->joins <= 1);
}

static void look(__u32 now)
{
	struct ivpeer before = peer;
	enum ivpeer_state state;
	enum ivpeer_event event;

	memset(loads, 0, sizeof(loads));
	copies = 0;
	event = ivpeer_look(&peer, line, server, now);
	for (unsigned int word = 0; word < WORDS; word++)
		CHECK(loads[word] == 1);
	state = expected_state(&before, now);
	CHECK(peer.state == state);
	CHECK(event == expected_event(&before, state));
	check_peer(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char name[IVREGION_PEER_NAME] = "name";
	__u32 now;

	input = bytes;
	input_end = bytes + size;
	line = calloc(1, sizeof(*line));
	server = calloc(1, sizeof(*server));
	CHECK(line && server);
	memset(seen, 0, sizeof(seen));
	memset(&peer, 0xa5, sizeof(peer));
	ivpeer_init(&peer);
	now = take(1) % 2 ? take(4) : 0 - take(2);
	while (input < input_end) {
		switch (take(1) % 16) {
		case 0:
			ivpeer_init(&peer);
			break;
		case 1:
			ivpeer_join(line, 1 + take(1), take(1), name);
			break;
		case 2:
			ivpeer_leave(line);
			break;
		default:
			now += take(1) % 4 ? 500 : take(2);
			look(now);
			break;
		}
	}
	free(line);
	free(server);
	return 0;
}
