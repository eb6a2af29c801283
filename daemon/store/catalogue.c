/* Organizations, sources, the group registry and small values. */
#include "db.h"

int store_organization_ensure(struct store *store, const char *name, struct err *err)
{
	int64_t id;

	if (store_may_write(store, err) < 0)
		return -1;
	if (!*name)
		return err_set(err, ERR_INVALID, "an organization needs a name");
	return names_ensure(store, NAMES_ORGANIZATION, name, &id, err);
}

/* --- sources --- */

int store_source_ensure(struct store *store, const char *name, struct err *err)
{
	int64_t id;

	if (store_may_write(store, err) < 0)
		return -1;
	if (!*name)
		return err_set(err, ERR_INVALID, "a source needs a name");
	return names_ensure(store, NAMES_SOURCE, name, &id, err);
}

int store_source_get(struct store *store, const char *name, struct arena *arena,
		     struct source_state *ret_state, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_SOURCE_GET);

	query_text(&query, name);

	int row = query_row(&query, err);

	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no source '%s'", name);
	if (row < 0)
		return err_wrap(err, "cannot read source '%s'", name);

	struct source_state state = {
		.name = arena_strdup(arena, name),
		.last_read_s = column_int(&query, 0),
		.last_complete_s = column_int(&query, 1),
		.entries = column_int(&query, 2),
		.last_problem = column_copy(&query, 3, arena),
		.server = column_copy(&query, 4, arena),
	};

	if (arena_check(arena, err) < 0)
		return -1;
	*ret_state = state;
	return 0;
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

int store_source_set(struct store *store, const struct source_state *state, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_SOURCE_SET);

	query_text(&query, state->name);
	query_int(&query, state->last_read_s);
	query_int(&query, state->last_complete_s);
	query_int(&query, state->entries);
	query_text(&query, text_or_empty(state->last_problem));
	query_text(&query, text_or_empty(state->server));

	int changed = query_run(&query, err);

	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no source '%s'", state->name);
	return changed < 0 ? err_wrap(err, "cannot write source '%s'", state->name) : 0;
}

/* --- group registry --- */

static int group_next_id(struct store *store, uint32_t *ret_next_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GROUP_NEXT_ID);
	int64_t next;

	if (query_number(&query, &next, err) < 0)
		return -1;
	if (next < 1 || next > UINT32_MAX)
		return err_refuse(err, ERR_IO, "store-damaged", "next group number %lld",
				  (long long)next);
	*ret_next_id = (uint32_t)next;
	return 0;
}

static void group_from_row(const struct query *query, struct arena *arena,
			   struct group_registry_row *ret_row)
{
	*ret_row = (struct group_registry_row){
		.id = (uint32_t)column_int(query, 0),
		.name = column_copy(query, 1, arena),
		.found = column_int(query, 2) != 0,
		.vanished = column_int(query, 3) != 0,
		.released = column_int(query, 4) != 0,
		.members = column_int(query, 5),
		.vanished_s = column_int(query, 6),
	};
}

int store_groups_load(struct store *store, struct arena *arena,
		      struct group_registry_row **ret_rows, size_t *ret_count,
		      uint32_t *ret_next_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GROUP_LIST);
	AUTO(rows) struct rows rows = ROWS(struct group_registry_row);
	uint32_t next_id = 0;
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct group_registry_row *group = rows_add(&rows);

		if (!group)
			break;
		group_from_row(&query, arena, group);
	}
	if (row < 0 || group_next_id(store, &next_id, err) < 0 ||
	    rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot read the group registry");
	*ret_next_id = next_id;
	return 0;
}

int store_group_put(struct store *store, const struct group_registry_row *row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GROUP_PUT);

	query_int(&query, row->id);
	query_text(&query, row->name);
	query_int(&query, row->found);
	query_int(&query, row->vanished);
	query_int(&query, row->released);
	query_int(&query, row->members);
	query_int(&query, row->vanished_s);
	/* A number given out once is never given out again, also when its row is gone. */
	if (query_run(&query, err) < 0 ||
	    (row->id < UINT32_MAX && store_group_next_id_set(store, row->id + 1, err) < 0))
		return err_wrap(err, "cannot store group '%s'", row->name);
	return 0;
}

int store_group_remove(struct store *store, uint32_t id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GROUP_REMOVE);

	query_int(&query, id);

	int changed = query_run(&query, err);

	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no group %u", id);
	return changed < 0 ? err_wrap(err, "cannot remove group %u", id) : 0;
}

int store_group_next_id_set(struct store *store, uint32_t next_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GROUP_NEXT_ID_RAISE);

	query_int(&query, next_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot store the next group number") : 0;
}

/* --- small values --- */

int store_meta_get(struct store *store, const char *name, struct arena *arena,
		   const char **ret_value, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_META_GET);

	query_text(&query, name);

	int row = query_row(&query, err);
	const char *value = row > 0 ? column_copy(&query, 0, arena) : NULL;

	if (row < 0 || arena_check(arena, err) < 0)
		return err_wrap(err, "cannot read value '%s'", name);
	*ret_value = value;
	return 0;
}

int store_meta_set(struct store *store, const char *name, const char *value, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_META_SET);

	query_text(&query, name);
	query_text(&query, value);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot store value '%s'", name) : 0;
}
