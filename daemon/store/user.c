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
	enum login_kind kind = key == USER_BY_USERNAME ? LOGIN_USERNAME : LOGIN_EMAIL;
	int64_t id;
	int found;

	if (key == USER_BY_UUID)
		return user_find_uuid(store, value, arena, ret_user, err);
	found = late_owner(store, kind, value, &id, err);
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no user '%s'", value);
	if (found < 0)
		return err_wrap(err, "cannot find user '%s'", value);
	return store_user_get(store, id, arena, ret_user, err);
}

/* --- writing --- */

struct user_head {
	int64_t organization;
	uint32_t disabled;
};

/* The user who has the name, unless that is self: 1 and the head, 0, -1. */
static int other_owner(struct store *store, enum login_kind kind, const char *text, int64_t self,
		       struct user_head *ret_head, struct err *err)
{
	int64_t id;
	int found = late_owner(store, kind, text, &id, err);

	if (found <= 0 || id == self)
		return found < 0 ? -1 : 0;

	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_ID);

	query_int(&query, id);
	found = query_row(&query, err);
	if (found == 0)
		return err_refuse(err, ERR_IO, "store-damaged",
				  "'%s' is the name of user %lld, who is not there", text,
				  (long long)id);
	if (found > 0) {
		ret_head->organization = column_int(&query, 2);
		ret_head->disabled = (uint32_t)column_int(&query, 7);
	}
	return found;
}

static bool has_login_email(const struct user *user)
{
	return *user->email && !(user->disabled & DISABLED_DELETED);
}

/* 0 when the user may have these names; else -1, and -2 when they are somebody else's, with the reason. */
static int check_names(struct store *store, const struct user *user, int64_t organization,
		       struct err *err)
{
	struct user_head head;
	int found = other_owner(store, LOGIN_USERNAME, user->username, user->id, &head, err);

	if (found > 0) {
		if (head.disabled & DISABLED_DELETED)
			err_refuse(err, ERR_CONFLICT, "name-reserved",
				   "user name '%s' belonged to a deleted user", user->username);
		else
			err_refuse(err, ERR_CONFLICT, "username-taken", "user name '%s' is taken",
				   user->username);
		return -2;
	}
	if (found == 0 && has_login_email(user))
		found = other_owner(store, LOGIN_EMAIL, user->email, user->id, &head, err);
	if (found > 0) {
		if (head.organization != organization)
			err_refuse(err, ERR_CONFLICT, "email-in-other-organization",
				   "e-mail '%s' belongs to a user of another organization",
				   user->email);
		else
			err_refuse(err, ERR_CONFLICT, "email-taken", "e-mail '%s' is taken",
				   user->email);
		return -2;
	}
	return found;
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

static int uuid_taken(const struct user *user, struct err *err)
{
	return err_refuse(err, ERR_CONFLICT, "uuid-taken", "another user has the UUID of '%s'",
			  user->username);
}

/* A constraint was broken, and nothing is written now: names were looked at before. */
static int explain_broken(const struct user *user, int rc, struct err *err)
{
	if (rc != SQLITE_CONSTRAINT_UNIQUE && rc != SQLITE_CONSTRAINT_PRIMARYKEY)
		return err_set(err, ERR_INVALID, "a field is not valid");
	return uuid_taken(user, err);
}

/* --- insert --- */

static int user_insert(struct store *store, const struct user *user, int64_t *ret_id,
		       struct err *err)
{
	const struct horizon *horizon;
	struct user_numbers numbers;
	int64_t id;
	int rc, taken;

	/* The row is inserted later, with others: what could be refused is looked at now. */
	if (store_may_write(store, err) < 0 || user_numbers(store, user, &numbers, err) < 0 ||
	    !(horizon = store_horizon(store, err)) ||
	    check_names(store, user, numbers.organization, err) < 0)
		return -1;
	taken = late_has_uuid(store, &user->uuid, err);
	if (taken)
		return taken < 0 ? -1 : uuid_taken(user, err);
	if (!*user->username)
		return err_set(err, ERR_INVALID, "a field is not valid");
	id = horizon->last + 1;
	if (late_add(store, user, id, err) < 0 ||
	    row_write(store, STATEMENT_USER_INSERT, user, id, &numbers, &rc, err) < 0)
		return -1;
	*ret_id = store->late.last = store->horizon.last = id;
	if (store->fresh_user == 0)
		store->fresh_user = id;
	return 0;
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

/* False: the stored version is the one before. Else with the reason. */
static bool is_stale(struct store *store, const struct user *user, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_ID);

	query_int(&query, user->id);

	int row = query_row(&query, err);

	if (row > 0 && column_int(&query, 9) == user->version - 1)
		return false;
	if (row == 0)
		err_set(err, ERR_NOT_FOUND, "no such user");
	if (row > 0)
		err_refuse(err, ERR_CONFLICT, "stale-version",
			   "version %lld does not follow the stored %lld", (long long)user->version,
			   (long long)column_int(&query, 9));
	return true;
}

/* check_names refused. What else is asked of a stale version does not matter. */
static int explain_names(struct store *store, const struct user *user, int refusal,
			 const struct err *names, struct err *err)
{
	struct err stale;

	err_clear(&stale);
	if (refusal == -2 && is_stale(store, user, &stale))
		names = &stale;
	if (err)
		*err = *names;
	return -1;
}

static int user_update(struct store *store, const struct user *user, struct err *err)
{
	struct user_numbers numbers;
	struct err names;
	int rc, changed;

	err_clear(&names);
	if (store_may_write(store, err) < 0 || user_numbers(store, user, &numbers, err) < 0)
		return -1;
	changed = check_names(store, user, numbers.organization, &names);
	if (changed < 0)
		return explain_names(store, user, changed, &names, err);
	changed = row_write(store, STATEMENT_USER_UPDATE, user, user->id, &numbers, &rc, err);
	/* The trigger may have put names into login. */
	store->horizon.has_logins = true;
	store->renamed++;
	return changed == -2 ? explain_broken(user, rc, err) : changed;
}

int store_user_update(struct store *store, const struct user *user, struct err *err)
{
	int changed = user_update(store, user, err);

	if (changed == 0) {
		changed = -1;
		if (!is_stale(store, user, err))
			err_set(err, ERR_INTERNAL, "no row was met");
	}
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
