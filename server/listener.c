/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A listening socket: its file, its lock, its permissions.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "log.h"

static int refuse(const struct listener *listener, const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		log_error("%s: its directory does not exist; create it, or "
			  "name another with %s=", path, listener->key);
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		log_error("%s: cannot write to its directory: %s; allow user "
			  "%u to, or name another with %s=", path,
			  strerror(error), geteuid(), listener->key);
		break;
	default:
		log_error("%s: %s", path, strerror(error));
	}
	return -1;
}

static int refuse_second(const struct listener *listener)
{
	char holder[16] = "";

	if (pread(listener->lock, holder, sizeof(holder) - 1, 0) <= 0)
		strcpy(holder, "unknown");
	holder[strcspn(holder, "\n")] = '\0';
	log_error("%s: another ivshmemd serves it (pid %s); stop that one, or "
		  "name another with %s=", listener->path, holder,
		  listener->key);
	return -1;
}

/* Whether @fd is still the file at @path, and not one that was removed. */
static bool is_file_at(int fd, const char *path)
{
	struct stat opened, named;

	return !fstat(fd, &opened) && !lstat(path, &named) &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

static bool is_identity(const struct listener *listener, int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_dev == listener->identity.st_dev &&
	       st.st_ino == listener->identity.st_ino;
}

static int write_holder(const struct listener *listener, const char *path)
{
	if (ftruncate(listener->lock, 0) ||
	    dprintf(listener->lock, "%d\n", getpid()) < 0)
		return refuse(listener, path, errno);
	return 0;
}

/*
 * The lock tells a socket that is served from one that was left behind.  It
 * lives as long as the process, however that ends.
 */
static int take_lock(struct listener *listener, const char *lock_path)
{
	for (;;) {
		listener->lock = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW |
				      O_NONBLOCK | O_CLOEXEC, 0600);
		if (listener->lock < 0)
			return refuse(listener, lock_path, errno);
		if (flock(listener->lock, LOCK_EX | LOCK_NB))
			return refuse_second(listener);
		/* Its last holder may have removed it in between. */
		if (is_file_at(listener->lock, lock_path))
			return write_holder(listener, lock_path);
		close(listener->lock);
	}
}

static void lock_path_of(const struct listener *listener, char **path)
{
	if (asprintf(path, "%s.lock", listener->path) < 0)
		*path = NULL;
}

static int lock(struct listener *listener)
{
	char *path;
	int result;

	lock_path_of(listener, &path);
	if (!path)
		return refuse(listener, listener->path, ENOMEM);
	result = take_lock(listener, path);
	free(path);
	return result;
}

static void make_address(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
}

/* 0 if nobody listens there, else why that is not known for sure. */
static int probe(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int error = 0;

	if (fd < 0)
		return errno;
	make_address(path, &address);
	/* A backlog that is full (EAGAIN) belongs to somebody, too. */
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    errno == EAGAIN)
		error = EADDRINUSE;
	else if (errno != ECONNREFUSED)
		error = errno;
	close(fd);
	return error;
}

/* A socket that was left behind goes, everything else stays. */
static int clear_path(const struct listener *listener)
{
	const char *path = listener->path;
	struct stat st;
	int error;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : refuse(listener, path, errno);
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s: is there and not a socket; remove it, or name "
			  "another with %s=", path, listener->key);
		return -1;
	}
	error = probe(path);
	if (error) {
		log_error("%s: another program may be listening on it: %s; "
			  "stop that one or remove the socket, or name "
			  "another with %s=", path, strerror(error),
			  listener->key);
		return -1;
	}
	if (unlink(path))
		return refuse(listener, path, errno);
	return 0;
}

static int refuse_owner(const struct listener *listener)
{
	log_error("%s: cannot give it to the user and group that are set for "
		  "it: %s; run as root or as a member of that group "
		  "(SupplementaryGroups= in the unit)", listener->path,
		  strerror(errno));
	return -1;
}

static int give_away(const struct listener *listener,
		     const struct socket_config *config)
{
	if (config->user == (uid_t)-1 && config->group == (gid_t)-1)
		return 0;
	return lchown(listener->path, config->user, config->group) ?
	       refuse_owner(listener) : 0;
}

/*
 * The file has its permissions from its first moment.  Nobody can connect
 * before listener_listen() anyway, so that changing its owner is not a race either.
 */
static int bind_socket(struct listener *listener,
		       const struct socket_config *config)
{
	struct sockaddr_un address;
	mode_t mask;
	int result;

	make_address(listener->path, &address);
	mask = umask(~config->mode & 0777);
	result = bind(listener->fd, (struct sockaddr *)&address,
		      sizeof(address));
	umask(mask);
	if (result)
		return refuse(listener, listener->path, errno);
	if (lstat(listener->path, &listener->identity))
		return refuse(listener, listener->path, errno);
	return give_away(listener, config);
}

static int listener_init(struct listener *listener, const char *key,
			 const char *path, int fd)
{
	memset(listener, 0, sizeof(*listener));
	listener->key = key;
	listener->lock = -1;
	listener->fd = fd;
	listener->path = strdup(path);
	return listener->path ? 0 : -1;
}

int listener_open(struct listener *listener, const struct socket_config *config)
{
	if (listener_init(listener, config->key, config->path, -1) ||
	    lock(listener))
		goto err_close;
	if (clear_path(listener))
		goto err_unlock;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
			      SOCK_NONBLOCK, 0);
	if (listener->fd < 0) {
		refuse(listener, listener->path, errno);
		goto err_unlock;
	}
	if (bind_socket(listener, config))
		goto err_unlock;
	return 0;

err_unlock:
	listener_stop(listener);
err_close:
	listener_close(listener);
	return -1;
}

int listener_listen(struct listener *listener)
{
	/* Again on a socket of systemd's, which sets the backlog only. */
	if (listen(listener->fd, SOMAXCONN))
		return refuse(listener, listener->path, errno);
	return 0;
}

int listener_adopt(struct listener *listener, const struct link_config *config,
		   int fd)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address) - 1;

	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		log_error("link %s: descriptor %d from the service manager is "
			  "no listening UNIX stream socket; use "
			  "ListenStream=/PATH in the socket unit",
			  config->name, fd);
		return -1;
	}
	if (getsockname(fd, (struct sockaddr *)&address, &length) ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ||
	    listener_init(listener, config->socket.key, address.sun_path, fd)) {
		log_error("link %s: %s", config->name, strerror(errno));
		return -1;
	}
	if (strcmp(listener->path, config->socket.path))
		log_warning("link %s: the service manager listens on %s, but "
			    "socket=%s; make them agree, --show-qemu and "
			    "--show-libvirt print the latter", config->name,
			    listener->path, config->socket.path);
	return 0;
}

/* By a descriptor, so that it is this file whatever happens to its name. */
static int open_file(const struct listener *listener)
{
	int fd = open(listener->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && is_identity(listener, fd))
		return fd;
	if (fd >= 0)
		close(fd);
	log_error("%s: the socket is not there any more; restart the server "
		  "to have it again", listener->path);
	return -1;
}

static int change_file(const struct listener *listener, int fd,
		       const struct socket_config *config)
{
	const struct stat *made = &listener->identity;
	uid_t user = config->user == (uid_t)-1 ? made->st_uid : config->user;
	gid_t group = config->group == (gid_t)-1 ? made->st_gid : config->group;
	char name[32];

	if (fchownat(fd, "", user, group, AT_EMPTY_PATH))
		return refuse_owner(listener);
	/* The descriptor is one that fchmod() does not take. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (!chmod(name, config->mode))
		return 0;
	log_error("%s: cannot change its mode: %s", listener->path,
		  strerror(errno));
	return -1;
}

int listener_set_permissions(struct listener *listener,
			     const struct socket_config *config)
{
	int result;
	int fd;

	if (listener->lock < 0)
		return 0;
	fd = open_file(listener);
	if (fd < 0)
		return -1;
	result = change_file(listener, fd, config);
	close(fd);
	return result;
}

static void remove_socket(const struct listener *listener)
{
	struct stat st;

	if (listener->identity.st_ino && !lstat(listener->path, &st) &&
	    st.st_dev == listener->identity.st_dev &&
	    st.st_ino == listener->identity.st_ino)
		unlink(listener->path);
}

void listener_stop(struct listener *listener)
{
	char *path;

	if (listener->lock < 0)
		return;
	remove_socket(listener);
	if (listener->fd >= 0)
		shutdown(listener->fd, SHUT_RD);
	lock_path_of(listener, &path);
	/* While the lock is held: afterwards it may be somebody else's. */
	if (path)
		unlink(path);
	free(path);
}

void listener_close(struct listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->lock >= 0)
		close(listener->lock);
	free(listener->path);
	listener->path = NULL;
	listener->fd = -1;
	listener->lock = -1;
}
