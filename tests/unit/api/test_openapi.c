/* schemas/openapi.yaml describes the routes there are, and no others. */
#include <rolebridge/api/api.h>

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfyaml.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>

static struct fy_document *load(void)
{
	struct fy_document *document = fy_document_build_from_file(NULL, "schemas/openapi.yaml");

	assert_non_null(document);
	return document;
}

static struct fy_node *get(struct fy_node *mapping, const char *key)
{
	return mapping ? fy_node_mapping_lookup_by_string(mapping, key, FY_NT) : NULL;
}

static void lower(const char *text, char *out, size_t size)
{
	size_t i = 0;

	for (; text[i] && i + 1 < size; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[i] = 0;
}

static bool route_exists(const char *method, const char *path)
{
	size_t count;
	const struct http_route *routes = api_routes(&count);

	for (size_t i = 0; i < count; i++) {
		char name[16];

		lower(routes[i].method, name, sizeof(name));
		if (strcmp(name, method) == 0 && strcmp(routes[i].pattern, path) == 0)
			return true;
	}
	return false;
}

/* A route that takes a body says so, and the other way round. */
static void check_body(const struct http_route *route, struct fy_node *operation)
{
	bool sends = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PATCH") == 0 ||
		     strcmp(route->method, "PUT") == 0;
	bool takes = sends && !(route->flags & HTTP_ROUTE_NO_BODY);

	if (takes != (get(operation, "requestBody") != NULL))
		fail_msg("%s %s: requestBody", route->method, route->pattern);
}

static bool takes_query(struct fy_document *document, struct fy_node *operation)
{
	struct fy_node *item;
	void *at = NULL;

	while ((item = fy_node_sequence_iterate(get(operation, "parameters"), &at)) != NULL) {
		struct fy_node *reference = get(item, "$ref");
		const char *path = reference ? fy_node_get_scalar0(reference) : NULL;
		struct fy_node *told = path ? fy_node_by_path(fy_document_root(document), path + 1,
							      (size_t)-1, FYNWF_DONT_FOLLOW)
					    : item;

		if (strcmp(fy_node_get_scalar0(get(told, "in")), "query") == 0)
			return true;
	}
	return false;
}

/* Where something is changed no parameter may be overlooked. */
static void check_query(struct fy_document *document, const struct http_route *route,
			struct fy_node *operation)
{
	bool takes = takes_query(document, operation), flag = route->flags & HTTP_ROUTE_QUERY;

	if (strcmp(route->method, "GET") != 0 && takes != flag)
		fail_msg("%s %s: HTTP_ROUTE_QUERY and its query parameters go together",
			 route->method, route->pattern);
}

/* Who they are for is the handlers' to say: whoever is known, or holds a link; or it goes by the body. */
static bool is_for_anybody(const struct http_route *route)
{
	static const char *const patterns[] = { "/api/v1/me",	       "/api/v1/tokens",
						"/api/v1/tokens/{id}", "/api/v1/invites/accept",
						"/api/v1/runs/{id}",   "/api/v1/users/bulk",
						"/api/v1/login-links", "/api/v1/backups",
						"/api/v1/backups/{id}" };

	/* Of a person, about themselves. */
	if (strncmp(route->pattern, "/api/v1/me/", 11) == 0 && !route->permission)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		if (strcmp(patterns[i], route->pattern) == 0)
			return true;
	return false;
}

/* Every route needs a permission, which is told. */
static void check_permission(const struct http_route *route, struct fy_node *operation)
{
	struct fy_node *told = get(operation, "x-permission");
	struct err err = { 0 };

	if (!route->permission != is_for_anybody(route))
		fail_msg("%s %s needs %s permission", route->method, route->pattern,
			 route->permission ? "no" : "a");
	if (route->permission && permission_check(route->permission, &err) < 0)
		fail_msg("%s %s: %s", route->method, route->pattern, err.text);
	if (!told != !route->permission ||
	    (told && strcmp(fy_node_get_scalar0(told), route->permission) != 0))
		fail_msg("%s %s: x-permission must be '%s'", route->method, route->pattern,
			 route->permission ? route->permission : "");
}

static void test_routes_are_described(void **state)
{
	struct fy_document *document = load();
	struct fy_node *paths = get(fy_document_root(document), "paths");
	size_t count;
	const struct http_route *routes = api_routes(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		char method[16];

		lower(routes[i].method, method, sizeof(method));

		struct fy_node *operation = get(get(paths, routes[i].pattern), method);

		if (!operation || !get(operation, "operationId") || !get(operation, "summary") ||
		    !get(get(operation, "responses"), "default"))
			fail_msg("%s %s is not described", routes[i].method, routes[i].pattern);
		check_body(&routes[i], operation);
		check_query(document, &routes[i], operation);
		check_permission(&routes[i], operation);
	}
	fy_document_destroy(document);
}

static void test_descriptions_have_routes(void **state)
{
	struct fy_document *document = load();
	struct fy_node *paths = get(fy_document_root(document), "paths");
	struct fy_node_pair *path, *operation;
	void *paths_at = NULL, *at;

	(void)state;
	while ((path = fy_node_mapping_iterate(paths, &paths_at)) != NULL) {
		const char *pattern = fy_node_get_scalar0(fy_node_pair_key(path));

		at = NULL;
		while ((operation = fy_node_mapping_iterate(fy_node_pair_value(path), &at)) !=
		       NULL) {
			const char *method = fy_node_get_scalar0(fy_node_pair_key(operation));

			if (!route_exists(method, pattern))
				fail_msg("there is no route %s %s", method, pattern);
		}
	}
	fy_document_destroy(document);
}

static bool code_is_listed(struct fy_node *codes, const char *code)
{
	struct fy_node *item;
	void *at = NULL;

	while ((item = fy_node_sequence_iterate(codes, &at)) != NULL) {
		if (strcmp(fy_node_get_scalar0(item), code) == 0)
			return true;
	}
	return false;
}

/* Every word that an error can have by its code alone. Reasons that functions give: tests/lint/test_error_codes.py. */
static void test_codes_are_listed(void **state)
{
	struct fy_document *document = load();
	struct fy_node *schemas = get(get(fy_document_root(document), "components"), "schemas");
	struct fy_node *codes = get(get(schemas, "ErrorCode"), "enum");

	(void)state;
	assert_non_null(codes);
	for (int code = ERR_INVALID; code <= ERR_INTERNAL; code++) {
		struct err err = { .code = (enum err_code)code };

		if (!code_is_listed(codes, http_error_code(&err)))
			fail_msg("code '%s' is not listed", http_error_code(&err));
	}
	fy_document_destroy(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_are_described),
		cmocka_unit_test(test_descriptions_have_routes),
		cmocka_unit_test(test_codes_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
