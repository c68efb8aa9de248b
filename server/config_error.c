// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saying why a configuration is refused.
 */
#include "config_error.h"

#include <stdarg.h>
#include <stdio.h>

int config_fail(struct config_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return -1;
}

int config_blame(struct config_error *error, const char *where)
{
	struct config_error inner = *error;

	/* Room for the place is taken from the end of a very long text. */
	snprintf(error->text, sizeof(error->text), "%s: %.*s", where,
		 (int)(sizeof(error->text) - 64), inner.text);
	return -1;
}
