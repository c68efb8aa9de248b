// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at who else has a device open whose memory nobody has
 * divided.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

struct users {
	unsigned int count;
	char names[128];
};

static bool has_open(const char *pid, const char *node)
{
	char path[64], target[128];
	struct dirent *entry;
	bool ret = false;
	ssize_t n;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!ret && (entry = readdir(fds))) {
		n = readlinkat(dirfd(fds), entry->d_name, target,
			       sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		ret = !strcmp(target, node);
	}
	closedir(fds);
	return ret;
}

static void add_user(struct users *users, const char *pid)
{
	char path[64], comm[32] = "?";
	size_t used = strlen(users->names);
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(comm, sizeof(comm), file))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(file);
	}
	snprintf(users->names + used, sizeof(users->names) - used,
		 "%s%s (%.16s)", users->count ? ", " : "", comm, pid);
	users->count++;
}

void examine_users(struct findings *findings, const char *node)
{
	struct users users = { 0 };
	struct dirent *entry;
	char remedy[256];
	DIR *proc;

	proc = opendir("/proc");
	if (!proc)
		return;
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)*entry->d_name) &&
		    atoi(entry->d_name) != getpid() &&
		    has_open(entry->d_name, node))
			add_user(&users, entry->d_name);
	closedir(proc);
	if (users.count < 2)
		return;
	snprintf(remedy, sizeof(remedy), "divide it: ivshmem format %s "
		 "raw=NAME:SIZE,raw=NAME:SIZE; each has a node of its own then",
		 node);
	found(findings, VERDICT_WARN, "users", node, remedy,
	      "unformatted, and %u programs have it open: nobody can tell "
	      "whose memory is whose, and one may overwrite what another has "
	      "written: %s", users.count, users.names);
}
