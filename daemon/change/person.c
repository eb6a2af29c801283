/*
 * Changes by people: one job of the writer thread each, answered after the commit.
 *
 * Enters: who asks, whom it concerns, what. Leaves: the change, its audit row. Refused: unknown users
 * and grants, the last administrator, grants that a rule denies. An edit carries out nothing but
 * itself: rules and sources are frozen while it is decided, so that what a held plan waits with does
 * not slip through.
 */
#include "person.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#include "ceiling.h"
#include "edit.h"

/* --- finding --- */

static bool looks_like_uuid(const char *text)
{
	struct uuid uuid;

	return uuid_parse(text, &uuid);
}

/* The key in the form the store has it; "" when the text cannot be one. */
static const char *normal_key(enum user_key key, const char *user, struct arena *arena)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(4096);
	struct uuid uuid;
	char *text;

	if (key == USER_BY_UUID) {
		text = arena_alloc(arena, UUID_TEXT_SIZE);
		if (text && uuid_parse(user, &uuid))
			uuid_format(&uuid, text);
		return text;
	}
	if ((key == USER_BY_EMAIL ? email_normalize(user, &normal, NULL)
				  : username_normalize(user, &normal, NULL)) < 0)
		return "";
	return arena_strdup(arena, strbuf_text(&normal));
}

int user_resolve(struct store *store, const char *user, struct arena *arena, struct user *ret_user,
		 struct err *err)
{
	static const enum user_key order[] = { USER_BY_UUID, USER_BY_USERNAME, USER_BY_EMAIL };
	struct err missing;

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const char *key;

		if (order[i] == USER_BY_UUID && !looks_like_uuid(user))
			continue;
		key = normal_key(order[i], user, arena);
		if (!key)
			return err_set(err, ERR_MEMORY, "no memory to find a user");
		if (key[0] == '\0')
			continue;
		err_clear(&missing);
		if (store_user_find(store, order[i], key, arena, ret_user, &missing) == 0)
			return 0;
		if (missing.code != ERR_NOT_FOUND) {
			if (err)
				*err = missing;
			return -1;
		}
	}
	return no_such_user(err);
}

static bool in_catalogue(const struct catalogue_settings *catalogue, enum grant_kind kind,
			 const char *name, const char *organization)
{
	struct catalogue_item item;

	if (kind != GRANT_GROUP)
		return catalogue_find(catalogue, kind, name, &item) &&
		       catalogue_is_for(item.organization, organization);
	for (size_t i = 0; i < catalogue->local_groups.count; i++)
		if (strcmp(catalogue->local_groups.items[i].text, name) == 0)
			return true;
	return catalogue->local_groups.count == 0;
}

static bool given_by_rules(const struct ruleset *rules, enum grant_kind kind, const char *name)
{
	for (size_t i = 0; i < ruleset_count(rules); i++) {
		const struct rule *rule = ruleset_rule(rules, i);

		for (size_t j = 0; j < rule->grant_count; j++)
			if (rule->grants[j].kind == kind && strcmp(rule->grants[j].name, name) == 0)
				return true;
	}
	return false;
}

static int check_name(const struct setup *setup, enum grant_kind kind, const char *name,
		      const char *organization, struct err *err)
{
	const struct decision_setup *decision = &setup->decision;
	bool known;

	if ((unsigned)kind >= GRANT_KINDS || !slug_is_valid(name))
		return err_refuse(err, ERR_INVALID, "invalid-request", "'%s' is not a name", name);
	known = setup->catalogue ? in_catalogue(setup->catalogue, kind, name, organization)
				 : given_by_rules(decision->rules, kind, name) ||
					   (kind == GRANT_PROFILE &&
					    (strcmp(name, decision->default_profile) == 0 ||
					     strcmp(name, decision->administrator_profile) == 0));
	if (known)
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no %s '%s'", grant_kind_name(kind),
			  name);
}

int change_check_grant(const struct setup *setup, enum grant_kind kind, const char *name,
		       const char *organization, struct err *err)
{
	return check_name(setup, kind, name, organization, err);
}

int change_check_given(const struct setup *setup, const struct person_change *change,
		       struct err *err)
{
	struct catalogue_item item;

	for (size_t i = 0; setup->catalogue && i < change->added_count; i++) {
		const struct grant *grant = &change->added[i];

		if (catalogue_find(setup->catalogue, grant->kind, grant->name, &item) &&
		    !catalogue_is_for(item.organization, change->after.organization))
			return err_refuse(err, ERR_NOT_FOUND, "not-found", "no %s '%s'",
					  grant_kind_name(grant->kind), grant->name);
	}
	return 0;
}

/* --- one request --- */

static int check_denied(const struct evaluation *e, int64_t user_id, const struct grant *grant,
			struct err *err)
{
	struct person person;
	enum match match;

	if (evaluate_person(e, user_id, &person, err) < 0 ||
	    decide_denied(&e->setup->setup.decision, &person, grant->kind, grant->name, e->now_s,
			  e->arena, &match, err) < 0)
		return -1;
	if (match == MATCH_NO)
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed", "a rule %s %s '%s' to this person",
			  match == MATCH_YES ? "denies" : "may deny", grant_kind_name(grant->kind),
			  grant->name);
}

int hand_evaluate(const struct hand_change *change, struct store *store, struct arena *arena,
		  const struct user *user, int64_t now_s, struct person_change *ret_change,
		  struct err *err)
{
	const struct evaluation evaluation = { .setup = change->setup,
					       .store = store,
					       .arena = arena,
					       .now_s = now_s,
					       .cause = change->cause,
					       .edit = &change->edit };
	enum evaluated outcome;
	const char *problem;

	if (change->ask_denied && check_denied(&evaluation, user->id, &change->grant, err) < 0)
		return -1;
	if (evaluate_user(&evaluation, user->id, NULL, ret_change, &outcome, &problem, err) < 0)
		return -1;
	if (!person_change_is_visible(ret_change) || ret_change->after.profile[0] != '\0' ||
	    ret_change->before.profile[0] == '\0')
		return 0;
	return err_refuse(err, ERR_CONFLICT, "profile-required",
			  "'%s' would be left without a profile", user->username);
}

static int apply(struct changer *changer, struct hand_change *hand, struct arena *arena,
		 const struct user *user, struct err *err)
{
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = hand->setup,
					 .arena = arena,
					 .actor = hand->actor,
					 .source = "",
					 .refuse = true,
					 .now_s = change_now_s(),
					 .applied = &applied };
	struct person_change change;

	if (hand_evaluate(hand, changer->store, arena, user, context.now_s, &change, err) < 0)
		return -1;
	/* Whoever was refused in memory alone, by a commit that failed, is let in again. */
	if (hand->enable)
		notice_changed(changer, user->id);
	if (!person_change_is_visible(&change))
		return 0;
	hand->changed = true;
	if (change.before.disabled & ~change.after.disabled & DISABLED_STALE &&
	    stale_refresh(&context, user->id, err) < 0)
		return -1;
	return apply_person(&context, &change, NULL, err);
}

int hand_job(struct changer *changer, struct job *job, struct err *err)
{
	struct hand_change *hand = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct editing editing = { .actor = hand->actor,
				   .user = hand->user,
				   .version = hand->version,
				   .setup = hand->setup };
	struct user user;

	hand->changed = false;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, &editing, arena, &user, err) < 0)
		return -1;
	return apply(changer, hand, arena, &user, err);
}

void hand_begin(struct hand_change *change, const struct live_setup *setup, const char *user)
{
	change->setup = setup;
	change->user = user;
	if (!change->grant.name)
		return;
	if (change->ask_denied)
		change->edit.add = &change->grant;
	else
		change->edit.remove = &change->grant;
}

static int send(struct changer *changer, struct hand_change *change, const char *user,
		int64_t version, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	int result;

	change->version = version;
	hand_begin(change, setup, user);
	result = writer_request(changer, hand_job, change, err);
	setup_release(&setup->setup);
	return result;
}

/* --- what can be done --- */

struct hand_change hand_disable(const struct actor *actor, const char *reason_text)
{
	return (struct hand_change){ .actor = actor,
				     .cause = reason_text && reason_text[0] ? reason_text : "hand",
				     .edit = { .disable_set = DISABLED_BY_HAND } };
}

struct hand_change hand_enable(const struct actor *actor)
{
	return (struct hand_change){ .actor = actor,
				     .cause = "hand",
				     .enable = true,
				     .edit = { .disable_clear =
						       DISABLED_BY_HAND | DISABLED_STALE } };
}

int hand_grant(const struct actor *actor, const struct setup *setup, enum grant_kind kind,
	       const char *name, int64_t expires_s, struct hand_change *ret_change, struct err *err)
{
	int64_t now_s = change_now_s();

	if (check_name(setup, kind, name, actor->limited ? actor->organization : NULL, err) < 0)
		return -1;
	if (expires_s != 0 && expires_s <= now_s)
		return err_refuse(err, ERR_INVALID, "invalid-request",
				  "the grant would have expired already");
	*ret_change = (struct hand_change){ .actor = actor,
					    .cause = "hand",
					    .ask_denied = true,
					    .grant = { .kind = kind,
						       .name = name,
						       .origin = ORIGIN_HAND,
						       .origin_id = actor->name,
						       .origin_source = "",
						       .given_s = now_s,
						       .expires_s = expires_s } };
	return 0;
}

struct hand_change hand_revoke(const struct actor *actor, enum grant_kind kind, const char *name)
{
	return (struct hand_change){ .actor = actor,
				     .cause = "hand",
				     .grant = { .kind = kind, .name = name } };
}

int change_user_disable_if(struct changer *changer, const struct actor *actor, const char *user,
			   int64_t version, const char *reason_text, struct err *err)
{
	struct hand_change change = hand_disable(actor, reason_text);

	return send(changer, &change, user, version, err);
}

int change_user_disable(struct changer *changer, const struct actor *actor, const char *user,
			const char *reason_text, struct err *err)
{
	return change_user_disable_if(changer, actor, user, 0, reason_text, err);
}

int change_user_enable_if(struct changer *changer, const struct actor *actor, const char *user,
			  int64_t version, struct err *err)
{
	struct hand_change change = hand_enable(actor);

	return send(changer, &change, user, version, err);
}

int change_user_enable(struct changer *changer, const struct actor *actor, const char *user,
		       struct err *err)
{
	return change_user_enable_if(changer, actor, user, 0, err);
}

int change_grant_add_if(struct changer *changer, const struct actor *actor, const char *user,
			int64_t version, enum grant_kind kind, const char *name, int64_t expires_s,
			struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct hand_change change;
	int result = hand_grant(actor, &setup->setup, kind, name, expires_s, &change, err);

	setup_release(&setup->setup);
	return result < 0 ? -1 : send(changer, &change, user, version, err);
}

int change_grant_add(struct changer *changer, const struct actor *actor, const char *user,
		     enum grant_kind kind, const char *name, int64_t expires_s, struct err *err)
{
	return change_grant_add_if(changer, actor, user, 0, kind, name, expires_s, err);
}

int change_grant_remove_if(struct changer *changer, const struct actor *actor, const char *user,
			   int64_t version, enum grant_kind kind, const char *name, struct err *err)
{
	struct hand_change change = hand_revoke(actor, kind, name);

	if (send(changer, &change, user, version, err) < 0)
		return -1;
	if (!change.changed)
		return err_refuse(err, ERR_NOT_FOUND, "not-found",
				  "'%s' has no %s '%s' given by hand", user, grant_kind_name(kind),
				  name);
	return 0;
}

int change_grant_remove(struct changer *changer, const struct actor *actor, const char *user,
			enum grant_kind kind, const char *name, struct err *err)
{
	return change_grant_remove_if(changer, actor, user, 0, kind, name, err);
}

/* --- someone new by hand --- */

struct creation {
	const struct actor *actor;
	struct user user;
	struct grant profile;
	const struct live_setup *setup;
	const char *organization;
};

static int creation_job(struct changer *changer, struct job *job, struct err *err)
{
	struct creation *creation = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = creation->setup,
					 .arena = arena,
					 .actor = creation->actor,
					 .source = "",
					 .refuse = true,
					 .now_s = creation->user.created_s,
					 .applied = &applied };
	struct person_change change = { .after = creation->user,
					.added = &creation->profile,
					.added_count = 1,
					.gained_count = 1,
					.cause = "hand" };

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	change.before = (struct user){ .uuid = creation->user.uuid,
				       .organization = creation->user.organization,
				       .username = "",
				       .email = "",
				       .display_name = "",
				       .profile = "" };
	return apply_person(&context, &change, NULL, err);
}

bool change_organization_exists(const struct setup *setup, const char *name)
{
	if (strcmp(name, "default") == 0)
		return true;
	for (size_t i = 0; i < setup->source_count; i++)
		if (strcmp(source_organization(setup->sources[i]), name) == 0)
			return true;
	for (size_t i = 0; i < setup->organization_count; i++)
		if (setup->organizations[i].name.text &&
		    strcmp(setup->organizations[i].name.text, name) == 0)
			return true;
	return false;
}

int change_check_organization(const struct setup *setup, const char *name, struct err *err)
{
	if (change_organization_exists(setup, name))
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no organization '%s'", name);
}

int change_check_own_organization(const struct setup *setup, const struct actor *actor,
				  const char *name, struct err *err)
{
	bool elsewhere =
		actor->limited && actor->organization && strcmp(actor->organization, name) != 0;

	if (elsewhere)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no organization '%s'", name);
	return change_check_organization(setup, name, err);
}

/* Normalised texts live in the two buffers. */
static int fill_creation(struct creation *creation, const struct new_user *user,
			 struct strbuf *username, struct strbuf *email, struct err *err)
{
	const char *organization =
		user->organization && user->organization[0] ? user->organization : "default";

	bool by_default = !user->profile || user->profile[0] == '\0';
	const char *profile =
		by_default ? creation->setup->setup.decision.default_profile : user->profile;

	if (!user->username)
		return err_refuse(err, ERR_INVALID, "invalid-request", "a user needs a username");
	if (!profile || profile[0] == '\0')
		return err_refuse(err, ERR_INVALID, "profile-required",
				  "a user needs a profile, and there is no default one");
	if (username_normalize(user->username, username, err) < 0)
		return err_wrap(err, "username '%s'", user->username);
	if (user->email && user->email[0] && email_normalize(user->email, email, err) < 0)
		return err_wrap(err, "e-mail address '%s'", user->email);
	if (change_check_own_organization(&creation->setup->setup, creation->actor, organization,
					  err) < 0 ||
	    check_name(&creation->setup->setup, GRANT_PROFILE, profile, organization, err) < 0)
		return -1;
	creation->user = (struct user){
		.uuid = uuid_create(change_now_s() * 1000),
		.organization = organization,
		.username = strbuf_text(username),
		.email = strbuf_text(email),
		.display_name = user->display_name && user->display_name[0] ? user->display_name
									    : user->username,
		.profile = profile,
		.is_protected =
			policy_is_protected(creation->setup->setup.policy, strbuf_text(username)),
		.version = 1,
		.created_s = change_now_s(),
		.updated_s = change_now_s(),
	};
	creation->profile = (struct grant){ .kind = GRANT_PROFILE,
					    .name = profile,
					    .origin = by_default ? ORIGIN_DEFAULT : ORIGIN_HAND,
					    .origin_id = by_default ? "" : creation->actor->name,
					    .origin_source = "",
					    .given_s = creation->user.created_s };
	return 0;
}

int change_user_create(struct changer *changer, const struct actor *actor,
		       const struct new_user *user, struct uuid *ret_uuid, struct err *err)
{
	AUTO(strbuf) struct strbuf username = STRBUF(4096), email = STRBUF(4096);
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct creation creation = { .actor = actor, .setup = setup };
	int result = fill_creation(&creation, user, &username, &email, err);

	if (result == 0)
		result = writer_request(changer, creation_job, &creation, err);
	if (result == 0 && ret_uuid)
		*ret_uuid = creation.user.uuid;
	setup_release(&setup->setup);
	return result;
}

/* --- alarms --- */

struct clearing {
	const struct actor *actor;
	int64_t id;
};

/* A plan that was set aside goes with its alarm. */
static int drop_damaged(struct changer *changer, const char *id, int64_t now_s, struct arena *arena,
			struct err *err)
{
	struct plan_row *plans;
	size_t count;

	if (store_plan_list(changer->store, PLAN_DAMAGED, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct plan_row row = { .row = plans[i].row,
					.state = PLAN_SUPERSEDED,
					.finished_s = now_s };

		if (strcmp(plans[i].id, id) == 0 &&
		    (store_plan_update(changer->store, &row, err) < 0 ||
		     store_plan_discard(changer->store, row.row, err) < 0))
			return -1;
	}
	return 0;
}

static int clear_job(struct changer *changer, struct job *job, struct err *err)
{
	struct clearing *clearing = job->context;
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	AUTO(strbuf) struct strbuf object = STRBUF(64), detail = STRBUF(1u << 20);
	struct json json = JSON(&detail);
	struct alarm_row *rows;
	int64_t now_s = change_now_s();
	size_t count, i = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (store_alarm_list(changer->store, true, arena, &rows, &count, err) < 0)
		return -1;
	while (i < count && rows[i].id != clearing->id)
		i++;
	if (i == count)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no open alarm %lld",
				  (long long)clearing->id);
	if (store_alarm_clear(changer->store, rows[i].kind, rows[i].subject, clearing->actor->name,
			      now_s, err) < 0)
		return -1;
	if (strcmp(rows[i].kind, "plan-damaged") == 0 &&
	    drop_damaged(changer, rows[i].subject, now_s, arena, err) < 0)
		return -1;
	strbuf_printf(&object, "alarm:%lld", (long long)clearing->id);
	json_object(&json);
	json_string(&json, "kind", rows[i].kind);
	json_string(&json, "subject", rows[i].subject);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, now_s, clearing->actor, "alarm.clear",
			   strbuf_text(&object), strbuf_text(&detail), err);
}

int change_alarm_clear(struct changer *changer, const struct actor *actor, int64_t alarm_id,
		       struct err *err)
{
	struct clearing clearing = { actor, alarm_id };

	return writer_request(changer, clear_job, &clearing, err);
}
