/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device under io_uring(7): reads and polls that complete when a doorbell
 * arrives, and that can be given up.
 */
#include "device.h"

#include <liburing.h>
#include <poll.h>

static struct io_uring ring;
static int fd, writer;

static int set_up(void **state)
{
	settle(state);
	fd = device_open(O_RDONLY);
	writer = device_open(O_RDWR);
	return io_uring_queue_init(16, &ring, 0);
}

static int tear_down(void **state)
{
	(void)state;
	io_uring_queue_exit(&ring);
	close(fd);
	close(writer);
	return 0;
}

/* A completion, without the room for a big one's extra bytes. */
struct outcome {
	uint64_t name;
	int result;
	uint32_t flags;
};

static struct io_uring_sqe *prepare(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	assert_non_null(sqe);
	return sqe;
}

/* Hands over what was prepared, to complete under @name. */
static void submit(struct io_uring_sqe *sqe, uint64_t name)
{
	sqe->user_data = name;
	assert_int_equal(io_uring_submit(&ring), 1);
}

/* Submits a read of one record. */
static void submit_read(int file, struct ivshmem_event_record *record,
			uint64_t name)
{
	struct io_uring_sqe *sqe = prepare();

	io_uring_prep_read(sqe, file, record, sizeof(*record), 0);
	submit(sqe, name);
}

/* The next completion, which must come within the bound. */
static struct outcome completion(void)
{
	struct __kernel_timespec bound = { .tv_sec = WAIT_MS / 1000 };
	struct io_uring_cqe *cqe;
	struct outcome outcome;
	int error = io_uring_wait_cqe_timeout(&ring, &cqe, &bound);

	if (error)
		fail_msg("no completion: %s", strerror(-error));
	outcome = (struct outcome) { cqe->user_data, cqe->res, cqe->flags };
	io_uring_cqe_seen(&ring, cqe);
	return outcome;
}

static void expect_no_completion(void)
{
	struct io_uring_cqe *cqe;

	assert_int_equal(io_uring_peek_cqe(&ring, &cqe), -EAGAIN);
}

static void ring_vector(uint32_t vector)
{
	assert_int_equal(device_ring(writer, device_facts.peer_id, vector), 0);
}

/* A read completes when a doorbell arrives, and not before. */
static void test_read(void **state)
{
	struct ivshmem_event_record record;
	struct outcome got;
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		memset(&record, 0xff, sizeof(record));
		submit_read(fd, &record, 1);
		expect_no_completion();
		ring_vector(0);
		got = completion();
		assert_int_equal(got.name, 1);
		assert_int_equal(got.result, RECORD_SIZE);
		assert_int_equal(record.vector, 0);
		assert_int_equal(record.reserved, 0);
		assert_int_equal(record.count, 1);
	}
}

/* A read of what is pending already completes at once. */
static void test_read_of_pending(void **state)
{
	struct ivshmem_event_record record;
	struct outcome got;

	(void)state;
	ring_vector(0);
	wait_for(fd, POLLIN);
	submit_read(fd, &record, 1);
	got = completion();
	assert_int_equal(got.result, RECORD_SIZE);
	assert_int_equal(record.count, 1);
}

/* The errors are those of read(2). */
static void test_read_errors(void **state)
{
	struct ivshmem_event_record record;
	struct io_uring_sqe *sqe;

	(void)state;
	sqe = prepare();
	io_uring_prep_read(sqe, fd, &record, sizeof(record) - 1, 0);
	submit(sqe, 1);
	assert_int_equal(completion().result, -EINVAL);

	sqe = prepare();
	io_uring_prep_write(sqe, writer, &record, sizeof(record), 0);
	submit(sqe, 1);
	assert_int_equal(completion().result, -EINVAL);
}

/* Two reads wait on one file: two doorbells complete both, one each. */
static void test_two_reads(void **state)
{
	struct ivshmem_event_record records[2];
	uint64_t first;

	(void)state;
	submit_read(fd, &records[0], 0);
	submit_read(fd, &records[1], 1);
	ring_vector(0);
	first = completion().name;
	assert_int_equal(records[first].count, 1);
	expect_no_completion();
	ring_vector(0);
	assert_int_equal(completion().name, !first);
	assert_int_equal(records[!first].count, 1);
}

/* A poll completes when a doorbell arrives, and consumes nothing. */
static void test_poll(void **state)
{
	struct io_uring_sqe *sqe = prepare();
	struct outcome got;

	(void)state;
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	submit(sqe, 1);
	expect_no_completion();
	ring_vector(0);
	got = completion();
	assert_int_equal(got.result & POLLIN, POLLIN);
	assert_int_equal(take(fd, 0, 1), 1);
}

/* A multishot poll completes for each doorbell. */
static void test_multishot_poll(void **state)
{
	struct io_uring_sqe *sqe = prepare();
	struct outcome got;
	unsigned int i;

	(void)state;
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	submit(sqe, 1);
	for (i = 0; i < 10; i++) {
		ring_vector(0);
		got = completion();
		assert_int_equal(got.result & POLLIN, POLLIN);
		assert_true(got.flags & IORING_CQE_F_MORE);
		assert_int_equal(take(fd, 0, 1), 1);
	}
}

/* A read that waits can be cancelled; the doorbell after it is not lost. */
static void test_cancel_read(void **state)
{
	struct ivshmem_event_record record;
	struct io_uring_sqe *sqe;
	struct outcome got;
	int results[3], i;

	(void)state;
	submit_read(fd, &record, 1);
	expect_no_completion();
	sqe = prepare();
	io_uring_prep_cancel64(sqe, 1, 0);
	submit(sqe, 2);
	for (i = 0; i < 2; i++) {
		got = completion();
		assert_in_range(got.name, 1, 2);
		results[got.name] = got.result;
	}
	/* a worker thread that slept in the read was sent a signal instead */
	assert_true(results[1] == -ECANCELED || results[1] == -EINTR);
	assert_true(results[2] == 0 || results[2] == -EALREADY);

	ring_vector(0);
	assert_int_equal(take(fd, 0, 1), 1);
}

/* A read with a time limit ends with it. */
static void test_linked_timeout(void **state)
{
	struct __kernel_timespec soon = { .tv_nsec = 1000000 };
	struct ivshmem_event_record record;
	struct io_uring_sqe *sqe;
	struct outcome got;
	int i;

	(void)state;
	sqe = prepare();
	io_uring_prep_read(sqe, fd, &record, sizeof(record), 0);
	sqe->user_data = 1;
	sqe->flags |= IOSQE_IO_LINK;
	sqe = prepare();
	io_uring_prep_link_timeout(sqe, &soon, 0);
	sqe->user_data = 2;
	assert_int_equal(io_uring_submit(&ring), 2);
	for (i = 0; i < 2; i++) {
		got = completion();
		if (got.name == 1)
			assert_true(got.result == -ECANCELED ||
				    got.result == -EINTR);
	}
}

/*
 * Closing the ring with a read in flight lets the file go: that read may take
 * one event while it is being cancelled, and none after that.
 */
static void test_exit_with_read_in_flight(void **state)
{
	int observer = device_open(O_RDONLY);
	struct ivshmem_event_record record;

	(void)state;
	submit_read(fd, &record, 1);
	io_uring_queue_exit(&ring);
	ring_self(observer, 0);
	ring_self(observer, 0);
	assert_in_range(take(fd, 0, 1), 1, 2);
	close(observer);
	assert_int_equal(io_uring_queue_init(16, &ring, 0), 0);
}

#define WITH_RING(test) \
	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(test_read),
		WITH_RING(test_read_of_pending),
		WITH_RING(test_read_errors),
		WITH_RING(test_two_reads),
		WITH_RING(test_poll),
		WITH_RING(test_multishot_poll),
		WITH_RING(test_cancel_read),
		WITH_RING(test_linked_timeout),
		WITH_RING(test_exit_with_read_in_flight),
	};

	device_setup(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
