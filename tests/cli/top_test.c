// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rates of `ivshmem top`: counters that wrap or begin anew, rows that come and go,
 * names that would write to the terminal; sections that do not fit the region.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clean.h"
#include "top_source.h"

#define NEARLY	0.000001

/* A sample of one device with one link. */
static struct top_row *sample_of(struct top_sample *sample, double seconds,
				 uint64_t bytes, unsigned int bits)
{
	struct top_device *device;
	struct top_row *row;

	memset(sample, 0, sizeof(*sample));
	sample->seconds = seconds;
	device = top_add_device(sample, "/dev/ivshmem0");
	assert_non_null(device);
	top_set(&device->counts[TOP_RECEIVED], bytes, bits);
	row = top_add_row(device, TOP_LINK, "lab");
	assert_non_null(row);
	row->to = 1;
	row->session = 7;
	top_set(&row->counts[TOP_BYTES], bytes, bits);
	return row;
}

static const struct top_count *rate_between(double seconds, uint64_t first,
					    uint64_t second, unsigned int bits)
{
	static struct top_count count;
	struct top_sample before, now;
	struct top_row *row;

	sample_of(&before, 10, first, bits);
	row = sample_of(&now, 10 + seconds, second, bits);
	top_rate(&now, &before);
	count = row->counts[TOP_BYTES];
	assert_memory_equal(&now.devices[0].counts[TOP_RECEIVED], &count,
			    sizeof(count));
	top_release(&before);
	top_release(&now);
	return &count;
}

static void a_rate_is_by_the_second(void **state)
{
	(void)state;
	assert_true(rate_between(2, 100, 1100, 64)->rated);
	assert_float_equal(rate_between(2, 100, 1100, 64)->rate, 500, NEARLY);
	assert_float_equal(rate_between(0.5, 0, 1, 64)->rate, 2, NEARLY);
	assert_float_equal(rate_between(1, 5, 5, 32)->rate, 0, NEARLY);
}

static void narrow_counters_wrap(void **state)
{
	(void)state;
	assert_float_equal(rate_between(1, 0xfffffff0, 0x10, 32)->rate, 0x20,
			   NEARLY);
	/* A sum of several is cut when it is set. */
	assert_float_equal(rate_between(1, 0x1fffffff0, 0x200000010, 32)->rate,
			   0x20, NEARLY);
}

static void wide_counters_begin_anew(void **state)
{
	(void)state;
	assert_false(rate_between(1, 1000, 10, 64)->rated);
	assert_true(rate_between(1, UINT64_MAX - 1, UINT64_MAX, 64)->rated);
}

static void no_time_has_passed(void **state)
{
	(void)state;
	assert_false(rate_between(0, 1, 2, 64)->rated);
	assert_false(rate_between(-1, 1, 2, 64)->rated);
}

static void another_session_has_no_rate_yet(void **state)
{
	struct top_sample before, now;
	struct top_row *row;

	(void)state;
	sample_of(&before, 1, 1000, 32);
	row = sample_of(&now, 2, 10, 32);
	row->session = 8;
	top_rate(&now, &before);
	assert_false(row->counts[TOP_BYTES].rated);
	assert_true(row->counts[TOP_BYTES].known);
	top_release(&before);
	top_release(&now);
}

static void rows_are_found_in_any_order(void **state)
{
	static const char *const names[] = { "b", "c", "a" };
	struct top_sample before, now;
	struct top_row *row;
	size_t i;

	(void)state;
	sample_of(&before, 1, 0, 64);
	sample_of(&now, 2, 0, 64);
	for (i = 0; i < 3; i++) {
		row = top_add_row(&before.devices[0], TOP_LINK, names[i]);
		assert_non_null(row);
		top_set(&row->counts[TOP_BYTES], 1000, 64);
		row = top_add_row(&now.devices[0], TOP_LINK, names[2 - i]);
		assert_non_null(row);
		top_set(&row->counts[TOP_BYTES], 1000 + (uint64_t)*row->name,
			64);
	}
	top_rate(&now, &before);
	for (i = 1; i <= 3; i++) {
		row = &now.devices[0].rows[i];
		assert_float_equal(row->counts[TOP_BYTES].rate, *row->name,
				   NEARLY);
	}
	top_release(&before);
	top_release(&now);
}

static void a_device_that_was_not_there_has_no_rate_yet(void **state)
{
	struct top_sample before = { .seconds = 1 }, now;
	struct top_row *row = sample_of(&now, 2, 10, 64);

	(void)state;
	top_rate(&now, &before);
	assert_false(row->counts[TOP_BYTES].rated);
	assert_false(now.devices[0].counts[TOP_RECEIVED].rated);
	/* And one that is gone does not matter. */
	before.seconds = 3;
	top_rate(&before, &now);
	assert_int_equal(before.count, 0);
	top_release(&now);
}

static void names_do_not_write_to_the_terminal(void **state)
{
	char text[8];

	(void)state;
	clean_text(text, sizeof(text), "a\033[2J\x7f\x9b");
	assert_string_equal(text, "a?[2J??");
	clean_text(text, 3, "abcdef");
	assert_string_equal(text, "ab");
	clean_text(text, sizeof(text), "");
	assert_string_equal(text, "");
}

static void there_is_an_end_to_rows(void **state)
{
	struct top_sample sample = { 0 };
	struct top_device *device = top_add_device(&sample, "x");
	size_t i;

	(void)state;
	assert_non_null(device);
	for (i = 0; i < TOP_ROWS_MAX; i++)
		assert_non_null(top_add_row(device, TOP_LINK, "lab"));
	assert_false(device->cut);
	assert_null(top_add_row(device, TOP_LINK, "lab"));
	assert_true(device->cut);
	top_release(&sample);
}

static void rows_are_sorted_within_their_kind(void **state)
{
	struct top_sample sample;
	struct top_row *rows;

	(void)state;
	sample_of(&sample, 1, 0, 32);
	top_add_row(&sample.devices[0], TOP_LINK, "a");
	top_add_row(&sample.devices[0], TOP_PEER, "z");
	rows = sample.devices[0].rows;
	rows[0].counts[TOP_BYTES].rate = 5;
	rows[1].size = 4;
	rows[1].fill = 3;
	rows[1].filled = true;

	top_sort(&sample, TOP_BY_NAME);
	assert_string_equal(rows[0].name, "z");
	assert_string_equal(rows[1].name, "a");
	top_sort(&sample, TOP_BY_RATE);
	assert_string_equal(rows[0].name, "z");
	assert_string_equal(rows[1].name, "lab");
	top_sort(&sample, TOP_BY_FILL);
	assert_string_equal(rows[1].name, "a");
	top_release(&sample);
}

static void what_is_lacking_adds_up(void **state)
{
	struct top_sample sample = { 0 };
	struct top_device *device = top_add_device(&sample, "x");
	int i;

	(void)state;
	top_lack(device, "%s", "one\n");
	top_lack(device, "two");
	assert_string_equal(device->lacks, "one?; two");
	for (i = 0; i < 200; i++)
		top_lack(device, "more of it");
	assert_true(strlen(device->lacks) < sizeof(device->lacks));
	top_release(&sample);
}

/* The region said another number of slots a moment before. */
static void sections_do_not_fit_another_region(void **state)
{
	struct ivshmem_section section = {
		.size = 65536,
		.queues = 1,
		.ring_size = 16384,
	};

	(void)state;
	/* Two outboxes, each of a page of words and a ring: 40960 bytes. */
	assert_true(top_section_fits(2, &section));
	assert_false(top_section_fits(64, &section));
	assert_false(top_section_fits(1, &section));
	assert_false(top_section_fits(0, &section));
	section.size = 40960;
	assert_true(top_section_fits(2, &section));
	section.size--;
	assert_false(top_section_fits(2, &section));
	section.size = UINT64_MAX;
	assert_false(top_section_fits(UINT32_MAX, &section));
	section.queues = UINT32_MAX;
	assert_false(top_section_fits(2, &section));
	section.queues = 0;
	assert_false(top_section_fits(2, &section));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_by_the_second),
		cmocka_unit_test(narrow_counters_wrap),
		cmocka_unit_test(wide_counters_begin_anew),
		cmocka_unit_test(no_time_has_passed),
		cmocka_unit_test(another_session_has_no_rate_yet),
		cmocka_unit_test(rows_are_found_in_any_order),
		cmocka_unit_test(a_device_that_was_not_there_has_no_rate_yet),
		cmocka_unit_test(names_do_not_write_to_the_terminal),
		cmocka_unit_test(there_is_an_end_to_rows),
		cmocka_unit_test(rows_are_sorted_within_their_kind),
		cmocka_unit_test(what_is_lacking_adds_up),
		cmocka_unit_test(sections_do_not_fit_another_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
