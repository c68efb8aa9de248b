// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flaws, one of each kind that the lab's kernels find: a test has each of them found.
 * Writing the name of one to the parameter "flaw" makes it happen.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

#define IVSHMEM_VENDOR_ID	0x1af4
#define IVSHMEM_DEVICE_ID	0x1110
#define IVSHMEM_BAR		2

#define OBJECT_SIZE		64
#define ROUNDS			200000

static DEFINE_MUTEX(first_lock);
static DEFINE_MUTEX(second_lock);
static DEFINE_SPINLOCK(spinning_lock);

/* What is stored here cannot be foreseen by the compiler, nor left out */
static unsigned long seen;

static int out_of_bounds(void)
{
	u8 *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	size_t size = OBJECT_SIZE;

	if (!object)
		return -ENOMEM;

	OPTIMIZER_HIDE_VAR(size);
	WRITE_ONCE(object[size], 1);
	kfree(object);

	return 0;
}

static int use_after_free(void)
{
	u8 *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	u8 *stale = object;

	if (!object)
		return -ENOMEM;

	OPTIMIZER_HIDE_VAR(stale);
	kfree(object);
	WRITE_ONCE(seen, READ_ONCE(*stale));

	return 0;
}

static int shift(void)
{
	unsigned int distance = BITS_PER_LONG + 1;

	OPTIMIZER_HIDE_VAR(distance);
	WRITE_ONCE(seen, 1UL << distance);

	return 0;
}

static int sleep_in_atomic(void)
{
	spin_lock(&spinning_lock);
	msleep(20);
	spin_unlock(&spinning_lock);

	return 0;
}

static int lock_order(void)
{
	mutex_lock(&first_lock);
	mutex_lock(&second_lock);
	mutex_unlock(&second_lock);
	mutex_unlock(&first_lock);

	mutex_lock(&second_lock);
	mutex_lock(&first_lock);
	mutex_unlock(&first_lock);
	mutex_unlock(&second_lock);

	return 0;
}

static int leak(void)
{
	void *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);

	return object ? 0 : -ENOMEM;
}

/* Forgets the first when there is no second */
static int missed_unwind(void)
{
	void *second;
	void *first;

	first = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	if (!first)
		return -ENOMEM;

	second = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	if (!second)
		return -ENOMEM;

	kfree(second);
	kfree(first);

	return 0;
}

static void nothing(struct timer_list *timer)
{
}

static int free_active(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return -ENOMEM;

	timer_setup(timer, nothing, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);

	return 0;
}

static int underflow(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);

	return 0;
}

/* A length, say, is checked and then read again: the host changes it meanwhile */
static int double_fetch(void)
{
	struct pci_dev *pdev = pci_get_device(IVSHMEM_VENDOR_ID, IVSHMEM_DEVICE_ID, NULL);
	unsigned int round;
	u32 *length;

	if (!pdev)
		return -ENODEV;

	length = memremap(pci_resource_start(pdev, IVSHMEM_BAR), PAGE_SIZE, MEMREMAP_WB);
	pci_dev_put(pdev);
	if (!length)
		return -ENOMEM;

	for (round = 0; round < ROUNDS; round++) {
		if (*length < PAGE_SIZE)
			WRITE_ONCE(seen, seen + *length);
		barrier();
		if (!(round % 1000))
			cond_resched();
	}
	memunmap(length);

	return 0;
}

static const struct {
	const char *name;
	int (*happen)(void);
} flaws[] = {
	{ "out-of-bounds", out_of_bounds },
	{ "use-after-free", use_after_free },
	{ "shift", shift },
	{ "sleep-in-atomic", sleep_in_atomic },
	{ "lock-order", lock_order },
	{ "leak", leak },
	{ "missed-unwind", missed_unwind },
	{ "free-active", free_active },
	{ "underflow", underflow },
	{ "double-fetch", double_fetch },
};

static int flaw_set(const char *name, const struct kernel_param *param)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flaws); i++) {
		if (sysfs_streq(name, flaws[i].name))
			return flaws[i].happen();
	}

	return -EINVAL;
}

static const struct kernel_param_ops flaw_ops = {
	.set = flaw_set,
};
module_param_cb(flaw, &flaw_ops, NULL, 0200);
MODULE_PARM_DESC(flaw, "Name of the flaw that is to happen");

static int __init planted_init(void)
{
	return 0;
}
module_init(planted_init);

static void __exit planted_exit(void)
{
}
module_exit(planted_exit);

MODULE_DESCRIPTION("Flaws made on purpose");
MODULE_LICENSE("GPL");
