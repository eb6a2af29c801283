/*
 * What a change of a person would be refused for, asked on a handle that can only read.
 *
 * Enters: a change as apply_person would get it. Leaves: nothing but a note of the names, and of the administrators, that it
 * would take, for those who come after it in the same run. Refused: what apply_person refuses, in its order. Fails:
 * store, memory.
 */
#include "foresee.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/ownership.h>

#include "ceiling.h"

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to look ahead");
}

/* --- what others before would have taken --- */

static struct hash128 claim_print(char what, const char *text)
{
	struct fingerprint_prefix prefix;

	fingerprint_start(&what, 1, &prefix);
	return fingerprint_finish(&prefix, text, strlen(text));
}

int foresight_claim(struct foresight *foresight, char what, const char *text, struct err *err)
{
	uint32_t *place;

	if (hash_table_put(foresight->claims, claim_print(what, text), &place) < 0)
		return no_memory(err);
	++*place;
	return 0;
}

uint32_t foresight_claimed(const struct foresight *foresight, char what, const char *text)
{
	uint32_t times = 0;

	return hash_table_get(foresight->claims, claim_print(what, text), &times) ? times : 0;
}

/* --- names --- */

static int foresee_name(struct foresight *foresight, const struct person_change *change,
			enum user_key key, const char *text, struct err *err)
{
	bool is_email = key == USER_BY_EMAIL;
	struct user user;
	struct err missing;

	foresight->refused = is_email ? "email" : "username";
	err_clear(&missing);
	if (store_user_find(foresight->store, key, text, foresight->arena, &user, &missing) == 0) {
		if (user.id == change->before.id) {
			foresight->refused = NULL;
			return 0;
		}
		if (is_email && strcmp(user.organization, change->after.organization) != 0)
			return err_refuse(err, ERR_CONFLICT, "email-in-other-organization",
					  "'%s' belongs to somebody elsewhere", text);
		return err_refuse(err, ERR_CONFLICT,
				  is_email			     ? "email-taken"
				  : user.disabled & DISABLED_DELETED ? "name-reserved"
								     : "username-taken",
				  "'%s' is somebody else's", text);
	}
	if (missing.code != ERR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	if (!foresight_claimed(foresight, is_email ? 'e' : 'u', text)) {
		foresight->refused = NULL;
		return 0;
	}
	return err_refuse(err, ERR_CONFLICT, is_email ? "email-taken" : "username-taken",
			  "'%s' is in the file before", text);
}

/* --- people --- */

int foresee_user(struct foresight *foresight, const struct user *user, struct err *err)
{
	const struct setup *setup = &foresight->setup->setup;
	struct authority authority;

	if (!foresight->actor->limited)
		return 0;
	if (authority_of_actor(foresight->store, setup, foresight->actor, foresight->now_s,
			       foresight->arena, &authority, err) < 0)
		return -1;
	if (authority_require_user(&authority, foresight->store, setup, user, foresight->now_s,
				   foresight->arena, err) < 0)
		return -1;
	return ceiling_service(foresight->store, foresight->actor, user, foresight->arena, err);
}

static bool is_administrator(const struct foresight *foresight, const struct user *user)
{
	return user->id != 0 && user_is_active(user) &&
	       strcmp(user->profile, foresight->setup->setup.decision.administrator_profile) == 0;
}

static int foresee_administrator(struct foresight *foresight, const struct person_change *change,
				 struct err *err)
{
	struct administrator_question question = {
		.before = is_administrator(foresight, &change->before),
		.after =
			is_administrator(foresight, &change->after) && !person_change_moves(change),
		.by_person = true,
	};
	enum administrator_verdict verdict;

	foresight->loses_administrator = false;
	if (!question.before || question.after)
		return 0;
	if (store_active_with_profile(foresight->store, change->before.organization,
				      foresight->setup->setup.decision.administrator_profile,
				      change->before.id, &question.others, err) < 0)
		return -1;
	question.others -= foresight_claimed(foresight, 'a', change->before.organization);
	if (policy_last_administrator(&question, &verdict, err) < 0)
		return -1;
	foresight->loses_administrator = true;
	return 0;
}

static int foresee_authority(struct foresight *foresight, const struct person_change *change,
			     struct err *err)
{
	const struct setup *setup = &foresight->setup->setup;
	const struct actor *actor = foresight->actor;
	struct authority authority;

	if (!actor->limited)
		return 0;
	if (authority_of_actor(foresight->store, setup, actor, foresight->now_s, foresight->arena,
			       &authority, err) < 0 ||
	    authority_require_organization(&authority, change->after.organization,
					   "such organization", err) < 0 ||
	    (change->before.id != 0 &&
	     authority_require_user(&authority, foresight->store, setup, &change->before,
				    foresight->now_s, foresight->arena, err) < 0))
		return -1;
	for (size_t i = 0; i < change->added_count; i++)
		if (authority_require_grant(&authority, setup, change->added[i].kind,
					    change->added[i].name, foresight->arena, err) < 0)
			return -1;
	if (ceiling_service(foresight->store, actor, &change->before, foresight->arena, err) < 0 ||
	    ceiling_protection(&authority, change, err) < 0)
		return -1;
	return ceiling_own_grants(actor, change, err);
}

static int foresee_disabling(struct foresight *foresight, const struct person_change *change,
			     struct err *err)
{
	const struct apply_context asking = { .setup = foresight->setup,
					      .actor = foresight->actor,
					      .refuse = true };
	bool leaves = change->after.disabled & ~change->before.disabled & DISABLED_DELETED ||
		      person_change_moves(change);
	int any;

	if (ceiling_self(&asking, change, err) < 0)
		return -1;
	if (change->before.id == 0 ||
	    (!leaves && (!user_is_active(&change->before) || user_is_active(&change->after))))
		return 0;
	any = store_reference_any(foresight->store, change->before.id, err);
	if (any <= 0)
		return any;
	return err_refuse(err, ERR_CONFLICT, "user-has-references",
			  "'%s' is responsible for something, which must be reassigned first",
			  change->before.username);
}

/* What apply_person would ask, in its order. What is refused takes no name from those who come later. */
int foresee_change(struct foresight *foresight, const struct person_change *change, struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	bool renamed = strcmp(before->username, after->username) != 0;
	bool readdressed = after->email[0] && strcmp(before->email, after->email) != 0;

	if (change_check_given(&foresight->setup->setup, change, err) < 0 ||
	    foresee_authority(foresight, change, err) < 0 ||
	    foresee_administrator(foresight, change, err) < 0 ||
	    foresee_disabling(foresight, change, err) < 0 ||
	    (renamed &&
	     foresee_name(foresight, change, USER_BY_USERNAME, after->username, err) < 0) ||
	    (readdressed && foresee_name(foresight, change, USER_BY_EMAIL, after->email, err) < 0))
		return -1;
	if (renamed && foresight_claim(foresight, 'u', after->username, err) < 0)
		return -1;
	if (readdressed && foresight_claim(foresight, 'e', after->email, err) < 0)
		return -1;
	return foresight->loses_administrator
		       ? foresight_claim(foresight, 'a', before->organization, err)
		       : 0;
}
