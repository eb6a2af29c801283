/* What is counted, listed and shown to people: windows, quarantine, alarms. */
#include "db.h"

/* --- sliding windows --- */

int store_window_add(struct store *store, const char *kind, const char *subject, int64_t at_s,
		     int64_t n, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_WINDOW_ADD);

	query_text(&query, kind);
	query_text(&query, subject);
	query_int(&query, at_s);
	query_int(&query, n);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot count '%s' of '%s'", kind, subject);
	return 0;
}

int store_window_sum(struct store *store, const char *kind, const char *subject, int64_t since_s,
		     int64_t *ret_sum, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_WINDOW_SUM);

	query_text(&query, kind);
	query_text(&query, subject);
	query_int(&query, since_s);
	if (query_number(&query, ret_sum, err) < 0)
		return err_wrap(err, "cannot sum '%s' of '%s'", kind, subject);
	return 0;
}

int store_window_prune(struct store *store, int64_t before_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_WINDOW_PRUNE);

	query_int(&query, before_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove old counts") : 0;
}

/* --- quarantine --- */

int store_quarantine_put(struct store *store, const struct quarantine_row *row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_PUT);
	int64_t source;

	if (store_may_write(store, err) < 0 || names_source(store, row->source, &source, err) < 0)
		return -1;
	query_int(&query, source);
	query_text(&query, row->locator);
	query_text(&query, row->key);
	query_text(&query, row->reason);
	query_text(&query, row->detail);
	query_int(&query, row->since_s);
	query_int(&query, row->seen_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot store quarantined '%s'", row->locator);
	return 0;
}

int store_quarantine_prune(struct store *store, const char *source, int64_t seen_before_s,
			   struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_PRUNE);
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	query_int(&query, seen_before_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot empty the quarantine of '%s'", source);
	return 0;
}

int store_quarantine_age(struct store *store, const char *source, int64_t now_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_AGE);
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	query_int(&query, now_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot age the quarantine of '%s'", source);
	return 0;
}

int store_quarantine_has_key(struct store *store, const char *source, const char *key,
			     struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_HAS_KEY);
	int64_t id;
	int found = names_find(store, NAMES_SOURCE, source, &id, err);

	if (found > 0) {
		query_int(&query, id);
		query_text(&query, key);
		found = query_row(&query, err);
	}
	return found < 0 ? err_wrap(err, "cannot search the quarantine of '%s'", source) : found;
}

static int quarantine_from_row(const struct query *query, struct arena *arena,
			       struct quarantine_row *ret_row, struct err *err)
{
	const char *source = names_text(query->store, NAMES_SOURCE, column_int(query, 0), err);

	if (!source)
		return -1;
	*ret_row = (struct quarantine_row){
		.source = arena_strdup(arena, source),
		.locator = column_copy(query, 1, arena),
		.key = column_copy(query, 2, arena),
		.reason = column_copy(query, 3, arena),
		.detail = column_copy(query, 4, arena),
		.since_s = column_int(query, 5),
		.seen_s = column_int(query, 6),
	};
	return 0;
}

static void bind_query(struct query *query, int64_t source, const struct quarantine_query *asked)
{
	query_int(query, source);
	query_text(query, asked->entry ? asked->entry : "");
}

static int quarantine_total(struct store *store, int64_t source,
			    const struct quarantine_query *asked, int64_t *ret_total,
			    struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_TOTAL);

	bind_query(&query, source, asked);
	return query_number(&query, ret_total, err);
}

static int quarantine_read(struct store *store, int64_t source,
			   const struct quarantine_query *asked, struct rows *rows,
			   struct arena *arena, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_LIST);
	size_t limit = asked->limit;
	int row;

	bind_query(&query, source, asked);
	query_int(&query, limit == 0 || limit > INT32_MAX ? -1 : (int64_t)limit);
	while ((row = query_row(&query, err)) > 0) {
		struct quarantine_row *entry = rows_add(rows);

		if (!entry)
			return 0;
		if (quarantine_from_row(&query, arena, entry, err) < 0)
			return -1;
	}
	return row;
}

int store_quarantine_list(struct store *store, const struct quarantine_query *query,
			  struct arena *arena, struct quarantine_row **ret_rows, size_t *ret_count,
			  int64_t *ret_total, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct quarantine_row);
	int64_t id = 0, total = 0;
	int found = query->source ? names_find(store, NAMES_SOURCE, query->source, &id, err) : 1;

	if (found > 0)
		found = quarantine_total(store, id, query, &total, err);
	if (found == 0 && total > 0)
		found = quarantine_read(store, id, query, &rows, arena, err);
	if (found < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list the quarantine");
	*ret_total = total;
	return 0;
}

int store_quarantine_counts(struct store *store, struct arena *arena,
			    struct quarantine_count **ret_counts, size_t *ret_count,
			    struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_QUARANTINE_COUNTS);
	AUTO(rows) struct rows rows = ROWS(struct quarantine_count);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		const char *source = names_text(store, NAMES_SOURCE, column_int(&query, 0), err);
		struct quarantine_count *count = source ? rows_add(&rows) : NULL;

		if (!source)
			return -1;
		if (!count)
			break;
		*count = (struct quarantine_count){ .source = arena_strdup(arena, source),
						    .reason = column_copy(&query, 1, arena),
						    .count = column_int(&query, 2) };
	}
	if (row < 0 || rows_finish(&rows, arena, ret_counts, ret_count, err) < 0)
		return err_wrap(err, "cannot count the quarantine");
	return 0;
}

/* --- alarms --- */

/* Both statements begin with kind, subject, text. */
static int alarm_write(struct store *store, enum statement_id id, const char *kind,
		       const char *subject, const char *text, int64_t at_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_text(&query, kind);
	query_text(&query, subject);
	query_text(&query, text);
	if (id != STATEMENT_ALARM_REFRESH)
		query_int(&query, at_s);
	return query_run(&query, err);
}

int store_alarm_raise(struct store *store, const char *kind, const char *subject, const char *text,
		      int64_t now_s, struct err *err)
{
	int changed = alarm_write(store, STATEMENT_ALARM_REFRESH, kind, subject, text, now_s, err);

	if (changed > 0)
		return 0;
	if (changed == 0)
		changed =
			alarm_write(store, STATEMENT_ALARM_RAISE, kind, subject, text, now_s, err);
	return changed < 0 ? err_wrap(err, "cannot raise alarm '%s'", kind) : 1;
}

int store_alarm_clear(struct store *store, const char *kind, const char *subject,
		      const char *cleared_by, int64_t now_s, struct err *err)
{
	int changed =
		alarm_write(store, STATEMENT_ALARM_CLEAR, kind, subject, cleared_by, now_s, err);

	return changed < 0 ? err_wrap(err, "cannot clear alarm '%s'", kind) : changed > 0;
}

static void alarm_from_row(const struct query *query, struct arena *arena,
			   struct alarm_row *ret_row)
{
	*ret_row = (struct alarm_row){
		.id = column_int(query, 0),
		.kind = column_copy(query, 1, arena),
		.subject = column_copy(query, 2, arena),
		.text = column_copy(query, 3, arena),
		.since_s = column_int(query, 4),
		.cleared_s = column_int(query, 5),
		.cleared_by = column_copy(query, 6, arena),
	};
}

static int alarms_read(struct query *query, struct arena *arena, struct alarm_row **ret_rows,
		       size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct alarm_row);
	int row;

	while ((row = query_row(query, err)) > 0) {
		struct alarm_row *alarm = rows_add(&rows);

		if (!alarm)
			break;
		alarm_from_row(query, arena, alarm);
	}
	if (row < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list alarms");
	return 0;
}

int store_alarm_list(struct store *store, bool open_only, struct arena *arena,
		     struct alarm_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ALARM_LIST);

	query_int(&query, open_only);
	return alarms_read(&query, arena, ret_rows, ret_count, err);
}

int store_alarm_range(struct store *store, int64_t after_id, int64_t to_id, size_t limit,
		      struct arena *arena, struct alarm_row **ret_rows, size_t *ret_count,
		      struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT id, kind, subject, text, since_s, cleared_s, cleared_by FROM alarm "
		       "WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3");

	query_int(&query, after_id);
	query_int(&query, to_id);
	query_int(&query, (int64_t)limit);
	return alarms_read(&query, arena, ret_rows, ret_count, err);
}

int store_alarm_last(struct store *store, int64_t *ret_id, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT coalesce(max(id), 0) FROM alarm");

	return query_number(&query, ret_id, err) < 0 ? err_wrap(err, "cannot look for alarms") : 0;
}

int store_alarm_prune(struct store *store, int64_t before_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ALARM_PRUNE);

	query_int(&query, before_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove old alarms") : 0;
}
