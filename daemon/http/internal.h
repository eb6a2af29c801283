/* What the files of http/ share and nobody else sees. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <rolebridge/http/request.h>
#include <rolebridge/http/router.h>

#define HTTP_TARGET_MAX 8192

/* Percent-decode strictly: UTF-8, no NUL. plus: '+' is a space (query). */
int http_decode(struct arena *arena, const char *text, size_t size, bool plus,
		const char **ret_text, struct err *err);
/* Split "/path?query" into request->path and request->query. */
int http_target_parse(struct http_request *request, const char *target, struct err *err);

/* Peer of a connected unix socket; groups from the heap (free). known stays false on others. */
int http_peer_read(int fd, struct http_peer *ret_peer, struct err *err);

const char *http_pair_find(const struct http_pair *pairs, size_t count, const char *name);
/* RFC 9110 5.6.2 */
bool http_token_valid(const char *name);
/* Only what may stand in a cookie's value (RFC 6265 4.1.1). */
bool http_cookie_value_valid(const char *text, size_t size);

/* --- deadlines of connections (deadline.c) --- */
struct watch;
struct watched { /* embed one per connection */
	struct watched *previous, *next;
	int fd;
	int64_t deadline_us; /* monotonic; 0: none */
};
/* Starts a thread that shuts down sockets whose deadline has passed. */
struct watch *watch_create(struct err *err);
void watch_destroy(struct watch *watch);
void watch_add(struct watch *watch, struct watched *item, int fd, int64_t timeout_ms);
void watch_remove(struct watch *watch, struct watched *item);
/* timeout_ms 0: no deadline. */
void watch_set(struct watch *watch, struct watched *item, int64_t timeout_ms);
/* Shut down every socket that has a deadline (idle or arriving), or all. */
void watch_cut(struct watch *watch, bool all);

#endif
