/*
 * HTTP over a unix socket. Enters: method, path, body. Leaves: status and
 * answer. Only the socket is ever spoken to: no proxy, no redirect, no netrc, no
 * other protocol, whatever the environment says.
 */
#include <rolebridge/client/client.h>

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define CONNECT_TIMEOUT_MS 5000
#define IDLE_TIMEOUT_MS 120000
#define ERROR_BODY_MAX ((size_t)1024 * 1024)
#define HOST "http://localhost"

struct client {
	CURL *curl;
	struct curl_slist *headers;
	struct client_settings settings;
	int64_t version; /* of the next exchange; 0: whichever */
	char *path;
	char problem[CURL_ERROR_SIZE];
	const char *body_type; /* of the next exchange; NULL: JSON */
	size_t body_size;
};

/* Where an answer goes. */
struct sink {
	CURL *curl;
	struct strbuf *out;
	size_t start, max;
	bool too_large, stopped;
	int (*write)(void *context, const void *data, size_t size); /* of a 200; NULL: out */
	void *context;
};

static void curl_prepare(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t sink_take(char *data, size_t unit, size_t count, void *context)
{
	struct sink *sink = context;
	size_t size = unit * count; /* unit is 1, as libcurl promises */
	long status = 0;

	curl_easy_getinfo(sink->curl, CURLINFO_RESPONSE_CODE, &status);
	if (sink->write && status == 200) {
		sink->stopped = sink->write(sink->context, data, size) < 0;
		return sink->stopped ? 0 : size;
	}
	if (size > sink->max - (sink->out->size - sink->start)) {
		sink->too_large = true;
		return 0;
	}
	strbuf_append(sink->out, data, size);
	return strbuf_failed(sink->out) ? 0 : size;
}

struct client *client_create(const struct client_settings *settings, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct client *client = alloc_zeroed(1, sizeof(*client));

	pthread_once(&once, curl_prepare);
	if (client) {
		client->settings = *settings;
		client->path = strdup(settings->socket_path);
		client->curl = curl_easy_init();
		/* Large bodies are sent at once: the daemon says 413 by itself. */
		client->headers = curl_slist_append(NULL, "Expect:");
	}
	if (!client || !client->path || !client->curl || !client->headers) {
		client_destroy(client);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (client->settings.connect_timeout_ms == 0)
		client->settings.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	if (client->settings.idle_timeout_ms == 0)
		client->settings.idle_timeout_ms = IDLE_TIMEOUT_MS;
	if (client->settings.response_max == 0)
		client->settings.response_max = CLIENT_RESPONSE_MAX;
	return client;
}

void client_destroy(struct client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	curl_slist_free_all(client->headers);
	free(client->path);
	free(client);
}

static void client_configure(struct client *client, const char *method, const char *url,
			     const char *body, struct sink *sink, struct curl_slist *headers)
{
	CURL *curl = client->curl;

	curl_easy_reset(curl); /* keeps the connection */
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->problem);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "rolebridgectl");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)client->settings.connect_timeout_ms);
	/* Less than a byte a second for so long: the other end is dead. */
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
			 (long)((client->settings.idle_timeout_ms + 999) / 1000));
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, sink_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
	if (body) {
		size_t size = client->body_type ? client->body_size : strlen(body);

		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	} else if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	}
}

static int failure(struct client *client, CURLcode code, const struct sink *sink, struct err *err)
{
	long os_error = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os_error);
	if (sink->too_large)
		return err_set(err, ERR_TOO_LARGE, "the answer is longer than %zu bytes",
			       sink->max);
	if (sink->stopped)
		return err_set(err, ERR_CANCELLED, "the answer could not be taken");
	if (code == CURLE_WRITE_ERROR || code == CURLE_OUT_OF_MEMORY)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (code == CURLE_COULDNT_CONNECT && (os_error == EACCES || os_error == EPERM))
		return err_set_errno(err, ERR_DENIED, (int)os_error, "cannot open '%s'",
				     client->path);
	if (code == CURLE_COULDNT_CONNECT && os_error != 0)
		return err_set_errno(err, ERR_UNAVAILABLE, (int)os_error,
				     "no daemon answers at '%s'", client->path);
	return err_set(err, ERR_UNAVAILABLE, "the daemon at '%s' broke off: %s", client->path,
		       client->problem[0] ? client->problem : curl_easy_strerror(code));
}

static int client_exchange(struct client *client, const char *method, const char *path,
			   const char *body, struct sink *sink, int *ret_status, struct err *err)
{
	AUTO(strbuf) struct strbuf url = STRBUF((size_t)64 * 1024);
	/* The first node is ours for good; what the body needs goes behind it for this exchange. */
	char match_text[48];
	struct curl_slist match = { match_text, client->headers };
	struct curl_slist *headers = client->version != 0 ? &match : client->headers;
	char type_text[96];
	struct curl_slist typed = { type_text, headers };
	long status = 0;
	CURLcode code;

	snprintf(match_text, sizeof(match_text), "If-Match: \"%lld\"", (long long)client->version);
	client->version = 0;
	snprintf(type_text, sizeof(type_text), "Content-Type: %s",
		 client->body_type ? client->body_type : "application/json");
	strbuf_printf(&url, "%s%s", HOST, path);
	if (strbuf_failed(&url))
		return err_set(err, ERR_TOO_LARGE, "the address is too long");
	sink->curl = client->curl;
	sink->start = sink->out->size;
	client->problem[0] = 0;
	client_configure(client, method, strbuf_text(&url), body, sink, body ? &typed : headers);
	client->body_type = NULL;
	code = curl_easy_perform(client->curl);
	if (code != CURLE_OK)
		return failure(client, code, sink, err);
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	*ret_status = (int)status;
	return 0;
}

void client_expect_version(struct client *client, int64_t version)
{
	client->version = version;
}

void client_body_is(struct client *client, const char *content_type, size_t size)
{
	client->body_type = content_type;
	client->body_size = size;
}

int client_request(struct client *client, const char *method, const char *path, const char *body,
		   int *ret_status, struct strbuf *out, struct err *err)
{
	struct sink sink = { .out = out, .max = client->settings.response_max };

	return client_exchange(client, method, path, body, &sink, ret_status, err);
}

int client_stream(struct client *client, const char *path,
		  int (*write)(void *context, const void *data, size_t size), void *context,
		  int *ret_status, struct strbuf *out, struct err *err)
{
	struct sink sink = {
		.out = out, .max = ERROR_BODY_MAX, .write = write, .context = context
	};

	return client_exchange(client, "GET", path, NULL, &sink, ret_status, err);
}

void client_escape(struct strbuf *out, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++) {
		if (strchr(plain, *text))
			strbuf_putc(out, *text);
		else
			strbuf_printf(out, "%%%02X", (unsigned char)*text);
	}
}
