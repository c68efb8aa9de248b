/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 32-bit programs on a 64-bit kernel: the same structures, the same answers.
 *
 * A 64-bit x86 program reaches the 32-bit system calls through int 0x80, as
 * long as its pointers fit into 32 bits.
 */
#include "device.h"

#include <poll.h>
#include <sys/eventfd.h>

/* System call numbers of i386. */
#define I386_READ 3
#define I386_IOCTL 54

/* Memory below 4 GiB, where a 32-bit program's arguments lie. */
static void *low;

static long call_32(long number, long a, unsigned long b, void *c)
{
	long result;

	asm volatile("int $0x80"
		     : "=a" (result)
		     : "0" (number), "b" (a), "c" (b), "d" (c)
		     : "memory", "r8", "r9", "r10", "r11");
	if (result < 0 && result > -4096) {
		errno = -result;
		return -1;
	}
	return result;
}

static long ioctl_32(int fd, unsigned long command)
{
	return call_32(I386_IOCTL, fd, command, low);
}

/* IVSHMEM_IOC_INFO tells a 32-bit program what it tells a 64-bit one. */
static void test_info(void **state)
{
	struct ivshmem_ioc_info *info = low;
	int fd = device_open(O_RDONLY);

	(void)state;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	assert_int_equal(ioctl_32(fd, IVSHMEM_IOC_INFO), 0);
	assert_memory_equal(info, &device_facts, sizeof(*info));
	info->size--;
	assert_fails(ioctl_32(fd, IVSHMEM_IOC_INFO), EINVAL);
	assert_fails(call_32(I386_IOCTL, fd, IVSHMEM_IOC_INFO, NULL), EFAULT);
	assert_fails(ioctl_32(fd, _IO(IVSHMEM_IOC_MAGIC, 77)), ENOTTY);
	close(fd);
}

/* SUBSCRIBE, EVENTFD, RING and read(2) work as they do with 64 bits. */
static void test_doorbells(void **state)
{
	int fd = device_open(O_RDWR), efd = eventfd(0, EFD_CLOEXEC);
	struct ivshmem_ioc_subscribe *subscribe = low;
	struct ivshmem_event_record *record = low;
	struct ivshmem_ioc_eventfd *bind = low;
	struct ivshmem_ioc_ring *ring = low;
	uint32_t vector = device_facts.vectors - 1;

	(void)state;
	memset(subscribe, 0, sizeof(*subscribe));
	subscribe->size = sizeof(*subscribe);
	subscribe->vectors[vector / 64] = 1ULL << vector % 64;
	assert_int_equal(ioctl_32(fd, IVSHMEM_IOC_SUBSCRIBE), 0);

	*bind = (struct ivshmem_ioc_eventfd) { sizeof(*bind), 0, vector, efd };
	assert_int_equal(ioctl_32(fd, IVSHMEM_IOC_EVENTFD), 0);

	*ring = (struct ivshmem_ioc_ring) {
		sizeof(*ring), 0, device_facts.peer_id, vector,
	};
	assert_int_equal(ioctl_32(fd, IVSHMEM_IOC_RING), 0);
	wait_for(fd, POLLIN);
	assert_int_equal(call_32(I386_READ, fd, (unsigned long)low,
				 (void *)sizeof(*record)), sizeof(*record));
	assert_int_equal(record->vector, vector);
	assert_int_equal(record->reserved, 0);
	assert_int_equal(record->count, 1);
	wait_for(efd, POLLIN);

	*bind = (struct ivshmem_ioc_eventfd) { sizeof(*bind), 0, vector, -1 };
	assert_int_equal(ioctl_32(fd, IVSHMEM_IOC_EVENTFD), 0);
	close(efd);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test_setup(test_doorbells, settle),
	};

	device_setup(argc, argv);
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
