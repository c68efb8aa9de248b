// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the kernel of a guest: is it new enough, and would it load
 * a module that is not signed.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"

#define LOCKDOWN	"/sys/kernel/security/lockdown"
#define ENFORCE		"/sys/module/module/parameters/sig_enforce"
/* The floor of drivers/compat/compat.h */
#define MAJOR_LEAST	6
#define MINOR_LEAST	1

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ret;

	if (!file)
		return false;
	ret = fgets(line, (int)size, file);
	fclose(file);
	return ret;
}

bool kernel_wants_signatures(void)
{
	char line[128];

	if (read_line(ENFORCE, line, sizeof(line)) && *line == 'Y')
		return true;
	/* The word in brackets is what holds. */
	return read_line(LOCKDOWN, line, sizeof(line)) &&
	       strchr(line, '[') && !strstr(line, "[none]");
}

bool is_signed(const char *file)
{
	static const char mark[] = "~Module signature appended~\n";
	const char *suffix = strrchr(file, '.');
	char end[sizeof(mark)] = "", line[64];
	FILE *input;
	bool ret;

	/* What is compressed has it inside: "PKCS#7". */
	if (!suffix || strcmp(suffix, ".ko"))
		return ask_modinfo(file, "sig_id", line, sizeof(line));
	input = fopen(file, "re");
	if (!input)
		return false;
	ret = !fseek(input, -(long)(sizeof(mark) - 1), SEEK_END) &&
	      fread(end, sizeof(mark) - 1, 1, input) == 1 &&
	      !memcmp(end, mark, sizeof(mark) - 1);
	fclose(input);
	return ret;
}

void examine_kernel(struct findings *findings)
{
	unsigned int major, minor;
	struct utsname kernel;

	uname(&kernel);
	if (sscanf(kernel.release, "%u.%u", &major, &minor) != 2 ||
	    major > MAJOR_LEAST ||
	    (major == MAJOR_LEAST && minor >= MINOR_LEAST))
		return;
	found(findings, VERDICT_FAIL, "kernel", kernel.release,
	      "use Linux 6.1 or later; or drive the device from programs, "
	      "through VFIO (--driver vfio)", "too old for the driver, which "
	      "needs %d.%d", MAJOR_LEAST, MINOR_LEAST);
}
