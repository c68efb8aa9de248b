/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of the doctor; each adds its findings.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "attach.h"
#include "finding.h"
#include "pci.h"
#include "qemu_process.h"

/**
 * examine_devices() - the PCI devices of this machine, and their drivers
 * @module: a module file to look at, or NULL for the installed one
 */
void examine_devices(struct findings *findings,
		     const struct pci_devices *devices, const char *module);

/** examine_module() - why the driver is not there, or whether @file fits */
void examine_module(struct findings *findings, const char *file);

/** examine_node() - a device node: there, permitted, cached, interrupting */
void examine_node(struct findings *findings, const char *path);

/** examine_driven() - a device that is driven through VFIO or sysfs, likewise */
void examine_driven(struct findings *findings, const char *address);

/** examine_names() - the stable names of several devices */
void examine_names(struct findings *findings,
		   const struct pci_devices *devices);

/** examine_users() - which programs have an unformatted device open */
void examine_users(struct findings *findings, const char *node);

/** examine_polling() - what it costs that an open device is not interrupted */
void examine_polling(struct findings *findings, const struct attachment *at);

/** examine_region() - what the memory of an open device or link has */
void examine_region(struct findings *findings, struct attachment *at);

/** examine_socket() - a server's socket, by joining its link for a moment */
void examine_socket(struct findings *findings, const char *path);

/** examine_kernel() - whether it is new enough for the driver */
void examine_kernel(struct findings *findings);

/** kernel_wants_signatures() - whether it loads signed modules only */
bool kernel_wants_signatures(void);

/** is_signed() - whether a module file has a signature, of whatever key */
bool is_signed(const char *file);

/**
 * examine_signature() - of a signed module that has not been loaded
 *
 * Return: whether there was something to say about it.
 */
bool examine_signature(struct findings *findings, const char *file);

/** ask_modinfo() - a field of a module file; false if it has none */
bool ask_modinfo(const char *file, const char *field, char *line, size_t size);

/**
 * examine_memory() - the file that an ivshmem-plain shares
 * @list: all devices, of which @device is one
 */
void examine_memory(struct findings *findings, const struct qemu_device *list,
		    const struct qemu_device *device, const char *subject);

/** examine_chardev() - likewise, the socket of an ivshmem-doorbell */
void examine_chardev(struct findings *findings, const struct qemu_device *list,
		     const struct qemu_device *device, const char *subject);

/** examine_trust() - whether every user of the host may connect to a socket */
void examine_trust(struct findings *findings, const char *socket);

/** is_same_socket() - whether a machine has joined the link of that socket */
bool is_same_socket(const struct qemu_device *device, const char *socket);

/** examine_vectors() - whether the machines of a link have as many as it has */
void examine_vectors(struct findings *findings, const char *socket,
		     unsigned int vectors);

/** examine_device_acl() - whether libvirt lets machines have device nodes */
void examine_device_acl(struct findings *findings);

/** examine_libvirt() - whether machines of libvirt may join a link */
void examine_libvirt(struct findings *findings, const char *socket);

/** examine_programs() - QEMUs without the device, servers that are examples */
void examine_programs(struct findings *findings);

/** examine_denials() - what AppArmor and SELinux have denied */
void examine_denials(struct findings *findings);

/** examine_qemu() - the machines that run here; returns how many have ivshmem */
size_t examine_qemu(struct findings *findings);

#endif /* DOCTOR_H */
