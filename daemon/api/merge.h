/* JSON merge patches (RFC 7396). */
#ifndef API_MERGE_H
#define API_MERGE_H

#include <stddef.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

/*
 * Members of `given` over those of `stored`; null takes one away. NULL in *ret_text: `given` is no object, for
 * whoever reads it to refuse.
 */
int merge_patch(const char *stored, const char *given, size_t given_size, struct arena *arena,
		const char **ret_text, struct err *err);

/* The same of values of jansson, in place. */
struct json_t;
int merge_values(struct json_t *stored, struct json_t *given, struct err *err);
/* For AUTO(json_value). */
void json_value_auto(struct json_t **value);

#endif
