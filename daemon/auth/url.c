/*
 * URLs taken apart strictly: what a browser might read in another way is refused, not mended. In: text
 * from outside. Out: struct url. Fails with ERR_INVALID.
 */
#include "url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>

#define NAME_BYTES_MAX 253 /* RFC 1035 2.3.4 */
#define LABEL_BYTES_MAX 63

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A name of RFC 1123 labels ('_' tolerated), copied in lower case. */
static bool copy_name(const char *text, size_t size, char *ret_host)
{
	size_t label = 0;

	if (size == 0 || size > NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = lower(text[i]);

		if (c == '.' ? label == 0 : !is_host_char(c))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_BYTES_MAX)
			return false;
		ret_host[i] = c;
	}
	ret_host[size] = 0;
	return label > 0;
}

/* "[…]" to the one form of RFC 5952. */
static bool copy_ipv6(const char *text, size_t size, char *ret_host)
{
	char inner[INET6_ADDRSTRLEN] = "", shown[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (size < 4 || size - 2 >= sizeof(inner))
		return false;
	memcpy(inner, text + 1, size - 2);
	if (strlen(inner) != size - 2 || inet_pton(AF_INET6, inner, &address) != 1 ||
	    !inet_ntop(AF_INET6, &address, shown, sizeof(shown)))
		return false;
	snprintf(ret_host, URL_HOST_MAX, "[%s]", shown);
	return true;
}

/* ":443" or nothing. *ret_port 0: none. */
static bool read_port(const char *text, size_t size, unsigned *ret_port)
{
	unsigned port = 0;

	*ret_port = 0;
	if (size == 0)
		return true;
	if (text[0] != ':' || size < 2 || size > 6)
		return false;
	for (size_t i = 1; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	*ret_port = port;
	return port >= 1 && port <= 65535;
}

int url_host_normalise(bool is_https, const char *host, size_t size, char ret_host[URL_HOST_MAX],
		       struct err *err)
{
	char name[URL_HOST_MAX];
	const char *end = host + size;
	const char *stop =
		size && host[0] == '[' ? memchr(host, ']', size) : memchr(host, ':', size);
	size_t name_size = !stop ? size : (size_t)(stop - host) + (*stop == ']');
	unsigned port;

	if (size && host[0] == '[' ? !stop || !copy_ipv6(host, name_size, name)
				   : !copy_name(host, name_size, name))
		return err_set(err, ERR_INVALID, "bad host name");
	if (!read_port(host + name_size, (size_t)(end - host) - name_size, &port))
		return err_set(err, ERR_INVALID, "bad port");
	if (port == 0 || port == (is_https ? 443 : 80))
		snprintf(ret_host, URL_HOST_MAX, "%s", name);
	else
		snprintf(ret_host, URL_HOST_MAX, "%.253s:%u", name, port);
	return 0;
}

size_t url_host_name_size(const char *host)
{
	return host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
}

bool url_host_is_loopback(const char *host)
{
	static const char tail[] = ".localhost";
	char name[URL_HOST_MAX];
	struct in_addr address;
	size_t size = url_host_name_size(host);

	memcpy(name, host, size);
	name[size] = 0;
	if (strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0)
		return true;
	if (size > strlen(tail) && strcmp(name + size - strlen(tail), tail) == 0)
		return true;
	return inet_pton(AF_INET, name, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

static bool starts_caseless(const char *text, const char *word)
{
	for (; *word; text++, word++)
		if (lower(*text) != *word)
			return false;
	return true;
}

int url_parse(const char *text, struct url *ret_url, struct err *err)
{
	struct url url = { .path = "" };
	const char *host;
	size_t size;

	if (strnlen(text, URL_TEXT_MAX + 1) > URL_TEXT_MAX)
		return err_set(err, ERR_INVALID, "longer than %d bytes", URL_TEXT_MAX);
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("\\\"<>", *c))
			return err_set(err, ERR_INVALID,
				       "holds a character that URLs write as %%xx");
	url.is_https = starts_caseless(text, "https://");
	if (!url.is_https && !starts_caseless(text, "http://"))
		return err_set(err, ERR_INVALID, "does not begin with https:// or http://");
	host = text + (url.is_https ? strlen("https://") : strlen("http://"));
	size = strcspn(host, "/?#");
	if (memchr(host, '@', size))
		return err_set(err, ERR_INVALID, "names a user");
	if (url_host_normalise(url.is_https, host, size, url.host, err) < 0)
		return -1;
	if (host[size] == '/')
		url.path = host + size;
	url.path_size = strcspn(url.path, "?#");
	url.has_query = host[size + strcspn(host + size, "?#")] != 0;
	*ret_url = url;
	return 0;
}
