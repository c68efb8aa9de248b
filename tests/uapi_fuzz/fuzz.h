/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random calls of the driver: what the files of the fuzzer share.
 *
 * A program is a list of calls.  All that a call does follows from its kind and its seed:
 * where it draws random numbers it draws those of the seed.  A call can have a twist, which
 * is another number in the place of the nth one: so one field of a structure is changed,
 * and the rest stays.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <liburing.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define CALLS_MAX	24	/* of a program */
#define KINDS_MAX	64
#define CORPUS_MAX	4096
#define THREADS_MAX	8	/* of a process */
#define PROCESSES_MAX	16
#define PCS_MAX		65536	/* a power of two */
#define NO_TWIST	UINT16_MAX
#define CLEANING	KINDS_MAX	/* instead of a kind: after a program */

#define PAGE		4096UL

struct call {
	uint16_t kind;
	uint16_t twist_at;
	uint64_t seed;
	uint64_t twist;
};

struct program {
	uint32_t length;
	struct call calls[CALLS_MAX];
};

/* Random numbers */
struct chance {
	uint64_t state;
	uint64_t twist;
	uint32_t drawn;
	uint32_t twist_at;
};

/**
 * struct station - a thread, as the parent sees it
 * @since:    ms of CLOCK_MONOTONIC at which its call began, or 0
 * @tid:      its id
 * @kind:     of that call, or CLEANING
 * @programs: how many it has begun; the next process at its place goes on with the next
 * @calls:    how many it has made
 */
struct station {
	_Atomic uint64_t since;
	_Atomic uint32_t tid;
	_Atomic uint32_t kind;
	_Atomic uint64_t programs;
	_Atomic uint64_t calls;
};

struct options {
	uint64_t seed;
	uint64_t calls;
	double seconds;
	unsigned int processes;
	unsigned int threads;
	unsigned int bound;
	bool unguided;
};

/**
 * struct shared - what all processes share
 * @options:  as given
 * @size:     of the first device's memory
 * @vectors:  of the first device
 * @sockets:  descriptors go from any process to any by these
 * @ending:   programs that are begun are the last
 * @tried:    calls of each kind
 * @worked:   those of them that did not fail
 * @raw:      PCs that were seen, by their low 32 bits; 0 is none
 * @pcs:      likewise, as places in our modules, wherever these are loaded
 * @nr_pcs:   how many
 * @nr_programs: how many of @corpus are taken; may exceed what there is
 * @complete: of each, whether it can be used
 * @corpus:   programs that have reached something new
 */
struct shared {
	struct options options;
	uint64_t size;
	uint32_t vectors;
	int sockets[2];
	_Atomic bool ending;
	struct station stations[PROCESSES_MAX][THREADS_MAX];
	_Atomic uint64_t tried[KINDS_MAX];
	_Atomic uint64_t worked[KINDS_MAX];
	_Atomic uint32_t raw[PCS_MAX];
	_Atomic uint32_t pcs[PCS_MAX];
	_Atomic uint32_t nr_pcs;
	_Atomic uint32_t nr_programs;
	_Atomic bool complete[CORPUS_MAX];
	struct program corpus[CORPUS_MAX];
};

/* What a descriptor is of */
enum sort {
	DEVICE,
	BUFFER,
	EVENTFD,
	SORTS
};

#define SLOTS	8	/* for descriptors of a sort, in a thread */
#define SPANS	4

struct span {
	char *start;
	size_t length;
};

/**
 * struct fuzzer - a thread
 * @shared:  with all
 * @station: its own
 * @mates:   the threads of its process, of whose files and memory it takes some
 * @chance:  random numbers of the current call
 * @files:   descriptors, or -1; mates use and close them, too
 * @arena:   address space for mappings, and nothing else
 * @spans:   the last mappings that were made there
 * @span:    which is the next to be replaced
 * @scratch: two pages that can be written, and behind them nothing
 * @frozen:  the same pages, where they can only be read
 * @epoll:   descriptor of epoll(7)
 * @memory:  /proc/self/mem
 * @timer:   raises SIGUSR1 again and again
 * @ring:    of io_uring(7), while @has_ring
 * @cover:   buffer of KCOV, or NULL
 * @is_child: it was forked by a call
 */
struct fuzzer {
	struct shared *shared;
	struct station *station;
	struct fuzzer *mates;
	struct chance chance;
	_Atomic int files[SORTS][SLOTS];
	char *arena;
	struct span spans[SPANS];
	unsigned int span;
	char *scratch;
	char *frozen;
	int epoll;
	int memory;
	void *timer;
	struct io_uring ring;
	bool has_ring;
	uint64_t *cover;
	bool is_child;
};

/**
 * struct kind - a kind of call
 * @name:   for people
 * @weight: how often it is chosen, beside others
 * @run:    makes it; negative, and errno, if it fails
 */
struct kind {
	const char *name;
	unsigned int weight;
	long (*run)(struct fuzzer *f);
};

/* chance.c */
uint64_t mix(uint64_t value);
void chance_start(struct chance *chance, uint64_t seed);
void chance_twist(struct chance *chance, const struct call *call);
uint64_t draw(struct chance *chance);
uint64_t below(struct chance *chance, uint64_t end);
bool one_in(struct chance *chance, uint64_t n);
uint64_t boundary(struct fuzzer *f);
void fill(struct chance *chance, void *data, size_t size);

/* call.c */
extern const struct kind kinds[];
extern const unsigned int nr_kinds;

/* file.c */
long call_open(struct fuzzer *f);
long call_close(struct fuzzer *f);
long call_dup(struct fuzzer *f);
long call_fcntl(struct fuzzer *f);
long call_read(struct fuzzer *f);
long call_write(struct fuzzer *f);
long call_seek(struct fuzzer *f);
long call_poll(struct fuzzer *f);
long call_epoll(struct fuzzer *f);
long call_splice(struct fuzzer *f);
long call_eventfd(struct fuzzer *f);
long call_send(struct fuzzer *f);
long call_receive(struct fuzzer *f);
long call_uring(struct fuzzer *f);
int file(struct fuzzer *f, enum sort which);
void keep(struct fuzzer *f, enum sort which, int fd);
void files_drop(struct fuzzer *f);

/* ioctl.c */
long call_info(struct fuzzer *f);
long call_subscribe(struct fuzzer *f);
long call_bind(struct fuzzer *f);
long call_ring(struct fuzzer *f);
long call_region(struct fuzzer *f);
long call_section(struct fuzzer *f);
long call_peer(struct fuzzer *f);
long call_format(struct fuzzer *f);
long call_export(struct fuzzer *f);
long call_kvmfr(struct fuzzer *f);
long call_buffer(struct fuzzer *f);
long call_unknown(struct fuzzer *f);

/* memory.c */
long call_mmap(struct fuzzer *f);
long call_munmap(struct fuzzer *f);
long call_mremap(struct fuzzer *f);
long call_mprotect(struct fuzzer *f);
long call_madvise(struct fuzzer *f);
long call_sync(struct fuzzer *f);
long call_touch(struct fuzzer *f);
long call_debug(struct fuzzer *f);
long call_copy(struct fuzzer *f);
long call_futex(struct fuzzer *f);
int arena_create(struct fuzzer *f, unsigned int number);
void arena_reset(struct fuzzer *f);
char *address(struct fuzzer *f, size_t *length);
void some_part(struct fuzzer *f, uint64_t *offset, uint64_t *length);
void *place(struct fuzzer *f, const void *data, size_t size);

/* attribute.c */
extern const char * const section_names[];
extern const unsigned int nr_section_names;
long call_attribute(struct fuzzer *f);

/* guard.c: code that may fault */
extern _Thread_local sigjmp_buf guard_return;
extern _Thread_local volatile sig_atomic_t guarded;
void guard_install(void);
bool guarded_copy(void *to, const void *from, size_t size);
#define GUARDED	(guarded = 1, !sigsetjmp(guard_return, 1))

/* process.c */
_Noreturn void process_run(struct shared *shared, unsigned int number);
long call_fork(struct fuzzer *f);
uint64_t now_ms(void);

/* cover.c */
void cover_start(struct fuzzer *f);
void cover_clear(struct fuzzer *f);
bool cover_take(struct fuzzer *f);

/* program.c */
void program_make(struct fuzzer *f, struct chance *chance, struct program *program);
void program_keep(struct shared *shared, const struct program *program);
void call_make(struct chance *chance, struct call *call);

#endif /* FUZZ_H */
