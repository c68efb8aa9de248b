/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzzers share: taking their input apart, and saying what is wrong.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdio.h>
#include <stdlib.h>

#include <ivshmem/link.h>

#define CHECK(condition)						\
	do {								\
		if (!(condition)) {					\
			fprintf(stderr, "%s:%d: not true: %s\n",	\
				__FILE__, __LINE__, #condition);	\
			abort();					\
		}							\
	} while (0)

static const uint8_t *input, *input_end;

/* The next @n bytes of the input; 0 behind its end */
static inline __u32 take(unsigned int n)
{
	__u32 value = 0;

	while (n-- && input < input_end)
		value = value << 8 | *input++;
	return value;
}

/* Whether the @n bytes at @ptr lie within the @size bytes at @base */
static inline bool within(const void *ptr, size_t n, const void *base, size_t size)
{
	uintptr_t offset = (uintptr_t)ptr - (uintptr_t)base;

	return offset <= size && n <= size - offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif /* TESTS_FUZZ_INPUT_H */
