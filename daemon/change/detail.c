/*
 * Audit rows of changes. One row per person: what was, what is, and why, as compact JSON.
 * Only what changed is told, except for someone new. Fails: store, memory (the text then says so
 * by being refused).
 */
#include "internal.h"

#include <string.h>

#include <rolebridge/base/util.h>

#define DETAIL_MAX (16u * 1024 * 1024)

static void write_disabled(struct json *json, uint32_t disabled)
{
	json_array_key(json, "disabled");
	for (uint32_t bit = 1; bit <= SUSPENDED_SIGN_IN; bit <<= 1)
		if (disabled & bit)
			json_string(json, NULL, disable_reason_name(bit));
	json_end(json);
}

static void write_text(struct json *json, const char *key, const char *value, const char *other,
		       bool all)
{
	if (all ? value[0] != '\0' : strcmp(value, other) != 0)
		json_string(json, key, value);
}

static void write_user(struct json *json, const char *key, const struct user *user,
		       const struct user *other, bool all)
{
	json_object_key(json, key);
	write_text(json, "organization", user->organization, other->organization, all);
	write_text(json, "username", user->username, other->username, all);
	write_text(json, "email", user->email, other->email, all);
	write_text(json, "display_name", user->display_name, other->display_name, all);
	write_text(json, "profile", user->profile, other->profile, all);
	if (user->disabled != other->disabled)
		write_disabled(json, user->disabled);
	if (user->is_protected != other->is_protected)
		json_bool(json, "protected", user->is_protected);
	json_end(json);
}

static void write_grants(struct json *json, const char *key, const struct grant *grants,
			 size_t count)
{
	if (count == 0)
		return;
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, grant_kind_name(grants[i].kind), grants[i].name);
		json_string(json, "origin", origin_kind_name(grants[i].origin));
		if (grants[i].origin_id[0])
			json_string(json, "id", grants[i].origin_id);
		if (grants[i].origin_source[0])
			json_string(json, "source", grants[i].origin_source);
		if (grants[i].expires_s)
			json_time(json, "expires", grants[i].expires_s);
		json_end(json);
	}
	json_end(json);
}

void detail_write(const struct person_change *change, struct strbuf *out)
{
	struct json json = JSON(out);
	bool is_new = change->before.id == 0;

	json_object(&json);
	json_string(&json, "why", change->cause);
	if (!is_new)
		write_user(&json, "before", &change->before, &change->after, false);
	write_user(&json, "after", &change->after, &change->before, is_new);
	write_grants(&json, "gained", change->added, change->added_count);
	write_grants(&json, "lost", change->removed, change->removed_count);
	json_end(&json);
}

const char *detail_action(const struct person_change *change)
{
	bool was = change->before.id != 0 && user_is_active(&change->before);
	bool is = user_is_active(&change->after);

	if (change->before.id == 0)
		return "user.create";
	if (change->after.disabled & ~change->before.disabled & DISABLED_DELETED)
		return "user.delete";
	if (was && !is)
		return "user.disable";
	if (!was && is)
		return "user.enable";
	if (person_change_moves(change))
		return "user.move";
	return "user.update";
}

static int append_row(struct store *store, int64_t now_s, const struct actor *actor,
		      const char *action, const char *object, const char *detail,
		      const struct hash256 *digest, struct err *err)
{
	struct audit_row row = {
		.at_s = now_s,
		.actor = actor->name,
		.action = action,
		.object = object,
		.request = actor->request ? actor->request : "",
		.detail = detail,
		.detail_digest = digest,
	};

	return store_audit_append(store, &row, err);
}

int audit_write(struct store *store, int64_t now_s, const struct actor *actor, const char *action,
		const char *object, const char *detail, struct err *err)
{
	return append_row(store, now_s, actor, action, object, detail, NULL, err);
}

int audit_write_detail(struct store *store, int64_t now_s, const struct actor *actor,
		       const char *action, const char *object, const struct change_detail *detail,
		       struct err *err)
{
	return append_row(store, now_s, actor, action, object, detail->text, &detail->digest, err);
}
