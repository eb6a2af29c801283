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

#include <rolebridge/base/util.h>
#include <rolebridge/config/document.h>

#include "internal.h"
#include "select.h"

#define STORE_SOURCE "(store)"
/* Users that are read at once: enough to make a query cheap, and little memory. */
#define PAGE_USERS 500

enum fact {
	FACT_ID,
	FACT_USERNAME,
	FACT_EMAIL,
	FACT_MAIL,
	FACT_DISPLAY_NAME,
	FACT_ORGANIZATION,
	FACT_STATE,
	FACT_DISABLED_BY,
	FACT_CREATED,
	FACT_UPDATED,
	FACT_PROFILE,
	FACT_ROLE,
	FACT_PERSONA,
	FACT_GROUP,
	FACT_ORIGIN,
	FACT_RULE,
	FACT_CLASSIFICATION,
	FACT_SEGMENT,
	FACTS
};

static const struct schema_fact facts[FACTS] = {
	[FACT_ID] = { "id", SYNTAX_STRING, false },
	[FACT_USERNAME] = { "username", SYNTAX_STRING, false },
	[FACT_EMAIL] = { "email", SYNTAX_STRING, false },
	[FACT_MAIL] = { "mail", SYNTAX_STRING, true },
	[FACT_DISPLAY_NAME] = { "displayName", SYNTAX_STRING, true },
	[FACT_ORGANIZATION] = { "organization", SYNTAX_STRING, false },
	[FACT_STATE] = { "state", SYNTAX_STRING, false },
	[FACT_DISABLED_BY] = { "disabledBy", SYNTAX_STRING, false },
	[FACT_CREATED] = { "created", SYNTAX_TIME, false },
	[FACT_UPDATED] = { "updated", SYNTAX_TIME, false },
	[FACT_PROFILE] = { "profile", SYNTAX_STRING, false },
	[FACT_ROLE] = { "role", SYNTAX_STRING, false },
	[FACT_PERSONA] = { "persona", SYNTAX_STRING, false },
	[FACT_GROUP] = { "localGroup", SYNTAX_STRING, false },
	[FACT_ORIGIN] = { "origin", SYNTAX_STRING, false },
	[FACT_RULE] = { "rule", SYNTAX_STRING, false },
	[FACT_CLASSIFICATION] = { "classification", SYNTAX_STRING, false },
	[FACT_SEGMENT] = { "segment", SYNTAX_STRING, false },
};

/* Facts that are of the user's grants. */
#define FIRST_OF_GRANTS FACT_ROLE
#define LAST_OF_GRANTS FACT_SEGMENT

struct selection {
	struct setup *setup;
	struct live_setup *live; /* with the schema below; NULL: no source is asked */
	struct schema *schema;
	struct group_registry *registry;
	struct filter *filter;
	int64_t now_s;
	uint16_t store_source;
	/* What is read of the facts, ascending by number in the schema. */
	struct wanted_fact {
		uint16_t id;
		enum fact fact;
	} wanted[FACTS];
	size_t wanted_count;
	bool wants_grants;
};

void selection_free(struct selection *selection)
{
	if (!selection)
		return;
	filter_destroy(selection->filter);
	group_registry_destroy(selection->registry);
	if (selection->live)
		setup_release(&selection->live->setup);
	schema_destroy(selection->schema);
	if (selection->setup)
		setup_release(selection->setup);
	free(selection);
}

/* --- compiling --- */

static int refuse(struct selection_fault *fault, struct err *err)
{
	return err_refuse(err, ERR_INVALID, "invalid-filter", "%s at character %zu of the filter",
			  fault->message, fault->offset + 1);
}

static void fault_of(const struct diagnostics *list, struct selection_fault *ret_fault)
{
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *found = diagnostics_get(list, i);

		if (found->severity != SEVERITY_ERROR)
			continue;
		ret_fault->code = found->code;
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

		if (!filter_reads(selection->filter, (uint16_t)i) || info->only != 0 ||
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
		return err_refuse(err, ERR_INVALID, "invalid-filter", "%s", ret_fault->message);
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
		return err_refuse(err, ERR_INVALID, "invalid-filter", "%s", ret_fault->message);
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
		int id = schema_find(selection->schema, facts[i].name, strlen(facts[i].name));

		if (id < 0 || !filter_reads(selection->filter, (uint16_t)id))
			continue;
		selection->wanted[selection->wanted_count++] =
			(struct wanted_fact){ (uint16_t)id, (enum fact)i };
		if (i >= FIRST_OF_GRANTS && i <= LAST_OF_GRANTS)
			selection->wants_grants = true;
	}
	qsort(selection->wanted, selection->wanted_count, sizeof(selection->wanted[0]),
	      compare_wanted);
}

static int load_live(struct selection *selection, struct store *store, struct err *err)
{
	if (!filter_reads_others(selection->filter, selection->store_source))
		return 0;
	selection->live = live_setup_create(selection->setup, store, err);
	if (!selection->live)
		return -1;
	selection->live->setup.decision.schema = selection->schema;
	return 0;
}

static int compile(struct selection *selection, struct store *store, const char *text,
		   const struct selection_options *options, struct selection_fault *ret_fault,
		   struct err *err)
{
	const struct schema *schema = selection->setup->decision.schema;

	selection->now_s = options->now_s;
	selection->store_source = (uint16_t)schema_source_count(schema);
	selection->schema = schema_extend(schema, STORE_SOURCE, facts, FACTS, options->sensitive);
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
	struct selection *selection = calloc(1, sizeof(*selection));
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

const struct segment_settings *segment_find(const struct setup *setup, const char *name)
{
	const struct struct_list *list =
		setup->catalogue ? &setup->catalogue->segment_filters : NULL;
	const struct segment_settings *segments = list ? list->items : NULL;

	for (size_t i = 0; list && i < list->count; i++)
		if (segments[i].name.text && strcmp(segments[i].name.text, name) == 0)
			return &segments[i];
	return NULL;
}

int selection_of_segment(struct setup *setup, struct store *store, const char *organization,
			 const char *segment, const struct selection_options *options,
			 struct selection **ret_selection, struct err *err)
{
	const struct segment_settings *found = segment_find(setup, segment);
	struct selection_options all = *options;
	struct selection *selection;

	(void)organization;
	if (!found)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no segment '%s'", segment);
	/* It was looked at when it was saved; what changed since is no fault of who asks. */
	all.sensitive = true;
	all.may_unread = true;
	if (selection_compile(setup, store, found->filter.text, &all, &selection, NULL, err) < 0)
		return err_wrap(err, "segment '%s'", segment);
	if (!options->sensitive && selection_is_sensitive(selection)) {
		selection_free(selection);
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "segment '%s' reads attributes that are sensitive", segment);
	}
	*ret_selection = selection;
	return 0;
}

bool selection_is_sensitive(const struct selection *selection)
{
	for (size_t i = 0; i < schema_count(selection->schema); i++)
		if (filter_reads(selection->filter, (uint16_t)i) &&
		    schema_get(selection->schema, (uint16_t)i)->sensitive)
			return true;
	return false;
}

/* --- what the store knows of one user --- */

struct facts {
	const struct selection *selection;
	const struct user *user;
	struct grant *grants;
	size_t grant_count;
	struct arena *arena;
};

/* Values of one fact, which grow. */
struct fact_values {
	const char **items;
	size_t count, capacity;
};

static int add_value(struct facts *facts_of, struct fact_values *values, const char *value)
{
	if (!value)
		return -1;
	if (value[0] == '\0')
		return 0;
	for (size_t i = 0; i < values->count; i++)
		if (strcmp(values->items[i], value) == 0)
			return 0;
	if (values->count == values->capacity) {
		size_t capacity = values->capacity ? values->capacity * 2 : 4;
		const char **items = arena_alloc_array(facts_of->arena, capacity, sizeof(*items));

		if (!items)
			return -1;
		for (size_t i = 0; i < values->count; i++)
			items[i] = values->items[i];
		values->items = items;
		values->capacity = capacity;
	}
	values->items[values->count++] = value;
	return 0;
}

static const char *time_text(struct arena *arena, int64_t at_s)
{
	struct tm tm;
	time_t at = (time_t)at_s;
	char text[32];

	if (!gmtime_r(&at, &tm) || strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) == 0)
		return "";
	return arena_strdup(arena, text);
}

static int add_disabled_by(struct facts *facts_of, struct fact_values *values)
{
	for (uint32_t bit = 1; bit <= DISABLED_ANY; bit <<= 1)
		if (facts_of->user->disabled & bit &&
		    add_value(facts_of, values, disable_reason_name(bit)) < 0)
			return -1;
	return 0;
}

static const struct role_settings *find_role(const struct setup *setup, const char *name)
{
	const struct struct_list *list = setup->catalogue ? &setup->catalogue->roles : NULL;
	const struct role_settings *roles = list ? list->items : NULL;

	for (size_t i = 0; list && i < list->count; i++)
		if (roles[i].name.text && strcmp(roles[i].name.text, name) == 0)
			return &roles[i];
	return NULL;
}

static int add_labels(struct facts *facts_of, struct fact_values *values, enum fact fact,
		      const char *role_name)
{
	const struct role_settings *role = find_role(facts_of->selection->setup, role_name);
	const struct located_list *labels = !role		   ? NULL
					    : fact == FACT_SEGMENT ? &role->segments
								   : &role->classifications;

	for (size_t i = 0; labels && i < labels->count; i++)
		if (add_value(facts_of, values, labels->items[i].text) < 0)
			return -1;
	return 0;
}

static int add_of_grant(struct facts *facts_of, struct fact_values *values, enum fact fact,
			const struct grant *grant)
{
	static const enum fact of_kind[GRANT_KINDS] = { [GRANT_PROFILE] = FACTS,
							[GRANT_ROLE] = FACT_ROLE,
							[GRANT_PERSONA] = FACT_PERSONA,
							[GRANT_GROUP] = FACT_GROUP };

	if (fact == FACT_ORIGIN)
		return add_value(facts_of, values, origin_kind_name(grant->origin));
	if (fact == FACT_RULE)
		return grant->origin == ORIGIN_RULE ? add_value(facts_of, values, grant->origin_id)
						    : 0;
	if ((fact == FACT_CLASSIFICATION || fact == FACT_SEGMENT) && grant->kind == GRANT_ROLE)
		return add_labels(facts_of, values, fact, grant->name);
	return of_kind[grant->kind] == fact ? add_value(facts_of, values, grant->name) : 0;
}

static int add_of_grants(struct facts *facts_of, struct fact_values *values, enum fact fact)
{
	for (size_t i = 0; i < facts_of->grant_count; i++) {
		const struct grant *grant = &facts_of->grants[i];
		bool expired =
			grant->expires_s != 0 && grant->expires_s <= facts_of->selection->now_s;

		if (!expired && add_of_grant(facts_of, values, fact, grant) < 0)
			return -1;
	}
	return 0;
}

static const char *user_text(const struct facts *facts_of, enum fact fact)
{
	const struct user *user = facts_of->user;
	char *uuid;

	switch (fact) {
	case FACT_USERNAME: return user->username;
	case FACT_EMAIL:
	case FACT_MAIL: return user->email;
	case FACT_DISPLAY_NAME: return user->display_name;
	case FACT_ORGANIZATION: return user->organization;
	case FACT_PROFILE: return user->profile;
	case FACT_STATE: return user_is_active(user) ? "active" : "disabled";
	case FACT_CREATED: return time_text(facts_of->arena, user->created_s);
	case FACT_UPDATED: return time_text(facts_of->arena, user->updated_s);
	case FACT_ID:
		uuid = arena_alloc(facts_of->arena, UUID_TEXT_SIZE);
		if (uuid)
			uuid_format(&user->uuid, uuid);
		return uuid;
	default: return "";
	}
}

static int add_fact(struct facts *facts_of, struct fact_values *values, enum fact fact)
{
	if (fact == FACT_DISABLED_BY)
		return add_disabled_by(facts_of, values);
	if (fact >= FIRST_OF_GRANTS && fact <= LAST_OF_GRANTS)
		return add_of_grants(facts_of, values, fact);
	return add_value(facts_of, values, user_text(facts_of, fact));
}

/* As one more identity. */
static int make_identity(struct facts *facts_of, struct identity *ret_identity, struct err *err)
{
	const struct selection *selection = facts_of->selection;
	struct attribute *attributes = arena_alloc_array(
		facts_of->arena, selection->wanted_count + 1, sizeof(*attributes));
	size_t count = 0;

	for (size_t i = 0; attributes && i < selection->wanted_count; i++) {
		struct fact_values values = { 0 };

		if (add_fact(facts_of, &values, selection->wanted[i].fact) < 0)
			return err_set(err, ERR_MEMORY, "no memory for a person");
		if (values.count > 0)
			attributes[count++] =
				(struct attribute){ selection->wanted[i].id, (uint32_t)values.count,
						    values.items };
	}
	if (!attributes)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	*ret_identity = (struct identity){ .source = selection->store_source,
					   .key = "user",
					   .dn = "",
					   .attributes = attributes,
					   .attribute_count = count,
					   .groups_complete = true,
					   .disabled_by = "" };
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

int selection_matches(const struct selection *selection, struct store *store,
		      const struct user *user, struct arena *arena, bool *ret_matches,
		      struct err *err)
{
	struct facts facts_of = { .selection = selection, .user = user, .arena = arena };
	struct identity own;
	struct person person;

	if ((selection->wants_grants && store_grants_of(store, user->id, arena, &facts_of.grants,
							&facts_of.grant_count, err) < 0) ||
	    make_identity(&facts_of, &own, err) < 0 ||
	    make_person(selection, store, user, &own, arena, &person, err) < 0)
		return err_wrap(err, "cannot look at user '%s'", user->username);
	*ret_matches =
		filter_match_people(selection->filter, &person,
				    selection->live ? &selection->live->states : NULL) == MATCH_YES;
	return 0;
}

/* --- walking --- */

/* One page: 1: go on, 0: done, or enough, -1. */
static int walk_page(const struct selection *selection, struct store *store,
		     struct selection_walk *walk, selection_each *each, void *context,
		     struct arena *arena, struct err *err)
{
	AUTO(arena) struct arena *one = arena_create(PERSON_BYTES_MAX);
	struct user_query query = walk->query;
	struct user *users;
	size_t count, left = walk->scan_max - walk->looked_at;

	query.after_id = walk->next_after;
	query.limit = left < PAGE_USERS ? left : PAGE_USERS;
	if (!one)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	if (store_user_list(store, &query, arena, &users, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		bool matches;
		int result;

		arena_reset(one);
		if (selection_matches(selection, store, &users[i], one, &matches, err) < 0)
			return -1;
		walk->next_after = users[i].id;
		walk->looked_at++;
		result = matches ? each(context, &users[i], one, err) : 0;
		if (result != 0)
			return result < 0 ? -1 : 0;
	}
	if (count < query.limit)
		walk->next_after = 0;
	return count == query.limit && walk->looked_at < walk->scan_max;
}

int selection_walk(const struct selection *selection, struct store *store,
		   struct selection_walk *walk, selection_each *each, void *context,
		   struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int more = 1;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a page of people");
	walk->looked_at = 0;
	walk->next_after = walk->query.after_id;
	while (more > 0 && walk->looked_at < walk->scan_max) {
		arena_reset(arena);
		more = walk_page(selection, store, walk, each, context, arena, err);
	}
	return more < 0 ? -1 : 0;
}
