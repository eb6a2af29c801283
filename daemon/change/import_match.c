/*
 * Whom a row of a file of people is about. Enters: ids and names that the row gives. Leaves: the user, or nobody; in a dry
 * run also whether an earlier row would have made them. Fails as the store does.
 */
#include "importing.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/invite.h>

/* 1 found, 0 nobody, -1. Whoever was deleted is nobody, but their names are taken. */
static int look(const struct importing *importing, enum user_key key, const char *value,
		struct user *ret_user, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_user_find(importing->store, key, value, importing->arena, ret_user, &missing) ==
	    0)
		return (ret_user->disabled & DISABLED_DELETED) == 0;
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	*err = missing;
	return -1;
}

static int look_external(const struct importing *importing, const char *organization,
			 struct user *ret_user, struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t user_id;

	if (store_external_find(importing->store, organization, id, &user_id, err) < 0)
		return -1;
	if (user_id == 0)
		return 0;
	if (store_user_get(importing->store, user_id, importing->arena, ret_user, err) < 0)
		return -1;
	return (ret_user->disabled & DISABLED_DELETED) == 0;
}

const char *import_organization(const struct importing *importing)
{
	const struct import_row *row = &importing->prepared->row;
	const char *own = importing->import->actor->organization;

	if (row->organization && row->organization[0])
		return row->organization;
	return own ? own : "default";
}

int import_find(const struct importing *importing, struct user *ret_user, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	char id[UUID_TEXT_SIZE];
	int found = 0;

	if (prepared->has_id) {
		uuid_format(&prepared->id, id);
		found = look(importing, USER_BY_UUID, id, ret_user, err);
	}
	if (found == 0 && row->external_id && row->external_id[0])
		found = look_external(importing, import_organization(importing), ret_user, err);
	if (found == 0 && row->username && row->username[0])
		return look(importing, USER_BY_USERNAME, row->username, ret_user, err);
	if (found == 0 && !prepared->has_id && !(row->external_id && row->external_id[0]) &&
	    row->email && row->email[0])
		return look(importing, USER_BY_EMAIL, row->email, ret_user, err);
	return found;
}

/* --- external ids --- */

int import_check_external(const struct importing *importing, const char *organization,
			  int64_t user_id, bool *ret_changes, struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t owner = 0;

	*ret_changes = false;
	if (!id || id[0] == '\0')
		return 0;
	if (store_external_find(importing->store, organization, id, &owner, err) < 0)
		return -1;
	*ret_changes = owner != user_id || user_id == 0;
	if (owner != 0 && owner != user_id)
		return err_refuse(err, ERR_CONFLICT, "external-id-taken",
				  "external id '%s' is somebody else's", id);
	return 0;
}

/* --- in a dry run: who an earlier row would have made --- */

bool import_made_before(const struct importing *importing)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	bool has_external = row->external_id && row->external_id[0];
	bool has_username = row->username && row->username[0];
	struct foresight foresight = importing_foresight(importing);
	char id[UUID_TEXT_SIZE];

	if (importing->context)
		return false;
	if (prepared->has_id) {
		uuid_format(&prepared->id, id);
		if (foresight_claimed(&foresight, 'i', id))
			return true;
	}
	if (has_external && foresight_claimed(&foresight, 'x', row->external_id))
		return true;
	if (has_username)
		return foresight_claimed(&foresight, 'u', row->username);
	return !prepared->has_id && !has_external && row->email && row->email[0] &&
	       foresight_claimed(&foresight, 'e', row->email);
}

int import_claim_keys(const struct importing *importing, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const char *external = prepared->row.external_id;
	struct foresight foresight = importing_foresight(importing);
	char id[UUID_TEXT_SIZE];

	if (importing->context)
		return 0;
	uuid_format(&prepared->id, id);
	if (prepared->has_id && foresight_claim(&foresight, 'i', id, err) < 0)
		return -1;
	return external && external[0] ? foresight_claim(&foresight, 'x', external, err) : 0;
}
