/*
 * Requests to other servers. Enters: a URL out of the configuration or from an administrator, what is sent there, and
 * what networks may be asked. Leaves: status, ETag and body. Fails on all that is not plainly allowed.
 *
 * The host is taken from the URL by libcurl's own parser, so that both of us mean the same one; it is
 * resolved here and every address must pass. libcurl is given these addresses and asks for none; the
 * function that opens its sockets checks the address once more, whatever road it came.
 */
#include <rolebridge/client/fetch.h>

#include <curl/curl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define URL_MAX 4096
#define ETAG_MAX 256
#define HEADER_VALUE_MAX 4096
#define HEADERS_MAX ((size_t)64 * 1024)
#define ADDRESSES_MAX 32
#define RESOLVE_MAX ((size_t)4096)

struct target {
	char *url, *host, *port; /* libcurl's */
	bool http;
};

struct transfer {
	const struct fetch_request *request;
	struct cidr *allowed;
	struct target target;
	struct strbuf resolve; /* "host:port:address,address" */
	CURL *curl;
	struct curl_slist *headers, *pins;
	struct strbuf *out;
	size_t start, header_size;
	char etag[ETAG_MAX + 1];
	char problem[CURL_ERROR_SIZE];
	bool literal; /* the host is an address */
	bool too_large, refused;
};

static void curl_prepare(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ------------------------------------------------------------ addresses -- */

static int networks_read(struct transfer *transfer, struct err *err)
{
	size_t count = transfer->request->allowed_network_count;

	transfer->allowed = alloc_zeroed(count ? count : 1, sizeof(*transfer->allowed));
	if (!transfer->allowed)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (cidr_parse(transfer->request->allowed_networks[i], &transfer->allowed[i], err) <
		    0)
			return err_wrap(err, "allowed network");
	}
	return 0;
}

static bool address_allowed(const struct transfer *transfer, const struct address *address)
{
	for (size_t i = 0; i < transfer->request->allowed_network_count; i++) {
		if (cidr_contains(&transfer->allowed[i], address))
			return true;
	}
	/* In the clear only where the way is known. */
	return !transfer->target.http && address_is_public(address);
}

static int address_refuse(const struct transfer *transfer, const struct address *address,
			  struct err *err)
{
	const char *kind = address_special(address);
	char text[ADDRESS_TEXT_SIZE];

	address_format(address, text);
	return err_refuse(err, ERR_DENIED, "address-refused",
			  "'%s' is at %s address %s, which is in no allowed network",
			  transfer->target.host, kind ? kind : "the public", text);
}

/* The last gate: what libcurl is about to connect to. */
static curl_socket_t socket_open(void *context, curlsocktype purpose, struct curl_sockaddr *name)
{
	struct transfer *transfer = context;
	struct address address;

	if (purpose != CURLSOCKTYPE_IPCXN || !address_from_socket(&name->addr, &address) ||
	    !address_allowed(transfer, &address)) {
		transfer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(name->family, name->socktype | SOCK_CLOEXEC, name->protocol);
}

static int addresses_pin(struct transfer *transfer, const struct addrinfo *list, struct err *err)
{
	size_t count = 0;

	strbuf_printf(&transfer->resolve, "%s:%s:", transfer->target.host, transfer->target.port);
	for (; list; list = list->ai_next) {
		char text[ADDRESS_TEXT_SIZE];
		struct address address;

		if (!address_from_socket(list->ai_addr, &address))
			continue;
		/* One that is not allowed spoils the name: it may be somebody's try. */
		if (!address_allowed(transfer, &address))
			return address_refuse(transfer, &address, err);
		if (count == ADDRESSES_MAX)
			break;
		address_format(&address, text);
		strbuf_printf(&transfer->resolve, address.v6 ? "%s[%s]" : "%s%s",
			      count++ > 0 ? "," : "", text);
	}
	if (count == 0)
		return err_set(err, ERR_UNAVAILABLE, "'%s' has no address", transfer->target.host);
	return strbuf_failed(&transfer->resolve) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int name_resolve(struct transfer *transfer, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC };
	struct addrinfo *list = NULL;
	const char *host = transfer->target.host;
	char bare[ADDRESS_TEXT_SIZE];
	size_t size = strlen(host);

	if (host[0] == '[') {
		if (size < 3 || size - 2 >= sizeof(bare) || strchr(host, '%'))
			return err_set(err, ERR_INVALID, "'%.64s' is no address", host);
		memcpy(bare, host + 1, size - 2);
		bare[size - 2] = 0;
		host = bare;
	}

	struct address literal;

	transfer->literal = address_parse(host, &literal, NULL) == 0;

	int failed = getaddrinfo(host, NULL, &hints, &list);

	if (failed)
		return err_set(err, ERR_UNAVAILABLE, "cannot resolve '%s': %s", host,
			       gai_strerror(failed));

	int result = addresses_pin(transfer, list, err);

	freeaddrinfo(list);
	return result;
}

/* ------------------------------------------------------------------ URL -- */

static int url_part(CURLU *parsed, CURLUPart part, unsigned flags, char **ret_text)
{
	return curl_url_get(parsed, part, ret_text, flags) == CURLUE_OK ? 0 : -1;
}

static bool url_has(CURLU *parsed, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

static int target_read(struct transfer *transfer, CURLU *parsed, struct err *err)
{
	struct target *target = &transfer->target;
	char *scheme = NULL;
	bool https;

	CURLUcode code =
		curl_url_set(parsed, CURLUPART_URL, transfer->request->url, CURLU_DISALLOW_USER);

	/* Not shown: it may hold a password. */
	if (code == CURLUE_USER_NOT_ALLOWED)
		return err_set(err, ERR_INVALID, "a URL with a user name in it is not asked");
	if (code != CURLUE_OK || url_part(parsed, CURLUPART_SCHEME, 0, &scheme) < 0)
		return err_set(err, ERR_INVALID, "'%.200s' is no URL that can be asked",
			       transfer->request->url);
	target->http = strcmp(scheme, "http") == 0;
	https = strcmp(scheme, "https") == 0;
	curl_free(scheme);
	if (!target->http && !https)
		return err_set(err, ERR_INVALID, "'%.200s' is neither https nor http",
			       transfer->request->url);
	if (target->http && !transfer->request->allow_http)
		return err_set(err, ERR_INVALID, "'%.200s' is not https", transfer->request->url);
	if (url_has(parsed, CURLUPART_USER) || url_has(parsed, CURLUPART_PASSWORD) ||
	    url_has(parsed, CURLUPART_ZONEID) ||
	    url_part(parsed, CURLUPART_HOST, 0, &target->host) < 0 ||
	    url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, &target->port) < 0 ||
	    curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
	    url_part(parsed, CURLUPART_URL, 0, &target->url) < 0)
		return err_set(err, ERR_INVALID, "'%.200s' is no URL that can be asked",
			       transfer->request->url);
	return 0;
}

static int url_read(struct transfer *transfer, struct err *err)
{
	const char *url = transfer->request->url;
	size_t size = strlen(url);

	if (size > URL_MAX)
		return err_set(err, ERR_INVALID, "the URL is longer than %d bytes", URL_MAX);
	/* libcurl would take the first segment of "https:///path" for the host. */
	if (strstr(url, ":///"))
		return err_set(err, ERR_INVALID, "the URL names no host");
	for (size_t i = 0; i < size; i++) {
		/* Names of other scripts come as xn--…: what they turn into is nobody's guess. */
		if (url[i] <= 0x20 || url[i] >= 0x7f || url[i] == '\\')
			return err_set(err, ERR_INVALID, "the URL holds a character it may not");
	}

	CURLU *parsed = curl_url();
	int result = parsed ? target_read(transfer, parsed, err)
			    : err_set(err, ERR_MEMORY, "out of memory");

	curl_url_cleanup(parsed);
	return result;
}

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

	/* A host that is an address is not looked up by anybody; socket_open sees where it leads. */
	if (!transfer->literal) {
		transfer->pins = curl_slist_append(NULL, strbuf_text(&transfer->resolve));
		if (!transfer->pins)
			return err_set(err, ERR_MEMORY, "out of memory");
	}
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

/* A list of what is asked for, and of what libcurl shall not do. */
static void transfer_configure(struct transfer *transfer, int64_t timeout_ms)
{
	const struct fetch_request *request = transfer->request;
	CURL *curl = transfer->curl;

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->problem);
	curl_easy_setopt(curl, CURLOPT_URL, transfer->target.url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, transfer->target.http ? "http" : "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "rolebridge");
	curl_easy_setopt(curl, CURLOPT_RESOLVE, transfer->pins);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, socket_open);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (request->ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
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

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_ABORTED_BY_CALLBACK && !transfer->refused)
		return err_set(err, ERR_CANCELLED, "asked '%s' no longer", transfer->target.host);
	if (transfer->refused)
		return err_refuse(err, ERR_DENIED, "address-refused",
				  "'%s' leads to an address in no allowed network",
				  transfer->target.host);
	if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return err_set(err, ERR_TOO_LARGE, "the answer of '%s' is longer than %zu bytes",
			       transfer->target.host, transfer->request->size_max);
	if (strbuf_failed(transfer->out) || code == CURLE_OUT_OF_MEMORY)
		return err_set(err, ERR_MEMORY, "no room for the answer of '%s'",
			       transfer->target.host);
	return err_set(err, ERR_UNAVAILABLE, "cannot ask '%s': %s", transfer->target.host, problem);
}

static int transfer_run(struct transfer *transfer, int64_t timeout_ms, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int64_t start_us = clock_monotonic_us();

	pthread_once(&once, curl_prepare);
	if (networks_read(transfer, err) < 0 || url_read(transfer, err) < 0 ||
	    name_resolve(transfer, err) < 0 || headers_make(transfer, err) < 0)
		return -1;
	/* Resolving counts, too. */
	timeout_ms -= (clock_monotonic_us() - start_us) / 1000;
	if (timeout_ms <= 0)
		return err_set(err, ERR_UNAVAILABLE, "resolving '%s' took too long",
			       transfer->target.host);
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
	curl_slist_free_all(transfer->pins);
	curl_free(transfer->target.url);
	curl_free(transfer->target.host);
	curl_free(transfer->target.port);
	strbuf_finish(&transfer->resolve);
	free(transfer->allowed);
}

#define TIMEOUT_MS 10000

int fetch(const struct fetch_request *request, struct arena *arena,
	  struct fetch_response *ret_response, struct strbuf *out, struct err *err)
{
	struct transfer transfer = {
		.request = request, .out = out, .start = out->size, .resolve = STRBUF(RESOLVE_MAX)
	};
	int result = transfer_run(&transfer,
				  request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS, err);

	if (result == 0)
		result = response_make(&transfer, arena, ret_response, err);
	if (result < 0)
		strbuf_truncate(out, transfer.start);
	transfer_finish(&transfer);
	return result;
}
