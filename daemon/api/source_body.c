/*
 * Bodies of SAML sources. Enters: hostile JSON. Leaves: one line of it whose shape a configuration can hold, and the
 * parts that the handlers need. Fails: what no source can be, memory.
 *
 * Apart from the handlers, since jansson and our writer name their functions alike.
 */
#include "source_body.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "merge.h"

/* Deeper than any table of options, and well below what the configuration's reader bears. */
#define DEPTH_MAX 8
#define KEY_MAX 64
#define TEXT_MAX ((size_t)16 * 1024)
#define BODY_MAX ((size_t)200 * 1024)

struct source_body {
	json_t *root;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a source");
}

static int check_text(const json_t *value, struct err *err)
{
	const char *text = json_string_value(value);
	size_t size = json_string_length(value);

	if (size > TEXT_MAX)
		return err_set(err, ERR_INVALID, "a text may not have more than %zu bytes",
			       TEXT_MAX);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "a text holds a control character");
	return 0;
}

static int check_shape(json_t *value, unsigned depth, struct err *err)
{
	const char *name;
	json_t *item;
	size_t i;

	if (depth > DEPTH_MAX)
		return err_set(err, ERR_INVALID, "a source is not nested as deeply as that");
	if (json_is_string(value))
		return check_text(value, err);
	if (json_is_array(value))
		json_array_foreach(value, i, item)
			if (check_shape(item, depth + 1, err) < 0)
				return -1;
	if (json_is_object(value))
		json_object_foreach(value, name, item) {
			if (name[0] == '\0' || strlen(name) > KEY_MAX)
				return err_set(err, ERR_INVALID, "a key has 1 to %d bytes",
					       KEY_MAX);
			if (check_shape(item, depth + 1, err) < 0)
				return -1;
		}
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int check_members(const json_t *root, const char **ret_field, struct err *err)
{
	const json_t *type = json_object_get(root, "type");
	const json_t *enabled = json_object_get(root, "enabled");
	const char *name = text_of(root, "name");

	*ret_field = "name";
	if (!name || !name[0])
		return err_set(err, ERR_INVALID, "field 'name' is required");
	*ret_field = "type";
	if (type && !json_is_string(type))
		return err_set(err, ERR_INVALID, "field 'type' must be a string");
	if (type && strcmp(json_string_value(type), "saml") != 0)
		return err_refuse(err, ERR_CONFLICT, "managed-by-config",
				  "sources of type '%.64s' name files and secrets of this machine: "
				  "declare them in the configuration's files",
				  json_string_value(type));
	*ret_field = "enabled";
	if (enabled && !json_is_boolean(enabled))
		return err_set(err, ERR_INVALID, "field 'enabled' must be true or false");
	*ret_field = NULL;
	return 0;
}

/* Texts of many lines are looked at apart. */
static int check_document(const json_t *idp, const char *name, size_t max, struct err *err)
{
	const json_t *value = json_object_get(idp, name);

	if (value && !json_is_string(value))
		return err_set(err, ERR_INVALID, "field 'idp.%s' must be a string", name);
	if (json_string_length(value) > max)
		return err_set(err, ERR_INVALID, "field 'idp.%s' may not have more than %zu KiB",
			       name, max >> 10);
	return 0;
}

static int check_rest(const json_t *root, struct arena *arena, const char **ret_field,
		      struct err *err)
{
	json_t *copy = json_deep_copy(root), *value;
	const char *name;
	int result = copy ? 0 : no_memory(err);

	json_object_del(json_object_get(copy, "idp"), "metadata");
	json_object_del(json_object_get(copy, "idp"), "metadata_signer");
	/* Keys first: no field is named by one that is too long. */
	json_object_foreach(copy, name, value) {
		bool named = name[0] != '\0' && strlen(name) <= KEY_MAX;

		*ret_field = result == 0 && named ? arena_strdup(arena, name) : *ret_field;
		if (result == 0 && !named)
			result = err_set(err, ERR_INVALID, "a key has 1 to %d bytes", KEY_MAX);
		if (result == 0)
			result = check_shape(value, 1, err);
		if (result < 0)
			break;
		*ret_field = NULL;
	}
	json_decref(copy);
	return result;
}

static int check_documents(const json_t *root, const char **ret_field, struct err *err)
{
	const json_t *idp = json_object_get(root, "idp");

	*ret_field = "idp.metadata";
	if (check_document(idp, "metadata", SOURCE_METADATA_MAX, err) < 0)
		return -1;
	*ret_field = "idp.metadata_signer";
	if (check_document(idp, "metadata_signer", TEXT_MAX, err) < 0)
		return -1;
	*ret_field = NULL;
	return 0;
}

static int parse(const char *stored, const char *given, size_t given_size, json_t **ret_root,
		 struct err *err)
{
	AUTO(json_value)
	json_t *patch = json_loadb(given, given_size, JSON_REJECT_DUPLICATES, NULL);
	AUTO(json_value) json_t *root = NULL;

	if (!json_is_object(patch))
		return err_set(err, ERR_INVALID, "the body must be a JSON object");
	if (!stored) {
		*ret_root = json_incref(patch);
		return 0;
	}
	root = json_loads(stored, 0, NULL);
	if (!root)
		return err_set(err, ERR_IO, "a stored definition cannot be read");
	if (merge_values(root, patch, err) < 0)
		return -1;
	*ret_root = json_incref(root);
	return 0;
}

static void fill_parts(const json_t *root, struct source_parts *ret_parts)
{
	const json_t *idp = json_object_get(root, "idp");
	const json_t *enabled = json_object_get(root, "enabled");
	const json_t *metadata = json_object_get(idp, "metadata");

	*ret_parts = (struct source_parts){
		.name = text_of(root, "name"),
		.metadata = json_string_value(metadata),
		.metadata_size = json_string_length(metadata),
		.entity_id = text_of(idp, "entity_id"),
		.signer = text_of(idp, "metadata_signer"),
		.enabled_given = enabled != NULL,
		.enabled = json_is_true(enabled),
	};
}

int source_body_read(const char *stored, const char *given, size_t given_size, struct arena *arena,
		     struct source_body **ret_body, struct source_parts *ret_parts,
		     const char **ret_field, struct err *err)
{
	struct source_body *body;
	json_t *root = NULL;

	*ret_field = NULL;
	if (parse(stored, given, given_size, &root, err) < 0)
		return -1;
	body = alloc_zeroed(1, sizeof(*body));
	if (!body) {
		json_decref(root);
		return no_memory(err);
	}
	body->root = root;
	if (check_members(root, ret_field, err) < 0 || check_documents(root, ret_field, err) < 0 ||
	    check_rest(root, arena, ret_field, err) < 0 ||
	    (!json_object_get(root, "type") &&
	     json_object_set_new(root, "type", json_string("saml")) < 0 && no_memory(err) < 0)) {
		source_body_destroy(body);
		return -1;
	}
	fill_parts(root, ret_parts);
	*ret_body = body;
	return 0;
}

void source_body_destroy(struct source_body *body)
{
	if (!body)
		return;
	json_decref(body->root);
	free(body);
}

int source_body_name_metadata(struct source_body *body, const char *fingerprint,
			      const char *entity_id, struct err *err)
{
	json_t *idp = json_object_get(body->root, "idp");

	if (json_object_set_new(idp, "metadata", json_string(fingerprint)) < 0 ||
	    json_object_set_new(idp, "entity_id", json_string(entity_id)) < 0)
		return no_memory(err);
	return 0;
}

int source_body_enable(struct source_body *body, bool enabled, struct err *err)
{
	return json_object_set_new(body->root, "enabled", json_boolean(enabled)) < 0
		       ? no_memory(err)
		       : 0;
}

int source_body_write(const struct source_body *body, struct arena *arena, const char **ret_text,
		      struct err *err)
{
	char *text = json_dumps(body->root, JSON_COMPACT);
	size_t size = text ? strlen(text) : 0;
	const char *copy = text ? arena_strndup(arena, text, size) : NULL;

	free(text);
	if (!copy)
		return no_memory(err);
	if (size > BODY_MAX)
		return err_set(err, ERR_TOO_LARGE, "a source may not have more than %zu KiB",
			       BODY_MAX >> 10);
	*ret_text = copy;
	return 0;
}
