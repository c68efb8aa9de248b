// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the sockets that machines of this host have joined: is a
 * server there, and may they join again.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "clean.h"
#include "doctor.h"

#define SEARCH	1U
#define WRITE	2U
#define LINKS	"/run/ivshmem/"

/* Whose rights a process has; of @anybody those that every user has. */
struct rights {
	unsigned int uid;
	unsigned int gid;
	gid_t groups[NGROUPS_MAX];
	size_t nr_groups;
	bool anybody;
};

/* What may not be used, of all that is on the way to a socket. */
struct obstacle {
	char path[sizeof(((struct qemu_device *)NULL)->socket)];
	struct stat st;
};

static void read_groups(const char *text, struct rights *rights)
{
	char *end;

	while (rights->nr_groups < NGROUPS_MAX) {
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
	char path[64], *line = NULL;
	size_t size = 0;
	int seen = 0;
	FILE *file;

	memset(rights, 0, sizeof(*rights));
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (getline(&line, &size, file) > 0) {
		/* The effective one is the second. */
		seen += sscanf(line, "Uid: %*u %u", &rights->uid) == 1;
		seen += sscanf(line, "Gid: %*u %u", &rights->gid) == 1;
		if (!strncmp(line, "Groups:", 7))
			read_groups(line + 7, rights);
	}
	free(line);
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

static bool may(const struct rights *rights, const struct stat *st,
		unsigned int what)
{
	if (rights->anybody)
		return st->st_mode & what;
	if (!rights->uid)
		return true;
	if (rights->uid == st->st_uid)
		return st->st_mode & (what << 6);
	return st->st_mode & (is_member(rights, st->st_gid) ? what << 3 : what);
}

/* True, too, if it cannot be told: it has a list of its own, or is not seen. */
static bool may_use(pid_t pid, const struct rights *rights, unsigned int what,
		    struct obstacle *place)
{
	char name[64];
	bool ret = true;
	int fd;

	fd = process_open(pid, place->path);
	/* That everybody may is said of what is seen only. */
	if (fd < 0)
		return !rights->anybody;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (!fstat(fd, &place->st) &&
	    (rights->anybody ||
	     getxattr(name, "system.posix_acl_access", NULL, 0) < 0))
		ret = may(rights, &place->st, what);
	close(fd);
	return ret;
}

/* Who connects has to be allowed to search all directories, and to write. */
static bool may_connect(pid_t pid, const struct rights *rights,
			const char *socket, struct obstacle *obstacle)
{
	const char *end = socket;

	while ((end = strchr(end + 1, '/'))) {
		snprintf(obstacle->path, sizeof(obstacle->path), "%.*s",
			 (int)(end - socket), socket);
		if (!may_use(pid, rights, SEARCH, obstacle))
			return false;
	}
	snprintf(obstacle->path, sizeof(obstacle->path), "%s", socket);
	return may_use(pid, rights, WRITE, obstacle);
}

static void say_refused(struct findings *findings, const char *subject,
			const char *socket, unsigned int uid,
			const struct obstacle *obstacle)
{
	const struct passwd *passwd = getpwuid(uid);
	const struct stat *st = &obstacle->st;
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
	if (S_ISDIR(st->st_mode))
		snprintf(remedy, sizeof(remedy), "chmod o+x %s, or have the "
			 "socket in another directory",
			 command_path(obstacle->path));
	found(findings, VERDICT_WARN, "socket", subject, remedy,
	      "user %s may not connect to %s: %s%sgroup %s, mode %04o", user,
	      socket, S_ISDIR(st->st_mode) ? obstacle->path : "",
	      S_ISDIR(st->st_mode) ? " has " : "", group,
	      (unsigned int)st->st_mode & 07777);
}

/*
 * Whether no process has the socket behind @fd any more.  Its server has one for
 * connections, of another type: the kernel notices that, and the server nothing.
 */
static bool is_left_behind(int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ret;

	if (probe < 0)
		return false;
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/proc/self/fd/%d", fd);
	ret = connect(probe, (const struct sockaddr *)&address,
		      sizeof(address)) && errno == ECONNREFUSED;
	close(probe);
	return ret;
}

static void examine_path(struct findings *findings, const char *subject,
			 const struct qemu_device *device)
{
	int fd = process_open(device->pid, device->socket);

	if (fd < 0) {
		if (errno == ENOENT)
			found(findings, VERDICT_FAIL, "socket", subject,
			      "start ivshmemd again, and do not remove its "
			      "socket", "%s is gone: this machine goes on, but "
			      "none can join it any more", device->socket);
		return;
	}
	if (is_left_behind(fd))
		found(findings, VERDICT_FAIL, "socket", subject,
		      "start ivshmemd again; if it runs under systemd this "
		      "disturbs nobody. QEMU's ivshmem-server leaves its socket "
		      "behind, and machines have to be started anew with it",
		      "nobody listens at %s any more: what it left behind, or "
		      "that of a server that has died", device->socket);
	close(fd);
}

bool is_same_socket(const struct qemu_device *device, const char *socket)
{
	struct stat ours, theirs;
	bool ret;
	int fd;

	if (!*device->socket || stat(socket, &ours))
		return false;
	fd = process_open(device->pid, device->socket);
	if (fd < 0)
		return false;
	ret = !fstat(fd, &theirs) && ours.st_dev == theirs.st_dev &&
	      ours.st_ino == theirs.st_ino;
	close(fd);
	return ret;
}

static void say_open(struct findings *findings, pid_t pid, const char *socket)
{
	const struct rights rights = { .anybody = true };
	struct obstacle place;

	if (*socket != '/' || !may_connect(pid, &rights, socket, &place))
		return;
	found(findings, VERDICT_WARN, "trust", socket,
	      "mode = 0660 and group = kvm, or another one, in ivshmemd.conf; "
	      "or allow =, which names those who may join",
	      "every user of this host may connect, unless the server refuses: "
	      "mode %04o; a peer can write all of the memory, and ring "
	      "everybody", (unsigned int)place.st.st_mode & 07777);
}

void examine_trust(struct findings *findings, const char *socket)
{
	say_open(findings, getpid(), socket);
}

/* Those of links are looked at by themselves, and others once. */
static bool is_new(const struct qemu_device *list,
		   const struct qemu_device *device)
{
	if (!strncmp(device->socket, LINKS, strlen(LINKS)))
		return false;
	for (; list < device; list++)
		if (!strcmp(list->socket, device->socket))
			return false;
	return true;
}

void examine_chardev(struct findings *findings, const struct qemu_device *list,
		     const struct qemu_device *device, const char *subject)
{
	struct obstacle obstacle;
	struct rights rights;

	if (device->repeats)
		found(findings, VERDICT_FAIL, "socket", subject,
		      "leave out reconnect and reconnect-ms, and start the "
		      "machine after the server", "its chardev has reconnect=: "
		      "a device that is there from the start then waits for "
		      "ever, and takes all of a processor");
	if (!*device->socket)
		return;
	examine_path(findings, subject, device);
	if (is_new(list, device))
		say_open(findings, device->pid, device->socket);
	if (read_rights(device->pid, &rights) &&
	    !may_connect(device->pid, &rights, device->socket, &obstacle))
		say_refused(findings, subject, device->socket, rights.uid,
			    &obstacle);
}

static void examine_user(struct findings *findings, const char *name,
			 const char *socket)
{
	const struct passwd *passwd = getpwnam(name);
	int count = NGROUPS_MAX;
	struct obstacle obstacle;
	struct rights rights;

	if (!passwd)
		return;
	rights.anybody = false;
	rights.uid = passwd->pw_uid;
	rights.gid = passwd->pw_gid;
	if (getgrouplist(name, passwd->pw_gid, rights.groups, &count) < 0)
		return;
	rights.nr_groups = (size_t)count;
	if (!may_connect(getpid(), &rights, socket, &obstacle))
		say_refused(findings, "libvirt", socket, rights.uid, &obstacle);
}

/* Its machines run as the first one in Debian, as the other one in Fedora. */
void examine_libvirt(struct findings *findings, const char *socket)
{
	examine_user(findings, "libvirt-qemu", socket);
	examine_user(findings, "qemu", socket);
}
