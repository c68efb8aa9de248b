/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the server says in the region: who is connected to which slot.  Clients
 * can write anything there at any time, format the region anew, or take the
 * memory away; what is said next is right again.
 */
#include "directory.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"

bool directory_read(int fd, struct ivregion_superblock *superblock)
{
	__le32 magic;

	if (pread(fd, &magic, sizeof(magic), 0) != sizeof(magic) ||
	    ivshmem_from_le32(magic) != IVREGION_MAGIC)
		return false;
	/* Magic before the rest; pairs with ivregion_write() */
	ivshmem_mb();
	return pread(fd, superblock, sizeof(*superblock), 0) ==
	       sizeof(*superblock);
}

/*
 * A word of the region, 0 if it is not there any more.  Through the descriptor:
 * a look at a mapping would allocate the page.
 */
static uint32_t read_word(const struct directory *directory, uint64_t offset)
{
	__le32 word;

	if (pread(directory->fd, &word, sizeof(word), (off_t)offset) !=
	    sizeof(word))
		return 0;
	return ivshmem_from_le32(word);
}

static uint32_t read_epoch(const struct directory *directory, unsigned int slot)
{
	return read_word(directory, ivregion_peer_offset(slot) +
			 offsetof(struct ivregion_peer_line, epoch));
}

static bool has_line(const struct directory *directory, unsigned int slot)
{
	return directory->writable && slot < directory->region.slots;
}

static enum ivregion_status status_of(const struct directory *directory,
				      unsigned int slot)
{
	/* Others, such as plain devices, may be in slots beyond the server's. */
	if (directory->ended || slot >= directory->peers)
		return IVREGION_UNTRACKED;
	return directory->slots[slot].taken ? IVREGION_CONNECTED :
					      IVREGION_VACANT;
}

static void touch_lines(void *argument)
{
	const struct directory *directory = argument;
	struct ivregion_server_line __ivshmem *line =
		(struct ivregion_server_line __ivshmem *)
		((__u8 __ivshmem *)directory->memory +
		 ivregion_server_offset(0));

	for (unsigned int i = 0; i < directory->region.slots; i++) {
		const struct directory_slot *slot = &directory->slots[i];

		ivshmem_store32(&line[i].gone_epoch, slot->gone_epoch);
		ivshmem_store32(&line[i].generation, slot->generation);
		/* After these two; pairs with ivpeer_look() */
		ivshmem_store_release32(&line[i].status,
					status_of(directory, i));
	}
}

/* Whether all lines are what touch_lines() would write; also if none can be read. */
static bool lines_stand(const struct directory *directory)
{
	struct ivregion_server_line lines[IVREGION_SLOTS_MAX];
	size_t size = directory->region.slots * sizeof(lines[0]);

	if (pread(directory->fd, lines, size,
		  (off_t)ivregion_server_offset(0)) != (ssize_t)size)
		return true;
	for (unsigned int i = 0; i < directory->region.slots; i++) {
		const struct directory_slot *slot = &directory->slots[i];

		if (ivshmem_from_le32(lines[i].gone_epoch) != slot->gone_epoch ||
		    ivshmem_from_le32(lines[i].generation) != slot->generation ||
		    ivshmem_from_le32(lines[i].status) != status_of(directory, i))
			return false;
	}
	return true;
}

static void lose(struct directory *directory, enum ivregion_error error)
{
	if (directory->writable)
		directory->change = DIRECTORY_LOST;
	directory->writable = false;
	directory->error = error;
}

/* All of them each time: whatever a client has scribbled there is put right. */
static void publish(struct directory *directory)
{
	if (directory->writable && !guard_run(touch_lines, directory))
		lose(directory, IVREGION_NO_MAGIC);
}

/*
 * In a region that was formatted anew, nobody has joined yet; in one that was
 * there before the server, nobody is there any more.
 */
static void begin_anew(struct directory *directory)
{
	for (unsigned int i = 0; i < directory->region.slots; i++) {
		struct directory_slot *slot = &directory->slots[i];

		slot->gone_epoch = 0;
		if (!slot->taken && i < directory->peers)
			slot->gone_epoch = read_epoch(directory, i);
	}
}

/* Whether the region is still, or by now, one that lines are written to. */
static void look(struct directory *directory)
{
	struct ivregion_superblock copy;
	struct ivregion region;
	enum ivregion_error error;
	bool same, anew;

	if (!directory_read(directory->fd, &copy)) {
		lose(directory, IVREGION_NO_MAGIC);
		return;
	}
	error = ivregion_parse(&copy, directory->size, &region);
	same = directory->writable &&
	       ivshmem_from_le32(copy.instance) == directory->region.instance;
	/* Peers go on with what they have read; but that may have been a lie. */
	if (same && (error || region.slots == directory->region.slots))
		return;
	if (error || region.read_only) {
		lose(directory, error);
		return;
	}
	anew = region.instance != directory->region.instance ||
	       !directory->region.slots;
	directory->region = region;
	directory->writable = true;
	directory->change = DIRECTORY_FORMATTED;
	if (anew)
		begin_anew(directory);
}

static size_t length_to_map(int fd, uint64_t size)
{
	size_t length = ivregion_control_size(IVREGION_SLOTS_MAX);
	struct stat st;

	/* Of a hugetlb file, that is a huge page. */
	if (!fstat(fd, &st) && (size_t)st.st_blksize > length)
		length = (size_t)st.st_blksize;
	return length < size ? length : size;
}

/* An earlier server has said who left each slot, and how many have been there. */
static void go_on(struct directory *directory, unsigned int slot)
{
	uint64_t at = ivregion_server_offset(slot);
	struct directory_slot *line = &directory->slots[slot];

	line->generation = read_word(directory, at +
				     offsetof(struct ivregion_server_line,
					      generation));
	if (line->taken)
		line->gone_epoch = read_word(directory, at +
			offsetof(struct ivregion_server_line, gone_epoch));
}

int directory_open(struct directory *directory, int fd, uint64_t size,
		   unsigned int peers, uint64_t taken)
{
	memset(directory, 0, sizeof(*directory));
	directory->fd = fd;
	directory->size = size;
	directory->peers = peers;
	directory->mapped = length_to_map(fd, size);
	directory->memory = mmap(NULL, directory->mapped,
				 PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (directory->memory == MAP_FAILED) {
		directory->memory = NULL;
		return -errno;
	}
	for (unsigned int i = 0; i < peers; i++)
		directory->slots[i].taken = taken >> i & 1;
	look(directory);
	for (unsigned int i = 0; has_line(directory, i) && i < peers; i++)
		go_on(directory, i);
	publish(directory);
	return 0;
}

void directory_end(struct directory *directory)
{
	if (!directory->memory || directory->ended)
		return;
	look(directory);
	directory->ended = true;
	publish(directory);
}

void directory_close(struct directory *directory)
{
	directory_end(directory);
	if (directory->memory)
		munmap(directory->memory, directory->mapped);
	directory->memory = NULL;
}

void directory_join(struct directory *directory, unsigned int slot)
{
	if (directory->ended)
		return;
	look(directory);
	directory->slots[slot].taken = true;
	directory->slots[slot].parted = false;
	directory->slots[slot].generation++;
	publish(directory);
}

enum directory_parting directory_part(struct directory *directory,
				      unsigned int slot)
{
	struct directory_slot *line = &directory->slots[slot];
	uint32_t epoch;

	if (directory->ended)
		return PARTING_UNKNOWN;
	if (line->parted)
		return line->parting;
	look(directory);
	line->parted = true;
	line->parting = PARTING_UNKNOWN;
	if (!has_line(directory, slot))
		return line->parting;
	epoch = read_epoch(directory, slot);
	/* One that stood there before the client is not the client's. */
	line->parting = epoch && epoch != line->gone_epoch ? PARTING_PRESENT :
							     PARTING_ABSENT;
	line->gone_epoch = epoch;
	return line->parting;
}

bool directory_leave(struct directory *directory, unsigned int slot)
{
	if (directory->ended)
		return false;
	directory_part(directory, slot);
	directory->slots[slot].taken = false;
	publish(directory);
	return has_line(directory, slot);
}

bool directory_check(struct directory *directory)
{
	if (directory->ended)
		return false;
	look(directory);
	if (!directory->writable || lines_stand(directory))
		return false;
	publish(directory);
	return directory->writable;
}

enum directory_change directory_take_change(struct directory *directory)
{
	enum directory_change change = directory->change;

	directory->change = DIRECTORY_AS_BEFORE;
	return change;
}
