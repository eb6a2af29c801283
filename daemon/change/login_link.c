/*
 * Links by which root lets an administrator in.
 *
 * Enters: whom root names; later a link whose keyed hash was right. Leaves: one link for each user, gone when it is used;
 * a session, an audit row, an alarm where the source disabled whom it lets in. Refused: whoever is no administrator, or
 * disabled, when it is made as when it is used; links that are used, replaced or too old, with an audit row.
 * Fails: store, memory; nothing is written then.
 */
#include <rolebridge/change/login_link.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/session.h>

#include "internal.h"
#include "stage.h"

#define DETAIL_MAX (64u * 1024)
#define CLOCK_SLACK_S 60

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a link");
}

/* As they are now. Whose sign-in alone is suspended is the last administrator: for them these links are there. */
static int check_user(const struct setup *setup, const struct user *user, struct err *err)
{
	if (!user_is_active(user))
		return err_refuse(err, ERR_CONFLICT, "user-disabled", "user '%s' is disabled",
				  user->username);
	if (strcmp(user->profile, setup->decision.administrator_profile) != 0)
		return err_refuse(err, ERR_DENIED, "administrators-only",
				  "user '%s' is no administrator", user->username);
	return 0;
}

static int audit(struct changer *changer, const struct actor *actor, const char *action,
		 const struct user *user, const struct strbuf *detail, struct err *err)
{
	char object[sizeof("user:") + UUID_TEXT_SIZE] = "user:";

	uuid_format(&user->uuid, object + strlen(object));
	if (strbuf_failed(detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), actor, action, object,
			   strbuf_text(detail), err);
}

/* --- making --- */

struct making {
	const struct actor *actor;
	const struct setup *setup;
	const char *name;
	struct arena *arena;
	struct login_link_row link;
	struct user user;
};

static int audit_making(struct changer *changer, const struct making *making, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&making->link.uuid, uuid);
	json_object(&json);
	json_string(&json, "link", uuid);
	json_time(&json, "expires", making->link.until_s);
	json_end(&json);
	return audit(changer, making->actor, "login-link.create", &making->user, &detail, err);
}

static int make_job(struct changer *changer, struct job *job, struct err *err)
{
	struct making *making = job->context;
	int64_t now_s = change_now_s();

	if (user_resolve(changer->store, making->name, making->arena, &making->user, err) < 0 ||
	    check_user(making->setup, &making->user, err) < 0)
		return -1;
	making->link = (struct login_link_row){ .uuid = uuid_create(now_s * 1000),
						.user_id = making->user.id,
						.until_s = now_s + LOGIN_LINK_LIFETIME_S };
	if (store_login_link_prune(changer->store, now_s, err) < 0 ||
	    store_login_link_put(changer->store, &making->link, err) < 0)
		return -1;
	return audit_making(changer, making, err);
}

int change_login_link_make(struct changer *changer, const struct actor *actor, const char *user,
			   struct arena *arena, struct login_link_row *ret_link,
			   struct user *ret_user, struct err *err)
{
	struct making making = { .actor = actor, .name = user, .arena = arena };
	struct setup *setup;
	int result;

	if (actor->limited)
		return err_refuse(err, ERR_DENIED, "not-allowed", "only root makes such links");
	setup = changer_setup(changer);
	making.setup = setup;
	result = writer_request(changer, make_job, &making, err);
	setup_release(setup);
	if (result < 0)
		return -1;
	*ret_link = making.link;
	*ret_user = making.user;
	return 0;
}

/* --- using --- */

int change_login_link_read(struct store *store, const struct setup *setup, const struct uuid *link,
			   int64_t now_s, struct arena *arena, struct user *ret_user,
			   struct err *err)
{
	struct login_link_row row;
	struct user user;

	if (store_login_link_get(store, link, &row, err) < 0)
		return -1;
	/* The clock was set back: what was good for minutes is not good for hours. */
	if (now_s >= row.until_s || row.until_s - now_s > LOGIN_LINK_LIFETIME_S + CLOCK_SLACK_S)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "the link has expired");
	if (store_user_get(store, row.user_id, arena, &user, err) < 0 ||
	    check_user(setup, &user, err) < 0)
		return -1;
	*ret_user = user;
	return 0;
}

struct using_link {
	const struct actor *actor;
	const struct login_link_use *use;
	const struct live_setup *setup;
	struct arena *arena;
	struct login_outcome outcome;
};

/* The link stands behind: one row each, since only who had a link of ours comes so far. */
static int refuse(struct changer *changer, struct using_link *using, const struct err *why,
		  struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct login_outcome *outcome = &using->outcome;
	struct json json = JSON(&detail);

	*outcome = (struct login_outcome){ .created = false };
	snprintf(outcome->refused, sizeof(outcome->refused), "%s",
		 why->code == ERR_NOT_FOUND ? "link-void" : err_reason(why));
	snprintf(outcome->detail, sizeof(outcome->detail), "%.200s", why->text);
	json_object(&json);
	json_string(&json, "reason", outcome->refused);
	json_string(&json, "detail", outcome->detail);
	json_string(&json, "address", using->use->address);
	json_end(&json);
	if (strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), using->actor, "login.refused",
			   using->actor->name, strbuf_text(&detail), err);
}

/* Told where people look: whoever was locked out is in again. */
static int raise_alarm(struct changer *changer, const struct using_link *using, struct err *err)
{
	const struct user *user = &using->outcome.user;
	char uuid[UUID_TEXT_SIZE];
	const char *text;

	if (!(user->disabled & SUSPENDED_SIGN_IN))
		return 0;
	uuid_format(&user->uuid, uuid);
	text = arena_printf(using->arena,
			    "root let '%s' in, the last administrator, whom the source disabled",
			    user->username);
	if (!text)
		return no_memory(err);
	return store_alarm_raise(changer->store, "login-link", uuid, text, change_now_s(), err) < 0
		       ? -1
		       : 0;
}

static int audit_use(struct changer *changer, const struct using_link *using, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&using->outcome.session.uuid, uuid);
	json_object(&json);
	json_string(&json, "session", uuid);
	json_string(&json, "by", "login-link");
	if (using->outcome.session.stage != SESSION_FULL)
		json_string(&json, "stage", session_stage_name(using->outcome.session.stage));
	json_string(&json, "address", using->use->address);
	json_end(&json);
	return audit(changer, using->actor, "login", &using->outcome.user, &detail, err);
}

/*
 * The link is the first factor: one that is enrolled is asked for, also one that does not count. Who has none that does, and
 * must, comes in to enrol one: there is nobody else who could let the first administrator in.
 */
static int judge_stage(struct changer *changer, const struct using_link *using,
		       struct session *session, struct err *err)
{
	const struct stage_sign_in sign_in = { .changer = changer,
					       .setup = using->setup,
					       .user = &using->outcome.user,
					       .arena = using->arena,
					       .now_s = using->use->now_s };
	const char *refused;
	unsigned enrolled;

	if (stage_judge(&sign_in, session, &refused, err) < 0 ||
	    store_factor_methods(changer->store, sign_in.user->id, &enrolled, err) < 0)
		return -1;
	if (!refused)
		return 0;
	session->stage = enrolled & FACTOR_ALL_METHODS ? SESSION_FACTOR : SESSION_ENROL;
	session->factor = FACTOR_ISSUED;
	session->full_until_s = using->use->until_s;
	session->until_s = using->use->now_s + SESSION_STAGE_S;
	return 0;
}

static int open_session(struct changer *changer, struct using_link *using, struct err *err)
{
	const struct login_link_use *use = using->use;
	struct session *session = &using->outcome.session;
	struct session_token token = { .hash = use->token, .host = "", .created_s = use->now_s };

	*session = (struct session){ .uuid = uuid_create(use->now_s * 1000),
				     .user_id = using->outcome.user.id,
				     .source = "",
				     .name_id = "",
				     .name_id_format = "",
				     .session_index = "",
				     .address = use->address,
				     .agent = use->agent,
				     .created_s = use->now_s,
				     .seen_s = use->now_s,
				     .until_s = use->until_s,
				     .by_link = true };
	if (judge_stage(changer, using, session, err) < 0 ||
	    store_session_insert(changer->store, session, err) < 0)
		return -1;
	token.session_id = session->id;
	return store_session_token_add(changer->store, &token, err);
}

static int use_job(struct changer *changer, struct job *job, struct err *err)
{
	struct using_link *using = job->context;
	const struct login_link_use *use = using->use;
	struct err why;

	err_clear(&why);
	using->outcome = (struct login_outcome){ .created = false };
	if (change_login_link_read(changer->store, &using->setup->setup, &use->link, use->now_s,
				   using->arena, &using->outcome.user, &why) < 0) {
		if (why.code == ERR_NOT_FOUND || why.code == ERR_DENIED || why.code == ERR_CONFLICT)
			return refuse(changer, using, &why, err);
		if (err)
			*err = why;
		return -1;
	}
	if (store_login_link_delete(changer->store, using->outcome.user.id, err) < 0 ||
	    open_session(changer, using, err) < 0 || raise_alarm(changer, using, err) < 0)
		return -1;
	return audit_use(changer, using, err);
}

int change_login_link_use(struct changer *changer, const char *request,
			  const struct login_link_use *use, struct arena *arena,
			  struct login_outcome *ret_outcome, struct err *err)
{
	char name[sizeof("login-link:") + UUID_TEXT_SIZE] = "login-link:";
	const struct actor actor = { .name = name, .request = request, .is_person = true };
	struct using_link using = { .actor = &actor, .use = use, .arena = arena };
	struct live_setup *setup = changer_live_setup(changer, NULL);
	int result;

	uuid_format(&use->link, name + strlen(name));
	using.setup = setup;
	result = writer_request(changer, use_job, &using, err);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_outcome = using.outcome;
	return result;
}
