// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file or a block device as a disk: opens and checks it, finds out what it can do
 * without doing it harm.  What it does then is in file_io.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cache.h"
#include "file.h"
#include "log.h"

static const char *open_remedy(const struct export_config *config, int error)
{
	switch (error) {
	case ENOENT:
		return "; create it: truncate -s SIZE FILE";
	case EACCES:
	case EPERM:
	case EROFS:
		return config->read_only ?
			"; give this user the permission to read it" :
			"; give this user the permission to write it, or "
			"export it read-only";
	case EBUSY:
		return "; it is mounted, or used otherwise: end that";
	case ETXTBSY:
		return "; it is a program that runs, or swap space";
	default:
		return "";
	}
}

/* Opening a pipe would wait for its other end. */
static int check_kind(const struct disk *disk, const struct stat *st)
{
	const char *path = disk->config->file;

	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	log_error("%s: %s; give a file or a block device", path,
		  S_ISDIR(st->st_mode) ? "is a directory" :
		  "is neither a file nor a block device");
	return -1;
}

static int try_open(struct disk *disk, bool direct)
{
	int flags = O_CLOEXEC | (disk->config->read_only ? O_RDONLY : O_RDWR);

	if (direct)
		flags |= O_DIRECT;
	/* Nobody mounts it meanwhile; of several readers each may look. */
	if (disk->is_device && !disk->config->read_only)
		flags |= O_EXCL;
	disk->fd = open(disk->config->file, flags);
	disk->direct = direct;
	return disk->fd < 0 ? -errno : 0;
}

static int open_file(struct disk *disk)
{
	const struct export_config *config = disk->config;
	struct stat st;
	int ret;

	if (stat(config->file, &st)) {
		log_error("%s: %s%s", config->file, strerror(errno),
			  open_remedy(config, errno));
		return -1;
	}
	if (check_kind(disk, &st))
		return -1;
	disk->is_device = S_ISBLK(st.st_mode);
	ret = try_open(disk, config->direct != DIRECT_OFF);
	/* Its file system has nothing but its cache. */
	if (ret == -EINVAL && config->direct == DIRECT_AUTO)
		ret = try_open(disk, false);
	if (!ret)
		return 0;
	if (ret == -EINVAL && config->direct == DIRECT_ON)
		log_error("%s: its file system has no direct I/O; use "
			  "--direct=auto", config->file);
	else
		log_error("%s: cannot open it: %s%s", config->file,
			  strerror(-ret), open_remedy(config, -ret));
	return -1;
}

/* Its blocks are pages of memory. */
static bool is_in_memory(const struct disk *disk)
{
	struct statfs fs;

	return !disk->is_device && !fstatfs(disk->fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Another file may be there by now, and its size another by the next look. */
static int look(struct disk *disk)
{
	struct stat st;

	if (fstat(disk->fd, &st))
		return -errno;
	if (disk->is_device)
		return ioctl(disk->fd, BLKGETSIZE64, &disk->size) ? -errno : 0;
	disk->size = (uint64_t)st.st_size;
	return 0;
}

/* Bytes to which direct I/O is aligned in the file; 0 if it cannot be had. */
static uint32_t direct_alignment(const struct disk *disk)
{
	struct statx stx;

	if (statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return IVBLK_SECTOR;
	/* Front ends' buffers are aligned to sectors. */
	if (stx.stx_dio_mem_align > IVBLK_SECTOR ||
	    stx.stx_dio_offset_align > IVBLK_BLOCK_MAX)
		return 0;
	return stx.stx_dio_offset_align;
}

int file_no_direct(struct disk *disk, const char *why)
{
	int flags = fcntl(disk->fd, F_GETFL);

	if (disk->config->direct == DIRECT_ON) {
		log_error("%s: no direct I/O: %s; use --direct=auto",
			  disk->config->file, why);
		return -1;
	}
	if (fcntl(disk->fd, F_SETFL, flags & ~O_DIRECT)) {
		log_error("%s: %s", disk->config->file, strerror(errno));
		return -1;
	}
	log_info("%s: goes through the page cache: %s", disk->config->file,
		 why);
	disk->direct = false;
	return 0;
}

/* The least that the medium can do, and what it does best. */
static int measure_blocks(struct disk *disk, uint32_t *least)
{
	unsigned int physical = 0;
	int logical = 0;
	struct stat st;

	*least = IVBLK_SECTOR;
	if (disk->is_device) {
		if (ioctl(disk->fd, BLKSSZGET, &logical) ||
		    ioctl(disk->fd, BLKPBSZGET, &physical))
			return -errno;
		*least = (uint32_t)logical;
	} else {
		if (fstat(disk->fd, &st))
			return -errno;
		physical = (unsigned int)st.st_blksize;
	}
	if (!ivblk_is_power(physical, IVBLK_SECTOR, IVBLK_PHYSICAL_MAX))
		physical = IVBLK_BLOCK_MAX;
	disk->physical_block_size = physical;
	return 0;
}

static int choose_block_size(struct disk *disk)
{
	uint32_t wanted = disk->config->block_size;
	uint32_t least, direct;

	if (measure_blocks(disk, &least)) {
		log_error("%s: its block size: %s", disk->config->file,
			  strerror(errno));
		return -1;
	}
	direct = disk->direct ? direct_alignment(disk) : least;
	if ((!direct || (wanted && wanted < direct)) &&
	    file_no_direct(disk, "it needs a larger alignment"))
		return -1;
	if (disk->direct && direct > least)
		least = direct;
	if (wanted && wanted < least) {
		log_error("%s: block-size=%" PRIu32 ": its blocks have %" PRIu32
			  " bytes; use that, or more", disk->config->file,
			  wanted, least);
		return -1;
	}
	disk->block_size = wanted ? wanted : least;
	if (disk->physical_block_size < disk->block_size)
		disk->physical_block_size = disk->block_size;
	return 0;
}

static int check_size(struct disk *disk)
{
	const char *path = disk->config->file;

	if (look(disk)) {
		log_error("%s: its size: %s", path, strerror(errno));
		return -1;
	}
	if (!disk->size) {
		log_error("%s: is empty; give it a size: truncate -s SIZE %s",
			  path, path);
		return -1;
	}
	if (!(disk->size % disk->block_size))
		return 0;
	log_error("%s: its size of %" PRIu64 " bytes is no multiple of %" PRIu32
		  "; round it up: truncate -s %%%" PRIu32 " %s", path,
		  disk->size, disk->block_size, disk->block_size, path);
	return -1;
}

/* Of the disk, or of the disk that it is a partition of. */
static bool has_limit(const struct stat *st, const char *limit)
{
	static const char *const places[] = { "", "../" };
	unsigned long long bytes = 0;
	char path[128];
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s",
			 major(st->st_rdev), minor(st->st_rdev), places[i],
			 limit);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%llu", &bytes) != 1)
			bytes = 0;
		fclose(file);
		break;
	}
	return bytes;
}

/* Giving space up by fallocate() takes a device that reads as zeroes then. */
static bool device_punches(const struct disk *disk)
{
	struct stat st;

	return !fstat(disk->fd, &st) && has_limit(&st, "discard_max_bytes") &&
	       has_limit(&st, "write_zeroes_max_bytes");
}

/* Behind its end a file has nothing that could be lost. */
static bool file_punches(const struct disk *disk)
{
	return !fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)disk->size, disk->block_size);
}

static void find_features(struct disk *disk)
{
	bool punches;

	if (disk->config->read_only) {
		disk->features = IVBLK_READ_ONLY;
		return;
	}
	disk->features = IVBLK_FLUSH | IVBLK_FUA;
	punches = disk->is_device ? device_punches(disk) : file_punches(disk);
	if (punches && disk->config->discard)
		disk->features |= IVBLK_DISCARD;
	/* A device that cannot do it is written to by the kernel. */
	if (punches || disk->is_device)
		disk->features |= IVBLK_ZEROES;
}

static void file_close(struct disk *disk)
{
	close(disk->fd);
	disk->fd = -1;
}

static int file_open(struct disk *disk)
{
	if (open_file(disk))
		return -1;
	if (disk_lock(disk->fd, disk->config->file, disk->config->read_only) ||
	    choose_block_size(disk) || check_size(disk)) {
		file_close(disk);
		return -1;
	}
	disk->in_memory = is_in_memory(disk);
	disk->cache = cache_of_machine();
	find_features(disk);
	return 0;
}

/* Memory that belongs to a device is not to be had by the kernel. */
static int file_settle(struct disk *disk, void *buffer)
{
	ssize_t ret;

	if (!disk->direct)
		return 0;
	ret = pread(disk->fd, buffer, disk->block_size, 0);
	if (ret < 0 && (errno == EFAULT || errno == EINVAL))
		return file_no_direct(disk, errno == EFAULT ?
				      "the shared memory cannot be pinned" :
				      "it is not taken");
	return 0;
}

static int file_look(struct disk *disk)
{
	return look(disk);
}

const struct disk_ops file_ops = {
	.open = file_open,
	.settle = file_settle,
	.submit = file_submit,
	.look = file_look,
	.close = file_close,
};
