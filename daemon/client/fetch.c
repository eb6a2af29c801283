/*
 * One request to another server. Enters: a URL out of the configuration or from an administrator, what is sent there, and
 * what networks may be asked. Leaves: status, ETag and body. Fails on all that is not plainly allowed (outgoing.c).
 */
#include <rolebridge/client/fetch.h>

#include <string.h>
#include <strings.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "outgoing.h"

#define ETAG_MAX 256
#define HEADER_VALUE_MAX 4096
#define HEADERS_MAX ((size_t)64 * 1024)

struct transfer {
	const struct fetch_request *request;
	struct outgoing outgoing;
	CURL *curl;
	struct curl_slist *headers;
	struct strbuf *out;
	size_t start, header_size;
	int64_t until_us;
	char etag[ETAG_MAX + 1];
	char problem[CURL_ERROR_SIZE];
	bool too_large;
};

/* ------------------------------------------------------------- transfer -- */

static size_t body_take(char *data, size_t unit, size_t count, void *context)
{
	struct transfer *transfer = context;
	size_t size = unit * count; /* unit is 1, as libcurl promises */

	if (size > transfer->request->size_max - (transfer->out->size - transfer->start)) {
		transfer->too_large = true;
		return 0;
	}
	strbuf_append(transfer->out, data, size);
	return strbuf_failed(transfer->out) ? 0 : size;
}

/* An ETag that cannot be sent back as it is counts as none. */
static void etag_take(struct transfer *transfer, const char *value, size_t size)
{
	while (size > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		size--;
	}
	while (size > 0 && (unsigned char)value[size - 1] <= 0x20)
		size--;
	transfer->etag[0] = 0;
	if (size > ETAG_MAX)
		return;
	for (size_t i = 0; i < size; i++) {
		if (value[i] < 0x20 || value[i] >= 0x7f)
			return;
	}
	memcpy(transfer->etag, value, size);
	transfer->etag[size] = 0;
}

static size_t header_take(char *data, size_t unit, size_t count, void *context)
{
	static const char name[] = "etag:";
	struct transfer *transfer = context;
	size_t size = unit * count, name_size = sizeof(name) - 1;

	if (size > HEADERS_MAX - transfer->header_size) {
		transfer->too_large = true;
		return 0;
	}
	transfer->header_size += size;
	if (size > 5 && strncmp(data, "HTTP/", 5) == 0)
		transfer->etag[0] = 0; /* an interim answer's is not the answer's */
	else if (size > name_size && strncasecmp(data, name, name_size) == 0)
		etag_take(transfer, data + name_size, size - name_size);
	return size;
}

/* libcurl asks at least once a second. */
static int progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct fetch_request *request = ((struct transfer *)context)->request;

	(void)a, (void)b, (void)c, (void)d;
	return request->cancelled && request->cancelled(request->context);
}

/* One header; its value is printable, and it is wiped. */
static int header_add(struct transfer *transfer, const char *name, const char *value,
		      struct err *err)
{
	AUTO(strbuf) struct strbuf line = STRBUF(HEADER_VALUE_MAX + 64);
	struct curl_slist *longer = NULL;

	for (const char *at = value; *at; at++) {
		if (*at < 0x20 || *at >= 0x7f)
			return err_set(err, ERR_INVALID, "%s holds a character it may not", name);
	}
	(void)strbuf_reserve(&line, HEADER_VALUE_MAX);
	strbuf_printf(&line, "%s: %s", name, value);
	if (!strbuf_failed(&line))
		longer = curl_slist_append(transfer->headers, strbuf_text(&line));
	if (line.data)
		explicit_bzero(line.data, line.capacity);
	if (!longer)
		return strbuf_failed(&line) ? err_set(err, ERR_INVALID, "%s is too long", name)
					    : err_set(err, ERR_MEMORY, "out of memory");
	transfer->headers = longer;
	return 0;
}

static int headers_make(struct transfer *transfer, struct err *err)
{
	const struct fetch_request *request = transfer->request;

	if (request->etag && request->etag[0] &&
	    header_add(transfer, "If-None-Match", request->etag, err) < 0)
		return -1;
	if (request->body && request->content_type &&
	    header_add(transfer, "Content-Type", request->content_type, err) < 0)
		return -1;
	return request->authorization
		       ? header_add(transfer, "Authorization", request->authorization, err)
		       : 0;
}

static void transfer_configure(struct transfer *transfer, int64_t timeout_ms)
{
	const struct fetch_request *request = transfer->request;
	CURL *curl = transfer->curl;

	outgoing_configure(&transfer->outgoing, curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->problem);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
	if (request->body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
	}
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->size_max);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header_take);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
}

static int transfer_judge(struct transfer *transfer, CURLcode code, struct err *err)
{
	const char *problem = transfer->problem[0] ? transfer->problem : curl_easy_strerror(code);
	const char *host = transfer->outgoing.host;

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_ABORTED_BY_CALLBACK && !transfer->outgoing.refused)
		return err_set(err, ERR_CANCELLED, "asked '%s' no longer", host);
	if (transfer->outgoing.refused)
		return outgoing_refuse(&transfer->outgoing, err);
	if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return err_set(err, ERR_TOO_LARGE, "the answer of '%s' is longer than %zu bytes",
			       host, transfer->request->size_max);
	if (strbuf_failed(transfer->out) || code == CURLE_OUT_OF_MEMORY)
		return err_set(err, ERR_MEMORY, "no room for the answer of '%s'", host);
	return err_set(err, ERR_UNAVAILABLE, "cannot ask '%s': %s", host, problem);
}

/* While it is resolved. */
static bool is_too_late(void *context)
{
	const struct transfer *transfer = context;
	const struct fetch_request *request = transfer->request;

	return clock_monotonic_us() >= transfer->until_us ||
	       (request->cancelled && request->cancelled(request->context));
}

static int transfer_run(struct transfer *transfer, int64_t timeout_ms, struct err *err)
{
	const struct fetch_request *request = transfer->request;
	const struct outgoing_rules rules = { .url = request->url,
					      .ca_file = request->ca_file,
					      .allowed_networks = request->allowed_networks,
					      .allowed_network_count =
						      request->allowed_network_count,
					      .allow_http = request->allow_http };
	int resolved;

	transfer->until_us = clock_monotonic_us() + timeout_ms * 1000;
	if (outgoing_open(&transfer->outgoing, &rules, err) < 0)
		return -1;
	resolved = outgoing_resolve(&transfer->outgoing, is_too_late, transfer, err);
	/* Resolving counts, too. */
	timeout_ms = (transfer->until_us - clock_monotonic_us()) / 1000;
	if (timeout_ms <= 0)
		return err_set(err, ERR_UNAVAILABLE, "resolving '%s' took too long",
			       transfer->outgoing.host);
	if (resolved < 0 || headers_make(transfer, err) < 0)
		return -1;
	transfer->curl = curl_easy_init();
	if (!transfer->curl)
		return err_set(err, ERR_MEMORY, "out of memory");
	transfer_configure(transfer, timeout_ms);
	return transfer_judge(transfer, curl_easy_perform(transfer->curl), err);
}

static int response_make(struct transfer *transfer, struct arena *arena,
			 struct fetch_response *ret_response, struct err *err)
{
	struct fetch_response response = { .etag = arena_strdup(arena, transfer->etag) };
	long status = 0;

	if (!response.etag)
		return err_set(err, ERR_MEMORY, "out of memory");
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	response.status = (int)status;
	*ret_response = response;
	return 0;
}

static void transfer_finish(struct transfer *transfer)
{
	curl_easy_cleanup(transfer->curl);
	for (struct curl_slist *header = transfer->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(transfer->headers);
	outgoing_finish(&transfer->outgoing);
}

#define TIMEOUT_MS 10000

int fetch(const struct fetch_request *request, struct arena *arena,
	  struct fetch_response *ret_response, struct strbuf *out, struct err *err)
{
	struct transfer transfer = { .request = request, .out = out, .start = out->size };
	int result = transfer_run(&transfer,
				  request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS, err);

	if (result == 0)
		result = response_make(&transfer, arena, ret_response, err);
	if (result < 0)
		strbuf_truncate(out, transfer.start);
	transfer_finish(&transfer);
	return result;
}
