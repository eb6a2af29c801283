/*
 * Forms of people who are not signed in. Enters: requests of any browser, made by any site. Leaves: whether a page of
 * ours was shown to this browser and its form posted from there.
 *
 * Otherwise a site could sign its visitors in as somebody else, whose notes they would then write (login CSRF).
 * Browsers that say where a request comes from (Sec-Fetch-Site, Origin) are believed when they say "elsewhere"; all need
 * the token, which is in a host-only cookie that no other site can set.
 */
#include "signin.h"

#include <sodium.h>

#define TOKEN_BYTES 32
#define TOKEN_TEXT 43
/* A page that stays open over lunch. */
#define TOKEN_LIFE_S 43200

static bool is_token(const char *text)
{
	return text && strlen(text) == TOKEN_TEXT &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
		       TOKEN_TEXT;
}

const char *form_token(struct http_request *request, struct http_response *response,
		       const struct site *site, struct err *err)
{
	/* The same in each tab: the last one shown does not make the others void. */
	const char *token = cookie_get(request, site->secure, COOKIE_FORM, "");
	unsigned char bytes[TOKEN_BYTES];
	char *fresh;

	if (!is_token(token)) {
		fresh = arena_alloc(request->arena, TOKEN_TEXT + 1);
		if (!fresh) {
			err_set(err, ERR_MEMORY, "out of memory");
			return NULL;
		}
		randombytes_buf(bytes, sizeof(bytes));
		sodium_bin2base64(fresh, TOKEN_TEXT + 1, bytes, sizeof(bytes),
				  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		token = fresh;
	}
	if (cookie_set(request, response, site->secure, COOKIE_FORM, "", token, TOKEN_LIFE_S, err) <
	    0)
		return NULL;
	return token;
}

static int foreign(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "csrf", "this form was not sent from a page of ours");
}

/* scheme://host[:port] of public_url. */
static bool is_own_origin(const struct site *site, const char *origin)
{
	const char *host = strstr(site->url, "://");
	size_t size = host ? (size_t)(host + 3 - site->url) + strcspn(host + 3, "/") : 0;

	return size > 0 && strlen(origin) == size && memcmp(origin, site->url, size) == 0;
}

int form_is_own(const struct http_request *request, const struct site *site, struct err *err)
{
	const char *fetch = http_header(request, "Sec-Fetch-Site");
	const char *origin = http_header(request, "Origin");

	/*
	 * No page can make a browser say this otherwise; it counts at whichever of our names people are. "none": typed or
	 * reloaded by the person.
	 */
	if (fetch)
		return strcmp(fetch, "same-origin") == 0 || strcmp(fetch, "none") == 0
			       ? 0
			       : foreign(err);
	return !origin || is_own_origin(site, origin) ? 0 : foreign(err);
}

int form_check(struct http_request *request, const struct site *site, const struct http_form *form,
	       struct err *err)
{
	const char *kept = cookie_get(request, site->secure, COOKIE_FORM, "");
	const char *sent = http_form_value(form, "csrf");

	if (form_is_own(request, site, err) < 0)
		return -1;
	if (!is_token(kept) || !is_token(sent) || sodium_memcmp(kept, sent, TOKEN_TEXT) != 0)
		return err_refuse(err, ERR_DENIED, "csrf",
				  "this form is too old, or your browser keeps no cookies");
	return 0;
}

void text_wipe(const char *text)
{
	if (text)
		sodium_memzero((char *)(uintptr_t)text, strlen(text));
}

void body_wipe(struct http_request *request)
{
	if (request->body_size > 0)
		sodium_memzero((char *)(uintptr_t)request->body, request->body_size);
}

void form_wipe(struct http_request *request, const struct http_form *form, const char *name)
{
	text_wipe(http_form_value(form, name));
	body_wipe(request);
}
