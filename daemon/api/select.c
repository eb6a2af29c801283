/*
 * People chosen by a filter or a saved segment. Enters: filters of anybody, names. Leaves: who matches, in pages;
 * how many. A request looks at a bounded number of people, says where it stopped, and the next one goes on there.
 */
#include "select.h"

#include <string.h>

#include <rolebridge/base/clock.h>

#include "kinds.h"

/* How many people a request looks at: some tenths of a second. */
#define SCAN_PAGE 20000
#define SCAN_COUNT 100000
/* Bytes of a filter that are shown before what is wrong with it; twice as many behind. */
#define NEAR ((size_t)30)

/* ---------------------------------------------------------------- compiling -- */

static bool may_see_sensitive(const struct http_request *request, const struct reading_view *view)
{
	struct err unheard;

	err_clear(&unheard);
	return api_require(request, view, "attributes:read@all", &unheard) == 0;
}

/* What stands there: members "near" and "near_position", where that begins. Cut between characters. */
static void show_near(struct json *json, struct arena *arena, const char *filter,
		      const struct selection_fault *fault)
{
	size_t size = strlen(filter);
	size_t from = fault->offset > NEAR ? fault->offset - NEAR : 0;
	size_t to = fault->offset + 2 * NEAR < size ? fault->offset + 2 * NEAR : size;

	from = from < size ? from : size;
	while (from > 0 && ((unsigned char)filter[from] & 0xc0) == 0x80)
		from--;
	while (to < size && ((unsigned char)filter[to] & 0xc0) == 0x80)
		to++;
	json_string(json, "near", arena_strndup(arena, filter + from, to - from));
	json_int(json, "near_position", (int64_t)from);
}

/* Names of sources are for those who run the daemon. */
static const char *hint_of(const struct http_request *request, const struct selection_fault *fault)
{
	const char *organization = api_organization(request);
	bool outsider = organization && strcmp(organization, "default") != 0;

	if (fault->hint[0] == '\0' || (outsider && strcmp(fault->code, "unknown-source") == 0))
		return NULL;
	return fault->hint;
}

/* Where it is, for programs that point at it. */
static void explain_fault(struct http_request *request, const char *filter,
			  const struct selection_fault *fault)
{
	AUTO(strbuf) struct strbuf text = STRBUF(4096);
	struct json json = JSON(&text);

	if (!fault->code)
		return;
	request->error_field = "filter";
	json_object(&json);
	json_int(&json, "position", (int64_t)fault->offset);
	json_int(&json, "width", (int64_t)fault->width);
	json_string(&json, "hint", hint_of(request, fault));
	show_near(&json, request->arena, filter, fault);
	json_end(&json);
	if (!strbuf_failed(&text))
		request->error_details = arena_strdup(request->arena, strbuf_text(&text));
}

static int compile(struct http_request *request, const struct reading_view *view,
		   const char *filter, bool may_unread, struct selection **ret_selection,
		   struct err *err)
{
	const struct selection_options options = { .now_s = clock_now_s(),
						   .sensitive = may_see_sensitive(request, view),
						   .application = api_actor(request).application,
						   .may_unread = may_unread };
	struct selection_fault fault;

	if (selection_compile(view->setup, view->store, filter, &options, ret_selection, &fault,
			      err) == 0)
		return 0;
	explain_fault(request, filter, &fault);
	return -1;
}

int segment_selection(struct http_request *request, const struct reading_view *view,
		      const char *segment, struct selection **ret_selection, struct err *err)
{
	const struct selection_options options = { .now_s = clock_now_s(),
						   .sensitive = may_see_sensitive(request, view),
						   .application = api_actor(request).application };

	return selection_of_segment(view->setup, view->store, api_organization(request), segment,
				    &options, ret_selection, err);
}

int query_selection(struct http_request *request, const struct reading_view *view,
		    struct selection **ret_selection, struct err *err)
{
	const char *filter = http_query(request, "filter");
	const char *segment = http_query(request, "segment");

	*ret_selection = NULL;
	if (filter && segment) {
		request->error_field = "segment";
		return err_set(err, ERR_INVALID, "give either 'filter' or 'segment'");
	}
	if (segment)
		return segment_selection(request, view, segment, ret_selection, err);
	if (filter)
		return compile(request, view, filter, false, ret_selection, err);
	return 0;
}

int segment_check(struct http_request *request, const char *filter, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(selection) struct selection *selection = NULL;

	if (view_open(request, &view, err) < 0)
		return -1;
	return compile(request, &view, filter, true, &selection, err);
}

void filter_explain(struct http_request *request, const char *filter, const struct err *err)
{
	const char *field = request->error_field;
	struct err found;

	err_clear(&found);
	if (segment_check(request, filter, &found) == 0 ||
	    strcmp(err_reason(&found), err_reason(err)) != 0)
		request->error_details = NULL;
	request->error_field = field;
}

/* ------------------------------------------------------------------ showing -- */

static bool is_hidden(const struct reading_view *view, const struct segment_settings *segment)
{
	return segment->sensitive && !may_see_sensitive(view->request, view);
}

int segment_require_shown(struct http_request *request, const char *name, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct segment_settings *segment;

	if (view_open(request, &view, err) < 0)
		return -1;
	segment = definition_find(request, &view, segment_type, name);
	if (!segment || !is_hidden(&view, segment))
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "segment '%s' reads attributes that are sensitive: replace it as a whole",
			  name);
}

int show_segment(const struct reading_view *view, struct json *json, const void *item,
		 struct err *err UNUSED)
{
	const struct segment_settings *segment = item;

	json_string(json, "description",
		    segment->description.text ? segment->description.text : "");
	json_string(json, "filter", is_hidden(view, segment) ? NULL : segment->filter.text);
	json_int(json, "roles", (int64_t)segment_roles(view->setup->catalogue, segment->name.text));
	return 0;
}

struct page {
	struct json *json;
	size_t limit, count;
};

static int show_one(void *context, const struct user *user, struct arena *arena UNUSED,
		    struct err *err UNUSED)
{
	struct page *page = context;

	json_object(page->json);
	show_user_members(page->json, user);
	json_end(page->json);
	return ++page->count == page->limit;
}

static int show_all(const struct reading_view *view, struct json *json,
		    const struct user_query *query, struct err *err)
{
	struct page page = { .json = json, .limit = SIZE_MAX };
	bool searches = query->prefix && query->prefix[0];
	struct user *users;
	int64_t next;
	size_t count;

	if ((searches ? store_user_search : store_user_scan)(view->store, query, view->arena,
							     &users, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		show_one(&page, &users[i], view->arena, err);
	json_end(json);
	show_next(json, next);
	return 0;
}

int show_users(const struct reading_view *view, struct json *json, const struct user_query *query,
	       const struct selection *selection, struct err *err)
{
	struct selection_walk walk = { .query = *query };
	struct page page = { .json = json, .limit = query->limit };

	json_object(json);
	json_array_key(json, "users");
	if (selection) {
		walk.scan_max = selection_fair(selection, SCAN_PAGE);
		if (selection_walk(selection, view->store, &walk, show_one, &page, err) < 0)
			return -1;
		json_end(json);
		show_next(json, walk.next_after);
	} else if (show_all(view, json, query, err) < 0) {
		return -1;
	}
	json_end(json);
	return 0;
}

int segment_users_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(selection) struct selection *selection = NULL;
	struct user_query query = { .active = -1, .organization = api_organization(request) };
	struct json json = api_json(response);
	int64_t limit;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    segment_selection(request, &view, http_parameter(request, "name"), &selection, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	return show_users(&view, &json, &query, selection, err);
}

static int count_one(void *context, const struct user *user, struct arena *arena UNUSED,
		     struct err *err UNUSED)
{
	int64_t *counts = context;

	counts[0]++;
	counts[1] += user_is_active(user);
	return 0;
}

/* Members of a count. */
static int show_count(const struct reading_view *view, struct json *json,
		      const struct selection *selection, struct selection_walk *walk,
		      struct err *err)
{
	int64_t counts[2] = { 0 };

	if (selection_walk(selection, view->store, walk, count_one, counts, err) < 0)
		return -1;
	json_int(json, "people", counts[0]);
	json_int(json, "active", counts[1]);
	json_int(json, "looked_at", (int64_t)walk->looked_at);
	show_next(json, walk->next_after);
	return 0;
}

int show_filter_count(struct http_request *request, const struct reading_view *view,
		      struct json *json, const char *filter, const char *organization,
		      struct err *err)
{
	AUTO(selection) struct selection *selection = NULL;
	struct selection_walk walk = { .query = { .active = -1, .organization = organization } };

	if (compile(request, view, filter, true, &selection, err) < 0)
		return -1;
	walk.scan_max = selection_fair(selection, SCAN_COUNT);
	json_object_key(json, "count");
	if (show_count(view, json, selection, &walk, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

int segment_count_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(selection) struct selection *selection = NULL;
	struct selection_walk walk = { .query = { .active = -1,
						  .organization = api_organization(request) } };
	struct json json = api_json(response);
	int64_t limit;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &walk.query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, SCAN_COUNT, SCAN_COUNT, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    segment_selection(request, &view, http_parameter(request, "name"), &selection, err) < 0)
		return -1;
	walk.scan_max = selection_fair(selection, (size_t)limit);
	json_object(&json);
	if (show_count(&view, &json, selection, &walk, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}
