/*
 * Sources: shown wherever they stand; those of type saml also made, changed, switched on and off, and deleted.
 *
 * Enters: bodies as a configuration would have them, metadata of IdPs. Leaves: definitions of kind "source"; a new one
 * begins switched off, so that it can be tested before anybody signs in through it. What the configuration's checks and
 * the worker that reads metadata refuse comes back with their codes.
 */
#include "definitions.h"

#include <string.h>

#include <rolebridge/base/clock.h>

#include "source_body.h"

#define KIND "source"
#define LIST_MAX 1000

/* ------------------------------------------------------------------ showing */

/* PUBLIC_URL/saml/SOURCE/what, when there is one. */
static void show_url(const struct reading_view *view, struct json *json, const char *key,
		     const char *source, const char *what)
{
	const char *path = arena_printf(view->arena, "/saml/%s/%s", source, what);
	AUTO(strbuf) struct strbuf url = STRBUF(8192);

	if (path && web_url(view->api->settings.web, path, &url))
		json_string(json, key, strbuf_text(&url));
}

/* Why a source that is declared is not in force, or signs nobody in. */
static const char *saml_problem(const struct saml_ports *saml, struct arena *arena)
{
	const char *problem = saml->problem(saml->context, arena);

	return problem ? problem : "the new configuration is not in force yet";
}

/* One that could not be put in force is as unknown to the SAML side as one that is not there. */
static void show_not_in_force(const struct saml_ports *saml, struct arena *arena, struct json *json)
{
	json_bool(json, "ready", false);
	json_string(json, "problem", saml_problem(saml, arena));
	json_null(json, "refreshed");
	json_null(json, "next");
}

/* Member "saml": what is known of the IdP, and our addresses for it. */
static void show_saml(const struct reading_view *view, struct json *json,
		      const struct source_settings *settings)
{
	const struct saml_ports *saml = web_saml(view->api->settings.web);
	const char *source = settings->name.text;
	struct saml_source_view known;
	struct err err;

	if (strcmp(settings->type.text, "saml") != 0 || settings->broken)
		return;
	json_object_key(json, "saml");
	if (saml_source_find(saml, source, view->arena, &known, &err) == 0) {
		json_bool(json, "idp_initiated", known.idp_initiated);
		json_bool(json, "just_in_time", known.just_in_time);
		saml->status(saml->context, source, json);
	} else {
		show_not_in_force(saml, view->arena, json);
	}
	show_url(view, json, "metadata_url", source, "metadata");
	show_url(view, json, "acs_url", source, "acs");
	show_url(view, json, "test_url", source, "test");
	json_end(json);
}

static void show_row(struct json *json, const struct definition *row)
{
	json_int(json, "version", row->version);
	json_time(json, "created", row->created_s);
	json_time(json, "updated", row->updated_s);
	json_string(json, "actor", row->actor);
	json_raw(json, "body", row->body);
}

static int show_members(const struct overview *overview, struct json *json,
			const struct source_settings *source, int64_t *ret_version, struct err *err)
{
	const struct reading_view *view = overview->view;
	const char *name = source->name.text;
	bool stored = catalogue_is_stored(view->setup->catalogue, source->at);
	struct definition row = { 0 };
	int64_t people;
	int found = 0;

	if (stored)
		found = store_definition_get(view->store, KIND, name, false, view->arena, &row,
					     err);
	if (found < 0 || show_source_members(overview, json, source, err) < 0 ||
	    store_source_people(view->store, name, &people, err) < 0)
		return -1;
	json_string(json, "organization",
		    source->organization.text ? source->organization.text : "default");
	json_int(json, "people", people);
	json_string(json, "origin", stored ? "store" : "file");
	if (found)
		show_row(json, &row);
	else
		show_position_members(view->api, json, source->at);
	show_saml(view, json, source);
	*ret_version = found ? row.version : 0;
	return 0;
}

/* Where the page begins; SIZE_MAX: there is no such source. */
static size_t place_after(const struct setup *setup, const char *after)
{
	for (size_t i = 0; after && i < setup->source_count; i++)
		if (strcmp(setup->sources[i]->name.text, after) == 0)
			return i + 1;
	return after ? SIZE_MAX : 0;
}

int sources_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct overview overview;
	int64_t limit, version;
	size_t i, end;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "limit", 1, LIST_MAX, 100, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 || overview_read(&view, &overview, err) < 0)
		return -1;
	i = place_after(view.setup, http_query(request, "after"));
	request->error_field = i == SIZE_MAX ? "after" : NULL;
	if (i == SIZE_MAX)
		return err_set(err, ERR_INVALID, "there is no such source");
	end = view.setup->source_count - i < (size_t)limit ? view.setup->source_count
							   : i + (size_t)limit;
	json_object(&json);
	json_array_key(&json, "sources");
	for (; i < end; i++) {
		json_object(&json);
		if (show_members(&overview, &json, view.setup->sources[i], &version, err) < 0)
			return -1;
		json_end(&json);
	}
	json_end(&json);
	json_string(&json, "next",
		    end < view.setup->source_count ? view.setup->sources[end - 1]->name.text
						   : NULL);
	json_end(&json);
	return 0;
}

static int absent(const char *name, struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no source '%s'", name);
}

int source_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *name = http_parameter(request, "source");
	struct json json = api_json(response);
	const struct source_settings *source;
	struct overview overview;
	int64_t version;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    overview_read(&view, &overview, err) < 0)
		return -1;
	source = setup_find_source(view.setup, name);
	if (!source)
		return absent(name, err);
	json_object(&json);
	if (show_members(&overview, &json, source, &version, err) < 0)
		return -1;
	json_end(&json);
	etag_set(request, response, version);
	return 0;
}

/* What nobody but whoever may see sources is told. */
static int refuse_saml(const struct saml_ports *saml, struct arena *arena, struct err *err)
{
	return err_refuse(err, ERR_UNAVAILABLE, "saml-unavailable", "SAML is not set up: %s",
			  saml_problem(saml, arena));
}

/* In force; what is declared and is not says why. */
static int find_in_force(struct http_request *request, const char *name,
			 struct saml_source_view *ret_view, struct err *err)
{
	const struct api *api = request->context;
	const struct saml_ports *saml = web_saml(api->settings.web);
	struct setup *setup;
	const struct source_settings *source;

	if (saml_source_find(saml, name, request->arena, ret_view, err) == 0)
		return 0;
	setup = changer_setup(api->settings.changer);
	source = setup_find_source(setup, name);
	if (source && source->broken)
		err_set(err, ERR_CONFLICT,
			"source '%s' names what nothing declares any more: 'rolebridged --check' "
			"says what",
			name);
	else if (source && strcmp(source->type.text, "saml") == 0)
		refuse_saml(saml, request->arena, err);
	setup_release(setup);
	return -1;
}

int source_metadata_get(struct http_request *request, struct http_response *response,
			struct err *err)
{
	const struct api *api = request->context;
	const struct saml_ports *saml = web_saml(api->settings.web);
	struct saml_source_view view;
	const char *xml;
	struct json json;

	if (find_in_force(request, http_parameter(request, "source"), &view, err) < 0)
		return -1;
	if (saml->metadata(saml->context, view.name, request->arena, &xml, err) < 0)
		return strcmp(err_reason(err), "saml-unavailable") == 0
			       ? refuse_saml(saml, request->arena, err)
			       : -1;
	json = api_json(response);
	json_object(&json);
	json_string(&json, "name", view.name);
	json_string(&json, "metadata", xml);
	json_end(&json);
	return 0;
}

/* ------------------------------------------------------------------ changing */

/* A source that is to be: its body, and what it was. */
struct source_change {
	struct http_request *request;
	struct definition row; /* as it is; body NULL: there is none yet */
	struct source_body *body;
	struct source_parts parts;
	struct definition_change change;
};

/* As it is now: 1; 0: it is not there and may be made; -1. */
static int load_present(struct http_request *request, const char *name, struct definition *ret_row,
			struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	int found;

	if (view_open(request, &view, err) < 0)
		return -1;
	found = store_definition_get(view.store, KIND, name, false, request->arena, ret_row, err);
	if (found == 0 && setup_find_source(view.setup, name))
		return err_refuse(err, ERR_CONFLICT, "managed-by-config",
				  "source '%s' is declared in the configuration's files", name);
	return found;
}

static int require_present(struct http_request *request, struct definition *ret_row,
			   struct err *err)
{
	const char *name = http_parameter(request, "source");
	int found = load_present(request, name, ret_row, err);

	return found == 0 ? absent(name, err) : found < 0 ? -1 : 0;
}

static int refuse_field(struct http_request *request, const char *field, const char *what,
			struct err *err)
{
	request->error_field = field;
	return err_set(err, ERR_INVALID, "field '%s' %s", field, what);
}

/* The parts of what is there. */
static int read_present(const struct source_change *source, struct source_body **ret_body,
			struct source_parts *ret_parts, struct err *err)
{
	const char *field;

	*ret_parts = (struct source_parts){ 0 };
	if (!source->row.body)
		return 0;
	return source_body_read(NULL, source->row.body, strlen(source->row.body),
				source->request->arena, ret_body, ret_parts, &field, err);
}

/* What somebody sent, over what is there where that is wanted. */
static int read_body(struct source_change *source, bool merging, struct err *err)
{
	struct http_request *request = source->request;
	const char *field;

	if (request_require_json(request, err) < 0)
		return -1;
	if (source_body_read(merging ? source->row.body : NULL, request->body, request->body_size,
			     request->arena, &source->body, &source->parts, &field, err) == 0)
		return 0;
	request->error_field = field;
	return -1;
}

static bool same_text(const char *left, const char *right)
{
	return left && right ? strcmp(left, right) == 0 : left == right;
}

static bool is_fingerprint(const char *text)
{
	return strncmp(text, "sha256:", 7) == 0;
}

/* The document that a fingerprint names, to be looked at once more. */
static int load_document(struct http_request *request, const char *fingerprint,
			 const char **ret_xml, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	int found;

	if (view_open(request, &view, err) < 0)
		return -1;
	found = store_document_get(view.store, fingerprint, request->arena, ret_xml, err);
	if (found == 0)
		return refuse_field(request, "idp.metadata", "names a document that is not there",
				    err);
	return found < 0 ? -1 : 0;
}

/* What the worker found, as the answer to whoever sent it. It must not look like a fault of ours. */
static int refuse_document(struct http_request *request, struct err *err)
{
	const char *reason = err_reason(err);

	request->error_field =
		reason && strncmp(reason, "entity-", 7) == 0 ? "idp.entity_id" : "idp.metadata";
	if (reason && strncmp(reason, "worker-", 7) == 0)
		return err_refuse(err, ERR_INVALID, "metadata-malformed",
				  "the document could not be read");
	return -1;
}

static int judge_document(struct source_change *source, struct err *err)
{
	struct http_request *request = source->request;
	const struct api *api = request->context;
	const struct ports *ports = &api->settings.ports;
	const char *xml = source->parts.metadata;
	bool known = is_fingerprint(xml);
	struct metadata_answer answer;
	struct metadata_question question = { .entity_id = source->parts.entity_id,
					      .signer = source->parts.signer };

	if (known && load_document(request, source->parts.metadata, &xml, err) < 0)
		return -1;
	question.xml = xml;
	question.size = strlen(xml);
	if (question.size != source->parts.metadata_size && !known)
		return refuse_field(request, "idp.metadata", "holds a NUL", err);
	if (ports->metadata(ports->context, &question, request->arena, &answer, err) < 0)
		return refuse_document(request, err);
	source->change.fingerprint = answer.fingerprint;
	source->change.document = known ? NULL : arena_strdup(request->arena, xml);
	if (!known && !source->change.document)
		return err_set(err, ERR_MEMORY, "out of memory");
	return source_body_name_metadata(source->body, answer.fingerprint, answer.entity_id, err);
}

/* Metadata that was handed over: new, or to be understood otherwise. */
static int take_metadata(struct source_change *source, const struct source_parts *present,
			 struct err *err)
{
	const struct source_parts *parts = &source->parts;

	if (!parts->metadata)
		return 0;
	if (same_text(parts->metadata, present->metadata) &&
	    same_text(parts->entity_id, present->entity_id) &&
	    same_text(parts->signer, present->signer)) {
		source->change.fingerprint = arena_strdup(source->request->arena, parts->metadata);
		return source->change.fingerprint ? 0 : err_set(err, ERR_MEMORY, "out of memory");
	}
	return judge_document(source, err);
}

/* Switching it on and off is asked for by itself. */
static int keep_state(struct source_change *source, const struct source_parts *present,
		      struct err *err)
{
	const struct source_parts *parts = &source->parts;

	if (parts->enabled_given && parts->enabled != present->enabled)
		return refuse_field(source->request, "enabled",
				    "does not change here: POST …/enable or …/disable", err);
	return source_body_enable(source->body, present->enabled, err);
}

static int check_name(const struct source_change *source, struct err *err)
{
	const char *name = http_parameter(source->request, "source");

	if (!source->row.body || strcmp(name, source->parts.name) == 0)
		return 0;
	return refuse_field(source->request, "name", "does not change: make another one", err);
}

static int show_changed(struct http_request *request, struct http_response *response,
			struct json *json, const struct definition_change *change,
			const void *context UNUSED, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct source_settings *source;
	struct overview overview;
	int64_t version;

	if (view_open(request, &view, err) < 0)
		return -1;
	source = setup_find_source(view.setup, change->name);
	if (!source) {
		json_null(json, "definition");
		return 0;
	}
	json_object_key(json, "definition");
	if (overview_read(&view, &overview, err) < 0 ||
	    show_members(&overview, json, source, &version, err) < 0)
		return -1;
	json_end(json);
	etag_set(request, response, version);
	return 0;
}

static int carry_out(struct http_request *request, struct http_response *response,
		     const struct definition_change *change, struct err *err)
{
	static const struct definition_answer answer = { "sources", show_changed, NULL };

	return definition_carry_out(request, response, change, &answer, err);
}

/* From a body that was read to what is stored. */
static int finish_change(struct source_change *source, struct http_response *response,
			 struct err *err)
{
	AUTO(source_body) struct source_body *before = NULL;
	struct source_parts present;

	if (check_name(source, err) < 0 || read_present(source, &before, &present, err) < 0 ||
	    keep_state(source, &present, err) < 0 || take_metadata(source, &present, err) < 0 ||
	    source_body_write(source->body, source->request->arena, &source->change.body, err) < 0)
		return -1;
	source->change.kind = KIND;
	source->change.name = arena_strdup(source->request->arena, source->parts.name);
	if (!source->change.name)
		return err_set(err, ERR_MEMORY, "out of memory");
	return carry_out(source->request, response, &source->change, err);
}

int sources_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct source_change source = { .request = request,
					.change = { .verb = DEFINITION_CREATE } };
	int result = read_body(&source, false, err);

	if (result == 0)
		result = finish_change(&source, response, err);
	source_body_destroy(source.body);
	return result;
}

static int replace(struct http_request *request, struct http_response *response, bool merging,
		   struct err *err)
{
	struct source_change source = { .request = request,
					.change = { .verb = DEFINITION_REPLACE } };
	int64_t version;
	int result;

	if (if_match_read(request, &version, err) < 0 ||
	    require_present(request, &source.row, err) < 0)
		return -1;
	/* What was looked at, merged with or kept must still be there. */
	source.change.version = version ? version : source.row.version;
	result = read_body(&source, merging, err);
	if (result == 0)
		result = finish_change(&source, response, err);
	source_body_destroy(source.body);
	return result;
}

int source_put(struct http_request *request, struct http_response *response, struct err *err)
{
	return replace(request, response, false, err);
}

int source_patch(struct http_request *request, struct http_response *response, struct err *err)
{
	return replace(request, response, true, err);
}

int source_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_DELETE,
					    .kind = KIND,
					    .name = http_parameter(request, "source") };

	if (if_match_read(request, &change.version, err) < 0)
		return -1;
	return carry_out(request, response, &change, err);
}

/* --------------------------------------------------------------- on and off */

/* Nobody could sign in through it. While what is declared cannot be put in force, its being on could not be, either. */
static int require_ready(struct http_request *request, const char *name, struct err *err)
{
	const struct api *api = request->context;
	const struct saml_ports *saml = web_saml(api->settings.web);
	struct saml_source_view view;

	if (find_in_force(request, name, &view, err) < 0)
		return -1;
	if (saml->problem(saml->context, request->arena))
		return refuse_saml(saml, request->arena, err);
	if (view.ready)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "idp-unavailable",
			  "there is no valid metadata of the IdP of source '%s' yet: it says why",
			  name);
}

static int switch_source(struct http_request *request, struct http_response *response, bool enabled,
			 struct err *err)
{
	AUTO(source_body) struct source_body *body = NULL;
	struct definition_change change = { .verb = DEFINITION_REPLACE,
					    .kind = KIND,
					    .name = http_parameter(request, "source"),
					    .action = enabled ? "enable" : "disable" };
	struct source_parts parts;
	struct definition row;
	const char *field;

	if (if_match_read(request, &change.version, err) < 0 ||
	    require_present(request, &row, err) < 0 ||
	    (enabled && require_ready(request, change.name, err) < 0) ||
	    source_body_read(NULL, row.body, strlen(row.body), request->arena, &body, &parts,
			     &field, err) < 0 ||
	    source_body_enable(body, enabled, err) < 0 ||
	    source_body_write(body, request->arena, &change.body, err) < 0)
		return -1;
	change.version = change.version ? change.version : row.version;
	change.fingerprint = parts.metadata;
	return carry_out(request, response, &change, err);
}

int source_enable_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	return switch_source(request, response, true, err);
}

int source_disable_post(struct http_request *request, struct http_response *response,
			struct err *err)
{
	return switch_source(request, response, false, err);
}
