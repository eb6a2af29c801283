/* A web listener on TCP and unix sockets: headers for browsers, pages for errors, whom it believes, framing. */
#include <rolebridge/http/limit.h>
#include <rolebridge/http/server.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "peer.h"

#define DEADLINE_MS 5000
#define HEAD " HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n"

struct fixture {
	char folder[64], path[96];
	struct http_router *router;
	struct http_server *server;
	struct http_limit *limit;
	unsigned port; /* 0: unix */
};

/* ---------------------------------------------------------------- handlers -- */

static const char *or_none(const char *text)
{
	return text ? text : "none";
}

static int show(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)err;
	strbuf_printf(&response->body, "client=%s host=%s query=%s path=%s cookie=%s tls=%d",
		      http_client_text(request),
		      or_none(http_forwarded(request, "X-Forwarded-Host")), request->query_raw,
		      request->path, or_none(http_cookie(request, "s")), request->tls);
	response->content_type = "text/plain";
	return 0;
}

static int cookies(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct http_set_cookie one = { .name = "a", .value = "1", .max_age_s = -1 };
	const struct http_set_cookie two = { .name = "b", .value = "2", .max_age_s = 0 };

	if (http_response_cookie(response, request->arena, &one, err) < 0 ||
	    http_response_cookie(response, request->arena, &two, err) < 0)
		return -1;
	return http_redirect(response, 303, "/next?a=b", err);
}

static int post_form(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	response->content_type = "text/html; charset=utf-8";
	response->form_action = "https://idp.example:8443";
	http_response_header(response, "Cache-Control", "private");
	strbuf_puts(&response->body, "<form>");
	return 0;
}

static int bad_action(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	response->form_action = "https://x; script-src *";
	response->framed = true;
	return 0;
}

static int own_policy(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	http_response_header(response, "Content-Security-Policy", "default-src 'self'");
	return 0;
}

static int bare(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	http_response_header(response, "Remote-User", "anna");
	return 0;
}

static int broken(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)response;
	return err_set(err, ERR_IO, "disk of /secret is gone");
}

static int forged(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)err;
	http_response_header(response, "X-Echo", http_query(request, "v"));
	strbuf_puts(&response->body, "half");
	return 0;
}

static int limited(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	(void)response;
	return http_limit_take(fixture->limit, request, err);
}

static const struct http_route routes[] = {
	{ "GET", "/show", show, 0, 0, NULL },
	{ "GET", "/cookies", cookies, 0, 0, NULL },
	{ "GET", "/form", post_form, 0, 0, NULL },
	{ "POST", "/show", show, 0, 1000, NULL },
	{ "GET", "/bad-action", bad_action, 0, 0, NULL },
	{ "GET", "/own-policy", own_policy, 0, 0, NULL },
	{ "GET", "/auth", bare, HTTP_ROUTE_BARE | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/broken", broken, HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/api/broken", broken, 0, 0, NULL },
	{ "GET", "/forged", forged, 0, 0, NULL },
	{ "GET", "/limited", limited, 0, 0, NULL },
};

static bool page(struct http_request *request, const struct err *err,
		 struct http_response *response)
{
	if (strcmp(request->path, "/broken") == 0)
		return false;
	response->content_type = "text/html; charset=utf-8";
	strbuf_printf(&response->body, "<p>%d %s %s</p>", response->status, http_error_code(err),
		      request->id);
	return true;
}

/* ----------------------------------------------------------------- fixture -- */

static void begin(struct fixture *fixture, struct http_settings settings, bool unix_socket)
{
	struct err err = { 0 };

	*fixture = (struct fixture){ .limit = http_limit_create(2, 2, 100) };
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/rolebridge-web-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/web.sock", fixture->folder);
	fixture->router = http_router_create();
	assert_int_equal(0, http_router_add(fixture->router, routes, ARRAY_LEN(routes), fixture,
					    NULL, &err));
	if ((unix_socket ? http_listen_unix(fixture->path, NULL, &settings.listen_fd, &err)
			 : http_listen_tcp("127.0.0.1:0", &settings.listen_fd, &err)) < 0)
		fail_msg("%s", err.text);
	fixture->port = http_listen_port(settings.listen_fd);
	assert_int_equal(!unix_socket, fixture->port != 0);
	settings.name = "web";
	settings.threading = HTTP_POOL;
	settings.threads = 2;
	settings.router = fixture->router;
	settings.request_deadline_ms = DEADLINE_MS;
	settings.web = true;
	fixture->server = http_server_start(&settings, &err);
	if (!fixture->server)
		fail_msg("%s", err.text);
}

static void end(struct fixture *fixture)
{
	http_server_stop(fixture->server, 1000);
	http_router_destroy(fixture->router);
	http_limit_destroy(fixture->limit);
	unlink(fixture->path);
	assert_int_equal(0, rmdir(fixture->folder));
}

static void exchange(const struct fixture *fixture, const char *request, struct strbuf *out)
{
	int fd = fixture->port ? peer_dial_tcp(fixture->port) : peer_dial_unix(fixture->path);

	assert_true(fd >= 0);
	strbuf_clear(out);
	peer_say(fd, request);
	peer_hear(fd, out);
	close(fd);
}

struct sample {
	const char *name, *request, *status;
	const char *holds[4], *lacks[2];
};

static void check_all(const struct fixture *fixture, const struct sample *samples, size_t count)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(1024 * 1024);

	for (size_t i = 0; i < count; i++) {
		char status[32];

		snprintf(status, sizeof(status), "HTTP/1.1 %s", samples[i].status);
		exchange(fixture, samples[i].request, &answer);

		const char *text = strbuf_text(&answer);

		if (strncmp(text, status, strlen(status)) != 0)
			fail_msg("%s: %s", samples[i].name, text);
		for (size_t j = 0; j < 4 && samples[i].holds[j]; j++)
			if (!strstr(text, samples[i].holds[j]))
				fail_msg("%s: no '%s' in %s", samples[i].name, samples[i].holds[j],
					 text);
		for (size_t j = 0; j < 2 && samples[i].lacks[j]; j++)
			if (strstr(text, samples[i].lacks[j]))
				fail_msg("%s: '%s' in %s", samples[i].name, samples[i].lacks[j],
					 text);
	}
}

/* ------------------------------------------------------------------- tests -- */

static void test_headers(void **state)
{
	static const struct sample samples[] = {
		{ "policy",
		  "GET /show" HEAD "\r\n",
		  "200",
		  { "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src "
		    "'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
		    "base-uri 'none'; frame-ancestors 'none'\r\n",
		    "X-Frame-Options: DENY", "Cross-Origin-Opener-Policy: same-origin",
		    "Strict-Transport-Security: max-age=31536000" },
		  { NULL } },
		{ "more",
		  "GET /show" HEAD "\r\n",
		  "200",
		  { "X-Content-Type-Options: nosniff", "Referrer-Policy: same-origin",
		    "Cache-Control: no-store", "X-Request-Id: 0" },
		  { NULL } },
		{ "several cookies",
		  "GET /cookies" HEAD "\r\n",
		  "303",
		  { "Set-Cookie: a=1;", "Set-Cookie: b=2;", "Location: /next?a=b\r\n" },
		  { "\nContent-Type" } },
		{ "form to the IdP, own caching",
		  "GET /form" HEAD "\r\n",
		  "200",
		  { "form-action 'self' https://idp.example:8443 https:;",
		    "Cache-Control: private" },
		  { "no-store" } },
		{ "no injection into the policy; framed",
		  "GET /bad-action" HEAD "\r\n",
		  "200",
		  { "form-action 'self';" },
		  { "script-src *", "frame" } },
		{ "own policy",
		  "GET /own-policy" HEAD "\r\n",
		  "200",
		  { "Content-Security-Policy: default-src 'self'\r\n" },
		  { "form-action" } },
		{ "for a proxy",
		  "GET /auth" HEAD "\r\n",
		  "200",
		  { "Remote-User: anna" },
		  { "Content-Security-Policy", "X-Request-Id" } },
		{ "raw query and path",
		  "GET /show?b=%2B+&a=%41%2f" HEAD "\r\n",
		  "200",
		  { "query=b=%2B+&a=%41%2f path=/show" },
		  { NULL } },
		{ "cookie",
		  "GET /show" HEAD "Cookie: s=abc\r\n\r\n",
		  "200",
		  { "cookie=abc" },
		  { NULL } },
		{ "forged header",
		  "GET /forged?v=a%0d%0aX-Evil:%20b" HEAD "\r\n",
		  "500",
		  { "Reference: " },
		  { "X-Evil", "half" } },
	};
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ .hsts = true }, false);
	check_all(&fixture, samples, ARRAY_LEN(samples));
	end(&fixture);
}

static void test_builtin_pages(void **state)
{
	static const struct sample samples[] = {
		{ "nothing there",
		  "GET /<b>" HEAD "\r\n",
		  "404",
		  { "text/html", "there is nothing at &#39;/&lt;b&gt;&#39;", "Reference: 0" },
		  { "<b>" } },
		{ "api",
		  "GET /api/nothing" HEAD "\r\n",
		  "404",
		  { "application/json", "not-found" },
		  { "<html" } },
		{ "scim",
		  "GET /scim/v2/x" HEAD "\r\n",
		  "404",
		  { "application/json" },
		  { "<html" } },
		{ "what failed inside stays inside",
		  "GET /broken" HEAD "\r\n",
		  "500",
		  { "Reference: " },
		  { "secret" } },
		{ "also in JSON",
		  "GET /api/broken" HEAD "\r\n",
		  "500",
		  { "\"code\":\"io\"" },
		  { "secret" } },
		{ "wrong method", "PUT /show" HEAD "\r\n", "405", { "Allow: " }, { NULL } },
	};
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ 0 }, false);
	check_all(&fixture, samples, ARRAY_LEN(samples));
	end(&fixture);
}

static void test_own_pages(void **state)
{
	static const struct sample samples[] = {
		{ "own page",
		  "GET /nothing" HEAD "\r\n",
		  "404",
		  { "<p>404 not-found 0" },
		  { NULL } },
		{ "left to the server",
		  "GET /broken" HEAD "\r\n",
		  "500",
		  { "Reference: " },
		  { NULL } },
		{ "api is not asked",
		  "GET /api/nothing" HEAD "\r\n",
		  "404",
		  { "application/json" },
		  { NULL } },
		{ "framing",
		  "GET /show" HEAD "Host: x\r\n\r\n",
		  "400",
		  { "<p>400 invalid-request" },
		  { NULL } },
	};
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ .error_page = page }, false);
	check_all(&fixture, samples, ARRAY_LEN(samples));
	end(&fixture);
}

static void test_trust(void **state)
{
#define FORWARDED "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Host: other.example\r\n"
	static const struct sample believed = { "believed",
						"GET /show" HEAD FORWARDED "\r\n",
						"200",
						{ "client=192.0.2.9 host=other.example" },
						{ NULL } };
	static const struct sample doubled = { "forged twice",
					       "GET /show" HEAD FORWARDED
					       "X-Forwarded-Host: evil\r\n\r\n",
					       "200",
					       { "client=192.0.2.9 host=none" },
					       { NULL } };
	static const struct sample ignored = { "not believed",
					       "GET /show" HEAD FORWARDED "\r\n",
					       "200",
					       { "client=127.0.0.1 host=none" },
					       { NULL } };
	struct cidr trusted[2];
	struct fixture fixture;

	(void)state;
	assert_int_equal(0, cidr_parse("10.0.0.0/8", &trusted[0], NULL));
	assert_int_equal(0, cidr_parse("127.0.0.1", &trusted[1], NULL));
	begin(&fixture, (struct http_settings){ .trusted = trusted, .trusted_count = 1 }, false);
	check_all(&fixture, &ignored, 1);
	end(&fixture);
	begin(&fixture, (struct http_settings){ .trusted = trusted, .trusted_count = 2 }, false);
	memset(trusted, 0, sizeof(trusted)); /* copied */
	check_all(&fixture, &believed, 1);
	check_all(&fixture, &doubled, 1);
	end(&fixture);
	begin(&fixture, (struct http_settings){ 0 }, true);
	check_all(&fixture, &believed, 1);
	end(&fixture);
}

static void test_limit(void **state)
{
	static const struct sample samples[] = {
		{ "first", "GET /limited" HEAD "\r\n", "200", { NULL }, { NULL } },
		{ "second", "GET /limited" HEAD "\r\n", "200", { NULL }, { NULL } },
		{ "third", "GET /limited" HEAD "\r\n", "429", { "Retry-After: " }, { NULL } },
	};
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ 0 }, false);
	check_all(&fixture, samples, ARRAY_LEN(samples));
	end(&fixture);
}

static void test_framing(void **state)
{
	static const struct sample samples[] = {
		{ "two lengths",
		  "POST /show" HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		  "400",
		  { "Connection: close" },
		  { NULL } },
		{ "length and encoding",
		  "POST /show" HEAD
		  "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  "400",
		  { "Connection: close" },
		  { NULL } },
		{ "two hosts",
		  "GET /show" HEAD "Host: evil\r\n\r\n",
		  "400",
		  { "Connection: close" },
		  { NULL } },
		{ "no host", "GET /show HTTP/1.1\r\n\r\n", "400", { NULL }, { NULL } },
		{ "space before colon",
		  "POST /show" HEAD "Content-Length : 1\r\n\r\nx",
		  "400",
		  { NULL },
		  { NULL } },
		{ "name with a space",
		  "GET /show" HEAD "X Y: 1\r\n\r\n",
		  "400",
		  { NULL },
		  { NULL } },
		{ "list of lengths",
		  "POST /show" HEAD "Content-Length: 1, 1\r\n\r\nx",
		  "400",
		  { NULL },
		  { NULL } },
		{ "long body",
		  "POST /show" HEAD "Content-Length: 99999999\r\n\r\nx",
		  "413",
		  { NULL },
		  { NULL } },
	};
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024), answer = STRBUF(65536);
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ 0 }, false);
	check_all(&fixture, samples, ARRAY_LEN(samples));
	strbuf_puts(&text, "GET /show" HEAD "X-Long: ");
	while (text.size < 100000)
		strbuf_puts(&text, "aaaaaaaaaaaaaaaa");
	strbuf_puts(&text, "\r\n\r\n");
	exchange(&fixture, strbuf_text(&text), &answer);
	assert_true(answer.size == 0 || strncmp(strbuf_text(&answer), "HTTP/1.1 4", 10) == 0);
	strbuf_clear(&text);
	strbuf_puts(&text, "GET /show" HEAD);
	for (int i = 0; i < 200; i++)
		strbuf_puts(&text, "X-Many: a\r\n");
	strbuf_puts(&text, "\r\n");
	exchange(&fixture, strbuf_text(&text), &answer);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 400"));
	strbuf_clear(&text);
	strbuf_puts(&text, "GET /show?");
	for (int i = 0; i < 9000; i++)
		strbuf_putc(&text, 'a');
	strbuf_puts(&text, HEAD "\r\n");
	exchange(&fixture, strbuf_text(&text), &answer);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 400"));
	end(&fixture);
}

/* Each request of a connection begins anew: nothing of the one before is left in reused memory. */
/* A name that goes on behind a NUL for some, and ends there for others. */
static void test_nul(void **state)
{
	static const struct {
		const char *name;
		char request[96];
		const char *status;
	} samples[] = {
		{ "none", "GET /auth HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A@: b\r\n\r\n",
		  "400" },
		{ "plain", "GET /auth HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: b\r\n\r\n",
		  "200" },
		{ "name", "GET /auth HTTP/1.1\r\nHost: a\r\nConnection: close\r\nHost#x: b\r\n\r\n",
		  "400" },
	};
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	struct fixture fixture;

	(void)state;
	begin(&fixture, (struct http_settings){ 0 }, true);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		size_t size = strlen(samples[i].request);
		char request[sizeof(samples[i].request)];
		char status[32];
		int fd = peer_dial_unix(fixture.path);

		memcpy(request, samples[i].request, size);
		for (size_t j = 0; j < size; j++)
			request[j] = request[j] == '#' ? 0 : request[j];
		strbuf_clear(&answer);
		peer_say_bytes(fd, request, size);
		peer_hear(fd, &answer);
		close(fd);
		snprintf(status, sizeof(status), "HTTP/1.1 %s ", samples[i].status);
		if (strncmp(strbuf_text(&answer), status, strlen(status)) != 0)
			fail_msg("%s: %s", samples[i].name, strbuf_text(&answer));
	}
	end(&fixture);
}

static void test_reuse(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(1024 * 1024);
	struct fixture fixture;
	int fd;

	(void)state;
	begin(&fixture, (struct http_settings){ 0 }, false);
	fd = peer_dial_tcp(fixture.port);
	peer_say(fd, "GET /show?a=1&b=2 HTTP/1.1\r\nHost: x\r\nCookie: s=first\r\n\r\n");
	for (int i = 0; i < 200; i++)
		peer_say(fd, "GET /show HTTP/1.1\r\nHost: x\r\n\r\n"
			     "GET /nothing?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	peer_say(fd, "GET /show" HEAD "\r\n");
	peer_hear(fd, &answer);
	close(fd);

	const char *first = strstr(strbuf_text(&answer), "query=a=1&b=2 path=/show cookie=first");
	size_t plain = 0;

	assert_non_null(first);
	for (const char *at = first; (at = strstr(at, "query= path=/show cookie=none")); at++)
		plain++;
	assert_int_equal(201, plain);
	end(&fixture);
}

static void test_listen(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	struct http_settings settings = { .name = "x" };
	struct http_router *router = http_router_create();
	struct err err = { 0 };
	char address[64];
	int fd, second;

	(void)state;
	assert_int_equal(0, http_listen_tcp("127.0.0.1:0", &fd, &err));
	snprintf(address, sizeof(address), "127.0.0.1:%u", http_listen_port(fd));
	assert_int_equal(-1, http_listen_tcp(address, &second, &err));
	assert_int_equal(ERR_CONFLICT, err.code);
	close(fd);
	assert_int_equal(-1, http_listen_tcp("localhost:80", &fd, &err));
	assert_int_equal(ERR_INVALID, err.code);
	/* "[::]" takes IPv4, too. */
	if (http_listen_tcp("[::]:0", &fd, &err) == 0) {
		second = peer_dial_tcp(http_listen_port(fd));
		assert_true(second >= 0);
		close(second);
		close(fd);
	}
	/* What is no listening socket is refused and closed. */
	settings.router = router;
	settings.threading = HTTP_POOL;
	settings.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(0, bind(settings.listen_fd, (struct sockaddr *)&name, sizeof(name)));
	assert_null(http_server_start(&settings, &err));
	assert_int_equal(ERR_INVALID, err.code);
	assert_int_equal(-1, fcntl(settings.listen_fd, F_GETFD));
	assert_int_equal(EBADF, errno);
	http_router_destroy(router);
}

static void test_start_without_memory(void **state)
{
	static const enum http_threading kinds[] = { HTTP_POOL, HTTP_THREAD_PER_CONNECTION };
	struct http_router *router = http_router_create();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct http_server *server = NULL;

		for (long n = 0; !server && n < 100; n++) {
			struct http_settings settings = { .router = router, .threading = kinds[i] };
			struct err err = { 0 };

			assert_int_equal(0,
					 http_listen_tcp("127.0.0.1:0", &settings.listen_fd, &err));
			alloc_fail_after(n);
			server = http_server_start(&settings, &err);
			alloc_fail_after(-1);
			if (!server) {
				assert_int_equal(ERR_MEMORY, err.code);
				assert_int_equal(-1, fcntl(settings.listen_fd, F_GETFD));
			}
		}
		assert_non_null(server);
		http_server_stop(server, 0);
	}
	http_router_destroy(router);
}

/* A socket handed in by others (blocking, inheritable) goes on listening for them when we stop. */
static void test_inherited(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	struct http_settings settings = { .name = "inherited",
					  .threading = HTTP_POOL,
					  .web = true };
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	struct fixture fixture = { .router = http_router_create() };
	struct err err = { 0 };
	int ours = socket(AF_INET, SOCK_STREAM, 0), fd;

	(void)state;
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(0, bind(ours, (struct sockaddr *)&name, sizeof(name)));
	assert_int_equal(0, listen(ours, 16));
	fixture.port = http_listen_port(ours);
	assert_int_equal(0, http_router_add(fixture.router, routes, ARRAY_LEN(routes), &fixture,
					    NULL, &err));
	settings.router = fixture.router;
	for (int i = 0; i < 3; i++) {
		settings.listen_fd = dup(ours);
		fixture.server = http_server_start(&settings, &err);
		assert_non_null(fixture.server);
		exchange(&fixture, "GET /show" HEAD "\r\n", &answer);
		assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 200"));
		http_server_stop(fixture.server, 0);
		/* Who connects between two servers waits in the socket's queue. */
		fd = peer_dial_tcp(fixture.port);
		assert_true(fd >= 0);
		close(fd);
	}
	close(ours);
	http_router_destroy(fixture.router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_builtin_pages),
		cmocka_unit_test(test_own_pages),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_start_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
