// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs: made at random, or of one that has reached something that none had before.
 */
#include "fuzz.h"

#include <string.h>

/* Calls that each random program begins with */
#define BEGIN	3

static struct call call_of(struct chance *chance, unsigned int kind)
{
	return (struct call) {
		.kind = kind,
		.twist_at = NO_TWIST,
		.seed = draw(chance),
	};
}

void call_make(struct chance *chance, struct call *call)
{
	static unsigned int total;
	unsigned int kind, weights = 0;
	uint64_t drawn;

	if (!total) {
		for (kind = 0; kind < nr_kinds; kind++)
			weights += kinds[kind].weight;
		total = weights;
	}
	drawn = below(chance, total);
	for (kind = 0; drawn >= kinds[kind].weight; kind++)
		drawn -= kinds[kind].weight;
	*call = call_of(chance, kind);
}

static unsigned int kind_of(long (*run)(struct fuzzer *f))
{
	unsigned int kind = 0;

	while (kinds[kind].run != run)
		kind++;
	return kind;
}

/* It begins with what the others work on */
static void program_random(struct chance *chance, struct program *program)
{
	unsigned int i;

	program->length = 4 + below(chance, CALLS_MAX - 3);
	program->calls[0] = call_of(chance, kind_of(call_open));
	program->calls[1] = call_of(chance, kind_of(call_mmap));
	program->calls[2] = call_of(chance, kind_of(call_eventfd));
	for (i = BEGIN; i < program->length; i++)
		call_make(chance, &program->calls[i]);
}

static void insert(struct chance *chance, struct program *program)
{
	uint64_t at = below(chance, program->length + 1);
	struct call *call = &program->calls[at];

	if (program->length == CALLS_MAX)
		return;
	memmove(call + 1, call, (program->length - at) * sizeof(*call));
	program->length++;
	if (at && one_in(chance, 2))
		*call = program->calls[below(chance, at)];
	else
		call_make(chance, call);
}

static void take_out(struct chance *chance, struct program *program)
{
	uint64_t at = below(chance, program->length);
	struct call *call = &program->calls[at];

	if (program->length == 1)
		return;
	program->length--;
	memmove(call, call + 1, (program->length - at) * sizeof(*call));
}

/* Another number in the place of one of the first that the call draws */
static void twist(struct chance *chance, struct program *program)
{
	struct call *call = &program->calls[below(chance, program->length)];

	call->twist_at = below(chance, one_in(chance, 4) ? 64 : 16);
	call->twist = draw(chance);
}

/* The beginning of one and the end of another */
static void join(struct chance *chance, struct program *program,
		 const struct program *other)
{
	uint64_t from = below(chance, other->length);
	uint64_t at = below(chance, program->length) + 1;

	for (; from < other->length && at < CALLS_MAX; from++, at++)
		program->calls[at] = other->calls[from];
	program->length = at;
}

static const struct program *program_kept(struct shared *shared, struct chance *chance)
{
	uint32_t count = atomic_load(&shared->nr_programs);
	uint64_t number;

	if (!count)
		return NULL;
	number = below(chance, count < CORPUS_MAX ? count : CORPUS_MAX);
	return atomic_load(&shared->complete[number]) ? &shared->corpus[number] : NULL;
}

void program_make(struct fuzzer *f, struct chance *chance, struct program *program)
{
	const struct program *kept = program_kept(f->shared, chance), *other;
	unsigned int changes;

	if (!kept || f->shared->options.unguided || one_in(chance, 2)) {
		program_random(chance, program);
		return;
	}
	*program = *kept;
	for (changes = 1 + below(chance, 4); changes; changes--) {
		switch (below(chance, 8)) {
		case 0:
			other = program_kept(f->shared, chance);
			if (other)
				join(chance, program, other);
			break;
		case 1:
			take_out(chance, program);
			break;
		case 2:
		case 3:
		case 4:
			insert(chance, program);
			break;
		default:
			twist(chance, program);
			break;
		}
	}
}

/* For others to be made of it; as long as there is room */
void program_keep(struct shared *shared, const struct program *program)
{
	uint32_t number = atomic_fetch_add(&shared->nr_programs, 1);

	if (number >= CORPUS_MAX) {
		atomic_store(&shared->nr_programs, CORPUS_MAX);
		return;
	}
	shared->corpus[number] = *program;
	atomic_store(&shared->complete[number], true);
}
