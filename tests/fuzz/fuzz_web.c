/*
 * What browsers send besides the target: cookies, forms, X-Forwarded-For, addresses. The first byte says which. What is
 * accepted is valid: UTF-8, no doubles, cookie octets only, an address that reads back as itself.
 */
#include "../../daemon/http/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

static void check(bool good)
{
	if (!good)
		abort();
}

static void fuzz_cookie(struct http_request *request, const char *text)
{
	const struct http_pair headers[] = { { "Cookie", text }, { "Cookie", "other=1" } };
	const char *value;

	request->headers = headers;
	request->header_count = ARRAY_LEN(headers);
	value = http_cookie(request, "s");
	check(!value || http_cookie_value_valid(value, strlen(value)));
	check(http_cookie(request, "other") == NULL || !strstr(text, "; other="));
}

static void fuzz_form(struct http_request *request, const char *data, size_t size)
{
	const struct http_pair type = { "Content-Type", "application/x-www-form-urlencoded" };
	struct http_form form;

	request->headers = &type;
	request->header_count = 1;
	request->body = data;
	request->body_size = size;
	if (http_form_read(request, &form, NULL) < 0)
		return;
	check(form.count <= HTTP_FORM_MAX);
	for (size_t i = 0; i < form.count; i++) {
		check(text_is_utf8(form.fields[i].name, strlen(form.fields[i].name)));
		check(text_is_utf8(form.fields[i].value, strlen(form.fields[i].value)));
		check(http_form_value(&form, form.fields[i].name) == form.fields[i].value);
	}
}

static void fuzz_forwarded(struct http_request *request, const char *text)
{
	const struct http_pair header = { "X-Forwarded-For", text };
	struct address address, again;
	const char *client;

	request->headers = &header;
	request->header_count = 1;
	request->peer_trusted = true;
	if (!http_client_address(request, &address))
		return;
	client = http_client_text(request);
	check(address_parse(client, &again, NULL) == 0 && address_equal(&address, &again));
}

static void fuzz_address(const char *text)
{
	char written[ADDRESS_TEXT_SIZE];
	struct address address, again;
	struct cidr cidr;
	uint16_t port;

	if (address_parse(text, &address, NULL) == 0) {
		address_format(&address, written);
		check(address_parse(written, &again, NULL) == 0 && address_equal(&address, &again));
		check(!address_is_loopback(&address) || !address_is_public(&address));
	}
	if (cidr_parse(text, &cidr, NULL) == 0)
		check(cidr_contains(&cidr, &cidr.network));
	(void)address_parse_port(text, &address, &port, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)16 * 1024 * 1024);
	struct http_request request = { .arena = arena, .body = "" };
	/* Exact copies, so that a byte too far is seen. */
	char *bytes = size > 1 ? malloc(size - 1) : NULL, *text = size > 1 ? malloc(size) : NULL;

	if (arena && bytes && text) {
		memcpy(bytes, data + 1, size - 1);
		memcpy(text, data + 1, size - 1);
		text[size - 1] = 0;
		switch (data[0] % 4) {
		case 0: fuzz_cookie(&request, text); break;
		case 1: fuzz_form(&request, bytes, size - 1); break;
		case 2: fuzz_forwarded(&request, text); break;
		default: fuzz_address(text); break;
		}
	}
	free(bytes);
	free(text);
	return 0;
}
