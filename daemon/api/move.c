/*
 * Moving a user to another organization. Enters: {organization}, ?dry_run. Leaves: what became of them, or would.
 */
#include "definitions.h"

#include <rolebridge/base/util.h>

#include "reader.h"

struct move_body {
	const char *organization;
};

static const struct field move_fields[] = {
	{ "organization", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct move_body, organization), 64,
	  NULL, 0 },
};

static void show_outcome(struct json *json, const struct move_outcome *outcome, bool dry_run)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&outcome->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "organization", outcome->organization);
	json_string(json, "profile", outcome->profile);
	json_bool(json, "moved", outcome->moved);
	json_bool(json, "dry_run", dry_run);
	json_int(json, "tokens", outcome->tokens);
	json_array_key(json, "dropped");
	for (size_t i = 0; i < outcome->dropped_count; i++) {
		json_object(json);
		show_grant_members(json, &outcome->dropped[i]);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

int user_move(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct user_move move = { .user = http_parameter(request, "user") };
	struct move_body body = { 0 };
	struct move_outcome outcome;
	struct json json = api_json(response);

	if (if_match_read(request, &move.version, err) < 0 ||
	    query_dry_run(request, &move.dry_run, err) < 0 ||
	    request_read(request, move_fields, ARRAY_LEN(move_fields), &body, err) < 0)
		return -1;
	move.organization = body.organization;
	if (change_user_move(api->settings.changer, &actor, &move, request->arena, &outcome,
			     &request->error_field, err) < 0) {
		references_explain(request, move.user, err);
		return -1;
	}
	show_outcome(&json, &outcome, move.dry_run);
	return 0;
}
