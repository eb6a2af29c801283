/*
 * Many requests to one server. Enters: bodies with their headers. Leaves: the status of each answer. Fails on all that is
 * not plainly allowed (outgoing.c).
 *
 * One libcurl multi handle keeps the connections; each of the slots is one request under way. A connection stays with the
 * address that was checked when it was opened, and at most CONNECTION_MAX_S; new ones go to what the name resolved
 * to at most RESOLVED_MAX_US ago.
 */
#include <rolebridge/client/poster.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "outgoing.h"

#define ANSWER_MAX ((size_t)64 * 1024)
#define HEADERS_MAX ((size_t)64 * 1024)
#define RESOLVED_MAX_US INT64_C(30000000)
#define CONNECTION_MAX_S 300L
#define CA_CACHE_S 60L
#define LOOK_MS 200
/* A server that asks for more is asked again anyway: it may be mistaken. */
#define RETRY_AFTER_MAX_S 86400

struct slot {
	struct poster *poster;
	CURL *curl;
	struct post post;
	struct curl_slist headers[POST_HEADERS_MAX + 1];
	size_t answer_size, header_size;
	char problem[CURL_ERROR_SIZE];
	bool busy, too_large;
};

struct poster {
	struct outgoing outgoing;
	CURLM *multi;
	int64_t timeout_ms;
	int64_t resolved_us; /* 0: never */
	size_t slot_count, busy;
	struct slot *slots;
};

static size_t body_take(char *data, size_t unit, size_t count, void *context)
{
	struct slot *slot = context;
	size_t size = unit * count; /* unit is 1, as libcurl promises */

	(void)data;
	if (size > ANSWER_MAX - slot->answer_size) {
		slot->too_large = true;
		return 0;
	}
	slot->answer_size += size;
	return size;
}

static size_t header_take(char *data, size_t unit, size_t count, void *context)
{
	struct slot *slot = context;
	size_t size = unit * count;

	(void)data;
	if (size > HEADERS_MAX - slot->header_size)
		return 0;
	slot->header_size += size;
	return size;
}

static void slot_configure(struct slot *slot)
{
	CURL *curl = slot->curl;

	outgoing_configure(&slot->poster->outgoing, curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, slot->problem);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)slot->poster->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)slot->poster->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, CONNECTION_MAX_S);
	curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header_take);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, slot);
}

static int slots_create(struct poster *poster, size_t count, struct err *err)
{
	poster->slots = alloc_zeroed(count, sizeof(*poster->slots));
	poster->multi = curl_multi_init();
	if (!poster->slots || !poster->multi)
		return err_set(err, ERR_MEMORY, "out of memory");
	poster->slot_count = count;
	for (size_t i = 0; i < count; i++) {
		poster->slots[i].poster = poster;
		poster->slots[i].curl = curl_easy_init();
		if (!poster->slots[i].curl)
			return err_set(err, ERR_MEMORY, "out of memory");
		slot_configure(&poster->slots[i]);
	}
	curl_multi_setopt(poster->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(poster->multi, CURLMOPT_MAXCONNECTS, (long)count);
	curl_multi_setopt(poster->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)count);
	return 0;
}

struct poster *poster_create(const struct poster_settings *settings, struct err *err)
{
	struct poster *poster = alloc_zeroed(1, sizeof(*poster));
	const struct outgoing_rules rules = { .url = settings->url,
					      .ca_file = settings->ca_file,
					      .allowed_networks = settings->allowed_networks,
					      .allowed_network_count =
						      settings->allowed_network_count,
					      .allow_http = settings->allow_http };
	size_t count = settings->concurrency;

	if (!poster) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	poster->timeout_ms = settings->timeout_ms;
	if (count == 0 || count > POSTER_CONCURRENCY_MAX)
		count = count == 0 ? 1 : POSTER_CONCURRENCY_MAX;
	if (outgoing_open(&poster->outgoing, &rules, err) < 0 ||
	    slots_create(poster, count, err) < 0) {
		poster_destroy(poster);
		return NULL;
	}
	return poster;
}

void poster_destroy(struct poster *poster)
{
	if (!poster)
		return;
	for (size_t i = 0; i < poster->slot_count; i++)
		curl_easy_cleanup(poster->slots[i].curl);
	curl_multi_cleanup(poster->multi);
	free(poster->slots);
	outgoing_finish(&poster->outgoing);
	free(poster);
}

/* --- one request --- */

static bool header_is_plain(const char *text)
{
	for (; *text; text++) {
		if (*text < 0x20 || *text >= 0x7f)
			return false;
	}
	return true;
}

/* The list's nodes are the slot's, its texts the caller's. -1: one of them would be two. */
static int slot_set_headers(struct slot *slot)
{
	static char no_expect[] = "Expect:"; /* large bodies are sent at once */
	struct curl_slist *last = &slot->headers[0];

	*last = (struct curl_slist){ .data = no_expect };
	for (size_t i = 0; i < POST_HEADERS_MAX && slot->post.headers[i]; i++) {
		if (!header_is_plain(slot->post.headers[i]))
			return -1;
		slot->headers[i + 1] =
			(struct curl_slist){ .data = (char *)(uintptr_t)slot->post.headers[i] };
		last->next = &slot->headers[i + 1];
		last = last->next;
	}
	curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER, slot->headers);
	return 0;
}

static void slot_end(struct slot *slot, const struct poster_ports *ports,
		     const struct post_answer *answer)
{
	slot->busy = false;
	slot->poster->busy--;
	ports->ended(ports->context, &slot->post, answer);
}

static void slot_begin(struct slot *slot, const struct poster_ports *ports)
{
	CURL *curl = slot->curl;

	slot->busy = true;
	slot->poster->busy++;
	slot->answer_size = slot->header_size = 0;
	slot->too_large = false;
	slot->problem[0] = 0;
	if (slot_set_headers(slot) < 0) {
		slot_end(slot, ports,
			 &(struct post_answer){ .problem =
							"a header holds a character it may not" });
		return;
	}
	curl_easy_setopt(curl, CURLOPT_RESOLVE, slot->poster->outgoing.pins);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->post.body_size);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, slot->post.body);
	if (curl_multi_add_handle(slot->poster->multi, curl) != CURLM_OK)
		slot_end(slot, ports, &(struct post_answer){ .problem = "out of memory" });
}

/* What libcurl says is about connections and TLS, never out of an answer's body. */
static void slot_judge(struct slot *slot, CURLcode code, struct post_answer *ret_answer)
{
	struct post_answer answer = { 0 };
	long status = 0;
	curl_off_t pause_s = 0;

	curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(slot->curl, CURLINFO_RETRY_AFTER, &pause_s);
	if (code == CURLE_OK || slot->too_large) {
		/* Who says so much has taken the request. */
		answer.status = (int)status;
		answer.retry_after_s = pause_s < 0		     ? 0
				       : pause_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S
								     : (int64_t)pause_s;
	} else if (slot->poster->outgoing.refused) {
		answer.problem = "it leads to an address in no allowed network";
	} else {
		answer.problem = slot->problem[0] ? slot->problem : curl_easy_strerror(code);
	}
	*ret_answer = answer;
}

static void slots_collect(struct poster *poster, const struct poster_ports *ports)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(poster->multi, &left))) {
		struct post_answer answer;
		char *private = NULL;
		CURLcode code = message->data.result;
		struct slot *slot;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		slot = (struct slot *)(void *)private;
		curl_multi_remove_handle(poster->multi, slot->curl);
		slot_judge(slot, code, &answer);
		slot_end(slot, ports, &answer);
	}
}

static int slots_cancel(struct poster *poster, const struct poster_ports *ports, struct err *err)
{
	for (size_t i = 0; i < poster->slot_count; i++) {
		struct slot *slot = &poster->slots[i];

		if (!slot->busy)
			continue;
		curl_multi_remove_handle(poster->multi, slot->curl);
		slot_end(slot, ports, &(struct post_answer){ .cancelled = true });
	}
	return err_set(err, ERR_CANCELLED, "asked '%s' no longer", poster->outgoing.host);
}

/* --- a run --- */

static int resolve_again(struct poster *poster, const struct poster_ports *ports, struct err *err)
{
	int64_t now_us = clock_monotonic_us();

	if (poster->resolved_us != 0 && now_us - poster->resolved_us < RESOLVED_MAX_US)
		return 0;
	poster->resolved_us = 0;
	if (outgoing_resolve(&poster->outgoing, ports->cancelled, ports->context, err) < 0)
		return -1;
	poster->resolved_us = now_us;
	return 0;
}

/* Begin as many as there is room for. Is there more? */
static bool slots_fill(struct poster *poster, const struct poster_ports *ports)
{
	for (size_t i = 0; i < poster->slot_count; i++) {
		struct slot *slot = &poster->slots[i];

		if (slot->busy)
			continue;
		slot->post = (struct post){ 0 };
		if (ports->next(ports->context, &slot->post) <= 0)
			return false;
		slot_begin(slot, ports);
	}
	return true;
}

int poster_run(struct poster *poster, const struct poster_ports *ports, struct err *err)
{
	bool more = true;
	int running = 0;

	/* Here alone: no handle is under way that may still look at the addresses from before. */
	if (resolve_again(poster, ports, err) < 0)
		return -1;
	poster->outgoing.refused = false;
	while (more || poster->busy > 0) {
		size_t busy;

		if (more)
			more = slots_fill(poster, ports);
		if (ports->cancelled && ports->cancelled(ports->context))
			return slots_cancel(poster, ports, err);
		busy = poster->busy;
		if (curl_multi_perform(poster->multi, &running) != CURLM_OK) {
			(void)slots_cancel(poster, ports, err);
			return err_set(err, ERR_MEMORY, "out of memory");
		}
		slots_collect(poster, ports);
		if (poster->busy == busy && busy > 0)
			curl_multi_poll(poster->multi, NULL, 0, LOOK_MS, NULL);
	}
	return 0;
}

int poster_check_url(const char *url, struct err *err)
{
	const struct outgoing_rules rules = { .url = url, .allow_http = true };
	struct outgoing outgoing;
	int result = outgoing_open(&outgoing, &rules, err);

	outgoing_finish(&outgoing);
	return result;
}
