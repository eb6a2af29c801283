/*
 * Merge patches. Enters: an object that we wrote, and one that somebody sent. Leaves: both in one text.
 * Apart from the handlers, since jansson and our writer name their functions alike.
 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <rolebridge/base/util.h>

void json_value_auto(json_t **value)
{
	json_decref(*value);
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to change a definition");
}

/* Where there is no object to merge into, an empty one: nulls in it take nothing away. */
static int merge_object(json_t *stored, const char *name, json_t *given, struct err *err)
{
	json_t *present = json_object_get(stored, name);

	if (!json_is_object(present)) {
		present = json_object();
		if (json_object_set_new(stored, name, present) < 0)
			return no_memory(err);
	}
	return merge_values(present, given, err);
}

/* Depth: what jansson reads. */
int merge_values(json_t *stored, json_t *given, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(given, name, value) {
		if (json_is_null(value))
			json_object_del(stored, name);
		else if (json_is_object(value) ? merge_object(stored, name, value, err) < 0
					       : json_object_set(stored, name, value) < 0)
			return no_memory(err);
	}
	return 0;
}

int merge_patch(const char *stored, const char *given, size_t given_size, struct arena *arena,
		const char **ret_text, struct err *err)
{
	AUTO(json_value) json_t *object = json_loads(stored, 0, NULL);
	AUTO(json_value)
	json_t *patch =
		given_size ? json_loadb(given, given_size, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *copy;
	char *text;

	if (!object)
		return err_set(err, ERR_IO, "a stored definition cannot be read");
	if (given_size && !json_is_object(patch)) {
		*ret_text = NULL;
		return 0;
	}
	if (merge_values(object, patch, err) < 0)
		return -1;
	text = json_dumps(object, JSON_COMPACT);
	copy = text ? arena_strdup(arena, text) : NULL;
	free(text);
	if (!copy)
		return no_memory(err);
	*ret_text = copy;
	return 0;
}
