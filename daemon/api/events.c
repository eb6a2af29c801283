/*
 * What applications tell of what people use. Enters: events in the body. Leaves: how many were counted, and why others
 * were not.
 */
#include <rolebridge/change/activity.h>

#include "internal.h"
#include "reader.h"

#define DIGESTED_MAX ((size_t)64 * 1024 * 1024)
#define USER_MAX_BYTES 320 /* an e-mail address, or more than any name */

struct event_item {
	struct field_refusal refusal; /* first: FIELD_EACH */
	struct event event;
};

struct events_body {
	struct field_list events; /* struct event_item */
	const char *application, *batch;
};

static const struct field event_fields[] = {
	{ "user", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct event_item, event.user),
	  USER_MAX_BYTES, NULL, 0 },
	{ "feature", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct event_item, event.feature),
	  FEATURE_NAME_MAX, NULL, 0 },
	{ "at", FIELD_TEXT, 0, offsetof(struct event_item, event.at), 64, NULL, 0 },
	{ "count", FIELD_INT, FIELD_POSITIVE, offsetof(struct event_item, event.count),
	  EVENT_COUNT_MAX, NULL, 0 },
	{ .name = NULL },
};

static const struct field events_fields[] = {
	{ "events", FIELD_LIST, FIELD_REQUIRED | FIELD_EACH, offsetof(struct events_body, events),
	  EVENTS_AT_ONCE_MAX, event_fields, sizeof(struct event_item) },
	{ "application", FIELD_TEXT, 0, offsetof(struct events_body, application), 64, NULL, 0 },
	{ "batch", FIELD_TEXT, 0, offsetof(struct events_body, batch), 128, NULL, 0 },
};

static struct event *take_events(struct arena *arena, const struct field_list *list)
{
	const struct event_item *items = list->items;
	struct event *events = arena_alloc_array(arena, list->count + 1, sizeof(*events));

	for (size_t i = 0; events && i < list->count; i++) {
		events[i] = items[i].event;
		events[i].problem = items[i].refusal.message;
		events[i].problem_field = items[i].refusal.field;
	}
	return events;
}

/* What is asked for, however it was written: texts hold no control characters. */
static int digest_events(const struct event *events, size_t count, struct hash128 *ret_digest,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DIGESTED_MAX);

	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, "%s\x1f%s\x1f%s\x1f%lld\x1f%s\n",
			      events[i].user ? events[i].user : "",
			      events[i].feature ? events[i].feature : "",
			      events[i].at ? events[i].at : "", (long long)events[i].count,
			      events[i].problem ? events[i].problem : "");
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "out of memory");
	*ret_digest = digest128(text.data ? text.data : "", text.size);
	return 0;
}

static void show_outcome(struct json *json, const struct event_outcome *outcome,
			 const struct event_result *results, size_t count)
{
	json_object(json);
	json_int(json, "accepted", outcome->accepted);
	json_int(json, "refused", outcome->refused);
	json_bool(json, "repeated", outcome->repeated);
	json_array_key(json, "problems");
	for (size_t i = 0; i < count; i++) {
		if (!results[i].code)
			continue;
		json_object(json);
		json_int(json, "row", (int64_t)i);
		json_string(json, "code", results[i].code);
		json_string(json, "message", results[i].message);
		json_string(json, "field", results[i].field);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

int events_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct json json = api_json(response);
	struct events_body body = { 0 };
	struct event_outcome outcome;
	struct event_result *results;
	struct event_request asked;

	if (request_read(request, events_fields, ARRAY_LEN(events_fields), &body, err) < 0)
		return -1;
	asked = (struct event_request){
		.application = body.application,
		.batch = body.batch,
		.events = take_events(request->arena, &body.events),
		.count = body.events.count,
	};
	results = arena_alloc_array(request->arena, asked.count + 1, sizeof(*results));
	if (!results || !asked.events)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (digest_events(asked.events, asked.count, &asked.content, err) < 0 ||
	    change_events_add(api->settings.changer, &actor, &asked, request->arena, results,
			      &outcome, &request->error_field, err) < 0)
		return -1;
	show_outcome(&json, &outcome, results, asked.count);
	return 0;
}
