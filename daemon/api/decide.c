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

/* --- the plain form, read at once --- */

/*
 * What programs send is nearly always the same: the fields, plain ASCII. That is read here; whatever is anything
 * else, or wrong, is left to the reader, which says what is wrong with it.
 */
static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static bool quick_text(const char **at, char *text, size_t size)
{
	const char *from = *at;
	size_t used = 0;

	if (*from++ != '"')
		return false;
	for (; *from != '"'; from++) {
		unsigned char c = (unsigned char)*from;

		if (c < 0x20 || c > 0x7e || c == '\\' || used + 1 >= size)
			return false;
		text[used++] = *from;
	}
	text[used] = 0;
	*at = from + 1;
	return true;
}

struct quick_field {
	const char *name;
	size_t size; /* of the text, with its NUL */
	char *text;
	bool found;
};

static struct quick_field *quick_find(struct quick_field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!fields[i].found && strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* {"name":"text", …}; each field once. inner: "resource", whose fields these are; NULL: none. */
static bool quick_object(const char **at, struct quick_field *fields, size_t count,
			 struct quick_field *inner, size_t inner_count, bool *ret_inner)
{
	char name[32];

	if (**at != '{')
		return false;
	do {
		struct quick_field *field;

		*at = skip_space(*at + 1);
		if (!quick_text(at, name, sizeof(name)))
			return false;
		*at = skip_space(*at);
		if (**at != ':')
			return false;
		*at = skip_space(*at + 1);
		field = quick_find(fields, count, name);
		if (field) {
			field->found = true;
			if (!quick_text(at, field->text, field->size))
				return false;
		} else if (inner && !*ret_inner && strcmp(name, "resource") == 0) {
			*ret_inner = true;
			if (!quick_object(at, inner, inner_count, NULL, 0, NULL))
				return false;
		} else {
			return false;
		}
		*at = skip_space(*at);
	} while (**at == ',');
	if (**at != '}')
		return false;
	*at = skip_space(*at + 1);
	return true;
}

struct quick_texts {
	char user[USER_MAX_BYTES + 1], permission[PERMISSION_MAX_BYTES + 1];
	char application[65], type[65], id[RESOURCE_ID_MAX + 1];
};

static bool quick_read(const struct http_request *request, struct quick_texts *texts,
		       struct decide_body *body)
{
	struct quick_field outer[] = {
		{ "user", sizeof(texts->user), texts->user, false },
		{ "permission", sizeof(texts->permission), texts->permission, false },
	};
	struct quick_field inner[] = {
		{ "application", sizeof(texts->application), texts->application, false },
		{ "type", sizeof(texts->type), texts->type, false },
		{ "id", sizeof(texts->id), texts->id, false },
	};
	const char *at = request->body, *type = http_header(request, "Content-Type");
	bool has_inner = false;

	if (!type || strcmp(type, "application/json") != 0)
		return false;
	at = skip_space(at);
	if (!quick_object(&at, outer, ARRAY_LEN(outer), inner, ARRAY_LEN(inner), &has_inner) ||
	    at != request->body + request->body_size || !outer[0].found || !outer[1].found ||
	    (has_inner && !(inner[0].found && inner[1].found && inner[2].found)))
		return false;
	*body = (struct decide_body){ .user = texts->user, .permission = texts->permission };
	if (has_inner)
		body->resource =
			(struct resource_key){ texts->application, texts->type, texts->id };
	return true;
}

/* --- deciding --- */

/* What the caller may ask about. */
static void fill_caller(const struct http_request *request, struct question *question)
{
	question->application = api_caller(request)->actor.application;
	question->organization = api_organization(request);
}

struct http_prepared *decide_prepare(bool allowed, struct err *err)
{
	struct http_response response = { .content_type = "application/json", .body = STRBUF(64) };
	struct http_prepared *prepared;

	strbuf_puts(&response.body,
		    allowed ? "{\"decision\":\"allow\"}" : "{\"decision\":\"deny\"}");
	prepared = http_prepared_create(&response, err);
	strbuf_finish(&response.body);
	return prepared;
}

static void explain(struct http_response *response, const struct verdict *verdict)
{
	struct json json = api_json(response);

	json_object(&json);
	json_string(&json, "decision", verdict->allowed ? "allow" : "deny");
	json_string(&json, "reason", decision_reason_names[verdict->reason]);
	if (verdict->by[0])
		json_string(&json, "by", verdict->by);
	json_end(&json);
}

int decide_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	bool explained = api_caller(request)->explains;
	struct quick_texts texts;
	struct decide_body body = { 0 };
	struct question question = { 0 };
	struct verdict verdict;

	if (!quick_read(request, &texts, &body) &&
	    request_read(request, decide_fields, ARRAY_LEN(decide_fields), &body, err) < 0)
		return -1;
	fill_caller(request, &question);
	question.user = body.user;
	question.permission = body.permission;
	question.resource = body.resource;
	if (decisions_ask(api->settings.decisions, &question, explained, clock_now_s(), &verdict,
			  err) < 0) {
		if (err->code == ERR_INVALID)
			request->error_field = "permission";
		return -1;
	}
	if (explained)
		explain(response, &verdict);
	else
		response->prepared = http_prepared_acquire(api->decisions[verdict.allowed]);
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
	show_next(&json, next);
	json_end(&json);
	return 0;
}
