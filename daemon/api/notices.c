/* Handlers about what needs a person: alarms and entries in quarantine. All read, but for clearing an alarm. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

/* ---------------------------------------------------------------- alarms -- */

static void show_alarm_members(struct json *json, const struct alarm_row *alarm)
{
	json_int(json, "id", alarm->id);
	json_string(json, "kind", alarm->kind);
	json_string(json, "subject", alarm->subject);
	json_string(json, "text", alarm->text);
	json_time(json, "since", alarm->since_s);
	json_time(json, "cleared", alarm->cleared_s);
	json_string(json, "cleared_by", alarm->cleared_by);
}

int show_alarms(const struct reading_view *view, struct json *json, bool open_only, struct err *err)
{
	struct alarm_row *alarms;
	size_t count;

	if (store_alarm_list(view->store, open_only, view->arena, &alarms, &count, err) < 0)
		return -1;
	json_array_key(json, "alarms");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		show_alarm_members(json, &alarms[i]);
		json_end(json);
	}
	json_end(json);
	return 0;
}

int alarms_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "all", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	bool all;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "all", false, &all, err) < 0 ||
	    view_open(request, &view, err) < 0)
		return -1;
	json_object(&json);
	if (show_alarms(&view, &json, !all, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int alarm_clear(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	const char *text = http_parameter(request, "id");
	char *end;

	errno = 0;

	long long id = strtoll(text, &end, 10);

	if (errno != 0 || *end || end == text || id <= 0)
		return err_set(err, ERR_NOT_FOUND, "there is no alarm '%s'", text);
	if (change_alarm_clear(api->settings.changer, &actor, id, err) < 0)
		return -1;
	strbuf_puts(&response->body, "{}");
	return 0;
}

/* ------------------------------------------------------------ quarantine -- */

/* Who is frozen by it: the user whose identity this is; null for nobody known. */
static int show_frozen(const struct reading_view *view, struct json *json,
		       const struct quarantine_row *row, struct err *err)
{
	struct identity_row identity;
	struct user user;
	struct err missing = { 0 };

	if (row->key[0] == '\0') {
		json_null(json, "user");
		return 0;
	}
	if (store_identity_get(view->store, row->source, row->key, view->arena, &identity,
			       &missing) == 0 &&
	    store_user_get(view->store, identity.user_id, view->arena, &user, &missing) == 0) {
		json_string(json, "user", user.username);
		return 0;
	}
	json_null(json, "user");
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	*err = missing;
	return -1;
}

static int show_entry(const struct reading_view *view, struct json *json,
		      const struct quarantine_row *row, struct err *err)
{
	json_object(json);
	json_string(json, "source", row->source);
	json_string(json, "locator", row->locator);
	json_string(json, "key", row->key);
	json_string(json, "reason", row->reason);
	json_string(json, "detail", row->detail);
	json_time(json, "since", row->since_s);
	json_time(json, "seen", row->seen_s);
	if (show_frozen(view, json, row, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

int quarantine_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "source", "entry", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct quarantine_query query = { .source = http_query(request, "source"),
					  .entry = http_query(request, "entry") };
	struct quarantine_row *rows;
	int64_t limit, total;
	size_t count;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	if (view_open(request, &view, err) < 0 ||
	    store_quarantine_list(view.store, &query, view.arena, &rows, &count, &total, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "total", total);
	json_array_key(&json, "entries");
	for (size_t i = 0; i < count; i++) {
		if (show_entry(&view, &json, &rows[i], err) < 0)
			return -1;
	}
	json_end(&json);
	json_end(&json);
	return 0;
}
