/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is used of QEMU's interface for plugins, of which no header is packaged.
 */
#ifndef BENCH_NET_PLUGIN_H
#define BENCH_NET_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

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

#endif
