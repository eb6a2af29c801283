/* Request targets: what the router hands on is decoded once, UTF-8, and has no dot segment. */
#include "../../daemon/http/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

static int nothing(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)response;
	(void)err;
	return 0;
}

static const struct http_route routes[] = {
	{ "GET", "/api/users", nothing, 0, 0, NULL },
	{ "GET", "/api/users/{user}", nothing, 0, 0, NULL },
	{ "GET", "/api/users/me", nothing, 0, 0, NULL },
	{ "GET", "/api/users/{user}/grants/{kind}/{name}", nothing, 0, 0, NULL },
};

static void check_text(const char *text)
{
	if (!text_is_utf8(text, strlen(text)))
		abort();
}

static void check(const struct http_request *request)
{
	for (size_t i = 0; i < request->parameter_count; i++) {
		const char *value = request->parameters[i].value;

		check_text(value);
		if (!value[0] || strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
			abort();
	}
	for (size_t i = 0; i < request->query_count; i++) {
		check_text(request->query[i].name);
		check_text(request->query[i].value);
		if (http_query(request, request->query[i].name) != request->query[i].value)
			abort(); /* the same name twice */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)16 * 1024 * 1024);
	struct http_router *router = http_router_create();
	struct http_request request = { .arena = arena, .method = "GET" };
	char *target = arena ? arena_strndup(arena, (const char *)data, size) : NULL;
	int (*before)(struct http_request * request, struct err * err) = NULL;
	const char *allow = NULL;
	struct err err = { 0 };

	if (target && router &&
	    http_router_add(router, routes, ARRAY_LEN(routes), NULL, NULL, &err) == 0 &&
	    http_target_parse(&request, target, &err) == 0 &&
	    http_router_find(router, &request, &before, &allow, &err) == 0)
		check(&request);
	http_router_destroy(router);
	return 0;
}
