/*
 * Routes: method and pattern to handler. Tables come from the folders that
 * have handlers (api, later web and SAML); a router is built once at start
 * and shared by all listeners that serve it.
 *
 *	static const struct http_route routes[] = {
 *		{ "GET", "/api/v1/users/{user}", user_show, 0, 0, "users:read@all" },
 *	};
 */
#ifndef ROLEBRIDGE_HTTP_ROUTER_H
#define ROLEBRIDGE_HTTP_ROUTER_H

#include <stddef.h>

#include <rolebridge/http/request.h>

#define HTTP_BODY_MAX_DEFAULT ((size_t)1024 * 1024)

/* Fills response and returns 0, or -1 with err: the server makes the JSON error or the error page of it. */
typedef int (*http_handler)(struct http_request *request, struct http_response *response,
			    struct err *err);

/* The route takes no body at all: one that is sent is refused. */
#define HTTP_ROUTE_NO_BODY (1u << 0)
/* Not logged unless it fails with 5xx: polling, scraping, /auth. */
#define HTTP_ROUTE_QUIET (1u << 1)
/*
 * The handler waits for others (worker, store, directory): on a pool listener it runs in one of the server's slow
 * threads while the connection is suspended. Queue full: 503 with Retry-After at once. Past slow_deadline_ms
 * the client has 503 and the handler's answer is dropped when it comes; its effects stay. The handler
 * should end by itself before that.
 */
#define HTTP_ROUTE_SLOW (1u << 2)
/* A proxy asks, no browser: without security headers and X-Request-Id. */
#define HTTP_ROUTE_BARE (1u << 3)
/* The handler reads request->query_raw itself: nothing is decoded, and nothing refused for what stands there. */
#define HTTP_ROUTE_RAW_QUERY (1u << 4)
/*
 * With HTTP_ROUTE_SLOW: the handler needs something first of which there is little (a worker), and then waits for something that many
 * can wait for at once (a commit). Only slow_starts_max of them are at work before http_request_waits.
 */
#define HTTP_ROUTE_STAGED (1u << 5)
/* The path holds a secret: the pattern is logged in its place. */
#define HTTP_ROUTE_SECRET_PATH (1u << 6)
/* Beside those of GET: the handler reads query parameters. Where it does not, the API refuses them. */
#define HTTP_ROUTE_QUERY (1u << 7)

struct http_route {
	const char *method;  /* "GET" also answers HEAD */
	const char *pattern; /* "/users/{user}": {name} is one whole, non-empty segment */
	http_handler handler;
	unsigned flags;
	size_t body_max; /* bytes; 0: HTTP_BODY_MAX_DEFAULT */
	/* What the table's `before` asks of the caller; NULL: nothing, or it is the handler's to say. */
	const char *permission;
};

struct http_router;

struct http_router *http_router_create(void); /* NULL: out of memory */
void http_router_destroy(struct http_router *router);
/*
 * Add a table; it must outlive the router. context is request->context in its handlers.
 * before (may be NULL) runs before each handler and before the body is read: authorisation. It runs again, just before
 * the handler, for a request that took its time since.
 */
int http_router_add(struct http_router *router, const struct http_route *routes, size_t count,
		    void *context, int (*before)(struct http_request *request, struct err *err),
		    struct err *err);

/*
 * Find the route of request->method and request->path and set route, context and parameters.
 * Constant segments win over {name}. ERR_NOT_FOUND; ERR_INVALID reason "method-not-allowed", with
 * the methods that exist in *ret_allow (arena).
 */
int http_router_find(const struct http_router *router, struct http_request *request,
		     int (**ret_before)(struct http_request *request, struct err *err),
		     const char **ret_allow, struct err *err);

#endif
