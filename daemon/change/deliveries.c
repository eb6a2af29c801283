/*
 * What becomes of deliveries: outcomes of attempts, and what people say about them.
 *
 * Enters: outcomes from the threads of the targets; who asks to retry, to drop, to tell anew. Leaves: rows gone, put off,
 * given up or due again; the alarm about dead letters; audit rows of what people asked for. Fails: store, memory.
 *
 * At least once: whoever dies between a target's yes and its note here delivers the same again. So nothing is lost
 * when a note is not on disk yet, and notes do not wait for it.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "targets.h"

#define NOTES_BYTES_MAX (16u * 1024 * 1024)
#define DETAIL_MAX (1u << 20)
#define AT_ONCE 500
#define ALARM_DEAD "target-dead-letters"

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for deliveries");
}

/* --- the alarm --- */

static int clear_if_none(struct changer *changer, const char *target, const char *by, int64_t now_s,
			 struct err *err)
{
	int dead = store_delivery_any_dead(changer->store, target, err);

	if (dead != 0)
		return dead < 0 ? -1 : 0;
	return store_alarm_clear(changer->store, ALARM_DEAD, target, by, now_s, err) < 0 ? -1 : 0;
}

static int raise_dead(struct changer *changer, const struct delivery_note *note, int64_t now_s,
		      struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(4096);

	strbuf_printf(&text, "a delivery (%s) was given up: %s; 'rolebridgectl targets show %s'",
		      delivery_event_name(note->row->event),
		      note->code ? note->code : "it failed for too long", note->row->target);
	if (strbuf_failed(&text))
		return no_memory(err);
	return store_alarm_raise(changer->store, ALARM_DEAD, note->row->target, strbuf_text(&text),
				 now_s, err) < 0
		       ? -1
		       : 0;
}

/* --- outcomes --- */

struct noting {
	const struct delivery_note *notes;
	size_t count;
};

static int note_one(struct changer *changer, const struct delivery_note *note, int64_t now_s,
		    struct err *err)
{
	struct delivery_row row = *note->row;

	row.code = note->code ? note->code : "";
	row.problem = note->problem ? note->problem : "";
	row.next_s = note->next_s > 0 ? note->next_s : now_s;
	switch (note->outcome) {
	case DELIVERY_SENT: return store_delivery_remove(changer->store, &row, now_s, err);
	case DELIVERY_LATER:
		row.attempts = 0;
		row.code = row.problem = "";
		return store_delivery_put_off(changer->store, &row, err);
	case DELIVERY_RETRY:
		row.attempts++;
		return store_delivery_put_off(changer->store, &row, err);
	case DELIVERY_REFUSED:
		row.attempts++;
		row.dead_s = now_s;
		return store_delivery_bury(changer->store, &row, err) < 0 ||
				       raise_dead(changer, note, now_s, err) < 0
			       ? -1
			       : 0;
	}
	return err_set(err, ERR_INTERNAL, "odd outcome of a delivery");
}

static int note_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct noting *noting = job->context;
	int64_t now_s = change_now_s();
	bool dead = false;

	for (size_t i = 0; i < noting->count; i++) {
		if (note_one(changer, &noting->notes[i], now_s, err) < 0)
			return -1;
		dead |= noting->notes[i].outcome == DELIVERY_REFUSED;
	}
	if (dead || noting->count == 0)
		return 0;
	/* Something may have been folded into the last dead one. */
	return clear_if_none(changer, noting->notes[0].row->target, "delivered", now_s, err);
}

int change_deliveries_note(struct changer *changer, const struct delivery_note *notes, size_t count,
			   struct err *err)
{
	struct noting noting = { notes, count };

	return writer_bulk_redoable(changer, note_job, &noting, err);
}

static const struct target_setup *find_target(const struct setup *setup, const char *name)
{
	for (size_t i = 0; i < setup->target_count; i++)
		if (strcmp(setup->targets[i].name, name) == 0)
			return &setup->targets[i];
	return NULL;
}

/* --- by people --- */

struct asking {
	const struct actor *actor;
	const char *target;
	const struct uuid *uuid; /* NULL: many */
	bool waiting;		 /* dropping: also what waits; said in each transaction */
	/* Of many: those of this state after this one. */
	enum delivery_state state;
	int64_t after_id;
	/* Telling anew. */
	const char *plan;
	const int64_t *user_ids;
	size_t count;
	int64_t done; /* in this transaction */
	bool more;
};

/* What the actor may, as it is in this transaction. */
static int check_actor(struct changer *changer, const struct actor *actor, struct arena *arena,
		       struct err *err)
{
	struct authority authority;
	struct setup *setup;
	int result;

	if (!actor->limited)
		return 0;
	setup = changer_setup(changer);
	result = authority_of_actor(changer->store, setup, actor, change_now_s(), arena, &authority,
				    err);
	if (result == 0)
		result = authority_require(&authority, "targets:update@all", err);
	if (result == 0 && authority.organization && strcmp(authority.organization, "default") != 0)
		result = err_refuse(err, ERR_DENIED, "not-allowed",
				    "targets are the daemon's as a whole");
	setup_release(setup);
	return result;
}

static int audit_asked(struct changer *changer, const struct asking *asking, const char *action,
		       struct err *err)
{
	AUTO(strbuf) struct strbuf object = STRBUF(256), detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	char uuid[UUID_TEXT_SIZE];

	strbuf_printf(&object, "target:%s", asking->target);
	json_object(&json);
	if (asking->uuid) {
		uuid_format(asking->uuid, uuid);
		json_string(&json, "delivery", uuid);
	}
	if (asking->plan)
		json_string(&json, "plan", asking->plan);
	json_int(&json, "count", asking->done);
	json_end(&json);
	if (strbuf_failed(&object) || strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), asking->actor, action,
			   strbuf_text(&object), strbuf_text(&detail), err);
}

static int no_such_delivery(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such delivery");
}

static int find_one(struct changer *changer, const struct asking *asking, struct arena *arena,
		    struct delivery_row *ret_row, struct err *err)
{
	int found = store_delivery_find(changer->store, asking->uuid, arena, ret_row, err);

	if (found < 0)
		return -1;
	return found && strcmp(ret_row->target, asking->target) == 0 ? 0 : no_such_delivery(err);
}

/* The next of many, or the one. */
static int find_rows(struct changer *changer, struct asking *asking, struct arena *arena,
		     struct delivery_row **ret_rows, size_t *ret_count, struct err *err)
{
	const struct delivery_query query = { .target = asking->target,
					      .state = asking->state,
					      .after_id = asking->after_id,
					      .limit = AT_ONCE };

	asking->more = false;
	if (asking->uuid) {
		*ret_rows = arena_alloc(arena, sizeof(**ret_rows));
		*ret_count = 1;
		return *ret_rows ? find_one(changer, asking, arena, *ret_rows, err)
				 : no_memory(err);
	}
	if (store_delivery_list(changer->store, &query, arena, ret_rows, ret_count, err) < 0)
		return -1;
	asking->more = *ret_count == AT_ONCE;
	if (*ret_count > 0)
		asking->after_id = (*ret_rows)[*ret_count - 1].id;
	return 0;
}

static int retry_job(struct changer *changer, struct job *job, struct err *err)
{
	struct asking *asking = job->context;
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	int64_t now_s = change_now_s();
	struct delivery_row *rows;
	size_t count;

	asking->done = 0;
	if (!arena)
		return no_memory(err);
	if (check_actor(changer, asking->actor, arena, err) < 0 ||
	    find_rows(changer, asking, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++, asking->done++)
		if (store_delivery_revive(changer->store, &rows[i], now_s, err) < 0)
			return -1;
	if (asking->done == 0)
		return 0;
	changer->notices.queued = changer->notices.queued_urgent = true;
	return audit_asked(changer, asking, "target.retry", err) < 0 ||
			       clear_if_none(changer, asking->target, asking->actor->name, now_s,
					     err) < 0
		       ? -1
		       : 0;
}

/* Until nothing is left; what was done stays done when a later piece fails. */
static int ask_all(struct changer *changer, job_run *run, struct asking *asking, int64_t *ret_count,
		   struct err *err)
{
	int result = 0;

	*ret_count = 0;
	asking->more = true;
	while (result == 0 && asking->more) {
		result = asking->uuid ? writer_request(changer, run, asking, err)
				      : writer_bulk(changer, run, asking, err);
		*ret_count += result == 0 ? asking->done : 0;
	}
	return result;
}

int change_deliveries_retry(struct changer *changer, const struct actor *actor, const char *target,
			    const struct uuid *uuid, int64_t *ret_count, struct err *err)
{
	static const enum delivery_state states[] = { DELIVERY_DEAD, DELIVERY_FAILING };
	int64_t count = 0, all = 0;

	for (size_t i = 0; i < (uuid ? 1 : ARRAY_LEN(states)); i++) {
		struct asking asking = {
			.actor = actor, .target = target, .uuid = uuid, .state = states[i]
		};

		if (ask_all(changer, retry_job, &asking, &count, err) < 0)
			return -1;
		all += count;
	}
	*ret_count = all;
	return 0;
}

/* --- never --- */

static int drop_one(struct changer *changer, struct asking *asking, struct arena *arena,
		    int64_t now_s, struct err *err)
{
	struct delivery_row row;

	if (find_one(changer, asking, arena, &row, err) < 0)
		return -1;
	if (row.dead_s == 0 && !asking->waiting)
		return err_refuse(err, ERR_CONFLICT, "delivery-waiting",
				  "the delivery waits: only dead letters can be dropped");
	asking->done = 1;
	return store_delivery_remove(changer->store, &row, now_s, err);
}

/* Whoever is not told any more does not miss what waits; who is switched off is told later. */
static bool is_configured(struct changer *changer, const char *name)
{
	struct setup *setup = changer_setup(changer);
	bool found = find_target(setup, name) != NULL;

	setup_release(setup);
	return found;
}

static int drop_job(struct changer *changer, struct job *job, struct err *err)
{
	struct asking *asking = job->context;
	AUTO(arena) struct arena *arena = arena_create(NOTES_BYTES_MAX);
	int64_t now_s = change_now_s();
	int dropped;

	asking->done = 0;
	asking->more = false;
	asking->waiting = !is_configured(changer, asking->target);
	if (!arena)
		return no_memory(err);
	if (check_actor(changer, asking->actor, arena, err) < 0)
		return -1;
	if (asking->uuid) {
		if (drop_one(changer, asking, arena, now_s, err) < 0)
			return -1;
	} else {
		dropped = store_delivery_drop(changer->store, asking->target, !asking->waiting,
					      AT_ONCE, err);
		if (dropped < 0)
			return -1;
		asking->done = dropped;
		asking->more = dropped == AT_ONCE;
	}
	if (asking->done == 0)
		return 0;
	return audit_asked(changer, asking, "target.drop", err) < 0 ||
			       clear_if_none(changer, asking->target, asking->actor->name, now_s,
					     err) < 0
		       ? -1
		       : 0;
}

int change_deliveries_drop(struct changer *changer, const struct actor *actor, const char *target,
			   const struct uuid *uuid, int64_t *ret_count, struct err *err)
{
	struct asking asking = { .actor = actor, .target = target, .uuid = uuid };

	return ask_all(changer, drop_job, &asking, ret_count, err);
}

/* --- told anew --- */

static void meta_name(const char *target, char *ret_name, size_t size)
{
	snprintf(ret_name, size, "target-reconciled:%s", target);
}

int change_target_reconciled(struct store *store, const char *target, int64_t *ret_at_s,
			     struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(64 * 1024);
	char name[TARGET_NAME_MAX + 32];
	const char *value;

	meta_name(target, name, sizeof(name));
	if (!arena)
		return no_memory(err);
	if (store_meta_get(store, name, arena, &value, err) < 0)
		return -1;
	*ret_at_s = value ? strtoll(value, NULL, 10) : 0;
	return 0;
}

static int note_reconciled(struct changer *changer, const char *target, struct err *err)
{
	char name[TARGET_NAME_MAX + 32], value[24];

	meta_name(target, name, sizeof(name));
	snprintf(value, sizeof(value), "%lld", (long long)change_now_s());
	return store_meta_set(changer->store, name, value, err);
}

static int tell_one(struct changer *changer, const struct target_setup *target, int64_t user_id,
		    int64_t now_s, struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct err missing;
	struct user user;

	err_clear(&missing);
	if (store_user_get(changer->store, user_id, arena, &user, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (!target->keeps_state &&
	    targets_write_detail(changer->store, &user, NULL, "reconcile", arena, &detail, err) < 0)
		return -1;
	return targets_queue(changer, target, user_id, DELIVERY_RECONCILE, strbuf_text(&detail),
			     now_s, now_s, err);
}

static int tell_all(struct changer *changer, const struct target_setup *target,
		    struct asking *asking, struct arena *arena, struct err *err)
{
	size_t count = asking->count < AT_ONCE ? asking->count : AT_ONCE;
	int64_t now_s = change_now_s();

	if (!target || target->is_off)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such target");
	for (size_t i = 0; i < count; i++) {
		arena_reset(arena);
		if (tell_one(changer, target, asking->user_ids[i], now_s, arena, err) < 0)
			return -1;
	}
	asking->done = (int64_t)count;
	if (count == asking->count && note_reconciled(changer, asking->target, err) < 0)
		return -1;
	return audit_asked(changer, asking, "target.reconcile", err);
}

static int reconcile_job(struct changer *changer, struct job *job, struct err *err)
{
	struct asking *asking = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct setup *setup;
	int result;

	asking->done = 0;
	if (!arena)
		return no_memory(err);
	if (check_actor(changer, asking->actor, arena, err) < 0)
		return -1;
	setup = changer_setup(changer);
	result = tell_all(changer, find_target(setup, asking->target), asking, arena, err);
	setup_release(setup);
	return result;
}

int change_deliveries_reconcile(struct changer *changer, const struct actor *actor,
				const char *target, const char *plan, const int64_t *user_ids,
				size_t count, struct err *err)
{
	struct asking asking = { .actor = actor, .target = target, .plan = plan };
	size_t at = 0;

	/* Also where nobody is to be told: somebody has looked. */
	do {
		asking.user_ids = user_ids + at;
		asking.count = count - at;
		if (writer_bulk(changer, reconcile_job, &asking, err) < 0)
			return -1;
		at += (size_t)asking.done;
	} while (at < count);
	return 0;
}
