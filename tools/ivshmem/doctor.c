// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem doctor: looks at all that has to be right, and says what to do
 * where it is not.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "command.h"
#include "doctor.h"
#include "driven.h"
#include "output.h"

enum { OPTION_MODULE = OPTION_FIRST_OWN };

static void examine_machine(struct findings *findings, const char *module)
{
	struct pci_devices devices;
	bool is_host;
	glob_t sockets;
	size_t i;

	if (pci_find(&devices)) {
		found(findings, VERDICT_FAIL, "device", "PCI",
		      "free some memory", "out of memory");
		return;
	}
	is_host = examine_qemu(findings);
	list_sockets(&sockets);
	for (i = 0; i < sockets.gl_pathc; i++) {
		examine_socket(findings, sockets.gl_pathv[i]);
		examine_libvirt(findings, sockets.gl_pathv[i]);
	}
	is_host = is_host || sockets.gl_pathc;
	/* Looking into programs takes time, which a guest can spare. */
	if (is_host || !access("/dev/kvm", F_OK))
		examine_programs(findings);
	examine_device_acl(findings);
	examine_denials(findings);
	/* A host need not have a device; a guest without one has nothing. */
	if (devices.count || !is_host)
		examine_devices(findings, &devices, module);
	else if (module)
		examine_module(findings, module);
	globfree(&sockets);
	pci_release(&devices);
}

/* Only the device behind that node, if it can be told which one it is. */
static void examine_one_node(struct findings *findings, const char *path,
			     const char *module)
{
	struct pci_devices all, one = { 0 };
	size_t i;

	if (pci_find(&all)) {
		found(findings, VERDICT_FAIL, "device", path,
		      "free some memory", "out of memory");
		return;
	}
	for (i = 0; i < all.count; i++)
		if (!strcmp(all.list[i].node, path)) {
			one.list = &all.list[i];
			one.count = 1;
		}
	if (one.count) {
		examine_devices(findings, &one, module);
	} else {
		examine_devices(findings, &all, module);
		examine_node(findings, path);
	}
	pci_release(&all);
}

static enum exit_code conclude(struct findings *findings)
{
	struct json_object *object;

	if (findings->list) {
		object = json_object_new_object();
		json_object_object_add(object, "findings", findings->list);
		add_number(object, "warnings", findings->warnings);
		add_number(object, "failures", findings->failures);
		print_json(object);
	} else {
		printf("%u findings, %u warnings, %u failures\n",
		       findings->count, findings->warnings,
		       findings->failures);
	}
	return findings->failures ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code run_doctor(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "module", required_argument, NULL, OPTION_MODULE },
		{ 0 }
	};
	struct findings findings = { 0 };
	const char *module = NULL;
	char address[512] = "";
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPTION_HELP:
			return show_help(&command_doctor);
		case OPTION_JSON:
			json = true;
			break;
		case OPTION_MODULE:
			module = optarg;
			break;
		default:
			return misused(&command_doctor, NULL);
		}
	}
	if (argc - optind > 1)
		return misused(&command_doctor, "%s: one device at a time",
			       argv[optind + 1]);
	if ((argv[optind] || is_driver_chosen()) &&
	    !full_address(argv[optind], address, sizeof(address)))
		return EXIT_FAILED;
	if (json)
		findings.list = json_object_new_array();
	if (!*address)
		examine_machine(&findings, module);
	else if (!strncmp(address, "unix:", 5))
		examine_socket(&findings, address + 5);
	else if (is_driven(address))
		examine_driven(&findings, address);
	else
		examine_one_node(&findings, address, module);
	return conclude(&findings);
}

const struct command command_doctor = {
	.name = "doctor",
	.arguments = "[DEVICE] [--module FILE] [--json]",
	.summary = "Look for what is wrong, and say what to do about it.",
	.help =
		"  DEVICE               /dev/ivshmemN or unix:/path/of/a/link.sock, to look at\n"
		"                       nothing else\n"
		"  --module FILE        also look at that module file\n"
		HELP_OPTION_JSON
		HELP_OPTION_HELP
		"\n"
		"Rings the own doorbells once, and joins the links of servers for a moment.\n"
		"Exit code 1 if anything failed.\n",
	.run = run_doctor,
};
