/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every combination of offset, length, protection, flags and access mode that
 * mmap(2) can be given, each with the answer that it must get.
 */
#include "device.h"

#include <sys/syscall.h>

/* Some machines' C libraries do not have it yet. */
#ifndef MAP_SYNC
#define MAP_SYNC 0x080000
#endif

#define STAMP 0x6976736800000000ULL

struct request {
	int mode;
	int flags;
	int prot;
	uint64_t offset;
	uint64_t length;
};

/* The errors of which one must come; none: the mapping must be made. */
struct verdict {
	unsigned int count;
	int errors[4];
};

struct named {
	const char *name;
	int value;
};

static const struct named modes[] = {
	{ "O_RDONLY", O_RDONLY }, { "O_RDWR", O_RDWR },
	{ "O_WRONLY", O_WRONLY },
};

static const struct named kinds[] = {
	{ "MAP_SHARED", MAP_SHARED },
	{ "MAP_SHARED_VALIDATE", MAP_SHARED_VALIDATE },
	{ "MAP_PRIVATE", MAP_PRIVATE },
	{ "MAP_SHARED|MAP_POPULATE", MAP_SHARED | MAP_POPULATE },
	{ "MAP_SHARED|MAP_NORESERVE", MAP_SHARED | MAP_NORESERVE },
	{ "MAP_PRIVATE|MAP_POPULATE", MAP_PRIVATE | MAP_POPULATE },
};

static const int protections[] = {
	PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_EXEC,
	PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
};

static uint64_t page, memory;
static uint64_t offsets[24], lengths[24];
static unsigned int n_offsets, n_lengths;
static unsigned long tried;
static int files[3];

static void list_offsets_and_lengths(void)
{
	const uint64_t o[] = {
		0, page, memory / 2, memory - page, memory, memory + page,
		2 * memory, 1, page - 1, page + 1, memory - 1, 1ULL << 32,
		(1ULL << 32) + page, 1ULL << 44, 1ULL << 62, 1ULL << 63,
		INT64_MAX & ~(page - 1), UINT64_MAX & ~(page - 1),
		-(2 * page), -memory,
	};
	const uint64_t l[] = {
		0, 1, page - 1, page, page + 1, memory / 2, memory - page,
		memory - 1, memory, memory + 1, memory + page, 2 * memory,
		1ULL << 32, 1ULL << 40, 1ULL << 63, INT64_MAX,
		UINT64_MAX & ~(page - 1), UINT64_MAX,
	};

	n_offsets = ARRAY_SIZE(o);
	n_lengths = ARRAY_SIZE(l);
	memcpy(offsets, o, sizeof(o));
	memcpy(lengths, l, sizeof(l));
}

static void add(struct verdict *v, int error)
{
	v->errors[v->count++] = error;
}

static struct verdict only(int error)
{
	return (struct verdict) { .count = 1, .errors = { error } };
}

/*
 * What the kernel itself refuses before it asks the driver comes first, in the
 * kernel's order.  Then the driver's rules: where several are broken at once,
 * any of their errors will do.
 */
static struct verdict judge(const struct request *r)
{
	struct verdict v = { 0 };
	uint64_t rounded = (r->length + page - 1) & ~(page - 1);

	if (r->offset % page || r->length == 0)
		return only(EINVAL);
	if (rounded == 0 || rounded > 1ULL << 47)
		return only(ENOMEM);
	if (r->offset + rounded < r->offset) {
		add(&v, EOVERFLOW);
		add(&v, EINVAL);
		return v;
	}
	if (r->mode == O_WRONLY)
		return only(EACCES);
	if ((r->flags & MAP_TYPE) != MAP_PRIVATE) {
		if (r->prot & PROT_WRITE && r->mode != O_RDWR)
			return only(EACCES);
	} else {
		add(&v, EINVAL);
		/* copies of so much are more than this machine can promise */
		if (r->prot & PROT_WRITE && rounded >= 1ULL << 32)
			add(&v, ENOMEM);
	}
	if (r->offset > memory || rounded > memory - r->offset)
		add(&v, EINVAL);
	if (r->prot & PROT_EXEC)
		add(&v, EPERM);
	return v;
}

static bool accepted(const struct verdict *v, int error)
{
	unsigned int i;

	for (i = 0; i < v->count; i++)
		if (v->errors[i] == error)
			return true;
	return false;
}

/* What a mapping shows at both ends is what lies there in the memory. */
static bool shows_the_memory(const struct request *r, const void *p)
{
	uint64_t last = (r->length - 1) & ~(page - 1);
	const volatile uint64_t *first_word = p;
	const volatile uint64_t *last_word = p + last;

	return *first_word == (STAMP | r->offset / page) &&
	       *last_word == (STAMP | (r->offset + last) / page);
}

static void describe(const struct request *r, const char *what)
{
	print_error("mmap(length %#lx, prot %d, flags %#x, offset %#lx): %s\n",
		    r->length, r->prot, r->flags, r->offset, what);
}

/* Returns whether the kernel did what it must. */
static bool check(const struct request *r, int fd)
{
	struct verdict v = judge(r);
	bool right = true;
	void *p;

	tried++;
	errno = 0;
	p = (void *)syscall(SYS_mmap, NULL, r->length, r->prot, r->flags, fd,
			    r->offset);
	if (p == MAP_FAILED) {
		right = accepted(&v, errno);
		if (!right) {
			describe(r, strerrorname_np(errno));
			print_error("\texpected: %s\n", v.count ?
				    strerrorname_np(v.errors[0]) : "success");
		}
		return right;
	}
	if (v.count) {
		describe(r, "success");
		print_error("\texpected: %s\n", strerrorname_np(v.errors[0]));
		right = false;
	} else if (r->prot & PROT_READ && !shows_the_memory(r, p)) {
		describe(r, "shows another part of the memory");
		right = false;
	}
	munmap(p, r->length);
	return right;
}

/* One access mode and one kind of mapping, all that is left in turn. */
static void test_combinations(void **state)
{
	unsigned int number = (uintptr_t)*state;
	const struct named *kind = &kinds[number % ARRAY_SIZE(kinds)];
	unsigned int mode = number / ARRAY_SIZE(kinds);
	unsigned int wrong = 0, o, l, p;
	struct request r;

	for (o = 0; o < n_offsets; o++) {
		for (l = 0; l < n_lengths; l++) {
			for (p = 0; p < ARRAY_SIZE(protections); p++) {
				r = (struct request) {
					modes[mode].value, kind->value,
					protections[p], offsets[o], lengths[l],
				};
				wrong += !check(&r, files[mode]);
			}
		}
	}
	if (wrong)
		fail_msg("%u wrong answers for %s, %s", wrong, kind->name,
			 modes[mode].name);
}

/* EOPNOTSUPP: this memory needs no MAP_SYNC, and knows no future flag. */
static void test_validated_flags(void **state)
{
	(void)state;
	assert_fails(mmap(NULL, page, PROT_READ | PROT_WRITE,
			  MAP_SHARED_VALIDATE | MAP_SYNC, files[1], 0),
		     EOPNOTSUPP);
	assert_fails(mmap(NULL, page, PROT_READ | PROT_WRITE,
			  MAP_SHARED_VALIDATE | 1 << 24, files[1], 0),
		     EOPNOTSUPP);
}

/* EINVAL: neither shared nor private. */
static void test_no_kind(void **state)
{
	(void)state;
	assert_fails(mmap(NULL, page, PROT_READ, 0, files[1], 0), EINVAL);
}

/* Every page can be mapped on its own, at its own offset. */
static void test_each_page(void **state)
{
	struct request r = { O_RDONLY, MAP_SHARED, PROT_READ, 0, page };

	(void)state;
	for (r.offset = 0; r.offset < memory; r.offset += page)
		assert_true(check(&r, files[0]));
	assert_false(judge(&r).count == 0);
	assert_true(check(&r, files[0]));
}

static int stamp_memory(void **state)
{
	int fd = device_open(O_RDWR);
	uint64_t offset;
	char *p;

	(void)state;
	p = device_map(fd, memory, 0, PROT_READ | PROT_WRITE);
	for (offset = 0; offset < memory; offset += page)
		*(volatile uint64_t *)(p + offset) = STAMP | offset / page;
	munmap(p, memory);
	close(fd);
	return 0;
}

#define COMBINATIONS (ARRAY_SIZE(modes) * ARRAY_SIZE(kinds))

int main(int argc, char **argv)
{
	struct CMUnitTest tests[COMBINATIONS + 3] = {
		cmocka_unit_test(test_validated_flags),
		cmocka_unit_test(test_no_kind),
		cmocka_unit_test(test_each_page),
	};
	char names[COMBINATIONS][64];
	unsigned int i;
	int failed;

	device_setup(argc, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	list_offsets_and_lengths();
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		files[i] = device_open(modes[i].value);

	for (i = 0; i < COMBINATIONS; i++) {
		snprintf(names[i], sizeof(names[i]), "test_combinations %s %s",
			 modes[i / ARRAY_SIZE(kinds)].name,
			 kinds[i % ARRAY_SIZE(kinds)].name);
		tests[3 + i] = (struct CMUnitTest) {
			.name = names[i],
			.test_func = test_combinations,
			.initial_state = (void *)(uintptr_t)i,
		};
	}
	failed = cmocka_run_group_tests(tests, stamp_memory, NULL);
	printf("# %lu calls of mmap\n", tried);
	return failed != 0;
}
