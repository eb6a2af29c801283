/*
 * Records as the API shows them. Enters: model structs. Leaves: JSON members.
 * Nothing fails but the buffer.
 */
#include "internal.h"

#include <limits.h>

#include <rolebridge/base/util.h>

struct json api_json(struct http_response *response)
{
	return JSON(&response->body);
}

void show_disabled(struct json *json, uint32_t disabled)
{
	json_array_key(json, "disabled");
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t reason = 1u << bit;

		if (disabled & reason)
			json_string(json, NULL, disable_reason_name(reason));
	}
	json_end(json);
}

int query_page(struct http_request *request, int64_t most, int64_t usual, int64_t *ret_after,
	       size_t *ret_limit, struct err *err)
{
	int64_t limit;

	if (http_query_int(request, "after", 0, INT64_MAX / 4, 0, ret_after, err) < 0 ||
	    http_query_int(request, "limit", 1, most, usual, &limit, err) < 0)
		return -1;
	*ret_limit = (size_t)limit;
	return 0;
}

void show_next(struct json *json, int64_t cursor)
{
	if (cursor)
		json_int(json, "next", cursor);
	else
		json_null(json, "next");
}

void show_user_members(struct json *json, const struct user *user)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	json_string(json, "id", uuid);
	json_string(json, "username", user->username);
	json_string(json, "email", user->email);
	json_string(json, "display_name", user->display_name);
	json_string(json, "organization", user->organization);
	json_string(json, "profile", user->profile);
	json_bool(json, "active", user_is_active(user));
	show_disabled(json, user->disabled);
	json_bool(json, "protected", user->is_protected);
	json_int(json, "version", user->version);
	json_time(json, "created", user->created_s);
	json_time(json, "updated", user->updated_s);
}

void show_grant_members(struct json *json, const struct grant *grant)
{
	json_string(json, "kind", grant_kind_name(grant->kind));
	json_string(json, "name", grant->name);
	json_object_key(json, "origin");
	json_string(json, "kind", origin_kind_name(grant->origin));
	json_string(json, "id", grant->origin_id);
	json_string(json, "source", grant->origin_source);
	json_end(json);
	json_time(json, "given", grant->given_s);
	json_time(json, "expires", grant->expires_s);
}

void show_position_members(struct api *api, struct json *json, struct position at)
{
	const struct ports *ports = &api->settings.ports;
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);

	if (at.file == 0 || !ports->config_path ||
	    !ports->config_path(ports->context, at.file, &path) || strbuf_failed(&path))
		return;
	json_string(json, "file", strbuf_text(&path));
	json_int(json, "line", at.line);
	json_int(json, "column", at.column);
}

int grant_kind_parse(struct http_request *request, const char *field, const char *text,
		     enum grant_kind *ret_kind, struct err *err)
{
	for (int kind = 0; kind < GRANT_KINDS; kind++) {
		if (strcmp(grant_kind_name((enum grant_kind)kind), text) == 0) {
			*ret_kind = (enum grant_kind)kind;
			return 0;
		}
	}
	request->error_field = field;
	return err_set(err, ERR_INVALID,
		       "'%s' is no kind of grant: profile, role, persona or group", text);
}
