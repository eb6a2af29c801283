/*
 * Whom a source disables at a time that it told: accounts that expire.
 *
 * Enters: the time. Leaves: for each source with somebody due a plan of that source, counted by the limits
 * like any disable of it. Fails: store, memory; who was not looked at is due the next time, as are those
 * of a source that is being read as a whole. While another plan is being applied they are disabled, and
 * looked at once more when it is done.
 *
 * The list only says whom to look at (store/due.c). Nothing has to come from the directory, which
 * may be down.
 */
#include "sync.h"

#include <string.h>

#include <rolebridge/base/util.h>

void due_note(struct changer *changer, int64_t at_s)
{
	int64_t next_s = __atomic_load_n(&changer->next_due_s, __ATOMIC_ACQUIRE);

	if (next_s == 0 || at_s < next_s)
		__atomic_store_n(&changer->next_due_s, at_s, __ATOMIC_RELEASE);
}

int due_load(struct changer *changer, struct err *err)
{
	int64_t next_s;

	if (store_due_next(changer->store, &next_s, err) < 0)
		return -1;
	__atomic_store_n(&changer->next_due_s, next_s, __ATOMIC_RELEASE);
	return 0;
}

int change_disable_due(struct changer *changer, int64_t now_s, struct err *err)
{
	return due_disable(changer, now_s, err);
}

int64_t change_next_due(const struct changer *changer)
{
	return __atomic_load_n(&changer->next_due_s, __ATOMIC_ACQUIRE);
}

/* --- a source that is not configured any more --- */

struct forgotten {
	const char *source;
	int64_t until_s;
};

static int forget_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct forgotten *forgotten = job->context;

	if (store_due_remove(changer->store, forgotten->source, forgotten->until_s, err) < 0)
		return -1;
	return due_load(changer, err);
}

static bool is_read(struct changer *changer, const char *source)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	const struct source_settings *settings = setup_find_source(&setup->setup, source);
	bool read = settings && !source_signs_in(settings);

	setup_release(&setup->setup);
	return read;
}

/* --- those whose time has come --- */

static int disable_of_source(struct changer *changer, const char *source, const int64_t *ids,
			     size_t count, int64_t now_s, struct err *err)
{
	struct actor timer = { .name = "timer", .request = "" };
	struct sync *sync = sync_begin_due(changer, source, &timer, err);
	struct run_report report;

	if (!sync)
		return -1;
	sync->now_s = now_s;
	if (changes_due(sync, ids, count, err) < 0) {
		sync_abort(sync);
		return -1;
	}
	run_report_init(&report);
	if (sync_finish(sync, true, "", "", &report, err) < 0) {
		run_report_finish(&report);
		return -1;
	}
	run_report_finish(&report);
	return 0;
}

static int look_at_source(struct changer *changer, struct store *store, const char *source,
			  int64_t now_s, struct arena *arena, struct err *err)
{
	struct forgotten forgotten = { source, now_s };
	struct err problem;
	int64_t *ids;
	size_t count;

	/* A reload, which brings it back, looks at everybody. */
	if (!is_read(changer, source))
		return writer_bulk(changer, forget_job, &forgotten, err);
	if (store_due_users(store, source, now_s, arena, &ids, &count, err) < 0)
		return -1;
	err_clear(&problem);
	if (disable_of_source(changer, source, ids, count, now_s, &problem) == 0 ||
	    strcmp(err_reason(&problem), "sync-running") == 0)
		return 0;
	if (err)
		*err = problem;
	return -1;
}

int due_disable(struct changer *changer, int64_t now_s, struct err *err)
{
	int64_t next_s = change_next_due(changer);
	AUTO(arena) struct arena *arena = NULL;
	AUTO(store) struct store *store = NULL;
	const char **sources;
	size_t count;
	int result = 0;

	if (next_s == 0 || next_s > now_s)
		return 0;
	store = store_open(changer->path, STORE_READ, err);
	arena = arena_create(PLAN_BYTES_MAX);
	if (!store || !arena)
		return store ? err_set(err, ERR_MEMORY, "no memory to disable who is due") : -1;
	if (store_due_sources(store, now_s, arena, &sources, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++)
		result = look_at_source(changer, store, sources[i], now_s, arena, err);
	/* What was noted of the list may not have been committed. */
	if (result < 0)
		due_note(changer, next_s);
	return result;
}
