/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ringing the doorbells of clients, who may try to make the server wait.
 */
#ifndef IVSHMEMD_DOORBELL_H
#define IVSHMEMD_DOORBELL_H

#include <stddef.h>

/**
 * doorbell_ring_all() - ring several doorbells, as far as that is possible now
 * @eventfds: one for each
 *
 * A doorbell that cannot take any more was not heard yet, and is left out.
 * Returns within some ten milliseconds, whatever clients do to the eventfds.
 */
void doorbell_ring_all(const int *eventfds, size_t count);

#endif /* IVSHMEMD_DOORBELL_H */
