/*
 * What is known of personas, and its records. Enters: names, records. Leaves: the same, counted. Fails as the
 * store does; a link or an answer that is there already is a conflict that spoils nothing.
 */
#include <rolebridge/store/persona.h>

#include "db.h"

#define LIST_MAX 1000
#define COUNT_COLUMNS "entries, interviews, tickets, usage, crm, yes, partly, no, reviews, links"
#define FACTS_COLUMNS "id, name, noted_s, reviewed_s, reviewed_by, next_due_s, " COUNT_COLUMNS
#define FACTS_COUNTS 6 /* the column of the first count */
#define RECORD_COLUMNS "persona_record.id, type, kind, at_s, number, user, title, text, url, actor"

/* --- what is known --- */

static int facts_from_row(const struct query *query, struct arena *arena,
			  struct persona_facts *ret_facts, struct err *err)
{
	int64_t reviewer = column_int(query, 4);
	struct persona_facts facts = {
		.id = column_int(query, 0),
		.name = column_copy(query, 1, arena),
		.noted_s = column_int(query, 2),
		.reviewed_s = column_int(query, 3),
		.reviewed_by = "",
		.next_due_s = column_int(query, 5),
	};

	if (reviewer)
		facts.reviewed_by = names_copy(query->store, NAMES_GENERAL, reviewer, arena, err);
	for (int i = 0; i < PERSONA_COUNTS; i++)
		facts.counts[i] = column_int(query, FACTS_COUNTS + i);
	if (!facts.reviewed_by || arena_check(arena, err) < 0)
		return -1;
	*ret_facts = facts;
	return 0;
}

int store_personas_load(struct store *store, struct arena *arena, struct persona_facts **ret_facts,
			size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " FACTS_COLUMNS " FROM persona "
						  "ORDER BY name");
	AUTO(rows) struct rows rows = ROWS(struct persona_facts);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct persona_facts *facts = rows_add(&rows);

		if (!facts)
			break;
		if (facts_from_row(&query, arena, facts, err) < 0) {
			row = -1;
			break;
		}
	}
	if (row < 0 || rows_finish(&rows, arena, ret_facts, ret_count, err) < 0)
		return err_wrap(err, "cannot list what is known of personas");
	return 0;
}

int store_persona_get(struct store *store, const char *name, struct arena *arena,
		      struct persona_facts *ret_facts, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT " FACTS_COLUMNS " FROM persona WHERE name = ?1");
	struct persona_facts facts = { .name = name, .reviewed_by = "" };
	int row;

	query_text(&query, name);
	row = query_row(&query, err);
	if (row > 0 && facts_from_row(&query, arena, &facts, err) < 0)
		row = -1;
	if (row < 0)
		return err_wrap(err, "cannot find out about persona '%s'", name);
	*ret_facts = facts;
	return row;
}

static int persona_id(struct store *store, const char *name, int64_t *ret_id, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT id FROM persona WHERE name = ?1");
	int row;

	query_text(&query, name);
	row = query_row(&query, err);
	*ret_id = row > 0 ? column_int(&query, 0) : 0;
	return row < 0 ? -1 : 0;
}

int store_persona_note(struct store *store, const char *name, int64_t noted_s, int64_t *ret_id,
		       struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "INSERT INTO persona (name, noted_s) VALUES (?1, ?2) "
				     "ON CONFLICT (name) DO UPDATE SET noted_s = excluded.noted_s");
	int64_t id;

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, name);
	query_int(&query, noted_s);
	if (query_run(&query, err) < 0 || persona_id(store, name, &id, err) < 0)
		return err_wrap(err, "cannot note persona '%s'", name);
	if (ret_id)
		*ret_id = id;
	return 0;
}

int store_persona_due(struct store *store, const char *name, int64_t next_due_s, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "UPDATE persona SET next_due_s = ?2 WHERE name = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, name);
	query_int(&query, next_due_s);
	return query_run(&query, err) < 0
		       ? err_wrap(err, "cannot note when persona '%s' is due", name)
		       : 0;
}

int store_persona_forget(struct store *store, const char *name, struct err *err)
{
	AUTO(query)
	struct query mark = query_prepare(
		store, "INSERT INTO persona_gone SELECT id FROM persona WHERE name = ?1");
	AUTO(query)
	struct query query = query_prepare(store, "DELETE FROM persona WHERE name = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&mark, name);
	query_text(&query, name);
	if (query_run(&mark, err) < 0 || query_run(&query, err) < 0)
		return err_wrap(err, "cannot forget persona '%s'", name);
	return 0;
}

int store_persona_prune(struct store *store, size_t limit, struct err *err)
{
	AUTO(query)
	struct query find = query_prepare(store, "SELECT persona FROM persona_gone LIMIT 1");
	AUTO(query)
	struct query records = query_prepare(
		store, "DELETE FROM persona_record WHERE id IN (SELECT id FROM persona_record "
		       "WHERE persona = ?1 LIMIT ?2)");
	AUTO(query)
	struct query done = query_prepare(store, "DELETE FROM persona_gone WHERE persona = ?1");
	int changed = 0, row;

	if (store_may_write(store, err) < 0)
		return -1;
	row = query_row(&find, err);
	if (row > 0) {
		query_int(&records, column_int(&find, 0));
		query_int(&records, (int64_t)limit);
		query_int(&done, column_int(&find, 0));
		changed = query_run(&records, err);
		if (changed >= 0 && (size_t)changed < limit)
			row = query_run(&done, err);
	}
	if (row < 0 || changed < 0)
		return err_wrap(err, "cannot remove records of deleted personas");
	/* The last of them, too, was something to do. */
	return changed + (row > 0);
}

int store_personas_gone(struct store *store, bool *ret_gone, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT EXISTS (SELECT 1 FROM persona_gone)");
	int64_t any;

	if (query_number(&query, &any, err) < 0)
		return err_wrap(err, "cannot look for records of deleted personas");
	*ret_gone = any != 0;
	return 0;
}

/* --- counting --- */

/* What one record adds to which of the counts. */
static void count_record(const struct persona_record *record, int sign,
			 int64_t ret_counts[PERSONA_COUNTS])
{
	switch (record->type) {
	case PERSONA_RESEARCH:
		ret_counts[PERSONA_ENTRIES] = sign;
		ret_counts[PERSONA_ENTRIES + record->kind] = sign * record->number;
		break;
	case PERSONA_VALIDATION: ret_counts[PERSONA_YES + record->kind - 1] = sign; break;
	case PERSONA_REVIEW: ret_counts[PERSONA_REVIEWS] = sign; break;
	case PERSONA_LINK: ret_counts[PERSONA_LINKS] = sign; break;
	}
}

static int add_counts(struct store *store, int64_t persona, const struct persona_record *record,
		      int sign, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE persona SET entries = entries + ?2, interviews = interviews + ?3, "
		       "tickets = tickets + ?4, usage = usage + ?5, crm = crm + ?6, "
		       "yes = yes + ?7, partly = partly + ?8, no = no + ?9, "
		       "reviews = reviews + ?10, links = links + ?11 WHERE id = ?1");
	int64_t counts[PERSONA_COUNTS] = { 0 };

	count_record(record, sign, counts);
	query_int(&query, persona);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		query_int(&query, counts[i]);
	return query_run(&query, err) < 0 ? -1 : 0;
}

static int note_review(struct store *store, int64_t persona, const struct persona_record *record,
		       int64_t actor, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "UPDATE persona SET reviewed_s = ?2, next_due_s = ?3, "
				     "reviewed_by = ?4 WHERE id = ?1");

	query_int(&query, persona);
	query_int(&query, record->at_s);
	query_int(&query, record->number);
	query_int(&query, actor);
	return query_run(&query, err) < 0 ? -1 : 0;
}

/* --- records --- */

/* 0; -2 with err untouched when there is one like it. */
static int insert(struct store *store, int64_t persona, const struct persona_record *record,
		  int64_t actor, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO persona_record (persona, type, kind, at_s, number, user, title, "
		"text, url, actor) VALUES (?1, ?2, ?3, ?4, ?5, nullif(?6, 0), ?7, ?8, ?9, "
		"?10)");

	query_int(&query, persona);
	query_int(&query, record->type);
	query_int(&query, record->kind);
	query_int(&query, record->at_s);
	query_int(&query, record->number);
	query_int(&query, record->user_id);
	query_text(&query, record->title);
	query_text(&query, record->text);
	query_text(&query, record->url);
	query_int(&query, actor);
	return query_try(&query, err);
}

int store_persona_add(struct store *store, int64_t persona, struct persona_record *record,
		      struct err *err)
{
	int64_t actor;
	int written;

	if (store_may_write(store, err) < 0 ||
	    (record->user_id != 0 && store_check_user(store, record->user_id, err) < 0) ||
	    names_ensure(store, NAMES_GENERAL, record->actor, &actor, err) < 0)
		return err_wrap(err, "cannot store a record of a persona");
	written = insert(store, persona, record, actor, err);
	if (written == -2)
		return err_refuse(err, ERR_CONFLICT, "name-taken", "there is one like it already");
	if (written < 0)
		return err_wrap(err, "cannot store a record of a persona");
	record->id = sqlite3_last_insert_rowid(store->db);
	if (add_counts(store, persona, record, 1, err) < 0 ||
	    (record->type == PERSONA_REVIEW && note_review(store, persona, record, actor, err) < 0))
		return err_wrap(err, "cannot count a record of a persona");
	return 0;
}

int store_persona_remove(struct store *store, int64_t persona, const struct persona_record *record,
			 struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM persona_record WHERE id = ?1 AND persona = ?2 AND type = ?3");
	int changed;

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, record->id);
	query_int(&query, persona);
	query_int(&query, record->type);
	changed = query_run(&query, err);
	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such record");
	if (changed < 0 || add_counts(store, persona, record, -1, err) < 0)
		return err_wrap(err, "cannot remove a record of a persona");
	return 0;
}

static int record_from_row(const struct query *query, struct arena *arena,
			   struct persona_record *ret_record, struct err *err)
{
	struct persona_record record = {
		.id = column_int(query, 0),
		.type = (enum persona_record_type)column_int(query, 1),
		.kind = (int)column_int(query, 2),
		.at_s = column_int(query, 3),
		.number = column_int(query, 4),
		.user_id = column_int(query, 5),
		.title = column_copy(query, 6, arena),
		.text = column_copy(query, 7, arena),
		.url = column_copy(query, 8, arena),
		.actor = names_copy(query->store, NAMES_GENERAL, column_int(query, 9), arena, err),
	};

	if (!record.actor || arena_check(arena, err) < 0)
		return -1;
	*ret_record = record;
	return 0;
}

int store_persona_find(struct store *store, int64_t persona, enum persona_record_type type,
		       int64_t id, struct arena *arena, struct persona_record *ret_record,
		       struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT " RECORD_COLUMNS " FROM persona_record WHERE id = ?1 "
				     "AND persona = ?2 AND type = ?3");
	int row;

	query_int(&query, id);
	query_int(&query, persona);
	query_int(&query, type);
	row = query_row(&query, err);
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such record");
	if (row < 0 || record_from_row(&query, arena, ret_record, err) < 0)
		return err_wrap(err, "cannot read a record of a persona");
	return 0;
}

int store_persona_answer(struct store *store, int64_t persona, int64_t user_id, const char *title,
			 struct arena *arena, struct persona_record *ret_record, struct err *err)
{
	/* The conditions of the indexes, word by word. */
	AUTO(query)
	struct query query = query_prepare(
		store, user_id ? "SELECT " RECORD_COLUMNS " FROM persona_record WHERE type = 2 AND "
				 "user IS NOT NULL AND persona = ?1 AND user = ?2"
			       : "SELECT " RECORD_COLUMNS " FROM persona_record WHERE type = 2 AND "
				 "user IS NULL AND persona = ?1 AND title = ?2");
	int row;

	query_int(&query, persona);
	if (user_id)
		query_int(&query, user_id);
	else
		query_text(&query, title);
	row = query_row(&query, err);
	if (row > 0 && record_from_row(&query, arena, ret_record, err) < 0)
		row = -1;
	return row < 0 ? err_wrap(err, "cannot look for an answer") : row;
}

/* -1: any; -2: one that nobody is of. */
static int find_organization(struct store *store, const char *name, int64_t *ret_id,
			     struct err *err)
{
	*ret_id = -1;
	if (!name)
		return 0;
	*ret_id = -2;
	return names_find(store, NAMES_ORGANIZATION, name, ret_id, err) < 0 ? -1 : 0;
}

static int list_rows(struct query *query, struct arena *arena, struct persona_record **ret_records,
		     size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct persona_record);
	int row;

	while ((row = query_row(query, err)) > 0) {
		struct persona_record *record = rows_add(&rows);

		if (!record)
			break;
		if (record_from_row(query, arena, record, err) < 0)
			return -1;
	}
	return row < 0 ? -1 : rows_finish(&rows, arena, ret_records, ret_count, err);
}

int store_persona_list(struct store *store, const struct persona_query *asked, struct arena *arena,
		       struct persona_record **ret_records, size_t *ret_count, struct err *err)
{
	size_t limit = asked->limit < LIST_MAX ? asked->limit : LIST_MAX;
	int64_t organization, shared;

	if (find_organization(store, asked->organization, &organization, err) < 0 ||
	    find_organization(store, asked->owner ? asked->owner : "default", &shared, err) < 0)
		return err_wrap(err, "cannot list records of a persona");

	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " RECORD_COLUMNS " FROM persona_record LEFT JOIN user ON "
		       "user.id = persona_record.user WHERE persona = ?1 AND type = ?2 AND "
		       "persona_record.id > ?3 AND (?4 = 0 OR kind = ?4) AND (?5 = -1 OR "
		       "ifnull(user.organization, ?6) = ?5) ORDER BY persona_record.id LIMIT ?7");

	query_int(&query, asked->persona);
	query_int(&query, asked->type);
	query_int(&query, asked->after_id);
	query_int(&query, asked->kind);
	query_int(&query, organization);
	query_int(&query, shared);
	query_int(&query, (int64_t)limit);
	if (list_rows(&query, arena, ret_records, ret_count, err) < 0)
		return err_wrap(err, "cannot list records of a persona");
	return 0;
}
