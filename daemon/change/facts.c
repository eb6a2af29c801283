/*
 * What the store knows of a user, as rules know people: attributes of one more identity, of a source that no
 * configuration has. Enters: a user, their grants, the names that a filter reads. Leaves: an identity. Fails: memory.
 */
#include "select.h"

#include <string.h>

#include <rolebridge/change/account.h>
#include <rolebridge/store/account.h>

static const struct schema_fact known[FACTS] = {
	[FACT_ID] = { "id", SYNTAX_STRING, false },
	[FACT_USERNAME] = { "username", SYNTAX_STRING, false },
	[FACT_EMAIL] = { "email", SYNTAX_STRING, false },
	[FACT_MAIL] = { "mail", SYNTAX_STRING, true },
	[FACT_DISPLAY_NAME] = { "displayName", SYNTAX_STRING, true },
	[FACT_ORGANIZATION] = { "organization", SYNTAX_STRING, false },
	[FACT_STATE] = { "state", SYNTAX_STRING, false },
	[FACT_DISABLED_BY] = { "disabledBy", SYNTAX_STRING, false },
	[FACT_CREATED] = { "created", SYNTAX_TIME, false },
	[FACT_UPDATED] = { "updated", SYNTAX_TIME, false },
	[FACT_PROFILE] = { "profile", SYNTAX_STRING, false },
	[FACT_ROLE] = { "role", SYNTAX_STRING, false },
	[FACT_PERSONA] = { "persona", SYNTAX_STRING, false },
	[FACT_GROUP] = { "localGroup", SYNTAX_STRING, false },
	[FACT_ORIGIN] = { "origin", SYNTAX_STRING, false },
	[FACT_RULE] = { "rule", SYNTAX_STRING, false },
	[FACT_CLASSIFICATION] = { "classification", SYNTAX_STRING, false },
	[FACT_SEGMENT] = { "segment", SYNTAX_STRING, false },
	[FACT_LAST_SIGN_IN] = { "lastSignIn", SYNTAX_TIME, false },
	[FACT_SIGN_INS_7] = { "signIns7d", SYNTAX_INTEGER, false },
	[FACT_SIGN_INS_30] = { "signIns30d", SYNTAX_INTEGER, false },
	[FACT_SIGN_INS_90] = { "signIns90d", SYNTAX_INTEGER, false },
	[FACT_SOURCE] = { "source", SYNTAX_STRING, false },
	[FACT_ACCOUNT] = { "account", SYNTAX_STRING, false },
};

struct schema *facts_schema(const struct schema *schema, bool with_sensitive)
{
	return schema_extend(schema, STORE_SOURCE, known, FACTS, with_sensitive);
}

int fact_id(enum fact fact, const struct schema *schema)
{
	return schema_find(schema, known[fact].name, strlen(known[fact].name));
}

/* Values of one fact, which grow. */
struct fact_values {
	const char **items;
	size_t count, capacity;
};

static int add_value(struct facts *facts, struct fact_values *values, const char *value)
{
	if (!value)
		return -1;
	if (value[0] == '\0')
		return 0;
	for (size_t i = 0; i < values->count; i++)
		if (strcmp(values->items[i], value) == 0)
			return 0;
	if (values->count == values->capacity) {
		size_t capacity = values->capacity ? values->capacity * 2 : 4;
		const char **items = arena_alloc_array(facts->arena, capacity, sizeof(*items));

		if (!items)
			return -1;
		for (size_t i = 0; i < values->count; i++)
			items[i] = values->items[i];
		values->items = items;
		values->capacity = capacity;
	}
	values->items[values->count++] = value;
	return 0;
}

static const char *time_text(struct arena *arena, int64_t at_s)
{
	struct tm tm;
	time_t at = (time_t)at_s;
	char text[32];

	if (!gmtime_r(&at, &tm) || strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) == 0)
		return "";
	return arena_strdup(arena, text);
}

static int add_disabled_by(struct facts *facts, struct fact_values *values)
{
	for (uint32_t bit = 1; bit <= DISABLED_ANY; bit <<= 1)
		if (facts->user->disabled & bit &&
		    add_value(facts, values, disable_reason_name(bit)) < 0)
			return -1;
	return 0;
}

static const struct role_settings *find_role(const struct setup *setup, const char *name)
{
	const struct struct_list *list = setup->catalogue ? &setup->catalogue->roles : NULL;
	const struct role_settings *roles = list ? list->items : NULL;

	for (size_t i = 0; list && i < list->count; i++)
		if (roles[i].name.text && strcmp(roles[i].name.text, name) == 0)
			return &roles[i];
	return NULL;
}

static int add_labels(struct facts *facts, struct fact_values *values, enum fact fact,
		      const char *role_name)
{
	const struct role_settings *role = find_role(facts->selection->setup, role_name);
	const struct located_list *labels = !role		   ? NULL
					    : fact == FACT_SEGMENT ? &role->segments
								   : &role->classifications;

	for (size_t i = 0; labels && i < labels->count; i++)
		if (add_value(facts, values, labels->items[i].text) < 0)
			return -1;
	return 0;
}

static int add_of_grant(struct facts *facts, struct fact_values *values, enum fact fact,
			const struct grant *grant)
{
	static const enum fact of_kind[GRANT_KINDS] = { [GRANT_PROFILE] = FACTS,
							[GRANT_ROLE] = FACT_ROLE,
							[GRANT_PERSONA] = FACT_PERSONA,
							[GRANT_GROUP] = FACT_GROUP };

	if (fact == FACT_ORIGIN)
		return add_value(facts, values, origin_kind_name(grant->origin));
	if (fact == FACT_RULE)
		return grant->origin == ORIGIN_RULE ? add_value(facts, values, grant->origin_id)
						    : 0;
	if ((fact == FACT_CLASSIFICATION || fact == FACT_SEGMENT) && grant->kind == GRANT_ROLE)
		return add_labels(facts, values, fact, grant->name);
	return of_kind[grant->kind] == fact ? add_value(facts, values, grant->name) : 0;
}

static int add_of_grants(struct facts *facts, struct fact_values *values, enum fact fact)
{
	for (size_t i = 0; i < facts->grant_count; i++) {
		const struct grant *grant = &facts->grants[i];
		bool expired = grant->expires_s != 0 && grant->expires_s <= facts->selection->now_s;

		if (!expired && add_of_grant(facts, values, fact, grant) < 0)
			return -1;
	}
	return 0;
}

static const char *user_text(const struct facts *facts, enum fact fact)
{
	const struct user *user = facts->user;
	char *uuid;

	switch (fact) {
	case FACT_USERNAME: return user->username;
	case FACT_EMAIL:
	case FACT_MAIL: return user->email;
	case FACT_DISPLAY_NAME: return user->display_name;
	case FACT_ORGANIZATION: return user->organization;
	case FACT_PROFILE: return user->profile;
	case FACT_STATE: return user_is_active(user) ? "active" : "disabled";
	case FACT_CREATED: return time_text(facts->arena, user->created_s);
	case FACT_UPDATED: return time_text(facts->arena, user->updated_s);
	case FACT_ID:
		uuid = arena_alloc(facts->arena, UUID_TEXT_SIZE);
		if (uuid)
			uuid_format(&user->uuid, uuid);
		return uuid;
	default: return "";
	}
}

/* Whoever never signed in has no last time, and 0 times. */
static int add_sign_ins(struct facts *facts, struct fact_values *values, enum fact fact)
{
	const struct sign_ins_of *sign_ins = &facts->sign_ins;
	int64_t days = fact == FACT_SIGN_INS_7 ? 7 : fact == FACT_SIGN_INS_30 ? 30 : 90;
	int64_t from = facts->selection->now_s / DAY_S - days + 1, count = 0;

	if (fact == FACT_LAST_SIGN_IN)
		return sign_ins->last_s == 0 ? 0
					     : add_value(facts, values,
							 time_text(facts->arena, sign_ins->last_s));
	for (size_t i = 0; i < sign_ins->day_count; i++)
		if (sign_ins->days[i].day >= from)
			count += sign_ins->days[i].count;
	return add_value(facts, values, arena_printf(facts->arena, "%lld", (long long)count));
}

static int add_sources(struct facts *facts, struct fact_values *values, struct err *err)
{
	struct identity_row *rows;
	size_t count;

	if (store_identities_of(facts->store, facts->user->id, facts->arena, &rows, &count, err) <
	    0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (add_value(facts, values, rows[i].source) < 0)
			return err_set(err, ERR_MEMORY, "no memory for a person");
	return 0;
}

/* As APPLICATION/ID, and the id alone. */
static int add_accounts(struct facts *facts, struct fact_values *values, struct err *err)
{
	struct account_row *rows;
	size_t count;

	if (store_accounts_of(facts->store, facts->user->id, facts->selection->application, 0,
			      ACCOUNTS_OF_USER_MAX, facts->arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (add_value(facts, values, rows[i].id) < 0 ||
		    add_value(facts, values,
			      arena_printf(facts->arena, "%s/%s", rows[i].application,
					   rows[i].id)) < 0)
			return err_set(err, ERR_MEMORY, "no memory for a person");
	return 0;
}

static int add_at_hand(struct facts *facts, struct fact_values *values, enum fact fact)
{
	if (fact >= FIRST_OF_SIGN_INS && fact <= LAST_OF_SIGN_INS)
		return add_sign_ins(facts, values, fact);
	if (fact == FACT_DISABLED_BY)
		return add_disabled_by(facts, values);
	if (fact >= FIRST_OF_GRANTS && fact <= LAST_OF_GRANTS)
		return add_of_grants(facts, values, fact);
	return add_value(facts, values, user_text(facts, fact));
}

static int add_fact(struct facts *facts, struct fact_values *values, enum fact fact,
		    struct err *err)
{
	if (fact == FACT_SOURCE)
		return add_sources(facts, values, err);
	if (fact == FACT_ACCOUNT)
		return add_accounts(facts, values, err);
	if (add_at_hand(facts, values, fact) < 0)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	return 0;
}

/* As one more identity. */
int facts_identity(struct facts *facts, struct identity *ret_identity, struct err *err)
{
	const struct selection *selection = facts->selection;
	struct attribute *attributes =
		arena_alloc_array(facts->arena, selection->wanted_count + 1, sizeof(*attributes));
	size_t count = 0;

	for (size_t i = 0; attributes && i < selection->wanted_count; i++) {
		struct fact_values values = { 0 };

		if (add_fact(facts, &values, selection->wanted[i].fact, err) < 0)
			return -1;
		if (values.count > 0)
			attributes[count++] =
				(struct attribute){ selection->wanted[i].id, (uint32_t)values.count,
						    values.items };
	}
	if (!attributes)
		return err_set(err, ERR_MEMORY, "no memory for a person");
	*ret_identity = (struct identity){ .source = selection->store_source,
					   .key = "user",
					   .dn = "",
					   .attributes = attributes,
					   .attribute_count = count,
					   .groups_complete = true,
					   .disabled_by = "" };
	return 0;
}
