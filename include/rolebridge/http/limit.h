/*
 * How often one address may ask: a token bucket for each, in a table of fixed size whose least recently used
 * place is taken over. IPv6 counts by /64. Safe from any thread; nothing is allocated after create.
 */
#ifndef ROLEBRIDGE_HTTP_LIMIT_H
#define ROLEBRIDGE_HTTP_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/address.h>
#include <rolebridge/http/request.h>

struct http_limit;

/* burst requests at once, then per_minute (both at least 1). NULL: out of memory, or no sizes. */
struct http_limit *http_limit_create(unsigned per_minute, unsigned burst, size_t addresses_max);
void http_limit_destroy(struct http_limit *limit);

/*
 * One request of http_client_address. ERR_UNAVAILABLE "rate-limited" (429) with request->retry_after_s set.
 * Requests whose address nobody told (unix socket, no X-Forwarded-For) share one bucket.
 */
int http_limit_take(struct http_limit *limit, struct http_request *request, struct err *err);
/* The same by address; 0: allowed, else seconds to wait. NULL: the bucket of those without. */
unsigned http_limit_take_address(struct http_limit *limit, const struct address *address,
				 int64_t now_us);

/*
 * What was let pass turned out to cost as many more requests. That may be more than is left: then nothing passes
 * until it is made up for, at most burst requests' time.
 */
void http_limit_charge(struct http_limit *limit, const struct http_request *request,
		       unsigned count);
void http_limit_charge_address(struct http_limit *limit, const struct address *address,
			       unsigned count, int64_t now_us);

static inline void http_limit_auto(struct http_limit **limit)
{
	http_limit_destroy(*limit);
}

#endif
