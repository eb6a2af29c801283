/*
 * Whose people belong to which accounts.
 *
 * Enters: who asks, a user, an account by application and id. Leaves: a tie, or none, and an audit row. Refused: users
 * beyond the actor, accounts that are not there or of another organization, more than a user can have. Fails: store,
 * memory.
 *
 * A user's version does not grow: neither what they are nor what they may changes by it.
 */
#include <rolebridge/change/account.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "accounts.h"
#include "edit.h"

#define DETAIL_MAX (1u << 20)

struct tying {
	const char *application, *id;
	bool tie, changed;
};

int account_find(struct store *store, const struct actor *actor, const char *organization,
		 const char *application, const char *id, struct arena *arena, int64_t *ret_row,
		 struct err *err)
{
	bool sees = !actor->application || strcmp(actor->application, application) == 0;
	const char *of;
	int64_t row;

	if (store_account_find(store, application, id, arena, &row, &of, err) < 0)
		return -1;
	if (row == 0 || !sees || strcmp(of, organization) != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such account");
	*ret_row = row;
	return 0;
}

int account_audit(struct changer *changer, const struct actor *actor, const char *action,
		  const struct uuid *user, const struct account_row *accounts, size_t count,
		  int64_t now_s, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:";
	struct json json = JSON(&detail);

	uuid_format(user, object + 5);
	json_object(&json);
	json_array_key(&json, "accounts");
	for (size_t i = 0; i < count; i++) {
		json_object(&json);
		json_string(&json, "application", accounts[i].application);
		json_string(&json, "id", accounts[i].id);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, now_s, actor, action, object, strbuf_text(&detail), err);
}

int accounts_follow(struct apply_context *context, const struct person_change *change,
		    struct err *err)
{
	bool deleted = change->after.disabled & ~change->before.disabled & DISABLED_DELETED;
	bool moved = strcmp(change->before.organization, change->after.organization) != 0;
	struct store *store = context->changer->store;
	struct account_row *accounts;
	size_t count;

	if (change->before.id == 0 || !(deleted || moved))
		return 0;
	if (store_accounts_of(store, change->before.id, NULL, 0, ACCOUNTS_OF_USER_MAX,
			      context->arena, &accounts, &count, err) < 0 ||
	    store_accounts_drop(store, change->before.id, err) < 0)
		return -1;
	if (count == 0)
		return 0;
	return account_audit(context->changer, context->actor, "user.untie", &change->before.uuid,
			     accounts, count, context->now_s, err);
}

/* --- by hand --- */

static int check_room(struct store *store, int64_t user_id, struct err *err)
{
	int64_t count;

	if (store_account_count(store, user_id, &count, err) < 0)
		return -1;
	if (count <= ACCOUNTS_OF_USER_MAX)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "too-many-accounts",
			  "a user belongs to at most %d accounts", ACCOUNTS_OF_USER_MAX);
}

static int tie_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	struct tying *tying = editing->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	const struct account_row account = { .application = tying->application, .id = tying->id };
	int64_t row, now_s = change_now_s();
	struct user user;
	int changed;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &user, err) < 0 ||
	    account_find(changer->store, editing->actor, user.organization, tying->application,
			 tying->id, arena, &row, err) < 0)
		return -1;
	changed = tying->tie ? store_account_tie(changer->store, row, user.id, now_s, err)
			     : store_account_untie(changer->store, row, user.id, err);
	if (changed < 0 || (changed && tying->tie && check_room(changer->store, user.id, err) < 0))
		return -1;
	tying->changed = changed > 0;
	if (!changed)
		return 0;
	return account_audit(changer, editing->actor, tying->tie ? "user.tie" : "user.untie",
			     &user.uuid, &account, 1, now_s, err);
}

static int send(struct changer *changer, const struct actor *actor, const char *user,
		struct tying *tying, struct uuid *ret_uuid, bool *ret_changed, struct err *err)
{
	struct editing editing = { .actor = actor, .user = user, .context = tying };

	if (edit_send(changer, &editing, tie_job, ret_uuid, err) < 0)
		return -1;
	*ret_changed = tying->changed;
	return 0;
}

int change_account_tie(struct changer *changer, const struct actor *actor, const char *user,
		       const char *application, const char *id, struct uuid *ret_uuid,
		       bool *ret_changed, struct err *err)
{
	struct tying tying = { .application = application, .id = id, .tie = true };

	return send(changer, actor, user, &tying, ret_uuid, ret_changed, err);
}

int change_account_untie(struct changer *changer, const struct actor *actor, const char *user,
			 const char *application, const char *id, struct uuid *ret_uuid,
			 bool *ret_changed, struct err *err)
{
	struct tying tying = { .application = application, .id = id };

	return send(changer, actor, user, &tying, ret_uuid, ret_changed, err);
}

/* --- what removed accounts leave --- */

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	int *left = job->context;

	*left = store_accounts_prune(changer->store, ACCOUNT_TIES_AT_ONCE, err);
	return *left < 0 ? -1 : 0;
}

int change_accounts_prune(struct changer *changer, struct err *err)
{
	int left = 1;

	while (left > 0)
		if (writer_bulk_redoable(changer, prune_job, &left, err) < 0)
			return -1;
	return 0;
}
