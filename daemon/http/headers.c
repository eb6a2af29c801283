/*
 * What the headers of a request say. Enters: names and values as sent, hostile. Leaves: values, or NULL where
 * one is missing, doubled or not to be believed. Nothing fails but memory, which is NULL, too.
 */
#include <rolebridge/http/request.h>

#include <string.h>

#include "internal.h"

const char *http_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++) {
		if (http_name_equal(request->headers[i].name, name))
			return request->headers[i].value;
	}
	return NULL;
}

size_t http_header_count(const struct http_request *request, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < request->header_count; i++)
		count += http_name_equal(request->headers[i].name, name);
	return count;
}

const char *http_forwarded(const struct http_request *request, const char *name)
{
	const char *value = NULL;

	if (!request->peer_trusted)
		return NULL;
	for (size_t i = 0; i < request->header_count; i++) {
		if (!http_name_equal(request->headers[i].name, name))
			continue;
		if (value)
			return NULL;
		value = request->headers[i].value;
	}
	return value;
}

/* ------------------------------------------------------------- who asks -- */

static bool address_is_trusted(const struct http_request *request, const struct address *address)
{
	for (size_t i = 0; i < request->trusted_count; i++) {
		if (cidr_contains(&request->trusted[i], address))
			return true;
	}
	return false;
}

/* The last item of a list of size bytes; false: it is no address. Shortens the list. */
static bool list_pop_address(const char *list, size_t *size, struct address *ret_address)
{
	size_t end = *size, start;
	char text[ADDRESS_TEXT_SIZE];

	while (end > 0 && (list[end - 1] == ' ' || list[end - 1] == '\t'))
		end--;
	for (start = end; start > 0 && list[start - 1] != ',';)
		start--;
	*size = start > 0 ? start - 1 : 0;
	while (start < end && (list[start] == ' ' || list[start] == '\t'))
		start++;
	if (end - start >= sizeof(text))
		return false;
	memcpy(text, list + start, end - start);
	text[end - start] = 0;
	return address_parse(text, ret_address, NULL) == 0;
}

bool http_client_address(const struct http_request *request, struct address *ret_address)
{
	const char *list = http_forwarded(request, "X-Forwarded-For");
	size_t size = list ? strlen(list) : 0;
	struct address address;
	bool known = request->peer_has_address;

	if (known)
		*ret_address = request->peer_address;
	/* From the nearest on: each address was written by the one before it, as long as those are ours. */
	while (size > 0 && list_pop_address(list, &size, &address)) {
		*ret_address = address;
		known = true;
		if (!address_is_trusted(request, &address))
			break;
	}
	return known;
}

const char *http_client_text(const struct http_request *request)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address address;

	if (!http_client_address(request, &address))
		return "";
	address_format(&address, text);

	const char *copy = arena_strdup(request->arena, text);

	return copy ? copy : "";
}

/* -------------------------------------------------------------- cookies -- */

struct piece {
	const char *text;
	size_t size;
};

/* Count the pairs of this name in one header; the value of the last one. */
static size_t cookies_count(const char *header, const char *name, struct piece *ret_value)
{
	size_t name_size = strlen(name), count = 0;

	while (*header) {
		size_t size;

		while (*header == ' ' || *header == '\t' || *header == ';')
			header++;
		size = (size_t)(strchrnul(header, ';') - header);
		if (size > name_size && header[name_size] == '=' &&
		    memcmp(header, name, name_size) == 0) {
			*ret_value = (struct piece){ header + name_size + 1, size - name_size - 1 };
			count++;
		}
		header += size;
	}
	return count;
}

const char *http_cookie(const struct http_request *request, const char *name)
{
	struct piece value = { NULL, 0 };
	size_t count = 0;

	for (size_t i = 0; i < request->header_count; i++) {
		if (http_name_equal(request->headers[i].name, "Cookie"))
			count += cookies_count(request->headers[i].value, name, &value);
	}
	while (value.size > 0 &&
	       (value.text[value.size - 1] == ' ' || value.text[value.size - 1] == '\t'))
		value.size--;
	if (count != 1 || !http_cookie_value_valid(value.text, value.size))
		return NULL;
	return arena_strndup(request->arena, value.text, value.size);
}
