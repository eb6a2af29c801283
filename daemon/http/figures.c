/*
 * What was answered, and how long that took: of all servers since the start. Enters: exchanges that end. Leaves: lines for
 * /metrics. Nothing fails.
 *
 * Each loop counts in a slot of its own, so that no two processors write the same cache line, and who asks adds the slots up.
 * The threads of the control socket, which come and go with its connections, share the first.
 */
#include <stdalign.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define SLOTS 16
#define CACHE_LINE 64
#define CLASSES 6 /* of statuses; the first is none */

/* Of requests, not of paths: what they wait for differs by orders of magnitude. */
enum kind { KIND_AUTH, KIND_SLOW, KIND_OTHER, KIND_CONTROL, KINDS };

static const char *const kinds[KINDS] = { "auth", "slow", "other", "control" };
static const char *const listeners[] = { "control", "web" };

/* The last is for all that took longer. */
static const struct {
	int64_t us;
	const char *seconds;
} bounds[] = { { 1000, "0.001" }, { 5000, "0.005" },  { 25000, "0.025" }, { 100000, "0.1" },
	       { 500000, "0.5" }, { 2500000, "2.5" }, { 10000000, "10" }, { INT64_MAX, "+Inf" } };

#define BUCKETS ARRAY_LEN(bounds)

struct slot {
	alignas(CACHE_LINE) atomic_uint_fast64_t answered[ARRAY_LEN(listeners)][CLASSES];
	atomic_uint_fast64_t took[KINDS][BUCKETS];
	atomic_uint_fast64_t took_us[KINDS];
};

static struct slot slots[SLOTS];
static atomic_uint taken;
static _Thread_local struct slot *own;

void figures_begin_loop(void)
{
	own = &slots[1 + atomic_fetch_add(&taken, 1) % (SLOTS - 1)];
}

static void add(atomic_uint_fast64_t *figure, uint64_t count)
{
	atomic_fetch_add_explicit(figure, count, memory_order_relaxed);
}

static enum kind kind_of(const struct exchange *exchange)
{
	const struct http_route *route = exchange->request.route;

	if (!exchange->server->settings.web)
		return KIND_CONTROL;
	if (!route)
		return KIND_OTHER;
	if (route->flags & HTTP_ROUTE_SLOW)
		return KIND_SLOW;
	return route->flags & HTTP_ROUTE_BARE ? KIND_AUTH : KIND_OTHER;
}

void figures_note(const struct exchange *exchange)
{
	struct slot *slot = own ? own : slots;
	int64_t took_us = clock_monotonic_us() - exchange->started_us;
	int class = exchange->status / 100;
	enum kind kind = kind_of(exchange);
	size_t bucket = 0;

	if (class >= 1 && class < CLASSES)
		add(&slot->answered[exchange->server->settings.web][class], 1);
	while (took_us > bounds[bucket].us)
		bucket++;
	add(&slot->took[kind][bucket], 1);
	add(&slot->took_us[kind], (uint64_t)took_us);
}

/* --- told --- */

static unsigned long long answered(size_t listener, int class)
{
	unsigned long long sum = 0;

	for (size_t i = 0; i < SLOTS; i++)
		sum += atomic_load(&slots[i].answered[listener][class]);
	return sum;
}

static void write_answered(struct strbuf *out)
{
	strbuf_puts(out, "# HELP rolebridge_http_requests_total Requests that were answered.\n"
			 "# TYPE rolebridge_http_requests_total counter\n");
	for (size_t i = 0; i < ARRAY_LEN(listeners); i++)
		for (int class = 2; class < CLASSES; class ++)
			strbuf_printf(out,
				      "rolebridge_http_requests_total{listener=\"%s\","
				      "code=\"%dxx\"} %llu\n",
				      listeners[i], class, answered(i, class));
}

/* Each bucket holds those before it, and the count is the last one: whatever is added meanwhile, they agree. */
static void write_durations_of(enum kind kind, struct strbuf *out)
{
	unsigned long long count = 0, sum_us = 0;

	for (size_t i = 0; i < SLOTS; i++)
		sum_us += atomic_load(&slots[i].took_us[kind]);
	for (size_t i = 0; i < BUCKETS; i++) {
		for (size_t j = 0; j < SLOTS; j++)
			count += atomic_load(&slots[j].took[kind][i]);
		strbuf_printf(out,
			      "rolebridge_http_request_duration_seconds_bucket{kind=\"%s\","
			      "le=\"%s\"} %llu\n",
			      kinds[kind], bounds[i].seconds, count);
	}
	strbuf_printf(out,
		      "rolebridge_http_request_duration_seconds_sum{kind=\"%s\"} %.6f\n"
		      "rolebridge_http_request_duration_seconds_count{kind=\"%s\"} %llu\n",
		      kinds[kind], (double)sum_us / 1e6, kinds[kind], count);
}

void http_metrics(struct strbuf *out)
{
	write_answered(out);
	strbuf_puts(
		out,
		"# HELP rolebridge_http_request_duration_seconds From a request's first line to "
		"the end of its answer: /auth; what waits for a commit, a worker or a directory; "
		"other web requests; the control socket.\n"
		"# TYPE rolebridge_http_request_duration_seconds histogram\n");
	for (int kind = 0; kind < KINDS; kind++)
		write_durations_of((enum kind)kind, out);
}
