/*
 * Tokens of the API.
 *
 * Enters: who asks, whose a token shall be, what it shall leave. Leaves: a row, an audit row without anything
 * secret; whoever watches is told before the commit, so that a revoked token is refused whatever becomes of
 * it. A new one that was told and never committed is known to nobody. Refused: scopes beyond the actor's
 * permissions, tokens of others but by administrators, services that want tokens. Fails: store, memory.
 */
#include <rolebridge/change/token.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>

#include "ceiling.h"

#define DETAIL_MAX (1u << 20)
#define USES_AT_ONCE 500
#define PRUNED_AT_ONCE 500
#define ARENA_MAX (64u * 1024 * 1024)

static int refuse(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "this is beyond the permissions of who asks");
}

/* --- what both write --- */

static int write_owner(struct changer *changer, struct json *json, const struct token_row *row,
		       struct arena *arena, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (row->user_id == 0) {
		json_string(json, "service", row->service);
		return 0;
	}
	if (store_user_get(changer->store, row->user_id, arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, uuid);
	json_string(json, "user", uuid);
	return 0;
}

static void write_scope(struct json *json, const struct token_row *row)
{
	if (!row->scope)
		return;
	json_array_key(json, "scope");
	for (size_t i = 0; i < row->scope_count; i++)
		json_string(json, NULL, row->scope[i]);
	json_end(json);
}

static int write_row(struct changer *changer, const struct actor *actor, const char *action,
		     const struct token_row *row, struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 6] = "token:";
	struct json json = JSON(&detail);

	uuid_format(&row->uuid, object + 6);
	json_object(&json);
	json_string(&json, "name", row->name);
	if (write_owner(changer, &json, row, arena, err) < 0)
		return -1;
	json_string(&json, "organization", row->organization);
	if (row->application[0])
		json_string(&json, "application", row->application);
	write_scope(&json, row);
	json_time(&json, "expires", row->expires_s);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, change_now_s(), actor, action, object,
			   strbuf_text(&detail), err);
}

/* --- create --- */

struct making {
	const struct actor *actor;
	const struct new_token *wanted;
	const struct live_setup *setup;
	struct token_row row;
	const char *refused; /* the field that a refusal is about */
};

static int refuse_field(struct making *making, const char *field, struct err *err)
{
	making->refused = field;
	return err_set(err, ERR_INVALID, "field '%s' is missing", field);
}

static int check_service(struct making *making, const struct authority *authority, struct err *err)
{
	const struct new_token *wanted = making->wanted;
	const char *organization = wanted->organization;

	if (!slug_is_valid(wanted->service)) {
		making->refused = "service";
		return err_set(err, ERR_INVALID, "'%s' is not a name", wanted->service);
	}
	if (!wanted->scope || wanted->scope_count == 0)
		return refuse_field(making, "scope", err);
	if (!organization)
		organization = authority->organization ? authority->organization : "default";
	making->refused = "organization";
	if (authority_require_organization(authority, organization, "such organization", err) < 0 ||
	    change_check_organization(&making->setup->setup, organization, err) < 0)
		return -1;
	making->refused = NULL;
	making->row.service = wanted->service;
	making->row.organization = organization;
	return authority_require(authority, "tokens:create@all", err);
}

static int find_owner(struct changer *changer, struct making *making, struct arena *arena,
		      struct user *ret_user, struct err *err)
{
	const char *name = making->wanted->user;

	if (!name && making->actor->user_id == 0)
		return refuse_field(making, "user", err);
	if (!name)
		return store_user_get(changer->store, making->actor->user_id, arena, ret_user, err);
	making->refused = "user";
	if (user_resolve(changer->store, name, arena, ret_user, err) < 0)
		return -1;
	if (ret_user->disabled & DISABLED_DELETED)
		return no_such_user(err);
	making->refused = NULL;
	return 0;
}

/* Who holds another person's token acts in their name: that is for administrators to give. */
static int check_other(struct changer *changer, struct making *making,
		       const struct authority *authority, const struct user *user,
		       struct arena *arena, struct err *err)
{
	const struct setup *setup = &making->setup->setup;

	if (authority->unlimited)
		return 0;
	making->refused = "user";
	if (authority_require_organization(authority, user->organization, "such user", err) < 0)
		return -1;
	making->refused = NULL;
	if (authority_require_user(authority, changer->store, setup, user, change_now_s(), arena,
				   err) < 0 ||
	    authority_require(authority, "tokens:create@all", err) < 0)
		return -1;
	if (!authority->is_administrator)
		return refuse(err);
	return making->wanted->scope ? 0 : refuse_field(making, "scope", err);
}

static int check_person(struct changer *changer, struct making *making,
			const struct authority *authority, struct arena *arena, struct err *err)
{
	struct user user;

	if (find_owner(changer, making, arena, &user, err) < 0)
		return -1;
	if (making->actor->limited && user.id == making->actor->user_id) {
		if (authority_require(authority, "tokens:create@own", err) < 0)
			return -1;
	} else if (check_other(changer, making, authority, &user, arena, err) < 0) {
		return -1;
	}
	if (!user_may_sign_in(&user))
		return err_set(err, ERR_CONFLICT, "'%s' may not sign in", user.username);
	making->row.user_id = user.id;
	making->row.organization = user.organization;
	return 0;
}

static int check_scope(struct making *making, const struct authority *authority, struct err *err)
{
	struct token_row *row = &making->row;

	making->refused = "scope";
	for (size_t i = 0; i < row->scope_count; i++)
		if (permission_check(row->scope[i], err) < 0)
			return -1;
	if (row->scope && row->scope_count == 0)
		return refuse_field(making, "scope", err);
	making->refused = NULL;
	return authority_require_covers(authority, row->scope, row->scope_count, err);
}

/* What the token is made with bounds it. */
static int check_bounds(struct making *making, struct err *err)
{
	const struct actor *actor = making->actor;
	struct token_row *row = &making->row;

	if (actor_is_service(actor))
		return refuse(err);
	if (!row->scope) {
		row->scope = actor->scope;
		row->scope_count = actor->scope_count;
	}
	if (actor->application && strcmp(actor->application, row->application) != 0)
		return refuse(err);
	if (row->application[0] && !slug_is_valid(row->application)) {
		making->refused = "application";
		return err_set(err, ERR_INVALID, "'%s' is not a name", row->application);
	}
	return 0;
}

/* Each stands in memory, and somebody has to look through them. */
static int check_room(struct changer *changer, const struct token_row *row, struct err *err)
{
	int64_t count;

	if (store_token_living(changer->store, row, change_now_s(), &count, err) < 0)
		return -1;
	if (count < TOKENS_OF_OWNER_MAX)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "too-many-tokens",
			  "there are %d tokens already: revoke one first", TOKENS_OF_OWNER_MAX);
}

static int make_job(struct changer *changer, struct job *job, struct err *err)
{
	struct making *making = job->context;
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	const struct new_token *wanted = making->wanted;
	struct authority authority;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	making->row = (struct token_row){
		.uuid = uuid_create(change_now_s() * 1000),
		.hash = wanted->hash,
		.name = wanted->name,
		.service = "",
		.application = wanted->application ? wanted->application : "",
		.scope = wanted->scope,
		.scope_count = wanted->scope_count,
		.created_s = change_now_s(),
		.created_by = making->actor->name,
		.expires_s = wanted->expires_s,
	};
	if (authority_of_actor(changer->store, &making->setup->setup, making->actor, change_now_s(),
			       arena, &authority, err) < 0 ||
	    check_bounds(making, err) < 0)
		return -1;
	result = wanted->service ? check_service(making, &authority, err)
				 : check_person(changer, making, &authority, arena, err);
	if (result < 0 || check_scope(making, &authority, err) < 0 ||
	    check_room(changer, &making->row, err) < 0 ||
	    store_token_insert(changer->store, &making->row, err) < 0 ||
	    write_row(changer, making->actor, "token.create", &making->row, arena, err) < 0)
		return -1;
	notice_token(changer, &making->row);
	return 0;
}

int change_token_create(struct changer *changer, const struct actor *actor,
			const struct new_token *token, struct uuid *ret_uuid,
			const char **ret_field, struct err *err)
{
	struct making making = { .actor = actor, .wanted = token };
	struct live_setup *setup;
	int result;

	*ret_field = NULL;
	if (token->user && token->service) {
		*ret_field = "service";
		return err_set(err, ERR_INVALID, "a token is a user's or a service's, not both's");
	}
	if (!slug_is_valid(token->name)) {
		*ret_field = "name";
		return err_set(err, ERR_INVALID, "'%s' is not a name", token->name);
	}
	setup = changer_live_setup(changer, NULL);
	making.setup = setup;
	result = writer_request(changer, make_job, &making, err);
	setup_release(&setup->setup);
	*ret_field = result < 0 ? making.refused : NULL;
	if (result == 0)
		*ret_uuid = making.row.uuid;
	return result;
}

/* --- revoke --- */

struct revoking {
	const struct actor *actor;
	const struct uuid *uuid;
	const struct live_setup *setup;
};

static int check_revoking(struct changer *changer, const struct revoking *revoking,
			  const struct token_row *row, struct arena *arena, struct err *err)
{
	const struct setup *setup = &revoking->setup->setup;
	const struct actor *actor = revoking->actor;
	struct authority authority;
	struct user user;

	if (!actor->limited || (row->user_id != 0 && row->user_id == actor->user_id))
		return 0;
	if (actor_is_service(actor))
		return refuse(err);
	if (authority_of_actor(changer->store, setup, actor, change_now_s(), arena, &authority,
			       err) < 0 ||
	    authority_require_organization(&authority, row->organization, "such token", err) < 0 ||
	    authority_require(&authority, "tokens:revoke@all", err) < 0)
		return -1;
	if (row->user_id == 0)
		return authority_require_covers(&authority, row->scope, row->scope_count, err);
	if (store_user_get(changer->store, row->user_id, arena, &user, err) < 0)
		return -1;
	return authority_require_user(&authority, changer->store, setup, &user, change_now_s(),
				      arena, err);
}

static int revoke_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct revoking *revoking = job->context;
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct token_row row;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (store_token_find(changer->store, revoking->uuid, arena, &row, err) < 0 ||
	    check_revoking(changer, revoking, &row, arena, err) < 0)
		return -1;
	notice_token_ended(changer, row.id);
	if (row.revoked_s != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such token");
	if (store_token_revoke(changer->store, row.id, change_now_s(), err) < 0)
		return -1;
	return write_row(changer, revoking->actor, "token.revoke", &row, arena, err);
}

int change_token_revoke(struct changer *changer, const struct actor *actor, const struct uuid *uuid,
			struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct revoking revoking = { actor, uuid, setup };
	int result = writer_request(changer, revoke_job, &revoking, err);

	setup_release(&setup->setup);
	return result;
}

/* --- with the organization --- */

int tokens_end_of(struct changer *changer, const struct actor *actor, const struct user *user,
		  struct arena *arena, int64_t *ret_count, struct err *err)
{
	struct token_query query = { .user_id = user->id,
				     .now_s = change_now_s(),
				     .limit = USES_AT_ONCE };
	size_t count = USES_AT_ONCE;
	int64_t ended = 0;

	while (count == USES_AT_ONCE) {
		struct token_row *rows;

		if (store_token_list(changer->store, &query, arena, &rows, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			query.after_id = rows[i].id;
			/* A null actor only counts. */
			if (!actor)
				continue;
			notice_token_ended(changer, rows[i].id);
			if (store_token_revoke(changer->store, rows[i].id, query.now_s, err) < 0 ||
			    write_row(changer, actor, "token.revoke", &rows[i], arena, err) < 0)
				return -1;
		}
		ended += (int64_t)count;
	}
	*ret_count = ended;
	return 0;
}

int tokens_count_of(struct changer *changer, const struct user *user, struct arena *arena,
		    int64_t *ret_count, struct err *err)
{
	return tokens_end_of(changer, NULL, user, arena, ret_count, err);
}

/* --- the timer's --- */

struct using
{
	const struct token_use *uses;
	size_t count;
};

static int used_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct using *using = job->context;

	for (size_t i = 0; i < using->count; i++)
		if (store_token_used(changer->store, using->uses[i].id, using->uses[i].used_s,
				     err) < 0)
			return -1;
	return 0;
}

int change_tokens_used(struct changer *changer, const struct token_use *uses, size_t count,
		       struct err *err)
{
	for (size_t at = 0; at < count; at += USES_AT_ONCE) {
		struct using using = { uses + at, count - at };

		if (using.count > USES_AT_ONCE)
			using.count = USES_AT_ONCE;
		if (writer_bulk(changer, used_job, &using, err) < 0)
			return -1;
	}
	return 0;
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	const int64_t *before_s = job->context;

	return store_token_prune(changer->store, *before_s, PRUNED_AT_ONCE, err) < 0 ? -1 : 0;
}

int change_tokens_prune(struct changer *changer, int64_t before_s, struct err *err)
{
	return writer_bulk(changer, prune_job, &before_s, err);
}
