// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the programs of this host: has QEMU the device, and is the
 * server one that is meant to last.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

/* Of a program that is searched; those of Debian have 20 MiB */
#define PROGRAM_MAX	(256L << 20)

static const char *const programs[] = {
	"/usr/libexec/qemu-kvm",
	"/usr/bin/qemu-kvm",
	"/usr/bin/qemu-system-x86_64",
	"/usr/bin/qemu-system-aarch64",
};

/* Whether a file names the device; true, too, if that cannot be told. */
static bool names_device(const char *path)
{
	static const char name[] = "ivshmem-doorbell";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *text;
	bool ret;

	if (fd < 0)
		return true;
	text = MAP_FAILED;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= PROGRAM_MAX)
		text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
			    fd, 0);
	close(fd);
	if (text == MAP_FAILED)
		return true;
	ret = memmem(text, (size_t)st.st_size, name, sizeof(name) - 1);
	munmap(text, (size_t)st.st_size);
	return ret;
}

/* A wrapper is a script that starts another one. */
static bool is_program(const char *path)
{
	char magic[4] = "";
	FILE *file = fopen(path, "re");
	bool ret;

	if (!file)
		return false;
	ret = fread(magic, sizeof(magic), 1, file) == 1 &&
	      !memcmp(magic, "\177ELF", sizeof(magic));
	fclose(file);
	return ret;
}

static void examine_builds(struct findings *findings)
{
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (is_program(programs[i]) && !names_device(programs[i]))
			found(findings, VERDICT_WARN, "qemu", programs[i],
			      "use another QEMU: Debian's or Fedora's, or one "
			      "built with CONFIG_IVSHMEM_DEVICE=y; name it in "
			      "libvirt's <emulator>", "built without the device, "
			      "as those of Red Hat Enterprise Linux are: "
			      "'ivshmem-doorbell' is not a valid device model "
			      "name");
}

static void examine_process(struct findings *findings, const char *pid)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(comm, sizeof(comm), file))
		*comm = '\0';
	fclose(file);
	comm[strcspn(comm, "\n")] = '\0';
	if (strcmp(comm, "ivshmem-server"))
		return;
	snprintf(path, sizeof(path), "process %.16s", pid);
	found(findings, VERDICT_WARN, "server", path,
	      "serve the link with ivshmemd: the machines need not be changed",
	      "QEMU's example server, which is not for production, by its own "
	      "words: who restarts it separates all machines, and QEMU crashes "
	      "when a device is unplugged after a peer has left");
}

void examine_programs(struct findings *findings)
{
	struct dirent *entry;
	DIR *proc;

	examine_builds(findings);
	proc = opendir("/proc");
	if (!proc)
		return;
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			examine_process(findings, entry->d_name);
	closedir(proc);
}
