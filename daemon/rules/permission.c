/*
 * Permissions: resource:verb@scope. In: texts of the configuration or the
 * store. Out: well-formed or not, included or not. Fails with ERR_INVALID.
 */
#include <rolebridge/rules/permission.h>

#include <string.h>

#include <rolebridge/base/util.h>

#define FIELD_MAX 64

static const char *const scopes[] = { "own", "unassigned", "all" };

struct field {
	const char *text;
	size_t size;
};

struct permission {
	struct field resource, verb, scope;
};

static bool field_is(struct field field, const char *text)
{
	return field.size == strlen(text) && memcmp(field.text, text, field.size) == 0;
}

static bool field_is_valid(struct field field)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	static const char others[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (field_is(field, "*"))
		return true;
	if (field.size == 0 || field.size > FIELD_MAX ||
	    memchr(letters, field.text[0], sizeof(letters) - 1) == NULL)
		return false;
	for (size_t i = 0; i < field.size; i++)
		if (memchr(others, field.text[i], sizeof(others) - 1) == NULL)
			return false;
	return true;
}

/* false: no ':' or no '@' behind it. */
static bool permission_split(const char *text, struct permission *ret)
{
	const char *colon = strchr(text, ':');
	const char *at = colon ? strchr(colon, '@') : NULL;

	if (at == NULL)
		return false;
	*ret = (struct permission){ { text, (size_t)(colon - text) },
				    { colon + 1, (size_t)(at - colon - 1) },
				    { at + 1, strlen(at + 1) } };
	return true;
}

int permission_check(const char *text, struct err *err)
{
	struct permission permission;

	if (!permission_split(text, &permission))
		return err_set(err, ERR_INVALID, "permission '%.200s' is not resource:verb@scope",
			       text);
	if (!field_is_valid(permission.resource))
		return err_set(err, ERR_INVALID, "bad resource in permission '%.200s'", text);
	if (!field_is_valid(permission.verb))
		return err_set(err, ERR_INVALID, "bad verb in permission '%.200s'", text);
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
		if (field_is(permission.scope, scopes[i]))
			return 0;
	return err_set(err, ERR_INVALID,
		       "scope of permission '%.200s' is not own, unassigned or all", text);
}

static bool field_covers(struct field held, struct field asked)
{
	return field_is(held, "*") ||
	       (held.size == asked.size && memcmp(held.text, asked.text, held.size) == 0);
}

static bool scope_covers(struct field held, struct field asked)
{
	return field_is(held, "all") ||
	       (held.size == asked.size && memcmp(held.text, asked.text, held.size) == 0);
}

bool permission_covers(const char *held, const char *asked)
{
	struct permission h, a;

	return permission_split(held, &h) && permission_split(asked, &a) &&
	       field_covers(h.resource, a.resource) && field_covers(h.verb, a.verb) &&
	       scope_covers(h.scope, a.scope);
}

static bool field_meets(struct field one, struct field other)
{
	return field_covers(one, other) || field_covers(other, one);
}

bool permission_meets(const char *one, const char *other)
{
	struct permission a, b;

	return permission_split(one, &a) && permission_split(other, &b) &&
	       field_meets(a.resource, b.resource) && field_meets(a.verb, b.verb) &&
	       (scope_covers(a.scope, b.scope) || scope_covers(b.scope, a.scope));
}
