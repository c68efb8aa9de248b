/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dma-buf is the part of the memory that it was made of, for whoever has its
 * descriptor, with the rights that it was made with.
 *
 * DIRECT in the environment names a block device, to read and write directly.
 */
#include "buffer.h"

#include <libivshmem.h>
#include <liburing.h>
#include <linux/dma-buf.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define NOBODY 65534

static uint64_t page, memory;
static int fd;

static void *map(int buffer, size_t length, off_t offset, int prot)
{
	return device_map(buffer, length, offset, prot);
}

/* What the node shows and what the buffer shows is one memory. */
static void test_same_memory(void **state)
{
	volatile uint64_t *all = map(fd, memory, 0, PROT_READ | PROT_WRITE);
	const uint64_t starts[] = { 0, page, memory / 2, memory - 2 * page };
	volatile uint64_t *part;
	unsigned int i, word;
	int buffer;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		buffer = buffer_make(fd, starts[i], 2 * page, O_RDWR);
		part = map(buffer, 2 * page, 0, PROT_READ | PROT_WRITE);
		for (word = 0; word < 2 * page / 8; word++)
			all[starts[i] / 8 + word] = starts[i] + word;
		for (word = 0; word < 2 * page / 8; word++)
			assert_int_equal(part[word], starts[i] + word);
		part[page / 8 + 1] = 77;
		assert_int_equal(all[(starts[i] + page) / 8 + 1], 77);
		munmap((void *)part, 2 * page);
		close(buffer);
	}
	munmap((void *)all, memory);
}

/* All of it: large pages, faults all over. */
static void test_whole_memory(void **state)
{
	int buffer = buffer_make(fd, 0, memory, O_RDWR);
	volatile uint64_t *all = map(fd, memory, 0, PROT_READ | PROT_WRITE);
	volatile uint64_t *same = map(buffer, memory, 0, PROT_READ);
	uint64_t at;

	(void)state;
	for (at = 0; at < memory; at += page)
		all[at / 8] = ~at;
	for (at = 0; at < memory; at += page)
		assert_int_equal(same[at / 8], ~at);
	munmap((void *)all, memory);
	munmap((void *)same, memory);
	close(buffer);
}

/* Offsets of mmap(2) count within the buffer, which has an end. */
static void test_parts_of_a_buffer(void **state)
{
	int buffer = buffer_make(fd, page, 2 * page, O_RDWR);
	volatile uint64_t *all = map(fd, 4 * page, 0, PROT_READ | PROT_WRITE);
	volatile uint64_t *part = map(buffer, page, page, PROT_READ);

	(void)state;
	all[2 * page / 8] = 2222;
	assert_int_equal(part[0], 2222);
	assert_int_equal(lseek(buffer, 0, SEEK_END), 2 * page);
	assert_fails(mmap(NULL, 3 * page, PROT_READ, MAP_SHARED, buffer, 0),
		     EINVAL);
	assert_fails(mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, buffer, page),
		     EINVAL);
	assert_fails(mmap(NULL, page, PROT_READ, MAP_SHARED, buffer, 2 * page),
		     EINVAL);
	assert_ptr_equal(mremap((void *)part, page, 2 * page, MREMAP_MAYMOVE),
			 MAP_FAILED);
	munmap((void *)part, page);
	munmap((void *)all, 4 * page);
	close(buffer);
}

/* Never private, never executable. */
static void test_kinds_of_mapping(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR);
	void *p;

	(void)state;
	assert_fails(mmap(NULL, page, PROT_READ, MAP_PRIVATE, buffer, 0),
		     EINVAL);
	assert_fails(mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED,
			  buffer, 0), EPERM);
	p = map(buffer, page, 0, PROT_READ);
	assert_fails(mprotect(p, page, PROT_READ | PROT_EXEC), EACCES);
	munmap(p, page);
	close(buffer);
}

/* O_RDONLY: a mapping that is not writable, and does not become so. */
static void test_read_only_buffer(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDONLY);
	char *p;

	(void)state;
	assert_int_equal(fcntl(buffer, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_fails(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  buffer, 0), EACCES);
	p = map(buffer, page, 0, PROT_READ);
	assert_int_equal(touch(p, false), 0);
	assert_int_equal(touch(p, true), SIGSEGV);
	assert_fails(mprotect(p, page, PROT_READ | PROT_WRITE), EACCES);
	munmap(p, page);
	close(buffer);
}

/* EACCES (file not open for reading, or O_RDWR and not open for writing). */
static void test_rights_of_the_file(void **state)
{
	int reader = device_open(O_RDONLY), writer = device_open(O_WRONLY);

	(void)state;
	assert_fails(buffer_export(reader, 0, page, O_RDWR), EACCES);
	assert_fails(buffer_export(writer, 0, page, O_RDWR), EACCES);
	assert_fails(buffer_export(writer, 0, page, O_RDONLY), EACCES);
	close(buffer_make(reader, 0, page, O_RDONLY));
	close(reader);
	close(writer);
}

/* EINVAL: not whole pages, nothing, or not within the memory. */
static void test_refused_ranges(void **state)
{
	const struct { uint64_t offset, length; } ranges[] = {
		{ 0, 0 }, { page, 0 }, { memory, 0 }, { 0, 1 },
		{ 0, page - 1 }, { 0, page + 1 }, { 1, page },
		{ page - 1, page }, { page + 512, page }, { 512, page - 512 },
		{ 0, memory + page }, { page, memory }, { memory, page },
		{ memory - page, 2 * page }, { memory + page, page },
		{ 0, 2 * memory }, { 1ULL << 32, page }, { 1ULL << 44, page },
		{ 0, 1ULL << 32 }, { 0, 1ULL << 63 }, { 1ULL << 63, page },
		{ 1ULL << 63, 1ULL << 63 }, { 0, -page }, { -page, page },
		{ -page, 2 * page }, { page, -page }, { UINT64_MAX, page },
		{ 0, UINT64_MAX },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		assert_fails(buffer_export(fd, ranges[i].offset,
					   ranges[i].length, O_RDWR), EINVAL);
}

/* EINVAL: anything but O_RDONLY or O_RDWR, and O_CLOEXEC. */
static void test_refused_open_flags(void **state)
{
	unsigned int bit;

	(void)state;
	assert_fails(buffer_export(fd, 0, page, O_WRONLY), EINVAL);
	assert_fails(buffer_export(fd, 0, page, O_WRONLY | O_RDWR), EINVAL);
	for (bit = 2; bit < 32; bit++) {
		if (1U << bit != O_CLOEXEC)
			assert_fails(buffer_export(fd, 0, page,
						   O_RDWR | 1U << bit),
				     EINVAL);
	}
}

static void test_close_on_exec(void **state)
{
	int stays = buffer_export(fd, 0, page, O_RDWR);
	int closes = buffer_export(fd, 0, page, O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(stays >= 0);
	assert_true(closes >= 0);
	assert_int_equal(fcntl(stays, F_GETFD), 0);
	assert_int_equal(fcntl(closes, F_GETFD), FD_CLOEXEC);
	close(stays);
	close(closes);
}

/* EMFILE; and nothing is left of it. */
static void test_no_descriptor_left(void **state)
{
	struct rlimit before, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_fails(buffer_export(fd, 0, page, O_RDWR), EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(buffer_make(fd, 0, page, O_RDWR));
}

/* The buffer needs neither the file nor, once mapped, its descriptor. */
static void test_outlives_the_file(void **state)
{
	int own = device_open(O_RDWR);
	int buffer = buffer_make(own, 0, page, O_RDWR);
	char *p;

	(void)state;
	close(own);
	p = map(buffer, page, 0, PROT_READ | PROT_WRITE);
	close(buffer);
	assert_int_equal(touch(p, true), 0);
	munmap(p, page);
}

/* fork(2) and dup(2): descriptors and mappings are as good as the first. */
static void test_fork_and_dup(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR), copy = dup(buffer);
	volatile uint64_t *p = map(buffer, page, 0, PROT_READ | PROT_WRITE);
	volatile uint64_t *own;
	pid_t child;
	int status;

	(void)state;
	close(buffer);
	p[0] = 5;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		own = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			   copy, 0);
		if (own == MAP_FAILED || own[0] != 5 || p[0] != 5)
			_exit(1);
		own[1] = 6;
		p[2] = 7;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(p[1], 6);
	assert_int_equal(p[2], 7);
	munmap((void *)p, page);
	close(copy);
}

static void send_descriptor(int socket, int descriptor)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
	assert_int_equal(sendmsg(socket, &message, 0), 1);
}

static int receive_descriptor(int socket)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	int descriptor;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return descriptor;
}

/* A process that has never had the device, nor may: 0 if all is as it must. */
static int use_as_stranger(int socket)
{
	volatile uint64_t *p;
	int got;

	if (setresuid(NOBODY, NOBODY, NOBODY))
		return 1;
	got = receive_descriptor(socket);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, got, 0);
	if (p == MAP_FAILED || p[0] != 88)
		return 2;
	if (mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, got, 0) !=
	    MAP_FAILED || errno != EACCES)
		return 3;
	/* it shows one page, and no more */
	if (mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, got, 0) != MAP_FAILED)
		return 4;
	return 0;
}

/* SCM_RIGHTS: whoever gets the descriptor has the part, as it was made. */
static void test_passed_to_another_process(void **state)
{
	volatile uint64_t *all = map(fd, memory, 0, PROT_READ | PROT_WRITE);
	int ends[2], status, buffer;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(use_as_stranger(ends[1]));
	all[page / 8] = 88;
	buffer = buffer_make(fd, page, page, O_RDONLY);
	send_descriptor(ends[0], buffer);
	/* on its way it is held by nobody but the socket */
	close(buffer);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
	munmap((void *)all, memory);
}

/* The memory is coherent: nothing to wait for. */
static void test_sync(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR);
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };

	(void)state;
	assert_int_equal(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync), 0);
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	assert_int_equal(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync), 0);
	close(buffer);
}

/* The memory has no struct page: what pins pages fails with EFAULT. */
static void expect_no_pages(char *p)
{
	const char *path = getenv("DIRECT");
	struct iovec iov = { p, page };
	struct io_uring ring;
	char *buffer;
	int direct;

	assert_non_null(path);
	direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	assert_true(direct >= 0);
	assert_fails(pread(direct, p, page, 0), EFAULT);
	assert_fails(pwrite(direct, p, page, 0), EFAULT);
	/* it is not the file's fault */
	buffer = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(buffer, MAP_FAILED);
	assert_int_equal(pwrite(direct, buffer, page, 0), page);
	assert_int_equal(pread(direct, buffer, page, 0), page);
	munmap(buffer, page);
	close(direct);

	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(io_uring_register_buffers(&ring, &iov, 1), -EFAULT);
	io_uring_queue_exit(&ring);
}

/* The same file, but through the page cache: 0, or an error */
static int uring_read(int file, char *p)
{
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int result;

	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	io_uring_prep_read(io_uring_get_sqe(&ring), file, p, page, 0);
	assert_int_equal(io_uring_submit(&ring), 1);
	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	result = cqe->res;
	io_uring_queue_exit(&ring);
	return result;
}

/* What copies works; so does a buffer of one's own in between. */
static void expect_copies(char *p)
{
	int file = open(getenv("DIRECT"), O_RDWR | O_CLOEXEC);

	assert_true(file >= 0);
	memset(p, 'x', page);
	assert_int_equal(pwrite(file, p, page, 0), page);
	memset(p, 0, page);
	assert_int_equal(pread(file, p, page, 0), page);
	assert_int_equal(p[page - 1], 'x');
	memset(p, 0, page);
	assert_int_equal(uring_read(file, p), page);
	assert_int_equal(p[page - 1], 'x');
	close(file);
}

static void test_direct_io(void **state)
{
	int buffer = buffer_make(fd, 0, page, O_RDWR);
	int sources[] = { fd, buffer };
	unsigned int i;
	char *p;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		p = map(sources[i], page, 0, PROT_READ | PROT_WRITE);
		assert_int_equal(touch(p, true), 0);
		expect_no_pages(p);
		expect_copies(p);
		munmap(p, page);
	}
	close(buffer);
}

/* A debugger sees what the buffer's mapping shows, and no byte more. */
static void test_debugger(void **state)
{
	int debugger = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int buffer = buffer_make(fd, page, page, O_RDONLY);
	char *all = map(fd, 3 * page, 0, PROT_READ | PROT_WRITE);
	char *p = map(buffer, page, 0, PROT_READ), byte;

	(void)state;
	assert_true(debugger >= 0);
	all[page] = 'b';
	assert_int_equal(pread(debugger, &byte, 1, (uintptr_t)p), 1);
	assert_int_equal(byte, 'b');
	assert_int_equal(pwrite(debugger, "c", 1, (uintptr_t)p), -1);
	assert_int_equal(all[page], 'b');
	munmap(p, page);
	munmap(all, 3 * page);
	close(buffer);
	close(debugger);
}

/* As many as there are descriptors, of the same part or of others. */
static void test_many_buffers(void **state)
{
	int buffers[900];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(buffers); i++)
		buffers[i] = buffer_make(fd, i % (memory / page) * page, page,
					 O_RDWR);
	for (i = 0; i < ARRAY_SIZE(buffers); i++)
		assert_int_equal(close(buffers[i]), 0);
}

/* EUSERS (4096 parts are exported already); one that is closed makes room. */
static void test_too_many_buffers(void **state)
{
	const struct rlimit many = { .rlim_cur = 8192, .rlim_max = 8192 };
	static int buffers[4097];
	unsigned int i, made = 0;
	struct rlimit before;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
	while (made < ARRAY_SIZE(buffers)) {
		buffers[made] = buffer_export(fd, 0, page, O_RDONLY);
		if (buffers[made] < 0)
			break;
		made++;
	}
	assert_int_equal(errno, EUSERS);
	assert_int_equal(made, 4096);
	close(buffers[0]);
	buffers[0] = buffer_make(fd, 0, page, O_RDONLY);
	assert_fails(buffer_export(fd, 0, page, O_RDONLY), EUSERS);
	for (i = 0; i < made; i++)
		close(buffers[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* The library's call: as ivshmem_map() but for the descriptor. */
static void test_library(void **state)
{
	volatile uint64_t *all = map(fd, memory, 0, PROT_READ | PROT_WRITE);
	struct ivshmem *ivs, *reader;
	volatile uint64_t *part;
	int buffer, end;

	(void)state;
	assert_int_equal(ivshmem_open(device_path, 0, &ivs), 0);
	assert_int_equal(ivshmem_open(device_path, IVSHMEM_RDONLY, &reader), 0);
	buffer = ivshmem_export_dmabuf(ivs, page, page, PROT_READ | PROT_WRITE);
	end = ivshmem_export_dmabuf(reader, memory - page, 0, PROT_READ);
	assert_true(buffer >= 0);
	assert_true(end >= 0);
	assert_int_equal(ivshmem_export_dmabuf(reader, 0, page, PROT_READ |
					       PROT_WRITE), -EACCES);
	assert_int_equal(ivshmem_export_dmabuf(ivs, 0, page / 2, PROT_READ),
			 -EINVAL);
	ivshmem_close(ivs);
	ivshmem_close(reader);

	assert_int_equal(fcntl(buffer, F_GETFD), FD_CLOEXEC);
	part = map(buffer, page, 0, PROT_READ | PROT_WRITE);
	part[1] = 4711;
	assert_int_equal(all[page / 8 + 1], 4711);
	munmap((void *)part, page);
	assert_int_equal(lseek(end, 0, SEEK_END), page);
	all[(memory - page) / 8] = 4712;
	part = map(end, page, 0, PROT_READ);
	assert_int_equal(part[0], 4712);
	munmap((void *)part, page);
	close(buffer);
	close(end);
	munmap((void *)all, memory);
}

/* Without the module's parameter these are nobody's ioctls. */
static void test_looking_glass_is_off(void **state)
{
	struct { uint64_t flags, offset, size; } create = { 0, 0, page };

	(void)state;
	assert_fails(ioctl(fd, _IO('u', 0x44), 0), ENOTTY);
	assert_fails(ioctl(fd, _IOC(_IOC_WRITE, 'u', 0x42, sizeof(create)),
			   &create), ENOTTY);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_memory),
		cmocka_unit_test(test_whole_memory),
		cmocka_unit_test(test_parts_of_a_buffer),
		cmocka_unit_test(test_kinds_of_mapping),
		cmocka_unit_test(test_read_only_buffer),
		cmocka_unit_test(test_rights_of_the_file),
		cmocka_unit_test(test_refused_ranges),
		cmocka_unit_test(test_refused_open_flags),
		cmocka_unit_test(test_close_on_exec),
		cmocka_unit_test(test_no_descriptor_left),
		cmocka_unit_test(test_outlives_the_file),
		cmocka_unit_test(test_fork_and_dup),
		cmocka_unit_test(test_passed_to_another_process),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_direct_io),
		cmocka_unit_test(test_debugger),
		cmocka_unit_test(test_many_buffers),
		cmocka_unit_test(test_too_many_buffers),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_looking_glass_is_off),
	};

	device_setup(argc, argv);
	page = sysconf(_SC_PAGESIZE);
	memory = device_facts.memory_size;
	fd = device_open(O_RDWR);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
