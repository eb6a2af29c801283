/*
 * Where requests to other servers may go. Enters: a URL and the networks that may be asked. Leaves: a libcurl handle that
 * can go nowhere else. Fails on all that is not plainly allowed.
 *
 * The host is taken from the URL by libcurl's own parser, so that both of us mean the same one; it is
 * resolved here and every address must pass. libcurl is given these addresses and asks for none; the
 * function that opens its sockets checks the address once more, whatever road it came.
 */
#include "outgoing.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/resolve.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define URL_MAX 4096
#define ADDRESSES_MAX 32
#define RESOLVE_MAX ((size_t)4096)

static void curl_prepare(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ------------------------------------------------------------ addresses -- */

static int networks_read(struct outgoing *outgoing, const struct outgoing_rules *rules,
			 struct err *err)
{
	size_t count = rules->allowed_network_count;

	outgoing->allowed = alloc_zeroed(count ? count : 1, sizeof(*outgoing->allowed));
	if (!outgoing->allowed)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (cidr_parse(rules->allowed_networks[i], &outgoing->allowed[i], err) < 0)
			return err_wrap(err, "allowed network");
	}
	outgoing->allowed_count = count;
	return 0;
}

static bool address_allowed(const struct outgoing *outgoing, const struct address *address)
{
	for (size_t i = 0; i < outgoing->allowed_count; i++) {
		if (cidr_contains(&outgoing->allowed[i], address))
			return true;
	}
	/* In the clear only where the way is known. */
	return !outgoing->http && address_is_public(address);
}

static int address_refuse(const struct outgoing *outgoing, const struct address *address,
			  struct err *err)
{
	const char *kind = address_special(address);
	char text[ADDRESS_TEXT_SIZE];

	address_format(address, text);
	return err_refuse(err, ERR_DENIED, "address-refused",
			  "'%s' is at %s address %s, which is in no allowed network",
			  outgoing->host, kind ? kind : "the public", text);
}

int outgoing_refuse(const struct outgoing *outgoing, struct err *err)
{
	return err_refuse(err, ERR_DENIED, "address-refused",
			  "'%s' leads to an address in no allowed network", outgoing->host);
}

/* The last gate: what libcurl is about to connect to. */
static curl_socket_t socket_open(void *context, curlsocktype purpose, struct curl_sockaddr *name)
{
	struct outgoing *outgoing = context;
	struct address address;

	if (purpose != CURLSOCKTYPE_IPCXN || !address_from_socket(&name->addr, &address) ||
	    !address_allowed(outgoing, &address)) {
		outgoing->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(name->family, name->socktype | SOCK_CLOEXEC, name->protocol);
}

static int addresses_check(const struct outgoing *outgoing, const struct addrinfo *list,
			   struct strbuf *resolve, struct err *err)
{
	size_t count = 0;

	strbuf_printf(resolve, "%s:%s:", outgoing->host, outgoing->port);
	for (; list; list = list->ai_next) {
		char text[ADDRESS_TEXT_SIZE];
		struct address address;

		if (!address_from_socket(list->ai_addr, &address))
			continue;
		/* One that is not allowed spoils the name: it may be somebody's try. */
		if (!address_allowed(outgoing, &address))
			return address_refuse(outgoing, &address, err);
		if (count == ADDRESSES_MAX)
			break;
		address_format(&address, text);
		strbuf_printf(resolve, address.v6 ? "%s[%s]" : "%s%s", count++ > 0 ? "," : "",
			      text);
	}
	if (count == 0)
		return err_set(err, ERR_UNAVAILABLE, "'%s' has no address", outgoing->host);
	return strbuf_failed(resolve) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int addresses_pin(struct outgoing *outgoing, const struct addrinfo *list, struct err *err)
{
	AUTO(strbuf) struct strbuf resolve = STRBUF(RESOLVE_MAX);
	struct curl_slist *pins;

	if (addresses_check(outgoing, list, &resolve, err) < 0)
		return -1;
	/* A host that is an address is not looked up by anybody; socket_open sees where it leads. */
	if (outgoing->literal)
		return 0;
	pins = curl_slist_append(NULL, strbuf_text(&resolve));
	if (!pins)
		return err_set(err, ERR_MEMORY, "out of memory");
	curl_slist_free_all(outgoing->pins);
	outgoing->pins = pins;
	return 0;
}

int outgoing_resolve(struct outgoing *outgoing, bool (*cancelled)(void *context), void *context,
		     struct err *err)
{
	struct addrinfo *list;
	const char *host = outgoing->host;
	char bare[ADDRESS_TEXT_SIZE];
	size_t size = strlen(host);
	struct address literal;
	int result;

	if (host[0] == '[') {
		if (size < 3 || size - 2 >= sizeof(bare) || strchr(host, '%'))
			return err_set(err, ERR_INVALID, "'%.64s' is no address", host);
		memcpy(bare, host + 1, size - 2);
		bare[size - 2] = 0;
		host = bare;
	}
	outgoing->literal = address_parse(host, &literal, NULL) == 0;
	if (resolve_host(host, NULL, cancelled, context, &list, err) < 0)
		return -1;
	result = addresses_pin(outgoing, list, err);
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

static int url_take(struct outgoing *outgoing, const struct outgoing_rules *rules, CURLU *parsed,
		    struct err *err)
{
	const char *url = rules->url;
	char *scheme = NULL;
	bool https;

	CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER);

	/* Not shown: it may hold a password. */
	if (code == CURLUE_USER_NOT_ALLOWED)
		return err_set(err, ERR_INVALID, "a URL with a user name in it is not asked");
	if (code != CURLUE_OK || url_part(parsed, CURLUPART_SCHEME, 0, &scheme) < 0)
		return err_set(err, ERR_INVALID, "'%.200s' is no URL that can be asked", url);
	outgoing->http = strcmp(scheme, "http") == 0;
	https = strcmp(scheme, "https") == 0;
	curl_free(scheme);
	if (!outgoing->http && !https)
		return err_set(err, ERR_INVALID, "'%.200s' is neither https nor http", url);
	if (outgoing->http && !rules->allow_http)
		return err_set(err, ERR_INVALID, "'%.200s' is not https", url);
	if (url_has(parsed, CURLUPART_USER) || url_has(parsed, CURLUPART_PASSWORD) ||
	    url_has(parsed, CURLUPART_ZONEID) ||
	    url_part(parsed, CURLUPART_HOST, 0, &outgoing->host) < 0 ||
	    url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, &outgoing->port) < 0 ||
	    curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
	    url_part(parsed, CURLUPART_URL, 0, &outgoing->url) < 0)
		return err_set(err, ERR_INVALID, "'%.200s' is no URL that can be asked", url);
	return 0;
}

static int url_read(struct outgoing *outgoing, const struct outgoing_rules *rules, struct err *err)
{
	const char *url = rules->url;
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
	int result = parsed ? url_take(outgoing, rules, parsed, err)
			    : err_set(err, ERR_MEMORY, "out of memory");

	curl_url_cleanup(parsed);
	return result;
}

/* ---------------------------------------------------------------- whole -- */

int outgoing_open(struct outgoing *outgoing, const struct outgoing_rules *rules, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, curl_prepare);
	*outgoing = (struct outgoing){ 0 };
	if (rules->ca_file) {
		outgoing->ca_file = strdup(rules->ca_file);
		if (!outgoing->ca_file)
			return err_set(err, ERR_MEMORY, "out of memory");
	}
	return networks_read(outgoing, rules, err) < 0 ? -1 : url_read(outgoing, rules, err);
}

void outgoing_finish(struct outgoing *outgoing)
{
	curl_slist_free_all(outgoing->pins);
	curl_free(outgoing->url);
	curl_free(outgoing->host);
	curl_free(outgoing->port);
	free(outgoing->allowed);
	free(outgoing->ca_file);
	*outgoing = (struct outgoing){ 0 };
}

/* A list of what is asked for, and of what libcurl shall not do. */
void outgoing_configure(struct outgoing *outgoing, CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_URL, outgoing->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, outgoing->http ? "http" : "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "rolebridge");
	curl_easy_setopt(curl, CURLOPT_RESOLVE, outgoing->pins);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, socket_open);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, outgoing);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (outgoing->ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, outgoing->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
}
