/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling the service manager how things are, without ever waiting for it.
 */
#ifndef IVSHMEMD_NOTIFY_H
#define IVSHMEMD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/** notify_ready() - the server serves; the one message that is waited for. */
void notify_ready(void);

/**
 * notify_watchdog_period() - how often the manager wants to hear WATCHDOG=1
 * Return: milliseconds, half of its patience; 0 for not at all.
 */
uint64_t notify_watchdog_period(void);

/** notify_reloading() - the configuration is about to be read again. */
void notify_reloading(void);

/**
 * notify_send() - send lines of sd_notify(3)
 *
 * sd_notify() itself sleeps while the manager does not read, and with it
 * clients who come and go could stop the server.
 *
 * Return: 0, also without a service manager; -EAGAIN if it is busy, or there is no
 * descriptor free to tell it.
 */
int notify_send(const char *lines);

/**
 * notify_send_fd() - the same with a descriptor, unless that is -1
 * @wait: for a manager that is busy, two seconds at most
 *
 * Return: 0, also without a service manager; -EAGAIN if it is busy, or another
 * negative errno.
 */
int notify_send_fd(const char *lines, int fd, bool wait);

#endif /* IVSHMEMD_NOTIFY_H */
