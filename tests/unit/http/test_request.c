/* What a handler reads and writes, without a server: cookies, forms, forwarded headers, addresses, responses. */
#include <rolebridge/http/request.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

static struct http_request make(struct arena *arena, const struct http_pair *headers, size_t count)
{
	return (struct http_request){
		.arena = arena, .headers = headers, .header_count = count, .body = ""
	};
}

static void test_cookies(void **state)
{
	static const struct {
		const char *name, *headers[2], *value; /* NULL: none */
	} cases[] = {
		{ "alone", { "s=abc" }, "abc" },
		{ "among others", { "a=1; s=abc; b=2" }, "abc" },
		{ "last", { "a=1; s=abc" }, "abc" },
		{ "without space", { "a=1;s=abc;b" }, "abc" },
		{ "space around", { "a=1;  s=abc  ; b=2" }, "abc" },
		{ "empty", { "s=" }, "" },
		{ "holds =", { "s=a=b==" }, "a=b==" },
		{ "others malformed", { "x=\"{a,b}\"; junk; =5; s=abc" }, "abc" },
		{ "in the second header", { "a=1", "s=abc" }, "abc" },
		{ "none", { "a=1" }, NULL },
		{ "name is a prefix", { "ss=abc" }, NULL },
		{ "name is a suffix", { "as=abc" }, NULL },
		{ "other case", { "S=abc" }, NULL },
		{ "no value", { "s" }, NULL },
		{ "twice", { "s=abc; s=def" }, NULL },
		{ "twice the same", { "s=abc; s=abc" }, NULL },
		{ "twice in two headers", { "s=abc", "s=abc" }, NULL },
		{ "twice, one empty", { "s=; s=abc" }, NULL },
		{ "quoted", { "s=\"abc\"" }, NULL },
		{ "space within", { "s=a b" }, NULL },
		{ "comma", { "s=a,b" }, NULL },
		{ "backslash", { "s=a\\b" }, NULL },
		{ "control character", { "s=a\001b" }, NULL },
		{ "not ASCII", { "s=\xc3\xa4" }, NULL },
		{ "space before =", { "s =abc" }, NULL },
		{ "only separators", { ";;; ; " }, NULL },
	};
	AUTO(arena) struct arena *arena = arena_create(65536);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_pair headers[2] = { { "Cookie", cases[i].headers[0] },
						{ "cookie", cases[i].headers[1] } };
		struct http_request request = make(arena, headers, cases[i].headers[1] ? 2 : 1);
		const char *value = http_cookie(&request, "s");

		if (!value != !cases[i].value || (value && strcmp(value, cases[i].value) != 0))
			fail_msg("%s: %s", cases[i].name, value ? value : "(none)");
	}
}

static void test_forms(void **state)
{
	static const struct {
		const char *name, *body;
		size_t size;	   /* 0: of the text */
		const char *value; /* of a; NULL: refused */
	} cases[] = {
		{ "plain", "a=1&b=2", 0, "1" },
		{ "decoded", "a=x+y%2B%26%3d%C3%A4", 0, "x y+&=\xc3\xa4" },
		{ "more than a word of each", "a=12345678%20123456789+1234567%41%42", 0,
		  "12345678 123456789 1234567AB" },
		{ "bytes near to what is looked for", "a=$&b=1", 0, "$" },
		{ "all but what is looked for", "a=$&'()*,-./:;<=>?@[]^_`{|}~\x01\x02\x7f", 0,
		  "$" },
		{ "escape at the end of a word", "a=12345%41%4", 0, NULL },
		{ "name decoded", "%61=1", 0, "1" },
		{ "no value", "a&b=1", 0, "" },
		{ "empty value", "a=", 0, "" },
		{ "value holds =", "a=b=c", 0, "b=c" },
		{ "empty pieces", "&&a=1&&", 0, "1" },
		{ "twice", "a=1&a=1", 0, NULL },
		{ "twice, once encoded", "a=1&%61=2", 0, NULL },
		{ "no name", "=1&a=1", 0, NULL },
		{ "NUL encoded", "a=1%00", 0, NULL },
		{ "NUL raw", "a=1\0b", 5, NULL },
		{ "not UTF-8", "a=%ff", 0, NULL },
		{ "half an escape", "a=%4", 0, NULL },
		{ "escape over the end of the piece", "a=%4&1=2", 0, NULL },
		{ "no hex", "a=%zz", 0, NULL },
	};
	const struct http_pair type = { "content-type",
					"Application/x-www-form-urlencoded; charset=UTF-8" };
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_request request = make(arena, &type, 1);
		struct http_form form = { .count = 0 };
		struct err err = { 0 };

		request.body = cases[i].body;
		request.body_size = cases[i].size ? cases[i].size : strlen(cases[i].body);

		int result = http_form_read(&request, &form, &err);
		const char *value = http_form_value(&form, "a");

		if ((result == 0) != (cases[i].value != NULL) ||
		    (result == 0 && (!value || strcmp(value, cases[i].value) != 0)))
			fail_msg("%s: %d, %s", cases[i].name, result, value ? value : "(none)");
		if (result < 0)
			assert_int_equal(ERR_INVALID, err.code);
	}
}

static void test_form_bounds(void **state)
{
	const struct http_pair type = { "Content-Type", "application/x-www-form-urlencoded" };
	const size_t size = (size_t)1024 * 1024;
	AUTO(arena) struct arena *arena = arena_create((size_t)64 * 1024 * 1024);
	AUTO(strbuf) struct strbuf body = STRBUF((size_t)2 * 1024 * 1024);
	struct http_request request = make(arena, &type, 1);
	struct http_form form;
	struct err err = { 0 };

	(void)state;
	strbuf_puts(&body, "a=");
	while (body.size < size)
		strbuf_puts(&body, "%41b");
	request.body = strbuf_text(&body);
	request.body_size = body.size;
	assert_int_equal(0, http_form_read(&request, &form, &err));
	assert_int_equal((body.size - 2) / 2, strlen(http_form_value(&form, "a")));
	strbuf_clear(&body);
	for (int i = 0; i < HTTP_FORM_MAX; i++)
		strbuf_printf(&body, "f%d=1&", i);
	request.body = strbuf_text(&body);
	request.body_size = body.size;
	assert_int_equal(0, http_form_read(&request, &form, &err));
	assert_int_equal(HTTP_FORM_MAX, form.count);
	strbuf_puts(&body, "more=1");
	request.body = strbuf_text(&body);
	request.body_size = body.size;
	assert_int_equal(-1, http_form_read(&request, &form, &err));
}

static void test_form_type(void **state)
{
	static const struct {
		const char *first, *second;
		bool good;
	} types[] = {
		{ "application/x-www-form-urlencoded", NULL, true },
		{ "application/x-www-form-urlencoded ;charset=x", NULL, true },
		{ "application/x-www-form-urlencodedx", NULL, false },
		{ "multipart/form-data", NULL, false },
		{ "text/plain", NULL, false },
		{ NULL, NULL, false },
		{ "application/x-www-form-urlencoded", "text/plain", false },
	};
	AUTO(arena) struct arena *arena = arena_create(65536);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct http_pair headers[2] = { { "Content-Type", types[i].first },
						{ "Content-Type", types[i].second } };
		struct http_request request = make(arena, headers,
						   types[i].second  ? 2
						   : types[i].first ? 1
								    : 0);
		struct http_form form;
		struct err err = { 0 };

		assert_int_equal(types[i].good ? 0 : -1, http_form_read(&request, &form, &err));
		if (!types[i].good)
			assert_string_equal("unsupported-media-type", err.reason);
	}
}

static void test_forwarded(void **state)
{
	const struct http_pair headers[] = { { "X-Forwarded-Host", "app.example" },
					     { "x-forwarded-proto", "https" },
					     { "X-Forwarded-Proto", "http" } };
	AUTO(arena) struct arena *arena = arena_create(65536);
	struct http_request request = make(arena, headers, ARRAY_LEN(headers));

	(void)state;
	assert_null(http_forwarded(&request, "X-Forwarded-Host"));
	request.peer_trusted = true;
	assert_string_equal("app.example", http_forwarded(&request, "x-forwarded-host"));
	assert_null(http_forwarded(&request, "X-Forwarded-Proto"));
	assert_null(http_forwarded(&request, "X-Forwarded-Uri"));
	assert_int_equal(2, http_header_count(&request, "X-FORWARDED-PROTO"));
	assert_int_equal(0, http_header_count(&request, "X-Forwarded"));
	assert_string_equal("https", http_header(&request, "X-Forwarded-Proto"));
}

static void test_client_address(void **state)
{
	static const struct {
		const char *name, *peer; /* NULL: unix socket */
		bool trusted;
		const char *forwarded, *client; /* "": unknown */
	} cases[] = {
		{ "plain", "192.0.2.9", false, NULL, "192.0.2.9" },
		{ "forged", "192.0.2.9", false, "1.2.3.4", "192.0.2.9" },
		{ "through a proxy", "10.0.0.1", true, "192.0.2.9", "192.0.2.9" },
		{ "proxy says nothing", "10.0.0.1", true, NULL, "10.0.0.1" },
		{ "forged before the proxy", "10.0.0.1", true, "1.2.3.4, 192.0.2.9", "192.0.2.9" },
		{ "through two", "10.0.0.1", true, "1.2.3.4, 192.0.2.9,10.0.0.2", "192.0.2.9" },
		{ "all are proxies", "10.0.0.1", true, "10.0.0.3, 10.0.0.2", "10.0.0.3" },
		{ "unix", NULL, true, "2001:db8::1", "2001:db8::1" },
		{ "unix, nothing said", NULL, true, NULL, "" },
		{ "unix, no address", NULL, true, "unknown", "" },
		{ "nonsense ends the list", "10.0.0.1", true, "1.2.3.4, x, 10.0.0.2", "10.0.0.2" },
		{ "empty item", "10.0.0.1", true, "1.2.3.4,", "10.0.0.1" },
		{ "empty", "10.0.0.1", true, "", "10.0.0.1" },
		{ "mapped", NULL, true, "::ffff:192.0.2.9", "192.0.2.9" },
		{ "long item", NULL, true,
		  "1.2.3.4, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "" },
	};
	struct cidr trusted;
	AUTO(arena) struct arena *arena = arena_create(65536);

	(void)state;
	assert_int_equal(0, cidr_parse("10.0.0.0/8", &trusted, NULL));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_pair header = { "X-Forwarded-For", cases[i].forwarded };
		struct http_request request = make(arena, &header, cases[i].forwarded ? 1 : 0);

		request.peer_trusted = cases[i].trusted;
		request.trusted = &trusted;
		request.trusted_count = 1;
		request.peer_has_address = cases[i].peer != NULL;
		if (cases[i].peer)
			assert_int_equal(0,
					 address_parse(cases[i].peer, &request.peer_address, NULL));
		if (strcmp(http_client_text(&request), cases[i].client) != 0)
			fail_msg("%s: '%s'", cases[i].name, http_client_text(&request));
	}
}

static void test_response_headers(void **state)
{
	static const char *const bad[] = {
		"a\r\nSet-Cookie: x=y", "a\nb", "a\rb", "\t", "a\177", NULL
	};
	struct http_response response = { 0 };

	(void)state;
	assert_true(http_response_header(&response, "X-Good", "a b; \xc3\xa4"));
	assert_false(response.failed);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		response.failed = false;
		assert_false(http_response_header(&response, "X-Bad", bad[i]));
		assert_true(response.failed);
	}
	assert_false(http_response_header(&response, "X Bad", "a"));
	assert_false(http_response_header(&response, "", "a"));
	assert_int_equal(1, response.header_count);
	response = (struct http_response){ 0 };
	for (int i = 0; i < HTTP_RESPONSE_HEADERS_MAX; i++)
		assert_true(http_response_header(&response, "X", "a"));
	assert_false(http_response_header(&response, "X", "a"));
	assert_true(response.failed);
}

static void test_set_cookie(void **state)
{
	static const struct {
		const char *name;
		struct http_set_cookie cookie;
		const char *text; /* NULL: refused */
	} cases[] = {
		{ "session",
		  { .name = "__Host-s", .value = "abc", .max_age_s = -1 },
		  "__Host-s=abc; Path=/; Secure; HttpOnly; SameSite=Lax" },
		{ "removed",
		  { .name = "s", .value = "", .max_age_s = 0, .path = "/x" },
		  "s=; Path=/x; Max-Age=0; Secure; HttpOnly; SameSite=Lax" },
		{ "cross-site",
		  { .name = "p", .value = "1", .max_age_s = 600, .same_site = HTTP_SAME_SITE_NONE },
		  "p=1; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=None" },
		{ "loopback, seen by scripts",
		  { .name = "p",
		    .value = "1",
		    .max_age_s = -1,
		    .insecure = true,
		    .script_visible = true,
		    .same_site = HTTP_SAME_SITE_STRICT },
		  "p=1; Path=/; SameSite=Strict" },
		{ "insecure __Host-",
		  { .name = "__Host-s", .value = "1", .insecure = true },
		  NULL },
		{ "__Host- below a path",
		  { .name = "__Host-s", .value = "1", .path = "/x" },
		  NULL },
		{ "insecure __Secure-",
		  { .name = "__Secure-s", .value = "1", .insecure = true },
		  NULL },
		{ "insecure None",
		  { .name = "s", .value = "1", .insecure = true, .same_site = HTTP_SAME_SITE_NONE },
		  NULL },
		{ "separator", { .name = "s", .value = "a;b" }, NULL },
		{ "line break", { .name = "s", .value = "a\r\nb" }, NULL },
		{ "no name", { .name = "", .value = "a" }, NULL },
		{ "attribute by path", { .name = "s", .value = "a", .path = "/;Domain=x" }, NULL },
		{ "relative path", { .name = "s", .value = "a", .path = "x" }, NULL },
	};
	AUTO(arena) struct arena *arena = arena_create(65536);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_response response = { 0 };
		struct err err = { 0 };
		int result = http_response_cookie(&response, arena, &cases[i].cookie, &err);

		if ((result == 0) != (cases[i].text != NULL) || response.failed != (result < 0) ||
		    (result == 0 && strcmp(response.headers[0].value, cases[i].text) != 0))
			fail_msg("%s: %s", cases[i].name,
				 result == 0 ? response.headers[0].value : err.text);
	}
}

static void test_redirect(void **state)
{
	static const char *const bad[] = { "", "https://a/\r\nX: y", "https://a/ b",
					   "https://\xc3\xa4/" };
	struct http_response response = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(0, http_redirect(&response, 303, "https://idp.example/?a=b", &err));
	assert_int_equal(303, response.status);
	assert_string_equal("Location", response.headers[0].name);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		response = (struct http_response){ 0 };
		assert_int_equal(-1, http_redirect(&response, 302, bad[i], &err));
		assert_true(response.failed);
	}
}

static void test_escapes(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1000);

	(void)state;
	http_html_escape(&out, "<a href=\"x\">R&D's</a>");
	assert_string_equal("&lt;a href=&quot;x&quot;&gt;R&amp;D&#39;s&lt;/a&gt;",
			    strbuf_text(&out));
	strbuf_clear(&out);
	http_url_escape(&out, "aZ0-._~ /?&=+%\xc3\xa4\n");
	assert_string_equal("aZ0-._~%20%2F%3F%26%3D%2B%25%C3%A4%0A", strbuf_text(&out));
	strbuf_clear(&out);
	http_html_escape(&out, "");
	assert_string_equal("", strbuf_text(&out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cookies),		 cmocka_unit_test(test_forms),
		cmocka_unit_test(test_form_bounds),	 cmocka_unit_test(test_form_type),
		cmocka_unit_test(test_forwarded),	 cmocka_unit_test(test_client_address),
		cmocka_unit_test(test_response_headers), cmocka_unit_test(test_set_cookie),
		cmocka_unit_test(test_redirect),	 cmocka_unit_test(test_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
