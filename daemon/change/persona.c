/*
 * Records of personas.
 *
 * Enters: who asks, which persona, what they noted. Leaves: a row, its audit row, counts. Refused: personas
 * that are not in force, dates and addresses that cannot be, more than fits, answers for somebody else. Fails: store,
 * memory.
 *
 * A persona is known by its name, wherever it is defined: records stay when its definition changes, or moves
 * from a file to the store, and go with it when it is deleted there. What somebody answered, and in which words,
 * is not in the audit log: these are theirs, and can be taken back.
 */
#include "persona.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/rules/settings.h>

#include "ceiling.h"

#define DAY_S INT64_C(86400)
#define ARENA_MAX (64u * 1024 * 1024)
#define DETAIL_MAX (64u * 1024)
#define COUNT_MAX 1000000
#define REVIEW_YEARS_MAX 10
#define UPKEEP_AT_ONCE 500

struct noting {
	const struct actor *actor;
	const char *persona;
	const struct persona_wish *wish;
	enum persona_record_type type;
	int64_t id; /* to be removed */
	const struct live_setup *setup;
	struct arena *arena;
	int64_t now_s;
	struct authority authority;
	struct persona_facts facts;
	struct persona_outcome outcome;
	const char *refused; /* the field that a refusal is about */
};

/* ------------------------------------------------------------------- whose */

static const struct persona_settings *find_persona(const struct setup *setup, const char *name)
{
	const struct catalogue_settings *catalogue = setup->catalogue;
	const struct persona_settings *personas = catalogue ? catalogue->personas.items : NULL;

	for (size_t i = 0; personas && i < catalogue->personas.count; i++)
		if (personas[i].name.text && strcmp(personas[i].name.text, name) == 0)
			return &personas[i];
	return NULL;
}

static int absent(const char *name, struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no persona '%s'", name);
}

/* Since when there is one: of the store, when it was created. 1, 0 when it was deleted a moment ago, -1. */
static int find_since(struct store *store, const struct setup *setup,
		      const struct persona_settings *persona, int64_t now_s, struct arena *arena,
		      int64_t *ret_since_s, struct err *err)
{
	struct definition row;
	int found;

	*ret_since_s = now_s;
	if (!catalogue_is_stored(setup->catalogue, persona->at))
		return 1;
	found = store_definition_get(store, "persona", persona->name.text, false, arena, &row, err);
	if (found > 0)
		*ret_since_s = row.created_s;
	return found;
}

/* In force for the actor's organization; NULL and said why. */
static const struct persona_settings *visible_persona(const struct noting *noting, struct err *err)
{
	const struct persona_settings *persona =
		find_persona(&noting->setup->setup, noting->persona);

	if (persona && catalogue_is_for(persona->organization, noting->authority.organization))
		return persona;
	absent(noting->persona, err);
	return NULL;
}

/* Known to the store from now on. */
static int take_persona(struct changer *changer, struct noting *noting,
			const struct persona_settings *persona, struct err *err)
{
	const struct setup *setup = &noting->setup->setup;
	int64_t since_s;
	int found;

	found = find_since(changer->store, setup, persona, noting->now_s, noting->arena, &since_s,
			   err);
	if (found <= 0)
		return found < 0 ? -1 : absent(noting->persona, err);
	found = store_persona_get(changer->store, noting->persona, noting->arena, &noting->facts,
				  err);
	if (found == 0)
		found = store_persona_note(changer->store, noting->persona, since_s,
					   &noting->facts.id, err);
	return found < 0 ? -1 : 0;
}

/* --------------------------------------------------------------------- who */

/* Of one that is an organization's alone, its people. */
static int require_owner(const struct authority *authority, const struct persona_settings *persona,
			 struct err *err)
{
	if (authority->unlimited || !authority->organization || persona->organization ||
	    strcmp(authority->organization, "default") == 0)
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "the persona is shared by all organizations: people of 'default' note "
			  "what is known of it");
}

static int holds_persona(struct changer *changer, const struct noting *noting, bool *ret_holds,
			 struct err *err)
{
	struct grant *grants;
	size_t count;

	*ret_holds = false;
	if (store_grants_of(changer->store, noting->actor->user_id, noting->arena, &grants, &count,
			    err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind == GRANT_PERSONA &&
		    strcmp(grants[i].name, noting->persona) == 0 &&
		    (grants[i].expires_s == 0 || grants[i].expires_s > noting->now_s))
			*ret_holds = true;
	return 0;
}

/* Which personas there are is not for everybody to find out. */
static int require_own(struct changer *changer, const struct noting *noting, struct err *err)
{
	bool holds;

	if (noting->actor->user_id == 0)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "only people answer for themselves");
	if (authority_require(&noting->authority, "personas:validate@own", err) < 0 ||
	    holds_persona(changer, noting, &holds, err) < 0)
		return -1;
	if (!holds && !authority_allows(&noting->authority, "personas:read@all"))
		return absent(noting->persona, err);
	return 0;
}

static int begin(struct changer *changer, struct noting *noting, bool own, struct err *err)
{
	const struct persona_settings *persona;

	noting->now_s = change_now_s();
	noting->arena = arena_create(ARENA_MAX);
	if (!noting->arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (authority_of_actor(changer->store, &noting->setup->setup, noting->actor, noting->now_s,
			       noting->arena, &noting->authority, err) < 0)
		return -1;
	if (own ? require_own(changer, noting, err) < 0
		: authority_require(&noting->authority, "personas:update@all", err) < 0)
		return -1;
	persona = visible_persona(noting, err);
	if (!persona || (!own && require_owner(&noting->authority, persona, err) < 0))
		return -1;
	return take_persona(changer, noting, persona, err);
}

/* -------------------------------------------------------------------- what */

static int refuse_field(struct noting *noting, const char *field, const char *what, struct err *err)
{
	noting->refused = field;
	return err_set(err, ERR_INVALID, "field '%s' %s", field, what);
}

/* What every browser reads in the same way: http or https, a host, printable ASCII, no password. */
static bool is_web_address(const char *url)
{
	size_t scheme = strncmp(url, "https://", 8) == 0  ? 8
			: strncmp(url, "http://", 7) == 0 ? 7
							  : 0;
	size_t host = scheme ? strcspn(url + scheme, "/?#") : 0;

	for (const char *at = url; *at; at++)
		if (*at <= ' ' || *at >= 0x7f || strchr("\"<>\\^`{|}", *at))
			return false;
	return host > 0 && !memchr(url + scheme, '@', host) && url[scheme] != ':';
}

static int check_url(struct noting *noting, const char *field, const char *url, bool required,
		     struct err *err)
{
	if (!required && (!url || url[0] == '\0'))
		return 0;
	if (url && is_web_address(url))
		return 0;
	return refuse_field(noting, field, "must be an address of the web: https://…, or http://…",
			    err);
}

static int check_research(struct noting *noting, struct persona_record *record, struct err *err)
{
	if (record->number == 0)
		record->number = 1;
	if (record->number < 0 || record->number > COUNT_MAX)
		return refuse_field(noting, "count", "must be a number from 1 to 1000000", err);
	if (record->at_s == 0)
		record->at_s = noting->now_s / DAY_S * DAY_S;
	if (record->at_s < 0 || record->at_s > noting->now_s + DAY_S)
		return refuse_field(noting, "at", "must be a day that has come", err);
	return check_url(noting, "link", record->url, false, err);
}

static int check_review(struct noting *noting, struct persona_record *record, struct err *err)
{
	int64_t last_s = noting->now_s + REVIEW_YEARS_MAX * 366 * DAY_S;

	record->at_s = noting->now_s;
	if (record->number == 0)
		record->number = persona_year_after(noting->now_s);
	if (record->number <= noting->now_s || record->number > last_s)
		return refuse_field(noting, "next_due", "must lie ahead, at most ten years", err);
	return 0;
}

static int check_respondent(struct changer *changer, struct noting *noting,
			    struct persona_record *record, struct err *err)
{
	const struct persona_wish *wish = noting->wish;
	struct user user;

	record->at_s = noting->now_s;
	record->user_id = wish->own ? noting->actor->user_id : 0;
	if (wish->own)
		return 0;
	if (!wish->user == (record->title[0] == '\0'))
		return refuse_field(noting, "user",
				    "or 'respondent' must say who answered, and not both", err);
	if (!wish->user)
		return 0;
	noting->refused = "user";
	if (user_resolve(changer->store, wish->user, noting->arena, &user, err) < 0 ||
	    authority_require_organization(&noting->authority, user.organization, "such user",
					   err) < 0)
		return -1;
	if (user.disabled & DISABLED_DELETED)
		return no_such_user(err);
	noting->refused = NULL;
	record->user_id = user.id;
	return 0;
}

static int check_link(struct noting *noting, struct persona_record *record, struct err *err)
{
	record->at_s = noting->now_s;
	if (record->title[0] == '\0')
		return refuse_field(noting, "title", "must not be empty", err);
	return check_url(noting, "url", record->url, true, err);
}

static int check_wish(struct changer *changer, struct noting *noting, struct persona_record *record,
		      struct err *err)
{
	if (record->type != PERSONA_REVIEW &&
	    persona_kind_name(record->type, record->kind)[0] == '\0')
		return err_set(err, ERR_INTERNAL, "odd kind of a record");
	switch (record->type) {
	case PERSONA_RESEARCH: return check_research(noting, record, err);
	case PERSONA_VALIDATION: return check_respondent(changer, noting, record, err);
	case PERSONA_REVIEW: return check_review(noting, record, err);
	case PERSONA_LINK: return check_link(noting, record, err);
	}
	return err_set(err, ERR_INTERNAL, "odd type of a record");
}

static int check_room(const struct noting *noting, struct err *err)
{
	const int64_t *counts = noting->facts.counts;
	const struct {
		int64_t count, max;
	} rooms[PERSONA_RECORD_TYPES] = {
		[PERSONA_RESEARCH] = { counts[PERSONA_ENTRIES], PERSONA_RESEARCH_MAX },
		[PERSONA_VALIDATION] = { counts[PERSONA_YES] + counts[PERSONA_PARTLY] +
						 counts[PERSONA_NO],
					 PERSONA_VALIDATIONS_MAX },
		[PERSONA_REVIEW] = { counts[PERSONA_REVIEWS], PERSONA_REVIEWS_MAX },
		[PERSONA_LINK] = { counts[PERSONA_LINKS], PERSONA_LINKS_MAX },
	};

	if (rooms[noting->type].count < rooms[noting->type].max)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "too-many-records",
			  "persona '%s' has %lld of these, and may not have more", noting->persona,
			  (long long)rooms[noting->type].count);
}

/* ----------------------------------------------------------------- writing */

static const char *const actions[PERSONA_RECORD_TYPES][2] = {
	[PERSONA_RESEARCH] = { "persona.research-add", "persona.research-remove" },
	[PERSONA_VALIDATION] = { "persona.validate", "persona.validation-remove" },
	[PERSONA_REVIEW] = { "persona.review", NULL },
	[PERSONA_LINK] = { "persona.link-add", "persona.link-remove" },
};

static void write_record(struct json *json, const char *key, const struct persona_record *record)
{
	if (!record) {
		json_null(json, key);
		return;
	}
	json_object_key(json, key);
	json_int(json, "id", record->id);
	if (record->type == PERSONA_RESEARCH || record->type == PERSONA_LINK)
		json_string(json, "kind", persona_kind_name(record->type, record->kind));
	if (record->type == PERSONA_RESEARCH) {
		json_time(json, "at", record->at_s);
		json_int(json, "count", record->number);
	}
	if (record->type == PERSONA_REVIEW)
		json_time(json, "next_due", record->number);
	if (record->type == PERSONA_LINK)
		json_string(json, "title", record->title);
	if (record->type == PERSONA_RESEARCH || record->type == PERSONA_REVIEW)
		json_string(json, "note", record->text);
	if (record->url[0])
		json_string(json, "url", record->url);
	json_end(json);
}

static int write_audit(struct changer *changer, const struct noting *noting,
		       const struct persona_record *before, const struct persona_record *after,
		       struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	const char *object = arena_printf(noting->arena, "persona:%s", noting->persona);

	json_object(&json);
	write_record(&json, "before", before);
	write_record(&json, "after", after);
	json_end(&json);
	if (strbuf_failed(&detail) || !object)
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, noting->now_s, noting->actor,
			   actions[noting->type][after ? 0 : 1], object, strbuf_text(&detail), err);
}

/* A later answer of the same person takes the place of the one before. */
static int replace_answer(struct changer *changer, struct noting *noting,
			  const struct persona_record *record, struct persona_record *ret_before,
			  struct err *err)
{
	int found = store_persona_answer(changer->store, noting->facts.id, record->user_id,
					 record->title, noting->arena, ret_before, err);

	if (found <= 0)
		return found;
	noting->outcome.replaced = true;
	return store_persona_remove(changer->store, noting->facts.id, ret_before, err);
}

static int add_record(struct changer *changer, struct noting *noting, struct err *err)
{
	const struct persona_wish *wish = noting->wish;
	struct persona_record record = wish->record, before;

	if (begin(changer, noting, wish->own, err) < 0 ||
	    check_wish(changer, noting, &record, err) < 0)
		return -1;
	record.actor = noting->actor->name;
	if (record.type == PERSONA_VALIDATION &&
	    replace_answer(changer, noting, &record, &before, err) < 0)
		return -1;
	if (!noting->outcome.replaced && check_room(noting, err) < 0)
		return -1;
	if (store_persona_add(changer->store, noting->facts.id, &record, err) < 0) {
		noting->refused = record.type == PERSONA_LINK ? "url" : NULL;
		return -1;
	}
	noting->outcome.record = record;
	change_step("persona");
	return write_audit(changer, noting, noting->outcome.replaced ? &before : NULL, &record,
			   err);
}

static int remove_record(struct changer *changer, struct noting *noting, struct err *err)
{
	bool own = noting->id == 0;
	struct persona_record record;
	int found;

	if (begin(changer, noting, own, err) < 0)
		return -1;
	if (own) {
		found = store_persona_answer(changer->store, noting->facts.id,
					     noting->actor->user_id, "", noting->arena, &record,
					     err);
		if (found == 0)
			return err_set(err, ERR_NOT_FOUND, "there is no such record");
	} else {
		found = store_persona_find(changer->store, noting->facts.id, noting->type,
					   noting->id, noting->arena, &record, err);
	}
	if (found < 0 || store_persona_remove(changer->store, noting->facts.id, &record, err) < 0)
		return -1;
	return write_audit(changer, noting, &record, NULL, err);
}

/* ---------------------------------------------------------------- the road */

static int note_job(struct changer *changer, struct job *job, struct err *err)
{
	struct noting *noting = job->context;
	int result = noting->wish ? add_record(changer, noting, err)
				  : remove_record(changer, noting, err);

	arena_destroy(noting->arena);
	return result;
}

static int carry_out(struct changer *changer, struct noting *noting, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	int result;

	noting->setup = setup;
	result = writer_request(changer, note_job, noting, err);
	setup_release(&setup->setup);
	return result;
}

int change_persona_add(struct changer *changer, const struct actor *actor, const char *persona,
		       const struct persona_wish *wish, struct persona_outcome *ret_outcome,
		       const char **ret_field, struct err *err)
{
	struct noting noting = {
		.actor = actor, .persona = persona, .wish = wish, .type = wish->record.type
	};
	int result = carry_out(changer, &noting, err);

	*ret_field = result < 0 ? noting.refused : NULL;
	if (result == 0)
		*ret_outcome = noting.outcome;
	return result;
}

int change_persona_remove(struct changer *changer, const struct actor *actor, const char *persona,
			  enum persona_record_type type, int64_t id, struct err *err)
{
	struct noting noting = { .actor = actor, .persona = persona, .type = type, .id = id };

	return carry_out(changer, &noting, err);
}

/* -------------------------------------------------- with their definitions */

static int64_t count_records(const struct persona_facts *facts)
{
	const int64_t *counts = facts->counts;

	return counts[PERSONA_ENTRIES] + counts[PERSONA_YES] + counts[PERSONA_PARTLY] +
	       counts[PERSONA_NO] + counts[PERSONA_REVIEWS] + counts[PERSONA_LINKS];
}

static int forget(struct changer *changer, const char *name, int64_t *ret_records, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct persona_facts facts;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (store_persona_get(changer->store, name, arena, &facts, err) < 0)
		return -1;
	*ret_records = count_records(&facts);
	return store_persona_forget(changer->store, name, err);
}

/* What was noted of one of this name, while a file declared it, is of the people of 'default'. */
static bool is_of_others(const struct persona_settings *persona)
{
	return persona && persona->organization && strcmp(persona->organization, "default") != 0;
}

int persona_follow(struct changer *changer, const struct setup *before, const struct setup *after,
		   const struct definition_write *write, bool found, int64_t *ret_records,
		   struct err *err)
{
	const struct persona_settings *old = find_persona(before, write->name);
	const struct persona_settings *next = find_persona(after, write->name);

	*ret_records = -1;
	if (strcmp(write->kind, "persona") != 0 || write->draft)
		return 0;
	/* A row that a file's definition hides is not what records are about. */
	if (!write->body)
		return next ? 0 : forget(changer, write->name, ret_records, err);
	if (!found && is_of_others(next) &&
	    store_persona_forget(changer->store, write->name, err) < 0)
		return -1;
	if (!found)
		return store_persona_note(changer->store, write->name, change_now_s(), NULL, err);
	if (old && next && old->review_due_s != next->review_due_s)
		return store_persona_due(changer->store, write->name, 0, err);
	return 0;
}

/* ------------------------------------------------------------- the timer's */

struct upkeep {
	const struct setup *setup;
	const char **names; /* to be noted */
	size_t count;
	int removed;
};

static int upkeep_note(struct changer *changer, const struct upkeep *upkeep, struct arena *arena,
		       struct err *err)
{
	for (size_t i = 0; i < upkeep->count; i++) {
		const char *name = upkeep->names[i];
		struct persona_facts facts;
		int64_t since_s;
		int found = store_persona_get(changer->store, name, arena, &facts, err);

		if (found < 0)
			return -1;
		if (found)
			continue;
		found = find_since(changer->store, upkeep->setup, find_persona(upkeep->setup, name),
				   change_now_s(), arena, &since_s, err);
		if (found < 0 ||
		    (found && store_persona_note(changer->store, name, since_s, NULL, err) < 0))
			return -1;
	}
	return 0;
}

static int upkeep_job(struct changer *changer, struct job *job, struct err *err)
{
	struct upkeep *upkeep = job->context;
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for personas");
	if (upkeep_note(changer, upkeep, arena, err) < 0)
		return -1;
	upkeep->removed = store_persona_prune(changer->store, UPKEEP_AT_ONCE, err);
	return upkeep->removed < 0 ? -1 : 0;
}

/* Those that nothing is known of, at most so many; and is anything to be removed? */
static int upkeep_look(struct changer *changer, struct upkeep *upkeep, struct arena *arena,
		       bool *ret_gone, struct err *err)
{
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	const struct catalogue_settings *catalogue = upkeep->setup->catalogue;
	const struct persona_settings *personas = catalogue ? catalogue->personas.items : NULL;
	struct persona_facts *facts;
	size_t count;

	if (!store || store_personas_load(store, arena, &facts, &count, err) < 0 ||
	    store_personas_gone(store, ret_gone, err) < 0)
		return -1;
	upkeep->count = 0;
	for (size_t i = 0; personas && i < catalogue->personas.count; i++)
		if (upkeep->count < UPKEEP_AT_ONCE &&
		    !persona_facts_find(facts, count, personas[i].name.text))
			upkeep->names[upkeep->count++] = personas[i].name.text;
	return 0;
}

static int upkeep_round(struct changer *changer, struct upkeep *upkeep, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	bool gone;

	upkeep->removed = 0;
	upkeep->names =
		arena ? arena_alloc_array(arena, UPKEEP_AT_ONCE, sizeof(*upkeep->names)) : NULL;
	if (!upkeep->names)
		return err_set(err, ERR_MEMORY, "no memory for personas");
	if (upkeep_look(changer, upkeep, arena, &gone, err) < 0)
		return -1;
	if (upkeep->count == 0 && !gone)
		return 0;
	return writer_bulk(changer, upkeep_job, upkeep, err);
}

int change_personas_upkeep(struct changer *changer, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct upkeep upkeep = { .setup = &setup->setup };
	int result;

	do
		result = upkeep_round(changer, &upkeep, err);
	while (result == 0 && upkeep.removed > 0);
	setup_release(&setup->setup);
	return result;
}
