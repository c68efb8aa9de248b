// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the files that machines of this host share: are they the
 * same ones, of the same size, with room, and for whom.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clean.h"
#include "doctor.h"
#include "output.h"
#include "parse.h"

#define BLOCK	512

static void examine_mode(struct findings *findings, const char *path,
			 const struct stat *st)
{
	const char *word = command_path(path);
	const struct passwd *user = getpwuid(st->st_uid);
	char remedy[1024], owner[64];

	snprintf(owner, sizeof(owner), "%s", user ? user->pw_name : "?");
	if (access(path, R_OK | W_OK)) {
		snprintf(remedy, sizeof(remedy), "let a group have it that you "
			 "are in: chgrp kvm %s; chmod 660 %s; for good by a "
			 "line in /etc/tmpfiles.d: f %s 0660 %s kvm", word,
			 word, word, owner);
		found(findings, VERDICT_WARN, "file", path, remedy,
		      "programs of yours cannot use it: owner %s (%u), mode "
		      "%04o", owner, (unsigned int)st->st_uid,
		      (unsigned int)st->st_mode & 07777);
	} else if (st->st_mode & 0006) {
		snprintf(remedy, sizeof(remedy), "chmod o= %s, and let those "
			 "who need it be in its group", word);
		found(findings, VERDICT_WARN, "file", path, remedy,
		      "every user of this host may access it: owner %s, mode "
		      "%04o", owner, (unsigned int)st->st_mode & 07777);
	}
}

/* What is not backed yet has to be found when it is first written: or SIGBUS. */
static void examine_room(struct findings *findings, const char *path,
			 const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size;
	uint64_t have = (uint64_t)st->st_blocks * BLOCK;
	char missing[32], left[32];
	struct statfs fs;
	uint64_t room;

	if (statfs(path, &fs) || fs.f_type == HUGETLBFS_MAGIC || size <= have)
		return;
	room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (size - have <= room)
		return;
	found(findings, VERDICT_FAIL, "file", path,
	      fs.f_type == TMPFS_MAGIC ? "make the file system larger: mount "
	      "-o remount,size=N, N large enough for all machines; in /etc/fstab "
	      "for good" : "make room on that file system", "needs %s more, but "
	      "its file system has only %s left: who touches the rest dies "
	      "(SIGBUS)", format_size(size - have, missing),
	      format_size(room, left));
}

static uint64_t meminfo(const char *key)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t value = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)) &&
		    sscanf(line, "%*[^:]: %" SCNu64, &value) == 1)
			break;
	if (file)
		fclose(file);
	return value;
}

static void examine_huge_pages(struct findings *findings,
			       const struct qemu_device *device,
			       const char *subject)
{
	uint64_t pages = meminfo("HugePages_Total:");
	uint64_t free = meminfo("HugePages_Free:");
	uint64_t promised = meminfo("HugePages_Rsvd:");
	struct statfs fs;

	if (!device->huge && (!*device->path || statfs(device->path, &fs) ||
			      fs.f_type != HUGETLBFS_MAGIC))
		return;
	if (free > promised)
		return;
	found(findings, VERDICT_WARN, "hugepages", subject,
	      "sysctl vm.nr_hugepages=N, soon after boot, or hugepages=N on "
	      "the kernel's command line", "%s %s has huge pages, and none is "
	      "left: of %" PRIu64 " are %" PRIu64 " free, %" PRIu64
	      " promised; the next machine does not start", device->backend,
	      device->memdev, pages, free, promised);
}

static void examine_file(struct findings *findings,
			 const struct qemu_device *device, const char *subject)
{
	char size[32], asked[32];
	struct stat st;

	if (device->lost) {
		found(findings, VERDICT_FAIL, "file", subject,
		      "stop all machines that share it, and start them again; "
		      "nothing may remove the file meanwhile (systemd-tmpfiles?)",
		      "%s was removed, or is another one now: machines and "
		      "programs that come later do not share with this one",
		      device->path);
		return;
	}
	if (stat(device->path, &st) || !S_ISREG(st.st_mode))
		return;
	if ((uint64_t)st.st_size < device->size)
		found(findings, VERDICT_FAIL, "file", subject,
		      "stop all machines that share it, remove it, and give all "
		      "the same size=", "%s has %s, but %s has size=%s: who "
		      "touches the rest dies (SIGBUS)", device->path,
		      format_size((uint64_t)st.st_size, size), device->memdev,
		      format_size(device->size, asked));
}

/* The first machine that has the same file, before this one. */
static const struct qemu_device *first_with(const struct qemu_device *list,
					    const struct qemu_device *device)
{
	for (; list < device; list++)
		if (*list->path && !strcmp(list->path, device->path))
			return list;
	return NULL;
}

void examine_memory(struct findings *findings, const struct qemu_device *list,
		    const struct qemu_device *device, const char *subject)
{
	const struct qemu_device *first;
	char one[32], other[32];
	struct stat st;

	examine_huge_pages(findings, device, subject);
	if (!*device->path || device->sharing != SHARING_ON)
		return;
	examine_file(findings, device, subject);
	first = first_with(list, device);
	if (first && first->size && device->size &&
	    first->size != device->size)
		found(findings, VERDICT_FAIL, "size", subject,
		      "give all machines that share it the same size=, a power "
		      "of two", "%s has size=%s here, and size=%s in %s: they "
		      "do not agree where the memory ends", device->path,
		      format_size(device->size, one),
		      format_size(first->size, other), first->machine);
	if (!first && !stat(device->path, &st) && S_ISREG(st.st_mode)) {
		examine_mode(findings, device->path, &st);
		examine_room(findings, device->path, &st);
	}
}
