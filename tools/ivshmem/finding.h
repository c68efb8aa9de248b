/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the doctor finds: each with a verdict and, if it is not good, a remedy.
 */
#ifndef FINDING_H
#define FINDING_H

#include <stdbool.h>

enum verdict {
	VERDICT_OK,
	VERDICT_WARN,
	VERDICT_FAIL,
};

/**
 * struct findings - all of them
 * @list:     for JSON, else NULL: then each is printed as soon as it is known
 * @count:    how many there are
 * @warnings: how many of them are VERDICT_WARN
 * @failures: how many of them are VERDICT_FAIL
 */
struct findings {
	struct json_object *list;
	unsigned int count;
	unsigned int warnings;
	unsigned int failures;
};

/**
 * found() - add a finding
 * @check:   what was looked at, one word
 * @subject: of which device, process or socket
 * @remedy:  what to do about it, NULL with VERDICT_OK
 */
void found(struct findings *findings, enum verdict verdict, const char *check,
	   const char *subject, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

#endif /* FINDING_H */
