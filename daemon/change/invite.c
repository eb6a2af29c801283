/*
 * Invites: made, sent anew, revoked, accepted.
 *
 * Enters: who asks, whom and what for; or whoever holds a link. Leaves: the invite, what is to be mailed, and in the
 * end a user with grants of origin "invite", each step in one transaction with its audit rows. Refused: addresses and
 * names that somebody has, what lies beyond the permissions of whoever vouches for the invite, links that are
 * used, void or too old. Fails: store, memory.
 *
 * The authority is read anew in each transaction. Whoever sent an invite and was disabled, or lost what it gives,
 * since then vouches for nothing any more: nobody comes by it until somebody else sends it anew. The same
 * goes for a token that was revoked, and for a service whose tokens have all ended.
 */
#include <rolebridge/change/invite.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/token.h>

#include "ceiling.h"
#include "internal.h"
#include "password.h"

#define PERMISSION "users:invite@all"
#define DETAIL_MAX (1u << 20)
#define OUTBOX_KIND "invite"

struct inviting {
	const struct actor *actor;
	const char *request;
	const struct live_setup *setup;
	struct invite_row invite; /* to be made */
	struct uuid uuid;
	int64_t generation, lifetime_s;
	const char *password_hash; /* of who accepts; NULL */
	const char *refused;	   /* the field that a refusal is about */
	struct uuid user;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for an invite");
}

/* --- what all write --- */

static void detail_grants(struct json *json, const struct invite_row *invite)
{
	json_array_key(json, "grants");
	for (size_t i = 0; i < invite->grant_count; i++) {
		json_object(json);
		json_string(json, grant_kind_name(invite->grants[i].kind), invite->grants[i].name);
		json_end(json);
	}
	json_end(json);
}

static int write_row(struct changer *changer, const struct actor *actor, const char *action,
		     const struct invite_row *invite, int64_t now_s, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	char object[sizeof("invite:") + UUID_TEXT_SIZE] = "invite:";

	uuid_format(&invite->uuid, object + strlen(object));
	json_object(&json);
	json_string(&json, "email", invite->email);
	json_string(&json, "username", invite->username);
	json_string(&json, "organization", invite->organization);
	detail_grants(&json, invite);
	json_time(&json, "expires", invite->expires_s);
	json_end(&json);
	if (strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, now_s, actor, action, object, strbuf_text(&detail), err);
}

/* The one before, if it still waits, is not sent any more. */
static int post(struct changer *changer, const struct invite_row *invite, int64_t now_s,
		struct err *err)
{
	char subject[UUID_TEXT_SIZE], message[UUID_TEXT_SIZE];
	struct uuid id = uuid_create(now_s * 1000);
	const struct outbox_row row = { .kind = OUTBOX_KIND,
					.subject = subject,
					.number = invite->generation,
					.message_id = message,
					.created_s = now_s,
					.next_s = now_s };

	uuid_format(&invite->uuid, subject);
	uuid_format(&id, message);
	return store_outbox_drop(changer->store, OUTBOX_KIND, subject, err) < 0 ||
			       store_outbox_add(changer->store, &row, err) < 0
		       ? -1
		       : 0;
}

/* --- may they? --- */

/* Whoever vouches for it, as they are now. */
static int check_authority(struct changer *changer, const struct inviting *inviting,
			   const struct actor *actor, const struct invite_row *invite,
			   struct arena *arena, struct err *err)
{
	const struct setup *setup = &inviting->setup->setup;
	struct authority authority;

	if (authority_of_actor(changer->store, setup, actor, change_now_s(), arena, &authority,
			       err) < 0 ||
	    authority_require(&authority, PERMISSION, err) < 0 ||
	    authority_require_organization(&authority, invite->organization, "such organization",
					   err) < 0)
		return -1;
	for (size_t i = 0; i < invite->grant_count; i++)
		if (authority_require_grant(&authority, setup, invite->grants[i].kind,
					    invite->grants[i].name, arena, err) < 0)
			return -1;
	/* Reads never disable whoever is protected: that is for administrators to give. */
	if (policy_is_protected(setup->policy, invite->username) && !authority.is_administrator)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "this is beyond the permissions of who asks");
	return 0;
}

/* Owner and name: "user:UUID/NAME", "service:SERVICE/NAME". Name "": none, or one that was not noted. */
static int find_token(const struct invite_row *invite, struct arena *arena,
		      struct token_row *ret_token, struct err *err)
{
	static const char prefix[] = "service:";
	const char *slash = strchr(invite->actor, '/'), *service = invite->actor;
	struct token_row token = { .user_id = invite->inviter_id,
				   .name = slash ? slash + 1 : "",
				   .service = "",
				   .organization = invite->service ? invite->service : "" };

	if (token.user_id == 0 && strncmp(service, prefix, sizeof(prefix) - 1) == 0) {
		service += sizeof(prefix) - 1;
		token.service = arena_strndup(arena, service, strcspn(service, "/"));
		if (!token.service)
			return no_memory(err);
	}
	*ret_token = token;
	return 0;
}

/* What a service may stands in its tokens alone: with the last of them it is gone. */
static int check_service(struct changer *changer, const struct invite_row *invite,
			 const struct token_row *token, struct arena *arena, struct err *err)
{
	const struct token_query query = { .organization = invite->service,
					   .service = token->service,
					   .now_s = change_now_s(),
					   .limit = 1 };
	struct token_row *tokens;
	size_t count = 0;

	if (!invite->limited || invite->inviter_id != 0)
		return 0;
	if (token->service[0] &&
	    store_token_list(changer->store, &query, arena, &tokens, &count, err) < 0)
		return -1;
	return count > 0 ? 0
			 : err_refuse(err, ERR_DENIED, "not-allowed", "this service is no more");
}

/* 1 found, 0 nobody, -1 */
static int find_user(struct changer *changer, enum user_key key, const char *value,
		     struct arena *arena, struct user *ret_user, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_user_find(changer->store, key, value, arena, ret_user, &missing) == 0)
		return 1;
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

/* Looked at once more when the user is made; here so that nobody is invited in vain. */
static int check_names(struct changer *changer, struct inviting *inviting,
		       const struct invite_row *invite, struct arena *arena, struct err *err)
{
	struct user user;
	int found = find_user(changer, USER_BY_EMAIL, invite->email, arena, &user, err);

	inviting->refused = "email";
	if (found > 0 && strcmp(user.organization, invite->organization) != 0)
		return err_refuse(err, ERR_CONFLICT, "email-in-other-organization",
				  "e-mail address '%s' belongs to somebody elsewhere",
				  invite->email);
	if (found > 0)
		return err_refuse(err, ERR_CONFLICT, "email-taken",
				  "e-mail address '%s' belongs to '%s'", invite->email,
				  user.username);
	if (found == 0)
		found = store_invite_pending(changer->store, invite->organization, invite->email,
					     change_now_s(), invite->id, err);
	if (found > 0)
		return err_refuse(err, ERR_CONFLICT, "invite-pending",
				  "'%s' is invited already: resend or revoke that invite",
				  invite->email);
	inviting->refused = "username";
	if (found == 0)
		found = find_user(changer, USER_BY_USERNAME, invite->username, arena, &user, err);
	if (found > 0)
		return err_refuse(err, ERR_CONFLICT,
				  user.disabled & DISABLED_DELETED ? "name-reserved"
								   : "username-taken",
				  "username '%s' is somebody's", invite->username);
	inviting->refused = NULL;
	return found;
}

static int vouch(struct invite_row *invite, const struct actor *actor, struct arena *arena,
		 struct err *err)
{
	/* The name of a person with a token says which. */
	invite->actor = actor_is_service(actor) && actor->token
				? arena_printf(arena, "%s/%s", actor->name, actor->token)
				: actor->name;
	if (!invite->actor)
		return no_memory(err);
	invite->inviter_id = actor->user_id;
	invite->limited = actor->limited;
	invite->service = actor->organization;
	invite->scope = actor->scope;
	invite->scope_count = actor->scope_count;
	return 0;
}

static struct actor voucher(const struct invite_row *invite)
{
	return (struct actor){ .name = invite->actor,
			       .request = "",
			       .is_person = true,
			       .limited = invite->limited,
			       .user_id = invite->inviter_id,
			       .organization = invite->service,
			       .scope = invite->scope,
			       .scope_count = invite->scope_count };
}

static int send_job(struct changer *changer, struct inviting *inviting, job_run *run,
		    struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	int result;

	inviting->setup = setup;
	result = writer_request(changer, run, inviting, err);
	setup_release(&setup->setup);
	return result;
}

/* --- create --- */

static int create_job(struct changer *changer, struct job *job, struct err *err)
{
	struct inviting *inviting = job->context;
	struct invite_row *invite = &inviting->invite;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int64_t now_s = change_now_s();

	if (!arena)
		return no_memory(err);
	invite->created_s = invite->sent_s = now_s;
	invite->expires_s = now_s + inviting->lifetime_s;
	if (check_authority(changer, inviting, inviting->actor, invite, arena, err) < 0 ||
	    check_names(changer, inviting, invite, arena, err) < 0 ||
	    store_invite_insert(changer->store, invite, err) < 0 ||
	    post(changer, invite, now_s, err) < 0)
		return -1;
	return write_row(changer, inviting->actor, "invite.create", invite, now_s, err);
}

struct invite_texts {
	struct strbuf email, username, display_name;
};

static int normalise(struct inviting *inviting, const struct new_invite *asked,
		     struct invite_texts *texts, struct err *err)
{
	const char *username = asked->username && asked->username[0] ? asked->username : NULL;
	const char *name = asked->display_name ? asked->display_name : "";

	inviting->refused = "email";
	if (!asked->email || asked->email[0] == '\0')
		return err_set(err, ERR_INVALID, "an invite needs an e-mail address");
	if (email_normalize(asked->email, &texts->email, err) < 0)
		return err_wrap(err, "e-mail address '%s'", asked->email);
	inviting->refused = "username";
	if (username_normalize(username ? username : strbuf_text(&texts->email), &texts->username,
			       err) < 0)
		return username ? err_wrap(err, "username '%s'", username)
				: err_wrap(err, "the address cannot be the username, give one");
	inviting->refused = "display_name";
	if (name[0] && display_name_normalize(name, &texts->display_name, err) < 0)
		return err_wrap(err, "display name '%s'", name);
	inviting->refused = NULL;
	inviting->invite.email = strbuf_text(&texts->email);
	inviting->invite.username = strbuf_text(&texts->username);
	inviting->invite.display_name = strbuf_text(&texts->display_name);
	return 0;
}

/* In the order of enum grant_kind. */
static const char *const grant_fields[GRANT_KINDS] = { "profile", "roles", "personas", "groups" };

static int gather_grants(struct inviting *inviting, const struct new_invite *asked,
			 struct arena *arena, struct err *err)
{
	struct invite_grant *grants =
		arena_alloc_array(arena, asked->grant_count + 1, sizeof(*grants));

	if (!grants)
		return no_memory(err);
	if (!asked->profile || asked->profile[0] == '\0') {
		inviting->refused = "profile";
		return err_refuse(err, ERR_INVALID, "profile-required",
				  "an invite needs a profile");
	}
	grants[0] = (struct invite_grant){ GRANT_PROFILE, asked->profile };
	if (asked->grant_count)
		memcpy(grants + 1, asked->grants, asked->grant_count * sizeof(*grants));
	inviting->invite.grants = grants;
	inviting->invite.grant_count = asked->grant_count + 1;
	return 0;
}

static int check_given(const struct setup *setup, struct inviting *inviting, struct err *err)
{
	const struct invite_row *invite = &inviting->invite;

	inviting->refused = "organization";
	if (change_check_own_organization(setup, inviting->actor, invite->organization, err) < 0)
		return -1;
	for (size_t i = 0; i < invite->grant_count; i++) {
		inviting->refused = grant_fields[invite->grants[i].kind];
		if (change_check_grant(setup, invite->grants[i].kind, invite->grants[i].name,
				       invite->organization, err) < 0)
			return -1;
	}
	inviting->refused = NULL;
	return 0;
}

static int create(struct changer *changer, struct inviting *inviting,
		  const struct new_invite *asked, struct invite_texts *texts, struct arena *arena,
		  struct err *err)
{
	const char *organization = asked->organization && asked->organization[0]
					   ? asked->organization
					   : inviting->actor->organization;
	struct setup *setup;
	int result;

	inviting->invite.organization = organization ? organization : "default";
	if (vouch(&inviting->invite, inviting->actor, arena, err) < 0 ||
	    gather_grants(inviting, asked, arena, err) < 0 ||
	    normalise(inviting, asked, texts, err) < 0)
		return -1;
	setup = changer_setup(changer);
	result = check_given(setup, inviting, err);
	setup_release(setup);
	return result < 0 ? -1 : send_job(changer, inviting, create_job, err);
}

int change_invite_create(struct changer *changer, const struct actor *actor,
			 const struct new_invite *asked, struct uuid *ret_uuid,
			 const char **ret_field, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct invite_texts texts = { STRBUF(4096), STRBUF(4096), STRBUF(64 * 1024) };
	struct inviting inviting = { .actor = actor,
				     .lifetime_s = asked->lifetime_s,
				     .invite = { .uuid = uuid_create(change_now_s() * 1000),
						 .generation = 1,
						 .mail_problem = "" } };
	int result;

	result = arena ? create(changer, &inviting, asked, &texts, arena, err) : no_memory(err);
	strbuf_finish(&texts.email);
	strbuf_finish(&texts.username);
	strbuf_finish(&texts.display_name);
	*ret_field = result < 0 ? inviting.refused : NULL;
	if (result == 0)
		*ret_uuid = inviting.invite.uuid;
	return result;
}

/* --- send anew, revoke --- */

static int check_ended(const struct invite_row *invite, struct err *err)
{
	if (invite->ended == INVITE_ACCEPTED)
		return err_refuse(err, ERR_CONFLICT, "invite-used", "this invite was accepted");
	if (invite->ended == INVITE_REVOKED)
		return err_refuse(err, ERR_CONFLICT, "invite-revoked", "this invite was revoked");
	return 0;
}

/* Of another organization: it is not there. */
static int find_invite(struct changer *changer, const struct inviting *inviting,
		       struct arena *arena, struct invite_row *ret_invite, struct err *err)
{
	struct authority authority;

	if (authority_of_actor(changer->store, &inviting->setup->setup, inviting->actor,
			       change_now_s(), arena, &authority, err) < 0 ||
	    authority_require(&authority, PERMISSION, err) < 0 ||
	    store_invite_get(changer->store, &inviting->uuid, arena, ret_invite, err) < 0)
		return -1;
	return authority_require_organization(&authority, ret_invite->organization, "such invite",
					      err);
}

static int resend_job(struct changer *changer, struct job *job, struct err *err)
{
	struct inviting *inviting = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int64_t now_s = change_now_s();
	struct invite_row invite;

	if (!arena)
		return no_memory(err);
	if (find_invite(changer, inviting, arena, &invite, err) < 0 ||
	    check_ended(&invite, err) < 0 ||
	    check_authority(changer, inviting, inviting->actor, &invite, arena, err) < 0 ||
	    check_names(changer, inviting, &invite, arena, err) < 0 ||
	    vouch(&invite, inviting->actor, arena, err) < 0)
		return -1;
	invite.generation++;
	invite.sent_s = now_s;
	invite.expires_s = now_s + inviting->lifetime_s;
	invite.mailed_s = 0;
	invite.mail_problem = "";
	if (store_invite_update(changer->store, &invite, err) < 0 ||
	    post(changer, &invite, now_s, err) < 0)
		return -1;
	return write_row(changer, inviting->actor, "invite.resend", &invite, now_s, err);
}

int change_invite_resend(struct changer *changer, const struct actor *actor,
			 const struct uuid *uuid, int64_t lifetime_s, struct err *err)
{
	struct inviting inviting = { .actor = actor, .uuid = *uuid, .lifetime_s = lifetime_s };

	return send_job(changer, &inviting, resend_job, err);
}

static int drop_mail(struct changer *changer, const struct uuid *uuid, struct err *err)
{
	char subject[UUID_TEXT_SIZE];

	uuid_format(uuid, subject);
	return store_outbox_drop(changer->store, OUTBOX_KIND, subject, err);
}

static int revoke_job(struct changer *changer, struct job *job, struct err *err)
{
	struct inviting *inviting = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int64_t now_s = change_now_s();
	struct invite_row invite;

	if (!arena)
		return no_memory(err);
	if (find_invite(changer, inviting, arena, &invite, err) < 0)
		return -1;
	if (invite.ended == INVITE_REVOKED)
		return 0;
	if (check_ended(&invite, err) < 0)
		return -1;
	invite.ended = INVITE_REVOKED;
	invite.ended_s = now_s;
	if (store_invite_update(changer->store, &invite, err) < 0 ||
	    drop_mail(changer, &invite.uuid, err) < 0)
		return -1;
	return write_row(changer, inviting->actor, "invite.revoke", &invite, now_s, err);
}

int change_invite_revoke(struct changer *changer, const struct actor *actor,
			 const struct uuid *uuid, struct err *err)
{
	struct inviting inviting = { .actor = actor, .uuid = *uuid };

	return send_job(changer, &inviting, revoke_job, err);
}

/* --- accept --- */

int change_invite_check(const struct invite_row *invite, int64_t generation, int64_t now_s,
			struct err *err)
{
	if (check_ended(invite, err) < 0)
		return -1;
	if (generation != invite->generation)
		return err_refuse(err, ERR_CONFLICT, "invite-superseded",
				  "a newer invite was sent since: use the link in that one");
	if (now_s >= invite->expires_s)
		return err_refuse(err, ERR_CONFLICT, "invite-expired",
				  "this invite has expired: ask for a new one");
	return 0;
}

/* Of a token that was revoked, nothing is good that it sent. The one that sent it is the last of its name before that. */
static int check_token(struct changer *changer, const struct invite_row *invite,
		       const struct token_row *token, struct err *err)
{
	bool has_owner = token->user_id != 0 || token->service[0];
	int revoked = has_owner && token->name[0]
			      ? store_token_was_revoked(changer->store, token, invite->sent_s, err)
			      : 0;

	return revoked > 0 ? err_refuse(err, ERR_DENIED, "not-allowed", "the token was revoked")
			   : revoked;
}

/* What it gives is there, and whoever vouches for it may give it: now. */
static int check_voucher(struct changer *changer, const struct inviting *inviting,
			 const struct invite_row *invite, struct arena *arena, struct err *err)
{
	const struct setup *setup = &inviting->setup->setup;
	const struct actor actor = voucher(invite);
	struct token_row token;
	struct err problem;
	int result;

	err_clear(&problem);
	result = change_check_organization(setup, invite->organization, &problem);
	for (size_t i = 0; result == 0 && i < invite->grant_count; i++)
		result = change_check_grant(setup, invite->grants[i].kind, invite->grants[i].name,
					    invite->organization, &problem);
	if (result == 0)
		result = check_authority(changer, inviting, &actor, invite, arena, &problem);
	if (result == 0)
		result = find_token(invite, arena, &token, &problem);
	if (result == 0)
		result = check_service(changer, invite, &token, arena, &problem);
	if (result == 0)
		result = check_token(changer, invite, &token, &problem);
	if (result == 0)
		return 0;
	if (problem.code == ERR_DENIED || problem.code == ERR_NOT_FOUND)
		return err_refuse(err, ERR_DENIED, "invite-not-allowed",
				  "whoever sent this invite may not give this any more: ask for a "
				  "new one");
	if (err)
		*err = problem;
	return -1;
}

static const char *make_grants(const struct invite_row *invite, int64_t now_s, struct arena *arena,
			       struct grant **ret_grants)
{
	struct grant *grants = arena_alloc_array(arena, invite->grant_count, sizeof(*grants));
	char *id = arena_alloc(arena, UUID_TEXT_SIZE);
	const char *profile = NULL;

	if (!grants || !id)
		return NULL;
	uuid_format(&invite->uuid, id);
	for (size_t i = 0; i < invite->grant_count; i++) {
		grants[i] = (struct grant){ .kind = invite->grants[i].kind,
					    .name = invite->grants[i].name,
					    .origin = ORIGIN_INVITE,
					    .origin_id = id,
					    .origin_source = "",
					    .given_s = now_s };
		if (grants[i].kind == GRANT_PROFILE)
			profile = grants[i].name;
	}
	*ret_grants = grants;
	return profile;
}

static int make_user(struct changer *changer, const struct inviting *inviting,
		     const struct actor *actor, const struct invite_row *invite, int64_t now_s,
		     struct arena *arena, struct user *ret_user, struct err *err)
{
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = inviting->setup,
					 .arena = arena,
					 .actor = actor,
					 .source = "",
					 .refuse = true,
					 .now_s = now_s,
					 .applied = &applied };
	struct person_change change = { .cause = "invite",
					.added_count = invite->grant_count,
					.gained_count = invite->grant_count };
	struct grant *grants;
	const char *profile = make_grants(invite, now_s, arena, &grants);

	if (!profile)
		return no_memory(err);
	change.added = grants;
	change.after = (struct user){
		.uuid = inviting->user,
		.organization = invite->organization,
		.username = invite->username,
		.email = invite->email,
		.display_name = invite->display_name[0] ? invite->display_name : invite->username,
		.profile = profile,
		.is_protected =
			policy_is_protected(inviting->setup->setup.policy, invite->username),
		.version = 1,
		.created_s = now_s,
		.updated_s = now_s,
	};
	change.before = (struct user){ .uuid = inviting->user,
				       .organization = invite->organization,
				       .username = "",
				       .email = "",
				       .display_name = "",
				       .profile = "" };
	if (apply_person(&context, &change, NULL, err) < 0)
		return -1;
	return store_user_find(changer->store, USER_BY_USERNAME, invite->username, arena, ret_user,
			       err);
}

static int accept_job(struct changer *changer, struct job *job, struct err *err)
{
	struct inviting *inviting = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	char name[sizeof("invite:") + UUID_TEXT_SIZE] = "invite:";
	const struct actor actor = { .name = name,
				     .request = inviting->request,
				     .is_person = true };
	int64_t now_s = change_now_s();
	struct invite_row invite;
	struct user user;

	if (!arena)
		return no_memory(err);
	uuid_format(&inviting->uuid, name + strlen(name));
	if (store_invite_get(changer->store, &inviting->uuid, arena, &invite, err) < 0 ||
	    change_invite_check(&invite, inviting->generation, now_s, err) < 0 ||
	    check_voucher(changer, inviting, &invite, arena, err) < 0 ||
	    make_user(changer, inviting, &actor, &invite, now_s, arena, &user, err) < 0)
		return -1;
	invite.ended = INVITE_ACCEPTED;
	invite.ended_s = now_s;
	invite.user_id = user.id;
	if (store_invite_update(changer->store, &invite, err) < 0 ||
	    drop_mail(changer, &invite.uuid, err) < 0 ||
	    (inviting->password_hash &&
	     password_write(changer, &actor, &user, inviting->password_hash, PASSWORD_BY_INVITE,
			    arena, err) < 0))
		return -1;
	return write_row(changer, &actor, "invite.accept", &invite, now_s, err);
}

int change_invite_accept(struct changer *changer, const char *request, const struct uuid *uuid,
			 int64_t generation, const char *password_hash, struct uuid *ret_user,
			 struct err *err)
{
	struct inviting inviting = { .request = request,
				     .uuid = *uuid,
				     .generation = generation,
				     .password_hash = password_hash,
				     .user = uuid_create(change_now_s() * 1000) };

	if (send_job(changer, &inviting, accept_job, err) < 0)
		return -1;
	*ret_user = inviting.user;
	return 0;
}
