/*
 * Filling a response. Enters: texts of handlers, which may hold what a peer said. Leaves: headers that are one
 * line each. What does not fit fails the response as a whole, so that nobody is answered with a
 * part of what was meant.
 */
#include <rolebridge/http/request.h>

#include <string.h>

#include "internal.h"

/* RFC 9110 5.6.2, RFC 6265 4.1.1. A table: asked for each byte of each header. */
#define TOKEN 1
#define COOKIE 2
static const unsigned char classes[256] = {
	['!'] = 3, ['#'] = 3, ['$'] = 3, ['%'] = 3,	    ['&'] = 3,	       ['\''] = 3,
	['*'] = 3, ['+'] = 3, ['-'] = 3, ['.'] = 3,	    ['^'] = 3,	       ['_'] = 3,
	['`'] = 3, ['|'] = 3, ['~'] = 3, ['0' ... '9'] = 3, ['A' ... 'Z'] = 3, ['a' ... 'z'] = 3,
	['('] = 2, [')'] = 2, ['/'] = 2, [':'] = 2,	    ['<'] = 2,	       ['='] = 2,
	['>'] = 2, ['?'] = 2, ['@'] = 2, ['['] = 2,	    [']'] = 2,	       ['{'] = 2,
	['}'] = 2,
};

bool http_token_valid(const char *name)
{
	const unsigned char *at = (const unsigned char *)name;

	while (classes[*at] & TOKEN)
		at++;
	return *at == 0 && name[0];
}

bool http_cookie_value_valid(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!(classes[(unsigned char)text[i]] & COOKIE))
			return false;
	}
	return true;
}

static bool value_is_one_line(const char *value)
{
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

bool http_response_header(struct http_response *response, const char *name, const char *value)
{
	if (response->header_count == HTTP_RESPONSE_HEADERS_MAX || !value ||
	    !http_token_valid(name) || !value_is_one_line(value)) {
		response->failed = true;
		return false;
	}
	response->headers[response->header_count++] = (struct http_pair){ name, value };
	return true;
}

static int cookie_check(const struct http_set_cookie *cookie, const char *path, struct err *err)
{
	bool host = strncmp(cookie->name, "__Host-", 7) == 0;
	bool secure = host || strncmp(cookie->name, "__Secure-", 9) == 0 ||
		      cookie->same_site == HTTP_SAME_SITE_NONE;

	if (!http_token_valid(cookie->name) ||
	    !http_cookie_value_valid(cookie->value, strlen(cookie->value)) ||
	    !value_is_one_line(path) || path[0] != '/' || strchr(path, ';'))
		return err_set(err, ERR_INTERNAL, "a cookie holds what it may not");
	/* Browsers would drop it without a word. */
	if ((secure && cookie->insecure) || (host && strcmp(path, "/") != 0))
		return err_set(err, ERR_INTERNAL, "cookie '%s' must be Secure and for '/'",
			       cookie->name);
	return 0;
}

int http_response_cookie(struct http_response *response, struct arena *arena,
			 const struct http_set_cookie *cookie, struct err *err)
{
	static const char *const same_site[] = { "Lax", "Strict", "None" };
	const char *path = cookie->path ? cookie->path : "/";
	const char *age = "", *text;

	if (cookie_check(cookie, path, err) < 0) {
		response->failed = true;
		return -1;
	}
	if (cookie->max_age_s >= 0)
		age = arena_printf(arena, "; Max-Age=%lld", (long long)cookie->max_age_s);
	text = age ? arena_printf(arena, "%s=%s; Path=%s%s%s%s; SameSite=%s", cookie->name,
				  cookie->value, path, age, cookie->insecure ? "" : "; Secure",
				  cookie->script_visible ? "" : "; HttpOnly",
				  same_site[cookie->same_site])
		   : NULL;
	if (!text || !http_response_header(response, "Set-Cookie", text)) {
		response->failed = true;
		return err_set(err, ERR_MEMORY, "no room for cookie '%s'", cookie->name);
	}
	return 0;
}

int http_redirect(struct http_response *response, int status, const char *location, struct err *err)
{
	for (const char *at = location; *at; at++) {
		if (*at <= 0x20 || *at >= 0x7f) {
			response->failed = true;
			return err_set(err, ERR_INTERNAL, "a redirect's address is no URL");
		}
	}
	response->status = status;
	if (!location[0] || !http_response_header(response, "Location", location)) {
		response->failed = true;
		return err_set(err, ERR_INTERNAL, "no room for a redirect");
	}
	return 0;
}

void http_html_escape(struct strbuf *out, const char *text)
{
	while (*text) {
		size_t size = strcspn(text, "&<>\"'");

		strbuf_append(out, text, size);
		text += size;
		switch (*text) {
		case '&': strbuf_puts(out, "&amp;"); break;
		case '<': strbuf_puts(out, "&lt;"); break;
		case '>': strbuf_puts(out, "&gt;"); break;
		case '"': strbuf_puts(out, "&quot;"); break;
		case '\'': strbuf_puts(out, "&#39;"); break;
		default: return;
		}
		text++;
	}
}

void http_url_escape(struct strbuf *out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || strchr("-._~", c);

		if (!plain) {
			strbuf_putc(out, '%');
			strbuf_putc(out, digits[c >> 4]);
			strbuf_putc(out, digits[c & 15]);
		} else {
			strbuf_putc(out, (char)c);
		}
	}
}
