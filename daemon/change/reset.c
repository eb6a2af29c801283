/*
 * Links that set a new password, by mail.
 *
 * Enters: whoever forgot theirs, by a name they typed; administrators; whoever holds a link. Leaves: one link on its way
 * for each user, those before it void; in the end a password, and no session of before. Refused: who signs in elsewhere,
 * may not sign in or has no address; links that are used, too old, or were sent to an address that is not theirs any
 * more. Fails: store, memory.
 *
 * Who asks by a name learns nothing: the answer and its cost are those for somebody whom nobody knows.
 */
#include <string.h>

#include <rolebridge/base/util.h>

#include "ceiling.h"
#include "password.h"

#define PERMISSION "users:reset@all"
#define DETAIL_MAX (64u * 1024)
#define ARENA_MAX (16u * 1024 * 1024)
#define GENERATION_MAX INT64_C(0xffffffff) /* as links hold it */

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a reset");
}

/* 1, 0 there is none, -1. */
static int find_reset(struct store *store, int64_t user_id, struct arena *arena,
		      struct reset_row *ret_row, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_reset_of(store, user_id, arena, ret_row, &missing) == 0)
		return 1;
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

/* --- the letter --- */

static int drop_letter(struct changer *changer, const struct reset_row *row, struct err *err)
{
	char subject[UUID_TEXT_SIZE];

	uuid_format(&row->uuid, subject);
	return store_outbox_drop(changer->store, OUTBOX_RESET, subject, err);
}

static int post(struct changer *changer, const struct reset_row *reset, struct err *err)
{
	char subject[UUID_TEXT_SIZE], message[UUID_TEXT_SIZE];
	struct uuid id = uuid_create(reset->sent_s * 1000);
	const struct outbox_row row = { .kind = OUTBOX_RESET,
					.subject = subject,
					.number = reset->generation,
					.message_id = message,
					.created_s = reset->sent_s,
					.next_s = reset->sent_s };

	uuid_format(&reset->uuid, subject);
	uuid_format(&id, message);
	return drop_letter(changer, reset, err) < 0 ||
			       store_outbox_add(changer->store, &row, err) < 0
		       ? -1
		       : 0;
}

int reset_note(struct changer *changer, const struct outbox_row *row, int64_t mailed_s,
	       const char *problem, struct arena *arena, struct err *err)
{
	struct reset_row reset;
	struct err missing;
	struct uuid uuid;

	if (!uuid_parse(row->subject, &uuid))
		return 0;
	err_clear(&missing);
	if (store_reset_get(changer->store, &uuid, arena, &reset, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (reset.generation != row->number)
		return 0;
	reset.mailed_s = mailed_s;
	reset.mail_problem = problem;
	return store_reset_put(changer->store, &reset, err);
}

int reset_close(struct changer *changer, int64_t user_id, enum reset_end how, struct arena *arena,
		struct err *err)
{
	struct reset_row row;
	int is_there = find_reset(changer->store, user_id, arena, &row, err);

	if (is_there <= 0)
		return is_there;
	if (row.ended != RESET_OPEN)
		return 0;
	row.ended = how;
	row.ended_s = change_now_s();
	return store_reset_put(changer->store, &row, err) < 0 || drop_letter(changer, &row, err) < 0
		       ? -1
		       : 0;
}

/* --- sending --- */

struct resetting {
	const struct actor *actor;
	const struct setup *setup;
	const char *user;    /* as somebody typed it */
	const char *address; /* of a browser; NULL: by an administrator */
	/* Filled. */
	struct arena *arena;
	struct reset_row row;
	/* To be used up. */
	struct uuid uuid;
	int64_t generation;
	const char *hash, *request;
};

static int audit_sending(struct changer *changer, const struct resetting *resetting,
			 const struct user *user, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	json_string(&json, "by", resetting->address ? "forgotten" : "administrator");
	if (resetting->address && resetting->address[0])
		json_string(&json, "address", resetting->address);
	json_time(&json, "expires", resetting->row.expires_s);
	json_end(&json);
	return password_audit(changer, resetting->actor, "password.reset", user, &detail, err);
}

static int send_link(struct changer *changer, struct resetting *resetting, const struct user *user,
		     struct err *err)
{
	int64_t now_s = change_now_s();
	struct reset_row row;
	int is_there = find_reset(changer->store, user->id, resetting->arena, &row, err);

	if (is_there < 0)
		return -1;
	if (is_there == 0 || row.generation >= GENERATION_MAX)
		row = (struct reset_row){ .user_id = user->id, .uuid = uuid_create(now_s * 1000) };
	row.generation++;
	row.email = user->email;
	row.sent_s = now_s;
	row.expires_s = now_s + PASSWORD_RESET_LIFETIME_S;
	row.mailed_s = 0;
	row.mail_problem = "";
	row.ended = RESET_OPEN;
	row.ended_s = 0;
	resetting->row = row;
	if (store_reset_put(changer->store, &row, err) < 0 || post(changer, &row, err) < 0)
		return -1;
	return audit_sending(changer, resetting, user, err);
}

static int check_receiver(struct changer *changer, const struct resetting *resetting,
			  const struct user *user, struct err *err)
{
	if (password_check_ours(resetting->setup, changer->store, user, resetting->arena, err) < 0)
		return -1;
	if (user->email[0] == '\0')
		return err_refuse(err, ERR_CONFLICT, "no-email", "user '%s' has no e-mail address",
				  user->username);
	return 0;
}

static int send_job(struct changer *changer, struct job *job, struct err *err)
{
	struct resetting *resetting = job->context;
	const struct actor *actor = resetting->actor;
	struct authority authority;
	struct user user;

	if (authority_of_actor(changer->store, resetting->setup, actor, change_now_s(),
			       resetting->arena, &authority, err) < 0 ||
	    authority_require(&authority, PERMISSION, err) < 0 ||
	    user_resolve(changer->store, resetting->user, resetting->arena, &user, err) < 0)
		return -1;
	if (user.disabled & DISABLED_DELETED)
		return no_such_user(err);
	if (ceiling_user(changer, resetting->setup, actor, &user, resetting->arena, err) < 0 ||
	    check_receiver(changer, resetting, &user, err) < 0)
		return -1;
	return send_link(changer, resetting, &user, err);
}

static int send_to_writer(struct changer *changer, struct resetting *resetting, job_run *run,
			  struct err *err)
{
	struct setup *setup = changer_setup(changer);
	int result;

	resetting->setup = setup;
	result = writer_request(changer, run, resetting, err);
	setup_release(setup);
	return result;
}

int change_password_reset_send(struct changer *changer, const struct actor *actor, const char *user,
			       struct arena *arena, struct reset_row *ret_row, struct err *err)
{
	struct resetting resetting = { .actor = actor, .user = user, .arena = arena };

	if (send_to_writer(changer, &resetting, send_job, err) < 0)
		return -1;
	*ret_row = resetting.row;
	return 0;
}

/* --- by whoever forgot it --- */

/* What was typed stays untold: people type passwords where names belong. */
static int audit_nothing(struct changer *changer, const struct resetting *resetting,
			 const struct user *user, const char *reason, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	json_string(&json, "reason", reason);
	if (resetting->address[0])
		json_string(&json, "address", resetting->address);
	json_end(&json);
	if (user)
		return password_audit(changer, resetting->actor, "password.reset.refused", user,
				      &detail, err);
	if (strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), resetting->actor,
			   "password.reset.refused", resetting->actor->name, strbuf_text(&detail),
			   err);
}

static int forgotten_job(struct changer *changer, struct job *job, struct err *err)
{
	struct resetting *resetting = job->context;
	struct err why;
	struct user user;

	err_clear(&why);
	if (user_resolve(changer->store, resetting->user, resetting->arena, &user, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return audit_nothing(changer, resetting, NULL, "unknown", err);
	} else if (check_receiver(changer, resetting, &user, &why) < 0) {
		if (why.code == ERR_CONFLICT)
			return audit_nothing(changer, resetting, &user, err_reason(&why), err);
	} else {
		return send_link(changer, resetting, &user, err);
	}
	if (err)
		*err = why;
	return -1;
}

int change_password_forgotten(struct changer *changer, const char *request, const char *name,
			      const char *address, struct err *err)
{
	const struct actor actor = { .name = "local", .request = request, .is_person = true };
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct resetting resetting = {
		.actor = &actor, .user = name, .address = address, .arena = arena
	};

	return arena ? send_to_writer(changer, &resetting, forgotten_job, err) : no_memory(err);
}

/* --- using it --- */

static int check_link(const struct reset_row *row, const struct user *user, int64_t generation,
		      int64_t now_s, struct err *err)
{
	if (generation == row->generation && row->ended == RESET_USED)
		return err_refuse(err, ERR_CONFLICT, "reset-used", "this link was used");
	if (generation != row->generation || row->ended != RESET_OPEN ||
	    strcmp(row->email, user->email) != 0)
		return err_refuse(err, ERR_CONFLICT, "reset-superseded",
				  "this link is not good any more: ask for a new one");
	/* The clock was set back: what was good for an hour is not good for longer. */
	if (now_s >= row->expires_s || row->expires_s - now_s > PASSWORD_RESET_LIFETIME_S)
		return err_refuse(err, ERR_CONFLICT, "reset-expired",
				  "this link has expired: ask for a new one");
	return 0;
}

static int check(const struct setup *setup, struct store *store, const struct uuid *uuid,
		 int64_t generation, int64_t now_s, struct arena *arena, struct user *ret_user,
		 struct err *err)
{
	struct reset_row row;
	struct user user;

	if (store_reset_get(store, uuid, arena, &row, err) < 0 ||
	    store_user_get(store, row.user_id, arena, &user, err) < 0 ||
	    check_link(&row, &user, generation, now_s, err) < 0 ||
	    password_check_ours(setup, store, &user, arena, err) < 0)
		return -1;
	*ret_user = user;
	return 0;
}

int change_password_reset_check(struct changer *changer, struct store *store,
				const struct uuid *uuid, int64_t generation, int64_t now_s,
				struct arena *arena, struct user *ret_user, struct err *err)
{
	struct setup *setup = changer_setup(changer);
	int result = check(setup, store, uuid, generation, now_s, arena, ret_user, err);

	setup_release(setup);
	return result;
}

static int use_job(struct changer *changer, struct job *job, struct err *err)
{
	struct resetting *resetting = job->context;
	char name[sizeof("user:") + UUID_TEXT_SIZE] = "user:";
	const struct actor actor = { .name = name,
				     .request = resetting->request,
				     .is_person = true };
	struct user user;

	if (check(resetting->setup, changer->store, &resetting->uuid, resetting->generation,
		  change_now_s(), resetting->arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, name + strlen(name));
	if (password_write(changer, &actor, &user, resetting->hash, PASSWORD_BY_RESET,
			   resetting->arena, err) < 0)
		return -1;
	return sessions_end_of(changer, &actor, &user, 0, "password-reset", resetting->arena, NULL,
			       err);
}

int change_password_reset_use(struct changer *changer, const char *request, const struct uuid *uuid,
			      int64_t generation, const char *hash, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct resetting resetting = { .uuid = *uuid,
				       .generation = generation,
				       .hash = hash,
				       .request = request,
				       .arena = arena };

	return arena ? send_to_writer(changer, &resetting, use_job, err) : no_memory(err);
}
