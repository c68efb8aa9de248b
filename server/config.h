/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the server is asked to do: the links and their settings, from the
 * configuration file and from the command line.
 */
#ifndef IVSHMEMD_CONFIG_H
#define IVSHMEMD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config_error.h"

#define CONFIG_DEFAULT_FILE	"/etc/ivshmem/ivshmemd.conf"
#define CONFIG_SOCKET_DIRECTORY	"/run/ivshmem"
#define CONFIG_CONTROL_SOCKET	CONFIG_SOCKET_DIRECTORY "/control.sock"

#define LINK_NAME_LENGTH	32

#define LINK_MIN_SIZE		4096ULL
#define LINK_MIN_PEERS		2
#define LINK_MAX_PEERS		64
/* QEMU's doorbell looks at 8 bits of the vector. */
#define LINK_MAX_VECTORS	256
/* A client gets one descriptor for each eventfd of its link. */
#define LINK_MAX_EVENTFDS	4096

/* A user may connect more often only without any limit. */
#define LINK_MAX_CONNECTS	100000

enum memory_kind {
	MEMORY_MEMFD,
	MEMORY_HUGETLB,
	MEMORY_FILE,
};

/** struct allowed_id - a user or a group that may join a link. */
struct allowed_id {
	bool is_group;
	uint32_t id;
};

/**
 * struct socket_config - a listening socket
 * @key:   what names it in the configuration, for messages
 * @path:  its absolute path
 * @mode:  permission bits
 * @user:  owner, -1 for the server's own
 * @group: group, -1 for the server's own
 */
struct socket_config {
	const char *key;
	char *path;
	mode_t mode;
	uid_t user;
	gid_t group;
};

/**
 * struct link_config - one link
 * @name:      its name: file name, systemd descriptor name, part of QEMU's ids
 * @socket:    where clients connect
 * @size:      bytes of shared memory, a power of two
 * @peers:     slots
 * @vectors:   eventfds per slot
 * @memory:    what the memory is
 * @numa:     the nodes that it is on, or NULL
 * @huge_page: MEMORY_HUGETLB: size of a page, 0 for the system's default
 * @file:      MEMORY_FILE: absolute path of the file
 * @layout:    how new memory is formatted; NULL for not at all
 * @layout_force: so is a file that holds something else
 * @allowed:   who may join; nobody listed means whoever can open the socket
 * @allowed_count: entries of @allowed
 * @clients_per_user: slots that one user may have; 0 for all
 * @connects_per_second: how often one user may connect; 0 for any
 * @origin:    where it was defined, for messages: "FILE:LINE" or "--link NAME"
 * @seen:      bit per key that was set, to notice one that is set twice
 */
struct link_config {
	char name[LINK_NAME_LENGTH + 1];
	struct socket_config socket;
	uint64_t size;
	unsigned int peers;
	unsigned int vectors;
	enum memory_kind memory;
	char *numa;
	uint64_t huge_page;
	char *file;
	char *layout;
	bool layout_force;
	struct allowed_id *allowed;
	size_t allowed_count;
	unsigned int clients_per_user;
	unsigned int connects_per_second;
	char *origin;
	unsigned int seen;
};

/**
 * struct config - everything
 * @links:             the links, in the order of their definition
 * @link_count:        how many
 * @handshake_timeout: seconds without progress after which a client that does
 *                     not read its handshake is dropped
 * @control:           where to ask the server how things are; without a path
 *                     nowhere
 * @metrics_file:      absolute path of a file with metrics, or NULL
 * @seen:              bit per key of the server that was set, to notice one that
 *                     is set twice
 */
struct config {
	struct link_config *links;
	size_t link_count;
	unsigned int handshake_timeout;
	struct socket_config control;
	char *metrics_file;
	unsigned int seen;
};

/** config_init() - an empty configuration with the defaults. */
void config_init(struct config *config);

/** config_use_control() - have the usual control socket, unless it is set. */
int config_use_control(struct config *config, struct config_error *error);

/** config_free() - release what the configuration owns. */
void config_free(struct config *config);

/**
 * link_config_copy() - a copy that lives as long as its user wants
 * Return: the copy, for link_config_free(); NULL if there is no memory.
 */
struct link_config *link_config_copy(const struct link_config *link);

/** link_config_free() - release a copy; NULL is fine. */
void link_config_free(struct link_config *link);

/** link_config_replace() - put a copy, which is released, in place of @link. */
void link_config_replace(struct link_config *link, struct link_config *copy);

/**
 * config_add_link() - define a link with the default settings
 * @origin: where, for messages
 *
 * Return: the link, valid until the next one is added; NULL if the name is
 * malformed or taken.
 */
struct link_config *config_add_link(struct config *config, const char *name,
				    const char *origin,
				    struct config_error *error);

/**
 * config_set_link() - set one key of a link
 *
 * The one place where keys and values are understood, for the configuration
 * file and for the command line.
 *
 * Return: 0, or -1 with @error filled in.
 */
int config_set_link(struct link_config *link, const char *key,
		    const char *value, struct config_error *error);

/** config_set_server() - set one key of the whole server; like the above. */
int config_set_server(struct config *config, const char *key,
		      const char *value, struct config_error *error);

/**
 * config_parse_link_option() - the argument of --link
 * @text: NAME[,KEY=VALUE]...; a comma in a value is written twice
 */
int config_parse_link_option(struct config *config, const char *text,
			     struct config_error *error);

/**
 * config_parse_file() - read a configuration file and its drop-in folder
 *
 * After @path, the files *.conf in the folder @path.d, which need not exist, in
 * the order of their names (byte by byte).
 */
int config_parse_file(struct config *config, const char *path,
		      struct config_error *error);

/**
 * config_parse_default() - read the default file and its drop-in folder
 *
 * If there are files in the folder, the default file may be missing.
 */
int config_parse_default(struct config *config, struct config_error *error);

/**
 * config_check() - check what only shows once all keys are known
 *
 * Settings of a link that do not fit each other, two links with one socket or
 * one file, more memory than the machine has.
 */
int config_check(const struct config *config, struct config_error *error);

/**
 * config_check_pair() - check that two links share neither socket nor file
 * Return: 0, or -1 with @error filled in, which names both and blames @link.
 */
int config_check_pair(const struct link_config *link,
		      const struct link_config *other,
		      struct config_error *error);

/** config_find() - the link of that name, or NULL. */
struct link_config *config_find(const struct config *config, const char *name);

/** config_format_size() - a size in the largest unit that divides it. */
const char *config_format_size(uint64_t size, char buffer[32]);

#endif /* IVSHMEMD_CONFIG_H */
