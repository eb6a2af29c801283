/*
 * What changes of resources and of references have in common.
 *
 * Enters: who asks; keys, texts and names of users as applications give them. Leaves: the user, the audit row.
 * Refused: who may not do this any more, names that cannot be, owners who are not there or not active,
 * versions that are not the present one. Fails: store, memory.
 */
#include "ownership.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>

const char *const ownership_outcome_names[] = { [OWNERSHIP_CREATED] = "created",
						[OWNERSHIP_UPDATED] = "updated",
						[OWNERSHIP_UNCHANGED] = "unchanged" };

int owning_refuse(struct owning *owning, const char *field, const char *reason, const char *text,
		  struct err *err)
{
	owning->refused = field;
	return err_refuse(err, ERR_INVALID, reason, "%s", text);
}

int owning_begin(struct owning *owning, const char *permission, struct err *err)
{
	owning->now_s = change_now_s();
	if (authority_of_actor(owning->changer->store, &owning->setup->setup, owning->actor,
			       owning->now_s, owning->arena, &owning->authority, err) < 0)
		return -1;
	return authority_require(&owning->authority, permission, err);
}

int owning_check_application(const struct owning *owning, const char *application, struct err *err)
{
	if (!owning->actor->application || strcmp(owning->actor->application, application) == 0)
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such application");
}

int owning_check_version(int64_t wanted, int64_t present, struct err *err)
{
	if (wanted == 0 || wanted == present)
		return 0;
	if (present == 0)
		return err_refuse(err, ERR_CONFLICT, "stale-version", "it is not there any more");
	return err_refuse(err, ERR_CONFLICT, "stale-version",
			  "it was changed meanwhile and has version %lld", (long long)present);
}

bool resource_id_is_valid(const char *id)
{
	size_t size = strlen(id);

	if (size == 0 || size > RESOURCE_ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)id[i] < 0x20 || id[i] == 0x7f)
			return false;
	return text_is_utf8(id, size);
}

/* What may stand for a type in a permission. */
static bool type_is_valid(const char *type)
{
	char permission[sizeof("@all:read") + 64];

	if (!slug_is_valid(type) || type[0] == '*')
		return false;
	snprintf(permission, sizeof(permission), "%s:read@all", type);
	return permission_check(permission, NULL) == 0;
}

int owning_check_key(struct owning *owning, const char *application, const char *second_name,
		     const char *second, const char *id, struct err *err)
{
	if (!slug_is_valid(application))
		return owning_refuse(owning, "application", "invalid-request",
				     "the application's name is not one: lower-case letters, "
				     "digits, '.', '_' and '-', at most 64",
				     err);
	if (!type_is_valid(second))
		return owning_refuse(owning, second_name, "invalid-request",
				     "not a name: a lower-case letter, then letters, digits, '.', "
				     "'_' and '-', at most 64",
				     err);
	if (!resource_id_is_valid(id))
		return owning_refuse(owning, "id", "invalid-request",
				     "an id is 1 to 256 bytes of UTF-8 without control characters, "
				     "and not '.' or '..'",
				     err);
	return 0;
}

int owning_check_text(struct owning *owning, const char *field, const char *text, struct err *err)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return owning_refuse(owning, field, "invalid-request",
					     "it holds a control character", err);
	if (size <= RESOURCE_TITLE_MAX && text_is_utf8(text, size))
		return 0;
	return owning_refuse(owning, field, "invalid-request",
			     "it is longer than 1024 bytes, or not UTF-8", err);
}

int owning_find_user(struct owning *owning, const char *field, const char *name,
		     const char *organization, int64_t before, struct user *ret_user,
		     struct err *err)
{
	struct store *store = owning->changer->store;
	const char *own = owning->authority.organization;
	struct err missing;
	struct user user;

	err_clear(&missing);
	if (user_resolve(store, name, owning->arena, &user, &missing) < 0 &&
	    missing.code != ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return -1;
	}
	/* Somebody of another organization looks like nobody. */
	if (missing.code != ERR_NONE || user.disabled & DISABLED_DELETED ||
	    (organization && strcmp(user.organization, organization) != 0) ||
	    (own && strcmp(user.organization, own) != 0))
		return owning_refuse(owning, field, "not-found", "there is no such user here", err);
	if (!user_is_active(&user) && user.id != before) {
		owning->refused = field;
		return err_refuse(err, ERR_CONFLICT, "user-disabled",
				  "'%s' is disabled and cannot become responsible for anything",
				  user.username);
	}
	*ret_user = user;
	return 0;
}

int owning_audit(struct owning *owning, const char *action, const char *what,
		 const struct resource_key *key, const struct strbuf *detail, struct err *err)
{
	AUTO(strbuf) struct strbuf object = STRBUF(1024);

	strbuf_printf(&object, "%s:%s/%s/%s", what, key->application, key->type, key->id);
	if (strbuf_failed(&object) || strbuf_failed(detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(owning->changer->store, owning->now_s, owning->actor, action,
			   strbuf_text(&object), strbuf_text(detail), err);
}
