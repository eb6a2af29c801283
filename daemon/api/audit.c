/*
 * Handlers about the audit log: list, export (streamed), verify. The export
 * reads in pages by sequence number, so that a slow reader holds no snapshot
 * of the store; rows are only ever appended, so the pages fit together.
 *
 * A list looks at so many rows and no more: what matches little is answered with few rows, or none, and where to
 * go on.
 */
#include <stdlib.h>

#include <rolebridge/audit/audit.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/store/audit.h>

#include "internal.h"

#define PAGE_ROWS 500
#define PAGE_BYTES ((size_t)1024 * 1024)     /* a page ends with the row that reaches it */
#define LIST_BYTES ((size_t)8 * 1024 * 1024) /* so does a list, whose answer is one body */
#define SCAN_ROWS 50000

static const char *const query_names[] = { "after",  "before", "from",	  "to",	    "actor",
					   "object", "action", "request", "person", "limit",
					   "order",  "format", NULL };

static int query_time(struct http_request *request, const char *name, int64_t *ret_time_s,
		      struct err *err)
{
	const char *text = http_query(request, name);
	int64_t time_s = 0;

	if (text && clock_parse_date(text, &time_s, NULL) < 0 &&
	    clock_parse(text, &time_s, NULL) < 0) {
		request->error_field = name;
		return err_set(err, ERR_INVALID,
			       "'%s' must be like 2026-01-31 or 2026-01-31T12:00:00Z", name);
	}
	*ret_time_s = time_s;
	return 0;
}

/* person: filled when one is asked for. */
static int query_read(struct http_request *request, struct user *person,
		      struct audit_query *ret_query, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *name = http_query(request, "person");
	struct audit_query query = { .actor = http_query(request, "actor"),
				     .object = http_query(request, "object"),
				     .action = http_query(request, "action"),
				     .request = http_query(request, "request"),
				     .person = name ? person : NULL };

	if (http_query_allow(request, query_names, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_seq, err) < 0 ||
	    http_query_int(request, "before", 0, INT64_MAX, 0, &query.before_seq, err) < 0 ||
	    query_time(request, "from", &query.from_s, err) < 0 ||
	    query_time(request, "to", &query.to_s, err) < 0)
		return -1;
	if (name && view_open(request, &view, err) < 0)
		return -1;
	if (name && view_find_user(request, &view, name, person, err) < 0) {
		request->error_field = "person";
		return -1;
	}
	*ret_query = query;
	return 0;
}

static int refuse_query(struct http_request *request, const char *name, const char *words,
			struct err *err)
{
	request->error_field = name;
	return err_set(err, ERR_INVALID, "'%s' must be %s", name, words);
}

/* ------------------------------------------------------------------ list -- */

static int rows_append(struct store *store, const struct audit_query *query, struct strbuf *out,
		       int64_t *ret_next, struct err *err)
{
	struct store_audit_cursor *cursor = store_audit_open(store, query, err);
	struct audit_iterator rows;
	struct audit_row row;
	int more = 0;
	bool first = true;

	if (!cursor)
		return -1;
	rows = store_audit_iterator(cursor);
	while (out->size < LIST_BYTES && (more = rows.next(rows.context, &row, err)) > 0) {
		if (!first)
			strbuf_putc(out, ',');
		first = false;
		audit_format_row(&row, AUDIT_JSON_LINES, out);
		/* The row ends in a line break, which JSON takes as space. */
	}
	*ret_next = store_audit_place(cursor);
	store_audit_close(cursor);
	return more < 0 ? -1 : 0;
}

int audit_get(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *order = http_query(request, "order");
	struct audit_query query;
	struct user person;
	int64_t limit, next;

	if (query_read(request, &person, &query, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0)
		return -1;
	if (http_query(request, "format"))
		return refuse_query(request, "format", "left to the export", err);
	if (order && strcmp(order, "newest") != 0 && strcmp(order, "oldest") != 0)
		return refuse_query(request, "order", "newest or oldest", err);
	query.newest_first = !order || strcmp(order, "newest") == 0;
	query.limit = (size_t)limit;
	query.scan = SCAN_ROWS;
	strbuf_puts(&response->body, "{\"rows\":[");
	if (view_open(request, &view, err) < 0 ||
	    rows_append(view.store, &query, &response->body, &next, err) < 0)
		return -1;
	if (next)
		strbuf_printf(&response->body, "],\"next\":%lld}", (long long)next);
	else
		strbuf_puts(&response->body, "],\"next\":null}");
	return 0;
}

/* ---------------------------------------------------------------- export -- */

struct export
{
	struct arena *arena; /* owns this and the query's texts */
	struct api *api;
	struct audit_query query;
	struct user person;
	enum audit_format format;
	bool begun, ended;
};

static int export_page(struct export *export, struct store *store, struct strbuf *out,
		       struct err *err)
{
	struct store_audit_cursor *cursor = store_audit_open(store, &export->query, err);
	struct audit_iterator rows;
	struct audit_row row;
	int64_t last = export->query.after_seq;
	int more = 0;

	if (!cursor)
		return -1;
	rows = store_audit_iterator(cursor);
	while (out->size < PAGE_BYTES && (more = rows.next(rows.context, &row, err)) > 0) {
		audit_format_row(&row, export->format, out);
		last = row.seq;
	}
	/* Looked at up to there, whether asked for or not. */
	if (more == 0)
		last = store_audit_place(cursor);
	store_audit_close(cursor);
	export->ended = last == 0;
	export->query.after_seq = last;
	return more < 0 ? -1 : 0;
}

static int export_next(void *context, struct strbuf *out, struct err *err)
{
	struct export *export = context;
	struct store *store;
	int result = 0;

	if (!export->begun && export->format == AUDIT_CSV)
		strbuf_puts(out, audit_csv_header());
	export->begun = true;
	/* An empty part would be the end: go on until there is something. */
	while (result == 0 && out->size == 0 && !export->ended) {
		store = store_pool_take(export->api->pool, err);
		if (!store)
			return -1;
		result = export_page(export, store, out, err);
		store_pool_give(export->api->pool, store);
	}
	return result;
}

static void export_close(void *context)
{
	struct export *export = context;

	arena_destroy(export->arena);
}

static const char *keep(struct arena *arena, const char *text)
{
	return text ? arena_strdup(arena, text) : NULL;
}

static struct export *export_create(struct api *api, const struct audit_query *query)
{
	struct arena *arena = arena_create((size_t)64 * 1024);
	struct export *export = arena ? arena_alloc(arena, sizeof(*export)) : NULL;

	if (export) {
		export->arena = arena;
		export->api = api;
		export->query = *query;
		export->query.limit = PAGE_ROWS;
		export->query.scan = SCAN_ROWS;
		export->query.actor = keep(arena, query->actor);
		export->query.object = keep(arena, query->object);
		export->query.action = keep(arena, query->action);
		export->query.request = keep(arena, query->request);
		if (query->person) {
			export->person = *query->person;
			export->person.username = keep(arena, query->person->username);
			export->query.person = &export->person;
		}
	}
	if (!export || arena_failed(arena)) {
		arena_destroy(arena);
		return NULL;
	}
	return export;
}

int audit_export(struct http_request *request, struct http_response *response, struct err *err)
{
	const char *format = http_query(request, "format");
	bool csv = format && strcmp(format, "csv") == 0;
	struct audit_query query;
	struct export *export;
	struct user person;

	if (query_read(request, &person, &query, err) < 0)
		return -1;
	if (http_query(request, "order") || http_query(request, "limit"))
		return refuse_query(request, http_query(request, "order") ? "order" : "limit",
				    "left to the list", err);
	if (format && !csv && strcmp(format, "json") != 0)
		return refuse_query(request, "format", "json or csv", err);
	export = export_create(request->context, &query);
	if (!export)
		return err_set(err, ERR_MEMORY, "out of memory");
	export->format = csv ? AUDIT_CSV : AUDIT_JSON_LINES;
	response->content_type = csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
	response->stream = (struct http_stream){ export_next, export_close, export };
	return 0;
}

/* ---------------------------------------------------------------- verify -- */

void audit_anchor_show(struct json *json, const struct audit_anchor *anchor)
{
	char hex[65];

	hash256_hex(&anchor->hash, hex);
	json_object_key(json, "anchor");
	json_int(json, "seq", anchor->seq);
	json_string(json, "hash", hex);
	json_time(json, "at", anchor->at_s);
	json_time(json, "moved", anchor->moved_s);
	json_end(json);
}

static void show_verdict(struct json *json, const struct audit_verdict *verdict,
			 const struct audit_anchor *anchor)
{
	char hex[65];

	hash256_hex(&verdict->head, hex);
	json_object(json);
	json_bool(json, "intact", verdict->intact);
	json_int(json, "rows", verdict->rows);
	json_int(json, "broken_seq", verdict->broken_seq);
	json_string(json, "head", hex);
	json_int(json, "head_seq", verdict->last_seq);
	json_string(json, "asked_head", audit_head_state_name(verdict->head_state));
	json_string(json, "problem", verdict->problem);
	audit_anchor_show(json, anchor);
	json_end(json);
}

int audit_verify_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "head", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct audit_check check = { .head = http_query(request, "head") };
	struct store_audit_cursor *cursor;
	struct audit_iterator rows;
	struct audit_verdict verdict;
	struct json json = api_json(response);
	struct hash256 hash;
	int64_t seq;
	int result;

	if (http_query_allow(request, names, err) < 0)
		return -1;
	if (check.head && audit_head_parse(check.head, &seq, &hash, NULL) < 0)
		return refuse_query(
			request, "head",
			"64 hex digits, after a row's number and a colon if it is known", err);
	if (view_open(request, &view, err) < 0 ||
	    store_audit_anchor(view.store, &check.anchor, err) < 0)
		return -1;
	cursor = store_audit_open(view.store, NULL, err);
	if (!cursor)
		return -1;
	rows = store_audit_iterator(cursor);
	result = audit_verify(&rows, &check, &verdict, err);
	store_audit_close(cursor);
	if (result < 0)
		return -1;
	show_verdict(&json, &verdict, &check.anchor);
	return 0;
}
