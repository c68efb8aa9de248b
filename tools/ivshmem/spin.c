// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks for as long as that has paid lately, and counts doorbells in vain.
 */
#include <string.h>

#include "progress.h"
#include "spin.h"

/* What remains of the time while looking does not pay */
#define SPIN_SHARE	16U
/* Doorbells in vain, of so many at least and this share, until they rest */
#define WINDOW_MS	100U
#define VAIN_MAX	200U
#define VAIN_SHARE	4U

void spin_init(struct spin *spin, unsigned int us)
{
	memset(spin, 0, sizeof(*spin));
	spin->most_ns = us * 1000ULL;
	spin->spin_ns = spin->most_ns;
}

static void spin_less(struct spin *spin)
{
	if (spin->spin_ns / 2 > spin->most_ns / SPIN_SHARE)
		spin->spin_ns /= 2;
}

/* What came after a short sleep would have been seen by looking for longer. */
static void spin_adapt(struct spin *spin)
{
	if (now_ns() - spin->idle_at >= spin->most_ns)
		spin_less(spin);
	else if (spin->spin_ns < spin->most_ns)
		spin->spin_ns *= 2;
	spin->idle_at = 0;
}

bool spin_again(struct spin *spin, bool useful)
{
	uint64_t now;

	if (!spin->most_ns)
		return useful;
	if (useful) {
		if (spin->idle_at)
			spin_adapt(spin);
		spin->spinning = false;
		return true;
	}
	now = now_ns();
	if (!spin->spinning) {
		/* Woken for nothing */
		if (spin->idle_at)
			spin_less(spin);
		else
			spin->idle_at = now;
		spin->spinning = true;
		spin->spin_at = now;
	}
	if (now - spin->spin_at < spin->spin_ns)
		return true;
	spin->spinning = false;
	return false;
}

void hearing_count(struct hearing *hearing, bool useful, uint32_t now)
{
	if (useful)
		hearing->useful++;
	else if (hearing->rung)
		hearing->vain++;
	hearing->rung = false;
	if (hearing->vain > VAIN_MAX &&
	    hearing->vain / VAIN_SHARE > hearing->useful)
		hearing->resting = true;
	if (now - hearing->window_at < WINDOW_MS)
		return;
	hearing->window_at = now;
	hearing->useful = 0;
	hearing->vain = 0;
	hearing->resting = false;
}
