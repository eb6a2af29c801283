/*
 * Form bodies. Enters: a whole body of type application/x-www-form-urlencoded, hostile. Leaves: its fields,
 * decoded once, in the request's arena. What is doubled, malformed or not UTF-8 is ERR_INVALID.
 */
#include <rolebridge/http/request.h>

#include <string.h>
#include <strings.h>

#include "internal.h"

static bool type_is_form(const struct http_request *request)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type = http_header(request, "Content-Type");
	size_t size = sizeof(form) - 1;

	if (!type || http_header_count(request, "Content-Type") != 1 ||
	    strncasecmp(type, form, size) != 0)
		return false;
	return strchr(" \t;", type[size]) != NULL; /* also the end */
}

static int form_add(struct http_request *request, struct http_form *form, const char *text,
		    size_t size, struct err *err)
{
	const char *equals = memchr(text, '=', size);
	size_t name_size = equals ? (size_t)(equals - text) : size;
	const char *value = equals ? equals + 1 : "";
	size_t value_size = equals ? size - name_size - 1 : 0;
	struct http_pair pair;

	if (name_size == 0)
		return err_set(err, ERR_INVALID, "a form field has no name");
	if (form->count == HTTP_FORM_MAX)
		return err_set(err, ERR_INVALID, "more than %d form fields", HTTP_FORM_MAX);
	if (http_decode(request->arena, text, name_size, true, &pair.name, err) < 0 ||
	    http_decode(request->arena, value, value_size, true, &pair.value, err) < 0)
		return err_wrap(err, "form");
	if (http_form_value(form, pair.name)) {
		request->error_field = pair.name;
		return err_set(err, ERR_INVALID, "form field '%.64s' is given twice", pair.name);
	}
	form->fields[form->count++] = pair;
	return 0;
}

int http_form_read(struct http_request *request, struct http_form *ret_form, struct err *err)
{
	const char *at = request->body, *end = at + request->body_size;
	struct http_form form = { .count = 0 };

	if (!type_is_form(request))
		return err_refuse(err, ERR_INVALID, "unsupported-media-type",
				  "the body must be application/x-www-form-urlencoded");
	while (at < end) {
		const char *mark = memchr(at, '&', (size_t)(end - at));
		size_t size = (size_t)((mark ? mark : end) - at);

		if (size > 0 && form_add(request, &form, at, size, err) < 0)
			return -1;
		at += size + 1;
	}
	*ret_form = form;
	return 0;
}

const char *http_form_value(const struct http_form *form, const char *name)
{
	return http_pair_find(form->fields, form->count, name);
}
