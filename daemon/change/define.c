/*
 * Definitions: who may change them, what stands against it, and the change itself.
 *
 * Enters: rows to be written, the setup that comes of them. Leaves: rows, one audit row each, the setup
 * in force, people evaluated anew where decisions may differ. Refused: what is above the actor's
 * permissions, versions that are not the present ones, the end of what is in use, an administrators' profile that could not
 * undo the change. Fails: store, memory; nothing of it stays then.
 *
 * Everything is asked twice: before anything is planned, so that most refusals cost nothing, and again inside
 * of the transaction that writes.
 */
#include <rolebridge/change/define.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/change/select.h>
#include <rolebridge/rules/permission.h>

#include "ceiling.h"
#include "define_ceiling.h"
#include "persona.h"

#define DETAIL_MAX ((size_t)2 * 1024 * 1024)
#define HOLDERS_COUNTED 10000

struct defining {
	const struct define_order *order;
	const struct actor *actor;
	const struct live_setup *before; /* in force */
	int64_t now_s;
	/* Whose people are counted: people of "default" run the daemon for all; NULL: everybody. */
	const char *organization;
};

/* ---------------------------------------------------------------- lookups */

bool definition_grant(const char *kind, enum grant_kind *ret_kind)
{
	static const enum grant_kind kinds[] = { GRANT_PROFILE, GRANT_ROLE, GRANT_PERSONA };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(grant_kind_name(kinds[i]), kind) == 0) {
			*ret_kind = kinds[i];
			return true;
		}
	return false;
}

static size_t count_grants(const struct rule_grant *grants, size_t count, enum grant_kind kind,
			   const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind == kind && strcmp(grants[i].name, name) == 0)
			return 1;
	return 0;
}

/* Roles that could not carry it without its filter. */
static size_t segment_uses(const struct catalogue_settings *catalogue, const char *name)
{
	for (size_t i = 0; catalogue && i < catalogue->segments.count; i++)
		if (strcmp(catalogue->segments.items[i].text, name) == 0)
			return 0;
	return catalogue ? segment_roles(catalogue, name) : 0;
}

bool definition_is_source(const char *kind)
{
	return strcmp(kind, "source") == 0;
}

/* Groups of the source that rules name, and other sources whose people are found through it. */
static size_t source_uses(const struct setup *setup, const char *source)
{
	size_t count, uses = 0;
	const uint32_t *ids = ruleset_groups(setup->decision.rules, &count);

	for (size_t i = 0; i < count; i++) {
		const struct group *group = group_registry_get(setup->registry, ids[i]);

		uses += group && strcmp(group->source, source) == 0;
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct link_settings *link = &setup->sources[i]->link;

		uses += link->source.text && strcmp(link->source.text, source) == 0;
	}
	return uses;
}

size_t definition_uses(const struct setup *setup, const char *kind, const char *name)
{
	const struct decision_setup *decision = &setup->decision;
	enum grant_kind grant;
	size_t uses = 0;

	if (strcmp(kind, "segment") == 0)
		return segment_uses(setup->catalogue, name);
	if (definition_is_source(kind))
		return source_uses(setup, name);
	if (!definition_grant(kind, &grant))
		return 0;
	for (size_t i = 0; i < ruleset_count(decision->rules); i++) {
		const struct rule *rule = ruleset_rule(decision->rules, i);

		uses += count_grants(rule->grants, rule->grant_count, grant, name) ||
			count_grants(rule->denies, rule->deny_count, grant, name);
	}
	if (grant != GRANT_PROFILE)
		return uses;
	uses += strcmp(name, decision->default_profile) == 0;
	uses += strcmp(name, decision->administrator_profile) == 0;
	return uses;
}

/* --------------------------------------------------- what stands against it */

/* Whoever is left with the administrators' profile must be able to undo what was done to it. */
static const char *const administration[] = { "users:*@all", "profiles:*@all", "roles:*@all",
					      "rules:*@all" };

static bool is_covered(const struct located_list *held, const char *asked)
{
	for (size_t i = 0; i < held->count; i++)
		if (permission_covers(held->items[i].text, asked))
			return true;
	return false;
}

const char *administration_lacking(const struct located_list *permissions)
{
	/* No list at all is everything. */
	for (size_t i = 0; permissions->count > 0 && i < ARRAY_LEN(administration); i++)
		if (!is_covered(permissions, administration[i]))
			return administration[i];
	return NULL;
}

static int check_administration(const struct defining *defining,
				const struct definition_write *write, struct err *err)
{
	const struct setup *setup = defining->order->setup;
	const char *profile = setup->decision.administrator_profile;
	const char *lacking = NULL;
	struct catalogue_item item;

	if (strcmp(write->kind, "profile") != 0 || strcmp(write->name, profile) != 0)
		return 0;
	if (setup->catalogue && catalogue_find(setup->catalogue, GRANT_PROFILE, profile, &item))
		lacking = administration_lacking(item.permissions);
	if (!lacking)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "last-administrator",
			  "profile '%s' must keep %s: nobody could administer without it", profile,
			  lacking);
}

static int count_holders(struct store *store, enum grant_kind kind, const char *name,
			 struct arena *arena, size_t *ret_count, struct err *err)
{
	struct user_query query = {
		.active = -1, .grant_kind = kind, .grant_name = name, .limit = HOLDERS_COUNTED
	};
	struct user *users;

	return store_user_list(store, &query, arena, &users, ret_count, err);
}

/* A row that a file's definition hides is in use by nobody. */
static bool is_in_force(const struct setup *setup, enum grant_kind kind, const char *name)
{
	struct catalogue_item item;

	return setup->catalogue && catalogue_find(setup->catalogue, kind, name, &item);
}

static int check_segment_unused(const struct defining *defining,
				const struct definition_write *write, struct err *err)
{
	size_t roles = definition_uses(defining->order->setup, write->kind, write->name);

	if (write->body || roles == 0)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "in-use", "segment '%s' is carried by %zu roles",
			  write->name, roles);
}

static int check_left(const struct defining *defining, struct store *store,
		      const struct definition_write *write, struct err *err)
{
	const struct setup *setup = defining->order->setup;
	int64_t people;

	if (setup_find_source(setup, write->name))
		return 0;
	if (store_source_people(store, write->name, &people, err) < 0)
		return -1;
	if (people == 0)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "in-use",
			  "%lld people have an identity of source '%s': disable it instead",
			  (long long)people, write->name);
}

static int check_unused(const struct defining *defining, struct store *store,
			const struct definition_write *write, struct arena *arena, struct err *err)
{
	enum grant_kind kind;
	size_t holders, uses;
	int64_t invites;

	if (strcmp(write->kind, "segment") == 0)
		return check_segment_unused(defining, write, err);
	if (definition_is_source(write->kind) && !write->body && !write->draft)
		return check_left(defining, store, write, err);

	if (write->body || write->draft || !definition_grant(write->kind, &kind) ||
	    is_in_force(defining->order->setup, kind, write->name))
		return 0;
	uses = definition_uses(defining->order->setup, write->kind, write->name);
	if (count_holders(store, kind, write->name, arena, &holders, err) < 0 ||
	    store_definition_invites(store, kind, write->name, defining->now_s, &invites, err) < 0)
		return -1;
	if (holders == 0 && uses == 0 && invites == 0)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "in-use",
			  "%s '%s' is held by %zu%s people, named by %zu rules or policies and "
			  "promised by %lld invites",
			  write->kind, write->name, holders,
			  holders == HOLDERS_COUNTED ? " or more" : "", uses, (long long)invites);
}

static int check_version(struct store *store, const struct definition_write *write,
			 struct arena *arena, struct definition *ret_row, bool *ret_found,
			 struct err *err)
{
	int found = store_definition_get(store, write->kind, write->name, write->draft, arena,
					 ret_row, err);

	if (found < 0)
		return -1;
	*ret_found = found;
	if (found && write->version == DEFINITION_NEW)
		return err_refuse(err, ERR_CONFLICT, "name-taken", "there is a %s '%s' already",
				  write->kind, write->name);
	if (!found && write->version >= DEFINITION_PRESENT)
		return define_not_found(write, err);
	if (found && write->version > 0 && write->version != ret_row->version)
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "%s '%s' was changed meanwhile and has version %lld", write->kind,
				  write->name, (long long)ret_row->version);
	return 0;
}

/* Whoever may define at all: of services nobody, for what they have of their own is users. */
static int find_authority(const struct setup *setup, struct store *store, const struct actor *actor,
			  int64_t now_s, struct arena *arena, struct authority *ret_authority,
			  struct err *err)
{
	if (actor_is_service(actor))
		return err_refuse(err, ERR_DENIED, "not-allowed", "services define nothing");
	return authority_of_actor(store, setup, actor, now_s, arena, ret_authority, err);
}

static int check_present(const struct authority *authority, const struct setup *setup,
			 struct store *store, const struct definition_write *write,
			 struct arena *arena, struct err *err)
{
	struct definition row;
	bool found;

	if (check_version(store, write, arena, &row, &found, err) < 0)
		return -1;
	return define_check_owner(authority, setup, write, found ? &row : NULL, err);
}

/* It was looked at before: another change may have taken it away. */
static int check_document(struct store *store, const struct definition_write *write,
			  struct arena *arena, struct err *err)
{
	const char *present;
	int found = 1;

	if (write->fingerprint && !write->document)
		found = store_document_get(store, write->fingerprint, arena, &present, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	return err_refuse(err, ERR_CONFLICT, "stale-version", "%s '%s' was changed meanwhile",
			  write->kind, write->name);
}

static int check_all(const struct defining *defining, struct store *store, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	const struct setup *setup = &defining->before->setup;
	struct authority authority;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to check definitions");
	if (find_authority(setup, store, defining->actor, defining->now_s, arena, &authority, err) <
	    0)
		return -1;
	for (size_t i = 0; i < defining->order->count; i++) {
		const struct definition_write *write = &defining->order->writes[i];

		if (!write->only_asked &&
		    check_present(&authority, setup, store, write, arena, err) < 0)
			return -1;
		if (define_check_ceiling(defining->order, setup, store, &authority, write, arena,
					 err) < 0 ||
		    check_administration(defining, write, err) < 0 ||
		    check_document(store, write, arena, err) < 0 ||
		    check_unused(defining, store, write, arena, err) < 0)
			return -1;
	}
	return 0;
}

int change_define_may(struct changer *changer, const struct actor *actor,
		      const struct definition_write *writes, size_t count, struct err *err)
{
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	struct live_setup *live;
	struct authority authority;
	int result;

	if (!store)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to check definitions");
	live = changer_live_setup(changer, NULL);
	result = find_authority(&live->setup, store, actor, change_now_s(), arena, &authority, err);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = writes[i].only_asked ? 0
					      : check_present(&authority, &live->setup, store,
							      &writes[i], arena, err);
	setup_release(&live->setup);
	return result;
}

/* ---------------------------------------------------------------- writing */

static int audit_one(struct changer *changer, const struct defining *defining,
		     const struct definition_write *write, const char *before, int64_t records,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	AUTO(strbuf) struct strbuf object = STRBUF(256);
	struct json json = JSON(&detail);

	json_object(&json);
	if (before)
		json_raw(&json, "before", before);
	else
		json_null(&json, "before");
	if (write->body)
		json_raw(&json, "after", write->body);
	else
		json_null(&json, "after");
	/* What was known of a persona goes with it. */
	if (records >= 0)
		json_int(&json, "records", records);
	json_end(&json);
	strbuf_printf(&object, "%s:%s", write->kind, write->name);
	if (strbuf_failed(&detail) || strbuf_failed(&object))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, defining->now_s, defining->actor, write->action,
			   strbuf_text(&object), strbuf_text(&detail), err);
}

static int write_one(struct changer *changer, const struct defining *defining,
		     const struct definition_write *write, struct arena *arena, struct err *err)
{
	struct definition row = { 0 }, next = { .kind = write->kind,
						.name = write->name,
						.draft = write->draft,
						.position = write->position,
						.organization = write->organization,
						.body = write->body,
						.created_s = defining->now_s,
						.updated_s = defining->now_s,
						.actor = defining->actor->name };
	int64_t records;
	bool found;

	if (write->only_asked)
		return 0;
	if (check_version(changer->store, write, arena, &row, &found, err) < 0)
		return -1;
	if (found)
		next.organization = row.organization;
	if (write->body ? store_definition_put(changer->store, &next, err) < 0
			: found && store_definition_delete(changer->store, write->kind, write->name,
							   write->draft, err) < 0)
		return -1;
	change_step("definition");
	if (persona_follow(changer, &defining->before->setup, defining->order->setup, write, found,
			   &records, err) < 0)
		return -1;
	if (!write->action)
		return 0;
	return audit_one(changer, defining, write, found ? row.body : NULL, records, err);
}

/* Texts that bodies name come with them, and go with the last. */
static int write_documents(struct changer *changer, const struct defining *defining,
			   struct err *err)
{
	bool sources = false;

	for (size_t i = 0; i < defining->order->count; i++) {
		const struct definition_write *write = &defining->order->writes[i];

		sources = sources || definition_is_source(write->kind);
		if (write->document &&
		    store_document_put(changer->store, write->fingerprint, write->document,
				       defining->now_s, err) < 0)
			return -1;
	}
	return sources ? store_document_tidy(changer->store, err) : 0;
}

/* Inside the transaction. */
static int write_all(struct changer *changer, void *context, struct err *err)
{
	const struct defining *defining = context;
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to store definitions");
	if (check_all(defining, changer->store, err) < 0)
		return -1;
	/* Groups that a segment names are known from now on by the numbers that they have in the setup. */
	if (!defining->order->kept &&
	    registry_store_new(changer->store, defining->order->setup->registry, err) < 0)
		return -1;
	for (size_t i = 0; i < defining->order->count; i++)
		if (write_one(changer, defining, &defining->order->writes[i], arena, err) < 0)
			return -1;
	return write_documents(changer, defining, err);
}

static int write_job(struct changer *changer, struct job *job, struct err *err)
{
	return write_all(changer, job->context, err);
}

/* ---------------------------------------------------------------- the road */

/* Nobody's decision can differ: the new setup takes the place of the other at once. */
static int put_in_force(struct changer *changer, struct defining *defining, struct store *read,
			struct err *err)
{
	struct live_setup *live = live_setup_create(defining->order->setup, read, err);

	if (!live)
		return -1;
	if (writer_request(changer, write_job, defining, err) < 0) {
		setup_release(&live->setup);
		return -1;
	}
	changer_put_setup(changer, live);
	return 0;
}

static int define_quietly(struct changer *changer, struct defining *defining, struct store *read,
			  struct err *err)
{
	int result;

	if (defining->order->dry_run)
		return 0;
	if (defining->order->kept)
		return writer_request(changer, write_job, defining, err);
	if (changer_bulk_begin(changer, err) < 0)
		return -1;
	result = put_in_force(changer, defining, read, err);
	changer_bulk_end(changer);
	return result;
}

static int same_decisions(const struct defining *defining, bool *ret_same, struct err *err)
{
	char before[65], after[65];

	if (setup_digest(&defining->before->setup, defining->now_s, before, err) < 0 ||
	    setup_digest(defining->order->setup, defining->now_s, after, err) < 0)
		return -1;
	*ret_same = strcmp(before, after) == 0;
	return 0;
}

static int count_of_one(struct store *read, const struct definition_write *write,
			int64_t *ret_people, struct err *err)
{
	enum grant_kind kind;

	*ret_people = 0;
	if (definition_is_source(write->kind))
		return store_source_people(read, write->name, ret_people, err);
	if (!definition_grant(write->kind, &kind))
		return 0;
	return store_grant_holders(read, kind, write->name, ret_people, err);
}

static int count_people(const struct defining *defining, struct store *read, int64_t *ret_people,
			struct err *err)
{
	int64_t people = 0, holders;

	for (size_t i = 0; i < defining->order->count; i++) {
		if (count_of_one(read, &defining->order->writes[i], &holders, err) < 0)
			return -1;
		people += holders;
	}
	*ret_people = people;
	return 0;
}

/* The same changes for another reason are another plan. */
static void describe(const struct define_order *order, struct strbuf *out)
{
	for (size_t i = 0; i < order->count; i++) {
		put_text(out, order->writes[i].kind);
		put_text(out, order->writes[i].name);
		put_text(out, order->writes[i].body ? order->writes[i].body : "");
		put_i64(out, order->writes[i].position);
	}
}

static int define_loudly(struct changer *changer, struct defining *defining,
			 struct define_outcome *outcome, struct run_report *ret_report,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf reason = STRBUF(PLAN_BYTES_MAX);
	struct reload_more more = { .dry_run = defining->order->dry_run,
				    .plan = defining->order->plan,
				    .on_ready = write_all,
				    .context = defining };

	describe(defining->order, &reason);
	if (strbuf_failed(&reason))
		return err_set(err, ERR_MEMORY, "no memory for a plan");
	more.reason = reason.data;
	more.reason_size = reason.size;
	if (reload_with(changer, defining->order->setup, defining->actor, &more, ret_report, err) <
	    0)
		return -1;
	memcpy(outcome->plan, more.id, sizeof(outcome->plan));
	outcome->people += more.people;
	return 0;
}

static int define_as_checked(struct changer *changer, struct defining *defining,
			     struct define_outcome *ret_outcome, struct run_report *ret_report,
			     struct err *err)
{
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct define_outcome outcome = { 0 };
	bool same = false;
	int result;

	if (!read || check_all(defining, read, err) < 0 ||
	    count_people(defining, read, &outcome.people, err) < 0 ||
	    same_decisions(defining, &same, err) < 0)
		return -1;
	/* A plan that was asked for is compared, also where it is empty. */
	if ((same && !defining->order->plan) ||
	    (defining->order->kept && !defining->order->dry_run))
		result = define_quietly(changer, defining, read, err);
	else
		result = define_loudly(changer, defining, &outcome, ret_report, err);
	if (result == 0)
		*ret_outcome = outcome;
	return result;
}

int change_define(struct changer *changer, const struct actor *actor,
		  const struct define_order *order, struct define_outcome *ret_outcome,
		  struct run_report *ret_report, struct err *err)
{
	struct defining defining = { .order = order,
				     .actor = actor,
				     .before = changer_live_setup(changer, NULL),
				     .now_s = change_now_s() };
	int result;

	if (actor->limited && actor->organization && strcmp(actor->organization, "default") != 0)
		defining.organization = ret_report->organization = actor->organization;
	result = define_as_checked(changer, &defining, ret_outcome, ret_report, err);
	run_report_narrow(ret_report);
	setup_release((struct setup *)(uintptr_t)&defining.before->setup);
	return result;
}
