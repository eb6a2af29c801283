/*
 * Users. Enters: a user as it shall be. Leaves: the row. Fails with
 * ERR_CONFLICT where a name is taken or the version is stale; the transaction
 * goes on then, for nothing was written.
 */
#include "db.h"

#include <string.h>

#include <rolebridge/base/text.h>

/* --- reading --- */

int user_from_row(const struct query *query, struct arena *arena, struct user *ret_user,
		  struct err *err)
{
	size_t size;
	const void *uuid = column_blob(query, 1, &size);
	struct user user = {
		.id = column_int(query, 0),
		.username = column_copy(query, 3, arena),
		.email = column_copy(query, 4, arena),
		.display_name = column_copy(query, 5, arena),
		.disabled = (uint32_t)column_int(query, 7),
		.is_protected = column_int(query, 8) != 0,
		.version = column_int(query, 9),
		.created_s = column_int(query, 10),
		.updated_s = column_int(query, 11),
	};
	int64_t organization = column_int(query, 2), profile = column_int(query, 6);

	if (size != sizeof(user.uuid.byte))
		return err_refuse(err, ERR_IO, "store-damaged", "store: user %lld has no UUID",
				  (long long)user.id);
	memcpy(user.uuid.byte, uuid, size);
	user.organization = names_copy(query->store, NAMES_ORGANIZATION, organization, arena, err);
	if (!user.organization)
		return -1;
	user.profile = names_copy(query->store, NAMES_GENERAL, profile, arena, err);
	if (!user.profile || arena_check(arena, err) < 0)
		return -1;
	*ret_user = user;
	return 0;
}

static int user_read(struct query *query, const char *what, struct arena *arena,
		     struct user *ret_user, struct err *err)
{
	int row = query_row(query, err);

	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no user '%s'", what);
	if (row < 0 || user_from_row(query, arena, ret_user, err) < 0)
		return err_wrap(err, "cannot read user '%s'", what);
	return 0;
}

int store_user_get(struct store *store, int64_t id, struct arena *arena, struct user *ret_user,
		   struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_ID);
	char what[24];

	snprintf(what, sizeof(what), "%lld", (long long)id);
	query_int(&query, id);
	return user_read(&query, what, arena, ret_user, err);
}

static int user_find_uuid(struct store *store, const char *value, struct arena *arena,
			  struct user *ret_user, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_UUID);
	struct uuid uuid;

	if (!uuid_parse(value, &uuid))
		return err_set(err, ERR_NOT_FOUND, "no user '%s'", value);
	query_blob(&query, uuid.byte, sizeof(uuid.byte));
	return user_read(&query, value, arena, ret_user, err);
}

int store_user_find(struct store *store, enum user_key key, const char *value, struct arena *arena,
		    struct user *ret_user, struct err *err)
{
	if (key == USER_BY_UUID)
		return user_find_uuid(store, value, arena, ret_user, err);

	AUTO(query)
	struct query query = query_open(store, key == USER_BY_USERNAME ? STATEMENT_USER_BY_USERNAME
								       : STATEMENT_USER_BY_EMAIL);

	query_text(&query, value);
	return user_read(&query, value, arena, ret_user, err);
}

/* --- writing --- */

/* Found by another user? 1 and its head, 0, -1. */
struct user_head {
	int64_t id, organization;
	uint32_t disabled;
};

static int head_find(struct store *store, enum statement_id id, const char *value, int64_t self,
		     struct user_head *ret_head, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_text(&query, value);

	int row = query_row(&query, err);

	if (row <= 0)
		return row;
	ret_head->id = column_int(&query, 0);
	ret_head->organization = column_int(&query, 2);
	ret_head->disabled = (uint32_t)column_int(&query, 7);
	return ret_head->id != self;
}

/* A constraint was broken: by which value? Returns -1 with the reason. */
static int explain_conflict(struct store *store, const struct user *user, int64_t organization,
			    struct err *err)
{
	struct user_head head;
	int found =
		head_find(store, STATEMENT_USER_BY_USERNAME, user->username, user->id, &head, err);

	if (found > 0 && (head.disabled & DISABLED_DELETED))
		return err_refuse(err, ERR_CONFLICT, "name-reserved",
				  "user name '%s' belonged to a deleted user", user->username);
	if (found > 0)
		return err_refuse(err, ERR_CONFLICT, "username-taken", "user name '%s' is taken",
				  user->username);
	if (found == 0)
		found = head_find(store, STATEMENT_USER_BY_EMAIL, user->email, user->id, &head,
				  err);
	if (found > 0 && head.organization != organization)
		return err_refuse(err, ERR_CONFLICT, "email-in-other-organization",
				  "e-mail '%s' belongs to a user of another organization",
				  user->email);
	if (found > 0)
		return err_refuse(err, ERR_CONFLICT, "email-taken", "e-mail '%s' is taken",
				  user->email);
	if (found < 0)
		return -1;
	return err_refuse(err, ERR_CONFLICT, "uuid-taken", "another user has the UUID of '%s'",
			  user->username);
}

struct user_numbers {
	int64_t organization, profile;
};

static int user_numbers(struct store *store, const struct user *user,
			struct user_numbers *ret_numbers, struct err *err)
{
	int found = names_find(store, NAMES_ORGANIZATION, user->organization,
			       &ret_numbers->organization, err);

	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no organization '%s'", user->organization);
	if (found < 0)
		return -1;
	return names_ensure(store, NAMES_GENERAL, user->profile, &ret_numbers->profile, err);
}

static void bind_user(struct query *query, const struct user *user,
		      const struct user_numbers *numbers, const char *folded)
{
	query_blob(query, user->uuid.byte, sizeof(user->uuid.byte));
	query_int(query, numbers->organization);
	query_text(query, user->username);
	query_text(query, user->email);
	query_text(query, user->display_name);
	query_text(query, folded);
	query_int(query, numbers->profile);
	query_int(query, user->disabled);
	query_int(query, user->is_protected);
	query_int(query, user->version);
	query_int(query, user->created_s);
	query_int(query, user->updated_s);
}

/* Run the insert or the update of a user's row. As query_try: -2 when a constraint was broken. */
static int row_write(struct store *store, enum statement_id id, const struct user *user,
		     int64_t user_id, const struct user_numbers *numbers, int *ret_rc,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf folded = STRBUF(1024 * 1024);

	text_fold(&folded, user->display_name, strlen(user->display_name));
	if (strbuf_failed(&folded))
		return err_set(err, ERR_INVALID, "display name of '%s' is not valid text",
			       user->username);

	AUTO(query) struct query query = query_open(store, id);

	bind_user(&query, user, numbers, strbuf_text(&folded));
	query_int(&query, user_id);

	int changed = query_try(&query, err);

	*ret_rc = query.rc;
	return changed;
}

/* A constraint was broken, and nothing is written now. */
static int explain_broken(struct store *store, const struct user *user, int64_t organization,
			  int rc, struct err *err)
{
	if (rc != SQLITE_CONSTRAINT_UNIQUE && rc != SQLITE_CONSTRAINT_PRIMARYKEY)
		return err_set(err, ERR_INVALID, "a field is not valid");
	return explain_conflict(store, user, organization, err);
}

/* --- insert --- */

static int login_run(struct store *store, enum statement_id id, const char *text,
		     enum login_kind kind, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_text(&query, text);
	query_int(&query, kind);
	query_int(&query, user_id);
	return query_try(&query, err);
}

static bool has_login_email(const struct user *user)
{
	return *user->email && !(user->disabled & DISABLED_DELETED);
}

/* Takes back the first `count` names of a user that could not be added. */
static int logins_drop(struct store *store, const struct user *user, int64_t user_id, int count,
		       struct err *err)
{
	int result = 0;

	if (count > 1 && has_login_email(user))
		result = login_run(store, STATEMENT_LOGIN_DROP, user->email, LOGIN_EMAIL, user_id,
				   err);
	if (count > 0 && result >= 0)
		result = login_run(store, STATEMENT_LOGIN_DROP, user->username, LOGIN_USERNAME,
				   user_id, err);
	return result < 0 ? -1 : 0;
}

/*
 * Names first, for they are what may be taken; the user's row then breaks no
 * constraint but that of its UUID. ret_done: how many of these steps are written.
 */
static int insert_steps(struct store *store, const struct user *user, int64_t user_id,
			const struct user_numbers *numbers, int *ret_done, int *ret_rc,
			struct err *err)
{
	int result;

	*ret_rc = SQLITE_CONSTRAINT_PRIMARYKEY;
	*ret_done = 0;
	result =
		login_run(store, STATEMENT_LOGIN_ADD, user->username, LOGIN_USERNAME, user_id, err);
	if (result < 0)
		return result;
	*ret_done = 1;
	if (has_login_email(user))
		result = login_run(store, STATEMENT_LOGIN_ADD, user->email, LOGIN_EMAIL, user_id,
				   err);
	if (result < 0)
		return result;
	*ret_done = 2;
	return row_write(store, STATEMENT_USER_INSERT, user, user_id, numbers, ret_rc, err);
}

static int user_insert(struct store *store, const struct user *user, int64_t *ret_id,
		       struct err *err)
{
	struct user_numbers numbers;
	struct err cause = { 0 };
	int64_t last;
	int done, rc, result;

	if (store_may_write(store, err) < 0 || user_numbers(store, user, &numbers, err) < 0 ||
	    store_last_user(store, &last, err) < 0)
		return -1;
	result = insert_steps(store, user, last + 1, &numbers, &done, &rc, &cause);
	if (result >= 0) {
		*ret_id = store->last_user = last + 1;
		return 0;
	}
	if (!store->failed && logins_drop(store, user, last + 1, done, &cause) < 0)
		store_spoil(store, &cause);
	else if (result == -2)
		return explain_broken(store, user, numbers.organization, rc, err);
	if (err)
		*err = cause;
	return -1;
}

int store_user_insert(struct store *store, struct user *user, struct err *err)
{
	int64_t before = user->id;

	user->id = 0;
	if (user_insert(store, user, &user->id, err) < 0) {
		user->id = before;
		return err_wrap(err, "cannot add user '%s'", user->username);
	}
	return 0;
}

/* --- update --- */

static int explain_no_update(struct store *store, const struct user *user, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_ID);

	query_int(&query, user->id);

	int row = query_row(&query, err);

	if (row < 0)
		return -1;
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no such user");
	return err_refuse(err, ERR_CONFLICT, "stale-version",
			  "version %lld does not follow the stored %lld", (long long)user->version,
			  (long long)column_int(&query, 9));
}

static int user_update(struct store *store, const struct user *user, struct err *err)
{
	struct user_numbers numbers;
	int rc, changed;

	if (store_may_write(store, err) < 0 || user_numbers(store, user, &numbers, err) < 0)
		return -1;
	changed = row_write(store, STATEMENT_USER_UPDATE, user, user->id, &numbers, &rc, err);
	return changed == -2 ? explain_broken(store, user, numbers.organization, rc, err) : changed;
}

int store_user_update(struct store *store, const struct user *user, struct err *err)
{
	int changed = user_update(store, user, err);

	if (changed == 0)
		changed = explain_no_update(store, user, err);
	if (changed < 0)
		return err_wrap(err, "cannot change user '%s'", user->username);
	return 0;
}

/* --- counts --- */

static int count_users(struct store *store, enum statement_id id, int64_t organization,
		       int64_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	if (organization)
		query_int(&query, organization);
	return query_number(&query, ret_count, err);
}

int store_user_counts(struct store *store, const char *organization, struct user_counts *ret_counts,
		      struct err *err)
{
	struct user_counts counts = { 0 };
	int64_t id = 0;
	int found =
		organization ? names_find(store, NAMES_ORGANIZATION, organization, &id, err) : 1;

	if (found < 0)
		return -1;
	if (found &&
	    (count_users(store, id ? STATEMENT_USERS_ACTIVE_IN : STATEMENT_USERS_ACTIVE, id,
			 &counts.active, err) < 0 ||
	     count_users(store, id ? STATEMENT_USERS_INACTIVE_IN : STATEMENT_USERS_INACTIVE, id,
			 &counts.disabled, err) < 0))
		return err_wrap(err, "cannot count users");
	counts.total = counts.active + counts.disabled;
	*ret_counts = counts;
	return 0;
}

int store_active_with_profile(struct store *store, const char *organization, const char *profile,
			      int64_t except_id, int64_t *ret_count, struct err *err)
{
	int64_t organization_id, profile_id, count = 0;
	int found = names_find(store, NAMES_ORGANIZATION, organization, &organization_id, err);

	if (found > 0)
		found = names_find(store, NAMES_GENERAL, profile, &profile_id, err);
	if (found > 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_USERS_WITH_PROFILE);

		query_int(&query, organization_id);
		query_int(&query, profile_id);
		query_int(&query, except_id);
		found = query_number(&query, &count, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot count users of profile '%s'", profile);
	*ret_count = count;
	return 0;
}

int store_active_of_source(struct store *store, const char *source, int64_t *ret_count,
			   struct err *err)
{
	int64_t source_id, count = 0;
	int found = names_find(store, NAMES_SOURCE, source, &source_id, err);

	if (found > 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_USERS_OF_SOURCE);

		query_int(&query, source_id);
		found = query_number(&query, &count, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot count users of source '%s'", source);
	*ret_count = count;
	return 0;
}
