/*
 * Changes of definitions: the rows as they would be, the configuration that comes of them, what it says.
 *
 * Enters: a list of changes, all or none. Leaves: the new configuration in force, or the first finding as
 * an error with a stable code and the field it is about. Fails: refusals of change/, store, memory.
 *
 * The files are taken as they were read when they were put in force: what somebody is
 * editing there waits for a reload.
 */
#include "define.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/define.h>

#include "define_rows.h"

#define WARNINGS_MAX ((size_t)1024 * 1024)
#define DEFINE_MAX_BYTES (512u * 1024 * 1024)

/* ----------------------------------------------------------------- findings */

/* Findings about a definition as a whole are about one of its fields all the same. */
static const struct {
	const char *code, *field;
} whole[] = {
	{ "classification-required", "classifications" },
	{ "segment-required", "segments" },
	{ "rule-without-condition", "when" },
};

/* Findings about definitions as codes of the API, where they outlive the findings. */
static const char *const codes[] = {
	"bad-group",
	"bad-permission",
	"bad-value",
	"classification-required",
	"control-character",
	"duplicate-name",
	"empty-value",
	"filter-syntax",
	"filter-unsupported",
	"filter-value",
	"invalid-authn-context",
	"invalid-domain",
	"invalid-entity-id",
	"invalid-link",
	"invalid-name",
	"invalid-name-id-format",
	"invalid-url",
	"invalid-utf8",
	"invalid-value",
	"managed-by-config",
	"metadata-contradiction",
	"missing-key",
	"out-of-range",
	"rule-without-condition",
	"second-factor-incomplete",
	"segment-not-enabled",
	"segment-required",
	"syntax-conflict",
	"unknown-attribute",
	"unknown-classification",
	"unknown-key",
	"unknown-local-group",
	"unknown-organization",
	"unknown-persona",
	"unknown-profile",
	"unknown-role",
	"unknown-source",
	"unknown-value",
	"wrong-type",
};

static const char *stable_code(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i], code) == 0)
			return codes[i];
	return "invalid-config";
}

static const char *field_of(const struct defining *defining, const struct diagnostic *finding,
			    const struct placed_definition *definition)
{
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (strcmp(finding->code, whole[i].code) == 0)
			return whole[i].field;
	return definition_field(definition, finding->at, defining->request->arena);
}

static const struct diagnostic *worst_finding(const struct definition_list *list,
					      const struct diagnostics *findings)
{
	const struct diagnostic *worst = NULL;

	for (size_t i = 0; i < diagnostics_count(findings); i++) {
		const struct diagnostic *finding = diagnostics_get(findings, i);
		const struct placed_definition *about = definitions_at(list, finding->at);

		if (finding->severity != SEVERITY_ERROR)
			continue;
		if (about && about->changing)
			return finding;
		worst = worst ? worst : finding;
	}
	return worst;
}

/* The configuration with the changes does not load: why, in words of the API. */
static int refuse_finding(const struct defining *defining, const struct definition_list *list,
			  const struct diagnostics *findings, struct define_result *result,
			  struct err *err)
{
	const struct diagnostic *finding = worst_finding(list, findings);
	const struct placed_definition *about = finding ? definitions_at(list, finding->at) : NULL;

	if (!finding || strcmp(finding->code, "out-of-memory") == 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (about && about->changing) {
		result->field = field_of(defining, finding, about);
		result->about = arena_strdup(defining->request->arena, about->name);
		return err_refuse(err, ERR_INVALID, stable_code(finding->code), "%s",
				  finding->message);
	}
	if (strcmp(finding->code, "rule-test-failed") == 0)
		return err_refuse(err, ERR_INVALID, "rule-test-failed", "%s", finding->message);
	if (about)
		return err_refuse(err, ERR_INVALID, "invalid-config", "%s '%s': %s", about->kind,
				  about->name, finding->message);
	return err_refuse(err, ERR_INVALID, "invalid-config", "%s", finding->message);
}

/* One of the organization that the changes are of, or one that all share. */
static bool is_beside_changes(const struct definition_list *list,
			      const struct placed_definition *about)
{
	if (!about || !about->organization)
		return true;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].changing && list->items[i].organization &&
		    strcmp(list->items[i].organization, about->organization) == 0)
			return true;
	return false;
}

static bool is_about_changes(const struct defining *defining, const struct diagnostic *finding,
			     const struct definition_list *list)
{
	const struct placed_definition *about = definitions_at(list, finding->at);

	if (about && about->changing)
		return true;
	return strcmp(finding->code, "persona-proliferation") == 0 &&
	       defining->request->count > 0 &&
	       strcmp(defining->request->changes[0].kind, "persona") == 0 &&
	       is_beside_changes(list, about);
}

static void write_warnings(const struct defining *defining, const struct definition_list *list,
			   const struct diagnostics *findings, struct strbuf *out)
{
	for (size_t i = 0; i < diagnostics_count(findings); i++) {
		const struct diagnostic *finding = diagnostics_get(findings, i);
		struct json json = JSON(out);

		if (finding->severity != SEVERITY_WARNING ||
		    !is_about_changes(defining, finding, list))
			continue;
		if (out->size > 0)
			strbuf_putc(out, ',');
		json_object(&json);
		json_string(&json, "code", finding->code);
		json_string(&json, "message", finding->message);
		json_string(&json, "hint", finding->hint ? finding->hint : "");
		json_end(&json);
	}
}

/* Whose values no source was asked for until now: no preview can see what they would do. */
static bool is_unread(const struct configuration *running, const char *attribute)
{
	int id = schema_find(running->schema, attribute, strlen(attribute));

	return id < 0 || !running->needed[id];
}

static void warn_of_unread(const struct defining *defining, const struct configuration *config,
			   struct strbuf *out)
{
	bool is_segment = defining->request->count > 0 &&
			  strcmp(defining->request->changes[0].kind, "segment") == 0;

	for (size_t i = 0; i < schema_count(config->schema); i++) {
		const char *name = schema_get(config->schema, (uint16_t)i)->name;
		AUTO(strbuf) struct strbuf text = STRBUF(1024);
		struct json json = JSON(out);

		if (!config->needed[i] || !is_unread(defining->running, name))
			continue;
		strbuf_printf(&text, "'%.200s' was read for nobody so far", name);
		if (out->size > 0)
			strbuf_putc(out, ',');
		json_object(&json);
		json_string(&json, "code", "attribute-unread");
		json_string(&json, "message", strbuf_text(&text));
		json_string(&json, "hint",
			    is_segment ? "Who is in it shows at the next read of each source."
				       : "What the rule does shows at the next read of each "
					 "source, under the limits.");
		json_end(&json);
	}
}

/* ------------------------------------------------------------------ the road */

static int try_configuration(struct defining *defining, const char *config_path,
			     struct define_result *result, struct configuration **ret_config,
			     struct err *err)
{
	AUTO(diagnostics) struct diagnostics *findings = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	struct definition_list list;
	struct configuration *config;
	struct document_file *files;
	size_t file_count;

	if (!findings ||
	    !document_texts(defining->running->document, defining->arena, &files, &file_count))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (defining_list(defining, &list, err) < 0 ||
	    definitions_know_personas(changer_store_path(defining->changer), defining->arena, &list,
				      err) < 0)
		return -1;
	config = configuration_load(config_path, files, file_count, defining->running->registry,
				    &list, findings, &document);
	if (!config) {
		definitions_place(&list, defining->running->document);
		return refuse_finding(defining, &list, findings, result, err);
	}
	write_warnings(defining, &config->definitions, findings, result->warnings);
	warn_of_unread(defining, config, result->warnings);
	*ret_config = config;
	return 0;
}

static const char *named_by(const char *kind)
{
	return strcmp(kind, "segment") == 0  ? "roles"
	       : strcmp(kind, "source") == 0 ? "groups of rules, or links of sources"
					     : "rules or policies";
}

static int check_uses(const struct defining *defining, struct err *err)
{
	for (size_t i = 0; i < defining->request->count; i++) {
		const struct definition_change *change = &defining->request->changes[i];
		size_t uses;

		if (change->verb != DEFINITION_DELETE ||
		    defining_is_of_file(defining, change->kind, change->name))
			continue;
		uses = definition_uses(&defining->running->setup, change->kind, change->name);
		if (uses > 0)
			return err_refuse(err, ERR_CONFLICT, "in-use", "%s '%s' is named by %zu %s",
					  change->kind, change->name, uses, named_by(change->kind));
	}
	return 0;
}

static int carry_out(struct defining *defining, const struct actor *actor,
		     struct configuration *config, struct configuration *drafted,
		     struct define_result *result, struct err *err)
{
	const struct define_order order = { .setup = &config->setup,
					    .kept = defining->kept,
					    .dry_run = defining->request->dry_run,
					    .writes = defining->writes,
					    .count = defining->write_count,
					    .drafted = drafted ? &drafted->setup : NULL,
					    .drafted_unknown = defining->drafted && !drafted,
					    .plan = defining->request->plan };
	struct define_outcome outcome = { 0 };

	if (change_define(defining->changer, actor, &order, &outcome, &result->report, err) < 0)
		return -1;
	result->people = outcome.people;
	result->evaluated = outcome.plan[0] != '\0';
	result->plan = NULL;
	if (!result->evaluated)
		return 0;
	result->plan = arena_strdup(defining->request->arena, outcome.plan);
	return result->plan ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

static bool is_put_in_force(const struct defining *defining, const struct configuration *config)
{
	struct setup *setup = changer_setup(defining->changer);
	bool same = configuration_of(setup) == config;

	setup_release(setup);
	return same;
}

/* Also when one of them is somebody else's draft that says what nothing declares any more. */
static int load_drafted(struct defining *defining, const char *config_path,
			struct configuration **ret_config, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *findings = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	struct definition_list list;
	struct document_file *files;
	size_t file_count;

	if (!findings ||
	    !document_texts(defining->running->document, defining->arena, &files, &file_count))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (defining_list(defining, &list, err) < 0)
		return -1;
	*ret_config = configuration_load(config_path, files, file_count,
					 defining->running->registry, &list, findings, &document);
	return 0;
}

/* What a limited actor would write over, as if it were in force. */
static int try_drafted(const struct defining *defining, const char *config_path,
		       struct configuration **ret_config, struct err *err)
{
	struct defining drafted = { .changer = defining->changer,
				    .request = defining->request,
				    .running = defining->running,
				    .viewer = defining->viewer,
				    .arena = defining->arena };

	if (defining_load(&drafted, err) < 0)
		return -1;
	for (size_t i = 0; i < defining->request->count; i++) {
		struct definition_change change = defining->request->changes[i];

		change.verb = DEFINITION_ACTIVATE;
		/* Behind what a file declares it could never be in force. */
		if (defining_is_of_file(&drafted, change.kind, change.name))
			continue;
		if (defining_see(&drafted, change.kind, change.name, true) &&
		    defining_apply(&drafted, &change, err) < 0)
			return -1;
	}
	return load_drafted(&drafted, config_path, ret_config, err);
}

static int define_all(struct defining *defining, const char *config_path, const struct actor *actor,
		      struct define_result *result, struct configuration **ret_config,
		      struct err *err)
{
	struct configuration *config = NULL, *drafted = NULL;
	int done;

	if (defining_load(defining, err) < 0 || defining_apply_all(defining, err) < 0 ||
	    change_define_may(defining->changer, actor, defining->writes, defining->write_count,
			      err) < 0 ||
	    check_uses(defining, err) < 0 ||
	    try_configuration(defining, config_path, result, &config, err) < 0)
		return -1;
	done = actor->limited && defining->drafted
		       ? try_drafted(defining, config_path, &drafted, err)
		       : 0;
	if (done == 0)
		done = carry_out(defining, actor, config, drafted, result, err);
	if (drafted)
		setup_release(&drafted->setup);
	if (done < 0) {
		/* From READY on it is in force, whatever becomes of the batches. */
		if (is_put_in_force(defining, config))
			*ret_config = config;
		else
			setup_release(&config->setup);
		return -1;
	}
	if (defining->kept || defining->request->dry_run) {
		setup_release(&config->setup);
		config = NULL;
	}
	*ret_config = config;
	return 0;
}

int define_carry_out(struct changer *changer, const char *config_path,
		     const struct define_request *request, const struct actor *actor,
		     struct define_result *ret_result, struct configuration **ret_config,
		     struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(DEFINE_MAX_BYTES);
	struct setup *setup = changer_setup(changer);
	struct defining defining = { .changer = changer,
				     .request = request,
				     .running = configuration_of(setup),
				     .viewer = actor->limited ? actor->organization : NULL,
				     .arena = arena };
	int result;

	*ret_config = NULL;
	result = arena ? define_all(&defining, config_path, actor, ret_result, ret_config, err)
		       : err_set(err, ERR_MEMORY, "out of memory");
	if (result < 0 && defining.refused)
		ret_result->field = defining.refused;
	setup_release(setup);
	return result;
}

int define_preview(struct changer *changer, const char *config_path, const char *rule,
		   struct configuration **ret_config, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(DEFINE_MAX_BYTES);
	AUTO(strbuf) struct strbuf warnings = STRBUF(WARNINGS_MAX);
	const struct definition_change change = { .verb = DEFINITION_ACTIVATE,
						  .kind = "rule",
						  .name = rule };
	const struct define_request request = { &change, 1, true, NULL, arena };
	struct setup *setup = changer_setup(changer);
	struct defining defining = { .changer = changer,
				     .request = &request,
				     .running = configuration_of(setup),
				     .arena = arena };
	struct define_result result = { .warnings = &warnings };
	int done = -1;

	if (!arena)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (defining_load(&defining, err) == 0 && defining_apply(&defining, &change, err) == 0)
		done = try_configuration(&defining, config_path, &result, ret_config, err);
	setup_release(setup);
	return done;
}
