// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU: counts the instructions that a guest executes, in its kernel
 * and in its programs, and shows how many there have been in the 8 bytes of a file.
 *
 *	-plugin guest_instructions.so,count=FILE
 *
 * They are right whenever the guest is idle.  A repeated string instruction counts
 * as often as it is repeated, a block that an exception ends as a whole.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin.h"

/* QEMU looks at it after this was loaded, and refuses what it does not know */
int qemu_plugin_version = 1;

static struct qemu_plugin_u64 counter;
static uint64_t count;
static uint64_t *shown;

__attribute__((constructor))
static void choose_version(void)
{
	if (qemu_plugin_scoreboard_new)
		qemu_plugin_version = 2;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	uint64_t length = qemu_plugin_tb_n_insns(tb);

	(void)id;
	if (qemu_plugin_version == 2)
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD_U64, counter,
								  length);
	else
		qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &count, length);
}

static void idle(uint64_t id, unsigned int vcpu)
{
	(void)id;
	(void)vcpu;
	*shown = qemu_plugin_version == 2 ? qemu_plugin_u64_sum(counter) : count;
}

static uint64_t *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	void *there = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, sizeof(*shown)))
		there = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (there == MAP_FAILED)
		fprintf(stderr, "guest_instructions: %s: %m\n", path);
	if (fd >= 0)
		close(fd);
	return there == MAP_FAILED ? NULL : there;
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "count=", 6)) {
		fprintf(stderr, "guest_instructions: its one argument is count=FILE\n");
		return -1;
	}
	shown = map(argv[0] + 6);
	if (!shown)
		return -1;
	if (qemu_plugin_version == 2)
		counter.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_vcpu_idle_cb(id, idle);
	return 0;
}
