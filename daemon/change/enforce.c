/*
 * Who must prove a second factor, per organization: read, tried out, set. Enters: a policy, who asks. Leaves: the row, an
 * audit row; before that, who would be locked out. Refused: where a file says it, another version than the caller saw, an
 * administrator who would be locked out themselves. Fails: store, memory.
 */
#include <rolebridge/change/enforce.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>
#include <rolebridge/store/device.h>

#include "ceiling.h"
#include "policies.h"

#define DETAIL_MAX (16u * 1024 * 1024)
#define BODY_MAX (1u << 20)
#define USERS_AT_ONCE 1000
#define LIST_MAX 1000

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a policy");
}

int change_enforce_get(const struct setup *setup, struct store *store, const char *organization,
		       struct arena *arena, struct enforce_state *ret_state, struct err *err)
{
	if (change_check_organization(setup, organization, err) < 0)
		return -1;
	return policies_read(setup, store, organization, arena, ret_state, err);
}

/* --- who would be locked out --- */

struct looking {
	const struct setup *setup;
	struct store *store;
	const struct enforce_state *state;
	struct arena *arena; /* for one user */
	int64_t now_s;
};

struct standing {
	bool required, ready, idp;
	struct factor_question question;
};

/* May an identity provider prove one for them, where that counts? */
static int may_be_proven(const struct looking *looking, const struct user *user, bool *ret_may,
			 struct err *err)
{
	struct identity_row *rows;
	size_t count;

	*ret_may = false;
	if (store_identities_of(looking->store, user->id, looking->arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct source_settings *source =
			setup_find_source(looking->setup, rows[i].source);

		*ret_may |= source && source->enabled && source->proves_factor &&
			    rows[i].missing_s == 0;
	}
	return 0;
}

static int look_at(const struct looking *looking, const struct user *user,
		   struct standing *ret_standing, struct err *err)
{
	const struct factor_policy *policy = &looking->state->policy;
	struct standing standing = { .required = false };
	unsigned counting;

	if (policies_question(looking->state, looking->setup, looking->store, user, looking->now_s,
			      looking->arena, &standing.question, err) < 0)
		return -1;
	standing.required = factor_is_required(policy, &standing.question);
	counting = factor_methods_that_count(policy, standing.question.is_administrator);
	standing.ready = (standing.question.enrolled & counting & FACTOR_ALL_METHODS) != 0;
	if (standing.required && !standing.ready && (counting & FACTOR_BIT(FACTOR_IDP)) &&
	    may_be_proven(looking, user, &standing.idp, err) < 0)
		return -1;
	*ret_standing = standing;
	return 0;
}

struct previewing {
	struct looking looking;
	int64_t after;
	size_t limit;
	struct arena *answer;
	struct enforce_preview preview;
	bool more;
};

static int list_person(struct previewing *previewing, const struct user *user,
		       const struct standing *standing, struct err *err)
{
	struct enforce_preview *preview = &previewing->preview;

	if (user->id <= previewing->after)
		return 0;
	if (preview->count == previewing->limit) {
		previewing->more = true;
		return 0;
	}
	preview->people[preview->count] = (struct enforce_person){
		.user_id = user->id,
		.uuid = user->uuid,
		.username = arena_strdup(previewing->answer, user->username),
		.display_name = arena_strdup(previewing->answer, user->display_name),
		.is_administrator = standing->question.is_administrator,
		.enrolled = standing->question.enrolled,
		.idp = standing->idp,
	};
	if (!preview->people[preview->count].username ||
	    !preview->people[preview->count].display_name)
		return no_memory(err);
	preview->count++;
	return 0;
}

static int preview_user(struct previewing *previewing, const struct user *user, struct err *err)
{
	struct enforce_preview *preview = &previewing->preview;
	struct standing standing;

	arena_reset(previewing->looking.arena);
	if (look_at(&previewing->looking, user, &standing, err) < 0)
		return -1;
	if (!standing.required)
		return 0;
	preview->required++;
	preview->ready += standing.ready;
	if (standing.ready)
		return 0;
	preview->idp += standing.idp;
	preview->locked_out += !standing.idp;
	preview->locked_out_administrators += !standing.idp && standing.question.is_administrator;
	return list_person(previewing, user, &standing, err);
}

static int preview_all(struct previewing *previewing, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PERSON_BYTES_MAX);
	struct user_query query = { .organization = previewing->looking.state->organization,
				    .active = 1,
				    .limit = USERS_AT_ONCE };

	if (!page)
		return no_memory(err);
	do {
		struct user *users;
		size_t count;
		int64_t next;

		arena_reset(page);
		if (store_user_scan(previewing->looking.store, &query, page, &users, &count, &next,
				    err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (preview_user(previewing, &users[i], err) < 0)
				return -1;
		query.after_id = next;
	} while (query.after_id != 0);
	return 0;
}

int change_enforce_preview(const struct setup *setup, struct store *store, const char *organization,
			   const struct factor_policy *policy, int64_t after, size_t limit,
			   struct arena *arena, struct enforce_preview *ret_preview,
			   struct err *err)
{
	const struct enforce_state state = { .organization = organization, .policy = *policy };
	AUTO(arena) struct arena *scratch = arena_create(PERSON_BYTES_MAX);
	struct previewing previewing = { .looking = { .setup = setup,
						      .store = store,
						      .state = &state,
						      .arena = scratch,
						      .now_s = change_now_s() },
					 .after = after,
					 .limit = limit,
					 .answer = arena };

	if (limit == 0 || limit > LIST_MAX)
		return err_set(err, ERR_INVALID, "a list has 1 to %d people", LIST_MAX);
	if (change_check_organization(setup, organization, err) < 0)
		return -1;
	previewing.preview.people =
		arena_alloc_array(arena, limit, sizeof(*previewing.preview.people));
	if (!scratch || !previewing.preview.people)
		return no_memory(err);
	if (preview_all(&previewing, err) < 0)
		return -1;
	if (previewing.more)
		previewing.preview.next = previewing.preview.people[limit - 1].user_id;
	*ret_preview = previewing.preview;
	return 0;
}

/* --- to set it --- */

struct setting {
	const struct actor *actor;
	const struct enforce_change *change;
	struct arena *answer;
	struct enforce_state state;
};

int change_enforce_check(const struct setup *setup, const char *organization,
			 const struct factor_policy *policy, struct err *err)
{
	for (size_t i = 0; i < policy->profiles.count; i++)
		if (change_check_grant(setup, GRANT_PROFILE, policy->profiles.items[i],
				       organization, err) < 0)
			return -1;
	for (size_t i = 0; i < policy->roles.count; i++)
		if (change_check_grant(setup, GRANT_ROLE, policy->roles.items[i], organization,
				       err) < 0)
			return -1;
	return 0;
}

/* Who asks, as a user of this organization: by session, token, or their name on the control socket. 1, 0, -1. */
static int find_self(struct store *store, const struct actor *actor, struct arena *arena,
		     struct user *user, struct err *err)
{
	static const char prefix[] = "unix:";
	struct err why;
	int found;

	err_clear(&why);
	if (actor->user_id != 0)
		found = store_user_get(store, actor->user_id, arena, user, &why);
	else if (strncmp(actor->name, prefix, strlen(prefix)) == 0)
		found = store_user_find(store, USER_BY_USERNAME, actor->name + strlen(prefix),
					arena, user, &why);
	else
		return 0;
	if (found == 0)
		return actor_is_user(actor, user);
	if (why.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = why;
	return -1;
}

static int check_self(struct changer *changer, const struct setup *setup,
		      const struct setting *setting, const struct enforce_state *after,
		      struct arena *arena, struct err *err)
{
	const struct looking looking = { .setup = setup,
					 .store = changer->store,
					 .state = after,
					 .arena = arena,
					 .now_s = change_now_s() };
	struct standing standing;
	struct user user;
	int self = find_self(changer->store, setting->actor, arena, &user, err);

	if (self <= 0)
		return self;
	if (strcmp(user.organization, after->organization) != 0)
		return 0;
	if (look_at(&looking, &user, &standing, err) < 0)
		return -1;
	if (standing.required && !standing.ready && !standing.idp)
		return err_refuse(err, ERR_CONFLICT, "self-lockout",
				  "this would lock out whoever asks for it: enrol a method that "
				  "counts first");
	return 0;
}

static int audit_set(struct changer *changer, const struct setting *setting,
		     const struct enforce_state *before, const struct enforce_state *after,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX), object = STRBUF(256);
	struct json json = JSON(&detail);

	json_object(&json);
	json_object_key(&json, "before");
	factor_policy_write(&before->policy, &json);
	json_end(&json);
	json_object_key(&json, "after");
	factor_policy_write(&after->policy, &json);
	json_end(&json);
	json_end(&json);
	strbuf_printf(&object, "organization:%s", after->organization);
	if (strbuf_failed(&detail) || strbuf_failed(&object))
		return no_memory(err);
	return audit_write(changer->store, after->set_s, setting->actor, "second-factor.set",
			   strbuf_text(&object), strbuf_text(&detail), err);
}

static int write_policy(struct changer *changer, const struct setting *setting,
			const struct enforce_state *before, struct enforce_state *after,
			struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf body = STRBUF(BODY_MAX);
	struct json json = JSON(&body);
	const struct factor_policy_row row = { .organization = after->organization,
					       .version = after->version,
					       .set_s = after->set_s };
	struct factor_policy_row written = row;

	json_object(&json);
	factor_policy_write(&after->policy, &json);
	json_end(&json);
	if (strbuf_failed(&body))
		return err_set(err, ERR_TOO_LARGE, "a policy longer than %u bytes", BODY_MAX);
	written.body = strbuf_text(&body);
	/* As it will be read: what cannot be is not stored. */
	if (factor_policy_read(written.body, body.size, arena, &after->policy, err) < 0 ||
	    store_factor_policy_put(changer->store, &written, err) < 0)
		return -1;
	policies_changed(changer);
	/* Whose sessions would not be opened so any more: they are looked at when they are used. */
	notice_changed(changer, 0);
	return audit_set(changer, setting, before, after, err);
}

static int check_may(struct changer *changer, const struct setup *setup,
		     const struct setting *setting, const struct enforce_state *before,
		     struct arena *arena, struct err *err)
{
	const struct enforce_change *change = setting->change;
	struct authority authority;

	if (setting->actor->limited &&
	    authority_of_actor(changer->store, setup, setting->actor, change_now_s(), arena,
			       &authority, err) < 0)
		return -1;
	if (before->from == ENFORCE_FILE)
		return err_refuse(err, ERR_CONFLICT, "managed-by-config",
				  "a file says who must prove a second factor in '%.64s'",
				  change->organization);
	if (change->version != 0 && change->version != before->version)
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "it was changed since it was read");
	return change_enforce_check(setup, change->organization, &change->policy, err);
}

static int set(struct changer *changer, const struct setup *setup, struct setting *setting,
	       struct arena *arena, struct err *err)
{
	const struct enforce_change *change = setting->change;
	struct enforce_state before, after;

	if (change_check_own_organization(setup, setting->actor, change->organization, err) < 0 ||
	    policies_read(setup, changer->store, change->organization, arena, &before, err) < 0 ||
	    check_may(changer, setup, setting, &before, arena, err) < 0)
		return -1;
	after = (struct enforce_state){ .organization = change->organization,
					.policy = change->policy,
					.from = ENFORCE_STORE,
					.version = before.version + 1,
					.set_s = change_now_s() };
	if (check_self(changer, setup, setting, &after, arena, err) < 0 ||
	    write_policy(changer, setting, &before, &after, setting->answer, err) < 0)
		return -1;
	after.organization = arena_strdup(setting->answer, after.organization);
	setting->state = after;
	return after.organization ? 0 : no_memory(err);
}

static int set_job(struct changer *changer, struct job *job, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct live_setup *setup;
	int result;

	if (!arena)
		return no_memory(err);
	setup = changer_coming_setup(changer, NULL);
	result = set(changer, &setup->setup, job->context, arena, err);
	setup_release(&setup->setup);
	return result;
}

int change_enforce_set(struct changer *changer, const struct actor *actor,
		       const struct enforce_change *change, struct arena *arena,
		       struct enforce_state *ret_state, struct err *err)
{
	struct setting setting = { .actor = actor, .change = change, .answer = arena };

	if (writer_request(changer, set_job, &setting, err) < 0)
		return -1;
	*ret_state = setting.state;
	return 0;
}

/* --- of whom one is required --- */

int change_factor_demand(const struct setup *setup, struct store *store, int64_t user_id,
			 int64_t now_s, struct arena *arena, unsigned *ret_demand,
			 int64_t *ret_until_s, struct err *err)
{
	struct factor_question question;
	struct enforce_state state;
	struct user user;

	if (store_user_get(store, user_id, arena, &user, err) < 0 ||
	    policies_read(setup, store, user.organization, arena, &state, err) < 0 ||
	    policies_question(&state, setup, store, &user, now_s, arena, &question, err) < 0)
		return -1;
	*ret_demand = factor_demand(&state.policy, &question, ret_until_s);
	return 0;
}

/* --- step-up --- */

typedef bool concerns_fn(const char *listed, const char *permission);

/* Of several that concern it the shortest counts. *max_age_s: of what was found before, when *found. */
static void find_step_up(const struct setup *setup, const char *permission, concerns_fn *concerns,
			 bool *found, int64_t *max_age_s)
{
	const struct struct_list *list =
		setup->second_factor ? &setup->second_factor->step_up : NULL;

	for (size_t i = 0; list && i < list->count; i++) {
		const struct step_up_settings *at =
			(const struct step_up_settings *)list->items + i;

		for (size_t j = 0; j < at->permissions.count; j++)
			if (concerns(at->permissions.items[j].text, permission) &&
			    (!*found || at->max_age_s < *max_age_s)) {
				*max_age_s = at->max_age_s;
				*found = true;
			}
	}
}

bool change_step_up_max_age(const struct setup *setup, const char *permission,
			    int64_t *ret_max_age_s)
{
	bool found = false;

	find_step_up(setup, permission, permission_covers, &found, ret_max_age_s);
	return found;
}

bool change_step_up_within(const struct setup *setup, const char *const *permissions, size_t count,
			   int64_t *ret_max_age_s)
{
	bool found = false;

	for (size_t i = 0; i < count; i++)
		find_step_up(setup, permissions[i], permission_meets, &found, ret_max_age_s);
	return found;
}
