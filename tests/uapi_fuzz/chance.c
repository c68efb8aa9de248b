// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random numbers of a seed, and those that calls fail at: at the ends of ranges, and a bit
 * beside them.
 */
#include "fuzz.h"

#include <limits.h>
#include <string.h>

/* SplitMix64 */
uint64_t mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15ULL;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

void chance_start(struct chance *chance, uint64_t seed)
{
	*chance = (struct chance) { .state = seed, .twist_at = NO_TWIST };
}

void chance_twist(struct chance *chance, const struct call *call)
{
	*chance = (struct chance) {
		.state = call->seed,
		.twist = call->twist,
		.twist_at = call->twist_at,
	};
}

uint64_t draw(struct chance *chance)
{
	chance->state += 0x9e3779b97f4a7c15ULL;
	if (chance->drawn++ == chance->twist_at)
		return mix(chance->twist);
	return mix(chance->state);
}

uint64_t below(struct chance *chance, uint64_t end)
{
	return draw(chance) % end;
}

bool one_in(struct chance *chance, uint64_t n)
{
	return !below(chance, n);
}

/* A number that is the least or the largest of something, or next to that */
uint64_t boundary(struct fuzzer *f)
{
	const uint64_t ends[] = {
		0, 1, 4, 64, 256, PAGE, 65536, INT32_MAX, UINT32_MAX, 1ULL << 47,
		INT64_MAX, UINT64_MAX - PAGE + 1, UINT64_MAX, f->shared->size,
		f->shared->size - PAGE, f->shared->size / 2, f->shared->vectors,
	};
	uint64_t end = ends[below(&f->chance, ARRAY_SIZE(ends))];

	switch (below(&f->chance, 8)) {
	case 0:
		return end - 1;
	case 1:
		return end + 1;
	case 2:
		return draw(&f->chance);
	case 3:
		return 1ULL << below(&f->chance, 64);
	default:
		return end;
	}
}

void fill(struct chance *chance, void *data, size_t size)
{
	uint64_t word;
	size_t at;

	for (at = 0; at < size; at += sizeof(word)) {
		word = draw(chance);
		memcpy((char *)data + at, &word,
		       size - at < sizeof(word) ? size - at : sizeof(word));
	}
}
