/*
 * Router. Enters: route tables, then requests with a raw path. Leaves: the
 * route with its parameters decoded. A path matches segment by segment before
 * decoding, so that %2F inside a name does not make two segments of it.
 */
#include <rolebridge/http/router.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "internal.h"

struct router_entry {
	const struct http_route *route;
	size_t constant; /* bytes of the pattern before its first {name} */
	bool whole;	 /* there is no {name} */
	void *context;
	int (*before)(struct http_request *request, struct err *err);
};

struct http_router {
	struct router_entry *entries;
	size_t count;
};

struct http_router *http_router_create(void)
{
	return alloc_zeroed(1, sizeof(struct http_router));
}

void http_router_destroy(struct http_router *router)
{
	if (!router)
		return;
	free(router->entries);
	free(router);
}

int http_router_add(struct http_router *router, const struct http_route *routes, size_t count,
		    void *context, int (*before)(struct http_request *request, struct err *err),
		    struct err *err)
{
	size_t total;
	struct router_entry *entries;

	if (__builtin_add_overflow(router->count, count, &total) || total > 10000)
		return err_set(err, ERR_TOO_LARGE, "more than 10,000 routes");
	entries = alloc_resize(router->entries, total * sizeof(*entries));
	if (!entries)
		return err_set(err, ERR_MEMORY, "out of memory");
	router->entries = entries;
	for (size_t i = 0; i < count; i++) {
		size_t constant = strcspn(routes[i].pattern, "{");

		entries[router->count++] =
			(struct router_entry){ &routes[i], constant, !routes[i].pattern[constant],
					       context, before };
	}
	return 0;
}

struct segment {
	const char *text;
	size_t size;
};

/* The segment at *at, which points at its '/'; moves on to the next '/' or the end. */
static struct segment segment_next(const char **at)
{
	struct segment segment = { *at + 1, strcspn(*at + 1, "/") };

	*at = segment.text + segment.size;
	return segment;
}

static bool segment_is_name(const struct segment *segment)
{
	return segment->size > 2 && segment->text[0] == '{' &&
	       segment->text[segment->size - 1] == '}';
}

/* Number of {names} when the path fits the pattern, else -1. */
static int names_match(const char *pattern, const char *path)
{
	int names = 0;

	while (*pattern == '/' && *path == '/') {
		struct segment want = segment_next(&pattern), have = segment_next(&path);

		if (segment_is_name(&want)) {
			if (have.size == 0)
				return -1;
			names++;
		} else if (want.size != have.size || memcmp(want.text, have.text, want.size) != 0) {
			return -1;
		}
	}
	return *pattern || *path ? -1 : names;
}

/* The same. What is constant is compared first: most routes are not the one. */
static int pattern_match(const struct router_entry *entry, const char *path, size_t size)
{
	if (entry->whole ? size != entry->constant : size <= entry->constant)
		return -1;
	if (memcmp(entry->route->pattern, path, entry->constant) != 0)
		return -1;
	return entry->whole ? 0 : names_match(entry->route->pattern, path);
}

static int parameters_read(struct http_request *request, const char *pattern, struct err *err)
{
	const char *path = request->path;

	while (*pattern == '/') {
		struct segment want = segment_next(&pattern), have = segment_next(&path);
		struct http_pair *pair = &request->parameters[request->parameter_count];

		if (!segment_is_name(&want))
			continue;
		if (request->parameter_count == HTTP_PARAMETERS_MAX)
			return err_set(err, ERR_INTERNAL, "route has too many parameters");
		pair->name = arena_strndup(request->arena, want.text + 1, want.size - 2);
		if (!pair->name)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (http_decode(request->arena, have.text, have.size, false, &pair->value, err) < 0)
			return -1;
		if (strcmp(pair->value, ".") == 0 || strcmp(pair->value, "..") == 0)
			return err_set(err, ERR_INVALID, "address holds a dot segment");
		request->parameter_count++;
	}
	return 0;
}

static bool method_matches(const char *route, const char *asked)
{
	if (strcmp(asked, "HEAD") == 0)
		asked = "GET";
	return strcmp(route, asked) == 0;
}

static int refuse_method(struct http_request *request, const struct strbuf *methods,
			 const char **ret_allow, struct err *err)
{
	const char *allow = arena_strdup(request->arena, strbuf_text(methods));

	if (!allow || strbuf_failed(methods))
		return err_set(err, ERR_MEMORY, "out of memory");
	*ret_allow = allow;
	return err_refuse(err, ERR_INVALID, "method-not-allowed", "'%s' takes only %s",
			  request->path, allow);
}

int http_router_find(const struct http_router *router, struct http_request *request,
		     int (**ret_before)(struct http_request *request, struct err *err),
		     const char **ret_allow, struct err *err)
{
	AUTO(strbuf) struct strbuf methods = STRBUF(256);
	const struct router_entry *best = NULL;
	size_t size = strlen(request->path);
	int best_names = 0;

	for (size_t i = 0; i < router->count; i++) {
		const struct router_entry *entry = &router->entries[i];
		int names = pattern_match(entry, request->path, size);

		if (names < 0)
			continue;
		if (!method_matches(entry->route->method, request->method)) {
			strbuf_printf(&methods, "%s%s", methods.size ? ", " : "",
				      entry->route->method);
		} else if (!best || names < best_names) {
			best = entry;
			best_names = names;
			/* Nothing fits better, and the first of two that fit as well is taken. */
			if (names == 0)
				break;
		}
	}
	if (!best && methods.size > 0)
		return refuse_method(request, &methods, ret_allow, err);
	if (!best)
		return err_set(err, ERR_NOT_FOUND, "there is nothing at '%s'", request->path);
	if (parameters_read(request, best->route->pattern, err) < 0)
		return -1;
	request->route = best->route;
	request->context = best->context;
	*ret_before = best->before;
	return 0;
}
