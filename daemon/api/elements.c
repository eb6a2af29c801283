/* Values out of a body (see elements.h). Enters: hostile bytes. Leaves: one tree at a time. Fails at the first byte that is not JSON. */
#include "elements.h"

#include <string.h>

char elements_peek(struct elements *elements)
{
	while (elements->at < elements->size &&
	       memchr(" \t\r\n", elements->body[elements->at], strlen(" \t\r\n")))
		elements->at++;
	return elements->at < elements->size ? elements->body[elements->at] : '\0';
}

bool elements_skip(struct elements *elements, const char *token)
{
	size_t size = strlen(token);

	elements_peek(elements);
	if (elements->size - elements->at < size ||
	    memcmp(elements->body + elements->at, token, size) != 0)
		return false;
	elements->at += size;
	return true;
}

bool elements_ended(struct elements *elements)
{
	elements_peek(elements);
	return elements->at == elements->size;
}

static int refuse_at(const struct elements *elements, size_t at, const char *what, struct err *err)
{
	size_t line = 1, column = 0;

	for (size_t i = 0; i < at && i < elements->size; i++) {
		unsigned char c = (unsigned char)elements->body[i];

		column += (c & 0xc0) != 0x80;
		if (c == '\n') {
			line++;
			column = 0;
		}
	}
	return err_set(err, ERR_INVALID, "body is not JSON: line %zu, column %zu: %s", line, column,
		       what);
}

int elements_refuse(const struct elements *elements, const char *what, struct err *err)
{
	return refuse_at(elements, elements->at, what, err);
}

json_t *elements_value(struct elements *elements, size_t max, bool *ret_long, struct err *err)
{
	size_t left;
	json_error_t problem;
	json_t *value;
	bool cut;

	elements_peek(elements);
	left = elements->size - elements->at;
	cut = left > max;
	value = json_loadb(elements->body + elements->at, cut ? max : left,
			   JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY,
			   &problem);
	if (value) {
		elements->at += (size_t)problem.position;
		return value;
	}
	*ret_long = cut && (size_t)problem.position >= max;
	refuse_at(elements, elements->at + (size_t)problem.position, problem.text, err);
	return NULL;
}
