// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the sockets that machines of this host have joined: is a
 * server there, only one, and may they join again.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"

#define GROUPS_MAX	64
/* Of /proc/net/unix, in Flags: somebody listens (__SO_ACCEPTCON) */
#define LISTENS		0x10000U

/* Whose rights a process has. */
struct rights {
	unsigned int uid;
	unsigned int gid;
	unsigned int groups[GROUPS_MAX];
	size_t nr_groups;
};

static void read_groups(const char *text, struct rights *rights)
{
	char *end;

	while (rights->nr_groups < GROUPS_MAX) {
		rights->groups[rights->nr_groups] =
			(unsigned int)strtoul(text, &end, 10);
		if (end == text)
			break;
		rights->nr_groups++;
		text = end;
	}
}

static bool read_rights(pid_t pid, struct rights *rights)
{
	char path[64], line[1024];
	int seen = 0;
	FILE *file;

	memset(rights, 0, sizeof(*rights));
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		/* The effective one is the second. */
		seen += sscanf(line, "Uid: %*u %u", &rights->uid) == 1;
		seen += sscanf(line, "Gid: %*u %u", &rights->gid) == 1;
		if (!strncmp(line, "Groups:", 7))
			read_groups(line + 7, rights);
	}
	fclose(file);
	return seen == 2;
}

static bool is_member(const struct rights *rights, gid_t gid)
{
	size_t i;

	for (i = 0; i < rights->nr_groups; i++)
		if (rights->groups[i] == gid)
			return true;
	return rights->gid == gid;
}

/* Who connects to a socket has to be allowed to write to it. */
static bool may_connect(const struct rights *rights, const struct stat *st)
{
	if (!rights->uid)
		return true;
	if (rights->uid == st->st_uid)
		return st->st_mode & 0200;
	return st->st_mode & (is_member(rights, st->st_gid) ? 0020 : 0002);
}

static void say_refused(struct findings *findings, const char *subject,
			const char *socket, unsigned int uid,
			const struct stat *st)
{
	const struct passwd *passwd = getpwuid(uid);
	char remedy[512], user[64], group[64];
	const struct group *entry;

	snprintf(user, sizeof(user), "%u", uid);
	if (passwd)
		snprintf(user, sizeof(user), "%s", passwd->pw_name);
	entry = getgrgid(st->st_gid);
	snprintf(group, sizeof(group), "%u", (unsigned int)st->st_gid);
	if (entry)
		snprintf(group, sizeof(group), "%s", entry->gr_name);
	snprintf(remedy, sizeof(remedy), "give the link a group that QEMU's "
		 "user is in: group=kvm, mode=0660 in ivshmemd.conf; or usermod "
		 "-aG %s %s, and start the machine again", group, user);
	found(findings, VERDICT_WARN, "socket", subject, remedy,
	      "user %s may not connect to %s: group %s, mode %04o", user, socket,
	      group, (unsigned int)st->st_mode & 07777);
}

/* How many listen at that path; who came later has taken it from the others. */
static unsigned int count_listeners(const char *path)
{
	FILE *file = fopen("/proc/net/unix", "re");
	unsigned int flags, count = 0;
	char line[512];
	int at;

	while (file && fgets(line, sizeof(line), file)) {
		at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %n", &flags,
			   &at) == 1 && at && flags & LISTENS &&
		    !strcmp(line + at, path))
			count++;
	}
	if (file)
		fclose(file);
	return count;
}

static void examine_path(struct findings *findings, const char *subject,
			 const char *socket)
{
	unsigned int listeners = count_listeners(socket);

	if (!listeners)
		found(findings, VERDICT_FAIL, "socket", subject,
		      "start ivshmemd again; if it runs under systemd this "
		      "disturbs nobody. QEMU's ivshmem-server leaves its socket "
		      "behind, and machines have to be started anew with it",
		      "nobody listens at %s any more: what it left behind, or "
		      "that of a server that has died", socket);
	else if (listeners > 1)
		found(findings, VERDICT_FAIL, "socket", subject,
		      "end all of these servers and machines, start one server, "
		      "then the machines", "%u servers have listened at %s and "
		      "run still: machines of one do not meet those of the other",
		      listeners, socket);
}

void examine_chardev(struct findings *findings,
		     const struct qemu_device *device, const char *subject)
{
	struct rights rights;
	struct stat st;

	if (device->repeats)
		found(findings, VERDICT_FAIL, "socket", subject,
		      "leave out reconnect and reconnect-ms, and start the "
		      "machine after the server", "its chardev has reconnect=: "
		      "a device that is there from the start then waits for "
		      "ever, and takes all of a processor");
	if (!*device->socket || *device->socket != '/')
		return;
	if (stat(device->socket, &st)) {
		if (errno == ENOENT)
			found(findings, VERDICT_FAIL, "socket", subject,
			      "start ivshmemd again, and do not remove its "
			      "socket", "%s is gone: this machine goes on, but "
			      "none can join it any more", device->socket);
		return;
	}
	examine_path(findings, subject, device->socket);
	if (read_rights(device->pid, &rights) && !may_connect(&rights, &st))
		say_refused(findings, subject, device->socket, rights.uid, &st);
}

void examine_libvirt(struct findings *findings, const char *socket)
{
	const struct passwd *passwd = getpwnam("libvirt-qemu");
	gid_t groups[GROUPS_MAX];
	int i, count = GROUPS_MAX;
	struct rights rights = { 0 };
	struct stat st;

	if (!passwd || stat(socket, &st))
		return;
	rights.uid = passwd->pw_uid;
	rights.gid = passwd->pw_gid;
	if (getgrouplist(passwd->pw_name, passwd->pw_gid, groups, &count) < 0)
		count = 0;
	for (i = 0; i < count; i++)
		rights.groups[rights.nr_groups++] = groups[i];
	if (!may_connect(&rights, &st))
		say_refused(findings, "libvirt", socket, rights.uid, &st);
}
