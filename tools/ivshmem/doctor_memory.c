// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the files that machines of this host share: are they the
 * same ones, of the same size, with room, and for whom.
 */
#include <fcntl.h>
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

#define BLOCK	512

static void examine_mode(struct findings *findings,
			 const struct qemu_device *device, int fd)
{
	const struct stat *st = &device->file;
	const struct passwd *user = getpwuid(st->st_uid);
	const char *path = device->path, *word = command_path(path);
	char remedy[1024], owner[64];

	snprintf(owner, sizeof(owner), "%s", user ? user->pw_name : "?");
	if (faccessat(fd, "", R_OK | W_OK, AT_EMPTY_PATH)) {
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

static bool read_pool(const struct statfs *fs, const char *what,
		      uint64_t *pages)
{
	char path[128];
	FILE *file;
	bool ret;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s",
		 (uint64_t)fs->f_bsize / 1024, what);
	file = fopen(path, "re");
	if (!file)
		return false;
	ret = fscanf(file, "%" SCNu64, pages) == 1;
	fclose(file);
	return ret;
}

/*
 * What the pool has of huge pages of that size.  Those that are promised count: they
 * may be for this very file, as QEMU asks for a promise unless told reserve=off.
 */
static uint64_t huge_room(const struct statfs *fs)
{
	uint64_t left, more, taken;

	if (!read_pool(fs, "free_hugepages", &left) ||
	    !read_pool(fs, "nr_overcommit_hugepages", &more) ||
	    !read_pool(fs, "surplus_hugepages", &taken))
		return UINT64_MAX;
	if (more > taken)
		left += more - taken;
	return left < UINT64_MAX / (uint64_t)fs->f_bsize ?
	       left * (uint64_t)fs->f_bsize : UINT64_MAX;
}

static const char *room_remedy(const struct statfs *fs)
{
	if (fs->f_type == HUGETLBFS_MAGIC)
		return "give the machine no reserve=off: it is then told when "
		       "it starts; and have more huge pages, soon after boot: "
		       "nr_hugepages in /sys/kernel/mm/hugepages/*";
	if (fs->f_type == TMPFS_MAGIC)
		return "make the file system larger: mount -o remount,size=N, "
		       "N large enough for all machines; in /etc/fstab for good";
	return "make room on that file system";
}

/* What is not backed yet has to be found when it is first written: or SIGBUS. */
static void examine_room(struct findings *findings,
			 const struct qemu_device *device, int fd)
{
	uint64_t size = (uint64_t)device->file.st_size;
	uint64_t have = (uint64_t)device->file.st_blocks * BLOCK;
	char missing[32], left[32];
	struct statfs fs;
	uint64_t room;

	if (fstatfs(fd, &fs) || size <= have)
		return;
	room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (fs.f_type == HUGETLBFS_MAGIC)
		room = huge_room(&fs);
	if (size - have <= room)
		return;
	found(findings, VERDICT_FAIL, "file", device->path, room_remedy(&fs),
	      "needs %s more, but its file system has only %s left: who "
	      "touches the rest dies (SIGBUS)",
	      format_size(size - have, missing), format_size(room, left));
}

static void examine_file(struct findings *findings,
			 const struct qemu_device *device, const char *subject)
{
	const struct stat *st = &device->file;
	char size[32], asked[32];

	if (device->lost) {
		found(findings, VERDICT_FAIL, "file", subject,
		      "stop all machines that share it, and start them again; "
		      "nothing may remove the file meanwhile (systemd-tmpfiles?)",
		      "%s was removed, or is another one now: machines and "
		      "programs that come later do not share with this one",
		      device->path);
		return;
	}
	if (S_ISREG(st->st_mode) && (uint64_t)st->st_size < device->size)
		found(findings, VERDICT_FAIL, "file", subject,
		      "stop all machines that share it, remove it, and give all "
		      "the same size=", "%s has %s, but %s has size=%s: who "
		      "touches the rest dies (SIGBUS)", device->path,
		      format_size((uint64_t)st->st_size, size), device->memdev,
		      format_size(device->size, asked));
}

/* The first machine that shares the same file, before this one. */
static const struct qemu_device *first_with(const struct qemu_device *list,
					    const struct qemu_device *device)
{
	for (; list < device; list++)
		if (list->sharing == SHARING_ON && !list->lost &&
		    list->file.st_mode &&
		    list->file.st_dev == device->file.st_dev &&
		    list->file.st_ino == device->file.st_ino)
			return list;
	return NULL;
}

void examine_memory(struct findings *findings, const struct qemu_device *list,
		    const struct qemu_device *device, const char *subject)
{
	const struct qemu_device *first;
	char one[32], other[32];
	int fd;

	if (!*device->path || device->sharing != SHARING_ON)
		return;
	examine_file(findings, device, subject);
	if (!S_ISREG(device->file.st_mode) || device->lost)
		return;
	first = first_with(list, device);
	if (first && first->size && device->size &&
	    first->size != device->size)
		found(findings, VERDICT_FAIL, "size", subject,
		      "give all machines that share it the same size=, a power "
		      "of two", "%s has size=%s here, and size=%s in %s: they "
		      "do not agree where the memory ends", device->path,
		      format_size(device->size, one),
		      format_size(first->size, other), first->machine);
	if (first)
		return;
	fd = open_memory_file(device);
	if (fd < 0)
		return;
	examine_mode(findings, device, fd);
	examine_room(findings, device, fd);
	close(fd);
}
