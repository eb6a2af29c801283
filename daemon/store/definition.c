/*
 * Definitions. Enters: rows by kind and name. Leaves: the same, in order. Fails as the store does.
 */
#include <rolebridge/store/definition.h>

#include "db.h"

#define COLUMNS \
	"kind, name, draft, version, position, organization, body, created_s, updated_s, actor"

/* Of all organizations. */
#define SHARED 0

static int read_row(const struct query *query, struct arena *arena, struct definition *ret_row,
		    struct err *err)
{
	struct store *store = query->store;
	struct definition row = {
		.kind = column_copy(query, 0, arena),
		.name = column_copy(query, 1, arena),
		.draft = column_int(query, 2) != 0,
		.version = column_int(query, 3),
		.position = column_int(query, 4),
		.body = column_copy(query, 6, arena),
		.created_s = column_int(query, 7),
		.updated_s = column_int(query, 8),
	};

	int64_t organization = column_int(query, 5);

	if (organization != SHARED &&
	    !(row.organization = names_copy(store, NAMES_ORGANIZATION, organization, arena, err)))
		return -1;
	row.actor = names_copy(store, NAMES_GENERAL, column_int(query, 9), arena, err);
	if (!row.actor || arena_check(arena, err) < 0)
		return -1;
	*ret_row = row;
	return 0;
}

int store_definitions_load(struct store *store, struct arena *arena, struct definition **ret_rows,
			   size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM definition "
						  "ORDER BY kind, position, name, draft");
	AUTO(rows) struct rows rows = ROWS(struct definition);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct definition *definition = rows_add(&rows);

		if (!definition)
			break;
		if (read_row(&query, arena, definition, err) < 0) {
			row = -1;
			break;
		}
	}
	if (row < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list definitions");
	return 0;
}

int store_definition_get(struct store *store, const char *kind, const char *name, bool draft,
			 struct arena *arena, struct definition *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM definition WHERE "
						  "kind = ?1 AND name = ?2 AND draft = ?3");
	int row;

	query_text(&query, kind);
	query_text(&query, name);
	query_int(&query, draft);
	row = query_row(&query, err);
	if (row > 0 && read_row(&query, arena, ret_row, err) < 0)
		row = -1;
	return row < 0 ? err_wrap(err, "cannot find %s '%s'", kind, name) : row;
}

static int next_version(struct store *store, int64_t *ret_version, struct err *err)
{
	AUTO(query)
	struct query add = query_prepare(
		store, "UPDATE counter SET value = value + 1 WHERE name = 'definition-version'");
	AUTO(query)
	struct query get =
		query_prepare(store, "SELECT value FROM counter WHERE name = 'definition-version'");

	if (query_run(&add, err) < 0)
		return -1;
	return query_number(&get, ret_version, err);
}

int store_definition_put(struct store *store, struct definition *definition, struct err *err)
{
	int64_t organization = SHARED, actor, version;

	if (store_may_write(store, err) < 0 ||
	    (definition->organization &&
	     names_ensure(store, NAMES_ORGANIZATION, definition->organization, &organization, err) <
		     0) ||
	    names_ensure(store, NAMES_GENERAL, definition->actor, &actor, err) < 0 ||
	    next_version(store, &version, err) < 0)
		return err_wrap(err, "cannot store %s '%s'", definition->kind, definition->name);

	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO definition (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		"?10) ON CONFLICT (kind, name, draft) DO UPDATE SET version = excluded.version, "
		"position = excluded.position, organization = excluded.organization, "
		"body = excluded.body, updated_s = excluded.updated_s, actor = excluded.actor");

	query_text(&query, definition->kind);
	query_text(&query, definition->name);
	query_int(&query, definition->draft);
	query_int(&query, version);
	query_int(&query, definition->position);
	query_int(&query, organization);
	query_text(&query, definition->body);
	query_int(&query, definition->created_s);
	query_int(&query, definition->updated_s);
	query_int(&query, actor);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot store %s '%s'", definition->kind, definition->name);
	definition->version = version;
	return 0;
}

int store_definition_delete(struct store *store, const char *kind, const char *name, bool draft,
			    struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM definition WHERE kind = ?1 AND name = ?2 AND draft = ?3");
	int changed;

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, kind);
	query_text(&query, name);
	query_int(&query, draft);
	changed = query_run(&query, err);
	if (changed < 0)
		return err_wrap(err, "cannot delete %s '%s'", kind, name);
	return changed ? 0 : err_set(err, ERR_NOT_FOUND, "no %s '%s'", kind, name);
}

int store_definition_invites(struct store *store, enum grant_kind kind, const char *name,
			     int64_t now_s, int64_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT count(*) FROM invite_grant JOIN invite ON invite.id = invite "
		       "WHERE kind = ?1 AND name = ?2 AND ended = 0 AND expires_s > ?3");
	int64_t id;
	int found = names_find(store, NAMES_GENERAL, name, &id, err);

	if (found < 0)
		return -1;
	if (found == 0) {
		*ret_count = 0;
		return 0;
	}
	query_int(&query, kind);
	query_int(&query, id);
	query_int(&query, now_s);
	return query_number(&query, ret_count, err);
}

/* --------------------------------------------------------------- documents */

int store_document_put(struct store *store, const char *fingerprint, const char *body,
		       int64_t now_s, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "INSERT INTO document (fingerprint, body, "
						  "created_s) VALUES (?1, ?2, ?3) ON CONFLICT "
						  "(fingerprint) DO NOTHING");

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, fingerprint);
	query_text(&query, body);
	query_int(&query, now_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot store document '%s'", fingerprint);
	return 0;
}

int store_document_get(struct store *store, const char *fingerprint, struct arena *arena,
		       const char **ret_body, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT body FROM document WHERE fingerprint = ?1");
	int row;

	query_text(&query, fingerprint);
	row = query_row(&query, err);
	if (row > 0) {
		*ret_body = column_copy(&query, 0, arena);
		row = arena_check(arena, err) < 0 ? -1 : 1;
	}
	return row < 0 ? err_wrap(err, "cannot find document '%s'", fingerprint) : row;
}

int store_document_tidy(struct store *store, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM document WHERE NOT EXISTS (SELECT 1 FROM definition WHERE "
		       "kind = 'source' AND instr(definition.body, document.fingerprint) > 0)");

	if (store_may_write(store, err) < 0)
		return -1;
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot tidy documents") : 0;
}

/* ----------------------------------------------------------------- sources */

/* By keys, which are in order; whoever is not among these yet is among the last of all. */
int store_source_people(struct store *store, const char *source, int64_t *ret_count,
			struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"SELECT count(*) FROM (SELECT person FROM ("
		"SELECT id >> 16 AS person FROM identity_key WHERE source = ?1 "
		"UNION SELECT id >> 16 FROM identity WHERE source = ?1 AND id >= 65536 * (1 + " NAMED_USER
		") "
		"UNION SELECT user FROM link_by_hand WHERE source = ?1 AND wanted = 1) "
		"WHERE NOT EXISTS (SELECT 1 FROM user WHERE user.id = person AND "
		"disabled & 32 <> 0) LIMIT 10000)");
	int64_t id, count = 0;
	int found = names_find(store, NAMES_SOURCE, source, &id, err);

	if (found > 0) {
		query_int(&query, id);
		found = query_number(&query, &count, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot count people of source '%s'", source);
	*ret_count = count;
	return 0;
}
