/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Looking Glass's client and the test of its module kvmfr ask of a device,
 * in their order, of ours with the module parameter kvmfr.
 */
#include "device.h"

/* As that module declares them. */
struct create {
	uint8_t flags;
	uint64_t offset;
	uint64_t size;
};

#define CLOEXEC 1
#define GETSIZE _IO('u', 0x44)
#define CREATE _IOW('u', 0x42, struct create)

static uint64_t page, memory;
static int fd;

static int create(uint64_t offset, uint64_t size, uint8_t flags)
{
	const struct create arg = { flags, offset, size };

	return ioctl(fd, CREATE, &arg);
}

/* The client: the size, then all of it by the device, then buffers of frames. */
static void test_client(void **state)
{
	uint64_t size, at, frame = 8 * page;
	unsigned char *all, *part;
	int buffer;

	(void)state;
	size = ioctl(fd, GETSIZE, 0);
	assert_int_equal(size, memory);
	all = device_map(fd, size, 0, PROT_READ | PROT_WRITE);
	for (at = 0; at < 4 * frame; at += frame) {
		buffer = create(at, frame, CLOEXEC);
		assert_true(buffer >= 0);
		assert_int_equal(fcntl(buffer, F_GETFD), FD_CLOEXEC);
		memset(all + at, at / frame + 1, frame);
		part = device_map(buffer, frame, 0, PROT_READ);
		assert_int_equal(part[0], at / frame + 1);
		assert_int_equal(part[frame - 1], at / frame + 1);
		munmap(part, frame);
		close(buffer);
	}
	munmap(all, size);
}

/* The module's test: offsets of the buffer, and within it. */
static void test_offsets(void **state)
{
	int whole = create(0, memory, CLOEXEC), part = create(page, 2 * page, 0);
	char *p;

	(void)state;
	assert_true(whole >= 0);
	assert_true(part >= 0);
	assert_int_equal(fcntl(part, F_GETFD), 0);
	p = device_map(whole, memory, 0, PROT_READ | PROT_WRITE);
	memset(p, 0xaa, memory);
	strcpy(p + page, "first page");
	strcpy(p + 2 * page, "second page");
	munmap(p, memory);

	p = device_map(whole, page, page, PROT_READ | PROT_WRITE);
	assert_string_equal(p, "first page");
	munmap(p, page);
	p = device_map(part, 2 * page, 0, PROT_READ | PROT_WRITE);
	assert_string_equal(p, "first page");
	munmap(p, 2 * page);
	p = device_map(part, page, page, PROT_READ | PROT_WRITE);
	assert_string_equal(p, "second page");
	munmap(p, page);
	p = device_map(fd, page, page, PROT_READ | PROT_WRITE);
	assert_string_equal(p, "first page");
	munmap(p, page);
	close(whole);
	close(part);
}

static void test_refused(void **state)
{
	(void)state;
	assert_fails(create(1, page, 0), EINVAL);
	assert_fails(create(0, page - 1, 0), EINVAL);
	assert_fails(create(0, 0, 0), EINVAL);
	assert_fails(create(0, memory + page, 0), EINVAL);
	assert_fails(create(memory, page, 0), EINVAL);
	assert_fails(create(-page, 2 * page, 0), EINVAL);
	assert_fails(create(0, page, 2), EINVAL);
	assert_fails(create(0, page, 0x81), EINVAL);
	assert_fails(ioctl(fd, CREATE, NULL), EFAULT);
	assert_fails(ioctl(fd, _IO('u', 0x43), 0), ENOTTY);
}

/* The buffer has the rights of the file, whatever that module gives. */
static void test_rights(void **state)
{
	const struct create arg = { 0, 0, page };
	int reader = device_open(O_RDONLY), writer = device_open(O_WRONLY);
	int buffer = ioctl(reader, CREATE, &arg);

	(void)state;
	assert_true(buffer >= 0);
	assert_int_equal(fcntl(buffer, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_fails(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  buffer, 0), EACCES);
	assert_fails(ioctl(writer, CREATE, &arg), EACCES);
	assert_int_equal(ioctl(reader, GETSIZE, 0), memory);
	close(buffer);
	close(reader);
	close(writer);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_rights),
	};

	device_setup(argc, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	fd = device_open(O_RDWR);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
