/*
 * A body of JSON read value by value: a tree in memory is many times its text, and lists may be long. In: bytes. Out:
 * values, each to be freed before the next. What is between them is for the caller to skip.
 */
#ifndef API_ELEMENTS_H
#define API_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <rolebridge/base/err.h>

struct elements {
	const char *body;
	size_t size, at;
};

/* The next byte that is no space; '\0' at the end. */
char elements_peek(struct elements *elements);
/* These very bytes, after spaces; nothing is skipped when they are not there. */
bool elements_skip(struct elements *elements, const char *token);
/* Nothing but spaces is left. */
bool elements_ended(struct elements *elements);
/*
 * One whole value of at most max bytes. NULL: ERR_INVALID with line and column, or, when it is longer, ERR_INVALID and
 * *ret_long. Keys given twice are refused, UTF-8 is checked.
 */
json_t *elements_value(struct elements *elements, size_t max, bool *ret_long, struct err *err);
/* "body is not JSON: line 3, column 7: …" of the present place. -1. */
int elements_refuse(const struct elements *elements, const char *what, struct err *err);

#endif
