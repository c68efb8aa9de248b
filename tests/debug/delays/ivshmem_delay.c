// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds up whoever calls a function, or comes back from it, so that others get between
 * two steps that usually follow each other at once.
 *
 * Writing a function's name to the parameter "at" begins, an empty line ends it; "hits"
 * tells how often somebody was held up, on the way in and on the way out.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

/* With preemption off, so that no more of them can stop a machine for long */
#define DELAY_MS	10
#define MOST_DELAYS	20

/* Empty without one */
static char function[KSYM_NAME_LEN];
static struct kprobe entry_probe;
static struct kretprobe return_probe;
static atomic_t entries;
static atomic_t returns;

static void hold_up(atomic_t *count)
{
	if (atomic_inc_return(count) <= MOST_DELAYS)
		mdelay(DELAY_MS);
}

static int entered(struct kprobe *probe, struct pt_regs *regs)
{
	hold_up(&entries);

	return 0;
}

static int returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	hold_up(&returns);

	return 0;
}

static void end(void)
{
	if (!function[0])
		return;

	unregister_kprobe(&entry_probe);
	unregister_kretprobe(&return_probe);
	function[0] = '\0';
}

static int begin(void)
{
	int ret;

	entry_probe = (struct kprobe) {
		.symbol_name = function,
		.pre_handler = entered,
	};
	return_probe = (struct kretprobe) {
		.kp.symbol_name = function,
		.handler = returned,
	};

	ret = register_kprobe(&entry_probe);
	if (ret)
		return ret;

	ret = register_kretprobe(&return_probe);
	if (ret)
		unregister_kprobe(&entry_probe);

	return ret;
}

/* Calls of this are serialised by the lock of the module's parameters */
static int at_set(const char *value, const struct kernel_param *param)
{
	int ret;

	end();
	atomic_set(&entries, 0);
	atomic_set(&returns, 0);
	if (sscanf(value, "%127s", function) != 1 || !function[0])
		return 0;

	ret = begin();
	if (ret)
		function[0] = '\0';

	return ret;
}

static const struct kernel_param_ops at_ops = { .set = at_set };
module_param_cb(at, &at_ops, NULL, 0200);
MODULE_PARM_DESC(at, "The function at which to hold up");

static int hits_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d %d\n", atomic_read(&entries), atomic_read(&returns));
}

static const struct kernel_param_ops hits_ops = { .get = hits_get };
module_param_cb(hits, &hits_ops, NULL, 0400);
MODULE_PARM_DESC(hits, "How often somebody was held up since then: entering, returning");

static int __init ivshmem_delay_init(void)
{
	return 0;
}
module_init(ivshmem_delay_init);

static void __exit ivshmem_delay_exit(void)
{
	end();
}
module_exit(ivshmem_delay_exit);

MODULE_DESCRIPTION("Delays at chosen functions, for tests");
MODULE_LICENSE("GPL");
