// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at libvirt's list of device nodes that its machines may use:
 * is the one there that a machine has as its memory.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clean.h"
#include "doctor.h"

#define CONFIGURATION	"/etc/libvirt/qemu.conf"
#define DOMAINS		"/etc/libvirt/qemu/*.xml"
#define KEY		"cgroup_device_acl"
/* So much of a file; those of libvirt have 40 KiB at most */
#define FILE_MAX	(256 * 1024)

/* The text of a file, to be freed; NULL if it cannot be read. */
static char *read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text;

	if (!file)
		return NULL;
	text = malloc(FILE_MAX);
	if (text)
		text[fread(text, 1, FILE_MAX - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* Comments go up to the end of their line. */
static void drop_comments(char *text)
{
	char *comment = text;

	while ((comment = strchr(comment, '#')))
		while (*comment && *comment != '\n')
			*comment++ = ' ';
}

/* Whether the list, in brackets, has "PATH"; without a list none has. */
static bool is_listed(const char *configuration, const char *path)
{
	const char *list = strstr(configuration, KEY);
	char quoted[300];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\"", path);
	at = list ? strstr(list, quoted) : NULL;
	return at && at < list + strcspn(list, "]");
}

static bool is_node(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

static void say_not_listed(struct findings *findings, const char *subject,
			   const char *path)
{
	char remedy[512];

	snprintf(remedy, sizeof(remedy), "add \"%s\" to " KEY " in "
		 CONFIGURATION ", beside what its comment lists, then sudo "
		 "systemctl restart libvirtd", command_path(path));
	found(findings, VERDICT_WARN, "cgroup", subject, remedy,
	      "%s is a device node that is not in cgroup_device_acl of "
	      "/etc/libvirt/qemu.conf: machines of libvirt may not open it "
	      "(Operation not permitted)", path);
}

/* What follows mem-path in XML, where quotes may be written as entities. */
static void take_path(const char *at, char *path, size_t size)
{
	size_t n = 0;

	at = strchr(at, '/');
	while (at && *at && !strchr(",\"'&<>\n ", *at) && n + 1 < size)
		path[n++] = *at++;
	path[n] = '\0';
}

static void examine_domain(struct findings *findings, const char *file,
			   const char *configuration)
{
	char *text = read_text(file);
	const char *at = text;
	char path[256];
	struct stat st;

	while (at && (at = strstr(at, "mem-path"))) {
		at += strlen("mem-path");
		take_path(at, path, sizeof(path));
		if (!strncmp(path, "/dev/", 5) && !stat(path, &st) &&
		    is_node(&st) && !is_listed(configuration, path))
			say_not_listed(findings, file, path);
	}
	free(text);
}

void examine_device_acl(struct findings *findings)
{
	char *configuration = read_text(CONFIGURATION);
	struct qemu_device *list;
	char subject[128];
	ssize_t i, count;
	glob_t domains;

	if (!configuration)
		return;
	drop_comments(configuration);
	count = qemu_find(&list);
	for (i = 0; i < count; i++)
		if (is_node(&list[i].file) &&
		    !is_listed(configuration, list[i].path))
			say_not_listed(findings,
				       qemu_name(&list[i], subject),
				       list[i].path);
	if (count >= 0)
		free(list);
	if (!glob(DOMAINS, 0, NULL, &domains)) {
		for (i = 0; i < (ssize_t)domains.gl_pathc; i++)
			examine_domain(findings, domains.gl_pathv[i],
				       configuration);
		globfree(&domains);
	}
	free(configuration);
}
