/*
 * Handlers of imports and exports of people. Enters: a file in the body, at most 64 MiB. Leaves: a run, whose result
 * tells of every row; or a file, a page of people at a time. One import at a time: two would only wait for each
 * other.
 */
#include <stdlib.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/csv.h>
#include <rolebridge/change/account.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/store/account.h>
#include <rolebridge/store/invite.h>

#include "internal.h"
#include "people.h"
#include "select.h"

#define ARENA_MAX ((size_t)256 * 1024 * 1024)
#define RESULTS_MAX ((size_t)24 * 1024 * 1024)
#define PAGE_USERS 500
#define PAGE_ARENA_MAX ((size_t)64 * 1024 * 1024)

/* -------------------------------------------------------------------- import -- */

struct job {
	struct arena *arena;
	struct api *api;
	struct actor actor;
	enum people_format format;
	char *body;
	size_t size;
	bool dry_run, failed_only;
	/* the result */
	struct strbuf rows;
	bool cut;
	int64_t counts[IMPORT_STATUSES];
};

static void job_destroy(void *context)
{
	struct job *job = context;

	if (!job)
		return;
	if (job->api)
		atomic_store(&job->api->importing, false);
	free(job->body);
	strbuf_finish(&job->rows);
	arena_destroy(job->arena);
}

static struct job *job_create(struct http_request *request, enum people_format format,
			      struct err *err)
{
	struct arena *arena = arena_create(ARENA_MAX);
	struct job *job = arena ? arena_alloc(arena, sizeof(*job)) : NULL;
	const struct actor actor = api_actor(request);

	if (!job) {
		arena_destroy(arena);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	job->arena = arena;
	job->format = format;
	job->rows = STRBUF(RESULTS_MAX + 64 * 1024);
	job->size = request->body_size;
	job->body = malloc(request->body_size + 1);
	/* Whose authority it is, for as long as it takes; it is read anew for each person. */
	if (!job->body || actor_keep(arena, &actor, &job->actor, err) < 0) {
		job_destroy(job);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	memcpy(job->body, request->body, request->body_size + 1);
	return job;
}

static void add_result(struct job *job, uint64_t number, const struct import_result *result)
{
	struct json json = JSON(&job->rows);
	char uuid[UUID_TEXT_SIZE];

	job->counts[result->status]++;
	if (job->failed_only && result->status != IMPORT_FAILED)
		return;
	if (job->rows.size > RESULTS_MAX) {
		job->cut = true;
		return;
	}
	if (job->rows.size > 0)
		strbuf_putc(&job->rows, ',');
	json_object(&json);
	json_int(&json, "row", (int64_t)number);
	json_string(&json, "status", import_status_name(result->status));
	if (result->has_user) {
		uuid_format(&result->user, uuid);
		json_string(&json, "user", uuid);
	}
	if (result->code) {
		json_string(&json, "code", result->code);
		if (result->field)
			json_string(&json, "field", result->field);
		json_string(&json, "message", result->message);
	}
	json_end(&json);
}

static int put_result(struct job *job, struct run *run, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(RESULTS_MAX + 128 * 1024);
	struct json json = JSON(&text);

	json_object(&json);
	json_bool(&json, "dry_run", job->dry_run);
	for (int i = 0; i < IMPORT_STATUSES; i++)
		json_int(&json, import_status_name((enum import_status)i), job->counts[i]);
	json_bool(&json, "cut", job->cut);
	json_array_key(&json, "rows");
	if (job->rows.size > 0)
		json_raw(&json, NULL, strbuf_text(&job->rows));
	json_end(&json);
	json_end(&json);
	if (strbuf_failed(&job->rows) || strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "out of memory");
	return run_set_result(run, &text, err);
}

struct batch {
	struct import_row rows[IMPORT_BATCH];
	struct import_result results[IMPORT_BATCH];
	size_t count;
};

/* 1: there is more. */
static int read_batch(struct people_reader *reader, struct arena *arena, struct batch *batch,
		      struct err *err)
{
	int more = 1;

	for (batch->count = 0; more > 0 && batch->count < IMPORT_BATCH;) {
		more = people_next(reader, arena, &batch->rows[batch->count],
				   &batch->results[batch->count], err);
		batch->count += more > 0;
	}
	return more;
}

/* How many there will be is guessed from what they took so far. */
static void tell_progress(const struct job *job, struct run *run, uint64_t done, size_t offset)
{
	uint64_t total = done == 0 || offset == 0 ? 0 : done * job->size / offset;

	run_progress(run, job->dry_run ? "reading" : "applying", done, total);
}

/*
 * What is wrong with the file from some place on ends it there; what was read before is done all the same, and told.
 */
static int work_through(struct job *job, struct run *run, struct import *import,
			struct people_reader *reader, struct batch *batch, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct err problem = { 0 };
	uint64_t done = 0;
	int more = 1;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	while (more > 0) {
		if (run_cancelled(run))
			return err_set(err, ERR_CANCELLED, "the import was not finished");
		tell_progress(job, run, done, people_offset(reader));
		arena_reset(arena);
		more = read_batch(reader, arena, batch, &problem);
		if (import_rows(import, batch->rows, batch->count, arena, batch->results, err) < 0)
			return -1;
		for (size_t i = 0; i < batch->count; i++)
			add_result(job, batch->rows[i].number, &batch->results[i]);
		done += batch->count;
	}
	if (import_finish(import, err) < 0)
		return -1;
	tell_progress(job, run, done, job->size);
	if (more < 0)
		*err = problem;
	return more;
}

static int import_work(struct run *run, void *context, struct err *err)
{
	struct job *job = context;
	AUTO(import) struct import *import = NULL;
	struct batch *batch = alloc_zeroed(1, sizeof(*batch));
	struct people_reader *reader = NULL;
	const char *field;
	int result = -1;

	job->actor.request = run_id(run);
	if (!batch)
		err_set(err, ERR_MEMORY, "out of memory");
	else
		reader = people_open(job->format, job->body, job->size, job->arena, &field, err);
	if (reader)
		import = import_begin(job->api->settings.changer, &job->actor, job->dry_run, err);
	if (import) {
		struct err ignored = { 0 };

		result = work_through(job, run, import, reader, batch, err);
		/* Also of one that failed: what was done is done. */
		if (put_result(job, run, result < 0 ? &ignored : err) < 0)
			result = -1;
	}
	people_close(reader);
	free(batch);
	return result;
}

static bool is_type(const char *given, const char *wanted)
{
	size_t size = strlen(wanted);

	return given && strncasecmp(given, wanted, size) == 0 && strchr("; \t", given[size]);
}

static int read_format(const struct http_request *request, enum people_format *ret_format,
		       struct err *err)
{
	const char *type = http_header(request, "Content-Type");

	if (is_type(type, "text/csv"))
		*ret_format = PEOPLE_CSV;
	else if (is_type(type, "application/json"))
		*ret_format = PEOPLE_JSON;
	else
		return err_refuse(err, ERR_INVALID, "unsupported-media-type",
				  "the body must be text/csv or application/json");
	return 0;
}

/* What is wrong with the file as a whole is said at once. */
static int check_file(struct http_request *request, enum people_format format, struct err *err)
{
	struct people_reader *reader = people_open(format, request->body, request->body_size,
						   request->arena, &request->error_field, err);

	people_close(reader);
	return reader ? 0 : -1;
}

static int read_results(struct http_request *request, bool *ret_failed_only, struct err *err)
{
	const char *text = http_query(request, "results");

	*ret_failed_only = text && strcmp(text, "failed") == 0;
	if (!text || *ret_failed_only || strcmp(text, "all") == 0)
		return 0;
	request->error_field = "results";
	return err_set(err, ERR_INVALID, "'results' must be all or failed");
}

int import_users_post(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "dry_run", "results", NULL };
	struct api *api = request->context;
	bool dry_run, failed_only, idle = false;
	enum people_format format = PEOPLE_CSV;
	char id[UUID_TEXT_SIZE];
	struct job *job;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "dry_run", false, &dry_run, err) < 0 ||
	    read_results(request, &failed_only, err) < 0 ||
	    read_format(request, &format, err) < 0 || check_file(request, format, err) < 0)
		return -1;
	if (!atomic_compare_exchange_strong(&api->importing, &idle, true))
		return err_refuse(err, ERR_CONFLICT, "import-running",
				  "another import is under way");
	job = job_create(request, format, err);
	if (!job) {
		atomic_store(&api->importing, false);
		return -1;
	}
	job->api = api;
	job->dry_run = dry_run;
	job->failed_only = failed_only;
	if (runs_start(api->settings.runs, "import", dry_run ? "dry-run" : "users", job->actor.name,
		       import_work, job, job_destroy, id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}

int import_sample_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	struct strbuf *out = &response->body;

	if (http_query_allow(request, names, err) < 0)
		return -1;
	response->content_type = "text/csv; charset=utf-8";
	people_csv_header(out);
	strbuf_puts(
		out,
		",4711,ada,ada@example.com,Ada Lovelace,,member,sales;support,,,crm/1001;crm/1002,active\r\n"
		",4712,,grace@example.com,\"Hopper, Grace\",,member,,,,,active\r\n"
		",4713,alan,,Alan Turing,,,,,,,disabled\r\n");
	return 0;
}

/* -------------------------------------------------------------------- export -- */

struct export
{
	struct arena *arena; /* owns this */
	struct api *api;
	enum people_format format;
	struct selection *selection; /* NULL: all of the query */
	struct user_query query;
	const char *application; /* of a token that sees no other's accounts; NULL */
	bool begun, ended, any;
};

/* How many people a page looks at. */
#define SCAN_MAX ((size_t)4 * PAGE_USERS)

static void put_list(struct strbuf *out, struct json *json, enum people_column column,
		     const struct grant *grants, size_t count, int64_t now_s)
{
	enum grant_kind kind = people_column_kind(column);
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);
	const char *last = NULL;

	if (json)
		json_array_key(json, people_column_name(column));
	for (size_t i = 0; i < count; i++) {
		const struct grant *grant = &grants[i];

		/* In order of names: the same from two origins stands there once. */
		if (grant->kind != kind || (grant->expires_s && grant->expires_s <= now_s) ||
		    (last && strcmp(last, grant->name) == 0))
			continue;
		if (json)
			json_string(json, NULL, grant->name);
		else
			strbuf_printf(&text, "%s%s", last ? ";" : "", grant->name);
		last = grant->name;
	}
	if (json)
		json_end(json);
	else
		csv_put_cell(out, strbuf_text(&text), ',');
	if (strbuf_failed(&text))
		strbuf_fail(out);
}

static void put_accounts(struct strbuf *out, struct json *json, const struct account_row *accounts,
			 size_t count)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024), item = STRBUF(64 * 1024);

	if (json)
		json_array_key(json, people_column_name(PEOPLE_ACCOUNTS));
	for (size_t i = 0; i < count; i++) {
		strbuf_clear(&item);
		strbuf_printf(&item, "%s/%s", accounts[i].application, accounts[i].id);
		if (json)
			json_string(json, NULL, strbuf_text(&item));
		else
			people_put_item(&text, strbuf_text(&item), i == 0);
	}
	if (json)
		json_end(json);
	else
		csv_put_cell(out, strbuf_text(&text), ',');
	if (strbuf_failed(&text) || strbuf_failed(&item))
		strbuf_fail(out);
}

/* What is told of one user. */
struct exported {
	const struct user *user;
	const char *external_id;
	struct grant *grants;
	struct account_row *accounts;
	size_t grant_count, account_count;
};

static void put_user(struct export *export, const struct exported *exported, int64_t now_s,
		     struct strbuf *out)
{
	const struct user *user = exported->user;
	char uuid[UUID_TEXT_SIZE];
	const char *const texts[PEOPLE_COLUMNS] = {
		[PEOPLE_USER_ID] = uuid,
		[PEOPLE_EXTERNAL_ID] = exported->external_id,
		[PEOPLE_USERNAME] = user->username,
		[PEOPLE_EMAIL] = user->email,
		[PEOPLE_DISPLAY_NAME] = user->display_name,
		[PEOPLE_ORGANIZATION] = user->organization,
		[PEOPLE_PROFILE] = user->profile,
		[PEOPLE_STATE] = user_is_active(user) ? "active" : "disabled",
	};
	struct json json = JSON(out);
	bool as_json = export->format == PEOPLE_JSON;

	uuid_format(&user->uuid, uuid);
	if (as_json && export->any)
		strbuf_puts(out, ",\n");
	export->any = true;
	if (as_json)
		json_object(&json);
	for (int i = 0; i < PEOPLE_COLUMNS; i++) {
		enum people_column column = (enum people_column)i;

		if (!as_json && i > 0)
			strbuf_putc(out, ',');
		if (column == PEOPLE_ACCOUNTS)
			put_accounts(out, as_json ? &json : NULL, exported->accounts,
				     exported->account_count);
		else if (!texts[i])
			put_list(out, as_json ? &json : NULL, column, exported->grants,
				 exported->grant_count, now_s);
		else if (as_json)
			json_string(&json, people_column_name(column), texts[i]);
		else
			csv_put_text(out, texts[i], ',');
	}
	if (as_json)
		json_end(&json);
	else
		strbuf_puts(out, "\r\n");
}

struct put {
	struct export *export;
	struct store *store;
	struct strbuf *out;
	int64_t now_s;
};

static int put_one(void *context, const struct user *user, struct arena *arena, struct err *err)
{
	struct put *put = context;
	struct exported exported = { .user = user };

	if (store_grants_of(put->store, user->id, arena, &exported.grants, &exported.grant_count,
			    err) < 0 ||
	    store_external_of(put->store, user->id, arena, &exported.external_id, err) < 0 ||
	    store_accounts_of(put->store, user->id, put->export->application, 0,
			      ACCOUNTS_OF_USER_MAX, arena, &exported.accounts,
			      &exported.account_count, err) < 0)
		return -1;
	put_user(put->export, &exported, put->now_s, put->out);
	return 0;
}

static int put_chosen(struct put *put, struct err *err)
{
	struct export *export = put->export;
	struct selection_walk walk = { .query = export->query,
				       .scan_max = selection_fair(export->selection, SCAN_MAX) };

	if (selection_walk(export->selection, put->store, &walk, put_one, put, err) < 0)
		return -1;
	export->query.after_id = walk.next_after;
	export->ended = walk.next_after == 0;
	return 0;
}

static int put_all(struct put *put, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PAGE_ARENA_MAX);
	struct export *export = put->export;
	struct user *users;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_user_list(put->store, &export->query, arena, &users, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (put_one(put, &users[i], arena, err) < 0)
			return -1;
	if (count > 0)
		export->query.after_id = users[count - 1].id;
	export->ended = count < export->query.limit;
	return 0;
}

static int put_page(struct export *export, struct store *store, struct strbuf *out, struct err *err)
{
	struct put put = { .export = export, .store = store, .out = out, .now_s = clock_now_s() };

	if ((export->selection ? put_chosen(&put, err) : put_all(&put, err)) < 0)
		return -1;
	if (export->ended && export->format == PEOPLE_JSON)
		strbuf_puts(out, "]}\n");
	return 0;
}

static int next_page(struct export *export, struct strbuf *out, struct err *err)
{
	struct store *store = store_pool_take(export->api->pool, err);
	int result;

	if (!store)
		return -1;
	result = store_begin(store, err);
	if (result == 0) {
		result = put_page(export, store, out, err);
		store_rollback(store);
	}
	store_pool_give(export->api->pool, store);
	return result;
}

/* Each page is a snapshot of its own: who changes meanwhile is told as before or as after. */
static int export_next(void *context, struct strbuf *out, struct err *err)
{
	struct export *export = context;
	size_t before = out->size;

	if (export->ended)
		return 0;
	if (!export->begun && export->format == PEOPLE_CSV)
		people_csv_header(out);
	else if (!export->begun)
		strbuf_puts(out, "{\"users\":[");
	export->begun = true;
	/* Nothing would be the end: nobody of many people may be chosen. */
	do {
		if (next_page(export, out, err) < 0)
			return -1;
	} while (!export->ended && out->size == before);
	return 0;
}

static void export_close(void *context)
{
	struct export *export = context;

	selection_free(export->selection);
	arena_destroy(export->arena);
}

/* Whoever is limited sees their organization; to ask for another one is to ask for nobody. */
static int read_whom(struct http_request *request, struct export *export, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct actor actor = api_actor(request);
	const char *asked = http_query(request, "organization");
	struct authority authority;

	if (view_open(request, &view, err) < 0 ||
	    authority_of_actor(view.store, view.setup, &actor, clock_now_s(), view.arena,
			       &authority, err) < 0)
		return -1;
	if (asked && asked[0]) {
		if (authority_require_organization(&authority, asked, "such organization", err) < 0)
			return -1;
	} else {
		asked = authority.unlimited ? NULL : authority.organization;
	}
	export->query.organization = asked ? arena_strdup(export->arena, asked) : NULL;
	export->application =
		actor.application ? arena_strdup(export->arena, actor.application) : NULL;
	if (arena_failed(export->arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	return query_selection(request, &view, &export->selection, err);
}

static int export_start(struct http_request *request, struct http_response *response,
			enum people_format format, struct err *err)
{
	static const char *const names[] = { "organization", "filter", "segment", NULL };
	struct arena *arena;
	struct export *export;

	if (http_query_allow(request, names, err) < 0)
		return -1;
	arena = arena_create((size_t)64 * 1024);
	export = arena ? arena_alloc(arena, sizeof(*export)) : NULL;
	if (!export) {
		arena_destroy(arena);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	export->arena = arena;
	export->api = request->context;
	export->format = format;
	export->query = (struct user_query){ .active = -1, .limit = PAGE_USERS };
	if (read_whom(request, export, err) < 0) {
		arena_destroy(arena);
		return -1;
	}
	response->content_type =
		format == PEOPLE_CSV ? "text/csv; charset=utf-8" : "application/json";
	response->stream = (struct http_stream){ export_next, export_close, export };
	return 0;
}

int export_users_csv(struct http_request *request, struct http_response *response, struct err *err)
{
	return export_start(request, response, PEOPLE_CSV, err);
}

int export_users_json(struct http_request *request, struct http_response *response, struct err *err)
{
	return export_start(request, response, PEOPLE_JSON, err);
}
