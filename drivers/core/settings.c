// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the administrator wants of a region: the own slot, and which sections programs
 * use.
 */
#include <linux/jiffies.h>
#include <linux/string.h>

#include "core.h"

/* Whether the administrator gives a section to programs */
static bool ivshmem_is_given(const struct ivshmem_device *ivd,
			     const char *name)
{
	size_t length = strlen(name);
	const char *word, *end;

	for (word = ivd->programs; *word; word = end + 1) {
		end = strchrnul(word, ' ');
		if (end - word == length && !memcmp(word, name, length))
			return true;
		if (!*end)
			break;
	}

	return false;
}

/**
 * ivshmem_programs() - which sections programs use
 * @ivd: the device
 * @region: what it is formatted as
 *
 * Context: Process context, with the region's lock.
 * Return: a bit for each section.
 */
u32 ivshmem_programs(const struct ivshmem_device *ivd,
		     const struct ivregion *region)
{
	const struct ivregion_section *section;
	u32 i, programs = 0;

	BUILD_BUG_ON(IVREGION_SECTIONS_MAX > 32);
	for (i = 0; i < region->nr_sections; i++) {
		section = &region->sections[i];
		if (section->usable &&
		    (section->type == IVREGION_RAW ||
		     ivshmem_is_given(ivd, section->name)))
			programs |= BIT(i);
	}

	return programs;
}

/**
 * ivshmem_region_set_slot() - give a plain device its slot
 * @ivd: a device without doorbells
 * @slot: the slot, below IVREGION_SLOTS_MAX, IVSHMEM_AUTO_SLOT, or
 *	  IVSHMEM_NO_SLOT
 *
 * If the region is attached this kernel leaves, and joins in the new slot
 * under a new epoch.
 *
 * Context: Process context; may sleep.
 */
void ivshmem_region_set_slot(struct ivshmem_device *ivd, u32 slot)
{
	mutex_lock(&ivd->region_lock);
	WRITE_ONCE(ivd->self.wanted, slot);
	ivd->self.avoid = IVSLOT_NONE;
	ivd->self.rest = 0;
	ivd->self.rest_until = jiffies;
	ivshmem_region_reenter(ivd);
	mutex_unlock(&ivd->region_lock);
}

/**
 * ivshmem_region_set_programs() - let programs use sections instead of drivers
 * @ivd: the device
 * @names: names of sections, which need not be there, separated by single spaces
 *
 * If the region is attached this kernel leaves, and joins anew.
 *
 * Context: Process context; may sleep, and drivers unbind and bind.
 * Return: 0 or -E2BIG (more than IVSHMEM_PROGRAMS_MAX bytes).
 */
int ivshmem_region_set_programs(struct ivshmem_device *ivd, const char *names)
{
	if (strlen(names) >= sizeof(ivd->programs))
		return -E2BIG;

	mutex_lock(&ivd->region_lock);
	strscpy(ivd->programs, names, sizeof(ivd->programs));
	ivshmem_region_reattach(ivd);
	mutex_unlock(&ivd->region_lock);
	return 0;
}
