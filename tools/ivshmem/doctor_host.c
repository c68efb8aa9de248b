// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the virtual machines of this host: is what they call
 * shared memory really shared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "qemu_process.h"

static void examine_sharing(struct findings *findings,
			    const struct qemu_device *device,
			    const char *subject)
{
	if (device->doorbell) {
		found(findings, VERDICT_OK, "share", subject, NULL,
		      "ivshmem-doorbell: its server hands out the memory");
		return;
	}
	if (!*device->backend) {
		found(findings, VERDICT_WARN, "share", subject,
		      "look at the machine's configuration: its memory "
		      "backend needs share=on", "memory backend %s is not on "
		      "the command line", device->memdev);
		return;
	}
	if (device->sharing == SHARING_ON && !device->seen) {
		found(findings, VERDICT_OK, "share", subject, NULL,
		      "%s %s is shared", device->backend, device->memdev);
		return;
	}
	if (device->sharing == SHARING_UNKNOWN && !device->seen) {
		found(findings, VERDICT_WARN, "share", subject,
		      "write share=on", "whether %s %s is shared cannot be "
		      "told", device->backend, device->memdev);
		return;
	}
	found(findings, VERDICT_FAIL, "share", subject,
	      "stop the machine and give the -object of its memory backend "
	      "share=on", "%s %s is private%s: what the machine writes reaches nobody",
	      device->backend, device->memdev, device->seen ?
	      ", as its mappings show" : " (share=off)");
}

static void examine_doorbells(struct findings *findings,
			      const struct qemu_device *device,
			      const char *subject)
{
	if (device->slow)
		found(findings, VERDICT_WARN, "doorbells", subject,
		      "leave out ioeventfd=off (libvirt: <msi "
		      "ioeventfd='off'/>)", "ioeventfd=off: each doorbell that "
		      "the machine rings has to wake QEMU, which is several "
		      "times slower than the kernel alone");
}

/* Once for each machine: one of its devices is enough. */
static void examine_migration(struct findings *findings,
			      const struct qemu_device *list, ssize_t left,
			      const char *subject)
{
	pid_t pid = list->pid;
	bool master = true;

	for (; left > 0 && list->pid == pid; list++, left--)
		master = master && list->master;
	if (master)
		found(findings, VERDICT_OK, "migration", subject, NULL,
		      "master=on: takes the memory along when it is migrated "
		      "or saved; others unplug their devices before, and plug "
		      "them in again after it");
	else
		found(findings, VERDICT_OK, "migration", subject, NULL,
		      "cannot be migrated or saved while the device is plugged "
		      "in, without master=on: unplug it before, and plug it in "
		      "again at the destination");
}

void examine_vectors(struct findings *findings, const char *socket,
		     unsigned int vectors)
{
	struct qemu_device *list;
	char subject[128];
	ssize_t i, count;

	count = qemu_find(&list);
	for (i = 0; i < count; i++) {
		if (!list[i].doorbell || list[i].vectors == vectors ||
		    !is_same_socket(&list[i], socket))
			continue;
		found(findings, VERDICT_WARN, "vectors",
		      qemu_name(&list[i], subject),
		      "give the device as many vectors as the link: vectors= "
		      "of -device (libvirt: <msi vectors=''/>)",
		      "vectors=%u, but its link has %u: doorbells on vector %u "
		      "and above never arrive", (unsigned int)list[i].vectors,
		      vectors, vectors < list[i].vectors ? vectors :
		      (unsigned int)list[i].vectors);
	}
	if (count >= 0)
		free(list);
}

size_t examine_qemu(struct findings *findings)
{
	struct qemu_device *list;
	ssize_t i, count;
	char subject[128];

	count = qemu_find(&list);
	if (count < 0) {
		found(findings, VERDICT_FAIL, "share", "QEMU",
		      "free some memory", "%s", strerror((int)-count));
		return 0;
	}
	for (i = 0; i < count; i++) {
		qemu_name(&list[i], subject);
		examine_sharing(findings, &list[i], subject);
		if (list[i].doorbell)
			examine_chardev(findings, list, &list[i], subject);
		else
			examine_memory(findings, list, &list[i], subject);
		examine_doorbells(findings, &list[i], subject);
		if (!i || list[i - 1].pid != list[i].pid)
			examine_migration(findings, &list[i], count - i,
					  subject);
	}
	free(list);
	return (size_t)count;
}
