/*
 * The rows that a change of definitions makes of those there are.
 *
 * Enters: rows of the store, changes in order, whose the actor is. Leaves: rows as they would be, what is to be written of
 * them. Refused: what files declare, what is not there or another organization's, taken names, owners that may not
 * be said, too many drafts. Fails: store, memory.
 */
#include "define_rows.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* Of all together: what is in force is bounded as configurations are, and each start reads both. */
#define DRAFTS_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* -------------------------------------------------------------- what files say */

bool defining_is_of_file(const struct defining *defining, const char *name_of_kind,
			 const char *name)
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
	if (!defining_is_of_file(defining, change->kind, change->name))
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

struct definition *defining_see(const struct defining *defining, const char *kind, const char *name,
				bool draft)
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

/* The row that a change is about; NULL: refused. */
static struct definition *present(struct defining *defining, const struct definition_change *change,
				  bool draft, struct err *err)
{
	struct definition *row = defining_see(defining, change->kind, change->name, draft);

	if (refuse_of_file(defining, change, err) < 0)
		return NULL;
	if (!row)
		absent(change, draft, err);
	return row;
}

static int apply_replace(struct defining *defining, const struct definition_change *change,
			 struct err *err)
{
	struct definition *row = present(defining, change, false, err);
	struct definition_write *write;

	if (!row || check_stays(defining, change, row, err) < 0)
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
	struct definition *row = defining_see(defining, change->kind, change->name, draft);

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
	struct definition *draft = present(defining, change, true, err);
	struct definition *row = find_row(defining, change->kind, change->name, false);
	struct definition_write *write;
	const char *body;

	if (!draft)
		return -1;
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
	struct definition *row = present(defining, change, false, err);
	struct definition_write *write;

	if (!row)
		return -1;
	if (row->position == change->position)
		return 0;
	row->position = change->position;
	write = add_write(defining, change, false);
	write->body = row->body;
	write->position = change->position;
	return 0;
}

int defining_apply(struct defining *defining, const struct definition_change *change,
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

int defining_load(struct defining *defining, struct err *err)
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
int defining_list(const struct defining *defining, struct definition_list *ret_list,
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

int defining_apply_all(struct defining *defining, struct err *err)
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
		if (defining_apply(defining, change, err) < 0)
			return -1;
	}
	if (placed && defining->viewer && ask_for_order(defining, before, err) < 0)
		return -1;
	return arena_failed(defining->arena) ? err_set(err, ERR_MEMORY, "no memory for definitions")
					     : 0;
}
