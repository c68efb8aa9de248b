/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A load that a campaign runs in a guest: what its kinds share. All that they
 * move is a pattern, of which the receiver knows each byte.
 */
#ifndef CAMPAIGN_LOAD_H
#define CAMPAIGN_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define MACHINES	8

/* Exit status of a worker whose device is gone, and that is started again. */
#define GONE		10

/*
 * What a load has verified: shared by the worker and the process that starts
 * it again and tells the host. Of machine n, or of the disk where n is 0.
 */
struct tally {
	uint64_t messages[MACHINES];
	uint64_t bytes[MACHINES];
	uint64_t sessions;
	uint64_t starts;
	uint64_t acknowledged;
};

extern struct tally *tally;

/* Counts a message of so many bytes, of which each was as it has to be. */
void verified(unsigned int machine, size_t bytes);

/* Says what is wrong with the data, for good: the campaign has failed. */
noreturn void wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* Ends the worker; it is started again. */
noreturn void gone(void);

/* The words that belong to (@seed, @number), and whether there are others. */
void pattern(void *data, size_t bytes, uint64_t seed, uint64_t number);
bool differs(const void *data, size_t bytes, uint64_t seed, uint64_t number);

/* A number that no other process has. */
uint64_t nonce(void);
void pause_ms(unsigned int ms);

void net_load(unsigned int own, unsigned int machines);
void channel_load(const char *node, unsigned int own);
void disk_load(const char *node, uint64_t first_sector, uint64_t told,
	       const char *path);

#endif /* CAMPAIGN_LOAD_H */
