/*
 * What a stored plan still holds, as lines for people. Enters: the plan's
 * batches. Leaves: lines in the shape of a report's, by user. At most PLAN_LISTED_MAX are kept,
 * all are counted.
 */
#include <stdlib.h>

#include "internal.h"

#define BATCH_BYTES_MAX ((size_t)256 * 1024 * 1024)

struct lines {
	struct arena *arena; /* of what is kept */
	struct report_change *items;
	size_t count;
	int64_t total;
	const struct person_change *change; /* the present one */
	bool held;
};

static int add(struct lines *lines, const char *what, const char *kind, const char *before,
	       const char *after, const char *why, struct err *err)
{
	struct arena *arena = lines->arena;
	const struct user *user = &lines->change->after;

	lines->total++;
	if (lines->count == PLAN_LISTED_MAX)
		return 0;
	lines->items[lines->count++] = (struct report_change){
		.username = arena_strdup(arena, user->username),
		.display_name = arena_strdup(arena, user->display_name),
		.uuid = user->uuid,
		.what = what,
		.kind = kind,
		.before = arena_strdup(arena, before),
		.after = arena_strdup(arena, after),
		.why = arena_strdup(arena, why),
		.held = lines->held,
	};
	return arena_failed(arena) ? err_set(err, ERR_TOO_LARGE, "the plan is too large to list")
				   : 0;
}

static const char *grant_why(const struct grant *grant)
{
	return grant->origin_id[0] ? grant->origin_id : origin_kind_name(grant->origin);
}

/* The lowest of the reasons; an answer names them all in the user's record. */
static const char *reason(uint32_t bits)
{
	return bits ? disable_reason_name(bits & -bits) : "";
}

static int add_grants(struct lines *lines, struct err *err)
{
	const struct person_change *change = lines->change;

	for (size_t i = 0; i < change->gained_count; i++) {
		const struct grant *grant = &change->added[i];

		if (grant->kind != GRANT_PROFILE &&
		    add(lines, "grant", grant_kind_name(grant->kind), "", grant->name,
			grant_why(grant), err) < 0)
			return -1;
	}
	for (size_t i = 0; i < change->lost_count; i++) {
		const struct grant *grant = &change->removed[i];

		if (grant->kind != GRANT_PROFILE &&
		    add(lines, "revoke", grant_kind_name(grant->kind), grant->name, "",
			grant_why(grant), err) < 0)
			return -1;
	}
	return 0;
}

static const char *profile_why(const struct person_change *change)
{
	for (size_t i = 0; i < change->added_count; i++) {
		if (change->added[i].kind == GRANT_PROFILE &&
		    strcmp(change->added[i].name, change->after.profile) == 0)
			return grant_why(&change->added[i]);
	}
	return change->cause;
}

static int add_person(struct lines *lines, struct err *err)
{
	const struct user *before = &lines->change->before, *after = &lines->change->after;
	/* Of someone new it is the rest that waits: they were created with what did not. */
	bool is_new = before->id == 0 && !lines->held;
	bool was = before->id != 0 && user_is_active(before), is = user_is_active(after);

	if (is_new && add(lines, "create", "", "", after->username, lines->change->cause, err) < 0)
		return -1;
	if (was && !is &&
	    add(lines, "disable", "", "active", "disabled",
		reason(after->disabled & DISABLED_ANY & ~before->disabled), err) < 0)
		return -1;
	if (!was && is && before->id != 0 &&
	    add(lines, "enable", "", "disabled", "active",
		reason(before->disabled & DISABLED_ANY & ~after->disabled), err) < 0)
		return -1;
	if (strcmp(before->profile, after->profile) != 0 &&
	    add(lines, "profile", "profile", before->profile, after->profile,
		profile_why(lines->change), err) < 0)
		return -1;
	return add_grants(lines, err);
}

static int add_batch(struct lines *lines, const void *data, size_t size, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(BATCH_BYTES_MAX);
	struct reader in = reader_init(data, size);

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	while (reader_left(&in) > 0) {
		struct person_change change;

		arena_reset(arena);
		if (person_change_decode(&in, arena, &change, err) < 0)
			return -1;
		lines->change = &change;
		if (add_person(lines, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_users(const void *a, const void *b)
{
	const struct report_change *left = a, *right = b;
	int order = strcmp(left->username, right->username);

	return order ? order : strcmp(left->what, right->what);
}

static int lines_collect(struct lines *lines, const struct reading_view *view,
			 const struct plan_row *plan, struct err *err)
{
	for (int64_t seq = plan->batches_done; seq < plan->batches; seq++) {
		AUTO(arena) struct arena *bytes = arena_create(BATCH_BYTES_MAX);
		const void *data;
		size_t size;

		if (!bytes)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (store_plan_get_batch(view->store, plan->row, seq, bytes, &data, &size, err) <
			    0 ||
		    add_batch(lines, data, size, err) < 0)
			return err_wrap(err, "plan '%s'", plan->id);
	}
	if (lines->count > 1)
		qsort(lines->items, lines->count, sizeof(*lines->items), compare_users);
	return 0;
}

int show_plan_changes(const struct reading_view *view, struct json *json,
		      const struct plan_row *plan, struct err *err)
{
	struct lines lines = { .arena = view->arena, .held = plan->state == PLAN_HELD };

	lines.items = arena_alloc_array(view->arena, PLAN_LISTED_MAX, sizeof(*lines.items));
	if (!lines.items)
		return err_set(err, ERR_MEMORY, "out of memory");
	/* Of others the batches are dropped as they are applied or superseded. */
	if ((plan->state == PLAN_HELD || plan->state == PLAN_READY) &&
	    lines_collect(&lines, view, plan, err) < 0)
		return -1;
	json_int(json, "changes_total", lines.total);
	json_array_key(json, "changes");
	for (size_t i = 0; i < lines.count; i++)
		report_change_json(json, &lines.items[i]);
	json_end(json);
	return 0;
}
