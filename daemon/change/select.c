/*
 * People by filter (see select.h). Enters: the text of a filter, a setup, a snapshot. Leaves: who matches, page by
 * page. Refused: what the schema does not have. Fails: store, memory, records that cannot be read.
 *
 * What the store knows of a user is put as one more identity beside those of sources, over a schema with one more
 * source, so that there is one language, one compiler and one evaluator for rules and for people.
 */
#include <rolebridge/change/select.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/config/document.h>

#include "select.h"

/* Users that are read at once: enough to make a query cheap, and little memory. */
#define PAGE_USERS 500
#define SIGN_IN_DAYS 90

void selection_free(struct selection *selection)
{
	if (!selection)
		return;
	selection_end(selection);
	filter_destroy(selection->filter);
	group_registry_destroy(selection->registry);
	if (selection->live)
		setup_release(&selection->live->setup);
	schema_destroy(selection->schema);
	free(selection->application);
	if (selection->setup)
		setup_release(selection->setup);
	free(selection);
}

/* --- compiling --- */

static int refuse(struct selection_fault *fault, struct err *err)
{
	return err_refuse(err, ERR_INVALID, fault->code, "%s (byte %zu of the filter)",
			  fault->message, fault->offset + 1);
}

/* Codes that outlive the findings. */
static const char *stable_code(const char *code)
{
	static const char *const codes[] = { "bad-group",     "filter-syntax", "filter-unsupported",
					     "filter-value",  "out-of-memory", "unknown-attribute",
					     "unknown-source" };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i], code) == 0)
			return codes[i];
	return "invalid-filter";
}

static void fault_of(const struct diagnostics *list, struct selection_fault *ret_fault)
{
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *found = diagnostics_get(list, i);

		if (found->severity != SEVERITY_ERROR)
			continue;
		ret_fault->code = stable_code(found->code);
		ret_fault->offset = found->at.column > 0 ? found->at.column - 1 : 0;
		ret_fault->width = found->at.width;
		snprintf(ret_fault->message, sizeof(ret_fault->message), "%s", found->message);
		snprintf(ret_fault->hint, sizeof(ret_fault->hint), "%s",
			 found->hint ? found->hint : "");
		return;
	}
}

static int compile_filter(struct selection *selection, const char *text,
			  struct selection_fault *ret_fault, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	/* All in one line of no file: columns are offsets. */
	struct located located = { .text = text,
				   .at = { .file = 1, .line = 1, .column = 1, .width = 1 },
				   .verbatim = true };

	selection->registry = group_registry_copy(selection->setup->registry);
	if (!list || !selection->registry)
		return err_set(err, ERR_MEMORY, "no memory for a filter");
	selection->filter = filter_compile_people(&located, selection->schema, selection->registry,
						  selection->now_s, list);
	if (selection->filter)
		return 0;
	fault_of(list, ret_fault);
	if (ret_fault->code && strcmp(ret_fault->code, "out-of-memory") != 0)
		return refuse(ret_fault, err);
	return err_set(err, ERR_MEMORY, "no memory for a filter");
}

static bool is_field(const struct schema *schema, int id)
{
	size_t count;
	const uint16_t *names = schema_display_name(schema, &count);

	for (size_t i = 0; i < count; i++)
		if (names[i] == id)
			return true;
	return id == schema_username(schema) || id == schema_email(schema);
}

/* Is any source asked for it? Fields of users always are. */
static bool is_delivered(const struct setup *setup, const char *name)
{
	const struct schema *schema = setup->decision.schema;
	int id = schema_find(schema, name, strlen(name));

	return id < 0 || !setup->delivered || setup->delivered[id] || is_field(schema, id);
}

static int check_delivered(const struct selection *selection, struct selection_fault *ret_fault,
			   struct err *err)
{
	for (size_t i = 0; i < schema_count(selection->schema); i++) {
		const struct schema_attribute *info = schema_get(selection->schema, (uint16_t)i);

		if (!filter_reads_beyond(selection->filter, (uint16_t)i, selection->store_source) ||
		    is_delivered(selection->setup, info->name))
			continue;
		ret_fault->code = "attribute-unread";
		ret_fault->width = 1;
		snprintf(ret_fault->message, sizeof(ret_fault->message),
			 "no source is asked for '%.128s', because no rule and no saved segment "
			 "names it",
			 info->name);
		snprintf(ret_fault->hint, sizeof(ret_fault->hint),
			 "Save a segment that names it: it is known from the next read on.");
		return err_refuse(err, ERR_INVALID, ret_fault->code, "%s", ret_fault->message);
	}
	return 0;
}

static int check_groups(const struct selection *selection, struct selection_fault *ret_fault,
			struct err *err)
{
	uint32_t group, next = group_registry_next_id(selection->setup->registry);
	size_t at = 0;

	while (filter_next_group(selection->filter, &at, &group)) {
		if (group < next)
			continue;
		ret_fault->code = "group-unread";
		ret_fault->width = 1;
		snprintf(ret_fault->message, sizeof(ret_fault->message),
			 "no source is asked for group '%.300s', because no rule and no saved "
			 "segment names it",
			 group_registry_get(selection->registry, group)->name);
		snprintf(ret_fault->hint, sizeof(ret_fault->hint),
			 "Save a segment that names it: it is known from the next read on.");
		return err_refuse(err, ERR_INVALID, ret_fault->code, "%s", ret_fault->message);
	}
	return 0;
}

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted_fact *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

static void list_wanted(struct selection *selection)
{
	for (size_t i = 0; i < FACTS; i++) {
		int id = fact_id((enum fact)i, selection->schema);

		if (id < 0 || !filter_reads(selection->filter, (uint16_t)id))
			continue;
		selection->wanted[selection->wanted_count++] =
			(struct wanted_fact){ (uint16_t)id, (enum fact)i };
		if (i >= FIRST_OF_GRANTS && i <= LAST_OF_GRANTS)
			selection->wants_grants = true;
		if (i >= FIRST_OF_SIGN_INS && i <= LAST_OF_SIGN_INS)
			selection->wants_sign_ins = true;
	}
	qsort(selection->wanted, selection->wanted_count, sizeof(selection->wanted[0]),
	      compare_wanted);
}

static int load_live(struct selection *selection, struct store *store, struct err *err)
{
	uint32_t group;
	size_t at = 0;

	if (!filter_reads_others(selection->filter, selection->store_source))
		return 0;
	selection->live = live_setup_create(selection->setup, store, err);
	if (!selection->live)
		return -1;
	selection->live->setup.decision.schema = selection->schema;
	while (filter_next_group(selection->filter, &at, &group))
		if (live_setup_note_group(selection->live, store, group, err) < 0)
			return -1;
	return 0;
}

static int compile(struct selection *selection, struct store *store, const char *text,
		   const struct selection_options *options, struct selection_fault *ret_fault,
		   struct err *err)
{
	const struct schema *schema = selection->setup->decision.schema;

	selection->now_s = options->now_s;
	if (options->application && !(selection->application = strdup(options->application)))
		return err_set(err, ERR_MEMORY, "no memory for a filter");
	selection->store_source = (uint16_t)schema_source_count(schema);
	selection->schema = facts_schema(schema, options->sensitive);
	if (!selection->schema)
		return err_set(err, ERR_MEMORY, "no memory for a filter");
	if (compile_filter(selection, text, ret_fault, err) < 0)
		return -1;
	if (!options->may_unread && (check_delivered(selection, ret_fault, err) < 0 ||
				     check_groups(selection, ret_fault, err) < 0))
		return -1;
	list_wanted(selection);
	return load_live(selection, store, err);
}

int selection_compile(struct setup *setup, struct store *store, const char *filter,
		      const struct selection_options *options, struct selection **ret_selection,
		      struct selection_fault *ret_fault, struct err *err)
{
	struct selection *selection = alloc_zeroed(1, sizeof(*selection));
	struct selection_fault unseen, *fault = ret_fault ? ret_fault : &unseen;

	memset(fault, 0, sizeof(*fault));
	if (!selection)
		return err_set(err, ERR_MEMORY, "no memory for a filter");
	selection->setup = setup_acquire(setup);
	if (compile(selection, store, filter, options, fault, err) < 0) {
		selection_free(selection);
		return -1;
	}
	*ret_selection = selection;
	return 0;
}

static int make_person(const struct selection *selection, struct store *store,
		       const struct user *user, const struct identity *own, struct arena *arena,
		       struct person *ret_person, struct err *err)
{
	struct evaluation evaluation = { .setup = selection->live,
					 .store = store,
					 .arena = arena,
					 .now_s = selection->now_s,
					 .cause = "" };
	struct identity *alone;

	if (selection->live)
		return evaluate_identities(&evaluation, user->id, own, ret_person, err);
	alone = arena_memdup(arena, own, sizeof(*own));
	if (!alone)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	return person_merge(selection->schema, alone, 1, arena, ret_person, err);
}

static int read_sign_ins(struct facts *facts, struct sign_ins *sign_ins, struct err *err)
{
	int64_t today = facts->selection->now_s / DAY_S;

	return store_sign_ins_of(sign_ins, facts->user->id, today - SIGN_IN_DAYS + 1, today + 1,
				 &facts->sign_ins, err);
}

/* sign_ins NULL: not wanted. */
static int look_at(const struct selection *selection, struct store *store,
		   struct sign_ins *sign_ins, const struct user *user, struct arena *arena,
		   bool *ret_matches, struct err *err)
{
	struct facts facts = {
		.selection = selection, .store = store, .user = user, .arena = arena
	};
	struct identity own;
	struct person person;

	if (selection->organization && strcmp(user->organization, selection->organization) != 0) {
		*ret_matches = false;
		return 0;
	}
	if ((selection->wants_grants &&
	     store_grants_of(store, user->id, arena, &facts.grants, &facts.grant_count, err) < 0) ||
	    (sign_ins && read_sign_ins(&facts, sign_ins, err) < 0) ||
	    facts_identity(&facts, &own, err) < 0 ||
	    make_person(selection, store, user, &own, arena, &person, err) < 0)
		return err_wrap(err, "cannot look at user '%s'", user->username);
	*ret_matches =
		filter_match_people(selection->filter, &person,
				    selection->live ? &selection->live->states : NULL) == MATCH_YES;
	return 0;
}

int selection_begin(struct selection *selection, struct store *store, struct err *err)
{
	selection_end(selection);
	if (selection->wants_sign_ins)
		selection->sign_ins = store_sign_ins_open(store, err);
	return selection->wants_sign_ins && !selection->sign_ins ? -1 : 0;
}

void selection_end(struct selection *selection)
{
	store_sign_ins_close(selection->sign_ins);
	selection->sign_ins = NULL;
}

int selection_matches(const struct selection *selection, struct store *store,
		      const struct user *user, struct arena *arena, bool *ret_matches,
		      struct err *err)
{
	AUTO(sign_ins) struct sign_ins *sign_ins = NULL;

	if (selection->sign_ins)
		return look_at(selection, store, selection->sign_ins, user, arena, ret_matches,
			       err);
	if (selection->wants_sign_ins && !(sign_ins = store_sign_ins_open(store, err)))
		return -1;
	return look_at(selection, store, sign_ins, user, arena, ret_matches, err);
}

/* --- walking --- */

/* Up to here a filter costs less than to read whom it is asked of. */
#define USUAL_SIZE 32

size_t selection_fair(const struct selection *selection, size_t people_max)
{
	size_t size = filter_size(selection->filter);
	size_t share;

	if (size <= USUAL_SIZE)
		return people_max;
	share = people_max > SIZE_MAX / USUAL_SIZE ? people_max / size
						   : people_max * USUAL_SIZE / size;
	return share > 0 ? share : 1;
}

/* One page: 1: go on, 0: done, or enough, -1. */
static int walk_page(const struct selection *selection, struct store *store,
		     struct sign_ins *sign_ins, struct selection_walk *walk, selection_each *each,
		     void *context, struct arena *arena, struct err *err)
{
	AUTO(arena) struct arena *one = arena_create(PERSON_BYTES_MAX);
	struct user_query query = walk->query;
	struct user *users;
	int64_t next;
	size_t count, left = walk->scan_max - walk->looked_at;

	query.after_id = walk->next_after;
	query.limit = left < PAGE_USERS ? left : PAGE_USERS;
	if (!one)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	if (store_user_scan(store, &query, arena, &users, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		bool matches;
		int result;

		arena_reset(one);
		if (look_at(selection, store, sign_ins, &users[i], one, &matches, err) < 0)
			return -1;
		walk->next_after = users[i].id;
		walk->looked_at++;
		result = matches ? each(context, &users[i], one, err) : 0;
		if (result != 0)
			return result < 0 ? -1 : 0;
	}
	walk->next_after = next;
	/* A page that is not full though more are left has cost as much as a call may. */
	return next != 0 && count == query.limit && walk->looked_at < walk->scan_max;
}

int selection_walk(const struct selection *selection, struct store *store,
		   struct selection_walk *walk, selection_each *each, void *context,
		   struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	AUTO(sign_ins) struct sign_ins *sign_ins = NULL;
	int more = 1;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a page of people");
	if (selection->wants_sign_ins && !(sign_ins = store_sign_ins_open(store, err)))
		return -1;
	walk->looked_at = 0;
	walk->next_after = walk->query.after_id;
	while (more > 0 && walk->looked_at < walk->scan_max) {
		arena_reset(arena);
		more = walk_page(selection, store, sign_ins, walk, each, context, arena, err);
	}
	return more < 0 ? -1 : 0;
}
