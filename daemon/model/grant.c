/* Names and order of grants. Pure; nothing can fail. */
#include <rolebridge/model/grant.h>

#include <string.h>

#include <rolebridge/base/util.h>

const char *grant_kind_name(enum grant_kind kind)
{
	static const char *const names[] = {
		[GRANT_PROFILE] = "profile",
		[GRANT_ROLE] = "role",
		[GRANT_PERSONA] = "persona",
		[GRANT_GROUP] = "group",
	};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

const char *origin_kind_name(enum origin_kind origin)
{
	static const char *const names[] = {
		[ORIGIN_HAND] = "hand",	    [ORIGIN_SCIM] = "scim", [ORIGIN_IMPORT] = "import",
		[ORIGIN_INVITE] = "invite", [ORIGIN_RULE] = "rule", [ORIGIN_DEFAULT] = "default",
	};

	if ((size_t)origin >= ARRAY_LEN(names) || !names[origin])
		return "unknown";
	return names[origin];
}

static int compare_number(int a, int b)
{
	return (a > b) - (a < b);
}

int grant_compare(const struct grant *a, const struct grant *b)
{
	int order = compare_number((int)a->kind, (int)b->kind);

	if (order == 0)
		order = strcmp(a->name, b->name);
	if (order == 0)
		order = compare_number((int)a->origin, (int)b->origin);
	if (order == 0)
		order = strcmp(a->origin_id, b->origin_id);
	if (order == 0)
		order = strcmp(a->origin_source, b->origin_source);
	return order;
}

bool grant_same(const struct grant *a, const struct grant *b)
{
	return grant_compare(a, b) == 0;
}
