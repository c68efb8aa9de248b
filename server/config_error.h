/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Saying why a configuration is refused.
 */
#ifndef IVSHMEMD_CONFIG_ERROR_H
#define IVSHMEMD_CONFIG_ERROR_H

/** struct config_error - why something was refused, in words. */
struct config_error {
	char text[768];
};

/** config_fail() - fill in @error; returns -1. */
int config_fail(struct config_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** config_blame() - put the place before the text of @error; returns -1. */
int config_blame(struct config_error *error, const char *where);

#endif /* IVSHMEMD_CONFIG_ERROR_H */
