/*
 * Delivers events to a URL. Enters: rows of the queue, of as many different people. Leaves: what became of each. Fails, for
 * all of them, when the endpoint is not reached, asks to be left alone or answers nothing but failures.
 *
 * 2xx is a success and anything else is tried again, redirects included: an endpoint that has moved is configured anew. 410
 * says that it wants no more, which needs a person: what waits goes on waiting, and the alarm is raised at once. Several events are under way at
 * once, each in buffers that are used again, so that memory does not grow with the queue; they are signed when they go out,
 * since receivers refuse old times.
 */
#include "webhook.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/poster.h>

/* jansson may write what it has read at greater length. */
#define BODY_MAX ((size_t)6 * WEBHOOK_DETAIL_MAX + 4096)
/* A buffer that grew beyond this is given back. */
#define BODY_KEPT ((size_t)64 * 1024)
#define BATCH_MAX 500
#define NETWORKS_MAX 1000
#define HEADER_SIZE (WEBHOOK_SIGNATURES_SIZE + 64)
#define STATUS_GONE 410

/* An event under way. */
struct sending {
	bool busy;
	size_t row;
	struct strbuf body;
	char id[HEADER_SIZE], time[HEADER_SIZE], signature[HEADER_SIZE];
};

struct webhook {
	struct poster *poster;
	size_t sending_count;
	struct sending *sendings;
};

/* One call of deliver. */
struct round {
	const struct webhook_settings *settings;
	const struct target_call *call;
	struct webhook *webhook;
	struct webhook_secrets secrets;
	const struct delivery_row *rows;
	size_t count, next;
	struct delivery_result *results;
	size_t failed_in_row;
	bool gone;
	bool failed, stopped;	    /* the endpoint as a whole; it is asked no more in this round */
	char problem[ERR_TEXT_MAX]; /* why */
};

static atomic_uint_fast64_t answers_accepted, answers_other, answers_none;

/* --- instance --- */

static void webhook_close(void *instance)
{
	struct webhook *webhook = instance;

	if (!webhook)
		return;
	poster_destroy(webhook->poster);
	for (size_t i = 0; i < webhook->sending_count; i++)
		strbuf_finish(&webhook->sendings[i].body);
	free(webhook->sendings);
	free(webhook);
}

static struct poster *poster_make(const struct webhook_settings *settings, struct err *err)
{
	const struct located_list *networks = settings->allowed_networks;
	const char *texts[NETWORKS_MAX];
	struct poster_settings poster = { .url = settings->url.text,
					  .ca_file = settings->ca_file.text,
					  .allowed_networks = texts,
					  .allow_http = true,
					  .timeout_ms = settings->timeout_s * 1000,
					  .concurrency = (size_t)settings->concurrency };

	for (size_t i = 0; networks && i < networks->count && i < NETWORKS_MAX; i++)
		texts[poster.allowed_network_count++] = networks->items[i].text;
	return poster_create(&poster, err);
}

static int webhook_open(const struct target_call *call, void **ret_instance, struct err *err)
{
	const struct webhook_settings *settings =
		(const struct webhook_settings *)(const void *)call->settings;
	struct webhook *webhook = alloc_zeroed(1, sizeof(*webhook));

	if (!webhook)
		return err_set(err, ERR_MEMORY, "out of memory");
	webhook->sendings = alloc_zeroed((size_t)settings->concurrency, sizeof(struct sending));
	if (!webhook->sendings) {
		webhook_close(webhook);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	webhook->sending_count = (size_t)settings->concurrency;
	for (size_t i = 0; i < webhook->sending_count; i++)
		webhook->sendings[i].body = STRBUF(BODY_MAX);
	webhook->poster = poster_make(settings, err);
	if (!webhook->poster) {
		webhook_close(webhook);
		return -1;
	}
	*ret_instance = webhook;
	return 0;
}

/* --- an event goes out --- */

static void refuse(struct round *round, size_t row, const char *code, const char *problem)
{
	round->results[row] = (struct delivery_result){ .outcome = DELIVERY_REFUSED,
							.code = code,
							.problem = problem };
}

static void stop(struct round *round, const char *problem)
{
	if (!round->stopped)
		snprintf(round->problem, sizeof(round->problem), "%s", problem);
	round->stopped = true;
}

static void fail(struct round *round, const char *problem)
{
	stop(round, problem);
	round->failed = true;
}

static struct sending *sending_free(struct webhook *webhook)
{
	for (size_t i = 0; i < webhook->sending_count; i++) {
		if (!webhook->sendings[i].busy)
			return &webhook->sendings[i];
	}
	return NULL;
}

static void sign(const struct round *round, struct sending *sending, struct post *post)
{
	char id[UUID_TEXT_SIZE], signatures[WEBHOOK_SIGNATURES_SIZE];
	int64_t now_s = clock_now_s();

	uuid_format(&round->rows[sending->row].uuid, id);
	webhook_sign(&round->secrets, id, now_s, sending->body.data, sending->body.size,
		     signatures);
	snprintf(sending->id, sizeof(sending->id), "webhook-id: %s", id);
	snprintf(sending->time, sizeof(sending->time), "webhook-timestamp: %" PRId64, now_s);
	snprintf(sending->signature, sizeof(sending->signature), "webhook-signature: %s",
		 signatures);
	*post = (struct post){ .context = sending,
			       .body = sending->body.data,
			       .body_size = sending->body.size,
			       .headers = { "Content-Type: application/json", sending->id,
					    sending->time, sending->signature } };
}

/* The next event that this endpoint wants. Those it does not want are done. */
static int next_post(void *context, struct post *ret_post)
{
	struct round *round = context;
	struct sending *sending = sending_free(round->webhook);

	while (sending && !round->stopped && round->next < round->count) {
		size_t row = round->next++;
		struct err problem = { 0 };
		int made;

		strbuf_clear(&sending->body);
		made = webhook_event_make(round->settings, &round->rows[row], &sending->body,
					  &problem);
		if (made > 0) {
			sending->busy = true;
			sending->row = row;
			sign(round, sending, ret_post);
			return 1;
		}
		if (made == 0)
			round->results[row] = (struct delivery_result){ .outcome = DELIVERY_SENT,
									.unasked = true };
		else if (problem.reason)
			refuse(round, row, problem.reason,
			       arena_strdup(round->call->arena, problem.text));
		else
			fail(round, problem.text);
	}
	return 0;
}

/* --- an answer comes --- */

static bool is_cancelled(void *context)
{
	const struct round *round = context;

	return round->call->cancelled && round->call->cancelled(round->call->context);
}

static void judge_failure(struct round *round, size_t row, const struct post_answer *answer)
{
	struct delivery_result *result = &round->results[row];
	char text[64];

	snprintf(text, sizeof(text), "it answered with status %d", answer->status);
	result->problem =
		arena_strdup(round->call->arena, answer->status == 0 ? answer->problem : text);
	result->after_s = answer->retry_after_s;
	/* One that fails says nothing about others; as many as are under way at once do. */
	if (answer->retry_after_s > 0 || ++round->failed_in_row >= round->webhook->sending_count)
		stop(round, result->problem ? result->problem : "it failed");
}

static void post_ended(void *context, const struct post *post, const struct post_answer *answer)
{
	static const char gone[] = "it answered with status 410: it wants no more";
	struct round *round = context;
	struct sending *sending = post->context;
	bool taken = answer->status >= 200 && answer->status < 300;

	sending->busy = false;
	if (sending->body.capacity > BODY_KEPT)
		strbuf_finish(&sending->body);
	if (answer->cancelled)
		return;
	atomic_fetch_add(taken		       ? &answers_accepted
			 : answer->status == 0 ? &answers_none
					       : &answers_other,
			 1);
	if (taken) {
		round->results[sending->row].outcome = DELIVERY_SENT;
		round->failed_in_row = 0;
	} else if (answer->status == STATUS_GONE) {
		round->gone = true;
		fail(round, gone);
	} else {
		judge_failure(round, sending->row, answer);
	}
}

/*
 * The endpoint as a whole failed when there was more to send and it was not asked. Where it was asked everything each
 * event has its own outcome: who fails alone shall not hold up others.
 */
static int round_judge(const struct round *round, struct err *err)
{
	if (!round->stopped || (round->next >= round->count && !round->failed))
		return 0;
	return round->gone ? err_refuse(err, ERR_UNAVAILABLE, "webhook-gone", "%s", round->problem)
			   : err_set(err, ERR_UNAVAILABLE, "%s", round->problem);
}

static int webhook_deliver(void *instance, const struct target_call *call,
			   const struct delivery_row *rows, size_t count,
			   struct delivery_result *results, struct err *err)
{
	struct round round = {
		.settings = (const struct webhook_settings *)(const void *)call->settings,
		.call = call,
		.webhook = instance,
		.rows = rows,
		.count = count,
		.results = results,
	};
	const struct poster_ports ports = {
		.context = &round, .next = next_post, .ended = post_ended, .cancelled = is_cancelled
	};
	int result = webhook_secrets_read(&round.settings->secret_files, &round.secrets, err);

	if (result == 0)
		result = poster_run(round.webhook->poster, &ports, err);
	webhook_secrets_finish(&round.secrets);
	return result < 0 ? result : round_judge(&round, err);
}

static void counter(struct strbuf *out, const char *answer, uint64_t value)
{
	strbuf_printf(out, "rolebridge_webhook_posts_total{answer=\"%s\"} %" PRIu64 "\n", answer,
		      value);
}

static void webhook_metrics(struct strbuf *out)
{
	strbuf_puts(
		out,
		"# HELP rolebridge_webhook_posts_total Events posted to webhooks, by the answer.\n"
		"# TYPE rolebridge_webhook_posts_total counter\n");
	counter(out, "accepted", atomic_load(&answers_accepted));
	counter(out, "refused", atomic_load(&answers_other));
	counter(out, "none", atomic_load(&answers_none));
}

const struct target_kind webhook_kind = {
	.name = "webhook",
	.batch_max = BATCH_MAX,
	.open = webhook_open,
	.close = webhook_close,
	.deliver = webhook_deliver,
	.metrics = webhook_metrics,
};
