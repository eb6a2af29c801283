/*
 * May they? Enters: a user, a permission, a resource. Leaves: allow or deny; why, to those who may know. What is not there
 * is denied, and looks like it. Answered from memory.
 */
#include <rolebridge/auth/decisions.h>
#include <rolebridge/base/clock.h>

#include "access.h"
#include "reader.h"

#define USER_MAX_BYTES 320
#define PERMISSION_MAX_BYTES 200
#define LIST_DEFAULT 100
#define LIST_MAX 10000

struct decide_body {
	const char *user, *permission;
	struct resource_key resource;
};

static const struct field resource_fields[] = {
	{ "application", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_key, application), 64,
	  NULL, 0 },
	{ "type", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_key, type), 64, NULL, 0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_key, id), RESOURCE_ID_MAX,
	  NULL, 0 },
	{ .name = NULL },
};

static const struct field decide_fields[] = {
	{ "user", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_body, user), USER_MAX_BYTES,
	  NULL, 0 },
	{ "permission", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_body, permission),
	  PERMISSION_MAX_BYTES, NULL, 0 },
	{ "resource", FIELD_OBJECT, 0, offsetof(struct decide_body, resource), 0, resource_fields,
	  0 },
};

/* What the caller may ask about. */
static void fill_caller(const struct http_request *request, struct question *question)
{
	question->application = api_caller(request)->actor.application;
	question->organization = api_organization(request);
}

int decide_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct decide_body body = { 0 };
	struct question question = { 0 };
	struct json json = api_json(response);
	struct verdict verdict;
	bool explain = api_caller(request)->explains;

	if (request_read(request, decide_fields, ARRAY_LEN(decide_fields), &body, err) < 0)
		return -1;
	fill_caller(request, &question);
	question.user = body.user;
	question.permission = body.permission;
	question.resource = body.resource;
	if (decisions_ask(api->settings.decisions, &question, explain, clock_now_s(), &verdict,
			  err) < 0) {
		if (err->code == ERR_INVALID)
			request->error_field = "permission";
		return -1;
	}
	json_object(&json);
	json_string(&json, "decision", verdict.allowed ? "allow" : "deny");
	if (explain) {
		json_string(&json, "reason", decision_reason_names[verdict.reason]);
		if (verdict.by[0])
			json_string(&json, "by", verdict.by);
	}
	json_end(&json);
	return 0;
}

/* --- lists --- */

struct parent_body {
	const char *type, *id;
};

struct decide_list_body {
	const char *user, *permission, *application, *type;
	struct parent_body parent;
	int64_t after, limit;
};

static const struct field parent_fields[] = {
	{ "type", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct parent_body, type), 64, NULL, 0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct parent_body, id), RESOURCE_ID_MAX, NULL,
	  0 },
	{ .name = NULL },
};

static const struct field list_fields[] = {
	{ "user", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_list_body, user),
	  USER_MAX_BYTES, NULL, 0 },
	{ "permission", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_list_body, permission),
	  PERMISSION_MAX_BYTES, NULL, 0 },
	{ "application", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_list_body, application),
	  64, NULL, 0 },
	{ "type", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct decide_list_body, type), 64, NULL,
	  0 },
	{ "parent", FIELD_OBJECT, 0, offsetof(struct decide_list_body, parent), 0, parent_fields,
	  0 },
	{ "after", FIELD_INT, 0, offsetof(struct decide_list_body, after), INT64_MAX, NULL, 0 },
	{ "limit", FIELD_INT, 0, offsetof(struct decide_list_body, limit), LIST_MAX, NULL, 0 },
};

static void show_one(void *context, const char *type, const char *id)
{
	struct json *json = context;

	json_object(json);
	json_string(json, "type", type);
	json_string(json, "id", id);
	json_end(json);
}

int decide_list_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct decide_list_body body = { 0 };
	struct listing_question question = { 0 };
	struct json json = api_json(response);
	int64_t next;

	if (request_read(request, list_fields, ARRAY_LEN(list_fields), &body, err) < 0)
		return -1;
	fill_caller(request, &question.question);
	question.question.user = body.user;
	question.question.permission = body.permission;
	question.question.resource = (struct resource_key){ body.application, body.type, NULL };
	question.parent_type = body.parent.type;
	question.parent_id = body.parent.id;
	question.after = body.after;
	question.limit = body.limit ? (size_t)body.limit : LIST_DEFAULT;
	json_object(&json);
	json_array_key(&json, "resources");
	if (decisions_list(api->settings.decisions, &question, clock_now_s(), show_one, &json,
			   &next, err) < 0) {
		if (err->code == ERR_INVALID)
			request->error_field = "permission";
		return -1;
	}
	json_end(&json);
	if (next)
		json_int(&json, "next", next);
	else
		json_null(&json, "next");
	json_end(&json);
	return 0;
}
