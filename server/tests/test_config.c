/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keys and values, through the one function that both the configuration file
 * and the command line use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

struct fixture {
	struct config config;
	struct link_config *link;
	struct config_error error;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	config_init(&fixture.config);
	memset(&fixture.error, 0, sizeof(fixture.error));
	fixture.link = config_add_link(&fixture.config, "lab", "here",
				       &fixture.error);
	*state = &fixture;
	return fixture.link ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	config_free(&fixture->config);
	return 0;
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} sizes[] = {
		{ "4096", 4096 },
		{ "0000000004096", 4096 },
		{ "4K", 4096 },
		{ "4k", 4096 },
		{ "8192K", 8 << 20 },
		{ "2G", 2ULL << 30 },
		{ "4T", 4ULL << 40 },
		{ "8388608T", 1ULL << 63 },
		{ "9223372036854775808", 1ULL << 63 },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		fixture->link->seen = 0;
		assert_int_equal(config_set_link(fixture->link, "size",
						 sizes[i].text,
						 &fixture->error), 0);
		assert_int_equal(fixture->link->size, sizes[i].size);
	}
}

/* Whatever is refused leaves the value as it was. */
static void test_refused_sizes(void **state)
{
	static const char * const refused[] = {
		"", " ", "4 K", "4KK", "4KB", "-4096", "+4096", "4096x", "K",
		"0", "1", "4095", "4097", "3K", "12K", "18446744073709551615",
		"18446744073709551616", "16777216T", "16777215T", "4e3",
		"0x1000",
	};
	struct fixture *fixture = *state;
	uint64_t before = fixture->link->size;

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		fixture->link->seen = 0;
		assert_int_equal(config_set_link(fixture->link, "size",
						 refused[i], &fixture->error),
				 -1);
		assert_non_null(strstr(fixture->error.text, "size="));
		assert_int_equal(fixture->link->size, before);
	}
}

static void test_sizes_in_words(void **state)
{
	static const struct {
		uint64_t size;
		const char *text;
	} sizes[] = {
		{ 0, "0" }, { 1, "1" }, { 1023, "1023" }, { 1024, "1K" },
		{ 1536, "1536" }, { 3 << 20, "3M" }, { 1ULL << 40, "1T" },
		{ 1ULL << 63, "8388608T" },
	};
	char buffer[32];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_string_equal(config_format_size(sizes[i].size, buffer),
				    sizes[i].text);
}

static void test_names(void **state)
{
	static const char * const good[] = {
		"a", "0", "lab-2", "a.b_c-d", "a.",
		"12345678901234567890123456789012",
	};
	static const char * const bad[] = {
		"", ".", "-a", "_a", "a b", "a/b", "a,b", "a\n", "\xc3\xa4",
		"123456789012345678901234567890123", "lab",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_non_null(config_add_link(&fixture->config, good[i],
						"here", &fixture->error));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(config_add_link(&fixture->config, bad[i], "here",
					    &fixture->error));
}

static void test_allow_lists(void **state)
{
	struct fixture *fixture = *state;
	struct link_config *link = fixture->link;

	assert_int_equal(config_set_link(link, "allow", "root:@root:77:@88",
					 &fixture->error), 0);
	assert_int_equal(link->allowed_count, 4);
	assert_false(link->allowed[0].is_group);
	assert_int_equal(link->allowed[0].id, 0);
	assert_true(link->allowed[1].is_group);
	assert_int_equal(link->allowed[1].id, 0);
	assert_false(link->allowed[2].is_group);
	assert_int_equal(link->allowed[2].id, 77);
	assert_true(link->allowed[3].is_group);
	assert_int_equal(link->allowed[3].id, 88);
}

static void test_long_texts(void **state)
{
	struct fixture *fixture = *state;
	char text[5000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(config_parse_link_option(&fixture->config, text,
						  &fixture->error), -1);
	assert_int_equal(config_set_link(fixture->link, text, "1",
					 &fixture->error), -1);
	text[0] = '/';
	assert_int_equal(config_set_link(fixture->link, "socket", text,
					 &fixture->error), 0);
	assert_int_equal(config_check(&fixture->config, &fixture->error), -1);
	assert_true(strlen(fixture->error.text) < sizeof(fixture->error.text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_sizes, set_up,
						tear_down),
		cmocka_unit_test(test_sizes_in_words),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_allow_lists, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_long_texts, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
