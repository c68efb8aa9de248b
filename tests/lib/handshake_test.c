// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem_open(): addresses, and the handshake with servers good and bad.
 */
#include "scripted_server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
/* The result of opening a link whose server performs these steps, and stays. */
#define OPENED(...) \
	open_scripted((const struct step[]){ __VA_ARGS__ }, \
		      COUNT(((const struct step[]){ __VA_ARGS__ })), 0)

static int open_address(const char *address)
{
	struct ivshmem *ivs = NULL;
	int ret;

	ret = ivshmem_open(address, 0, &ivs);
	assert_null(ivs);
	return ret;
}

static void malformed_arguments_are_refused(void **state)
{
	struct ivshmem *ivs;
	char longer[200] = "unix:/";

	(void)state;
	memset(longer + 6, 'x', 150);
	assert_int_equal(ivshmem_open("/dev/null", 2, &ivs), -EINVAL);
	assert_int_equal(ivshmem_open("/dev/null", 0, NULL), -EINVAL);
	assert_int_equal(open_address(NULL), -EINVAL);
	assert_int_equal(open_address(""), -EINVAL);
	assert_int_equal(open_address("unix:"), -EINVAL);
	assert_int_equal(open_address("vfio:"), -EINVAL);
	assert_int_equal(open_address("pci:00:10.0"), -EINVAL);
	assert_int_equal(open_address("pci:0000:00:10.0/"), -EINVAL);
	assert_int_equal(open_address("vfio:0000:00:10.0,slot="), -EINVAL);
	assert_int_equal(open_address("vfio:0000:00:10.0,slot=64"), -EINVAL);
	assert_int_equal(open_address("vfio:ffff:ff:1f.7,slot=63"), -ENOENT);
	assert_int_equal(open_address("pci:ffff:ff:1f.7"), -ENOENT);
	assert_int_equal(open_address(longer), -ENAMETOOLONG);
}

static void what_is_no_device_is_refused(void **state)
{
	(void)state;
	assert_int_equal(open_address("/dev/null"), -ENOTTY);
	assert_int_equal(open_address("/etc/passwd"), -ENOTTY);
	assert_int_equal(open_address("/"), -ENOTTY);
	assert_int_equal(open_address("/nowhere/ivshmem0"), -ENOENT);
}

static void what_is_no_server_is_refused(void **state)
{
	struct scripted_server server;

	(void)state;
	assert_int_equal(open_address("unix:/nowhere/link.sock"), -ENOENT);
	assert_int_equal(open_address("unix:/etc/passwd"), -ECONNREFUSED);
	/* A stale socket: bound, but nobody listens any more. */
	serve(&server, NULL, 0, 0);
	/* As long as the other thread waits for it, it is not closed. */
	shutdown(server.listener, SHUT_RDWR);
	performed(&server);
	close(server.listener);
	assert_int_equal(open_address(server.address), -ECONNREFUSED);
	server.listener = dup(STDIN_FILENO);
	stop_serving(&server);
}

static void permission_is_needed(void **state)
{
	struct scripted_server server;

	(void)state;
	if (geteuid())
		skip();
	serve(&server, NULL, 0, 0);
	assert_int_equal(chmod(server.address + 5, 0600), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(open_address(server.address), -EACCES);
	assert_int_equal(seteuid(0), 0);
	stop_serving(&server);
}

static void a_good_handshake_tells_all(void **state)
{
	static const struct step steps[] = { HANDSHAKE };
	struct scripted_server server;
	struct ivshmem_info info;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.backend, IVSHMEM_BACKEND_SERVER);
	assert_int_equal(info.peer_id, 1);
	assert_int_equal(info.vectors, 2);
	assert_int_equal(info.doorbell, 1);
	assert_int_equal(info.memory_size, MEMORY_SIZE);
	assert_int_equal(info.cache, IVSHMEM_CACHED_WB);
	assert_int_equal(ivshmem_peer_vectors(ivs, 0), 2);
	assert_int_equal(ivshmem_peer_vectors(ivs, 1), 2);
	assert_int_equal(ivshmem_peer_vectors(ivs, 3), -ENXIO);
	assert_int_equal(ivshmem_peer_vectors(ivs, 65536), -EINVAL);
	ivshmem_close(ivs);
	stop_serving(&server);
}

/* QEMU itself accepts peers before the memory; so do we, and own ones, too. */
static void the_order_is_free(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ 0 }, { 1 }, PEERS, { -1, MEMORY }), 0);
	assert_int_equal(OPENED({ 0 }, { 1 }, { 1, EVENTFD }, { -1, MEMORY },
				{ 0, EVENTFD }), 0);
}

/* The example server's first client: only silence tells that this is all. */
static void a_lone_peer_is_complete_when_all_is_quiet(void **state)
{
	static const struct step steps[] = {
		{ 0 }, { 0 }, { -1, MEMORY }, { 0, EVENTFD }, { 0, EVENTFD },
		{ 0, EVENTFD },
	};
	struct scripted_server server;
	struct ivshmem_info info;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.vectors, 3);
	ivshmem_close(ivs);
	stop_serving(&server);
}

static void a_link_without_doorbells_opens(void **state)
{
	static const struct step steps[] = { PREAMBLE };
	struct scripted_server server;
	struct ivshmem_event event;
	struct ivshmem_info info;
	struct ivshmem *ivs;

	(void)state;
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.doorbell, 0);
	assert_int_equal(ivshmem_ring(ivs, 0, 0), -EOPNOTSUPP);
	assert_int_equal(ivshmem_wait(ivs, &event, 1, -1), -EOPNOTSUPP);
	assert_int_equal(ivshmem_subscribe(ivs, (uint64_t[4]){ 0 }),
			 -EOPNOTSUPP);
	ivshmem_close(ivs);
	stop_serving(&server);
}

static void refusals_are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ -87 }), -EUSERS);
	assert_int_equal(OPENED({ -13 }), -EACCES);
	assert_int_equal(OPENED({ -108 }), -ESHUTDOWN);
	assert_int_equal(OPENED({ -24 }), -ENFILE);
	assert_int_equal(OPENED({ -122 }), -EDQUOT);
	assert_int_equal(OPENED({ -11 }), -EAGAIN);
}

static void other_versions_are_refused(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ 1 }), -EPROTO);
	assert_int_equal(OPENED({ -1 }), -EPROTO);
	assert_int_equal(OPENED({ INT64_MIN }), -EPROTO);
	assert_int_equal(OPENED({ 1LL << 32 }), -EPROTO);
	assert_int_equal(OPENED({ 0, EVENTFD }), -EPROTO);
}

static void bad_ids_are_refused(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ 0 }, { -1 }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 65536 }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1LL << 32 }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1, EVENTFD }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { -1, MEMORY }), -EPROTO);
}

static void bad_memory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1 }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, EMPTY_MEMORY }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, PIPE }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, DIRECTORY }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, EVENTFD }), -EPROTO);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, MEMORY }, { -1, MEMORY }),
			 -EPROTO);
}

static void bad_peers_are_refused(void **state)
{
	(void)state;
	assert_int_equal(OPENED(PREAMBLE, { -2, EVENTFD }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { 65536, EVENTFD }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { INT64_MAX, EVENTFD }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { INT64_MIN }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { 0, PIPE }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { 0, MEMORY }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { 0, TWO_EVENTFDS }), -EPROTO);
	assert_int_equal(OPENED(PREAMBLE, { 0, SIX_EVENTFDS }), -EPROTO);
	/* We ourselves are said to have left. */
	assert_int_equal(OPENED(PREAMBLE, { 1 }), -EPROTO);
}

static void the_end_is_noticed_at_each_step(void **state)
{
	static const struct step steps[] = { HANDSHAKE };
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(steps) - 1; i++)
		assert_int_equal(open_scripted(steps, i, 1), -EPROTO);
	assert_int_equal(open_scripted(steps, i + 1, 1), 0);
}

static void half_a_message_is_no_message(void **state)
{
	static const struct step half[] = { { 0, NOTHING, 5 } };
	static const struct step half_with_fd[] = {
		{ 0 }, { 1 }, { -1, MEMORY, 3 },
	};

	(void)state;
	assert_int_equal(open_scripted(half, 1, 1), -EPROTO);
	assert_int_equal(open_scripted(half_with_fd, 3, 1), -EPROTO);
}

/* Bytes of one message in three pieces, its descriptor with the last. */
static void pieces_are_put_together(void **state)
{
	(void)state;
	assert_int_equal(OPENED({ 0, NOTHING, 1 }, { 0, NOTHING, 7 },
				{ 1, NOTHING, 4 }, { 0, NOTHING, 4 },
				{ -1, NOTHING, 2 }, { -1, NOTHING, 5 },
				{ -1, MEMORY, 1 }, { 0, EVENTFD, 8 },
				{ 1, EVENTFD, 1 }, { 0, NOTHING, 7 }), 0);
	/* A descriptor with either half is one too many. */
	assert_int_equal(OPENED(PREAMBLE, { 0, EVENTFD, 4 },
				{ 0, EVENTFD, 4 }), -EPROTO);
}

static void vectors_beyond_256_are_left_out(void **state)
{
	static struct step steps[3 + 300 + 300] = { PREAMBLE };
	struct scripted_server server;
	struct ivshmem_info info;
	struct ivshmem *ivs;
	int i;

	(void)state;
	for (i = 0; i < 600; i++)
		steps[3 + i] = (struct step){ i < 300 ? 0 : 1, EVENTFD };
	SERVE(&server, steps);
	assert_int_equal(ivshmem_open(server.address, 0, &ivs), 0);
	assert_int_equal(ivshmem_get_info(ivs, &info), 0);
	assert_int_equal(info.vectors, 256);
	assert_int_equal(ivshmem_peer_vectors(ivs, 0), 256);
	performed(&server);
	assert_int_equal(ivshmem_ring(ivs, 0, 255), 0);
	assert_int_equal(rung(server.eventfds[255]), 1);
	assert_int_equal(ivshmem_ring(ivs, 0, 256), -EINVAL);
	ivshmem_close(ivs);
	stop_serving(&server);
}

/* In a process of its own: the server's descriptors are not to run out. */
static void too_few_descriptors_are_reported(void **state)
{
	static const struct step steps[] = { HANDSHAKE };
	struct scripted_server server;
	struct ivshmem *ivs = NULL;
	struct rlimit low;
	int status;
	pid_t pid;

	(void)state;
	SERVE(&server, steps);
	pid = fork();
	if (!pid) {
		getrlimit(RLIMIT_NOFILE, &low);
		/* Room for epoll, socket, memory and two of six eventfds. */
		low.rlim_cur = (rlim_t)open_fds() - 1 + 5;
		setrlimit(RLIMIT_NOFILE, &low);
		_exit(-ivshmem_open(server.address, 0, &ivs));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, EMFILE << 8);
	stop_serving(&server);
}

static void a_silent_server_is_given_up(void **state)
{
	static const struct step no_peers[] = { { 0 }, { 1 } };

	(void)state;
	assert_int_equal(open_scripted(NULL, 0, 0), -ETIMEDOUT);
	assert_int_equal(OPENED({ 0 }, { 1 }, { -1, NOTHING, 7 }), -ETIMEDOUT);
	assert_int_equal(open_scripted(no_peers, 2, 0), -ETIMEDOUT);
}

static void a_server_that_does_not_accept_is_given_up(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener, waiting[3];
	char text[128];
	unsigned int i;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/tmp/ivs-lib-full-%d.sock", (int)getpid());
	snprintf(text, sizeof(text), "unix:%s", address.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address,
			      sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (i = 0; i < COUNT(waiting); i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(waiting[i], (struct sockaddr *)&address,
			    sizeof(address)))
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(open_address(text), -ETIMEDOUT);
	for (i = 0; i < COUNT(waiting); i++)
		close(waiting[i]);
	close(listener);
	unlink(address.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_arguments_are_refused),
		cmocka_unit_test(what_is_no_device_is_refused),
		cmocka_unit_test(what_is_no_server_is_refused),
		cmocka_unit_test(permission_is_needed),
		cmocka_unit_test(a_good_handshake_tells_all),
		cmocka_unit_test(the_order_is_free),
		cmocka_unit_test(a_lone_peer_is_complete_when_all_is_quiet),
		cmocka_unit_test(a_link_without_doorbells_opens),
		cmocka_unit_test(refusals_are_told_apart),
		cmocka_unit_test(other_versions_are_refused),
		cmocka_unit_test(bad_ids_are_refused),
		cmocka_unit_test(bad_memory_is_refused),
		cmocka_unit_test(bad_peers_are_refused),
		cmocka_unit_test(the_end_is_noticed_at_each_step),
		cmocka_unit_test(half_a_message_is_no_message),
		cmocka_unit_test(pieces_are_put_together),
		cmocka_unit_test(vectors_beyond_256_are_left_out),
		cmocka_unit_test(too_few_descriptors_are_reported),
		cmocka_unit_test(a_silent_server_is_given_up),
		cmocka_unit_test(a_server_that_does_not_accept_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
