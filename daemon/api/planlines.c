/*
 * What a stored plan still holds, as lines for people. Enters: the plan's
 * batches. Leaves: the lines a run's report has for the same changes.
 */
#include "internal.h"

#define BATCH_BYTES_MAX ((size_t)256 * 1024 * 1024)

static int add_batch(struct run_report *report, bool held, const void *data, size_t size,
		     struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(BATCH_BYTES_MAX);
	struct reader in = reader_init(data, size);

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	while (reader_left(&in) > 0) {
		struct person_change change;

		arena_reset(arena);
		if (person_change_decode(&in, arena, &change, err) < 0 ||
		    run_report_person(report, &change, held, err) < 0)
			return -1;
	}
	return 0;
}

static int collect(struct run_report *report, const struct reading_view *view,
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
		    add_batch(report, plan->state == PLAN_HELD, data, size, err) < 0)
			return err_wrap(err, "plan '%s'", plan->id);
	}
	run_report_sort(report);
	return 0;
}

int show_plan_changes(const struct reading_view *view, struct json *json,
		      const struct plan_row *plan, struct err *err)
{
	struct run_report report;
	int result = 0;

	run_report_init(&report);
	/* Of others the batches are dropped as they are applied or superseded. */
	if (plan->state == PLAN_HELD || plan->state == PLAN_READY)
		result = report.arena ? collect(&report, view, plan, err)
				      : err_set(err, ERR_MEMORY, "out of memory");
	json_int(json, "changes_total", report.changes_total);
	json_array_key(json, "changes");
	for (size_t i = 0; i < report.change_count; i++)
		report_change_json(json, &report.changes[i]);
	json_end(json);
	run_report_finish(&report);
	return result;
}
