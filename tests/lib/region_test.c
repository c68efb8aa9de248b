// SPDX-License-Identifier: GPL-2.0-only
/*
 * The region on the host: how it is formatted, its sections, and formatting it.
 */
#include "scripted_server.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ivshmem/peer.h>

#define LAYOUT	"raw=lab:16K:vector=1,raw=data"

static const struct step handshake[] = { HANDSHAKE };
static const struct ivshmem_format_options three = { .slots = 3 };

struct opened {
	struct scripted_server server;
	struct ivshmem *ivs;
	uint8_t *memory;	/* as another peer maps it */
	struct ivregion_superblock *superblock;
};

static int set_up(void **state)
{
	static struct opened o;

	SERVE(&o.server, handshake);
	assert_int_equal(ivshmem_open(o.server.address, 0, &o.ivs), 0);
	performed(&o.server);
	o.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			o.server.memory, 0);
	assert_ptr_not_equal(o.memory, MAP_FAILED);
	o.superblock = (struct ivregion_superblock *)o.memory;
	*state = &o;
	return 0;
}

static int set_up_formatted(void **state)
{
	struct opened *o;

	set_up(state);
	o = *state;
	assert_int_equal(ivshmem_format(o->ivs, LAYOUT, &three, NULL, 0), 0);
	return 0;
}

static int tear_down(void **state)
{
	struct opened *o = *state;

	ivshmem_close(o->ivs);
	munmap(o->memory, MEMORY_SIZE);
	stop_serving(&o->server);
	return 0;
}

static struct ivshmem_region get(struct opened *o)
{
	struct ivshmem_region region;

	assert_int_equal(ivshmem_get_region(o->ivs, &region), 0);
	return region;
}

/* As another formatter would leave it. */
static void seal(struct opened *o)
{
	o->superblock->checksum = ivregion_checksum(o->superblock);
}

static void an_unformatted_region_has_nothing(void **state)
{
	struct opened *o = *state;
	struct ivshmem_section section;
	struct ivshmem_region region;
	struct ivshmem_peer peer;
	uint64_t changes = 0;

	region = get(o);
	assert_int_equal(region.state, IVSHMEM_UNFORMATTED);
	assert_string_equal(region.reason, "not formatted");
	assert_int_equal(region.error, 0);
	assert_int_equal(region.slots, 0);
	assert_int_equal(region.slot, LIBIVSHMEM_NO_SLOT);
	assert_int_equal(ivshmem_get_section(o->ivs, 0, &section), -ENOENT);
	assert_int_equal(ivshmem_find_section(o->ivs, "lab", &section),
			 -ENOENT);
	assert_int_equal(ivshmem_get_peer(o->ivs, 0, &peer), -ENOENT);
	assert_int_equal(ivshmem_wait_change(o->ivs, &changes, 0), 0);
	assert_int_equal(ivshmem_join(o->ivs, NULL), -ENODATA);
	assert_int_equal(ivshmem_leave(o->ivs), -ENOTCONN);
}

static void wrong_arguments_are_refused(void **state)
{
	static const struct ivshmem_format_options odd = { .flags = 4 };
	static const struct ivshmem_format_options erase = {
		.flags = IVSHMEM_ERASE,
	};
	struct opened *o = *state;
	struct ivshmem_section section = { 0 };
	struct ivshmem_region region;
	struct ivshmem_peer peer;
	uint64_t changes;
	void *addr;

	assert_int_equal(ivshmem_get_region(NULL, &region), -EINVAL);
	assert_int_equal(ivshmem_get_region(o->ivs, NULL), -EINVAL);
	assert_int_equal(ivshmem_get_section(NULL, 0, &section), -EINVAL);
	assert_int_equal(ivshmem_get_section(o->ivs, 0, NULL), -EINVAL);
	assert_int_equal(ivshmem_find_section(o->ivs, NULL, &section), -EINVAL);
	assert_int_equal(ivshmem_map_section(o->ivs, NULL, PROT_READ, &addr),
			 -EINVAL);
	assert_int_equal(ivshmem_map_section(o->ivs, &section, PROT_WRITE,
					     &addr), -EINVAL);
	assert_int_equal(ivshmem_get_peer(NULL, 0, &peer), -EINVAL);
	assert_int_equal(ivshmem_get_peer(o->ivs, 0, NULL), -EINVAL);
	assert_int_equal(ivshmem_wait_change(NULL, &changes, 0), -EINVAL);
	assert_int_equal(ivshmem_wait_change(o->ivs, NULL, 0), -EINVAL);
	assert_int_equal(ivshmem_join(NULL, NULL), -EINVAL);
	assert_int_equal(ivshmem_leave(NULL), -EINVAL);
	assert_int_equal(ivshmem_format(NULL, "auto", NULL, NULL, 0), -EINVAL);
	assert_int_equal(ivshmem_format(o->ivs, NULL, NULL, NULL, 0), -EINVAL);
	assert_int_equal(ivshmem_format(o->ivs, "auto", &odd, NULL, 0),
			 -EINVAL);
	assert_int_equal(ivshmem_format(o->ivs, "auto", &erase, NULL, 0),
			 -EINVAL);
}

static void a_formatted_region_tells_all(void **state)
{
	struct opened *o = *state;
	struct ivshmem_section lab, data;
	struct ivshmem_region region;

	region = get(o);
	assert_int_equal(region.state, IVSHMEM_ATTACHED);
	assert_string_equal(region.reason, "formatted");
	assert_int_equal(region.major, IVREGION_MAJOR);
	assert_int_equal(region.minor, IVREGION_MINOR);
	assert_int_equal(region.slots, 3);
	assert_int_equal(region.slot, 1);
	assert_int_equal(region.epoch, 0);
	assert_int_equal(region.sections, 2);
	assert_int_equal(region.instance, o->superblock->instance);
	assert_memory_equal(region.uuid, o->superblock->uuid, 16);

	assert_int_equal(ivshmem_get_section(o->ivs, 0, &lab), 0);
	assert_string_equal(lab.name, "lab");
	assert_int_equal(lab.index, 0);
	assert_int_equal(lab.type, IVSHMEM_RAW);
	assert_int_equal(lab.vector, 1);
	assert_int_equal(lab.queues, 1);
	assert_int_equal(lab.usable, 1);
	assert_int_equal(lab.offset, 5 * 4096);
	assert_int_equal(lab.size, 16384);
	assert_int_equal(ivshmem_find_section(o->ivs, "data", &data), 0);
	assert_int_equal(data.index, 1);
	assert_int_equal(data.offset, lab.offset + lab.size);
	assert_int_equal(data.offset + data.size, MEMORY_SIZE);
	assert_int_equal(ivshmem_get_section(o->ivs, 2, &lab), -ENOENT);
	assert_int_equal(ivshmem_get_section(o->ivs, ~0U, &lab), -ENOENT);
	assert_int_equal(ivshmem_find_section(o->ivs, "la", &lab), -ENOENT);
}

static void a_section_is_mapped_where_it_lies(void **state)
{
	struct opened *o = *state;
	struct ivshmem_section data, other;
	uint8_t *mapped;
	void *addr;

	assert_int_equal(ivshmem_find_section(o->ivs, "data", &data), 0);
	assert_int_equal(ivshmem_map_section(o->ivs, &data,
					     PROT_READ | PROT_WRITE, &addr),
			 0);
	mapped = addr;
	mapped[0] = 0x5a;
	mapped[data.size - 1] = 0xa5;
	assert_int_equal(o->memory[data.offset], 0x5a);
	assert_int_equal(o->memory[MEMORY_SIZE - 1], 0xa5);
	assert_int_equal(ivshmem_unmap(addr, data.size), 0);

	/* One of another format, or made up. */
	other = data;
	other.index = 7;
	assert_int_equal(ivshmem_map_section(o->ivs, &other, PROT_READ, &addr),
			 -ESTALE);
	other = data;
	other.size += 4096;
	assert_int_equal(ivshmem_map_section(o->ivs, &other, PROT_READ, &addr),
			 -ESTALE);
	assert_int_equal(ivshmem_format(o->ivs, "raw=data", &three, NULL, 0),
			 0);
	assert_int_equal(ivshmem_map_section(o->ivs, &data, PROT_READ, &addr),
			 -ESTALE);
}

static void what_is_wrong_is_refused_with_a_reason(void **state)
{
	struct opened *o = *state;
	struct ivshmem_section section;
	struct ivshmem_region region;
	uint64_t changes;

	changes = get(o).changes;
	o->superblock->section[1].queues = 99;
	seal(o);
	/* It was read before, and is another only with another instance. */
	assert_int_equal(get(o).state, IVSHMEM_ATTACHED);
	o->superblock->instance++;
	seal(o);
	region = get(o);
	assert_int_equal(region.state, IVSHMEM_REFUSED);
	assert_int_equal(region.error, IVREGION_BAD_QUEUES);
	assert_string_equal(region.reason,
			    ivregion_error_text(IVREGION_BAD_QUEUES));
	assert_int_equal(region.failed, 1);
	assert_int_equal(region.slots, 0);
	assert_int_equal(region.sections, 0);
	assert_int_equal(region.slot, LIBIVSHMEM_NO_SLOT);
	assert_true(region.changes > changes);
	assert_int_equal(ivshmem_get_section(o->ivs, 0, &section), -ENOENT);
	assert_int_equal(ivshmem_join(o->ivs, NULL), -EPROTO);

	o->superblock->major = 9;
	region = get(o);
	assert_int_equal(region.error, IVREGION_BAD_MAJOR);
	assert_int_equal(region.major, 9);

	o->superblock->major = IVREGION_MAJOR;
	o->superblock->section[1].queues = 1;
	seal(o);
	assert_int_equal(get(o).state, IVSHMEM_ATTACHED);
	assert_int_equal(get(o).error, 0);
}

/* Right, of the same instance, and gone again: others have never read it. */
static void what_was_there_for_a_moment_is_not_kept(void **state)
{
	struct opened *o = *state;
	struct ivregion_superblock right = *o->superblock;
	struct ivshmem_section section;
	struct ivshmem_region region;

	o->superblock->magic = 0;
	assert_int_equal(get(o).state, IVSHMEM_UNFORMATTED);
	o->superblock->section[0].pages = ivshmem_to_le32(2);
	seal(o);
	o->superblock->magic = ivshmem_to_le32(IVREGION_MAGIC);
	assert_int_equal(ivshmem_join(o->ivs, NULL), 0);
	assert_int_equal(ivshmem_find_section(o->ivs, "lab", &section), 0);
	assert_int_equal(section.size, 8 << 10);

	*o->superblock = right;
	region = get(o);
	assert_int_equal(region.state, IVSHMEM_ATTACHED);
	assert_int_equal(region.epoch, 0);
	assert_int_equal(ivshmem_find_section(o->ivs, "lab", &section), 0);
	assert_int_equal(section.size, 16 << 10);
}

static void an_unknown_feature_forbids_to_write(void **state)
{
	struct opened *o = *state;
	struct ivshmem_section section;
	struct ivshmem_region region;
	void *addr;

	o->superblock->ro_compat = 8;
	o->superblock->instance++;
	seal(o);
	region = get(o);
	assert_int_equal(region.state, IVSHMEM_ATTACHED);
	assert_int_equal(region.read_only, 1);
	assert_int_equal(region.ro_compat, 8);
	assert_int_equal(ivshmem_join(o->ivs, NULL), -EROFS);
	assert_int_equal(ivshmem_get_section(o->ivs, 0, &section), 0);
	assert_int_equal(ivshmem_map_section(o->ivs, &section,
					     PROT_READ | PROT_WRITE, &addr),
			 -EROFS);
	assert_int_equal(ivshmem_map_section(o->ivs, &section, PROT_READ,
					     &addr), 0);
	ivshmem_unmap(addr, section.size);
}

static void formatting_keeps_bytes_and_uuid(void **state)
{
	struct opened *o = *state;
	struct ivshmem_region before, after;

	before = get(o);
	memcpy(o->memory + MEMORY_SIZE - 8, "deadbeef", 8);
	/* Of a peer that is no more, and of the server. */
	o->memory[ivregion_peer_offset(2) + 4] = 1;
	assert_int_equal(ivshmem_format(o->ivs, "raw=one", NULL, NULL, 0), 0);
	after = get(o);
	assert_int_equal(after.sections, 1);
	assert_int_equal(after.slots, 3);
	assert_int_not_equal(after.instance, before.instance);
	assert_memory_equal(after.uuid, before.uuid, 16);
	assert_memory_equal(o->memory + MEMORY_SIZE - 8, "deadbeef", 8);
	assert_int_equal(o->memory[ivregion_peer_offset(2) + 4], 0);
}

static void as_many_slots_as_the_server_has_peers(void **state)
{
	struct opened *o = *state;

	assert_int_equal(ivshmem_format(o->ivs, "auto", NULL, NULL, 0), 0);
	assert_int_equal(get(o).slots, 3);
}

static void erasing_leaves_it_unformatted(void **state)
{
	static const struct ivshmem_format_options erase = {
		.flags = IVSHMEM_ERASE,
	};
	struct opened *o = *state;

	assert_int_equal(ivshmem_format(o->ivs, NULL, &erase, NULL, 0), 0);
	assert_int_equal(get(o).state, IVSHMEM_UNFORMATTED);
	assert_int_equal(o->superblock->magic, 0);
	/* Again does no harm. */
	assert_int_equal(ivshmem_format(o->ivs, NULL, &erase, NULL, 0), 0);
}

static void a_bad_description_changes_nothing(void **state)
{
	struct opened *o = *state;
	char error[256] = "old";

	assert_int_equal(ivshmem_format(o->ivs, "raw=a:1G", NULL, error,
					sizeof(error)), -ENOSPC);
	assert_true(strlen(error) > 10);
	assert_null(strchr(error, '\n'));
	assert_int_equal(ivshmem_format(o->ivs, "fish", NULL, error,
					sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "fish"));
	assert_int_equal(get(o).sections, 2);
	assert_int_equal(ivshmem_format(o->ivs, LAYOUT, &three, error,
					sizeof(error)), 0);
	assert_string_equal(error, "");
}

static void what_is_not_understood_is_not_overwritten(void **state)
{
	static const struct ivshmem_format_options force = {
		.flags = IVSHMEM_FORCE, .slots = 3,
	};
	struct opened *o = *state;
	char error[256];

	o->superblock->major = 2;
	o->superblock->instance++;
	assert_int_equal(ivshmem_format(o->ivs, LAYOUT, &three, error,
					sizeof(error)), -EBUSY);
	assert_non_null(strstr(error, "another major version"));
	assert_int_equal(o->superblock->major, 2);
	assert_int_equal(ivshmem_format(o->ivs, LAYOUT, &force, NULL, 0), 0);
	assert_int_equal(get(o).state, IVSHMEM_ATTACHED);
}

static void who_may_only_look_does_not_write(void **state)
{
	static const struct step again[] = { HANDSHAKE };
	struct opened *o = *state;
	struct scripted_server server;
	struct ivshmem_section section;
	struct ivshmem_region region;
	struct ivshmem *ivs;
	void *addr;

	(void)o;
	SERVE(&server, again);
	assert_int_equal(ivshmem_open(server.address, IVSHMEM_RDONLY, &ivs),
			 0);
	performed(&server);
	assert_int_equal(ivshmem_format(ivs, "auto", NULL, NULL, 0), -EBADF);
	/* Formatted by somebody else. */
	assert_int_equal(pwrite(server.memory, o->memory, MEMORY_SIZE, 0),
			 MEMORY_SIZE);
	assert_int_equal(ivshmem_get_region(ivs, &region), 0);
	assert_int_equal(region.state, IVSHMEM_ATTACHED);
	assert_int_equal(ivshmem_join(ivs, NULL), -EBADF);
	assert_int_equal(ivshmem_get_section(ivs, 0, &section), 0);
	assert_int_equal(ivshmem_map_section(ivs, &section,
					     PROT_READ | PROT_WRITE, &addr),
			 -EACCES);
	ivshmem_close(ivs);
	stop_serving(&server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define FORMATTED(name) \
	cmocka_unit_test_setup_teardown(name, set_up_formatted, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_unformatted_region_has_nothing),
		TEST(wrong_arguments_are_refused),
		TEST(as_many_slots_as_the_server_has_peers),
		FORMATTED(a_formatted_region_tells_all),
		FORMATTED(a_section_is_mapped_where_it_lies),
		FORMATTED(what_is_wrong_is_refused_with_a_reason),
		FORMATTED(what_was_there_for_a_moment_is_not_kept),
		FORMATTED(an_unknown_feature_forbids_to_write),
		FORMATTED(formatting_keeps_bytes_and_uuid),
		FORMATTED(erasing_leaves_it_unformatted),
		FORMATTED(a_bad_description_changes_nothing),
		FORMATTED(what_is_not_understood_is_not_overwritten),
		FORMATTED(who_may_only_look_does_not_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
