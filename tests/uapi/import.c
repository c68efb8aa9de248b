/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drivers that import a dma-buf of the memory: one that may, for a device which
 * then reads and writes it by DMA; and those that must not.
 */
#include "buffer.h"

#include <drm.h>

static uint64_t page, memory;
static int fd;

static int imported(int buffer, unsigned long dir)
{
	int importer = importer_open();

	assert_int_equal(ioctl(importer, IMPORT_ATTACH, buffer), 0);
	assert_int_equal(ioctl(importer, IMPORT_MAP, dir), 0);
	return importer;
}

/* The device reads what programs have written, and the other way round. */
static void test_dma(void **state)
{
	const uint64_t starts[] = { 0, page, memory / 2, memory - 2 * page };
	char *all = device_map(fd, memory, 0, PROT_READ | PROT_WRITE);
	int importer, buffer;
	char bytes[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		buffer = buffer_make(fd, starts[i], 2 * page, O_RDWR);
		importer = imported(buffer, IMPORT_BIDIRECTIONAL);
		close(buffer);
		memset(all + starts[i], 'a' + i, 2 * page);
		memcpy(all + starts[i] + page - 8, "by the program", 15);
		assert_int_equal(importer_read(importer, page - 8, bytes, 15),
				 0);
		assert_string_equal(bytes, "by the program");

		assert_int_equal(importer_write(importer, 2 * page - 14,
						"by the device", 14), 0);
		assert_string_equal(all + starts[i] + 2 * page - 14,
				    "by the device");
		assert_int_equal(all[starts[i] + 2 * page - 15], 'a' + i);
		assert_int_equal(ioctl(importer, IMPORT_TOLD), 0);
		close(importer);
	}
	munmap(all, memory);
}

/* EACCES: of a read-only buffer devices read, and do nothing else. */
static void test_read_only(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDONLY);
	int importer = importer_open();
	char bytes[8];

	(void)state;
	assert_int_equal(ioctl(importer, IMPORT_ATTACH, buffer), 0);
	assert_fails(ioctl(importer, IMPORT_MAP, IMPORT_BIDIRECTIONAL), EACCES);
	assert_fails(ioctl(importer, IMPORT_MAP, IMPORT_FROM_DEVICE), EACCES);
	assert_int_equal(ioctl(importer, IMPORT_MAP, IMPORT_TO_DEVICE), 0);
	assert_int_equal(importer_read(importer, 0, bytes, sizeof(bytes)), 0);
	close(importer);
	close(buffer);
}

/* EOPNOTSUPP: an importer that looks for pages, or that cannot be told. */
static void test_importer_that_cannot_be_told(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR);
	int importer = importer_open();

	(void)state;
	assert_fails(ioctl(importer, IMPORT_ATTACH_STATIC, buffer), EOPNOTSUPP);
	close(importer);
	close(buffer);
}

/* EINVAL: no address in the kernel, since nobody could take it back. */
static void test_no_kernel_address(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR);
	int importer = imported(buffer, IMPORT_BIDIRECTIONAL);

	(void)state;
	assert_fails(ioctl(importer, IMPORT_VMAP), EINVAL);
	close(importer);
	close(buffer);
}

/* A driver of the kernel of that kind: PRIME import by vgem. */
static void test_prime(void **state)
{
	struct drm_prime_handle prime = {
		.fd = buffer_make(fd, 0, page, O_RDWR),
	};
	int drm = vgem_open();

	(void)state;
	assert_fails(ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime),
		     EOPNOTSUPP);
	close(prime.fd);
	close(drm);
}

/* Several devices, or one several times, use one buffer. */
static void test_imported_twice(void **state)
{
	int buffer = buffer_make(fd, page, page, O_RDWR);
	int first = imported(buffer, IMPORT_BIDIRECTIONAL);
	int second = imported(buffer, IMPORT_TO_DEVICE);
	char bytes[8];

	(void)state;
	close(buffer);
	assert_int_equal(importer_write(first, 0, "twice", 6), 0);
	close(first);
	assert_int_equal(importer_read(second, 0, bytes, 6), 0);
	assert_string_equal(bytes, "twice");
	close(second);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_importer_that_cannot_be_told),
		cmocka_unit_test(test_no_kernel_address),
		cmocka_unit_test(test_prime),
		cmocka_unit_test(test_imported_twice),
	};

	device_setup(argc, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	fd = device_open(O_RDWR);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
