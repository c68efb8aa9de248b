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
		snprintf(subject, sizeof(subject), "%s (process %d)",
			 list[i].machine, (int)list[i].pid);
		examine_sharing(findings, &list[i], subject);
		if (list[i].doorbell)
			examine_chardev(findings, &list[i], subject);
		else
			examine_memory(findings, list, &list[i], subject);
	}
	free(list);
	return (size_t)count;
}
