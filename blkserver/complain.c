// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parts that are the command line tool's, too, have to say goes to the log.
 */
#include <stdarg.h>
#include <stdio.h>

#include "command.h"
#include "log.h"

void complain(const char *format, ...)
{
	va_list arguments;
	char line[768];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_error("%s", line);
}
