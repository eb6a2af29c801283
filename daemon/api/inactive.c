/*
 * Who has not signed in for so many days. Enters: how many, where to go on. Leaves: a page of people as JSON, or all of
 * them as CSV, a page at a time.
 */
#include <rolebridge/base/clock.h>
#include <rolebridge/base/csv.h>
#include <rolebridge/change/usage.h>
#include <rolebridge/store/activity.h>

#include "access.h"
#include "reports.h"

#define LIMIT_MAX 1000
/* People looked at for one page: it may hold fewer than asked for, and more follow. */
#define LOOKED_AT_MAX 20000
#define PAGE_BYTES ((size_t)64 * 1024 * 1024)
#define DAYS_MAX 3660

struct listing {
	struct arena *arena; /* of the export: owns this */
	struct api *api;
	struct inactive_query query;
	bool begun, ended;
};

static void show_person(struct json *json, const struct inactive *person)
{
	const struct user *user = &person->user;
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "username", user->username);
	json_string(json, "email", user->email);
	json_string(json, "display_name", user->display_name);
	json_string(json, "organization", user->organization);
	json_string(json, "profile", user->profile);
	json_string(json, "state", user_is_active(user) ? "active" : "disabled");
	json_time(json, "created", user->created_s);
	json_time(json, "last_sign_in", person->last_s);
	json_end(json);
}

static void put_person(struct strbuf *out, const struct inactive *person)
{
	const struct user *user = &person->user;
	const char *const texts[] = {
		user->username,	    user->email,   user->display_name,
		user->organization, user->profile, user_is_active(user) ? "active" : "disabled"
	};
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	strbuf_puts(out, uuid);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		strbuf_putc(out, ',');
		csv_put_text(out, texts[i], ',');
	}
	report_put_time(out, user->created_s);
	report_put_time(out, person->last_s);
	strbuf_puts(out, "\r\n");
}

/* --- all of them --- */

static int export_page(struct listing *listing, struct store *store, struct strbuf *out,
		       struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PAGE_BYTES);
	struct inactive *people;
	size_t count;
	int64_t next;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (usage_inactive(&listing->query, store, arena, &people, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		put_person(out, &people[i]);
	listing->query.after_id = next;
	listing->ended = next == 0;
	return 0;
}

/* Each page is a snapshot of its own. An empty part would be the end. */
static int export_next(void *context, struct strbuf *out, struct err *err)
{
	struct listing *listing = context;
	int result = 0;

	if (!listing->begun)
		strbuf_puts(out, "id,username,email,display_name,organization,profile,state,"
				 "created,last_sign_in\r\n");
	listing->begun = true;
	while (result == 0 && out->size == 0 && !listing->ended) {
		struct store *store = store_pool_take(listing->api->pool, err);

		if (!store)
			return -1;
		result = store_begin(store, err);
		if (result == 0) {
			result = export_page(listing, store, out, err);
			store_rollback(store);
		}
		store_pool_give(listing->api->pool, store);
	}
	return result;
}

static void export_close(void *context)
{
	struct listing *listing = context;

	arena_destroy(listing->arena);
}

static int answer_csv(struct http_request *request, struct http_response *response,
		      const struct inactive_query *query, struct err *err)
{
	struct arena *arena = arena_create(64u * 1024);
	struct listing *listing = arena ? arena_alloc(arena, sizeof(*listing)) : NULL;

	if (!listing) {
		arena_destroy(arena);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	*listing = (struct listing){ .arena = arena, .api = request->context, .query = *query };
	listing->query.organization =
		query->organization ? arena_strdup(arena, query->organization) : NULL;
	listing->query.limit = LIMIT_MAX;
	if (arena_failed(arena)) {
		arena_destroy(arena);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	response->content_type = "text/csv; charset=utf-8";
	response->stream = (struct http_stream){ export_next, export_close, listing };
	return 0;
}

/* --- a page --- */

static int answer_page(const struct reading_view *view, struct http_response *response,
		       const struct inactive_query *query, int64_t days, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PAGE_BYTES);
	struct json json = api_json(response);
	struct inactive *people;
	size_t count;
	int64_t next;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (usage_inactive(query, view->store, arena, &people, &count, &next, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "days", days);
	json_array_key(&json, "users");
	for (size_t i = 0; i < count; i++)
		show_person(&json, &people[i]);
	json_end(&json);
	show_next(&json, next);
	json_end(&json);
	return 0;
}

int report_inactive_get(struct http_request *request, struct http_response *response,
			struct err *err)
{
	static const char *const names[] = {
		"days", "include_disabled", "organization", "format", "after", "limit", NULL
	};
	AUTO(reading_view) struct reading_view view = { 0 };
	struct inactive_query query = { .looked_at = LOOKED_AT_MAX };
	int64_t days, limit;
	bool csv;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "days", 1, DAYS_MAX, 90, &days, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX / 4, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, LIMIT_MAX, 100, &limit, err) < 0 ||
	    http_query_bool(request, "include_disabled", false, &query.with_disabled, err) < 0 ||
	    report_format(request, &csv, err) < 0 ||
	    report_organization(request, &query.organization, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    api_require(request, &view, "users:read@all", err) < 0 ||
	    api_step_up(request, "users:read@all", err) < 0)
		return -1;
	query.before_s = clock_now_s() - days * DAY_S;
	query.limit = (size_t)limit;
	if (csv)
		return answer_csv(request, response, &query, err);
	return answer_page(&view, response, &query, days, err);
}
