/*
 * What applications told about their things. Enters: resources, references, users by number. Leaves: the same.
 * Fails as the store does.
 */
#include <rolebridge/store/ownership.h>

#include <string.h>

#include "db.h"

#define LIST_MAX 10000

/* NULL for 0: a foreign key to nothing. */
static void query_optional(struct query *query, int64_t value)
{
	if (value != 0)
		query_int(query, value);
	else
		query_text(query, NULL);
}

/* 1 and the numbers; 0 when a name was never told; -1. */
static int find_names(struct store *store, const char *first, const char *second,
		      int64_t ret_ids[2], struct err *err)
{
	int found = names_find(store, NAMES_GENERAL, first, &ret_ids[0], err);

	return found > 0 ? names_find(store, NAMES_GENERAL, second, &ret_ids[1], err) : found;
}

static int uuid_from_column(const struct query *query, int column, struct uuid *ret_uuid,
			    struct err *err)
{
	size_t size;
	const void *bytes = column_blob(query, column, &size);

	memset(ret_uuid, 0, sizeof(*ret_uuid));
	if (size == 0)
		return 0;
	if (size != sizeof(ret_uuid->byte))
		return err_refuse(err, ERR_IO, "store-damaged", "a user has no uuid");
	memcpy(ret_uuid->byte, bytes, size);
	return 0;
}

/* --- resources --- */

static const char *name_of(const struct query *query, int column, struct arena *arena,
			   struct err *err)
{
	int64_t id = column_int(query, column);

	return id == 0 ? "" : names_copy(query->store, NAMES_GENERAL, id, arena, err);
}

static int resource_from_row(const struct query *query, struct arena *arena,
			     struct resource *ret_resource, struct err *err)
{
	struct resource resource = {
		.row = column_int(query, 0),
		.key = { .application = name_of(query, 1, arena, err),
			 .type = name_of(query, 2, arena, err),
			 .id = column_copy(query, 3, arena) },
		.parent_row = column_int(query, 4),
		.parent_type = name_of(query, 5, arena, err),
		.parent_id = column_copy(query, 6, arena),
		.owner = column_int(query, 7),
		.owner_name = column_copy(query, 9, arena),
		.organization = names_copy(query->store, NAMES_ORGANIZATION, column_int(query, 10),
					   arena, err),
		.title = column_copy(query, 11, arena),
		.version = column_int(query, 12),
		.created_s = column_int(query, 13),
		.updated_s = column_int(query, 14),
	};

	if (!resource.key.application || !resource.key.type || !resource.parent_type ||
	    !resource.organization || uuid_from_column(query, 8, &resource.owner_uuid, err) < 0 ||
	    arena_check(arena, err) < 0)
		return -1;
	*ret_resource = resource;
	return 0;
}

static int one_resource(struct query *query, struct arena *arena, struct resource *ret_resource,
			struct err *err)
{
	int row = query_row(query, err);

	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no such resource");
	if (row < 0 || resource_from_row(query, arena, ret_resource, err) < 0)
		return err_wrap(err, "cannot read a resource");
	return 0;
}

int store_resource_find(struct store *store, const struct resource_key *key, struct arena *arena,
			struct resource *ret_resource, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESOURCE_FIND);
	int64_t ids[2];
	int found = find_names(store, key->application, key->type, ids, err);

	if (found < 0)
		return err_wrap(err, "cannot find a resource");
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no such resource");
	query_int(&query, ids[0]);
	query_int(&query, ids[1]);
	query_text(&query, key->id);
	return one_resource(&query, arena, ret_resource, err);
}

int store_resource_get(struct store *store, int64_t row, struct arena *arena,
		       struct resource *ret_resource, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESOURCE_GET);

	query_int(&query, row);
	return one_resource(&query, arena, ret_resource, err);
}

int store_resource_put(struct store *store, struct resource *resource, struct err *err)
{
	bool is_new = resource->row == 0;
	AUTO(query)
	struct query query =
		query_open(store, is_new ? STATEMENT_RESOURCE_INSERT : STATEMENT_RESOURCE_UPDATE);
	int64_t application = 0, type = 0, organization;

	if (store_may_write(store, err) < 0 ||
	    names_ensure(store, NAMES_ORGANIZATION, resource->organization, &organization, err) < 0)
		return -1;
	if (is_new &&
	    (names_ensure(store, NAMES_GENERAL, resource->key.application, &application, err) < 0 ||
	     names_ensure(store, NAMES_GENERAL, resource->key.type, &type, err) < 0))
		return -1;
	query_optional(&query, resource->parent_row);
	query_optional(&query, resource->owner);
	query_int(&query, organization);
	query_text(&query, resource->title);
	query_int(&query, resource->version);
	query_int(&query, resource->updated_s);
	query_int(&query, is_new ? application : resource->row);
	if (is_new) {
		query_int(&query, type);
		query_text(&query, resource->key.id);
		query_int(&query, resource->created_s);
	}
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot write resource '%.80s'", resource->key.id);
	if (is_new)
		resource->row = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_resource_remove(struct store *store, int64_t row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESOURCE_REMOVE);

	query_int(&query, row);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove a resource") : 0;
}

int store_resource_has_children(struct store *store, int64_t row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESOURCE_CHILD);

	query_int(&query, row);
	return query_row(&query, err);
}

int store_resource_height(struct store *store, int64_t row, int64_t max, int64_t limit,
			  int64_t *ret_height, int64_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESOURCE_HEIGHT);
	int found;

	query_int(&query, row);
	query_int(&query, max);
	query_int(&query, limit);
	found = query_row(&query, err);
	if (found <= 0)
		return found < 0 ? -1 : err_set(err, ERR_INTERNAL, "no height of a resource");
	*ret_height = column_int(&query, 0);
	*ret_count = column_int(&query, 1);
	return 0;
}

int store_resource_subtree(struct store *store, int64_t row, size_t limit, struct arena *arena,
			   int64_t **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "WITH RECURSIVE below (row, level) AS (SELECT ?1, 0 UNION ALL "
		       "SELECT r.row, b.level + 1 FROM below b CROSS JOIN resource r "
		       "ON r.parent = b.row ORDER BY 2) SELECT row FROM below LIMIT ?2");
	AUTO(rows) struct rows rows = ROWS(int64_t);
	int found;

	query_int(&query, row);
	query_int(&query, (int64_t)limit + 1);
	while ((found = query_row(&query, err)) > 0) {
		int64_t *place = rows_add(&rows);

		if (!place)
			break;
		*place = column_int(&query, 0);
	}
	if (found < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot read what is below a resource");
	return 0;
}

/* --- lists --- */

/* Numbers that a filter by name compares with; 0 where none was asked for. */
struct filter {
	int64_t application, type, organization;
};

/* 1; 0 when a name was never told, so that nothing can match; -1. */
static int filter_read(struct store *store, const char *application, const char *type,
		       const char *organization, struct filter *ret_filter, struct err *err)
{
	struct filter filter = { 0 };
	int found = 1;

	if (application)
		found = names_find(store, NAMES_GENERAL, application, &filter.application, err);
	if (found > 0 && type)
		found = names_find(store, NAMES_GENERAL, type, &filter.type, err);
	if (found > 0 && organization)
		found = names_find(store, NAMES_ORGANIZATION, organization, &filter.organization,
				   err);
	*ret_filter = filter;
	return found;
}

static int check_limit(size_t limit, struct err *err)
{
	if (limit == 0 || limit > LIST_MAX)
		return err_set(err, ERR_INVALID, "a list has 1 to %d rows", LIST_MAX);
	return 0;
}

/* The narrowest index first; each is in order of row by itself. */
static const char *resource_index(const struct resource_query *query)
{
	if (query->parent)
		return "INDEXED BY resource_parent ";
	if (query->owner)
		return "INDEXED BY resource_owner ";
	return query->application && query->type ? "INDEXED BY resource_type " : "NOT INDEXED ";
}

static void resource_sql(const struct resource_query *query, struct strbuf *sql)
{
	strbuf_printf(sql,
		      "SELECT " RESOURCE_COLUMNS " FROM resource r %s"
		      "LEFT JOIN resource p ON p.row = r.parent "
		      "LEFT JOIN user u ON u.id = r.owner WHERE r.row > ?1",
		      resource_index(query));
	if (query->application)
		strbuf_puts(sql, " AND r.application = ?3");
	if (query->type)
		strbuf_puts(sql, " AND r.type = ?4");
	if (query->organization)
		strbuf_puts(sql, " AND r.organization = ?5");
	if (query->parent)
		strbuf_puts(sql, " AND r.parent = ?6");
	if (query->owner)
		strbuf_puts(sql, " AND r.owner = ?7");
	if (query->unassigned)
		strbuf_puts(sql, " AND r.owner IS NULL");
	strbuf_puts(sql, " ORDER BY r.row LIMIT ?2");
}

static int resource_rows(struct store *store, const struct resource_query *wanted,
			 const struct filter *filter, struct rows *rows, struct arena *arena,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(4096);
	int row;

	resource_sql(wanted, &sql);

	AUTO(query) struct query query = query_prepare(store, strbuf_text(&sql));

	query_int(&query, wanted->after);
	query_int(&query, (int64_t)wanted->limit);
	query_int(&query, filter->application);
	query_int(&query, filter->type);
	query_int(&query, filter->organization);
	query_int(&query, wanted->parent);
	query_int(&query, wanted->owner);
	while ((row = query_row(&query, err)) > 0) {
		struct resource *resource = rows_add(rows);

		if (!resource)
			return 0;
		if (resource_from_row(&query, arena, resource, err) < 0)
			return -1;
	}
	return row;
}

int store_resource_list(struct store *store, const struct resource_query *query,
			struct arena *arena, struct resource **ret_resources, size_t *ret_count,
			struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct resource);
	struct filter filter;
	int found = check_limit(query->limit, err);

	if (found == 0)
		found = filter_read(store, query->application, query->type, query->organization,
				    &filter, err);
	if (found > 0)
		found = resource_rows(store, query, &filter, &rows, arena, err);
	if (found < 0 || rows_finish(&rows, arena, ret_resources, ret_count, err) < 0)
		return err_wrap(err, "cannot list resources");
	return 0;
}

int store_resource_each(struct store *store,
			int (*each)(void *context, const struct resource *resource), void *context,
			struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT " RESOURCE_COLUMNS RESOURCE_FROM "ORDER BY r.row");
	AUTO(arena) struct arena *arena = arena_create((size_t)16 << 20);
	int row;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to read resources");
	while ((row = query_row(&query, err)) > 0) {
		struct resource resource;

		arena_reset(arena);
		if (resource_from_row(&query, arena, &resource, err) < 0)
			return -1;
		if (each(context, &resource) < 0)
			return err_set(err, ERR_CANCELLED, "asked to stop");
	}
	return row < 0 ? err_wrap(err, "cannot read resources") : 0;
}

int store_resource_count(struct store *store, int64_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, "SELECT count(*) FROM resource");

	return query_number(&query, ret_count, err);
}

/* --- references --- */

static int reference_from_row(const struct query *query, struct arena *arena,
			      struct reference *ret_reference, struct err *err)
{
	struct reference reference = {
		.row = column_int(query, 0),
		.application = name_of(query, 1, arena, err),
		.kind = name_of(query, 2, arena, err),
		.type = "",
		.id = column_copy(query, 3, arena),
		.label = column_copy(query, 4, arena),
		.user = column_int(query, 5),
		.user_name = column_copy(query, 7, arena),
		.user_disabled = (uint32_t)column_int(query, 8),
		.version = column_int(query, 9),
		.created_s = column_int(query, 10),
		.updated_s = column_int(query, 11),
	};

	if (!reference.application || !reference.kind ||
	    uuid_from_column(query, 6, &reference.user_uuid, err) < 0 ||
	    arena_check(arena, err) < 0)
		return -1;
	*ret_reference = reference;
	return 0;
}

int store_reference_find(struct store *store, const struct reference *key, struct arena *arena,
			 struct reference *ret_reference, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_REFERENCE_FIND);
	int64_t ids[2];
	int row = find_names(store, key->application, key->kind, ids, err);

	if (row > 0) {
		query_int(&query, ids[0]);
		query_int(&query, ids[1]);
		query_text(&query, key->id);
		row = query_row(&query, err);
	}
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no such reference");
	if (row < 0 || reference_from_row(&query, arena, ret_reference, err) < 0)
		return err_wrap(err, "cannot read a reference");
	return 0;
}

int store_reference_put(struct store *store, struct reference *reference, struct err *err)
{
	bool is_new = reference->row == 0;
	AUTO(query)
	struct query query =
		query_open(store, is_new ? STATEMENT_REFERENCE_INSERT : STATEMENT_REFERENCE_UPDATE);
	int64_t application = 0, kind = 0;

	if (store_may_write(store, err) < 0)
		return -1;
	if (is_new &&
	    (names_ensure(store, NAMES_GENERAL, reference->application, &application, err) < 0 ||
	     names_ensure(store, NAMES_GENERAL, reference->kind, &kind, err) < 0))
		return -1;
	query_int(&query, reference->user);
	query_text(&query, reference->label);
	query_int(&query, reference->version);
	query_int(&query, reference->updated_s);
	query_int(&query, is_new ? application : reference->row);
	if (is_new) {
		query_int(&query, kind);
		query_text(&query, reference->id);
		query_int(&query, reference->created_s);
	}
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot write reference '%.80s'", reference->id);
	if (is_new)
		reference->row = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_reference_remove(struct store *store, int64_t row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_REFERENCE_REMOVE);

	query_int(&query, row);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove a reference") : 0;
}

/*
 * One list of two tables: what was registered comes first. A cursor is twice the row, and one more in the
 * second table.
 */
struct part {
	const char *columns, *table, *alias, *kind_column, *user_column, *user_index;
};

static const struct part parts[2] = {
	{ REFERENCE_COLUMNS, "reference", "f", "kind", "user", "reference_user" },
	{ "f.row, f.application, f.type, f.id, f.title, f.owner, u.uuid, u.username, u.disabled, "
	  "f.version, f.created_s, f.updated_s",
	  "resource", "f", "type", "owner", "resource_owner" },
};

static void reference_sql(const struct part *part, const struct reference_query *query,
			  struct strbuf *sql)
{
	bool by_user = query->user || query->orphaned;

	strbuf_printf(sql,
		      "SELECT %s FROM %s f %s%s CROSS JOIN user u ON u.id = f.%s WHERE f.row > ?1",
		      part->columns, part->table, by_user ? "INDEXED BY " : "NOT INDEXED",
		      by_user ? part->user_index : "", part->user_column);
	if (query->application)
		strbuf_puts(sql, " AND f.application = ?3");
	if (query->kind && part == &parts[0])
		strbuf_puts(sql, " AND f.kind = ?4");
	if (query->organization)
		strbuf_puts(sql, " AND u.organization = ?5");
	if (query->user)
		strbuf_printf(sql, " AND f.%s = ?6", part->user_column);
	if (query->orphaned)
		strbuf_printf(sql, " AND f.%s IN (SELECT user FROM orphaning)", part->user_column);
	strbuf_puts(sql, " ORDER BY f.row LIMIT ?2");
}

static int reference_rows(struct store *store, const struct reference_query *wanted,
			  const struct filter *filter, size_t which, int64_t after,
			  struct rows *rows, struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(4096);
	int row;

	reference_sql(&parts[which], wanted, &sql);

	AUTO(query) struct query query = query_prepare(store, strbuf_text(&sql));

	query_int(&query, after);
	query_int(&query, (int64_t)(wanted->limit - rows->count));
	query_int(&query, filter->application);
	query_int(&query, filter->type);
	query_int(&query, filter->organization);
	query_int(&query, wanted->user);
	while ((row = query_row(&query, err)) > 0) {
		struct reference *reference = rows_add(rows);

		if (!reference)
			return 0;
		if (reference_from_row(&query, arena, reference, err) < 0)
			return -1;
		reference->cursor = 2 * reference->row + (int64_t)which;
		if (which == 1) {
			reference->type = reference->kind;
			reference->kind = REFERENCE_OWNER;
		}
	}
	return row;
}

int store_reference_list(struct store *store, const struct reference_query *query,
			 struct arena *arena, struct reference **ret_references, size_t *ret_count,
			 struct err *err)
{
	bool owned = query->kind && strcmp(query->kind, REFERENCE_OWNER) == 0;
	AUTO(rows) struct rows rows = ROWS(struct reference);
	struct filter filter;
	int found = check_limit(query->limit, err);

	if (found == 0)
		found = filter_read(store, query->application, owned ? NULL : query->kind,
				    query->organization, &filter, err);
	if (found > 0 && query->after % 2 == 0 && !owned)
		found = 1 + reference_rows(store, query, &filter, 0, query->after / 2, &rows, arena,
					   err);
	if (found > 0 && rows.count < query->limit && (owned || !query->kind))
		found = reference_rows(store, query, &filter, 1,
				       query->after % 2 ? query->after / 2 : 0, &rows, arena, err);
	if (found < 0 || rows_finish(&rows, arena, ret_references, ret_count, err) < 0)
		return err_wrap(err, "cannot list references");
	return 0;
}

int store_reference_count(struct store *store, int64_t user_id, const char *application,
			  int64_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT (SELECT count(*) FROM reference WHERE user = ?1 AND "
		       "(?2 = 0 OR application = ?2)) + (SELECT count(*) FROM resource "
		       "WHERE owner = ?1 AND (?2 = 0 OR application = ?2))");
	int64_t number = 0;
	int found = application ? names_find(store, NAMES_GENERAL, application, &number, err) : 1;

	if (found < 0)
		return -1;
	if (found == 0) {
		*ret_count = 0;
		return 0;
	}
	query_int(&query, user_id);
	query_int(&query, number);
	return query_number(&query, ret_count, err);
}

int store_reference_any(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RESPONSIBLE_ANY);
	int64_t any;

	query_int(&query, user_id);
	if (query_number(&query, &any, err) < 0)
		return err_wrap(err, "cannot find what a user is responsible for");
	return any != 0;
}

/* --- who left something behind --- */

int store_orphaning_set(struct store *store, int64_t user_id, int64_t since_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ORPHANING_SET);
	int changed;

	query_int(&query, user_id);
	query_int(&query, since_s);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot note what a user left") : changed;
}

int store_orphaning_clear(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ORPHANING_CLEAR);
	int changed;

	query_int(&query, user_id);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot strike out what a user left") : changed;
}

int store_orphaning_any(struct store *store, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT 1 FROM orphaning LIMIT 1");

	return query_row(&query, err);
}

int store_orphaning_counts(struct store *store, struct orphaning_counts *ret_counts,
			   struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT count(*), coalesce(sum((SELECT count(*) FROM reference f "
		       "WHERE f.user = o.user) + (SELECT count(*) FROM resource r "
		       "WHERE r.owner = o.user)), 0) FROM orphaning o");
	int row = query_row(&query, err);

	if (row <= 0)
		return row < 0 ? err_wrap(err, "cannot count what users left")
			       : err_set(err, ERR_INTERNAL, "a count gave no row");
	*ret_counts = (struct orphaning_counts){ column_int(&query, 0), column_int(&query, 1) };
	return 0;
}
