/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keys and values of exports, through the one function that both the configuration
 * file and the command line use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "config.h"

struct fixture {
	struct config config;
	struct export_config *export;
	struct config_error error;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	memset(&fixture, 0, sizeof(fixture));
	fixture.export = config_add(&fixture.config, "disk", "here",
				    &fixture.error);
	*state = &fixture;
	return fixture.export ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	config_free(&fixture->config);
	return 0;
}

static void takes(struct fixture *fixture, const char *key, const char *value)
{
	fixture->export->seen = 0;
	assert_int_equal(config_set(fixture->export, key, value,
				    &fixture->error), 0);
}

static void refuses(struct fixture *fixture, const char *key, const char *value,
		    const char *why)
{
	fixture->export->seen = 0;
	assert_int_equal(config_set(fixture->export, key, value,
				    &fixture->error), -1);
	assert_non_null(strstr(fixture->error.text, why));
}

static void test_defaults(void **state)
{
	struct fixture *fixture = *state;
	const struct export_config *export = fixture->export;

	assert_string_equal(export->name, "disk");
	assert_true(export->discard);
	assert_false(export->read_only);
	assert_int_equal(export->poll_us, CONFIG_POLL_US);
	assert_int_equal(export->direct, DIRECT_AUTO);
	assert_int_equal(export->writers, WRITERS_ONE);
	assert_int_equal(export->block_size, 0);
	assert_int_equal(export->queues, 0);
	assert_string_equal(export->serial, "");
}

static void test_serials(void **state)
{
	struct fixture *fixture = *state;

	takes(fixture, "serial", "12345678901234567890");
	assert_string_equal(fixture->export->serial, "12345678901234567890");
	/* Nothing of the one before remains behind it. */
	takes(fixture, "serial", "a b");
	assert_memory_equal(fixture->export->serial, "a b\0\0\0", 6);
	takes(fixture, "serial", "");
	refuses(fixture, "serial", "123456789012345678901", "at most 20");
	refuses(fixture, "serial", "a\tb", "printable");
	refuses(fixture, "serial", "a\x7f", "printable");
}

static void test_block_sizes(void **state)
{
	static const char * const sizes[] = { "512", "1024", "2K", "4k",
					      "0x1000" };
	static const char * const wrong[] = { "", "0", "256", "513", "8192",
					      "4096 ", "-512", "4294967808" };
	struct fixture *fixture = *state;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		takes(fixture, "block-size", sizes[i]);
	assert_int_equal(fixture->export->block_size, 4096);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses(fixture, "block-size", wrong[i], "512, 1024");
}

static void test_counts(void **state)
{
	struct fixture *fixture = *state;

	takes(fixture, "queues", "16");
	takes(fixture, "poll-us", "0");
	takes(fixture, "poll-us", "100000");
	assert_int_equal(fixture->export->poll_us, 100000);
	refuses(fixture, "queues", "0", "from 1 to 16");
	refuses(fixture, "queues", "17", "from 1 to 16");
	refuses(fixture, "queues", "1x", "from 1 to 16");
	refuses(fixture, "poll-us", "100001", "from 0 to 100000");
}

static void test_words(void **state)
{
	struct fixture *fixture = *state;

	takes(fixture, "direct", "off");
	assert_int_equal(fixture->export->direct, DIRECT_OFF);
	takes(fixture, "writers", "all");
	assert_int_equal(fixture->export->writers, WRITERS_ALL);
	takes(fixture, "discard", "no");
	assert_false(fixture->export->discard);
	refuses(fixture, "direct", "yes", "auto, on or off");
	refuses(fixture, "writers", "", "one or all");
	refuses(fixture, "read-only", "true", "yes or no");
	refuses(fixture, "link", "lab", "neither a device nor unix:");
	refuses(fixture, "colour", "red", "unknown key \"colour\"");
}

static void test_a_key_is_set_once(void **state)
{
	struct fixture *fixture = *state;

	takes(fixture, "file", "a");
	assert_int_equal(config_set(fixture->export, "file", "b",
				    &fixture->error), -1);
	assert_non_null(strstr(fixture->error.text, "set twice"));
}

static void test_what_only_shows_in_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct export_config *other;

	assert_int_equal(config_check(&fixture->config, &fixture->error), -1);
	takes(fixture, "file", "a");
	assert_int_equal(config_check(&fixture->config, &fixture->error), 0);
	other = config_add(&fixture->config, "other", "there",
			   &fixture->error);
	assert_non_null(other);
	fixture->export = &fixture->config.exports[0];
	assert_int_equal(config_set(other, "file", "a", &fixture->error), 0);
	assert_int_equal(config_check(&fixture->config, &fixture->error), -1);
	/* Two that only read may share it. */
	assert_int_equal(config_set(other, "read-only", "yes",
				    &fixture->error), 0);
	assert_int_equal(config_check(&fixture->config, &fixture->error), -1);
	takes(fixture, "read-only", "yes");
	assert_int_equal(config_check(&fixture->config, &fixture->error), 0);
	assert_null(config_add(&fixture->config, "disk", "again",
			       &fixture->error));
	assert_non_null(strstr(fixture->error.text, "defined by here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_serials, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_block_sizes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_key_is_set_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_only_shows_in_the_end,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
