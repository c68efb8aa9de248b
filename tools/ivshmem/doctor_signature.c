// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doctor's look at the signature of a module that a kernel with Secure Boot
 * has not loaded: does it know the key.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "kernel_log.h"

/* Where systems have the certificate of what dkms builds; the first is dkms' */
static const char *const certificates[] = {
	"/var/lib/dkms/mok.pub",
	"/var/lib/shim-signed/mok/MOK.der",
	"/etc/pki/akmods/certs/public_key.der",
};

static const char *certificate(void)
{
	size_t i;

	for (i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++)
		if (!access(certificates[i], F_OK))
			return certificates[i];
	return certificates[0];
}

static void look_for_refusal(void *context, const char *record)
{
	bool *refused = context;

	*refused = *refused || strstr(record, "module with unavailable key");
}

bool examine_signature(struct findings *findings, const char *file)
{
	char signer[128], remedy[256];
	bool refused = false;

	if (!kernel_wants_signatures() ||
	    !access("/sys/module/" IVSHMEM_DRIVER, F_OK))
		return false;
	if (!ask_modinfo(file, "signer", signer, sizeof(signer)))
		snprintf(signer, sizeof(signer), "a key without a name");
	snprintf(remedy, sizeof(remedy), "sudo mokutil --import %s, confirm "
		 "at the console during the next boot, then sudo modprobe "
		 IVSHMEM_DRIVER "; secure-boot.rst has it step by step",
		 certificate());
	read_kernel_log(look_for_refusal, &refused);
	if (refused)
		found(findings, VERDICT_FAIL, "module", file, remedy,
		      "signed by %s, but the kernel has refused a 'module with "
		      "unavailable key', as its log says: it does not know "
		      "that key", signer);
	else
		found(findings, VERDICT_WARN, "module", file, remedy,
		      "signed by %s, and this kernel loads signed modules "
		      "only: if modprobe says 'Key was rejected by service', "
		      "it does not know that key", signer);
	return true;
}
