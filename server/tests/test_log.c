/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a client can write to the log is bounded, and what is left out is
 * counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static int saved_stderr;

/* Standard error is a file while a test runs. */
static int catch_stderr(void **state)
{
	int file = memfd_create("log", 0);

	(void)state;
	saved_stderr = dup(STDERR_FILENO);
	if (file < 0 || saved_stderr < 0 || dup2(file, STDERR_FILENO) < 0)
		return -1;
	close(file);
	log_open(LOG_INFO);
	return 0;
}

static int release_stderr(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	return 0;
}

static const char *logged(void)
{
	static char text[8192];
	ssize_t length = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

static unsigned int count(const char *part)
{
	const char *text = logged();
	unsigned int found = 0;

	while ((text = strstr(text, part))) {
		found++;
		text += strlen(part);
	}
	return found;
}

static void test_burst(void **state)
{
	struct log_limit limit;

	(void)state;
	log_limit_init(&limit, "link lab", 5, 1000);
	assert_true(log_limit_due(&limit) == UINT64_MAX);
	for (int i = 0; i < 100; i++)
		log_limited(&limit, 1000, LOG_INFO, "line %d", i);
	assert_int_equal(count("line "), 5);
	assert_int_equal(count("left out"), 0);
	assert_true(log_limit_due(&limit) == 2000);
	log_limit_flush(&limit, 1999);
	assert_int_equal(count("left out"), 0);
	log_limit_flush(&limit, 2000);
	assert_int_equal(count("link lab: 95 lines about clients were left out"),
			 1);
	assert_true(log_limit_due(&limit) == UINT64_MAX);
}

static void test_recovery(void **state)
{
	struct log_limit limit;

	(void)state;
	log_limit_init(&limit, "link lab", 3, 0);
	for (uint64_t second = 0; second < 100; second += 10) {
		for (int i = 0; i < 3; i++)
			log_limited(&limit, second * 1000, LOG_INFO, "line");
	}
	assert_int_equal(count("line\n"), 30);
	assert_int_equal(count("left out"), 0);
}

/* What is not written anyway costs nothing of the burst. */
static void test_thresholds(void **state)
{
	struct log_limit limit;

	(void)state;
	log_limit_init(&limit, "link lab", 1, 0);
	for (int i = 0; i < 10; i++)
		log_limited(&limit, 0, LOG_DEBUG, "detail");
	log_limited(&limit, 0, LOG_INFO, "line");
	assert_string_equal(logged(), "ivshmemd: line\n");
	log_open(LOG_DEBUG);
	for (int i = 0; i < 10; i++)
		log_limited(&limit, 0, LOG_DEBUG, "detail");
	assert_int_equal(count("detail"), 10);
	log_open(LOG_WARNING);
	log_info("silence");
	assert_int_equal(count("silence"), 0);
	log_warning("%s", "warned");
	assert_int_equal(count("ivshmemd: warned\n"), 1);
}

static void test_journal(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open(LOG_INFO);
	log_error("bad");
	log_info("fine");
	assert_string_equal(logged(), "<3>bad\n<6>fine\n");
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_open(LOG_INFO);
	log_warning("elsewhere");
	assert_int_equal(count("ivshmemd: elsewhere\n"), 1);
	unsetenv("JOURNAL_STREAM");
}

#define LOG_TEST(test) \
	cmocka_unit_test_setup_teardown(test, catch_stderr, release_stderr)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(test_burst),
		LOG_TEST(test_recovery),
		LOG_TEST(test_thresholds),
		LOG_TEST(test_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
