/*
 * Who is signed in, for administrators. Enters: requests of the control socket. Leaves: JSON.
 * Ending a session goes through change/, as everything that is written.
 */
#include <rolebridge/api/web.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/store/session.h>

#include "internal.h"

/* Of those whom the caller may see; others are left out. */
static int show_session(const struct reading_view *view, struct json *json,
			const struct session *session, const char *organization, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (store_user_get(view->store, session->user_id, view->arena, &user, err) < 0)
		return -1;
	if (organization && strcmp(user.organization, organization) != 0)
		return 0;
	uuid_format(&session->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	uuid_format(&user.uuid, uuid);
	json_string(json, "user", uuid);
	json_string(json, "username", user.username);
	json_string(json, "source", session->source);
	json_string(json, "address", session->address);
	json_string(json, "agent", session->agent);
	json_time(json, "created", session->created_s);
	json_time(json, "seen", session->seen_s);
	json_time(json, "until", session->until_s);
	json_time(json, "second_factor", session->second_factor_s);
	json_string(json, "factor",
		    session->factor == FACTOR_NONE ? NULL : factor_method_name(session->factor));
	json_string(json, "stage", session_stage_name(session->stage));
	json_bool(json, "by_link", session->by_link);
	json_end(json);
	return 0;
}

int sessions_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "user", "source", "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct session_query query = { .source = http_query(request, "source") };
	const char *name = http_query(request, "user");
	struct session *sessions;
	struct user user;
	struct json json;
	int64_t limit;
	size_t count;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	if (name) {
		if (view_find_user(request, &view, name, &user, err) < 0)
			return -1;
		query.user_id = user.id;
	}
	if (store_session_list(view.store, &query, view.arena, &sessions, &count, err) < 0)
		return -1;
	json = api_json(response);
	json_object(&json);
	json_array_key(&json, "sessions");
	for (size_t i = 0; i < count; i++) {
		if (show_session(&view, &json, &sessions[i], api_organization(request), err) < 0)
			return -1;
	}
	json_end(&json);
	show_next(&json, count == query.limit ? sessions[count - 1].id : 0);
	json_end(&json);
	return 0;
}

static int end_sessions(struct http_request *request, struct http_response *response,
			const int64_t *ids, size_t count, size_t *ret_ended, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);

	(void)response;
	return change_sessions_end(api->settings.changer, &actor, ids, count, "by-administrator",
				   ret_ended, err);
}

static int answer_ended(struct http_response *response, size_t ended)
{
	struct json json = api_json(response);

	json_object(&json);
	json_int(&json, "ended", (int64_t)ended);
	json_end(&json);
	return 0;
}

int session_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *text = http_parameter(request, "id");
	struct session session;
	struct uuid uuid;
	size_t ended = 0;

	if (!uuid_parse(text, &uuid))
		return err_set(err, ERR_NOT_FOUND, "no session '%s'", text);
	if (view_open(request, &view, err) < 0 ||
	    store_session_find(view.store, &uuid, view.arena, &session, err) < 0 ||
	    end_sessions(request, response, &session.id, 1, &ended, err) < 0)
		return -1;
	return answer_ended(response, ended);
}

/* Of one user, all of them: as many calls as it takes. */
int user_sessions_delete(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct session_query query = { .limit = 1000 };
	struct session *sessions;
	size_t count, total = 0, ended;
	struct user user;
	int64_t *ids;

	if (view_open(request, &view, err) < 0 ||
	    view_find_user(request, &view, http_parameter(request, "user"), &user, err) < 0)
		return -1;
	query.user_id = user.id;
	do {
		if (store_session_list(view.store, &query, view.arena, &sessions, &count, err) < 0)
			return -1;
		ids = arena_alloc_array(view.arena, count + 1, sizeof(*ids));
		if (!ids)
			return err_set(err, ERR_MEMORY, "out of memory");
		for (size_t i = 0; i < count; i++)
			ids[i] = sessions[i].id;
		if (count > 0 && end_sessions(request, response, ids, count, &ended, err) < 0)
			return -1;
		if (count > 0) {
			query.after_id = ids[count - 1];
			total += ended;
		}
	} while (count == query.limit);
	return answer_ended(response, total);
}
