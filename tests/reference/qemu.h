/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What QEMU's own ivshmem programs use of the rest of QEMU, so that their unmodified
 * sources can be built without it: included before each of them, in the place of the
 * headers whose guards it defines.
 */
#ifndef TESTS_REFERENCE_QEMU_H
#define TESTS_REFERENCE_QEMU_H

#define QEMU_OSDEP_H
#define QEMU_SOCKETS_H
#define QEMU_SOCKET_H
#define QEMU_HOST_UTILS_H
#define HOST_UTILS_H
#define QEMU_CUTILS_H
#define QEMU_OPTION_H
#define QEMU_EVENT_NOTIFIER_H
#define ERROR_H

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#define FALSE			false
#define gchar			char
#define G_MAXUINT16		UINT16_MAX
#define G_N_ELEMENTS(array)	(sizeof(array) / sizeof((array)[0]))
#define GINT64_FROM_LE(value)	((int64_t)le64toh(value))
#define GINT64_TO_LE(value)	((int64_t)htole64(value))
#define TFR(call)		TEMP_FAILURE_RETRY(call)
#define RETRY_ON_EINTR(call)	TEMP_FAILURE_RETRY(call)
#define qemu_daemon		daemon

static inline void *g_malloc0(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

static inline void g_free(void *memory)
{
	free(memory);
}

__attribute__((format(printf, 1, 2)))
static inline char *g_strdup_printf(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		abort();
	va_end(arguments);
	return text;
}

static inline int qemu_accept(int fd, struct sockaddr *address,
			      socklen_t *length)
{
	return accept4(fd, address, length, SOCK_CLOEXEC);
}

static inline void qemu_socket_set_nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static inline uint64_t pow2ceil(uint64_t value)
{
	uint64_t power = 1;

	while (power < value)
		power *= 2;
	return power;
}

/* An eventfd: the ends are the same */
struct event_notifier {
	int rfd;
	int wfd;
};

#define EventNotifier	struct event_notifier

static inline int event_notifier_init(EventNotifier *notifier, int active)
{
	notifier->rfd = eventfd(active, EFD_NONBLOCK | EFD_CLOEXEC);
	notifier->wfd = notifier->rfd;
	return notifier->rfd < 0 ? -errno : 0;
}

static inline int event_notifier_get_fd(const EventNotifier *notifier)
{
	return notifier->rfd;
}

static inline int event_notifier_get_wfd(const EventNotifier *notifier)
{
	return notifier->wfd;
}

static inline void event_notifier_cleanup(EventNotifier *notifier)
{
	close(notifier->rfd);
}

/* The command line: only what the tests give */
struct error {
	const char *text;
};

#define Error	struct error

static inline void error_report_err(Error *error)
{
	fprintf(stderr, "%s\n", error->text);
}

static inline bool parse_option_size(const char *name, const char *text,
				     uint64_t *value, Error **error)
{
	static Error wrong = { "not a number of bytes" };
	char *end;

	(void)name;
	*value = strtoull(text, &end, 0);
	if (*end)
		*error = &wrong;
	return !*end;
}

static inline int parse_uint_full(const char *text, unsigned long long *value,
				  int base)
{
	char *end;

	*value = strtoull(text, &end, base);
	return *end ? -EINVAL : 0;
}

#endif /* TESTS_REFERENCE_QEMU_H */
