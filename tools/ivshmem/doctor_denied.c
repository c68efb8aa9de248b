// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at what AppArmor and SELinux have denied to machines and
 * servers, from the kernel's log and that of auditd.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doctor.h"
#include "kernel_log.h"

#define AUDIT_LOG	"/var/log/audit/audit.log"
/* So much of its end */
#define AUDIT_TAIL	(256 * 1024)
#define SHOWN_MAX	8
/* In seconds: what is older may have a rule by now. */
#define RECENT		3600

struct denial {
	char text[256];
	unsigned int count;
	time_t last;
};

/* Different ones, as a program that is denied something tries again. */
struct denials {
	struct denial list[SHOWN_MAX];
	unsigned int shown;
	time_t now;
};

/* The value of KEY="..." or KEY=... in a record; false if it has none. */
static bool take_value(const char *record, const char *key, char *value,
		       size_t size)
{
	const char *at = record;
	size_t length = strlen(key), n = 0;
	char end = ' ';

	for (; (at = strstr(at, key)); at += length)
		if ((at == record || !isalnum((unsigned char)at[-1])) &&
		    at[length] == '=')
			break;
	if (!at)
		return false;
	at += length + 1;
	if (*at == '"')
		end = *at++;
	while (*at && *at != end && *at != '\n' && n + 1 < size)
		value[n++] = *at++;
	value[n] = '\0';
	return n;
}

/* Denials of QEMU and our server about what they share, not of their own files. */
static bool concerns_us(const char *record, const char *name)
{
	char who[128] = "", comm[64] = "";

	take_value(record, "profile", who, sizeof(who));
	take_value(record, "comm", comm, sizeof(comm));
	if (strstr(who, "ivshmem") || strstr(comm, "ivshmem"))
		return true;
	if (!strstr(who, "libvirt") && !strstr(who, "qemu") &&
	    strncmp(comm, "qemu", 4) && strncmp(comm, "kvm", 3))
		return false;
	return strstr(name, "ivshmem") || strstr(name, ".sock") ||
	       !strncmp(name, "/dev/shm/", 9) ||
	       !strncmp(name, "/dev/hugepages/", 15) || strstr(name, "kvmfr");
}

/* When: in the kernel's log, too, as audit(SECONDS.MS:NUMBER). */
static time_t time_of(const char *record)
{
	const char *at = strstr(record, "audit(");

	return at ? (time_t)strtoll(at + 6, NULL, 10) : 0;
}

static void add_denial(struct denials *denials, const char *text, time_t when)
{
	struct denial *denial = denials->list;
	unsigned int i;

	for (i = 0; i < denials->shown; i++, denial++)
		if (!strcmp(denial->text, text))
			break;
	if (i == SHOWN_MAX)
		return;
	if (i == denials->shown) {
		denials->shown++;
		snprintf(denial->text, sizeof(denial->text), "%s", text);
	}
	denial->count++;
	if (when > denial->last)
		denial->last = when;
}

static void take_record(void *context, const char *record)
{
	struct denials *denials = context;
	char name[128] = "", profile[64] = "", text[256], operation[32] = "";
	time_t when = time_of(record);
	bool armor;

	if (when < denials->now - RECENT)
		return;
	armor = strstr(record, "apparmor=\"DENIED\"");
	if (!armor && !strstr(record, "avc:  denied"))
		return;
	if (!take_value(record, "name", name, sizeof(name)))
		take_value(record, "path", name, sizeof(name));
	if (!concerns_us(record, name))
		return;
	take_value(record, armor ? "profile" : "scontext", profile,
		   sizeof(profile));
	take_value(record, armor ? "operation" : "tclass", operation,
		   sizeof(operation));
	snprintf(text, sizeof(text), "%s denied %s: %s of %s",
		 armor ? "AppArmor" : "SELinux", profile, operation, name);
	add_denial(denials, text, when);
}

/* None at all is not an error. */
static int read_audit_log(struct denials *denials)
{
	FILE *file = fopen(AUDIT_LOG, "re");
	char line[4096];
	struct stat st;

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	if (!fstat(fileno(file), &st) && st.st_size > AUDIT_TAIL)
		fseek(file, -AUDIT_TAIL, SEEK_END);
	while (fgets(line, sizeof(line), file))
		take_record(denials, line);
	fclose(file);
	return 0;
}

static void say_unread(struct findings *findings, int kernel, int audit)
{
	if (kernel || audit)
		found(findings, VERDICT_WARN, "denials", "log",
		      "run it as root: sudo ivshmem doctor", "%s%s%s cannot be "
		      "read (%s): what AppArmor and SELinux have denied is not "
		      "known", kernel ? "the kernel's" : "",
		      kernel && audit ? " and " : "", audit ? "auditd's" : "",
		      strerror(kernel ? -kernel : -audit));
}

void examine_denials(struct findings *findings)
{
	struct denials denials = { .now = time(NULL) };
	const struct denial *denial;
	unsigned int i;
	int kernel;
	time_t ago;

	kernel = read_kernel_log(take_record, &denials);
	say_unread(findings, kernel, read_audit_log(&denials));
	for (i = 0; i < denials.shown; i++) {
		denial = &denials.list[i];
		ago = denials.now - denial->last;
		found(findings, VERDICT_WARN, "denied", "log",
		      strncmp(denial->text, "AppArmor", 8) ?
		      "restorecon -v of the path, or a module: ausearch -m AVC "
		      "-ts recent | audit2allow -M ivshmem; semodule -i "
		      "ivshmem.pp" : "a rule for it: of libvirt's machines in "
		      "/etc/apparmor.d/abstractions/libvirt-qemu or, better, "
		      "local/; ivshmemd(8) has the words in SECURITY MODULES; "
		      "then systemctl reload apparmor", "%s (%u time%s, "
		      "last %lld minutes ago)", denial->text, denial->count,
		      denial->count == 1 ? "" : "s",
		      ago > 0 ? (long long)ago / 60 : 0);
	}
}
