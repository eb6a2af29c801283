/*
 * What an event says. Enters: a row of the queue with what change/ wrote into it. Leaves: one JSON object
 * (schemas/webhook-event.schema.json), or that this endpoint does not want it. Fails where the row is damaged.
 *
 * The row's own words are sent on as "data"; nothing is read from the store, so that an event is the same at each attempt,
 * and says what was so when it happened.
 */
#include "webhook.h"

#include <jansson.h>

#include <rolebridge/base/clock.h>

static bool list_has(const struct located_list *list, const char *word)
{
	for (size_t i = 0; word && i < list->count; i++) {
		if (strcmp(list->items[i].text, word) == 0)
			return true;
	}
	return false;
}

/* Of what the user is, or was before this: who leaves is heard of, too. */
static bool is_concerned(const struct located_list *list, const json_t *data, const char *field)
{
	const json_t *user = json_object_get(data, "user");
	const json_t *changed = json_object_get(json_object_get(data, "changed"), field);

	return list->count == 0 ||
	       list_has(list, json_string_value(json_object_get(user, field))) ||
	       list_has(list, json_string_value(json_array_get(changed, 0)));
}

static bool is_wanted(const struct webhook_settings *settings, const char *event,
		      const json_t *data)
{
	return (settings->events.count == 0 || list_has(&settings->events, event)) &&
	       is_concerned(&settings->organizations, data, "organization") &&
	       is_concerned(&settings->profiles, data, "profile");
}

static int take_text(const char *text, size_t size, void *context)
{
	struct strbuf *out = context;

	strbuf_append(out, text, size);
	return strbuf_failed(out) ? -1 : 0;
}

/* When the row was queued, as its id tells (RFC 9562, version 7): a row that is tried anew counts its age anew. */
static int64_t happened_s(const struct uuid *id)
{
	int64_t ms = 0;

	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id->byte[i];
	return ms / 1000;
}

/* data is borrowed. */
static int event_write(const struct delivery_row *row, json_t *data, struct strbuf *out,
		       struct err *err)
{
	char id[UUID_TEXT_SIZE], time[CLOCK_TEXT_SIZE];
	size_t start = out->size;
	json_t *event;
	int result = -1;

	uuid_format(&row->uuid, id);
	clock_format(happened_s(&row->uuid), time);
	event = json_pack("{s:s, s:s, s:s, s:I, s:O}", "type", delivery_event_name(row->event),
			  "id", id, "timestamp", time, "sequence", (json_int_t)row->id, "data",
			  data);
	if (event)
		result = json_dump_callback(event, take_text, out, JSON_COMPACT);
	json_decref(event);
	if (result == 0)
		return 1;
	strbuf_truncate(out, start);
	return err_set(err, ERR_MEMORY, "out of memory");
}

int webhook_event_make(const struct webhook_settings *settings, const struct delivery_row *row,
		       struct strbuf *out, struct err *err)
{
	json_error_t problem = { 0 };
	json_t *data;
	int result;

	if (strlen(row->detail) > WEBHOOK_DETAIL_MAX)
		return err_refuse(err, ERR_TOO_LARGE, "event-too-large",
				  "the event is longer than %d bytes", WEBHOOK_DETAIL_MAX);
	data = json_loads(row->detail, JSON_REJECT_DUPLICATES, &problem);
	if (!data && json_error_code(&problem) == json_error_out_of_memory)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!json_is_object(json_object_get(data, "user")))
		result = err_refuse(err, ERR_INVALID, "event-damaged",
				    "what was queued is no event");
	else
		result = is_wanted(settings, delivery_event_name(row->event), data)
				 ? event_write(row, data, out, err)
				 : 0;
	json_decref(data);
	return result;
}
