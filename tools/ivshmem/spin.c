// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks for as long as that has paid lately, and counts doorbells in vain.
 */
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
	spin->most_ns = us * 1000ULL;
	spin->spin_ns = spin->most_ns;
	spin->spinning = false;
}

bool spin_again(struct spin *spin, bool useful)
{
	uint64_t now;

	if (!spin->most_ns)
		return useful;
	if (useful) {
		if (spin->spinning && spin->spin_ns < spin->most_ns)
			spin->spin_ns *= 2;
		spin->spinning = false;
		return true;
	}
	now = now_ns();
	if (!spin->spinning) {
		spin->spinning = true;
		spin->busy_at = now;
	}
	if (now - spin->busy_at < spin->spin_ns)
		return true;
	spin->spinning = false;
	if (spin->spin_ns / 2 > spin->most_ns / SPIN_SHARE)
		spin->spin_ns /= 2;
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
