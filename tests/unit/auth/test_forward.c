/* Which application a URL belongs to, in every spelling; who may use it; what headers hold. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/auth/forward.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

static const char yaml[] =
	"public_url: https://login.example\n"
	"profiles:\n"
	"  - {name: manager, permissions: ['cases:*@all']}\n"
	"  - {name: reader, permissions: ['cases:read@own']}\n"
	"roles:\n"
	"  - {name: auditor, classifications: [Support], segments: [Core],\n"
	"     permissions: ['*:read@all']}\n"
	"  - {name: clerk, classifications: [Support], segments: [Core], permissions: ['mail:*@all']}\n"
	"segments: [Core]\n"
	"applications:\n"
	"  - {name: root, urls: ['https://a.example', 'http://127.0.0.1:8080']}\n"
	"  - {name: admin, urls: ['https://a.example/admin/', 'https://c.example/admin/']}\n"
	"  - {name: deep, urls: ['https://a.example/admin/deep/er/']}\n"
	"  - {name: page, urls: ['https://a.example/status']}\n"
	"  - {name: whole, urls: ['https://b.example:8443', 'https://b.example:8443/x/']}\n"
	"  - {name: part, urls: ['https://c.example/part/', 'https://c.example/%C3%A4/']}\n"
	"  - {name: six, urls: ['https://[2001:DB8::0:1]']}\n";

struct world {
	struct web_config config;
	struct applications *applications;
};

static int set_up(void **state)
{
	static struct world world;
	struct err err = { 0 };

	web_config_load(&world.config, yaml);
	assert_string_equal(web_config_findings(&world.config), "");
	world.applications =
		applications_create(&world.config.root.web, &world.config.root.catalogue, &err);
	if (!world.applications)
		fail_msg("%s", err.text);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	applications_destroy(world->applications);
	web_config_finish(&world->config);
	return 0;
}

static const struct {
	const char *scheme, *host, *path, *name; /* "": none, which is refused */
} places[] = {
	/* hosts */
	{ "https", "a.example", "/", "root" },
	{ "HTTPS", "A.Example", "/x", "root" },
	{ "https", "a.example:443", "/x", "root" },
	{ "https", "a.example:8443", "/x", "" },
	{ "https", "a.example:0443", "/x", "root" },
	{ "http", "a.example", "/x", "" },
	{ "http", "a.example:443", "/x", "" },
	{ "ftp", "a.example", "/x", "" },
	{ "", "a.example", "/x", "" },
	{ "https", "", "/x", "" },
	{ "https", "a.example.", "/x", "" },
	{ "https", "xa.example", "/x", "" },
	{ "https", "a.example:", "/x", "" },
	{ "https", "a.example:443:443", "/x", "" },
	{ "https", "a.example@b", "/x", "" },
	{ "https", "a.example/x", "/x", "" },
	{ "https", "a.example ", "/x", "" },
	{ "https", "b.example:8443", "/x", "whole" },
	{ "https", "b.example", "/x", "" },
	{ "http", "127.0.0.1:8080", "/x", "root" },
	{ "https", "[2001:db8::1]", "/x", "six" },
	{ "https", "[2001:db8:0:0::1]:443", "/x", "six" },
	{ "https", "[2001:db8::1", "/x", "" },
	{ "https", "[2001:db8::1%25eth0]", "/x", "" },
	/* prefixes */
	{ "https", "a.example", "/admin/", "admin" },
	{ "https", "a.example", "/admin", "admin" },
	{ "https", "a.example", "/admin/users?x=/../..", "admin" },
	{ "https", "a.example", "/admin?", "admin" },
	{ "https", "a.example", "/adminx", "root" },
	{ "https", "a.example", "/x/admin/", "root" },
	{ "https", "a.example", "/admin/deep/er/est", "deep" },
	{ "https", "a.example", "/admin/deep/er", "deep" },
	{ "https", "a.example", "/admin/deep/", "admin" },
	{ "https", "a.example", "/status", "page" },
	{ "https", "a.example", "/status/", "page" },
	{ "https", "a.example", "/status/x", "root" },
	{ "https", "a.example", "/statusx", "root" },
	{ "https", "c.example", "/", "" },
	{ "https", "c.example", "/part/x", "part" },
	{ "https", "c.example", "/\xc3\xa4/x", "part" },
	{ "https", "c.example", "/%c3%A4/x", "part" },
	/* other spellings of what lies below /admin/ */
	{ "https", "a.example", "/%61dmin/", "admin" },
	{ "https", "a.example", "/%61%64%6d%69%6E", "admin" },
	{ "https", "a.example", "//admin/", "admin" },
	{ "https", "a.example", "/admin//x", "admin" },
	{ "https", "a.example", "///admin///deep//er/", "deep" },
	{ "https", "a.example", "/./admin/x", "" }, /* for who does not resolve, it is root's */
	{ "https", "a.example", "/x/../admin/x", "" },
	{ "https", "a.example", "/admin/../x", "" },
	{ "https", "a.example", "/admin/..", "" },
	{ "https", "a.example", "/admin/./x", "admin" },
	{ "https", "a.example", "/admin/a/../x", "admin" },
	{ "https", "a.example", "/admin/a/..", "admin" },
	{ "https", "a.example", "/x/../y", "root" },
	{ "https", "a.example", "/.well-known/x", "root" },
	{ "https", "a.example", "/...", "root" },
	{ "https", "a.example", "/..", "" },
	{ "https", "a.example", "/../admin/", "" },
	{ "https", "a.example", "/x/../../admin/", "" },
	{ "https", "a.example", "/x//../admin/", "" },
	{ "https", "a.example", "/admin//..", "" }, /* merged first: the root */
	{ "https", "a.example", "/x/%2e%2e/admin/", "" },
	{ "https", "a.example", "/admin/.%2E/x", "" },
	{ "https", "a.example", "/x/..;/admin/", "" },
	{ "https", "a.example", "/admin;a=b/x", "" },
	{ "https", "a.example", "/admin;a=b", "" },
	{ "https", "a.example", "/;a/admin/x", "" },
	{ "https", "a.example", "/%3Ba/admin/x", "" },
	{ "https", "a.example", "/admin/x;a=b", "admin" },
	{ "https", "a.example", "/x;a=b", "root" },
	{ "https", "a.example", "/ADMIN/x", "" },
	{ "https", "a.example", "/Admin", "" },
	{ "https", "a.example", "/admin/X", "admin" },
	{ "https", "a.example", "/admin%2fx", "" },
	{ "https", "a.example", "/x%2f..%2fadmin", "" },
	{ "https", "a.example", "/x\\..\\admin", "" },
	{ "https", "a.example", "/x%5c..%5Cadmin", "" },
	{ "https", "a.example", "/%2561dmin/", "" },
	{ "https", "a.example", "/100%25", "root" },
	{ "https", "a.example", "/100%25-x", "root" },
	/* no paths */
	{ "https", "a.example", "", "" },
	{ "https", "a.example", "x", "" },
	{ "https", "a.example", "?", "" },
	{ "https", "a.example", "https://a.example/", "" },
	{ "https", "a.example", "/%", "" },
	{ "https", "a.example", "/%6", "" },
	{ "https", "a.example", "/%6g", "" },
	{ "https", "a.example", "/x%00", "" },
	{ "https", "a.example", "/x%0a", "" },
	{ "https", "a.example", "/x\x7f", "" },
	{ "https", "a.example", "/x\ty", "" },
	{ "https", "a.example", "/x#y", "" },
	{ "https", "a.example", "/%c0%afadmin", "" },
	{ "https", "a.example", "/\xff", "" },
	/* where the whole host is one application's, nothing hangs on the path */
	{ "https", "b.example:8443", "/group%2Fproject", "whole" },
	{ "https", "b.example:8443", "/x/../y", "whole" },
	{ "https", "b.example:8443", "/%2561", "whole" },
	{ "https", "b.example:8443", "/%00", "" },
	{ "https", "b.example:8443", "/%", "" },
};

static const char *name_at(struct world *world, const char *scheme, const char *host,
			   const char *path)
{
	const struct application *found =
		applications_find(world->applications, scheme, host, path);

	return found ? application_name(found) : "";
}

static void test_places(void **state)
{
	struct world *world = *state;
	size_t failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *name = name_at(world, places[i].scheme, places[i].host, places[i].path);

		if (strcmp(name, places[i].name) == 0)
			continue;
		print_error("%s %s %s: found '%s', not '%s'\n", places[i].scheme, places[i].host,
			    places[i].path, name, places[i].name);
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void test_long_path(void **state)
{
	static char path[10000];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	assert_string_equal(name_at(*state, "https", "a.example", path), "");
	path[8192] = 0;
	assert_string_equal(name_at(*state, "https", "a.example", path), "root");
	memset(path, '/', 8192);
	assert_string_equal(name_at(*state, "https", "a.example", path), "root");
}

static void test_token_host(void **state)
{
	struct world *world = *state;
	const struct application *a, *c;

	a = applications_find(world->applications, "https", "A.example:443", "/admin/");
	c = applications_find(world->applications, "https", "c.example", "/admin/");
	assert_string_equal(application_name(a), application_name(c));
	assert_ptr_equal(application_settings(a), application_settings(c));
	assert_string_equal(application_host(a), "a.example");
	assert_string_equal(application_host(c), "c.example");
	a = applications_find(world->applications, "https", "b.example:8443", "/");
	assert_string_equal(application_host(a), "b.example:8443");
}

static const struct {
	const char *url;
	bool allowed;
} returns[] = {
	{ "https://a.example", true },
	{ "https://a.example/", true },
	{ "https://a.example/x?y=http://evil.example/#z", true },
	{ "https://a.example?y", true },
	{ "HTTPS://A.EXAMPLE:443/x", true },
	{ "https://login.example/", true },
	{ "https://login.example/users?x=a|b", true },
	{ "https://c.example/part/", true },
	{ "https://c.example/", false },
	{ "https://login.example:444/", false },
	{ "http://login.example/", false },
	{ "http://a.example/", false },
	{ "https://evil.example/", false },
	{ "https://a.example.evil.example/", false },
	{ "https://a.example@evil.example/", false },
	{ "https://evil.example\\@a.example/", false },
	{ "https://a.example\\.evil.example/", false },
	{ "https://evil.example#@a.example/", false },
	{ "https://a.example:443@evil.example/", false },
	{ "https:/a.example/", false },
	{ "https:///a.example/", false },
	{ "https:a.example", false },
	{ "//a.example/", false },
	{ "/x", false },
	{ "", false },
	{ "javascript:alert(1)", false },
	{ "javascript://a.example/%0aalert(1)", false },
	{ "data:text/html,x", false },
	{ " https://a.example/", false },
	{ "https://a.example/ x", false },
	{ "https://a.example/\r\nLocation: x", false },
	{ "https://a.example/\xc3\xa4", false },
	{ "https://a.example/\"onclick=", false },
	{ "https://a.ex\tample/", false },
	{ "https://a.example%2f@evil.example/", false },
	{ "https://[::1]@evil.example/", false },
	{ "https://[2001:db8::1]/x", true },
	{ "https://[2001:db8::1].evil.example/", false },
	{ "https://a.example/x/../admin/", false },
};

static void test_returns(void **state)
{
	struct world *world = *state;
	size_t failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(returns); i++) {
		if (applications_allow_return(world->applications, returns[i].url) ==
		    returns[i].allowed)
			continue;
		print_error("'%s' was %s\n", returns[i].url,
			    returns[i].allowed ? "refused" : "allowed");
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void test_return_too_long(void **state)
{
	struct world *world = *state;
	char url[2100] = "https://a.example/";

	memset(url + 18, 'x', 2048 - 18);
	assert_true(applications_allow_return(world->applications, url));
	url[2048] = 'x';
	assert_false(applications_allow_return(world->applications, url));
}

/* ------------------------------------------------------------------ judging */

static const char *const auditor[] = { "auditor" };
static const char *const clerk_night[] = { "clerk", "night" };
static const char *const lead[] = { "lead" };

#define NOW 1000000

static const struct {
	const char *name, *require;
	const char *profile;
	const char *const *roles;
	size_t role_count;
	int64_t second_factor_s;
	enum forward_verdict verdict;
	const char *lacking;
} judgements[] = {
	{ "nothing required", "{}", "reader", NULL, 0, 0, FORWARD_ALLOWED, "" },
	{ "profile", "{profiles: [x, reader]}", "reader", NULL, 0, 0, FORWARD_ALLOWED, "" },
	{ "other profile", "{profiles: [read]}", "reader", NULL, 0, 0, FORWARD_DENIED, "profiles" },
	{ "role", "{roles: [x, night]}", "reader", clerk_night, 2, 0, FORWARD_ALLOWED, "" },
	{ "other role", "{roles: [x]}", "reader", clerk_night, 2, 0, FORWARD_DENIED, "roles" },
	{ "no role", "{roles: [x]}", "reader", NULL, 0, 0, FORWARD_DENIED, "roles" },
	{ "persona", "{personas: [lead]}", "reader", NULL, 0, 0, FORWARD_ALLOWED, "" },
	{ "other persona", "{personas: [x]}", "reader", NULL, 0, 0, FORWARD_DENIED, "personas" },
	{ "group", "{groups: [x]}", "reader", NULL, 0, 0, FORWARD_DENIED, "groups" },
	{ "all lists", "{profiles: [reader], roles: [clerk]}", "reader", auditor, 1, 0,
	  FORWARD_DENIED, "roles" },
	{ "permission of the profile", "{permissions: ['cases:write@all']}", "manager", NULL, 0, 0,
	  FORWARD_ALLOWED, "" },
	{ "permission of a role", "{permissions: ['bills:read@own']}", "reader", auditor, 1, 0,
	  FORWARD_ALLOWED, "" },
	{ "wider permission than held", "{permissions: ['cases:read@all']}", "reader", NULL, 0, 0,
	  FORWARD_DENIED, "permissions" },
	{ "any of the permissions", "{permissions: ['x:y@all', 'cases:read@own']}", "reader", NULL,
	  0, 0, FORWARD_ALLOWED, "" },
	{ "permission of an unknown profile", "{permissions: ['cases:read@own']}", "gone", NULL, 0,
	  0, FORWARD_DENIED, "permissions" },
	{ "no second factor", "{second_factor: true}", "reader", NULL, 0, 0, FORWARD_SECOND_FACTOR,
	  "second-factor" },
	{ "second factor", "{second_factor: true}", "reader", NULL, 0, 1, FORWARD_ALLOWED, "" },
	{ "fresh second factor", "{second_factor: true, second_factor_max_age: 5m}", "reader", NULL,
	  0, NOW - 300, FORWARD_ALLOWED, "" },
	{ "stale second factor", "{second_factor: true, second_factor_max_age: 5m}", "reader", NULL,
	  0, NOW - 301, FORWARD_SECOND_FACTOR, "second-factor" },
	{ "second factor of the future", "{second_factor: true}", "reader", NULL, 0, NOW + 1000,
	  FORWARD_SECOND_FACTOR, "second-factor" },
	{ "a second factor is no role", "{roles: [x], second_factor: true}", "reader", NULL, 0, NOW,
	  FORWARD_DENIED, "roles" },
};

static void judge(size_t i)
{
	struct web_config config;
	struct applications *applications;
	char text[2048];
	struct principal principal = { .profile = judgements[i].profile,
				       .roles = judgements[i].roles,
				       .role_count = judgements[i].role_count,
				       .personas = lead,
				       .persona_count = 1 };
	struct session_view view = { .principal = &principal,
				     .second_factor_s = judgements[i].second_factor_s };
	const char *lacking = NULL;
	enum forward_verdict verdict;

	snprintf(text, sizeof(text),
		 "%.*sapplications: [{name: a, urls: ['https://a.example'], require: %s}]\n",
		 (int)(strstr(yaml, "applications:") - yaml), yaml, judgements[i].require);
	web_config_load(&config, text);
	assert_string_equal(web_config_findings(&config), "");
	applications = applications_create(&config.root.web, &config.root.catalogue, NULL);
	assert_non_null(applications);
	verdict = application_judge(applications_find(applications, "https", "a.example", "/"),
				    &view, NOW, &lacking);
	if (verdict != judgements[i].verdict || strcmp(lacking, judgements[i].lacking) != 0)
		fail_msg("%s: verdict %d, lacking '%s'", judgements[i].name, (int)verdict, lacking);
	applications_destroy(applications);
	web_config_finish(&config);
}

static void test_judgements(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(judgements); i++)
		judge(i);
}

/* Settings that did not come through the check all the same let nobody in. */
static void test_empty_list(void **state)
{
	struct located url = { .text = "https://a.example" };
	struct application_settings settings = { .name.text = "a",
						 .urls = { 1, &url },
						 .require.groups = { 0, &url } };
	struct web_settings web = { .applications = { 1, &settings } };
	struct catalogue_settings catalogue = { 0 };
	struct applications *applications = applications_create(&web, &catalogue, NULL);
	struct principal principal = { .profile = "x" };
	struct session_view view = { .principal = &principal };
	const char *lacking;

	(void)state;
	assert_int_equal(
		application_judge(applications_find(applications, "https", "a.example", "/"), &view,
				  NOW, &lacking),
		FORWARD_DENIED);
	assert_false(applications_allow_return(applications, "https:///"));
	applications_destroy(applications);
}

static void test_bad_settings(void **state)
{
	struct located url = { .text = "https://a.example/%2f/" };
	struct application_settings settings = { .name.text = "a", .urls = { 1, &url } };
	struct web_settings web = { .applications = { 1, &settings } };
	struct catalogue_settings catalogue = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_null(applications_create(&web, &catalogue, &err));
	assert_int_equal(err.code, ERR_INVALID);
	url.text = "a.example";
	assert_null(applications_create(&web, &catalogue, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

/* ------------------------------------------------------------------ headers */

static const struct {
	const char *text;
	enum header_encoding encoding;
	const char *value; /* NULL: refused */
} headers[] = {
	{ "Anna Roe", HEADER_UTF8, "Anna Roe" },
	{ "Anna Roe", HEADER_RFC8187, "Anna Roe" },
	{ "", HEADER_UTF8, "" },
	{ "", HEADER_RFC8187, "" },
	{ "J\xc3\xb6rg", HEADER_UTF8, "J\xc3\xb6rg" },
	{ "J\xc3\xb6rg R&D", HEADER_RFC8187, "UTF-8''J%C3%B6rg%20R&D" },
	{ "100% \"x\"", HEADER_RFC8187, "100% \"x\"" },
	{ "\xc3\xa4%'(", HEADER_RFC8187, "UTF-8''%C3%A4%25%27%28" },
	{ "utf-8''anna", HEADER_RFC8187, "UTF-8''utf-8%27%27anna" },
	{ "utf-8''anna", HEADER_UTF8, "utf-8''anna" },
	{ "a\r\nRemote-User: root", HEADER_UTF8, "aRemote-User: root" },
	{ "a\r\nRemote-User: root", HEADER_RFC8187, "aRemote-User: root" },
	{ "  \t a b \n ", HEADER_UTF8, "a b" },
	{ "a\x01\x1f\x7f"
	  "b",
	  HEADER_UTF8, "ab" },
	{ "a\xc2\x85\xe2\x80\xa8"
	  "b",
	  HEADER_UTF8, "ab" },
	{ "\xff", HEADER_UTF8, NULL },
	{ "\xc0\x8a", HEADER_UTF8, NULL },
};

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);
		struct err err = { 0 };
		int status;

		strbuf_puts(&out, "x: ");
		status = forward_header_value(headers[i].text, headers[i].encoding, &out, &err);
		assert_int_equal(status, headers[i].value ? 0 : -1);
		assert_string_equal(strbuf_text(&out) + 3,
				    headers[i].value ? headers[i].value : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_token_host),	cmocka_unit_test(test_returns),
		cmocka_unit_test(test_return_too_long), cmocka_unit_test(test_judgements),
		cmocka_unit_test(test_empty_list),	cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
