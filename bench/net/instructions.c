// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU: counts the instructions that a guest executes, in its kernel
 * and in its programs, and shows how many there have been in the 8 bytes of a file.
 *
 *	-plugin net_instructions.so,count=FILE
 *
 * They are right whenever the guest is idle.  A repeated string instruction counts
 * as often as it is repeated, a block that an exception ends as a whole.
 *
 * No header of the interface is packaged: what is used of it is declared here.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
#define MAYBE __attribute__((weak))

struct qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_scoreboard;

enum qemu_plugin_op { ADD_U64 };

struct qemu_plugin_u64 {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};

typedef void (*translated_fn)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*idle_fn)(uint64_t id, unsigned int vcpu);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_fn translated);
void qemu_plugin_register_vcpu_idle_cb(uint64_t id, idle_fn idle);

/* Version 1, to QEMU 8: a counter for all processors */
MAYBE void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb,
						    enum qemu_plugin_op op,
						    void *counter, uint64_t value);

/* Version 2, from QEMU 9 on, which refuses the former: a counter for each */
MAYBE struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
MAYBE uint64_t qemu_plugin_u64_sum(struct qemu_plugin_u64 counter);
MAYBE void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
							     enum qemu_plugin_op op,
							     struct qemu_plugin_u64 counter,
							     uint64_t value);

SHOWN extern int qemu_plugin_version;
SHOWN int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc,
			      char **argv);

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
		fprintf(stderr, "net_instructions: %s: %m\n", path);
	if (fd >= 0)
		close(fd);
	return there == MAP_FAILED ? NULL : there;
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "count=", 6)) {
		fprintf(stderr, "net_instructions: its one argument is count=FILE\n");
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
