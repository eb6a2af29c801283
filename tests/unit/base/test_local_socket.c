/* Paths of unix sockets at their limits, and who answers there. */
#include <rolebridge/base/local_socket.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_lengths(void **state)
{
	static const struct {
		size_t size;
		bool taken;
	} rows[] = { { 0, false }, { 1, true }, { 107, true }, { 108, false }, { 4000, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[4096];
		struct sockaddr_un address = { .sun_path = "before" };
		struct err err = { 0 };
		int result;

		memset(path, 'x', rows[i].size);
		path[rows[i].size] = 0;
		result = local_socket_address(path, &address, &err);
		assert_int_equal(result, rows[i].taken ? 0 : -1);
		assert_string_equal(address.sun_path, rows[i].taken ? path : "before");
		assert_int_equal(err.code, rows[i].taken ? 0 : ERR_TOO_LARGE);
	}
}

static void test_connect(void **state)
{
	char folder[] = "/tmp/local-socket-XXXXXX", path[64];
	int fd = -1, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	struct timeval patience;
	socklen_t size = sizeof(patience);
	struct err err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(local_socket_connect(path, 0, &fd, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(fd, -1);
	assert_int_equal(local_socket_address(path, &address, &err), 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(local_socket_connect(path, 7500, &fd, &err), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, &size), 0);
	assert_int_equal(patience.tv_sec, 7);
	assert_true(patience.tv_usec > 0);
	close(fd);
	close(listener);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
