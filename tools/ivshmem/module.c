// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at module files: is there one, and for which kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

#define MODULES		"/lib/modules/"
#define PLACES		"/{extra,updates,updates/dkms,weak-updates," \
			"kernel/drivers/*}/ivshmem.ko*"

#define DKMS		"/var/lib/dkms/ivshmem"

/* First line that `modinfo -F FIELD` prints. */
static bool run_modinfo(const char *program, const char *file,
			const char *field, char *line, size_t size)
{
	char *argv[] = { "modinfo", "-F", (char *)field, (char *)file, NULL };
	posix_spawn_file_actions_t actions;
	int status = -1, ends[2];
	bool ret = false;
	FILE *output;
	pid_t pid;

	if (pipe(ends))
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
					 O_WRONLY, 0);
	if (posix_spawnp(&pid, program, &actions, NULL, argv, environ))
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	output = fdopen(ends[0], "r");
	if (output) {
		ret = fgets(line, (int)size, output);
		fclose(output);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return ret && status == 0;
}

bool ask_modinfo(const char *file, const char *field, char *line, size_t size)
{
	if (!run_modinfo("modinfo", file, field, line, size) &&
	    !run_modinfo("/sbin/modinfo", file, field, line, size))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return *line;
}

/* The release from the file itself, if it is not compressed. */
static bool search_file(const char *file, char *line, size_t size)
{
	static const char key[] = "vermagic=";
	size_t matched = 0, n = 0;
	FILE *input = fopen(file, "re");
	int c;

	if (!input)
		return false;
	while (matched < sizeof(key) - 1 && (c = getc(input)) != EOF)
		matched = c == key[matched] ? matched + 1 : c == key[0];
	if (matched == sizeof(key) - 1)
		while (n < size - 1 && (c = getc(input)) != EOF && c)
			line[n++] = (char)c;
	line[n] = '\0';
	fclose(input);
	return n;
}

/* The kernel release that a module file was built for. */
static bool built_for(const char *file, char *release, size_t size)
{
	char line[256];

	if (!ask_modinfo(file, "vermagic", line, sizeof(line)) &&
	    !search_file(file, line, sizeof(line)))
		return false;
	line[strcspn(line, " \n")] = '\0';
	snprintf(release, size, "%s", line);
	return true;
}

/*
 * Whether a module for one kernel may load in the other.  Between releases of
 * a series (the "6.1" of "6.1.0-13-amd64") a distribution keeps most kernel
 * interfaces, and the kernel checks those that the module uses.
 */
static bool same_series(const char *one, const char *other)
{
	size_t n = strcspn(one, ".");

	n += one[n] == '.';
	n += strcspn(one + n, ".-");
	return !strncmp(one, other, n + (one[n] != '\0'));
}

/* dkms builds for each kernel whose headers are there. */
static const char *build_remedy(const char *kernel, char remedy[512])
{
	char headers[256];

	snprintf(headers, sizeof(headers), MODULES "%s/build", kernel);
	if (access(DKMS, F_OK))
		snprintf(remedy, 512, "build and install it for this kernel: "
			 "make modules install KDIR=%s", headers);
	else if (access(headers, F_OK))
		snprintf(remedy, 512, "dkms needs the headers of this kernel: "
			 "sudo apt install linux-headers-$(uname -r) (Fedora: "
			 "kernel-devel); then dkms status -m ivshmem should "
			 "say: installed");
	else
		snprintf(remedy, 512, "have dkms build it for this kernel: "
			 "sudo dkms autoinstall; dkms status -m ivshmem should "
			 "say: installed, or make.log below " DKMS " says why "
			 "not");
	return remedy;
}

static void examine_file(struct findings *findings, const char *file,
			 const char *kernel)
{
	char release[128], remedy[512];
	bool close;

	if (access(file, R_OK)) {
		found(findings, VERDICT_FAIL, "module", file,
		      "name a module file that you may read", "%s",
		      strerror(errno));
		return;
	}
	if (!built_for(file, release, sizeof(release))) {
		found(findings, VERDICT_FAIL, "module", file,
		      "build it again: make modules", "not a kernel module");
		return;
	}
	if (kernel_wants_signatures() && !is_signed(file)) {
		found(findings, VERDICT_FAIL, "module", file,
		      "sign it with a key that the kernel knows: make a key, "
		      "mokutil --import it, confirm at the console during the "
		      "next boot, then scripts/sign-file of the kernel's "
		      "headers; dkms does it by itself", "not signed, and this "
		      "kernel loads signed modules only (Secure Boot, lockdown)");
		return;
	}
	if (!strcmp(release, kernel)) {
		if (!examine_signature(findings, file))
			found(findings, VERDICT_OK, "module", file, NULL,
			      "built for this kernel, %s", kernel);
		return;
	}
	close = same_series(release, kernel);
	found(findings, close ? VERDICT_WARN : VERDICT_FAIL, "module", file,
	      build_remedy(kernel, remedy),
	      "built for kernel %s, but this one is %s%s", release,
	      kernel, close ? ", which may refuse it" : "");
}

/* Modules that are installed, but not where this kernel looks. */
static bool examine_others(struct findings *findings, const char *kernel)
{
	char releases[512] = "", remedy[512], release[128];
	size_t i, used = 0;
	glob_t files;

	if (glob(MODULES "*" PLACES, GLOB_BRACE, NULL, &files))
		return false;
	for (i = 0; i < files.gl_pathc; i++) {
		snprintf(release, sizeof(release), "%s",
			 files.gl_pathv[i] + strlen(MODULES));
		release[strcspn(release, "/")] = '\0';
		if (used < sizeof(releases))
			used += (size_t)snprintf(releases + used,
						 sizeof(releases) - used,
						 "%s%s", i ? ", " : "",
						 release);
	}
	globfree(&files);
	found(findings, VERDICT_FAIL, "module", IVSHMEM_DRIVER,
	      build_remedy(kernel, remedy), "installed for kernel %s, "
	      "but this one is %s", releases, kernel);
	return true;
}

void examine_module(struct findings *findings, const char *file)
{
	struct utsname kernel;
	char pattern[512], remedy[512];
	glob_t files;
	size_t i;

	uname(&kernel);
	if (file) {
		examine_file(findings, file, kernel.release);
		return;
	}
	snprintf(pattern, sizeof(pattern), MODULES "%s" PLACES,
		 kernel.release);
	if (!glob(pattern, GLOB_BRACE, NULL, &files)) {
		for (i = 0; i < files.gl_pathc; i++)
			examine_file(findings, files.gl_pathv[i],
				     kernel.release);
		globfree(&files);
		return;
	}
	if (!examine_others(findings, kernel.release))
		found(findings, VERDICT_FAIL, "module", IVSHMEM_DRIVER,
		      build_remedy(kernel.release, remedy),
		      "not installed for any kernel");
}
