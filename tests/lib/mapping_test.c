// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem_map() and ivshmem_export_dmabuf(): ranges, rights, and what stays valid
 * for how long.
 */
#include "scripted_server.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct step handshake[] = { HANDSHAKE };

struct opened {
	struct scripted_server server;
	struct ivshmem *ivs;
};

static int set_up(void **state)
{
	static struct opened opened;

	SERVE(&opened.server, handshake);
	assert_int_equal(ivshmem_open(opened.server.address, 0, &opened.ivs),
			 0);
	performed(&opened.server);
	*state = &opened;
	return 0;
}

static int tear_down(void **state)
{
	struct opened *opened = *state;

	ivshmem_close(opened->ivs);
	stop_serving(&opened->server);
	return 0;
}

#define RW	(PROT_READ | PROT_WRITE)

static int map(struct opened *o, uint64_t offset, size_t length, int prot)
{
	void *memory = NULL;
	int ret;

	ret = ivshmem_map(o->ivs, offset, length, prot, &memory);
	if (!ret)
		ret = ivshmem_unmap(memory, length ? length :
				    MEMORY_SIZE - offset);
	return ret;
}

static void ranges_inside_can_be_mapped(void **state)
{
	struct opened *o = *state;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	assert_int_equal(map(o, 0, 0, RW), 0);
	assert_int_equal(map(o, 0, MEMORY_SIZE, PROT_READ), 0);
	assert_int_equal(map(o, MEMORY_SIZE - page, page, RW), 0);
	assert_int_equal(map(o, MEMORY_SIZE - page, 0, RW), 0);
	assert_int_equal(map(o, 0, 1, RW), 0);
}

static void ranges_outside_cannot(void **state)
{
	struct opened *o = *state;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	assert_int_equal(map(o, MEMORY_SIZE, 0, RW), -EINVAL);
	assert_int_equal(map(o, MEMORY_SIZE, page, RW), -EINVAL);
	assert_int_equal(map(o, 0, MEMORY_SIZE + 1, RW), -EINVAL);
	assert_int_equal(map(o, page, MEMORY_SIZE, RW), -EINVAL);
	assert_int_equal(map(o, page, SIZE_MAX, RW), -EINVAL);
	assert_int_equal(map(o, 1, page, RW), -EINVAL);
	assert_int_equal(map(o, 0 - page, page, RW), -EINVAL);
	assert_int_equal(map(o, 0 - page, 2 * page, RW), -EINVAL);
}

static void other_protections_are_refused(void **state)
{
	struct opened *o = *state;
	void *memory;

	assert_int_equal(map(o, 0, 0, PROT_NONE), -EINVAL);
	assert_int_equal(map(o, 0, 0, PROT_WRITE), -EINVAL);
	assert_int_equal(map(o, 0, 0, RW | PROT_EXEC), -EINVAL);
	assert_int_equal(ivshmem_map(o->ivs, 0, 0, RW, NULL), -EINVAL);
	assert_int_equal(ivshmem_map(NULL, 0, 0, RW, &memory), -EINVAL);
	assert_int_equal(ivshmem_unmap(NULL, 1), -EINVAL);
	assert_int_equal(ivshmem_unmap(o, 0), -EINVAL);
}

static void what_is_written_is_in_the_memory(void **state)
{
	struct opened *o = *state;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char text[6] = "";
	char *memory;

	assert_int_equal(ivshmem_map(o->ivs, page, page, RW,
				     (void **)&memory), 0);
	strcpy(memory + 10, "hello");
	assert_int_equal(pread(o->server.memory, text, 5, (off_t)page + 10), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(ivshmem_unmap(memory, page), 0);
}

static void a_mapping_outlives_its_handle(void **state)
{
	struct opened *o = *state;
	char *memory;

	assert_int_equal(ivshmem_map(o->ivs, 0, 0, RW, (void **)&memory), 0);
	ivshmem_close(o->ivs);
	o->ivs = NULL;
	memory[0] = 42;
	assert_int_equal(ivshmem_unmap(memory, MEMORY_SIZE), 0);
}

static void a_process_of_the_host_has_no_dmabufs(void **state)
{
	struct opened *o = *state;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	assert_int_equal(ivshmem_export_dmabuf(o->ivs, 0, page, RW),
			 -EOPNOTSUPP);
	assert_int_equal(ivshmem_export_dmabuf(NULL, 0, page, RW), -EINVAL);
	assert_int_equal(ivshmem_export_dmabuf(o->ivs, 1, page, RW), -EINVAL);
	assert_int_equal(ivshmem_export_dmabuf(o->ivs, 0, page + 1, RW),
			 -EINVAL);
	assert_int_equal(ivshmem_export_dmabuf(o->ivs, page, MEMORY_SIZE, RW),
			 -EINVAL);
	assert_int_equal(ivshmem_export_dmabuf(o->ivs, 0, page, PROT_WRITE),
			 -EINVAL);
}

#define OPENED(test)	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPENED(ranges_inside_can_be_mapped),
		OPENED(ranges_outside_cannot),
		OPENED(other_protections_are_refused),
		OPENED(what_is_written_is_in_the_memory),
		OPENED(a_mapping_outlives_its_handle),
		OPENED(a_process_of_the_host_has_no_dmabufs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
