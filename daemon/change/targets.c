/*
 * What targets are told of a change of a person: queued in its transaction, in this one place.
 *
 * Enters: a person's change, as it is written. Leaves: rows for each target that is configured; the threads of the targets
 * are woken after the commit. Fails: store, memory, and with it the change. Nothing is asked of any target here: how one
 * does is of no concern to a decision.
 */
#include "targets.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "internal.h"

#define DETAIL_MAX (16u * 1024 * 1024)
/* Before all others. */
#define AT_ONCE_S 0

struct happened {
	enum delivery_event events[3]; /* that weighs most first */
	size_t count;
	bool urgent;
};

static void add_event(struct happened *happened, enum delivery_event event)
{
	happened->events[happened->count++] = event;
}

static bool is_renamed(const struct user *before, const struct user *after)
{
	return strcmp(before->username, after->username) != 0 ||
	       strcmp(before->email, after->email) != 0 ||
	       strcmp(before->display_name, after->display_name) != 0 ||
	       strcmp(before->organization, after->organization) != 0;
}

static struct happened what_happened(const struct person_change *change)
{
	const struct user *before = &change->before, *after = &change->after;
	struct happened happened = { 0 };
	bool was = user_may_sign_in(before), is = user_may_sign_in(after);

	if (before->id == 0) {
		add_event(&happened, DELIVERY_PROVISIONED);
		return happened;
	}
	if (after->disabled & ~before->disabled & DISABLED_DELETED) {
		add_event(&happened, DELIVERY_DELETED);
		happened.urgent = true;
		return happened;
	}
	if (was != is)
		add_event(&happened, is ? DELIVERY_ENABLED : DELIVERY_DISABLED);
	if (is_renamed(before, after))
		add_event(&happened, DELIVERY_UPDATED);
	if (change->gained_count > 0 || change->lost_count > 0 ||
	    strcmp(before->profile, after->profile) != 0)
		add_event(&happened, DELIVERY_GRANTS);
	happened.urgent = was && !is;
	return happened;
}

/* --- what it says --- */

static void write_names(struct json *json, const char *key, enum grant_kind kind,
			const struct grant *grants, size_t count)
{
	const char *last = NULL;

	json_array_key(json, key);
	/* Ordered by kind and name: those of several origins follow each other. */
	for (size_t i = 0; i < count; i++) {
		if (grants[i].kind != kind || (last && strcmp(last, grants[i].name) == 0))
			continue;
		last = grants[i].name;
		json_string(json, NULL, last);
	}
	json_end(json);
}

static void write_disabled(struct json *json, uint32_t disabled)
{
	if (disabled == 0)
		return;
	json_array_key(json, "disabled");
	for (uint32_t bit = 1; bit <= SUSPENDED_SIGN_IN; bit <<= 1)
		if (disabled & bit)
			json_string(json, NULL, disable_reason_name(bit));
	json_end(json);
}

static void write_user(struct json *json, const struct user *user, const struct grant *grants,
		       size_t count)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	json_object_key(json, "user");
	json_string(json, "id", uuid);
	json_string(json, "username", user->username);
	json_string(json, "email", user->email);
	json_string(json, "display_name", user->display_name);
	json_string(json, "organization", user->organization);
	json_bool(json, "active", user_may_sign_in(user));
	json_string(json, "profile", user->profile);
	write_names(json, "roles", GRANT_ROLE, grants, count);
	write_names(json, "personas", GRANT_PERSONA, grants, count);
	write_names(json, "groups", GRANT_GROUP, grants, count);
	json_end(json);
}

static void write_changed(struct json *json, const struct user *before, const struct user *after)
{
	const struct {
		const char *key, *before, *after;
	} fields[] = {
		{ "username", before->username, after->username },
		{ "email", before->email, after->email },
		{ "display_name", before->display_name, after->display_name },
		{ "organization", before->organization, after->organization },
		{ "profile", before->profile, after->profile },
	};
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (strcmp(fields[i].before, fields[i].after) == 0)
			continue;
		if (!any)
			json_object_key(json, "changed");
		any = true;
		json_array_key(json, fields[i].key);
		json_string(json, NULL, fields[i].before);
		json_string(json, NULL, fields[i].after);
		json_end(json);
	}
	if (any)
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
		json_string(json, "kind", grant_kind_name(grants[i].kind));
		json_string(json, "name", grants[i].name);
		json_end(json);
	}
	json_end(json);
}

int targets_write_detail(struct store *store, const struct user *user,
			 const struct person_change *change, const char *cause, struct arena *arena,
			 struct strbuf *out, struct err *err)
{
	struct json json = JSON(out);
	struct grant *grants;
	size_t count;

	if (store_grants_of(store, user->id, arena, &grants, &count, err) < 0)
		return -1;
	json_object(&json);
	json_string(&json, "cause", cause);
	write_user(&json, user, grants, count);
	if (change && change->before.id != 0)
		write_changed(&json, &change->before, &change->after);
	if (change) {
		write_grants(&json, "gained", change->added, change->gained_count);
		write_grants(&json, "lost", change->removed, change->lost_count);
	}
	write_disabled(&json, user->disabled);
	json_end(&json);
	return strbuf_failed(out) ? err_set(err, ERR_MEMORY, "no memory for what targets are told")
				  : 0;
}

/* --- into the queue --- */

int targets_queue(struct changer *changer, const struct target_setup *target, int64_t user_id,
		  enum delivery_event event, const char *detail, int64_t now_s, int64_t next_s,
		  struct err *err)
{
	struct delivery_row row = { .uuid = uuid_create(now_s * 1000),
				    .target = target->name,
				    .user_id = user_id,
				    .event = event,
				    .detail = target->keeps_state ? "" : detail,
				    .created_s = now_s,
				    .next_s = next_s };

	changer->notices.queued = true;
	changer->notices.queued_urgent |= next_s == AT_ONCE_S;
	return target->keeps_state ? store_delivery_fold(changer->store, &row, err)
				   : store_delivery_add(changer->store, &row, err);
}

static int queue_all(struct apply_context *context, const struct target_setup *target,
		     const struct happened *happened, int64_t user_id, const char *detail,
		     struct err *err)
{
	/* A state is told once, by what weighs most. */
	size_t count = target->keeps_state ? 1 : happened->count;
	int64_t next_s = happened->urgent ? AT_ONCE_S : context->now_s;

	for (size_t i = 0; i < count; i++)
		if (targets_queue(context->changer, target, user_id, happened->events[i], detail,
				  context->now_s, next_s, err) < 0)
			return -1;
	return 0;
}

static bool any_told(const struct setup *setup)
{
	for (size_t i = 0; i < setup->target_count; i++)
		if (!setup->targets[i].keeps_state && !setup->targets[i].is_off)
			return true;
	return false;
}

int targets_follow(struct apply_context *context, const struct person_change *change,
		   struct err *err)
{
	const struct setup *setup = &context->setup->setup;
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct happened happened;

	if (setup->target_count == 0)
		return 0;
	happened = what_happened(change);
	if (happened.count == 0)
		return 0;
	if (any_told(setup) &&
	    targets_write_detail(context->changer->store, &change->after, change, change->cause,
				 context->arena, &detail, err) < 0)
		return -1;
	for (size_t i = 0; i < setup->target_count; i++)
		if (!setup->targets[i].is_off &&
		    queue_all(context, &setup->targets[i], &happened, change->after.id,
			      strbuf_text(&detail), err) < 0)
			return -1;
	return 0;
}

int targets_follow_records(struct apply_context *context, const struct person_change *change,
			   struct err *err)
{
	const struct setup *setup = &context->setup->setup;
	bool any = false;

	for (size_t i = 0; i < change->identity_count; i++)
		any |= change->identities[i].record != NULL;
	for (size_t i = 0; any && i < setup->target_count; i++)
		if (setup->targets[i].follows_records && !setup->targets[i].is_off &&
		    targets_queue(context->changer, &setup->targets[i], change->after.id,
				  DELIVERY_UPDATED, "", context->now_s, context->now_s, err) < 0)
			return -1;
	return 0;
}
