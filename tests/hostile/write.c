// SPDX-License-Identifier: GPL-2.0-only
/*
 * How words are drawn, written, counted and looked at, and how a region is put right
 * again in the end.
 */
#include "hostile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Words between two looks at the metadata */
#define STALE	2048

/* All who use the region have noticed that it is being formatted */
#define NOTICED_MS	1200

/* xorshift64*, and all of the bits that are good */
uint64_t draw(struct hostile *h, uint64_t below)
{
	h->random ^= h->random >> 12;
	h->random ^= h->random << 25;
	h->random ^= h->random >> 27;
	return (h->random * 0x2545f4914f6cdd1dULL >> 16) % below;
}

uint32_t nasty(struct hostile *h)
{
	static const uint32_t some[] = {
		0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 192, 255,
		256, 257, 511, 512, 513, 1400, 1500, 2016, 4095, 4096, 4097, 0x7fff,
		0x8000, 0xffff, 0x10000, 0x10001, 0xfffff, 0x100000, 0x200000,
		0x7fffffff, 0x80000000, 0x80000001, 0xffffff00, 0xffffffc0, 0xffffffe0,
		0xfffffffe, 0xffffffff, IVREGION_MAGIC,
	};

	if (draw(h, 4))
		return some[draw(h, sizeof(some) / sizeof(some[0]))];
	return (uint32_t)draw(h, 1ULL << 32);
}

void put(struct hostile *h, uint64_t offset, uint32_t value)
{
	offset = offset % h->size & ~3ULL;
	ivshmem_store32((__le32 *)(h->memory + offset), value);
	/* FNV-1a, a word at a time */
	h->digest = ((h->digest ^ offset) * 0x100000001b3ULL ^ value) * 0x100000001b3ULL;
	h->written++;
}

void put_bytes(struct hostile *h, uint64_t offset, const void *bytes, uint32_t n)
{
	uint32_t at;
	__le32 word;

	for (at = 0; at + sizeof(word) <= n; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)bytes + at, sizeof(word));
		put(h, offset + at, ivshmem_from_le32(word));
	}
}

static void look_now(struct hostile *h)
{
	uint32_t i;

	for (i = 0; i < h->nr_words; i++)
		h->words[i].seen = ivshmem_load32((__le32 *)(h->memory +
							     h->words[i].offset));
}

/* What was seen then is what is seen now */
static void look(struct hostile *h)
{
	uint32_t i;

	if (!h->replay)
		look_now(h);
	for (i = 0; i < h->nr_words; i++) {
		uint32_t *seen = &h->words[i].seen;

		if (h->replay && fread(seen, sizeof(*seen), 1, h->replay) != 1) {
			fprintf(stderr, "hostile: the record has ended\n");
			exit(1);
		}
		if (h->record && fwrite(seen, sizeof(*seen), 1, h->record) != 1) {
			perror("hostile: record");
			exit(1);
		}
	}
	h->due = h->written + STALE;
}

uint32_t peek(struct hostile *h, uint32_t word)
{
	if (h->written >= h->due)
		look(h);
	return h->words[word].seen;
}

void format(struct hostile *h, struct ivregion_superblock *superblock)
{
	const uint32_t start = offsetof(struct ivregion_superblock, checksum);

	superblock->checksum = ivshmem_to_le32(ivregion_checksum(superblock));
	put(h, 0, 0);
	put_bytes(h, start, (const uint8_t *)superblock + start,
		  sizeof(*superblock) - start);
	put(h, 0, IVREGION_MAGIC);
}

static struct ivregion_superblock *there(struct hostile *h)
{
	return (struct ivregion_superblock *)h->memory;
}

void restore(struct hostile *h)
{
	const size_t start = offsetof(struct ivregion_superblock, checksum);

	if (!memcmp(h->memory, &h->superblock, sizeof(h->superblock)))
		return;
	ivregion_erase(there(h));
	ivshmem_copy_out(h->memory + start, (const uint8_t *)&h->superblock + start,
			 sizeof(h->superblock) - start);
	ivshmem_store_release32(&there(h)->magic, IVREGION_MAGIC);
}

void renew(struct hostile *h)
{
	struct timespec noticed = { .tv_sec = NOTICED_MS / 1000,
				    .tv_nsec = NOTICED_MS % 1000 * 1000000 };
	uint32_t instance = ivshmem_from_le32(h->superblock.instance) + 1;

	h->superblock.instance = ivshmem_to_le32(instance);
	h->superblock.checksum = ivshmem_to_le32(ivregion_checksum(&h->superblock));
	ivregion_erase(there(h));
	nanosleep(&noticed, NULL);
	ivregion_write(h->memory, &h->superblock, &h->region);
}
