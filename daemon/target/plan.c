/*
 * Drift: what a target has against what was decided, and telling it anew.
 *
 * Enters: the people of the store, what the kind says that it has. Leaves: differences, ordered, with the hash of them;
 * rows in the queue for those concerned. Fails: store, memory, the target. Nothing is changed at the target here, and what
 * belongs to nobody of this store is only listed: it may be another's.
 *
 * Both sides are read one after the other, and what waits in the queue is on neither: a difference may be on its way. To
 * tell a target anew what it knows does no harm.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>
#include <rolebridge/policy/policy.h>

#define PAGE 1000
/* So much of an id says which plan is meant. */
#define PLAN_ID_MIN 12
#define PERSON_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define PAGE_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define DIGEST_BYTES_MAX ((size_t)512 * 1024 * 1024)
#define ITEMS_MAX 10000000u

struct comparing {
	struct targets *targets;
	const struct target_kind *kind;
	struct target_call call; /* its arena is the plan's */
	void *instance;
	bool open;
	struct hash_table *by_user; /* uuid → place in items */
	const struct target_item **items;
	bool *seen;
	size_t count, capacity;
	struct drift *drifts;
	size_t drift_count, drift_capacity;
	int64_t people;
};

static const char *const drift_names[DRIFT_KINDS] = {
	[DRIFT_MISSING] = "missing", [DRIFT_DIFFERING] = "differing", [DRIFT_EXTRA] = "extra",
	[DRIFT_UNKNOWN] = "unknown", [DRIFT_REFUSED] = "refused",
};

const char *drift_kind_name(enum drift_kind kind)
{
	return (unsigned)kind < DRIFT_KINDS ? drift_names[kind] : "";
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to compare a target");
}

static bool never(void *context UNUSED)
{
	return false;
}

static struct hash128 key_of(const struct uuid *uuid)
{
	return fingerprint128(uuid->byte, sizeof(uuid->byte));
}

/* --- what it has --- */

static int grow(void *array, size_t *capacity, size_t count, size_t size, struct err *err)
{
	void **data = array;
	size_t wanted = *capacity ? *capacity * 2 : 1024;
	void *grown;

	if (count < *capacity)
		return 0;
	grown = reallocarray(*data, wanted, size);
	if (!grown)
		return no_memory(err);
	*data = grown;
	*capacity = wanted;
	return 0;
}

static int take_item(struct comparing *comparing, const struct target_item *item, struct err *err)
{
	uint32_t *slot;
	int added = hash_table_put(comparing->by_user, key_of(&item->user), &slot);

	if (added < 0)
		return no_memory(err);
	/* Twice for one person: the first is compared, the other one is extra. */
	if (added > 0)
		*slot = (uint32_t)comparing->count;
	if (grow(&comparing->items, &comparing->capacity, comparing->count,
		 sizeof(*comparing->items), err) < 0)
		return -1;
	comparing->items[comparing->count++] = item;
	return 0;
}

static int read_has(struct comparing *comparing, struct err *err)
{
	const char *cursor = "";

	while (cursor) {
		const struct target_item *items;
		size_t count;

		if (comparing->kind->has(comparing->instance, &comparing->call, cursor, &items,
					 &count, &cursor, err) < 0)
			return err_wrap(err, "cannot ask target '%s' what it has",
					comparing->call.settings->name.text);
		for (size_t i = 0; i < count; i++)
			if (take_item(comparing, &items[i], err) < 0)
				return -1;
	}
	comparing->seen = calloc(comparing->count + 1, sizeof(*comparing->seen));
	return comparing->seen ? 0 : no_memory(err);
}

/* --- differences --- */

static const char *keep(struct comparing *comparing, const char *text)
{
	return text ? arena_strdup(comparing->call.arena, text) : NULL;
}

static struct drift *add_drift(struct comparing *comparing, enum drift_kind kind,
			       const struct uuid *user, const char *name, struct err *err)
{
	struct drift *drift;

	if (grow(&comparing->drifts, &comparing->drift_capacity, comparing->drift_count,
		 sizeof(*comparing->drifts), err) < 0)
		return NULL;
	drift = &comparing->drifts[comparing->drift_count++];
	*drift = (struct drift){ .kind = kind, .user = *user, .name = keep(comparing, name) };
	return drift;
}

/* Both are ordered by name: which is next, of one side or of both. */
static int next_field(const struct target_item *have, const struct target_item *want, size_t at,
		      size_t other)
{
	if (at == have->field_count)
		return 1;
	if (other == want->field_count)
		return -1;
	return strcmp(have->fields[at].name, want->fields[other].name);
}

static void differ(struct comparing *comparing, struct target_field *have,
		   struct target_field *want, size_t *count, const char *name,
		   const char *have_value, const char *want_value)
{
	if (have_value && want_value && strcmp(have_value, want_value) == 0)
		return;
	name = keep(comparing, name);
	have[*count] = (struct target_field){ name, keep(comparing, have_value) };
	want[*count] = (struct target_field){ name, keep(comparing, want_value) };
	++*count;
}

/* Which fields differ, the name and whether it is active among them. */
static int list_differences(struct comparing *comparing, const struct target_item *have,
			    const struct target_item *want, struct drift *ret_drift,
			    struct err *err)
{
	size_t room = have->field_count + want->field_count + 2, at = 0, other = 0, count = 0;
	struct arena *arena = comparing->call.arena;
	struct target_field *had = arena_alloc_array(arena, room, sizeof(*had));
	struct target_field *wanted = arena_alloc_array(arena, room, sizeof(*wanted));

	if (!had || !wanted)
		return no_memory(err);
	differ(comparing, had, wanted, &count, "active", have->active ? "yes" : "no",
	       want->active ? "yes" : "no");
	differ(comparing, had, wanted, &count, "name", have->name, want->name);
	while (at < have->field_count || other < want->field_count) {
		int order = next_field(have, want, at, other);
		const struct target_field *left = order <= 0 ? &have->fields[at++] : NULL;
		const struct target_field *right = order >= 0 ? &want->fields[other++] : NULL;

		differ(comparing, had, wanted, &count, left ? left->name : right->name,
		       left ? left->value : NULL, right ? right->value : NULL);
	}
	ret_drift->have = had;
	ret_drift->want = wanted;
	ret_drift->field_count = count;
	return arena_failed(arena) ? no_memory(err) : 0;
}

static int compare_item(struct comparing *comparing, const struct user *user,
			const struct target_item *have, const struct target_item *want,
			struct err *err)
{
	struct drift differing = { 0 }, *drift;

	if (have && list_differences(comparing, have, want, &differing, err) < 0)
		return -1;
	if (have && differing.field_count == 0 && !want->code)
		return 0;
	drift = add_drift(comparing,
			  want->code ? DRIFT_REFUSED
			  : have     ? DRIFT_DIFFERING
				     : DRIFT_MISSING,
			  &user->uuid, want->name, err);
	if (!drift)
		return -1;
	drift->user_id = user->id;
	drift->takes_away = have && have->active && !want->active;
	drift->have = differing.have;
	drift->want = differing.want;
	drift->field_count = differing.field_count;
	drift->code = keep(comparing, want->code);
	drift->problem = keep(comparing, want->problem);
	return 0;
}

static int compare_user(struct comparing *comparing, const struct user *user, struct arena *scratch,
			struct err *err)
{
	struct target_call call = comparing->call;
	const struct target_item *have = NULL;
	struct target_item want = { .user = user->uuid };
	uint32_t place;
	int wanted;

	call.arena = scratch;
	wanted = comparing->kind->want(comparing->instance, &call, user, &want, err);
	if (wanted <= 0)
		return wanted;
	comparing->people++;
	if (hash_table_get(comparing->by_user, key_of(&user->uuid), &place)) {
		have = comparing->items[place];
		comparing->seen[place] = true;
	}
	return compare_item(comparing, user, have, &want, err);
}

/* Everybody of the store, page by page; `each` NULL: only counted. */
static int walk_users(struct comparing *comparing,
		      int (*each)(struct comparing *, const struct user *, struct arena *,
				  struct err *),
		      struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PAGE_BYTES_MAX);
	AUTO(arena) struct arena *scratch = arena_create(PERSON_BYTES_MAX);
	struct user_query query = { .active = -1, .limit = PAGE };
	size_t count = PAGE;

	if (!page || !scratch)
		return no_memory(err);
	while (count == PAGE) {
		struct user *users;

		arena_reset(page);
		if (store_user_list(comparing->call.store, &query, page, &users, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			query.after_id = users[i].id;
			arena_reset(scratch);
			if (each(comparing, &users[i], scratch, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* --- what is too much --- */

static int add_extra(struct comparing *comparing, const struct target_item *item, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	char uuid[UUID_TEXT_SIZE];
	struct err missing = { 0 };
	struct drift *drift;
	struct user user;
	bool known;

	if (!arena)
		return no_memory(err);
	uuid_format(&item->user, uuid);
	known = user_resolve(comparing->call.store, uuid, arena, &user, &missing) == 0;
	if (!known && missing.code != ERR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	drift = add_drift(comparing, known ? DRIFT_EXTRA : DRIFT_UNKNOWN, &item->user, item->name,
			  err);
	if (!drift)
		return -1;
	drift->user_id = known ? user.id : 0;
	drift->takes_away = known && item->active;
	return 0;
}

static int add_extras(struct comparing *comparing, struct err *err)
{
	for (size_t i = 0; i < comparing->count; i++)
		if (!comparing->seen[i] && add_extra(comparing, comparing->items[i], err) < 0)
			return -1;
	return 0;
}

/* --- the plan --- */

static int by_name(const void *a, const void *b)
{
	const struct drift *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	if (order == 0)
		order = memcmp(&left->user, &right->user, sizeof(left->user));
	return order ? order : (int)left->kind - (int)right->kind;
}

static void write_field(struct strbuf *text, const struct target_field *field)
{
	strbuf_append(text, field->value ? "=" : "-", 1);
	strbuf_append(text, field->value ? field->value : "",
		      field->value ? strlen(field->value) + 1 : 1);
}

static int digest(struct target_plan *plan, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DIGEST_BYTES_MAX);
	struct hash256 hash;

	strbuf_append(&text, plan->target, strlen(plan->target) + 1);
	strbuf_append(&text, plan->comparable ? "c" : "a", 1);
	for (size_t i = 0; i < plan->drift_count; i++) {
		const struct drift *drift = &plan->drifts[i];

		strbuf_printf(&text, "%d", (int)drift->kind);
		strbuf_append(&text, (const char *)drift->user.byte, sizeof(drift->user.byte));
		strbuf_append(&text, drift->name, strlen(drift->name) + 1);
		for (size_t j = 0; j < drift->field_count; j++) {
			strbuf_append(&text, drift->have[j].name, strlen(drift->have[j].name) + 1);
			write_field(&text, &drift->have[j]);
			write_field(&text, &drift->want[j]);
		}
		strbuf_append(&text, "", 1);
	}
	if (strbuf_failed(&text))
		return no_memory(err);
	hash = digest256(text.data, text.size);
	hash256_hex(&hash, plan->id);
	return 0;
}

static int fill_plan(struct comparing *comparing, struct target_plan *plan, struct err *err)
{
	const struct policy_settings *policy = comparing->call.setup->policy;
	struct limit_question question = { .kind = LIMIT_DISABLES };

	if (comparing->drift_count > 0)
		qsort(comparing->drifts, comparing->drift_count, sizeof(*comparing->drifts),
		      by_name);
	plan->drifts = arena_memdup(comparing->call.arena, comparing->drifts,
				    comparing->drift_count * sizeof(*comparing->drifts));
	plan->drift_count = comparing->drift_count;
	if (comparing->drift_count > 0 && !plan->drifts)
		return no_memory(err);
	for (size_t i = 0; i < plan->drift_count; i++) {
		const struct drift *drift = &plan->drifts[i];

		plan->counts[drift->kind]++;
		plan->takes_away += drift->takes_away;
		plan->people += drift->user_id != 0 && drift->kind != DRIFT_REFUSED;
	}
	for (size_t i = 0; i < comparing->count; i++)
		plan->active += comparing->items[i]->active;
	question.population = plan->active;
	plan->limit = policy_limit(&policy->limits, &question);
	return digest(plan, err);
}

static int count_user(struct comparing *comparing, const struct user *user UNUSED,
		      struct arena *scratch UNUSED, struct err *err UNUSED)
{
	comparing->people++;
	return 0;
}

static int compare(struct comparing *comparing, struct target_plan *plan, struct err *err)
{
	plan->comparable = comparing->kind->has != NULL;
	if (!plan->comparable) {
		if (walk_users(comparing, count_user, err) < 0)
			return -1;
		plan->people = comparing->people;
		return digest(plan, err);
	}
	comparing->by_user = hash_table_create(1024, ITEMS_MAX);
	if (!comparing->by_user)
		return no_memory(err);
	if (read_has(comparing, err) < 0 || walk_users(comparing, compare_user, err) < 0 ||
	    add_extras(comparing, err) < 0)
		return -1;
	return fill_plan(comparing, plan, err);
}

/* An instance of its own: the target's thread has the other one. */
static int comparing_begin(struct comparing *comparing, struct targets *targets, const char *name,
			   struct store *store, struct arena *arena, struct err *err)
{
	struct setup *setup = changer_setup(targets->changer);
	const struct target_settings *settings =
		targets_find(targets, setup, name, &comparing->kind);

	comparing->targets = targets;
	comparing->call = (struct target_call){ .setup = setup,
						.settings = settings,
						.store = store,
						.arena = arena,
						.cancelled = never };
	if (!settings)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such target");
	if (!settings->enabled)
		return err_refuse(err, ERR_CONFLICT, "target-disabled",
				  "target '%s' is switched off", name);
	comparing->open = !comparing->kind->has || !comparing->kind->open ||
			  comparing->kind->open(&comparing->call, &comparing->instance, err) == 0;
	return comparing->open ? 0 : -1;
}

static void comparing_end(struct comparing *comparing)
{
	if (comparing->open && comparing->kind->has && comparing->kind->close)
		comparing->kind->close(comparing->instance);
	setup_release(comparing->call.setup);
	hash_table_destroy(comparing->by_user);
	free(comparing->items);
	free(comparing->seen);
	free(comparing->drifts);
}

int targets_plan(struct targets *targets, const char *name, struct store *store,
		 struct arena *arena, struct target_plan *ret_plan, struct err *err)
{
	struct target_plan plan = { .target = arena_strdup(arena, name) };
	struct comparing comparing = { 0 };
	int result = -1;

	if (!plan.target)
		return no_memory(err);
	if (comparing_begin(&comparing, targets, name, store, arena, err) == 0)
		result = compare(&comparing, &plan, err);
	comparing_end(&comparing);
	if (result == 0)
		*ret_plan = plan;
	return result;
}

/* --- telling it anew --- */

struct listing {
	int64_t *ids;
	size_t count, capacity;
};

static int list_all(struct store *store, struct listing *listing, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PAGE_BYTES_MAX);
	struct user_query query = { .active = -1, .limit = PAGE };
	size_t count = PAGE;

	if (!page)
		return no_memory(err);
	while (count == PAGE) {
		struct user *users;

		arena_reset(page);
		if (store_user_list(store, &query, page, &users, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			if (grow(&listing->ids, &listing->capacity, listing->count,
				 sizeof(*listing->ids), err) < 0)
				return -1;
			listing->ids[listing->count++] = query.after_id = users[i].id;
		}
	}
	return 0;
}

static int list_drifting(const struct target_plan *plan, struct listing *listing, struct err *err)
{
	for (size_t i = 0; i < plan->drift_count; i++) {
		const struct drift *drift = &plan->drifts[i];

		if (drift->user_id == 0 || drift->kind == DRIFT_REFUSED)
			continue;
		if (grow(&listing->ids, &listing->capacity, listing->count, sizeof(*listing->ids),
			 err) < 0)
			return -1;
		listing->ids[listing->count++] = drift->user_id;
	}
	return 0;
}

static int check_limit(const struct target_plan *plan, const char *wanted, struct err *err)
{
	size_t size = wanted ? strlen(wanted) : 0;

	if (wanted && (size < PLAN_ID_MIN || strncmp(wanted, plan->id, size) != 0))
		return err_refuse(err, ERR_CONFLICT, "plan-superseded",
				  "target '%s' differs otherwise now: look at the plan again",
				  plan->target);
	if (wanted || plan->takes_away <= plan->limit)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "target-limit",
			  "%lld of %lld accounts would be taken away, over the limit of %lld: "
			  "confirm with the plan's id",
			  (long long)plan->takes_away, (long long)plan->active,
			  (long long)plan->limit);
}

int targets_reconcile(struct targets *targets, const char *name, const char *wanted,
		      const struct actor *actor, struct store *store, struct arena *arena,
		      struct target_plan *ret_plan, struct err *err)
{
	struct listing listing = { 0 };
	struct target_plan plan;
	int result;

	if (targets_plan(targets, name, store, arena, &plan, err) < 0 ||
	    check_limit(&plan, wanted, err) < 0)
		return -1;
	result = plan.comparable ? list_drifting(&plan, &listing, err)
				 : list_all(store, &listing, err);
	if (result == 0)
		result = change_deliveries_reconcile(targets->changer, actor, name, plan.id,
						     listing.ids, listing.count, err);
	free(listing.ids);
	if (result == 0)
		*ret_plan = plan;
	return result;
}
