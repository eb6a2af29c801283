/*
 * The client against a peer that says exactly what the test wants: a thread
 * that answers one connection with fixed bytes.
 */
#include <rolebridge/client/client.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

struct peer {
	char folder[64], path[96];
	int listener;
	pthread_t thread;
	const char *answer;
	char request[8192];
};

static void *peer_main(void *argument)
{
	struct peer *peer = argument;
	int fd = accept(peer->listener, NULL, NULL);
	size_t used = 0;
	ssize_t size = 1;

	/* The requests of these tests end in an empty line, or in "}". */
	while (size > 0 && used < sizeof(peer->request) - 1 &&
	       !(strstr(peer->request, "\r\n\r\n") &&
		 (!strstr(peer->request, "Content-Type") || strchr(peer->request, '}')))) {
		size = recv(fd, peer->request + used, sizeof(peer->request) - 1 - used, 0);
		used += size > 0 ? (size_t)size : 0;
	}
	for (const char *at = peer->answer; *at;) {
		size = send(fd, at, strlen(at), MSG_NOSIGNAL);
		if (size <= 0)
			break;
		at += size;
	}
	close(fd);
	return NULL;
}

static void peer_start(struct peer *peer, const char *answer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(peer, 0, sizeof(*peer));
	peer->answer = answer;
	snprintf(peer->folder, sizeof(peer->folder), "/tmp/rolebridge-client-XXXXXX");
	assert_non_null(mkdtemp(peer->folder));
	snprintf(peer->path, sizeof(peer->path), "%s/s", peer->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer->path);
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, bind(peer->listener, (struct sockaddr *)&address, sizeof(address)));
	assert_int_equal(0, listen(peer->listener, 1));
	assert_int_equal(0, pthread_create(&peer->thread, NULL, peer_main, peer));
}

static void peer_stop(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	close(peer->listener);
	unlink(peer->path);
	rmdir(peer->folder);
}

static const struct {
	const char *name, *answer;
	int status; /* 0: fails */
	const char *body;
	enum err_code code;
} answers[] = {
	{ "plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", ERR_NONE },
	{ "an error is an answer", "HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nabc", 409,
	  "abc", ERR_NONE },
	{ "a redirect is not followed",
	  "HTTP/1.1 302 Found\r\nLocation: http://localhost/evil\r\nContent-Length: 0\r\n\r\n", 302,
	  "", ERR_NONE },
	{ "cut in the middle", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", 0, "",
	  ERR_UNAVAILABLE },
	{ "chunked and cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 0,
	  "", ERR_UNAVAILABLE },
	{ "no HTTP", "hello\r\n\r\n", 0, "", ERR_UNAVAILABLE },
	{ "nothing", "", 0, "", ERR_UNAVAILABLE },
	{ "over the cap",
	  "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789",
	  0, "", ERR_TOO_LARGE },
};

static void test_answers(void **state)
{
	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1/", 1); /* must not matter */
	setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct err err = { 0 };
		struct peer peer;
		int status = 0;

		peer_start(&peer, answers[i].answer);

		struct client_settings settings = { .socket_path = peer.path, .response_max = 32 };
		AUTO(client) struct client *client = client_create(&settings, &err);

		assert_non_null(client);

		int result =
			client_request(client, "POST", "/a?b=c", "{\"a\":1}", &status, &out, &err);

		peer_stop(&peer);
		if (result != (answers[i].status ? 0 : -1) || err.code != answers[i].code ||
		    (result == 0 && (status != answers[i].status ||
				     strcmp(strbuf_text(&out), answers[i].body) != 0)))
			fail_msg("%s: %d %d %s %s", answers[i].name, result, status,
				 strbuf_text(&out), err.text);
		assert_non_null(strstr(peer.request, "POST /a?b=c HTTP/1.1\r\n"));
		assert_non_null(strstr(peer.request, "Content-Type: application/json"));
		assert_non_null(strstr(peer.request, "{\"a\":1}"));
	}
}

static int count_bytes(void *context, const void *data, size_t size)
{
	size_t *left = context;

	(void)data;
	if (*left < size)
		return -1;
	*left -= size;
	return 0;
}

static void test_stream(void **state)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
	static const char bad[] = "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}";
	static const struct {
		const char *answer;
		size_t room, left;
		int result, status;
		const char *out;
	} cases[] = {
		{ ok, 10, 0, 0, 200, "" },
		{ ok, 5, 5, -1, 0, "" },
		{ bad, 10, 10, 0, 404, "{}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(1024);
		struct err err = { 0 };
		struct peer peer;
		size_t left = cases[i].room;
		int status = 0;

		peer_start(&peer, cases[i].answer);

		struct client_settings settings = { .socket_path = peer.path };
		AUTO(client) struct client *client = client_create(&settings, &err);

		assert_int_equal(cases[i].result, client_stream(client, "/x", count_bytes, &left,
								&status, &out, &err));
		peer_stop(&peer);
		assert_int_equal(cases[i].status, status);
		assert_int_equal(cases[i].left, left);
		assert_string_equal(cases[i].out, strbuf_text(&out));
	}
}

static void test_nobody_there(void **state)
{
	struct client_settings settings = { .socket_path = "/nonexistent/control.sock" };
	struct err err = { 0 };
	AUTO(client) struct client *client = client_create(&settings, &err);
	AUTO(strbuf) struct strbuf out = STRBUF(1024);
	int status;

	(void)state;
	assert_int_equal(-1, client_request(client, "GET", "/", NULL, &status, &out, &err));
	assert_int_equal(ERR_UNAVAILABLE, err.code);
	assert_non_null(strstr(err.text, "no daemon answers at '/nonexistent/control.sock'"));
}

static void test_escape(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1024);

	(void)state;
	client_escape(&out, "a/b?c=d&e%f \xc3\xa9+_-.~");
	assert_string_equal("a%2Fb%3Fc%3Dd%26e%25f%20%C3%A9%2B_-.~", strbuf_text(&out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
