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

#define WARNINGS_MAX ((size_t)1024 * 1024)
#define DEFINE_MAX_BYTES (512u * 1024 * 1024)
/* Of all together: what is in force is bounded as configurations are, and each start reads both. */
#define DRAFTS_MAX_BYTES ((size_t)16 * 1024 * 1024)

struct defining {
	struct changer *changer;
	const struct define_request *request;
	struct configuration *running;
	const char *viewer;  /* organization of a limited actor; NULL: they see all */
	const char *refused; /* the field that a refusal is about */
	struct arena *arena;
	struct definition *rows; /* as they would be: room for each change */
	size_t count;
	bool *changing; /* per row */
	struct definition_write *writes;
	size_t write_count;
	bool kept;    /* drafts alone */
	bool drafted; /* a draft that is there is written over, or discarded */
};

/* -------------------------------------------------------------- what files say */

static bool is_of_file(const struct defining *defining, const char *name_of_kind, const char *name)
{
	const struct settings *settings = &defining->running->settings;
	const struct definition_kind *kind = definition_kind(name_of_kind);
	const void *item;

	for (size_t i = 0; kind && (item = definition_item(kind, settings, i)); i++) {
		const char *declared = definition_item_name(kind, item);

		if (declared && strcmp(declared, name) == 0)
			return !catalogue_is_stored(&settings->catalogue,
						    *(const struct position *)item);
	}
	return false;
}

static int refuse_of_file(const struct defining *defining, const struct definition_change *change,
			  struct err *err)
{
	if (!is_of_file(defining, change->kind, change->name))
		return 0;
	return err_refuse(err, ERR_CONFLICT, "managed-by-config",
			  "%s '%s' is declared in the configuration's files", change->kind,
			  change->name);
}

/* ------------------------------------------------------------------- the rows */

static struct definition *find_row(const struct defining *defining, const char *kind,
				   const char *name, bool draft)
{
	for (size_t i = 0; i < defining->count; i++)
		if (defining->rows[i].body && defining->rows[i].draft == draft &&
		    strcmp(defining->rows[i].kind, kind) == 0 &&
		    strcmp(defining->rows[i].name, name) == 0)
			return &defining->rows[i];
	return NULL;
}

static int64_t last_position(const struct defining *defining, const char *kind)
{
	int64_t last = 0;

	for (size_t i = 0; i < defining->count; i++)
		if (strcmp(defining->rows[i].kind, kind) == 0 && defining->rows[i].position > last)
			last = defining->rows[i].position;
	return last;
}

static const char *const action_words[] = {
	[DEFINITION_CREATE] = "create",	  [DEFINITION_REPLACE] = "update",
	[DEFINITION_DELETE] = "delete",	  [DEFINITION_DRAFT] = "draft",
	[DEFINITION_DISCARD] = "discard", [DEFINITION_ACTIVATE] = "activate",
	[DEFINITION_PLACE] = "place",
};

/* Is it there for who asks? */
static bool is_seen(const struct defining *defining, const struct definition *row)
{
	return row && catalogue_is_for(row->organization, defining->viewer);
}

static struct definition *see_row(const struct defining *defining, const char *kind,
				  const char *name, bool draft)
{
	struct definition *row = find_row(defining, kind, name, draft);

	return is_seen(defining, row) ? row : NULL;
}

/* Names are everybody's, and what somebody else has is not told. */
static int check_taken(const struct defining *defining, const struct definition_change *change,
		       const struct definition *row, struct err *err)
{
	if (!row || is_seen(defining, row))
		return 0;
	return err_set(err, ERR_CONFLICT, "the name '%s' cannot be used", change->name);
}

static int check_owner(struct defining *defining, const char *organization, struct err *err)
{
	const char *viewer = defining->viewer;

	if (!organization) {
		if (!viewer || strcmp(viewer, "default") == 0)
			return 0;
		defining->refused = "organization";
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "what all organizations share is for people of 'default'");
	}
	if (viewer ? strcmp(viewer, organization) == 0
		   : change_organization_exists(&defining->running->setup, organization))
		return 0;
	defining->refused = "organization";
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no organization '%s'", organization);
}

/* Of something new. */
static int find_owner(struct defining *defining, const struct definition_change *change,
		      const char **ret_organization, struct err *err)
{
	const char *asked = change->organization;
	const char *owner = defining->viewer ? defining->viewer : "default";

	if (asked && asked[0])
		owner = strcmp(asked, DEFINITION_SHARED) == 0 ? NULL : asked;
	*ret_organization = owner;
	return check_owner(defining, owner, err);
}

/* Of what is there: it stays whose it is. */
static int check_stays(struct defining *defining, const struct definition_change *change,
		       const struct definition *row, struct err *err)
{
	const char *asked = change->organization;
	const char *owner = row->organization ? row->organization : DEFINITION_SHARED;

	if (!asked || !asked[0] || strcmp(asked, owner) == 0)
		return 0;
	defining->refused = "organization";
	return err_set(err, ERR_INVALID, "%s '%s' stays whose it is", change->kind, change->name);
}

static struct definition_write *add_write(struct defining *defining,
					  const struct definition_change *change, bool draft)
{
	struct definition_write *write = &defining->writes[defining->write_count++];

	*write = (struct definition_write){
		.kind = change->kind,
		.name = change->name,
		.draft = draft,
		.version = change->version,
		.action =
			arena_printf(defining->arena, "%s.%s", change->kind,
				     change->action ? change->action : action_words[change->verb]),
		.fingerprint = change->fingerprint,
		.document = change->document,
	};
	return write;
}

static int absent(const struct definition_change *change, bool draft, struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no %s%s '%s'",
			  draft ? "draft of " : "", change->kind, change->name);
}

/* A row of this name becomes this; `row` NULL: a new one. */
static struct definition *set_row(struct defining *defining, struct definition *row,
				  const struct definition_change *change, bool draft,
				  const char *body)
{
	if (!row) {
		row = &defining->rows[defining->count];
		*row = (struct definition){ .kind = change->kind,
					    .name = change->name,
					    .draft = draft };
		if (strcmp(change->kind, "rule") == 0)
			row->position = last_position(defining, change->kind) + 1;
		defining->count++;
	}
	row->body = body;
	defining->changing[row - defining->rows] = true;
	return row;
}

static int apply_create(struct defining *defining, const struct definition_change *change,
			struct err *err)
{
	struct definition *row = find_row(defining, change->kind, change->name, false);
	struct definition *draft = find_row(defining, change->kind, change->name, true);
	struct definition_write *write;
	const char *organization;

	if (refuse_of_file(defining, change, err) < 0 ||
	    check_taken(defining, change, row ? row : draft, err) < 0)
		return -1;
	if (row)
		return err_refuse(err, ERR_CONFLICT, "name-taken", "there is a %s '%s' already",
				  change->kind, change->name);
	if (find_owner(defining, change, &organization, err) < 0)
		return -1;
	row = set_row(defining, NULL, change, false, change->body);
	row->organization = organization;
	write = add_write(defining, change, false);
	write->body = row->body;
	write->position = row->position;
	write->organization = organization;
	write->version = DEFINITION_NEW;
	return 0;
}

static int apply_replace(struct defining *defining, const struct definition_change *change,
			 struct err *err)
{
	struct definition *row = see_row(defining, change->kind, change->name, false);
	struct definition_write *write;

	if (refuse_of_file(defining, change, err) < 0)
		return -1;
	if (!row)
		return absent(change, false, err);
	if (check_stays(defining, change, row, err) < 0)
		return -1;
	set_row(defining, row, change, false, change->body);
	write = add_write(defining, change, false);
	write->body = row->body;
	write->position = row->position;
	return 0;
}

static int check_room(const struct defining *defining, const struct definition *replaced,
		      const char *body, struct err *err)
{
	size_t bytes = strlen(body);

	for (size_t i = 0; i < defining->count; i++) {
		const struct definition *row = &defining->rows[i];

		if (row->draft && row->body && row != replaced)
			bytes += strlen(row->body);
	}
	if (bytes <= DRAFTS_MAX_BYTES)
		return 0;
	return err_set(err, ERR_TOO_LARGE,
		       "drafts may not have more than %zu MiB together: activate or discard some",
		       DRAFTS_MAX_BYTES >> 20);
}

/* What stands for it in the trial is as if it were in force. */
static int apply_draft(struct defining *defining, const struct definition_change *change,
		       struct err *err)
{
	struct definition *draft = find_row(defining, change->kind, change->name, true);
	struct definition *row = find_row(defining, change->kind, change->name, false);
	struct definition *any = row ? row : draft;
	struct definition_write *write;
	const char *organization = any ? any->organization : NULL;

	if (refuse_of_file(defining, change, err) < 0)
		return -1;
	if (change->must_exist && !is_seen(defining, any))
		return absent(change, false, err);
	if (check_taken(defining, change, any, err) < 0 ||
	    (any ? check_stays(defining, change, any, err)
		 : find_owner(defining, change, &organization, err)) < 0)
		return -1;
	if (draft)
		defining->drafted = true;
	if (check_room(defining, draft, change->body, err) < 0)
		return -1;
	write = add_write(defining, change, true);
	write->body = change->body;
	write->version = change->version == DRAFT_NEW ? DEFINITION_NEW
			 : change->version > 0	      ? change->version
						      : DEFINITION_MAYBE;
	write->position = draft ? draft->position
			  : row ? row->position
				: last_position(defining, change->kind) + 1;
	write->organization = organization;
	row = set_row(defining, row, change, false, change->body);
	row->organization = organization;
	return 0;
}

static int apply_delete(struct defining *defining, const struct definition_change *change,
			struct err *err)
{
	bool draft = change->verb == DEFINITION_DISCARD;
	struct definition *row = see_row(defining, change->kind, change->name, draft);

	if (!row && !draft && refuse_of_file(defining, change, err) < 0)
		return -1;
	if (!row)
		return absent(change, draft, err);
	add_write(defining, change, draft);
	row->body = NULL;
	defining->drafted |= draft;
	return 0;
}

static int apply_activate(struct defining *defining, const struct definition_change *change,
			  struct err *err)
{
	struct definition *draft = see_row(defining, change->kind, change->name, true);
	struct definition *row = find_row(defining, change->kind, change->name, false);
	struct definition_write *write;
	const char *body;

	if (refuse_of_file(defining, change, err) < 0)
		return -1;
	if (!draft)
		return absent(change, true, err);
	body = draft->body;
	draft->body = NULL;
	write = add_write(defining, change, true);
	write->action = NULL; /* one row says it */
	row = set_row(defining, row, change, false, body);
	row->organization = draft->organization;
	write = add_write(defining, change, false);
	write->version = DEFINITION_MAYBE;
	write->organization = draft->organization;
	write->body = body;
	write->position = row->position;
	return 0;
}

static int apply_place(struct defining *defining, const struct definition_change *change,
		       struct err *err)
{
	struct definition *row = see_row(defining, change->kind, change->name, false);
	struct definition_write *write;

	if (refuse_of_file(defining, change, err) < 0)
		return -1;
	if (!row)
		return absent(change, false, err);
	if (row->position == change->position)
		return 0;
	row->position = change->position;
	write = add_write(defining, change, false);
	write->body = row->body;
	write->position = change->position;
	return 0;
}

static int apply_change(struct defining *defining, const struct definition_change *change,
			struct err *err)
{
	switch (change->verb) {
	case DEFINITION_CREATE: return apply_create(defining, change, err);
	case DEFINITION_REPLACE: return apply_replace(defining, change, err);
	case DEFINITION_DELETE:
	case DEFINITION_DISCARD: return apply_delete(defining, change, err);
	case DEFINITION_DRAFT: return apply_draft(defining, change, err);
	case DEFINITION_ACTIVATE: return apply_activate(defining, change, err);
	case DEFINITION_PLACE: return apply_place(defining, change, err);
	}
	return err_set(err, ERR_INTERNAL, "odd change of a definition");
}

static int load_rows(struct defining *defining, struct err *err)
{
	AUTO(store)
	struct store *store = store_open(changer_store_path(defining->changer), STORE_READ, err);
	size_t changes = defining->request->count;
	struct definition *rows;
	size_t count;

	if (!store || store_definitions_load(store, defining->arena, &rows, &count, err) < 0)
		return -1;
	defining->rows = arena_alloc_array(defining->arena, count + 2 * changes + 1, sizeof(*rows));
	defining->changing = arena_alloc_array(defining->arena, count + 2 * changes + 1,
					       sizeof(*defining->changing));
	defining->writes = arena_alloc_array(defining->arena, count + 2 * changes + 1,
					     sizeof(*defining->writes));
	if (!defining->rows || !defining->changing || !defining->writes)
		return err_set(err, ERR_MEMORY, "no memory for definitions");
	memcpy(defining->rows, rows, count * sizeof(*rows));
	defining->count = count;
	return 0;
}

static int compare_place(const void *left, const void *right)
{
	const struct definition *const *a = left, *const *b = right;
	int order = strcmp((*a)->kind, (*b)->kind);

	if (order)
		return order;
	if ((*a)->position != (*b)->position)
		return (*a)->position < (*b)->position ? -1 : 1;
	return strcmp((*a)->name, (*b)->name);
}

struct ranked {
	int64_t before, lowest_behind;
	const struct definition *row;
};

static int compare_rank(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->before != b->before)
		return a->before < b->before ? -1 : 1;
	return strcmp(a->row->name, b->row->name);
}

static bool is_written(const struct defining *defining, const struct definition *row)
{
	for (size_t i = 0; i < defining->write_count; i++)
		if (!defining->writes[i].draft &&
		    strcmp(defining->writes[i].kind, row->kind) == 0 &&
		    strcmp(defining->writes[i].name, row->name) == 0)
			return true;
	return false;
}

/*
 * A rule that others go past, in either direction, decides otherwise though its own number stays: whoever orders
 * rules answers for it. items: by place before. Whoever stays where they are has the same ones before them.
 */
static void ask_passed(struct defining *defining, struct ranked *items, size_t count)
{
	int64_t highest = INT64_MIN, lowest = INT64_MAX;

	for (size_t i = count; i > 0; i--) {
		items[i - 1].lowest_behind = lowest;
		if (items[i - 1].row->position < lowest)
			lowest = items[i - 1].row->position;
	}
	for (size_t i = 0; i < count; i++) {
		const struct ranked *item = &items[i];
		bool passed =
			highest > item->row->position || item->lowest_behind < item->row->position;

		if (item->row->position > highest)
			highest = item->row->position;
		if (passed && !is_written(defining, item->row))
			defining->writes[defining->write_count++] = (struct definition_write){
				.kind = item->row->kind,
				.name = item->row->name,
				.body = item->row->body,
				.position = item->row->position,
				.only_asked = true,
			};
	}
}

/* Only of rules that may concern the same people. Who sees everything is asked nothing. */
static int ask_for_order(struct defining *defining, const int64_t *before, struct err *err)
{
	struct ranked *items =
		arena_alloc_array(defining->arena, defining->count + 1, sizeof(*items));
	size_t count = 0;

	if (!items)
		return err_set(err, ERR_MEMORY, "no memory for definitions");
	for (size_t i = 0; i < defining->count; i++)
		if (defining->rows[i].body && !defining->rows[i].draft &&
		    strcmp(defining->rows[i].kind, "rule") == 0 &&
		    is_seen(defining, &defining->rows[i]))
			items[count++] =
				(struct ranked){ .before = before[i], .row = &defining->rows[i] };
	qsort(items, count, sizeof(*items), compare_rank);
	ask_passed(defining, items, count);
	return 0;
}

/* Those in force, in order. */
static int list_rows(const struct defining *defining, struct definition_list *ret_list,
		     struct err *err)
{
	const struct definition **order =
		arena_alloc_array(defining->arena, defining->count + 1, sizeof(*order));
	struct definition_list list = { .items = arena_alloc_array(defining->arena,
								   defining->count + 1,
								   sizeof(*list.items)),
					.lenient = true };

	if (!order || !list.items)
		return err_set(err, ERR_MEMORY, "no memory for definitions");
	for (size_t i = 0; i < defining->count; i++)
		if (defining->rows[i].body && !defining->rows[i].draft)
			order[list.count++] = &defining->rows[i];
	qsort(order, list.count, sizeof(struct definition *), compare_place);
	for (size_t i = 0; i < list.count; i++)
		list.items[i] = (struct placed_definition){
			.kind = order[i]->kind,
			.name = order[i]->name,
			.body = order[i]->body,
			.organization = order[i]->organization,
			.changing = defining->changing[order[i] - defining->rows],
		};
	*ret_list = list;
	return 0;
}

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
	if (list_rows(defining, &list, err) < 0 ||
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
		    is_of_file(defining, change->kind, change->name))
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
	if (list_rows(defining, &list, err) < 0)
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

	if (load_rows(&drafted, err) < 0)
		return -1;
	for (size_t i = 0; i < defining->request->count; i++) {
		struct definition_change change = defining->request->changes[i];

		change.verb = DEFINITION_ACTIVATE;
		if (see_row(&drafted, change.kind, change.name, true) &&
		    apply_activate(&drafted, &change, err) < 0)
			return -1;
	}
	return load_drafted(&drafted, config_path, ret_config, err);
}

static int apply_all(struct defining *defining, struct err *err)
{
	int64_t *before = arena_alloc_array(defining->arena,
					    defining->count + 2 * defining->request->count + 1,
					    sizeof(*before));
	bool placed = false;

	if (!before)
		return err_set(err, ERR_MEMORY, "no memory for definitions");
	for (size_t i = 0; i < defining->count; i++)
		before[i] = defining->rows[i].position;
	defining->kept = true;
	for (size_t i = 0; i < defining->request->count; i++) {
		const struct definition_change *change = &defining->request->changes[i];

		defining->kept = defining->kept && (change->verb == DEFINITION_DRAFT ||
						    change->verb == DEFINITION_DISCARD);
		placed |= change->verb == DEFINITION_PLACE;
		if (apply_change(defining, change, err) < 0)
			return -1;
	}
	if (placed && defining->viewer && ask_for_order(defining, before, err) < 0)
		return -1;
	return arena_failed(defining->arena) ? err_set(err, ERR_MEMORY, "no memory for definitions")
					     : 0;
}

static int define_all(struct defining *defining, const char *config_path, const struct actor *actor,
		      struct define_result *result, struct configuration **ret_config,
		      struct err *err)
{
	struct configuration *config = NULL, *drafted = NULL;
	int done;

	if (load_rows(defining, err) < 0 || apply_all(defining, err) < 0 ||
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
	else if (load_rows(&defining, err) == 0 && apply_change(&defining, &change, err) == 0)
		done = try_configuration(&defining, config_path, &result, ret_config, err);
	setup_release(setup);
	return done;
}
