/*
 * Handlers of long work: sync, plan, apply, reload, release. Each starts a run
 * and answers at once with its id. What the work needs is copied into the
 * job, which ends with the run.
 */
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/identity/names.h>

#include "access.h"
#include "internal.h"
#include "reader.h"

#define FILES_MAX 256
#define JOB_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define WAIT_MS_MAX 30000

struct job {
	struct arena *arena;
	struct api *api;
	struct sync_request sync;
	struct actor actor; /* whole: what it may do is asked again where the work writes */
	struct test_request test;
	const char *subject; /* plan id or rule id */
	const char *only_user;
};

static struct job *job_create(const struct http_request *request, struct err *err)
{
	const struct actor actor = api_actor(request);
	struct arena *arena = arena_create(JOB_BYTES_MAX);
	struct job *job = arena ? arena_alloc(arena, sizeof(*job)) : NULL;

	if (!job || actor_keep(arena, &actor, &job->actor, err) < 0) {
		arena_destroy(arena);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	job->arena = arena;
	job->api = request->context;
	return job;
}

static void job_destroy(void *context)
{
	struct job *job = context;

	arena_destroy(job->arena);
}

/* Audit rows of the work carry the run's id. */
static struct actor job_actor(const struct job *job, const struct run *run)
{
	struct actor actor = job->actor;

	actor.request = run_id(run);
	return actor;
}

/* Takes the job over. */
static int job_start(struct job *job, const char *kind, run_work work,
		     struct http_response *response, struct err *err)
{
	char id[UUID_TEXT_SIZE];

	if (arena_failed(job->arena)) {
		job_destroy(job);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	if (runs_start(job->api->settings.runs, kind, job->subject ? job->subject : "",
		       job->actor.name, work, job, job_destroy, id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}

int answer_run(struct http_response *response, const char *id, struct err *err)
{
	struct json json = api_json(response);

	(void)err;
	json_object(&json);
	json_string(&json, "run", id);
	json_end(&json);
	response->status = 202;
	return 0;
}

/* ------------------------------------------------------------ sync, plan -- */

static const struct field file_fields[] = {
	{ "path", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct document_file, path), 4096, NULL, 0 },
	{ "text", FIELD_BLOB, FIELD_REQUIRED, offsetof(struct document_file, text),
	  (size_t)8 * 1024 * 1024, NULL, 0 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};

struct sync_body {
	const char *source, *user, *rule;
	bool full;
	struct field_list files;
};

static const struct field sync_fields[] = {
	{ "source", FIELD_TEXT, 0, offsetof(struct sync_body, source), 64, NULL, 0 },
	{ "full", FIELD_BOOL, 0, offsetof(struct sync_body, full), 0, NULL, 0 },
	{ "user", FIELD_TEXT, 0, offsetof(struct sync_body, user), 1024, NULL, 0 },
};

static const struct field plan_fields[] = {
	{ "source", FIELD_TEXT, 0, offsetof(struct sync_body, source), 64, NULL, 0 },
	{ "full", FIELD_BOOL, 0, offsetof(struct sync_body, full), 0, NULL, 0 },
	{ "files", FIELD_LIST, 0, offsetof(struct sync_body, files), FILES_MAX, file_fields,
	  sizeof(struct document_file) },
	{ "rule", FIELD_TEXT, 0, offsetof(struct sync_body, rule), 64, NULL, 0 },
};

static void files_measure(struct field_list *files)
{
	struct document_file *items = files->items;

	for (size_t i = 0; i < files->count; i++)
		items[i].size = strlen(items[i].text);
}

/* The files outlive the request. */
static const struct document_file *files_copy(const struct field_list *files, struct arena *arena)
{
	const struct document_file *items = files->items;
	struct document_file *copy;

	if (files->count == 0)
		return NULL;
	copy = arena_alloc_array(arena, files->count, sizeof(*copy));
	for (size_t i = 0; copy && i < files->count; i++) {
		copy[i].path = arena_strdup(arena, items[i].path);
		copy[i].text = arena_memdup(arena, items[i].text, items[i].size + 1);
		copy[i].size = items[i].size;
	}
	return copy;
}

static int sync_work(struct run *run, void *context, struct err *err)
{
	const struct job *job = context;
	const struct ports *ports = &job->api->settings.ports;
	struct actor actor = job_actor(job, run);

	return ports->sync(ports->context, run, &job->sync, &actor, err);
}

/* A source that does not exist is said now, not by a run that fails. */
static int source_check(struct http_request *request, const char *source, struct err *err)
{
	struct api *api = request->context;
	struct setup *setup = changer_setup(api->settings.changer);
	bool found = source == NULL || setup_find_source(setup, source) != NULL;

	setup_release(setup);
	if (found)
		return 0;
	request->error_field = "source";
	return err_set(err, ERR_NOT_FOUND, "there is no source '%s'", source);
}

static int sync_start(struct http_request *request, struct http_response *response,
		      const struct field *fields, size_t count, bool dry_run, struct err *err)
{
	struct sync_body body = { 0 };
	struct job *job;

	if (request_read(request, fields, count, &body, err) < 0)
		return -1;
	files_measure(&body.files);
	/* Other files may declare other sources. */
	if (body.files.count == 0 && source_check(request, body.source, err) < 0)
		return -1;
	if (body.user && body.full) {
		request->error_field = "full";
		return err_set(err, ERR_INVALID, "'full' reads everybody, 'user' one person");
	}
	if (body.rule && body.files.count > 0) {
		request->error_field = "rule";
		return err_set(err, ERR_INVALID, "a preview is of files or of a draft");
	}
	job = job_create(request, err);
	if (!job)
		return -1;
	if (body.rule)
		job->sync.rule = arena_strdup(job->arena, body.rule);
	if (body.source)
		job->subject = job->sync.source = arena_strdup(job->arena, body.source);
	if (body.user)
		job->subject = job->sync.user = arena_strdup(job->arena, body.user);
	job->sync.full = body.full;
	job->sync.dry_run = dry_run;
	job->sync.files = files_copy(&body.files, job->arena);
	job->sync.file_count = body.files.count;
	return job_start(job, dry_run ? "plan" : "sync", sync_work, response, err);
}

int sync_post(struct http_request *request, struct http_response *response, struct err *err)
{
	return sync_start(request, response, sync_fields, ARRAY_LEN(sync_fields), false, err);
}

int plan_post(struct http_request *request, struct http_response *response, struct err *err)
{
	return sync_start(request, response, plan_fields, ARRAY_LEN(plan_fields), true, err);
}

/* ----------------------------------------------------------------- check -- */

static const struct field check_fields[] = {
	{ "files", FIELD_LIST, FIELD_REQUIRED, offsetof(struct sync_body, files), FILES_MAX,
	  file_fields, sizeof(struct document_file) },
};

/* 200 also for a configuration with errors: finding them is what was asked for. */
int check_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const struct ports *ports = &api->settings.ports;
	AUTO(strbuf) struct strbuf findings = STRBUF((size_t)16 * 1024 * 1024);
	struct sync_body body = { 0 };
	struct json json = api_json(response);
	int result;

	if (request_read(request, check_fields, ARRAY_LEN(check_fields), &body, err) < 0)
		return -1;
	if (body.files.count == 0) {
		request->error_field = "files";
		return err_set(err, ERR_INVALID, "field 'files' is empty");
	}
	files_measure(&body.files);
	result = ports->check(ports->context, body.files.items, body.files.count, &findings, err);
	if (result < 0 && err->code != ERR_INVALID)
		return -1;
	if (strbuf_failed(&findings))
		return err_set(err, ERR_TOO_LARGE, "there are too many findings");
	json_object(&json);
	json_bool(&json, "valid", result == 0);
	json_raw(&json, "findings", findings.size ? strbuf_text(&findings) : "[]");
	json_end(&json);
	return 0;
}

/* ---------------------------------------------------------------- reload -- */

static int reload_work(struct run *run, void *context, struct err *err)
{
	const struct job *job = context;
	const struct ports *ports = &job->api->settings.ports;
	struct actor actor = job_actor(job, run);

	return ports->reload(ports->context, run, &actor, err);
}

int reload_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct job *job = job_create(request, err);

	return job ? job_start(job, "reload", reload_work, response, err) : -1;
}

/* ----------------------------------------------------------------- apply -- */

static int report_run(struct run *run, const char *subject, struct run_report *report, int result,
		      struct err *err)
{
	if (result == 0)
		result = run_add_report(run, subject, report, err);
	run_report_finish(report);
	return result;
}

static int apply_work(struct run *run, void *context, struct err *err)
{
	const struct job *job = context;
	struct actor actor = job_actor(job, run);
	struct run_report report;

	run_progress(run, "applying", 0, 0);
	run_report_init(&report);
	run_watch_applying(run, &report);
	return report_run(run, job->subject, &report,
			  plan_apply(job->api->settings.changer, &actor, job->subject,
				     job->only_user, &report, err),
			  err);
}

struct apply_body {
	const char *user;
};

static const struct field apply_fields[] = {
	{ "user", FIELD_TEXT, 0, offsetof(struct apply_body, user), 320, NULL, 0 },
};

/* Plan and user are looked up now, so that a typing error is told at once. */
static int apply_check(struct http_request *request, const char *id, const char *user,
		       struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct actor actor = api_actor(request);
	struct plan_row plan;
	struct user found = { 0 };

	if (view_open(request, &view, err) < 0 ||
	    store_plan_get(view.store, id, view.arena, &plan, err) < 0)
		return -1;
	if (plan.state == PLAN_SUPERSEDED)
		return err_refuse(err, ERR_CONFLICT, "plan-superseded",
				  "plan '%s' was superseded by a later one", id);
	/* Of another organization: as if they were not there. */
	if (user && view_find_user(request, &view, user, &found, err) < 0) {
		request->error_field = "user";
		return -1;
	}
	return plan_apply_ask(view.store, view.setup, &plan, &actor, found.id, view.arena, err);
}

int plan_apply_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct apply_body body = { 0 };
	const char *id = http_parameter(request, "id");
	struct job *job;

	if (request_read(request, apply_fields, ARRAY_LEN(apply_fields), &body, err) < 0 ||
	    apply_check(request, id, body.user, err) < 0)
		return -1;
	job = job_create(request, err);
	if (!job)
		return -1;
	job->subject = arena_strdup(job->arena, id);
	if (body.user)
		job->only_user = arena_strdup(job->arena, body.user);
	return job_start(job, "apply", apply_work, response, err);
}

/* --------------------------------------------------------------- release -- */

static int release_work(struct run *run, void *context, struct err *err)
{
	const struct job *job = context;
	struct actor actor = job_actor(job, run);
	struct run_report report;

	run_progress(run, "applying", 0, 0);
	run_report_init(&report);
	run_watch_applying(run, &report);
	return report_run(
		run, job->subject, &report,
		change_rule_release(job->api->settings.changer, &actor, job->subject, &report, err),
		err);
}

int rule_release(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct setup *setup = changer_setup(api->settings.changer);
	const char *id = http_parameter(request, "id");
	bool found = ruleset_find(setup->decision.rules, id) != NULL;
	struct job *job;

	setup_release(setup);
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "there is no rule '%s'", id);
	job = job_create(request, err);
	if (!job)
		return -1;
	job->subject = arena_strdup(job->arena, id);
	return job_start(job, "release", release_work, response, err);
}

/* ------------------------------------------------------------------ test -- */

#define SAMPLE_USUAL 5
#define SAMPLE_MAX 100
#define TEST_RESULT_MAX ((size_t)32 * 1024 * 1024)

/* People of a source that is not read come by themselves: what is known of its IdP is all there is to test. */
static void test_idp(const struct job *job, struct strbuf *result)
{
	const struct saml_ports *saml = web_saml(job->api->settings.web);
	struct json json = JSON(result);
	struct saml_source_view view = { .name = NULL };
	struct err err;
	bool found = saml_source_find(saml, job->test.source, job->arena, &view, &err) == 0;
	const char *problem = saml->problem(saml->context, job->arena);
	bool ready = found && view.ready;

	json_object(&json);
	json_string(&json, "source", job->test.source);
	json_string(&json, "type", "saml");
	json_bool(&json, "enabled", found && view.enabled);
	json_bool(&json, "ok", ready);
	json_array_key(&json, "steps");
	json_object(&json);
	json_string(&json, "step", "metadata");
	json_string(&json, "server", "");
	json_bool(&json, "ok", ready);
	json_string(&json, "reason",
		    ready     ? ""
		    : problem ? "saml-unavailable"
		    : found   ? "not-ready"
			      : "not-enabled");
	json_string(&json, "detail", !ready && problem ? problem : "");
	json_int(&json, "duration_us", 0);
	if (found)
		saml->status(saml->context, job->test.source, &json);
	json_end(&json);
	json_end(&json);
	json_end(&json);
}

static bool is_saml(const struct job *job)
{
	struct setup *setup = changer_setup(job->api->settings.changer);
	const struct source_settings *source = setup_find_source(setup, job->test.source);
	bool saml = source && strcmp(source->type.text, "saml") == 0;

	setup_release(setup);
	return saml;
}

static int test_work(struct run *run, void *context, struct err *err)
{
	AUTO(strbuf) struct strbuf result = STRBUF(TEST_RESULT_MAX);
	const struct job *job = context;
	const struct ports *ports = &job->api->settings.ports;

	run_progress(run, "testing", 0, 0);
	if (is_saml(job))
		test_idp(job, &result);
	else if (ports->test(ports->context, run, &job->test, &result, err) < 0)
		return -1;
	return run_set_result(run, &result, err);
}

struct test_body {
	int64_t sample;
};

static const struct field test_fields[] = {
	{ "sample", FIELD_INT, 0, offsetof(struct test_body, sample), SAMPLE_MAX, NULL, 0 },
};

/* There, and of the caller's organization; and may they see what is sensitive? */
static int test_check(struct http_request *request, struct job *job, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct source_settings *source;
	struct authority authority;

	if (view_open(request, &view, err) < 0 ||
	    api_authority(request, &view, &authority, err) < 0)
		return -1;
	source = setup_find_source(view.setup, job->test.source);
	if (!source)
		return err_set(err, ERR_NOT_FOUND, "there is no source '%s'", job->test.source);
	job->test.show_sensitive = authority_allows(&authority, "attributes:read@all");
	return authority_require_organization(
		&authority, source->organization.text ? source->organization.text : "default",
		"such source", err);
}

int source_test_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct test_body body = { .sample = SAMPLE_USUAL };
	struct job *job;

	if (request_read(request, test_fields, ARRAY_LEN(test_fields), &body, err) < 0)
		return -1;
	job = job_create(request, err);
	if (!job)
		return -1;
	job->test.samples = (uint32_t)body.sample;
	job->subject = job->test.source =
		arena_strdup(job->arena, http_parameter(request, "source"));
	if (!job->subject || test_check(request, job, err) < 0) {
		job_destroy(job);
		return err->code ? -1 : err_set(err, ERR_MEMORY, "out of memory");
	}
	return job_start(job, "test", test_work, response, err);
}

/* ------------------------------------------------------------------ runs -- */

int runs_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	struct api *api = request->context;

	if (http_query_allow(request, names, err) < 0)
		return -1;
	strbuf_puts(&response->body, "{\"runs\":");
	runs_list_json(api->settings.runs, &response->body);
	strbuf_puts(&response->body, "}");
	return 0;
}

/* Whoever began it may see what becomes of it; others as status says. */
static int check_run(struct http_request *request, const char *id, struct err *err)
{
	struct api *api = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct authority authority;

	if (runs_is_of(api->settings.runs, id, request->actor))
		return 0;
	if (view_open(request, &view, err) < 0 ||
	    api_authority(request, &view, &authority, err) < 0)
		return -1;
	/* People with all that their source says of them. */
	if (runs_is_kind(api->settings.runs, id, "test") &&
	    (authority_require(&authority, "sources:test@all", err) < 0 ||
	     authority_require(&authority, "attributes:read@all", err) < 0))
		return -1;
	/* What concerns the whole instance is the first organization's. */
	if (!authority.unlimited && authority.organization &&
	    strcmp(authority.organization, "default") != 0)
		return err_refuse(err, ERR_DENIED, "not-allowed", "this run is somebody else's");
	return authority_require(&authority, "status:read@all", err);
}

int run_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "wait_ms", NULL };
	struct api *api = request->context;
	int64_t wait_ms;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "wait_ms", 0, WAIT_MS_MAX, 0, &wait_ms, err) < 0 ||
	    check_run(request, http_parameter(request, "id"), err) < 0)
		return -1;
	return runs_json(api->settings.runs, http_parameter(request, "id"), wait_ms,
			 &response->body, err);
}
