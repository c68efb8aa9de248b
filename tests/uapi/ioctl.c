/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The argument structures of every ioctl: their sizes, their reserved bytes,
 * bad pointers, and commands that do not exist.
 */
#include "device.h"

#include <sys/eventfd.h>

/* A command, and how to make a valid argument of it. */
struct command {
	const char *name;
	unsigned long number;
	size_t size;
	int open_flags;
	void (*fill)(void *argument);
	/* what a valid argument gets of an unformatted region */
	int answer;
	/* the bytes that must be zero: flags, reserved */
	struct { size_t start, end; } reserved[2];
};

/* In the order of their numbers. */
enum { INFO, SUBSCRIBE, EVENTFD, RING, REGION, SECTION, PEER, FORMAT, DMABUF };

static int some_eventfd;

static void fill_info(void *argument)
{
	struct ivshmem_ioc_info *info = argument;

	info->size = sizeof(*info);
}

static void fill_subscribe(void *argument)
{
	struct ivshmem_ioc_subscribe *subscribe = argument;

	subscribe->size = sizeof(*subscribe);
	subscribe->vectors[0] = 1;
}

static void fill_eventfd(void *argument)
{
	struct ivshmem_ioc_eventfd *bind = argument;

	bind->size = sizeof(*bind);
	bind->vector = 0;
	bind->fd = some_eventfd;
}

/* A doorbell to a peer that does not exist disturbs nobody. */
static void fill_ring(void *argument)
{
	struct ivshmem_ioc_ring *ring = argument;

	ring->size = sizeof(*ring);
	ring->peer = IVSHMEM_MAX_PEERS - 1;
	ring->vector = 0;
}

static void fill_region(void *argument)
{
	struct ivshmem_ioc_region *region = argument;

	region->size = sizeof(*region);
}

static void fill_section(void *argument)
{
	struct ivshmem_ioc_section *section = argument;

	section->size = sizeof(*section);
}

static void fill_peer(void *argument)
{
	struct ivshmem_ioc_peer *peer = argument;

	peer->size = sizeof(*peer);
}

/* An unformatted region stays so. */
static void fill_format(void *argument)
{
	struct ivshmem_ioc_format *format = argument;

	format->size = sizeof(*format);
	format->flags = IVSHMEM_FORMAT_ERASE;
}

/* More than the file may do, so that there is no descriptor to close. */
static void fill_dmabuf(void *argument)
{
	struct ivshmem_ioc_dmabuf *dmabuf = argument;

	dmabuf->size = sizeof(*dmabuf);
	dmabuf->open_flags = O_RDWR;
	dmabuf->length = 4096;
}

#define FIELD(type, field)						\
	{ offsetof(struct type, field),					\
	  offsetof(struct type, field) + sizeof(((struct type *)0)->field) }

/* The layout is the same for every kernel and every program, 32 bits or 64. */
_Static_assert(sizeof(struct ivshmem_ioc_info) == 40, "info");
_Static_assert(sizeof(struct ivshmem_ioc_subscribe) == 40, "subscribe");
_Static_assert(sizeof(struct ivshmem_ioc_eventfd) == 16, "eventfd");
_Static_assert(sizeof(struct ivshmem_ioc_ring) == 16, "ring");
_Static_assert(sizeof(struct ivshmem_ioc_region) == 88, "region");
_Static_assert(sizeof(struct ivshmem_ioc_section) == 88, "section");
_Static_assert(sizeof(struct ivshmem_ioc_peer) == 88, "peer");
_Static_assert(sizeof(struct ivshmem_ioc_format) == 24, "format");
_Static_assert(sizeof(struct ivshmem_ioc_dmabuf) == 32, "dmabuf");
_Static_assert(sizeof(struct ivshmem_event_record) == 16, "event record");

static const struct command commands[] = {
	[INFO] = { "IVSHMEM_IOC_INFO", IVSHMEM_IOC_INFO,
	  sizeof(struct ivshmem_ioc_info), O_RDONLY, fill_info, 0,
	  { FIELD(ivshmem_ioc_info, flags),
	    FIELD(ivshmem_ioc_info, reserved) } },
	[SUBSCRIBE] = { "IVSHMEM_IOC_SUBSCRIBE", IVSHMEM_IOC_SUBSCRIBE,
	  sizeof(struct ivshmem_ioc_subscribe), O_RDONLY, fill_subscribe, 0,
	  { FIELD(ivshmem_ioc_subscribe, flags) } },
	[EVENTFD] = { "IVSHMEM_IOC_EVENTFD", IVSHMEM_IOC_EVENTFD,
	  sizeof(struct ivshmem_ioc_eventfd), O_RDONLY, fill_eventfd, 0,
	  { FIELD(ivshmem_ioc_eventfd, flags) } },
	[RING] = { "IVSHMEM_IOC_RING", IVSHMEM_IOC_RING,
	  sizeof(struct ivshmem_ioc_ring), O_RDWR, fill_ring, 0,
	  { FIELD(ivshmem_ioc_ring, flags) } },
	[REGION] = { "IVSHMEM_IOC_REGION", IVSHMEM_IOC_REGION,
	  sizeof(struct ivshmem_ioc_region), O_RDONLY, fill_region, 0,
	  { FIELD(ivshmem_ioc_region, flags) } },
	[SECTION] = { "IVSHMEM_IOC_SECTION", IVSHMEM_IOC_SECTION,
	  sizeof(struct ivshmem_ioc_section), O_RDONLY, fill_section, ENOENT,
	  { FIELD(ivshmem_ioc_section, flags) } },
	[PEER] = { "IVSHMEM_IOC_PEER", IVSHMEM_IOC_PEER,
	  sizeof(struct ivshmem_ioc_peer), O_RDONLY, fill_peer, ENOENT,
	  { FIELD(ivshmem_ioc_peer, flags),
	    FIELD(ivshmem_ioc_peer, reserved) } },
	/* the lowest byte of the flags has some that are known */
	[FORMAT] = { "IVSHMEM_IOC_FORMAT", IVSHMEM_IOC_FORMAT,
	  sizeof(struct ivshmem_ioc_format), O_RDWR, fill_format, 0,
	  { { 5, 8 }, { offsetof(struct ivshmem_ioc_format, error),
			sizeof(struct ivshmem_ioc_format) } } },
	[DMABUF] = { "IVSHMEM_IOC_DMABUF", IVSHMEM_IOC_DMABUF,
	  sizeof(struct ivshmem_ioc_dmabuf), O_RDONLY, fill_dmabuf, EACCES,
	  { FIELD(ivshmem_ioc_dmabuf, flags),
	    FIELD(ivshmem_ioc_dmabuf, reserved) } },
};

/* Large enough for the largest size that a test claims. */
#define ARGUMENT_ROOM (2 * 65536)
static union {
	uint32_t size;
	unsigned char bytes[ARGUMENT_ROOM];
} argument;

static unsigned long page_size;

/* A valid argument of @size bytes, zero beyond what is known today. */
static void fill_argument(const struct command *c, uint32_t size)
{
	memset(&argument, 0, sizeof(argument));
	c->fill(&argument);
	argument.size = size;
}

static void expect_failure(const struct command *c, int fd, int expected,
			   const char *what, unsigned long value)
{
	int result = ioctl(fd, c->number, &argument);

	if (result == -1 && errno == expected)
		return;
	fail_msg("%s: %s %lu: returned %d (%s), expected %s", c->name, what,
		 value, result, result < 0 ? strerrorname_np(errno) : "ok",
		 strerrorname_np(expected));
}

/* The argument is accepted, whatever comes of it. */
static void expect_success(const struct command *c, int fd, const char *what,
			   unsigned long value)
{
	if (c->answer)
		expect_failure(c, fd, c->answer, what, value);
	else if (ioctl(fd, c->number, &argument))
		fail_msg("%s: %s %lu: %s", c->name, what, value,
			 strerrorname_np(errno));
}

/* EINVAL (size too small). */
static void test_size_too_small(void **state)
{
	const struct command *c = *state;
	int fd = device_open(c->open_flags);
	uint32_t size;

	for (size = 0; size < c->size; size++) {
		fill_argument(c, size);
		expect_failure(c, fd, EINVAL, "size", size);
	}
	close(fd);
}

/*
 * A kernel accepts a longer (newer) structure if all that it does not know is
 * zero.
 */
static void test_zero_tail(void **state)
{
	const struct command *c = *state;
	int fd = device_open(c->open_flags);
	uint32_t size;

	for (size = c->size; size <= page_size; size++) {
		fill_argument(c, size);
		expect_success(c, fd, "size", size);
	}
	close(fd);
}

/* E2BIG (unknown fields in use): each byte of the tail in turn. */
static void test_dirty_tail(void **state)
{
	const struct command *c = *state;
	const uint32_t sizes[] = { c->size + 1, c->size + 4, c->size + 7,
				   c->size + 8, 64, 100, 256, 1000, page_size };
	int fd = device_open(c->open_flags);
	unsigned int i;
	size_t at;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (at = c->size; at < sizes[i]; at++) {
			fill_argument(c, sizes[i]);
			argument.bytes[at] = at & 1 ? 0x80 : 1;
			expect_failure(c, fd, E2BIG, "dirty byte", at);
		}
	}
	close(fd);
}

/* Bytes behind the claimed size belong to somebody else. */
static void test_beyond_the_size(void **state)
{
	const struct command *c = *state;
	int fd = device_open(c->open_flags);

	memset(&argument, 0xff, sizeof(argument));
	memset(&argument, 0, c->size);
	c->fill(&argument);
	argument.size = c->size;
	expect_success(c, fd, "dirty byte", c->size);
	assert_int_equal(argument.bytes[c->size], 0xff);
	close(fd);
}

/* E2BIG (size beyond a page), whatever the tail holds. */
static void test_size_beyond_page(void **state)
{
	const struct command *c = *state;
	const uint32_t sizes[] = { page_size + 1, page_size + 8, 2 * page_size,
				   65536, 65537, ARGUMENT_ROOM, 0x7fffffff,
				   0x80000000, UINT32_MAX - 7, UINT32_MAX };
	int fd = device_open(c->open_flags);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill_argument(c, sizes[i]);
		expect_failure(c, fd, E2BIG, "size", sizes[i]);
	}
	close(fd);
}

/* EINVAL (unknown flag, reserved field not zero): each bit of each byte. */
static void test_reserved_bytes(void **state)
{
	const struct command *c = *state;
	int fd = device_open(c->open_flags);
	unsigned int i, bit;
	size_t at;

	for (i = 0; i < ARRAY_SIZE(c->reserved); i++) {
		for (at = c->reserved[i].start; at < c->reserved[i].end; at++) {
			for (bit = 0; bit < 8; bit++) {
				fill_argument(c, c->size);
				argument.bytes[at] = 1U << bit;
				expect_failure(c, fd, EINVAL, "dirty byte", at);
			}
		}
	}
	close(fd);
}

/* EFAULT: pointers that are nobody's. */
static void test_wild_pointers(void **state)
{
	const struct command *c = *state;
	static const uintptr_t pointers[] = {
		0, 1, 8, 0xffffffff81000000, 0xffff888000000000,
		0x8000000000000000, 0x7ffffffff000, UINTPTR_MAX - 7,
		UINTPTR_MAX,
	};
	int fd = device_open(c->open_flags);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pointers); i++)
		assert_fails(ioctl(fd, c->number, (void *)pointers[i]), EFAULT);
	close(fd);
}

/* EFAULT: the structure runs out of the last mapped page, at every byte. */
static void test_half_mapped(void **state)
{
	const struct command *c = *state;
	int fd = device_open(c->open_flags);
	unsigned char *pages, *at;
	size_t mapped;

	pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(munmap(pages + page_size, page_size), 0);

	fill_argument(c, c->size);
	for (mapped = 0; mapped < c->size; mapped++) {
		at = pages + page_size - mapped;
		memcpy(at, &argument, mapped);
		assert_fails(ioctl(fd, c->number, at), EFAULT);
	}
	at = pages + page_size - c->size;
	memcpy(at, &argument, c->size);
	if (c->answer)
		assert_fails(ioctl(fd, c->number, at), c->answer);
	else
		assert_int_equal(ioctl(fd, c->number, at), 0);

	munmap(pages, page_size);
	close(fd);
}

/* EFAULT: IVSHMEM_IOC_INFO cannot answer into read-only memory. */
static void test_info_into_read_only_memory(void **state)
{
	int fd = device_open(O_RDONLY);
	struct ivshmem_ioc_info *info;

	(void)state;
	info = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(info, MAP_FAILED);
	info->size = sizeof(*info);
	assert_int_equal(mprotect(info, page_size, PROT_READ), 0);
	assert_fails(ioctl(fd, IVSHMEM_IOC_INFO, info), EFAULT);
	munmap(info, page_size);
	close(fd);
}

/* @size out: the bytes that the kernel filled in; flags and reserved are 0. */
static void test_info_answer(void **state)
{
	const struct command *c = &commands[INFO];
	struct ivshmem_ioc_info info;
	int fd = device_open(O_RDONLY);
	unsigned int i;

	(void)state;
	assert_int_equal(device_info(fd, &info), 0);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.reserved, 0);

	/* what the caller knows beyond today's structure is left alone */
	fill_argument(c, 200);
	expect_success(c, fd, "size", 200);
	assert_int_equal(argument.size, sizeof(info));
	assert_memory_equal(&argument, &info, sizeof(info));
	for (i = sizeof(info); i < 200; i++)
		assert_int_equal(argument.bytes[i], 0);

	/* an answer is a valid question */
	assert_int_equal(ioctl(fd, IVSHMEM_IOC_INFO, &info), 0);
	assert_memory_equal(&argument, &info, sizeof(info));
	close(fd);
}

/* The facts fit together: sizes, ranges, and features. */
static void test_info_facts(void **state)
{
	const struct ivshmem_ioc_info *info = &device_facts;

	(void)state;
	assert_true(info->memory_size >= page_size);
	assert_true((info->memory_size & (info->memory_size - 1)) == 0);
	assert_true(info->vectors <= IVSHMEM_MAX_VECTORS);
	assert_true(info->peer_id < IVSHMEM_MAX_PEERS);
	assert_true(info->cache_mode <= IVSHMEM_CACHE_UC);
	assert_true(info->revision <= 1);
	assert_int_equal(info->features & ~IVSHMEM_FEATURE_DOORBELL, 0);
	if (info->features & IVSHMEM_FEATURE_DOORBELL) {
		assert_true(info->vectors >= 1);
	} else {
		assert_int_equal(info->vectors, 0);
		assert_int_equal(info->peer_id, 0);
	}
}

/* ENOTTY (unknown command): every other number of the magic. */
static void test_unknown_numbers(void **state)
{
	int fd = device_open(O_RDWR);
	unsigned int nr, i;
	unsigned long number;

	(void)state;
	for (nr = 0; nr < 256; nr++) {
		number = _IO(IVSHMEM_IOC_MAGIC, nr);
		fill_argument(&commands[INFO], sizeof(struct ivshmem_ioc_info));
		for (i = 0; i < ARRAY_SIZE(commands); i++) {
			if (commands[i].number == number)
				break;
		}
		if (i == ARRAY_SIZE(commands))
			assert_fails(ioctl(fd, number, &argument), ENOTTY);
	}
	close(fd);
}

/* ENOTTY: a known number with a direction or a size is another command. */
static void test_known_numbers_in_other_dress(void **state)
{
	int fd = device_open(O_RDWR);
	unsigned int i, direction;
	unsigned long number;
	size_t size;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		for (direction = 0; direction < 4; direction++) {
			size = direction ? commands[i].size : 4;
			number = _IOC(direction, IVSHMEM_IOC_MAGIC, i, size);
			fill_argument(&commands[i], commands[i].size);
			assert_fails(ioctl(fd, number, &argument), ENOTTY);
		}
	}
	close(fd);
}

/* ENOTTY: every other magic.  0 is the VFS's own (FIGETBSZ). */
static void test_other_magics(void **state)
{
	int fd = device_open(O_RDWR);
	unsigned int magic, nr;

	(void)state;
	fill_argument(&commands[INFO], sizeof(struct ivshmem_ioc_info));
	for (magic = 1; magic < 256; magic++) {
		if (magic == IVSHMEM_IOC_MAGIC)
			continue;
		for (nr = 0; nr < ARRAY_SIZE(commands); nr++)
			assert_fails(ioctl(fd, _IO(magic, nr), &argument),
				     ENOTTY);
	}
	close(fd);
}

/* There is no read or write of the memory itself, nor a file position. */
static void test_no_file_position(void **state)
{
	static const off_t offsets[] = { 0, 1, 4096, 1L << 40, INT64_MAX, -1,
					 INT64_MIN };
	int fd = device_open(O_RDWR | O_NONBLOCK);
	char buffer[64] = { 0 };
	unsigned int i;
	ssize_t n;

	(void)state;
	assert_fails(write(fd, buffer, sizeof(buffer)), EINVAL);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		n = pwrite(fd, buffer, sizeof(buffer), offsets[i]);
		assert_true(n == -1);
		n = pread(fd, buffer, sizeof(buffer), offsets[i]);
		assert_true(n == -1);
		if (offsets[i] < 0)
			assert_int_equal(errno, EINVAL);
		else
			assert_true(errno == ESPIPE || errno == EAGAIN ||
				    errno == EOPNOTSUPP);
	}
	close(fd);
}

#define PER_COMMAND(test, c)						\
	{ #test " " #c, test, NULL, NULL, (void *)&commands[c] }

/* All tests of any command, for one */
#define ALL_TESTS(c)							\
	PER_COMMAND(test_size_too_small, c),				\
	PER_COMMAND(test_zero_tail, c),					\
	PER_COMMAND(test_dirty_tail, c),				\
	PER_COMMAND(test_beyond_the_size, c),				\
	PER_COMMAND(test_size_beyond_page, c),				\
	PER_COMMAND(test_reserved_bytes, c),				\
	PER_COMMAND(test_wild_pointers, c),				\
	PER_COMMAND(test_half_mapped, c)

static const struct CMUnitTest doorbell_tests[] = {
	ALL_TESTS(SUBSCRIBE),
	ALL_TESTS(EVENTFD),
	ALL_TESTS(RING),
};

static const struct CMUnitTest tests[] = {
	ALL_TESTS(INFO),
	ALL_TESTS(REGION),
	ALL_TESTS(SECTION),
	ALL_TESTS(PEER),
	ALL_TESTS(FORMAT),
	ALL_TESTS(DMABUF),
	cmocka_unit_test(test_info_into_read_only_memory),
	cmocka_unit_test(test_info_answer),
	cmocka_unit_test(test_info_facts),
	cmocka_unit_test(test_unknown_numbers),
	cmocka_unit_test(test_known_numbers_in_other_dress),
	cmocka_unit_test(test_other_magics),
	cmocka_unit_test(test_no_file_position),
};

int main(int argc, char **argv)
{
	int failed;

	device_setup(argc, argv);
	page_size = sysconf(_SC_PAGESIZE);
	some_eventfd = eventfd(0, EFD_CLOEXEC);

	failed = cmocka_run_group_tests_name("any device", tests, NULL, NULL);
	if (device_facts.features & IVSHMEM_FEATURE_DOORBELL)
		failed += cmocka_run_group_tests_name("doorbell device",
						      doorbell_tests, NULL,
						      NULL);
	return failed != 0;
}
