// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls on mappings.  Each thread has an arena for them, far below where the kernel puts
 * what it may put anywhere, so that nothing but mappings of calls is ever there.
 */
#include "fuzz.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ARENAS		0x100000000000UL
#define ARENA_SIZE	(32UL << 20)
#define ARENA_STEP	0x40000000UL
#define SCRATCH_SIZE	(2 * PAGE)

static char *arena_of(unsigned int number)
{
	return (char *)(uintptr_t)(ARENAS + number * ARENA_STEP);
}

static void *reserve(char *start, size_t size)
{
	return mmap(start, size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* -1 if there is no memory */
int arena_create(struct fuzzer *f, unsigned int number)
{
	int fd = memfd_create("scratch", MFD_CLOEXEC);

	f->arena = arena_of(number);
	/* Behind the scratch pages is nothing */
	f->scratch = f->arena + ARENA_SIZE + ARENA_STEP / 2;
	f->frozen = f->scratch + ARENA_STEP / 4;
	if (reserve(f->arena, ARENA_SIZE) == MAP_FAILED || fd < 0 ||
	    ftruncate(fd, SCRATCH_SIZE) ||
	    mmap(f->scratch, SCRATCH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 fd, 0) == MAP_FAILED ||
	    mmap(f->frozen, SCRATCH_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return -1;
	close(fd);
	return 0;
}

void arena_reset(struct fuzzer *f)
{
	memset(f->spans, 0, sizeof(f->spans));
	reserve(f->arena, ARENA_SIZE);
}

static bool is_inside(const struct fuzzer *f, const char *start)
{
	return start >= f->arena && start < f->arena + ARENA_SIZE;
}

static void remember(struct fuzzer *f, char *start, size_t length)
{
	f->spans[f->span++ % SPANS] = (struct span) { start, length };
}

/* Somewhere in the arena, and how much may be there: mostly where something is mapped */
char *address(struct fuzzer *f, size_t *length)
{
	struct chance *chance = &f->chance;
	struct fuzzer *owner = f;
	struct span span;
	size_t skip;

	if (one_in(chance, 8))
		owner = &f->mates[below(chance, f->shared->options.threads)];
	span = owner->spans[below(chance, SPANS)];
	if (!span.length || one_in(chance, 16)) {
		span.start = owner->arena + below(chance, ARENA_SIZE / PAGE) * PAGE;
		span.length = (1 + below(chance, 16)) * PAGE;
	}
	skip = one_in(chance, 2) ? 0 : below(chance, span.length / PAGE + 1) / 2 * PAGE;
	/* A mate may just have changed it */
	if (span.start + skip >= owner->arena + ARENA_SIZE)
		skip = 0;
	*length = span.length - skip;
	if (*length > (size_t)(owner->arena + ARENA_SIZE - span.start - skip))
		*length = owner->arena + ARENA_SIZE - span.start - skip;
	return span.start + skip;
}

/* Likewise, a part of it */
static char *part(struct fuzzer *f, size_t *length)
{
	char *start = address(f, length);

	if (one_in(&f->chance, 2))
		*length = (1 + below(&f->chance, *length / PAGE + 1)) / 2 * PAGE;
	if (one_in(&f->chance, 32))
		*length = below(&f->chance, 2 * PAGE);
	return start;
}

/* Where a call finds @size bytes, or can put them: mostly memory that is there */
void *place(struct fuzzer *f, const void *data, size_t size)
{
	static const uint64_t nowhere[] = {
		0, 1, PAGE - 4, 0x7fffffffeff8, 0x7ffffffff000, 0x800000000000,
		0xffff800000000000, 0xffffffff81000000, UINT64_MAX - 8, UINT64_MAX,
	};
	struct chance *chance = &f->chance;
	char *end = f->scratch + SCRATCH_SIZE, *start;
	size_t length;

	if (size > SCRATCH_SIZE)
		size = SCRATCH_SIZE;
	switch (below(chance, 32)) {
	case 0:
		return (void *)(uintptr_t)nowhere[below(chance, ARRAY_SIZE(nowhere))];
	case 1:
		/* Its end is not there */
		start = end - below(chance, size + 1);
		if (data)
			memcpy(start, data, end - start);
		return start;
	case 2:
		start = end - size;
		break;
	case 3:
		start = f->scratch + below(chance, SCRATCH_SIZE - size + 1);
		break;
	case 4:
		if (data)
			memcpy(f->scratch, data, size);
		return f->frozen;
	case 5:
	case 6:
	case 7:
		/* The shared memory itself, or what else is mapped */
		start = address(f, &length) + below(chance, 2) * (PAGE - 8);
		if (data)
			guarded_copy(start, data, size);
		return start;
	default:
		start = f->scratch;
		break;
	}
	if (data)
		memcpy(start, data, size);
	return start;
}

/* What the kernel has put elsewhere comes into the arena, or goes */
static long settle(struct fuzzer *f, char *start, size_t length)
{
	char *target = f->arena + below(&f->chance, ARENA_SIZE / PAGE) * PAGE;

	if (length > (size_t)(f->arena + ARENA_SIZE - target))
		target = f->arena;
	if (length > ARENA_SIZE ||
	    mremap(start, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
		munmap(start, length);
		return 0;
	}
	remember(f, target, length);
	return 0;
}

static const int protections[] = {
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, PROT_READ, PROT_READ, PROT_WRITE, PROT_NONE,
	PROT_READ | PROT_EXEC, PROT_EXEC,
};

static int some_protection(struct fuzzer *f)
{
	return protections[below(&f->chance, ARRAY_SIZE(protections))];
}

/* A part of what a file shows, nearly always of whole pages */
void some_part(struct fuzzer *f, uint64_t *offset, uint64_t *length)
{
	struct chance *chance = &f->chance;
	uint64_t pages = f->shared->size / PAGE, first = 0, room = pages;

	/* Sections are smaller */
	if (one_in(chance, 2))
		room = pages < 16 ? pages : 16;
	if (one_in(chance, 2))
		first = below(chance, one_in(chance, 2) ? pages : room);
	if (room > pages - first)
		room = pages - first;
	*offset = first * PAGE;
	*length = (1 + below(chance, room)) * PAGE;
	if (one_in(chance, 16))
		*offset = boundary(f) & ~(one_in(chance, 2) ? 0 : PAGE - 1);
	if (one_in(chance, 16))
		*length = boundary(f);
}

static int some_flags(struct fuzzer *f)
{
	static const int more[] = { MAP_POPULATE, MAP_LOCKED, MAP_NORESERVE, MAP_GROWSDOWN,
				    MAP_HUGETLB, MAP_SYNC, MAP_NONBLOCK, MAP_STACK };
	static const int types[] = { MAP_PRIVATE, MAP_SHARED_VALIDATE, 0 };
	struct chance *chance = &f->chance;
	int flags = MAP_SHARED;

	if (one_in(chance, 8))
		flags = types[below(chance, ARRAY_SIZE(types))];
	if (one_in(chance, 4))
		flags |= more[below(chance, ARRAY_SIZE(more))];
	return flags;
}

long call_mmap(struct fuzzer *f)
{
	struct chance *chance = &f->chance;
	uint64_t offset, length;
	size_t room = 0;
	int fd = file(f, one_in(chance, 4) ? BUFFER : DEVICE), flags = some_flags(f);
	char *start = NULL, *got;

	some_part(f, &offset, &length);
	if (!one_in(chance, 8)) {
		start = one_in(chance, 2) ? address(f, &room) : f->arena +
			below(chance, ARENA_SIZE / PAGE / 2) * PAGE;
		/* Over what is there, or where the kernel finds room if something is */
		if (!one_in(chance, 8))
			flags |= MAP_FIXED;
	}
	if ((flags & MAP_FIXED) && is_inside(f, start) &&
	    length > (size_t)(f->arena + ARENA_SIZE - start))
		length = f->arena + ARENA_SIZE - start;
	/* The arena of a mate */
	if ((flags & MAP_FIXED) && !is_inside(f, start) && length > room)
		length = room;
	got = mmap(start, length, some_protection(f), flags, fd, (off_t)offset);
	if (got == MAP_FAILED)
		return -1;
	if (!(flags & MAP_FIXED) && !is_inside(f, got))
		return settle(f, got, length);
	if (is_inside(f, got))
		remember(f, got, length);
	return 0;
}

long call_munmap(struct fuzzer *f)
{
	size_t length;
	char *start = part(f, &length);

	return munmap(start, length);
}

long call_mremap(struct fuzzer *f)
{
	static const int more[] = { 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
				    MREMAP_MAYMOVE | MREMAP_DONTUNMAP };
	struct chance *chance = &f->chance;
	size_t length, new_length, room;
	char *start = part(f, &length), *target = address(f, &room), *got;
	int flags = more[below(chance, ARRAY_SIZE(more))];

	new_length = one_in(chance, 2) ? length : (1 + below(chance, 2 * length / PAGE + 1)) * PAGE;
	if (new_length > room)
		new_length = room;
	/* Of a shared mapping: another one */
	if (one_in(chance, 16))
		length = 0;
	got = mremap(start, length, new_length, flags, target);
	if (got == MAP_FAILED)
		return -1;
	if ((uintptr_t)got >= (uintptr_t)arena_of(PROCESSES_MAX * THREADS_MAX))
		return settle(f, got, new_length);
	if (is_inside(f, got))
		remember(f, got, new_length);
	return 0;
}

long call_mprotect(struct fuzzer *f)
{
	size_t length;
	char *start = part(f, &length);

	return mprotect(start, length, some_protection(f));
}

/* Not those that call memory broken */
long call_madvise(struct fuzzer *f)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
		MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_DODUMP, MADV_WIPEONFORK, MADV_COLD, MADV_PAGEOUT, 22, 23, 25,
	};
	size_t length;
	char *start = part(f, &length);

	return madvise(start, length, advice[below(&f->chance, ARRAY_SIZE(advice))]);
}

long call_sync(struct fuzzer *f)
{
	unsigned char found[ARENA_SIZE / PAGE];
	size_t length;
	char *start = part(f, &length);

	switch (below(&f->chance, 5)) {
	case 0:
		return mincore(start, length, found);
	case 1:
		return mlock(start, length);
	case 2:
		return munlock(start, length);
	case 3:
		return syscall(SYS_remap_file_pages, start, length, 0,
			       below(&f->chance, 16), 0);
	default:
		return msync(start, length, (int)below(&f->chance, 8));
	}
}

/* Pages here and there are read, or written, too */
long call_touch(struct fuzzer *f)
{
	bool write = one_in(&f->chance, 2);
	size_t length, step, at;
	volatile char *start = address(f, &length);
	volatile long touched = 0;

	step = PAGE << below(&f->chance, 8);
	if (GUARDED) {
		for (at = 0; at < length; at += step) {
			if (write)
				start[at] = (char)at;
			else
				(void)start[at];
			touched++;
		}
	}
	guarded = 0;
	if (touched)
		return touched;
	errno = EFAULT;
	return -1;
}

/* As a debugger does */
long call_debug(struct fuzzer *f)
{
	char data[256] = { 0 };
	size_t length;
	char *start = address(f, &length);
	off_t at = (off_t)(uintptr_t)start + (one_in(&f->chance, 2) ? (off_t)PAGE - 8 : 0);

	if (one_in(&f->chance, 2))
		return pread(f->memory, data, sizeof(data), at);
	/* Not beyond the arena */
	return pwrite(f->memory, data, one_in(&f->chance, 2) ? sizeof(data) : 8,
		      (off_t)(uintptr_t)start);
}

long call_copy(struct fuzzer *f)
{
	size_t length;
	struct iovec there = { .iov_base = address(f, &length), .iov_len = PAGE };
	struct iovec here = { .iov_base = f->scratch, .iov_len = PAGE };

	if (one_in(&f->chance, 2))
		return process_vm_writev(getpid(), &here, 1, &there, 1, 0);
	return process_vm_readv(getpid(), &here, 1, &there, 1, 0);
}

/* Waits for a word of the shared memory that is not there, so not at all */
long call_futex(struct fuzzer *f)
{
	size_t length;
	char *start = address(f, &length);

	if (one_in(&f->chance, 2))
		return syscall(SYS_futex, start, FUTEX_WAKE, 1, NULL, NULL, 0);
	return syscall(SYS_futex, start, FUTEX_WAIT, 0xffffffff, NULL, NULL, 0);
}
