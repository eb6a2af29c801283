/*
 * The changer: start and end, the setup in force, slots of sources.
 *
 * Start, in this order: open and migrate the store; discard drafts; store the numbers of new
 * groups before anything can use them and where the clock stands; start the writer; roll READY plans forward. Only
 * then does changer_open return, so that nobody sees a state between.
 */
#include <rolebridge/change/changer.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "accounts.h"
#include "internal.h"
#include "link.h"
#include "policies.h"
#include "restore.h"

void (*change_test_hook)(const char *step);

/* --- setups --- */

struct live_setup *changer_live_setup(struct changer *changer, uint64_t *ret_generation)
{
	struct live_setup *setup;

	pthread_mutex_lock(&changer->mutex);
	setup = changer->setup;
	setup_acquire(&setup->setup);
	if (ret_generation)
		*ret_generation = changer->generation;
	pthread_mutex_unlock(&changer->mutex);
	return setup;
}

struct setup *changer_setup(struct changer *changer)
{
	return &changer_live_setup(changer, NULL)->setup;
}

uint64_t changer_generation(const struct changer *changer)
{
	return __atomic_load_n(&changer->generation, __ATOMIC_ACQUIRE);
}

void changer_put_setup(struct changer *changer, struct live_setup *setup)
{
	struct live_setup *before;
	bool is_another;

	pthread_mutex_lock(&changer->mutex);
	before = changer->setup;
	changer->setup = setup;
	is_another = before && before->origin != setup->origin;
	if (is_another)
		__atomic_add_fetch(&changer->generation, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&changer->mutex);
	/* Only who holds bulk replaces setups: both are still there. */
	if (is_another && !policies_same(&before->setup, &setup->setup))
		notices_setup(changer);
	if (before)
		setup_release(&before->setup);
}

struct live_setup *changer_coming_setup(struct changer *changer, uint64_t *ret_generation)
{
	struct live_setup *setup;

	pthread_mutex_lock(&changer->mutex);
	setup = changer->coming ? changer->coming : changer->setup;
	setup_acquire(&setup->setup);
	/* As it will be counted when it is put in force. */
	if (ret_generation)
		*ret_generation = changer->generation + (setup->origin != changer->setup->origin);
	pthread_mutex_unlock(&changer->mutex);
	return setup;
}

void changer_set_coming(struct changer *changer, struct live_setup *setup)
{
	struct live_setup *before;

	if (setup)
		setup_acquire(&setup->setup);
	pthread_mutex_lock(&changer->mutex);
	before = changer->coming;
	changer->coming = setup;
	/* It did not come: what was made for it is not for the next one. */
	if (before && before->origin != changer->setup->origin)
		__atomic_add_fetch(&changer->identity_version, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&changer->mutex);
	if (before)
		setup_release(&before->setup);
}

const char *changer_store_path(const struct changer *changer)
{
	return changer->path;
}

/* --- slots --- */

static bool is_reading(enum slot_use use)
{
	return use == SLOT_CHANGES || use == SLOT_WHOLE;
}

/* With the mutex. */
static struct source_slot *find_slot(struct changer *changer, const char *source, enum slot_use use)
{
	struct source_slot *slot = changer->slots;

	while (slot && (strcmp(slot->name, source) != 0 ||
			(slot->use != use && !(is_reading(slot->use) && is_reading(use)))))
		slot = slot->next;
	return slot;
}

/* With the mutex. */
static struct source_slot *create_slot(struct changer *changer, const char *source, struct err *err)
{
	struct source_slot *slot = calloc(1, sizeof(*slot));

	if (slot)
		slot->name = strdup(source);
	if (!slot || !slot->name) {
		free(slot);
		err_set(err, ERR_MEMORY, "no memory for a sync");
		return NULL;
	}
	slot->next = changer->slots;
	changer->slots = slot;
	return slot;
}

struct source_slot *slot_take(struct changer *changer, const char *source, enum slot_use use,
			      struct err *err)
{
	const struct source_slot *read;
	struct source_slot *slot;

	pthread_mutex_lock(&changer->mutex);
	slot = find_slot(changer, source, use);
	read = find_slot(changer, source, SLOT_WHOLE);
	/* A whole read counts the same people, and decides by the same time. */
	if ((slot && slot->busy) ||
	    (use == SLOT_DUE && read && read->busy && read->use == SLOT_WHOLE)) {
		pthread_mutex_unlock(&changer->mutex);
		err_refuse(err, ERR_CONFLICT, "sync-running", "source '%s' is being read already",
			   source);
		return NULL;
	}
	if (!slot)
		slot = create_slot(changer, source, err);
	if (slot) {
		slot->use = use;
		slot->busy = true;
		slot->forget = false;
	}
	pthread_mutex_unlock(&changer->mutex);
	return slot;
}

static void forget(struct source_slot *slot)
{
	known_destroy(slot->table);
	slot->table = NULL;
	populations_forget(slot);
	slot->forget = false;
}

void slot_release(struct changer *changer, struct source_slot *slot)
{
	pthread_mutex_lock(&changer->mutex);
	if (slot->forget)
		forget(slot);
	slot->busy = false;
	pthread_mutex_unlock(&changer->mutex);
}

void slots_forget(struct changer *changer)
{
	pthread_mutex_lock(&changer->mutex);
	for (struct source_slot *slot = changer->slots; slot; slot = slot->next) {
		if (slot->busy)
			slot->forget = true; /* by its run, at the end */
		else
			forget(slot);
	}
	pthread_mutex_unlock(&changer->mutex);
}

/* --- plans that cannot be read --- */

/* Not for want of memory, disk or time: it will be the same every time. */
static bool is_damage(const struct err *err)
{
	switch (err->code) {
	case ERR_PROTOCOL:
	case ERR_INVALID:
	case ERR_TOO_LARGE:
	case ERR_NOT_FOUND:
	case ERR_CONFLICT:
	case ERR_INTERNAL: return true;
	default: return false;
	}
}

struct setting_aside {
	const struct plan_row *plan;
	const char *why;
};

static int force_read(struct changer *changer, const char *source, bool held, struct err *err)
{
	AUTO(strbuf) struct strbuf name = STRBUF(256);

	strbuf_printf(&name, "force:%s", source);
	if (strbuf_failed(&name))
		return err_set(err, ERR_MEMORY, "no memory to set a plan aside");
	if (store_meta_set(changer->store, strbuf_text(&name), "1", err) < 0)
		return -1;
	/* Perhaps administrators of the source's first sync waited: they still do. */
	return held ? first_sync_note(changer->store, source, true, err) : 0;
}

/*
 * Whoever was left out is looked at anew: in the next full read of the source, or at once when it
 * was the rules that changed. What a timer did, it does again. What waited, from any source when the rules made
 * it wait, is for a read too, since a reload would let administrators in who waited before.
 */
static int look_anew(struct changer *changer, const struct plan_row *plan, struct err *err)
{
	bool held = plan->state == PLAN_HELD;
	struct live_setup *setup;
	int result = 0;

	if (strcmp(plan->source, "rules") != 0)
		return force_read(changer, plan->source, held, err);
	if (!held)
		return store_meta_set(changer->store, "decision-digest", "", err);
	setup = changer_live_setup(changer, NULL);
	for (size_t i = 0; i < setup->setup.source_count && result == 0; i++)
		result = force_read(changer, setup->setup.sources[i]->name.text, true, err);
	setup_release(&setup->setup);
	return result;
}

static int audit_set_aside(struct changer *changer, const struct setting_aside *aside,
			   struct err *err)
{
	AUTO(strbuf) struct strbuf object = STRBUF(128), detail = STRBUF(64 * 1024);
	struct actor actor = { .name = "start", .request = "" };
	struct json json = JSON(&detail);

	strbuf_printf(&object, "plan:%s", aside->plan->id);
	json_object(&json);
	json_string(&json, "why", aside->why);
	json_string(&json, "source", aside->plan->source);
	json_int(&json, "batches", aside->plan->batches);
	json_end(&json);
	if (strbuf_failed(&object) || strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory to set a plan aside");
	return audit_write(changer->store, change_now_s(), &actor, "plan.set-aside",
			   strbuf_text(&object), strbuf_text(&detail), err);
}

static int set_aside_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct setting_aside *aside = job->context;
	const struct plan_row *plan = aside->plan;
	struct plan_row row = { .row = plan->row, .state = PLAN_DAMAGED };
	AUTO(strbuf) struct strbuf text = STRBUF(8192);

	strbuf_printf(&text,
		      "plan %.12s of '%s' cannot be carried out and was set aside (%s): its people "
		      "are looked at anew; clear this alarm to drop it",
		      plan->id, plan->source, aside->why);
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "no memory to set a plan aside");
	__atomic_add_fetch(&changer->held_version, 1, __ATOMIC_RELEASE);
	if (store_plan_update(changer->store, &row, err) < 0 ||
	    store_alarm_raise(changer->store, "plan-damaged", plan->id, strbuf_text(&text),
			      change_now_s(), err) < 0 ||
	    look_anew(changer, plan, err) < 0)
		return -1;
	return audit_set_aside(changer, aside, err);
}

static int set_aside(struct changer *changer, const struct plan_row *plan, const struct err *why,
		     struct err *err)
{
	struct setting_aside aside = { plan, why->text };

	return writer_bulk(changer, set_aside_job, &aside, err);
}

/* --- roll forward --- */

static int roll_one(struct changer *changer, const struct live_setup *setup, struct store *read,
		    const struct plan_row *row, struct err *err)
{
	struct plan_holds *holds;
	struct apply_plan plan = { .changer = changer,
				   .setup = setup,
				   .row = row->row,
				   .batches = row->batches,
				   .batches_done = row->batches_done,
				   .id = row->id,
				   .source = row->source,
				   .actor = row->actor };
	int result;

	if (plan_holds_decode(row->holds, row->holds_size, &holds, err) < 0)
		return -1;
	plan.holds = holds;
	result = apply_plan(&plan, read, err);
	plan_holds_destroy(holds);
	return result;
}

int changer_roll_forward(struct changer *changer, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct plan_row *plans;
	size_t count = 0;
	int result = -1;

	if (read && !arena)
		err_set(err, ERR_MEMORY, "no memory to continue a plan");
	if (read && arena && store_plan_list(read, PLAN_READY, arena, &plans, &count, err) == 0)
		result = 0;
	for (size_t i = 0; i < count && result == 0; i++) {
		struct err problem;

		err_clear(&problem);
		result = roll_one(changer, setup, read, &plans[i], &problem);
		if (result < 0 && is_damage(&problem))
			result = set_aside(changer, &plans[i], &problem, err);
		else if (result < 0 && err)
			*err = problem;
	}
	setup_release(&setup->setup);
	if (result == 0)
		changer->unfinished = false;
	if (count > 0)
		slots_forget(changer);
	return result < 0 ? err_wrap(err, "cannot continue a stored plan") : 0;
}

/* Every run reads what waits for a person: a plan that cannot be read would stop them all. */
static int check_held(struct changer *changer, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct plan_row *plans;
	size_t count;
	int result = 0;

	if (!read || !arena)
		return read ? err_set(err, ERR_MEMORY, "no memory for held plans") : -1;
	if (store_plan_list(read, PLAN_HELD, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++) {
		struct err problem;

		err_clear(&problem);
		result = held_plan_check(read, &plans[i], &problem);
		if (result < 0 && is_damage(&problem))
			result = set_aside(changer, &plans[i], &problem, err);
		else if (result < 0 && err)
			*err = problem;
	}
	return result;
}

/* --- start and end --- */

void changer_stop(struct changer *changer)
{
	if (changer)
		__atomic_store_n(&changer->leaving, true, __ATOMIC_RELEASE);
}

static const char *kept_text(struct arena *arena, const char *text)
{
	return text ? arena_strdup(arena, text) : NULL;
}

int actor_keep(struct arena *arena, const struct actor *actor, struct actor *ret_actor,
	       struct err *err)
{
	struct actor kept = *actor;

	kept.name = arena_strdup(arena, actor->name);
	kept.request = arena_strdup(arena, actor->request ? actor->request : "");
	kept.permission = kept_text(arena, actor->permission);
	kept.organization = kept_text(arena, actor->organization);
	kept.application = kept_text(arena, actor->application);
	kept.token = kept_text(arena, actor->token);
	if (actor->scope) {
		const char **scope =
			arena_alloc_array(arena, actor->scope_count + 1, sizeof(*scope));

		for (size_t i = 0; scope && i < actor->scope_count; i++)
			scope[i] = arena_strdup(arena, actor->scope[i]);
		kept.scope = scope;
	}
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no memory to keep who asks");
	*ret_actor = kept;
	return 0;
}

int changer_check_leaving(struct changer *changer, struct err *err)
{
	if (!__atomic_load_n(&changer->leaving, __ATOMIC_ACQUIRE))
		return 0;
	return err_set(err, ERR_CANCELLED, "the daemon is stopping");
}

static int discard_drafts(struct store *store, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	struct plan_row *plans;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for drafts");
	if (store_plan_list(store, PLAN_DRAFT, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (store_plan_discard(store, plans[i].row, err) < 0)
			return -1;
	return 0;
}

int names_store(struct store *store, const struct setup *setup, struct err *err)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct source_settings *source = setup->sources[i];

		if (store_source_ensure(store, source->name.text, err) < 0 ||
		    (source->organization.text && source->organization.text[0] &&
		     store_organization_ensure(store, source->organization.text, err) < 0))
			return -1;
	}
	for (size_t i = 0; i < setup->organization_count; i++)
		if (store_organization_ensure(store, setup->organizations[i].name.text, err) < 0)
			return -1;
	return 0;
}

/* With nobody in the store there is nothing to evaluate again. */
static int note_first_digest(struct store *store, const struct setup *setup, struct err *err)
{
	struct user_counts counts;
	char hex[65];

	if (store_user_counts(store, NULL, &counts, err) < 0)
		return -1;
	if (counts.total > 0)
		return 0;
	if (setup_digest(setup, change_now_s(), hex, err) < 0)
		return -1;
	return store_meta_set(store, "decision-digest", hex, err);
}

/* What was cut off; nobody waits for anything yet. */
static int prune_accounts(struct store *store, struct err *err)
{
	int left;

	do
		left = store_accounts_prune(store, ACCOUNT_TIES_AT_ONCE, err);
	while (left > 0);
	return left;
}

static int prepare_store(struct changer *changer, const struct setup *setup, struct err *err)
{
	struct store *store = changer->store;

	if (store_begin(store, err) < 0)
		return -1;
	if (clock_begin(changer, err) < 0 || discard_drafts(store, err) < 0 ||
	    registry_store(store, setup->registry, err) < 0 || names_store(store, setup, err) < 0 ||
	    note_first_digest(store, setup, err) < 0 || due_load(changer, err) < 0 ||
	    prune_accounts(store, err) < 0 || store_commit(store, err) < 0) {
		store_rollback(store);
		return -1;
	}
	return 0;
}

int changer_reload_due(struct changer *changer, bool *ret_due, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct live_setup *setup;
	const char *stored;
	char hex[65];
	int result;

	if (!read || !arena)
		return read ? err_set(err, ERR_MEMORY, "no memory to compare rules") : -1;
	if (store_meta_get(read, "decision-digest", arena, &stored, err) < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	result = setup_digest(&setup->setup, change_now_s(), hex, err);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_due = !stored || strcmp(stored, hex) != 0;
	return result;
}

struct changer *changer_open(const char *store_path, struct setup *setup, struct err *err)
{
	struct changer *changer = calloc(1, sizeof(*changer));

	if (!changer) {
		err_set(err, ERR_MEMORY, "no memory for the changer");
		return NULL;
	}
	pthread_mutex_init(&changer->mutex, NULL);
	pthread_mutex_init(&changer->clock_lock, NULL);
	pthread_mutex_init(&changer->bulk, NULL);
	pthread_mutex_init(&changer->urgent, NULL);
	pthread_cond_init(&changer->wake, NULL);
	pthread_mutex_init(&changer->link_lock, NULL);
	changer->generation = 1;
	changer->path = strdup(store_path);
	if (!changer->path)
		err_set(err, ERR_MEMORY, "no memory for the changer");
	else
		changer->store = store_open(store_path, STORE_WRITE, err);
	if (changer->store && prepare_store(changer, setup, err) == 0)
		changer->setup = live_setup_create(setup, changer->store, err);
	if (!changer->setup || restore_begin(changer, err) < 0 || writer_start(changer, err) < 0 ||
	    changer_roll_forward(changer, err) < 0 || check_held(changer, err) < 0) {
		changer_close(changer);
		return NULL;
	}
	return changer;
}

void changer_close(struct changer *changer)
{
	if (!changer)
		return;
	writer_stop(changer);
	while (changer->slots) {
		struct source_slot *next = changer->slots->next;

		known_destroy(changer->slots->table);
		held_cache_destroy(changer->slots->held);
		populations_forget(changer->slots);
		free(changer->slots->populations);
		store_close(changer->slots->reader);
		free(changer->slots->name);
		free(changer->slots);
		changer->slots = next;
	}
	if (changer->setup)
		setup_release(&changer->setup->setup);
	if (changer->coming)
		setup_release(&changer->coming->setup);
	link_indexes_drop(changer);
	notices_finish(changer);
	policies_forget(changer);
	free(changer->waiting_ids);
	store_close(changer->store);
	free(changer->path);
	pthread_mutex_destroy(&changer->link_lock);
	pthread_cond_destroy(&changer->wake);
	pthread_mutex_destroy(&changer->urgent);
	pthread_mutex_destroy(&changer->bulk);
	pthread_mutex_destroy(&changer->clock_lock);
	pthread_mutex_destroy(&changer->mutex);
	free(changer);
}

/* With bulk, which is given back on failure. */
static int begin_bulk(struct changer *changer, struct err *err)
{
	if (changer_check_leaving(changer, err) == 0 &&
	    (!changer->unfinished || changer_roll_forward(changer, err) == 0))
		return 0;
	pthread_mutex_unlock(&changer->bulk);
	return -1;
}

int changer_bulk_begin(struct changer *changer, struct err *err)
{
	pthread_mutex_lock(&changer->bulk);
	return begin_bulk(changer, err);
}

int changer_bulk_try(struct changer *changer, bool *ret_taken, struct err *err)
{
	bool taken = pthread_mutex_trylock(&changer->bulk) == 0;

	if (taken && begin_bulk(changer, err) < 0)
		return -1;
	*ret_taken = taken;
	return 0;
}

void changer_bulk_end(struct changer *changer)
{
	pthread_mutex_unlock(&changer->bulk);
}
