// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets one step of our modules fail, by its number, whoever does it: a program's own
 * call, a work queue, an interrupt or NAPI.
 *
 * A step is a decision of the kernel's own fault injection (slab, pages, user memory)
 * with one of our modules in the stack, or the call of a function that can fail by one
 * of our modules.  Writing 1 to the parameter "armed" lets one fail that is due; "failed"
 * then says which one that was, "" if none yet.
 *
 * Each line of our sources has steps of its own: of these, each time, another one is due,
 * the first, the second, the fourth, the eighth and so on.  For all of them, 1 is written
 * to "all".  Writing it forgets what has failed so far.
 */
#include <linux/cpumask.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/jhash.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/stacktrace.h>
#include <linux/string.h>

#define STACK_DEPTH	64
#define PLACES		1024

/* Our modules, as they are told in what is said of an address */
#define OURS		"[ivshmem"

/* Where the caller is found */
enum where {
	CALLER,		/* it is one of ours */
	SLAB,		/* somewhere in the stack; flags are the second argument */
	PAGES,		/* likewise; the first */
	COPY,		/* likewise; none */
};

/**
 * struct step - a function that can fail
 * @name: its name
 * @value: what it returns then
 * @where: who has to have called it
 * @probe: its entry
 */
struct step {
	const char *name;
	long value;
	enum where where;
	struct kprobe probe;
};

static struct step steps[] = {
	/* What the kernel asks before each allocation and each copy */
	{ "should_failslab", -ENOMEM, SLAB },
	{ "should_fail_alloc_page", true, PAGES },
	{ "should_fail_usercopy", true, COPY },
	{ "__get_user_4", -EFAULT },
	{ "check_zeroed_user", -EFAULT },

	{ "__alloc_percpu_gfp", 0 },
	{ "alloc_workqueue", 0 },
	{ "ida_alloc_range", -ENOMEM },

	/* PCI, interrupts, mappings */
	{ "__pci_register_driver", -ENOMEM },
	{ "pci_enable_device_mem", -EIO },
	{ "pci_request_selected_regions_exclusive", -EBUSY },
	{ "pci_alloc_irq_vectors_affinity", -ENOSPC },
	{ "pci_iomap", 0 },
	{ "request_threaded_irq", -ENOSPC },
	{ "ioremap", 0 },
	{ "memremap", 0 },
	{ "vmf_insert_pfn", VM_FAULT_OOM },

	/* Devices and nodes */
	{ "__class_register", -ENOMEM },
	{ "alloc_chrdev_region", -EBUSY },
	{ "dev_set_name", -ENOMEM },
	{ "cdev_device_add", -ENOMEM },
	{ "auxiliary_device_init", -EINVAL },
	{ "__auxiliary_device_add", -ENOMEM },
	{ "__auxiliary_driver_register", -ENOMEM },
	{ "debugfs_create_dir", -ENOMEM },
	{ "debugfs_create_file", -ENOMEM },

	/* Files, eventfds, dma-bufs */
	{ "simple_pin_fs", -ENOMEM },
	{ "init_pseudo", 0 },
	{ "alloc_anon_inode", -ENOMEM },
	{ "memdup_user", -ENOMEM },
	{ "eventfd_ctx_fdget", -EBADF },
	{ "dma_buf_export", -ENOMEM },
	{ "dma_buf_fd", -EMFILE },
	{ "dma_map_resource", DMA_MAPPING_ERROR },
	{ "sg_alloc_table", -ENOMEM },

	/* The network card */
	{ "alloc_etherdev_mqs", 0 },
	{ "register_netdev", -ENOMEM },
	{ "__xdp_rxq_info_reg", -ENOMEM },
	{ "xdp_rxq_info_reg_mem_model", -ENOMEM },
	{ "page_pool_create", -ENOMEM },
	{ "page_pool_alloc_pages", 0 },
	{ "__napi_alloc_skb", 0 },

	/* The disk */
	{ "gen_pool_create", 0 },
	{ "gen_pool_add_owner", -ENOMEM },
	{ "blk_mq_alloc_tag_set", -ENOMEM },
	{ "__blk_mq_alloc_disk", -ENOMEM },
	{ "device_add_disk", -ENOMEM },

	/* The importer of dma-bufs, which is a driver for tests */
	{ "misc_register", -EBUSY },
	{ "pcim_enable_device", -ENOMEM },
	{ "pcim_iomap", 0 },
	{ "dmam_alloc_attrs", 0 },
	{ "dma_buf_dynamic_attach", -ENOMEM },
	{ "dma_buf_map_attachment", -ENOMEM },
};

/**
 * struct place - where steps of one kind are in our sources
 * @step: the kind; NULL: there is none
 * @line: a hash of where; addresses change when a module is loaded again
 * @met: how many there were since it was armed
 * @due: which of these shall fail
 */
struct place {
	const struct step *step;
	u32 line;
	unsigned int met;
	unsigned int due;
};

/*
 * Handlers of probes are not interrupted by others.  On the one processor that there is
 * nobody else comes in between who looks at what follows while @armed is false.
 */
static bool armed;
static bool all;
static struct place places[PLACES];
static char failed[2 * KSYM_SYMBOL_LEN];

/* Whether an address is in one of our modules; what is said of it is in @text */
static bool is_ours(unsigned long address, char text[KSYM_SYMBOL_LEN])
{
	if (address < MODULES_VADDR || address >= MODULES_END)
		return false;
	sprint_symbol(text, address);
	return strstr(text, OURS);
}

/* Whether one of ours is in the stack; what is said of the innermost address is in @text */
static bool is_in_stack(char text[KSYM_SYMBOL_LEN])
{
	unsigned long entries[STACK_DEPTH];
	unsigned int i, nr;

	nr = stack_trace_save(entries, STACK_DEPTH, 0);
	for (i = 0; i < nr; i++) {
		if (is_ours(entries[i], text))
			return true;
	}

	return false;
}

/* What is to go on: the books of kmemleak and of the debugging of objects */
#define KMEMLEAK	(__GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN)
#define ODEBUG		(__GFP_HIGH | __GFP_NOWARN)

static bool is_object(gfp_t flags)
{
	return !(flags & __GFP_NOFAIL) && (flags & KMEMLEAK) != KMEMLEAK &&
	       (flags & ~__GFP_ZERO) != ODEBUG;
}

static bool can_fail(const struct step *step, struct pt_regs *regs)
{
	char text[KSYM_SYMBOL_LEN];

	switch (step->where) {
	case SLAB:
		return is_object(regs_get_kernel_argument(regs, 1));
	case PAGES:
		return !(regs_get_kernel_argument(regs, 0) & __GFP_NOFAIL);
	case COPY:
		return true;
	default:
		return is_ours(*(unsigned long *)kernel_stack_pointer(regs), text);
	}
}

/* NULL if there are too many */
static struct place *find_place(const struct step *step, const char *text)
{
	u32 line = jhash(text, strlen(text), 0);
	unsigned int i;

	for (i = 0; i < PLACES; i++) {
		if (!places[i].step)
			places[i] = (struct place) { step, line, 0, 1 };
		if (places[i].step == step && places[i].line == line)
			return &places[i];
	}

	return NULL;
}

/* Whether this one is due, of all that could fail */
static bool is_due(const struct step *step)
{
	char text[KSYM_SYMBOL_LEN];
	struct place *place;

	if (!is_in_stack(text))
		return false;
	place = find_place(step, text);
	if (!place || ++place->met < place->due)
		return false;

	armed = false;
	place->due = all ? place->met + 1 : 2 * place->met;
	snprintf(failed, sizeof(failed), "%s %u by %s", step->name, place->met, text);
	return true;
}

/* Where a function goes on that is not to do anything, nor to change what it returns */
static noinstr void nothing(void)
{
	barrier();
}

static int entered(struct kprobe *probe, struct pt_regs *regs)
{
	struct step *step = container_of(probe, struct step, probe);

	if (!READ_ONCE(armed) || !can_fail(step, regs) || !is_due(step))
		return 0;

	regs_set_return_value(regs, step->value);
	instruction_pointer_set(regs, (unsigned long)nothing);
	return 1;
}

/* Without one the probe could not change where the function goes on */
static void done(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

/* What a parameter is to be; nothing fails from here on */
static int take(const char *text, bool *value)
{
	int ret = kstrtobool(text, value);

	if (ret)
		return ret;

	WRITE_ONCE(armed, false);
	barrier();
	return 0;
}

static int armed_set(const char *text, const struct kernel_param *param)
{
	unsigned int i;
	bool value;
	int ret;

	ret = take(text, &value);
	if (ret)
		return ret;

	for (i = 0; i < PLACES; i++)
		places[i].met = 0;
	failed[0] = 0;
	barrier();
	WRITE_ONCE(armed, value);
	return 0;
}

static const struct kernel_param_ops armed_ops = {
	.set = armed_set,
};
module_param_cb(armed, &armed_ops, NULL, 0200);
MODULE_PARM_DESC(armed, "Whether one step, and no other, is to fail");

static int all_set(const char *text, const struct kernel_param *param)
{
	int ret = take(text, &all);

	if (!ret)
		memset(places, 0, sizeof(places));

	return ret;
}

static const struct kernel_param_ops all_ops = {
	.set = all_set,
};
module_param_cb(all, &all_ops, NULL, 0200);
MODULE_PARM_DESC(all, "Whether each step of a line fails in turn, or the 1st, 2nd, 4th ...");

module_param_string(failed, failed, sizeof(failed), 0400);
MODULE_PARM_DESC(failed, "Name of the step that has failed, which one it was, and of which line");

static void forget(unsigned int nr)
{
	while (nr--)
		unregister_kprobe(&steps[nr].probe);
}

static int __init faults_init(void)
{
	unsigned int i;
	int ret;

	if (num_online_cpus() > 1) {
		pr_err("faults: there must be one processor\n");
		return -EOPNOTSUPP;
	}

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		steps[i].probe.symbol_name = steps[i].name;
		steps[i].probe.pre_handler = entered;
		steps[i].probe.post_handler = done;
		ret = register_kprobe(&steps[i].probe);
		if (ret) {
			pr_err("faults: %s: cannot be probed (%d)\n",
			       steps[i].name, ret);
			forget(i);
			return ret;
		}
	}

	return 0;
}
module_init(faults_init);

static void __exit faults_exit(void)
{
	forget(ARRAY_SIZE(steps));
}
module_exit(faults_exit);

MODULE_DESCRIPTION("Steps of other modules that fail, for tests");
MODULE_LICENSE("GPL");
