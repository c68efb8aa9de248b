// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds ivshmem devices and their memory backends on the command lines of
 * QEMU processes.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-c/json.h>

#include "parse.h"
#include "qemu_process.h"

/* Longer command lines are cut; libvirt's have some 10 KiB. */
#define CMDLINE_SIZE	(256 * 1024)
#define MAX_ARGUMENTS	2048

struct cmdline {
	char *text;
	char *argv[MAX_ARGUMENTS];
	int argc;
};

/* Value of a JSON argument, as libvirt writes them. */
static bool json_property(const char *argument, const char *key, char *value,
			  size_t size)
{
	struct json_object *object = json_tokener_parse(argument);
	struct json_object *member;
	bool ret = false;

	if (json_object_is_type(object, json_type_object) &&
	    json_object_object_get_ex(object, key, &member)) {
		snprintf(value, size, "%s", json_object_get_string(member));
		ret = true;
	}
	json_object_put(object);
	return ret;
}

/* Copies up to the next comma; a doubled one stands for itself. */
static const char *take_field(const char *text, char *field, size_t size)
{
	size_t n = 0;

	for (; *text; text++) {
		if (*text == ',') {
			if (text[1] != ',')
				break;
			text++;
		}
		if (n < size - 1)
			field[n++] = *text;
	}
	field[n] = '\0';
	return *text ? text + 1 : text;
}

/*
 * Value of a property of "TYPE,key=value,..." or of JSON.  The first field may
 * lack its key, which is @implied; a key without value is a switch.
 */
static bool property(const char *argument, const char *implied,
		     const char *key, char *value, size_t size)
{
	char field[512];
	bool first = true;
	char *equals;

	if (*argument == '{')
		return json_property(argument, key, value, size);
	while (*argument) {
		argument = take_field(argument, field, sizeof(field));
		equals = strchr(field, '=');
		if (equals)
			*equals = '\0';
		if (!equals && first && !strcmp(key, implied)) {
			snprintf(value, size, "%s", field);
			return true;
		}
		if (!strcmp(field, key)) {
			snprintf(value, size, "%s", equals ? equals + 1 : "on");
			return true;
		}
		first = false;
	}
	return false;
}

static bool is_on(const char *value)
{
	return !strcmp(value, "on") || !strcmp(value, "true") ||
	       !strcmp(value, "yes");
}

static bool read_cmdline(pid_t pid, struct cmdline *cmdline)
{
	char path[64];
	FILE *file;
	size_t n, at;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(cmdline->text, 1, CMDLINE_SIZE - 1, file);
	fclose(file);
	cmdline->text[n] = '\0';
	cmdline->argc = 0;
	for (at = 0; at < n && cmdline->argc < MAX_ARGUMENTS; at++) {
		cmdline->argv[cmdline->argc++] = cmdline->text + at;
		at += strlen(cmdline->text + at);
	}
	return cmdline->argc;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_qemu(const struct cmdline *cmdline)
{
	const char *name = base_name(cmdline->argv[0]);

	return !strncmp(name, "qemu-system-", 12) ||
	       !strcmp(name, "qemu-kvm") || !strcmp(name, "kvm");
}

/* Argument of the option at @i: "-device" and "--device" are the same. */
static const char *option_argument(const struct cmdline *cmdline, int i,
				   const char *option)
{
	const char *text = cmdline->argv[i];

	if (i + 1 >= cmdline->argc || !text || *text != '-')
		return NULL;
	text += text[1] == '-' ? 2 : 1;
	return strcmp(text, option) ? NULL : cmdline->argv[i + 1];
}

static void name_machine(const struct cmdline *cmdline,
			 struct qemu_device *device)
{
	const char *argument;
	int i;

	snprintf(device->machine, sizeof(device->machine), "%s",
		 base_name(cmdline->argv[0]));
	for (i = 1; i < cmdline->argc; i++) {
		argument = option_argument(cmdline, i, "name");
		if (argument && property(argument, "guest", "guest",
					 device->machine,
					 sizeof(device->machine)))
			return;
	}
}

/* How the file is mapped: nowhere so that others see what is written? */
static void look_at_mappings(struct qemu_device *device)
{
	static const char removed[] = " (deleted)";
	size_t length = strlen(device->path);
	bool private = false, shared = false;
	char name[64], line[1024], permissions[8];
	FILE *file;
	int at;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)device->pid);
	file = fopen(name, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		at = 0;
		if (sscanf(line, "%*s %7s %*s %*s %*s %n", permissions,
			   &at) != 1 || !at)
			continue;
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line + at, device->path, length))
			continue;
		if (!strcmp(line + at + length, removed))
			device->lost = true;
		else if (line[at + (int)length])
			continue;
		private = private || strchr(permissions, 'p');
		shared = shared || strchr(permissions, 's');
	}
	fclose(file);
	device->seen = private && !shared;
}

/*
 * A relative path would be that of a directory which QEMU has left since.  One of
 * a network file system whose server is gone keeps us waiting, until Ctrl-C.
 */
int process_open(pid_t pid, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT,
	};
	char name[64];
	int root, fd;

	if (*path != '/') {
		errno = EACCES;
		return -1;
	}
	snprintf(name, sizeof(name), "/proc/%d/root", (int)pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		errno = EACCES;
		return -1;
	}
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	close(root);
	return fd;
}

int open_memory_file(const struct qemu_device *device)
{
	int fd = process_open(device->pid, device->path);

	/* Machines of others do not show where they are, but most are here. */
	if (fd < 0 && errno == EACCES && *device->path == '/')
		fd = open(device->path, O_PATH | O_CLOEXEC);
	return fd;
}

static void look_at_file(struct qemu_device *device)
{
	int fd = open_memory_file(device);

	if (fd < 0)
		return;
	if (fstat(fd, &device->file))
		memset(&device->file, 0, sizeof(device->file));
	close(fd);
}

static enum sharing default_sharing(const char *backend)
{
	if (!strcmp(backend, "memory-backend-memfd") ||
	    !strcmp(backend, "memory-backend-shm"))
		return SHARING_ON;
	if (!strcmp(backend, "memory-backend-ram") ||
	    !strcmp(backend, "memory-backend-file"))
		return SHARING_OFF;
	return SHARING_UNKNOWN;
}

static void find_backend(const struct cmdline *cmdline,
			 struct qemu_device *device)
{
	char id[64], share[32];
	const char *argument;
	int i;

	device->sharing = SHARING_UNKNOWN;
	for (i = 1; i < cmdline->argc; i++) {
		argument = option_argument(cmdline, i, "object");
		if (!argument ||
		    !property(argument, "qom-type", "id", id, sizeof(id)) ||
		    strcmp(id, device->memdev))
			continue;
		property(argument, "qom-type", "qom-type", device->backend,
			 sizeof(device->backend));
		property(argument, "qom-type", "mem-path", device->path,
			 sizeof(device->path));
		device->sharing = default_sharing(device->backend);
		if (property(argument, "qom-type", "share", share,
			     sizeof(share)))
			device->sharing = is_on(share) ? SHARING_ON :
							 SHARING_OFF;
		if (property(argument, "qom-type", "size", share,
			     sizeof(share)))
			parse_size(share, &device->size);
		break;
	}
	if (*device->path) {
		look_at_mappings(device);
		look_at_file(device);
	}
}

static void find_chardev(const struct cmdline *cmdline, const char *chardev,
			 struct qemu_device *device)
{
	const char *argument;
	char id[64], value[16];
	int i;

	for (i = 1; i < cmdline->argc; i++) {
		argument = option_argument(cmdline, i, "chardev");
		if (!argument ||
		    !property(argument, "backend", "id", id, sizeof(id)) ||
		    strcmp(id, chardev))
			continue;
		property(argument, "backend", "path", device->socket,
			 sizeof(device->socket));
		device->repeats =
			(property(argument, "backend", "reconnect", value,
				  sizeof(value)) ||
			 property(argument, "backend", "reconnect-ms", value,
				  sizeof(value))) && strcmp(value, "0");
		break;
	}
}

static void read_properties(const char *argument, struct qemu_device *device)
{
	char value[32];

	/* Of those that leave it to QEMU plain devices have it. */
	if (property(argument, "driver", "master", value, sizeof(value)))
		device->master = is_on(value) ||
				 (!device->doorbell && !strcmp(value, "auto"));
	if (property(argument, "driver", "ioeventfd", value, sizeof(value)))
		device->slow = device->doorbell && !is_on(value);
	device->vectors = 1;
	if (property(argument, "driver", "vectors", value, sizeof(value)))
		parse_number(value, UINT16_MAX, &device->vectors);
}

static bool read_device(const struct cmdline *cmdline, int i, pid_t pid,
			struct qemu_device *device)
{
	const char *argument = option_argument(cmdline, i, "device");
	char driver[64], chardev[64];

	if (!argument ||
	    !property(argument, "driver", "driver", driver, sizeof(driver)))
		return false;
	if (strcmp(driver, "ivshmem-plain") &&
	    strcmp(driver, "ivshmem-doorbell"))
		return false;
	memset(device, 0, sizeof(*device));
	device->pid = pid;
	device->doorbell = !strcmp(driver, "ivshmem-doorbell");
	name_machine(cmdline, device);
	read_properties(argument, device);
	if (!device->doorbell) {
		property(argument, "driver", "memdev", device->memdev,
			 sizeof(device->memdev));
		find_backend(cmdline, device);
	} else if (property(argument, "driver", "chardev", chardev,
			    sizeof(chardev))) {
		find_chardev(cmdline, chardev, device);
	}
	return true;
}

static int add_devices(pid_t pid, struct cmdline *cmdline,
		       struct qemu_device **list, size_t *count)
{
	struct qemu_device device, *grown;
	int i;

	if (!read_cmdline(pid, cmdline) || !is_qemu(cmdline))
		return 0;
	for (i = 1; i < cmdline->argc; i++) {
		if (!read_device(cmdline, i, pid, &device))
			continue;
		grown = realloc(*list, (*count + 1) * sizeof(**list));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		grown[(*count)++] = device;
	}
	return 0;
}

const char *qemu_name(const struct qemu_device *device, char text[128])
{
	snprintf(text, 128, "%s (process %d)", device->machine,
		 (int)device->pid);
	return text;
}

ssize_t qemu_find(struct qemu_device **list)
{
	struct cmdline *cmdline;
	struct dirent *entry;
	size_t count = 0;
	int ret = 0;
	DIR *proc;

	*list = NULL;
	proc = opendir("/proc");
	if (!proc)
		return 0;
	cmdline = malloc(sizeof(*cmdline));
	if (cmdline)
		cmdline->text = malloc(CMDLINE_SIZE);
	if (!cmdline || !cmdline->text)
		ret = -ENOMEM;
	while (!ret && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			ret = add_devices(atoi(entry->d_name), cmdline, list,
					  &count);
	if (cmdline)
		free(cmdline->text);
	free(cmdline);
	closedir(proc);
	if (ret) {
		free(*list);
		*list = NULL;
	}
	return ret ? ret : (ssize_t)count;
}
